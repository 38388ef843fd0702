//! Tests of ordering, backpressure and invalid input, over streams in memory.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use dohle_model::record::SecurityProtocol;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use stored::{Stored, stored};

mod sessions;
mod stored;
mod throttle;

/// A service that answers a request with its own bytes: at once, when the test permits it, or
/// never.
#[derive(Default)]
struct Echo {
    /// The requests that were begun, in order.
    begun: Mutex<Vec<Bytes>>,
    gates: Mutex<Vec<oneshot::Sender<()>>>,
    charges: Mutex<Vec<MemoryPermit>>,
    /// Bytes of stored records that were read.
    stored_read: Arc<AtomicUsize>,
    /// The size of the largest frame that the session accepts; 0 for the configured one.
    frame_bytes_max: AtomicUsize,
    /// The throttle time of requests that were served since the connection asked, in milliseconds.
    throttle_ms: AtomicU64,
}

/// First bytes of requests, which select the response.
const AT_ONCE: u8 = 0;
const GATED: u8 = 1;
const GATED_EXCLUSIVE: u8 = 2;
const SILENT: u8 = 3;
const MALFORMED: u8 = 4;
const HOLD_CHARGE: u8 = 5;
const ENDING: u8 = 9;
const ENDING_SILENTLY: u8 = 10;
const STALLED_MAX: Duration = Duration::from_secs(1);
/// Responses with records that are in the page cache, that are not, or that are lost halfway.
const STORED: u8 = 6;
const STORED_COLD: u8 = 7;
const STORED_LOST: u8 = 8;

/// Requests that exceed a quota: for a short time, and for one that a test does not wait for.
const THROTTLED: u8 = 11;
const THROTTLED_LONG: u8 = 12;
const THROTTLE_MS: u64 = 200;

const STORED_BYTES: usize = 5_000_000;

impl ConnectionHandler for Arc<Echo> {
    fn call(&mut self, frame: Bytes, permit: MemoryPermit) -> Result<Pending, Malformed> {
        self.begun.lock().push(frame.clone());
        let answer = ResponseAction::Send(Frame::Many(vec![
            frame.slice(..1).into(),
            frame.slice(1..).into(),
        ]));
        let kind = frame[0];
        match kind {
            ENDING | ENDING_SILENTLY => {
                let answer = match answer {
                    ResponseAction::Send(frame) if kind == ENDING => Some(frame),
                    _ => None,
                };
                Ok(Pending {
                    answer: Box::pin(std::future::ready(ResponseAction::End(answer))),
                    pipelined: false,
                    tag: None,
                })
            }
            MALFORMED => {
                let (api, reason) = ("Test".into(), "it is malformed".into());
                Err(Malformed {
                    api,
                    version: 7,
                    reason,
                })
            }
            GATED | GATED_EXCLUSIVE => {
                let (sender, gate) = oneshot::channel();
                self.gates.lock().push(sender);
                let answer = async move {
                    let _ = gate.await;
                    answer
                };
                Ok(Pending {
                    answer: Box::pin(answer),
                    pipelined: kind == GATED,
                    tag: None,
                })
            }
            STORED | STORED_COLD | STORED_LOST => {
                let head = frame.slice(..1).into();
                let read = Arc::clone(&self.stored_read);
                let answer = ResponseAction::Send(Frame::Many(vec![
                    head,
                    Chunk::Source(Box::new(Stored { kind, read })),
                    frame.slice(1..).into(),
                ]));
                Ok(Pending {
                    answer: Box::pin(std::future::ready(answer)),
                    pipelined: false,
                    tag: None,
                })
            }
            _ => {
                match kind {
                    THROTTLED => self.throttle_ms.store(THROTTLE_MS, Ordering::Relaxed),
                    THROTTLED_LONG => self.throttle_ms.store(3_600_000, Ordering::Relaxed),
                    _ => {}
                }
                if kind == HOLD_CHARGE {
                    self.charges.lock().push(permit);
                }
                let answer = if kind == SILENT {
                    ResponseAction::Nothing
                } else {
                    answer
                };
                Ok(Pending {
                    answer: Box::pin(std::future::ready(answer)),
                    pipelined: false,
                    tag: None,
                })
            }
        }
    }

