//! A move of this replica to another log directory, under the partition's lock: compares the log
//! with its copy, plans what is copied next, and swaps the two.

use std::path::Path;

use dohle_log::{AppendError, Batches, Log, ProducerState, ReadLimits, ReadPlan, StorageError};
use dohle_model::{DirectoryId, Offset, Timestamp};

use super::Partition;
use super::errors::ReadError;
use super::state::{LogState, State};
use crate::replica::{Extent, MoveView, common_end, may_swap};

/// The most bytes that a swap copies under the partition's lock.
const SWAP_BYTES_MAX: u64 = 256 << 10;

/// The state of the current log for one step of a move.
#[derive(Debug)]
pub(crate) struct MoveSource {
    /// What decides about the next step.
    pub(crate) view: MoveView,
    /// The high watermark.
    pub(crate) high_watermark: Offset,
}

/// How an attempt to swap the logs ended.
#[derive(Debug)]
pub(crate) enum SwapOutcome {
    /// The copy is the replica's log now. The old log is to be deleted.
    Swapped(Box<Log>),
    /// Something is missing in the copy, which is unchanged or has more records than before.
    NotYet(Box<Log>),
    /// A file operation in the directory of the copy failed.
    Failed(StorageError),
}

/// The copy and where it goes.
#[derive(Debug)]
pub(crate) struct SwapRequest<'a> {
    pub(crate) copy: Box<Log>,
    /// The directory in which the current log is.
    pub(crate) from: DirectoryId,
    /// The directory of the copy.
    pub(crate) to: DirectoryId,
    /// The path that the copy gets.
    pub(crate) path: &'a Path,
    /// The log start in the checkpoint of the copy's directory.
    pub(crate) checkpointed_start: Offset,
    pub(crate) cleaned_to: Option<Offset>,
    pub(crate) now: Timestamp,
}

impl Partition {
    /// Compares the log, in the directory `from`, with its copy in the directory `to`. `None` while
    /// the log is offline.
    pub(crate) fn move_source(
        &self,
        (from, to): (DirectoryId, DirectoryId),
        copy: &Log,
    ) -> Option<MoveSource> {
        let is_promised = self.registered_dir() == Some(to);
        let state = self.state.lock();
        let log = state.log().ok().filter(|_| state.dir == from)?;
        Some(MoveSource {
            view: view(log, copy, is_promised),
            high_watermark: state.high_watermark,
        })
    }

    /// Plans a read of the records to be copied next, committed or not.
    ///
    /// # Errors
    /// When the log is offline, or the records are damaged or not in the log any more.
    pub(crate) fn plan_copy(
        &self,
        from: Offset,
        max_bytes: usize,
    ) -> Result<(ReadPlan, Offset), ReadError> {
        let state = self.state.lock();
        let log = state.log()?;
        let end = log.log_end_offset();
        match log.plan_read(from, limits(max_bytes)) {
            Ok(plan) => Ok((plan, end)),
            Err(error) => {
                let positions = state.positions();
                drop(state);
                Err(self.plan_failed(error, positions))
            }
        }
    }

    /// Returns the state of the producers below `offset`, where a copy begins; `None` when the log
    /// begins above it by now.
    ///
    /// # Errors
    /// When the log is offline, or a file cannot be read.
    pub(crate) fn producers_below(
        &self,
        offset: Offset,
        now: Timestamp,
    ) -> Result<Option<ProducerState>, ReadError> {
        let state = self.state.lock();
        let producers = state.log()?.producers_below(offset, now);
        drop(state);
        producers.map_err(|error| self.read_failed(&error))
    }

    /// Puts the copy in the place of the log, if nothing is missing in it but the newest records,
    /// which are copied here. Blocks on the disk.
    pub(crate) fn swap_log(&self, request: SwapRequest<'_>) -> SwapOutcome {
        let outcome = self.with(|state, _| self.swap_locked(state, request));
        if matches!(outcome, SwapOutcome::Swapped(_)) {
            self.ask_for_cleaning();
        }
        outcome
    }

