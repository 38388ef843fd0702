//! Input that no client sends: each one gets Kafka's error code, or closes its own connection with
//! one line in the log. Other clients are still served, and memory does not grow.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, BytesMut};
use dohle_tests::cluster::text;
use dohle_tests::connection::request_frame;
use dohle_tests::records::{batch, fetch, produce};
use dohle_tests::{Cluster, KafkaConnection, logs, proc, until};
use kacrab_protocol::crc::crc32c;
use kacrab_protocol::generated as kafka;

const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;

/// The memory that invalid input may cost a node, in bytes.
const MEMORY_MAX: u64 = 64 << 20;

/// A node with a topic `t`, and a connection opened before any invalid input was sent.
struct Served {
    cluster: Cluster,
    address: SocketAddr,
    witness: KafkaConnection,
    records: i64,
}

impl Served {
    fn start() -> Result<Self> {
        let cluster = Cluster::of(1)
            .property("auto.create.topics.enable", "false")
            // The test expects these lines.
            .allow("127.0.0.1:")
            .start()?;
        cluster.create_topic("t", 1, 1, &[])?;
        let address = cluster.nodes()[0].address;
        let witness = KafkaConnection::open(address)?;
        Ok(Self {
            cluster,
            address,
            witness,
            records: 0,
        })
    }

    fn connect(&self) -> Result<KafkaConnection> {
        let mut connection = KafkaConnection::open(self.address)?;
        connection.limit(Duration::from_secs(10))?;
        Ok(connection)
    }

    /// Checks that the old connection and a new one are served, and that all records are there.
    fn check(&mut self, after: &str) -> Result<()> {
        let value = after.as_bytes();
        let mut fresh = self.connect().context("a new connection")?;
        for connection in [&mut self.witness, &mut fresh] {
            let produced = produce(connection, "t", 0, -1, batch(&[value])?.freeze())
                .with_context(|| format!("after {after}"))?;
            ensure!(produced.error_code == 0, "after {after}: {produced:?}");
            ensure!(
                produced.base_offset == self.records,
                "after {after}: {produced:?}"
            );
            self.records += 1;
            let (values, end) = fetch(connection, "t", 0, produced.base_offset)?;
            ensure!(
                end == self.records && values == [value],
                "after {after}: {values:?}"
            );
        }
        Ok(())
    }

    /// Sends bytes, and checks that the node closes the connection and logs one line about it.
    fn expect_closed(&mut self, what: &str, bytes: &[u8], end: bool) -> Result<()> {
        let before = self.cluster.nodes()[0].log()?.lines().count();
        let mut connection = self.connect()?;
        // The node may close the connection before everything is sent.
        let _ = connection.send(bytes);
        if end {
            let _ = connection.finish_sending();
        }
        let answer = connection
            .receive()
            .with_context(|| format!("{what}: not closed"))?;
        ensure!(answer.is_none(), "{what}: answered with {answer:?}");
        self.check(what)?;
        if logs::checked() && !end {
            let node = &self.cluster.nodes()[0];
            let said = |log: &str| {
                log.lines()
                    .skip(before)
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            until(
                Duration::from_secs(10),
                format!("{what}: a line in the log"),
                || Ok(!said(&node.log()?).is_empty()),
            )?;
            let lines = said(&node.log()?);
            ensure!(
                lines.len() == 1,
                "{what}: {} log lines: {lines:#?}",
                lines.len()
            );
        }
        Ok(())
    }

    fn resident(&self) -> Result<u64> {
        proc::resident_bytes(self.cluster.nodes()[0].pid()?)
    }
}

#[test]
fn bytes_that_are_no_request_cost_their_own_connection_alone() -> Result<()> {
    let mut served = Served::start()?;
    let whole = request_frame(METADATA, 1, 7, &[0, 0, 0, 0])?;
    let tls_hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0x5a; 506]].concat();
    let cases: [(&str, Vec<u8>); 9] = [
        ("a negative length", (-1i32).to_be_bytes().to_vec()),
        ("the smallest length", i32::MIN.to_be_bytes().to_vec()),
        ("a length of 2 GiB", i32::MAX.to_be_bytes().to_vec()),
        (
            "a length above the limit",
            [&(100 << 20 | 1i32).to_be_bytes()[..], &[0; 64]].concat(),
        ),
        ("a frame without a header", vec![0, 0, 0, 2, 0, 3]),
        (
            "an HTTP request",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        ),
        ("a TLS hello", tls_hello),
        ("an unknown API", request_frame(9999, 0, 7, &[])?),
        (
            "a version that is not there",
            request_frame(METADATA, 99, 7, &[0, 0, 0, 0])?,
        ),
    ];
    for (what, bytes) in &cases {
        served.expect_closed(what, bytes, false)?;
    }
    for length in [1, 3, 4, 9, whole.len() - 1] {
        served.expect_closed(&format!("a frame cut at {length}"), &whole[..length], true)?;
    }
    Ok(())
}

