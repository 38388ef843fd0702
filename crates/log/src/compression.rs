//! Kafka's codecs: gzip, snappy (in the framing of xerial's library), lz4 and zstd.
//!
//! The caller bounds the uncompressed size; no memory is allocated from a length that the data only
//! claim.

use std::io::{self, Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

mod memory;
mod window;
mod zstd_reader;

pub use dohle_model::CompressionType;
pub use memory::{DecompressionMemory, DecompressionPermit};
pub(crate) use window::working_memory;
use zstd_reader::ZstdReader;

/// A codec's level; `None` is its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompressionLevel(pub Option<i32>);

/// The reason why data cannot be compressed or decompressed.
#[derive(Debug, thiserror::Error)]
pub enum CompressionError {
    /// The data unpack to more bytes than the caller allows.
    #[error("the data unpack to more than {0} bytes")]
    TooLarge(u64),
    /// The data are not valid for the codec.
    #[error("{codec}: {source}")]
    Codec {
        /// The codec.
        codec: CompressionType,
        /// The codec's error.
        source: io::Error,
    },
}

/// Decompresses all of `data`.
///
/// # Errors
/// When the data are invalid or unpack to more than `max` bytes.
pub fn decompress(
    codec: CompressionType,
    data: &[u8],
    max: usize,
) -> Result<Vec<u8>, CompressionError> {
    let error = |source| CompressionError::Codec { codec, source };
    let mut out = Vec::with_capacity(max.min(data.len().saturating_mul(4)).min(1 << 20));
    let limit = (max as u64).saturating_add(1);
    let reader = Decompressor::new(codec, data, None).map_err(error)?;
    reader.take(limit).read_to_end(&mut out).map_err(error)?;
    if out.len() > max {
        return Err(CompressionError::TooLarge(max as u64));
    }
    Ok(out)
}

/// Compresses `data` and appends the result to `out`.
///
/// # Errors
/// When the codec fails, which does not happen for data in memory and levels in range.
pub fn compress(
    codec: CompressionType,
    level: CompressionLevel,
    data: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    let error = |source| CompressionError::Codec { codec, source };
    let mut writer = Compressor::new(codec, level, out).map_err(error)?;
    writer.write_all(data).map_err(error)?;
    writer.finish().map_err(error).map(|_| ())
}

/// A reader that decompresses.
pub(crate) enum Decompressor<'a> {
    None(&'a [u8]),
    Gzip(Box<MultiGzDecoder<&'a [u8]>>),
    Snappy(SnappyReader<'a>),
    Lz4(Box<FrameDecoder<&'a [u8]>>),
    Zstd(ZstdReader<'a>),
}

impl<'a> Decompressor<'a> {
    /// Creates a reader that decompresses `data`. The zstd context comes from `memory`, which keeps
    /// a few for reuse.
    pub(crate) fn new(
        codec: CompressionType,
        data: &'a [u8],
        memory: Option<&'a DecompressionMemory>,
    ) -> io::Result<Self> {
        Ok(match codec {
            CompressionType::None => Self::None(data),
            CompressionType::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(data))),
            CompressionType::Snappy => Self::Snappy(SnappyReader::new(data)),
            CompressionType::Lz4 => Self::Lz4(Box::new(FrameDecoder::new(data))),
            CompressionType::Zstd => Self::Zstd(ZstdReader::new(data, memory)?),
        })
    }
}

impl Read for Decompressor<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None(data) => data.read(buf),
            Self::Gzip(reader) => reader.read(buf),
            Self::Snappy(reader) => reader.read(buf),
            Self::Lz4(reader) => reader.read(buf),
            Self::Zstd(reader) => reader.read(buf),
        }
    }
}

