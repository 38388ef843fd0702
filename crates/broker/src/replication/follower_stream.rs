//! The follower's end of a stream: receives the records of many partitions from one leader broker,
//! with one connection and one task. The partitions that are far behind have a stream of their own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use dohle_model::{
    BrokerEpoch, ErrorCode, HostPort, IncarnationId, LeaderEpoch, NodeId, Offset, TopicIdPartition,
};
use dohle_rpc::replication_transport::{
    CATCH_UP_PATH, EndStatus, Framed, Messages, REPLICATE_PATH, ReceivedLeaderMessage,
    TransportError,
};
use dohle_rpc::{convert, v1};
use dohle_tls::Connector;
use futures::stream::FuturesUnordered;
use futures::task::AtomicWaker;
use futures::{Stream, StreamExt};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::connection::{
    self, CATCH_UP_CREDIT_BYTES, CREDIT_BYTES, Connection, THROTTLED_CREDIT_BYTES,
};
use super::credits::Credits;
use super::flushes::{AfterFlush, Flushes, is_newer};
use super::retries::Retries;
use super::stream_report::StreamReport;
use crate::backoff::Backoff;
use crate::blocking::WorkOwner;
use crate::partition::{LeaderPart, PartOutcome, Partition, Truncation};
use crate::partitions::wall_clock;
use crate::replica::LeaderAnswer;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The shortest and the longest wait before the next attempt to connect a stream.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_LAST: Duration = Duration::from_secs(1);
/// When a stream lasted this long, its end is logged again.
const SETTLED: Duration = Duration::from_secs(10);
/// A replica that lacks more committed records than this moves to the stream for catching up.
const BEHIND_RECORDS: i64 = 20_000;
/// A replica on the stream for catching up moves back when it lacks no more than this.
const CAUGHT_UP_RECORDS: i64 = 1_000;
/// The most subscriptions in one message.
const SUBSCRIBE_BATCH: usize = 1000;

/// The kind of stream that replicates a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum ReplicationStream {
    /// `Replicate`: partitions that keep up with their leader.
    Live,
    /// `CatchUp`: partitions that are far behind. A connection of its own and fewer credits keep
    /// them from delaying the others.
    CatchUp,
    /// `CatchUp` with few credits, which follow the limit for throttled replicas that this broker
    /// follows: those that are behind and not in the ISR.
    Throttled,
}

/// Changes the stream of a partition.
pub(super) trait ChangeStream: std::fmt::Debug + Send + Sync {
    /// Moves a partition to another kind of stream, because it has fallen far behind or caught up.
    fn change_stream(&self, partition: &Arc<Partition>, leader: NodeId, kind: ReplicationStream);

    /// Returns whether this broker is in the ISR of a partition, by its metadata.
    fn is_in_sync(&self, partition: &Partition) -> bool;
}

/// The first message of a follower, which identifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) cluster_id: Arc<str>,
    pub(super) node: NodeId,
    pub(super) broker_epoch: BrokerEpoch,
    pub(super) incarnation: IncarnationId,
}

/// A leader's address and registration, and the hello to send to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeaderEndpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) leader_epoch: BrokerEpoch,
    pub(super) hello: Hello,
    pub(super) connector: Connector,
}

/// The stream from one leader. Dropping it ends the stream.
#[derive(Debug)]
pub(super) struct FollowerStream {
    core: Arc<Core>,
    target: watch::Sender<Option<LeaderEndpoint>>,
    task: JoinHandle<()>,
}

/// State that the stream's task, its request body and the registry share.
#[derive(Debug)]
struct Core {
    leader: NodeId,
    kind: ReplicationStream,
    replica_streams: Weak<dyn ChangeStream>,
    outbox: Mutex<FollowerOutbox>,
    connection: Mutex<ConnectionState>,
}

/// Whether a stream is connected, for people who ask.
#[derive(Debug, Default)]
struct ConnectionState {
    since: Option<Instant>,
    last_failure: Option<String>,
}

