//! The Raft log in sled: keys, chunks, recovery, and the rebuild that bounds its growth.
//!
//! Knows nothing of openraft's traits and runs on one thread, the writer's. One tree:
//!
//! ```text
//! m/vote, m/committed, m/purged      protobuf behind a CRC32C
//! l + index (8, big endian) + chunk (2, big endian)
//!     the entry's record, cut into pieces of at most CHUNK_LEN bytes
//! record = CRC32C of the rest (4, BE) | length of the rest (4, BE) | RaftEntry
//! ```
//!
//! Next to it, [`Guard`] keeps what was promised: sled's recovery may forget.
//!
//! Invariant: [`Disk::sync`] returns only when everything written before it is on the disk. sled's
//! own `flush` ends in `sync_file_range`, which guarantees nothing; so the `db` file, and blob
//! files should there be any, are `fdatasync`ed here.
//! Invariant: the indexes present, above `purged`, are contiguous. Anything else is corruption.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use dohle_rpc::v1;
use prost::Message;

use super::guard::{Guard, Promise};
use crate::raft::types::{
    Entry, LogId, Vote, entry_from_proto, entry_to_proto, log_id_from_proto, log_id_to_proto,
    vote_from_proto, vote_to_proto,
};

/// sled puts a tree node that is larger than a quarter of a segment into a file of its own (a
/// "blob"). A node has up to 16 or so values, so they must stay well below 1/64 of a segment.
pub(super) const CHUNK_LEN: usize = 1024;
/// Operations in one atomic sled batch, when a range is deleted or copied.
const BATCH_OPS: usize = 256;
/// Of sled's file. It is also the size of its write buffers.
const SEGMENT_LEN: usize = 128 * 1024;
/// Of sled's page cache. Recent entries are cached as entries; this serves scans only.
const CACHE_BYTES: u64 = 1024 * 1024;

/// How long a predecessor that is still ending may hold the lock. A lock has no event to wait for.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(10);

const VOTE: &[u8] = b"m/vote";
const COMMITTED: &[u8] = b"m/committed";
const PURGED: &[u8] = b"m/purged";

const LIVE_DIR: &str = "raft-log";
const NEW_DIR: &str = "raft-log.new";
const OLD_DIR: &str = "raft-log.old";

/// What a node finds in its log when it starts.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    /// The newest entries, as many as fit the cache; contiguous up to the last.
    pub tail: Vec<Entry>,
    /// The index of the first entry on disk.
    pub first_index: Option<u64>,
}

/// The open database.
pub(super) struct Disk {
    parent: PathBuf,
    db: sled::Db,
    data: File,
    guard: Guard,
    /// What will be durable after the next sync.
    promise: Promise,
    /// Rebuild when the file is larger than this.
    limit_bytes: u64,
    limit_bytes_configured: u64,
}

impl Disk {
    /// Opens or creates the log in `parent`, finishing a rebuild that a crash interrupted.
    pub(super) fn open(parent: &Path, limit_bytes: u64) -> io::Result<Self> {
        recover_directories(parent)?;
        let (db, data) = open_db(&parent.join(LIVE_DIR))?;
        let guard = Guard::open(parent)?;
        sync_dir(parent)?;
        Ok(Self {
            parent: parent.to_owned(),
            db,
            data,
            guard,
            promise: Promise::default(),
            limit_bytes,
            limit_bytes_configured: limit_bytes,
        })
    }

    /// Reads everything once: positions, and the last entries of up to `tail_bytes`. Before any
    /// write.
    ///
    /// # Errors
    /// Also when it is damaged, or less than what was promised.
    pub(super) fn recover(&mut self, tail_bytes: usize) -> io::Result<Recovered> {
        let mut recovered = Recovered {
            vote: self.read_vote()?,
            committed: self.read_log_id(COMMITTED)?,
            purged: self.read_log_id(PURGED)?,
            ..Recovered::default()
        };
        let first_live = recovered.purged.map_or(0, |id| id.index + 1);
        let mut tail = std::collections::VecDeque::new();
        let mut tail_len = 0;
        let mut next = first_live;
        self.scan(first_live, u64::MAX, |entry, len| {
            if entry.log_id.index != next {
                return Err(corrupt(format!(
                    "entry {next} is missing: the next one is {}",
                    entry.log_id.index
                )));
            }
            next += 1;
            recovered.first_index.get_or_insert(entry.log_id.index);
            tail_len += len;
            tail.push_back((entry, len));
            while tail_len > tail_bytes && tail.len() > 1 {
                tail_len -= tail.pop_front().map_or(0, |(_, len)| len);
            }
            Ok(true)
        })?;
        recovered.tail = tail.into_iter().map(|(entry, _)| entry).collect();
        let last = recovered
            .tail
            .last()
            .map(|entry| entry.log_id)
            .or(recovered.purged);
        self.promise = Promise::of(recovered.vote.as_ref(), last.as_ref());
        self.guard.check(&self.promise, &self.parent)?;
        // A crash between the purge mark and the deletes leaves entries below the mark.
        self.delete_range(0, first_live)?;
        // What is there may not have been synced by a process that was killed.
        self.sync()?;
        Ok(recovered)
    }

