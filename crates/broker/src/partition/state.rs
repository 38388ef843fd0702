//! The state behind a partition's lock, and how changes of it are published.

use std::sync::{Arc, Weak};

use dohle_log::{Log, StorageError, StorageErrorKind};
use dohle_model::{DirectoryId, LeaderEpoch, NodeId, Offset, PartitionEpoch};
use tokio::sync::oneshot;

use super::config::PartitionConfig;
use super::errors::{CommitError, RoleError};
use super::offset_waiters::OffsetWaiters;
use super::ready::{ReadyOn, ReadySet, ReadyToken};
use super::shared::PartitionContext;
use super::shortage::ClosedLog;
use super::tail::Tail;
use super::types::Positions;
use crate::replica::{Effects, Follower, Leader};
use dohle_model::{TopicIdPartition, TopicPartition};

/// Leader or follower.
#[derive(Debug)]
pub(super) enum Role {
    Leader(Leader),
    Follower(Follower),
}

/// The log, or the reason why there is none.
#[derive(Debug)]
pub(super) enum LogState {
    Online(Box<Log>),
    Offline(String),
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) id: TopicIdPartition,
    pub(super) log: LogState,
    /// The log directory that holds it.
    pub(super) dir: DirectoryId,
    pub(super) role: Role,
    /// The last registration that was applied.
    pub(super) partition_epoch: Option<PartitionEpoch>,
    /// Whether this replica led last, of a partition that has no leader and no eligible replica
    /// (KIP-966).
    pub(super) is_last_known_leader: bool,
    /// Whether the log start that DeleteRecords has set is lost: it is taken from another replica.
    pub(super) log_start_lost: bool,
    pub(super) high_watermark: Offset,
    pub(super) config: Arc<PartitionConfig>,
    pub(super) commits: OffsetWaiters<Result<(), CommitError>>,
    pub(super) low_watermarks: OffsetWaiters<Result<Offset, CommitError>>,
    pub(super) subscriptions: Vec<FollowerSubscription>,
    /// The logged reason why this follower makes no progress; `None` while it does.
    pub(super) obstacle: Option<String>,
    pub(super) tail: Tail,
    /// Whether the last append failed for lack of resources.
    pub(super) is_short: bool,
}

/// One follower's subscription to a leader, in one leader epoch.
#[derive(Debug)]
pub(super) struct FollowerSubscription {
    pub(super) id: u64,
    pub(super) follower: NodeId,
    /// The next offset to send.
    pub(super) sent: Offset,
    pub(super) watch: Arc<ReadyToken>,
    /// Whether the follower is sent positions only.
    pub(super) paused: bool,
}

impl FollowerSubscription {
    /// Ends the subscription and wakes its stream.
    pub(super) fn end(self, wakes: &mut DeferredWakeups) {
        if self.watch.queue() {
            wakes.ready_sets.push(Arc::clone(self.watch.ready_set()));
        }
    }
}

/// What readers see without the lock.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PartitionSnapshot {
    pub(super) positions: Positions,
    pub(super) leader: Option<NodeId>,
    pub(super) is_leader: bool,
}

/// The ready tokens of one partition.
#[derive(Debug, Default)]
pub(super) struct ReadyTokens {
    list: Vec<Weak<ReadyToken>>,
    sweep_at: usize,
}

impl ReadyTokens {
    pub(super) fn add(&mut self, watch: &Arc<ReadyToken>) {
        if self.list.len() >= self.sweep_at.max(16) {
            self.list.retain(|watch| watch.strong_count() > 0);
            self.sweep_at = self.list.len() * 2;
        }
        self.list.push(Arc::downgrade(watch));
    }

    /// Queues the ready tokens of a change.
    pub(super) fn moved(&mut self, committed: bool, wakes: &mut DeferredWakeups) {
        self.list.retain(|watch| {
            let Some(watch) = watch.upgrade() else {
                return false;
            };
            if (committed || watch.on() == ReadyOn::Any) && watch.queue() {
                wakes.ready_sets.push(Arc::clone(watch.ready_set()));
            }
            true
        });
    }
}

type Completion<T> = (
    oneshot::Sender<Result<T, CommitError>>,
    Result<T, CommitError>,
);

/// The waiters to wake after the lock is released, by dropping this.
#[derive(Debug, Default)]
pub(super) struct DeferredWakeups {
    pub(super) ready_sets: Vec<Arc<ReadySet>>,
    pub(super) commits: Vec<Completion<()>>,
    pub(super) low_watermarks: Vec<Completion<Offset>>,
}

impl Drop for DeferredWakeups {
    /// Wakes the waiters, also after a panic. A wait whose receiver was dropped is ignored.
    fn drop(&mut self) {
        for (wait, result) in self.commits.drain(..) {
            let _ = wait.send(result);
        }
        for (wait, result) in self.low_watermarks.drain(..) {
            let _ = wait.send(result);
        }
        for ready_set in self.ready_sets.drain(..) {
            ready_set.wake();
        }
    }
}

