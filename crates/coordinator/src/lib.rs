//! The runtime of machines that live in the partitions of an internal topic, such as groups in
//! `__consumer_offsets`: a [`Coordinator`] keeps one [`Machine`] for each partition of its topic
//! that this broker leads. It appends the records of each step of a machine to the partition and
//! replays them, parks requests and sends their replies, and runs timers.
//!
//! ```text
//!               leads, epoch e            read to its end, committed
//!   (no shard) ────────────────▶ Loading ───────────────────────────▶ Active ──┐ requests, timers
//!       ▲                          │  ▲ a later request                  │  ▲──┘
//!       │                    fails ▼  │                                  │
//!       │                         Failed                                 │
//!       └───── leads no more, or with another epoch: parked requests ────┘
//!              get NOT_COORDINATOR, the machine is dropped
//! ```
//!
//! Invariant: records are appended and replayed under the lock of their shard, so the order of the
//! log is the order of the replays; nothing is awaited under it. A reply is sent after the commit
//! of the records that it depends on. A shard exists in one leader epoch; when that epoch ends,
//! everything that the shard has not committed is dropped with it.
//!
//! Only [`groups`] and [`transactions`], the assemblies of coordinators, depend on a particular
//! machine.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dohle_machine::{DueReply, Lookups as _, Machine, ParkedRequest, ReplyToken, Request, Step};
use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, LeaderEpoch, PartitionIndex};
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

mod batches;
mod follow;
pub mod groups;
mod internal_topics;
mod load;
mod pending;
mod producer_ids;
mod replay;
mod report;
mod routing;
mod settings;
mod shard;
mod signals;
mod step;
#[cfg(test)]
mod tests;
mod timers;
pub mod transactions;

pub use follow::{AnyCoordinator, CoordinatedPartitions};
pub use internal_topics::{InternalTopic, InternalTopics, TopicSettings};
pub use pending::PendingReply;
pub use producer_ids::{ProducerIdSource, ProducerIds};
pub use report::{Load, ShardReport, TimerReport};
pub use routing::partition_of;
pub use settings::{CoordinatorConfig, CoordinatorSettings};
pub use step::TransactionWrite;

use dohle_broker::blocking::WorkOwner;
use dohle_broker::metadata::MetadataCache;
use dohle_broker::partition::{Partition, TxnMarker};
use dohle_broker::partitions::{MarkerCommit, MarkerReplay, Partitions, wall_clock};
use shard::ShardRuntime;
use signals::Signals;
use step::{AfterCommit, CommitWait, StepContext, WriteMode};
use timers::TimerWakeup;

/// How long a request waits for a shard that is about to be led or loaded.
const SETTLED_WITHIN: Duration = Duration::from_millis(500);
/// How often one request is planned again with further results of computations.
const LOOKUPS_MAX: usize = 4;
/// A time that is longer than any broker leads a partition.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// The number of shards that are read at the same time.
const LOADS_MAX: usize = 4;

/// The coordinator of one internal topic on this node.
#[derive(Debug)]
pub struct Coordinator<M: Machine> {
    config: CoordinatorConfig<M>,
    partitions: Arc<Partitions>,
    metadata: Arc<MetadataCache>,
    /// Runs loads, timers and continuations after commits, apart from the threads of connections.
    runtime: Handle,
    started: Instant,
    settings: RwLock<Arc<CoordinatorSettings<M>>>,
    shards: RwLock<BTreeMap<PartitionIndex, Arc<ShardRuntime<M>>>>,
    next_token: AtomicU64,
    wakeup: Arc<TimerWakeup>,
    signals: Arc<Signals>,
    loads: Arc<Semaphore>,
}

impl<M: Machine> Drop for Coordinator<M> {
    fn drop(&mut self) {
        self.wakeup.notify();
    }
}