    /// Writes entries; durable after [`Self::sync`].
    pub(super) fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        if let Some(last) = entries.last() {
            self.promise.set_last(&last.log_id);
        }
        let mut batch = sled::Batch::default();
        for entry in entries {
            put_entry(&mut batch, entry);
        }
        self.db.apply_batch(batch).map_err(sled_error)
    }

    pub(super) fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.promise.set_vote(vote);
        self.put(VOTE, &vote_to_proto(vote).encode_to_vec())
    }

    /// Only spares work after a restart; a lost one does no harm.
    pub(super) fn save_committed(&self, committed: Option<&LogId>) -> io::Result<()> {
        match committed {
            Some(id) => self.put(COMMITTED, &log_id_to_proto(id).encode_to_vec()),
            None => self.db.remove(COMMITTED).map(drop).map_err(sled_error),
        }
    }

    /// Deletes all entries from `from` on, the last one first, so that no hole can arise.
    pub(super) fn truncate_from(&mut self, from: u64) -> io::Result<()> {
        // What was promised is taken back before it is dropped.
        if self.promise.maybe_truncate(from) {
            self.sync()?;
        }
        let mut batch = sled::Batch::default();
        let mut ops = 0;
        for item in self
            .db
            .range(entry_key(from, 0).to_vec()..entry_range_end())
            .rev()
        {
            let (key, _) = item.map_err(sled_error)?;
            let first_of_entry = key.ends_with(&[0, 0]);
            batch.remove(key);
            ops += 1;
            if ops >= BATCH_OPS && first_of_entry {
                self.db
                    .apply_batch(std::mem::take(&mut batch))
                    .map_err(sled_error)?;
                ops = 0;
            }
        }
        self.db.apply_batch(batch).map_err(sled_error)
    }

    /// Marks everything up to `upto` as purged, then deletes it.
    pub(super) fn purge(&mut self, upto: &LogId) -> io::Result<()> {
        if self.promise.end() <= upto.index {
            self.promise.set_last(upto);
        }
        self.put(PURGED, &log_id_to_proto(upto).encode_to_vec())?;
        self.delete_range(0, upto.index + 1)
    }

    /// The entries of `start..end` that exist, in order.
    pub(super) fn read(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut total = 0;
        self.scan(start, end, |entry, len| {
            total += len;
            if total > bytes_max && !entries.is_empty() {
                return Ok(false);
            }
            entries.push(entry);
            Ok(true)
        })?;
        Ok(entries)
    }

    /// Makes everything written so far survive a loss of power, or at least its loss be noticed.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.db.flush().map_err(sled_error)?;
        sync_blobs(&self.parent.join(LIVE_DIR))?;
        self.data.sync_data()?;
        self.guard.promise(&self.promise)
    }

    /// The size of sled's file in bytes.
    pub(super) fn file_len(&self) -> io::Result<u64> {
        Ok(self.data.metadata()?.len())
    }

    /// Copies what is live into a fresh database when the file has outgrown its limit. Tells
    /// whether it did.
    pub(super) fn maybe_rebuild(&mut self) -> io::Result<bool> {
        if self.file_len()? <= self.limit_bytes {
            return Ok(false);
        }
        self.rebuild()?;
        // When most of it is live, the next attempt waits until the file has doubled.
        self.limit_bytes = self.limit_bytes_configured.max(self.file_len()? * 2);
        Ok(true)
    }

    /// ```text
    /// copy to .new, sync → live → .old → .new → live → remove .old
    /// ```
    /// At every step one complete database can be told by its name: see [`recover_directories`].
    pub(super) fn rebuild(&mut self) -> io::Result<()> {
        self.sync()?;
        let new_dir = self.parent.join(NEW_DIR);
        remove_dir(&new_dir)?;
        {
            let (db, data) = open_db(&new_dir)?;
            let mut batch = sled::Batch::default();
            let mut ops = 0;
            for item in self.db.iter() {
                let (key, value) = item.map_err(sled_error)?;
                batch.insert(key, value);
                ops += 1;
                if ops == BATCH_OPS {
                    db.apply_batch(std::mem::take(&mut batch))
                        .map_err(sled_error)?;
                    ops = 0;
                }
            }
            db.apply_batch(batch).map_err(sled_error)?;
            db.flush().map_err(sled_error)?;
            data.sync_all()?;
            sync_blobs(&new_dir)?;
            sync_dir(&new_dir)?;
            sync_dir(&self.parent)?;
        }
        let live_dir = self.parent.join(LIVE_DIR);
        let old_dir = self.parent.join(OLD_DIR);
        fs::rename(&live_dir, &old_dir)?;
        fs::rename(&new_dir, &live_dir)?;
        sync_dir(&self.parent)?;
        // sled remembers the path it was opened with: open again under the final name.
        (self.db, self.data) = open_db(&live_dir)?;
        remove_dir(&old_dir)?;
        sync_dir(&self.parent)
    }

    /// Flips the last byte of an entry's first chunk.
    #[cfg(test)]
    pub(super) fn damage(&self, index: u64) {
        let key = entry_key(index, 0);
        let mut value = self.db.get(key).unwrap().unwrap().to_vec();
        *value.last_mut().unwrap() ^= 1;
        self.db.insert(key, value).unwrap();
    }

    fn put(&self, key: &[u8], message: &[u8]) -> io::Result<()> {
        self.db
            .insert(key, seal(message).as_ref())
            .map(drop)
            .map_err(sled_error)
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Bytes>> {
        let Some(value) = self.db.get(key).map_err(sled_error)? else {
            return Ok(None);
        };
        unseal(
            Bytes::copy_from_slice(&value),
            &String::from_utf8_lossy(key),
        )
        .map(Some)
    }

    fn read_vote(&self) -> io::Result<Option<Vote>> {
        let Some(bytes) = self.get(VOTE)? else {
            return Ok(None);
        };
        let proto = v1::RaftVote::decode(bytes).map_err(|error| corrupt(error.to_string()))?;
        vote_from_proto(Some(proto))
            .map(Some)
            .map_err(|error| corrupt(error.to_string()))
    }

    fn read_log_id(&self, key: &[u8]) -> io::Result<Option<LogId>> {
        let Some(bytes) = self.get(key)? else {
            return Ok(None);
        };
        let proto = v1::RaftLogId::decode(bytes).map_err(|error| corrupt(error.to_string()))?;
        Ok(Some(log_id_from_proto(proto)))
    }

    fn delete_range(&self, start: u64, end: u64) -> io::Result<()> {
        let mut batch = sled::Batch::default();
        let mut ops = 0;
        for key in self.db.range(entry_key(start, 0)..entry_key(end, 0)).keys() {
            batch.remove(key.map_err(sled_error)?);
            ops += 1;
            if ops == BATCH_OPS {
                self.db
                    .apply_batch(std::mem::take(&mut batch))
                    .map_err(sled_error)?;
                ops = 0;
            }
        }
        self.db.apply_batch(batch).map_err(sled_error)
    }

    /// Calls `visit` with each entry of `start..end` and its record's length until it says stop.
    fn scan(
        &self,
        start: u64,
        end: u64,
        mut visit: impl FnMut(Entry, usize) -> io::Result<bool>,
    ) -> io::Result<()> {
        let range_end = if end == u64::MAX {
            entry_range_end()
        } else {
            entry_key(end, 0).to_vec()
        };
        let mut record: Option<(u64, BytesMut)> = None;
        for item in self.db.range(entry_key(start, 0).to_vec()..range_end) {
            let (key, value) = item.map_err(sled_error)?;
            let (index, chunk) = split_key(&key)?;
            if chunk == 0 {
                if let Some((index, bytes)) = record.take() {
                    let len = bytes.len();
                    if !visit(decode_entry(index, bytes.freeze())?, len)? {
                        return Ok(());
                    }
                }
                record = Some((index, BytesMut::from(value.as_ref())));
                continue;
            }
            match &mut record {
                Some((at, bytes)) if *at == index => bytes.extend_from_slice(&value),
                _ => return Err(corrupt(format!("entry {index} has no first chunk"))),
            }
        }
        if let Some((index, bytes)) = record {
            let len = bytes.len();
            visit(decode_entry(index, bytes.freeze())?, len)?;
        }
        Ok(())
    }
}