#[derive(Debug, Default)]
struct FollowerOutbox {
    partitions: HashMap<TopicIdPartition, Arc<Partition>>,
    hello: Option<Hello>,
    subscribe: BTreeSet<TopicIdPartition>,
    unsubscribe: BTreeSet<TopicIdPartition>,
    acks: BTreeMap<TopicIdPartition, v1::Ack>,
    /// Messages to send after a flush.
    flushes: Flushes,
    /// Truncations that the leader's last message requires.
    truncations: Vec<(Arc<Partition>, Truncation)>,
    credits: Credits,
    retries: Retries,
    /// Offsets at which the leader sent records that this replica refused.
    damaged: BTreeMap<TopicIdPartition, Offset>,
    /// The task that sends the messages. Each session has its own, so that the request body of an
    /// older session takes no messages from it.
    session: Arc<AtomicWaker>,
}

impl FollowerStream {
    pub(super) fn start(
        leader: NodeId,
        kind: ReplicationStream,
        target: Option<LeaderEndpoint>,
        replica_streams: Weak<dyn ChangeStream>,
        runtime: &Handle,
    ) -> Self {
        let (target, targets) = watch::channel(target);
        let core = Arc::new(Core {
            leader,
            kind,
            replica_streams,
            outbox: Mutex::default(),
            connection: Mutex::default(),
        });
        let task = runtime.spawn(run(Arc::clone(&core), targets));
        Self { core, target, task }
    }

    pub(super) fn set_target(&self, target: Option<LeaderEndpoint>) {
        self.target.send_if_modified(|current| {
            let changed = *current != target;
            *current = target;
            changed
        });
    }

    /// Subscribes a partition. An earlier subscription is replaced.
    pub(super) fn add(&self, partition: &Arc<Partition>) {
        let mut outbox = self.core.outbox.lock();
        outbox
            .partitions
            .insert(partition.id(), Arc::clone(partition));
        outbox.subscribe.insert(partition.id());
        outbox.unsubscribe.remove(&partition.id());
        outbox.retries.forget(partition.id());
    }

    pub(super) fn remove(&self, id: TopicIdPartition) {
        let mut outbox = self.core.outbox.lock();
        outbox.partitions.remove(&id);
        outbox.subscribe.remove(&id);
        outbox.retries.forget(id);
        outbox.acks.remove(&id);
        outbox.unsubscribe.insert(id);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.core.outbox.lock().partitions.is_empty()
    }

    pub(super) fn report(&self) -> StreamReport {
        let target = self.target.borrow();
        let connection = self.core.connection.lock();
        StreamReport {
            leader: self.core.leader,
            kind: match self.core.kind {
                ReplicationStream::Live => "live",
                ReplicationStream::CatchUp => "catch-up",
                ReplicationStream::Throttled => "throttled",
            },
            address: target
                .as_ref()
                .map(|target| HostPort(&target.host, target.port).to_string()),
            partitions: self.core.outbox.lock().partitions.len(),
            connected_for: connection.since.map(|since| since.elapsed()),
            last_failure: connection.last_failure.clone(),
        }
    }

    pub(super) fn flush(&self) {
        self.core.wake();
    }

    pub(super) async fn shutdown(mut self) {
        self.task.abort();
        // An error only reports that the task was aborted.
        let _ = (&mut self.task).await;
    }
}

impl Drop for FollowerStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps a session with the leader until the stream is dropped.
async fn run(core: Arc<Core>, mut targets: watch::Receiver<Option<LeaderEndpoint>>) {
    let mut backoff = Backoff::new(BACKOFF_FIRST, BACKOFF_LAST);
    let mut failed = false;
    loop {
        let target = targets.borrow_and_update().clone();
        let Some(target) = target else {
            if targets.changed().await.is_err() {
                return;
            }
            continue;
        };
        let began = Instant::now();
        let end = fetch(&core, &target, &mut targets).await;
        core.on_disconnected(&end);
        if began.elapsed() > BACKOFF_LAST {
            backoff.reset();
        }
        failed &= began.elapsed() < SETTLED;
        match end {
            SessionEnd::Retarget => {
                backoff.reset();
                failed = false;
            }
            SessionEnd::Failed(error) => {
                // Later failures to reach the same leader are not logged.
                if !std::mem::replace(&mut failed, true) {
                    tracing::info!(leader = %core.leader, %error, "replication stream ended");
                }
                // A change of the target ends the wait.
                if matches!(
                    timeout(backoff.next_wait(), targets.changed()).await,
                    Ok(Err(_))
                ) {
                    return;
                }
            }
        }
    }
}

