//! Loads the leader epochs when a log is opened: reads their file, compares them with the batches,
//! and rebuilds them from the batches where they differ.

use std::path::Path;

use dohle_model::Offset;
use dohle_storage::FileSystem;

use super::{LEADER_EPOCH_FILE, Log};
use crate::batch::BatchHeader;
use crate::checkpoint::read_if_exists;
use crate::error::StorageError;
use crate::leader_epoch::LeaderEpochCache;
use crate::segment::walk::Headers;

/// The number of newest epochs that are compared with the batches when a log is opened. Each
/// comparison reads the headers of two batches.
const EPOCHS_CHECKED: usize = 32;

/// Reads the file. Returns `None` when it does not exist, has an invalid format, or is empty: Kafka
/// creates it so, and writes it with the first epoch.
pub(super) fn read(
    fs: &dyn FileSystem,
    dir: &Path,
) -> Result<Option<LeaderEpochCache>, StorageError> {
    let path = dir.join(LEADER_EPOCH_FILE);
    let Some(bytes) = read_if_exists(fs, &path)? else {
        return Ok(None);
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    match LeaderEpochCache::decode(&String::from_utf8_lossy(&bytes)) {
        Ok(cache) => Ok(Some(cache)),
        Err(error) => {
            tracing::warn!(
                path = %path.display(),
                error,
                "cannot read the file of leader epochs, rebuilding them from the records"
            );
            Ok(None)
        }
    }
}

impl Log {
    /// Compares the leader epochs with the batches, and rebuilds them where they differ.
    pub(super) fn check_leader_epochs(&mut self) -> Result<(), StorageError> {
        let Some(doubt) = self.doubt_about_epochs()? else {
            return Ok(());
        };
        let rebuilt = self.epochs_of_batches()?;
        if rebuilt == self.leader_epochs {
            return Ok(());
        }
        // Without entries there is nothing to report: a log that is opened for the first time has
        // no file.
        if !self.leader_epochs.entries().is_empty() {
            tracing::warn!(
                partition = %self.topic_partition,
                doubt,
                "leader epochs do not match the records, rebuilt them from the records"
            );
        }
        self.leader_epochs = rebuilt;
        self.leader_epochs_dirty = true;
        Ok(())
    }

    fn doubt_about_epochs(&self) -> Result<Option<String>, StorageError> {
        let mut offsets = vec![self.log_start_offset];
        offsets.extend(self.log_end_offset.previous());
        let entries = self.leader_epochs.entries().iter().rev();
        for entry in entries.take(EPOCHS_CHECKED) {
            offsets.extend(entry.start_offset.previous());
            offsets.push(entry.start_offset);
        }
        for offset in offsets {
            if offset < self.log_start_offset || offset >= self.log_end_offset {
                continue;
            }
            let Some(header) = self.first_batch_from(offset)? else {
                continue;
            };
            let Some(doubt) = self.contradiction(&header) else {
                continue;
            };
            let of = |offset| self.leader_epochs.epoch_for_offset(offset);
            let first = header.base_offset.max(self.log_start_offset);
            // An epoch never begins inside a batch.
            if of(first) != of(header.last_offset()) || !self.is_confirmed_around(&header)? {
                return Ok(Some(doubt));
            }
            // The checksum does not cover the leader epoch in the header.
            tracing::warn!(
                partition = %self.topic_partition,
                doubt,
                "a batch has another leader epoch than the batches around it"
            );
        }
        Ok(None)
    }

    /// Returns how the leader epochs contradict a batch, if they do.
    fn contradiction(&self, header: &BatchHeader) -> Option<String> {
        let epoch = header.partition_leader_epoch?;
        // The first entry begins at the log's start, which may be inside a batch.
        let first = header.base_offset.max(self.log_start_offset);
        let last = header.last_offset();
        let of = |offset| self.leader_epochs.epoch_for_offset(offset);
        if of(first) == Some(epoch) && of(last) == Some(epoch) {
            return None;
        }
        Some(format!(
            "the batch at offset {} has leader epoch {epoch}",
            header.base_offset
        ))
    }

    /// Returns whether a batch next to this one confirms the leader epochs.
    fn is_confirmed_around(&self, header: &BatchHeader) -> Result<bool, StorageError> {
        let before = match header.base_offset.previous() {
            Some(offset) => self.first_batch_from(offset)?,
            None => None,
        };
        let after = self.first_batch_from(header.next_offset())?;
        let neighbour = |it: Option<BatchHeader>| {
            let it = it.filter(|it| it.base_offset != header.base_offset)?;
            Some((it.base_offset, it.partition_leader_epoch))
        };
        let neighbours = [neighbour(before), neighbour(after)];
        Ok(self
            .leader_epochs
            .is_confirmed(header.base_offset, neighbours))
    }

    /// Returns the first batch that ends at `offset` or later.
    fn first_batch_from(&self, offset: Offset) -> Result<Option<BatchHeader>, StorageError> {
        for segment in &self.segments[self.floor_segment(offset)..] {
            let files = &segment.files;
            let start = segment.start_for(offset).position(files, segment.size)?;
            let mut headers = Headers::new(files, u64::from(start), u64::from(segment.size));
            while let Some((_, header)) = headers.next()? {
                if header.last_offset() >= offset {
                    return Ok(Some(header));
                }
            }
        }
        Ok(None)
    }

    /// Builds the leader epochs from the batches. Ignores a single batch whose epoch is above those
    /// of the batches before and after it, because the checksum does not cover the epoch.
    fn epochs_of_batches(&self) -> Result<LeaderEpochCache, StorageError> {
        let mut cache = LeaderEpochCache::default();
        let mut waiting: Option<BatchHeader> = None;
        for segment in &self.segments {
            let mut headers = Headers::new(&segment.files, 0, u64::from(segment.size));
            while let Some((_, header)) = headers.next()? {
                if header.next_offset() <= self.log_start_offset {
                    continue;
                }
                let before = waiting.replace(header);
                if let Some(before) = before {
                    let is_odd = header.partition_leader_epoch.is_some()
                        && header.partition_leader_epoch < before.partition_leader_epoch;
                    take_epoch(&mut cache, &before, is_odd);
                }
            }
        }
        if let Some(last) = waiting {
            take_epoch(&mut cache, &last, false);
        }
        cache.truncate_from_start(self.log_start_offset);
        Ok(cache)
    }
}

fn take_epoch(cache: &mut LeaderEpochCache, header: &BatchHeader, is_odd: bool) {
    if let Some(epoch) = header.partition_leader_epoch
        && !is_odd
        && cache.latest_epoch().is_none_or(|latest| epoch > latest)
    {
        cache.assign(epoch, header.base_offset);
    }
}
