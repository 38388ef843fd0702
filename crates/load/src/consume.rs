//! One client that reads: a task that keeps one request in flight to each leader of its partitions.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dohle_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use dohle_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use dohle_protocol::messages::{
    FetchRequestData, FetchResponseData, ListOffsetsRequestData, ListOffsetsResponseData,
};
use dohle_protocol::{ApiKey, KafkaString, decode_response, encode_request};

use crate::clock::{RunClock, StopSignal, nanos};
use crate::cluster::{Cluster, patiently};
use crate::connection::{CLIENT_ID, Connection};
use crate::error::{self, LoadError, check};
use crate::fetched::{self, Reading};
use crate::leaders::LeaderRefresh;
use crate::link::{Link, LinkEvent};
use crate::options::{ConsumeLoad, Start};
use crate::tally::ConsumeTally;
use crate::timer::Timer;

/// The versions of Fetch that are used: up to the last one with topics by name.
const FETCH_VERSIONS: (i16, i16) = (4, 12);
const LIST_OFFSETS_VERSIONS: (i16, i16) = (1, 7);
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;
/// How often a client looks for its end.
const TICK: Duration = Duration::from_millis(100);
/// How often a client goes on before other clients of its thread have their turn.
const ROUNDS: usize = 16;
/// A response may take this much longer than a broker waits for records.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Records are awaited for this long after the last one was acknowledged.
const DRAIN: Duration = Duration::from_secs(10);
const OFFSET_OUT_OF_RANGE: i16 = 1;

/// When reading ends.
#[derive(Debug, Clone)]
pub(crate) enum ReadEnd {
    /// At this time, in nanoseconds since the run began.
    At(u64),
    /// After this many records of all clients, those of the warm-up not counted.
    Records(u64),
    /// When the partitions were read up to the offsets that were theirs at the beginning.
    EndOfLog,
    /// When the producers of the run have ended, and, for end-to-end latencies, their records have
    /// arrived.
    Producers(Arc<Produced>),
}

/// The counts that the producers and the consumers of a run share.
#[derive(Debug, Default)]
pub(crate) struct Produced {
    /// Producers that have not ended.
    pub(crate) running: AtomicU64,
    /// Records that were acknowledged, by producers that have ended.
    pub(crate) acknowledged: AtomicU64,
    /// Records of the run that have arrived.
    pub(crate) arrived: AtomicU64,
}

/// What a client has in common with the others.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerContext {
    pub cluster: Arc<Cluster>,
    pub load: Arc<ConsumeLoad>,
    pub topic: Arc<str>,
    pub end: ReadEnd,
    /// Nanoseconds.
    pub warm_up: u64,
    /// Tells the records of this run from others.
    pub run: Option<u64>,
    /// Records that all clients have read after the warm-up.
    pub read: Arc<AtomicU64>,
    pub stop: StopSignal,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Consumer {
    context: ConsumerContext,
    partitions: Vec<Partition>,
    routes: Vec<Route>,
    leaders: LeaderRefresh,
    clock: RunClock,
    /// When the client looks for its end and for late responses next.
    tick: Instant,
    producers_ended: Option<u64>,
    tally: ConsumeTally,
}

/// A partition that the client reads.
#[derive(Debug)]
struct Partition {
    id: i32,
    leader: i32,
    offset: i64,
    /// The end of the partition when the run began.
    end: i64,
}

/// A link with its request in flight.
#[derive(Debug)]
struct Route {
    link: Link,
    version: i16,
    /// The correlation id, and when the request was sent.
    in_flight: Option<(i32, u64)>,
    was_open: bool,
}

impl Consumer {
    /// A client for the partitions with these ids; `leaders` has those of all partitions.
    pub(crate) fn new(context: ConsumerContext, ids: &[i32], leaders: &[i32]) -> Self {
        let partition = |id: &i32| Partition {
            id: *id,
            leader: leaders[*id as usize],
            offset: 0,
            end: 0,
        };
        Self {
            partitions: ids.iter().map(partition).collect(),
            leaders: LeaderRefresh::new(&context.cluster),
            context,
            routes: Vec::new(),
            clock: RunClock(Instant::now()),
            tick: Instant::now(),
            producers_ended: None,
            tally: ConsumeTally::default(),
        }
    }

