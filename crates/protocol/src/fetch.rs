//! Encodes a fetch response as a list of chunks. Everything but the records is written to small
//! buffers. Records are inserted as they are: in memory, or as a value that the connection reads
//! when it writes the response. Encoding needs only their size.
//!
//! Invariant: together the chunks are byte for byte the codec's own encoding of the same response
//! (a test compares them).

use bytes::{BufMut, Bytes, BytesMut};
use kacrab_protocol::generated::fetch_response::{
    FetchResponseData, FetchableTopicResponse, NodeEndpoint, PartitionData,
};
use kacrab_protocol::primitives::{
    write_array_length, write_compact_array_length, write_unsigned_varint,
};
use kacrab_protocol::{KafkaString, KafkaUuid, ProtocolError};

use crate::ApiKey;
use crate::message::{EncodeError, begin_frame, set_length};

/// Records of one partition, or a part of them.
pub trait RecordChunk {
    /// Returns their size in bytes.
    fn len(&self) -> usize;

    /// Returns the bytes, if they are in memory. Small ones are copied into the buffer around them.
    fn bytes(&self) -> Option<&Bytes>;

    /// Returns whether there are no records.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl RecordChunk for Bytes {
    fn len(&self) -> usize {
        self.as_ref().len()
    }

    fn bytes(&self) -> Option<&Bytes> {
        Some(self)
    }
}

/// A part of an encoded response.
#[derive(Debug)]
pub enum FetchChunk<R> {
    /// Everything but records, and small records.
    Encoded(Bytes),
    /// Records.
    Records(R),
}

/// A fetch response whose records are lists of chunks.
#[derive(Debug, Clone)]
pub struct FetchResponse<R = Bytes> {
    /// For how long the client is throttled, in milliseconds.
    pub throttle_time_ms: i32,
    /// The error of the request as a whole, 0 for success; from version 7.
    pub error_code: i16,
    /// The id of the session, 0 for none; from version 7.
    pub session_id: i32,
    /// The topics.
    pub topics: Vec<FetchTopicResponse<R>>,
    /// The addresses of leaders that partitions refer to; from version 16.
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// A topic of a [`FetchResponse`].
#[derive(Debug, Clone)]
pub struct FetchTopicResponse<R = Bytes> {
    /// Its name, up to version 12.
    pub name: KafkaString,
    /// Its id, from version 13.
    pub topic_id: KafkaUuid,
    /// Its partitions.
    pub partitions: Vec<FetchPartitionResponse<R>>,
}

/// A partition of a [`FetchResponse`].
#[derive(Debug, Clone)]
pub struct FetchPartitionResponse<R = Bytes> {
    /// Everything but the records; its own `records` field is ignored.
    pub data: PartitionData,
    /// Record batches, in order. Never encoded as null, as in Kafka.
    pub records: Vec<R>,
}

impl<R> Default for FetchResponse<R> {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            error_code: 0,
            session_id: 0,
            topics: Vec::new(),
            node_endpoints: Vec::new(),
        }
    }
}

impl<R> Default for FetchPartitionResponse<R> {
    fn default() -> Self {
        Self {
            data: PartitionData::default(),
            records: Vec::new(),
        }
    }
}

/// The bytes around the fields of a flexible partition: a compact array that is null, the null
/// records before the tags, and the fixed fields. [`write_tags`] cuts them off.
const FLEXIBLE_FIXED_BYTES: usize = 4 + 2 + 8 + 8 + 8 + 1 + 4 + 1;

/// Encodes the frame, length and header included, as chunks to be written one after the other.
///
/// # Errors
/// When a field does not exist in this version.
pub fn encode_fetch_response<R: RecordChunk>(
    response: FetchResponse<R>,
    version: i16,
    correlation_id: i32,
) -> Result<Vec<FetchChunk<R>>, EncodeError> {
    let flexible = version >= 12;
    let mut out = Chunks {
        current: BytesMut::with_capacity(512),
        done: Vec::new(),
        bytes: 0,
    };
    begin_frame(&mut out.current, ApiKey::Fetch, version, correlation_id);

    // The codec writes everything before the topics and after them.
    let empty_topics = if flexible { 1 } else { 4 };
    let mut head = BytesMut::new();
    FetchResponseData {
        throttle_time_ms: response.throttle_time_ms,
        error_code: response.error_code,
        session_id: response.session_id,
        ..FetchResponseData::default()
    }
    .write(&mut head, version)?;
    let tags = usize::from(flexible);
    let head_bytes = head.len() - empty_topics - tags;
    out.current.extend_from_slice(&head[..head_bytes]);

    write_count(&mut out.current, flexible, response.topics.len());
    for topic in response.topics {
        write_topic(&mut out, topic, version)?;
    }
    if flexible {
        let mut tail = BytesMut::new();
        FetchResponseData {
            node_endpoints: response.node_endpoints,
            ..FetchResponseData::default()
        }
        .write(&mut tail, version)?;
        out.current
            .extend_from_slice(&tail[head_bytes + empty_topics..]);
    }
    Ok(out.finish())
}

