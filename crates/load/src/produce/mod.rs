//! One client that produces: a task that sends batches on schedule to the leaders of the
//! partitions, and takes their responses.
//!
//! The task polls all its connections itself, so nothing is passed between tasks for a request. A
//! batch that fails is counted and not sent again: a load measures what happens, it delivers
//! nothing. A producer with sequences takes a new producer id after a failure, once nothing is in
//! flight any more.

mod session;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dohle_protocol::messages::ProduceResponseData;
use dohle_protocol::{ApiKey, decode_response};

use crate::clock::{RunClock, StopSignal, nanos, wall_ms};
use crate::cluster::Cluster;
use crate::connection::CLIENT_ID;
use crate::error::{self, LoadError};
use crate::frame::{PRODUCE_VERSIONS, ProduceFrame, ProduceSettings};
use crate::leaders::LeaderRefresh;
use crate::link::{Link, LinkEvent};
use crate::options::ProduceLoad;
use crate::schedule::{ClientSchedule, DueBatch, Next};
use crate::tally::{ProduceTally, SentBatch};
use crate::template::{BatchTemplate, DueMark, Sequenced, Stamp};
use crate::timer::Timer;
use crate::window::Window;

pub(crate) use self::session::Session;
use self::session::{QuietStep, SessionEvent};

/// How often a client looks for a signal to stop, and for requests that take too long.
const TICK: Duration = Duration::from_millis(100);
/// How often a client goes on before other clients of its thread have their turn.
const ROUNDS: usize = 16;
/// How long responses are awaited after the last batch was sent.
const DRAIN: Duration = Duration::from_secs(10);
/// The same when a run is stopped early.
const STOP_DRAIN: Duration = Duration::from_secs(1);
/// A client gives up after this long without an acknowledgement.
const PATIENCE: Duration = Duration::from_secs(60);

/// The batches of a run, which all clients share.
#[derive(Debug)]
pub(crate) struct Batches {
    /// The ids of the partitions that are written to.
    pub partitions: Vec<i32>,
    /// By the index of the partition; one list for all where records have no keys.
    pub templates: Vec<Vec<BatchTemplate>>,
    /// The last batch of a run with a number of records.
    pub last: Option<BatchTemplate>,
    /// Tells the records of this run from others, where batches carry the time they are due.
    pub run: Option<u64>,
}

impl Batches {
    fn template(&self, batch: &DueBatch) -> &BatchTemplate {
        if let (true, Some(last)) = (batch.last, &self.last) {
            return last;
        }
        let of_partition = &self.templates[batch.partition % self.templates.len()];
        &of_partition[batch.index as usize % of_partition.len()]
    }

    /// Returns the leaders of the partitions that are written to.
    pub(crate) fn leaders(&self, of_topic: &[i32]) -> Vec<i32> {
        let leader = |partition: &i32| {
            let index = usize::try_from(*partition).unwrap_or(usize::MAX);
            of_topic.get(index).copied().unwrap_or(-1)
        };
        self.partitions.iter().map(leader).collect()
    }
}

/// One client.
#[derive(Debug)]
pub(crate) struct Producer {
    cluster: Arc<Cluster>,
    load: Arc<ProduceLoad>,
    topic: Arc<str>,
    batches: Arc<Batches>,
    schedule: ClientSchedule,
    routes: Vec<Route>,
    session: Session,
    /// The next sequence of each partition.
    sequences: Vec<i32>,
    leaders: LeaderRefresh,
    clock: RunClock,
    warm_up: u64,
    is_paced: bool,
    stop: StopSignal,
    /// When the client looks for a signal and for late responses next.
    tick: Instant,
    /// When everything was sent.
    done_since: Option<u64>,
    /// When the cluster last acknowledged something, or nothing was to be sent.
    progress: u64,
    tally: ProduceTally,
}

/// A link with its requests.
#[derive(Debug)]
struct Route {
    link: Link,
    window: Window,
    in_flight: VecDeque<SentBatch>,
    /// By the index of the partition, encoded when first used on this connection.
    frames: Vec<Option<ProduceFrame>>,
    version: i16,
    was_open: bool,
}

impl Route {
    fn new(broker: i32, load: &ProduceLoad, partitions: usize, now: u64) -> Self {
        Self {
            link: Link::new(broker),
            window: Window::new(load.in_flight, now),
            in_flight: VecDeque::new(),
            frames: vec![None; partitions],
            version: 0,
            was_open: false,
        }
    }