    fn frame_sizes(&self, configured: FrameSizes) -> FrameSizes {
        match self.frame_bytes_max.load(Ordering::Relaxed) {
            0 => configured,
            max => FrameSizes {
                min: 1,
                max,
                property: "a test",
            },
        }
    }

    fn take_throttle_time(&mut self) -> Duration {
        Duration::from_millis(self.throttle_ms.swap(0, Ordering::Relaxed))
    }
}

struct Fixture {
    echo: Arc<Echo>,
    client: DuplexStream,
    task: JoinHandle<()>,
    memory_pool: Arc<RequestMemoryPool>,
    request_limit: RequestLimit,
    shutdown: CancellationToken,
}

impl Fixture {
    fn new() -> Self {
        Self::with_memory(1 << 20)
    }

    fn with_memory(bytes: usize) -> Self {
        Self::with(bytes, Duration::from_mins(10))
    }

    fn with(bytes: usize, idle_max: Duration) -> Self {
        Self::with_limits(
            RequestMemoryPool::new(bytes),
            idle_max,
            FrameTimes::default(),
        )
    }

    fn with_limits(
        memory_pool: Arc<RequestMemoryPool>,
        idle_max: Duration,
        frame_times: FrameTimes,
    ) -> Self {
        let (client, server) = tokio::io::duplex(1 << 16);
        let echo = Arc::new(Echo::default());
        let shutdown = CancellationToken::new();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9092));
        let peer = Client {
            listener: "TEST".into(),
            security_protocol: SecurityProtocol::Plaintext,
            certificate_principal: None,
            authenticated: None,
            local: address,
            peer: address,
        };
        let request_limit = RequestLimit::new(100 << 20);
        let limits = ConnectionLimits {
            request_bytes_max: request_limit.clone(),
            idle_max,
            stalled_max: STALLED_MAX,
            frame_times,
            shutdown_grace: Duration::from_millis(300),
        };
        let session = Box::new(Arc::clone(&echo));
        let (pool, end) = (Arc::clone(&memory_pool), shutdown.clone());
        let task = tokio::spawn(async move {
            let node = run(server, peer, session, pool, limits, end).await;
            assert!(node.is_none(), "the session authenticates nobody");
        });
        Self {
            echo,
            client,
            task,
            memory_pool,
            request_limit,
            shutdown,
        }
    }

    /// Sends the length and the first bytes of a frame, like a client that then stops.
    async fn send_part(&mut self, length: usize, arrived: usize) {
        let length = i32::try_from(length).unwrap();
        self.client.write_all(&length.to_be_bytes()).await.unwrap();
        self.client.write_all(&vec![0; arrived]).await.unwrap();
        self.settle().await;
    }

    async fn send(&mut self, kind: u8, text: &str) {
        self.client.write_all(&request(kind, text)).await.unwrap();
    }

    async fn receive(&mut self, kind: u8, text: &str) {
        let wanted = body(kind, text);
        let mut read = vec![0; wanted.len()];
        self.client.read_exact(&mut read).await.unwrap();
        assert_eq!(read, wanted);
    }

    /// Lets the connection run until it waits.
    async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    fn open(&self, gate: usize) {
        let sender = self.echo.gates.lock().remove(gate);
        sender.send(()).unwrap();
    }

    fn begun(&self) -> usize {
        self.echo.begun.lock().len()
    }
}

/// Returns a body that is at least as long as a request header.
fn body(kind: u8, text: &str) -> Vec<u8> {
    let mut body = vec![kind];
    body.extend_from_slice(format!("{text:<12}").as_bytes());
    body
}

