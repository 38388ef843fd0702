//! Producer snapshots.

use std::io::Write;
use std::path::Path;

use dohle_log::producer_state::{ProducerEntry, snapshot};
use dohle_model::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use super::{Dump, Stop, absolute, read};
use crate::ordered_json::{Json, fields};
use crate::tool_run::Output;

impl<W: Write> Dump<'_, W> {
    /// Shows the producers of a snapshot.
    pub(super) fn producer_snapshot(&mut self, path: &Path) -> Result<(), Stop> {
        let bytes = read(path)?;
        let file = absolute(path);
        let entries = snapshot::entries(&bytes).map_err(|error| Stop::File(error.to_string()))?;
        for (id, entry) in &entries {
            self.entry(&file, fields(*id, entry, self.settings.output))?;
        }
        Ok(())
    }
}

/// What is shown of a producer. Kafka prints the offset at which its transaction begins in Java's
/// form, and the timestamp of its last batch, which JSON has as `lastTimestamp`.
fn fields(id: ProducerId, entry: &ProducerEntry, output: Output) -> Vec<(&'static str, Json)> {
    let first_offset = match (output, entry.current_txn_first_offset) {
        (Output::Json, offset) => Json::from(Offset::to_wire(offset)),
        (Output::Text, Some(offset)) => format!("OptionalLong[{offset}]").into(),
        (Output::Text, None) => "OptionalLong.empty".into(),
    };
    let mut fields = fields! {
        "producerId": id.0,
        "producerEpoch": ProducerEpoch::to_wire(entry.epoch),
        "coordinatorEpoch": entry.coordinator_epoch.unwrap_or(-1),
        "currentTxnFirstOffset": first_offset,
        "lastTimestamp": Timestamp::to_wire(entry.last_timestamp),
    };
    if let Some(batch) = entry.batches.front() {
        let last_sequence = Sequence::to_wire(batch.last_sequence);
        fields.extend(fields! {
            "firstSequence": first_sequence(last_sequence, batch.offset_delta),
            "lastSequence": last_sequence,
            "lastOffset": batch.last_offset.0,
            "offsetDelta": batch.offset_delta,
        });
        if output == Output::Text {
            fields.extend(fields! { "timestamp": Timestamp::to_wire(batch.timestamp) });
        }
    }
    fields
}

/// Sequences go on with 0 after the largest.
fn first_sequence(last: i32, delta: i32) -> i32 {
    if last < delta {
        i32::MAX - (delta - last) + 1
    } else {
        last - delta
    }
}
