//! Reads the records of a batch while they are decompressed. Only a window of the uncompressed
//! bytes is in memory, never the whole batch.

use std::io::{self, Read};

use dohle_model::{Offset, Timestamp};

use super::header::{BatchError, BatchHeader};
use super::iter::Batch;
use super::record::{RecordContext, RecordView};
use super::varint::{read_i32, unzigzag32, unzigzag64};
use crate::compression::{
    CompressionType, DecompressionMemory, DecompressionPermit, Decompressor, working_memory,
};

/// The most bytes that one batch of any codec may unpack to. Dohle accepts, compacts, searches and
/// loads no batch that unpacks to more, so that a small batch cannot occupy a processor for long.
pub const UNPACKED_BYTES_MAX: u64 = 256 << 20;

/// Bytes that are decompressed in advance.
const WINDOW: usize = 32 << 10;
/// The most bytes that the length prefix of a record may have.
const LENGTH_MAX: usize = 5;

/// The fields of a record apart from key, value and headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHead {
    /// The record's index in the batch, from 0.
    pub index: u32,
    /// The record's offset, relative to the batch's base offset.
    pub offset_delta: i32,
    /// The record's offset in the log.
    pub offset: Offset,
    /// The record's timestamp; with log append time, that of the batch.
    pub timestamp: Option<Timestamp>,
    /// Whether the record has a key.
    pub has_key: bool,
}

/// The reason why a stream ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    /// The records are invalid.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Reading failed: the compressed data are invalid, or the sink behind the reader returned an
    /// error.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The batch unpacks to more bytes than are allowed.
    #[error("the data unpack to more than {0} bytes")]
    TooLarge(u64),
    /// A record is larger than [`RecordWalk::limit_records`] allows.
    #[error("record {index} has {size} bytes")]
    RecordTooLarge {
        /// The record's index in the batch.
        index: u32,
        /// Its size.
        size: u32,
    },
}

impl StreamError {
    fn into_batch(self, codec: CompressionType) -> BatchError {
        match self {
            Self::Batch(error) => error,
            other => BatchError::Compression(format!("{codec}: {other}")),
        }
    }
}

/// A stream of the records of one batch.
pub struct RecordStream<'a> {
    codec: CompressionType,
    walk: RecordWalk<Decompressor<'a>>,
    _permit: Option<DecompressionPermit<'a>>,
}

impl<'a> Batch<'a> {
    /// Reads the records while they are decompressed. The memory for that is acquired from
    /// `memory`, which blocks until it is free. No memory is acquired for records that are stored
    /// uncompressed.
    ///
    /// # Errors
    /// When the codec is unknown or the compressed data begin with an invalid header.
    pub fn stream<'b: 'a>(
        &self,
        memory: &'b DecompressionMemory,
    ) -> Result<RecordStream<'a>, BatchError> {
        let codec = self.header.attributes.compression()?;
        let broken = |text: String| BatchError::Compression(format!("{codec}: {text}"));
        let bytes = working_memory(codec, self.payload(), UNPACKED_BYTES_MAX)
            .map_err(|error| broken(error.to_string()))?;
        let permit = (bytes > 0).then(|| memory.acquire(bytes));
        let reader = Decompressor::new(codec, self.payload(), Some(memory));
        let reader = reader.map_err(|error| broken(error.to_string()))?;
        Ok(RecordStream {
            codec,
            walk: RecordWalk::new(&self.header, reader, UNPACKED_BYTES_MAX),
            _permit: permit,
        })
    }
}

impl RecordStream<'_> {
    /// Returns the next record without its content, which may be larger than memory; `None` after
    /// the last record.
    ///
    /// # Errors
    /// When the data are invalid, unpack to too many bytes, or contradict the batch's header. The
    /// stream ends then.
    pub fn next_head(&mut self) -> Result<Option<RecordHead>, BatchError> {
        let codec = self.codec;
        self.walk
            .next_head()
            .map_err(|error| error.into_batch(codec))
    }

    /// Returns the next record, which is held in memory; `None` after the last record.
    ///
    /// # Errors
    /// The same as for [`RecordStream::next_head`].
    pub fn next_record(&mut self) -> Result<Option<RecordView<'_>>, BatchError> {
        let codec = self.codec;
        match self.walk.next_record() {
            Ok(found) => Ok(found.map(|(record, _)| record)),
            Err(error) => Err(error.into_batch(codec)),
        }
    }

    /// Returns the result of [`RecordStream::next_record`] together with the record's bytes,
    /// including the length prefix.
    pub(crate) fn next_with_bytes(
        &mut self,
    ) -> Result<Option<(RecordView<'_>, &[u8])>, BatchError> {
        let codec = self.codec;
        self.walk
            .next_record()
            .map_err(|error| error.into_batch(codec))
    }
}

