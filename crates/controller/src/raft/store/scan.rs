//! Reads a journal from its first byte, and distinguishes a torn tail from damage.
//!
//! A crash can tear or lose only what was written after the last `fdatasync`. A lower bound for the
//! synced part is proven by the file's header, by the headers of all records (including those
//! behind the damage), and by the copy in sled, which never holds anything that was not synced in
//! the journal first. A record that does not match its checksum is a torn tail when nothing proves
//! that it was synced; otherwise the file was damaged in another way, and the voter refuses to
//! start.

use std::io;
use std::path::Path;

use bytes::Bytes;
use dohle_storage::File;

use super::record::{FILE_HEADER_LEN, FileHeader, HEADER_LEN, Header, Record, checksum};
use super::state::{Location, State};

/// The number of bytes that are read at once.
const WINDOW: usize = 256 * 1024;

/// The position that the copy in sled has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CopyMark {
    pub file_id: u64,
    pub generation: u64,
    /// The position in the journal up to which entries are copied.
    pub position: u64,
    /// The range of the indexes of the copied entries.
    pub start: u64,
    pub end: u64,
}

/// The content of a journal.
#[derive(Debug)]
pub(super) struct Scanned {
    pub header: FileHeader,
    pub state: State,
    /// The position after the last whole record. Anything behind it is a torn tail.
    pub end: u64,
    pub file_len: u64,
    /// The index below which the copy still agrees with the journal; `None` when the copy belongs
    /// to another generation of the journal.
    pub copy_end: Option<u64>,
}

/// Reads the whole journal.
///
/// # Errors
/// Reading failed, or the file is damaged in a way that a crash cannot cause.
pub(super) fn scan(file: &dyn File, path: &Path, copy: Option<CopyMark>) -> io::Result<Scanned> {
    let mut window = Window::new(file)?;
    let damaged = |position: u64, reason: &str| damaged(path, position, reason);
    let header = window.get(0, FILE_HEADER_LEN)?.unwrap_or_default();
    let header = FileHeader::decode(header).map_err(|reason| damaged(0, reason))?;
    let copy = relevant(copy, &header).map_err(|reason| damaged(0, &reason))?;
    let mut scanned = Scanned {
        header,
        state: State::default(),
        end: FILE_HEADER_LEN as u64,
        file_len: window.file_len,
        copy_end: copy.map(|copy| copy.end),
    };
    let mut synced = header.base_end.max(copy.map_or(0, |copy| copy.position));
    while let Some(found) = window.record(scanned.end, header.id)? {
        synced = synced.max(found.synced_end);
        let position = scanned.end;
        let record = Record::decode(found.kind, found.payload)
            .map_err(|reason| damaged(position, &reason))?;
        scanned
            .state
            .apply(&record, found.location)
            .map_err(|reason| damaged(position, &reason))?;
        if let (Record::Truncate(from), Some(copy)) = (&record, copy)
            && position >= copy.position
        {
            scanned.copy_end = scanned.copy_end.map(|end| end.min(*from));
        }
        scanned.end = found.end;
    }
    synced = synced.max(window.synced_end_after(scanned.end, header.id)?);
    if scanned.end < synced {
        let reason = format!(
            "the record there is damaged or missing, although everything up to byte {synced} had \
             been synced, so this is not the result of a crash"
        );
        return Err(damaged(scanned.end, &reason));
    }
    Ok(scanned)
}

/// Returns the copy's mark if it belongs to this generation of the journal.
fn relevant(copy: Option<CopyMark>, header: &FileHeader) -> Result<Option<CopyMark>, String> {
    let Some(copy) = copy else { return Ok(None) };
    if copy.generation > header.generation
        || (copy.generation == header.generation && copy.file_id != header.id)
    {
        return Err(format!(
            "this is generation {} of the journal, but generation {} was in use: an older or \
             another file took its place",
            header.generation, copy.generation
        ));
    }
    Ok((copy.generation == header.generation).then_some(copy))
}

/// Returns the error for damage that a crash cannot cause, with the remedy.
pub(super) fn damaged(path: &Path, position: u64, reason: &str) -> io::Error {
    let dir = path.parent().unwrap_or(path).display();
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "the metadata journal {} is damaged at byte {position}: {reason}. {}",
            path.display(),
            remedy(&dir)
        ),
    )
}

pub(super) fn remedy(dir: &dyn std::fmt::Display) -> String {
    format!(
        "Nothing was changed. If most of the other controllers are intact, remove {dir} and start \
         this node again: it gets the metadata from them. Otherwise restore {dir} from a copy"
    )
}

/// A whole record, found in the file.
struct Found {
    kind: u32,
    payload: Bytes,
    location: Location,
    synced_end: u64,
    end: u64,
}

/// A section of the file, held in memory, that moves forward.
struct Window<'a> {
    file: &'a dyn File,
    file_len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn File) -> io::Result<Self> {
        Ok(Self {
            file,
            file_len: file.len()?,
            start: 0,
            bytes: Vec::new(),
        })
    }

    /// Returns the bytes at `position`, or `None` where the file ends earlier.
    fn get(&mut self, position: u64, len: usize) -> io::Result<Option<&[u8]>> {
        let end = position + len as u64;
        if end > self.file_len {
            return Ok(None);
        }
        if position < self.start || end > self.start + self.bytes.len() as u64 {
            let left = usize::try_from(self.file_len - position).unwrap_or(usize::MAX);
            self.bytes.resize(len.max(WINDOW).min(left), 0);
            self.start = position;
            self.file.read_exact_at(&mut self.bytes, position)?;
        }
        let at = (position - self.start) as usize;
        Ok(Some(&self.bytes[at..at + len]))
    }

    /// Returns the record at `position`, if a whole one is there.
    fn record(&mut self, position: u64, file_id: u64) -> io::Result<Option<Found>> {
        let Some(bytes) = self.get(position, HEADER_LEN)? else {
            return Ok(None);
        };
        let Some(header) = Header::decode(bytes, position, file_id) else {
            return Ok(None);
        };
        let location = Location {
            position: position + HEADER_LEN as u64,
            len: header.payload_len,
            checksum: header.payload_checksum,
        };
        let Some(payload) = self.get(location.position, header.payload_len as usize)? else {
            return Ok(None);
        };
        if checksum(payload) != header.payload_checksum {
            return Ok(None);
        }
        Ok(Some(Found {
            kind: header.kind,
            payload: Bytes::copy_from_slice(payload),
            location,
            synced_end: header.synced_end,
            end: location.position + u64::from(location.len),
        }))
    }

    /// Returns the largest synced end in the record headers at or behind `from`, at any byte
    /// offset.
    fn synced_end_after(&mut self, from: u64, file_id: u64) -> io::Result<u64> {
        let mut synced = 0;
        let left = usize::try_from(self.file_len - from).unwrap_or(usize::MAX);
        let Some(bytes) = self.get(from, left)? else {
            return Ok(0);
        };
        for (at, candidate) in bytes.windows(HEADER_LEN).enumerate() {
            if let Some(header) = Header::decode(candidate, from + at as u64, file_id) {
                synced = synced.max(header.synced_end);
            }
        }
        Ok(synced)
    }
}