fn write_topic<R: RecordChunk>(
    out: &mut Chunks<R>,
    topic: FetchTopicResponse<R>,
    version: i16,
) -> Result<(), ProtocolError> {
    let flexible = version >= 12;
    let before = out.current.len();
    FetchableTopicResponse {
        topic: topic.name,
        topic_id: topic.topic_id,
        ..FetchableTopicResponse::default()
    }
    .write(&mut out.current, version)?;
    // The empty partitions and the tags are cut off.
    let cut = if flexible { 2 } else { 4 };
    let after = out.current.len();
    assert!(after >= before + cut, "a topic of {} bytes", after - before);
    out.current.truncate(after - cut);

    write_count(&mut out.current, flexible, topic.partitions.len());
    for partition in topic.partitions {
        write_partition(out, partition, version)?;
    }
    if flexible {
        out.current.put_u8(0);
    }
    Ok(())
}

fn write_partition<R: RecordChunk>(
    out: &mut Chunks<R>,
    partition: FetchPartitionResponse<R>,
    version: i16,
) -> Result<(), ProtocolError> {
    let flexible = version >= 12;
    let data = partition.data;
    PartitionData {
        partition_index: data.partition_index,
        error_code: data.error_code,
        high_watermark: data.high_watermark,
        last_stable_offset: data.last_stable_offset,
        log_start_offset: data.log_start_offset,
        aborted_transactions: data.aborted_transactions.clone(),
        preferred_read_replica: data.preferred_read_replica,
        ..PartitionData::default()
    }
    .write(&mut out.current, version)?;
    // The null records and the tags are cut off.
    let cut = if flexible { 2 } else { 4 };
    out.current.truncate(out.current.len() - cut);

    let bytes: usize = partition.records.iter().map(R::len).sum();
    // The fetch's `max_bytes`, far below 2 GiB, limits the size.
    if flexible {
        write_unsigned_varint(
            &mut out.current,
            u32::try_from(bytes + 1).unwrap_or(u32::MAX),
        );
    } else {
        out.current
            .put_i32(i32::try_from(bytes).unwrap_or(i32::MAX));
    }
    for chunk in partition.records {
        out.splice(chunk);
    }
    if flexible {
        write_tags(&mut out.current, &data, version)?;
    }
    Ok(())
}

fn write_tags(out: &mut BytesMut, data: &PartitionData, version: i16) -> Result<(), ProtocolError> {
    let tagged = PartitionData {
        diverging_epoch: data.diverging_epoch.clone(),
        current_leader: data.current_leader.clone(),
        ..PartitionData::default()
    };
    if tagged == PartitionData::default() {
        out.put_u8(0);
        return Ok(());
    }
    let mut whole = BytesMut::new();
    tagged.write(&mut whole, version)?;
    out.extend_from_slice(&whole[FLEXIBLE_FIXED_BYTES..]);
    Ok(())
}

fn write_count(out: &mut BytesMut, flexible: bool, count: usize) {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    if flexible {
        write_compact_array_length(out, count);
    } else {
        write_array_length(out, count);
    }
}

/// Chunks below this size are copied, which is cheaper than another entry of the vectored write.
const SPLICE_BYTES_MIN: usize = 256;

struct Chunks<R> {
    current: BytesMut,
    done: Vec<FetchChunk<R>>,
    bytes: usize,
}

impl<R: RecordChunk> Chunks<R> {
    fn splice(&mut self, chunk: R) {
        if let Some(bytes) = chunk.bytes()
            && bytes.len() < SPLICE_BYTES_MIN
        {
            self.current.extend_from_slice(bytes);
            return;
        }
        self.push_current();
        self.bytes += chunk.len();
        self.done.push(FetchChunk::Records(chunk));
    }

    /// Moves the current buffer to `done`; the first chunk stays open for the frame's length.
    fn push_current(&mut self) {
        if !self.current.is_empty() {
            self.bytes += self.current.len();
            // One allocation serves all buffers, because `split` leaves the spare capacity behind.
            let encoded = self.current.split().freeze();
            self.done.push(FetchChunk::Encoded(encoded));
        }
    }

    fn finish(mut self) -> Vec<FetchChunk<R>> {
        self.push_current();
        let Some(FetchChunk::Encoded(first)) = self.done.first_mut() else {
            return self.done;
        };
        let mut patched = BytesMut::from(std::mem::take(first));
        set_length(&mut patched, self.bytes - crate::frame::LENGTH_BYTES);
        *first = patched.freeze();
        self.done
    }
}
