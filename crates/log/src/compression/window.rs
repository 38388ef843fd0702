//! Computes from the headers of compressed data how much memory their decompression as a stream
//! needs.

use std::io;

use zstd::zstd_safe;

use super::{CompressionError, CompressionType, SnappyReader, snappy_block_len};

/// Bytes of zlib's state and output buffer, with its window of 32 KiB.
const GZIP: u64 = 64 << 10;
/// Bytes of a zstd context without its window: its state, and buffers of one block each.
const ZSTD_CONTEXT: u64 = 512 << 10;
/// The largest window of zstd that is accepted, 128 MiB: that of its highest level, and the default
/// limit of its decoders, Kafka's included.
const ZSTD_WINDOW_MAX: u64 = 1 << 27;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const LZ4_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

/// Returns the bytes that decompressing `data` as a stream needs, where the data unpack to at most
/// `unpacked_max` bytes. Returns 0 for data that are not compressed.
///
/// # Errors
/// When the headers are invalid, have a size above `unpacked_max` or above what any decoder
/// accepts, or use a feature that Kafka's own decoder rejects.
pub(crate) fn working_memory(
    codec: CompressionType,
    data: &[u8],
    unpacked_max: u64,
) -> Result<u64, CompressionError> {
    let bytes = match codec {
        CompressionType::None => Ok(0),
        CompressionType::Gzip => Ok(GZIP),
        CompressionType::Snappy => snappy(data),
        CompressionType::Lz4 => lz4(data),
        CompressionType::Zstd => zstd(data, unpacked_max),
    };
    let bytes = bytes.map_err(|source| CompressionError::Codec { codec, source })?;
    if codec == CompressionType::Snappy && bytes > unpacked_max {
        return Err(CompressionError::TooLarge(unpacked_max));
    }
    Ok(bytes)
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Returns the size of the largest block, since each block is decompressed as a whole.
fn snappy(data: &[u8]) -> io::Result<u64> {
    let mut blocks = SnappyReader::new(data);
    let mut largest = 0;
    while let Some(block) = blocks.next_compressed()? {
        largest = largest.max(snappy_block_len(block)?);
    }
    Ok(largest as u64)
}

/// Returns the bytes of a compressed and of an uncompressed block. The data must be exactly one
/// frame, including its end mark: the decoder treats data that end between two blocks, or that are
/// too short for another frame, as complete.
fn lz4(data: &[u8]) -> io::Result<u64> {
    const INDEPENDENT_BLOCKS: u8 = 1 << 5;
    const BLOCK_CHECKSUM: u8 = 1 << 4;
    const CONTENT_SIZE: u8 = 1 << 3;
    const CONTENT_CHECKSUM: u8 = 1 << 2;
    const DICTIONARY: u8 = 1;
    let Some(&[a, b, c, d, flags, descriptor]) = data.first_chunk::<6>() else {
        return Err(invalid("the frame header is truncated"));
    };
    if [a, b, c, d] != LZ4_MAGIC {
        return Err(invalid("the data are not an lz4 frame"));
    }
    if flags & INDEPENDENT_BLOCKS == 0 {
        // Kafka's decoder, which consumers of the batch use, rejects them too.
        return Err(invalid(
            "blocks that depend on each other are not supported",
        ));
    }
    let block_max = match (descriptor >> 4) & 0x07 {
        4 => 64 << 10,
        5 => 256 << 10,
        6 => 1 << 20,
        7 => 4 << 20,
        _ => return Err(invalid("the block size is unknown")),
    };
    let bytes_if = |flag: u8, bytes: usize| if flags & flag == 0 { 0 } else { bytes };
    // The header ends with its checksum.
    let mut at = 7 + bytes_if(CONTENT_SIZE, 8) + bytes_if(DICTIONARY, 4);
    loop {
        let size = data.get(at..).and_then(|rest| rest.first_chunk::<4>());
        let size = u32::from_le_bytes(*size.ok_or_else(|| invalid("the frame has no end mark"))?);
        at += 4;
        if size == 0 {
            break;
        }
        // The highest bit marks a block that is stored uncompressed.
        at += (size & 0x7fff_ffff) as usize + bytes_if(BLOCK_CHECKSUM, 4);
    }
    if data.len() != at + bytes_if(CONTENT_CHECKSUM, 4) {
        return Err(invalid("the frame does not end at the end of the data"));
    }
    Ok(2 * block_max)
}

/// Returns the memory for the largest window of the frames.
fn zstd(mut data: &[u8], unpacked_max: u64) -> io::Result<u64> {
    let mut largest = 0;
    while !data.is_empty() {
        if data.starts_with(&ZSTD_MAGIC) {
            largest = largest.max(zstd_window(data).ok_or_else(|| invalid("frame is truncated"))?);
        }
        let size = zstd_safe::find_frame_compressed_size(data);
        let size = size.map_err(|code| io::Error::other(zstd_safe::get_error_name(code)))?;
        // The size is never 0 and never exceeds the data. The bounds prevent an endless loop or a
        // panic if it did.
        data = data.get(size.max(1)..).unwrap_or_default();
    }
    if largest > ZSTD_WINDOW_MAX {
        return Err(invalid("the window is larger than 128 MiB"));
    }
    // The window's memory is touched only as far as bytes are unpacked.
    Ok(ZSTD_CONTEXT + largest.min(unpacked_max))
}

/// Returns the window of the frame at the start of `data` (RFC 8878, 3.1.1.1); `None` when its
/// header is truncated.
fn zstd_window(data: &[u8]) -> Option<u64> {
    let descriptor = *data.get(4)?;
    if descriptor & (1 << 5) == 0 {
        let byte = *data.get(5)?;
        let base = 1u64 << (10 + (byte >> 3));
        return Some(base + base / 8 * u64::from(byte & 0x07));
    }
    // The frame is a single segment: its window is the content, whose size is in the header.
    let at = 5 + [0, 1, 2, 4][usize::from(descriptor & 0x03)];
    let size = 1 << (descriptor >> 6);
    let mut bytes = [0; 8];
    bytes[..size].copy_from_slice(data.get(at..at + size)?);
    let content = u64::from_le_bytes(bytes);
    Some(if size == 2 { content + 256 } else { content })
}

#[cfg(test)]
mod tests {
    use super::super::{CompressionLevel, compress};
    use super::*;

    fn compressed(codec: CompressionType, level: Option<i32>, size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        compress(codec, CompressionLevel(level), &vec![7; size], &mut out).unwrap();
        out
    }

    const MAX: u64 = 256 << 20;

    #[test]
    fn a_bomb_is_charged_its_window_not_what_it_unpacks_to() {
        let size = 4 << 20;
        for (codec, expected) in [
            (CompressionType::None, 0),
            (CompressionType::Gzip, GZIP),
            (CompressionType::Snappy, 32 << 10),
            (CompressionType::Lz4, 128 << 10),
            (CompressionType::Zstd, ZSTD_CONTEXT + (2 << 20)),
        ] {
            let data = compressed(codec, None, size);
            assert_eq!(
                working_memory(codec, &data, MAX).unwrap(),
                expected,
                "{codec}"
            );
        }
    }

    #[test]
    fn zstd_is_charged_the_largest_window_of_its_frames() {
        let codec = CompressionType::Zstd;
        let mut data = compressed(codec, Some(1), 10);
        let small = working_memory(codec, &data, MAX).unwrap();
        data.extend(compressed(codec, Some(22), 10));
        let large = working_memory(codec, &data, MAX).unwrap();
        assert_eq!(large, ZSTD_CONTEXT + (128 << 20));
        assert!(small < large);
        assert_eq!(
            working_memory(codec, &data, 1000).unwrap(),
            ZSTD_CONTEXT + 1000
        );
        // One segment of a megabyte, whose size is in the header.
        let data = zstd::bulk::compress(&vec![1; 1 << 20], 3).unwrap();
        assert_eq!(
            working_memory(codec, &data, MAX).unwrap(),
            ZSTD_CONTEXT + (1 << 20)
        );
    }

    #[test]
    fn headers_that_ask_for_too_much_are_refused_before_anything_is_allocated() {
        let mut lz4 = compressed(CompressionType::Lz4, None, 100);
        lz4[4] &= !(1 << 5);
        assert!(working_memory(CompressionType::Lz4, &lz4, MAX).is_err());
        let mut zstd = compressed(CompressionType::Zstd, None, 100);
        zstd[5] = 31 << 3;
        assert!(working_memory(CompressionType::Zstd, &zstd, MAX).is_err());
        // One raw block of 100 KB that is allowed 1000 bytes.
        let block = snap::raw::Encoder::new()
            .compress_vec(&[0; 100_000])
            .unwrap();
        let refused = working_memory(CompressionType::Snappy, &block, 1000).unwrap_err();
        assert!(matches!(refused, CompressionError::TooLarge(1000)));
        for codec in [CompressionType::Lz4, CompressionType::Zstd] {
            assert!(working_memory(codec, b"not compressed at all", MAX).is_err());
            assert!(working_memory(codec, &[0x28, 0xb5], MAX).is_err());
        }
    }
}
