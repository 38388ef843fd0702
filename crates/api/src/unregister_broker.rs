//! UnregisterBroker, version 0: the cluster forgets a broker that will not come back (KIP-631).
//! Forwarded to the active controller.

use dohle_model::ApiError;
use dohle_protocol::messages::unregister_broker_request::UnregisterBrokerRequestData;
use dohle_protocol::messages::unregister_broker_response::UnregisterBrokerResponseData;
use dohle_rpc::v1;

use super::{Call, errors};
use crate::context::REQUEST_TIMEOUT;

pub(super) async fn handle(
    call: Call,
    request: UnregisterBrokerRequestData,
) -> UnregisterBrokerResponseData {
    let outcome = unregister(&call, request.broker_id).await;
    let (error_code, error_message) = errors::to_wire(&outcome);
    UnregisterBrokerResponseData {
        error_code,
        error_message,
        ..UnregisterBrokerResponseData::default()
    }
}

async fn unregister(call: &Call, broker_id: i32) -> Result<(), ApiError> {
    let deadline = call.request.received + REQUEST_TIMEOUT;
    let request = v1::UnregisterBrokerRequest { broker_id };
    let response = call
        .context
        .controller
        .unregister_broker(request, deadline)
        .await?;
    errors::outcome(response.outcome.as_ref())?;
    call.context.reached(response.offset, deadline).await?;
    Ok(())
}
