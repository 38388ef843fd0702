//! Hand-made record batches, and single produce and fetch requests.

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use kacrab_protocol::generated::{self as kafka, fetch_request, fetch_response};
use kacrab_protocol::record::{Record, RecordBatch, decode_batches};

use crate::cluster::text;
use crate::connection::KafkaConnection;

/// The version of Produce that is used: the last but one that identifies topics by name.
pub const PRODUCE_VERSION: i16 = 11;
/// The version of Fetch that is used: the last that identifies topics by name.
pub const FETCH_VERSION: i16 = 12;

/// The result of a produce request for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Produced {
    /// Kafka's error code, 0 for success.
    pub error_code: i16,
    /// The offset of the first record.
    pub base_offset: i64,
    /// The error message, if any.
    pub error_message: Option<String>,
}

/// The attribute of a batch that belongs to a transaction.
const TRANSACTIONAL: i16 = 1 << 4;

/// The producer of a transactional batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    /// The producer id.
    pub id: i64,
    /// The producer epoch.
    pub epoch: i16,
}

/// Returns an uncompressed batch of a transaction, with one record whose timestamp is `age_ms`
/// milliseconds in the past.
pub fn transactional_batch(
    producer: Producer,
    sequence: i32,
    age_ms: i64,
    value: &[u8],
) -> Result<BytesMut> {
    let mut batch = of(unencoded(&[value])?, producer, sequence);
    batch.attributes |= TRANSACTIONAL;
    batch.first_timestamp -= age_ms;
    batch.max_timestamp -= age_ms;
    encoded(&batch)
}

/// Returns an uncompressed batch of an idempotent producer, with one record.
pub fn idempotent_batch(producer: Producer, sequence: i32, value: &[u8]) -> Result<BytesMut> {
    encoded(&of(unencoded(&[value])?, producer, sequence))
}

fn of(mut batch: RecordBatch, producer: Producer, sequence: i32) -> RecordBatch {
    batch.producer_id = producer.id;
    batch.producer_epoch = producer.epoch;
    batch.base_sequence = sequence;
    batch
}

fn encoded(batch: &RecordBatch) -> Result<BytesMut> {
    let mut bytes = BytesMut::new();
    batch.encode(&mut bytes)?;
    Ok(bytes)
}

/// Returns an uncompressed batch with these values, without a producer id.
pub fn batch(values: &[&[u8]]) -> Result<BytesMut> {
    encoded(&unencoded(values)?)
}

fn unencoded(values: &[&[u8]]) -> Result<RecordBatch> {
    let record = |(index, value): (usize, &&[u8])| -> Result<Record> {
        Ok(Record {
            attributes: 0,
            timestamp_delta: 0,
            offset_delta: i32::try_from(index)?,
            key: None,
            value: Some(Bytes::copy_from_slice(value)),
            headers: Vec::new(),
        })
    };
    let records: Vec<Record> = values
        .iter()
        .enumerate()
        .map(record)
        .collect::<Result<_>>()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let now = i64::try_from(now.as_millis())?;
    Ok(RecordBatch {
        base_offset: 0,
        partition_leader_epoch: -1,
        magic: 2,
        attributes: 0,
        last_offset_delta: i32::try_from(records.len())? - 1,
        first_timestamp: now,
        max_timestamp: now,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        records,
    })
}

/// Returns a produce request for one partition.
pub fn produce_request(
    topic: &str,
    partition: i32,
    acks: i16,
    records: Bytes,
) -> kafka::ProduceRequestData {
    let partition = kafka::PartitionProduceData {
        index: partition,
        records: Some(records),
        ..Default::default()
    };
    let topic = kafka::TopicProduceData {
        name: text(topic),
        partition_data: vec![partition],
        ..Default::default()
    };
    kafka::ProduceRequestData {
        acks,
        timeout_ms: 10_000,
        topic_data: vec![topic],
        ..Default::default()
    }
}

/// Produces one batch, with acks=1 or acks=-1 (all).
pub fn produce(
    connection: &mut KafkaConnection,
    topic: &str,
    partition: i32,
    acks: i16,
    records: Bytes,
) -> Result<Produced> {
    send_batch(
        connection,
        &produce_request(topic, partition, acks, records),
    )
}

/// Sends a produce request for one partition, with acks=1 or acks=-1 (all).
pub fn send_batch(
    connection: &mut KafkaConnection,
    request: &kafka::ProduceRequestData,
) -> Result<Produced> {
    let response = connection.call(request, PRODUCE_VERSION)?;
    let topic = response
        .responses
        .first()
        .context("no topic in the answer")?;
    let partition = topic
        .partition_responses
        .first()
        .context("no partition in the answer")?;
    Ok(Produced {
        error_code: partition.error_code,
        base_offset: partition.base_offset,
        error_message: partition
            .error_message
            .as_ref()
            .map(|text| text.as_str().to_owned()),
    })
}

/// Returns a request for the records of one partition, which is answered at once.
pub fn fetch_request(topic: &str, partition: i32, offset: i64) -> kafka::FetchRequestData {
    let partition = fetch_request::FetchPartition {
        partition,
        current_leader_epoch: -1,
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let topic = fetch_request::FetchTopic {
        topic: text(topic),
        partitions: vec![partition],
        ..Default::default()
    };
    kafka::FetchRequestData {
        replica_id: -1,
        max_wait_ms: 0,
        min_bytes: 0,
        max_bytes: 16 << 20,
        session_epoch: -1,
        topics: vec![topic],
        ..Default::default()
    }
}

/// Sends a request for one partition. Returns the answer for it.
pub fn fetch_partition(
    connection: &mut KafkaConnection,
    request: &kafka::FetchRequestData,
) -> Result<fetch_response::PartitionData> {
    let response = connection.call(request, FETCH_VERSION)?;
    let error = response.error_code;
    ensure!(error == 0, "fetch: error {error}");
    let mut topics = response.responses;
    let mut topic = topics.pop().context("no topic in the answer")?;
    let partition = topic
        .partitions
        .pop()
        .context("no partition in the answer")?;
    let error = partition.error_code;
    ensure!(error == 0, "fetch: error {error}");
    Ok(partition)
}

/// Fetches the values of a partition from an offset on. Returns them with the high watermark.
pub fn fetch(
    connection: &mut KafkaConnection,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<(Vec<Bytes>, i64)> {
    let partition = fetch_partition(connection, &fetch_request(topic, partition, offset))?;
    let mut values = Vec::new();
    for batch in decode_batches(&mut partition.records.clone().unwrap_or_default())? {
        let first = batch.base_offset;
        for record in batch.records {
            if first + i64::from(record.offset_delta) >= offset {
                values.push(record.value.unwrap_or_default());
            }
        }
    }
    Ok((values, partition.high_watermark))
}
