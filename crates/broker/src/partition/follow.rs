//! The follower's side of replication: subscribes to the leader and appends what it sends.

use bytes::Bytes;
use dohle_log::{AppendError, Log, StorageError};
use dohle_model::{ErrorCode, NodeId, Offset, Timestamp};

use super::Partition;
use super::errors::RoleError;
use super::leader_part::{LeaderPart, PartOutcome, Truncation};
use super::state::{DeferredWakeups, Role, State};
use crate::replica::{FetchPosition, Follower, OnLeader};

/// A subscription that has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subscribed {
    /// The number of the subscription, unique within this process.
    pub(crate) subscription: u64,
    pub(crate) position: FetchPosition,
    pub(crate) log_start_offset: Offset,
    /// Whether there is no space for records: the leader sends positions only.
    pub(crate) paused: bool,
}

impl Partition {
    /// Begins a subscription at `leader` and returns its parameters. `None` when this replica does
    /// not follow that leader.
    pub(crate) fn begin_subscription(&self, leader: NodeId) -> Option<Subscribed> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let paused = self.lacks_space(state);
        let log = state.log().ok()?;
        let (end, epoch) = (log.log_end_offset(), log.last_record_epoch());
        let log_start_offset = log.log_start_offset();
        match &mut state.role {
            Role::Follower(follower) if follower.leader() == Some(leader) => {
                let subscription = self.shared.next_subscription();
                Some(Subscribed {
                    subscription,
                    position: follower.subscribe(subscription, end, epoch),
                    log_start_offset,
                    paused,
                })
            }
            _ => None,
        }
    }

    /// Processes a part of a leader's message. Writes to the page cache and reads nothing from the
    /// log; flushes and truncations are left to the caller.
    pub(crate) fn on_leader_part(
        &self,
        part: &LeaderPart,
        records: Bytes,
        now: Timestamp,
    ) -> PartOutcome {
        self.with(|state, wakes| self.take_in(state, wakes, part, records, now))
    }

    fn take_in(
        &self,
        state: &mut State,
        wakes: &mut DeferredWakeups,
        part: &LeaderPart,
        records: Bytes,
        now: Timestamp,
    ) -> PartOutcome {
        let Role::Follower(follower) = &mut state.role else {
            return PartOutcome::Nothing;
        };
        match follower.on_leader_data(&part.answer) {
            OnLeader::Ignore => PartOutcome::Nothing,
            OnLeader::Ended(ErrorCode::OffsetOutOfRange) => {
                PartOutcome::Truncate(Truncation::new(part, None))
            }
            OnLeader::Ended(error) => {
                tracing::debug!(partition = %self.name, %error, "leader ended the subscription");
                PartOutcome::Retry { damaged_at: None }
            }
            OnLeader::Truncate { epoch, end_offset } => {
                PartOutcome::Truncate(Truncation::new(part, Some((epoch, end_offset))))
            }
            OnLeader::Append => self.append_replicated(state, wakes, part, records, now),
        }
    }

    fn append_replicated(
        &self,
        state: &mut State,
        wakes: &mut DeferredWakeups,
        part: &LeaderPart,
        records: Bytes,
        now: Timestamp,
    ) -> PartOutcome {
        let had_records = !records.is_empty();
        let leader_epoch = state.epoch();
        let high_watermark = state.high_watermark;
        let Ok(log) = state.log_mut() else {
            return PartOutcome::Nothing;
        };
        if had_records {
            match log.append_replicated(records, part.high_watermark, now) {
                Ok(info) => {
                    if info.is_some_and(|info| info.rolled) {
                        self.shared.flushes.add(self.id);
                    }
                }
                Err(error) => return self.refuse(state, wakes, error),
            }
            if log.config().flush_ms.is_some() {
                self.shared.timed_flushes.add(self.id);
            }
        }
        let end = log.log_end_offset();
        let next = Follower::next_high_watermark(high_watermark, part.high_watermark, end);
        let started = log.maybe_advance_log_start_offset(part.log_start_offset.min(next));
        let log_start_offset = log.log_start_offset();
        assert!(
            log_start_offset <= next && next <= end,
            "{}: log start {log_start_offset}, high watermark {high_watermark} and then {next}, \
             log end {end}",
            self.name
        );
        // `flush.ms` alone is left to the background task.
        let after_flush = log.config().flush_messages.is_some() && log.should_flush(now);
        if log_start_offset >= part.log_start_offset {
            state.log_start_lost = false;
        }
        if next > high_watermark {
            state.raise_high_watermark(next);
        }
        if had_records {
            state.recovered(&self.name);
            state.is_short = false;
        }
        if started {
            self.reclaim_soon(state);
        }
        if had_records || started {
            PartOutcome::Ack {
                leader_epoch,
                end,
                log_start_offset,
                after_flush,
            }
        } else {
            PartOutcome::Nothing
        }
    }

    /// Handles a failed change of the log's files. After a lack of space the subscription ends, and
    /// a later one fetches the records that were not appended.
    pub(super) fn change_failed(
        &self,
        state: &mut State,
        wakes: &mut DeferredWakeups,
        error: &StorageError,
    ) -> PartOutcome {
        if !matches!(
            state.storage_failed(error, &self.shared, wakes),
            RoleError::NoSpace(_)
        ) {
            return PartOutcome::Nothing;
        }
        if let Role::Follower(follower) = &mut state.role {
            follower.unsubscribe();
        }
        PartOutcome::Retry { damaged_at: None }
    }

    fn refuse(
        &self,
        state: &mut State,
        wakes: &mut DeferredWakeups,
        error: AppendError,
    ) -> PartOutcome {
        if let AppendError::Storage(error) = &error
            && state.is_shortage(error)
        {
            if let Role::Follower(follower) = &mut state.role {
                follower.unsubscribe();
            }
            return PartOutcome::Retry { damaged_at: None };
        }
        if let AppendError::Storage(error) = error {
            return self.change_failed(state, wakes, &error);
        }
        state.report(&self.name, || {
            format!("leader sent records that do not fit the log: {error}")
        });
        if let Role::Follower(follower) = &mut state.role {
            follower.unsubscribe();
        }
        PartOutcome::Retry {
            damaged_at: state.log().ok().map(Log::log_end_offset),
        }
    }
}