/// Reads records up to the end of a reader, and checks that their number is the count in the
/// header.
pub(crate) struct RecordWalk<R> {
    reader: R,
    context: RecordContext,
    index: i32,
    count: i32,
    done: bool,
    window: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes read from the reader so far.
    unpacked: u64,
    unpacked_max: u64,
    /// The largest size of a record.
    record_max: u32,
    /// Whether the reader has reached its end.
    at_end: bool,
    /// Bytes not read yet of a record that is larger than the window.
    left: u64,
}

impl<R: Read> RecordWalk<R> {
    /// Reads the uncompressed records that `reader` returns, at most `unpacked_max` bytes.
    pub(crate) fn new(header: &BatchHeader, reader: R, unpacked_max: u64) -> Self {
        Self {
            reader,
            context: RecordContext::new(header),
            index: 0,
            count: header.record_count,
            done: false,
            window: Vec::new(),
            start: 0,
            end: 0,
            unpacked: 0,
            unpacked_max,
            record_max: u32::MAX,
            at_end: false,
            left: 0,
        }
    }

    /// Ends the walk with an error at a record of more than `max` bytes, before it is read.
    pub(crate) fn limit_records(mut self, max: u32) -> Self {
        self.record_max = max;
        self
    }

    /// Returns the next record without its content.
    pub(crate) fn next_head(&mut self) -> Result<Option<RecordHead>, StreamError> {
        if self.done {
            return Ok(None);
        }
        // Cleared below once the step has succeeded.
        self.done = true;
        if !self.has_next()? {
            return Ok(None);
        }
        let (prefix, length) = self.length()?;
        let head = if prefix + length <= WINDOW {
            let index = self.index as u32;
            let context = self.context;
            let record = context.parse(index, self.whole(prefix, length)?)?;
            let head = RecordHead {
                index,
                offset_delta: record.offset_delta,
                offset: record.offset,
                timestamp: record.timestamp,
                has_key: record.key.is_some(),
            };
            self.start += prefix + length;
            head
        } else {
            self.start += prefix;
            self.left = length as u64;
            self.large_head()?
        };
        self.index += 1;
        self.done = false;
        Ok(Some(head))
    }

    /// Returns the next record, and its bytes including the length prefix.
    pub(crate) fn next_record(&mut self) -> Result<Option<(RecordView<'_>, &[u8])>, StreamError> {
        if self.done {
            return Ok(None);
        }
        self.done = true;
        if !self.has_next()? {
            return Ok(None);
        }
        let (prefix, length) = self.length()?;
        let (index, context) = (self.index as u32, self.context);
        self.whole(prefix, length)?;
        let bytes = self.start..self.start + prefix + length;
        let record = context.parse(index, &self.window[bytes.start + prefix..bytes.end])?;
        self.start = bytes.end;
        self.index += 1;
        self.done = false;
        Ok(Some((record, &self.window[bytes])))
    }

    /// Returns whether another record follows.
    fn has_next(&mut self) -> Result<bool, StreamError> {
        let is_empty = self.fill(1)?.is_empty();
        if is_empty && self.index == self.count {
            return Ok(false);
        }
        if is_empty || self.index == self.count {
            let found = self.index.saturating_add(i32::from(!is_empty));
            let expected = self.count;
            return Err(BatchError::CountMismatch { expected, found }.into());
        }
        Ok(true)
    }

