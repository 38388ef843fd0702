//! One partition's log on disk, in Kafka's formats: batches, segments, indexes, recovery, producer
//! state. The crate is synchronous and depends neither on tokio nor on the network or the cluster.
//! The current time is an argument.
//!
//! Outline of the API (the modules have the details):
//!
//! ```text
//! // Produce. Validation does all that is expensive and needs no lock (CRC, records, timestamps,
//! // recompression); `append_as_leader` checks the producer's sequence, assigns offsets, writes.
//! validate::validate_briefly(records, &LogConfig, AppendOrigin, now, &DecompressionMemory)
//! validate::validate_fully(records, &LogConfig, AppendOrigin, now, &DecompressionMemory)
//! Log::append_as_leader(ValidatedBatch, LeaderEpoch, now) -> Result<LeaderAppend, AppendError>
//! Log::begin_verification(&TxnBegin, now) -> Result<Option<VerificationGuard>, ProducerError>
//! Log::append_in_txn(ValidatedBatch, &TxnAppend, LeaderEpoch, now)  // its first batch; markers
//!
//! // Replication.
//! Log::append_as_follower(records, now) -> Result<Option<AppendInfo>, AppendError>
//! Log::truncate_to(Offset, now), Log::truncate_fully_and_start_at(Offset, now)
//! Log::leader_epochs() -> &LeaderEpochCache
//! Log::assign_epoch_start(LeaderEpoch)                      // when it becomes leader
//!
//! // Fetch. Planned under the lock, read outside.
//! Log::plan_read(Offset, ReadLimits) -> Result<ReadPlan, ReadError>
//! ReadPlan::read() -> Result<ReadInfo, StorageError>          // into memory
//! ReadPlan::locate(memory_max, Access) -> Result<Located, RangeError>   // stays in the file
//! FileRange::read(at, &mut [u8], Access) -> Result<usize, RangeError>   // window by window
//! Log::plan_offset_for_timestamp(Timestamp), Log::plan_offset_of_max_timestamp() -> TimestampPlan
//! TimestampPlan::find(&DecompressionMemory) -> Result<TimestampSearch, StorageError>
//! Log::aborted_transactions
//!
//! // Upkeep: taken under the lock, run outside, completed under the lock.
//! Log::prepare_flush(now) -> Option<FlushTask>
//! FlushTask::run() -> Result<Flushed, FlushError>
//! Log::complete_flush(Flushed), Log::postpone_flush(FlushError)   // when there was no space
//! Log::delete_old_segments(high_watermark, now) -> Result<Vec<DeletedSegment>, StorageError>
//! DeletedSegment::unlink()                                  // after file.delete.delay.ms
//! Log::maybe_advance_log_start_offset(Offset) -> bool
//! Log::damage() -> &[Damage]                                // see the module `damage`
//!
//! // Compaction: looked at and begun under the lock, mapped and written outside, swapped in
//! // under it.
//! Log::cleanable(high_watermark, now) -> Result<Cleanable, StorageError>
//! Log::begin_cleaning(high_watermark, now) -> Result<Option<Cleaning>, StorageError>
//! Cleaning::index(CleanerLimits, throttle) -> Result<Cleaner, CleanError>
//! Cleaner::next_segment(throttle) -> Result<Option<CleanedSegment>, CleanError>
//! Log::replace_segments(CleanedSegment) -> Result<Replaced, StorageError>
//! Swapped::sync()
//! Log::complete_cleaning(&Cleaner)
//!
//! // Open and close.
//! Log::open(dir, TopicPartition, Arc<LogConfig>, OpenOptions) -> Result<(Log, RecoveryReport), _>
//! Log::close(now)                                           // flushes all
//!
//! // A log directory: locked while it is open.
//! LogDirectory::open(path)
//! meta_properties, format, verify; take_clean_shutdown, mark_clean_shutdown
//! read_checkpoint, write_checkpoint; partition_dirs
//! ```

#![warn(unreachable_pub)]

mod aborted;
pub mod batch;
mod checkpoint;
mod clean;
pub mod compression;
pub mod config;
pub mod damage;
pub mod directory;
pub mod error;
mod index;
pub mod leader_epoch;
pub mod log;
mod open_files;
pub mod partition_metadata;
pub mod producer_state;
mod segment;
pub mod validate;
mod write_back;

pub use aborted::AbortedSearch;
pub use batch::{Batch, BatchBuilder, BatchError, BatchHeader, BatchOptions, Batches};
pub use clean::{
    CleanError, CleanStats, CleanedSegment, Cleaner, CleanerLimits, Cleaning, CleaningId, Throttle,
};
pub use compression::{CompressionType, DecompressionMemory};
pub use config::LogConfig;
pub use damage::{Damage, Repair, RepairError, SegmentCheck};
pub use directory::{
    Checkpoint, CleanShutdown, DirectoryError, LogDirectory, MetaProperties, MetaPropertiesError,
    PartitionDir, PartitionDirKind,
};
pub use dohle_config::{CleanupPolicy, TargetCompression, TimestampType};
pub use dohle_storage::{Environment, descriptors};
pub use error::{StorageError, StorageErrorKind};
pub use index::{AbortedTxn, offset_index_entries, time_index_entries, txn_index_entries};
pub use leader_epoch::{EpochEnd, EpochEntry, LeaderEpochCache};
pub use log::{
    AppendError, AppendInfo, Cleanable, DeletedSegment, FlushError, FlushTask, Flushed,
    LeaderAppend, Log, OpenOptions, ReadError, RecoveryReport, Replaced, Swapped,
};
pub use open_files::OpenFiles;
pub use producer_state::{
    BatchMetadata, ProducerError, ProducerState, TxnAppend, TxnBegin, VerificationGuard,
};
pub use segment::range::{Access, FileRange, Located, RangeError, Records};
pub use segment::read::{
    ReadInfo, ReadLimits, ReadPlan, TimestampOffset, TimestampPlan, TimestampSearch,
};
pub use validate::{
    AppendOrigin, Brief, RecordError, ValidateError, ValidatedBatch, validate, validate_briefly,
    validate_fully,
};
pub use write_back::WriteBack;