fn request(kind: u8, text: &str) -> Bytes {
    let body = body(kind, text);
    let mut frame = BytesMut::new();
    frame.put_i32(i32::try_from(body.len()).unwrap());
    frame.extend_from_slice(&body);
    frame.freeze()
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_requests() {
    let mut fixture = Fixture::new();
    fixture.send(GATED, "first").await;
    fixture.send(GATED, "second").await;
    fixture.send(AT_ONCE, "third").await;
    fixture.settle().await;
    assert_eq!(
        fixture.begun(),
        3,
        "requests that may be overtaken do not hold others up"
    );
    fixture.open(1);
    fixture.open(0);
    fixture.receive(GATED, "first").await;
    fixture.receive(GATED, "second").await;
    fixture.receive(AT_ONCE, "third").await;
}

#[tokio::test]
async fn a_request_that_must_not_be_overtaken_holds_up_the_next() {
    let mut fixture = Fixture::new();
    fixture.send(GATED_EXCLUSIVE, "first").await;
    fixture.send(AT_ONCE, "second").await;
    fixture.settle().await;
    assert_eq!(fixture.begun(), 1);
    fixture.open(0);
    fixture.receive(GATED_EXCLUSIVE, "first").await;
    fixture.receive(AT_ONCE, "second").await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_connection_though_a_request_waits() {
    let mut fixture = Fixture::new();
    fixture.send(GATED_EXCLUSIVE, "first").await;
    fixture.settle().await;
    drop(fixture.client);
    fixture.task.await.unwrap();
    assert_eq!(fixture.memory_pool.used(), 0);
}

#[tokio::test]
async fn a_request_without_an_answer_leaves_no_gap() {
    let mut fixture = Fixture::new();
    fixture.send(SILENT, "first").await;
    fixture.send(AT_ONCE, "second").await;
    fixture.receive(AT_ONCE, "second").await;
}

#[tokio::test]
async fn frames_may_arrive_byte_by_byte() {
    let mut fixture = Fixture::new();
    let bytes = [request(AT_ONCE, "one"), request(AT_ONCE, "two")].concat();
    for byte in bytes {
        fixture.client.write_all(&[byte]).await.unwrap();
        fixture.settle().await;
    }
    fixture.receive(AT_ONCE, "one").await;
    fixture.receive(AT_ONCE, "two").await;
}

#[tokio::test]
async fn a_large_frame_arrives_whole() {
    let mut fixture = Fixture::new();
    let text = "x".repeat(900_000);
    let (mut reader, mut writer) = tokio::io::split(fixture.client);
    let frame = request(AT_ONCE, &text);
    let writing = tokio::spawn(async move {
        writer.write_all(&frame).await.unwrap();
        writer
    });
    let mut read = vec![0; body(AT_ONCE, &text).len()];
    reader.read_exact(&mut read).await.unwrap();
    assert_eq!(read, body(AT_ONCE, &text));
    let writer = writing.await.unwrap();
    fixture.client = reader.unsplit(writer);
    fixture.settle().await;
    assert_eq!(fixture.memory_pool.used(), 0, "all bytes were given back");
}

#[tokio::test]
async fn a_malformed_request_is_the_last_and_earlier_ones_are_answered() {
    let mut fixture = Fixture::new();
    fixture.send(GATED, "first").await;
    fixture.send(MALFORMED, "second").await;
    fixture.send(AT_ONCE, "third").await;
    fixture.settle().await;
    fixture.open(0);
    fixture.receive(GATED, "first").await;
    assert_eq!(
        fixture.client.read(&mut [0; 16]).await.unwrap(),
        0,
        "closed"
    );
    fixture.task.await.unwrap();
    assert_eq!(fixture.echo.begun.lock().len(), 2);
}

#[tokio::test]
async fn an_open_connection_follows_a_change_of_the_limit_of_request_sizes() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.request_limit.set(32), 100 << 20);
    fixture.send(AT_ONCE, "of ten bytes").await;
    fixture.receive(AT_ONCE, "of ten bytes").await;
    let large = "a".repeat(1000);
    fixture.request_limit.set(2000);
    fixture.send(AT_ONCE, &large).await;
    fixture.receive(AT_ONCE, &large).await;
    fixture.request_limit.set(32);
    fixture.send(AT_ONCE, "of ten bytes").await;
    fixture.receive(AT_ONCE, "of ten bytes").await;
    fixture.send(AT_ONCE, &large).await;
    assert_eq!(fixture.client.read(&mut [0; 1]).await.unwrap(), 0, "closed");
    fixture.task.await.unwrap();
}

