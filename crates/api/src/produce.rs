//! Produce, versions 3–13: appends record batches to partitions that this broker leads.
//!
//! With acks=0 no response is sent, and an error closes the connection, so that the producer looks
//! for the leader again; with acks=1 the answer follows the append, with acks=all it waits until
//! the in-sync replicas have the records, or REQUEST_TIMED_OUT. From version 8 the response names
//! the records that make a batch invalid (KIP-467); from version 10 NOT_LEADER_OR_FOLLOWER carries
//! the new leader and its address (KIP-951); version 13 names topics by id (KIP-516). The first
//! batch of a transaction in a partition is verified with the coordinator, and from version 12 on
//! adds the partition to the transaction (KIP-890, `verification.rs`).
//!
//! Small batches are checked and appended by the first poll. Batches that take longer to decompress
//! are checked on other threads, and transactions are verified by their coordinators; the later
//! requests of the connection wait for their appends.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use dohle_broker::partitions::wall_clock;
use dohle_log::TxnAppend;
use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::MetadataImage;
use dohle_model::{ApiError, ErrorCode, Offset, TopicIdPartition};
use dohle_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequestData, TopicProduceData,
};
use dohle_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    ProduceResponseData, TopicProduceResponse,
};
use dohle_protocol::{EncodeError, KafkaString};
use tokio::time::{Instant, timeout_at};

use super::{Call, Ordered, Respond, resolve, too_large, verification, wire};
use crate::context::Context;
use crate::verification::TxnBatches;
use dohle_broker::partition::{
    Acks, AppendError, Appended, CommitError, Partition, RejectedRecord, RoleError,
};
use dohle_network::connection::ResponseAction;

/// The client id with which Kafka's own tools write to internal topics.
const ADMIN_CLIENT_ID: &str = "__admin_client";

/// The first version that names topics by id.
const BY_ID: i16 = 13;

/// The response, or with acks=0 the outcome without one.
pub(super) enum Produced {
    Response(ProduceResponseData),
    /// The outcome with acks=0.
    Silent {
        /// The first error, if any.
        error: Option<String>,
        /// For how long the client is throttled, in milliseconds; no response reports it.
        throttle_time_ms: i32,
    },
}

impl Respond for Produced {
    fn answer(self, version: i16, correlation_id: i32) -> Result<ResponseAction, EncodeError> {
        match self {
            Self::Response(response) => response.answer(version, correlation_id),
            Self::Silent { error: None, .. } => Ok(ResponseAction::Nothing),
            Self::Silent {
                error: Some(error), ..
            } => Ok(ResponseAction::Close(format!(
                "a produce request with acks=0 failed: {error}"
            ))),
        }
    }

    fn throttle_time_ms(&mut self) -> Option<&mut i32> {
        match self {
            Self::Response(response) => Some(&mut response.throttle_time_ms),
            Self::Silent {
                throttle_time_ms, ..
            } => Some(throttle_time_ms),
        }
    }

    /// As in Kafka, the request time of a producer that waits for no response is not limited.
    fn is_exempt(&self) -> bool {
        matches!(self, Self::Silent { .. })
    }
}

/// A failure to produce to one partition.
struct Failure {
    error: ApiError,
    records: Vec<RejectedRecord>,
    /// Set when the partition has validated the records.
    log_start_offset: Option<Offset>,
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self {
            error: code.into(),
            records: Vec::new(),
            log_start_offset: None,
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self {
            error,
            records: Vec::new(),
            log_start_offset: None,
        }
    }
}

impl Failure {
    /// Converts the error of an append. As in Kafka's `ReplicaManager`, corrupt and too large
    /// batches get the fewest details.
    fn of_append(error: AppendError, partition: &Partition) -> Self {
        let untold = matches!(
            error.code(),
            ErrorCode::NotLeaderOrFollower
                | ErrorCode::KafkaStorageError
                | ErrorCode::CorruptMessage
                | ErrorCode::MessageTooLarge
                | ErrorCode::RecordListTooLarge
        );
        let records = error.record_errors().to_vec();
        Self {
            error: error.into(),
            records,
            log_start_offset: (!untold).then(|| partition.positions().log_start_offset),
        }
    }
}

/// The future that completes when an append is committed.
type Committed = Pin<Box<dyn Future<Output = Result<(), CommitError>> + Send>>;
/// The future of the flush that `flush.messages` requires.
type Flushed = Pin<Box<dyn Future<Output = Result<(), RoleError>> + Send>>;

