//! The last batches a leader appended, kept only until every follower that is streaming was sent
//! them: in-sync followers are served from memory, without a copy.

use std::collections::VecDeque;

use bytes::Bytes;
use dohle_model::Offset;

/// Bytes that a partition's tail may hold; a follower that is further behind is served from the file.
const TAIL_BYTES_MAX: usize = 2 << 20;

#[derive(Debug)]
struct TailBatch {
    base: Offset,
    next: Offset,
    records: Bytes,
}

/// Invariant: batches are contiguous, the last one ends at the log's end.
#[derive(Debug, Default)]
pub(super) struct Tail {
    batches: VecDeque<TailBatch>,
    size: usize,
}

impl Tail {
    /// A batch was appended.
    pub(super) fn push(&mut self, base: Offset, next: Offset, records: Bytes) {
        self.size += records.len();
        self.batches.push_back(TailBatch {
            base,
            next,
            records,
        });
        while self.size > TAIL_BYTES_MAX {
            self.pop();
        }
    }

    /// Every streaming follower was sent all below `sent`.
    pub(super) fn release(&mut self, sent: Offset) {
        while self.batches.front().is_some_and(|batch| batch.next <= sent) {
            self.pop();
        }
        if self.batches.is_empty() && self.batches.capacity() > 16 {
            self.batches = VecDeque::new();
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes batches from `from` on into `out`, at most `max` bytes but at least one batch. Answers
    /// the offset after them; `None` when `from` is not at the head of a batch that is kept.
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
            taken += batch.records.len();
            next = batch.next;
            out.push(batch.records.clone());
        }
        Some(next)
    }

    fn pop(&mut self) {
        if let Some(batch) = self.batches.pop_front() {
            self.size -= batch.records.len();
        }
    }
}
