//! Losses of power under a log: at a random operation on a file, any part of the data that were not
//! synced by then may be on the disk.
//!
//! Every start then succeeds, finds what was flushed, and beyond that only batches that were
//! appended at their offsets.
//!
//! `DOHLE_TORN_STATES=20000 DOHLE_SEED=1` runs more of them, from a seed.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use common::*;
use dohle_log::directory::Checkpoint;
use dohle_log::{Batches, Log, LogConfig, LogDirectory, OpenFiles, OpenOptions, StorageError};
use dohle_model::Offset;
use dohle_storage::Environment;
use dohle_storage::simulated::{Image, Power, Random};

const STATES: u64 = 600;
const DIR: &str = "/data";

/// A batch as it is in the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Stored {
    base: i64,
    end: i64,
    epoch: i32,
    bytes: Vec<u8>,
}

fn stored(log: &Log) -> Vec<Stored> {
    let bytes = read_all(log, log.log_start_offset());
    let stored = |batch: dohle_log::Batch<'_>| {
        batch.header.check_crc(batch.bytes).unwrap();
        Stored {
            base: batch.header.base_offset.0,
            end: batch.header.next_offset().0,
            epoch: batch.header.partition_leader_epoch.unwrap().0,
            bytes: batch.bytes.to_vec(),
        }
    };
    Batches::new(&bytes)
        .map(|batch| stored(batch.unwrap()))
        .collect()
}

/// What a log has acknowledged, and what it has contained at any time.
struct Memory {
    batches: Vec<Stored>,
    /// Every batch that was ever appended.
    appended: BTreeSet<Stored>,
    /// The batches below this offset survive.
    flushed: i64,
    /// The largest log start that was returned to a caller.
    start: i64,
    /// The largest log end. Records that were cut off may return until the next flush.
    end: i64,
    epoch: i32,
}

/// How the process before a start ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    /// The machine lost what was not synced.
    ByPowerLoss,
    /// The machine went on, so that files and directories are as the process left them, and none of
    /// their changes was synced by that.
    Alone,
}

