//! The Raft log on disk: the journal, which is authoritative, and the copy in sled, which is filled
//! from the journal.
//!
//! Does not use openraft's traits, and runs on the writer's thread only.
//!
//! Invariant: [`Disk::sync`] returns only after everything written before it is on the disk.

use std::io;
use std::sync::Arc;

use dohle_storage::{Clock, Lock};

use super::copy::{self, Copy};
use super::journal::{self, Journal};
use super::record::{Record, decode_entry};
use super::scan::remedy;
use crate::raft::files::Files;
use crate::raft::snapshot;
use crate::raft::types::{Entry, LogId, Vote};

/// The positions and entries that a starting node reads from its log.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    /// The newest entries that fit in the cache; contiguous up to the last entry.
    pub tail: Vec<Entry>,
}

/// The open log.
pub(super) struct Disk {
    journal: Journal,
    copy: Copy,
    committed_changed: bool,
    clock: Arc<dyn Clock>,
    /// The lock is released after the files are closed, so it is the last field.
    _lock: Lock,
}

impl Disk {
    /// Opens or creates the log, and reads it once: the positions, and the last entries of up to
    /// `tail_bytes`. Cuts a torn tail, and removes a copy in sled that does not match. Rewrites the
    /// journal, and the copy, when they are larger than `limit_bytes` and mostly obsolete.
    ///
    /// # Errors
    /// Reading or writing failed, or the journal is missing, or it is damaged in a way that a crash
    /// cannot cause.
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

    /// Appends entries, which are durable after [`Self::sync`].
    pub(super) fn append(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        for entry in entries {
            self.journal.append(&Record::Entry(entry))?;
        }
        Ok(())
    }

    pub(super) fn save_vote(&mut self, vote: Vote) -> io::Result<()> {
        self.journal.append(&Record::Vote(vote))
    }

    /// Saves the last committed entry. This only saves work after a restart; losing it is harmless.
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

    /// Returns the entries of `start..end` that exist, in order.
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

    /// Writes all buffered bytes to the file. When there is no space, nothing is lost and the write
    /// can be retried.
    pub(super) fn write_out(&mut self) -> io::Result<()> {
        self.journal.write_out()
    }

    /// Makes everything written so far survive a power loss.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.journal.sync().map(drop)
    }

    /// Does the work that can wait until a group was acknowledged: writes a mark that proves the
    /// sync to a later start, and rewrites a file that has grown too large.
    pub(super) fn after_group(&mut self, synced: bool) -> io::Result<()> {
        if synced || self.committed_changed {
            self.journal.mark()?;
            self.committed_changed = false;
        }
        self.journal.maybe_rewrite().map(drop)
    }

    /// Copies the next entries from the journal to sled. Returns whether there is more to copy.
    /// Must only be called after a sync.
    pub(super) fn copy_some(&mut self) -> io::Result<bool> {
        self.copy.step(&mut self.journal)
    }

    /// Closes the copy cleanly, which saves work at the next start.
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

    /// Returns the clock with which the log's thread waits.
    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The size of the journal in bytes.
    pub(super) fn file_len(&self) -> u64 {
        self.journal.len()
    }
}

/// Refuses to create a journal in a directory that was used before: a crash does not remove files.
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

/// Reads the last entries: up to `bytes_max`, but at least one.
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
