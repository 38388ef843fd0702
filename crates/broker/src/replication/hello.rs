//! Checks how a follower introduces itself, and names the statuses that calls end with.

use dohle_auth::NodePeer;
use dohle_model::BrokerEpoch;
use dohle_rpc::replication_transport::EndStatus;

use crate::partitions::Partitions;

/// The gRPC status codes that this service uses.
pub(super) mod code {
    pub(in crate::replication) const INVALID_ARGUMENT: u16 = 3;
    pub(in crate::replication) const NOT_FOUND: u16 = 5;
    pub(in crate::replication) const PERMISSION_DENIED: u16 = 7;
    pub(in crate::replication) const OUT_OF_RANGE: u16 = 11;
    pub(in crate::replication) const UNIMPLEMENTED: u16 = 12;
    pub(in crate::replication) const UNAVAILABLE: u16 = 14;
    pub(in crate::replication) const DATA_LOSS: u16 = 15;
}

/// Checks a follower's hello against the cluster's id, the principal of its connection and the
/// metadata, and returns its broker epoch.
pub(super) fn check_hello(
    partitions: &Partitions,
    peer: &NodePeer,
    cluster_id: &str,
    broker: dohle_model::NodeId,
    epoch: Option<BrokerEpoch>,
) -> Result<BrokerEpoch, EndStatus> {
    if cluster_id != partitions.cluster_id() {
        let message = format!(
            "broker {broker} belongs to cluster {cluster_id}, this broker to cluster {}",
            partitions.cluster_id()
        );
        return Err(EndStatus {
            code: code::PERMISSION_DENIED,
            message,
        });
    }
    if let Err(error) = peer.check(broker) {
        return Err(EndStatus {
            code: code::PERMISSION_DENIED,
            message: error.to_string(),
        });
    }
    let Some(epoch) = epoch else {
        let message = format!("the hello of broker {broker} has no broker epoch");
        return Err(EndStatus {
            code: code::INVALID_ARGUMENT,
            message,
        });
    };
    // An epoch above the one in this broker's metadata is of a newer registration.
    let known = partitions
        .shared
        .image()
        .brokers
        .get(&broker)
        .map(|it| it.epoch);
    match known {
        Some(known) if known > epoch => {
            let message = format!("broker {broker} has a newer registration than epoch {epoch}");
            Err(EndStatus {
                code: code::PERMISSION_DENIED,
                message,
            })
        }
        _ => Ok(epoch),
    }
}
