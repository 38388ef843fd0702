//! Compaction: keeps only the newest record of each key.
//!
//! [`crate::Log::begin_cleaning`] collects under the log's lock what a cleaning needs;
//! [`Cleaning::index`] reads the dirty records and maps each key to its newest offset;
//! [`Cleaner::next_segment`] writes one new segment for a group of old ones, next to them;
//! [`crate::Log::replace_segments`] replaces the old ones, under the lock again. Only the first and
//! the last step need the lock, and readers of old segments continue to read them.
//!
//! Invariant: offsets, leader epochs and batches' offset ranges never change; records at or above
//! the bound of [`Cleaning`] do not change.
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

/// The last offsets of a producer in the log. Its newest batch must be kept, because the producer's
/// sequence and epoch are recorded only there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastOfProducer {
    /// The last offset of its newest batch of data.
    pub(crate) last_data_offset: Option<Offset>,
    pub(crate) epoch: Option<ProducerEpoch>,
}

pub(crate) type LastOfProducers = HashMap<ProducerId, LastOfProducer>;