#[derive(Debug)]
enum SessionEnd {
    /// The leader has another address or was restarted.
    Retarget,
    Failed(TransportError),
}

/// Runs one session with the leader, from the connection to its end.
async fn fetch(
    core: &Arc<Core>,
    target: &LeaderEndpoint,
    targets: &mut watch::Receiver<Option<LeaderEndpoint>>,
) -> SessionEnd {
    let session = core.begin_session(&target.hello);
    let connect = timeout(CONNECT_TIMEOUT, connect(core, target, session));
    let (mut messages, connection) = match connect.await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return SessionEnd::Failed(error),
        Err(_) => {
            return SessionEnd::Failed(TransportError::Broken(format!(
                "no connection within {CONNECT_TIMEOUT:?}"
            )));
        }
    };
    tracing::debug!(leader = %core.leader, "replication stream began");
    core.connection.lock().since = Some(Instant::now());
    let mut truncations = FuturesUnordered::new();
    let end = loop {
        let next = core.next_due();
        truncations.extend(core.take_truncations().map(truncate));
        tokio::select! {
            changed = targets.changed() => {
                if changed.is_err() || targets.borrow().as_ref() != Some(target) {
                    break SessionEnd::Retarget;
                }
            }
            () = sleep_until(next) => core.on_due(),
            Some((partition, outcome)) = truncations.next(), if !truncations.is_empty() => {
                core.on_truncated(&partition, outcome);
            }
            message = messages.message() => match message {
                Ok(Some(message)) => {
                    let received = ReceivedLeaderMessage::decode(message);
                    if let Err(error) = received.and_then(|message| core.on_message(message)) {
                        break SessionEnd::Failed(error);
                    }
                }
                Ok(None) => {
                    let error = "the leader ended the stream".to_owned();
                    break SessionEnd::Failed(TransportError::Broken(error));
                }
                Err(error) => break SessionEnd::Failed(error),
            }
        }
    };
    connection.abort();
    end
}

/// Truncates a partition on a thread that may block.
async fn truncate(
    (partition, truncation): (Arc<Partition>, Truncation),
) -> (Arc<Partition>, PartOutcome) {
    let follower = Arc::clone(&partition);
    let owner = WorkOwner::Partition(partition.id());
    let work = move || follower.truncate_to_leader(&truncation, wall_clock());
    let outcome = partition.blocking().disk(owner, work).await;
    // Work that panicked has taken the partition offline.
    let outcome = outcome.unwrap_or(PartOutcome::Nothing);
    (partition, outcome)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => sleep(at.saturating_duration_since(Instant::now())).await,
        None => std::future::pending().await,
    }
}

async fn connect(
    core: &Arc<Core>,
    target: &LeaderEndpoint,
    session: Arc<AtomicWaker>,
) -> Result<(Messages<Incoming>, Connection), TransportError> {
    let path = match core.kind {
        ReplicationStream::Live => REPLICATE_PATH,
        ReplicationStream::CatchUp | ReplicationStream::Throttled => CATCH_UP_PATH,
    };
    let body = RequestBody {
        core: Arc::clone(core),
        session,
    };
    connection::call(&target.connector, &target.host, target.port, path, body).await
}

impl Core {
    /// Resets the outbox, so that the new session subscribes all partitions.
    fn begin_session(&self, hello: &Hello) -> Arc<AtomicWaker> {
        let mut outbox = self.outbox.lock();
        outbox.hello = Some(hello.clone());
        outbox.subscribe = outbox.partitions.keys().copied().collect();
        outbox.unsubscribe.clear();
        outbox.acks.clear();
        outbox.truncations.clear();
        outbox.retries = Retries::default();
        outbox.credits = Credits::default();
        match self.kind {
            ReplicationStream::Live => outbox.credits.add(CREDIT_BYTES),
            ReplicationStream::CatchUp => outbox.credits.add(CATCH_UP_CREDIT_BYTES),
            ReplicationStream::Throttled => outbox.hold_credits(THROTTLED_CREDIT_BYTES),
        }
        outbox.session = Arc::default();
        Arc::clone(&outbox.session)
    }