/// One partition of the request, after its append.
struct Part {
    index: i32,
    id: Option<TopicIdPartition>,
    outcome: Result<Accepted, Failure>,
}

/// Records that are in the leader's log, and what remains to wait for.
struct Accepted {
    appended: Appended,
    flushed: Option<Flushed>,
    committed: Option<Committed>,
}

pub(super) fn handle(
    call: Call,
    mut request: ProduceRequestData,
) -> Ordered<impl Future<Output = Produced> + Send + 'static> {
    // Before the wait for unknown topics, so that the time of a refusal does not depend on whether
    // the topic exists.
    let authorized = verification::authorize(&call, &request);
    keep_last_batches(&mut request.topic_data);
    let mut refused = match authorized {
        Ok(()) => Vec::new(),
        Err(error) => refuse_all(&mut request, &error),
    };
    let image = call.context.image();
    if call.version < BY_ID {
        refused.extend(take_denied(&call, &image, &mut request));
    }
    let is_known = knows(&image, call.version, &request);
    drop(image);
    let response = async move {
        if !is_known {
            let known = |image: &MetadataImage| knows(image, call.version, &request);
            resolve::until_known(&call.context.metadata, call.request.received, known).await;
        }
        produce(call, request, refused).await
    };
    Ordered {
        response,
        // Later requests must not append before this one.
        blocks_pipeline: !is_known,
    }
}

/// A topic of the request, with its partitions after their appends.
type Topic = (KafkaString, dohle_protocol::KafkaUuid, Vec<Part>);

/// Removes all topics from the request, and returns their results.
fn refuse_all(request: &mut ProduceRequestData, error: &ApiError) -> Vec<Topic> {
    let topics = std::mem::take(&mut request.topic_data).into_iter();
    topics.map(|topic| refuse(topic, error)).collect()
}

/// Removes the topics that the client may not write to from the request, and returns their results.
/// A topic whose id the image does not contain stays, to be refused as unknown.
fn take_denied(call: &Call, image: &MetadataImage, request: &mut ProduceRequestData) -> Vec<Topic> {
    let is_denied = |topic: &mut TopicProduceData| {
        let name = match call.version {
            BY_ID.. => match resolve::topic_by_id(image, wire::topic_id(topic.topic_id)) {
                Ok(topic) => topic.name.as_str(),
                Err(_) => return false,
            },
            ..BY_ID => topic.name.as_str(),
        };
        !call.is_allowed(Operation::Write, ResourceType::Topic, name)
    };
    let denied = request.topic_data.extract_if(.., is_denied);
    denied
        .map(|topic| refuse(topic, &ErrorCode::TopicAuthorizationFailed.into()))
        .collect()
}

fn refuse(topic: TopicProduceData, error: &ApiError) -> Topic {
    let partitions = topic.partition_data.iter();
    let parts = partitions.map(|data| Part {
        index: data.index,
        id: None,
        outcome: Err(error.clone().into()),
    });
    (topic.name, topic.topic_id, parts.collect())
}

/// Returns whether the metadata of this broker contain all topics of the request.
fn knows(image: &MetadataImage, version: i16, request: &ProduceRequestData) -> bool {
    let mut topics = request.topic_data.iter();
    topics.all(
        |topic| match wire::topic_id(topic.topic_id).filter(|_| version >= BY_ID) {
            Some(id) => image.topics.contains_key(&id),
            None => image.topic(topic.name.as_str()).is_some(),
        },
    )
}

