//! The last batches that a leader appended, kept until every subscribed follower was sent them.
//! Followers that keep up are served from memory, without a copy.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use dohle_model::Offset;

/// Bytes that a partition's tail may hold; a follower that is further behind is served from the
/// file.
const TAIL_BYTES_MAX: usize = 2 << 20;
/// Bytes that the tails of all partitions of a broker may hold.
const TAILS_BYTES_MAX: usize = 16 << 20;

#[derive(Debug)]
struct TailBatch {
    base: Offset,
    next: Offset,
    records: Bytes,
}

/// Invariant: batches are contiguous, the last one ends at the log's end; `size` is the sum of
/// their sizes and is part of `total`.
#[derive(Debug)]
pub(super) struct Tail {
    batches: VecDeque<TailBatch>,
    size: usize,
    /// Bytes in the tails of all partitions.
    total: Arc<AtomicUsize>,
}

impl Tail {
    /// An empty tail that is counted in `total`.
    pub(super) fn new(total: Arc<AtomicUsize>) -> Self {
        Self {
            batches: VecDeque::new(),
            size: 0,
            total,
        }
    }

    /// Adds a batch that was appended.
    pub(super) fn push(&mut self, base: Offset, next: Offset, records: Bytes) {
        let size = records.len();
        if self.total.load(Ordering::Relaxed) + size > TAILS_BYTES_MAX {
            self.clear();
            return;
        }
        assert!(base < next, "a batch from {base} to {next} was appended");
        let end = self.batches.back().map(|batch| batch.next);
        assert!(
            end.is_none_or(|end| end == base),
            "the tail ends at {end:?}, and the next batch begins at {base}"
        );
        self.size += size;
        self.total.fetch_add(size, Ordering::Relaxed);
        self.batches.push_back(TailBatch {
            base,
            next,
            records,
        });
        while self.size > TAIL_BYTES_MAX {
            self.pop();
        }
        let total = self.total.load(Ordering::Relaxed);
        assert!(
            self.size <= total,
            "all tails hold {total} bytes, and this one {}",
            self.size
        );
    }

    /// Drops the batches below `sent`, which every subscribed follower was sent.
    pub(super) fn release(&mut self, sent: Offset) {
        while self.batches.front().is_some_and(|batch| batch.next <= sent) {
            self.pop();
        }
        if self.batches.is_empty() && self.batches.capacity() > 16 {
            self.batches = VecDeque::new();
        }
    }

    /// Drops all batches.
    pub(super) fn clear(&mut self) {
        let held: usize = self.batches.iter().map(|batch| batch.records.len()).sum();
        assert!(
            held == self.size,
            "the tail holds {held} bytes and counts {}",
            self.size
        );
        let total = self.total.fetch_sub(self.size, Ordering::Relaxed);
        assert!(
            total >= self.size,
            "all tails hold {total} bytes, and this one {}",
            self.size
        );
        self.size = 0;
        self.batches = VecDeque::new();
    }

    /// Adds batches from `from` on to `out`, at most `max` bytes but at least one batch. Returns
    /// the offset after them; `None` when no batch that is kept begins at `from`.
    pub(super) fn read(&self, from: Offset, max: usize, out: &mut Vec<Bytes>) -> Option<Offset> {
        let start = self.batches.partition_point(|batch| batch.base < from);
        if self.batches.get(start)?.base != from {
            return None;
        }
        let (mut taken, mut next) = (0, from);
        for batch in self.batches.iter().skip(start) {
            if taken > 0 && taken + batch.records.len() > max {
                break;
            }
            assert!(
                batch.base == next,
                "the tail continues at {} after {next}",
                batch.base
            );
            taken += batch.records.len();
            next = batch.next;
            out.push(batch.records.clone());
        }
        Some(next)
    }

    fn pop(&mut self) {
        if let Some(batch) = self.batches.pop_front() {
            assert!(
                self.size >= batch.records.len(),
                "the tail counts {} bytes, its first batch has {}",
                self.size,
                batch.records.len()
            );
            self.size -= batch.records.len();
            self.total.fetch_sub(batch.records.len(), Ordering::Relaxed);
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_gives_what_it_holds_and_counts_it() {
        let total = Arc::new(AtomicUsize::new(0));
        let mut tail = Tail::new(Arc::clone(&total));
        for at in 0..4 {
            tail.push(
                Offset(at * 10),
                Offset(at * 10 + 10),
                Bytes::from(vec![0; 1_000]),
            );
        }
        let mut out = Vec::new();
        assert_eq!(tail.read(Offset(10), 2_500, &mut out), Some(Offset(30)));
        assert_eq!((out.len(), total.load(Ordering::Relaxed)), (2, 4_000));
        assert_eq!(
            tail.read(Offset(15), 2_500, &mut out),
            None,
            "inside a batch"
        );
        tail.release(Offset(30));
        assert_eq!(tail.read(Offset(10), 2_500, &mut out), None, "released");
        drop(tail);
        assert_eq!(total.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn tails_stay_within_their_limits() {
        let total = Arc::new(AtomicUsize::new(0));
        let mut tails: Vec<Tail> = (0..20).map(|_| Tail::new(Arc::clone(&total))).collect();
        for at in 0..100 {
            for tail in &mut tails {
                tail.push(Offset(at), Offset(at + 1), Bytes::from(vec![0; 100_000]));
                assert!(tail.size <= TAIL_BYTES_MAX);
            }
        }
        assert!(total.load(Ordering::Relaxed) <= TAILS_BYTES_MAX);
    }
}
