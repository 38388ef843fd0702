//! Producer snapshots.

use std::io::Write;
use std::path::Path;

use dohle_log::producer_state::{ProducerEntry, snapshot};
use dohle_model::{Offset, ProducerEpoch, ProducerId, Timestamp};

use super::{Dump, Stop, read};
use crate::job::Output;
use crate::ordered_json::Json;

impl<W: Write> Dump<'_, W> {
    /// Shows the producers of a snapshot.
    pub(super) fn producer_snapshot(&mut self, path: &Path) -> Result<(), Stop> {
        let bytes = read(path)?;
        let entries = snapshot::entries(&bytes).map_err(|error| Stop::File(error.to_string()))?;
        for (id, entry) in &entries {
            let line = match self.settings.output {
                Output::Text => line(*id, entry),
                Output::Json => json(path, *id, entry).compact(),
            };
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }
}

/// The line of a producer.
pub(super) fn line(id: ProducerId, entry: &ProducerEntry) -> String {
    let first_offset = match entry.current_txn_first_offset {
        Some(offset) => format!("OptionalLong[{offset}]"),
        None => "OptionalLong.empty".to_owned(),
    };
    let mut line = format!(
        "producerId: {} producerEpoch: {} coordinatorEpoch: {} currentTxnFirstOffset: \
         {first_offset} lastTimestamp: {}",
        id.0,
        ProducerEpoch::to_wire(entry.epoch),
        entry.coordinator_epoch.unwrap_or(-1),
        Timestamp::to_wire(entry.last_timestamp),
    );
    if let Some(batch) = entry.batches.front() {
        line += &format!(
            " firstSequence: {} lastSequence: {} lastOffset: {} offsetDelta: {} timestamp: {}",
            first_sequence(batch.last_sequence.0, batch.offset_delta),
            batch.last_sequence.0,
            batch.last_offset,
            batch.offset_delta,
            Timestamp::to_wire(batch.timestamp),
        );
    }
    line
}

/// Sequences go on with 0 after the largest.
fn first_sequence(last: i32, delta: i32) -> i32 {
    if last < delta {
        i32::MAX - (delta - last) + 1
    } else {
        last - delta
    }
}

fn json(path: &Path, id: ProducerId, entry: &ProducerEntry) -> Json {
    let mut fields = vec![
        ("file", Json::Text(super::absolute(path))),
        ("producerId", id.0.into()),
        (
            "producerEpoch",
            i32::from(ProducerEpoch::to_wire(entry.epoch)).into(),
        ),
        (
            "coordinatorEpoch",
            entry.coordinator_epoch.unwrap_or(-1).into(),
        ),
        (
            "currentTxnFirstOffset",
            Offset::to_wire(entry.current_txn_first_offset).into(),
        ),
        (
            "lastTimestamp",
            Timestamp::to_wire(entry.last_timestamp).into(),
        ),
    ];
    if let Some(batch) = entry.batches.front() {
        let first = first_sequence(batch.last_sequence.0, batch.offset_delta);
        fields.push(("firstSequence", first.into()));
        fields.push(("lastSequence", batch.last_sequence.0.into()));
        fields.push(("lastOffset", batch.last_offset.0.into()));
        fields.push(("offsetDelta", batch.offset_delta.into()));
    }
    Json::Object(fields)
}