#[tokio::test]
async fn invalid_frame_lengths_close_the_connection() {
    for length in [-1_i32, i32::MIN, i32::MAX, (100 << 20) + 1, 0, 9] {
        let mut fixture = Fixture::new();
        fixture
            .client
            .write_all(&length.to_be_bytes())
            .await
            .unwrap();
        fixture.client.write_all(&[0; 64]).await.unwrap();
        assert_eq!(
            fixture.client.read(&mut [0; 16]).await.unwrap(),
            0,
            "{length}"
        );
        fixture.task.await.unwrap();
        assert_eq!(fixture.memory_pool.used(), 0);
    }
}

#[tokio::test]
async fn a_truncated_frame_ends_the_connection() {
    let mut fixture = Fixture::new();
    fixture
        .client
        .write_all(&request(AT_ONCE, "whole")[..9])
        .await
        .unwrap();
    drop(fixture.client);
    fixture.task.await.unwrap();
    assert_eq!(fixture.echo.begun.lock().len(), 0);
    assert_eq!(fixture.memory_pool.used(), 0);
}

#[tokio::test]
async fn nothing_is_read_while_the_node_holds_too_much() {
    let mut fixture = Fixture::with_memory(20);
    fixture.send(HOLD_CHARGE, "a first, long enough").await;
    fixture.receive(HOLD_CHARGE, "a first, long enough").await;
    fixture.send(AT_ONCE, "second").await;
    fixture.settle().await;
    assert_eq!(
        fixture.begun(),
        1,
        "the second waits until bytes are given back"
    );
    fixture.echo.charges.lock().clear();
    fixture.receive(AT_ONCE, "second").await;
}

#[tokio::test]
async fn nothing_beyond_the_length_is_read_while_a_request_waits() {
    let mut fixture = Fixture::new();
    fixture.send(GATED_EXCLUSIVE, "first").await;
    let memory_pool = Arc::clone(&fixture.memory_pool);
    let frame = request(AT_ONCE, &"x".repeat(900_000));
    let (mut reader, mut writer) = tokio::io::split(fixture.client);
    let writing = tokio::spawn(async move { writer.write_all(&frame).await });
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        memory_pool.used(),
        0,
        "the first request's memory was given back"
    );
    assert!(!writing.is_finished(), "the frame stays with the client");
    let gate = fixture.echo.gates.lock().remove(0);
    gate.send(()).unwrap();
    let wanted = 13 + 900_001;
    let mut read = vec![0; wanted];
    reader.read_exact(&mut read).await.unwrap();
    writing.await.unwrap().unwrap();
}