#[test]
fn counts_larger_than_the_frame_cost_their_own_connection_alone() -> Result<()> {
    let mut served = Served::start()?;
    let many = i32::MAX.to_be_bytes();
    let count = |before: &[u8]| [before, &many].concat();
    let cases: [(&str, i16, i16, Vec<u8>); 7] = [
        ("topics of metadata", METADATA, 1, many.to_vec()),
        ("topics of list offsets", 2, 1, count(&[0xff; 4])),
        ("topics of create topics", 19, 2, many.to_vec()),
        ("names of delete topics", 20, 1, many.to_vec()),
        ("topics of fetch", 1, 4, count(&[0; 17])),
        (
            "topics of produce",
            0,
            9,
            [&[0, 0, 1, 0, 0, 0, 1][..], &[0xff, 0xff, 0xff, 0x7f]].concat(),
        ),
        (
            "a string's length",
            METADATA,
            1,
            vec![0, 0, 0, 1, 0x7f, 0xff, b'a'],
        ),
    ];
    let before = served.resident()?;
    for (what, key, version, body) in &cases {
        served.expect_closed(what, &request_frame(*key, *version, 7, body)?, false)?;
    }
    let grown = served.resident()?.saturating_sub(before);
    assert!(grown < MEMORY_MAX, "{grown} bytes");
    Ok(())
}

#[test]
fn frames_that_never_come_cost_no_memory() -> Result<()> {
    let mut served = Served::start()?;
    served.check("the start")?;
    let before = served.resident()?;
    let mut waiting = Vec::new();
    for _ in 0..64 {
        let mut connection = served.connect()?;
        connection.send(&(90i32 << 20).to_be_bytes())?;
        connection.send(&[0, 3, 0, 1, 0, 0, 0, 0])?;
        waiting.push(connection);
    }
    served.check("frames that never come")?;
    let grown = served.resident()?.saturating_sub(before);
    assert!(
        grown < MEMORY_MAX,
        "{grown} bytes for {} connections",
        waiting.len()
    );
    Ok(())
}

#[test]
fn api_versions_of_an_unknown_version_is_answered_in_version_0() -> Result<()> {
    let mut served = Served::start()?;
    let mut connection = served.connect()?;
    // The header of such a new version has an empty list of tagged fields.
    let body = [0, 1, 2, 3];
    connection.send(&request_frame(API_VERSIONS, 99, 42, &body)?)?;
    let mut answer = connection.receive()?.context("closed")?;
    assert_eq!(answer.split_to(4)[..], 42i32.to_be_bytes());
    let response = kafka::ApiVersionsResponseData::read(&mut answer, 0)?;
    assert_eq!(response.error_code, 35, "UNSUPPORTED_VERSION");
    let own = response
        .api_keys
        .iter()
        .find(|api| api.api_key == API_VERSIONS);
    assert!(own.is_some_and(|api| api.max_version >= 4), "{response:?}");
    // The client can continue on the same connection.
    assert!(!connection.api_versions()?.api_keys.is_empty());
    served.check("ApiVersions v99")
}