    /// Returns the length of the next record, and the number of bytes of the length prefix.
    fn length(&mut self) -> Result<(usize, usize), StreamError> {
        let bytes = self.fill(LENGTH_MAX)?;
        let mut prefix = 0;
        let length = read_i32(bytes, &mut prefix);
        let length = length.ok_or_else(|| self.error("length is truncated"))?;
        let length = usize::try_from(length).map_err(|_| self.error("length is negative"))?;
        if length > self.record_max as usize {
            return Err(StreamError::RecordTooLarge {
                index: self.index as u32,
                size: length as u32,
            });
        }
        if length as u64 > self.unpacked_max {
            return Err(StreamError::TooLarge(self.unpacked_max));
        }
        Ok((prefix, length))
    }

    /// Returns the whole record from the window.
    fn whole(&mut self, prefix: usize, length: usize) -> Result<&[u8], StreamError> {
        let size = prefix + length;
        if self.fill(size)?.len() < size {
            return Err(self.error("length exceeds the batch"));
        }
        Ok(&self.window[self.start + prefix..self.start + size])
    }

    fn error(&self, problem: &'static str) -> StreamError {
        let index = self.index as u32;
        BatchError::Record { index, problem }.into()
    }

    /// Returns the uncompressed bytes at the current position: at least `wanted` bytes, fewer only
    /// at the end. The window grows with the bytes that the reader returns, not with `wanted`.
    fn fill(&mut self, wanted: usize) -> Result<&[u8], StreamError> {
        while self.end - self.start < wanted && !self.at_end {
            if self.start > 0 && self.start + wanted > self.window.len() {
                self.window.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if self.end == self.window.len() {
                let size = (self.window.len() * 2).max(WINDOW);
                self.window.resize(size, 0);
            }
            let count = loop {
                match self.reader.read(&mut self.window[self.end..]) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => break other?,
                }
            };
            self.at_end = count == 0;
            self.end += count;
            self.unpacked += count as u64;
            if self.unpacked > self.unpacked_max {
                return Err(StreamError::TooLarge(self.unpacked_max));
            }
        }
        Ok(&self.window[self.start..self.end])
    }

    /// Reads a record that is larger than the window field by field.
    fn large_head(&mut self) -> Result<RecordHead, StreamError> {
        // The first byte holds attributes, which are all unused.
        self.byte()?;
        let timestamp_delta = unzigzag64(self.varint(10)?);
        let offset_delta = self.i32()?;
        let offset = self.context.offset(offset_delta);
        let offset = offset.map_err(|problem| self.error(problem))?;
        let has_key = self.skip_slice()?;
        self.skip_slice()?;
        let headers = self.i32()?;
        if headers < 0 {
            return Err(self.error("header count is negative"));
        }
        for _ in 0..headers {
            if !self.skip_slice()? {
                return Err(self.error("header key is null"));
            }
            self.skip_slice()?;
        }
        if self.left != 0 {
            return Err(self.error("it has unused bytes at its end"));
        }
        Ok(RecordHead {
            index: self.index as u32,
            offset_delta,
            offset,
            timestamp: self.context.timestamp(timestamp_delta),
            has_key,
        })
    }

    fn take(&mut self, count: u64) -> Result<(), StreamError> {
        if count > self.left {
            return Err(self.error("field exceeds the record"));
        }
        self.left -= count;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, StreamError> {
        self.take(1)?;
        let Some(byte) = self.fill(1)?.first().copied() else {
            return Err(self.error("length exceeds the batch"));
        };
        self.start += 1;
        Ok(byte)
    }

    fn varint(&mut self, bytes_max: u32) -> Result<u64, StreamError> {
        let mut value = 0u64;
        for i in 0..bytes_max {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.error("number is too long"))
    }

    fn i32(&mut self) -> Result<i32, StreamError> {
        Ok(unzigzag32(self.varint(5)? as u32))
    }

    fn skip(&mut self, mut count: u64) -> Result<(), StreamError> {
        self.take(count)?;
        while count > 0 {
            let ready = self.fill(1)?.len() as u64;
            if ready == 0 {
                return Err(self.error("length exceeds the batch"));
            }
            let step = ready.min(count);
            self.start += step as usize;
            count -= step;
        }
        Ok(())
    }

    /// Skips a length and as many bytes. Returns `false` if the length is that of null.
    fn skip_slice(&mut self) -> Result<bool, StreamError> {
        match self.i32()? {
            -1 => Ok(false),
            length => {
                let length = u64::try_from(length).map_err(|_| self.error("length is negative"))?;
                self.skip(length)?;
                Ok(true)
            }
        }
    }
}
