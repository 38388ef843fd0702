//! Random operations on a log, compared step by step with a list of batches.
//!
//! `DOHLE_FUZZ_CASES` sets the number of lives; proptest prints the steps of a failing one,
//! shortened.

mod common;

use common::*;
use dohle_log::{Log, LogConfig, OpenOptions, ReadLimits};
use dohle_model::{LeaderEpoch, Offset, ProducerId};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Append {
        count: i32,
        size: usize,
        producer: bool,
        new_leader: bool,
    },
    /// Truncates to a position, in per mille of the log's length.
    Truncate(u16),
    AdvanceStart(u16),
    Retention,
    Flush,
    Roll,
    CloseIdleFiles,
    /// The process dies; written data are kept.
    Crash,
    /// A clean shutdown.
    Restart,
    Read {
        at: u16,
        max_bytes: usize,
        upper: u16,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1..6i32, 0..200usize, any::<bool>(), prop::bool::weighted(0.1)).prop_map(
            |(count, size, producer, new_leader)| Step::Append { count, size, producer, new_leader }
        ),
        1 => (0..1000u16).prop_map(Step::Truncate),
        1 => (0..1000u16).prop_map(Step::AdvanceStart),
        1 => Just(Step::Retention),
        1 => Just(Step::Flush),
        1 => Just(Step::Roll),
        1 => Just(Step::CloseIdleFiles),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
        5 => (0..1000u16, 0..2000usize, 0..1100u16)
            .prop_map(|(at, max_bytes, upper)| Step::Read { at, max_bytes, upper }),
    ]
}

struct Life {
    dir: tempfile::TempDir,
    config: LogConfig,
    log: Option<Log>,
    /// Base offset, last offset, epoch, bytes.
    batches: Vec<(i64, i64, i32, Vec<u8>)>,
    epoch: i32,
    start: i64,
    sequence: i32,
}

