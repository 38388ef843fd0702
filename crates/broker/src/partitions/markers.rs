//! WriteTxnMarkers: ends transactions in many partitions at once, for transaction coordinators.
//!
//! Partitions of a topic that a coordinator of this node keeps its state in, such as
//! `__consumer_offsets`, are left to that coordinator: it appends the marker and replays it in one
//! step, as it does with its records.
//!
//! Source: `handleWriteTxnMarkersRequest` of Kafka's `KafkaApis.scala`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Debug;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dohle_model::{
    ErrorCode, PartitionIndex, ProducerEpoch, ProducerId, TopicName, TopicPartition,
};
use dohle_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WriteTxnMarkersRequestData,
};
use dohle_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    WriteTxnMarkersResponseData,
};
use futures::future::BoxFuture;
use tokio::time::{Instant, timeout_at};

use super::{Partitions, wall_clock};
use crate::partition::{Partition, TxnMarker};

/// How long the replicas may take to have the markers.
const COMMITTED_WITHIN: Duration = Duration::from_secs(30);
/// Markers that are appended before other work of the thread has a turn.
const APPENDS_A_TURN: usize = 64;

/// The transaction version of a marker whose sender does not state one.
const VERSION_UNKNOWN: i8 = -1;

/// The commit of a marker.
pub type MarkerCommit = BoxFuture<'static, Result<(), ErrorCode>>;

/// A coordinator that keeps its state in partitions of one topic, and has to replay markers there.
pub trait MarkerReplay: Debug + Send + Sync {
    /// Appends the marker with [`Partition::write_marker`] and replays it. The returned future
    /// completes when the marker is committed.
    ///
    /// # Errors
    /// Kafka's code; NOT_LEADER_OR_FOLLOWER while the coordinator does not serve the partition, so
    /// that the marker is sent again.
    fn write_marker(
        self: Arc<Self>,
        partition: &Arc<Partition>,
        marker: &TxnMarker,
    ) -> Result<MarkerCommit, ErrorCode>;
}

/// The coordinators that replay markers, with their topics. Weak, because the coordinators own the
/// partitions.
pub(super) type MarkerReplays = Vec<(TopicName, Weak<dyn MarkerReplay>)>;

type BegunMarker = Result<MarkerCommit, ErrorCode>;

impl Partitions {
    /// Leaves the markers in partitions of `topic` to a coordinator.
    pub fn replay_markers_of(&self, topic: TopicName, replay: &Arc<dyn MarkerReplay>) {
        let mut replays = self.marker_replays.write();
        replays.retain(|(name, _)| *name != topic);
        replays.push((topic, Arc::downgrade(replay)));
    }

