//! Raft's log store: recent entries in memory, all entries in a journal that one thread writes, and
//! a copy of them in sled.
//!
//! Invariant: the cache holds every entry that the writer has not written yet, so every entry that
//! was appended can be read at once.
//! Invariant: cached entries are contiguous and end with the log's last entry.

mod copy;
mod disk;
mod journal;
mod record;
mod scan;
mod state;
mod writer;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod power_loss;
#[cfg(test)]
mod simulated_disks;
#[cfg(test)]
pub(super) mod tests;

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use disk::Recovered;
use journal::Journal;
use record::Record;
use writer::Command;

use super::files::Files;
use super::snapshot;
use super::types::{Entry, LogId, Types, Vote, payload_len};

/// The memory that a cached entry takes besides its payload, in bytes.
const ENTRY_OVERHEAD: usize = 128;
/// The most payload bytes in one AppendEntries, unless a single entry is larger.
const REPLICATION_BYTES_MAX: usize = 1024 * 1024;

/// Reports to the rest of the node that it must stop, and why. Only the first reason is kept.
#[derive(Debug, Clone)]
pub(super) struct FatalSender(pub watch::Sender<Option<Arc<str>>>);

impl FatalSender {
    pub(super) fn send(&self, reason: &str) {
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                tracing::error!(reason, "metadata quorum stops");
                *current = Some(reason.into());
            }
            first
        });
    }
}

/// The counters and flags that the writer thread and the log store share.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Entries below this index are in the journal, but possibly not yet durable.
    written_end: AtomicU64,
    file_bytes: AtomicU64,
    /// Whether a write waits for space.
    waits_for_space: AtomicBool,
    /// Whether space is short, so that only necessary writes are made.
    is_short: AtomicBool,
    /// Whether the log is about to be closed, so that writes no longer wait for space.
    stopping: AtomicBool,
}

/// Sizes of the log store, in bytes.
#[derive(Debug, Clone)]
pub(super) struct LogLimits {
    pub cache_bytes: usize,
    /// The size above which the journal is rewritten, if it is mostly obsolete, and the copy in
    /// sled is recreated.
    pub file_bytes: u64,
}

#[derive(Debug, Default)]
struct Positions {
    vote: Option<Vote>,
    committed: Option<LogId>,
    /// The last entry that Raft reported as committed in this run; it never moves back.
    committed_since_start: Option<LogId>,
    purged: Option<LogId>,
    last: Option<LogId>,
    cache: VecDeque<Entry>,
    cache_bytes: usize,
}

impl Positions {
    fn push(&mut self, entry: Entry) {
        if let Some(last) = self.last {
            assert_eq!(entry.log_id.index, last.index + 1, "hole in the log");
        }
        self.last = Some(entry.log_id);
        self.cache_bytes += payload_len(&entry) + ENTRY_OVERHEAD;
        self.cache.push_back(entry);
        self.assert_cache();
    }

    /// Asserts that the cached entries end with the log's last entry, and follow the purged ones.
    fn assert_cache(&self) {
        let (Some(first), Some(last)) = (self.cache.front(), self.cache.back()) else {
            assert_eq!(self.cache_bytes, 0, "bytes of a cache without entries");
            return;
        };
        let (first, last) = (first.log_id.index, last.log_id.index);
        assert_eq!(
            first + self.cache.len() as u64,
            last + 1,
            "the cache of {} entries from {first} to {last} has a hole",
            self.cache.len()
        );
        assert_eq!(
            self.last.map(|id| id.index),
            Some(last),
            "the last entry of the log and of its cache"
        );
        assert!(
            self.purged.is_none_or(|purged| purged.index < first),
            "entry {first} is cached, although all up to {:?} were purged",
            self.purged
        );
    }

    /// Asserts that purging did not pass the last entry. `before` was the last entry before the
    /// change.
    fn assert_order(&self, change: &'static str, before: Option<LogId>) {
        let index = |id: Option<LogId>| id.map(|id| id.index);
        assert!(
            index(self.purged) <= index(self.last),
            "{change}: purged up to {:?}, beyond the last entry {:?} (earlier: {before:?})",
            self.purged,
            self.last
        );
        self.assert_cache();
    }

