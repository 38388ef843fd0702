//! Committed records for repairs (`Replication.ReadRecords`): sends them to a replica whose own
//! copy is damaged, and fetches them from a replica whose copy is intact.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_auth::NodePeer;
use dohle_model::{BrokerEpoch, NodeId, Offset, TopicIdPartition};
use dohle_rpc::replication_transport::{
    EndStatus, Framed, Messages, READ_RECORDS_PATH, ReceivedLeaderMessage, TransportError,
};
use dohle_rpc::{convert, v1};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use hyper::body::Incoming;
use prost::Message;
use tokio::time::timeout;

use super::connection::{self, Connection, MESSAGE_BYTES};
use super::follower_stream::LeaderEndpoint;
use super::hello::{check_hello, code};
use crate::blocking::WorkOwner;
use crate::partition::{Partition, ReadError};
use crate::partitions::{Partitions, RecordStream};

/// The largest request, which is one small message.
const REQUEST_BYTES_MAX: usize = 64 << 10;
/// How long to wait for each message of the other broker.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// The messages of a response.
pub(super) type RecordsStream = BoxStream<'static, Result<Framed, EndStatus>>;

fn status(code: u16, message: impl Into<String>) -> EndStatus {
    EndStatus {
        code,
        message: message.into(),
    }
}

/// Reads the request and returns the response.
pub(super) async fn serve(
    partitions: Arc<Partitions>,
    peer: NodePeer,
    body: Incoming,
) -> RecordsStream {
    match begin(&partitions, &peer, body).await {
        Ok((partition, range, owner)) => {
            let next = move |at: Offset| {
                let (partition, end) = (Arc::clone(&partition), range.end);
                async move {
                    if at >= end {
                        return None;
                    }
                    Some(match read(partition, at, end, owner).await {
                        Ok((framed, next)) => (Ok(framed), next),
                        Err(status) => (Err(status), end),
                    })
                }
            };
            stream::unfold(range.start, next).boxed()
        }
        Err(status) => stream::iter([Err(status)]).boxed(),
    }
}

async fn begin(
    partitions: &Arc<Partitions>,
    peer: &NodePeer,
    body: Incoming,
) -> Result<(Arc<Partition>, Range<Offset>, WorkOwner), EndStatus> {
    let invalid = |text: String| status(code::INVALID_ARGUMENT, text);
    let mut messages = Messages::new(body, REQUEST_BYTES_MAX);
    let message = timeout(MESSAGE_TIMEOUT, messages.message()).await;
    let message = message.map_err(|_| invalid("no request arrived".to_owned()))?;
    let message = message.map_err(|error| invalid(error.to_string()))?;
    let message = message.ok_or_else(|| invalid("no request arrived".to_owned()))?;
    let request =
        v1::ReadRecordsRequest::decode(message).map_err(|error| invalid(error.to_string()))?;
    let hello = request.hello.unwrap_or_default();
    let epoch = BrokerEpoch::from_wire(hello.broker_epoch);
    check_hello(
        partitions,
        peer,
        &hello.cluster_id,
        NodeId(hello.broker_id),
        epoch,
    )?;
    let id = convert::partition_id_from_wire(&request.topic_id, request.partition);
    let id = id.map_err(|error| invalid(error.to_string()))?;
    let (Some(start), Some(end)) = (
        Offset::from_wire(request.start),
        Offset::from_wire(request.end),
    ) else {
        return Err(invalid("an offset of the range is negative".to_owned()));
    };
    let partition = partitions.get(&id);
    let partition = partition.ok_or_else(|| {
        status(
            code::NOT_FOUND,
            "this broker has no replica of the partition",
        )
    })?;
    let positions = partition.positions();
    if start < positions.log_start_offset || end > positions.log_end_offset {
        let (first, last) = (positions.log_start_offset, positions.log_end_offset);
        return Err(status(
            code::OUT_OF_RANGE,
            format!(
                "offsets {start} to {end} (exclusive) were requested, the log has {first} to {last}"
            ),
        ));
    }
    let owner = WorkOwner::Broker(NodeId(hello.broker_id));
    Ok((partition, start..end, owner))
}

/// Returns the next message of a response, and the offset at which the message after it begins.
async fn read(
    partition: Arc<Partition>,
    at: Offset,
    end: Offset,
    owner: WorkOwner,
) -> Result<(Framed, Offset), EndStatus> {
    let reader = Arc::clone(&partition);
    let work = move || reader.read_for_repair(at, end, MESSAGE_BYTES);
    let read = partition.blocking().disk(owner, work).await;
    let read = read.map_err(|error| status(code::UNAVAILABLE, error.to_string()))?;
    let (records, next) = read.map_err(|error| {
        let code = match error {
            ReadError::Corrupt(_) => code::DATA_LOSS,
            _ => code::UNAVAILABLE,
        };
        status(code, error.to_string())
    })?;
    // A compacted log may have no more records in the range.
    let next = if records.is_empty() { end } else { next };
    let part = v1::PartitionData {
        topic_id: convert::uuid_to_wire(partition.id().topic_id.0),
        partition: partition.id().partition.0,
        length: records.len() as u64,
        ..v1::PartitionData::default()
    };
    Ok((Framed::leader_message(&[part], vec![records]), next))
}

/// The records of a range that another broker sends.
struct RemoteRecords {
    messages: Messages<Incoming>,
    _connection: Connection,
}

/// Asks the broker at `target` for the records of a range.
///
/// # Errors
/// When it cannot be reached in time or refuses.
pub(super) async fn request(
    target: &LeaderEndpoint,
    id: TopicIdPartition,
    range: &Range<Offset>,
) -> Result<RecordStream, TransportError> {
    let request = v1::ReadRecordsRequest {
        hello: Some(target.hello.to_wire()),
        topic_id: convert::uuid_to_wire(id.topic_id.0),
        partition: id.partition.0,
        start: range.start.0,
        end: range.end.0,
    };
    let requests = stream::iter([Ok(Framed::message(&request))]);
    let call = connection::call(
        &target.connector,
        &target.host,
        target.port,
        READ_RECORDS_PATH,
        requests,
    );
    let (messages, connection) = in_time(call).await?;
    let remote = RemoteRecords {
        messages,
        _connection: connection,
    };
    let next = |mut remote: RemoteRecords| async move {
        let batches = remote.next().await?;
        Ok(batches.map(|batches| (batches, remote)))
    };
    Ok(stream::try_unfold(remote, next).boxed())
}

impl RemoteRecords {
    /// Returns the next batches; `None` at the end of the range.
    ///
    /// # Errors
    /// When the broker does not have the records intact, or the connection broke.
    async fn next(&mut self) -> Result<Option<Bytes>, TransportError> {
        let Some(message) = in_time(self.messages.message()).await? else {
            return Ok(None);
        };
        let ReceivedLeaderMessage { mut payload, .. } = ReceivedLeaderMessage::decode(message)?;
        let length = payload.len();
        Ok(Some(payload.take_bytes(length).unwrap_or_default()))
    }
}

async fn in_time<T>(
    work: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    let late = |_| TransportError::Broken(format!("no message within {MESSAGE_TIMEOUT:?}"));
    timeout(MESSAGE_TIMEOUT, work).await.map_err(late)?
}
