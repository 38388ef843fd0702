//! DescribeCluster, versions 0–2: the brokers and the cluster's id (KIP-700).
//!
//! From version 1 a client may ask for controllers; a broker answers MISMATCHED_ENDPOINT_TYPE, as
//! Kafka's do (KIP-919). From version 2 each broker has a `fenced` flag, and fenced brokers are
//! listed on request (KIP-1073). Everyone may ask; the operations that the client is allowed are
//! returned to those who may describe the cluster.

use dohle_model::ErrorCode;
use dohle_protocol::messages::describe_cluster_request::DescribeClusterRequestData;
use dohle_protocol::messages::describe_cluster_response::{
    DescribeClusterBroker, DescribeClusterResponseData,
};

use super::{Call, wire};
use crate::resolve::live_endpoint;

/// `DescribeClusterRequest.endpoint_type`: brokers.
const BROKERS: i8 = 1;
/// `DescribeClusterRequest.endpoint_type`: controllers.
const CONTROLLERS: i8 = 2;

pub(super) async fn handle(
    call: Call,
    request: DescribeClusterRequestData,
) -> DescribeClusterResponseData {
    let image = call.context.image();
    let listener = &*call.request.listener;
    if call.version >= 1 && request.endpoint_type != BROKERS {
        let error = if request.endpoint_type == CONTROLLERS {
            ErrorCode::MismatchedEndpointType
                .because("this is a broker's listener; controllers are described on their own")
        } else {
            ErrorCode::UnsupportedEndpointType.because(format!(
                "endpoint type {} is unknown",
                request.endpoint_type
            ))
        };
        return DescribeClusterResponseData {
            error_code: error.code.code(),
            error_message: Some(wire::text(&error.message)),
            ..DescribeClusterResponseData::default()
        };
    }
    let mut brokers = Vec::new();
    let mut controller_id = None;
    for (id, registration) in &image.brokers {
        let endpoint = registration
            .endpoints
            .iter()
            .find(|endpoint| endpoint.listener == listener);
        let Some(endpoint) = endpoint else { continue };
        if registration.fenced && !request.include_fenced_brokers {
            continue;
        }
        if !registration.fenced && (controller_id.is_none() || *id == call.context.node_id) {
            controller_id = Some(*id);
        }
        brokers.push(DescribeClusterBroker {
            broker_id: id.0,
            host: wire::text(&endpoint.host),
            port: i32::from(endpoint.port),
            rack: registration.rack.as_deref().map(wire::text),
            is_fenced: live_endpoint(&image, *id, listener).is_none(),
            ..DescribeClusterBroker::default()
        });
    }
    let operations = request.include_cluster_authorized_operations;
    DescribeClusterResponseData {
        endpoint_type: BROKERS,
        cluster_id: wire::text(&call.context.cluster_id),
        controller_id: dohle_model::NodeId::to_wire(controller_id),
        brokers,
        cluster_authorized_operations: if operations {
            call.operations_on_cluster()
        } else {
            wire::OPERATIONS_OMITTED
        },
        ..DescribeClusterResponseData::default()
    }
}
