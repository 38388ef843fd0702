//! The frame around every request and response: a signed 32-bit length, big endian, and the bytes.
//!
//! Invariant: this module allocates nothing for an announced length; neither may its callers.

/// Bytes of the length before each frame.
pub const LENGTH_BYTES: usize = 4;

/// The size of the smallest request: key, version, correlation id and a null client id.
pub const REQUEST_BYTES_MIN: usize = 10;

/// An invalid length of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Below zero.
    #[error("the frame's length is negative ({0})")]
    Negative(i32),
    /// Too short for a request header.
    #[error("the frame has {0} bytes, fewer than the 10 of a request header")]
    TooShort(usize),
    /// Over the limit.
    #[error("the frame has {length} bytes, more than the {max} of {property}")]
    TooLong {
        /// The length as sent.
        length: usize,
        /// The allowed length.
        max: usize,
        /// The property that limits the length.
        property: &'static str,
    },
}

/// The sizes of frames that a connection accepts, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameSizes {
    /// The size of the smallest frame.
    pub min: usize,
    /// The size of the largest frame.
    pub max: usize,
    /// The property that limits the size.
    pub property: &'static str,
}

impl FrameSizes {
    /// Returns the sizes of requests; `max` is `socket.request.max.bytes`.
    #[must_use]
    pub fn of_requests(max: usize) -> Self {
        Self {
            min: REQUEST_BYTES_MIN,
            max,
            property: "socket.request.max.bytes",
        }
    }
}

/// Returns the length of a frame, without the prefix itself.
///
/// # Errors
/// When the length is negative, or not one of `sizes`.
pub fn frame_length(prefix: [u8; LENGTH_BYTES], sizes: FrameSizes) -> Result<usize, FrameError> {
    let FrameSizes { min, max, property } = sizes;
    let raw = i32::from_be_bytes(prefix);
    let length = usize::try_from(raw).map_err(|_| FrameError::Negative(raw))?;
    if length > max {
        return Err(FrameError::TooLong {
            length,
            max,
            property,
        });
    }
    if length < min {
        return Err(FrameError::TooShort(length));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_checked_at_both_ends() {
        assert_eq!(
            frame_length([0, 0, 0, 10], FrameSizes::of_requests(100)),
            Ok(10)
        );
        assert_eq!(
            frame_length([0, 0, 0, 100], FrameSizes::of_requests(100)),
            Ok(100)
        );
        assert_eq!(
            frame_length([0, 0, 0, 9], FrameSizes::of_requests(100)),
            Err(FrameError::TooShort(9))
        );
        assert_eq!(
            frame_length([0xff; 4], FrameSizes::of_requests(100)),
            Err(FrameError::Negative(-1))
        );
        let too_long = FrameError::TooLong {
            length: 0x7fff_ffff,
            max: 100,
            property: "socket.request.max.bytes",
        };
        assert_eq!(
            frame_length([0x7f, 0xff, 0xff, 0xff], FrameSizes::of_requests(100)),
            Err(too_long)
        );
    }
}