async fn produce(
    mut call: Call,
    mut request: ProduceRequestData,
    mut refused: Vec<Topic>,
) -> Produced {
    let deadline = wire::deadline(call.request.received, request.timeout_ms);
    let acks = match request.acks {
        0 => Ok(Acks::None),
        1 => Ok(Acks::Leader),
        -1 => Ok(Acks::All),
        other => Err(ErrorCode::InvalidRequiredAcks
            .because(format!("acks={other} is not one of 0, 1 and -1 (all)"))),
    };
    let image = call.context.image();
    if call.version >= BY_ID {
        // With the image that the appends use: they find no topic that was not asked about.
        refused.extend(take_denied(&call, &image, &mut request));
    }
    // Taken by the first poll, so that records of one connection are appended in the order of its
    // requests.
    let turn = Arc::clone(&call.connection.appends).lock_owned().await;
    let verified = match &acks {
        Ok(_) => verification::verify(&call, &image, &request).await,
        Err(_) => Ok(TxnBatches::default()),
    };
    let (acks, txns) = match (acks, verified) {
        (Ok(acks), Ok(txns)) => (Ok(acks), txns),
        (Err(error), _) | (_, Err(error)) => (Err(error), TxnBatches::default()),
    };
    let mut topics: Vec<Topic> = Vec::new();
    for (topic_at, topic) in request.topic_data.into_iter().enumerate() {
        let TopicProduceData {
            name,
            topic_id,
            partition_data,
            ..
        } = topic;
        let append = Append {
            call: &call,
            image: &image,
            name: &name,
            topic_id,
            acks: &acks,
        };
        let mut parts = Vec::with_capacity(partition_data.len());
        for (at, data) in partition_data.into_iter().enumerate() {
            parts.push(append.run(data, txns.at((topic_at, at))).await);
        }
        topics.push((name, topic_id, parts));
    }
    topics.extend(refused);
    drop(image);
    drop(turn);
    // The records are in the log, so their bytes are released before the wait for replicas.
    drop(call.permit.take());
    for part in topics.iter_mut().flat_map(|(_, _, parts)| parts) {
        part.flush().await;
    }
    if request.acks == 0 {
        let failures = topics.iter().flat_map(|(_, _, parts)| parts);
        let first = failures
            .filter_map(|part| part.outcome.as_ref().err())
            .next();
        return Produced::Silent {
            error: first.map(|failure| failure.error.to_string()),
            throttle_time_ms: 0,
        };
    }
    let mut response = Response::new(&call);
    for (name, topic_id, parts) in topics.into_iter().filter(|(_, _, it)| !it.is_empty()) {
        let mut partition_responses = Vec::with_capacity(parts.len());
        for part in parts {
            let part = part.committed(deadline).await.settled(&call.context).await;
            partition_responses.push(response.partition(part));
        }
        // A topic that the request names more than once is answered once.
        let mut topics = response.data.responses.iter_mut();
        match topics.find(|topic| topic.name == name && topic.topic_id == topic_id) {
            Some(topic) => topic.partition_responses.extend(partition_responses),
            None => response.data.responses.push(TopicProduceResponse {
                name,
                topic_id,
                partition_responses,
                ..Default::default()
            }),
        }
    }
    Produced::Response(response.data)
}

/// Removes all but the last batch for each partition. Kafka appends and answers only that one when
/// a request names a partition twice (`handleProduceRequest` of `KafkaApis.scala`).
fn keep_last_batches(topics: &mut Vec<TopicProduceData>) {
    let batches: usize = topics.iter().map(|topic| topic.partition_data.len()).sum();
    if batches < 2 {
        return;
    }
    let mut seen = HashSet::with_capacity(batches);
    let mut repeated = HashSet::new();
    for (topic_at, topic) in topics.iter().enumerate().rev() {
        for (at, data) in topic.partition_data.iter().enumerate().rev() {
            if !seen.insert((topic.name.as_str(), topic.topic_id, data.index)) {
                repeated.insert((topic_at, at));
            }
        }
    }
    if repeated.is_empty() {
        return;
    }
    for (topic_at, topic) in topics.iter_mut().enumerate() {
        let mut at = 0..;
        let is_last =
            |_: &PartitionProduceData| !repeated.contains(&(topic_at, at.next().unwrap_or(0)));
        topic.partition_data.retain(is_last);
    }
    topics.retain(|topic| !topic.partition_data.is_empty());
}

/// Appends to the partitions of one topic.
struct Append<'a> {
    call: &'a Call,
    image: &'a MetadataImage,
    name: &'a KafkaString,
    topic_id: dohle_protocol::KafkaUuid,
    acks: &'a Result<Acks, ApiError>,
}

