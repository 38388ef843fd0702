//! The batches of a file, one after the other; damaged ones are reported and skipped.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use dohle_log::{BatchError, BatchHeader};

use super::Stop;

/// Offset and size, which every batch and every old message begins with.
const OVERHEAD: u64 = 12;
/// The size up to and including the byte with the format's version.
const UP_TO_MAGIC: u64 = 17;
/// The smallest old message.
const SIZE_MIN: i32 = 14;

/// What follows in a file.
#[derive(Debug)]
pub(super) enum Next {
    /// A batch; its bytes are in the reader.
    Batch { position: u64, header: BatchHeader },
    /// Bytes of a batch's size that are not a valid batch.
    Wrong { position: u64, why: BatchError },
    /// An impossible size, after which no batch can be found.
    BadSize { position: u64, size: i32 },
    /// Fewer bytes than a batch are left: this many.
    End { left: u64 },
}

/// Reads batches from a file.
#[derive(Debug)]
pub(super) struct BatchReader {
    file: BufReader<File>,
    position: u64,
    end: u64,
    bytes: Vec<u8>,
}

impl BatchReader {
    /// From `position` on, at most to `end`.
    pub(super) fn open(path: &Path, position: u64, end: Option<u64>) -> Result<Self, Stop> {
        let open = || -> io::Result<Self> {
            let mut file = File::open(path)?;
            let size = file.metadata()?.len();
            file.seek(SeekFrom::Start(position))?;
            Ok(Self {
                file: BufReader::with_capacity(1 << 18, file),
                position,
                end: end.map_or(size, |end| end.min(size)),
                bytes: Vec::new(),
            })
        };
        open().map_err(|error| unreadable(&error))
    }

    /// Where the next batch begins.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The bytes of the batch that was read last.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the next batch.
    pub(super) fn next(&mut self) -> Result<Next, Stop> {
        let position = self.position;
        let left = self.end.saturating_sub(position);
        if left <= UP_TO_MAGIC {
            return Ok(Next::End { left });
        }
        self.read(OVERHEAD)?;
        let size = self
            .bytes
            .last_chunk()
            .map_or(0, |size| i32::from_be_bytes(*size));
        if size < SIZE_MIN {
            return Ok(Next::BadSize { position, size });
        }
        let size = u64::from(size.unsigned_abs());
        if OVERHEAD + size > left {
            return Ok(Next::End { left });
        }
        self.read(size)?;
        self.position += OVERHEAD + size;
        Ok(match BatchHeader::parse(&self.bytes) {
            Ok(header) => Next::Batch { position, header },
            Err(why) => Next::Wrong { position, why },
        })
    }

    /// Reads this many bytes: the first ones of a batch, or behind those that are there.
    fn read(&mut self, count: u64) -> Result<(), Stop> {
        if count == OVERHEAD {
            self.bytes.clear();
        }
        let read = self.file.by_ref().take(count).read_to_end(&mut self.bytes);
        match read {
            Ok(read) if read as u64 == count => Ok(()),
            Ok(_) => Err(Stop::File("it became shorter while it was read".to_owned())),
            Err(error) => Err(unreadable(&error)),
        }
    }
}

fn unreadable(error: &io::Error) -> Stop {
    Stop::File(format!("it cannot be read: {error}"))
}
