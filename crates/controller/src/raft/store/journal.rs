//! The Raft journal: the authority on the vote and the log. Append-only and checksummed; see
//! `record.rs` for its form and `scan.rs` for how it is read.
//!
//! Records are collected in a buffer, written at the end of the file, and count once
//! [`Journal::sync`] returned. A small mark follows each sync; it is not synced itself, and proves
//! to a later start what was. When most of the file is obsolete, what is live is written to a new
//! file that takes the place of the old one:
//!
//! ```text
//! write raft-journal.new → fdatasync → rename to raft-journal → fsync of the directory
//! ```
//!
//! Without space nothing is lost: what could not be written stays in the buffer. Some space behind
//! the end of the file is reserved as long as there is any, so that deletions can be committed on a
//! full disk.
//!
//! Invariant: at every step `raft-journal` is whole. The new file is garbage until its rename.
//! Invariant: nothing is written behind a torn tail: a start cuts it, and syncs, first.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dohle_storage::File;

use super::files::{Files, is_no_space};
use super::record::{FILE_HEADER_LEN, FileHeader, HEADER_LEN, Header, PAYLOAD_MAX, Record};
use super::record::{checksum, decode_entry};
use super::scan::{CopyMark, Scanned, damaged, scan};
use super::state::{Location, State};
use crate::raft::types::{Entry, LogId};

pub(super) const NAME: &str = "raft-journal";
const NEW: &str = "raft-journal.new";
/// The buffer is written, without a sync, when it is larger than this.
const BUFFER_MAX: usize = 1024 * 1024;
/// The space that is reserved behind the end: for more than a thousand small changes.
const RESERVED: u64 = 256 * 1024;

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    files: Arc<Files>,
    file: Arc<dyn File>,
    header: FileHeader,
    state: State,
    /// Records that are not in the file yet.
    buffer: Vec<u8>,
    /// Where the buffer goes.
    written: u64,
    /// Everything before is on the disk.
    synced: u64,
    /// There are records behind `synced` that someone waits for.
    dirty: bool,
    /// The file is not rewritten while it is smaller than this, in bytes.
    rewrite_min: u64,
    /// Up to where space is reserved in the file.
    reserved_end: u64,
}

impl Journal {
    /// Whether the directory has a journal.
    pub(super) fn exists(names: &[String]) -> bool {
        names.iter().any(|name| name == NAME)
    }

    /// Creates an empty journal, durably.
    pub(super) fn create(files: Arc<Files>, rewrite_min: u64) -> io::Result<Self> {
        remove_new(&files)?;
        let (file, header) = write_new(&files, 1, FILE_HEADER_LEN as u64)?;
        let mut journal = Self {
            files,
            file,
            header,
            state: State::default(),
            buffer: Vec::new(),
            written: header.base_end,
            synced: header.base_end,
            dirty: false,
            rewrite_min,
            reserved_end: 0,
        };
        journal.file.sync_data()?;
        journal.files.rename(NEW, NAME)?;
        journal.files.sync_dir()?;
        journal.reserve();
        Ok(journal)
    }

