//! Fetch: reading batches, from leaders and followers.

use dohle_log::ReadLimits;

use super::Partition;
use super::errors::{ReadError, RoleError};
use super::state::{Role, State};
use super::types::{AbortedTransaction, EpochEnd, FetchParams, FetchRead, Isolation, Positions};

use bytes::Bytes;
use dohle_model::Offset;

impl Partition {
    /// Reads batches. Nothing is waited for: at the end `records` is empty.
    ///
    /// # Errors
    /// When this replica may not answer, or the offset is not in the log.
    pub fn read(&self, params: &FetchParams) -> Result<FetchRead, ReadError> {
        let (plan, mut read) = {
            let mut state = self.state.lock();
            state.check_reader(params)?;
            let positions = state.positions();
            if let Some(diverging) = state.diverging(params)? {
                return Ok(FetchRead {
                    records: Bytes::new(),
                    positions,
                    diverging: Some(diverging),
                    aborted: Vec::new(),
                });
            }
            let upper_bound = bound(&positions, params.isolation);
            let offset = params.fetch_offset;
            // Offsets between the bound and the log's end exist, there is just nothing to see yet.
            if offset < positions.log_start_offset || offset > positions.log_end_offset {
                return Err(ReadError::OffsetOutOfRange { offset, positions });
            }
            let read = FetchRead {
                records: Bytes::new(),
                positions,
                diverging: None,
                aborted: Vec::new(),
            };
            if offset >= upper_bound {
                return Ok(read);
            }
            let limits = ReadLimits {
                max_bytes: params.max_bytes,
                upper_bound,
                min_one: params.min_one,
            };
            let plan = match state.log()?.plan_read(offset, limits) {
                Ok(plan) => plan,
                Err(dohle_log::ReadError::OffsetOutOfRange { .. }) => {
                    return Err(ReadError::OffsetOutOfRange { offset, positions });
                }
                Err(dohle_log::ReadError::Storage(error)) => {
                    drop(state);
                    return Err(self.read_failed(&error));
                }
            };
            (plan, read)
        };
        let info = plan.read().map_err(|error| self.read_failed(&error))?;
        read.records = info.records;
        if params.isolation == Isolation::LastStable && !read.records.is_empty() {
            let state = self.state.lock();
            let aborted = state
                .log()?
                .aborted_transactions(params.fetch_offset, info.next_offset);
            read.aborted = aborted
                .iter()
                .map(|txn| AbortedTransaction {
                    producer_id: txn.producer_id,
                    first_offset: txn.first_offset,
                })
                .collect();
        }
        Ok(read)
    }
}

/// The end of what a reader sees.
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
                // An epoch that tells more than "not leader" comes first, as in Kafka.
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
