//! Converts the metadata log of a Kafka node to the log of a voter of Dohle's quorum. Pure.
//!
//! ```text
//! Kafka                                    Dohle
//! snapshot with end offset S, epoch e  ─▶  snapshot that covers index 2S, term e
//! record at offset o, epoch e          ─▶  entry 2o+1, term e: the voters, if it holds them
//!                                          entry 2o+2, term e: a batch on the image at 2o
//! ```
//!
//! A batch of Kafka takes effect as a whole: the entry of its last record has the effects of all,
//! the entries of the others have none. A log that begins without a snapshot has the voters at
//! index 0, term 0.
//!
//! Invariant: an entry depends on the offset of its record and on the batches up to it. So two
//! nodes whose logs agree up to an offset have entries that agree, whatever snapshots they begin
//! with, and terms and indexes compare as Kafka's epochs and offsets do.

use bytes::Bytes;
use dohle_kafka_metadata::{ControlRecord, Conversion, ConversionError, KafkaVoter};
use dohle_model::batch::MetadataBatch;
use dohle_model::{DirectoryId, MetadataOffset, NodeId};
use dohle_rpc::convert;
use prost::Message;

use super::source::{KafkaBatch, KafkaSnapshot, LogRecord, Source};
use crate::raft::PAYLOAD_LEN_MAX;
use crate::raft::imported::{ImportedEntry, ImportedPayload, ImportedSnapshot, ImportedVoter};
use crate::state_machine::write_snapshot;

/// The converted log.
pub(super) struct Converted {
    pub snapshot: Option<ImportedSnapshot>,
    pub entries: Vec<ImportedEntry>,
    /// The voters at the end of the log, if they are known.
    pub voters: Option<Vec<ImportedVoter>>,
    /// The level of `kraft.version`: with 1 the voters are in the log.
    pub kraft_version: i16,
    /// The newest epoch of a record.
    pub epoch: u64,
    /// The offset after the last record.
    pub end: u64,
    /// Has the image at the end, and what has no meaning in Dohle.
    pub conversion: Conversion,
}

/// Why a log cannot be converted.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConvertError {
    /// The cluster still migrates from ZooKeeper.
    #[error(transparent)]
    Migrating(ConversionError),
    /// A record does not fit those before it, or is too large.
    #[error("the record at offset {offset}: {reason}")]
    Record { offset: u64, reason: String },
}

impl ConvertError {
    fn at(offset: u64) -> impl Fn(ConversionError) -> Self {
        move |error| match error {
            ConversionError::ZooKeeper => Self::Migrating(error),
            ConversionError::Replay(_) | ConversionError::Transaction => {
                let reason = error.to_string();
                Self::Record { offset, reason }
            }
        }
    }
}

/// Converts a log.
pub(super) fn convert(source: &Source) -> Result<Converted, ConvertError> {
    let voters = first_voters(source);
    let mut converted = Converted {
        snapshot: None,
        entries: Vec::new(),
        voters: voters.clone(),
        kraft_version: 0,
        epoch: 0,
        end: 0,
        conversion: Conversion::default(),
    };
    match &source.snapshot {
        Some(snapshot) => converted.begin_with(snapshot)?,
        None => converted.entries.extend(voters.map(|voters| ImportedEntry {
            term: 0,
            index: 0,
            payload: ImportedPayload::Voters(voters),
        })),
    }
    for batch in &source.batches {
        converted.add(batch)?;
    }
    Ok(converted)
}

/// Returns the voters that the log begins with: those of the configuration, which `quorum-state`
/// has before `kraft.version` 1, or the first that are recorded.
fn first_voters(source: &Source) -> Option<Vec<ImportedVoter>> {
    let snapshot = source.snapshot.iter().flat_map(|it| &it.records);
    let log = source.batches.iter().flat_map(|it| &it.records);
    let recorded = snapshot.chain(log).find_map(|record| match record {
        LogRecord::Control(ControlRecord::Voters(voters)) => Some(imported_voters(voters)),
        _ => None,
    });
    // An observer of a cluster with `kraft.version` 1 may have a file of version 0 without voters.
    let configured = source
        .quorum_state
        .as_ref()
        .and_then(|it| it.voters.as_ref());
    let configured = configured.filter(|ids| !ids.is_empty()).map(|ids| {
        let voter = |id: &NodeId| ImportedVoter {
            id: *id,
            address: String::new(),
            directory: DirectoryId::ZERO,
        };
        ids.iter().map(voter).collect()
    });
    configured.or(recorded)
}

