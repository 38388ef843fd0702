//! The records of a batch, walked as they are decompressed: nothing of them is kept.

use std::io::{self, BufRead};

use super::header::BatchError;
use super::varint::{unzigzag32, unzigzag64};

/// What the walk tells of a record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamRecord {
    pub(crate) index: u32,
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) has_key: bool,
}

/// Why a walk ended early.
#[derive(Debug)]
pub(crate) enum StreamError {
    /// The records are wrong.
    Batch(BatchError),
    /// Reading failed: the compressed data are broken, or a sink behind the reader refused.
    Io(io::Error),
}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Walks exactly `count` records to the end of `reader`, of which at most `max` bytes are read.
pub(crate) fn walk<R: BufRead>(
    reader: R,
    count: i32,
    max: u64,
    mut visit: impl FnMut(StreamRecord),
) -> Result<(), StreamError> {
    let mut walk = Walk {
        reader,
        left: u64::MAX,
        total: 0,
        max,
        index: 0,
    };
    for index in 0..count {
        walk.index = index as u32;
        if walk.at_end()? {
            return Err(StreamError::Batch(BatchError::CountMismatch {
                expected: count,
                found: index,
            }));
        }
        visit(walk.record()?);
    }
    if walk.at_end()? {
        return Ok(());
    }
    let found = count.saturating_add(1);
    Err(StreamError::Batch(BatchError::CountMismatch {
        expected: count,
        found,
    }))
}

struct Walk<R> {
    reader: R,
    /// Bytes left of the record.
    left: u64,
    total: u64,
    max: u64,
    index: u32,
}

impl<R: BufRead> Walk<R> {
    fn error(&self, problem: &'static str) -> StreamError {
        StreamError::Batch(BatchError::Record {
            index: self.index,
            problem,
        })
    }

    fn at_end(&mut self) -> Result<bool, StreamError> {
        Ok(self.reader.fill_buf()?.is_empty())
    }

    fn consume(&mut self, count: u64) -> Result<(), StreamError> {
        if count > self.left {
            return Err(self.error("field exceeds the record"));
        }
        self.left -= count;
        self.total += count;
        if self.total > self.max {
            let text = format!("more than {} bytes come out", self.max);
            return Err(StreamError::Batch(BatchError::Compression(text)));
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, StreamError> {
        self.consume(1)?;
        let Some(byte) = self.reader.fill_buf()?.first().copied() else {
            return Err(self.error("records end early"));
        };
        self.reader.consume(1);
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
        self.consume(count)?;
        while count > 0 {
            let ready = self.reader.fill_buf()?.len() as u64;
            if ready == 0 {
                return Err(self.error("records end early"));
            }
            let step = ready.min(count);
            self.reader.consume(step as usize);
            count -= step;
        }
        Ok(())
    }

    /// Skips a length and its bytes; whether there were any, `false` for null.
    fn skip_slice(&mut self) -> Result<bool, StreamError> {
        match self.i32()? {
            -1 => Ok(false),
            length => {
                let length = u64::try_from(length).map_err(|_| self.error("negative length"))?;
                self.skip(length)?;
                Ok(true)
            }
        }
    }

    fn record(&mut self) -> Result<StreamRecord, StreamError> {
        self.left = u64::MAX;
        let length = self.i32()?;
        self.left = u64::try_from(length).map_err(|_| self.error("length is negative"))?;
        self.byte()?;
        let timestamp_delta = unzigzag64(self.varint(10)?);
        let offset_delta = self.i32()?;
        if offset_delta < 0 {
            return Err(self.error("offset delta is negative"));
        }
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
            return Err(self.error("bytes are left over at its end"));
        }
        Ok(StreamRecord {
            index: self.index,
            timestamp_delta,
            offset_delta,
            has_key,
        })
    }
}
