//! A follower removes the records that its leader's log does not have.
//!
//! A truncation reads the log, to find the last batch that stays and the state of its producers,
//! and writes files. So it runs on a thread that may block, after the leader's response has ended
//! the subscription. It holds the partition's lock.

use dohle_model::{LeaderEpoch, Offset, Timestamp};

use super::Partition;
use super::leader_part::{PartOutcome, Truncation};
use super::state::{DeferredWakeups, Role, State};
use crate::replica::truncation_offset;

impl Partition {
    /// Removes the records that the leader's log does not have. Does nothing when the leader epoch
    /// has changed or the replica has subscribed again meanwhile, since the logs are compared again
    /// in these cases. Blocks on the disk.
    pub(crate) fn truncate_to_leader(
        &self,
        truncation: &Truncation,
        now: Timestamp,
    ) -> PartOutcome {
        self.with(|state, wakes| {
            let Role::Follower(follower) = &state.role else {
                return PartOutcome::Nothing;
            };
            let is_current = follower.epoch() == truncation.leader_epoch;
            if !is_current || follower.subscription().is_some() {
                return PartOutcome::Nothing;
            }
            let start = truncation.leader_start;
            match truncation.diverging {
                Some(diverging) => self.truncate(state, wakes, start, diverging, now),
                None => self.begin_anew(state, wakes, start, now),
            }
        })
    }

    /// Removes all records, because the leader's log begins, at `start`, after the end of this one.
    fn begin_anew(
        &self,
        state: &mut State,
        wakes: &mut DeferredWakeups,
        start: Offset,
        now: Timestamp,
    ) -> PartOutcome {
        let Ok(log) = state.log() else {
            return PartOutcome::Nothing;
        };
        if start <= log.log_end_offset() {
            state.report(&self.name, || {
                format!("the leader's log begins at {start}, after the end of this log")
            });
            return PartOutcome::Retry { damaged_at: None };
        }
        self.truncate_fully(
            state,
            wakes,
            start,
            now,
            "log ends before the leader's begins",
        )
    }

    /// Removes all records and begins again where the leader's log begins.
    fn truncate_fully(
        &self,
        state: &mut State,
        wakes: &mut DeferredWakeups,
        start: Offset,
        now: Timestamp,
        reason: &'static str,
    ) -> PartOutcome {
        let high_watermark = state.high_watermark;
        let Ok(log) = state.log_mut() else {
            return PartOutcome::Nothing;
        };
        let (log_start_offset, end) = (log.log_start_offset(), log.log_end_offset());
        if (log_start_offset, end) == (start, start) {
            state.report(&self.name, || {
                format!(
                    "the leader refuses an empty log that begins at the start of its own, {start}"
                )
            });
            return PartOutcome::Retry { damaged_at: None };
        }
        if let Err(error) = log.truncate_fully_and_start_at(start, now) {
            return self.change_failed(state, wakes, &error);
        }
        let now_at = (log.log_start_offset(), log.log_end_offset());
        assert_eq!(
            now_at,
            (start, start),
            "{}: log start and end after all records up to {end} were removed",
            self.name
        );
        let (name, records) = (&self.name, end.since(log_start_offset));
        tracing::info!(
            partition = %name, reason, from = %end, to = %log_start_offset, records,
            new_log_start_offset = %start, "log truncated fully"
        );
        if high_watermark > log_start_offset && start < high_watermark {
            tracing::warn!(
                partition = %name, log_start_offset = %start, %high_watermark,
                "truncated below the high watermark: an unclean election has lost records"
            );
        }
        state.raise_high_watermark(start);
        PartOutcome::Resubscribe
    }

    /// Removes the records that the leader's log does not have.
    fn truncate(
        &self,
        state: &mut State,
        wakes: &mut DeferredWakeups,
        leader_start: Offset,
        (epoch, end_offset): (LeaderEpoch, Offset),
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
        if to <= log.log_start_offset() {
            // The logs have no records in common. The leader's log may begin before this one does.
            let reason = "log has no records in common with the leader's";
            return self.truncate_fully(state, wakes, leader_start, now, reason);
        }
        if let Err(error) = log.truncate_to(to, now) {
            return self.change_failed(state, wakes, &error);
        }
        let end = log.log_end_offset();
        assert!(
            end <= to,
            "{}: the log ended at {before} and was truncated to {to}, it ends at {end}",
            self.name
        );
        if end == before {
            state.report(&self.name, || {
                format!(
                    "the leader's log diverges at this log's end, {end_offset} of epoch {epoch}"
                )
            });
            return PartOutcome::Retry { damaged_at: None };
        }
        tracing::info!(
            partition = %self.name, from = %before, to = %end, records = before.since(end),
            %high_watermark, "log truncated to where it diverges from the leader's"
        );
        if end < high_watermark {
            tracing::warn!(
                partition = %self.name, to = %end, %high_watermark,
                "truncated below the high watermark: an unclean election has lost records"
            );
            state.raise_high_watermark(end);
        }
        PartOutcome::Resubscribe
    }
}
