//! DescribeQuorum (KIP-595, KIP-836): voters as Raft knows them, observers as their heartbeats
//! tell.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use dohle_model::{DirectoryId, MetadataOffset, NodeId};
use dohle_rpc::v1;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::Status;

use super::Inner;
use crate::actor::Message;

pub(super) async fn describe(inner: &Inner) -> Result<v1::DescribeQuorumResponse, Status> {
    let (reply, observers) = oneshot::channel();
    if inner.actor.send(Message::Observers(reply)).await.is_err() {
        return Err(inner.not_active());
    }
    let observers = observers.await.map_err(|_| inner.not_active())?;
    let quorum = inner.quorum.describe();
    let config = &inner.config;
    let clock = Clock::now();
    let leader = inner.activity.borrow().leader;
    let replica =
        |node: NodeId, directory: DirectoryId, end: Option<MetadataOffset>, fetch, caught_up| {
            let directory = if node == config.node_id {
                config.directory_id
            } else {
                directory
            };
            v1::QuorumReplica {
                node_id: node.0,
                directory_id: Bytes::copy_from_slice(&directory.to_bytes()),
                log_end_offset: end.map_or(-1, |end| i64::try_from(end.0).unwrap_or(i64::MAX)),
                last_fetch_timestamp: clock.millis(fetch),
                last_caught_up_timestamp: clock.millis(caught_up),
            }
        };
    let published = inner.published.borrow().image.offset;
    let voters = quorum.voters.iter();
    let observers = observers
        .into_iter()
        .filter(|(node, ..)| !config.voters.contains_key(node));
    Ok(v1::DescribeQuorumResponse {
        leader_id: NodeId::to_wire(leader),
        leader_epoch: i32::try_from(quorum.term).unwrap_or(i32::MAX),
        high_watermark: i64::try_from(quorum.high_watermark.0).unwrap_or(i64::MAX),
        voters: voters
            .map(|v| {
                let (fetch, caught_up) = (v.last_fetch, v.last_caught_up);
                replica(v.node_id, v.directory, v.log_end_offset, fetch, caught_up)
            })
            .collect(),
        observers: observers
            .map(|(node, offset, heard)| {
                // Offsets that Raft uses itself are not told to brokers: one that has the last
                // batch has all there is.
                let caught_up = offset >= published;
                let end = if caught_up {
                    quorum.high_watermark
                } else {
                    next(offset)
                };
                replica(
                    node,
                    DirectoryId::ZERO,
                    Some(end),
                    Some(heard),
                    Some(heard).filter(|_| caught_up),
                )
            })
            .collect(),
        nodes: config
            .voters
            .iter()
            .map(|(node, voter)| v1::QuorumNode {
                node_id: node.0,
                listener: voter.listener.clone(),
                host: voter.host.clone(),
                port: u32::from(voter.port),
            })
            .collect(),
    })
}

fn next(offset: MetadataOffset) -> MetadataOffset {
    MetadataOffset(offset.0.saturating_add(1))
}

/// Relates the monotonic clock to the one that timestamps are told in.
struct Clock {
    instant: Instant,
    millis: i64,
}

impl Clock {
    fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        Self {
            instant: Instant::now(),
            millis,
        }
    }

    fn millis(&self, at: Option<Instant>) -> i64 {
        let Some(at) = at else { return -1 };
        let ago = self.instant.saturating_duration_since(at).as_millis();
        self.millis
            .saturating_sub(i64::try_from(ago).unwrap_or(i64::MAX))
    }
}