#[tokio::test]
async fn no_byte_beyond_the_length_is_taken_from_the_socket_while_a_request_waits() {
    let mut fixture = Fixture::new();
    fixture.send(GATED_EXCLUSIVE, "first").await;
    fixture.settle().await;
    let frame = request(AT_ONCE, &"x".repeat(900_000));
    // The capacity of the stream itself, and the length.
    let expected = (1 << 16) + 4;
    let mut taken = 0;
    while taken < expected {
        taken += fixture.client.write(&frame[taken..]).await.unwrap();
    }
    assert_eq!(taken, expected);
    fixture.settle().await;
    let more = fixture.client.write(&frame[taken..]);
    let more = tokio::time::timeout(Duration::from_millis(20), more).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn nothing_beyond_the_length_is_read_while_the_pipeline_is_full() {
    let mut fixture = Fixture::new();
    for _ in 0..64 {
        fixture.send(GATED, "waits").await;
    }
    fixture.settle().await;
    assert_eq!(fixture.begun(), 64);
    let held = fixture.memory_pool.used();
    fixture.send_part(900_000, 60_000).await;
    assert_eq!(fixture.memory_pool.used(), held);
    assert_eq!(fixture.begun(), 64);
}

/// Returns three frames of 99 MB that stop 100 bytes before their end, as far as the node reads
/// them.
async fn three_stalled_frames(
    memory_pool: &Arc<RequestMemoryPool>,
    times: FrameTimes,
) -> Vec<Fixture> {
    let mut stalled = Vec::new();
    for _ in 0..3 {
        let minutes = Duration::from_mins(10);
        let mut fixture = Fixture::with_limits(Arc::clone(memory_pool), minutes, times);
        fixture.send_part(99_000_000, 60_000).await;
        stalled.push(fixture);
    }
    stalled
}

#[tokio::test]
async fn stalled_large_frames_do_not_keep_others_from_being_served() {
    let memory_pool = RequestMemoryPool::new(256 << 20);
    let times = FrameTimes::default();
    let stalled = three_stalled_frames(&memory_pool, times).await;
    let mut other = Fixture::with_limits(Arc::clone(&memory_pool), Duration::from_mins(10), times);
    other.send(AT_ONCE, "a small request").await;
    other.receive(AT_ONCE, "a small request").await;
    let text = "x".repeat(1 << 20);
    let frame = request(AT_ONCE, &text);
    let (mut reader, mut writer) = tokio::io::split(other.client);
    let writing = tokio::spawn(async move { writer.write_all(&frame).await });
    let mut read = vec![0; text.len() + 1];
    reader.read_exact(&mut read).await.unwrap();
    writing.await.unwrap().unwrap();
    assert!(stalled.iter().all(|fixture| !fixture.task.is_finished()));
}

#[tokio::test]
async fn a_frame_that_does_not_arrive_in_time_is_given_up() {
    let times = FrameTimes {
        whole: Duration::from_millis(50),
        window: Duration::from_millis(20),
    };
    let memory_pool = RequestMemoryPool::new(256 << 20);
    for fixture in three_stalled_frames(&memory_pool, times).await {
        fixture.task.await.unwrap();
    }
    assert_eq!(memory_pool.used(), 0, "the memory was given back");
    // Single bytes do not extend the time.
    let mut slow = Fixture::with_limits(Arc::clone(&memory_pool), Duration::from_mins(10), times);
    slow.send_part(99_000_000, 10).await;
    while slow.client.write_all(&[0]).await.is_ok() {
        tokio::task::yield_now().await;
    }
    slow.task.await.unwrap();
}

#[tokio::test]
async fn a_frame_that_stalls_is_given_up_when_another_waits_for_memory() {
    let times = FrameTimes {
        whole: Duration::from_mins(10),
        window: Duration::from_millis(20),
    };
    let memory_pool = RequestMemoryPool::new(256 << 20);
    let mut stalled = three_stalled_frames(&memory_pool, times).await;
    // The third frame waits; the first two, which make no progress, make room for it.
    let third = stalled.pop().unwrap();
    for fixture in stalled {
        fixture.task.await.unwrap();
    }
    assert!(!third.task.is_finished(), "nobody waits any more");
    assert_eq!(memory_pool.used(), 99_000_000);
}

#[tokio::test]
async fn a_reader_that_stops_is_idle_and_one_that_goes_on_is_not() {
    let idle_max = Duration::from_millis(100);
    let mut fixture = Fixture::with(1 << 20, idle_max);
    let text = "x".repeat(60_000);
    for _ in 0..3 {
        fixture.send(AT_ONCE, &text).await;
    }
    // Twice the time passes, but bytes move all the while.
    let mut read = vec![0; 500];
    for _ in 0..40 {
        fixture.client.read_exact(&mut read).await.unwrap();
        let pause = fixture.client.read_exact(&mut read[..1]);
        tokio::time::timeout(Duration::from_millis(5), pause)
            .await
            .unwrap()
            .unwrap();
        tokio::time::timeout(Duration::from_millis(5), std::future::pending::<()>())
            .await
            .unwrap_err();
    }
    assert!(!fixture.task.is_finished());
    // The client stops reading: responses that are not accepted do not keep the connection open.
    fixture.task.await.unwrap();
}

#[tokio::test]
async fn a_reader_that_was_slow_is_served_on() {
    let mut fixture = Fixture::with(1 << 20, Duration::from_millis(1_000));
    let text = "x".repeat(60_000);
    for _ in 0..3 {
        fixture.send(AT_ONCE, &text).await;
    }
    let mut rest = 3 * body(AT_ONCE, &text).len();
    for _ in 0..40 {
        fixture.client.read_exact(&mut [0; 500]).await.unwrap();
        rest -= 500;
        let pause = std::future::pending::<()>();
        let passed = tokio::time::timeout(Duration::from_millis(30), pause).await;
        passed.unwrap_err();
    }
    // A connection that is being closed would not read this.
    fixture.send(AT_ONCE, "next").await;
    fixture.client.read_exact(&mut vec![0; rest]).await.unwrap();
    fixture.receive(AT_ONCE, "next").await;
}

#[tokio::test]
async fn nothing_is_begun_while_the_client_does_not_read() {
    let fixture = Fixture::new();
    let text = "x".repeat(60_000);
    let frame = request(AT_ONCE, &text);
    let (mut reader, mut writer) = tokio::io::split(fixture.client);
    let writing = tokio::spawn(async move {
        for _ in 0..200 {
            writer.write_all(&frame).await.unwrap();
        }
    });
    for _ in 0..5000 {
        tokio::task::yield_now().await;
    }
    let begun = fixture.echo.begun.lock().len();
    assert!(
        begun < 25,
        "{begun} requests were begun though nobody reads the answers"
    );
    let mut read = vec![0; body(AT_ONCE, &text).len()];
    for _ in 0..200 {
        reader.read_exact(&mut read).await.unwrap();
    }
    writing.await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_waiting_one_is_not() {
    let mut fixture = Fixture::with(1 << 20, Duration::from_millis(20));
    fixture.send(GATED_EXCLUSIVE, "long").await;
    let mut byte = [0; 1];
    let read = fixture.client.read(&mut byte);
    let waited = tokio::time::timeout(Duration::from_millis(100), read).await;
    assert!(waited.is_err(), "open for as long as an answer is owed");
    fixture.open(0);
    fixture.receive(GATED_EXCLUSIVE, "long").await;
    assert_eq!(
        fixture.client.read(&mut [0; 16]).await.unwrap(),
        0,
        "closed when idle"
    );
}

async fn receive_stored(client: &mut DuplexStream, kind: u8) {
    let mut read = vec![0; STORED_BYTES + 13];
    client.read_exact(&mut read).await.unwrap();
    assert_eq!(read[0], kind);
    let records = &read[1..=STORED_BYTES];
    assert!(
        records
            .iter()
            .enumerate()
            .all(|(at, byte)| *byte == stored(at))
    );
    assert_eq!(read[STORED_BYTES + 1..], body(kind, "")[1..]);
}

#[tokio::test]
async fn readers_that_stop_hold_no_records_in_memory() {
    let memory_pool = RequestMemoryPool::new(256 << 20);
    let times = FrameTimes::default();
    let connect = || Fixture::with_limits(Arc::clone(&memory_pool), Duration::from_mins(10), times);
    let mut stopped = Vec::new();
    for _ in 0..100 {
        let mut fixture = connect();
        fixture.send(STORED, "").await;
        fixture.send(STORED_COLD, "").await;
        fixture.settle().await;
        assert_eq!(
            fixture.begun(),
            1,
            "the next request waits until the first is read"
        );
        stopped.push(fixture);
    }
    // The heads and tails of the responses: no whole window of records.
    assert!(
        memory_pool.responses().used() <= 100 * 13,
        "{}",
        memory_pool.responses().used()
    );
    let mut other = connect();
    other.send(STORED, "").await;
    receive_stored(&mut other.client, STORED).await;
    // Clients that continue to read receive everything that they requested.
    for fixture in &mut stopped[..3] {
        receive_stored(&mut fixture.client, STORED).await;
        receive_stored(&mut fixture.client, STORED_COLD).await;
    }
    drop((stopped, other));
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(memory_pool.responses().used(), 0);
}

#[tokio::test]
async fn records_are_read_as_the_client_takes_them() {
    let mut fixture = Fixture::new();
    fixture.send(STORED, "").await;
    fixture.settle().await;
    let read = fixture.echo.stored_read.load(Ordering::Relaxed);
    assert!(
        read <= 600_000,
        "{read} bytes were read for a client that took none"
    );
    receive_stored(&mut fixture.client, STORED).await;
    let read = fixture.echo.stored_read.load(Ordering::Relaxed);
    assert!(
        read <= STORED_BYTES * 3 / 2,
        "{read} bytes were read to send {STORED_BYTES}"
    );
}

#[tokio::test]
async fn records_that_are_lost_end_the_connection_and_nothing_else_is_sent() {
    let mut fixture = Fixture::new();
    fixture.send(STORED_LOST, "").await;
    let mut read = Vec::new();
    fixture.client.read_to_end(&mut read).await.unwrap();
    assert!((STORED_BYTES / 2..STORED_BYTES).contains(&read.len()));
    assert!(
        read[1..]
            .iter()
            .enumerate()
            .all(|(at, byte)| *byte == stored(at))
    );
    fixture.task.await.unwrap();
}

#[tokio::test]
async fn responses_that_nobody_reads_stay_within_the_memory_of_the_node() {
    let memory_pool = RequestMemoryPool::with_responses(256 << 20, 1 << 20);
    let times = FrameTimes::default();
    let text = "x".repeat(10_000);
    let mut stopped = Vec::new();
    for _ in 0..60 {
        let minutes = Duration::from_mins(10);
        let mut fixture = Fixture::with_limits(Arc::clone(&memory_pool), minutes, times);
        for _ in 0..6 {
            fixture.send(AT_ONCE, &text).await;
        }
        fixture.settle().await;
        stopped.push(fixture);
    }
    // The duplex streams hold 64 KiB, like sockets; no connection gets a large part of the rest.
    let used = memory_pool.responses().used();
    assert!(used <= (1 << 20) + 60 * 10_001, "{used}");
}

#[tokio::test]
async fn a_reader_that_stops_is_closed_when_responses_hold_too_much_memory() {
    let memory_pool = RequestMemoryPool::with_responses(256 << 20, 100_000);
    let times = FrameTimes::default();
    let minutes = Duration::from_mins(10);
    let text = "x".repeat(1_000_000);
    let frame = request(AT_ONCE, &text);
    let mut fixture = Fixture::with_limits(Arc::clone(&memory_pool), minutes, times);
    fixture.client.write_all(&frame).await.unwrap();
    fixture.task.await.unwrap();
    assert_eq!(memory_pool.responses().used(), 0);
}

#[tokio::test]
async fn a_shutdown_lets_answers_out_and_then_closes() {
    let mut fixture = Fixture::new();
    fixture.send(GATED, "first").await;
    fixture.settle().await;
    fixture.shutdown.cancel();
    fixture.settle().await;
    fixture.open(0);
    fixture.receive(GATED, "first").await;
    assert_eq!(fixture.client.read(&mut [0; 16]).await.unwrap(), 0);

    let mut fixture = Fixture::new();
    fixture.send(GATED, "never").await;
    fixture.settle().await;
    fixture.shutdown.cancel();
    assert_eq!(
        fixture.client.read(&mut [0; 16]).await.unwrap(),
        0,
        "closed after the grace"
    );
}
