//! One partition on this broker: its log and its replica core, behind one lock that is held
//! briefly.
//!
//! Invariant: nothing durable (fsync, deletion, snapshot) and no await happens under the lock;
//! wakers are called after it is released. Positions are published after every change, before
//! anyone is woken. A panic under the lock takes the partition offline.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use dohle_log::{DecompressionMemory, Log, StorageError, StorageErrorKind};
use dohle_model::{
    DirectoryId, LeaderEpoch, NodeId, Offset, TopicIdPartition, TopicName, TopicPartition,
};
use parking_lot::{Mutex, RwLock};

mod append;
mod cleaning;
mod config;
mod counts;
pub(crate) mod damage;
pub(crate) mod dir_move;
mod errors;
mod follow;
mod follower_subscription;
pub(crate) mod history;
mod leader_part;
mod lock;
mod log_start;
mod measures;
mod offset_waiters;
mod offsets;
mod read;
mod ready;
mod report;
mod role;
pub(crate) mod shared;
mod shortage;
pub(crate) mod space;
mod state;
mod suspects;
mod tail;
pub(crate) mod throttle;
mod transactions;
mod truncate;
mod types;
mod upkeep;

pub(crate) use cleaning::CleanOutcome;
pub use config::PartitionConfig;
pub use counts::{TopicCounts, TopicMeter};
pub use errors::{AppendError, CommitError, ReadError, RejectedRecord, RoleError};
pub(crate) use follower_subscription::{FollowerData, SubscriptionRequest, SubscriptionStart};
pub use history::{ChangeKind, PartitionChange};
pub(crate) use leader_part::{LeaderPart, PartOutcome, Truncation};
pub(crate) use measures::Measures;
pub use read::LocateError;
pub use ready::{ReadyOn, ReadySet, ReadyToken};
pub use report::{FollowerReport, LeaderReport, PartitionReport, PendingIsr};
pub(crate) use shortage::ClosedLog;
pub use transactions::TxnMarker;
pub use types::{
    AbortedTransaction, Acks, AppendOrigin, Appended, EpochEnd, FetchParams, FetchRead,
    FollowerState, Isolation, ListedOffset, OffsetSpec, Positions, ProducerInfo,
};
pub(crate) use upkeep::Deleted;

use crate::blocking::BlockingPool;
use crate::replica::Follower;
use lock::StateLock;
use shared::PartitionContext;
use state::{DeferredWakeups, LogState, PartitionSnapshot, ReadyTokens, Role, State};
use throttle::ThrottledSides;

/// A partition that this broker hosts a replica of.
#[derive(Debug)]
pub struct Partition {
    id: TopicIdPartition,
    name: TopicPartition,
    shared: Arc<PartitionContext>,
    state: StateLock,
    published: RwLock<PartitionSnapshot>,
    ready_tokens: Mutex<ReadyTokens>,
    /// Whether it is on the list of partitions with lagging followers.
    lag_noted: AtomicBool,
    throttled: ThrottledSides,
    meter: Arc<TopicMeter>,
    /// Makes reads for followers find nothing in the page cache.
    #[cfg(test)]
    pub(crate) is_uncached: AtomicBool,
}

impl Partition {
    /// Creates a replica without a leader. `log` may be the reason why the log could not be opened.
    pub(crate) fn new(
        id: TopicIdPartition,
        name: TopicPartition,
        log: Result<Log, String>,
        dir: DirectoryId,
        high_watermark: Offset,
        config: Arc<PartitionConfig>,
        shared: Arc<PartitionContext>,
    ) -> Arc<Self> {
        let log = match log {
            Ok(log) => LogState::Online(Box::new(log)),
            Err(reason) => LogState::Offline(reason),
        };
        let mut state = State {
            id,
            log,
            dir,
            role: Role::Follower(Follower::new(LeaderEpoch::ZERO, None)),
            partition_epoch: None,
            is_last_known_leader: false,
            log_start_lost: false,
            high_watermark: Offset::ZERO,
            config,
            commits: Default::default(),
            low_watermarks: Default::default(),
            subscriptions: Vec::new(),
            obstacle: None,
            tail: tail::Tail::new(Arc::clone(&shared.tail_bytes)),
            is_short: false,
        };
        state.begin_at(high_watermark);
        let published = RwLock::new(state.published(shared.node));
        let ready_tokens = Mutex::default();
        let lag_noted = AtomicBool::new(false);
        let throttled = ThrottledSides::default();
        throttled.set(&state.config, id.partition.0, shared.node);
        let meter = shared.meters.of(&name.topic);
        Arc::new_cyclic(|this| Self {
            id,
            name,
            shared,
            meter,
            state: StateLock::new(state, Weak::clone(this)),
            published,
            ready_tokens,
            lag_noted,
            throttled,
            #[cfg(test)]
            is_uncached: AtomicBool::new(false),
        })
    }

    /// Returns the partition's id.
    #[must_use]
    pub fn id(&self) -> TopicIdPartition {
        self.id
    }

    /// Returns the topic's name and the partition's index.
    #[must_use]
    pub fn name(&self) -> &TopicPartition {
        &self.name
    }

    /// Returns the topic's name.
    #[must_use]
    pub fn topic(&self) -> &TopicName {
        &self.name.topic
    }

    /// Returns the counts of the topic.
    #[must_use]
    pub fn meter(&self) -> &Arc<TopicMeter> {
        &self.meter
    }