    fn on_disconnected(&self, end: &SessionEnd) {
        let mut connection = self.connection.lock();
        connection.since = None;
        if let SessionEnd::Failed(error) = end {
            connection.last_failure = Some(error.to_string());
        }
    }

    /// Wakes the request body, which sends the messages that are due.
    fn wake(&self) {
        let session = Arc::clone(&self.outbox.lock().session);
        session.wake();
    }

    /// Returns when the next subscription is due, or credits that are held back.
    fn next_due(&self) -> Option<Instant> {
        let outbox = self.outbox.lock();
        let times = [
            outbox.retries.next_at(),
            outbox.credits.release_at().map(Instant::from_std),
        ];
        times.into_iter().flatten().min()
    }

    /// Subscribes again what is due, and gives credits that were held back.
    fn on_due(&self) {
        let mut outbox = self.outbox.lock();
        let again = outbox.retries.due(Instant::now());
        outbox.subscribe.extend(again);
        outbox.hold_credits(0);
        drop(outbox);
        self.wake();
    }

    /// Processes all parts of a leader's message, then wakes the request body once.
    fn on_message(self: &Arc<Self>, message: ReceivedLeaderMessage) -> Result<(), TransportError> {
        let ReceivedLeaderMessage { parts, mut payload } = message;
        let now = wall_clock();
        let bytes = payload.len() as u64;
        for part in parts {
            let short = || TransportError::Malformed("payload ends before its parts".to_owned());
            let length = usize::try_from(part.length).map_err(|_| short())?;
            let records = payload.take_bytes(length).ok_or_else(short)?;
            self.on_part(&part, records, now)?;
        }
        let mut outbox = self.outbox.lock();
        match self.kind {
            ReplicationStream::Throttled => outbox.hold_credits(bytes),
            ReplicationStream::Live | ReplicationStream::CatchUp => outbox.credits.add(bytes),
        }
        let news = bytes > 0 || !outbox.acks.is_empty() || !outbox.subscribe.is_empty();
        drop(outbox);
        if news {
            self.wake();
        }
        Ok(())
    }

    fn on_part(
        self: &Arc<Self>,
        part: &v1::PartitionData,
        records: Bytes,
        now: dohle_model::Timestamp,
    ) -> Result<(), TransportError> {
        let id = convert::partition_id_from_wire(&part.topic_id, part.partition);
        let id = id.map_err(|error| TransportError::Malformed(error.to_string()))?;
        let Some(partition) = self.outbox.lock().partitions.get(&id).cloned() else {
            return Ok(());
        };
        partition.on_received(records.len());
        let outcome = partition.on_leader_part(&leader_part(part), records, now);
        if self.change_stream(&partition, part) {
            return Ok(());
        }
        let mut outbox = self.outbox.lock();
        // A change of the metadata may have moved the partition to another stream meanwhile.
        if !outbox.partitions.contains_key(&id) {
            return Ok(());
        }
        match outcome {
            PartOutcome::Nothing => {}
            PartOutcome::Ack {
                leader_epoch,
                end,
                log_start_offset,
                after_flush,
            } => {
                let ack = v1::Ack {
                    topic_id: part.topic_id.clone(),
                    partition: part.partition,
                    leader_epoch: leader_epoch.0,
                    end: end.0,
                    log_start_offset: log_start_offset.0,
                    subscription: part.subscription,
                };
                outbox.retries.succeeded(id);
                if after_flush {
                    let after = AfterFlush {
                        ack: Some(ack),
                        subscribe: false,
                    };
                    self.send_after_flush(&mut outbox, &partition, after);
                } else {
                    outbox.acks.insert(id, ack);
                }
            }
            PartOutcome::Truncate(truncation) => outbox.truncations.push((partition, truncation)),
            PartOutcome::Resubscribe => {
                outbox.subscribe.insert(id);
            }
            PartOutcome::Retry { damaged_at } => {
                if let Some(offset) = damaged_at {
                    outbox.damaged.insert(id, offset);
                }
                outbox.retries.failed(id, Instant::now());
            }
        }
        Ok(())
    }

