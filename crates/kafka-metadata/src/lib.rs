//! Reads the metadata of an Apache Kafka cluster without ZooKeeper (KRaft), and converts them to
//! Dohle's.
//!
//! ```text
//! bytes ─▶ KafkaRecord::decode ─▶ Conversion::replay ─▶ Dohle's MetadataRecords and image
//! ```
//!
//! [`KafkaRecord`] decodes one record of the log or of a snapshot, [`ControlRecord`] one of the
//! records that the quorum writes about itself, [`QuorumState`] the file `quorum-state`.
//! [`Conversion`] converts the records in their order, and lists what has no meaning in Dohle.
//!
//! Pure: no tokio, no files, no clock, no randomness. Invalid bytes never cause a panic.
//!
//! Invariant: the image after a record depends on the records up to it alone. It does not matter
//! how many of them came from a snapshot.
//!
//! Source: the schemas in `metadata/src/main/resources` and `clients/src/main/resources` of Apache
//! Kafka, versions 3.3 to 4.4.

mod control;
mod conversion;
mod quorum_state;
mod record;
mod wire;

pub use control::{ControlRecord, KafkaVoter};
pub use conversion::{Conversion, ConversionError};
pub use quorum_state::{QuorumState, QuorumStateError};
pub use record::KafkaRecord;
pub use wire::DecodeError;

#[cfg(test)]
mod tests;