impl State {
    /// Returns the current leader epoch.
    pub(super) fn epoch(&self) -> LeaderEpoch {
        match &self.role {
            Role::Leader(leader) => leader.epoch(),
            Role::Follower(follower) => follower.epoch(),
        }
    }

    /// The log.
    pub(super) fn log(&self) -> Result<&Log, RoleError> {
        match &self.log {
            LogState::Online(log) => Ok(log),
            LogState::Offline(reason) => Err(RoleError::Offline(reason.clone())),
        }
    }

    /// The log.
    pub(super) fn log_mut(&mut self) -> Result<&mut Log, RoleError> {
        match &mut self.log {
            LogState::Online(log) => Ok(log),
            LogState::Offline(reason) => Err(RoleError::Offline(reason.clone())),
        }
    }

    /// The log and the leader core, if this broker leads.
    pub(super) fn leading(&mut self) -> Result<(&mut Log, &mut Leader), RoleError> {
        let log = match &mut self.log {
            LogState::Online(log) => log,
            LogState::Offline(reason) => return Err(RoleError::Offline(reason.clone())),
        };
        match &mut self.role {
            Role::Leader(leader) => Ok((log, leader)),
            Role::Follower(follower) => Err(RoleError::NotLeader {
                leader: follower.leader(),
            }),
        }
    }

    /// Refuses a caller with another leader epoch (KIP-320).
    pub(super) fn check_epoch(&self, given: Option<LeaderEpoch>) -> Result<(), RoleError> {
        let current = self.epoch();
        match given {
            Some(given) if given < current => Err(RoleError::FencedLeaderEpoch { given, current }),
            Some(given) if given > current => Err(RoleError::UnknownLeaderEpoch { given, current }),
            _ => Ok(()),
        }
    }

    /// Returns the current positions.
    pub(super) fn positions(&self) -> Positions {
        let leader_epoch = self.epoch();
        match &self.log {
            LogState::Online(log) => Positions {
                leader_epoch,
                log_start_offset: log.log_start_offset(),
                high_watermark: self.high_watermark,
                last_stable_offset: log.last_stable_offset(self.high_watermark),
                log_end_offset: log.log_end_offset(),
            },
            LogState::Offline(_) => Positions {
                leader_epoch,
                ..Positions::default()
            },
        }
    }

    pub(super) fn published(&self, node: NodeId) -> PartitionSnapshot {
        let online = matches!(self.log, LogState::Online(_));
        let (leader, is_leader) = match &self.role {
            Role::Leader(_) => (Some(node), online),
            Role::Follower(follower) => (follower.leader(), false),
        };
        PartitionSnapshot {
            positions: self.positions(),
            leader,
            is_leader,
        }
    }

    /// Carries out the effects of the leader core.
    pub(super) fn apply(
        &mut self,
        effects: Effects,
        shared: &PartitionContext,
        wakes: &mut DeferredWakeups,
    ) {
        if let Some(proposal) = effects.alter_isr {
            shared.propose(self.id, proposal);
        }
        if let Some(high_watermark) = effects.high_watermark {
            assert!(
                high_watermark >= self.high_watermark,
                "{}: the leader lowers the high watermark from {} to {high_watermark}",
                self.id,
                self.high_watermark
            );
            self.raise_high_watermark(high_watermark);
            self.complete_commits(wakes);
        }
    }

    /// Sets the high watermark of a log that was just opened, within the bounds of the log.
    pub(super) fn begin_at(&mut self, high_watermark: Offset) {
        if let Ok(log) = self.log() {
            let high_watermark = high_watermark.max(log.log_start_offset());
            let high_watermark = high_watermark.min(log.log_end_offset());
            self.raise_high_watermark(high_watermark);
        }
    }

    pub(super) fn raise_high_watermark(&mut self, high_watermark: Offset) {
        let before = std::mem::replace(&mut self.high_watermark, high_watermark);
        if let LogState::Online(log) = &mut self.log {
            let (start, end) = (log.log_start_offset(), log.log_end_offset());
            assert!(
                (start..=end).contains(&high_watermark),
                "{}: high watermark {before} became {high_watermark}, outside the log's \
                 {start}..={end}",
                self.id
            );
            log.on_high_watermark(high_watermark);
        }
    }

    fn complete_commits(&mut self, wakes: &mut DeferredWakeups) {
        while let Some(wait) = self.commits.pop(self.high_watermark) {
            wakes.commits.push((wait, self.acknowledge()));
        }
    }

    /// Whether committed records may be acknowledged.
    pub(super) fn acknowledge(&self) -> Result<(), CommitError> {
        match &self.role {
            Role::Leader(leader) => {
                leader
                    .admit_ack()
                    .map_err(|lack| CommitError::NotEnoughReplicasAfterAppend {
                        isr: lack.isr,
                        min: lack.min,
                    })
            }
            Role::Follower(follower) => Err(RoleError::NotLeader {
                leader: follower.leader(),
            }
            .into()),
        }
    }

