//! What a log knows of its damaged ranges. See [`crate::damage`].

use std::sync::Arc;

use dohle_model::{Offset, Timestamp};

use super::Log;
use crate::clean::{CleanedFiles, Writer, open_dir};
use crate::damage::{Damage, Repair, SegmentCheck};
use crate::error::StorageError;
use crate::segment::Segment;
use crate::segment::files::LOG_SUFFIX;

/// Bytes that a repair collects before it writes.
const REPAIR_BUFFER_BYTES: usize = 256 << 10;

/// How [`Log::begin_repair`] ended.
#[derive(Debug)]
pub enum RepairStart {
    /// The repair may run.
    Started(Box<Repair>),
    /// The segment is not damaged, or is gone.
    NotDamaged,
    /// The damage reaches above the high watermark: other replicas may not agree on it yet.
    NotCommitted,
    /// The segment must be flushed first. It is closed now.
    NeedsFlush,
    /// Compaction or a flush is at work on the log.
    Busy,
}

impl Log {
    /// The damaged ranges that are known, in the order of their offsets.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// The first damaged range that a read of `[offset, end)` would meet.
    pub(super) fn damage_in(&self, offset: Offset, end: Offset) -> Option<&Damage> {
        let after = self.damage.partition_point(|damage| damage.end <= offset);
        self.damage.get(after).filter(|damage| damage.start < end)
    }

    /// Plans a check of the segment that holds `offset`; `None` when it is empty.
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
            truncations: segment.files.truncations(),
            generation: self.generation,
            leader_epochs: self.leader_epochs.clone(),
        }))
    }

    fn end_of_segment(&self, at: usize) -> Offset {
        let next = self.segments.get(at + 1);
        next.map_or(self.log_end_offset, |next| next.base_offset)
    }

    /// Takes in what a check found; it replaces what was known of the segment. Reads of damaged
    /// ranges fail from now on. Returns the ranges that were not known before.
    pub fn note_damage(&mut self, check: &SegmentCheck, found: Vec<Damage>) -> Vec<Damage> {
        let base = check.segment();
        let at = self.floor_segment(base);
        if check.generation != self.generation || self.segments[at].base_offset != base {
            return Vec::new();
        }
        let is_of = |damage: &Damage| damage.segment == base;
        let known: Vec<Damage> = self.damage.extract_if(.., |it| is_of(it)).collect();
        let start = self.log_start_offset;
        self.damage
            .extend(found.into_iter().filter(|damage| damage.end > start));
        self.damage.sort_by_key(|damage| damage.start);
        let is_new = |damage: &&Damage| {
            let same = |it: &Damage| it.position == damage.position;
            is_of(damage) && !known.iter().any(same)
        };
        self.damage.iter().filter(is_new).cloned().collect()
    }

    /// Forgets damage that is no longer part of the log.
    pub(super) fn retain_damage(&mut self) {
        let (first, end) = (self.segments[0].base_offset, self.log_end_offset);
        self.damage
            .retain(|damage| damage.segment >= first && damage.start < end);
    }

    /// Begins to repair the damaged segment with this base offset. Closes it if it is the active
    /// one.
    ///
    /// # Errors
    /// When a file cannot be made.
    pub fn begin_repair(
        &mut self,
        base_offset: Offset,
        high_watermark: Offset,
        now: Timestamp,
    ) -> Result<RepairStart, StorageError> {
        let damage: Vec<Damage> = self
            .damage
            .iter()
            .filter(|damage| damage.segment == base_offset)
            .cloned()
            .collect();
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
        let files = CleanedFiles::new(open_dir(&self.dir)?, Arc::clone(&self.dir), base_offset);
        let log = files.create(LOG_SUFFIX)?;
        let mut new = Segment::cleaned(Arc::clone(&self.dir), base_offset, log, segment.created);
        new.aborted.clone_from(&segment.aborted);
        Ok(RepairStart::Started(Box::new(Repair {
            source: Arc::clone(&segment.files),
            size: u64::from(segment.size),
            damage,
            leader_epochs: self.leader_epochs.clone(),
            has_gaps: self.config.cleanup_policy.compact,
            modified: segment.files.modified()?,
            generation: self.generation,
            files,
            writer: Writer::new(new, Arc::clone(&self.config), REPAIR_BUFFER_BYTES),
            copied: 0,
            asked: 0,
            expected: base_offset,
            _token: Arc::clone(&self.cleaning_running),
        })))
    }
}