    fn swap_locked(&self, state: &mut State, request: SwapRequest<'_>) -> SwapOutcome {
        let SwapRequest {
            mut copy,
            from,
            to,
            path,
            checkpointed_start,
            cleaned_to,
            now,
        } = request;
        let is_promised = self.registered_dir() == Some(to);
        let before = state.positions();
        let log = match state.log() {
            Ok(log) if state.dir == from && !log.is_failed() => log,
            _ => return SwapOutcome::NotYet(copy),
        };
        if log.log_start_offset() != checkpointed_start || !copy_rest(log, &mut copy, now) {
            return SwapOutcome::NotYet(copy);
        }
        if !may_swap(&view(log, &copy, is_promised)) {
            return SwapOutcome::NotYet(copy);
        }
        // What was acknowledged after a flush must have been flushed in the copy too.
        let config = log.config();
        let is_flushed = copy.recovery_point() >= log.recovery_point();
        if !is_flushed || config.flush_messages.is_some() || config.flush_ms.is_some() {
            match copy.flush(now) {
                Err(_) if !copy.is_failed() => return SwapOutcome::NotYet(copy),
                Err(error) => return SwapOutcome::Failed(error),
                Ok(()) => {}
            }
        }
        copy.take_over(log, cleaned_to);
        if let Err(error) = copy.rename_to(path) {
            return SwapOutcome::Failed(error);
        }
        let old = match std::mem::replace(&mut state.log, LogState::Online(copy)) {
            LogState::Online(old) => old,
            LogState::Offline(reason) => unreachable!("{}: {reason}", self.name),
        };
        old.mark_replaced();
        state.dir = to;
        state.is_short = false;
        assert_eq!(
            before,
            state.positions(),
            "{}: positions after a swap",
            self.name
        );
        SwapOutcome::Swapped(old)
    }

    /// Returns the directory that the metadata name for this replica.
    pub(crate) fn registered_dir(&self) -> Option<DirectoryId> {
        let image = self.shared.image();
        image.partition(&self.id)?.directory(self.shared.node)
    }
}

fn limits(max_bytes: usize) -> ReadLimits {
    ReadLimits {
        max_bytes,
        upper_bound: Offset(i64::MAX),
        min_one: true,
    }
}

/// Compares a log with its copy.
fn view(log: &Log, copy: &Log, is_promised: bool) -> MoveView {
    let extent = |log: &Log| Extent {
        start: log.log_start_offset(),
        end: log.log_end_offset(),
    };
    let end_of = |log: &Log, epoch| {
        let end = log.log_end_offset();
        let found = log.leader_epochs().end_offset_for(epoch, end);
        let found = found.map(|found| (found.epoch, found.end_offset));
        // Without an epoch that is as new, the newest one ends with the log.
        found.or_else(|| Some((log.latest_epoch()?, end)))
    };
    let common_end = common_end(
        extent(copy),
        copy.last_record_epoch(),
        |epoch| end_of(log, epoch),
        |epoch| end_of(copy, epoch),
    );
    MoveView {
        current: extent(log),
        copy: extent(copy),
        common_end,
        is_promised,
    }
}

/// Copies what the copy lacks, unless that is too much. Returns whether nothing is missing.
fn copy_rest(log: &Log, copy: &mut Log, now: Timestamp) -> bool {
    let mut copied = 0;
    while copy.log_end_offset() < log.log_end_offset() {
        let read = log.read(copy.log_end_offset(), limits(SWAP_BYTES_MAX as usize));
        let Ok(read) = read else { return false };
        copied += read.records.len() as u64;
        if copied > SWAP_BYTES_MAX || read.records.is_empty() {
            return false;
        }
        let producers = |offset| log.producers_below(offset, now).map_err(AppendError::from);
        let end = log.log_end_offset();
        if !append_copied(copy, read.records, end, now, producers).unwrap_or(false) {
            return false;
        }
    }
    true
}

/// Appends records of the current log to its copy, unchanged. A copy without records begins with
/// the first batch, which may begin below the log start, and with the producers below that batch.
/// Returns whether the records were appended, which they are not when the log begins above them by
/// now.
///
/// # Errors
/// When `producers` fails, the records do not fit the copy, because the log was truncated
/// meanwhile, or a write failed.
pub(crate) fn append_copied<E: From<StorageError> + From<AppendError>>(
    copy: &mut Log,
    records: bytes::Bytes,
    end: Offset,
    now: Timestamp,
    producers: impl FnOnce(Offset) -> Result<Option<ProducerState>, E>,
) -> Result<bool, E> {
    let start = copy.log_start_offset();
    if start == copy.log_end_offset() {
        let first = Batches::new(&records).next().and_then(Result::ok);
        let base = first.map_or(start, |first| first.header.base_offset.min(start));
        let Some(producers) = producers(base)? else {
            return Ok(false);
        };
        if base < start || !producers.is_empty() {
            copy.begin_copy_at(base, producers, now)?;
        }
    }
    // Compaction leaves gaps in a log, whatever its policy is now.
    copy.append_replicated(records, end, now)?;
    copy.maybe_advance_log_start_offset(start);
    Ok(true)
}
