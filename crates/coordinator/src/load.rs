//! Loads a machine: reads its partition from start to end, and replays the records.
//!
//! Records of transactions and the markers that end them are replayed as such. Records of types
//! that this version does not know are skipped.

use std::sync::Arc;

use dohle_log::batch::ControlRecord;
use dohle_log::{Batch, BatchError, Batches, DecompressionMemory};
use dohle_machine::{LogRecord as _, Machine};
use dohle_model::{MetadataOffset, Offset};
use tokio::time::Instant;

use super::Coordinator;
use super::shard::ShardRuntime;
use super::step::WriteMode;
use dohle_broker::partition::{CommitError, FetchParams, Isolation, ReadError};

/// The reason why a partition cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("the batch at offset {at} is damaged: {error}")]
    Batch { at: Offset, error: BatchError },
    #[error("the record at offset {at} cannot be decoded: {reason}")]
    Record { at: Offset, reason: String },
    #[error("the log has no records at offset {at}, and does not end there")]
    Gap { at: Offset },
}

/// A machine, and the offset up to which it was replayed.
struct Loaded<M> {
    machine: M,
    end: Offset,
    records: u64,
}

impl<M: Machine> Coordinator<M> {
    /// Loads the machine of a shard, whose state is `Loading`, in the background. The shard serves
    /// requests once this broker's metadata are at `offset`, because machines look up topics in
    /// them.
    pub(super) fn load(self: &Arc<Self>, shard: &Arc<ShardRuntime<M>>, offset: MetadataOffset) {
        let (this, shard) = (Arc::clone(self), Arc::clone(shard));
        self.runtime.spawn(async move {
            let begun = Instant::now();
            // The semaphore is never closed, so this does not fail.
            let permit = this.loads.acquire().await;
            let chunk = this.settings().load_buffer;
            let reading = {
                let shard = Arc::clone(&shard);
                tokio::task::spawn_blocking(move || read(&shard, chunk))
            };
            let loaded = match reading.await {
                Ok(Ok(loaded)) => loaded,
                Ok(Err(error)) => return this.load_failed(&shard, &error.to_string()),
                Err(error) => return this.load_failed(&shard, &error.to_string()),
            };
            // Permits limit the number of shards that are read at the same time. The commit may
            // take long, and must not delay the reads of other shards.
            drop(permit);
            let Loaded {
                machine,
                end,
                records,
            } = loaded;
            // Records of an earlier leader may still be uncommitted.
            match shard
                .partition
                .wait_committed(shard.leader_epoch, end)
                .await
            {
                Ok(()) | Err(CommitError::NotEnoughReplicasAfterAppend { .. }) => {}
                Err(CommitError::Role(error)) => {
                    return this.load_failed(&shard, &error.to_string());
                }
            }
            let mut images = this.metadata.subscribe();
            // Fails only when the node stops.
            let _ = images.wait_for(|image| image.offset >= offset).await;
            if !shard.activate(machine) {
                return;
            }
            // Fails only when the machine was dropped meanwhile.
            let _ = this.step(&shard, WriteMode::PerRecord, |machine, step| {
                machine.on_loaded(step);
            });
            let (partition, machine) = (shard.partition.name(), M::NAME);
            let (leader_epoch, took) = (shard.leader_epoch, begun.elapsed());
            if records > 0 {
                tracing::info!(%partition, %leader_epoch, records, ?took, "loaded {machine}");
            } else {
                tracing::debug!(%partition, %leader_epoch, "loaded {machine}");
            }
        });
    }

    fn load_failed(&self, shard: &ShardRuntime<M>, reason: &str) {
        // The end of leadership is not a failure.
        let leads =
            shard.partition.is_leader() && shard.partition.leader_epoch() == shard.leader_epoch;
        if shard.fail(self.started.elapsed()) && leads {
            let (partition, machine) = (shard.partition.name(), M::NAME);
            tracing::error!(
                %partition, leader_epoch = %shard.leader_epoch,
                "cannot load {machine}, requests to them are refused until a later load succeeds: \
                 {reason}"
            );
        }
    }
}

/// Reads the partition, and replays it. Blocks on the disk.
fn read<M: Machine>(shard: &ShardRuntime<M>, chunk: usize) -> Result<Loaded<M>, LoadError> {
    let positions = shard.partition.positions();
    let end = positions.log_end_offset;
    let mut at = positions.log_start_offset;
    assert!(
        at <= end,
        "{}: the log start {at} is beyond the log end {end}",
        shard.partition.name()
    );
    let mut replay = Replay::<M>::default();
    let memory = shard.partition.decompression();
    while at < end {
        let params = FetchParams {
            fetch_offset: at,
            current_leader_epoch: Some(shard.leader_epoch),
            last_fetched_epoch: None,
            max_bytes: chunk,
            min_one: true,
            isolation: Isolation::LogEnd,
            leader_only: true,
        };
        let read = match shard.partition.read(&params) {
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
            // Compaction may have removed all records at the end of the log.
            if read.records.is_empty() && read.positions.log_end_offset <= at {
                break;
            }
            return Err(LoadError::Gap { at });
        }
    }
    Ok(Loaded {
        machine: replay.machine,
        end,
        records: replay.records,
    })
}

/// A machine that replays the batches of a log.
pub(super) struct Replay<M: Machine> {
    pub(super) machine: M,
    records: u64,
}

impl<M: Machine> Default for Replay<M> {
    fn default() -> Self {
        Self {
            machine: M::default(),
            records: 0,
        }
    }
}

impl<M: Machine> Replay<M> {
    /// Replays the records of a batch from offset `from` on.
    pub(super) fn batch(
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
            let decoded = M::Record::decode(key, record.value);
            let Some(decoded) = decoded.map_err(|error| fail(error.to_string()))? else {
                continue;
            };
            self.records += 1;
            match transaction {
                Some(producer) => self.machine.replay_in_transaction(producer, decoded),
                None => self.machine.replay(decoded),
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
        self.machine.end_transaction(producer, marker.committed);
    }
}
