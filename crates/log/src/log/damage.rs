//! The damaged ranges of a log: checks, reads that avoid the ranges, and repairs. See
//! [`crate::damage`].

use std::sync::Arc;

use dohle_model::{Offset, Timestamp};

use super::Log;
use crate::checkpoint::Sync;
use crate::clean::{CleanedFiles, Writer, open_dir};
use crate::damage::{Damage, Repair, SegmentCheck};
use crate::error::StorageError;
use crate::segment::Segment;
use crate::segment::files::LOG_SUFFIX;

/// Bytes that a repair collects before it writes.
const REPAIR_BUFFER_BYTES: usize = 256 << 10;

/// The result of [`Log::begin_repair`].
#[derive(Debug)]
pub enum RepairStart {
    /// The repair was started.
    Started(Box<Repair>),
    /// The segment is not damaged or no longer exists.
    NotDamaged,
    /// The damage reaches above the high watermark, where other replicas may still differ.
    NotCommitted,
    /// The segment must be flushed first. It was closed for that.
    NeedsFlush,
    /// Compaction or a flush of the log is running.
    Busy,
}

impl Log {
    /// Returns the known damaged ranges, in the order of their offsets. Reads of them fail.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Returns the first damaged range that overlaps `[offset, end)`.
    pub(super) fn damage_in(&self, offset: Offset, end: Offset) -> Option<&Damage> {
        let after = self.damage.partition_point(|damage| damage.end <= offset);
        self.damage.get(after).filter(|damage| damage.start < end)
    }

    /// Plans a check of the segment that contains `offset`; `None` when the segment is empty.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn plan_check(&self, offset: Offset) -> Result<Option<SegmentCheck>, StorageError> {
        let at = self.floor_segment(offset);
        let segment = &self.segments[at];
        if segment.size == 0 {
            return Ok(None);
        }
        Ok(Some(SegmentCheck {
            files: Arc::new(segment.files.pinned()?),
            size: u64::from(segment.size),
            end: self.end_of_segment(at),
            missing_to: self.missing_to(at),
            truncations: segment.files.truncations(),
            generation: self.generation,
            leader_epochs: self.leader_epochs.clone(),
        }))
    }

    fn end_of_segment(&self, at: usize) -> Offset {
        let next = self.segments.get(at + 1);
        next.map_or(self.log_end_offset, |next| next.base_offset)
    }

    /// Returns the offset up to which the segment is known to have had records, when they are
    /// missing at its end: when its damage was found, the file ended too early, or before the last
    /// damaged byte.
    pub(super) fn missing_to(&self, at: usize) -> Option<Offset> {
        let segment = &self.segments[at];
        let is_cut = |it: &&Damage| {
            it.is_missing_tail() || it.position + it.length > u64::from(segment.size)
        };
        let cut = self.damage_of(segment.base_offset).filter(is_cut);
        cut.map(|it| it.end).max()
    }

    /// Replaces the known damage of a segment by the result of a check. Reads of the damaged ranges
    /// fail from now on. Returns the ranges that were not known before.
    ///
    /// # Errors
    /// When the list cannot be written. The list in memory applies all the same.
    pub fn note_damage(
        &mut self,
        check: &SegmentCheck,
        found: Vec<Damage>,
    ) -> Result<Vec<Damage>, StorageError> {
        let base = check.segment();
        let at = self.floor_segment(base);
        // If the segment was replaced since, the check was of other files.
        let is_current = check.generation == self.generation
            && self.segments[at].base_offset == base
            && check.files.truncations() == check.truncations;
        if !is_current || self.failed {
            return Ok(Vec::new());
        }
        let is_of = |damage: &Damage| damage.segment == base;
        let known: Vec<Damage> = self.damage.extract_if(.., |it| is_of(it)).collect();
        let start = self.log_start_offset;
        let found: Vec<_> = found.into_iter().filter(|it| it.end > start).collect();
        let is_unchanged = known == found;
        let is_new = |damage: &&Damage| {
            let same = |it: &Damage| it.position == damage.position;
            !known.iter().any(same)
        };
        let new = found.iter().filter(is_new).cloned().collect();
        self.damage.extend(found);
        self.sort_damage();
        if !is_unchanged {
            self.write_damage(Sync::No)?;
        }
        Ok(new)
    }

    pub(super) fn sort_damage(&mut self) {
        self.damage.sort_by_key(|it| (it.start, it.position));
    }

    /// Returns the known damaged ranges of one segment.
    pub(super) fn damage_of(&self, segment: Offset) -> impl Iterator<Item = &Damage> {
        let of_segment = move |it: &&Damage| it.segment == segment;
        self.damage.iter().filter(of_segment)
    }

    /// Begins to repair the damaged segment with this base offset. Closes the segment if it is the
    /// active one.
    ///
    /// # Errors
    /// When a file cannot be created.
    pub fn begin_repair(
        &mut self,
        base_offset: Offset,
        high_watermark: Offset,
        now: Timestamp,
    ) -> Result<RepairStart, StorageError> {
        let damage: Vec<Damage> = self.damage_of(base_offset).cloned().collect();
        let at = self.floor_segment(base_offset);
        if damage.is_empty() || self.segments[at].base_offset != base_offset || self.failed {
            return Ok(RepairStart::NotDamaged);
        }
        if damage.iter().any(|damage| damage.end > high_watermark) {
            return Ok(RepairStart::NotCommitted);
        }
        let is_busy = |token: &Arc<()>| Arc::strong_count(token) > 1;
        if is_busy(&self.cleaning_running) || is_busy(&self.flushes_running) {
            return Ok(RepairStart::Busy);
        }
        if at + 1 == self.segments.len() {
            self.roll(now)?;
        }
        if self.segments[at].is_in_memory() || self.recovery_point < self.end_of_segment(at) {
            return Ok(RepairStart::NeedsFlush);
        }
        let segment = &self.segments[at];
        let files = CleanedFiles::new(
            open_dir(self.fs(), &self.dir)?,
            Arc::clone(&self.dir),
            base_offset,
        );
        let log = files.create(LOG_SUFFIX)?;
        let new = Segment::cleaned(
            Arc::clone(&self.dir),
            base_offset,
            log,
            self.open_files().environment(),
            segment.created,
        );
        Ok(RepairStart::Started(Box::new(Repair {
            source: Arc::clone(&segment.files),
            size: u64::from(segment.size),
            damage,
            leader_epochs: self.leader_epochs.clone(),
            has_gaps: self.config.cleanup_policy.compact || self.cleaned_to.is_some(),
            modified: segment.files.modified()?,
            generation: self.generation,
            files,
            producers: self.producer_state_at(base_offset, now)?,
            writer: Writer::new(new, Arc::clone(&self.config), REPAIR_BUFFER_BYTES),
            copied: 0,
            asked: 0,
            expected: base_offset,
            _token: Arc::clone(&self.cleaning_running),
        })))
    }
}