fn open_db(dir: &Path) -> io::Result<(sled::Db, File)> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    let db = loop {
        let opened = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            .segment_size(SEGMENT_LEN)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(None)
            .open();
        match opened {
            Err(sled::Error::Io(error)) if is_locked(&error) && Instant::now() < deadline => {
                thread::sleep(LOCK_POLL);
            }
            opened => break opened.map_err(sled_error)?,
        }
    };
    let data = File::options()
        .read(true)
        .write(true)
        .open(dir.join("db"))?;
    data.sync_all()?;
    sync_dir(dir)?;
    Ok((db, data))
}

/// sled has no kind of its own for a file that another process has locked.
fn is_locked(error: &io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

/// Brings the three directory names of a rebuild back to one.
fn recover_directories(parent: &Path) -> io::Result<()> {
    let (live, new, old) = (
        parent.join(LIVE_DIR),
        parent.join(NEW_DIR),
        parent.join(OLD_DIR),
    );
    if !live.exists() && old.exists() {
        // Stopped between the two renames: both are complete, and equal.
        fs::rename(&old, &live)?;
        sync_dir(parent)?;
    }
    remove_dir(&new)?;
    remove_dir(&old)
}

fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes renames, creations and removals inside `dir` durable.
pub(in crate::raft) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn sync_blobs(dir: &Path) -> io::Result<()> {
    let blobs = dir.join("blobs");
    let mut any = false;
    for entry in fs::read_dir(&blobs)? {
        match File::open(entry?.path()) {
            Ok(file) => file.sync_data()?,
            // Removed since it was listed: garbage.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        any = true;
    }
    if any { sync_dir(&blobs) } else { Ok(()) }
}

fn entry_key(index: u64, chunk: u16) -> [u8; 11] {
    let mut key = [0; 11];
    key[0] = b'l';
    key[1..9].copy_from_slice(&index.to_be_bytes());
    key[9..].copy_from_slice(&chunk.to_be_bytes());
    key
}

/// Greater than every entry's key and smaller than `m/…`.
fn entry_range_end() -> Vec<u8> {
    vec![b'l' + 1]
}

fn split_key(key: &[u8]) -> io::Result<(u64, u16)> {
    let (index, chunk) = match key {
        [b'l', rest @ ..] if rest.len() == 10 => rest.split_at(8),
        _ => return Err(corrupt(format!("key {key:?}"))),
    };
    let index = index.try_into().map(u64::from_be_bytes);
    let chunk = chunk.try_into().map(u16::from_be_bytes);
    index
        .ok()
        .zip(chunk.ok())
        .ok_or_else(|| corrupt(format!("key {key:?}")))
}

/// The largest record that chunk numbers can count: 64 MiB.
pub(super) const RECORD_LEN_MAX: usize = CHUNK_LEN * (u16::MAX as usize + 1);

fn put_entry(batch: &mut sled::Batch, entry: &Entry) {
    let record = seal(&entry_to_proto(entry).encode_to_vec());
    assert!(
        record.len() <= RECORD_LEN_MAX,
        "record of {} bytes",
        record.len()
    );
    for (chunk, piece) in record.chunks(CHUNK_LEN).enumerate() {
        let chunk = u16::try_from(chunk).expect("bounded by RECORD_LEN_MAX");
        batch.insert(&entry_key(entry.log_id.index, chunk), piece);
    }
}

fn decode_entry(index: u64, record: Bytes) -> io::Result<Entry> {
    let bytes = unseal(record, &format!("entry {index}"))?;
    let proto = v1::RaftEntry::decode(bytes).map_err(|error| corrupt(error.to_string()))?;
    let entry = entry_from_proto(proto).map_err(|error| corrupt(error.to_string()))?;
    if entry.log_id.index != index {
        return Err(corrupt(format!(
            "entry {index} says it is {}",
            entry.log_id.index
        )));
    }
    Ok(entry)
}

fn seal(message: &[u8]) -> Bytes {
    let mut sealed = BytesMut::with_capacity(message.len() + 8);
    let len = u32::try_from(message.len()).expect("bounded by RECORD_LEN_MAX");
    sealed.put_u32(checksum(message));
    sealed.put_u32(len);
    sealed.put_slice(message);
    sealed.freeze()
}

fn unseal(mut sealed: Bytes, what: &str) -> io::Result<Bytes> {
    if sealed.len() < 8 {
        return Err(corrupt(format!("{what} is cut short")));
    }
    let message = sealed.split_off(8);
    let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|i| sealed[at + i]));
    if word(4) as usize != message.len() {
        let (found, expected) = (message.len(), word(4));
        return Err(corrupt(format!("{what} has {found} of {expected} bytes")));
    }
    if word(0) != checksum(&message) {
        return Err(corrupt(format!("{what} does not match its checksum")));
    }
    Ok(message)
}

fn checksum(bytes: &[u8]) -> u32 {
    // The low 32 bits carry the whole of a CRC32C.
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

fn corrupt(what: String) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("metadata log is corrupt: {what}"),
    )
}

fn sled_error(error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}
