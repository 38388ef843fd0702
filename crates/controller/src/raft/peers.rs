//! This voter's observations of the other voters: which of them answer, up to where their logs
//! equal its own, and their directories.
//!
//! Invariant: the log has one line when a voter stops answering, and one when it answers again.
//!
//! Invariant: a voter that follows a leader sends no requests to the others, so it holds none of
//! them to be silent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use dohle_model::DirectoryId;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

/// Since when, and why, a voter has given no usable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Silence {
    pub since: Instant,
    pub reason: String,
}

/// Voters that do not answer.
pub(super) type Silent = BTreeMap<u64, Silence>;

/// Observations of the other voters; see the module.
#[derive(Debug)]
pub(super) struct Peers {
    silent: watch::Sender<Silent>,
    /// Whether another voter leads. Changes under the lock of `silent`.
    follows: AtomicBool,
    ends: LogEnds,
    /// Directories of voters whose log equals this one's, with the term in which they reported
    /// them.
    directories: Mutex<BTreeMap<u64, (u64, DirectoryId)>>,
}

impl Peers {
    pub(super) fn new() -> Self {
        Self {
            silent: watch::Sender::new(BTreeMap::new()),
            follows: AtomicBool::new(false),
            ends: LogEnds::default(),
            directories: Mutex::default(),
        }
    }

    /// Returns a receiver of the voters that do not answer.
    pub(super) fn silent(&self) -> watch::Receiver<Silent> {
        self.silent.subscribe()
    }

    /// Records which other voter leads, if any. That counts as an answer of the leader. The notes
    /// on all other voters end, since they are of an election that is over.
    pub(super) fn on_leader(&self, leader: Option<u64>) {
        if let Some(leader) = leader {
            self.on_answer(leader);
        }
        self.silent.send_if_modified(|silent| {
            self.follows.store(leader.is_some(), Ordering::Relaxed);
            let forgets = leader.is_some() && !silent.is_empty();
            if forgets {
                silent.clear();
            }
            forgets
        });
    }

    /// Records that a voter answered.
    pub(super) fn on_answer(&self, voter: u64) {
        let mut before = None;
        self.silent.send_if_modified(|silent| {
            before = silent.remove(&voter);
            before.is_some()
        });
        if let Some(before) = before {
            let silent_ms = before.since.elapsed().as_millis();
            tracing::info!(
                voter,
                silent_ms,
                "voter of the metadata quorum responds again"
            );
        }
    }

    /// Records that a request to a voter failed.
    pub(super) fn on_failure(&self, voter: u64, reason: &str) {
        let mut first = false;
        self.silent.send_if_modified(|silent| {
            if self.follows.load(Ordering::Relaxed) {
                // A late answer to a candidate that lost the election.
                return false;
            }
            first = !silent.contains_key(&voter);
            let entry = silent.entry(voter).or_insert_with(|| Silence {
                since: Instant::now(),
                reason: String::new(),
            });
            let changed = entry.reason != reason;
            if changed {
                reason.clone_into(&mut entry.reason);
            }
            first || changed
        });
        if first {
            tracing::info!(
                voter,
                reason,
                "voter of the metadata quorum does not respond"
            );
        }
    }

    /// Records that a voter has all entries below `end`.
    pub(super) fn on_matched(&self, voter: u64, term: u64, end: u64, directory: DirectoryId) {
        self.ends.on_matched(voter, term, end);
        if !directory.is_zero() {
            self.directories.lock().insert(voter, (term, directory));
        }
    }

    /// Records that a voter's log ends at `end`, before an entry that the leader expected it to
    /// have.
    pub(super) fn on_conflict(&self, voter: u64, term: u64, end: u64) {
        if let Some(from) = self.ends.on_conflict(voter, term, end) {
            tracing::warn!(
                voter,
                from,
                to = end,
                "log of a voter has moved backwards; replicating again from there"
            );
        }
    }

    /// Records that a voter lost its log. Returns the end of its log as last observed.
    pub(super) fn on_lost(&self, voter: u64) -> Option<u64> {
        self.directories.lock().remove(&voter);
        self.ends.0.lock().remove(&voter).map(|(_, end)| end)
    }

    /// Returns the directory of a voter that has acknowledged entries in `term`.
    pub(super) fn directory(&self, voter: u64, term: u64) -> Option<DirectoryId> {
        let directories = self.directories.lock();
        let (seen, directory) = *directories.get(&voter)?;
        (seen == term).then_some(directory)
    }
}

/// The end up to which the log of each other voter equals this one's, with the term.
///
/// A voter never loses an entry that it acknowledged in the same term. When it does, its disk was
/// replaced or an older copy was restored, and the leader reports that once.
#[derive(Debug, Default)]
pub(super) struct LogEnds(Mutex<BTreeMap<u64, (u64, u64)>>);

impl LogEnds {
    /// Records that a voter has all entries below `end`, as acknowledged to the leader of `term`.
    pub(super) fn on_matched(&self, voter: u64, term: u64, end: u64) {
        let mut ends = self.0.lock();
        let known = ends.entry(voter).or_insert((term, end));
        *known = (*known).max((term, end));
    }

    /// Records that a voter has no entry at or after `end`. Returns the earlier end of its log if
    /// that was larger: the log has moved backwards.
    pub(super) fn on_conflict(&self, voter: u64, term: u64, end: u64) -> Option<u64> {
        let mut ends = self.0.lock();
        let (known_term, known_end) = *ends.get(&voter)?;
        if known_term != term || known_end <= end {
            return None;
        }
        ends.insert(voter, (term, end));
        Some(known_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voter_is_silent_since_its_first_failure_until_it_answers() {
        let peers = Peers::new();
        let silent = peers.silent();
        peers.on_answer(2);
        assert!(silent.borrow().is_empty());
        peers.on_failure(2, "connection refused");
        let first = silent.borrow()[&2].clone();
        peers.on_failure(2, "no answer");
        let second = silent.borrow()[&2].clone();
        assert_eq!(
            (second.since, second.reason.as_str()),
            (first.since, "no answer")
        );
        peers.on_answer(2);
        assert!(silent.borrow().is_empty());
    }

    #[test]
    fn a_voter_that_follows_a_leader_forgets_who_was_silent() {
        let peers = Peers::new();
        let silent = peers.silent();
        peers.on_failure(2, "holds no metadata yet");
        peers.on_failure(3, "holds no metadata yet");
        let before = silent.borrow()[&3].since;
        peers.on_leader(Some(2));
        peers.on_failure(3, "the answer to an earlier request");
        assert!(silent.borrow().is_empty());
        peers.on_leader(None);
        peers.on_failure(3, "connection refused");
        let now = silent.borrow()[&3].clone();
        assert!(now.since > before, "{now:?}");
        assert_eq!(silent.borrow().len(), 1);
    }

    #[test]
    fn a_directory_counts_in_the_term_in_which_it_was_acknowledged() {
        let peers = Peers::new();
        let directory = DirectoryId::from_bytes([3; 16]);
        peers.on_matched(2, 4, 10, directory);
        assert_eq!(peers.directory(2, 4), Some(directory));
        assert_eq!(peers.directory(2, 5), None);
        assert_eq!(peers.on_lost(2), Some(10));
        assert_eq!((peers.on_lost(2), peers.directory(2, 4)), (None, None));
    }
}
