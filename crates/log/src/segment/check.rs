//! Checks whether the index files of a segment match its batches.
//!
//! Only the last entries and the headers of the batches from there to the end of the file are read,
//! never the whole file, so that every segment can be checked at every start.

use dohle_model::{LeaderEpoch, Offset};

use super::files::{INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX};
use super::scan::{Scan, ScanError};
use super::{MaxTimestamp, Segment};
use crate::batch::BatchHeader;
use crate::error::StorageError;
use crate::index::{self, AbortedTxn, OffsetEntry, TimeEntry};

/// The reason why a segment's index files cannot be used as they are.
pub(crate) type Doubt = String;

/// The state at the end of a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tail {
    /// The offset after the last batch.
    pub(crate) end: Offset,
    /// The leader epoch of the last batch.
    pub(crate) epoch: Option<LeaderEpoch>,
    /// The largest timestamp of the batches from the last index entry on.
    max_timestamp: Option<i64>,
}

/// Returns a doubt from the function.
macro_rules! doubt {
    ($($text:tt)*) => { return Ok(Err(format!($($text)*))) };
}

impl Segment {
    /// Returns whether the offset index and the time index exist and have only whole entries.
    pub(crate) fn has_indexes(&self) -> Result<bool, StorageError> {
        for (suffix, size) in [(INDEX_SUFFIX, 8), (TIME_INDEX_SUFFIX, 12)] {
            match self.files.size_if_exists(suffix)? {
                Some(bytes) if bytes.is_multiple_of(size) => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Compares the index files with the batches at the segment's end. `limit` is the base offset
    /// of the next segment.
    pub(crate) fn check_files(
        &self,
        limit: Option<Offset>,
    ) -> Result<Result<Tail, Doubt>, StorageError> {
        let is_bare = self.size == 0 && self.files.size_if_exists(INDEX_SUFFIX)?.is_none();
        if !is_bare && !self.has_indexes()? {
            doubt!("an index file is missing or has no whole entries");
        }
        let last = self.last_entry::<OffsetEntry>(INDEX_SUFFIX)?;
        let last_time = self.last_entry::<TimeEntry>(TIME_INDEX_SUFFIX)?;
        let tail = match self.scan_tail(last)? {
            Ok(tail) => tail,
            Err(doubt) => return Ok(Err(doubt)),
        };
        if limit.is_some_and(|limit| tail.end > limit) {
            doubt!(
                "its batches end at offset {}, after the next segment begins",
                tail.end
            );
        }
        match last_time {
            None if tail.max_timestamp.is_some() => doubt!("the time index has no entry"),
            None => {}
            Some(entry) => {
                let max = self.max_of(entry);
                if tail.max_timestamp > Some(max.timestamp) || !self.has_timestamp(max)? {
                    doubt!(
                        "the last entry of the time index, {} at offset {}, matches no batch",
                        max.timestamp,
                        max.offset
                    );
                }
            }
        }
        if let Err(doubt) = self.check_aborted(tail.end)? {
            return Ok(Err(doubt));
        }
        Ok(Ok(tail))
    }

    /// Reads the batches from the last index entry on.
    fn scan_tail(&self, last: Option<OffsetEntry>) -> Result<Result<Tail, Doubt>, StorageError> {
        let position = last.map_or(0, |entry| entry.position);
        if last.is_some() && position >= self.size {
            doubt!("the last index entry has position {position}, the file ends before");
        }
        let mut tail = Tail {
            end: self.base_offset,
            epoch: None,
            max_timestamp: None,
        };
        let mut claimed = last.map(|entry| self.absolute(entry.relative_offset));
        let mut scan = Scan::headers(&self.files, u64::from(position), u64::from(self.size));
        loop {
            let header = match scan.next_header() {
                Ok(None) => return Ok(Ok(tail)),
                Ok(Some((_, header))) => header,
                Err(ScanError::Storage(error)) => return Err(error),
                Err(ScanError::Batch { position, error }) => doubt!("byte {position}: {error}"),
            };
            if header.base_offset < tail.end || !self.fits(header.last_offset()) {
                doubt!(
                    "a batch at offset {} follows {}",
                    header.base_offset,
                    tail.end
                );
            }
            if let Some(claimed) = claimed.take()
                && header.base_offset > claimed
            {
                doubt!(
                    "the last index entry has offset {claimed}, the batch there begins at {}",
                    header.base_offset
                );
            }
            tail.end = header.next_offset();
            tail.epoch = header.partition_leader_epoch;
            tail.max_timestamp = tail.max_timestamp.max(header.max_timestamp.map(|at| at.0));
        }
    }

    /// Returns whether the batch with this offset has this timestamp as its largest.
    pub(super) fn has_timestamp(&self, max: MaxTimestamp) -> Result<bool, StorageError> {
        let header = self.batch_with(max.offset)?;
        let timestamp = header.and_then(|header| header.max_timestamp);
        Ok(timestamp.is_some_and(|timestamp| timestamp.0 == max.timestamp))
    }

    /// Returns the header of the batch that contains `offset`.
    fn batch_with(&self, offset: Offset) -> Result<Option<BatchHeader>, StorageError> {
        let start = self.start_for(offset).position(&self.files, self.size)?;
        let mut scan = Scan::headers(&self.files, u64::from(start), u64::from(self.size));
        loop {
            match scan.next_header() {
                Ok(Some((_, header))) if header.last_offset() >= offset => {
                    return Ok(Some(header).filter(|header| header.base_offset <= offset));
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(ScanError::Batch { .. }) => return Ok(None),
                Err(ScanError::Storage(error)) => return Err(error),
            }
        }
    }

    /// Compares the transaction index with the batches: each entry must end at a marker.
    fn check_aborted(&self, end: Offset) -> Result<Result<(), Doubt>, StorageError> {
        let Some(size) = self.files.size_if_exists(TXN_INDEX_SUFFIX)? else {
            return Ok(Ok(()));
        };
        if size == 0 || !size.is_multiple_of(<AbortedTxn as index::Entry>::SIZE as u64) {
            doubt!("the transaction index has {size} bytes, which are not whole entries");
        }
        let mut after = self.base_offset;
        for aborted in self.aborted.iter() {
            let last = aborted.last_offset;
            let is_possible = aborted.first_offset <= last
                && (after..end).contains(&last)
                && aborted.last_stable_offset <= last.plus(1);
            let header = if is_possible {
                self.batch_with(last)?
            } else {
                None
            };
            let is_marker = header.is_some_and(|header| {
                header.attributes.is_control()
                    && header.producer_id == Some(aborted.producer_id)
                    && header.base_offset == last
            });
            if !is_marker {
                doubt!("an entry of the transaction index ends at {last}, which has no marker");
            }
            after = last;
        }
        Ok(Ok(()))
    }

    /// Returns the offset of the last entry of the offset index, when the file ends before the
    /// entry's position, which shows that a batch is missing.
    pub(crate) fn offset_beyond_end(&self) -> Result<Option<Offset>, StorageError> {
        let last = self.last_entry::<OffsetEntry>(INDEX_SUFFIX)?;
        let beyond = last.filter(|entry| entry.position >= self.size);
        Ok(beyond.map(|entry| self.absolute(entry.relative_offset)))
    }

    /// Returns an offset for which the index files have an entry. If no batch at or after it is
    /// left, the file has lost its end, since compaction and truncation replace the index files. A
    /// gap before the next segment proves nothing, because compaction leaves gaps too.
    ///
    /// A segment that Kafka has closed often has no entry in the offset index for its last batches,
    /// but it has one in the time index for the batch with the largest timestamp, which usually is
    /// the last one.
    pub(crate) fn claimed_offset(&self) -> Result<Option<Offset>, StorageError> {
        let newest = self.last_entry::<TimeEntry>(TIME_INDEX_SUFFIX)?;
        // Kafka fills a new file with zeros.
        let newest = newest.filter(|entry| entry.timestamp > 0);
        let by_time = newest.map(|entry| self.absolute(entry.relative_offset));
        Ok(self.offset_beyond_end()?.max(by_time))
    }

    /// Returns the end of the segment's batches at the time when it was flushed as a closed one:
    /// its offset index is written then, and the last entry is for the last batch. Returns `None`
    /// when there is no such index.
    pub(crate) fn flushed_end(&self) -> Result<Option<Offset>, StorageError> {
        if let Some(last) = self.last_entry::<OffsetEntry>(INDEX_SUFFIX)? {
            return Ok(Some(self.absolute(last.relative_offset).plus(1)));
        }
        // Compaction may leave a segment without records.
        let is_emptied = self.size == 0 && self.files.size_if_exists(INDEX_SUFFIX)?.is_some();
        Ok(is_emptied.then_some(self.base_offset))
    }

    fn absolute(&self, relative: u32) -> Offset {
        index::absolute(self.base_offset, relative)
    }

    /// Returns the last whole entry of an index file; `None` when the file is missing or has none.
    pub(super) fn last_entry<E: index::Entry>(
        &self,
        suffix: &str,
    ) -> Result<Option<E>, StorageError> {
        match self.files.open_index(suffix)? {
            Some((file, path)) => index::last_in_file(&*file, &path),
            None => Ok(None),
        }
    }
}
