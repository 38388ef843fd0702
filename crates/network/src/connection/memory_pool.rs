//! The memory that the requests of all clients may hold (`queued.max.request.bytes`), and its
//! division between connections.
//!
//! A frame takes its whole length from the pool before its first byte is read. The length is given
//! back when the request no longer needs the bytes. The memory itself is allocated as bytes arrive.
//!
//! - Small frames (up to 64 KiB) may use the whole pool, larger ones three quarters of it.
//! - With a new large frame, a connection may hold at most half of what is left for large frames.
//!   So each large frame leaves room for others, however many are stalled.
//! - One large frame at a time may exceed the pool. So a frame of any permitted size is read
//!   eventually.
//! - While a frame waits for memory, connections whose frames arrive too slowly are closed (see
//!   `frames`).
//!
//! The memory of responses is limited separately (see [`ResponseMemory`]).
//!
//! Connections between nodes use gRPC, which limits each stream by credits. They take nothing from
//! this pool, so clients cannot delay them.
//!
//! Invariant: at most one frame, plus less than one small frame, is taken above the limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::responses::ResponseMemory;

/// The largest frame that counts as small, in bytes.
const SMALL_BYTES_MAX: usize = 64 << 10;
/// Bytes that responses may hold in memory. Above that, connections that do not read are closed.
const RESPONSES_BYTES_MAX: usize = 32 << 20;

/// The memory for requests of one node.
#[derive(Debug)]
pub struct RequestMemoryPool {
    max: usize,
    small_max: usize,
    /// Bytes taken by frames of all sizes, without the one that exceeds the pool.
    used: AtomicUsize,
    large: Mutex<Large>,
    /// Connections that wait to begin a frame.
    waiting: AtomicUsize,
    freed: Arc<Notify>,
    responses: ResponseMemory,
}

#[derive(Debug, Default)]
struct Large {
    /// Bytes taken by large frames within the pool.
    used: usize,
    /// The size of the frame that exceeds the pool, 0 if there is none.
    excess: usize,
}

/// One connection's part of the pool.
#[derive(Debug)]
pub struct Share {
    memory_pool: Arc<RequestMemoryPool>,
    held: Arc<AtomicUsize>,
}

#[derive(Debug, Clone, Copy)]
enum Taken {
    Small,
    Large,
    /// The one frame that exceeds the pool.
    Excess,
}

/// Bytes taken from a [`RequestMemoryPool`]. Dropping the permit gives them back.
#[derive(Debug)]
pub struct MemoryPermit {
    memory_pool: Arc<RequestMemoryPool>,
    held: Arc<AtomicUsize>,
    bytes: usize,
    taken: Taken,
}

impl RequestMemoryPool {
    /// Returns a pool of `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Arc<Self> {
        Self::with_responses(max, RESPONSES_BYTES_MAX)
    }

    /// Returns a pool of `max` bytes whose responses may hold `responses_max` bytes.
    #[must_use]
    pub fn with_responses(max: usize, responses_max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            small_max: SMALL_BYTES_MAX.min(max / 16),
            used: AtomicUsize::new(0),
            large: Mutex::default(),
            waiting: AtomicUsize::new(0),
            freed: Arc::new(Notify::new()),
            responses: ResponseMemory::new(responses_max),
        })
    }

    /// Returns the bytes that are taken now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst) + self.large.lock().excess
    }

    /// Returns the memory of responses.
    #[must_use]
    pub fn responses(&self) -> &ResponseMemory {
        &self.responses
    }

    /// Returns whether a frame waits for memory.
    pub(super) fn is_short(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Returns the share of a new connection.
    pub fn share(self: &Arc<Self>) -> Share {
        Share {
            memory_pool: Arc::clone(self),
            held: Arc::default(),
        }
    }

    fn take(&self, bytes: usize, held: usize) -> Option<Taken> {
        if bytes <= self.small_max {
            if self.used.load(Ordering::SeqCst) >= self.max {
                return None;
            }
            self.used.fetch_add(bytes, Ordering::SeqCst);
            return Some(Taken::Small);
        }
        let mut large = self.large.lock();
        let left = (self.max - self.max / 4).saturating_sub(large.used);
        let used = self.used.load(Ordering::SeqCst);
        if held.saturating_add(bytes) <= left / 2 && used.saturating_add(bytes) <= self.max {
            large.used += bytes;
            assert!(
                large.used <= self.max - self.max / 4,
                "large frames take {} bytes of {}, {bytes} of them now",
                large.used,
                self.max
            );
            self.used.fetch_add(bytes, Ordering::SeqCst);
            return Some(Taken::Large);
        }
        if large.excess == 0 {
            large.excess = bytes;
            return Some(Taken::Excess);
        }
        None
    }
}

impl RequestMemoryPool {
    fn give_back(&self, bytes: usize) {
        let used = self.used.fetch_sub(bytes, Ordering::SeqCst);
        assert!(used >= bytes, "{bytes} bytes are given back of {used}");
    }
}

impl Share {
    pub(super) fn memory_pool(&self) -> &Arc<RequestMemoryPool> {
        &self.memory_pool
    }

