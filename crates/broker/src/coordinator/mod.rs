//! The group coordinator's runtime: it keeps a [`Shard`] for each partition of `__consumer_offsets`
//! that this broker leads, and carries out what the shards ask for: records are appended to the
//! partition and replayed, requests are parked and answered, timers run.
//!
//! ```text
//!               leads, epoch e          read to its end, committed
//!   (no slot) ─────────────────▶ Loading ─────────────────────────▶ Active ──┐ requests, timers
//!       ▲                          │  ▲ a later request                │  ▲──┘
//!       │                    fails ▼  │                                │
//!       │                         Failed                               │
//!       └───── leads no more, or with another epoch: parked requests ──┘
//!              get NOT_COORDINATOR, the shard is dropped
//! ```
//!
//! Invariant: records are appended and replayed under the lock of their shard, so the order of the
//! log is the order of the replays; nothing is awaited under it. What is not committed is not told:
//! answers leave after the commit of what they rest on. A shard lives in one leader epoch; when
//! that ends, so does everything it has not committed.
//!
//! What groups are is not known here: see `dohle-groups`.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dohle_config::Properties;
use dohle_groups::{Matches, OnCommit, Shard, Step};
use dohle_machine::{Machine as _, Reply, ReplyToken};
use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, NodeId, PartitionIndex};
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

mod follow;
mod hash;
mod load;
mod parked;
mod settings;
mod slot;
mod timers;
mod topic;

pub use follow::CoordinatedPartitions;
pub use parked::Parked;
pub use topic::InternalTopics;

use crate::metadata::MetadataCache;
use crate::partitions::{Partitions, wall_clock};
use settings::Settings;
use slot::{Slot, Surroundings, Waits, Writes};
use timers::Alarm;

/// The topic that groups and offsets are kept in.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// How long a request waits for a coordinator that is about to be there.
const SETTLED_WITHIN: Duration = Duration::from_millis(500);
/// Times that one request looks up what regular expressions match.
const LOOKUPS_MAX: usize = 4;
/// Shards that are read at a time.
const LOADS_MAX: usize = 4;

/// The group coordinator of a node.
#[derive(Debug)]
pub struct Coordinator {
    node: NodeId,
    properties: Arc<Properties>,
    partitions: Arc<Partitions>,
    metadata: Arc<MetadataCache>,
    /// Where loads, timers and what follows a commit run: not the threads of connections.
    runtime: Handle,
    started: Instant,
    settings: RwLock<Arc<Settings>>,
    slots: RwLock<BTreeMap<PartitionIndex, Arc<Slot>>>,
    next_token: AtomicU64,
    alarm: Arc<Alarm>,
    loads: Arc<Semaphore>,
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.alarm.ring();
    }
}

