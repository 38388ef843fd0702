//! The metadata state machine: replays committed batches into the image, publishes the image, and
//! adds the batches to the feed that brokers follow.
//!
//! Invariant: only committed batches change the image; a batch that was planned on another image
//! changes nothing. A committed batch that cannot be decoded or does not fit the image stops the
//! node, because otherwise this voter's image would differ from the others'.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use dohle_model::MetadataOffset;
use dohle_model::batch::CommittedBatch;
use dohle_model::delta::MetadataDelta;
use dohle_model::image::{MetadataImage, Replayed};
use dohle_rpc::{convert, v1};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::watch;

use crate::feed::CommittedBatches;
use crate::plan::Indexes;
use crate::raft::{ApplyOutcome, RestoreError, SnapshotWriter, StateMachine};

/// The largest snapshot chunk that a restore accepts, in bytes. A chunk holds up to 1000 records.
const CHUNK_LEN_MAX: u64 = 64 * 1024 * 1024;

/// The committed metadata as published to the rest of the controller.
#[derive(Debug, Clone, Default)]
pub(crate) struct PublishedImage {
    pub image: Arc<MetadataImage>,
    pub indexes: Indexes,
}

/// Limits on the batches that the feed keeps in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FeedSize {
    pub bytes_min: usize,
    pub bytes_per_replica: usize,
}

impl FeedSize {
    /// Returns the number of bytes that the feed keeps for this image.
    fn of(self, image: &MetadataImage) -> usize {
        let replicas: usize = image.replicas_of.values().map(imbl::OrdSet::len).sum();
        self.bytes_min.max(replicas * self.bytes_per_replica)
    }
}

/// Replays committed batches into the metadata image; see the module.
pub(crate) struct MetadataMachine {
    image: MetadataImage,
    indexes: Indexes,
    published: watch::Sender<PublishedImage>,
    feed: Arc<Mutex<CommittedBatches>>,
    feed_size: FeedSize,
    fatal: watch::Sender<Option<Arc<str>>>,
}

impl MetadataMachine {
    pub fn new(
        published: watch::Sender<PublishedImage>,
        feed: Arc<Mutex<CommittedBatches>>,
        feed_size: FeedSize,
        fatal: watch::Sender<Option<Arc<str>>>,
    ) -> Self {
        let (image, indexes) = Default::default();
        Self {
            image,
            indexes,
            published,
            feed,
            feed_size,
            fatal,
        }
    }

    fn replay(&mut self, offset: MetadataOffset, payload: &Bytes) -> Result<Replayed, String> {
        let batch = v1::MetadataBatch::decode(payload.clone())
            .map_err(|error| format!("is not a batch of metadata records: {error}"))?;
        let base = MetadataOffset(batch.base);
        if base != self.image.offset {
            return Ok(Replayed::Stale);
        }
        let committed = CommittedBatch {
            offset,
            batch: convert::batch_from_wire(&batch).map_err(text)?,
        };
        let mut delta = MetadataDelta::default();
        let replayed = self
            .image
            .replay_batch(&committed, &mut delta)
            .map_err(text)?;
        assert!(
            replayed == Replayed::Stale || self.image.offset == offset,
            "the batch at {offset} was replayed, the image is at {}",
            self.image.offset
        );
        self.indexes.replayed(&self.image, &delta);
        let sent = v1::CommittedBatch {
            offset: offset.0,
            batch: Some(batch),
        };
        let mut feed = self.feed.lock();
        feed.resize(self.feed_size.of(&self.image));
        feed.push(Arc::new(sent), base, payload.len());
        Ok(replayed)
    }

