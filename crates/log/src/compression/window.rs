//! What a streamed decompression holds in memory, from the data's own headers.

use std::io;

use zstd::zstd_safe;

use super::{CompressionError, CompressionType, SnappyReader, snappy_block_len};

/// State and output buffer of zlib, with its window of 32 KiB.
const GZIP: u64 = 64 << 10;
/// A zstd context without its window: state, and buffers of one block each.
const ZSTD_CONTEXT: u64 = 512 << 10;
/// The largest window of zstd that is accepted, 128 MiB: that of its highest level, and the most
/// that its decoders, Kafka's included, accept unless they are told otherwise.
const ZSTD_WINDOW_MAX: u64 = 1 << 27;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const LZ4_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];

/// Bytes that decompressing `data` as a stream holds at a time, where no more than `unpacked_max`
/// come out. 0 for data that are not compressed.
///
/// # Errors
/// When the headers are broken, claim more than `unpacked_max` or than any decoder accepts, or ask
/// for what Kafka's own decoder refuses.
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

/// The largest block: each is decompressed whole.
fn snappy(data: &[u8]) -> io::Result<u64> {
    let mut blocks = SnappyReader::new(data);
    let mut largest = 0;
    while let Some(block) = blocks.next_compressed()? {
        largest = largest.max(snappy_block_len(block)?);
    }
    Ok(largest as u64)
}

/// A block as it is stored and as it comes out. The data have to be exactly one frame, up to its
/// end mark: the decoder takes what is cut between two blocks, or what is too short to be another
/// frame, for the end.
fn lz4(data: &[u8]) -> io::Result<u64> {
    const INDEPENDENT_BLOCKS: u8 = 1 << 5;
    const BLOCK_CHECKSUM: u8 = 1 << 4;
    const CONTENT_SIZE: u8 = 1 << 3;
    const CONTENT_CHECKSUM: u8 = 1 << 2;
    const DICTIONARY: u8 = 1;
    let Some(&[a, b, c, d, flags, descriptor]) = data.first_chunk::<6>() else {
        return Err(invalid("the frame header is cut"));
    };
    if [a, b, c, d] != LZ4_MAGIC {
        return Err(invalid("this is no lz4 frame"));
    }
    if flags & INDEPENDENT_BLOCKS == 0 {
        // As Kafka's decoder, which the consumers of the batch have too.
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
        let size = u32::from_le_bytes(*size.ok_or_else(|| invalid("the frame has no end"))?);
        at += 4;
        if size == 0 {
            break;
        }
        // The highest bit marks a block that is stored uncompressed.
        at += (size & 0x7fff_ffff) as usize + bytes_if(BLOCK_CHECKSUM, 4);
    }
    if data.len() != at + bytes_if(CONTENT_CHECKSUM, 4) {
        return Err(invalid("the frame does not end where the data end"));
    }
    Ok(2 * block_max)
}

/// The largest window of the frames.
fn zstd(mut data: &[u8], unpacked_max: u64) -> io::Result<u64> {
    let mut largest = 0;
    while !data.is_empty() {
        if data.starts_with(&ZSTD_MAGIC) {
            largest = largest.max(zstd_window(data).ok_or_else(|| invalid("frame is cut"))?);
        }
        let size = zstd_safe::find_frame_compressed_size(data);
        let size = size.map_err(|code| io::Error::other(zstd_safe::get_error_name(code)))?;
        // Never 0 and never more than there is; what if it were would be a loop or a panic.
        data = data.get(size.max(1)..).unwrap_or_default();
    }
    if largest > ZSTD_WINDOW_MAX {
        return Err(invalid("the window is larger than 128 MiB"));
    }
    // Memory of the window is touched only as far as bytes come out.
    Ok(ZSTD_CONTEXT + largest.min(unpacked_max))
}

/// The window of the frame at the start of `data` (RFC 8878, 3.1.1.1); `None` when its header is
/// cut.
fn zstd_window(data: &[u8]) -> Option<u64> {
    let descriptor = *data.get(4)?;
    if descriptor & (1 << 5) == 0 {
        let byte = *data.get(5)?;
        let base = 1u64 << (10 + (byte >> 3));
        return Some(base + base / 8 * u64::from(byte & 0x07));
    }
    // A single segment: the window is the content, whose size is given.
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