    fn take_truncations(&self) -> impl Iterator<Item = (Arc<Partition>, Truncation)> + use<> {
        std::mem::take(&mut self.outbox.lock().truncations).into_iter()
    }

    /// Subscribes a partition again after its truncation, unless no record was removed.
    fn on_truncated(&self, partition: &Partition, outcome: PartOutcome) {
        let id = partition.id();
        let mut outbox = self.outbox.lock();
        if !outbox.partitions.contains_key(&id) {
            return;
        }
        match outcome {
            PartOutcome::Resubscribe => {
                outbox.subscribe.insert(id);
            }
            PartOutcome::Retry { .. } => outbox.retries.failed(id, Instant::now()),
            PartOutcome::Nothing | PartOutcome::Ack { .. } | PartOutcome::Truncate(_) => {}
        }
        drop(outbox);
        self.wake();
    }

    /// Flushes the partition on another thread and then sends `after` to the leader.
    fn send_after_flush(
        self: &Arc<Self>,
        outbox: &mut FollowerOutbox,
        partition: &Arc<Partition>,
        after: AfterFlush,
    ) {
        if outbox.flushes.add(partition.id(), after) {
            tokio::spawn(Arc::clone(self).flush(Arc::clone(partition)));
        }
    }

    /// Flushes until no message waits for a flush. A failed flush takes the log offline, and its
    /// messages are dropped.
    async fn flush(self: Arc<Self>, partition: Arc<Partition>) {
        let id = partition.id();
        loop {
            let Some(after) = self.outbox.lock().flushes.next(&id) else {
                return;
            };
            let flushed = Arc::clone(&partition).flush_due(wall_clock()).await;
            let mut outbox = self.outbox.lock();
            if flushed.is_err() || !outbox.partitions.contains_key(&id) {
                continue;
            }
            if let Some(ack) = after.ack
                && is_newer(&ack, outbox.acks.get(&id))
            {
                outbox.acks.insert(id, ack);
            }
            if after.subscribe {
                outbox.subscribe.insert(id);
            }
            drop(outbox);
            self.wake();
        }
    }

    /// Moves the partition to the other kind of stream if its lag requires it. Returns whether it
    /// was moved.
    fn change_stream(&self, partition: &Arc<Partition>, part: &v1::PartitionData) -> bool {
        if part.error.is_some() || part.diverging.is_some() {
            return false;
        }
        let lag = part.high_watermark - partition.positions().log_end_offset.0;
        let Some(replica_streams) = self.replica_streams.upgrade() else {
            return false;
        };
        let in_sync = || replica_streams.is_in_sync(partition);
        let is_throttled = partition.is_throttled_follower();
        let kind = match self.kind {
            ReplicationStream::CatchUp if lag <= CAUGHT_UP_RECORDS => ReplicationStream::Live,
            // A few records may be many bytes.
            ReplicationStream::Throttled if lag <= 0 || in_sync() => ReplicationStream::Live,
            ReplicationStream::Throttled if !is_throttled => ReplicationStream::CatchUp,
            ReplicationStream::Live | ReplicationStream::CatchUp
                if is_throttled && lag > CAUGHT_UP_RECORDS && !in_sync() =>
            {
                ReplicationStream::Throttled
            }
            ReplicationStream::Live if lag > BEHIND_RECORDS => ReplicationStream::CatchUp,
            _ => return false,
        };
        replica_streams.change_stream(partition, self.leader, kind);
        true
    }

