//! Builds the response to a fetch.

use std::collections::HashMap;
use std::time::Duration;

use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, LeaderEpoch, NodeId, Offset};
use dohle_protocol::fetch::{
    FetchChunk, FetchPartitionResponse, FetchResponse, FetchTopicResponse, RecordChunk,
    encode_fetch_response,
};
use dohle_protocol::messages::fetch_request::{FetchPartition, FetchRequestData, FetchTopic};
use dohle_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use dohle_protocol::{EncodeError, KafkaString, KafkaUuid};

use crate::fetch_session::{Entry, PartitionRead, SentRecords, TopicKey};
use crate::{Respond, resolve, wire};
use dohle_network::connection::{Chunk, Frame, ResponseAction};

/// The response; its records are written without being copied.
pub(crate) struct Fetched(pub(super) FetchResponse<SentRecords>);

impl Respond for Fetched {
    fn answer(self, version: i16, correlation_id: i32) -> Result<ResponseAction, EncodeError> {
        let chunks = encode_fetch_response(self.0, version, correlation_id)?;
        let chunk = |chunk: FetchChunk<SentRecords>| match chunk {
            FetchChunk::Encoded(bytes) => Chunk::Memory(bytes),
            FetchChunk::Records(records) => records.into(),
        };
        Ok(ResponseAction::Send(Frame::Many(
            chunks.into_iter().map(chunk).collect(),
        )))
    }

    fn throttle_time_ms(&mut self) -> Option<&mut i32> {
        Some(&mut self.0.throttle_time_ms)
    }
}

impl Fetched {
    /// Returns the response to a request that failed as a whole.
    pub fn failed(code: ErrorCode) -> Self {
        Self(FetchResponse {
            error_code: code.code(),
            ..FetchResponse::default()
        })
    }

    /// Returns the response to a client above its quota: no partitions, so that the session is as
    /// it was before the request.
    pub fn throttled(throttle_time: Duration, session_id: i32) -> Self {
        Self(FetchResponse {
            throttle_time_ms: i32::try_from(throttle_time.as_millis()).unwrap_or(i32::MAX),
            session_id,
            ..FetchResponse::default()
        })
    }

    /// Returns the error for each partition of the request. Versions from 7 on have it for the
    /// request as a whole too, and from 13 on only there, as Kafka answers what it cannot serve.
    pub fn refused(request: FetchRequestData, version: i16, code: ErrorCode) -> Self {
        let topics = request.topics.into_iter().filter(|_| version < 13);
        Self(FetchResponse {
            error_code: if version < 7 { 0 } else { code.code() },
            topics: topics.map(|topic| failed_topic(topic, code)).collect(),
            ..FetchResponse::default()
        })
    }

    /// Returns TOPIC_AUTHORIZATION_FAILED for each partition of the request.
    pub fn denied(request: FetchRequestData) -> Self {
        let code = ErrorCode::TopicAuthorizationFailed;
        let topics = request.topics.into_iter();
        Self(FetchResponse {
            topics: topics.map(|topic| failed_topic(topic, code)).collect(),
            ..FetchResponse::default()
        })
    }
}

fn failed_topic(topic: FetchTopic, code: ErrorCode) -> FetchTopicResponse<SentRecords> {
    let partition = |partition: FetchPartition| FetchPartitionResponse {
        data: PartitionData {
            partition_index: partition.partition,
            error_code: code.code(),
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            aborted_transactions: Some(Vec::new()),
            ..PartitionData::default()
        },
        records: Vec::new(),
    };
    FetchTopicResponse {
        name: topic.topic,
        topic_id: topic.topic_id,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    }
}

/// Whether Kafka answers an error before it looks for the partition: it then lists no aborted
/// transactions, and null after other errors.
fn is_unknown(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::TopicAuthorizationFailed
    )
}

/// Groups the partitions by topic.
pub(super) struct Builder<'a> {
    image: &'a MetadataImage,
    listener: &'a str,
    version: i16,
    topics: HashMap<TopicKey, usize>,
    response: FetchResponse<SentRecords>,
}