struct Simulation {
    seed: u64,
    random: Random,
    image: Image,
    memory: Memory,
    starts: u64,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            random: Random(seed),
            image: Image::new(),
            memory: Memory {
                batches: Vec::new(),
                appended: BTreeSet::new(),
                flushed: 0,
                start: 0,
                end: 0,
                epoch: 0,
            },
            starts: 0,
        }
    }

    fn what(&self) -> String {
        format!("seed {}, start {}", self.seed, self.starts)
    }

    /// Starts on the state after the last loss of power, and works until the next one. Until then
    /// the process may stop and start several times.
    fn round(&mut self) {
        let cut_at = self.random.below(250) + 1;
        let power = Power::new(self.random.next_number(), cut_at, |_| {});
        let disk = power.disk(std::mem::take(&mut self.image));
        let mut stopped = Stopped::ByPowerLoss;
        while !power.is_cut() {
            stopped = self.run_process(&power, &disk.environment(), stopped);
        }
        self.image = disk.after_power_loss();
    }

    /// Starts on the files of the last process, and works until the power is lost or the process
    /// stops.
    fn run_process(
        &mut self,
        power: &Power,
        environment: &Environment,
        stopped: Stopped,
    ) -> Stopped {
        let directory = LogDirectory::open_in(Path::new(DIR), environment.clone()).unwrap();
        let checkpoint = |kind| {
            let offsets = directory.read_checkpoint(kind).unwrap();
            offsets.get(&partition()).copied().unwrap_or(Offset::ZERO)
        };
        let options = OpenOptions {
            log_start_offset: checkpoint(Checkpoint::LogStartOffset),
            recovery_point: checkpoint(Checkpoint::RecoveryPoint),
            clean_shutdown: directory.take_clean_shutdown().unwrap().is_some(),
            now: NOW,
        };
        let opened = open_log(environment, options);
        let mut log = opened.unwrap_or_else(|error| panic!("{}: {error}", self.what()));
        self.check(&log, options, stopped);
        self.starts += 1;
        self.memory.epoch += 1;
        log.assign_epoch_start(dohle_model::LeaderEpoch(self.memory.epoch));
        while !power.is_cut() {
            if self.random.one_in(40) {
                self.close(&directory, log, power);
                return Stopped::Alone;
            }
            if self.random.one_in(40) {
                // The process is killed: its writes are in the page cache or on the disk.
                return Stopped::Alone;
            }
            self.step(&directory, &mut log, power);
        }
        Stopped::ByPowerLoss
    }

    /// Compares the content that a start found with what was acknowledged before.
    fn check(&mut self, log: &Log, options: OpenOptions, stopped: Stopped) {
        let what = self.what();
        let memory = &mut self.memory;
        assert_eq!(log.damage(), [], "{what}: {options:?}");
        assert!(!log.is_failed(), "{what}");
        let found = stored(log);
        let (start, end) = (log.log_start_offset().0, log.log_end_offset().0);
        assert!(start <= memory.start, "{what}: it begins at {start}");
        assert!(
            end <= memory.end,
            "{what}: it ends at {end} of {}",
            memory.end
        );
        assert!(log.recovery_point().0 <= end, "{what}");
        let mut expected = found.first().map_or(start, |first| first.base.min(start));
        let mut epoch = 0;
        for batch in &found {
            assert_eq!(batch.base, expected, "{what}: there is a gap");
            assert!(batch.epoch >= epoch, "{what}: an older epoch follows");
            assert!(
                memory.appended.contains(batch),
                "{what}: invented {batch:?}"
            );
            let cached = log
                .leader_epochs()
                .epoch_for_offset(Offset(batch.base.max(start)));
            assert_eq!(cached.map(|epoch| epoch.0), Some(batch.epoch), "{what}");
            (expected, epoch) = (batch.end, batch.epoch);
        }
        assert_eq!(expected, end, "{what}: offsets without records");
        let kept_to = match stopped {
            Stopped::ByPowerLoss => memory.flushed,
            Stopped::Alone => i64::MAX,
        };
        for batch in &memory.batches {
            let is_kept = batch.end > memory.start && batch.end <= kept_to;
            assert!(
                !is_kept || found.contains(batch),
                "{what}: {} to {} is lost, flushed up to {}, {options:?}",
                batch.base,
                batch.end,
                memory.flushed
            );
        }
        memory.batches = found;
        memory.start = start;
        if stopped == Stopped::ByPowerLoss {
            // Everything that is on the disk now stays there.
            memory.flushed = end;
        }
    }

    fn step(&mut self, directory: &LogDirectory, log: &mut Log, power: &Power) {
        let end = log.log_end_offset();
        let start = log.log_start_offset();
        let somewhere = start.plus(self.random.below(end.since(start) as u64 + 1) as i64);
        match self.random.below(20) {
            0..10 => {
                let count = self.random.below(4) as i32 + 1;
                let size = self.random.below(120) as usize;
                let records = batch(count, size, NOW.0 + self.starts as i64);
                append(log, records, self.memory.epoch);
            }
            10..14 => self.flush(log, power),
            14..16 => {
                let offset = log.recovery_point();
                write(directory, Checkpoint::RecoveryPoint, offset);
            }
            16..18 => {
                self.memory.flushed = self.memory.flushed.min(somewhere.0);
                log.truncate_to(somewhere, NOW).unwrap();
                // A batch is lost as a whole.
                self.memory.flushed = self.memory.flushed.min(log.log_end_offset().0);
                self.memory.epoch += 1;
            }
            18 => {
                self.memory.start = self.memory.start.max(somewhere.0);
                log.maybe_advance_log_start_offset(somewhere);
                write(directory, Checkpoint::LogStartOffset, somewhere.max(start));
                for deleted in log.delete_old_segments(end, NOW).unwrap() {
                    deleted.unlink().unwrap();
                }
            }
            _ if self.random.one_in(4) => {
                let offset = end.plus(self.random.below(20) as i64);
                self.memory.flushed = 0;
                self.memory.start = self.memory.start.max(offset.0);
                log.truncate_fully_and_start_at(offset, NOW).unwrap();
                self.memory.epoch += 1;
            }
            _ => {
                log.close_idle_files();
            }
        }
        self.remember(log);
    }

    /// Records the batches that the log contains, whether or not the power has failed meanwhile.
    fn remember(&mut self, log: &Log) {
        let memory = &mut self.memory;
        memory.batches = stored(log);
        memory.appended.extend(memory.batches.iter().cloned());
        memory.end = memory.end.max(log.log_end_offset().0);
        memory.start = memory.start.max(log.log_start_offset().0);
    }

    fn flush(&mut self, log: &mut Log, power: &Power) {
        let Some(task) = log.prepare_flush(NOW) else {
            return;
        };
        let flushed = task.run().unwrap();
        log.complete_flush(flushed);
        if !power.is_cut() {
            self.memory.flushed = log.recovery_point().0;
        }
    }

    /// Performs a clean shutdown.
    fn close(&mut self, directory: &LogDirectory, log: Log, power: &Power) {
        let start = log.log_start_offset();
        let end = log.close(NOW).unwrap();
        if !power.is_cut() {
            self.memory.flushed = end.0;
        }
        write(directory, Checkpoint::RecoveryPoint, end);
        write(directory, Checkpoint::LogStartOffset, start);
        directory.mark_clean_shutdown(None).unwrap();
    }
}

