//! Recompression on the leader: records are streamed from one codec to the other while they are
//! checked. Only their compression changes, not their bytes.

use std::io::{self, Read, Write};

use bytes::BytesMut;
use dohle_model::Timestamp;

use super::{Payload, Stop, ValidateError};
use crate::batch::{BATCH_HEADER_SIZE, BatchError, LOG_OVERHEAD};
use crate::compression::{CompressionLevel, CompressionType, Compressor};

/// Recompresses the records with codec `target`. Returns the batch, whose checksum is not updated
/// yet, and the largest timestamp.
pub(super) fn recompress(
    payload: &Payload<'_>,
    source: CompressionType,
    target: CompressionType,
) -> Result<(BytesMut, Option<Timestamp>), Stop> {
    let config = payload.config;
    let level = CompressionLevel(match target {
        CompressionType::Gzip => config.compression_gzip_level.map(|level| level as i32),
        CompressionType::Zstd => config.compression_zstd_level,
        _ => None,
    });
    let max = config.max_message_bytes;
    let header = payload.bytes[..BATCH_HEADER_SIZE].to_vec();
    let sink = BoundedSink {
        out: header,
        max: max as usize,
    };
    let fail = |error| sink_or_broken(error, source, max);
    let _memory = payload.memory(source)?;
    let reader = payload.decompressor(source)?;
    let mut tee = Tee {
        reader,
        sink: Compressor::new(target, level, sink).map_err(fail)?,
    };
    let max_timestamp = payload.check_stream(&mut tee, source)?;
    let sink = tee.sink.finish().map_err(fail)?;

    let mut batch = BytesMut::from(bytes::Bytes::from(sink.out));
    // The sink has kept the size within `max_message_bytes`, a u32 of at most `i32::MAX` in
    // practice.
    let length =
        i32::try_from(batch.len() - LOG_OVERHEAD).map_err(|_| ValidateError::TooLarge {
            size: batch.len() as u64,
            max,
        })?;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    // The codec is in the low byte of the attributes.
    batch[22] = (batch[22] & !0x07) | target.id();
    Ok((batch, max_timestamp))
}

/// Converts an error of a reader to an error of the batch.
pub(super) fn broken(codec: CompressionType) -> impl Fn(io::Error) -> ValidateError {
    move |error| BatchError::Compression(format!("{codec}: {error}")).into()
}

/// Converts an error of a reader that writes to a [`BoundedSink`].
pub(super) fn sink_or_broken(error: io::Error, codec: CompressionType, max: u32) -> ValidateError {
    let full = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<SinkFull>());
    match full {
        Some(SinkFull(size)) => ValidateError::TooLarge { size: *size, max },
        None => broken(codec)(error),
    }
}

/// The sink would exceed its limit; the value is a lower bound of its size.
#[derive(Debug, thiserror::Error)]
#[error("batch grows to {0} bytes or more")]
struct SinkFull(u64);

struct BoundedSink {
    out: Vec<u8>,
    max: usize,
}

impl Write for BoundedSink {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let size = self.out.len() + buf.len();
        if size > self.max {
            return Err(io::Error::other(SinkFull(size as u64)));
        }
        self.out.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that copies everything it reads to `sink`.
struct Tee<R, W: Write> {
    reader: R,
    sink: Compressor<W>,
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buf)?;
        self.sink.write_all(&buf[..count])?;
        Ok(count)
    }
}
