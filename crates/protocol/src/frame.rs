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
    /// Over `socket.request.max.bytes`.
    #[error("the frame has {length} bytes, more than the {max} of socket.request.max.bytes")]
    TooLong {
        /// The length as sent.
        length: usize,
        /// The allowed length.
        max: usize,
    },
}

/// Returns the length of a request's frame, without the prefix itself.
///
/// # Errors
/// When the length is negative, too short for a header, or over `max` bytes.
pub fn frame_length(prefix: [u8; LENGTH_BYTES], max: usize) -> Result<usize, FrameError> {
    let raw = i32::from_be_bytes(prefix);
    let length = usize::try_from(raw).map_err(|_| FrameError::Negative(raw))?;
    if length > max {
        return Err(FrameError::TooLong { length, max });
    }
    if length < REQUEST_BYTES_MIN {
        return Err(FrameError::TooShort(length));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_checked_at_both_ends() {
        assert_eq!(frame_length([0, 0, 0, 10], 100), Ok(10));
        assert_eq!(frame_length([0, 0, 0, 100], 100), Ok(100));
        assert_eq!(
            frame_length([0, 0, 0, 9], 100),
            Err(FrameError::TooShort(9))
        );
        assert_eq!(frame_length([0xff; 4], 100), Err(FrameError::Negative(-1)));
        let too_long = FrameError::TooLong {
            length: 0x7fff_ffff,
            max: 100,
        };
        assert_eq!(frame_length([0x7f, 0xff, 0xff, 0xff], 100), Err(too_long));
    }
}
