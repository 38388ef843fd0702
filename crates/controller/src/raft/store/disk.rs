//! The Raft log on disk: the journal, which decides, and the copy in sled, which is filled from it.
//!
//! Knows nothing of openraft's traits and runs on one thread, the writer's.
//!
//! Invariant: [`Disk::sync`] returns only when everything written before it is on the disk.

use std::io;
use std::sync::Arc;

use dohle_storage::{Clock, Lock};

use super::copy::{self, Copy};
use super::files::Files;
use super::journal::{self, Journal};
use super::record::{Record, decode_entry};
use super::scan::remedy;
use crate::raft::snapshot;
use crate::raft::types::{Entry, LogId, Vote};

/// What a node finds in its log when it starts.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    /// The newest entries, as many as fit the cache; contiguous up to the last.
    pub tail: Vec<Entry>,
}

/// The open log.
pub(super) struct Disk {
    journal: Journal,
    copy: Copy,
    committed_changed: bool,
    clock: Arc<dyn Clock>,
    /// Held until the files are closed; so it comes last.
    _lock: Lock,
}

impl Disk {
    /// Opens or creates the log, and reads it once: the positions, and the last entries of up to
    /// `tail_bytes`. A torn tail is cut; a copy in sled that does not match is removed. The file is
    /// rewritten, and the copy made anew, when they are larger than `limit_bytes` and mostly
    /// obsolete.
    ///
    /// # Errors
    /// Also when the journal is missing or damaged in a way that no crash explains.
    pub(super) fn open(
        files: Arc<Files>,
        limit_bytes: u64,
        tail_bytes: usize,
    ) -> io::Result<(Self, Recovered)> {
        let lock = files.lock()?;
        let names = files.names()?;
        let dir = files.path().to_owned();
        let clock = Arc::clone(files.clock());
        if !Journal::exists(&names) {
            refuse_to_begin_anew(&files, &names)?;
            let journal = Journal::create(files, limit_bytes)?;
            let (copy, _) = Copy::open(&dir, limit_bytes, Arc::clone(&clock));
            return Ok((Self::new(journal, copy, clock, lock), Recovered::default()));
        }
        let (mut copy, mark) = Copy::open(&dir, limit_bytes, Arc::clone(&clock));
        let (mut journal, agreed_end) = Journal::open(files, limit_bytes, mark)?;
        copy.adopt(mark, agreed_end, journal.state());
        let recovered = Recovered {
            vote: journal.state().vote,
            committed: journal.state().committed,
            purged: journal.state().purged,
            tail: read_tail(&mut journal, tail_bytes)?,
        };
        Ok((Self::new(journal, copy, clock, lock), recovered))
    }

    fn new(journal: Journal, copy: Copy, clock: Arc<dyn Clock>, lock: Lock) -> Self {
        Self {
            journal,
            copy,
            committed_changed: false,
            clock,
            _lock: lock,
        }
    }

    /// Writes entries; durable after [`Self::sync`].
    pub(super) fn append(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        for entry in entries {
            self.journal.append(&Record::Entry(entry))?;
        }
        Ok(())
    }

    pub(super) fn save_vote(&mut self, vote: Vote) -> io::Result<()> {
        self.journal.append(&Record::Vote(vote))
    }

    /// Only spares work after a restart; a lost one does no harm.
    pub(super) fn save_committed(&mut self, committed: Option<LogId>) {
        self.journal.set_committed(committed);
        self.committed_changed = true;
    }

    pub(super) fn truncate_from(&mut self, from: u64) -> io::Result<()> {
        self.copy.truncate_from(from);
        self.journal.append(&Record::Truncate(from))
    }

    pub(super) fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.journal.append(&Record::Purge(upto))
    }

    /// The entries of `start..end` that exist, in order.
    pub(super) fn read(
        &mut self,
        start: u64,
        end: u64,
        bytes_max: usize,
    ) -> io::Result<Vec<Entry>> {
        let live = self.journal.state().range();
        let (start, end) = (start.max(live.start), end.min(live.end));
        let copied = self.copy.read(start, end, bytes_max, self.journal.state());
        let mut entries = Vec::new();
        let mut total = 0;
        for payload in copied {
            total += payload.len();
            entries.push(decode_entry(payload).map_err(io::Error::other)?);
        }
        let next = start + entries.len() as u64;
        for index in next..end {
            let len = self.journal.state().location(index);
            total += len.map_or(0, |location| location.len as usize);
            if total > bytes_max && !entries.is_empty() {
                break;
            }
            entries.extend(self.journal.entry(index)?);
        }
        assert!(
            entries.len() as u64 <= end.saturating_sub(start),
            "{} entries in {start}..{end}",
            entries.len()
        );
        Ok(entries)
    }

    /// Hands everything to the file. Without space nothing is lost, and another attempt may follow.
    pub(super) fn write_out(&mut self) -> io::Result<()> {
        self.journal.write_out()
    }

    /// Makes everything written so far survive a loss of power.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.journal.sync().map(drop)
    }

    /// What can wait until a group was acknowledged: a mark that proves the sync to a later start,
    /// and the rewrite of a file that has grown too large.
    pub(super) fn after_group(&mut self, synced: bool) -> io::Result<()> {
        if synced || self.committed_changed {
            self.journal.mark()?;
            self.committed_changed = false;
        }
        self.journal.maybe_rewrite().map(drop)
    }

    /// Brings the copy in sled a step nearer to the journal. Returns whether there is more to do.
    /// Only after a sync.
    pub(super) fn copy_some(&mut self) -> io::Result<bool> {
        self.copy.step(&mut self.journal)
    }

    /// Closes the copy properly, which spares work at the next start.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.copy.step(&mut self.journal)?;
        self.copy.close(&self.journal);
        Ok(())
    }

    /// Rewrites the journal, whatever its size.
    #[cfg(test)]
    pub(super) fn rewrite(&mut self) -> io::Result<()> {
        self.journal.rewrite()
    }

    /// The indexes of the entries that sled holds.
    #[cfg(test)]
    pub(super) fn copied(&self) -> std::ops::Range<u64> {
        self.copy.range()
    }

    /// What the thread of the log waits with.
    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The size of the journal in bytes.
    pub(super) fn file_len(&self) -> u64 {
        self.journal.len()
    }
}

/// A directory without a journal must be new: a crash removes no file.
fn refuse_to_begin_anew(files: &Files, names: &[String]) -> io::Result<()> {
    let found = if Copy::exists(files.path()) {
        copy::NAME
    } else if let Some(snapshot) = names.iter().find(|name| snapshot::is_snapshot(name)) {
        snapshot
    } else {
        return Ok(());
    };
    let dir = files.path().display();
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "{dir} has no metadata journal (the file {}), although it holds {found}, so this is \
             not the result of a crash. {}",
            journal::NAME,
            remedy(&dir)
        ),
    ))
}

/// The last entries: up to `bytes_max`, but at least one.
fn read_tail(journal: &mut Journal, bytes_max: usize) -> io::Result<Vec<Entry>> {
    let live = journal.state().range();
    let mut start = live.end;
    let mut bytes = 0;
    while start > live.start {
        let location = journal.state().location(start - 1);
        bytes += location.map_or(0, |location| location.len as usize);
        if bytes > bytes_max && start < live.end {
            break;
        }
        start -= 1;
    }
    let mut tail = Vec::new();
    for index in start..live.end {
        tail.extend(journal.entry(index)?);
    }
    Ok(tail)
}