    /// Finds the offsets at which reading begins, and opens the connections.
    ///
    /// # Errors
    /// When a partition has no leader, or a broker cannot be reached.
    pub(crate) async fn prepare(&mut self) -> Result<(), LoadError> {
        let mut by_leader: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for (index, partition) in self.partitions.iter().enumerate() {
            by_leader.entry(partition.leader).or_default().push(index);
        }
        for (leader, indexes) in by_leader {
            if leader < 0 {
                let partition = self.partitions[indexes[0]].id;
                let topic = &self.context.topic;
                return Err(LoadError::Unreachable(format!(
                    "{topic}-{partition} has no leader"
                )));
            }
            let mut connection = self.context.cluster.open(leader).await?;
            let ends = self.offsets(&mut connection, &indexes, LATEST).await?;
            let starts = match self.context.load.start {
                Start::Beginning => self.offsets(&mut connection, &indexes, EARLIEST).await?,
                Start::End => ends.clone(),
            };
            for (index, (start, end)) in indexes.into_iter().zip(starts.into_iter().zip(ends)) {
                self.partitions[index].offset = start;
                self.partitions[index].end = end;
            }
        }
        self.add_routes();
        poll_fn(|cx| {
            let mut is_open = true;
            for route in &mut self.routes {
                while route.link.connection().is_none() {
                    match route.link.poll(cx, &self.context.cluster) {
                        Poll::Pending => {
                            is_open = false;
                            break;
                        }
                        Poll::Ready(LinkEvent::Lost(error)) => return Poll::Ready(Err(error)),
                        Poll::Ready(LinkEvent::Opened | LinkEvent::Frame(_)) => {
                            if let Err(error) = route.on_open() {
                                return Poll::Ready(Err(error));
                            }
                        }
                    }
                }
            }
            match is_open {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            }
        })
        .await
    }

    async fn offsets(
        &self,
        connection: &mut Connection,
        indexes: &[usize],
        timestamp: i64,
    ) -> Result<Vec<i64>, LoadError> {
        let partition = |index: &usize| ListOffsetsPartition {
            partition_index: self.partitions[*index].id,
            current_leader_epoch: -1,
            timestamp,
            ..ListOffsetsPartition::default()
        };
        let topic = ListOffsetsTopic {
            name: KafkaString::from(self.context.topic.to_string()),
            partitions: indexes.iter().map(partition).collect(),
            ..ListOffsetsTopic::default()
        };
        let request = ListOffsetsRequestData {
            replica_id: -1,
            isolation_level: self.context.load.isolation_level(),
            topics: vec![topic],
            ..ListOffsetsRequestData::default()
        };
        let response: ListOffsetsResponseData =
            patiently(connection.call(&request, LIST_OFFSETS_VERSIONS)).await?;
        let topics = response.topics.iter();
        let mut found = BTreeMap::new();
        for partition in topics.flat_map(|topic| &topic.partitions) {
            check("ListOffsets", partition.error_code)?;
            found.insert(partition.partition_index, partition.offset);
        }
        let offset = |index: &usize| found.get(&self.partitions[*index].id).copied();
        Ok(indexes
            .iter()
            .map(|index| offset(index).unwrap_or(0))
            .collect())
    }

    fn add_routes(&mut self) {
        for partition in self.partitions.iter().filter(|it| it.leader >= 0) {
            let leader = partition.leader;
            if !self.routes.iter().any(|it| it.link.broker == leader) {
                self.routes.push(Route {
                    link: Link::new(leader),
                    version: 0,
                    in_flight: None,
                    was_open: false,
                });
            }
        }
    }

    /// Reads until the run ends.
    ///
    /// # Errors
    /// When there is no descriptor for the client's timer.
    pub(crate) async fn run(mut self, clock: RunClock) -> Result<ConsumeTally, LoadError> {
        self.clock = clock;
        let mut timer = Timer::new()?;
        poll_fn(|cx| timer.poll_until(cx, clock.0)).await;
        poll_fn(|cx| self.poll(cx, &mut timer)).await;
        Ok(self.tally)
    }

    fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Timer) -> Poll<()> {
        for _ in 0..ROUNDS {
            if self.is_over() {
                return Poll::Ready(());
            }
            self.poll_leaders(cx);
            let mut wake = self.tick;
            let mut again = false;
            for index in 0..self.routes.len() {
                again |= self.poll_route(cx, index);
                let link = &self.routes[index].link;
                let is_used = self.partitions.iter().any(|it| it.leader == link.broker);
                let retry = link.retry_at().filter(|_| is_used);
                wake = retry.map_or(wake, |retry| wake.min(retry));
            }
            if again {
                continue;
            }
            if timer.poll_until(cx, wake).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            if now >= self.tick {
                self.tick = now + TICK;
                self.close_silent();
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_over(&mut self) -> bool {
        let now = self.clock.now();
        if self.context.stop.is_stopped() || self.partitions.is_empty() {
            return true;
        }
        match &self.context.end {
            ReadEnd::At(end) => now >= *end,
            ReadEnd::Records(records) => self.context.read.load(Ordering::Relaxed) >= *records,
            ReadEnd::EndOfLog => self.partitions.iter().all(|it| it.offset >= it.end),
            ReadEnd::Producers(produced) => {
                if produced.running.load(Ordering::Acquire) > 0 {
                    return false;
                }
                let ended = *self.producers_ended.get_or_insert(now);
                let acknowledged = produced.acknowledged.load(Ordering::Acquire);
                self.context.run.is_none()
                    || produced.arrived.load(Ordering::Relaxed) >= acknowledged
                    || now - ended > nanos(DRAIN)
            }
        }
    }

    fn poll_leaders(&mut self, cx: &mut Context<'_>) {
        let Poll::Ready(leaders) = self.leaders.poll(cx) else {
            return;
        };
        self.tally.refreshes += 1;
        for partition in &mut self.partitions {
            let leader = leaders.get(partition.id as usize);
            partition.leader = leader.copied().unwrap_or(-1);
        }
        if self.partitions.iter().any(|it| it.leader < 0) {
            self.leaders.mark_stale();
        }
        self.add_routes();
    }

    /// Closes connections whose broker owes a response for too long.
    fn close_silent(&mut self) {
        let now = self.clock.now();
        let limit = nanos(self.context.load.max_wait + TIMEOUT);
        for route in &mut self.routes {
            if route
                .in_flight
                .is_some_and(|(_, sent)| now.saturating_sub(sent) > limit)
            {
                route.link.close();
                route.in_flight = None;
                self.tally.on_failure("no response within the timeout");
                self.leaders.mark_stale();
            }
        }
    }

    /// Takes the response of a broker, and sends the next request. Returns whether a response came.
    fn poll_route(&mut self, cx: &mut Context<'_>, index: usize) -> bool {
        let broker = self.routes[index].link.broker;
        let is_used = self.partitions.iter().any(|it| it.leader == broker);
        if !is_used && self.routes[index].link.retry_at().is_some() {
            return false;
        }
        let mut came = false;
        while let Poll::Ready(event) = self.routes[index].link.poll(cx, &self.context.cluster) {
            let route = &mut self.routes[index];
            match event {
                LinkEvent::Opened => match route.on_open() {
                    Ok(is_again) => self.tally.reconnects += u64::from(is_again),
                    Err(error) => {
                        route.link.close();
                        self.tally.on_failure(&error.to_string());
                    }
                },
                LinkEvent::Lost(_) => {
                    route.in_flight = None;
                    self.tally.on_failure("connection lost");
                    self.leaders.mark_stale();
                }
                LinkEvent::Frame(frame) => {
                    self.on_response(index, frame);
                    came = true;
                    break;
                }
            }
        }
        if is_used && self.routes[index].in_flight.is_none() {
            self.send(index);
        }
        if self.routes[index].link.poll_write(cx).is_err() {
            let route = &mut self.routes[index];
            route.link.close();
            route.in_flight = None;
            self.tally.on_failure("connection lost");
            self.leaders.mark_stale();
            return true;
        }
        came
    }

    fn send(&mut self, index: usize) {
        let now = self.clock.now();
        let load = &self.context.load;
        let route = &mut self.routes[index];
        let broker = route.link.broker;
        let version = route.version;
        let Some(connection) = route.link.connection() else {
            return;
        };
        let partitions = self.partitions.iter().filter(|it| it.leader == broker);
        let partition = |partition: &Partition| FetchPartition {
            partition: partition.id,
            current_leader_epoch: -1,
            fetch_offset: partition.offset,
            partition_max_bytes: load.partition_max_bytes,
            ..FetchPartition::default()
        };
        let topic = FetchTopic {
            topic: KafkaString::from(self.context.topic.to_string()),
            partitions: partitions.map(partition).collect(),
            ..FetchTopic::default()
        };
        let request = FetchRequestData {
            replica_id: -1,
            max_wait_ms: load.max_wait.as_millis() as i32,
            min_bytes: load.min_bytes,
            max_bytes: load.max_bytes,
            isolation_level: load.isolation_level(),
            session_epoch: -1,
            topics: vec![topic],
            ..FetchRequestData::default()
        };
        let id = connection.next_correlation_id();
        let Ok(frame) = encode_request(&request, version, id, CLIENT_ID) else {
            return;
        };
        connection.send([frame]);
        route.in_flight = Some((id, now));
    }

    fn on_response(&mut self, index: usize, frame: Bytes) {
        let now = self.clock.now();
        let route = &mut self.routes[index];
        let Some((id, sent)) = route.in_flight.take() else {
            return;
        };
        let size = frame.len();
        let response: Result<FetchResponseData, _> = decode_response(frame, route.version, id);
        let failure = match &response {
            Ok(response) if response.error_code == 0 => None,
            Ok(response) => Some(error::name(response.error_code)),
            Err(_) => Some(format!("malformed response of {size} bytes")),
        };
        let (Ok(response), None) = (response, &failure) else {
            self.tally.on_failure(&failure.unwrap_or_default());
            route.link.close();
            return;
        };
        let measured = now >= self.context.warm_up;
        let reading = Reading {
            verify: self.context.load.verify,
            run: self.context.run,
        };
        let (mut records, mut bytes) = (0, 0);
        for fetched in response
            .responses
            .iter()
            .flat_map(|topic| &topic.partitions)
        {
            let id = fetched.partition_index;
            // Ids ascend.
            let Ok(at) = self.partitions.binary_search_by_key(&id, |it| it.id) else {
                continue;
            };
            let partition = &mut self.partitions[at];
            match fetched.error_code {
                0 => {}
                OFFSET_OUT_OF_RANGE => {
                    // Retention has deleted records, or a leader has lost some.
                    self.tally.on_failure(&error::name(OFFSET_OUT_OF_RANGE));
                    partition.offset = fetched
                        .log_start_offset
                        .max(partition.offset.min(fetched.high_watermark.max(0)));
                    continue;
                }
                code => {
                    // Not asked for again before its leader is known again.
                    self.tally.on_failure(&error::name(code));
                    partition.leader = -1;
                    self.leaders.mark_stale();
                    continue;
                }
            }
            let content = fetched.records.as_deref().unwrap_or_default();
            let read = fetched::read(content, partition.offset, reading);
            partition.offset = read.next_offset.unwrap_or(partition.offset);
            records += read.records;
            bytes += read.bytes;
            self.tally.invalid += read.invalid;
            for (due, count) in read.due {
                self.tally.arrived += count;
                if let ReadEnd::Producers(produced) = &self.context.end {
                    produced.arrived.fetch_add(count, Ordering::Relaxed);
                }
                if due >= self.context.warm_up {
                    self.tally.end_to_end.record(now.saturating_sub(due), count);
                }
            }
        }
        self.tally.read += records;
        if measured && bytes > 0 {
            self.tally.records += records;
            self.tally.bytes += bytes;
            self.tally.fetches += 1;
            self.tally.last_read = now;
            self.tally.fetch_latencies.record(now - sent, 1);
            self.context.read.fetch_add(records, Ordering::Relaxed);
        }
    }
}

impl ConsumeLoad {
    fn isolation_level(&self) -> i8 {
        i8::from(self.read_committed)
    }
}

impl Route {
    /// Prepares the requests of a new connection. Returns whether there was one before.
    fn on_open(&mut self) -> Result<bool, LoadError> {
        if let Some(connection) = self.link.connection() {
            self.version = connection.version(ApiKey::Fetch, FETCH_VERSIONS)?;
        }
        Ok(std::mem::replace(&mut self.was_open, true))
    }
}
