//! UnregisterController, version 0: the cluster forgets a controller that will not come back.
//! Forwarded to the active controller.

use dohle_model::ApiError;
use dohle_model::acl::Operation;
use dohle_protocol::messages::unregister_controller_request::UnregisterControllerRequestData;
use dohle_protocol::messages::unregister_controller_response::UnregisterControllerResponseData;

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    request: UnregisterControllerRequestData,
) -> UnregisterControllerResponseData {
    let refused = |error: &ApiError| UnregisterControllerResponseData {
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        ..UnregisterControllerResponseData::default()
    };
    let allowed = call.authorize_cluster(Operation::Alter);
    call.forward_if(allowed, &request, refused).await
}
