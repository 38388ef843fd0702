//! Produce requests whose records are encoded elsewhere: one batch for one partition.
//!
//! Pure.

use bytes::{BufMut as _, Bytes, BytesMut};
use dohle_protocol::messages::{PartitionProduceData, ProduceRequestData, TopicProduceData};
use dohle_protocol::{KafkaString, ProtocolError, encode_request};

use crate::template::StampedBatch;

/// The versions of Produce that are used: records of format v2, topics by name.
pub(crate) const PRODUCE_VERSIONS: (i16, i16) = (3, 11);
/// The version from which lengths are varints, and structures end with tagged fields.
const FLEXIBLE: i16 = 9;
/// Where a frame has its length, and its correlation id.
const LENGTH_BYTES: usize = 4;
const CORRELATION_ID: usize = 8;
/// What follows the records in flexible versions: no tagged fields of the partition, of the topic
/// and of the request.
const NO_TAGS: &[u8] = &[0, 0, 0];

/// What all requests of a client have in common.
#[derive(Debug, Clone)]
pub(crate) struct ProduceSettings<'a> {
    pub client_id: &'a str,
    pub topic: &'a str,
    pub acks: i16,
    pub timeout_ms: i32,
    pub transactional_id: Option<&'a str>,
}

/// A produce request to one partition, up to the length of its records.
#[derive(Debug, Clone)]
pub(crate) struct ProduceFrame {
    prefix: Bytes,
    version: i16,
}

impl ProduceFrame {
    /// Encodes what the requests to a partition have in common.
    ///
    /// # Errors
    /// When a text is too long.
    pub(crate) fn new(
        settings: &ProduceSettings<'_>,
        partition: i32,
        version: i16,
    ) -> Result<Self, ProtocolError> {
        let text = |text: &str| KafkaString::from(text.to_owned());
        let partition = PartitionProduceData {
            index: partition,
            records: Some(Bytes::new()),
            ..PartitionProduceData::default()
        };
        let topic = TopicProduceData {
            name: text(settings.topic),
            partition_data: vec![partition],
            ..TopicProduceData::default()
        };
        let request = ProduceRequestData {
            transactional_id: settings.transactional_id.map(text),
            acks: settings.acks,
            timeout_ms: settings.timeout_ms,
            topic_data: vec![topic],
            ..ProduceRequestData::default()
        };
        let mut frame = encode_request(&request, version, 0, settings.client_id)?;
        let without_records = if version >= FLEXIBLE {
            1 + NO_TAGS.len()
        } else {
            LENGTH_BYTES
        };
        frame.truncate(frame.len() - without_records);
        Ok(Self {
            prefix: frame,
            version,
        })
    }

    /// Returns the parts of a request with this batch, to be sent one after the other.
    pub(crate) fn with(&self, correlation_id: i32, batch: StampedBatch) -> [Bytes; 3] {
        let mut head = BytesMut::with_capacity(self.prefix.len() + 5 + batch.head.len());
        head.put_slice(&self.prefix);
        let suffix = if self.version >= FLEXIBLE {
            put_varint(&mut head, batch.len() as u32 + 1);
            Bytes::from_static(NO_TAGS)
        } else {
            head.put_u32(batch.len() as u32);
            Bytes::new()
        };
        head.put_slice(&batch.head);
        let length = head.len() + batch.tail.len() + suffix.len() - LENGTH_BYTES;
        head[..LENGTH_BYTES].copy_from_slice(&(length as u32).to_be_bytes());
        head[CORRELATION_ID..CORRELATION_ID + 4].copy_from_slice(&correlation_id.to_be_bytes());
        [head.freeze(), batch.tail, suffix]
    }
}

fn put_varint(out: &mut BytesMut, mut number: u32) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_the_request_that_the_codec_encodes() {
        let (first, last) = PRODUCE_VERSIONS;
        for version in first..=last {
            for (length, transactional_id) in [(61, None), (200, Some("t-1")), (70_000, None)] {
                let settings = ProduceSettings {
                    client_id: "client",
                    topic: "topic",
                    acks: -1,
                    timeout_ms: 30_000,
                    transactional_id,
                };
                let records = Bytes::from(vec![7; length]);
                let batch = StampedBatch {
                    head: BytesMut::from(&records[..61]),
                    tail: records.slice(61..),
                };
                let frame = ProduceFrame::new(&settings, 12, version).unwrap();
                let parts = frame.with(345, batch).concat();
                let partition = PartitionProduceData {
                    index: 12,
                    records: Some(records),
                    ..PartitionProduceData::default()
                };
                let request = ProduceRequestData {
                    transactional_id: transactional_id.map(|id| KafkaString::from(id.to_owned())),
                    acks: -1,
                    timeout_ms: 30_000,
                    topic_data: vec![TopicProduceData {
                        name: KafkaString::from("topic".to_owned()),
                        partition_data: vec![partition],
                        ..TopicProduceData::default()
                    }],
                    ..ProduceRequestData::default()
                };
                let whole = encode_request(&request, version, 345, "client").unwrap();
                assert_eq!(parts, whole, "version {version}, {length} bytes");
            }
        }
    }
}
