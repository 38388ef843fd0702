//! Records of responses that are read when they are sent.

use super::*;

/// Records in a file.
#[derive(Debug)]
pub(super) struct Stored {
    pub kind: u8,
    pub read: Arc<AtomicUsize>,
}

/// Returns the stored byte at a position.
pub(super) fn stored(at: usize) -> u8 {
    (at % 251) as u8
}

impl Source for Stored {
    fn length(&self) -> usize {
        STORED_BYTES
    }

    fn read(&mut self, at: usize, window: &mut [u8]) -> Result<usize, SourceError> {
        if self.kind == STORED_COLD {
            return Err(SourceError::NotCached);
        }
        if self.kind == STORED_LOST && at > STORED_BYTES / 2 {
            return Err(SourceError::Lost("truncated".into()));
        }
        let length = window.len().min(STORED_BYTES - at);
        for (offset, byte) in window[..length].iter_mut().enumerate() {
            *byte = stored(at + offset);
        }
        self.read.fetch_add(length, Ordering::Relaxed);
        Ok(length)
    }

    fn load(&mut self, at: usize, length: usize) -> Load {
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok((at..at + length).map(stored).collect::<Vec<_>>().into())
        })
    }
}
