//! What the null broker answers.
//!
//! Pure. It reads as little of a Produce request as possible: versions 3 to 8, one partition of one
//! topic, as `dohle_load` sends them.

use std::ops::Range;

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use dohle_tests::cluster::text;
use kacrab_protocol::generated as kafka;
use kacrab_protocol::version::{request_header_version, response_header_version};

const PRODUCE: i16 = 0;
const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;
const INIT_PRODUCER_ID: i16 = 22;
/// The APIs, each with its first and its last version. The last version of Produce is the last one
/// whose fields have fixed sizes, and that of Metadata has topics by name.
const VERSIONS: [(i16, i16, i16); 4] = [
    (PRODUCE, 3, 8),
    (METADATA, 1, 9),
    (API_VERSIONS, 0, 3),
    (INIT_PRODUCER_ID, 0, 4),
];
/// The partitions of every topic.
pub const PARTITIONS: usize = 6;
/// The end of the names of topics that are not replicated.
pub const ALONE: &str = "-r1";

/// A Produce request with one batch.
#[derive(Debug, PartialEq, Eq)]
pub struct Produce<'a> {
    pub version: i16,
    pub correlation_id: i32,
    pub acks: i16,
    pub topic: &'a str,
    pub partition: i32,
    /// Where the request has its batch.
    pub batch: Range<usize>,
}

/// The addresses of a cluster of null brokers; a node's id is its index.
#[derive(Debug, Clone)]
pub struct Nodes(pub Vec<(String, u16)>);

impl Nodes {
    /// Returns the node that leads a partition.
    pub fn leader(&self, partition: usize) -> usize {
        partition % self.0.len()
    }
}

/// Reads a request without its length; `None` when it is not a Produce request.
pub fn produce(frame: &[u8]) -> Result<Option<Produce<'_>>> {
    let mut input = Input { frame, at: 0 };
    if input.i16()? != PRODUCE {
        return Ok(None);
    }
    let version = input.i16()?;
    let correlation_id = input.i32()?;
    input.text()?; // client id
    input.text()?; // transactional id
    let acks = input.i16()?;
    input.i32()?; // timeout
    input.one("topic")?;
    let topic = input.text()?;
    input.one("partition")?;
    let partition = input.i32()?;
    let length = usize::try_from(input.i32()?).context("no records")?;
    let batch = input.at..input.at + length;
    input.take(length)?;
    Ok(Some(Produce {
        version,
        correlation_id,
        acks,
        topic: std::str::from_utf8(topic)?,
        partition,
        batch,
    }))
}

/// Returns the response to a Produce request, with its length.
pub fn produce_answer(request: &Produce<'_>) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend(request.correlation_id.to_be_bytes());
    out.extend(1_i32.to_be_bytes());
    out.extend((request.topic.len() as i16).to_be_bytes());
    out.extend(request.topic.as_bytes());
    out.extend(1_i32.to_be_bytes());
    out.extend(request.partition.to_be_bytes());
    out.extend(0_i16.to_be_bytes()); // error
    out.extend(0_i64.to_be_bytes()); // base offset
    out.extend((-1_i64).to_be_bytes()); // append time
    if request.version >= 5 {
        out.extend(0_i64.to_be_bytes()); // log start offset
    }
    if request.version >= 8 {
        out.extend(0_i32.to_be_bytes()); // record errors
        out.extend((-1_i16).to_be_bytes()); // error message
    }
    out.extend(0_i32.to_be_bytes()); // throttle time
    with_length(out)
}

/// Returns the response, with its length, to a request other than Produce. `producer_id` is the id
/// of a producer that asks for one.
pub fn answer(mut frame: Bytes, nodes: &Nodes, producer_id: i64) -> Result<Vec<u8>> {
    let key = i16::from_be_bytes(*frame.first_chunk().context("no API key")?);
    let version = frame.get(2..4).context("no version")?;
    let version = i16::from_be_bytes([version[0], version[1]]);
    let header_version = request_header_version(key, version);
    let header = kafka::RequestHeaderData::read(&mut frame, header_version)?;
    let mut out = BytesMut::zeroed(4);
    let response = kafka::ResponseHeaderData {
        correlation_id: header.correlation_id,
        ..Default::default()
    };
    response.write(&mut out, response_header_version(key, version))?;
    match key {
        API_VERSIONS => {
            let keys = VERSIONS.map(|(api_key, min_version, max_version)| kafka::ApiVersion {
                api_key,
                min_version,
                max_version,
                ..Default::default()
            });
            let response = kafka::ApiVersionsResponseData {
                api_keys: keys.to_vec(),
                ..Default::default()
            };
            response.write(&mut out, version)?;
        }
        METADATA => {
            let request = kafka::MetadataRequestData::read(&mut frame, version)?;
            metadata(request, nodes).write(&mut out, version)?;
        }
        INIT_PRODUCER_ID => {
            let response = kafka::InitProducerIdResponseData {
                producer_id,
                producer_epoch: 0,
                ..Default::default()
            };
            response.write(&mut out, version)?;
        }
        _ => bail!("a null broker has no API {key}"),
    }
    Ok(with_length(out.to_vec()))
}

