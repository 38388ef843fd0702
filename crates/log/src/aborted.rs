//! The aborted transactions of a segment, and the search for those that a read overlaps.
//!
//! The entries are in the order of their markers, so binary search finds the first transaction that
//! ended at or after the start of a read. A transaction that began before the end of the read may
//! be any of those after it: one that was open for hours ends behind all that were aborted in the
//! meantime. The smallest first offset of each block of entries, of each block of blocks and so on
//! lets the search skip those that began later, so that its cost does not depend on how many there
//! are.

use std::ops::Deref;

use dohle_model::Offset;

use crate::index::AbortedTxn;

/// Entries in a block, and blocks in a block of the next level.
const BLOCK: usize = 32;

/// The aborted transactions among the records of a read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AbortedSearch {
    /// The transactions, in the order of their markers.
    pub found: Vec<AbortedTxn>,
    /// How many entries of the index, and smallest offsets of its blocks, were looked at.
    pub examined: usize,
}

/// The aborted transactions of a segment, in the order of their markers.
#[derive(Debug, Default)]
pub(crate) struct AbortedTxns {
    entries: Vec<AbortedTxn>,
    /// The smallest first offsets of the blocks of entries, of the blocks of those, and so on. The
    /// last level has one block at most.
    levels: Vec<Vec<Offset>>,
}

impl AbortedTxns {
    pub(crate) fn push(&mut self, aborted: AbortedTxn) {
        let mut block = self.entries.len() / BLOCK;
        self.entries.push(aborted);
        for level in 0.. {
            if level == self.levels.len() {
                // Of all blocks below, which are two when the level is new.
                let below = self.levels.last().and_then(|below| below.iter().min());
                let smallest = below.copied().unwrap_or(aborted.first_offset);
                self.levels.push(vec![smallest]);
            }
            let blocks = &mut self.levels[level];
            match blocks.get_mut(block) {
                Some(smallest) => *smallest = aborted.first_offset.min(*smallest),
                None => blocks.push(aborted.first_offset),
            }
            if blocks.len() == 1 {
                break;
            }
            block /= BLOCK;
        }
    }

    pub(crate) fn extend(&mut self, aborted: impl IntoIterator<Item = AbortedTxn>) {
        aborted.into_iter().for_each(|aborted| self.push(aborted));
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Removes the transactions that ended at `offset` or later.
    pub(crate) fn truncate_to(&mut self, offset: Offset) {
        let ended_before = |aborted: &AbortedTxn| aborted.last_offset < offset;
        if !self.entries.iter().all(ended_before) {
            let entries = std::mem::take(&mut self.entries);
            *self = entries.into_iter().filter(ended_before).collect();
        }
    }

    /// Adds those that ended at or after `from` and began before `to`. Returns whether the
    /// transactions of all later segments began at or after `to`.
    pub(crate) fn search(&self, from: Offset, to: Offset, search: &mut AbortedSearch) -> bool {
        let Some(last) = self.entries.last() else {
            return false;
        };
        let ended = |aborted: &AbortedTxn| {
            search.examined += 1;
            aborted.last_offset < from
        };
        let mut at = self.entries.partition_point(ended);
        while let Some(found) = self.next_below(at, to, &mut search.examined) {
            let aborted = self.entries[found];
            search.found.push(aborted);
            if aborted.last_stable_offset >= to {
                return true;
            }
            at = found + 1;
        }
        last.last_stable_offset >= to
    }

    /// The first entry from `at` on that began before `to`.
    fn next_below(&self, mut at: usize, to: Offset, examined: &mut usize) -> Option<usize> {
        while at < self.entries.len() {
            // The largest block that begins here and may be skipped.
            let mut size = BLOCK;
            let mut skipped = None;
            for blocks in &self.levels {
                if !at.is_multiple_of(size) {
                    break;
                }
                *examined += 1;
                if blocks[at / size] < to {
                    break;
                }
                skipped = Some(size);
                size *= BLOCK;
            }
            if let Some(size) = skipped {
                at += size;
                continue;
            }
            *examined += 1;
            if self.entries[at].first_offset < to {
                return Some(at);
            }
            at += 1;
        }
        None
    }
}

impl FromIterator<AbortedTxn> for AbortedTxns {
    fn from_iter<I: IntoIterator<Item = AbortedTxn>>(entries: I) -> Self {
        let mut aborted = Self::default();
        aborted.extend(entries);
        aborted
    }
}

impl Deref for AbortedTxns {
    type Target = [AbortedTxn];

    fn deref(&self) -> &[AbortedTxn] {
        &self.entries
    }
}

#[cfg(test)]
mod tests {
    use dohle_model::ProducerId;

    use super::*;

    fn txn(first: i64, last: i64) -> AbortedTxn {
        AbortedTxn {
            producer_id: ProducerId(first),
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable_offset: Offset(first),
        }
    }

    /// Transactions of any length, in the order of their ends.
    fn overlapping(count: i64) -> AbortedTxns {
        let length = |last: i64| match last % 97 {
            0 => last / 2,
            other => other % 9,
        };
        let txns = (1..=count).map(|last| txn(last - length(last), last));
        txns.collect()
    }

    #[test]
    fn a_search_finds_what_overlaps_the_read() {
        for count in [0, 1, 31, 32, 33, 64, 1_023, 1_024, 1_025, 3_000] {
            let txns = overlapping(count);
            for (from, to) in (0..count + 2).step_by(7).map(|at| (at, at + at % 40 + 1)) {
                let mut search = AbortedSearch::default();
                txns.search(Offset(from), Offset(to), &mut search);
                let overlaps =
                    |it: &&AbortedTxn| it.last_offset.0 >= from && it.first_offset.0 < to;
                let expected: Vec<_> = txns.iter().filter(overlaps).copied().collect();
                assert_eq!(search.found, expected, "{count} entries, {from} to {to}");
            }
        }
    }

    #[test]
    fn a_search_among_many_that_began_later_looks_at_few() {
        // One transaction is open while a million others are aborted.
        let mut txns: AbortedTxns = (1..=1_000_000).map(|at| txn(2 * at, 2 * at + 1)).collect();
        txns.push(txn(0, 3_000_000));
        let mut search = AbortedSearch::default();
        txns.search(Offset(1_000_000), Offset(1_000_010), &mut search);
        let found: Vec<_> = search.found.iter().map(|it| it.first_offset.0).collect();
        let overlap = (500_000..500_005).map(|at| 2 * at);
        assert!(found.iter().copied().eq(overlap.chain([0])), "{found:?}");
        assert!(search.examined < 500, "{} looked at", search.examined);
    }

    #[test]
    fn what_is_cut_off_is_not_found() {
        let mut txns = overlapping(2_000);
        txns.truncate_to(Offset(1_000));
        assert_eq!(txns.len(), 999);
        let mut search = AbortedSearch::default();
        txns.search(Offset(0), Offset(3_000), &mut search);
        assert_eq!(search.found, *txns);
        txns.push(txn(5, 1_000));
        let mut search = AbortedSearch::default();
        txns.search(Offset(1_000), Offset(1_001), &mut search);
        assert_eq!(search.found, [txn(5, 1_000)]);
    }
}
