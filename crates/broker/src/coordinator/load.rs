//! Becoming a group's coordinator: the partition is read from its start to its end and replayed.
//!
//! Records of a transaction wait for its marker: those of an aborted one are not replayed. Control
//! batches are no records, and records of types that are unknown here are left alone.

use std::collections::HashMap;
use std::sync::Arc;

use dohle_groups::{Record, Shard, records};
use dohle_log::batch::ControlRecord;
use dohle_log::{Batch, BatchError, Batches, DecompressionMemory};
use dohle_machine::Machine as _;
use dohle_model::{MetadataOffset, Offset, ProducerId};
use tokio::time::Instant;

use super::Coordinator;
use super::slot::{Slot, Writes};
use crate::partition::{CommitError, FetchParams, Isolation, ReadError};

/// Why a partition cannot be loaded.
#[derive(Debug, thiserror::Error)]
enum LoadError {
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("the batch at offset {at} is damaged: {error}")]
    Batch { at: Offset, error: BatchError },
    #[error("the record at offset {at} is not understood: {reason}")]
    Record { at: Offset, reason: String },
    #[error("there is nothing at offset {at}, where the log does not end")]
    Gap { at: Offset },
}

/// A shard, and what it was made of.
struct Loaded {
    shard: Shard,
    end: Offset,
    records: u64,
}

impl Coordinator {
    /// Loads a slot's shard, in the background. The slot is `Loading`. The shard serves when this
    /// broker's metadata is at `offset`: what groups subscribe to is looked up there.
    pub(super) fn load(self: &Arc<Self>, slot: &Arc<Slot>, offset: MetadataOffset) {
        let (this, slot) = (Arc::clone(self), Arc::clone(slot));
        self.runtime.spawn(async move {
            let begun = Instant::now();
            // Never closed.
            let permit = this.loads.acquire().await;
            let chunk = this.settings().load_buffer;
            let reading = {
                let slot = Arc::clone(&slot);
                tokio::task::spawn_blocking(move || read(&slot, chunk))
            };
            let loaded = match reading.await {
                Ok(Ok(loaded)) => loaded,
                Ok(Err(error)) => return this.load_failed(&slot, &error.to_string()),
                Err(error) => return this.load_failed(&slot, &error.to_string()),
            };
            // Permits bound what is read at a time. A commit may take long, and must not keep other
            // shards from being read.
            drop(permit);
            let Loaded {
                shard,
                end,
                records,
            } = loaded;
            // What an older leader left behind may not be committed yet, or never.
            match slot.partition.wait_committed(slot.leader_epoch, end).await {
                Ok(()) | Err(CommitError::NotEnoughReplicasAfterAppend { .. }) => {}
                Err(CommitError::Role(error)) => {
                    return this.load_failed(&slot, &error.to_string());
                }
            }
            let mut images = this.metadata.subscribe();
            // Ends only with the node.
            let _ = images.wait_for(|image| image.offset >= offset).await;
            if !slot.activate(shard) {
                return;
            }
            // Fails only when the shard is gone again.
            let _ = this.step(&slot, Writes::Apart, |shard, step| shard.on_loaded(step));
            let partition = slot.partition.name();
            let (leader_epoch, took) = (slot.leader_epoch, begun.elapsed());
            if records > 0 {
                tracing::info!(%partition, %leader_epoch, records, ?took, "coordinating groups");
            } else {
                tracing::debug!(%partition, %leader_epoch, "coordinating groups");
            }
        });
    }

    fn load_failed(&self, slot: &Slot, reason: &str) {
        // When leadership is over, that is no failure.
        let leads =
            slot.partition.is_leader() && slot.partition.leader_epoch() == slot.leader_epoch;
        if slot.fail(self.started.elapsed()) && leads {
            let partition = slot.partition.name();
            tracing::error!(
                %partition, leader_epoch = %slot.leader_epoch,
                "the groups of this partition cannot be loaded, and are not served until they can \
                 be: {reason}"
            );
        }
    }
}

/// Reads the partition. Blocks on the disk.
fn read(slot: &Slot, chunk: usize) -> Result<Loaded, LoadError> {
    let positions = slot.partition.positions();
    let end = positions.log_end_offset;
    let mut at = positions.log_start_offset;
    let mut replay = Replay::default();
    let memory = slot.partition.decompression();
    while at < end {
        let params = FetchParams {
            fetch_offset: at,
            current_leader_epoch: Some(slot.leader_epoch),
            last_fetched_epoch: None,
            max_bytes: chunk,
            min_one: true,
            isolation: Isolation::LogEnd,
            leader_only: true,
        };
        let read = match slot.partition.read(&params) {
            Ok(read) => read,
            Err(ReadError::OffsetOutOfRange { positions, .. })
                if positions.log_start_offset > at =>
            {
                at = positions.log_start_offset;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let before = at;
        for batch in Batches::new(&read.records) {
            let batch = batch.map_err(|error| LoadError::Batch { at, error })?;
            replay.batch(&batch, at, memory)?;
            at = at.max(batch.header.next_offset());
        }
        if at == before {
            // Compaction may have emptied the end of the log.
            if read.records.is_empty() && read.positions.log_end_offset <= at {
                break;
            }
            return Err(LoadError::Gap { at });
        }
    }
    Ok(Loaded {
        shard: replay.shard,
        end,
        records: replay.records,
    })
}

#[derive(Default)]
struct Replay {
    shard: Shard,
    records: u64,
    /// Records of transactions that have not ended.
    open: HashMap<ProducerId, Vec<Record>>,
}

impl Replay {
    /// Replays the records of a batch from offset `from` on.
    fn batch(
        &mut self,
        batch: &Batch<'_>,
        from: Offset,
        memory: &DecompressionMemory,
    ) -> Result<(), LoadError> {
        let attributes = batch.header.attributes;
        if attributes.is_control() {
            self.end_transaction(batch);
            return Ok(());
        }
        let damaged = |error| LoadError::Batch {
            at: batch.header.base_offset,
            error,
        };
        let transaction = batch
            .header
            .producer_id
            .filter(|_| attributes.is_transactional());
        let mut stream = batch.stream(memory).map_err(damaged)?;
        while let Some(record) = stream.next_record().map_err(damaged)? {
            if record.offset < from {
                continue;
            }
            let at = record.offset;
            let fail = |reason: String| LoadError::Record { at, reason };
            let key = record.key.ok_or_else(|| fail("it has no key".to_owned()))?;
            let decoded = records::decode(key, record.value);
            let Some(decoded) = decoded.map_err(|error| fail(error.to_string()))? else {
                continue;
            };
            self.records += 1;
            match transaction {
                Some(producer) => self.open.entry(producer).or_default().push(decoded),
                None => self.shard.replay(decoded),
            }
        }
        Ok(())
    }

    fn end_transaction(&mut self, batch: &Batch<'_>) {
        let Some(producer) = batch.header.producer_id else {
            return;
        };
        let Some(ControlRecord::EndTxn(marker)) = ControlRecord::of(batch) else {
            return;
        };
        let ended = self.open.remove(&producer).unwrap_or_default();
        if marker.committed {
            for record in ended {
                self.shard.replay(record);
            }
        }
    }
}