    /// Returns the next message to the leader; `None` when there is nothing to send.
    fn next_message(self: &Arc<Self>, session: &Arc<AtomicWaker>) -> Option<v1::FollowerMessage> {
        let mut outbox = self.outbox.lock();
        if !Arc::ptr_eq(&outbox.session, session) {
            return None;
        }
        let mut subscribe = Vec::new();
        while subscribe.len() < SUBSCRIBE_BATCH {
            let Some(id) = outbox.subscribe.pop_first() else {
                break;
            };
            let Some(partition) = outbox.partitions.get(&id).cloned() else {
                continue;
            };
            // An ack of records from before a truncation must not be sent.
            outbox.acks.remove(&id);
            outbox.flushes.forget_ack(&id);
            if partition.flushes_before_answer() && partition.should_flush(wall_clock()) {
                // The leader treats the fetch offset as an ack.
                let after = AfterFlush {
                    ack: None,
                    subscribe: true,
                };
                self.send_after_flush(&mut outbox, &partition, after);
                continue;
            }
            // Begun under the lock of the outbox, while the partition is on this stream. A stream
            // that takes the partition over begins a later subscription, which supersedes this one.
            subscribe.extend(begin_subscription(&partition, self.leader));
        }
        let message = v1::FollowerMessage {
            hello: outbox.hello.take().map(|hello| hello.to_wire()),
            subscribe,
            unsubscribe: std::mem::take(&mut outbox.unsubscribe)
                .into_iter()
                .map(partition_ref)
                .collect(),
            acks: std::mem::take(&mut outbox.acks).into_values().collect(),
            credit_bytes: outbox.credits.take(),
            damaged: std::mem::take(&mut outbox.damaged)
                .into_iter()
                .map(damage_report)
                .collect(),
        };
        (message != v1::FollowerMessage::default()).then_some(message)
    }
}

impl FollowerOutbox {
    /// Gives the leader credits of throttled replicas when the limit allows it.
    fn hold_credits(&mut self, bytes: u64) {
        self.credits.hold(bytes);
        // The limit is one for all partitions of this broker.
        let delay = self.partitions.values().next();
        let delay = delay.and_then(|partition| partition.receive_delay());
        self.credits.release(delay, Instant::now().into_std());
    }
}

impl Hello {
    pub(super) fn to_wire(&self) -> v1::FollowerHello {
        v1::FollowerHello {
            cluster_id: self.cluster_id.to_string(),
            broker_id: self.node.0,
            broker_epoch: self.broker_epoch.0,
            incarnation: convert::uuid_to_wire(self.incarnation.0),
        }
    }
}

fn begin_subscription(partition: &Partition, leader: NodeId) -> Option<v1::Subscribe> {
    let begun = partition.begin_subscription(leader)?;
    Some(v1::Subscribe {
        topic_id: convert::uuid_to_wire(partition.id().topic_id.0),
        partition: partition.id().partition.0,
        leader_epoch: begun.position.leader_epoch.0,
        fetch_offset: begun.position.fetch_offset.0,
        last_fetched_epoch: LeaderEpoch::to_wire(begun.position.last_fetched_epoch),
        log_start_offset: begun.log_start_offset.0,
        subscription: begun.subscription,
        paused: begun.paused,
    })
}

fn partition_ref(id: TopicIdPartition) -> v1::PartitionRef {
    v1::PartitionRef {
        topic_id: convert::uuid_to_wire(id.topic_id.0),
        partition: id.partition.0,
    }
}

fn damage_report((id, offset): (TopicIdPartition, Offset)) -> v1::DamageReport {
    v1::DamageReport {
        topic_id: convert::uuid_to_wire(id.topic_id.0),
        partition: id.partition.0,
        offset: offset.0,
    }
}

fn leader_part(part: &v1::PartitionData) -> LeaderPart {
    let code = |code: i32| {
        let known = i16::try_from(code).ok().and_then(ErrorCode::from_code);
        known.unwrap_or(ErrorCode::UnknownServerError)
    };
    let diverging = part.diverging.as_ref().map(|diverging| {
        let end = Offset::from_wire(diverging.end_offset).unwrap_or_default();
        (LeaderEpoch(diverging.epoch), end)
    });
    LeaderPart {
        answer: LeaderAnswer {
            subscription: part.subscription,
            leader_epoch: LeaderEpoch(part.leader_epoch),
            error: part.error.map(code),
            diverging,
        },
        high_watermark: Offset::from_wire(part.high_watermark).unwrap_or_default(),
        log_start_offset: Offset::from_wire(part.log_start_offset).unwrap_or_default(),
    }
}

/// The request body: a stream of the follower's messages.
struct RequestBody {
    core: Arc<Core>,
    session: Arc<AtomicWaker>,
}

impl Stream for RequestBody {
    type Item = Result<Framed, EndStatus>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.session.register(cx.waker());
        match self.core.next_message(&self.session) {
            Some(message) => Poll::Ready(Some(Ok(Framed::message(&message)))),
            None => Poll::Pending,
        }
    }
}
