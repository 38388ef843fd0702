//! Walks the batches of a segment's file: headers only, or whole batches with their checksums.

use super::files::{LOG_SUFFIX, SegmentFiles};
use crate::batch::{BATCH_HEADER_SIZE, Batch, BatchError, BatchHeader};
use crate::error::StorageError;

/// The end of a walk over a file that is not the end of the file.
#[derive(Debug)]
pub(crate) enum ScanError {
    /// The file cannot be read.
    Storage(StorageError),
    /// The bytes at this position are not a valid batch.
    Batch { position: u64, error: BatchError },
}

impl From<StorageError> for ScanError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl ScanError {
    /// Converts to a storage error, for files that are known to be valid: an invalid batch is an
    /// error of the storage.
    pub(crate) fn into_storage(self, files: &SegmentFiles) -> StorageError {
        match self {
            Self::Storage(error) => error,
            Self::Batch { position, error } => StorageError::invalid(
                "read batch from",
                &files.path(LOG_SUFFIX),
                format!("at byte {position}: {error}"),
            ),
        }
    }
}

/// Walks a file from a batch boundary to `end`.
pub(crate) struct Scan<'a> {
    files: &'a SegmentFiles,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
    chunk: usize,
}

impl<'a> Scan<'a> {
    /// Creates a walk over headers, which reads small pieces and skips records.
    pub(crate) fn headers(files: &'a SegmentFiles, position: u64, end: u64) -> Self {
        Self {
            files,
            position,
            end,
            buffer: Vec::new(),
            buffer_at: 0,
            chunk: 4 << 10,
        }
    }

    /// Creates a walk over whole batches, which reads large pieces.
    pub(crate) fn batches(files: &'a SegmentFiles, position: u64, end: u64) -> Self {
        Self {
            chunk: 1 << 20,
            ..Self::headers(files, position, end)
        }
    }

    /// Sets the number of bytes that are read at a time.
    pub(crate) fn with_chunk(self, chunk: usize) -> Self {
        Self { chunk, ..self }
    }

    /// Returns the position of the next batch.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Returns at least `length` bytes at the position, fewer if the file ends before.
    fn fill(&mut self, length: usize) -> Result<&[u8], ScanError> {
        let skipped = self.position.saturating_sub(self.buffer_at) as usize;
        let have = self.buffer.len().saturating_sub(skipped);
        if have < length && self.position + (have as u64) < self.end {
            let left = self.end - self.position;
            let want = (length.max(self.chunk) as u64).min(left) as usize;
            self.buffer = self.files.read(self.position, want)?;
            self.buffer_at = self.position;
        }
        let skipped = (self.position - self.buffer_at) as usize;
        Ok(self.buffer.get(skipped..).unwrap_or_default())
    }

    fn fail<T>(&self, error: BatchError) -> Result<T, ScanError> {
        Err(ScanError::Batch {
            position: self.position,
            error,
        })
    }

    /// Returns the header of the next batch if the file has all its bytes, which are read.
    pub(crate) fn peek_whole(&mut self) -> Result<Option<BatchHeader>, ScanError> {
        let Some(header) = self.peek()? else {
            return Ok(None);
        };
        let needed = u64::from(header.size);
        let available = self.fill(header.size as usize)?.len() as u64;
        if available < needed {
            return self.fail(BatchError::Truncated { needed, available });
        }
        Ok(Some(header))
    }

    /// Returns bytes at the position that were read before; fewer than `length` if fewer were.
    pub(crate) fn here(&self, length: usize) -> &[u8] {
        let skipped = self.position.saturating_sub(self.buffer_at) as usize;
        let here = self.buffer.get(skipped..).unwrap_or_default();
        here.get(..length).unwrap_or(here)
    }

    /// Returns bytes that were read before, and advances beyond them.
    pub(crate) fn take(&mut self, length: usize) -> &[u8] {
        let skipped = self.position.saturating_sub(self.buffer_at) as usize;
        self.position += length as u64;
        let here = self.buffer.get(skipped..).unwrap_or_default();
        here.get(..length).unwrap_or(here)
    }

    /// Moves to another position.
    pub(crate) fn go_to(&mut self, position: u64) {
        self.position = position;
        self.buffer.clear();
        self.buffer_at = position;
    }

    /// Returns the header `distance` bytes after the position, if one can be parsed there.
    pub(crate) fn header_after(
        &mut self,
        distance: usize,
    ) -> Result<Option<BatchHeader>, StorageError> {
        match self.fill(distance + BATCH_HEADER_SIZE) {
            Ok(bytes) => {
                let after = bytes.get(distance..).unwrap_or_default();
                Ok(BatchHeader::parse(after).ok())
            }
            Err(ScanError::Storage(error)) => Err(error),
            Err(ScanError::Batch { .. }) => Ok(None),
        }
    }

    /// Returns the header of the next batch, which must be whole; its records are skipped.
    pub(crate) fn next_header(&mut self) -> Result<Option<(u64, BatchHeader)>, ScanError> {
        let Some(header) = self.peek()? else {
            return Ok(None);
        };
        let position = self.position;
        self.position += u64::from(header.size);
        Ok(Some((position, header)))
    }

    fn peek(&mut self) -> Result<Option<BatchHeader>, ScanError> {
        if self.position >= self.end {
            return Ok(None);
        }
        let parsed = BatchHeader::parse(self.fill(BATCH_HEADER_SIZE)?);
        let header = match parsed {
            Ok(header) => header,
            Err(error) => return self.fail(error),
        };
        let available = self.end - self.position;
        if u64::from(header.size) > available {
            return self.fail(BatchError::Truncated {
                needed: u64::from(header.size),
                available,
            });
        }
        Ok(Some(header))
    }

    /// Passes the next batch to `visit`, which may reject it. Returns `false` at the end.
    pub(crate) fn next_batch(
        &mut self,
        visit: impl FnOnce(u64, &Batch<'_>) -> Result<(), BatchError>,
    ) -> Result<bool, ScanError> {
        let Some(header) = self.peek()? else {
            return Ok(false);
        };
        let size = header.size as usize;
        let position = self.position;
        let bytes = self.fill(size)?;
        let Some(bytes) = bytes.get(..size) else {
            let available = bytes.len() as u64;
            return self.fail(BatchError::Truncated {
                needed: size as u64,
                available,
            });
        };
        let batch = Batch {
            header,
            bytes,
            position: position as usize,
        };
        if let Err(error) = visit(position, &batch) {
            return self.fail(error);
        }
        self.position += size as u64;
        Ok(true)
    }
}