/// Returns a batch of three records after a change, with a recomputed CRC unless the CRC is the
/// change.
fn changed(right_crc: bool, change: impl Fn(&mut BytesMut)) -> Result<BytesMut> {
    let mut bytes = batch(&[b"one", b"two", b"three"])?;
    change(&mut bytes);
    if right_crc {
        let crc = crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    Ok(bytes)
}

fn put_i32(bytes: &mut BytesMut, at: usize, value: i32) {
    (&mut bytes[at..at + 4]).put_i32(value);
}

#[test]
fn batches_that_are_wrong_get_kafkas_error_codes() -> Result<()> {
    let mut served = Served::start()?;
    const CORRUPT_MESSAGE: i16 = 2;
    const MESSAGE_TOO_LARGE: i16 = 10;
    const INVALID_RECORD: i16 = 87;
    let cases = [
        (
            "a wrong CRC",
            CORRUPT_MESSAGE,
            changed(false, |b| b[20] ^= 1)?,
        ),
        (
            "a flipped bit in a record",
            CORRUPT_MESSAGE,
            changed(false, |b| b[70] ^= 1)?,
        ),
        ("magic 1", INVALID_RECORD, changed(true, |b| b[16] = 1)?),
        (
            "a count too high",
            INVALID_RECORD,
            changed(true, |b| put_i32(b, 57, 4))?,
        ),
        (
            "a count too low",
            INVALID_RECORD,
            changed(true, |b| put_i32(b, 57, 2))?,
        ),
        (
            "a negative count",
            INVALID_RECORD,
            changed(true, |b| put_i32(b, 57, -1))?,
        ),
        (
            "the largest count",
            INVALID_RECORD,
            changed(true, |b| put_i32(b, 57, i32::MAX))?,
        ),
        (
            "a last offset that lies",
            INVALID_RECORD,
            changed(true, |b| put_i32(b, 23, 9))?,
        ),
        (
            "a batch over the limit",
            MESSAGE_TOO_LARGE,
            batch(&[&[7; 1_100_000]])?,
        ),
    ];
    for (what, code, bytes) in cases {
        let mut connection = served.connect()?;
        let produced = produce(&mut connection, "t", 0, -1, bytes.freeze()).context(what)?;
        assert_eq!(produced.error_code, code, "{what}: {produced:?}");
        served.check(what)?;
    }
    Ok(())
}

#[test]
fn batches_that_are_cut_or_of_unknown_magic_are_refused() -> Result<()> {
    let mut served = Served::start()?;
    let whole = batch(&[b"one", b"two", b"three"])?;
    let cases = [
        ("magic 3", changed(true, |b| b[16] = 3)?),
        (
            "a negative batch length",
            changed(false, |b| put_i32(b, 8, -1))?,
        ),
        (
            "a batch length of 2 GiB",
            changed(false, |b| put_i32(b, 8, i32::MAX))?,
        ),
        ("a cut batch", BytesMut::from(&whole[..whole.len() - 1])),
        ("half a header", BytesMut::from(&whole[..30])),
        ("five bytes", BytesMut::from(&whole[..5])),
    ];
    for (what, bytes) in cases {
        let mut connection = served.connect()?;
        // Kafka closes the connection on some of these batches; an error code is acceptable too.
        if let Ok(produced) = produce(&mut connection, "t", 0, -1, bytes.freeze()) {
            assert_ne!(produced.error_code, 0, "{what}: {produced:?}");
        }
        served.check(what)?;
    }
    Ok(())
}

#[test]
fn names_that_are_not_legal_and_partitions_that_are_not_there_get_kafkas_error_codes() -> Result<()>
{
    let mut served = Served::start()?;
    const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    const INVALID_TOPIC_EXCEPTION: i16 = 17;
    let long = "x".repeat(250);
    for name in ["", ".", "..", "a b", "a/b", "\u{e9}", long.as_str()] {
        let topic = kafka::CreatableTopic {
            name: text(name),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        };
        let request = kafka::CreateTopicsRequestData {
            topics: vec![topic],
            timeout_ms: 5000,
            ..Default::default()
        };
        let response = served.connect()?.call(&request, 7)?;
        assert_eq!(
            response.topics[0].error_code, INVALID_TOPIC_EXCEPTION,
            "create {name:?}"
        );
        served.check("an illegal name")?;
    }
    for (topic, partition) in [("nowhere", 0), ("t", 1), ("t", -1), ("t", i32::MAX)] {
        let records = batch(&[b"lost"])?.freeze();
        let produced = produce(&mut served.connect()?, topic, partition, -1, records)?;
        let code = produced.error_code;
        assert_eq!(
            code, UNKNOWN_TOPIC_OR_PARTITION,
            "produce to {topic}-{partition}"
        );
        let partition = kafka::ListOffsetsPartition {
            partition_index: partition,
            timestamp: -1,
            ..Default::default()
        };
        let wanted = kafka::ListOffsetsTopic {
            name: text(topic),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = kafka::ListOffsetsRequestData {
            replica_id: -1,
            topics: vec![wanted],
            ..Default::default()
        };
        let response = served.connect()?.call(&request, 7)?;
        let code = response.topics[0].partitions[0].error_code;
        assert_eq!(code, UNKNOWN_TOPIC_OR_PARTITION, "offsets of {topic}");
        served.check("a partition that is not there")?;
    }
    Ok(())
}

#[test]
fn two_thousand_random_frames_leave_the_node_as_it_was() -> Result<()> {
    let seed = match std::env::var("DOHLE_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_) => u64::from(std::process::id()),
    };
    println!("DOHLE_SEED={seed}");
    let mut random = Random(seed);
    let mut served = Served::start()?;
    let before = served.resident()?;
    let apis = served.connect()?.api_versions()?.api_keys;
    for _ in 0..2000 {
        let api = &apis[random.below(apis.len())];
        let version = api.min_version + i16::try_from(random.below(5))?;
        let length = random.below(200);
        let body: Vec<u8> = (0..length).map(|_| random.byte()).collect();
        let mut connection = served.connect()?;
        let _ = connection.send(&request_frame(api.api_key, version, 1, &body)?);
        // Whatever the node answers, and if it closes the connection, it must not wait for more.
        let _ = connection.finish_sending();
        let _ = connection.receive();
    }
    served.check("random frames")?;
    let grown = served.resident()?.saturating_sub(before);
    assert!(grown < MEMORY_MAX, "{grown} bytes");
    Ok(())
}

/// Generates random frames from a seed (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = (self.0 | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Small numbers are frequent, so that lengths and counts are often plausible.
    fn byte(&mut self) -> u8 {
        let value = self.next().to_le_bytes();
        if value[1] < 160 {
            value[0] % 4
        } else {
            value[0]
        }
    }
}
