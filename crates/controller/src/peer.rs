//! The node that sends a gRPC request, and the ids under which it may act.

use dohle_auth::NodePeer;
use dohle_model::NodeId;
use tonic::{Request, Status};

/// Returns the node that sends a request, which the listener has put in the request's extensions.
pub(crate) fn of<T>(request: &Request<T>) -> NodePeer {
    let peer = request.extensions().get::<NodePeer>();
    peer.cloned().unwrap_or_default()
}

/// Refuses a request under the id of another node.
pub(crate) fn check(peer: &NodePeer, node: i32) -> Result<(), Status> {
    let checked = peer.check(NodeId(node));
    checked.map_err(|error| Status::permission_denied(error.to_string()))
}
