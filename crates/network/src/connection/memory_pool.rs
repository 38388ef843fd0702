//! The memory that requests of clients may hold at a time (`queued.max.request.bytes`), and how it
//! is divided between connections.
//!
//! A frame takes its whole length from the pool before its first byte is read, and gives it back
//! when the request no longer needs its bytes. Memory itself is allocated as bytes arrive.
//!
//! - Small frames (up to 64 KiB) may use the whole pool; larger ones only three quarters of it.
//! - What one connection holds, with the new frame, is at most half of what is left for large
//!   frames. So each further large frame leaves room for others, however many are stalled.
//! - One large frame at a time may exceed the pool, so that a frame of any permitted size is read
//!   in the end.
//! - While a frame waits for memory, others that arrive too slowly are given up; see `frames`.
//!
//! What responses hold is counted beside it, see [`ResponseMemory`].
//!
//! Brokers among themselves speak gRPC, whose streams have credits of their own: they take nothing
//! from this pool, so clients cannot delay them.
//!
//! Invariant: what is taken exceeds the limit by at most one frame, plus less than one small frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::responses::ResponseMemory;

/// The largest frame that may use the part of the pool that is kept for small ones.
const SMALL_BYTES_MAX: usize = 64 << 10;
/// What responses may hold in memory before connections that do not read them are closed.
const RESPONSES_BYTES_MAX: usize = 32 << 20;

/// The pool of one node.
#[derive(Debug)]
pub struct RequestMemoryPool {
    max: usize,
    small_max: usize,
    /// Bytes taken by frames of all sizes, but for the one that exceeds the pool.
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
    /// The size of the frame that exceeds the pool; 0 when there is none.
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

/// Bytes taken from a [`RequestMemoryPool`]; given back when this is dropped.
#[derive(Debug)]
pub struct MemoryPermit {
    memory_pool: Arc<RequestMemoryPool>,
    held: Arc<AtomicUsize>,
    bytes: usize,
    taken: Taken,
}

impl RequestMemoryPool {
    /// A pool of `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Arc<Self> {
        Self::with_responses(max, RESPONSES_BYTES_MAX)
    }

    /// With a limit of its own for what responses hold.
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

    /// Bytes taken at present.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst) + self.large.lock().excess
    }

    /// What responses hold.
    #[must_use]
    pub fn responses(&self) -> &ResponseMemory {
        &self.responses
    }

    /// Whether a frame waits for memory.
    pub(super) fn is_short(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// The part of a new connection.
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

impl Share {
    pub(super) fn memory_pool(&self) -> &Arc<RequestMemoryPool> {
        &self.memory_pool
    }

    /// Takes the bytes of a frame; `None` when it has to wait.
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

    /// Counts as waiting until it is dropped; `notified` completes when bytes are given back.
    pub(super) fn wait(&self) -> Wait {
        self.memory_pool.waiting.fetch_add(1, Ordering::SeqCst);
        let mut notified = Box::pin(Arc::clone(&self.memory_pool.freed).notified_owned());
        // From here on nothing that is given back is missed.
        notified.as_mut().enable();
        Wait {
            memory_pool: Arc::clone(&self.memory_pool),
            notified,
        }
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
        self.memory_pool.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        let memory_pool = &self.memory_pool;
        match self.taken {
            Taken::Small => {
                memory_pool.used.fetch_sub(self.bytes, Ordering::SeqCst);
            }
            Taken::Large => {
                memory_pool.large.lock().used -= self.bytes;
                memory_pool.used.fetch_sub(self.bytes, Ordering::SeqCst);
            }
            Taken::Excess => memory_pool.large.lock().excess = 0,
        }
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
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
            "one within the budget and one in excess of it"
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
    fn a_frame_larger_than_the_budget_is_read_alone() {
        let memory_pool = RequestMemoryPool::new(1_000);
        let (first, second) = (memory_pool.share(), memory_pool.share());
        let frame = first.take(MIB).expect("one may exceed the budget");
        assert!(second.take(MIB).is_none());
        assert!(second.take(10).is_some(), "small frames go on");
        drop(frame);
        assert!(second.take(MIB).is_some());
    }
}