    fn publish(&self) {
        let image = Arc::new(self.image.clone());
        self.published.send_replace(PublishedImage {
            image,
            indexes: self.indexes.clone(),
        });
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl StateMachine for MetadataMachine {
    fn apply(&mut self, offset: MetadataOffset, payload: &Bytes) -> ApplyOutcome {
        if self.fatal.borrow().is_some() {
            return ApplyOutcome::Stale;
        }
        match self.replay(offset, payload) {
            Ok(Replayed::Applied) => {
                self.publish();
                ApplyOutcome::Applied
            }
            Ok(Replayed::Stale) => ApplyOutcome::Stale,
            Err(reason) => {
                let reason = format!(
                    "metadata entry {offset}: {reason}. It was written by a newer release of \
                     Dohle, or the metadata log is damaged"
                );
                self.fatal.send_replace(Some(reason.into()));
                ApplyOutcome::Stale
            }
        }
    }

    fn snapshot(&self) -> SnapshotWriter {
        let image = self.image.clone();
        Box::new(move |writer| write_snapshot(&image, writer))
    }

    fn restore(
        &mut self,
        offset: MetadataOffset,
        snapshot: &mut dyn Read,
    ) -> Result<(), RestoreError> {
        let image = read_snapshot(snapshot)?;
        // Raft's own entries and stale batches advance Raft's offset, but not the image's.
        if image.offset > offset {
            return Err(RestoreError::Malformed(format!(
                "it covers offset {}, but its file is of offset {offset}",
                image.offset
            )));
        }
        self.indexes = Indexes::of(&image);
        self.image = image;
        assert!(
            self.image.offset <= offset,
            "the image is at {} after a restore to {offset}",
            self.image.offset
        );
        self.feed.lock().reset(self.image.offset);
        self.publish();
        Ok(())
    }
}

pub(crate) fn write_snapshot(image: &MetadataImage, writer: &mut dyn Write) -> io::Result<()> {
    let mut buffer = Vec::new();
    for chunk in convert::snapshot_chunks(image) {
        buffer.clear();
        chunk
            .encode_length_delimited(&mut buffer)
            .map_err(io::Error::other)?;
        writer.write_all(&buffer)?;
    }
    Ok(())
}

fn read_snapshot(reader: &mut dyn Read) -> Result<MetadataImage, RestoreError> {
    let malformed = |error: &dyn std::fmt::Display| RestoreError::Malformed(error.to_string());
    let mut builder = convert::SnapshotBuilder::default();
    let mut buffer = Vec::new();
    while let Some(len) = read_length(reader)? {
        if len > CHUNK_LEN_MAX {
            return Err(malformed(&format!("a chunk of {len} bytes")));
        }
        buffer.clear();
        let read = reader.take(len).read_to_end(&mut buffer)?;
        if read as u64 != len {
            return Err(malformed(&"it ends within a chunk"));
        }
        let chunk = v1::SnapshotChunk::decode(buffer.as_slice()).map_err(|e| malformed(&e))?;
        builder.add(&chunk).map_err(|error| malformed(&error))?;
    }
    builder.finish().map_err(|error| malformed(&error))
}

/// The length before a chunk, or `None` at the end.
fn read_length(reader: &mut dyn Read) -> Result<Option<u64>, RestoreError> {
    let mut length = 0u64;
    for at in 0..10 {
        let mut byte = [0u8];
        if reader.read(&mut byte)? == 0 {
            return match at {
                0 => Ok(None),
                _ => Err(RestoreError::Malformed(
                    "it ends within a length".to_owned(),
                )),
            };
        }
        length |= u64::from(byte[0] & 0x7f) << (7 * at).min(63);
        if byte[0] & 0x80 == 0 {
            return Ok(Some(length));
        }
    }
    Err(RestoreError::Malformed(
        "a length of more than ten bytes".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use dohle_model::batch::MetadataBatch;
    use dohle_model::record::MetadataRecord;

    use super::*;
    use crate::feed::Next;

    fn batch(base: u64, level: i16) -> MetadataBatch {
        let record = MetadataRecord::FeatureLevel {
            name: "metadata.version".to_owned(),
            level,
        };
        MetadataBatch {
            base: MetadataOffset(base),
            records: vec![record].into(),
        }
    }

    fn payload(base: u64, level: i16) -> Bytes {
        convert::batch_to_wire(&batch(base, level))
            .encode_to_vec()
            .into()
    }

    #[test]
    fn a_batch_that_was_planned_on_another_image_changes_nothing() {
        let (published_tx, published) = watch::channel(PublishedImage::default());
        let feed = Arc::new(Mutex::new(CommittedBatches::new(1_000)));
        let (fatal_tx, fatal) = watch::channel(None);
        let size = FeedSize {
            bytes_min: 1_000,
            bytes_per_replica: 0,
        };
        let mut machine = MetadataMachine::new(published_tx, Arc::clone(&feed), size, fatal_tx);
        let first = machine.apply(MetadataOffset(5), &payload(0, 1));
        assert_eq!(first, ApplyOutcome::Applied);
        let before = published.borrow().image.clone();
        assert_eq!(before.offset, MetadataOffset(5));

        // Bases of batches that must be ignored: one from before the first batch, one from a later
        // image that was never reached, and one between two batches.
        for base in [0, 9, 4] {
            let outcome = machine.apply(MetadataOffset(6), &payload(base, 2));
            assert_eq!(outcome, ApplyOutcome::Stale, "base {base}");
            assert_eq!(machine.image, *before, "base {base}");
            assert_eq!(published.borrow().image, before, "base {base}");
            let next = feed.lock().next(MetadataOffset(5));
            assert!(
                matches!(&next, Next::Batches(batches) if batches.is_empty()),
                "brokers would get the stale batch with base {base}: {next:?}"
            );
        }
        let second = machine.apply(MetadataOffset(7), &payload(5, 3));
        assert_eq!(second, ApplyOutcome::Applied);
        assert_eq!(published.borrow().image.offset, MetadataOffset(7));
        assert!(fatal.borrow().is_none());
    }

    #[test]
    fn an_image_refuses_a_batch_that_was_planned_on_another_one() {
        let mut image = MetadataImage::default();
        let committed = CommittedBatch {
            offset: MetadataOffset(6),
            batch: batch(4, 1),
        };
        let replayed = image.replay_batch(&committed, &mut MetadataDelta::default());
        assert_eq!(replayed, Ok(Replayed::Stale));
        assert_eq!(image, MetadataImage::default());
    }
}