    /// Prepares the requests of a new connection. Returns whether there was one before.
    ///
    /// # Errors
    /// When the broker supports none of the versions of Produce.
    fn on_open(&mut self, now: u64) -> Result<bool, LoadError> {
        if let Some(connection) = self.link.connection() {
            self.version = connection.version(ApiKey::Produce, PRODUCE_VERSIONS)?;
        }
        self.frames.fill(None);
        self.window.on_release(now);
        Ok(std::mem::replace(&mut self.was_open, true))
    }
}

/// What a client has in common with the others.
#[derive(Debug, Clone)]
pub(crate) struct ProducerContext {
    pub cluster: Arc<Cluster>,
    pub load: Arc<ProduceLoad>,
    pub topic: Arc<str>,
    pub batches: Arc<Batches>,
    /// Nanoseconds.
    pub warm_up: u64,
    pub stop: StopSignal,
}

impl Producer {
    pub(crate) fn new(
        context: ProducerContext,
        schedule: ClientSchedule,
        session: Session,
    ) -> Self {
        let partitions = context.batches.partitions.len();
        Self {
            leaders: LeaderRefresh::new(&context.cluster),
            cluster: context.cluster,
            routes: Vec::new(),
            schedule,
            session,
            sequences: vec![0; partitions],
            clock: RunClock(Instant::now()),
            warm_up: context.warm_up,
            is_paced: context.load.rate.is_some(),
            stop: context.stop,
            tick: Instant::now(),
            done_since: None,
            progress: 0,
            tally: ProduceTally::default(),
            load: context.load,
            topic: context.topic,
            batches: context.batches,
        }
    }