    /// Opens the journal of the directory, and cuts a torn tail. Returns the indexes below which
    /// the copy agrees with it, if there are any.
    pub(super) fn open(
        files: Arc<Files>,
        rewrite_min: u64,
        copy: Option<CopyMark>,
    ) -> io::Result<(Self, Option<u64>)> {
        let path = files.path().join(NAME);
        let file = files.open(NAME)?;
        let Scanned {
            header,
            state,
            end,
            file_len,
            copy_end,
        } = scan(&*file, &path, copy)?;
        if end < file_len {
            tracing::info!(
                journal = %path.display(), position = end, bytes = file_len - end,
                "cut the torn end of the metadata journal, which was never acknowledged"
            );
            file.set_len(end)?;
        }
        // Also when nothing was cut: a process that was killed leaves bytes that were not synced.
        file.sync_data()?;
        remove_new(&files)?;
        let mut journal = Self {
            files,
            file,
            header,
            state,
            buffer: Vec::new(),
            written: end,
            synced: end,
            dirty: false,
            rewrite_min,
            reserved_end: 0,
        };
        journal.reserve();
        Ok((journal, copy_end))
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Notes the last committed entry, for the next mark.
    pub(super) fn set_committed(&mut self, committed: Option<LogId>) {
        self.state.committed = committed;
    }

    /// What a copy of the entries `start..end` notes of the journal. Only while nothing waits for a
    /// sync.
    pub(super) fn copy_mark(&self, start: u64, end: u64) -> CopyMark {
        assert!(!self.dirty, "a copy holds only what was synced");
        CopyMark {
            file_id: self.header.id,
            generation: self.header.generation,
            position: self.synced,
            start,
            end,
        }
    }

    /// Adds a record; durable after [`Self::sync`].
    pub(super) fn append(&mut self, record: &Record) -> io::Result<()> {
        let payload = record.payload();
        let position = self.len();
        assert!(
            self.synced <= position,
            "a record at {position}, synced up to {}",
            self.synced
        );
        let (header, location) = frame(record.kind(), &payload, position, self.synced)?;
        self.state
            .apply(record, location)
            .map_err(|reason| io::Error::other(format!("append to the journal: {reason}")))?;
        self.buffer
            .extend_from_slice(&header.encode(position, self.header.id));
        self.buffer.extend_from_slice(&payload);
        self.dirty |= !matches!(record, Record::Mark(_));
        if self.buffer.len() > BUFFER_MAX {
            self.try_write_out()?;
        }
        Ok(())
    }

    /// Reserves space behind the end, if there is any: without it the next attempt follows.
    fn reserve(&mut self) {
        if self.reserved_end < self.written + RESERVED / 2
            && self.file.allocate(self.written, RESERVED).is_ok()
        {
            self.reserved_end = self.written + RESERVED;
        }
    }

    /// Hands the buffer to the file; keeps it while there is no space.
    fn try_write_out(&mut self) -> io::Result<()> {
        match self.write_out() {
            Err(error) if is_no_space(&error) => Ok(()),
            written => written,
        }
    }

    /// Hands the buffer to the file. Without space the buffer stays, and another attempt may
    /// follow.
    pub(super) fn write_out(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.file.write_all_at(&self.buffer, self.written)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
            self.buffer.shrink_to(BUFFER_MAX);
        }
        Ok(())
    }

    /// Makes all records so far survive a loss of power. Returns whether there was anything to
    /// sync.
    pub(super) fn sync(&mut self) -> io::Result<bool> {
        if !self.dirty {
            return Ok(false);
        }
        self.write_out()?;
        self.file.sync_data()?;
        assert!(
            self.synced <= self.written,
            "synced up to {}, written up to {}",
            self.synced,
            self.written
        );
        assert!(
            self.buffer.is_empty(),
            "{} bytes are not in the file that was synced",
            self.buffer.len()
        );
        self.synced = self.written;
        self.dirty = false;
        Ok(true)
    }

    /// Writes a mark, which proves what was synced, and is not synced itself.
    pub(super) fn mark(&mut self) -> io::Result<()> {
        self.append(&Record::Mark(self.state.committed))?;
        self.try_write_out()?;
        self.reserve();
        Ok(())
    }

    /// The length of the file in bytes, with what is still in the buffer.
    pub(super) fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// The payload of an entry.
    ///
    /// # Errors
    /// Reading failed, or the bytes are not those that were written.
    pub(super) fn payload(&mut self, location: Location) -> io::Result<Bytes> {
        self.try_write_out()?;
        let mut payload = vec![0; location.len as usize];
        match location.position.checked_sub(self.written) {
            None => self.file.read_exact_at(&mut payload, location.position)?,
            Some(at) => {
                let at = at as usize;
                payload.copy_from_slice(&self.buffer[at..at + location.len as usize]);
            }
        }
        if checksum(&payload) != location.checksum {
            let path = self.files.path().join(NAME);
            let reason = "the entry there does not match its checksum any more";
            return Err(damaged(&path, location.position, reason));
        }
        Ok(payload.into())
    }

    pub(super) fn entry(&mut self, index: u64) -> io::Result<Option<Entry>> {
        let Some(location) = self.state.location(index) else {
            return Ok(None);
        };
        let payload = self.payload(location)?;
        decode_entry(payload)
            .map(Some)
            .map_err(|reason| damaged(&self.files.path().join(NAME), location.position, &reason))
    }

