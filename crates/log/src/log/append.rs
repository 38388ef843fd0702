//! Appends batches, as leader and as follower.

use bytes::Bytes;
use dohle_model::{ErrorCode, LeaderEpoch, Offset, Timestamp};

use super::Log;
use crate::batch::{Batch, BatchError, BatchHeader, Batches, ControlRecord, EndTxnMarker};
use crate::error::StorageError;
use crate::producer_state::{
    AppendContext, BatchMetadata, ProducerCheck, ProducerError, TxnAppend, TxnBegin,
    VerificationGuard,
};
use crate::segment::PlacedBatch;
use crate::validate::ValidatedBatch;

/// The offsets, timestamps and bytes of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendInfo {
    /// The offset of the first record.
    pub first_offset: Offset,
    /// The offset of the last record.
    pub last_offset: Offset,
    /// The largest timestamp among the records.
    pub max_timestamp: Option<Timestamp>,
    /// The time that the leader set in the records, for topics with log append time.
    pub log_append_time: Option<Timestamp>,
    /// The bytes as they are in the file, for replication to followers that wait for them.
    pub records: Bytes,
    /// Whether a segment was closed. A flush should follow soon, on another thread.
    pub rolled: bool,
}

/// The result of an append as leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaderAppend {
    /// The batch was written.
    Appended(AppendInfo),
    /// The batch is already in the log: it was appended before.
    Duplicate(BatchMetadata),
    /// The marker's transaction had already ended, so nothing was written.
    AlreadyEnded,
}

/// The reason why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The write failed. The log accepts no more appends, unless the write did not begin because
    /// there was no space or no descriptor.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An earlier write failed.
    #[error("the log is offline after a storage error")]
    Offline,
    /// The producer's epoch, sequence or transaction does not allow the append.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// The batch is larger than a segment may be.
    #[error("the record batch has {size} bytes, more than segment.bytes={max}")]
    LargerThanSegment {
        /// Bytes of the batch.
        size: u32,
        /// The limit.
        max: u32,
    },
    /// The batch's leader epoch is older than the newest one in the log.
    #[error("leader epoch {epoch} is older than {latest}, which has written to the log")]
    EpochRegression {
        /// The epoch of the batch.
        epoch: LeaderEpoch,
        /// The newest epoch in the log.
        latest: LeaderEpoch,
    },
    /// A replicated batch has no leader epoch.
    #[error("the batch at offset {0} has no leader epoch")]
    NoEpoch(Offset),
    /// A replicated batch is invalid.
    #[error("replicated batch: {0}")]
    Batch(#[from] BatchError),
    /// A replicated batch does not begin where the log or the batch before it ends.
    #[error("the batch at offset {found} does not follow the expected end {expected}")]
    NotContiguous {
        /// The end of the log, or of the batch before.
        expected: Offset,
        /// The base offset of the batch.
        found: Offset,
    },
    /// The log has reached the largest offset.
    #[error("the log has reached the largest offset")]
    OffsetsExhausted,
}

impl AppendError {
    /// Returns Kafka's error code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Storage(_) | Self::Offline | Self::OffsetsExhausted => {
                ErrorCode::KafkaStorageError
            }
            Self::Producer(error) => error.code(),
            Self::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
            Self::EpochRegression { .. } => ErrorCode::FencedLeaderEpoch,
            Self::NoEpoch(_) | Self::NotContiguous { .. } => ErrorCode::InvalidRecord,
            Self::Batch(error) => error.code(),
        }
    }
}