impl Coordinator {
    /// A coordinator that leads nothing yet; its timers run on the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(
        node: NodeId,
        properties: Arc<Properties>,
        metadata: Arc<MetadataCache>,
        partitions: Arc<Partitions>,
    ) -> Arc<Self> {
        let settings = Settings::resolve(&properties, &metadata.image(), node);
        let coordinator = Arc::new(Self {
            node,
            properties,
            partitions,
            metadata,
            runtime: Handle::current(),
            started: Instant::now(),
            settings: RwLock::new(Arc::new(settings)),
            slots: RwLock::default(),
            next_token: AtomicU64::new(0),
            alarm: Arc::default(),
            loads: Arc::new(Semaphore::new(LOADS_MAX)),
        });
        timers::spawn(&coordinator);
        coordinator
    }

    /// Carries out a request of a group, and answers with what it answers once that is committed.
    /// The request is planned and its records are appended by the first poll.
    ///
    /// # Errors
    /// Kafka's codes for requests to coordinators: NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS,
    /// COORDINATOR_NOT_AVAILABLE when the records can't be committed, UNKNOWN_SERVER_ERROR when
    /// they are too large for one batch.
    pub async fn run<R>(
        self: &Arc<Self>,
        group_id: &str,
        plan: impl FnOnce(&mut Shard, &mut Step<'_>) -> R,
    ) -> Result<R, ErrorCode> {
        let slot = self.slot_of(group_id).await?;
        self.run_in(&slot, plan).await
    }

    /// The same for a request that may lack what regular expressions match: they are looked up on
    /// a thread that computes, without holding the shard, and the request is planned again.
    ///
    /// # Errors
    /// As [`Coordinator::run`].
    pub async fn run_with_matches<R>(
        self: &Arc<Self>,
        group_id: &str,
        mut plan: impl FnMut(&mut Shard, &mut Step<'_>) -> R,
    ) -> Result<R, ErrorCode> {
        let slot = self.slot_of(group_id).await?;
        let mut matches = Matches::default();
        for _ in 0..LOOKUPS_MAX {
            let image = self.metadata.image();
            let mut around = self.surroundings(Arc::clone(&image));
            around.matches = Some(matches);
            let planned = |shard: &mut Shard, step: &mut Step<'_>| {
                let answer = plan(shard, step);
                (answer, std::mem::take(&mut step.unresolved))
            };
            let outcome = self.step_in(&slot, &around, Writes::Whole, planned);
            let ((answer, unresolved), waits) = outcome?;
            if unresolved.is_empty() {
                let deadline = Instant::now() + around.settings.commit_timeout;
                waits.done(deadline).await?;
                return Ok(answer);
            }
            let mut found = around.matches.take().unwrap_or_default();
            let look_up = move || {
                found.resolve(unresolved, &image);
                found
            };
            matches = self
                .partitions
                .blocking()
                .compute(look_up)
                .await
                .map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
        }
        // Its members' expressions changed each time; a client tries again.
        Err(ErrorCode::CoordinatorLoadInProgress)
    }

    /// The same for every shard that is active here, one after the other: the answers, and
    /// whether some shard that this broker leads could not answer.
    pub async fn run_in_all<R>(
        self: &Arc<Self>,
        mut plan: impl FnMut(&mut Shard, &mut Step<'_>) -> R,
    ) -> Vec<Result<R, ErrorCode>> {
        let slots: Vec<_> = self.slots.read().values().cloned().collect();
        let mut answers = Vec::with_capacity(slots.len());
        for slot in slots {
            answers.push(self.run_in(&slot, &mut plan).await);
        }
        answers
    }

    async fn run_in<R>(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        plan: impl FnOnce(&mut Shard, &mut Step<'_>) -> R,
    ) -> Result<R, ErrorCode> {
        let (answer, waits) = self.step(slot, Writes::Whole, plan)?;
        let deadline = Instant::now() + self.settings().commit_timeout;
        waits.done(deadline).await?;
        Ok(answer)
    }

    /// Carries out a request that is answered through `Step::reply`, now or later: completes with
    /// that answer.
    pub async fn park<A, R: Reply>(
        self: &Arc<Self>,
        group_id: &str,
        plan: impl FnOnce(&mut Shard, &mut Step<'_>, ReplyToken<R>) -> A,
    ) -> Result<(A, Parked<R>), ErrorCode> {
        let slot = self.slot_of(group_id).await?;
        let token = ReplyToken::new(self.next_token.fetch_add(1, Ordering::Relaxed));
        let parked = slot.park(token);
        let (answer, _) =
            self.step(&slot, Writes::Whole, |shard, step| plan(shard, step, token))?;
        Ok((answer, parked))
    }

    /// Makes a step, and what follows from it.
    fn step<R>(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        writes: Writes,
        plan: impl FnOnce(&mut Shard, &mut Step<'_>) -> R,
    ) -> Result<(R, Waits), ErrorCode> {
        let around = self.surroundings(self.metadata.image());
        self.step_in(slot, &around, writes, plan)
    }

    fn step_in<R>(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        around: &Surroundings,
        writes: Writes,
        plan: impl FnOnce(&mut Shard, &mut Step<'_>) -> R,
    ) -> Result<(R, Waits), ErrorCode> {
        let (outcome, follow_ups) = slot.step(around, writes, plan);
        if let Some(deadline) = follow_ups.next_deadline {
            self.alarm.set(deadline);
        }
        for reply in follow_ups.replies {
            slot.reply(reply);
        }
        for pending in follow_ups.pending {
            let (this, slot) = (Arc::clone(self), Arc::clone(slot));
            let deadline = Instant::now() + around.settings.commit_timeout;
            self.runtime.spawn(async move {
                let outcome = slot::committed(pending.committed, deadline).await;
                this.settle(&slot, pending.on_commit, pending.replies, outcome);
            });
        }
        outcome
    }

    /// What waited for a commit goes on, with its success or without.
    fn settle(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        on_commit: Option<OnCommit>,
        replies: slot::Replies,
        outcome: Result<(), ErrorCode>,
    ) {
        for reply in replies {
            slot.reply(match outcome {
                Ok(()) => reply,
                Err(code) => reply.failed(code),
            });
        }
        if let Some(on_commit) = on_commit {
            // Fails only when the shard is gone, and those who waited with it.
            let _ = self.step(slot, Writes::Whole, |shard, step| {
                shard.on_commit(on_commit, outcome, step);
            });
        }
    }

    fn surroundings(&self, image: Arc<MetadataImage>) -> Surroundings {
        Surroundings {
            now: self.started.elapsed(),
            wall: wall_clock(),
            image,
            settings: self.settings(),
            matches: None,
        }
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read())
    }

    /// The slot that serves a group, if this broker does. Waits a moment for what the client may
    /// have been told by a broker that is a few milliseconds ahead, and for a load that ends soon.
    async fn slot_of(self: &Arc<Self>, group_id: &str) -> Result<Arc<Slot>, ErrorCode> {
        let deadline = Instant::now() + SETTLED_WITHIN;
        let is_there = |image: &MetadataImage| image.topic(OFFSETS_TOPIC).is_some();
        let mut image = self.metadata.image();
        if !is_there(&image) {
            let there = self.metadata.wait_until(is_there, deadline).await;
            image = there.ok_or(ErrorCode::NotCoordinator)?;
        }
        let index = Self::partition_of(&image, group_id).ok_or(ErrorCode::NotCoordinator)?;
        let slot = self.slots.read().get(&index).cloned();
        let slot = slot.ok_or(ErrorCode::NotCoordinator)?;
        if slot.may_load_again(self.started.elapsed()) {
            self.load(&slot, image.offset);
        }
        slot.until_loaded(deadline).await;
        Ok(slot)
    }

    /// The partition of [`OFFSETS_TOPIC`] that a group belongs to; `None` while there is no such
    /// topic.
    pub fn partition_of(image: &MetadataImage, group_id: &str) -> Option<PartitionIndex> {
        let topic = image.topic(OFFSETS_TOPIC)?;
        Some(hash::partition_for(group_id, topic.partitions.len()))
    }

    /// Requests that are parked.
    #[cfg(any(test, feature = "testing"))]
    pub fn parked(&self) -> usize {
        self.slots.read().values().map(|slot| slot.parked()).sum()
    }

    /// Gives up all shards: what is parked is answered NOT_COORDINATOR.
    pub fn resign_all(&self) {
        let slots = std::mem::take(&mut *self.slots.write());
        for slot in slots.into_values() {
            slot.resign();
        }
    }
}

/// Waits at most until `deadline`.
async fn within<T>(
    deadline: Instant,
    future: impl Future<Output = Result<T, ErrorCode>>,
) -> Result<T, ErrorCode> {
    timeout_at(deadline, future)
        .await
        .unwrap_or(Err(ErrorCode::CoordinatorNotAvailable))
}

/// A duration of the clock that shards are told, as an instant.
fn at(started: Instant, deadline: Duration) -> Instant {
    started + deadline
}
