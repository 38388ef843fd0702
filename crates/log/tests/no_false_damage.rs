//! Random operations on a compacted log and of a follower's copy of it: compaction, retention,
//! deleted records, truncations, crashes and restarts in any order never make a start report
//! damage, and a crash of the process loses no record.
//!
//! `DOHLE_SEED` repeats a run, `DOHLE_FUZZ_CASES` sets the number of lives.

mod common;

use std::time::Duration;

use common::compact::*;
use common::*;
use dohle_log::{BatchOptions, CleanupPolicy, Log, LogConfig, OpenOptions};
use dohle_model::{Offset, Timestamp};
use dohle_storage::simulated::Random;

fn config(random: &mut Random) -> LogConfig {
    LogConfig {
        segment_bytes: 600,
        index_interval_bytes: 200,
        cleanup_policy: CleanupPolicy {
            delete: random.below(2) == 0,
            compact: random.below(5) > 0,
        },
        retention_ms: Some(Duration::from_secs(600)),
        delete_retention_ms: Duration::from_secs(100),
        ..LogConfig::default()
    }
}

/// A replica over its restarts.
struct Replica {
    dir: tempfile::TempDir,
    log: Option<Log>,
    /// The recovery point in the log directory's checkpoint.
    recovery_point: Offset,
    log_start_offset: Offset,
}

impl Replica {
    fn new(config: LogConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = Some(open(dir.path(), config));
        Self {
            dir,
            log,
            recovery_point: Offset::ZERO,
            log_start_offset: Offset::ZERO,
        }
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("the log is open")
    }

    /// Stops and starts the log, and compares its content before and after.
    fn restart(&mut self, random: &mut Random, what: &str) {
        let log = self.log.take().unwrap();
        let before = (log.log_end_offset(), read_all(&log, log.log_start_offset()));
        let config = (**log.config()).clone();
        let cleaned_to = log.cleaner_checkpoint();
        let clean_shutdown = random.below(3) == 0;
        if clean_shutdown {
            self.checkpoint_start(&log);
            self.recovery_point = log.close(NOW).unwrap();
        } else {
            drop(log);
        }
        if random.below(8) == 0 {
            let _ = std::fs::remove_file(self.dir.path().join("closed-segments.deleted"));
        }
        let options = OpenOptions {
            recovery_point: self.recovery_point,
            log_start_offset: self.log_start_offset,
            clean_shutdown,
            now: NOW,
        };
        let (mut log, report) = open_with(self.dir.path(), config, options);
        assert_eq!(report.bytes_truncated, 0, "{what}");
        assert_eq!(log.damage(), [], "{what}");
        assert_eq!(log.log_end_offset(), before.0, "{what}");
        let after = read_all(&log, log.log_start_offset());
        assert!(after.ends_with(&before.1), "{what}");
        log.set_cleaner_checkpoint(cleaned_to);
        self.log = Some(log);
    }

    fn checkpoint_start(&mut self, log: &Log) {
        self.log_start_offset = log.log_start_offset();
    }

    /// Makes one step with both leader and follower.
    fn step(&mut self, random: &mut Random, now: Timestamp, what: &str) {
        match random.below(9) {
            0 => drop(self.log().roll(now).unwrap()),
            1 => {
                self.log().flush(now).unwrap();
                // The checkpoint of the log directory is written from time to time.
                if random.below(2) == 0 {
                    self.recovery_point = self.log().recovery_point();
                }
            }
            2 | 3 => {
                settle(self.log());
                clean_with(self.log(), LIMITS, now);
            }
            4 => {
                let log = self.log();
                let end = log.log_end_offset();
                let span = end.since(log.log_start_offset()) as u64;
                let to = log
                    .log_start_offset()
                    .plus(random.below(span / 2 + 1) as i64);
                log.maybe_advance_log_start_offset(to);
                if random.below(2) == 0 {
                    self.log_start_offset = self.log().log_start_offset();
                }
            }
            5 => {
                let log = self.log();
                let end = log.log_end_offset();
                for deleted in log.delete_old_segments(end, now).unwrap() {
                    deleted.unlink().unwrap();
                }
                if random.below(2) == 0 {
                    self.restart(random, what);
                }
            }
            6 => {
                let changed = config(random);
                self.log().set_config(changed.into());
            }
            _ => self.restart(random, what),
        }
    }

    fn truncate(&mut self, random: &mut Random) {
        let log = self.log();
        let from = log.cleaner_checkpoint().unwrap_or(Offset::ZERO);
        let from = from.max(log.log_start_offset());
        let span = log.log_end_offset().since(from).max(0) as u64;
        log.truncate_to(from.plus(random.below(span + 1) as i64), NOW)
            .unwrap();
        self.recovery_point = self.recovery_point.min(self.log().recovery_point());
        self.log_start_offset = self.log_start_offset.min(self.log().log_end_offset());
    }

    fn copy_from(&mut self, leader: &Log) {
        let committed = leader.log_end_offset();
        if self.log().log_end_offset() < leader.log_start_offset() {
            let start = leader.log_start_offset();
            self.log().truncate_fully_and_start_at(start, NOW).unwrap();
            self.recovery_point = self.recovery_point.min(start);
        }
        while self.log().log_end_offset() < committed {
            let at = self.log().log_end_offset();
            let Ok(info) = leader.read(at, ALL) else {
                return;
            };
            if info.records.is_empty() {
                return;
            }
            self.log()
                .append_replicated(info.records, committed, NOW)
                .unwrap();
        }
    }
}

#[test]
fn no_life_of_a_log_makes_a_start_report_damage() {
    let variable = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed: u64 = variable("DOHLE_SEED").unwrap_or(1);
    let cases: u64 = variable("DOHLE_FUZZ_CASES").unwrap_or(8);
    println!("DOHLE_SEED={seed} DOHLE_FUZZ_CASES={cases}");
    for case in 0..cases {
        let mut random = Random(seed.wrapping_add(case.wrapping_mul(0xd1b5_4a32_d192_ed03)));
        let mut leader = Replica::new(config(&mut random));
        let mut follower = Replica::new(config(&mut random));
        let mut now = NOW;
        for at in 0..100 {
            let what = format!("DOHLE_SEED={seed} case {case}, step {at}");
            match random.below(20) {
                0..9 => {
                    for _ in 0..1 + random.below(4) {
                        let key = format!("key {}", random.below(6));
                        let value = format!("{:0>1$}", at, random.below(200) as usize);
                        let value = (random.below(5) > 0).then_some(value.as_str());
                        let records = keyed(BatchOptions::default(), NOW, &[(&key, value)]);
                        append(leader.log(), records, 0);
                    }
                }
                9 => {
                    follower.copy_from(leader.log());
                    if random.below(2) == 0 {
                        follower.restart(&mut random, &format!("{what}, copied"));
                    }
                }
                10..14 => leader.step(&mut random, now, &format!("{what}, leader")),
                14..18 => follower.step(&mut random, now, &format!("{what}, follower")),
                18 => now = Timestamp(now.0 + 1000 * random.below(500) as i64),
                _ => follower.truncate(&mut random),
            }
        }
    }
}