impl Log {
    /// Appends a produced batch as the leader of `epoch`: checks its producer, assigns its offsets,
    /// and writes it. Nothing is synced.
    ///
    /// # Errors
    /// [`AppendError`]. The log does not change, and goes offline when the write failed for another
    /// reason than a lack of space.
    pub fn append_as_leader(
        &mut self,
        validated: ValidatedBatch,
        epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<LeaderAppend, AppendError> {
        self.append_in_txn(validated, &TxnAppend::Plain, epoch, now)
    }

    /// Does the same as [`Log::append_as_leader`], for the verified first batch of a transaction
    /// and for markers.
    ///
    /// # Errors
    /// The same as for [`Log::append_as_leader`].
    pub fn append_in_txn(
        &mut self,
        validated: ValidatedBatch,
        txn: &TxnAppend,
        epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<LeaderAppend, AppendError> {
        self.check_online()?;
        self.check_epoch(epoch)?;
        let marker = validated.marker();
        let context = AppendContext {
            origin: validated.origin(),
            txn,
            requires_verification: self.config.transaction_verification,
        };
        let header = validated.header();
        match self
            .producer_state
            .check(header, marker.as_ref(), &context)?
        {
            ProducerCheck::Append => {}
            ProducerCheck::Duplicate(batch) => return Ok(LeaderAppend::Duplicate(batch)),
            ProducerCheck::AlreadyEnded => {
                if let Some(id) = header.producer_id {
                    self.producer_state.end_verification(id);
                }
                return Ok(LeaderAppend::AlreadyEnded);
            }
        }
        let header = validated.header();
        if header.size > self.config.segment_bytes {
            let (size, max) = (header.size, self.config.segment_bytes);
            return Err(AppendError::LargerThanSegment { size, max });
        }
        // The batch has base offset 0 here, so its next offset is the length of its offset range.
        if self
            .log_end_offset
            .0
            .checked_add(header.next_offset().0)
            .is_none()
        {
            return Err(AppendError::OffsetsExhausted);
        }
        let log_append_time = validated.log_append_time();
        let (header, records) = validated.assign(self.log_end_offset, epoch);
        assert_eq!(
            header.base_offset, self.log_end_offset,
            "{}: the base offset assigned to a produced batch",
            self.topic_partition
        );
        assert_eq!(
            header.partition_leader_epoch,
            Some(epoch),
            "{}: the leader epoch assigned to a produced batch",
            self.topic_partition
        );
        let rolled = self.maybe_roll(&header, now)?;
        let batch = PlacedBatch {
            header,
            position: 0,
        };
        self.write(&records, &[batch])?;
        self.after_write(&header, marker.as_ref());
        Ok(LeaderAppend::Appended(AppendInfo {
            first_offset: header.base_offset,
            last_offset: header.last_offset(),
            max_timestamp: header.max_timestamp,
            log_append_time,
            records,
            rolled,
        }))
    }

    /// Begins to verify a transaction before its first batch is appended to this partition: the
    /// caller asks the coordinator, and then appends the batch with [`TxnAppend::Verified`].
    /// Returns `None` when the transaction is already open in this partition and needs no
    /// verification.
    ///
    /// # Errors
    /// [`ProducerError::InvalidProducerEpoch`] when the epoch is older than the newest one seen.
    pub fn begin_verification(
        &mut self,
        begin: &TxnBegin,
        now: Timestamp,
    ) -> Result<Option<VerificationGuard>, ProducerError> {
        self.producer_state.begin_verification(begin, now)
    }

    /// Returns how a batch is appended once the coordinator has confirmed that its partition is in
    /// the transaction.
    ///
    /// A coordinator that adds the partition (`bumps_epoch`) does so when the transaction before
    /// has ended. The marker of that one may have taken the guard away since the verification
    /// began, so there is a new guard then. A marker of the transaction itself has a larger epoch,
    /// which rejects the batch.
    ///
    /// # Errors
    /// [`ProducerError::InvalidProducerEpoch`] when the epoch is older than the newest one seen.
    pub fn confirm_verification(
        &mut self,
        begin: &TxnBegin,
        guard: VerificationGuard,
        now: Timestamp,
    ) -> Result<TxnAppend, ProducerError> {
        if !begin.bumps_epoch {
            return Ok(TxnAppend::Verified(guard));
        }
        let guard = self.begin_verification(begin, now)?;
        Ok(guard.map_or(TxnAppend::Plain, TxnAppend::Verified))
    }

    /// Appends batches from a leader without changing them. Checks that checksums match, offsets
    /// are contiguous and leader epochs do not decrease; compacted logs may have gaps. Segments
    /// roll between the same batches as on the leader.
    ///
    /// # Errors
    /// [`AppendError`]. Nothing was written, except when a write failed: then the batches before
    /// the failed one may be in the log.
    pub fn append_as_follower(
        &mut self,
        records: Bytes,
        now: Timestamp,
    ) -> Result<Option<AppendInfo>, AppendError> {
        self.append_replicated(records, Offset::ZERO, now)
    }

    /// Does the same as [`Log::append_as_follower`], but accepts gaps below `committed`, the
    /// leader's high watermark, even when the topic is not compacted. Its cleanup policy may have
    /// changed, and the records that compaction removed were committed.
    ///
    /// # Errors
    /// The same as for [`Log::append_as_follower`].
    pub fn append_replicated(
        &mut self,
        records: Bytes,
        committed: Offset,
        now: Timestamp,
    ) -> Result<Option<AppendInfo>, AppendError> {
        self.check_online()?;
        let batches = self.check_replicated(&records, committed)?;
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else {
            return Ok(None);
        };
        let info = AppendInfo {
            first_offset: first.header.base_offset,
            last_offset: last.header.last_offset(),
            max_timestamp: batches
                .iter()
                .map(|batch| batch.header.max_timestamp)
                .max()
                .flatten(),
            log_append_time: None,
            records: records.clone(),
            rolled: false,
        };
        let mut rolled = false;
        let mut run_start = 0;
        let mut run_bytes = 0u32;
        for at in 0..batches.len() {
            let header = batches[at].header;
            if self.should_roll(&header, run_bytes, now)? {
                self.write_run(&records, &batches[run_start..at])?;
                self.roll_at(self.next_base_offset(&header), now)?;
                rolled = true;
                (run_start, run_bytes) = (at, 0);
            }
            run_bytes += header.size;
        }
        self.write_run(&records, &batches[run_start..])?;
        assert_eq!(
            info.last_offset.plus(1),
            self.log_end_offset,
            "{}: the log end after an append of replicated batches",
            self.topic_partition
        );
        Ok(Some(AppendInfo { rolled, ..info }))
    }

    fn check_online(&self) -> Result<(), AppendError> {
        if self.failed {
            Err(AppendError::Offline)
        } else {
            Ok(())
        }
    }

    fn check_epoch(&self, epoch: LeaderEpoch) -> Result<(), AppendError> {
        match self.latest_epoch() {
            Some(latest) if epoch < latest => Err(AppendError::EpochRegression { epoch, latest }),
            _ => Ok(()),
        }
    }

    fn check_replicated(
        &self,
        records: &[u8],
        committed: Offset,
    ) -> Result<Vec<PlacedBatch>, AppendError> {
        let may_skip = |found| found <= committed || self.config.cleanup_policy.compact;
        let mut batches = Vec::new();
        let mut expected = self.log_end_offset;
        let mut latest = self.last_record_epoch();
        for batch in Batches::new(records) {
            let Batch {
                header,
                bytes,
                position,
            } = batch?;
            if header.size > i32::MAX as u32 {
                let (size, max) = (header.size, i32::MAX as u32);
                return Err(AppendError::LargerThanSegment { size, max });
            }
            header.check_crc(bytes)?;
            let found = header.base_offset;
            if found < expected || (found > expected && !may_skip(found)) {
                return Err(AppendError::NotContiguous { expected, found });
            }
            let epoch = header
                .partition_leader_epoch
                .ok_or(AppendError::NoEpoch(found))?;
            if let Some(latest) = latest
                && epoch < latest
            {
                return Err(AppendError::EpochRegression { epoch, latest });
            }
            expected = header.next_offset();
            latest = Some(epoch);
            batches.push(PlacedBatch { header, position });
        }
        Ok(batches)
    }

    /// Writes contiguous batches of `records`.
    fn write_run(&mut self, records: &Bytes, batches: &[PlacedBatch]) -> Result<(), AppendError> {
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else {
            return Ok(());
        };
        let start = first.position;
        let run = records.slice(start..last.position + last.header.size as usize);
        if start == 0 {
            self.write(&run, batches)?;
        } else {
            let place = |batch: &PlacedBatch| PlacedBatch {
                header: batch.header,
                position: batch.position - start,
            };
            let placed: Vec<_> = batches.iter().map(place).collect();
            self.write(&run, &placed)?;
        }
        for PlacedBatch { header, position } in batches {
            let marker = header.attributes.is_control().then(|| {
                let bytes = &records[*position..*position + header.size as usize];
                ControlRecord::of(&Batch {
                    header: *header,
                    bytes,
                    position: 0,
                })
            });
            match marker.flatten() {
                Some(ControlRecord::EndTxn(marker)) => self.after_write(header, Some(&marker)),
                _ => self.after_write(header, None),
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], batches: &[PlacedBatch]) -> Result<(), StorageError> {
        self.guard_all_or_nothing(|log| {
            let config = std::sync::Arc::clone(&log.config);
            log.active().append(bytes, batches, &config)
        })
    }

    /// Updates the rest of the log's state after the batch was written to the file.
    fn after_write(&mut self, header: &BatchHeader, marker: Option<&EndTxnMarker>) {
        assert!(
            header.base_offset >= self.log_end_offset,
            "a batch at {} begins below the log end {}",
            header.base_offset,
            self.log_end_offset
        );
        let before = self.positions();
        assert!(
            header.next_offset() > header.base_offset,
            "{}: a batch from {} to {} has no records",
            self.topic_partition,
            header.base_offset,
            header.next_offset()
        );
        let active = self.active().base_offset;
        assert!(
            active <= header.base_offset,
            "{}: a batch at {} is in the segment {active}",
            self.topic_partition,
            header.base_offset
        );
        if let Some(epoch) = header.partition_leader_epoch {
            self.leader_epochs_dirty |= self.leader_epochs.assign(epoch, header.base_offset);
            assert_eq!(
                self.leader_epochs.latest_epoch(),
                Some(epoch),
                "{}: the newest leader epoch after an append at {}",
                self.topic_partition,
                header.base_offset
            );
        }
        if let Some(aborted) = self.producer_state.update(header, marker) {
            self.active().aborted.push(aborted);
        }
        self.log_end_offset = header.next_offset();
        self.assert_not_shorter("an append", before);
    }
}