/// A writer that compresses.
pub(crate) enum Compressor<W: Write> {
    None(W),
    Gzip(GzEncoder<W>),
    Snappy(Box<SnappyWriter<W>>),
    Lz4(Box<FrameEncoder<W>>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Compressor<W> {
    pub(crate) fn new(codec: CompressionType, level: CompressionLevel, out: W) -> io::Result<Self> {
        Ok(match codec {
            CompressionType::None => Self::None(out),
            CompressionType::Gzip => {
                let level = level.0.and_then(|level| u32::try_from(level).ok());
                let level = level.map_or(flate2::Compression::default(), |level| {
                    flate2::Compression::new(level.clamp(1, 9))
                });
                Self::Gzip(GzEncoder::new(out, level))
            }
            CompressionType::Snappy => Self::Snappy(Box::new(SnappyWriter::new(out))),
            CompressionType::Lz4 => {
                let frame = FrameInfo::new().block_size(BlockSize::Max64KB);
                Self::Lz4(Box::new(FrameEncoder::with_frame_info(frame, out)))
            }
            CompressionType::Zstd => {
                let level = level.0.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
                Self::Zstd(zstd::stream::write::Encoder::new(out, level)?)
            }
        })
    }

    /// Writes the remaining bytes and returns the sink.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::None(out) => Ok(out),
            Self::Gzip(writer) => writer.finish(),
            Self::Snappy(writer) => writer.finish(),
            Self::Lz4(writer) => writer.finish().map_err(io::Error::from),
            Self::Zstd(writer) => writer.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(out) => out.write(buf),
            Self::Gzip(writer) => writer.write(buf),
            Self::Snappy(writer) => writer.write(buf),
            Self::Lz4(writer) => writer.write(buf),
            Self::Zstd(writer) => writer.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Magic, version and lowest compatible version of xerial's framing.
const XERIAL_HEADER: [u8; 16] = [
    0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1,
];
const XERIAL_MAGIC: &[u8] = XERIAL_HEADER.first_chunk::<8>().expect("16 is more than 8");
/// Bytes of a block, as Kafka compresses them.
const SNAPPY_BLOCK_SIZE: usize = 32 * 1024;
/// Snappy's densest element encodes 64 bytes in 3.
const SNAPPY_EXPANSION_MAX: usize = 22;

/// Reads xerial's framing, or a single raw block.
pub(crate) struct SnappyReader<'a> {
    data: &'a [u8],
    framed: bool,
    block: Vec<u8>,
    at: usize,
}

impl<'a> SnappyReader<'a> {
    fn new(data: &'a [u8]) -> Self {
        let framed = data.len() >= XERIAL_HEADER.len() && data.starts_with(XERIAL_MAGIC);
        let data = if framed {
            &data[XERIAL_HEADER.len()..]
        } else {
            data
        };
        Self {
            data,
            framed,
            block: Vec::new(),
            at: 0,
        }
    }

    /// Returns the next compressed block; `None` at the end.
    fn next_compressed(&mut self) -> io::Result<Option<&'a [u8]>> {
        let invalid = |text: &'static str| io::Error::new(io::ErrorKind::InvalidData, text);
        if !self.framed {
            let block = std::mem::take(&mut self.data);
            return Ok((!block.is_empty()).then_some(block));
        }
        // Concatenated streams repeat the header.
        if self.data.starts_with(XERIAL_MAGIC) && self.data.len() >= XERIAL_HEADER.len() {
            self.data = &self.data[XERIAL_HEADER.len()..];
        }
        if self.data.is_empty() {
            return Ok(None);
        }
        let (length, rest) = self
            .data
            .split_first_chunk::<4>()
            .ok_or_else(|| invalid("block length is truncated"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let block = rest
            .get(..length)
            .ok_or_else(|| invalid("block is truncated"))?;
        self.data = &rest[length..];
        Ok(Some(block))
    }

    fn next_block(&mut self) -> io::Result<()> {
        let Some(compressed) = self.next_compressed()? else {
            return Ok(());
        };
        let length = snappy_block_len(compressed)?;
        self.block.clear();
        self.block.resize(length, 0);
        self.at = 0;
        snap::raw::Decoder::new().decompress(compressed, &mut self.block)?;
        Ok(())
    }
}

/// Returns the uncompressed length in a block's header, after checking that the block can unpack to
/// it.
fn snappy_block_len(compressed: &[u8]) -> io::Result<usize> {
    let length = snap::raw::decompress_len(compressed)?;
    if length > compressed.len().saturating_mul(SNAPPY_EXPANSION_MAX) {
        let text = "block has a length that it cannot unpack to";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(length)
}

impl Read for SnappyReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() && !self.data.is_empty() {
            self.next_block()?;
        }
        let ready = &self.block[self.at..];
        let count = ready.len().min(buf.len());
        buf[..count].copy_from_slice(&ready[..count]);
        self.at += count;
        Ok(count)
    }
}

/// Writes xerial's framing.
pub(crate) struct SnappyWriter<W: Write> {
    out: W,
    block: Vec<u8>,
    encoder: snap::raw::Encoder,
    started: bool,
}

impl<W: Write> SnappyWriter<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            block: Vec::new(),
            encoder: snap::raw::Encoder::new(),
            started: false,
        }
    }

    fn write_block(&mut self) -> io::Result<()> {
        if !self.started {
            self.out.write_all(&XERIAL_HEADER)?;
            self.started = true;
        }
        if self.block.is_empty() {
            return Ok(());
        }
        let compressed = self.encoder.compress_vec(&self.block)?;
        let length = u32::try_from(compressed.len()).map_err(io::Error::other)?;
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(&compressed)?;
        self.block.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<W> {
        self.write_block()?;
        Ok(self.out)
    }
}