    /// Opens the connections to all leaders, and prepares the producer's id.
    ///
    /// # Errors
    /// When a broker cannot be reached, or refuses.
    pub(crate) async fn prepare(&mut self) -> Result<(), LoadError> {
        self.session.prepare(&self.cluster, &self.topic).await?;
        if self.load.transaction_records.is_some() {
            self.schedule.set_limit(0);
        }
        self.add_routes();
        poll_fn(|cx| {
            let mut is_open = true;
            for route in &mut self.routes {
                while route.link.connection().is_none() {
                    match route.link.poll(cx, &self.cluster) {
                        Poll::Pending => {
                            is_open = false;
                            break;
                        }
                        Poll::Ready(LinkEvent::Lost(error)) => return Poll::Ready(Err(error)),
                        Poll::Ready(LinkEvent::Opened | LinkEvent::Frame(_)) => {
                            if let Err(error) = route.on_open(0) {
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

    fn add_routes(&mut self) {
        let now = self.clock.now();
        let partitions = self.batches.partitions.len();
        for leader in self.schedule.leaders().collect::<Vec<_>>() {
            if !self.routes.iter().any(|it| it.link.broker == leader) {
                let route = Route::new(leader, &self.load, partitions, now);
                self.routes.push(route);
            }
        }
    }

    /// Produces until the run ends.
    ///
    /// # Errors
    /// When there is no descriptor for the client's timer.
    pub(crate) async fn run(mut self, clock: RunClock) -> Result<ProduceTally, LoadError> {
        self.clock = clock;
        for route in &mut self.routes {
            route.window.on_release(0);
        }
        let mut timer = Timer::new()?;
        poll_fn(|cx| timer.poll_until(cx, clock.0)).await;
        poll_fn(|cx| self.poll(cx, &mut timer)).await;
        let now = self.clock.now();
        for route in &self.routes {
            for batch in &route.in_flight {
                self.tally.on_unanswered(batch, now);
            }
        }
        if !self.stop.is_stopped() {
            for due in self.schedule.unsent(now) {
                self.tally
                    .on_unsent(due, self.load.batch_records as u64, now);
            }
        }
        Ok(self.tally)
    }

    fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Timer) -> Poll<()> {
        for _ in 0..ROUNDS {
            self.poll_leaders(cx);
            self.poll_session(cx);
            let mut wake = self.tick;
            let mut again = false;
            let (mut is_ready, mut is_blocked) = (false, false);
            for index in 0..self.routes.len() {
                self.poll_responses(cx, index);
                match self.send_due(index) {
                    Next::At(due) => wake = wake.min(self.clock.at(due)),
                    Next::Ready => is_ready = true,
                    Next::Blocked => is_blocked = true,
                    Next::Done => {}
                }
                again |= self.poll_write(cx, index);
                let link = &self.routes[index].link;
                let retry = link.retry_at();
                let retry = retry.filter(|_| self.schedule.has_partitions(link.broker));
                wake = retry.map_or(wake, |retry| wake.min(retry));
            }
            let now = self.clock.now();
            let in_flight = self.routes.iter().any(|it| !it.in_flight.is_empty());
            let is_waiting = in_flight || is_ready || is_blocked;
            if !is_waiting {
                self.progress = now;
            }
            // A cluster that acknowledges nothing ends a run that has no other end.
            let is_hopeless = now > self.progress + nanos(PATIENCE);
            let is_done = is_hopeless || self.stop.is_stopped() || self.schedule.is_done(now);
            if !in_flight {
                let step = QuietStep {
                    is_blocked,
                    is_done,
                };
                again |= self
                    .session
                    .on_quiet(step, &mut self.schedule, &self.batches.partitions);
            }
            if is_done && self.is_drained(in_flight, now) {
                return Poll::Ready(());
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

    /// Returns whether nothing is left to wait for, or it has taken too long.
    fn is_drained(&mut self, in_flight: bool, now: u64) -> bool {
        let since = *self.done_since.get_or_insert(now);
        let drain = match self.stop.is_stopped() {
            true => STOP_DRAIN,
            false => DRAIN,
        };
        !(in_flight || self.session.is_busy()) || now - since > nanos(drain)
    }

    /// Follows partitions to their new leaders.
    fn poll_leaders(&mut self, cx: &mut Context<'_>) {
        let Poll::Ready(leaders) = self.leaders.poll(cx) else {
            return;
        };
        self.tally.refreshes += 1;
        let leaders = self.batches.leaders(&leaders);
        if leaders.contains(&-1) {
            self.leaders.mark_stale();
        }
        self.schedule.set_leaders(&leaders);
        self.add_routes();
    }

    fn poll_session(&mut self, cx: &mut Context<'_>) {
        let now = self.clock.now();
        let Poll::Ready(event) = self.session.poll(cx) else {
            return;
        };
        match event {
            SessionEvent::Renewed => {
                self.sequences.fill(0);
                self.tally.aborted += u64::from(self.load.transaction_records.is_some());
            }
            SessionEvent::Begun => {}
            SessionEvent::Committed(took) if now >= self.warm_up => {
                self.tally.committed += 1;
                self.tally.commits.record(nanos(took), 1);
            }
            SessionEvent::Committed(_) => {}
            SessionEvent::Failed(error) => {
                let reason = format!("producer id or transaction: {error}");
                *self.tally.errors.entry(reason).or_default() += 1;
            }
        }
        for route in &mut self.routes {
            route.window.on_release(now);
        }
    }

    /// Closes connections whose broker owes a response for too long.
    fn close_silent(&mut self) {
        let now = self.clock.now();
        let limit = nanos(self.load.timeout);
        for index in 0..self.routes.len() {
            let oldest = self.routes[index].in_flight.front();
            if oldest.is_some_and(|batch| now.saturating_sub(batch.sent) > limit) {
                self.routes[index].link.close();
                self.on_lost(index, "no response within the timeout");
            }
        }
    }

    fn poll_responses(&mut self, cx: &mut Context<'_>, index: usize) {
        let route = &self.routes[index];
        // A broker that leads no partition any more is not connected to again.
        let is_used = self.schedule.has_partitions(route.link.broker);
        if route.link.retry_at().is_some() && !is_used {
            return;
        }
        while let Poll::Ready(event) = self.routes[index].link.poll(cx, &self.cluster) {
            match event {
                LinkEvent::Opened => match self.routes[index].on_open(self.clock.now()) {
                    Ok(is_again) => self.tally.reconnects += u64::from(is_again),
                    Err(error) => {
                        self.routes[index].link.close();
                        self.on_lost(index, &error.to_string());
                    }
                },
                LinkEvent::Lost(error) => self.on_lost(index, lost_reason(&error)),
                LinkEvent::Frame(frame) => self.on_response(index, frame),
            }
        }
    }

    /// Counts what was in flight on a connection that broke.
    fn on_lost(&mut self, index: usize, reason: &str) {
        let now = self.clock.now();
        let route = &mut self.routes[index];
        if !route.in_flight.is_empty() {
            self.session.on_failure();
        }
        while let Some(batch) = route.in_flight.pop_front() {
            route.window.on_complete(now);
            self.tally.on_failure(&batch, reason);
        }
        self.leaders.mark_stale();
    }

    fn on_response(&mut self, index: usize, frame: Bytes) {
        let now = self.clock.now();
        let route = &mut self.routes[index];
        let Some(batch) = route.in_flight.pop_front() else {
            return;
        };
        route.window.on_complete(now);
        let response = decode_response(frame, route.version, batch.correlation_id);
        let response: Result<ProduceResponseData, _> = response;
        let Ok(response) = response else {
            self.tally.on_failure(&batch, "malformed response");
            self.session.on_failure();
            return;
        };
        let mut partitions = response.responses.iter();
        let partition = partitions.find_map(|topic| topic.partition_responses.first());
        match partition.map_or(0, |partition| partition.error_code) {
            0 => {
                self.progress = now;
                self.tally.on_ack(&batch, now);
            }
            code => {
                self.tally.on_failure(&batch, &error::name(code));
                self.session.on_failure();
                if error::is_stale(code) {
                    self.leaders.mark_stale();
                }
            }
        }
    }

    /// Sends the batches that are due to a broker, as far as its connection accepts them. Returns
    /// what is next.
    fn send_due(&mut self, index: usize) -> Next {
        if self.stop.is_stopped() {
            return Next::Done;
        }
        loop {
            let now = self.clock.now();
            let route = &mut self.routes[index];
            let broker = route.link.broker;
            if !route.window.is_open() {
                // A response comes first.
                return Next::Ready;
            }
            if !self.session.is_open() || route.link.connection().is_none() {
                return self.schedule.peek(broker, now);
            }
            match self.schedule.take(broker, now) {
                Ok(batch) => self.send(index, &batch, now),
                Err(next) => return next,
            }
        }
    }

    fn send(&mut self, index: usize, due: &DueBatch, now: u64) {
        let template = self.batches.template(due);
        let sequence = &mut self.sequences[due.partition];
        let producer = self.session.producer().map(|producer| Sequenced {
            producer_id: producer.id,
            epoch: producer.epoch,
            base_sequence: *sequence,
        });
        // Sequences begin again at 0 after the largest.
        let next = i64::from(*sequence) + template.records as i64;
        *sequence = (next % (i64::from(i32::MAX) + 1)) as i32;
        let batch = template.stamp(&Stamp {
            timestamp_ms: wall_ms(),
            producer,
            mark: self.batches.run.map(|run| DueMark { run, due: due.due }),
        });
        let route = &mut self.routes[index];
        let version = route.version;
        let Some(connection) = route.link.connection() else {
            return;
        };
        let settings = ProduceSettings {
            client_id: CLIENT_ID,
            topic: &self.topic,
            acks: self.load.acks,
            timeout_ms: self.load.timeout.as_millis() as i32,
            transactional_id: self.session.transactional_id(),
        };
        let partition = self.batches.partitions[due.partition];
        let frame = &mut route.frames[due.partition];
        let frame = frame.get_or_insert_with(|| {
            ProduceFrame::new(&settings, partition, version)
                .expect("the topic's name was accepted in a request for metadata")
        });
        let correlation_id = connection.next_correlation_id();
        connection.send(frame.with(correlation_id, batch));
        let late = route.window.on_send(due.due, now);
        if due.measured && self.is_paced {
            self.tally.send_delays.record(late, 1);
        }
        route.in_flight.push_back(SentBatch {
            due: due.due,
            sent: now,
            measured: due.measured,
            records: template.records as u64,
            bytes: template.payload_bytes as u64,
            correlation_id,
        });
    }

    /// Writes to a connection. Returns whether it accepts more requests than before: without
    /// acknowledgements, a request is complete when it is written.
    fn poll_write(&mut self, cx: &mut Context<'_>, index: usize) -> bool {
        let route = &mut self.routes[index];
        let written = match route.link.poll_write(cx) {
            Ok(written) => written,
            Err(_) => {
                route.link.close();
                self.on_lost(index, "connection lost");
                return true;
            }
        };
        if self.load.acks != 0 || written == 0 {
            return false;
        }
        let now = self.clock.now();
        for batch in route.in_flight.drain(..written.min(route.in_flight.len())) {
            route.window.on_complete(now);
            self.tally.on_ack(&batch, now);
        }
        self.progress = now;
        true
    }
}

fn lost_reason(error: &LoadError) -> &'static str {
    match error {
        LoadError::Connection(_) => "connection lost",
        _ => "broker unreachable",
    }
}