    fn evict(&mut self, bytes_max: usize, written_end: u64) {
        while self.cache_bytes > bytes_max
            && self
                .cache
                .front()
                .is_some_and(|entry| entry.log_id.index < written_end)
        {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(entry) = self.cache.pop_front() {
            self.cache_bytes -= payload_len(&entry) + ENTRY_OVERHEAD;
        }
    }

    fn truncate_after(&mut self, last: Option<LogId>) {
        let from = last.map_or(0, |id| id.index + 1);
        while let Some(entry) = self.cache.pop_back_if(|entry| entry.log_id.index >= from) {
            self.cache_bytes -= payload_len(&entry) + ENTRY_OVERHEAD;
        }
        if self.last.is_some_and(|id| id.index >= from) {
            let before = self.last;
            self.last = last.max(self.purged);
            assert!(
                self.last.map(|id| id.index) <= before.map(|id| id.index),
                "a truncation after {last:?} moved the last entry from {before:?} to {:?}",
                self.last
            );
            self.assert_order("truncation", before);
        }
    }

    fn purge(&mut self, upto: LogId) {
        while self
            .cache
            .front()
            .is_some_and(|entry| entry.log_id.index <= upto.index)
        {
            self.pop_front();
        }
        let before = self.last;
        self.purged = self.purged.max(Some(upto));
        if self.last.is_none_or(|last| last.index < upto.index) {
            self.last = Some(upto);
        }
        self.assert_order("purge", before);
    }

    /// Asserts that the terms of appended entries never decrease.
    fn assert_follows(&self, entry: &Entry) {
        if let Some(last) = self.last {
            assert!(
                entry.log_id.leader_id.term >= last.leader_id.term,
                "entry {} follows {last}: the term falls",
                entry.log_id
            );
        }
    }
}

/// A handle to the log; all clones refer to the same log.
#[derive(Debug, Clone)]
pub(super) struct LogStore {
    positions: Arc<Mutex<Positions>>,
    counters: Arc<Counters>,
    commands: mpsc::Sender<Command>,
    cache_bytes_max: usize,
    /// Whether the directory held a snapshot when the log was opened.
    had_snapshot: bool,
}

impl LogStore {
    /// Opens or creates the log in `dir` and reads it once.
    ///
    /// # Errors
    /// Reading or writing failed, or the journal is missing, or it is damaged in a way that a crash
    /// cannot cause.
    pub(super) async fn open(
        dir: &Path,
        limits: &LogLimits,
        fatal: FatalSender,
    ) -> io::Result<Self> {
        Self::open_files(Arc::new(Files::new(dir)), limits, fatal).await
    }

    /// See [`Self::open`].
    pub(super) async fn open_files(
        files: Arc<Files>,
        limits: &LogLimits,
        fatal: FatalSender,
    ) -> io::Result<Self> {
        let had_snapshot = snapshot::exists(&files)?;
        let counters = Arc::new(Counters::default());
        let (commands, recovered) = writer::start(
            files,
            limits.file_bytes,
            limits.cache_bytes,
            Arc::clone(&counters),
            fatal,
        )
        .await?;
        let Recovered {
            vote,
            committed,
            purged,
            tail,
        } = recovered;
        let mut positions = Positions {
            vote,
            committed,
            purged,
            ..Positions::default()
        };
        positions.last = match tail.first() {
            // `push` below asserts that the entries are contiguous.
            Some(first) if first.log_id.index > 0 => Some(LogId {
                index: first.log_id.index - 1,
                ..first.log_id
            }),
            Some(_) => None,
            None => purged,
        };
        for entry in tail {
            positions.push(entry);
        }
        let end = positions.last.map_or(0, |last| last.index + 1);
        counters.written_end.store(end, Ordering::Release);
        Ok(Self {
            positions: Arc::new(Mutex::new(positions)),
            counters,
            commands,
            cache_bytes_max: limits.cache_bytes,
            had_snapshot,
        })
    }

    /// Whether this voter holds nothing: no vote, no entry, and no snapshot. Right after
    /// [`LogStore::open`] the result describes the directory as it was found.
    pub(super) fn is_empty(&self) -> bool {
        let positions = self.positions.lock();
        positions.vote.is_none() && positions.last.is_none() && !self.had_snapshot
    }

    /// Returns the last log id, which may not be durable yet.
    pub(super) fn last_log_id(&self) -> Option<LogId> {
        self.positions.lock().last
    }

    /// Returns the size of the journal in bytes, after the last group of writes.
    #[cfg(test)]
    pub(super) fn file_bytes(&self) -> u64 {
        self.counters.file_bytes.load(Ordering::Relaxed)
    }

    /// Whether a write waits for space, so that nothing new is acknowledged.
    pub(super) fn waits_for_space(&self) -> bool {
        self.counters.waits_for_space.load(Ordering::Acquire)
    }

    /// Sets whether space is short, so that only necessary writes are made.
    pub(super) fn set_short(&self, is_short: bool) {
        self.counters.is_short.store(is_short, Ordering::Release);
    }

    /// Stops waiting for space, because the log is about to be closed.
    pub(super) fn stop_waiting(&self) {
        self.counters.stopping.store(true, Ordering::Release);
    }

    /// Writes pending commands, closes the files and releases their lock.
    pub(super) async fn close(&self) {
        self.stop_waiting();
        let (reply, closed) = oneshot::channel();
        if self.commands.send(Command::Close { reply }).await.is_ok() {
            drop(closed.await);
        }
        // The log is already closed; wait until the thread has released the file.
        self.commands.closed().await;
    }

    /// Rewrites the journal, whatever its size.
    #[cfg(test)]
    pub(super) async fn rewrite(&self) -> io::Result<()> {
        self.request(|reply| Command::Rewrite { reply }).await
    }

    /// The indexes of the entries that sled holds.
    #[cfg(test)]
    pub(super) async fn copied(&self) -> std::ops::Range<u64> {
        let copied = self.request(|reply| Command::Copied { reply }).await;
        copied.expect("the log is open")
    }

