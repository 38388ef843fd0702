//! What the log has promised, in a file beside the database: the vote, and where the log ends.
//!
//! sled 0.34 can't take a loss of power between a write and its `fdatasync`: when only some of
//! those pages reached the disk, its recovery may drop entries that were durable long before,
//! without a word. A voter that forgets its vote or its entries breaks Raft. So what was promised
//! is written here after each sync of the database, and a start that finds less is refused.
//!
//! Two slots are written in turn, each in a page of its own: a write that is torn leaves the other.
//!
//! ```text
//! sequence | term | voted for | committed | log end | last term (8 each) | CRC32C (4)
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::raft::types::{LogId, Vote};

const NAME: &str = "raft-log.guard";
const SLOT_LEN: usize = 52;
const PAGE_LEN: u64 = 4096;

/// What must be found again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Promise {
    /// Term, candidate, and whether a quorum granted it.
    vote: Option<(u64, u64, bool)>,
    /// One past the last entry.
    end: u64,
    /// The last entry's term; 0 when it is not known.
    last_term: u64,
}

impl Promise {
    pub(super) fn of(vote: Option<&Vote>, last: Option<&LogId>) -> Self {
        Self {
            vote: vote.map(|vote| {
                (
                    vote.leader_id.term,
                    vote.leader_id.voted_for,
                    vote.committed,
                )
            }),
            end: last.map_or(0, |last| last.index + 1),
            last_term: last.map_or(0, |last| last.leader_id.term),
        }
    }

    pub(super) fn set_vote(&mut self, vote: &Vote) {
        self.vote = Self::of(Some(vote), None).vote;
    }

    pub(super) fn set_last(&mut self, last: &LogId) {
        (self.end, self.last_term) = (last.index + 1, last.leader_id.term);
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// After entries from `end` on were dropped. Tells whether there were any.
    pub(super) fn maybe_truncate(&mut self, end: u64) -> bool {
        let fewer = end < self.end;
        if fewer {
            (self.end, self.last_term) = (end, 0);
        }
        fewer
    }

    /// What of this promise `found` does not keep.
    fn broken_by(&self, found: &Self) -> Option<String> {
        let vote_kept = match (self.vote, found.vote) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some((term, node, committed)), Some((found_term, found_node, found_committed))) => {
                found_term > term
                    || (found_term == term && found_node == node && found_committed >= committed)
            }
        };
        if !vote_kept {
            return Some("its vote".to_owned());
        }
        let same_term =
            self.end != found.end || self.last_term == 0 || self.last_term == found.last_term;
        if found.end < self.end || !same_term {
            return Some(format!("entries up to {}", self.end.saturating_sub(1)));
        }
        None
    }

    fn encode(&self, sequence: u64) -> [u8; SLOT_LEN] {
        // Term 0 with no candidate: no vote.
        let (term, node, committed) = self.vote.unwrap_or((0, u64::MAX, false));
        let words = [
            sequence,
            term,
            node,
            u64::from(committed),
            self.end,
            self.last_term,
        ];
        let mut slot = [0; SLOT_LEN];
        for (chunk, word) in slot.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_be_bytes());
        }
        let checksum = checksum(&slot[..48]);
        slot[48..].copy_from_slice(&checksum.to_be_bytes());
        slot
    }

    fn decode(slot: &[u8; SLOT_LEN]) -> Option<(u64, Self)> {
        if slot[48..] != checksum(&slot[..48]).to_be_bytes() {
            return None;
        }
        let mut words = [0; 6];
        for (word, chunk) in words.iter_mut().zip(slot.chunks_exact(8)) {
            *word = u64::from_be_bytes(chunk.try_into().ok()?);
        }
        let [sequence, term, node, committed, end, last_term] = words;
        let vote = (node != u64::MAX).then_some((term, node, committed != 0));
        Some((
            sequence,
            Self {
                vote,
                end,
                last_term,
            },
        ))
    }
}

/// The open file.
pub(super) struct Guard {
    file: File,
    sequence: u64,
    promised: Option<Promise>,
}

impl Guard {
    /// Opens or creates the file in `dir`.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(NAME);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut newest = None;
        for page in 0..2 {
            let mut slot = [0; SLOT_LEN];
            match file.read_exact_at(&mut slot, page * PAGE_LEN) {
                Ok(()) => newest = newer(newest, Promise::decode(&slot)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(error),
            }
        }
        let (sequence, promised) = newest.unzip();
        Ok(Self {
            file,
            sequence: sequence.unwrap_or(0),
            promised,
        })
    }

    /// Whether the database holds what was promised.
    ///
    /// # Errors
    /// It does not; the message says what a person can do.
    pub(super) fn check(&self, found: &Promise, dir: &Path) -> io::Result<()> {
        let Some(lost) = self.promised.and_then(|promised| promised.broken_by(found)) else {
            return Ok(());
        };
        let dir = dir.display();
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "metadata log in {dir} has lost {lost}, probably to a loss of power. As long as \
                 most of the other controllers are intact, remove {dir} and start this node again: \
                 it gets the metadata from them. Otherwise restore {dir} from a copy"
            ),
        ))
    }

    /// Makes a promise durable, unless it is the present one.
    pub(super) fn promise(&mut self, promise: &Promise) -> io::Result<()> {
        if self.promised.as_ref() == Some(promise) {
            return Ok(());
        }
        let sequence = self.sequence + 1;
        self.file
            .write_all_at(&promise.encode(sequence), (sequence % 2) * PAGE_LEN)?;
        self.file.sync_data()?;
        self.sequence = sequence;
        self.promised = Some(*promise);
        Ok(())
    }
}

fn newer(one: Option<(u64, Promise)>, other: Option<(u64, Promise)>) -> Option<(u64, Promise)> {
    one.into_iter()
        .chain(other)
        .max_by_key(|(sequence, _)| *sequence)
}

fn checksum(bytes: &[u8]) -> u32 {
    // The low 32 bits carry the whole of a CRC32C.
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}
