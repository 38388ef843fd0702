//! The properties of log compaction and of the search for damaged records, as typed values.

use std::time::Duration;

use super::effective::BrokerValues;
use super::keys::broker as keys;

/// The limits of compaction (`log.cleaner.*`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CleanerConfig {
    /// `log.cleaner.enable`.
    pub enabled: bool,
    /// `log.cleaner.threads`: the number of logs that are compacted at the same time.
    pub threads: usize,
    /// `log.cleaner.dedupe.buffer.size`, bytes of memory for all threads.
    pub dedupe_buffer_size: usize,
    /// `log.cleaner.io.buffer.load.factor`, 0 to 1.
    pub io_buffer_load_factor: f64,
    /// `log.cleaner.io.buffer.size`, bytes of memory for all threads.
    pub io_buffer_size: usize,
    /// `log.cleaner.io.max.bytes.per.second`, read and written by all threads.
    pub io_max_bytes_per_second: f64,
    /// `log.cleaner.backoff.ms`: the pause before a log is checked again that could not be
    /// compacted.
    pub backoff: Duration,
}

impl CleanerConfig {
    /// Reads the effective values, which were validated when they were set.
    #[must_use]
    pub fn resolve(values: &BrokerValues) -> Self {
        Self {
            enabled: values.read(&keys::LOG_CLEANER_ENABLE),
            threads: values.read(&keys::LOG_CLEANER_THREADS),
            dedupe_buffer_size: values.read(&keys::LOG_CLEANER_DEDUPE_BUFFER_SIZE),
            io_buffer_load_factor: values.read(&keys::LOG_CLEANER_IO_BUFFER_LOAD_FACTOR),
            io_buffer_size: values.read(&keys::LOG_CLEANER_IO_BUFFER_SIZE),
            io_max_bytes_per_second: values.read(&keys::LOG_CLEANER_IO_MAX_BYTES_PER_SECOND),
            backoff: values.read(&keys::LOG_CLEANER_BACKOFF_MS),
        }
    }
}

/// The search for damaged records in the background (`log.scrub.*`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScrubConfig {
    /// `log.scrub.enable`.
    pub enabled: bool,
    /// `log.scrub.interval.ms`: the time from the start of one pass to the start of the next.
    pub interval: Duration,
    /// `log.scrub.max.bytes.per.second`.
    pub max_bytes_per_second: f64,
}

impl ScrubConfig {
    /// Reads the effective values, which were validated when they were set.
    #[must_use]
    pub fn resolve(values: &BrokerValues) -> Self {
        Self {
            enabled: values.read(&keys::LOG_SCRUB_ENABLE),
            interval: values.read(&keys::LOG_SCRUB_INTERVAL_MS),
            max_bytes_per_second: values.read(&keys::LOG_SCRUB_MAX_BYTES_PER_SECOND),
        }
    }
}