impl<M: Machine> Coordinator<M> {
    /// Starts a coordinator that leads no partition yet. Its timers run on the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(
        config: CoordinatorConfig<M>,
        metadata: Arc<MetadataCache>,
        partitions: Arc<Partitions>,
    ) -> Arc<Self> {
        let settings = config.resolve(&metadata.image());
        let coordinator = Arc::new(Self {
            config,
            partitions,
            metadata,
            runtime: Handle::current(),
            started: Instant::now(),
            settings: RwLock::new(Arc::new(settings)),
            shards: RwLock::default(),
            next_token: AtomicU64::new(0),
            wakeup: Arc::default(),
            signals: Arc::default(),
            loads: Arc::new(Semaphore::new(LOADS_MAX)),
        });
        timers::spawn(&coordinator);
        coordinator
    }

    /// Runs a request in the shard that `key` belongs to, and returns its reply once the reply may
    /// be sent. The first poll plans the request and appends its records. If the request lacks
    /// results of computations, these run on a blocking thread, without the lock of the shard.
    ///
    /// # Errors
    /// Kafka's codes for requests to coordinators: NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS,
    /// COORDINATOR_NOT_AVAILABLE when the records cannot be committed, UNKNOWN_SERVER_ERROR when
    /// they are too large for one batch.
    pub async fn run<Q>(self: &Arc<Self>, key: &str, request: &Q) -> Result<Q::Reply, ErrorCode>
    where
        Q: Request<Machine = M>,
    {
        let shard = self.shard_of(key).await?;
        match Q::LOOKS_UP {
            true => self.run_with_lookups(&shard, request).await,
            false => self.run_in(&shard, request).await,
        }
    }

    /// Runs a request in every shard of this broker, one after the other. The result of a shard
    /// that cannot serve the request is an error, as [`Coordinator::run`] returns it.
    pub async fn run_in_all<Q>(self: &Arc<Self>, request: &Q) -> Vec<Result<Q::Reply, ErrorCode>>
    where
        Q: Request<Machine = M>,
    {
        let shards = self.shards();
        let mut replies = Vec::with_capacity(shards.len());
        for shard in shards {
            replies.push(self.run_in(&shard, request).await);
        }
        replies
    }

    /// Runs a request in the shard of a partition, and only in leader epoch `epoch` when there is
    /// one. Returns the leader epoch of the shard with the reply.
    ///
    /// # Errors
    /// As [`Coordinator::run`]; NOT_COORDINATOR when the shard has another epoch.
    pub(crate) async fn run_in_shard<Q>(
        self: &Arc<Self>,
        index: PartitionIndex,
        epoch: Option<LeaderEpoch>,
        request: &Q,
    ) -> Result<(LeaderEpoch, Q::Reply), ErrorCode>
    where
        Q: Request<Machine = M>,
    {
        let shard = self.shard_at(index)?;
        if epoch.is_some_and(|epoch| epoch != shard.leader_epoch) {
            return Err(ErrorCode::NotCoordinator);
        }
        let reply = self.run_in(&shard, request).await?;
        Ok((shard.leader_epoch, reply))
    }

    /// Takes work from the shard of a partition with a request that appends no records. Waits for
    /// the commit that the work depends on for as long as this broker leads the partition. No work
    /// that was taken is lost while the shard exists.
    ///
    /// # Errors
    /// NOT_COORDINATOR or COORDINATOR_LOAD_IN_PROGRESS when the broker has no loaded shard of the
    /// partition, or drops it.
    pub(crate) async fn take_from<Q>(
        self: &Arc<Self>,
        index: PartitionIndex,
        request: &Q,
    ) -> Result<(LeaderEpoch, Q::Reply), ErrorCode>
    where
        Q: Request<Machine = M>,
    {
        let shard = self.shard_at(index)?;
        let plan = |machine: &mut M, step: &mut Step<'_, M>| request.plan(machine, step);
        let (reply, commit) = self.step(&shard, WriteMode::PerRecord, plan)?;
        assert!(
            !commit.has_written(),
            "{}: records were written by a request that takes work",
            shard.partition.name()
        );
        match commit.done(Instant::now() + FOREVER).await {
            Err(ErrorCode::NotCoordinator) => Err(ErrorCode::NotCoordinator),
            Ok(()) | Err(_) => Ok((shard.leader_epoch, reply)),
        }
    }

    /// Returns the signals that machines raise with [`Step::signal`].
    pub(crate) fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }

    /// Runs a request whose records belong to a transaction: they take effect when the transaction
    /// is committed.
    ///
    /// # Errors
    /// As [`Coordinator::run`]; INVALID_PRODUCER_EPOCH when a newer epoch of the producer has
    /// written, INVALID_TXN_STATE when the transaction was not verified and is not open.
    pub async fn run_in_transaction<Q>(
        self: &Arc<Self>,
        key: &str,
        transaction: TransactionWrite,
        request: &Q,
    ) -> Result<Q::Reply, ErrorCode>
    where
        Q: Request<Machine = M>,
    {
        let shard = self.shard_of(key).await?;
        let plan = |machine: &mut M, step: &mut Step<'_, M>| request.plan(machine, step);
        let mode = WriteMode::InTransaction(transaction);
        let (reply, commit) = self.step(&shard, mode, plan)?;
        commit.done(self.commit_deadline()).await?;
        Ok(reply)
    }

    /// Returns the partition that `key` belongs to.
    ///
    /// # Errors
    /// NOT_COORDINATOR when this broker does not lead it.
    pub async fn partition_for(self: &Arc<Self>, key: &str) -> Result<Arc<Partition>, ErrorCode> {
        Ok(Arc::clone(&self.shard_of(key).await?.partition))
    }

    async fn run_in<Q>(
        self: &Arc<Self>,
        shard: &Arc<ShardRuntime<M>>,
        request: &Q,
    ) -> Result<Q::Reply, ErrorCode>
    where
        Q: Request<Machine = M>,
    {
        if Q::AFTER_TIMERS {
            self.run_timers_of(shard);
        }
        let plan = |machine: &mut M, step: &mut Step<'_, M>| request.plan(machine, step);
        let (reply, commit) = self.step(shard, WriteMode::Atomic, plan)?;
        commit.done(self.commit_deadline()).await?;
        Ok(reply)
    }

    async fn run_with_lookups<Q>(
        self: &Arc<Self>,
        shard: &Arc<ShardRuntime<M>>,
        request: &Q,
    ) -> Result<Q::Reply, ErrorCode>
    where
        Q: Request<Machine = M>,
    {
        let mut lookups = M::Lookups::default();
        for _ in 0..LOOKUPS_MAX {
            let image = self.metadata.image();
            let mut context = self.context(Arc::clone(&image));
            context.lookups = Some(lookups);
            let plan = |machine: &mut M, step: &mut Step<'_, M>| {
                let reply = request.plan(machine, step);
                (reply, std::mem::take(&mut step.unresolved))
            };
            let outcome = self.step_in(shard, &context, WriteMode::Atomic, plan);
            let ((reply, unresolved), commit) = outcome?;
            if unresolved.is_empty() {
                commit.done(self.commit_deadline()).await?;
                return Ok(reply);
            }
            assert!(
                !commit.has_written(),
                "a request that lacks {unresolved:?} has written records"
            );
            let mut found = context.lookups.take().unwrap_or_default();
            let owner = WorkOwner::Partition(shard.partition.id());
            let compute = move || {
                found.resolve(unresolved, &image);
                found
            };
            let computed = self.partitions.blocking().compute(owner, compute).await;
            lookups = computed.map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
            request.restrict(&mut lookups);
        }
        // Other requests changed what this request needs each time. The client retries.
        Err(ErrorCode::CoordinatorLoadInProgress)
    }

    /// Runs a request whose reply is sent by this step or a later one.
    ///
    /// # Errors
    /// As [`Coordinator::run`], when the request cannot be planned or its records not appended.
    pub async fn park<Q>(
        self: &Arc<Self>,
        key: &str,
        request: &Q,
    ) -> Result<PendingReply<Q::Reply>, ErrorCode>
    where
        Q: ParkedRequest<Machine = M>,
    {
        let shard = self.shard_of(key).await?;
        let token = ReplyToken::new(self.next_token.fetch_add(1, Ordering::Relaxed));
        let pending = shard.replies.park(token);
        let plan = |machine: &mut M, step: &mut Step<'_, M>| request.plan(token, machine, step);
        self.step(&shard, WriteMode::Atomic, plan)?;
        Ok(pending)
    }

    /// Makes a step of a shard on the newest metadata, and carries out its effects.
    fn step<R>(
        self: &Arc<Self>,
        shard: &Arc<ShardRuntime<M>>,
        mode: WriteMode,
        plan: impl FnOnce(&mut M, &mut Step<'_, M>) -> R,
    ) -> Result<(R, CommitWait), ErrorCode> {
        let context = self.context(self.metadata.image());
        self.step_in(shard, &context, mode, plan)
    }

    fn step_in<R>(
        self: &Arc<Self>,
        shard: &Arc<ShardRuntime<M>>,
        context: &StepContext<M>,
        mode: WriteMode,
        plan: impl FnOnce(&mut M, &mut Step<'_, M>) -> R,
    ) -> Result<(R, CommitWait), ErrorCode> {
        let (outcome, actions) = shard.step(context, mode, plan);
        if let Some(deadline) = actions.next_deadline {
            self.wakeup.set(deadline);
        }
        if actions.signal {
            self.signals.raise(shard.partition.id().partition);
        }
        for reply in actions.replies {
            shard.replies.send(reply);
        }
        let continues = |waiting: &AfterCommit<M>| waiting.on_commit.is_some();
        let is_continued = actions.after_commit.iter().any(continues);
        let (running, continued) = is_continued.then(|| mpsc::channel(1)).unzip();
        for waiting in actions.after_commit {
            let (this, shard) = (Arc::clone(self), Arc::clone(shard));
            let running = running.clone().filter(|_| continues(&waiting));
            let deadline = Instant::now() + context.settings.commit_timeout;
            self.runtime.spawn(async move {
                let outcome = waiting.commit.done(deadline).await;
                this.on_commit(&shard, waiting.on_commit, waiting.replies, outcome);
                drop(running);
            });
        }
        outcome.map(|(reply, commit)| (reply, commit.and(continued)))
    }

    /// Continues after a commit, or its failure: sends the replies that waited for it, and
    /// continues the machine.
    fn on_commit(
        self: &Arc<Self>,
        shard: &Arc<ShardRuntime<M>>,
        on_commit: Option<M::OnCommit>,
        replies: Vec<DueReply>,
        outcome: Result<(), ErrorCode>,
    ) {
        for reply in replies {
            shard.replies.send(match outcome {
                Ok(()) => reply,
                Err(code) => reply.failed(code),
            });
        }
        if let Some(on_commit) = on_commit {
            // Fails only when the machine was dropped, together with its parked requests.
            let _ = self.step(shard, WriteMode::Atomic, |machine, step| {
                machine.on_commit(on_commit, outcome, step);
            });
        }
    }

    fn context(&self, image: Arc<MetadataImage>) -> StepContext<M> {
        StepContext {
            now: self.started.elapsed(),
            wall: wall_clock(),
            image,
            settings: self.settings(),
            lookups: None,
        }
    }

    fn settings(&self) -> Arc<CoordinatorSettings<M>> {
        Arc::clone(&self.settings.read())
    }

    fn commit_deadline(&self) -> Instant {
        Instant::now() + self.settings().commit_timeout
    }

    fn shards(&self) -> Vec<Arc<ShardRuntime<M>>> {
        self.shards.read().values().cloned().collect()
    }

    fn shard_at(&self, index: PartitionIndex) -> Result<Arc<ShardRuntime<M>>, ErrorCode> {
        let shard = self.shards.read().get(&index).cloned();
        shard.ok_or(ErrorCode::NotCoordinator)
    }

    /// Returns the shard that `key` belongs to, if this broker leads it. Waits a moment for a load
    /// that ends soon, and for metadata that another broker, which the client has asked, may have
    /// received a few milliseconds earlier.
    async fn shard_of(self: &Arc<Self>, key: &str) -> Result<Arc<ShardRuntime<M>>, ErrorCode> {
        let deadline = Instant::now() + SETTLED_WITHIN;
        let topic = self.config.topic.name;
        let exists = |image: &MetadataImage| image.topic(topic).is_some();
        let mut image = self.metadata.image();
        if !exists(&image) {
            let waited = self.metadata.wait_until(exists, deadline).await;
            image = waited.ok_or(ErrorCode::NotCoordinator)?;
        }
        let index = partition_of(&image, topic, key).ok_or(ErrorCode::NotCoordinator)?;
        let shard = self.shard_at(index)?;
        if shard.may_load_again(self.started.elapsed()) {
            self.load(&shard, image.offset);
        }
        shard.until_loaded(deadline).await;
        Ok(shard)
    }

    /// Returns the number of parked requests.
    #[cfg(any(test, feature = "testing"))]
    pub fn parked(&self) -> usize {
        let shards = self.shards();
        shards.iter().map(|shard| shard.replies.len()).sum()
    }

    /// Drops all shards. Parked requests get NOT_COORDINATOR.
    pub fn resign_all(&self) {
        let shards = std::mem::take(&mut *self.shards.write());
        for shard in shards.into_values() {
            shard.resign();
        }
    }
}

/// Markers are appended and replayed under the lock of their shard, like records.
impl<M: Machine> MarkerReplay for Coordinator<M> {
    fn write_marker(
        self: Arc<Self>,
        partition: &Arc<Partition>,
        marker: &TxnMarker,
    ) -> Result<MarkerCommit, ErrorCode> {
        let index = partition.id().partition;
        let shard = self.shard_at(index).ok();
        let shard = shard.filter(|shard| Arc::ptr_eq(&shard.partition, partition));
        let shard = shard.ok_or(ErrorCode::NotLeaderOrFollower)?;
        shard.write_marker(marker)
    }
}

/// Waits for `future` until `deadline`. Returns COORDINATOR_NOT_AVAILABLE when the deadline
/// expires.
async fn within<T>(
    deadline: Instant,
    future: impl Future<Output = Result<T, ErrorCode>>,
) -> Result<T, ErrorCode> {
    timeout_at(deadline, future)
        .await
        .unwrap_or(Err(ErrorCode::CoordinatorNotAvailable))
}