impl<W: Write> Write for SnappyWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let count = buf.len().min(SNAPPY_BLOCK_SIZE - self.block.len());
        self.block.extend_from_slice(&buf[..count]);
        if self.block.len() == SNAPPY_BLOCK_SIZE {
            self.write_block()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [CompressionType; 5] = [
        CompressionType::None,
        CompressionType::Gzip,
        CompressionType::Snappy,
        CompressionType::Lz4,
        CompressionType::Zstd,
    ];

    #[test]
    fn every_codec_gives_back_what_it_took() {
        for size in [0, 1, 100, 32 * 1024, 200_000] {
            let data: Vec<u8> = (0..size).map(|i: u32| (i / 7 % 251) as u8).collect();
            for codec in ALL {
                let mut out = vec![9];
                compress(codec, CompressionLevel(None), &data, &mut out).unwrap();
                assert_eq!(out[0], 9);
                let back = decompress(codec, &out[1..], data.len()).unwrap();
                assert!(back == data, "{codec} {size}");
            }
        }
    }

    #[test]
    fn output_over_the_limit_is_refused() {
        let data = vec![0; 100_000];
        for codec in ALL {
            let mut out = Vec::new();
            compress(codec, CompressionLevel(None), &data, &mut out).unwrap();
            let error = decompress(codec, &out, 99_999).unwrap_err();
            assert!(
                matches!(error, CompressionError::TooLarge(99_999)),
                "{codec}: {error}"
            );
        }
    }

    #[test]
    fn a_raw_snappy_block_is_read_and_a_lying_one_refused() {
        let raw = snap::raw::Encoder::new()
            .compress_vec(b"hello hello hello")
            .unwrap();
        assert_eq!(
            decompress(CompressionType::Snappy, &raw, 100).unwrap(),
            b"hello hello hello"
        );
        // A varint of nearly 4 GiB in front of nothing.
        let lying = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert!(decompress(CompressionType::Snappy, &lying, usize::MAX >> 1).is_err());
    }

    /// CVE-2023-34455: snappy's Java library allocated as many bytes as a chunk announces, so a
    /// record of a few bytes ended a broker.
    #[test]
    fn a_snappy_chunk_that_announces_gigabytes_is_refused_and_allocates_nothing() {
        let chunk = |length: u32, content: &[u8]| {
            [&XERIAL_HEADER[..], &length.to_be_bytes(), content].concat()
        };
        // Two compressed bytes, and six that unpack to 4 GiB by their own account.
        let lying = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        for data in [
            chunk(0x7fff_ffff, b"ab"),
            chunk(u32::MAX, b"ab"),
            chunk(6, &lying),
            lying.to_vec(),
        ] {
            let mut reader = SnappyReader::new(&data);
            assert!(reader.read(&mut [0; 10]).is_err());
            assert_eq!(reader.block.capacity(), 0);
            assert!(working_memory(CompressionType::Snappy, &data, u64::MAX).is_err());
        }
    }
}
