//! Iterates over the records inside a batch without allocating.

use super::header::{BatchError, BatchHeader};
use super::varint::{read_i32, read_i64, write_i32, write_i64};
use dohle_config::TimestampType;
use dohle_model::{Offset, Timestamp};

/// One record, borrowed from the batch's uncompressed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// The record's offset, relative to the batch's base offset.
    pub offset_delta: i32,
    /// The record's offset in the log.
    pub offset: Offset,
    /// The record's timestamp; with log append time, that of the batch.
    pub timestamp: Option<Timestamp>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    header_count: i32,
    headers: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Iterates over the headers. Their encoding was already checked.
    #[must_use]
    pub fn headers(&self) -> HeaderIter<'a> {
        HeaderIter {
            left: self.header_count,
            bytes: self.headers,
            at: 0,
        }
    }
}

/// Iterates over a record's headers as pairs of key and value.
#[derive(Debug, Clone)]
pub struct HeaderIter<'a> {
    left: i32,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            return None;
        }
        self.left -= 1;
        let key = read_slice(self.bytes, &mut self.at).ok()??;
        let value = read_slice(self.bytes, &mut self.at).ok()?;
        Some((key, value))
    }
}

/// The fields of a batch's header that apply to all its records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordContext {
    base_offset: Offset,
    base_timestamp: i64,
    append_time: Option<Option<Timestamp>>,
}

impl RecordContext {
    pub(crate) fn new(header: &BatchHeader) -> Self {
        let append_time = match header.attributes.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(header.max_timestamp),
        };
        Self {
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            append_time,
        }
    }

    pub(crate) fn timestamp(&self, delta: i64) -> Option<Timestamp> {
        match self.append_time {
            Some(append_time) => append_time,
            None => Timestamp::from_wire(self.base_timestamp.wrapping_add(delta)),
        }
    }

    /// Returns the offset of a record, or what is wrong with its delta.
    pub(crate) fn offset(&self, delta: i32) -> Result<Offset, &'static str> {
        if delta < 0 {
            return Err("offset delta is negative");
        }
        let offset = self.base_offset.0.checked_add(i64::from(delta));
        offset.map(Offset).ok_or("offset is out of range")
    }

    /// Parses a record without its length prefix.
    pub(crate) fn parse<'r>(
        &self,
        index: u32,
        record: &'r [u8],
    ) -> Result<RecordView<'r>, BatchError> {
        let fail = |problem: &'static str| BatchError::Record { index, problem };
        // The first byte holds attributes, which are all unused.
        let mut at = 1;
        let timestamp_delta =
            read_i64(record, &mut at).ok_or_else(|| fail("timestamp is truncated"))?;
        let offset_delta = read_i32(record, &mut at).ok_or_else(|| fail("offset is truncated"))?;
        let offset = self.offset(offset_delta).map_err(fail)?;
        let key = read_slice(record, &mut at).map_err(|()| fail("key exceeds the record"))?;
        let value = read_slice(record, &mut at).map_err(|()| fail("value exceeds the record"))?;
        let header_count =
            read_i32(record, &mut at).ok_or_else(|| fail("header count is truncated"))?;
        if header_count < 0 {
            return Err(fail("header count is negative"));
        }
        let headers = &record[at..];
        let mut end = 0;
        for _ in 0..header_count {
            // Each iteration consumes two bytes or fails, so a count that is too large fails soon.
            match read_slice(headers, &mut end) {
                Ok(Some(_)) => {}
                Ok(None) => return Err(fail("header key is null")),
                Err(()) => return Err(fail("header key exceeds the record")),
            }
            read_slice(headers, &mut end).map_err(|()| fail("header value exceeds the record"))?;
        }
        if end != headers.len() {
            return Err(fail("it has unused bytes at its end"));
        }
        Ok(RecordView {
            offset_delta,
            offset,
            timestamp: self.timestamp(timestamp_delta),
            key,
            value,
            header_count,
            headers,
        })
    }
}

/// Iterates over the uncompressed records of a batch. Ends after the first error. It also checks
/// that the number of records is the count in the header.
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    bytes: &'a [u8],
    at: usize,
    index: i32,
    count: i32,
    context: RecordContext,
    done: bool,
}

impl<'a> RecordIter<'a> {
    /// Iterates over `uncompressed`, the records of the batch with this header.
    #[must_use]
    pub fn new(header: &BatchHeader, uncompressed: &'a [u8]) -> Self {
        Self {
            bytes: uncompressed,
            at: 0,
            index: 0,
            count: header.record_count,
            context: RecordContext::new(header),
            done: false,
        }
    }

    /// Copies the record at `at`, with `shift` added to its timestamp delta. Returns `None` when
    /// there is no complete record.
    pub(crate) fn copy_shifted(
        bytes: &[u8],
        at: &mut usize,
        shift: i64,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let length = usize::try_from(read_i32(bytes, at)?).ok()?;
        let record = bytes.get(*at..)?.get(..length)?;
        *at += length;
        let mut after = 1;
        let delta = read_i64(record, &mut after)?;
        let mut head = vec![*record.first()?];
        write_i64(&mut head, delta.wrapping_add(shift));
        let rest = &record[after..];
        write_i32(out, i32::try_from(head.len() + rest.len()).ok()?);
        out.extend_from_slice(&head);
        out.extend_from_slice(rest);
        Some(())
    }

    fn error(&self, problem: &'static str) -> BatchError {
        BatchError::Record {
            index: self.index as u32,
            problem,
        }
    }

    fn read(&mut self) -> Result<RecordView<'a>, BatchError> {
        let mut at = self.at;
        let length =
            read_i32(self.bytes, &mut at).ok_or_else(|| self.error("length is truncated"))?;
        let length = usize::try_from(length).map_err(|_| self.error("length is negative"))?;
        let record = self
            .bytes
            .get(at..)
            .and_then(|rest| rest.get(..length))
            .ok_or_else(|| self.error("length exceeds the batch"))?;
        let view = self.context.parse(self.index as u32, record)?;
        self.at = at + length;
        Ok(view)
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let at_end = self.at == self.bytes.len();
        if self.index == self.count || at_end {
            self.done = true;
            if self.index == self.count && at_end {
                return None;
            }
            let found = if at_end {
                self.index
            } else {
                self.index.saturating_add(1)
            };
            return Some(Err(BatchError::CountMismatch {
                expected: self.count,
                found,
            }));
        }
        let result = self.read();
        match &result {
            Ok(_) => self.index += 1,
            Err(_) => self.done = true,
        }
        Some(result)
    }
}

/// Reads a length (-1 for null) and that many bytes.
fn read_slice<'a>(bytes: &'a [u8], at: &mut usize) -> Result<Option<&'a [u8]>, ()> {
    let length = read_i32(bytes, at).ok_or(())?;
    if length < 0 {
        return if length == -1 { Ok(None) } else { Err(()) };
    }
    let slice = bytes
        .get(*at..)
        .and_then(|rest| rest.get(..length as usize))
        .ok_or(())?;
    *at += length as usize;
    Ok(Some(slice))
}
