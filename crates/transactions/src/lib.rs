//! The transaction coordinator without I/O: a [`TransactionMachine`] keeps the transactions of one
//! partition of `__transaction_state`.
//!
//! ```text
//!              AddPartitions          EndTxn                 markers written
//!   Empty ──────────────────▶ Ongoing ──────▶ PrepareCommit ────────────────▶ CompleteCommit
//!     ▲                         │  EndTxn, timeout, InitProducerId                 │
//!     │                         └─────────────▶ PrepareAbort ─────────────────▶ CompleteAbort
//!     └──────────────────────── InitProducerId, from a complete transaction ───────┘
//! ```
//!
//! `state.rs` and `metadata.rs` define the data; `requests.rs` lists the requests with their
//! replies; `shard/` plans them; `markers.rs` tracks which partitions still need the marker of an
//! ended transaction; `records/` has Kafka's formats.
//!
//! Pure: no tokio, no files, no clock, no randomness. This crate must not depend on partitions,
//! connections or the runtime.
//!
//! Invariant: a plan changes the state only through records. A replay of the log results in the
//! same state, except for the markers in flight and the last epoch of a producer, which Kafka's
//! format does not store.

mod config;
mod ids;
mod machine;
mod markers;
mod metadata;
mod partition_set;
mod re2;
mod records;
mod requests;
mod shard;
mod state;
#[cfg(test)]
mod tests;
mod timer;

pub use config::TransactionConfig;
pub use ids::{ProducerIdAndEpoch, TransactionalId};
pub use markers::{BrokerMarkers, Marker, MarkerOutcome};
pub use metadata::TransactionMetadata;
pub use partition_set::PartitionSet;
pub use records::{RecordFormatError, TransactionRecord, ValueVersion, decode as decode_record};
pub use requests::{
    AbortTimedOut, AddPartitions, CompleteEnded, Describe, DescribedTransaction, EndTxn,
    InitProducerId, List, ListedTransaction, MarkersAnswered, MarkersToSend, Outgoing,
    PlannedReply, TransactionFilter, VerifyPartitions,
};
pub use shard::{Effects, Step, TransactionMachine};
pub use state::{TransactionState, TransactionVersion};
pub use timer::Timer;