    /// Rewrites the journal when it is large and at least half of it is obsolete. Returns whether
    /// it did.
    pub(super) fn maybe_rewrite(&mut self) -> io::Result<bool> {
        let len = self.len();
        let due = len > self.rewrite_min && len / 2 > self.state.live_bytes();
        if !due {
            return Ok(false);
        }
        match self.rewrite() {
            Err(error) if is_no_space(&error) => {
                remove_new(&self.files)?;
                // The next attempt waits until the file has grown by a quarter.
                self.rewrite_min = len + len / 4;
                tracing::info!(len, "no space to rewrite the metadata journal");
                Ok(false)
            }
            rewritten => rewritten.map(|()| true),
        }
    }

    /// Replaces the file by one that holds only what is live. Without space the old file stays.
    pub(super) fn rewrite(&mut self) -> io::Result<()> {
        self.sync()?;
        self.write_out()?;
        remove_new(&self.files)?;
        let mut records = Vec::new();
        records.extend(self.state.vote.map(Record::Vote));
        records.extend(self.state.purged.map(Record::Purge));
        records.push(Record::Mark(self.state.committed));
        let base_end = FILE_HEADER_LEN as u64
            + self.state.live_bytes()
            + records
                .iter()
                .map(|record| (HEADER_LEN + record.payload().len()) as u64)
                .sum::<u64>();
        let generation = self.header.generation + 1;
        let (file, header) = write_new(&self.files, generation, base_end)?;
        let mut position = FILE_HEADER_LEN as u64;
        let mut buffer = Vec::new();
        for record in &records {
            let payload = record.payload();
            let (head, _) = frame(record.kind(), &payload, position, 0)?;
            buffer.extend_from_slice(&head.encode(position, header.id));
            buffer.extend_from_slice(&payload);
            position = FILE_HEADER_LEN as u64 + buffer.len() as u64;
        }
        let mut written = FILE_HEADER_LEN as u64;
        let mut locations = VecDeque::new();
        let old: Vec<Location> = self.state.locations().collect();
        for location in old {
            let payload = self.payload(location)?;
            let (head, location) = frame(super::record::ENTRY, &payload, position, 0)?;
            buffer.extend_from_slice(&head.encode(position, header.id));
            buffer.extend_from_slice(&payload);
            position += (HEADER_LEN + payload.len()) as u64;
            locations.push_back(location);
            if buffer.len() > BUFFER_MAX {
                file.write_all_at(&buffer, written)?;
                written += buffer.len() as u64;
                buffer.clear();
            }
        }
        file.write_all_at(&buffer, written)?;
        assert_eq!(position, base_end, "length of a rewritten journal");
        assert!(
            header.generation > self.header.generation,
            "generation {} of a rewritten journal, after {}",
            header.generation,
            self.header.generation
        );
        let before = self.len();
        file.sync_data()?;
        self.files.rename(NEW, NAME)?;
        self.file = file;
        self.header = header;
        self.state.relocate(locations);
        (self.written, self.synced) = (base_end, base_end);
        self.reserved_end = 0;
        // Whatever its reason, a failure now leaves open which of the two files a start finds.
        self.files
            .sync_dir()
            .map_err(|error| io::Error::other(error.to_string()))?;
        self.reserve();
        tracing::debug!(
            before,
            after = base_end,
            generation,
            "metadata journal rewritten"
        );
        Ok(())
    }
}

fn frame(
    kind: u32,
    payload: &[u8],
    position: u64,
    synced_end: u64,
) -> io::Result<(Header, Location)> {
    let payload_len = u32::try_from(payload.len()).ok();
    let payload_len = payload_len.filter(|len| *len <= PAYLOAD_MAX);
    let payload_len = payload_len.ok_or_else(|| {
        io::Error::other(format!("an entry of {} bytes is too large", payload.len()))
    })?;
    let header = Header {
        payload_checksum: checksum(payload),
        payload_len,
        kind,
        synced_end,
    };
    let location = Location {
        position: position + HEADER_LEN as u64,
        len: payload_len,
        checksum: header.payload_checksum,
    };
    Ok((header, location))
}

/// Begins a file that takes the name of the journal when it is complete.
fn write_new(
    files: &Files,
    generation: u64,
    base_end: u64,
) -> io::Result<(Arc<dyn File>, FileHeader)> {
    let file = files.create(NEW)?;
    let header = FileHeader {
        id: files.random(),
        generation,
        base_end,
    };
    file.write_all_at(&header.encode(), 0)?;
    Ok((file, header))
}

/// Removes what an interrupted rewrite left.
fn remove_new(files: &Files) -> io::Result<()> {
    match files.remove(NEW) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
