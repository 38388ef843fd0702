//! A copy of the log's entries in sled. Cold entries are read from it.
//!
//! sled 0.34's recovery can lose what was synced, and panics at some kinds of damage. So nothing
//! depends on this copy: it is filled from the journal while the writer is idle, it is never
//! synced, each entry that is read from it is compared with the journal's checksum, and whenever it
//! fails or does not match it is removed and filled again. Panics of sled are caught here.
//!
//! ```text
//! l + index (8, big endian) + chunk (2, big endian)
//!     the entry's payload in the journal, cut into pieces of at most CHUNK_LEN bytes
//! m   a CopyMark's five numbers (8 each, big endian) | CRC32C of them (4)
//! ```
//!
//! Invariant: the copy holds nothing that was not synced in the journal before. So its mark also
//! proves how far the journal was synced.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use dohle_storage::Clock;

use super::journal::Journal;
use super::record::{checksum, word32, word64};
use super::scan::CopyMark;
use super::state::{Location, State};
use crate::raft::files::{LOCK_PATIENCE, LOCK_POLL};

pub(super) const NAME: &str = "raft-log";
/// sled puts a tree node that is larger than a quarter of a segment into a file of its own (a
/// "blob"). A node has up to 16 or so values, so they must stay well below 1/64 of a segment.
pub(super) const CHUNK_LEN: usize = 1024;
/// The limits of entries, and of their bytes, in one atomic sled batch.
const BATCH_ENTRIES: u64 = 256;
const BATCH_BYTES: usize = 1024 * 1024;
/// The segment length of sled's file. It is also the size of sled's write buffers.
const SEGMENT_LEN: usize = 128 * 1024;
/// The size of sled's page cache. Recent entries are cached by the log store, so this cache serves
/// scans only.
const CACHE_BYTES: u64 = 1024 * 1024;
/// The number of failures after which the node continues without a copy.
const FAILURES_MAX: u32 = 3;

const MARK: &[u8] = b"m";
const MARK_LEN: usize = 44;

/// The copy in sled, opened or not.
pub(super) struct Copy {
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    db: Option<sled::Db>,
    /// The range of the indexes of the copied entries.
    start: u64,
    end: u64,
    /// The index from which on there may be obsolete keys.
    obsolete_from: Option<u64>,
    failures: u32,
    /// The size in bytes above which the file is removed and the copy begun again.
    limit_bytes: u64,
    limit_bytes_configured: u64,
}

impl Copy {
    /// Whether the directory has a copy.
    pub(super) fn exists(parent: &Path) -> bool {
        parent.join(NAME).exists()
    }

    /// Opens the copy, if there is one, and reads its mark.
    pub(super) fn open(
        parent: &Path,
        limit_bytes: u64,
        clock: Arc<dyn Clock>,
    ) -> (Self, Option<CopyMark>) {
        let mut copy = Self {
            dir: parent.join(NAME),
            clock,
            db: None,
            start: 0,
            end: 0,
            obsolete_from: None,
            failures: 0,
            limit_bytes: u64::MAX,
            limit_bytes_configured: limit_bytes,
        };
        if !copy.dir.exists() {
            return (copy, None);
        }
        let opened = guarded(|| {
            let db = open_db(&copy.dir, &*copy.clock)?;
            let mark = db.get(MARK)?;
            Ok((db, mark.and_then(|mark| decode_mark(&mark))))
        });
        match opened {
            Ok((db, mark)) => {
                copy.db = Some(db);
                (copy, mark)
            }
            Err(reason) => {
                copy.on_failure(&reason);
                (copy, None)
            }
        }
    }

    /// Keeps the entries of the copy below `agreed_end`, if they match the journal.
    pub(super) fn adopt(&mut self, mark: Option<CopyMark>, agreed_end: Option<u64>, log: &State) {
        let (Some(mark), Some(agreed_end), Some(db)) = (mark, agreed_end, &self.db) else {
            if self.db.is_some() {
                tracing::info!("filling the copy of the metadata log again: it is outdated");
                self.discard();
            }
            return;
        };
        let live = log.range();
        let range = mark.start.max(live.start)..agreed_end.min(live.end);
        if mark.start > live.start || range.is_empty() {
            return self.discard();
        }
        let verified = guarded(|| {
            let mut next = range.start;
            scan(db, range.start, range.end, |index, payload| {
                if index != next || !matches(&payload, log.location(index)) {
                    return Err(format!("entry {next} does not match the journal").into());
                }
                next += 1;
                Ok(())
            })?;
            if next != range.end {
                return Err(format!("entry {next} is missing").into());
            }
            Ok(())
        });
        match verified {
            Ok(()) => {
                (self.start, self.end) = (mark.start, range.end);
                self.obsolete_from = Some(range.end);
            }
            Err(reason) => self.on_failure(&reason),
        }
    }

    /// Marks the entries from `from` on as obsolete.
    pub(super) fn truncate_from(&mut self, from: u64) {
        if from < self.end {
            self.end = from.max(self.start);
            let obsolete = self.obsolete_from.map_or(from, |before| before.min(from));
            self.obsolete_from = Some(obsolete);
        }
    }

