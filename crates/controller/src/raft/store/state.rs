//! The state that a journal's records add up to: the vote, the marks, and the location of each
//! entry. Pure.
//!
//! Invariant: the entries are contiguous, and begin right after the purged ones.

use std::collections::VecDeque;

use super::record::{HEADER_LEN, Record};
use crate::raft::types::{LogId, Vote};

/// The location of an entry's payload in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    /// The position of the payload, after the record's header.
    pub position: u64,
    pub len: u32,
    pub checksum: u32,
}

impl Location {
    fn record_len(self) -> u64 {
        HEADER_LEN as u64 + u64::from(self.len)
    }
}

/// The log as recorded in the journal.
#[derive(Debug, Default)]
pub(super) struct State {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    /// The index of the first of `entries`.
    first: u64,
    entries: VecDeque<Location>,
    /// The bytes of the records of `entries`.
    live_bytes: u64,
}

impl State {
    /// Returns the range of the entries' indexes.
    pub(super) fn range(&self) -> std::ops::Range<u64> {
        if self.entries.is_empty() {
            let next = self.purged.map_or(0, |id| id.index + 1);
            return next..next;
        }
        self.first..self.first + self.entries.len() as u64
    }

    pub(super) fn location(&self, index: u64) -> Option<Location> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.entries.get(at).copied()
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// Applies a record, with its location if it is an entry.
    ///
    /// # Errors
    /// The record does not follow the ones before; returns the reason.
    pub(super) fn apply(&mut self, record: &Record, location: Location) -> Result<(), String> {
        match record {
            Record::Vote(vote) => self.vote = Some(*vote),
            Record::Mark(committed) => self.committed = *committed,
            Record::Truncate(from) => {
                while self.range().end > *from
                    && let Some(last) = self.entries.pop_back()
                {
                    self.forget(last);
                }
                assert!(
                    self.entries.is_empty() || self.range().end <= *from,
                    "the log ends at {} after a truncation to {from}",
                    self.range().end
                );
            }
            Record::Purge(upto) => {
                while self.first <= upto.index
                    && let Some(first) = self.entries.pop_front()
                {
                    self.forget(first);
                    self.first += 1;
                }
                assert!(
                    self.entries.is_empty() || self.first > upto.index,
                    "the log begins at {} after everything up to {upto} was purged",
                    self.first
                );
                self.purged = self.purged.max(Some(*upto));
            }
            Record::Entry(entry) => {
                let index = entry.log_id.index;
                // The first entry of a log may have any index, unless entries were purged before
                // it.
                if self.entries.is_empty() && self.purged.is_none() {
                    self.first = index;
                } else if self.entries.is_empty() {
                    self.first = self.range().start;
                }
                let next = self.first + self.entries.len() as u64;
                if index != next {
                    return Err(format!("entry {next} is missing: the next one is {index}"));
                }
                if let Some(last) = self.entries.back() {
                    assert!(
                        last.position + u64::from(last.len) <= location.position,
                        "entry {index} at {location:?} overlaps the one before at {last:?}"
                    );
                }
                self.live_bytes += location.record_len();
                self.entries.push_back(location);
                assert_eq!(
                    self.range().end,
                    index + 1,
                    "end of the log after entry {index}"
                );
            }
        }
        Ok(())
    }

    /// Subtracts an entry that was removed from the log.
    fn forget(&mut self, location: Location) {
        let len = location.record_len();
        assert!(
            self.live_bytes >= len,
            "an entry of {len} bytes is removed, all entries have {}",
            self.live_bytes
        );
        self.live_bytes -= len;
    }

    /// Sets the new locations of all entries after a rewrite of the journal.
    pub(super) fn relocate(&mut self, mut locations: VecDeque<Location>) {
        assert_eq!(locations.len(), self.entries.len(), "entries in a rewrite");
        for (old, new) in self.entries.iter().zip(&locations) {
            assert_eq!(
                (old.len, old.checksum),
                (new.len, new.checksum),
                "an entry at {old:?} moved to {new:?}"
            );
        }
        std::mem::swap(&mut self.entries, &mut locations);
    }

    pub(super) fn locations(&self) -> impl Iterator<Item = Location> {
        self.entries.iter().copied()
    }
}
