//! Checks the positions of a log with assertions that stay enabled in release builds.
//!
//! The assertions apply to values that this code computed. Values from files are checked before
//! they become a position, and an invalid one is an error of its log.

use dohle_model::Offset;

use super::Log;

/// The positions of a log before a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Positions {
    log_start_offset: Offset,
    log_end_offset: Offset,
    recovery_point: Offset,
    generation: u64,
}

impl Log {
    pub(super) fn positions(&self) -> Positions {
        Positions {
            log_start_offset: self.log_start_offset,
            log_end_offset: self.log_end_offset,
            recovery_point: self.recovery_point,
            generation: self.generation,
        }
    }

    /// Asserts the invariants of the positions after a change. `before` has the positions before
    /// the change.
    pub(super) fn assert_positions(&self, change: &'static str, before: Positions) {
        let partition = &self.topic_partition;
        let now = self.positions();
        assert!(
            !self.segments.is_empty(),
            "{partition}: {change} left no segment, before {before:?}"
        );
        assert!(
            now.log_start_offset <= now.log_end_offset,
            "{partition}: {change} put the log start beyond the log end: {now:?}, before {before:?}"
        );
        assert!(
            now.recovery_point <= now.log_end_offset,
            "{partition}: {change} put the recovery point beyond the log end: {now:?}, before \
             {before:?}"
        );
        assert!(
            self.segments[0].base_offset <= now.log_start_offset,
            "{partition}: {change} put the log start before the first segment {}: {now:?}, before \
             {before:?}",
            self.segments[0].base_offset
        );
        assert!(
            now.generation >= before.generation,
            "{partition}: {change} lowered the generation: {now:?}, before {before:?}"
        );
    }

    /// Asserts in addition that nothing was removed from the log's end.
    pub(super) fn assert_not_shorter(&self, change: &'static str, before: Positions) {
        self.assert_positions(change, before);
        let (partition, now) = (&self.topic_partition, self.positions());
        assert!(
            now.log_end_offset >= before.log_end_offset,
            "{partition}: {change} lowered the log end: {now:?}, before {before:?}"
        );
        assert!(
            now.log_start_offset >= before.log_start_offset,
            "{partition}: {change} lowered the log start: {now:?}, before {before:?}"
        );
        assert!(
            now.recovery_point >= before.recovery_point,
            "{partition}: {change} lowered the recovery point: {now:?}, before {before:?}"
        );
        assert_eq!(
            now.generation, before.generation,
            "{partition}: {change} counts as a truncation"
        );
    }

    /// Asserts that the base offsets of the segments increase.
    pub(super) fn assert_segments_rise(&self, change: &'static str) {
        for pair in self.segments.windows(2) {
            assert!(
                pair[0].base_offset < pair[1].base_offset,
                "{}: {change} put segment {} before {}",
                self.topic_partition,
                pair[0].base_offset,
                pair[1].base_offset
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;

    use dohle_model::{LeaderEpoch, PartitionIndex, Timestamp, TopicName, TopicPartition};

    use super::*;
    use crate::batch::{BatchBuilder, BatchOptions};
    use crate::validate::AppendOrigin;
    use crate::{LogConfig, OpenOptions, validate};

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn append(log: &mut Log) {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(Some(NOW), Some(b"k"), Some(b"v"), &[]);
        let records = builder.build().unwrap();
        let validated = validate(records, log.config(), AppendOrigin::Client, NOW).unwrap();
        log.append_as_leader(validated, LeaderEpoch(1), NOW)
            .unwrap();
    }

    /// A log of two records, in which `plant` changes something before `step` runs. Returns the
    /// message of the assertion that fails.
    fn failure(plant: impl FnOnce(&mut Log), step: impl FnOnce(&mut Log)) -> String {
        let dir = tempfile::tempdir().unwrap();
        let partition = TopicPartition {
            topic: TopicName::new("t").unwrap(),
            partition: PartitionIndex(0),
        };
        let options = OpenOptions {
            log_start_offset: Offset::ZERO,
            recovery_point: Offset::ZERO,
            clean_shutdown: false,
            now: NOW,
        };
        let config = Arc::new(LogConfig::default());
        let (mut log, _) = Log::open(dir.path(), partition, config, options).unwrap();
        append(&mut log);
        log.roll(NOW).unwrap();
        append(&mut log);
        plant(&mut log);
        let failed = catch_unwind(AssertUnwindSafe(|| step(&mut log))).unwrap_err();
        *failed.downcast::<String>().unwrap()
    }

    #[test]
    fn a_wrong_position_is_noticed_at_the_next_change() {
        let message = failure(|log| log.recovery_point = Offset(9), append);
        assert!(
            message.contains("t-0: an append put the recovery point beyond the log end"),
            "{message}"
        );
        assert!(message.contains("recovery_point: Offset(9)"), "{message}");
        let message = failure(|log| log.log_start_offset = Offset(7), append);
        assert!(
            message.contains("log start beyond the log end"),
            "{message}"
        );
    }

    #[test]
    fn segments_out_of_order_are_noticed_when_the_next_one_is_begun() {
        let roll = |log: &mut Log| {
            let _ = log.roll(NOW);
        };
        let message = failure(|log| log.segments[0].base_offset = Offset(5), roll);
        assert!(
            message.contains("a roll put segment 5 before 1"),
            "{message}"
        );
    }

    #[test]
    fn a_flush_beyond_the_log_end_is_noticed() {
        let flush = |log: &mut Log| {
            let task = log.prepare_flush(NOW).unwrap();
            let flushed = task.run().unwrap();
            log.log_end_offset = Offset(1);
            log.complete_flush(flushed);
        };
        let message = failure(|_| {}, flush);
        assert!(
            message.contains("flushed up to 2, the log ends at 1"),
            "{message}"
        );
    }

    #[test]
    fn a_high_watermark_outside_the_log_is_noticed() {
        let message = failure(|_| {}, |log| log.on_high_watermark(Offset(3)));
        assert!(
            message.contains("t-0: high watermark 3 of a log from 0 to 2"),
            "{message}"
        );
    }
}