impl<'a> Builder<'a> {
    pub fn new(image: &'a MetadataImage, listener: &'a str, version: i16) -> Self {
        let response = FetchResponse::default();
        Self {
            image,
            listener,
            version,
            topics: HashMap::new(),
            response,
        }
    }

    pub fn add(&mut self, topic: TopicKey, index: i32, outcome: PartitionRead) {
        let partition = self.partition(&topic, index, outcome);
        let topics = &mut self.response.topics;
        let at = *self.topics.entry(topic).or_insert_with_key(|topic| {
            let (name, topic_id) = match topic {
                TopicKey::Name(name) => (name.clone(), KafkaUuid::ZERO),
                TopicKey::Id(id) => (KafkaString::default(), wire::wire_id(*id)),
            };
            topics.push(FetchTopicResponse {
                name,
                topic_id,
                partitions: Vec::new(),
            });
            topics.len() - 1
        });
        topics[at].partitions.push(partition);
    }

    pub fn build(mut self, session_id: i32) -> Fetched {
        self.response.session_id = session_id;
        Fetched(self.response)
    }

    fn partition(
        &mut self,
        topic: &TopicKey,
        partition_index: i32,
        outcome: PartitionRead,
    ) -> FetchPartitionResponse<SentRecords> {
        let mut data = PartitionData {
            partition_index,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            ..PartitionData::default()
        };
        let mut chunks = Vec::new();
        let positions = match outcome {
            PartitionRead::Read {
                records,
                positions,
                diverging,
                aborted,
                meter,
            } => {
                meter.fetched(RecordChunk::len(&records));
                chunks.push(records);
                if let Some(diverging) = diverging {
                    data.diverging_epoch = EpochEndOffset {
                        epoch: LeaderEpoch::to_wire(diverging.epoch),
                        end_offset: Offset::to_wire(diverging.end_offset),
                        ..EpochEndOffset::default()
                    };
                }
                let one =
                    |aborted: &dohle_broker::partition::AbortedTransaction| AbortedTransaction {
                        producer_id: aborted.producer_id.0,
                        first_offset: aborted.first_offset.0,
                        ..AbortedTransaction::default()
                    };
                data.aborted_transactions = aborted.map(|list| list.iter().map(one).collect());
                Some(positions)
            }
            PartitionRead::PreferredReadReplica { replica, positions } => {
                data.preferred_read_replica = NodeId::to_wire(Some(replica));
                Some(positions)
            }
            PartitionRead::Failed(code) => {
                self.failed(&mut data, topic, code);
                None
            }
        };
        if let Some(positions) = positions {
            data.high_watermark = positions.high_watermark.0;
            data.last_stable_offset = positions.last_stable_offset.0;
            data.log_start_offset = positions.log_start_offset.0;
        }
        FetchPartitionResponse {
            data,
            records: chunks,
        }
    }

    fn failed(&mut self, data: &mut PartitionData, topic: &TopicKey, code: ErrorCode) {
        data.error_code = code.code();
        if is_unknown(code) {
            data.aborted_transactions = Some(Vec::new());
        }
        let moved = matches!(
            code,
            ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch
        );
        if !moved || self.version < 16 {
            return;
        }
        let leader = Entry::id(topic, data.partition_index, self.image)
            .and_then(|id| resolve::current_leader(self.image, &id, self.listener));
        let Some(leader) = leader else { return };
        data.current_leader = LeaderIdAndEpoch {
            leader_id: leader.id,
            leader_epoch: leader.epoch,
            ..LeaderIdAndEpoch::default()
        };
        let nodes = &mut self.response.node_endpoints;
        if let Some(endpoint) = leader.endpoint
            && nodes.iter().all(|node| node.node_id != leader.id)
        {
            nodes.push(NodeEndpoint {
                node_id: leader.id,
                host: wire::text(&endpoint.host),
                port: endpoint.port,
                rack: endpoint.rack.as_deref().map(wire::text),
                ..NodeEndpoint::default()
            });
        }
    }
}