    /// Returns the range of the indexes of the copied entries.
    #[cfg(test)]
    pub(super) fn range(&self) -> std::ops::Range<u64> {
        self.start..self.end
    }

    /// Copies the next entries, and removes obsolete ones. Returns whether there is more to do.
    ///
    /// # Errors
    /// The journal cannot be read. Failures of sled are handled here.
    pub(super) fn step(&mut self, journal: &mut Journal) -> io::Result<bool> {
        if self.failures >= FAILURES_MAX {
            return Ok(false);
        }
        let live = journal.state().range();
        let purge_to = (self.start < live.start).then_some(live.start);
        if self.end < live.start {
            (self.start, self.end) = (live.start, live.start);
        }
        if self.end >= live.end && purge_to.is_none() && self.obsolete_from.is_none() {
            return Ok(false);
        }
        let (mut payloads, mut bytes) = (Vec::new(), 0);
        let batch_end = live.end.min(self.end + BATCH_ENTRIES);
        for index in self.end..batch_end {
            let Some(location) = journal.state().location(index) else {
                break;
            };
            bytes += location.len as usize;
            if bytes > BATCH_BYTES && !payloads.is_empty() {
                break;
            }
            payloads.push(journal.payload(location)?);
        }
        let copied_end = self.end + payloads.len() as u64;
        let mark = journal.copy_mark(live.start, copied_end);
        let written = guarded(|| {
            if self.db.is_none() {
                self.db = Some(open_db(&self.dir, &*self.clock)?);
            }
            let db = self.db.as_ref().expect("opened above");
            if let Some(start) = purge_to {
                remove(db, 0, start)?;
            }
            if let Some(from) = self.obsolete_from {
                remove(db, from, u64::MAX)?;
            }
            let mut batch = sled::Batch::default();
            for (index, payload) in (self.end..).zip(&payloads) {
                insert(&mut batch, index, payload);
            }
            batch.insert(MARK, encode_mark(&mark).as_slice());
            db.apply_batch(batch)?;
            Ok(())
        });
        if let Err(reason) = written {
            self.on_failure(&reason);
            return Ok(true);
        }
        (self.start, self.end, self.obsolete_from) = (live.start, copied_end, None);
        assert!(
            self.start <= self.end && self.end <= live.end,
            "the copy holds {}..{}, the journal {live:?}",
            self.start,
            self.end
        );
        let more = self.end < live.end;
        self.bound_size(more);
        Ok(more)
    }

    /// Removes a file that has grown too large; the next step begins a new one.
    fn bound_size(&mut self, more: bool) {
        let len = self.file_len();
        if len > self.limit_bytes {
            self.discard();
        } else if !more && self.limit_bytes == u64::MAX {
            // When most of the file is live, it may double before the next attempt.
            self.limit_bytes = self.limit_bytes_configured.max(len * 2);
        }
    }

    /// The size of sled's file in bytes.
    pub(super) fn file_len(&self) -> u64 {
        fs::metadata(self.dir.join("db")).map_or(0, |file| file.len())
    }

    /// Reads the payloads of the entries from `start` on that match the journal, up to `end` and
    /// `bytes_max` but at least one.
    pub(super) fn read(
        &mut self,
        start: u64,
        end: u64,
        bytes_max: usize,
        log: &State,
    ) -> Vec<Bytes> {
        let end = end.min(self.end);
        let Some(db) = self
            .db
            .as_ref()
            .filter(|_| start >= self.start && start < end)
        else {
            return Vec::new();
        };
        let (mut payloads, mut bytes) = (Vec::new(), 0);
        for index in start..end {
            bytes += log
                .location(index)
                .map_or(0, |location| location.len as usize);
            if bytes > bytes_max && !payloads.is_empty() {
                break;
            }
            payloads.push(index);
        }
        let end = start + payloads.len() as u64;
        let mut found = Vec::with_capacity(payloads.len());
        let read = guarded(|| {
            scan(db, start, end, |index, payload| {
                let next = start + found.len() as u64;
                if index != next || !matches(&payload, log.location(index)) {
                    return Err(format!("entry {next} does not match the journal").into());
                }
                found.push(payload);
                Ok(())
            })
        });
        if let Err(reason) = read {
            self.on_failure(&reason);
        }
        found
    }

    /// Writes the mark and closes sled, which flushes its memory.
    pub(super) fn close(&mut self, journal: &Journal) {
        let Some(db) = self.db.take() else { return };
        let mark = journal.copy_mark(self.start, self.end);
        let obsolete = self.obsolete_from.is_some();
        let closed = guarded(|| {
            if !obsolete {
                db.insert(MARK, encode_mark(&mark).as_slice())?;
            }
            db.flush()?;
            drop(db);
            Ok(())
        });
        if let Err(reason) = closed {
            self.on_failure(&reason);
        }
    }

    fn on_failure(&mut self, reason: &str) {
        self.failures += 1;
        tracing::warn!(
            directory = %self.dir.display(), reason,
            "removed the copy of the metadata log in sled, which is unusable; the journal is whole"
        );
        self.discard();
        if self.failures == FAILURES_MAX {
            tracing::warn!("continuing without a copy of the metadata log in sled");
        }
    }