    /// Takes the bytes of a frame, or returns `None` when the frame has to wait.
    pub fn take(&self, bytes: usize) -> Option<MemoryPermit> {
        let taken = self
            .memory_pool
            .take(bytes, self.held.load(Ordering::Relaxed))?;
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Some(MemoryPermit {
            memory_pool: Arc::clone(&self.memory_pool),
            held: Arc::clone(&self.held),
            bytes,
            taken,
        })
    }

    /// Returns a wait for bytes to be given back. The connection counts as waiting until it is
    /// dropped.
    pub(super) fn wait(&self) -> Wait {
        self.memory_pool.waiting.fetch_add(1, Ordering::SeqCst);
        let mut notified = Box::pin(Arc::clone(&self.memory_pool.freed).notified_owned());
        // Registers now, so bytes that are given back before the first poll are noticed.
        notified.as_mut().enable();
        Wait {
            memory_pool: Arc::clone(&self.memory_pool),
            notified,
        }
    }
}

impl MemoryPermit {
    /// Returns the bytes that were taken.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A frame that waits for memory.
#[derive(Debug)]
pub(super) struct Wait {
    memory_pool: Arc<RequestMemoryPool>,
    notified: std::pin::Pin<Box<tokio::sync::futures::OwnedNotified>>,
}

impl Wait {
    pub(super) fn poll(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        self.notified.as_mut().poll(cx)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let waiting = self.memory_pool.waiting.fetch_sub(1, Ordering::SeqCst);
        assert!(waiting > 0, "a frame no longer waits, and none did");
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        let memory_pool = &self.memory_pool;
        match self.taken {
            Taken::Small => memory_pool.give_back(self.bytes),
            Taken::Large => {
                let mut large = memory_pool.large.lock();
                assert!(
                    large.used >= self.bytes,
                    "a large frame gives back {} bytes of {}",
                    self.bytes,
                    large.used
                );
                large.used -= self.bytes;
                drop(large);
                memory_pool.give_back(self.bytes);
            }
            Taken::Excess => {
                let excess = std::mem::take(&mut memory_pool.large.lock().excess);
                assert_eq!(
                    excess, self.bytes,
                    "bytes of the frame that exceeds the pool"
                );
            }
        }
        let held = self.held.fetch_sub(self.bytes, Ordering::Relaxed);
        assert!(
            held >= self.bytes,
            "a connection holds {held} bytes and gives back {}",
            self.bytes
        );
        if memory_pool.is_short() {
            memory_pool.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn stalled_large_frames_leave_room_for_others() {
        let memory_pool = RequestMemoryPool::new(256 * MIB);
        let stalled: Vec<_> = (0..8).map(|_| memory_pool.share()).collect();
        let held: Vec<_> = stalled.iter().map(|share| share.take(99_000_000)).collect();
        assert_eq!(
            held.iter().flatten().count(),
            2,
            "one within the pool and one in excess of it"
        );
        let other = memory_pool.share();
        let produce = other.take(MIB).expect("an ordinary produce request");
        let small = other.take(100).expect("a small request");
        drop((produce, small, held));
        assert_eq!(memory_pool.used(), 0);
        assert_eq!(other.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn large_frames_do_not_use_what_is_kept_for_small_ones() {
        let memory_pool = RequestMemoryPool::new(16 * MIB);
        let mut held = Vec::new();
        for _ in 0..1_000 {
            held.extend(memory_pool.share().take(MIB));
        }
        let in_excess = MIB;
        assert!(
            memory_pool.used() <= 12 * MIB + in_excess,
            "{}",
            memory_pool.used()
        );
        // All that is left for small ones is theirs.
        let small = (0..100).filter_map(|_| memory_pool.share().take(64 << 10));
        let small: Vec<_> = small.collect();
        assert!(small.len() >= 64, "{} small frames", small.len());
    }

    #[test]
    fn one_connection_does_not_take_all() {
        let memory_pool = RequestMemoryPool::new(64 * MIB);
        let greedy = memory_pool.share();
        let held: Vec<_> = (0..100).filter_map(|_| greedy.take(4 * MIB)).collect();
        assert!(held.len() < 10, "{} frames of 4 MiB", held.len());
        assert!(
            memory_pool.share().take(4 * MIB).is_some(),
            "another connection"
        );
    }

    #[test]
    fn a_frame_larger_than_the_pool_is_read_alone() {
        let memory_pool = RequestMemoryPool::new(1_000);
        let (first, second) = (memory_pool.share(), memory_pool.share());
        let frame = first.take(MIB).expect("one may exceed the pool");
        assert!(second.take(MIB).is_none());
        assert!(second.take(10).is_some(), "small frames go on");
        drop(frame);
        assert!(second.take(MIB).is_some());
    }

    #[test]
    #[should_panic(expected = "a large frame gives back 1048576 bytes of 0")]
    fn memory_that_was_given_back_before_is_noticed() {
        let memory_pool = RequestMemoryPool::new(64 * MIB);
        let permit = memory_pool.share().take(MIB).unwrap();
        memory_pool.large.lock().used = 0;
        drop(permit);
    }
}
