//! The memory that the responses of all connections hold until their clients have read them.
//!
//! Each connection may hold an eighth of what is free: much when there are few connections, little
//! when there are many, and always enough for a new one to be served. A response that has begun is
//! completed in any case, so a connection may exceed its part by one response.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The largest part of one connection, in bytes.
const PART_MAX: usize = 1 << 20;
/// The part of a connection when nothing is free, in bytes.
const PART_MIN: usize = 16 << 10;

/// Bytes of responses in memory.
#[derive(Debug)]
pub struct ResponseMemory {
    max: usize,
    used: AtomicUsize,
}

impl ResponseMemory {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            used: AtomicUsize::new(0),
        }
    }

    /// Returns the bytes that responses hold now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns the limit of the bytes that one connection's responses may hold when it begins
    /// another request.
    pub(super) fn part(&self) -> usize {
        let free = self.max.saturating_sub(self.used());
        (free / 8).clamp(PART_MIN, PART_MAX)
    }

    /// Returns whether responses hold more than the limit. Connections that do not read are closed
    /// then.
    pub(super) fn is_short(&self) -> bool {
        self.used() > self.max
    }

    pub(super) fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn sub(&self, bytes: usize) {
        let used = self.used.fetch_sub(bytes, Ordering::Relaxed);
        assert!(used >= bytes, "{bytes} bytes are given back of {used}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_together_stay_within_the_limit() {
        let memory = ResponseMemory::new(32 << 20);
        assert_eq!(memory.part(), PART_MAX, "alone");
        for _ in 0..500 {
            // Each holds its part, and no more requests are begun for it.
            memory.add(memory.part());
        }
        // No connection gets less than 16 KiB.
        assert!(
            memory.used() <= (32 << 20) + 500 * PART_MIN,
            "{}",
            memory.used()
        );
        assert!(memory.part() >= PART_MIN, "another one is still served");
    }
}
