//! The start offsets of leader epochs: the `leader-epoch-checkpoint` of a partition (KIP-101,
//! KIP-279).

use std::fmt::Write as _;

use dohle_model::{LeaderEpoch, Offset};

use crate::checkpoint::{entry_lines, field};

/// A leader epoch and the first offset that its leader wrote or would write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEntry {
    /// The leader's epoch.
    pub epoch: LeaderEpoch,
    /// The first offset of the epoch.
    pub start_offset: Offset,
}

/// A leader epoch and the end of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest known epoch that is not above the requested one; the requested one when all
    /// known epochs are newer.
    pub epoch: LeaderEpoch,
    /// The offset after the epoch's last record.
    pub end_offset: Offset,
}

/// The leader epochs of a log, with their start offsets.
///
/// Invariant: epochs and start offsets both increase strictly.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaderEpochCache {
    entries: Vec<EpochEntry>,
}

impl LeaderEpochCache {
    /// Returns the entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// Returns the newest epoch.
    #[must_use]
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// Records that `epoch` begins at `start_offset`. Entries that contradict this are removed.
    /// Returns whether anything changed.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        let before = self.entries.len();
        let contradicts =
            |entry: &EpochEntry| entry.epoch > epoch || entry.start_offset >= start_offset;
        let is_known =
            |entry: &EpochEntry| entry.epoch == epoch && entry.start_offset <= start_offset;
        // A leader that wrote nothing has left an entry at the log's end. Records of an older epoch
        // that are appended there continue the entry of that epoch and do not start a new one.
        while self
            .entries
            .last()
            .is_some_and(|last| contradicts(last) && !is_known(last))
        {
            self.entries.pop();
        }
        if self.entries.last().is_some_and(is_known) {
            return self.entries.len() != before;
        }
        self.entries.push(EpochEntry {
            epoch,
            start_offset,
        });
        if let [.., before, new] = self.entries[..] {
            assert!(
                before.epoch < new.epoch && before.start_offset < new.start_offset,
                "{new:?} follows {before:?}"
            );
        }
        true
    }

    /// Returns the epoch of the leader that wrote the record at `offset`.
    #[must_use]
    pub fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self
            .entries
            .partition_point(|entry| entry.start_offset <= offset);
        self.entries[..after].last().map(|entry| entry.epoch)
    }

    /// Returns whether one of the neighbours of the batch at `offset`, each given as an offset and
    /// the epoch in its header, belongs to the same entry as `offset` and has the entry's epoch.
    /// Then the entry is correct, whatever epoch the header of the batch at `offset` has.
    pub(crate) fn is_confirmed(
        &self,
        offset: Offset,
        neighbours: [Option<(Offset, Option<LeaderEpoch>)>; 2],
    ) -> bool {
        let expected = self.epoch_for_offset(offset);
        let mut neighbours = neighbours.into_iter().flatten();
        expected.is_some()
            && neighbours
                .any(|(at, epoch)| epoch == expected && self.epoch_for_offset(at) == expected)
    }

    /// Returns the end of the records of `epoch` in this log, by the rules of KIP-279: for the
    /// newest epoch the log's end, for another one the start of the next epoch, together with the
    /// largest epoch that is not newer. Returns `None` when `epoch` is newer than all known epochs.
    #[must_use]
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end_offset: Offset) -> Option<EpochEnd> {
        let after = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let floor = self.entries[..after].last();
        match self.entries.get(after) {
            None => floor
                .filter(|floor| floor.epoch == epoch)
                .map(|_| EpochEnd {
                    epoch,
                    end_offset: log_end_offset,
                }),
            Some(higher) => Some(EpochEnd {
                epoch: floor.map_or(epoch, |floor| floor.epoch),
                end_offset: higher.start_offset,
            }),
        }
    }

    /// Removes entries at or above `end_offset`, the log's new end. Returns whether anything
    /// changed.
    pub fn truncate_from_end(&mut self, end_offset: Offset) -> bool {
        let before = self.entries.len();
        while self
            .entries
            .last()
            .is_some_and(|entry| entry.start_offset >= end_offset)
        {
            self.entries.pop();
        }
        self.entries.len() != before
    }

    /// Removes entries below `start_offset`, the log's new start; the epoch that covers it begins
    /// there. Returns whether anything changed.
    pub fn truncate_from_start(&mut self, start_offset: Offset) -> bool {
        let covered = self
            .entries
            .partition_point(|entry| entry.start_offset <= start_offset);
        if covered == 0 || (covered == 1 && self.entries[0].start_offset == start_offset) {
            return false;
        }
        self.entries.drain(..covered - 1);
        self.entries[0].start_offset = start_offset;
        let next = self.entries.get(1);
        assert!(
            next.is_none_or(|next| next.start_offset > start_offset),
            "the log starts at {start_offset}, and then follows {next:?}"
        );
        true
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Returns the text of the file.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("0\n{}\n", self.entries.len());
        for entry in &self.entries {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{} {}", entry.epoch, entry.start_offset);
        }
        text
    }

    /// Parses the text of the file.
    ///
    /// # Errors
    /// A message that contains the number of the invalid line.
    pub fn decode(text: &str) -> Result<Self, String> {
        let mut cache = Self::default();
        for (number, line) in entry_lines(text)? {
            let wrong = || format!("line {number}: {line:?} is not \"epoch start-offset\"");
            let (epoch, offset) = line.split_once(' ').ok_or_else(wrong)?;
            let epoch = field(epoch, LeaderEpoch::from_wire).ok_or_else(wrong)?;
            let offset = field(offset, Offset::from_wire).ok_or_else(wrong)?;
            cache.assign(epoch, offset);
        }
        Ok(cache)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(entries: &[(i32, i64)]) -> LeaderEpochCache {
        let mut cache = LeaderEpochCache::default();
        for (epoch, offset) in entries {
            cache.assign(LeaderEpoch(*epoch), Offset(*offset));
        }
        cache
    }

    fn entries(cache: &LeaderEpochCache) -> Vec<(i32, i64)> {
        cache
            .entries
            .iter()
            .map(|entry| (entry.epoch.0, entry.start_offset.0))
            .collect()
    }

    #[test]
    fn an_epoch_without_records_does_not_move_the_start_of_an_older_one() {
        let mut cache = LeaderEpochCache::default();
        cache.assign(LeaderEpoch(5), Offset(0));
        cache.assign(LeaderEpoch(13), Offset(3));
        assert!(cache.assign(LeaderEpoch(5), Offset(3)));
        assert_eq!(
            cache.entries(),
            [EpochEntry {
                epoch: LeaderEpoch(5),
                start_offset: Offset(0)
            }]
        );
    }

    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let cache = cache(&[(2, 10), (4, 20), (7, 35)]);
        let end = |epoch| {
            let end = cache.end_offset_for(LeaderEpoch(epoch), Offset(50))?;
            Some((end.epoch.0, end.end_offset.0))
        };
        assert_eq!(end(1), Some((1, 10)));
        assert_eq!(end(2), Some((2, 20)));
        assert_eq!(end(3), Some((2, 20)));
        assert_eq!(end(6), Some((4, 35)));
        assert_eq!(end(7), Some((7, 50)));
        assert_eq!(end(8), None);
        assert_eq!(
            LeaderEpochCache::default().end_offset_for(LeaderEpoch(0), Offset(0)),
            None
        );
    }

    #[test]
    fn offsets_belong_to_the_epoch_that_wrote_them() {
        let cache = cache(&[(2, 10), (4, 20)]);
        let epoch = |offset| cache.epoch_for_offset(Offset(offset)).map(|epoch| epoch.0);
        assert_eq!(
            [epoch(9), epoch(10), epoch(19), epoch(20)],
            [None, Some(2), Some(2), Some(4)]
        );
    }

    #[test]
    fn contradicting_entries_give_way_to_the_newer() {
        let mut cache = cache(&[(2, 10), (4, 20), (7, 35)]);
        assert!(!cache.assign(LeaderEpoch(7), Offset(40)));
        assert!(cache.assign(LeaderEpoch(8), Offset(20)));
        assert_eq!(entries(&cache), [(2, 10), (8, 20)]);
    }

    #[test]
    fn truncation_keeps_the_epochs_that_still_have_records() {
        let mut cache = cache(&[(2, 10), (4, 20), (7, 35)]);
        assert!(cache.truncate_from_end(Offset(35)));
        assert!(!cache.truncate_from_end(Offset(30)));
        assert_eq!(entries(&cache), [(2, 10), (4, 20)]);
        assert!(!cache.truncate_from_start(Offset(10)));
        assert!(cache.truncate_from_start(Offset(15)));
        assert_eq!(entries(&cache), [(2, 15), (4, 20)]);
        assert!(cache.truncate_from_start(Offset(25)));
        assert_eq!(entries(&cache), [(4, 25)]);
    }

    #[test]
    fn the_file_is_kafkas() {
        let cache = cache(&[(2, 10), (4, 20)]);
        assert_eq!(cache.encode(), "0\n2\n2 10\n4 20\n");
        assert_eq!(LeaderEpochCache::decode(&cache.encode()), Ok(cache));
        assert_eq!(
            LeaderEpochCache::decode("0\n1\n2 x\n").unwrap_err(),
            "line 3: \"2 x\" is not \"epoch start-offset\""
        );
    }
}
