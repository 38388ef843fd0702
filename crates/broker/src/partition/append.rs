//! Produce: appending as leader, and waiting until what was appended is committed.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use dohle_log::{Brief, LeaderAppend, TxnAppend, ValidateError, validate};
use dohle_model::{ErrorCode, LeaderEpoch, Offset, Timestamp};
use tokio::sync::oneshot;

use super::Partition;
use super::config::PartitionConfig;
use super::errors::{AppendError, CommitError, RejectedRecord, RoleError};
use super::state::{DeferredWakeups, Role, State};
use super::types::{Acks, AppendOrigin, Appended};
use crate::blocking::{BlockingError, WorkOwner};

impl Partition {
    /// Appends a producer's batch as leader. The first batch of a transaction needs what
    /// [`Partition::begin_verification`] returned, in `txn`. With [`Acks::All`] the ISR is first
    /// compared with `min.insync.replicas`, and the caller continues with
    /// [`Partition::wait_committed`] for the `leader_epoch` and `end()` of the result. The first
    /// poll appends a batch that is checked quickly. Other batches are checked on a thread that may
    /// block, on behalf of `owner`.
    ///
    /// The flush that `flush.messages` requires is left to [`Partition::flush_appended`]. `now` is
    /// the wall clock, for timestamps.
    ///
    /// # Errors
    /// When this broker does not lead, too few replicas are in sync, or the records are refused.
    /// Nothing is appended in these cases.
    pub async fn produce(
        &self,
        records: Bytes,
        txn: &TxnAppend,
        acks: Acks,
        now: Timestamp,
        owner: WorkOwner,
    ) -> Result<Appended, AppendError> {
        let produced = self.check_and_append(records, txn, acks, now, owner).await;
        self.meter
            .produced(produced.as_ref().err().map(AppendError::code));
        produced
    }

    async fn check_and_append(
        &self,
        records: Bytes,
        txn: &TxnAppend,
        acks: Acks,
        now: Timestamp,
        owner: WorkOwner,
    ) -> Result<Appended, AppendError> {
        // The log's expensive checks run before the lock is taken.
        let config = self.config_for_append(acks)?;
        let origin = validate::AppendOrigin::Client;
        let memory = &self.shared.decompression;
        let brief = validate::validate_briefly(records, &config.log, origin, now, memory);
        let validated = match brief.map_err(rejected)? {
            Brief::ValidatedBatch(validated) => validated,
            Brief::Postponed(records) => {
                let memory = Arc::clone(memory);
                let work =
                    move || validate::validate_fully(records, &config.log, origin, now, &memory);
                let checked = self.shared.blocking.compute(owner, work).await;
                checked.map_err(not_checked)?.map_err(rejected)?
            }
        };
        self.with(|state, wakes| self.append_validated(state, wakes, validated, txn, acks, now))
    }

    /// Appends a batch that a coordinator of this node made. Like [`Partition::produce`], but
    /// checks the batch on the caller's thread.
    ///
    /// # Errors
    /// As [`Partition::produce`].
    pub fn append(
        &self,
        records: Bytes,
        acks: Acks,
        origin: AppendOrigin,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        self.append_in_txn(records, &TxnAppend::Plain, acks, origin, now)
    }

    /// Like [`Partition::append`], for the first batch of a transaction, after
    /// [`Partition::begin_verification`], and for markers.
    ///
    /// # Errors
    /// As [`Partition::append`].
    pub fn append_in_txn(
        &self,
        records: Bytes,
        txn: &TxnAppend,
        acks: Acks,
        origin: AppendOrigin,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        let config = self.config_for_append(acks)?;
        let origin = match origin {
            AppendOrigin::Client => validate::AppendOrigin::Client,
            AppendOrigin::Coordinator => validate::AppendOrigin::Coordinator,
        };
        let validated = validate::validate(records, &config.log, origin, now).map_err(rejected)?;
        self.with(|state, wakes| self.append_validated(state, wakes, validated, txn, acks, now))
    }

    fn config_for_append(&self, acks: Acks) -> Result<Arc<PartitionConfig>, AppendError> {
        let mut state = self.state.lock();
        let (_, leader) = state.leading()?;
        if acks == Acks::All {
            admit(leader)?;
        }
        if self.lacks_space(&state) {
            return Err(RoleError::NoSpace(self.shared.space.reason(state.dir)).into());
        }
        Ok(Arc::clone(&state.config))
    }

    /// Whether `flush.messages` may require a flush before an append is acknowledged.
    #[must_use]
    pub fn flushes_before_answer(&self) -> bool {
        self.state.lock().config.log.flush_messages.is_some()
    }