impl Life {
    fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("the log is open")
    }

    fn end(&self) -> i64 {
        self.batches.last().map_or(self.start, |batch| batch.1 + 1)
    }

    fn place(&self, per_mille: u16) -> Offset {
        Offset(self.start + (self.end() - self.start) * i64::from(per_mille) / 1000)
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Append {
                count,
                size,
                producer,
                new_leader,
            } => {
                self.epoch += i32::from(new_leader);
                let records = if producer {
                    let records = from_producer(9, 0, self.sequence, count);
                    self.sequence += count;
                    records
                } else {
                    batch(count, size, NOW.0)
                };
                let epoch = self.epoch;
                let info = append(self.log(), records, epoch);
                assert_eq!(info.first_offset.0, self.end());
                let (first, last) = (info.first_offset.0, info.last_offset.0);
                self.batches
                    .push((first, last, epoch, info.records.to_vec()));
            }
            Step::Truncate(place) => {
                let to = self.place(place);
                self.log().truncate_to(to, NOW).unwrap();
                self.batches.retain(|batch| batch.1 < to.0);
                // The producer's records may be gone, so it begins a new epoch.
                self.epoch += 1;
                let state = self.log().producer_state().producer(ProducerId(9));
                self.sequence = state
                    .and_then(|entry| entry.batches.back())
                    .map_or(0, |batch| batch.last_sequence.unwrap().0 + 1);
                self.check_producer();
                if self.end() < self.start || self.batches.is_empty() {
                    self.batches.clear();
                    self.start = self.log().log_end_offset().0;
                    assert!(self.start <= to.0);
                }
            }
            Step::AdvanceStart(place) => {
                let to = self.place(place);
                self.log().maybe_advance_log_start_offset(to);
                self.start = self.start.max(to.0);
            }
            Step::Retention => {
                let end = Offset(self.end());
                for segment in self.log().delete_old_segments(end, NOW).unwrap() {
                    segment.unlink().unwrap();
                }
                self.start = self.log().log_start_offset().0;
            }
            Step::Flush => self.log().flush(NOW).unwrap(),
            Step::Roll => drop(self.log().roll(NOW).unwrap()),
            Step::CloseIdleFiles => drop(self.log().close_idle_files()),
            Step::Crash => {
                let log = self.log.take().expect("the log is open");
                let options = OpenOptions {
                    log_start_offset: log.log_start_offset(),
                    recovery_point: log.recovery_point(),
                    ..unclean()
                };
                drop(log);
                self.reopen(options);
            }
            Step::Restart => {
                let log = self.log.take().expect("the log is open");
                let log_start_offset = log.log_start_offset();
                let recovery_point = log.close(NOW).unwrap();
                let options = OpenOptions {
                    log_start_offset,
                    recovery_point,
                    clean_shutdown: true,
                    now: NOW,
                };
                let report = self.reopen(options);
                assert_eq!(report.segments_recovered, 0);
            }
            Step::Read {
                at,
                max_bytes,
                upper,
            } => self.check_read(at, max_bytes, upper),
        }
    }

    fn reopen(&mut self, options: OpenOptions) -> dohle_log::RecoveryReport {
        let (log, report) = open_with(self.dir.path(), self.config.clone(), options);
        assert_eq!(report.bytes_truncated, 0);
        self.log = Some(log);
        self.check_producer();
        report
    }

    /// Checks that the producer's sequence is known as long as its last batch is in the log.
    fn check_producer(&mut self) {
        let of_producer = |records: &[u8]| {
            let header = dohle_log::BatchHeader::parse(records).unwrap();
            header
                .producer_id
                .is_some()
                .then(|| header.last_sequence().unwrap())
        };
        let start = self.start;
        let last = self.batches.iter().rev().filter(|batch| batch.0 >= start);
        let last = last.filter_map(|batch| of_producer(&batch.3)).next();
        let entry = self.log().producer_state().producer(ProducerId(9));
        let known = entry
            .and_then(|entry| entry.batches.back())
            .and_then(|batch| batch.last_sequence);
        assert!(last.is_none() || last == known, "{last:?} {known:?}");
    }

    fn check_read(&mut self, at: u16, max_bytes: usize, upper: u16) {
        let (at, upper_bound) = (self.place(at), self.place(upper));
        let limits = ReadLimits {
            max_bytes,
            upper_bound,
            min_one: true,
        };
        let info = self.log().read(at, limits).unwrap();
        let mut expected = Vec::new();
        for (_, last, _, bytes) in self.batches.iter().filter(|batch| batch.1 >= at.0) {
            let full = !expected.is_empty() && expected.len() + bytes.len() > max_bytes;
            if full || *last >= upper_bound.0 {
                break;
            }
            expected.extend_from_slice(bytes);
        }
        assert!(
            expected.starts_with(&info.records) && info.records.is_empty() == expected.is_empty(),
            "{at} {max_bytes} {upper_bound}: {:?} is not of {:?}",
            ranges(&info.records),
            ranges(&expected)
        );
        let plan = self.log().plan_read(at, limits).unwrap();
        let located = plan.locate(100, dohle_log::Access::Disk).unwrap();
        let mut sent = Vec::new();
        match located.records {
            dohle_log::Records::Memory(bytes) => sent.extend_from_slice(&bytes),
            dohle_log::Records::File(mut range) => {
                let mut window = vec![0; 4096];
                while sent.len() < range.len() {
                    let access = dohle_log::Access::Disk;
                    let read = range.read(sent.len(), &mut window, access).unwrap();
                    sent.extend_from_slice(&window[..read]);
                }
            }
        }
        assert!(sent == info.records, "a range has what a read has");
        assert!(located.next_offset >= info.next_offset);
    }

    fn check(&mut self) {
        let (start, end) = (self.start, self.end());
        assert_eq!(
            (
                self.log().log_start_offset().0,
                self.log().log_end_offset().0
            ),
            (start, end)
        );
        let mut expected = Vec::new();
        for batch in self.batches.iter().filter(|batch| batch.1 >= start) {
            expected.extend_from_slice(&batch.3);
        }
        let read = read_all(self.log(), Offset(start));
        assert_eq!(ranges(&read), ranges(&expected));
        assert!(read == expected);
        for (first, last, epoch, _) in self.batches.clone() {
            if last < start {
                continue;
            }
            let epochs = self.log().leader_epochs();
            assert_eq!(
                epochs.epoch_for_offset(Offset(last)),
                Some(LeaderEpoch(epoch))
            );
            if first >= start {
                assert_eq!(
                    epochs.epoch_for_offset(Offset(first)),
                    Some(LeaderEpoch(epoch))
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(
            std::env::var("DOHLE_FUZZ_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
        )
    })]

    #[test]
    fn a_log_is_the_list_of_its_batches(steps in prop::collection::vec(step(), 1..80)) {
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig {
            segment_bytes: 1500,
            index_interval_bytes: 200,
            retention_bytes: Some(4000),
            retention_ms: None,
            ..LogConfig::default()
        };
        let log = open(dir.path(), config.clone());
        let mut life = Life {
            dir, config, log: Some(log), batches: Vec::new(), epoch: 0, start: 0, sequence: 0,
        };
        for step in &steps {
            life.apply(step);
            life.check();
        }
    }
}
