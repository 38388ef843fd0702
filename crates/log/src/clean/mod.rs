//! Compaction: of each key only the newest record is kept.
//!
//! [`crate::Log::begin_cleaning`] takes under the log's lock what a cleaning must know;
//! [`Cleaning::index`] reads the dirty records and maps each key to its newest offset;
//! [`Cleaner::next_segment`] writes one segment in place of a group of old ones, beside them;
//! [`crate::Log::replace_segments`] puts it in their place, again under the lock. Nothing but the
//! first and the last step needs the lock, and readers of old segments go on reading them.
//!
//! Invariant: offsets, leader epochs and batches' offset ranges never change; what is not below
//! [`Cleaning`]'s bound is not touched.
//!
//! Source: Kafka's `LogCleaner.scala`, `LogCleanerManager.scala`, `MemoryRecords.filterTo`,
//! KIP-58, KIP-354, KIP-534.

mod files;
mod filter;
mod group;
mod offset_map;
mod task;
mod transactions;

pub(crate) use files::{CleanedFiles, open_dir};
pub use task::{
    CleanError, CleanStats, CleanedSegment, Cleaner, CleanerLimits, Cleaning, CleaningId, Throttle,
};
pub(crate) use task::{Source, Writer};

use std::collections::HashMap;

use dohle_model::{Offset, ProducerEpoch, ProducerId};

/// The last things of a producer in the log: its newest batch must survive, as its sequence or
/// epoch is told by nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastOfProducer {
    /// The last offset of its newest batch of data.
    pub(crate) last_data_offset: Option<Offset>,
    pub(crate) epoch: Option<ProducerEpoch>,
}

pub(crate) type LastOfProducers = HashMap<ProducerId, LastOfProducer>;