    /// Removes the copy.
    fn discard(&mut self) {
        (self.start, self.end, self.obsolete_from) = (0, 0, None);
        self.limit_bytes = u64::MAX;
        let db = self.db.take();
        let removed = guarded(|| {
            drop(db);
            Ok(())
        });
        let removed = removed.and_then(|()| match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.to_string()),
            _ => Ok(()),
        });
        if let Err(reason) = removed {
            self.failures = FAILURES_MAX;
            tracing::warn!(
                directory = %self.dir.display(), reason,
                "the copy of the metadata log in sled can't be removed; continuing without it"
            );
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs an operation of sled, and converts a panic into a failure.
fn guarded<T>(operation: impl FnOnce() -> Result<T, Failure>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(operation)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("sled panicked: {}", text.unwrap_or("no message")))
        }
    }
}

fn open_db(dir: &Path, clock: &dyn Clock) -> Result<sled::Db, Failure> {
    let deadline = clock.now() + LOCK_PATIENCE;
    loop {
        let opened = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            .segment_size(SEGMENT_LEN)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(None)
            .open();
        match opened {
            // A predecessor in this process has not stopped yet. sled has no error kind for that.
            Err(sled::Error::Io(error))
                if error.to_string().contains("could not acquire lock")
                    && clock.now() < deadline =>
            {
                clock.sleep(LOCK_POLL);
            }
            opened => return Ok(opened?),
        }
    }
}

fn matches(payload: &[u8], location: Option<Location>) -> bool {
    location.is_some_and(|location| {
        payload.len() == location.len as usize && checksum(payload) == location.checksum
    })
}

/// Calls `visit` with the index and the payload of each entry of `start..end`.
fn scan(
    db: &sled::Db,
    start: u64,
    end: u64,
    mut visit: impl FnMut(u64, Bytes) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut payload: Option<(u64, BytesMut)> = None;
    for item in db.range(entry_key(start, 0)..entry_key(end, 0)) {
        let (key, value) = item?;
        let (index, chunk) = split_key(&key)?;
        match &mut payload {
            Some((at, bytes)) if chunk > 0 && *at == index => bytes.extend_from_slice(&value),
            _ if chunk > 0 => return Err(format!("entry {index} has no first chunk").into()),
            _ => {
                if let Some((index, bytes)) = payload.take() {
                    visit(index, bytes.freeze())?;
                }
                payload = Some((index, BytesMut::from(value.as_ref())));
            }
        }
    }
    if let Some((index, bytes)) = payload {
        visit(index, bytes.freeze())?;
    }
    Ok(())
}

/// Removes the entries of `start..end`.
fn remove(db: &sled::Db, start: u64, end: u64) -> Result<(), Failure> {
    let keys = db.range(entry_key(start, 0)..entry_key(end, 0)).keys();
    let mut batch = sled::Batch::default();
    for (count, key) in (1u64..).zip(keys) {
        batch.remove(key?);
        if count.is_multiple_of(BATCH_ENTRIES) {
            db.apply_batch(std::mem::take(&mut batch))?;
        }
    }
    Ok(db.apply_batch(batch)?)
}

fn insert(batch: &mut sled::Batch, index: u64, payload: &[u8]) {
    // An empty payload still has a first chunk.
    let chunks = payload
        .chunks(CHUNK_LEN)
        .chain(payload.is_empty().then_some(payload));
    for (chunk, piece) in chunks.enumerate() {
        let chunk = u16::try_from(chunk).expect("payloads are at most PAYLOAD_MAX long");
        batch.insert(&entry_key(index, chunk), piece);
    }
}

fn entry_key(index: u64, chunk: u16) -> [u8; 11] {
    let mut key = [0; 11];
    key[0] = b'l';
    key[1..9].copy_from_slice(&index.to_be_bytes());
    key[9..].copy_from_slice(&chunk.to_be_bytes());
    key
}

fn split_key(key: &[u8]) -> Result<(u64, u16), Failure> {
    let key: [u8; 11] = key.try_into().map_err(|_| format!("key {key:?}"))?;
    let chunk = u16::from_be_bytes([key[9], key[10]]);
    Ok((word64(&key, 1), chunk))
}

fn encode_mark(mark: &CopyMark) -> [u8; MARK_LEN] {
    let words = [
        mark.file_id,
        mark.generation,
        mark.position,
        mark.start,
        mark.end,
    ];
    let mut bytes = [0; MARK_LEN];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_be_bytes());
    }
    let checksum = checksum(&bytes[..40]);
    bytes[40..].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn decode_mark(bytes: &[u8]) -> Option<CopyMark> {
    if bytes.len() != MARK_LEN || word32(bytes, 40) != checksum(&bytes[..40]) {
        return None;
    }
    let [file_id, generation, position, start, end] =
        [0, 8, 16, 24, 32].map(|at| word64(bytes, at));
    Some(CopyMark {
        file_id,
        generation,
        position,
        start,
        end,
    })
}