    /// Completes the waits for the low watermark that it has reached.
    pub(super) fn complete_low_watermarks(
        &mut self,
        shared: &PartitionContext,
        wakes: &mut DeferredWakeups,
    ) {
        let Ok((log, leader)) = self.leading() else {
            return;
        };
        let low = leader.low_watermark(log.log_start_offset(), |id| shared.is_alive(id));
        while let Some(wait) = self.low_watermarks.pop(low) {
            wakes.low_watermarks.push((wait, Ok(low)));
        }
    }

    /// Ends a leadership: waits fail, and the followers' subscriptions end.
    pub(super) fn end_leadership(&mut self, error: &RoleError, wakes: &mut DeferredWakeups) {
        for wait in self.commits.take_all() {
            wakes
                .commits
                .push((wait, Err(CommitError::Role(error.clone()))));
        }
        for wait in self.low_watermarks.take_all() {
            wakes
                .low_watermarks
                .push((wait, Err(CommitError::Role(error.clone()))));
        }
        for subscription in self.subscriptions.drain(..) {
            subscription.end(wakes);
        }
        self.tail.clear();
        assert!(
            self.commits.is_empty() && self.low_watermarks.is_empty(),
            "{}: requests wait for a partition that does not lead",
            self.id
        );
    }

    /// Logs why this follower makes no progress, unless the last line had the same reason.
    pub(super) fn report(&mut self, name: &TopicPartition, obstacle: impl FnOnce() -> String) {
        let obstacle = obstacle();
        if self.obstacle.as_ref() != Some(&obstacle) {
            tracing::error!(
                partition = %name, leader_epoch = %self.epoch(), reason = obstacle,
                "follower makes no progress and subscribes again at growing intervals"
            );
            self.obstacle = Some(obstacle);
        }
    }

    /// Notes that this follower received records that fit its log.
    pub(super) fn recovered(&mut self, name: &TopicPartition) {
        if self.obstacle.take().is_some() {
            let leader_epoch = self.epoch();
            tracing::info!(partition = %name, %leader_epoch, "follower makes progress again");
        }
    }

    /// Whether an append failed only because its file could not be opened: the log is unchanged,
    /// and the append may be tried again. Logged once, until an append succeeds.
    pub(super) fn is_shortage(&mut self, error: &StorageError) -> bool {
        let is_shortage = error.kind() == StorageErrorKind::Shortage
            && self.log().is_ok_and(|log| !log.is_failed());
        if is_shortage && !std::mem::replace(&mut self.is_short, true) {
            tracing::warn!(partition = %self.id, %error, "append failed for lack of resources");
        }
        is_shortage
    }

    /// Takes the log offline after a change of its files failed, and with it the whole log
    /// directory unless the content of the files was the cause. After a lack of space the change
    /// was undone and nothing goes offline. A log that a shortage closed during a change is opened
    /// again.
    pub(super) fn storage_failed(
        &mut self,
        error: &StorageError,
        shared: &PartitionContext,
        wakes: &mut DeferredWakeups,
    ) -> RoleError {
        match error.kind() {
            StorageErrorKind::Full => {
                shared.space.on_refused_write(self.dir);
                if self.log().is_ok_and(|log| !log.is_failed()) {
                    let reason = shared.space.reason(self.dir);
                    return RoleError::NoSpace(format!("{error}: {reason}"));
                }
                self.close_for_now(error, shared);
            }
            StorageErrorKind::Damage => {
                tracing::error!(partition = %self.id, %error, "log taken offline");
            }
            StorageErrorKind::Shortage => self.close_for_now(error, shared),
            StorageErrorKind::Device => {
                tracing::error!(partition = %self.id, %error, "log directory failed");
                shared.dir_failed(self.dir);
            }
        }
        self.go_offline(error.to_string(), wakes)
    }

    /// Requests that a log is opened again which goes offline for a lack of descriptors or space.
    fn close_for_now(&self, error: &StorageError, shared: &PartitionContext) {
        let Ok(log) = self.log() else { return };
        tracing::warn!(
            partition = %self.id, %error,
            "log closed for lack of resources; it is opened again when they are available"
        );
        let closed = ClosedLog {
            high_watermark: self.high_watermark,
            recovery_point: log.recovery_point(),
            log_start_offset: log.log_start_offset(),
            cleaner_offset: log.cleaner_checkpoint(),
            is_clean: false,
        };
        shared.closed_logs.add(self.id, closed);
    }

    /// Takes the log offline.
    pub(super) fn go_offline(&mut self, reason: String, wakes: &mut DeferredWakeups) -> RoleError {
        let error = RoleError::Offline(reason.clone());
        self.log = LogState::Offline(reason);
        self.end_leadership(&error, wakes);
        error
    }
}
