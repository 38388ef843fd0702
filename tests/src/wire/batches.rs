//! Record batches as fields. Pure.
//!
//! A batch to send names what differs from an empty one: `producer`, `epoch`, `sequence`,
//! `transactional`, `control`, `codec` (its number), `records` (texts, the values), `timestamp`,
//! `deltas` (offsets of the records). `damage` replaces bytes of the encoded batch, `[position,
//! hexadecimal digits]`, and `after` follows it. A batch that was read shows all.

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use kacrab_protocol::record::{Record, RecordBatch, decode_batches};
use serde_json::{Value, json};

use super::codec::{hex_bytes, hex_text};

/// The timestamp of the first record of each batch that is sent; the others follow by one.
pub const TIMESTAMP: i64 = 1_000_000;

const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// Encodes batches.
pub fn encode(value: &Value) -> Result<Bytes> {
    let mut bytes = BytesMut::new();
    for batch in value.as_array().context("batches are a list")? {
        encode_batch(batch, &mut bytes).with_context(|| format!("{batch}"))?;
    }
    Ok(bytes.freeze())
}

fn encode_batch(batch: &Value, bytes: &mut BytesMut) -> Result<()> {
    let number = |name: &str| {
        batch
            .get(name)
            .map_or(Some(-1), Value::as_i64)
            .context("number")
    };
    let flag = |name: &str, bit: i16| match batch.get(name) {
        Some(Value::Bool(true)) => bit,
        _ => 0,
    };
    let codec = i16::try_from(batch["codec"].as_i64().unwrap_or(0))?;
    let values = batch["records"].as_array().context("no records")?;
    let first_timestamp = match batch.get("timestamp") {
        Some(time) => time.as_i64().context("timestamp")?,
        None => TIMESTAMP,
    };
    let step = i64::from(first_timestamp >= 0);
    let mut records = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let value = value.as_str().context("a record is a text")?;
        let offset_delta = match batch["deltas"].get(index) {
            Some(delta) => delta.as_i64().context("a delta is a number")?,
            None => i64::try_from(index)?,
        };
        records.push(Record {
            attributes: 0,
            timestamp_delta: i64::try_from(index)? * step,
            offset_delta: i32::try_from(offset_delta)?,
            key: None,
            value: Some(Bytes::copy_from_slice(value.as_bytes())),
            headers: Vec::new(),
        });
    }
    let last = i32::try_from(records.len())? - 1;
    let encoded = RecordBatch {
        base_offset: 0,
        partition_leader_epoch: -1,
        magic: 2,
        attributes: flag("transactional", TRANSACTIONAL) | flag("control", CONTROL) | codec,
        last_offset_delta: last,
        first_timestamp,
        max_timestamp: first_timestamp + i64::from(last) * step,
        producer_id: number("producer")?,
        producer_epoch: i16::try_from(number("epoch")?)?,
        base_sequence: i32::try_from(number("sequence")?)?,
        records,
    };
    let start = bytes.len();
    encoded.encode(bytes)?;
    for damage in batch["damage"].as_array().into_iter().flatten() {
        let position = usize::try_from(damage[0].as_u64().context("a position")?)?;
        let digits = damage[1].as_str().context("digits")?;
        let replaced = hex_bytes(digits)?;
        let end = start + position + replaced.len();
        let place = bytes.get_mut(start + position..end);
        place
            .context("behind the batch")?
            .copy_from_slice(&replaced);
    }
    if let Some(digits) = batch["after"].as_str() {
        bytes.extend(hex_bytes(digits)?);
    }
    Ok(())
}

/// Decodes batches.
pub fn decode(bytes: &[u8]) -> Result<Value> {
    let mut bytes = Bytes::copy_from_slice(bytes);
    let batches = decode_batches(&mut bytes)?;
    Ok(batches.iter().map(decode_batch).collect())
}

fn decode_batch(batch: &RecordBatch) -> Value {
    let is_control = batch.is_control_batch();
    let records = batch.records.iter().map(|record| {
        let text = |bytes: &Option<Bytes>| match bytes {
            Some(bytes) if is_control => json!(format!("0x{}", hex_text(bytes))),
            Some(bytes) => json!(String::from_utf8_lossy(bytes)),
            None => Value::Null,
        };
        json!({
            "offset": batch.base_offset + i64::from(record.offset_delta),
            "Timestamp": batch.first_timestamp + record.timestamp_delta,
            "key": text(&record.key),
            "value": text(&record.value),
        })
    });
    json!({
        "base_offset": batch.base_offset,
        "last_offset_delta": batch.last_offset_delta,
        "leader_epoch": batch.partition_leader_epoch,
        "attributes": batch.attributes,
        "MaxTimestamp": batch.max_timestamp,
        "ProducerId": batch.producer_id,
        "epoch": batch.producer_epoch,
        "sequence": batch.base_sequence,
        "records": records.collect::<Vec<_>>(),
    })
}
