//! The Raft journal: the authoritative store of the vote and the log. Append-only and checksummed;
//! `record.rs` defines its format and `scan.rs` reads it.
//!
//! Records are collected in a buffer and written at the end of the file; they are durable after
//! [`Journal::sync`]. A small mark follows each sync. The mark itself is not synced; it proves to a
//! later start what was synced. When most of the file is obsolete, the live records are written to
//! a new file that replaces the old one:
//!
//! ```text
//! write raft-journal.new → fdatasync → rename to raft-journal → fsync of the directory
//! ```
//!
//! When there is no space, nothing is lost: unwritten records stay in the buffer. Some space behind
//! the end of the file is reserved while there is any, so that deletions can be committed on a full
//! disk.
//!
//! Invariant: at every step `raft-journal` is whole. The new file is ignored until it is renamed.
//! Invariant: nothing is written behind a torn tail: at start the tail is cut, and the cut synced,
//! before anything else.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dohle_storage::File;

use super::record::{FILE_HEADER_LEN, FileHeader, HEADER_LEN, Header, PAYLOAD_MAX, Record};
use super::record::{checksum, decode_entry};
use super::scan::{CopyMark, Scanned, damaged, scan};
use super::state::{Location, State};
use crate::raft::files::{Files, is_no_space};
use crate::raft::types::{Entry, LogId};

pub(super) const NAME: &str = "raft-journal";
const NEW: &str = "raft-journal.new";
/// The buffer size in bytes above which the buffer is written, without a sync.
const BUFFER_MAX: usize = 1024 * 1024;
/// The bytes that are reserved behind the end: enough for more than a thousand small changes.
const RESERVED: u64 = 256 * 1024;

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    files: Arc<Files>,
    file: Arc<dyn File>,
    header: FileHeader,
    state: State,
    /// Records that are not yet written to the file.
    buffer: Vec<u8>,
    /// The position in the file at which the buffer will be written.
    written: u64,
    /// The position up to which everything is on the disk.
    synced: u64,
    /// Whether there are records behind `synced` whose writers wait for a sync.
    dirty: bool,
    /// The size in bytes below which the file is not rewritten.
    rewrite_min: u64,
    /// The position up to which space is reserved in the file.
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

    /// Opens the journal of the directory, and cuts a torn tail. Returns the index below which the
    /// copy in sled agrees with the journal, if the copy is usable.
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
        // The sync is also needed when nothing was cut: a killed process leaves bytes that were not
        // synced.
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

    /// Records the last committed entry for the next mark.
    pub(super) fn set_committed(&mut self, committed: Option<LogId>) {
        self.state.committed = committed;
    }

    /// Returns the mark for a copy of the entries `start..end`. Must not be called while a sync is
    /// pending.
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

    /// Appends a record, which is durable after [`Self::sync`].
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

    /// Reserves space behind the end. Without free space, the next call tries again.
    fn reserve(&mut self) {
        if self.reserved_end < self.written + RESERVED / 2
            && self.file.allocate(self.written, RESERVED).is_ok()
        {
            self.reserved_end = self.written + RESERVED;
        }
    }

    /// Writes the buffer to the file; keeps the buffer when there is no space.
    fn try_write_out(&mut self) -> io::Result<()> {
        match self.write_out() {
            Err(error) if is_no_space(&error) => Ok(()),
            written => written,
        }
    }

    /// Writes the buffer to the file. When there is no space the buffer stays, and the write can be
    /// retried.
    pub(super) fn write_out(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.file.write_all_at(&self.buffer, self.written)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
            self.buffer.shrink_to(BUFFER_MAX);
        }
        Ok(())
    }

    /// Makes all records so far survive a power loss. Returns whether there was anything to sync.
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

    /// Writes a mark that proves what was synced. The mark itself is not synced.
    pub(super) fn mark(&mut self) -> io::Result<()> {
        self.append(&Record::Mark(self.state.committed))?;
        self.try_write_out()?;
        self.reserve();
        Ok(())
    }

    /// Returns the length of the file in bytes, including the buffer.
    pub(super) fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Reads the payload of an entry.
    ///
    /// # Errors
    /// Reading failed, or the payload does not match its checksum.
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
    /// it was rewritten.
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

    /// Replaces the file by one that holds only live records. When there is no space, the old file
    /// stays.
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
        // A failure from here on, for any reason, leaves open which of the two files the next start
        // finds.
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

/// Writes a new file, which gets the name of the journal when it is complete.
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

/// Removes the file of an interrupted rewrite.
fn remove_new(files: &Files) -> io::Result<()> {
    match files.remove(NEW) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