    /// Writes markers to the partitions that this broker leads. The response has the partitions in
    /// the order of the request, by producer, once all are committed or have failed. As in Kafka,
    /// it has no producers and topics without partitions.
    pub fn write_txn_markers(
        self: &Arc<Self>,
        request: WriteTxnMarkersRequestData,
    ) -> impl Future<Output = WriteTxnMarkersResponseData> + Send + 'static + use<> {
        let partitions = Arc::clone(self);
        async move {
            let deadline = Instant::now() + COMMITTED_WITHIN;
            let mut begun = Vec::with_capacity(request.markers.len());
            let mut appends = 0;
            for marker in &request.markers {
                begun.push(partitions.begin_markers(marker, &mut appends).await);
            }
            let mut markers: Vec<WritableTxnMarkerResult> = Vec::with_capacity(begun.len());
            let mut places = HashMap::new();
            for (marker, begun) in request.markers.into_iter().zip(begun) {
                let written = finish(marker, begun, deadline).await;
                if written.topics.is_empty() {
                    continue;
                }
                match places.entry(written.producer_id) {
                    Entry::Occupied(place) => add_topics(&mut markers[*place.get()], written),
                    Entry::Vacant(place) => {
                        place.insert(markers.len());
                        markers.push(written);
                    }
                }
            }
            WriteTxnMarkersResponseData {
                markers,
                ..WriteTxnMarkersResponseData::default()
            }
        }
    }

    /// Appends one marker to its partitions.
    async fn begin_markers(
        &self,
        marker: &WritableTxnMarker,
        appends: &mut usize,
    ) -> Vec<BegunMarker> {
        let mut begun = Vec::new();
        for topic in &marker.topics {
            for index in &topic.partition_indexes {
                begun.push(self.begin_marker(topic.name.as_str(), *index, marker));
                *appends += 1;
                if appends.is_multiple_of(APPENDS_A_TURN) {
                    tokio::task::yield_now().await;
                }
            }
        }
        begun
    }

    fn begin_marker(&self, topic: &str, index: i32, marker: &WritableTxnMarker) -> BegunMarker {
        let producer_id = ProducerId::from_wire(marker.producer_id);
        let producer_epoch = ProducerEpoch::from_wire(marker.producer_epoch);
        let marker = TxnMarker {
            producer_id: producer_id.ok_or(ErrorCode::UnknownServerError)?,
            producer_epoch: producer_epoch.ok_or(ErrorCode::UnknownServerError)?,
            committed: marker.transaction_result,
            coordinator_epoch: marker.coordinator_epoch,
            transaction_version: marker.transaction_version,
        };
        let unknown = ErrorCode::UnknownTopicOrPartition;
        let topic = TopicName::new(topic).map_err(|_| unknown)?;
        let partition = PartitionIndex::from_wire(index).ok_or(unknown)?;
        let name = TopicPartition { topic, partition };
        // As in Kafka: the coordinator sends the marker again, to the new leader.
        let partition = self.get_by_name(&name).ok_or(unknown)?;
        if partition.offline().is_some() {
            return Err(unknown);
        }
        // Kafka's code: whether the epoch is to be above that of the records cannot be known.
        if marker.transaction_version == VERSION_UNKNOWN {
            return Err(ErrorCode::UnknownServerError);
        }
        if let Some(replay) = self.marker_replay(&name.topic) {
            let replay = replay.upgrade().ok_or(ErrorCode::NotLeaderOrFollower)?;
            return replay.write_marker(&partition, &marker);
        }
        let now = wall_clock();
        let written = partition.write_marker(&marker, now);
        let written = written.map_err(|error| error.code())?;
        let committed = partition.wait_committed(written.leader_epoch, written.end());
        Ok(Box::pin(async move {
            if written.flush {
                let flushed = partition.flush_appended(now).await;
                flushed.map_err(|error| error.code())?;
            }
            committed.await.map_err(|error| error.code())
        }))
    }

    fn marker_replay(&self, topic: &TopicName) -> Option<Weak<dyn MarkerReplay>> {
        let replays = self.marker_replays.read();
        let found = replays.iter().find(|(name, _)| name == topic);
        found.map(|(_, replay)| Weak::clone(replay))
    }
}

/// Adds the topics of another marker of the same producer.
fn add_topics(marker: &mut WritableTxnMarkerResult, other: WritableTxnMarkerResult) {
    for topic in other.topics {
        let known = marker.topics.iter_mut().find(|it| it.name == topic.name);
        match known {
            Some(known) => known.partitions.extend(topic.partitions),
            None => marker.topics.push(topic),
        }
    }
}

/// Waits for the commits of one marker. `begun` is in the order of its partitions.
async fn finish(
    marker: WritableTxnMarker,
    begun: Vec<BegunMarker>,
    deadline: Instant,
) -> WritableTxnMarkerResult {
    let mut begun = begun.into_iter();
    let mut topics = Vec::with_capacity(marker.topics.len());
    for topic in marker.topics {
        let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
        for (partition_index, begun) in topic.partition_indexes.into_iter().zip(&mut begun) {
            let outcome = match begun {
                Ok(commit) => timeout_at(deadline, commit)
                    .await
                    .unwrap_or(Err(ErrorCode::RequestTimedOut)),
                Err(code) => Err(code),
            };
            partitions.push(WritableTxnMarkerPartitionResult {
                partition_index,
                error_code: outcome.err().map_or(0, ErrorCode::code),
                ..WritableTxnMarkerPartitionResult::default()
            });
        }
        if !partitions.is_empty() {
            topics.push(WritableTxnMarkerTopicResult {
                name: topic.name,
                partitions,
                ..WritableTxnMarkerTopicResult::default()
            });
        }
    }
    WritableTxnMarkerResult {
        producer_id: marker.producer_id,
        topics,
        ..WritableTxnMarkerResult::default()
    }
}