fn metadata(request: kafka::MetadataRequestData, nodes: &Nodes) -> kafka::MetadataResponseData {
    let brokers =
        nodes
            .0
            .iter()
            .zip(0..)
            .map(|((host, port), node_id)| kafka::MetadataResponseBroker {
                node_id,
                host: text(host),
                port: i32::from(*port),
                ..Default::default()
            });
    let partition = |index: usize| kafka::MetadataResponsePartition {
        partition_index: index as i32,
        leader_id: nodes.leader(index) as i32,
        replica_nodes: vec![nodes.leader(index) as i32],
        isr_nodes: vec![nodes.leader(index) as i32],
        ..Default::default()
    };
    let topics = request.topics.unwrap_or_default().into_iter();
    kafka::MetadataResponseData {
        brokers: brokers.collect(),
        topics: topics
            .map(|topic| kafka::MetadataResponseTopic {
                name: topic.name,
                partitions: (0..PARTITIONS).map(partition).collect(),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

fn with_length(mut frame: Vec<u8>) -> Vec<u8> {
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// The part of a request that is not read yet.
struct Input<'a> {
    frame: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(length).context("too long")?;
        let taken = self.frame.get(self.at..end).context("a short request")?;
        self.at = end;
        Ok(taken)
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into()?))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }

    /// A text, or nothing.
    fn text(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        self.take(length)
    }

    fn one(&mut self, what: &str) -> Result<()> {
        match self.i32()? {
            1 => Ok(()),
            count => bail!("{count} of a {what} in one request"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dohle_tests::connection::request_frame;
    use dohle_tests::records::produce_request;

    fn frame(key: i16, version: i16, body: &BytesMut) -> Vec<u8> {
        request_frame(key, version, 77, body).unwrap().split_off(4)
    }

    #[test]
    fn the_batch_of_a_produce_request_is_found_in_every_version() {
        let (_, first, last) = VERSIONS[0];
        for version in first..=last {
            let batch = Bytes::from_static(b"a batch of records");
            let mut body = BytesMut::new();
            let request = produce_request("topic-r1", 5, -1, batch.clone());
            request.write(&mut body, version).unwrap();
            let frame = frame(PRODUCE, version, &body);
            let found = produce(&frame).unwrap().unwrap();
            assert_eq!(frame[found.batch.clone()], batch[..]);
            assert_eq!(
                (
                    found.topic,
                    found.partition,
                    found.acks,
                    found.correlation_id
                ),
                ("topic-r1", 5, -1, 77)
            );
            assert!(produce(&frame[..frame.len() - 1]).is_err());
        }
    }

    #[test]
    fn a_produce_request_is_acknowledged_in_every_version() {
        let (_, first, last) = VERSIONS[0];
        for version in first..=last {
            let answer = produce_answer(&Produce {
                version,
                correlation_id: 78,
                acks: 1,
                topic: "t",
                partition: 4,
                batch: 0..0,
            });
            assert_eq!(answer[..4], (answer.len() as u32 - 4).to_be_bytes());
            assert_eq!(answer[4..8], 78_i32.to_be_bytes());
            let mut body = Bytes::from(answer).slice(8..);
            let response = kafka::ProduceResponseData::read(&mut body, version).unwrap();
            assert!(body.is_empty(), "version {version}");
            let topic = &response.responses[0];
            assert_eq!(topic.name.as_str(), "t");
            let partition = &topic.partition_responses[0];
            assert_eq!((partition.index, partition.error_code), (4, 0));
        }
    }

    #[test]
    fn the_partitions_are_led_by_all_nodes_in_turn() {
        let nodes = Nodes(vec![("a".into(), 1), ("b".into(), 2), ("c".into(), 3)]);
        let wanted = kafka::MetadataRequestTopic {
            name: Some(text("t")),
            ..Default::default()
        };
        let request = kafka::MetadataRequestData::default().with_topics(Some(vec![wanted]));
        let mut body = BytesMut::new();
        request.write(&mut body, 9).unwrap();
        let frame = frame(METADATA, 9, &body);
        assert_eq!(produce(&frame).unwrap(), None);
        let answer = Bytes::from(answer(frame.into(), &nodes, 1).unwrap());
        // The length, the correlation id and no tagged fields.
        let mut body = answer.slice(9..);
        let response = kafka::MetadataResponseData::read(&mut body, 9).unwrap();
        assert!(body.is_empty());
        let leaders: Vec<i32> = response.topics[0]
            .partitions
            .iter()
            .map(|partition| partition.leader_id)
            .collect();
        assert_eq!(leaders, [0, 1, 2, 0, 1, 2]);
        assert_eq!(response.brokers[2].port, 3);
    }

    #[test]
    fn an_unknown_request_is_refused() {
        let frame = frame(1, 4, &BytesMut::new());
        assert!(answer(frame.into(), &Nodes(Vec::new()), 1).is_err());
    }
}