impl Append<'_> {
    async fn run(&self, data: PartitionProduceData, txn: Result<TxnAppend, ApiError>) -> Part {
        let PartitionProduceData { index, records, .. } = data;
        let mut id = None;
        let outcome = self.append(index, &mut id, records, txn).await;
        Part { index, id, outcome }
    }

    /// Appends to the partition with this index, and sets its id once the topic is found.
    async fn append(
        &self,
        index: i32,
        id: &mut Option<TopicIdPartition>,
        records: Option<Bytes>,
        txn: Result<TxnAppend, ApiError>,
    ) -> Result<Accepted, Failure> {
        let call = self.call;
        let acks = self.acks.clone()?;
        let topic = if call.version >= BY_ID {
            resolve::topic_by_id(self.image, wire::topic_id(self.topic_id))?
        } else {
            resolve::topic_by_name(self.image, self.name.as_str())?
        };
        *id = Some(TopicIdPartition {
            topic_id: topic.id,
            partition: dohle_model::PartitionIndex(index),
        });
        let records = acceptable(records, call.version)?;
        // As in Kafka, before it is seen that clients may not write to the topic.
        let txn = txn?;
        let is_admin = call
            .request
            .client_id
            .as_ref()
            .is_some_and(|id| id.as_str() == ADMIN_CLIENT_ID);
        if topic.name.is_internal() && !is_admin {
            let message = format!("topic {} is internal: only brokers write to it", topic.name);
            return Err(ErrorCode::InvalidTopicException.because(message).into());
        }
        let partition = resolve::partition(&call.context.partitions, topic, index)?;
        let now = wall_clock();
        let owner = call.owner();
        let appended = partition.produce(records, &txn, acks, now, owner);
        let appended = appended.await;
        let appended = appended.map_err(|error| {
            let mut failure = Failure::of_append(error, &partition);
            failure.error = too_large::explained(call, &topic.name, failure.error);
            failure
        })?;
        let mut accepted = Accepted {
            appended,
            flushed: None,
            committed: None,
        };
        if appended.flush {
            let flushed = Arc::clone(&partition).flush_appended(now);
            accepted.flushed = Some(Box::pin(flushed));
        }
        if acks == Acks::All {
            let committed = partition.wait_committed(appended.leader_epoch, appended.end());
            accepted.committed = Some(Box::pin(committed));
        }
        Ok(accepted)
    }
}

/// The field with the length of the batch after this field.
const LENGTH_AT: std::ops::Range<usize> = 8..12;
const MAGIC_AT: usize = 16;
/// The byte of a batch's attributes that contains the codec.
const ATTRIBUTES_AT: usize = 22;
const CODEC_MASK: u8 = 0b111;
const CODEC_ZSTD: u8 = 4;

/// The least length of a batch, or of a message of older formats, behind the length itself
/// (`LegacyRecord.RECORD_OVERHEAD_V0` of Kafka).
const LENGTH_MIN: i32 = 14;
/// The bytes from which the format of a batch is read.
const HEAD_MIN: usize = 17;

/// Returns the batch, whose header has this length, without what follows it: as in Kafka, bytes
/// that are no whole batch are ignored.
///
/// # Errors
/// CORRUPT_MESSAGE, which clients send again, for a length that no batch has. INVALID_RECORD when
/// the batch is not whole, or another one follows.
fn only_batch(records: &Bytes, length: i32) -> Result<Bytes, ApiError> {
    let corrupt = |length: i32| {
        let message = format!("a batch has the length {length}, which is less than its header");
        ErrorCode::CorruptMessage.because(message)
    };
    let end = |start: usize, length: i32| {
        let length = usize::try_from(length).ok()?;
        start.checked_add(LENGTH_AT.end)?.checked_add(length)
    };
    if length < LENGTH_MIN {
        return Err(corrupt(length));
    }
    let batch_end = end(0, length).filter(|end| *end <= records.len());
    let Some(batch_end) = batch_end else {
        let message = "a produce request must have a whole record batch for each partition";
        return Err(ErrorCode::InvalidRecord.because(message));
    };
    let rest = &records[batch_end..];
    if rest.len() >= HEAD_MIN {
        let next = rest[LENGTH_AT].try_into().map_or(-1, i32::from_be_bytes);
        if next < LENGTH_MIN {
            return Err(corrupt(next));
        }
        if end(0, next).is_some_and(|end| end <= rest.len()) {
            let message = "a produce request must have one record batch for each partition";
            return Err(ErrorCode::InvalidRecord.because(message));
        }
    }
    Ok(records.slice(..batch_end))
}

/// Checks the rules of produce requests (`ProduceRequest.validateRecords` of Kafka): one batch of
/// the current format, with a codec that the version supports. The log checks the batch itself.
fn acceptable(records: Option<Bytes>, version: i16) -> Result<Bytes, ApiError> {
    let records = records.unwrap_or_default();
    let (Some(length), Some(attributes)) = (records.get(LENGTH_AT), records.get(ATTRIBUTES_AT))
    else {
        let message = "a produce request must have one record batch for each partition";
        return Err(ErrorCode::InvalidRecord.because(message));
    };
    match records[MAGIC_AT] {
        2 => {}
        magic @ 0..=1 => {
            let message = format!(
                "the batch has message format {magic}, only 2 is accepted: upgrade the client \
                 library"
            );
            return Err(ErrorCode::InvalidRecord.because(message));
        }
        magic => {
            let message = format!("the batch has message format {magic}, which does not exist");
            return Err(ErrorCode::CorruptMessage.because(message));
        }
    }
    let length = length.try_into().map_or(-1, i32::from_be_bytes);
    let records = only_batch(&records, length)?;
    if version < 7 && attributes & CODEC_MASK == CODEC_ZSTD {
        let message = "zstd needs Produce version 7 or newer: upgrade the client library";
        return Err(ErrorCode::UnsupportedCompressionType.because(message));
    }
    Ok(records)
}

