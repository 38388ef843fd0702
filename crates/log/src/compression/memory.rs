//! Bounds the memory that all decompressions of a node use together.

use parking_lot::{Condvar, Mutex};
use zstd::zstd_safe::DCtx;

/// The most zstd contexts that are kept for reuse. Creating one takes longer than decompressing a
/// small batch.
const CONTEXTS_MAX: usize = 4;
/// The largest context that is kept, in bytes including its window; contexts of usual levels are
/// smaller.
const CONTEXT_BYTES_MAX: usize = 3 << 20;

/// Bounds the memory that decompressions use at a time. There is one value per node.
///
/// Callers that wait are served in the order of arrival, so that a large window does not starve. A
/// holder acquires nothing else before it releases its memory, so every wait ends.
pub struct DecompressionMemory {
    bytes_max: u64,
    state: Mutex<State>,
    freed: Condvar,
    contexts: Mutex<Vec<DCtx<'static>>>,
}

impl std::fmt::Debug for DecompressionMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DecompressionMemory")
            .field("bytes_max", &self.bytes_max)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct State {
    held: u64,
    peak: u64,
    /// The ticket of the next caller that waits.
    next: u64,
    /// The ticket of the caller that is served next.
    serving: u64,
}

/// Memory for one decompression, released on drop.
#[derive(Debug)]
pub struct DecompressionPermit<'a> {
    memory: &'a DecompressionMemory,
    bytes: u64,
}

impl DecompressionMemory {
    /// Enough for the largest window that a client may use, 128 MiB of zstd, and several windows of
    /// usual size at the same time.
    pub const DEFAULT_BYTES: u64 = 160 << 20;

    /// Creates a bound of `bytes_max`. A decompression that needs more runs alone.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            state: Mutex::default(),
            freed: Condvar::new(),
            contexts: Mutex::default(),
        }
    }

    pub(super) fn take_context(&self) -> Option<DCtx<'static>> {
        self.contexts.lock().pop()
    }

    pub(super) fn keep_context(&self, context: DCtx<'static>) {
        if context.sizeof() > CONTEXT_BYTES_MAX {
            return;
        }
        let mut contexts = self.contexts.lock();
        if contexts.len() < CONTEXTS_MAX {
            contexts.push(context);
        }
    }

    /// Acquires `bytes`. Blocks the thread until they are free.
    #[must_use]
    pub fn acquire(&self, bytes: u64) -> DecompressionPermit<'_> {
        let bytes = bytes.min(self.bytes_max);
        let mut state = self.state.lock();
        let own = state.next;
        state.next += 1;
        while state.serving != own || state.held + bytes > self.bytes_max {
            self.freed.wait(&mut state);
        }
        state.serving += 1;
        let permit = self.hold(&mut state, bytes);
        drop(state);
        // There may be enough memory for the next waiting caller too.
        self.freed.notify_all();
        permit
    }

    /// Acquires `bytes` if they are free and no caller waits.
    #[must_use]
    pub fn try_acquire(&self, bytes: u64) -> Option<DecompressionPermit<'_>> {
        let bytes = bytes.min(self.bytes_max);
        let mut state = self.state.lock();
        let free = state.serving == state.next && state.held + bytes <= self.bytes_max;
        free.then(|| self.hold(&mut state, bytes))
    }

    fn hold(&self, state: &mut State, bytes: u64) -> DecompressionPermit<'_> {
        state.held += bytes;
        assert!(
            state.held <= self.bytes_max && state.serving <= state.next,
            "{} of {} bytes are held after {bytes} more, ticket {} of {} is served",
            state.held,
            self.bytes_max,
            state.serving,
            state.next
        );
        state.peak = state.peak.max(state.held);
        DecompressionPermit {
            memory: self,
            bytes,
        }
    }

    /// Returns the number of callers that wait for memory.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        let state = self.state.lock();
        state.next - state.serving
    }

    /// Returns the bytes that are in use.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.state.lock().held
    }

    /// Returns the most bytes that were ever in use at the same time.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.state.lock().peak
    }
}

impl Default for DecompressionMemory {
    fn default() -> Self {
        Self::new(Self::DEFAULT_BYTES)
    }
}

impl Drop for DecompressionPermit<'_> {
    fn drop(&mut self) {
        let mut state = self.memory.state.lock();
        assert!(
            state.held >= self.bytes,
            "{} bytes are released, {} are held",
            self.bytes,
            state.held
        );
        state.held -= self.bytes;
        drop(state);
        self.memory.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_held_than_the_bound_and_a_larger_request_runs_alone() {
        let memory = DecompressionMemory::new(100);
        let first = memory.acquire(60);
        assert!(memory.try_acquire(41).is_none());
        let second = memory.try_acquire(40).expect("it fits");
        assert_eq!(memory.held(), 100);
        drop((first, second));
        assert_eq!(memory.held(), 0);
        drop(memory.acquire(1_000_000));
        assert_eq!(memory.peak(), 100);
    }

    #[test]
    fn many_threads_stay_within_the_bound_and_all_are_served() {
        let memory = DecompressionMemory::new(100);
        std::thread::scope(|scope| {
            for bytes in [100, 10, 60, 30, 90, 50, 100, 20] {
                let memory = &memory;
                scope.spawn(move || {
                    for _ in 0..200 {
                        let _permit = memory.acquire(bytes);
                        assert!(memory.held() <= 100);
                    }
                });
            }
        });
        assert_eq!((memory.held(), memory.peak()), (0, 100));
    }
}
