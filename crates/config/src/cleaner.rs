//! The properties of compaction that belong to a broker, as typed values.

use std::time::Duration;

use super::effective::BrokerValues;

/// What compaction may use (`log.cleaner.*`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CleanerConfig {
    /// `log.cleaner.enable`.
    pub enabled: bool,
    /// `log.cleaner.threads`: logs that are cleaned at a time.
    pub threads: usize,
    /// `log.cleaner.dedupe.buffer.size`, bytes of memory for all threads.
    pub dedupe_buffer_size: usize,
    /// `log.cleaner.io.buffer.load.factor`, 0 to 1.
    pub io_buffer_load_factor: f64,
    /// `log.cleaner.io.buffer.size`, bytes of memory for all threads.
    pub io_buffer_size: usize,
    /// `log.cleaner.io.max.bytes.per.second`, read and written by all threads.
    pub io_max_bytes_per_second: f64,
    /// `log.cleaner.backoff.ms`: how long until a log is looked at again that waits for others.
    pub backoff: Duration,
}

impl CleanerConfig {
    /// Reads the effective values. They were validated where they were set.
    #[must_use]
    pub fn resolve(values: &BrokerValues) -> Self {
        let size = |name: &str| values.number::<usize>(name).unwrap_or(0);
        let decimal = |name: &str, default| values.number::<f64>(name).unwrap_or(default);
        Self {
            enabled: values.boolean("log.cleaner.enable"),
            threads: size("log.cleaner.threads"),
            dedupe_buffer_size: size("log.cleaner.dedupe.buffer.size"),
            io_buffer_load_factor: decimal("log.cleaner.io.buffer.load.factor", 0.9),
            io_buffer_size: size("log.cleaner.io.buffer.size"),
            io_max_bytes_per_second: decimal("log.cleaner.io.max.bytes.per.second", f64::MAX),
            backoff: Duration::from_millis(values.number("log.cleaner.backoff.ms").unwrap_or(0)),
        }
    }
}

/// How the broker looks for damaged records in the background (`log.scrub.*`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScrubConfig {
    /// `log.scrub.enable`.
    pub enabled: bool,
    /// `log.scrub.interval.ms`: from the beginning of one pass to that of the next.
    pub interval: Duration,
    /// `log.scrub.max.bytes.per.second`.
    pub max_bytes_per_second: f64,
}

impl ScrubConfig {
    /// Reads the effective values. They were validated where they were set.
    #[must_use]
    pub fn resolve(values: &BrokerValues) -> Self {
        let interval = values
            .number("log.scrub.interval.ms")
            .unwrap_or(604_800_000);
        let rate = values.number("log.scrub.max.bytes.per.second");
        Self {
            enabled: values.boolean("log.scrub.enable"),
            interval: Duration::from_millis(interval),
            max_bytes_per_second: rate.unwrap_or(4_194_304.0),
        }
    }
}