    /// Flushes appended records to the disk if `flush.messages` requires it. The append is
    /// acknowledged after that. The flush runs on a thread that may block.
    ///
    /// # Errors
    /// When the log is offline. The appended records may be lost.
    pub async fn flush_appended(self: Arc<Self>, now: Timestamp) -> Result<(), RoleError> {
        if !self.flushes_before_answer() {
            return Ok(());
        }
        self.flush_due(now).await
    }

    /// Flushes on a thread that may block if `flush.messages` or `flush.ms` requires it.
    ///
    /// # Errors
    /// When the log is offline. The appended records may be lost.
    pub(crate) async fn flush_due(self: Arc<Self>, now: Timestamp) -> Result<(), RoleError> {
        if !self.should_flush(now) {
            return Ok(());
        }
        let owner = WorkOwner::Partition(self.id);
        let partition = Arc::clone(&self);
        let flush = move || match partition.should_flush(now) {
            true => partition.flush(now),
            // Another flush covered the records while this one waited for its place.
            false => Ok(()),
        };
        let flushed = self.shared.blocking.disk(owner, flush).await;
        flushed.unwrap_or_else(|error| Err(RoleError::Offline(error.to_string())))
    }

    fn append_validated(
        &self,
        state: &mut State,
        wakes: &mut DeferredWakeups,
        validated: validate::ValidatedBatch,
        txn: &TxnAppend,
        acks: Acks,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        let monotonic = self.shared.now();
        let (log, leader) = state.leading()?;
        if acks == Acks::All {
            admit(leader)?;
        }
        let leader_epoch = leader.epoch();
        let outcome = log.append_in_txn(validated, txn, leader_epoch, now);
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => return Err(self.append_failed(state, error, wakes)),
        };
        let log_start_offset = log.log_start_offset();
        let info = match outcome {
            LeaderAppend::Appended(info) => info,
            LeaderAppend::AlreadyEnded => {
                // The position of the earlier marker is unknown: it is committed when the whole log
                // is.
                let last_offset = log.log_end_offset().previous().unwrap_or(Offset::ZERO);
                return Ok(Appended {
                    base_offset: last_offset,
                    last_offset,
                    log_append_time: None,
                    log_start_offset,
                    leader_epoch,
                    duplicate: true,
                    flush: log.config().flush_messages.is_some(),
                });
            }
            LeaderAppend::Duplicate(batch) => {
                return Ok(Appended {
                    base_offset: batch.first_offset(),
                    last_offset: batch.last_offset,
                    log_append_time: batch.timestamp,
                    log_start_offset,
                    leader_epoch,
                    duplicate: true,
                    flush: log.config().flush_messages.is_some(),
                });
            }
        };
        let log_end = log.log_end_offset();
        let flush = info.rolled;
        let timed_flush = log.config().flush_ms.is_some();
        let flush_messages = log.config().flush_messages.is_some();
        assert!(
            info.first_offset <= info.last_offset && info.last_offset < log_end,
            "{}: records {} to {} were appended to a log that ends at {log_end}",
            self.name,
            info.first_offset,
            info.last_offset
        );
        let effects = leader.on_append(log_end, monotonic);
        assert_eq!(
            leader.log_end(),
            log_end,
            "{}: log end of the leader and of the log",
            self.name
        );
        let records = info.last_offset.plus(1).since(info.first_offset);
        let bytes = info.records.len() as u64;
        self.meter.count(|counts| {
            counts.messages_in.add(records.unsigned_abs());
            counts.bytes_in.add(bytes);
        });
        if !state.subscriptions.is_empty() {
            state.tail.push(info.first_offset, log_end, info.records);
        }
        state.apply(effects, &self.shared, wakes);
        self.note_lag(state);
        state.is_short = false;
        if flush {
            self.shared.flushes.add(self.id);
        }
        if timed_flush {
            self.shared.timed_flushes.add(self.id);
        }
        Ok(Appended {
            base_offset: info.first_offset,
            last_offset: info.last_offset,
            log_append_time: info.log_append_time,
            log_start_offset,
            leader_epoch,
            duplicate: false,
            flush: flush_messages,
        })
    }

    fn append_failed(
        &self,
        state: &mut State,
        error: dohle_log::AppendError,
        wakes: &mut DeferredWakeups,
    ) -> AppendError {
        match error {
            dohle_log::AppendError::Storage(error) if state.is_shortage(&error) => {
                AppendError::Rejected {
                    code: error.code(),
                    message: format!("the records cannot be written now: {error}"),
                    records: Vec::new(),
                }
            }
            dohle_log::AppendError::Storage(error) => {
                state.storage_failed(&error, &self.shared, wakes).into()
            }
            error => AppendError::Rejected {
                code: error.code(),
                message: error.to_string(),
                records: Vec::new(),
            },
        }
    }

    /// Completes when all records below `end` are committed, and enough replicas hold them. Fails
    /// as soon as the partition's leader epoch is not `leader_epoch` any more or the partition
    /// is removed. The call registers the wait, not the first poll. It may be dropped at any point.
    pub fn wait_committed(
        &self,
        leader_epoch: LeaderEpoch,
        end: Offset,
    ) -> impl Future<Output = Result<(), CommitError>> + Send + 'static + use<> {
        let registered = self.register_commit(leader_epoch, end);
        async move {
            match registered {
                Ok(receiver) => receiver.await.unwrap_or_else(|_| partition_removed()),
                Err(result) => result,
            }
        }
    }

    fn register_commit(
        &self,
        leader_epoch: LeaderEpoch,
        end: Offset,
    ) -> Result<oneshot::Receiver<Result<(), CommitError>>, Result<(), CommitError>> {
        let mut state = self.state.lock();
        let (_, leader) = state.leading().map_err(|error| Err(error.into()))?;
        if leader.epoch() != leader_epoch {
            // This broker was elected again in the meantime, and may have lost the records before
            // that.
            return Err(Err(RoleError::NotLeader {
                leader: Some(self.shared.node),
            }
            .into()));
        }
        if state.high_watermark >= end {
            return Err(state.acknowledge());
        }
        Ok(state.commits.push(end))
    }

    /// Completes with the low watermark (the smallest log start of all live replicas) once it has
    /// reached `offset`; fails when this broker no longer leads. The caller adds the deadline.
    pub fn wait_low_watermark(
        &self,
        offset: Offset,
    ) -> impl Future<Output = Result<Offset, CommitError>> + Send + 'static + use<> {
        let registered = {
            let mut state = self.state.lock();
            match state.leading() {
                Ok((log, leader)) => {
                    let shared = &self.shared;
                    let start = log.log_start_offset();
                    let low = leader.low_watermark(start, |id| shared.is_alive(id));
                    if low >= offset {
                        Err(Ok(low))
                    } else {
                        shared.low_watermark_waits.add(self.id);
                        Ok(state.low_watermarks.push(offset))
                    }
                }
                Err(error) => Err(Err(CommitError::Role(error))),
            }
        };
        async move {
            match registered {
                Ok(receiver) => receiver.await.unwrap_or_else(|_| partition_removed()),
                Err(result) => result,
            }
        }
    }

    /// Completes the waits for the low watermark that the brokers alive now allow.
    pub(crate) fn on_brokers_changed(&self) {
        self.with(|state, wakes| {
            state.complete_low_watermarks(&self.shared, wakes);
            if !state.low_watermarks.is_empty() {
                self.shared.low_watermark_waits.add(self.id);
            }
        });
    }

    /// Proposes to remove ISR members that have lagged for too long.
    pub(crate) fn on_tick(&self) {
        self.lag_noted
            .store(false, std::sync::atomic::Ordering::Release);
        let now = self.shared.now();
        self.with(|state, wakes| {
            let Ok((_, leader)) = state.leading() else {
                return;
            };
            let effects = leader.on_tick(now, |id, epoch| {
                self.shared.is_eligible(&self.id, id, epoch)
            });
            state.apply(effects, &self.shared, wakes);
            self.note_lag(state);
        });
    }

    /// Returns the ISR that the controller has committed; empty on a follower.
    #[must_use]
    pub fn isr(&self) -> Vec<dohle_model::NodeId> {
        match &self.state.lock().role {
            Role::Leader(leader) => leader.isr().committed().to_vec(),
            Role::Follower(_) => Vec::new(),
        }
    }
}

/// The error of a wait whose partition was dropped.
fn partition_removed<T>() -> Result<T, CommitError> {
    Err(RoleError::NotLeader { leader: None }.into())
}

fn admit(leader: &crate::replica::Leader) -> Result<(), AppendError> {
    leader
        .admit()
        .map_err(|lack| AppendError::NotEnoughReplicas {
            isr: lack.isr,
            min: lack.min,
        })
}

/// The error of a batch whose check did not run to its end.
fn not_checked(error: BlockingError) -> AppendError {
    AppendError::Rejected {
        code: ErrorCode::UnknownServerError,
        message: format!("the record batch was not checked: {error}"),
        records: Vec::new(),
    }
}

fn rejected(error: ValidateError) -> AppendError {
    let record = |error: &dohle_log::RecordError| RejectedRecord {
        index: u32::try_from(error.batch_index).unwrap_or(0),
        message: error.message.clone(),
    };
    AppendError::Rejected {
        code: error.code(),
        message: error.to_string(),
        records: error.record_errors().iter().map(record).collect(),
    }
}
