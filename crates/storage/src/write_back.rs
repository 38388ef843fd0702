//! Asks the kernel to start writing a part of a file.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

/// Starts the write-back of these bytes of a file. Returns when the device has accepted the
/// writes, which takes long only when its queue is full.
#[cfg(target_os = "linux")]
pub(crate) fn start(file: &File, position: u64, len: u64) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    // Without one of the flags that wait, the call does not consume an error of the write-back:
    // the next `fdatasync` reports it.
    let flags = libc::SYNC_FILE_RANGE_WRITE;
    let (Ok(position), Ok(len)) = (i64::try_from(position), i64::try_from(len)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // SAFETY: the call reads and writes no memory of this process, and the descriptor is open
    // while `file` is borrowed.
    match unsafe { libc::sync_file_range(file.as_raw_fd(), position, len, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Does nothing: only Linux has a call for it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn start(_: &File, _: u64, _: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_file_is_accepted_and_another_kind_of_file_is_refused() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(100_000).unwrap();
        start(&file, 4_096, 8_192).unwrap();
        // Nothing is wrong with a part that lies behind the end, as after a truncation.
        start(&file, 200_000, 4_096).unwrap();
        let too_far = start(&file, u64::MAX, 1).unwrap_err();
        assert_eq!(too_far.kind(), io::ErrorKind::InvalidInput);
        let pipe = File::from(std::os::fd::OwnedFd::from(io::pipe().unwrap().1));
        start(&pipe, 0, 4_096).unwrap_err();
    }
}
