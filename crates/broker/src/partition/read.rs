//! Fetch: reads batches from the log of a leader or follower.

use dohle_log::{Access, RangeError, ReadLimits, ReadPlan, Records};

use super::Partition;
use super::errors::{ReadError, RoleError};
use super::state::{Role, State};
use super::types::{AbortedTransaction, EpochEnd, FetchParams, FetchRead, Isolation, Positions};

use bytes::Bytes;
use dohle_model::Offset;

/// Attempts to read for one answer: each fails when compaction or retention replaces segments
/// meanwhile.
const READS_MAX: usize = 8;

impl Partition {
    /// Reads batches into memory. At the end of the log `records` is empty.
    ///
    /// # Errors
    /// When this replica may not serve the reader, or the offset is not in the log.
    pub fn read(&self, params: &FetchParams) -> Result<FetchRead, ReadError> {
        self.read_with(params, |plan| {
            let Some(plan) = plan else {
                return Ok((Bytes::new(), params.fetch_offset));
            };
            let info = plan.read().map_err(|error| self.read_failed(&error))?;
            Ok((info.records, info.next_offset))
        })
    }

    /// Finds batches, which stay in their file unless they have at most `memory_max` bytes. At the
    /// end of the log `records` is empty.
    ///
    /// # Errors
    /// As [`Partition::read`]; [`LocateError::NotCached`] with [`Access::Cached`] when the
    /// read would wait for the disk.
    pub fn locate(
        &self,
        params: &FetchParams,
        memory_max: usize,
        access: Access,
    ) -> Result<FetchRead<Records>, LocateError> {
        self.read_with(params, |plan| {
            let Some(plan) = plan else {
                return Ok((Records::Memory(Bytes::new()), params.fetch_offset));
            };
            let located = plan.locate(memory_max, access);
            let located = located.map_err(|error| match error {
                RangeError::Storage(error) => self.read_failed(&error).into(),
                RangeError::NotCached | RangeError::Truncated => LocateError::NotCached,
            })?;
            Ok((located.records, located.next_offset))
        })
    }

    /// Plans a read and passes the plan to `read`, which returns the records and the offset after
    /// them. There is no plan when there is nothing to read.
    pub(super) fn read_with<R, E: From<ReadError>>(
        &self,
        params: &FetchParams,
        read: impl Fn(Option<&ReadPlan>) -> Result<(R, Offset), E>,
    ) -> Result<FetchRead<R>, E> {
        for _ in 0..READS_MAX {
            let Planned {
                positions,
                diverging,
                plan,
                segment_changes,
            } = self.plan(params)?;
            let (records, next_offset) = read(plan.as_ref())?;
            let is_decided = params.isolation == Isolation::LastStable;
            let aborted = if is_decided && next_offset > params.fetch_offset {
                match self.aborted(params.fetch_offset, next_offset, segment_changes)? {
                    Some(aborted) => aborted,
                    None => continue,
                }
            } else {
                Vec::new()
            };
            return Ok(FetchRead {
                records,
                positions,
                diverging,
                aborted,
            });
        }
        let reason = "its segments were replaced during each of several reads".to_owned();
        Err(ReadError::Unavailable(reason).into())
    }

    /// The transactions that were aborted among the records of `[from, to)`, which were read.
    /// Returns the transactions that were aborted among the records of `[from, to)`, which have
    /// been read. Returns `None` when segments were replaced or removed since the read was planned:
    /// the records may then contain aborted ones whose transactions the log does not list any more.
    fn aborted(
        &self,
        from: Offset,
        to: Offset,
        segment_changes: u64,
    ) -> Result<Option<Vec<AbortedTransaction>>, ReadError> {
        let state = self.state.lock();
        let log = state.log()?;
        if log.segment_changes() != segment_changes {
            return Ok(None);
        }
        let found = log.aborted_transactions(from, to);
        let aborted = found.iter().map(|txn| AbortedTransaction {
            producer_id: txn.producer_id,
            first_offset: txn.first_offset,
        });
        Ok(Some(aborted.collect()))
    }

