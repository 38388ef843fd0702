//! ListOffsets, OffsetForLeaderEpoch, DescribeProducers, and DeleteRecords.

use std::sync::Arc;

use dohle_log::{TimestampOffset, TimestampPlan, TimestampSearch};
use dohle_model::{LeaderEpoch, Offset};

use super::Partition;
use super::errors::{ReadError, RoleError};
use super::read::bound;
use super::state::Role;
use super::types::{
    EpochEnd, FollowerState, Isolation, ListedOffset, OffsetSpec, Positions, ProducerInfo,
};
use crate::blocking::WorkOwner;

/// How often a search by time is repeated because truncation, compaction or retention replaced
/// files meanwhile.
const SEARCHES_MAX: usize = 8;

/// How an offset is found.
enum OffsetPlan {
    /// The offset is known.
    Known(Option<ListedOffset>),
    /// Records have to be read.
    Search(Positions, TimestampPlan),
}

impl Partition {
    /// Finds an offset; `None` when no record is that late. `isolation` bounds what
    /// [`OffsetSpec::Latest`] and searches by time see. Searches by time run on a thread that may
    /// block. A follower answers too, unless `leader_only`.
    ///
    /// # Errors
    /// When this broker does not lead and has to, has not learned yet which records are committed,
    /// or cannot read the records of the search.
    pub async fn list_offset(
        &self,
        spec: OffsetSpec,
        current_leader_epoch: Option<LeaderEpoch>,
        isolation: Isolation,
        leader_only: bool,
        owner: WorkOwner,
    ) -> Result<Option<ListedOffset>, ReadError> {
        for _ in 0..SEARCHES_MAX {
            let plan = self.plan_offset(spec, current_leader_epoch, isolation, leader_only)?;
            let (positions, plan) = match plan {
                OffsetPlan::Known(found) => return Ok(found),
                OffsetPlan::Search(positions, plan) => (positions, plan),
            };
            let memory = Arc::clone(&self.shared.decompression);
            let search = self
                .shared
                .blocking
                .search(owner, move || plan.find(&memory))
                .await;
            let search = search.map_err(|error| ReadError::Unavailable(error.to_string()))?;
            match search.map_err(|error| self.read_failed(&error))? {
                TimestampSearch::Changed => {}
                TimestampSearch::Found(None) => return Ok(None),
                TimestampSearch::Found(Some(found)) => {
                    return self.listed(found, spec, &positions, isolation);
                }
            }
        }
        let reason = "its files were replaced during each of several searches";
        Err(ReadError::Unavailable(reason.to_owned()))
    }

    /// Returns the offset or a search for it. Reads nothing from the disk.
    fn plan_offset(
        &self,
        spec: OffsetSpec,
        current_leader_epoch: Option<LeaderEpoch>,
        isolation: Isolation,
        leader_only: bool,
    ) -> Result<OffsetPlan, ReadError> {
        let mut state = self.state.lock();
        let positions = state.positions();
        state.log()?;
        state.check_epoch(current_leader_epoch)?;
        if leader_only {
            state.leading()?;
        }
        // Until the records of earlier leaders are committed, the high watermark may be below one
        // that an earlier leader returned.
        let settled = match &state.role {
            Role::Leader(leader) if isolation != Isolation::LogEnd => {
                positions.high_watermark >= leader.epoch_start()
            }
            _ => true,
        };
        let log = state.log()?;
        let known = |offset: Offset, leader_epoch| {
            OffsetPlan::Known(Some(ListedOffset {
                offset,
                timestamp: None,
                leader_epoch,
            }))
        };
        Ok(match spec {
            OffsetSpec::Earliest | OffsetSpec::EarliestLocal => {
                let start = positions.log_start_offset;
                known(start, log.leader_epochs().epoch_for_offset(start))
            }
            OffsetSpec::LatestTiered => OffsetPlan::Known(None),
            OffsetSpec::Latest if settled => {
                known(bound(&positions, isolation), Some(positions.leader_epoch))
            }
            OffsetSpec::Latest => return Err(ReadError::OffsetNotAvailable),
            OffsetSpec::MaxTimestamp => {
                OffsetPlan::Search(positions, log.plan_offset_of_max_timestamp())
            }
            OffsetSpec::ByTime(time) => {
                OffsetPlan::Search(positions, log.plan_offset_for_timestamp(time))
            }
        })
    }

