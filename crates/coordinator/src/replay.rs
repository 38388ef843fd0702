//! How the records of a step become state, and what its replies wait for, without I/O. A closure
//! appends the batches and returns the new end of the log.

use bytes::Bytes;
use dohle_machine::{LogRecord as _, Machine};
use dohle_model::{ErrorCode, Offset, ProducerId};

use super::batches::RecordBatch;

/// What the replies of a step rest on: they are sent once everything below these offsets is
/// committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct CommitPoint {
    /// The end of the records that the step appended.
    pub(super) written: Option<Offset>,
    /// The end of earlier records that the replies show.
    pub(super) read: Option<Offset>,
}

impl CommitPoint {
    /// Of a step that appended records up to `written`, and whose replies show those up to `read`.
    pub(super) const fn of(written: Option<Offset>, read: Option<Offset>) -> Self {
        Self { written, read }
    }
}

/// Appends batches one after the other with `append`, which returns the log end after each, and
/// replays the records of each batch that was appended. With `producer` the records belong to a
/// transaction. Returns the log end after the last batch.
///
/// # Errors
/// The first one of `append`. That batch and the later ones are not replayed.
pub(super) fn append_and_replay<M: Machine>(
    machine: &mut M,
    batches: Vec<RecordBatch<M::Record>>,
    producer: Option<ProducerId>,
    skip_replay: bool,
    mut append: impl FnMut(Bytes) -> Result<Offset, ErrorCode>,
) -> Result<Offset, ErrorCode> {
    let mut end = Offset::ZERO;
    for RecordBatch { bytes, records } in batches {
        let appended = append(bytes)?;
        assert!(
            appended > end,
            "records were appended up to {appended}, after {end}"
        );
        end = appended;
        let subjects = records.iter().map(|record| record.subject().clone());
        let subjects = subjects.collect();
        if !skip_replay {
            for record in records {
                match producer {
                    Some(producer) => machine.replay_in_transaction(producer, record),
                    None => machine.replay(record),
                }
            }
        }
        machine.on_appended(subjects, end);
    }
    Ok(end)
}