fn open_log(environment: &Environment, options: OpenOptions) -> Result<Log, StorageError> {
    let config = LogConfig {
        segment_bytes: 700,
        index_interval_bytes: 150,
        ..LogConfig::default()
    };
    let (log, _) = Log::open_with(
        &Path::new(DIR).join(partition().to_string()),
        partition(),
        Arc::new(config),
        options,
        Arc::new(OpenFiles::default().within(environment.clone())),
    )?;
    Ok(log)
}

fn write(directory: &LogDirectory, checkpoint: Checkpoint, offset: Offset) {
    let offsets = [(&partition(), offset)];
    directory.write_checkpoint(checkpoint, offsets).unwrap();
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn a_log_starts_from_every_torn_state_with_what_it_flushed() {
    let first = from_environment("DOHLE_SEED").unwrap_or(1);
    println!("DOHLE_SEED={first}");
    let states = from_environment("DOHLE_TORN_STATES").unwrap_or(STATES);
    let mut total = 0;
    for seed in first.. {
        let mut simulation = Simulation::new(seed);
        for _ in 0..20 {
            simulation.round();
        }
        total += simulation.starts;
        if total >= states {
            break;
        }
    }
    println!("{total} torn states");
}

/// Several segments that were appended and not flushed.
fn append_segments(log: &mut Log) {
    for at in 0..20 {
        append(log, batch(2, 60, NOW.0 + at), 0);
    }
    assert!(log.segment_base_offsets().count() > 3);
}

/// Runs `work` on an empty disk, and opens the log again after a loss of power at its end. Repeated
/// with many outcomes of that loss.
fn after_power_loss(work: impl Fn(&Environment), check: impl Fn(&Log)) {
    for seed in 0..50 {
        let power = Power::new(seed, u64::MAX, |_| {});
        let disk = power.disk(Image::new());
        LogDirectory::open_in(Path::new(DIR), disk.environment()).unwrap();
        work(&disk.environment());
        let power = Power::new(seed, u64::MAX, |_| {});
        let image = disk.after_power_loss();
        let log = open_log(&power.disk(image).environment(), unclean()).unwrap();
        assert_eq!(log.damage(), [], "seed {seed}");
        check(&log);
    }
}

#[test]
fn names_that_a_killed_process_left_are_synced_before_the_next_recovery_point() {
    after_power_loss(
        |environment| {
            append_segments(&mut open_log(environment, unclean()).unwrap());
            let mut log = open_log(environment, unclean()).unwrap();
            log.flush(NOW).unwrap();
            assert_eq!(log.recovery_point(), Offset(40));
        },
        |log| assert_eq!(log.log_end_offset(), Offset(40)),
    );
}

#[test]
fn a_start_that_is_followed_by_a_loss_of_power_leaves_no_index_file_without_its_records() {
    after_power_loss(
        |environment| {
            append_segments(&mut open_log(environment, unclean()).unwrap());
            open_log(environment, unclean()).unwrap();
        },
        |_| {},
    );
}

#[test]
fn the_names_of_a_log_that_was_closed_before_its_first_record_are_synced() {
    after_power_loss(
        |environment| {
            let log = open_log(environment, unclean()).unwrap();
            log.close(NOW).unwrap();
            let clean = OpenOptions {
                clean_shutdown: true,
                ..unclean()
            };
            let mut log = open_log(environment, clean).unwrap();
            append(&mut log, batch(2, 60, NOW.0), 0);
            log.flush(NOW).unwrap();
        },
        |log| assert_eq!(log.log_end_offset(), Offset(2)),
    );
}