    /// Returns the result of a search, if the reader may see it.
    fn listed(
        &self,
        found: TimestampOffset,
        spec: OffsetSpec,
        positions: &Positions,
        isolation: Isolation,
    ) -> Result<Option<ListedOffset>, ReadError> {
        if found.offset >= bound(positions, isolation) {
            let max = spec == OffsetSpec::MaxTimestamp;
            return if max || self.is_settled() {
                Ok(None)
            } else {
                Err(ReadError::OffsetNotAvailable)
            };
        }
        Ok(Some(ListedOffset {
            offset: found.offset,
            timestamp: Some(found.timestamp),
            leader_epoch: self.epoch_at(found.offset),
        }))
    }

    fn is_settled(&self) -> bool {
        match &self.state.lock().role {
            Role::Leader(leader) => leader.high_watermark() >= leader.epoch_start(),
            Role::Follower(_) => false,
        }
    }

    fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.state
            .lock()
            .log()
            .ok()?
            .leader_epochs()
            .epoch_for_offset(offset)
    }

    /// Returns where `epoch` ends in this leader's log (`OffsetForLeaderEpoch`).
    ///
    /// # Errors
    /// When this broker does not lead.
    pub fn epoch_end(
        &self,
        current_leader_epoch: Option<LeaderEpoch>,
        epoch: LeaderEpoch,
    ) -> Result<EpochEnd, ReadError> {
        let mut state = self.state.lock();
        state.check_epoch(current_leader_epoch)?;
        let (log, _) = state.leading()?;
        let found = log
            .leader_epochs()
            .end_offset_for(epoch, log.log_end_offset());
        Ok(EpochEnd {
            epoch: found.map(|end| end.epoch),
            end_offset: found.map(|end| end.end_offset),
        })
    }

    /// Moves the log's start forward to `before` (`None`: to the high watermark). Returns the
    /// offset that [`Partition::wait_low_watermark`] is to wait for.
    ///
    /// # Errors
    /// When this broker does not lead, or `before` is above the high watermark.
    pub fn delete_records(&self, before: Option<Offset>) -> Result<Offset, ReadError> {
        self.with(|state, wakes| {
            let positions = state.positions();
            let (log, _) = state.leading()?;
            let before = before.unwrap_or(positions.high_watermark);
            if before > positions.high_watermark {
                return Err(ReadError::OffsetOutOfRange {
                    offset: before,
                    positions,
                });
            }
            log.maybe_advance_log_start_offset(before);
            let log_start_offset = log.log_start_offset();
            assert!(
                before <= log_start_offset && log_start_offset <= positions.high_watermark,
                "{}: records below {before} were deleted, the log starts at {log_start_offset}, \
                 before {positions:?}",
                self.name
            );
            self.reclaim_soon(state);
            state.complete_low_watermarks(&self.shared, wakes);
            Ok(before)
        })
    }

    /// Returns the state of the idempotent producers by id, as far as this replica has their
    /// records.
    ///
    /// # Errors
    /// When the log is offline.
    pub fn producers(&self) -> Result<Vec<ProducerInfo>, ReadError> {
        let state = self.state.lock();
        let producers = state.log()?.producer_state().producers();
        let info = producers.map(|(producer_id, entry)| ProducerInfo {
            producer_id,
            producer_epoch: entry.epoch,
            last_sequence: entry.batches.back().and_then(|batch| batch.last_sequence),
            last_timestamp: entry.last_timestamp,
            current_txn_start_offset: entry.current_txn_first_offset,
            coordinator_epoch: entry.coordinator_epoch,
        });
        let mut info: Vec<ProducerInfo> = info.collect();
        info.sort_unstable_by_key(|producer| producer.producer_id);
        Ok(info)
    }

    /// Returns the progress of the followers; empty on a follower.
    #[must_use]
    pub fn followers(&self) -> Vec<FollowerState> {
        let state = self.state.lock();
        let Role::Leader(leader) = &state.role else {
            return Vec::new();
        };
        let follower =
            |(id, progress): &(dohle_model::NodeId, crate::replica::Progress)| FollowerState {
                id: *id,
                log_end_offset: progress.acked,
                log_start_offset: progress.log_start,
                in_sync: leader.isr().committed().contains(id),
            };
        leader.followers().iter().map(follower).collect()
    }

    /// Returns the bytes of the log, and the number of records by which the log is behind the high
    /// watermark.
    #[must_use]
    pub fn size_and_lag(&self) -> (u64, i64) {
        let state = self.state.lock();
        let positions: Positions = state.positions();
        let size = state.log().map_or(0, dohle_log::Log::size);
        (
            size,
            positions
                .high_watermark
                .since(positions.log_end_offset)
                .max(0),
        )
    }

    /// Returns why the log is offline, if it is.
    #[must_use]
    pub fn offline(&self) -> Option<RoleError> {
        self.state.lock().log().err()
    }
}