    fn plan(&self, params: &FetchParams) -> Result<Planned, ReadError> {
        let mut state = self.state.lock();
        state.check_reader(params)?;
        let positions = state.positions();
        let segment_changes = state.log()?.segment_changes();
        let nothing = |diverging| Planned {
            positions,
            diverging,
            plan: None,
            segment_changes,
        };
        if let Some(diverging) = state.diverging(params)? {
            return Ok(nothing(Some(diverging)));
        }
        let upper_bound = bound(&positions, params.isolation);
        let offset = params.fetch_offset;
        // Records between the bound and the log's end exist, but the reader may not see them yet.
        if offset < positions.log_start_offset || offset > positions.log_end_offset {
            return Err(ReadError::OffsetOutOfRange { offset, positions });
        }
        if offset >= upper_bound {
            return Ok(nothing(None));
        }
        let limits = ReadLimits {
            max_bytes: params.max_bytes,
            upper_bound,
            min_one: params.min_one,
        };
        match state.log()?.plan_read(offset, limits) {
            Ok(plan) => Ok(Planned {
                plan: Some(plan),
                ..nothing(None)
            }),
            Err(error) => {
                drop(state);
                Err(self.plan_failed(error, positions))
            }
        }
    }

    /// Reports a read that the log cannot plan. The caller does not hold the partition's lock.
    pub(super) fn plan_failed(
        &self,
        error: dohle_log::ReadError,
        positions: Positions,
    ) -> ReadError {
        match error {
            dohle_log::ReadError::OffsetOutOfRange { offset, .. } => {
                ReadError::OffsetOutOfRange { offset, positions }
            }
            error @ dohle_log::ReadError::Damaged(_) => ReadError::Corrupt(error.to_string()),
            dohle_log::ReadError::Storage(error) => self.read_failed(&error),
        }
    }
}

/// A read that was planned under the lock.
struct Planned {
    positions: Positions,
    diverging: Option<EpochEnd>,
    /// `None` when there is nothing to read.
    plan: Option<ReadPlan>,
    /// The log's `segment_changes` when the read was planned.
    segment_changes: u64,
}

/// Why records cannot be located.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// The read would wait for the disk.
    #[error("the records are not in the page cache")]
    NotCached,
    /// See [`ReadError`].
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The end of the records that a reader may see.
pub(super) fn bound(positions: &Positions, isolation: Isolation) -> Offset {
    match isolation {
        Isolation::LogEnd => positions.log_end_offset,
        Isolation::HighWatermark => positions.high_watermark,
        Isolation::LastStable => positions.last_stable_offset,
    }
}

impl State {
    fn check_reader(&mut self, params: &FetchParams) -> Result<(), RoleError> {
        self.log()?;
        match &self.role {
            Role::Follower(follower) if params.leader_only => {
                let leader = follower.leader();
                // An error of the epoch is more precise, and takes precedence, as in Kafka.
                self.check_epoch(params.current_leader_epoch)?;
                Err(RoleError::NotLeader { leader })
            }
            _ => self.check_epoch(params.current_leader_epoch),
        }
    }

    fn diverging(&self, params: &FetchParams) -> Result<Option<EpochEnd>, ReadError> {
        let Some(last) = params.last_fetched_epoch else {
            return Ok(None);
        };
        let log = self.log()?;
        let found = log
            .leader_epochs()
            .end_offset_for(last, log.log_end_offset());
        let Some(found) = found else {
            return Err(ReadError::UnknownEpoch(last));
        };
        let parts = found.epoch < last || found.end_offset < params.fetch_offset;
        Ok(parts.then_some(EpochEnd {
            epoch: Some(found.epoch),
            end_offset: Some(found.end_offset),
        }))
    }
}
