//! Iterates over the batches in a buffer.

use std::borrow::Cow;

use super::header::{BATCH_HEADER_SIZE, BatchError, BatchHeader};
use super::record::RecordIter;
use crate::compression;

/// One complete batch in a buffer. Its checksum is not verified.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The header.
    pub header: BatchHeader,
    /// The whole batch.
    pub bytes: &'a [u8],
    /// The position of the batch in the buffer.
    pub position: usize,
}

impl<'a> Batch<'a> {
    /// Returns the records as they are stored, compressed or not.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[BATCH_HEADER_SIZE..]
    }

    /// Returns the records uncompressed. They are borrowed if the batch stores them uncompressed.
    ///
    /// # Errors
    /// When the codec is unknown, the data are invalid, or they unpack to more than `max` bytes.
    pub fn uncompressed(&self, max: usize) -> Result<Cow<'a, [u8]>, BatchError> {
        let codec = self.header.attributes.compression()?;
        if codec == compression::CompressionType::None {
            return Ok(Cow::Borrowed(self.payload()));
        }
        compression::decompress(codec, self.payload(), max)
            .map(Cow::Owned)
            .map_err(|error| BatchError::Compression(error.to_string()))
    }

    /// Iterates over the records in `uncompressed`, which must be the result of
    /// [`Self::uncompressed`] of this batch.
    #[must_use]
    pub fn records<'b>(&self, uncompressed: &'b [u8]) -> RecordIter<'b> {
        RecordIter::new(&self.header, uncompressed)
    }
}

/// Iterates over the batches of a buffer. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Batches<'a> {
    /// Creates an iterator over all batches in `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Returns the position of the next batch; after an error, the position of the invalid batch.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.bytes[self.position..];
        if rest.is_empty() {
            return None;
        }
        let header = match BatchHeader::parse(rest) {
            Ok(header) => header,
            Err(error) => {
                self.bytes = &self.bytes[..self.position];
                return Some(Err(error));
            }
        };
        let Some(bytes) = rest.get(..header.size as usize) else {
            self.bytes = &self.bytes[..self.position];
            return Some(Err(BatchError::Truncated {
                needed: u64::from(header.size),
                available: rest.len() as u64,
            }));
        };
        let batch = Batch {
            header,
            bytes,
            position: self.position,
        };
        self.position += bytes.len();
        Some(Ok(batch))
    }
}