impl Part {
    /// Waits for the flush of what was appended, if one is required.
    async fn flush(&mut self) {
        if let Ok(accepted) = &mut self.outcome
            && let Some(flushed) = accepted.flushed.take()
            && let Err(error) = flushed.await
        {
            self.outcome = Err(ApiError::from(AppendError::from(error)).into());
        }
    }

    /// Waits until what was appended is committed, if the request asks for that.
    async fn committed(mut self, deadline: Instant) -> Self {
        let accepted = self.outcome.as_mut().ok();
        let Some(committed) = accepted.and_then(|accepted| accepted.committed.take()) else {
            return self;
        };
        match timeout_at(deadline, committed).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.outcome = Err(ApiError::from(error).into()),
            Err(_) => {
                let message = "the in-sync replicas did not have the records in time; they may \
                               still be committed";
                self.outcome = Err(ErrorCode::RequestTimedOut.because(message).into());
            }
        }
        self
    }

    /// Replaces the error of a partition that was removed meanwhile by that of its absence.
    async fn settled(mut self, context: &Context) -> Self {
        if let (Err(failure), Some(id)) = (&mut self.outcome, self.id) {
            let replicas = (&*context.partitions, &*context.metadata, context.node_id);
            let code = resolve::code_if_removed(replicas, id, failure.error.code).await;
            if code != failure.error.code {
                *failure = code
                    .because("the partition was removed from this broker")
                    .into();
            }
        }
        self
    }
}

struct Response<'a> {
    context: &'a Context,
    listener: &'a str,
    version: i16,
    data: ProduceResponseData,
}

impl<'a> Response<'a> {
    fn new(call: &'a Call) -> Self {
        Self {
            context: &call.context,
            listener: &call.request.listener,
            version: call.version,
            data: ProduceResponseData::default(),
        }
    }

    fn partition(&mut self, part: Part) -> PartitionProduceResponse {
        let failure = match part.outcome {
            Ok(Accepted { appended, .. }) => {
                return PartitionProduceResponse {
                    index: part.index,
                    base_offset: appended.base_offset.0,
                    log_append_time_ms: dohle_model::Timestamp::to_wire(appended.log_append_time),
                    log_start_offset: appended.log_start_offset.0,
                    ..PartitionProduceResponse::default()
                };
            }
            Err(failure) => failure,
        };
        let mut response = PartitionProduceResponse {
            index: part.index,
            error_code: failure.error.code.code(),
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: Offset::to_wire(failure.log_start_offset),
            ..PartitionProduceResponse::default()
        };
        if self.version >= 8 {
            response.error_message = Some(wire::text(&failure.error.message));
            response.record_errors = failure.records.iter().map(record_error).collect();
        }
        if self.version >= 10 && failure.error.code == ErrorCode::NotLeaderOrFollower {
            response.current_leader = self.current_leader(part.id);
        }
        response
    }

    fn current_leader(&mut self, id: Option<TopicIdPartition>) -> LeaderIdAndEpoch {
        let image = self.context.image();
        let leader = id.and_then(|id| resolve::current_leader(&image, &id, self.listener));
        let Some(leader) = leader else {
            return LeaderIdAndEpoch::default();
        };
        let known = self
            .data
            .node_endpoints
            .iter()
            .any(|node| node.node_id == leader.id);
        if let Some(endpoint) = leader.endpoint.filter(|_| !known) {
            self.data.node_endpoints.push(NodeEndpoint {
                node_id: leader.id,
                host: wire::text(&endpoint.host),
                port: endpoint.port,
                rack: endpoint.rack.as_deref().map(wire::text),
                ..NodeEndpoint::default()
            });
        }
        LeaderIdAndEpoch {
            leader_id: leader.id,
            leader_epoch: leader.epoch,
            ..LeaderIdAndEpoch::default()
        }
    }
}

fn record_error(error: &RejectedRecord) -> BatchIndexAndErrorMessage {
    BatchIndexAndErrorMessage {
        batch_index: i32::try_from(error.index).unwrap_or(i32::MAX),
        batch_index_error_message: Some(wire::text(&error.message)),
        ..BatchIndexAndErrorMessage::default()
    }
}
