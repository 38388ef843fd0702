//! UnregisterBroker, version 0: the cluster forgets a broker that will not come back (KIP-631).
//! Forwarded to the active controller.

use dohle_model::ApiError;
use dohle_model::acl::Operation;
use dohle_protocol::messages::unregister_broker_request::UnregisterBrokerRequestData;
use dohle_protocol::messages::unregister_broker_response::UnregisterBrokerResponseData;

use super::{Call, wire};
use crate::context::REQUEST_TIMEOUT;

pub(super) async fn handle(
    call: Call,
    request: UnregisterBrokerRequestData,
) -> UnregisterBrokerResponseData {
    let refused = |error: ApiError| UnregisterBrokerResponseData {
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        ..UnregisterBrokerResponseData::default()
    };
    if let Err(code) = call.authorize_cluster(Operation::Alter) {
        return refused(code.into());
    }
    let deadline = call.request.received + REQUEST_TIMEOUT;
    match call.forward(&request, deadline).await {
        Ok((response, _)) => response,
        Err(error) => refused(error),
    }
}
