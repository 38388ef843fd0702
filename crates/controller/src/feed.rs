//! Keeps the recent committed batches in memory for the brokers that follow the metadata.
//!
//! Invariant: the batches in the ring are consecutive: the base of each batch is the offset of the
//! batch before it. A follower at one of these offsets continues with the next batch; any other
//! follower needs a snapshot.

use std::collections::VecDeque;
use std::sync::Arc;

use dohle_model::MetadataOffset;
use dohle_rpc::v1;

/// The most batches in one message to a follower.
const MESSAGE_BATCHES_MAX: usize = 256;

/// The most encoded bytes of batches in one message to a follower; a single larger batch is sent
/// alone.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// A ring of recent committed batches; see the module.
#[derive(Debug)]
pub(crate) struct CommittedBatches {
    entries: VecDeque<Entry>,
    /// The offset of the last batch, whether or not it is still in the ring.
    end: MetadataOffset,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Entry {
    base: MetadataOffset,
    len: usize,
    batch: Arc<v1::CommittedBatch>,
}

/// What to send to a follower next.
#[derive(Debug)]
pub(crate) enum Next {
    /// The next batches; empty when the follower is up to date.
    Batches(Vec<Arc<v1::CommittedBatch>>),
    /// The ring no longer holds the batch after the follower's offset.
    NeedsSnapshot,
    /// The follower's offset is beyond the end of this quorum's metadata.
    Ahead,
}

impl CommittedBatches {
    pub fn new(bytes_max: usize) -> Self {
        let (entries, end) = (VecDeque::new(), MetadataOffset(0));
        Self {
            entries,
            end,
            bytes: 0,
            bytes_max,
        }
    }

    /// Appends a committed batch of `len` encoded bytes whose base is `base`.
    pub fn push(&mut self, batch: Arc<v1::CommittedBatch>, base: MetadataOffset, len: usize) {
        assert!(
            base == self.end,
            "the feed is at {}, the batch's base is {base}",
            self.end
        );
        assert!(
            batch.offset > base.0,
            "a batch at offset {} does not follow its base {base}",
            batch.offset
        );
        self.end = MetadataOffset(batch.offset);
        self.bytes += len;
        self.entries.push_back(Entry { base, len, batch });
        self.shrink();
    }

    /// Changes the limit of encoded bytes that the ring keeps.
    pub fn resize(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            assert!(
                self.bytes >= oldest.len,
                "the feed counts {} bytes, its oldest batch has {}",
                self.bytes,
                oldest.len
            );
            self.bytes -= oldest.len;
        }
        assert!(
            !self.entries.is_empty() || self.bytes == 0,
            "the empty feed counts {} bytes",
            self.bytes
        );
    }

    /// Empties the ring and continues from the offset of a restored snapshot.
    pub fn reset(&mut self, offset: MetadataOffset) {
        self.entries.clear();
        self.bytes = 0;
        self.end = offset;
    }

    /// Returns what to send to a follower that has replayed everything up to `after`.
    pub fn next(&self, after: MetadataOffset) -> Next {
        if after == self.end {
            return Next::Batches(Vec::new());
        }
        if after > self.end {
            return Next::Ahead;
        }
        match self
            .entries
            .binary_search_by_key(&after, |entry| entry.base)
        {
            Ok(at) => {
                let mut batches = Vec::new();
                let mut bytes = 0;
                for entry in self.entries.iter().skip(at).take(MESSAGE_BATCHES_MAX) {
                    bytes += entry.len;
                    if bytes > MESSAGE_BYTES_MAX && !batches.is_empty() {
                        break;
                    }
                    batches.push(Arc::clone(&entry.batch));
                }
                assert!(
                    !batches.is_empty() && batches.len() <= MESSAGE_BATCHES_MAX,
                    "a message to a follower at {after} has {} batches",
                    batches.len()
                );
                Next::Batches(batches)
            }
            Err(_) => Next::NeedsSnapshot,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(offset: u64) -> Arc<v1::CommittedBatch> {
        Arc::new(v1::CommittedBatch {
            offset,
            batch: None,
        })
    }

    fn offsets(next: Next) -> Option<Vec<u64>> {
        match next {
            Next::Batches(batches) => Some(batches.iter().map(|batch| batch.offset).collect()),
            Next::NeedsSnapshot | Next::Ahead => None,
        }
    }

    #[test]
    fn a_follower_goes_on_from_where_it_is() {
        let mut feed = CommittedBatches::new(100);
        feed.push(batch(2), MetadataOffset(0), 10);
        feed.push(batch(5), MetadataOffset(2), 10);
        assert_eq!(offsets(feed.next(MetadataOffset(0))), Some(vec![2, 5]));
        assert_eq!(offsets(feed.next(MetadataOffset(2))), Some(vec![5]));
        assert_eq!(offsets(feed.next(MetadataOffset(5))), Some(vec![]));
        assert!(matches!(feed.next(MetadataOffset(6)), Next::Ahead));
        assert!(matches!(feed.next(MetadataOffset(3)), Next::NeedsSnapshot));
    }

    #[test]
    fn what_was_dropped_needs_a_snapshot() {
        let mut feed = CommittedBatches::new(15);
        feed.push(batch(1), MetadataOffset(0), 10);
        feed.push(batch(2), MetadataOffset(1), 10);
        assert!(matches!(feed.next(MetadataOffset(0)), Next::NeedsSnapshot));
        assert_eq!(offsets(feed.next(MetadataOffset(1))), Some(vec![2]));
        feed.reset(MetadataOffset(9));
        assert!(matches!(feed.next(MetadataOffset(1)), Next::NeedsSnapshot));
        assert_eq!(offsets(feed.next(MetadataOffset(9))), Some(vec![]));
    }

    #[test]
    fn a_message_holds_a_bounded_number_of_bytes() {
        let mut feed = CommittedBatches::new(usize::MAX);
        let half = MESSAGE_BYTES_MAX / 2;
        for (offset, len) in [(1, half), (2, half), (3, 1), (4, 3 * half), (5, 1)] {
            feed.push(batch(offset), MetadataOffset(offset - 1), len);
        }
        assert_eq!(offsets(feed.next(MetadataOffset(0))), Some(vec![1, 2]));
        assert_eq!(offsets(feed.next(MetadataOffset(2))), Some(vec![3]));
        assert_eq!(offsets(feed.next(MetadataOffset(3))), Some(vec![4]));
        assert_eq!(offsets(feed.next(MetadataOffset(4))), Some(vec![5]));
    }

    #[test]
    fn a_feed_that_is_resized_keeps_the_newest() {
        let mut feed = CommittedBatches::new(100);
        feed.push(batch(1), MetadataOffset(0), 40);
        feed.push(batch(2), MetadataOffset(1), 40);
        feed.resize(50);
        assert!(matches!(feed.next(MetadataOffset(0)), Next::NeedsSnapshot));
        assert_eq!(offsets(feed.next(MetadataOffset(1))), Some(vec![2]));
    }

    #[test]
    fn a_batch_larger_than_the_ring_is_not_kept() {
        let mut feed = CommittedBatches::new(5);
        feed.push(batch(1), MetadataOffset(0), 10);
        assert!(matches!(feed.next(MetadataOffset(0)), Next::NeedsSnapshot));
        assert_eq!(offsets(feed.next(MetadataOffset(1))), Some(vec![]));
    }

    #[test]
    #[should_panic(expected = "the empty feed counts 7 bytes")]
    fn bytes_of_the_feed_that_no_batch_has_are_noticed() {
        let mut feed = CommittedBatches::new(10);
        feed.bytes = 7;
        feed.resize(5);
    }
}
