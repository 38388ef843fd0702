//! The follower's side of replication: subscribing to the leader and taking in what it sends.

use bytes::Bytes;
use dohle_log::{AppendError, Log};
use dohle_model::{ErrorCode, LeaderEpoch, NodeId, Offset, Timestamp};

use super::Partition;
use super::state::{Role, State, Wakes};
use crate::replica::{FetchPosition, Follower, LeaderAnswer, OnLeader, truncation_offset};

/// The part of a leader's message that is about this partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaderPart {
    pub(crate) answer: LeaderAnswer,
    pub(crate) high_watermark: Offset,
    pub(crate) log_start_offset: Offset,
    pub(crate) error: Option<ErrorCode>,
}

/// What the stream has to do after a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartOutcome {
    /// Nothing.
    Nothing,
    /// Tell the leader.
    Ack {
        leader_epoch: LeaderEpoch,
        end: Offset,
        log_start_offset: Offset,
    },
    /// Subscribe again at once: the log was truncated.
    Resubscribe,
    /// Subscribe again after a while, if this leader is still the leader then.
    Retry {
        /// Where the leader sent records that do not fit: the leader checks its segment there.
        damaged_at: Option<Offset>,
    },
}

impl Partition {
    /// Begins a subscription at `leader`: what to ask it for. `None` when this replica does not
    /// follow it (any more).
    pub(crate) fn begin_subscription(
        &self,
        leader: NodeId,
        subscription: u32,
    ) -> Option<(FetchPosition, Offset)> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let log = state.log().ok()?;
        let (end, epoch, start) = (
            log.log_end_offset(),
            log.last_record_epoch(),
            log.log_start_offset(),
        );
        match &mut state.role {
            Role::Follower(follower) if follower.leader() == Some(leader) => {
                Some((follower.subscribe(subscription, end, epoch), start))
            }
            _ => None,
        }
    }

    /// Takes in a part of a leader's message. Blocks for a write to the page cache.
    pub(crate) fn on_leader_part(
        &self,
        part: &LeaderPart,
        records: Bytes,
        now: Timestamp,
    ) -> PartOutcome {
        let (outcome, flush) = self.with(|state, wakes| {
            let outcome = self.take_in(state, wakes, part, records, now);
            (outcome, state.config.log.flush_messages.is_some())
        });
        if flush && self.should_flush(now) && self.flush(now).is_err() {
            // What may not be on the disk is not acked.
            return PartOutcome::Nothing;
        }
        outcome
    }

    fn take_in(
        &self,
        state: &mut State,
        wakes: &mut Wakes,
        part: &LeaderPart,
        records: Bytes,
        now: Timestamp,
    ) -> PartOutcome {
        let Role::Follower(follower) = &mut state.role else {
            return PartOutcome::Nothing;
        };
        if let Some(error) = part.error {
            return self.on_leader_error(state, wakes, part, error, now);
        }
        match follower.on_leader_data(&part.answer) {
            OnLeader::Ignore => PartOutcome::Nothing,
            OnLeader::Truncate { epoch, end_offset } => {
                self.truncate(state, wakes, epoch, end_offset, now)
            }
            OnLeader::Append => self.append_replicated(state, wakes, part, records, now),
        }
    }

    fn on_leader_error(
        &self,
        state: &mut State,
        wakes: &mut Wakes,
        part: &LeaderPart,
        error: ErrorCode,
        now: Timestamp,
    ) -> PartOutcome {
        let Role::Follower(follower) = &mut state.role else {
            return PartOutcome::Nothing;
        };
        if follower.subscription() != Some(part.answer.subscription) {
            return PartOutcome::Nothing;
        }
        follower.unsubscribe();
        if error != ErrorCode::OffsetOutOfRange {
            tracing::debug!(partition = %self.name, %error, "leader ended the subscription");
            return PartOutcome::Retry { damaged_at: None };
        }
        // The leader's log begins after the end of this one: nothing here is of use any more.
        let start = part.log_start_offset;
        let Ok(log) = state.log_mut() else {
            return PartOutcome::Nothing;
        };
        tracing::info!(
            partition = %self.name,
            log_end_offset = %log.log_end_offset(),
            leader_log_start_offset = %start,
            "log is behind the leader's start, beginning anew there"
        );
        if let Err(error) = log.truncate_fully_and_start_at(start, now) {
            state.storage_failed(&error, &self.shared, wakes);
            return PartOutcome::Nothing;
        }
        state.raise_high_watermark(start);
        PartOutcome::Resubscribe
    }

    fn truncate(
        &self,
        state: &mut State,
        wakes: &mut Wakes,
        epoch: LeaderEpoch,
        end_offset: Offset,
        now: Timestamp,
    ) -> PartOutcome {
        let high_watermark = state.high_watermark;
        let Ok(log) = state.log_mut() else {
            return PartOutcome::Nothing;
        };
        let before = log.log_end_offset();
        let local = log.leader_epochs().end_offset_for(epoch, before);
        let local = local.map(|end| (end.epoch, end.end_offset));
        let to = truncation_offset(epoch, end_offset, local, before);
        let to = to.max(log.log_start_offset());
        tracing::info!(
            partition = %self.name,
            from = %before,
            to = %to,
            %high_watermark,
            "truncating to where the leader's log parts"
        );
        if to < high_watermark {
            tracing::warn!(
                partition = %self.name,
                to = %to,
                %high_watermark,
                "truncating below the high watermark: an unclean election has lost records"
            );
        }
        if let Err(error) = log.truncate_to(to, now) {
            state.storage_failed(&error, &self.shared, wakes);
            return PartOutcome::Nothing;
        }
        let end = log.log_end_offset();
        if high_watermark > end {
            state.raise_high_watermark(end);
        }
        PartOutcome::Resubscribe
    }

    fn append_replicated(
        &self,
        state: &mut State,
        wakes: &mut Wakes,
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
        if next > high_watermark {
            state.raise_high_watermark(next);
        }
        if had_records || started {
            PartOutcome::Ack {
                leader_epoch,
                end,
                log_start_offset,
            }
        } else {
            PartOutcome::Nothing
        }
    }

    fn refuse(&self, state: &mut State, wakes: &mut Wakes, error: AppendError) -> PartOutcome {
        if let AppendError::Storage(error) = error {
            state.storage_failed(&error, &self.shared, wakes);
            return PartOutcome::Nothing;
        }
        tracing::error!(partition = %self.name, %error, "leader sent what does not fit the log");
        if let Role::Follower(follower) = &mut state.role {
            follower.unsubscribe();
        }
        PartOutcome::Retry {
            damaged_at: state.log().ok().map(Log::log_end_offset),
        }
    }
}