    async fn send(&self, command: Command) -> io::Result<()> {
        self.commands.send(command).await.map_err(|_| closed())
    }

    async fn request<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<io::Result<T>>) -> Command,
    ) -> io::Result<T> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply)).await?;
        answer.await.map_err(|_| closed())?
    }

    /// Reads the entries of `start..end` that exist, up to `bytes_max` of payload but at least one.
    async fn read(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let (cold_end, start, cached) = {
            let positions = self.positions.lock();
            let start = start.max(positions.purged.map_or(0, |id| id.index + 1));
            let end = end.min(positions.last.map_or(0, |id| id.index + 1));
            if start >= end {
                return Ok(Vec::new());
            }
            let cache_start = positions
                .cache
                .front()
                .map_or(end, |entry| entry.log_id.index);
            let cached = take_cached(&positions.cache, cache_start, start, end, bytes_max);
            (cache_start.min(end), start, cached)
        };
        if start >= cold_end {
            return Ok(cached);
        }
        let mut entries = self
            .request(|reply| Command::Read {
                start,
                end: cold_end,
                bytes_max,
                reply,
            })
            .await?;
        let cold: usize = entries
            .iter()
            .map(|entry| payload_len(entry) + ENTRY_OVERHEAD)
            .sum();
        // Otherwise the limit was reached before the cached entries.
        if entries
            .last()
            .is_none_or(|entry| entry.log_id.index + 1 == cold_end)
        {
            let left = bytes_max.saturating_sub(cold);
            let mut total = 0;
            entries.extend(cached.into_iter().take_while(|entry| {
                total += payload_len(entry) + ENTRY_OVERHEAD;
                total <= left
            }));
        }
        Ok(entries)
    }
}

/// Writes a journal with this vote and these entries, durably, into a directory that has none.
/// The entries follow `purged`, the last entry that a snapshot covers.
pub(super) fn journal_of(
    files: &Arc<Files>,
    vote: Vote,
    purged: Option<LogId>,
    entries: impl IntoIterator<Item = io::Result<Entry>>,
) -> io::Result<()> {
    let mut journal = Journal::create(Arc::clone(files), u64::MAX)?;
    if let Some(purged) = purged {
        journal.append(&Record::Purge(purged))?;
    }
    for entry in entries {
        journal.append(&Record::Entry(entry?))?;
    }
    journal.append(&Record::Vote(vote))?;
    journal.sync()?;
    journal.mark()
}

fn take_cached(
    cache: &VecDeque<Entry>,
    cache_start: u64,
    start: u64,
    end: u64,
    bytes_max: usize,
) -> Vec<Entry> {
    let skip = usize::try_from(start.saturating_sub(cache_start)).unwrap_or(usize::MAX);
    let mut entries = Vec::new();
    let mut total = 0;
    for entry in cache
        .iter()
        .skip(skip)
        .take_while(|entry| entry.log_id.index < end)
    {
        total += payload_len(entry) + ENTRY_OVERHEAD;
        if total > bytes_max && !entries.is_empty() {
            break;
        }
        entries.push(entry.clone());
    }
    entries
}

fn closed() -> io::Error {
    io::Error::other("metadata log is closed")
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<R>(&mut self, range: R) -> io::Result<Vec<Entry>>
    where
        R: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = bounds(&range);
        self.read(start, end, usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end, REPLICATION_BYTES_MAX).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.positions.lock().vote)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let positions = self.positions.lock();
        Ok(LogState {
            last_purged_log_id: positions.purged,
            last_log_id: positions.last,
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote = *vote;
        {
            let before = self.positions.lock().vote;
            let term = |vote: &Vote| vote.leader_id.term;
            assert!(
                before.is_none_or(|before| term(&before) <= term(&vote)),
                "the vote moves back from {before:?} to {vote}"
            );
        }
        self.request(|reply| Command::SaveVote { vote, reply })
            .await?;
        self.positions.lock().vote = Some(vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        {
            let positions = &mut *self.positions.lock();
            let before = positions.committed_since_start;
            assert!(
                committed >= before,
                "the last committed entry moves back from {before:?} to {committed:?}"
            );
            positions.committed_since_start = committed;
            positions.committed = committed;
        }
        self.send(Command::SaveCommitted(committed)).await
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        // The saved committed entry may be beyond the entries that were flushed before a power
        // loss.
        let positions = self.positions.lock();
        Ok(positions.committed.min(positions.last))
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        {
            let mut positions = self.positions.lock();
            for entry in &entries {
                positions.assert_follows(entry);
                positions.push(entry.clone());
            }
            positions.evict(
                self.cache_bytes_max,
                self.counters.written_end.load(Ordering::Acquire),
            );
        }
        self.send(Command::Append { entries, flushed }).await
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let index = last_log_id.map_or(0, |id| id.index + 1);
        self.positions.lock().truncate_after(last_log_id);
        self.request(|reply| Command::TruncateFrom { index, reply })
            .await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.positions.lock().purge(upto);
        self.request(|reply| Command::Purge { upto, reply }).await
    }
}
