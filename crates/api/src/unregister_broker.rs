//! UnregisterBroker, version 0: the cluster forgets a broker that will not come back (KIP-631).
//! Forwarded to the active controller.

use dohle_model::ApiError;
use dohle_model::acl::Operation;
use dohle_protocol::messages::unregister_broker_request::UnregisterBrokerRequestData;
use dohle_protocol::messages::unregister_broker_response::UnregisterBrokerResponseData;

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    request: UnregisterBrokerRequestData,
) -> UnregisterBrokerResponseData {
    let refused = |error: &ApiError| UnregisterBrokerResponseData {
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        ..UnregisterBrokerResponseData::default()
    };
    let allowed = call.authorize_cluster(Operation::Alter);
    call.forward_if(allowed, &request, refused).await
}