fn imported_voters(voters: &[KafkaVoter]) -> Vec<ImportedVoter> {
    let voter = |voter: &KafkaVoter| ImportedVoter {
        id: voter.id,
        address: voter.address.clone().unwrap_or_default(),
        directory: voter.directory,
    };
    voters.iter().map(voter).collect()
}

impl Converted {
    fn begin_with(&mut self, snapshot: &KafkaSnapshot) -> Result<(), ConvertError> {
        let failed = ConvertError::at(snapshot.end);
        let mut records = Vec::new();
        for record in &snapshot.records {
            match record {
                LogRecord::Control(control) => drop(self.on_control(control)),
                LogRecord::Metadata(record) => self
                    .conversion
                    .replay(record.clone(), &mut records)
                    .map_err(&failed)?,
            }
        }
        if self.conversion.is_within_transaction() {
            return Err(failed(ConversionError::Transaction));
        }
        let mut image = self.conversion.image().clone();
        image.offset = image_offset(snapshot.end);
        (self.end, self.epoch) = (snapshot.end, snapshot.epoch);
        self.snapshot = Some(ImportedSnapshot {
            term: snapshot.epoch,
            index: image.offset.0,
            voters: self.voters.clone().unwrap_or_default(),
            body: Box::new(move |writer| write_snapshot(&image, writer)),
        });
        Ok(())
    }

    fn add(&mut self, batch: &KafkaBatch) -> Result<(), ConvertError> {
        let mut records = Vec::new();
        for (at, record) in batch.records.iter().enumerate() {
            let offset = batch.base + at as u64;
            let mut voters = None;
            match record {
                LogRecord::Control(control) => voters = self.on_control(control),
                LogRecord::Metadata(record) => self
                    .conversion
                    .replay(record.clone(), &mut records)
                    .map_err(ConvertError::at(offset))?,
            }
            let is_last = at + 1 == batch.records.len();
            let taking_effect = match is_last {
                true => std::mem::take(&mut records),
                false => Vec::new(),
            };
            let base = image_offset(offset);
            let payload = convert::batch_to_wire(&MetadataBatch {
                base,
                records: taking_effect.into(),
            });
            let payload = Bytes::from(payload.encode_to_vec());
            if payload.len() > PAYLOAD_LEN_MAX {
                let len = payload.len();
                let reason = format!("its batch has {len} bytes, at most {PAYLOAD_LEN_MAX} fit");
                return Err(ConvertError::Record { offset, reason });
            }
            let voters = voters.map_or(ImportedPayload::Blank, ImportedPayload::Voters);
            for (index, payload) in [
                (base.0 + 1, voters),
                (base.0 + 2, ImportedPayload::Normal(payload)),
            ] {
                let term = batch.epoch;
                self.entries.push(ImportedEntry {
                    term,
                    index,
                    payload,
                });
            }
        }
        self.epoch = batch.epoch;
        self.end = batch.base + batch.records.len() as u64;
        Ok(())
    }

    /// Replays a control record. Returns the voters if it holds them.
    fn on_control(&mut self, control: &ControlRecord) -> Option<Vec<ImportedVoter>> {
        match control {
            ControlRecord::KraftVersion(level) => {
                self.kraft_version = *level;
                None
            }
            ControlRecord::Voters(voters) => {
                let voters = imported_voters(voters);
                self.voters = Some(voters.clone());
                Some(voters)
            }
            ControlRecord::LeaderChange
            | ControlRecord::SnapshotHeader
            | ControlRecord::SnapshotFooter => None,
        }
    }
}

/// Returns the offset of the image after all records below an offset of Kafka's.
fn image_offset(end: u64) -> MetadataOffset {
    MetadataOffset(2 * end)
}
