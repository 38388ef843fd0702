//! Counters that many threads raise.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The copies of sharded counters. Threads beyond this number share copies, which costs time but
/// loses no counts.
pub(crate) const SHARDS: usize = 4;

/// A count that only grows. Adding takes no lock and allocates nothing.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to the count.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Returns the count.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Keeps two copies off the same cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard<T>(T);

/// A struct of [`Counter`]s with a copy for each of a few threads, so that threads do not wait for
/// each other's cache lines.
#[derive(Debug, Default)]
pub struct Sharded<T> {
    shards: [Shard<T>; SHARDS],
}

impl<T> Sharded<T> {
    /// Returns the copy that this thread counts in.
    pub fn here(&self) -> &T {
        &self.shards[shard_of_thread()].0
    }

    /// Returns the sum of one counter over all copies.
    pub fn sum(&self, counter: impl Fn(&T) -> &Counter) -> u64 {
        let counts = self.shards.iter().map(|shard| counter(&shard.0).get());
        counts.fold(0, u64::wrapping_add)
    }
}

/// Returns the number of the copy of this thread. It depends on nothing but the order in which
/// threads count for the first time.
pub(crate) fn shard_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    SHARD.with(|shard| {
        if shard.get() == usize::MAX {
            shard.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        shard.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Counts {
        records: Counter,
        bytes: Counter,
    }

    #[test]
    fn counts_of_all_threads_are_added() {
        let counts = Sharded::<Counts>::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * SHARDS {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counts.here().records.add(1);
                        counts.here().bytes.add(3);
                    }
                });
            }
        });
        let threads = 2 * SHARDS as u64;
        assert_eq!(counts.sum(|counts| &counts.records), threads * 1000);
        assert_eq!(counts.sum(|counts| &counts.bytes), threads * 3000);
    }

    #[test]
    fn copies_are_in_different_cache_lines() {
        assert_eq!(size_of::<Sharded<Counts>>(), 64 * SHARDS);
        assert_eq!(align_of::<Sharded<Counts>>(), 64);
    }
}