    /// Returns the current leader epoch.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.positions().leader_epoch
    }

    /// Whether this broker leads the partition and its log is online.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.published.read().is_leader
    }

    /// Returns the leader in this broker's metadata; `None` while there is none.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.published.read().leader
    }

    /// Returns the positions. Takes a short read lock and never waits for an append.
    #[must_use]
    pub fn positions(&self) -> Positions {
        self.published.read().positions
    }

    /// Returns the memory pool of all decompressions of this node.
    pub fn decompression(&self) -> &DecompressionMemory {
        &self.shared.decompression
    }

    /// Queues `token` in `ready_set` whenever the positions change from now on. Callers register
    /// first and read the positions then, so that no change is missed. Dropping the [`ReadyToken`]
    /// ends the registration.
    #[must_use]
    pub fn watch(&self, ready_set: &Arc<ReadySet>, token: u32, on: ReadyOn) -> Arc<ReadyToken> {
        let watch = ReadyToken::new(ready_set, token, on);
        self.ready_tokens.lock().add(&watch);
        watch
    }

    /// Changes the state, publishes the positions, and wakes the waiters for what changed. A panic
    /// in `change` takes the partition offline.
    fn with<R>(&self, change: impl FnOnce(&mut State, &mut DeferredWakeups) -> R) -> R {
        let mut wakes = DeferredWakeups::default();
        let result = {
            let mut state = self.state.lock();
            let result = change(&mut state, &mut wakes);
            // Not in `publish`, which also runs while a panic under the lock takes the partition
            // offline: a second panic there would end the process.
            state.positions().check(&self.published.read().positions);
            self.publish(&state, &mut wakes);
            result
        };
        drop(wakes);
        result
    }

    /// [`Partition::with`] for changes of the metadata. A panic takes this partition offline and is
    /// caught here, so that the metadata are applied to the other partitions.
    fn with_contained<R: Default>(
        &self,
        change: impl FnOnce(&mut State, &mut DeferredWakeups) -> R,
    ) -> R {
        catch_unwind(AssertUnwindSafe(|| self.with(change))).unwrap_or_default()
    }

    fn publish(&self, state: &State, wakes: &mut DeferredWakeups) {
        let new = state.published(self.shared.node);
        let old = std::mem::replace(&mut *self.published.write(), new);
        if old.positions == new.positions && old.is_leader == new.is_leader {
            return;
        }
        let end = |published: &PartitionSnapshot| Positions {
            log_end_offset: Offset::ZERO,
            ..published.positions
        };
        let committed = end(&old) != end(&new) || old.is_leader != new.is_leader;
        if committed {
            self.shared.moved.store(true, Ordering::Relaxed);
        }
        self.ready_tokens.lock().moved(committed, wakes);
    }

    /// Returns the pool that runs work which waits for the disk.
    pub fn blocking(&self) -> &BlockingPool {
        &self.shared.blocking
    }

    /// Handles a failed read and returns its error. Damaged content and shortages affect the read
    /// alone; an I/O error takes the log directory offline.
    pub fn read_failed(&self, error: &StorageError) -> ReadError {
        match error.kind() {
            StorageErrorKind::Damage => {
                // The check of the segment logs the damage once.
                tracing::debug!(partition = %self.name, %error, "a read found damaged records");
                self.suspect(error);
                ReadError::Corrupt(error.to_string())
            }
            StorageErrorKind::Shortage => {
                tracing::warn!(partition = %self.name, %error, "read failed for lack of resources");
                ReadError::Unavailable(error.to_string())
            }
            // A read needs no space.
            StorageErrorKind::Full => ReadError::Unavailable(error.to_string()),
            StorageErrorKind::Device => self.fail_storage(error).into(),
        }
    }

    /// Handles background work that could not read a file. Damaged content and shortages affect
    /// that work alone, which is retried later; an I/O error takes the log directory offline.
    pub(crate) fn background_read_failed(&self, work: &'static str, error: &StorageError) {
        match error.kind() {
            StorageErrorKind::Damage => {
                tracing::error!(partition = %self.name, work, %error, "damaged file, work skipped");
            }
            StorageErrorKind::Shortage => {
                tracing::warn!(partition = %self.name, work, %error, "no resources, work skipped");
            }
            StorageErrorKind::Full => {
                tracing::debug!(partition = %self.name, work, %error, "no space, work skipped");
                self.shared.space.on_refused_write(self.directory());
            }
            StorageErrorKind::Device => {
                self.fail_storage(error);
            }
        }
    }

    /// Whether records of this partition may not be written for lack of space.
    fn lacks_space(&self, state: &State) -> bool {
        self.shared
            .space
            .refuses(state.dir, self.topic().is_internal())
    }

    /// Takes the log offline like a change of its files that found no free descriptor.
    #[cfg(test)]
    pub(crate) fn fail_for_shortage(&self) {
        let source = std::io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
        let (operation, path) = ("open", std::path::PathBuf::from("f"));
        self.fail_storage(&StorageError {
            operation,
            path,
            source,
        });
    }

    /// Handles a failed change of files outside the lock.
    fn fail_storage(&self, error: &StorageError) -> RoleError {
        self.with(|state, wakes| state.storage_failed(error, &self.shared, wakes))
    }

    /// Puts the partition on the list of those to tick if its followers require it.
    fn note_lag(&self, state: &State) {
        let Role::Leader(leader) = &state.role else {
            return;
        };
        if leader.needs_tick() && !self.lag_noted.swap(true, Ordering::AcqRel) {
            self.shared.lagging.add(self.id);
        }
    }
}

#[cfg(test)]
mod tests;
