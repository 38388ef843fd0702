//! Copies the logs of replicas that move.
//!
//! A few workers take turns with all moves, one step at a time, so that many moves share the disks
//! and the limit of `replica.alter.log.dirs.io.max.bytes.per.second` fairly.

use std::sync::{Arc, Weak};
use std::time::Duration;

use dohle_log::StorageErrorKind;
use dohle_model::Offset;
use tokio::time::sleep;

use super::outcome::{MoveEnd, Progress, StepFailure};
use super::{Move, MoveWork, Partitions};
use crate::partition::dir_move::{MoveSource, append_copied};
use crate::partitions::in_blocking::in_blocking;
use crate::partitions::wall_clock;
use crate::replica::MoveStep;

/// The most bytes that one step copies, or one batch.
const STEP_BYTES_MAX: usize = 1 << 20;
/// The interval at which the moves are examined while none of them can go on.
const IDLE_INTERVAL: Duration = Duration::from_millis(20);

/// Runs until the registry is dropped. Several of these share the moves.
pub(in crate::partitions) async fn run(weak: Weak<Partitions>) {
    while let Some(partitions) = weak.upgrade() {
        let moves = Arc::clone(&partitions.moves);
        let started = moves.started.notified();
        if moves.running.lock().is_empty() {
            drop(partitions);
            started.await;
            continue;
        }
        if let Some(delay) = moves.throttle.delay() {
            drop(partitions);
            sleep(delay).await;
            continue;
        }
        if in_blocking(move || partitions.step_moves()).await == Progress::Waits {
            sleep(IDLE_INTERVAL).await;
        }
    }
}

impl Partitions {
    /// Makes one step of each move that no other worker is busy with, while the limit allows it.
    /// Blocks on the disk.
    pub(super) fn step_moves(&self) -> Progress {
        let mut progress = Progress::Waits;
        for running in self.moves.all() {
            if self.moves.throttle.delay().is_some() {
                break;
            }
            if self.step_move(&running) == Progress::Made {
                progress = Progress::Made;
            }
        }
        progress
    }

    /// Makes the next step of one move, unless another worker is busy with it.
    pub(super) fn step_move(&self, running: &Arc<Move>) -> Progress {
        let Some(mut work) = running.work.try_lock() else {
            return Progress::Waits;
        };
        let Some(copy) = &mut work.copy else {
            return Progress::Waits;
        };
        let dirs = (running.from, running.to);
        let Some(source) = running.partition.move_source(dirs, copy) else {
            return Progress::Waits;
        };
        let high_watermark = source.high_watermark.min(copy.log_end_offset());
        copy.on_high_watermark(high_watermark.max(copy.log_start_offset()));
        let step = work.progress.next(&source.view);
        let result = self.take_step(running, &mut work, step);
        if let Some(copy) = &work.copy {
            running.show(copy, source.high_watermark);
        }
        result.unwrap_or_else(|failure| self.on_step_failed(running, work, &source, failure))
    }

    fn take_step(
        &self,
        running: &Arc<Move>,
        work: &mut MoveWork,
        step: MoveStep,
    ) -> Result<Progress, StepFailure> {
        let now = wall_clock();
        let Some(copy) = &mut work.copy else {
            return Ok(Progress::Waits);
        };
        match step {
            MoveStep::Begin(offset) => copy.truncate_fully_and_start_at(offset, now)?,
            MoveStep::Truncate(offset) => {
                let from = copy.log_end_offset();
                copy.truncate_to(offset, now)?;
                tracing::info!(
                    partition = %running.partition.name(), %from, to = %copy.log_end_offset(),
                    "truncated the copy of a replica that moves, like its log"
                );
            }
            MoveStep::AdvanceStart(offset) => {
                copy.maybe_advance_log_start_offset(offset);
                for segment in copy.delete_segments_below_start(now)? {
                    // Nobody reads the copy.
                    segment.unlink()?;
                }
            }
            MoveStep::Copy(from) => return self.copy_records(running, work, from),
            MoveStep::Promise => self.shared.assign_dir(running.partition.id(), running.to),
            MoveStep::Wait => return Ok(Progress::Waits),
            MoveStep::Swap => return self.swap(running, work),
        }
        Ok(Progress::Made)
    }

    /// Copies records from `from` on.
    fn copy_records(
        &self,
        running: &Move,
        work: &mut MoveWork,
        from: Offset,
    ) -> Result<Progress, StepFailure> {
        let topic = running.partition.topic();
        if self.shared.space.refuses(running.to, topic.is_internal()) {
            return Ok(Progress::Waits);
        }
        let (plan, end) = running.partition.plan_copy(from, STEP_BYTES_MAX)?;
        let Some(copy) = &mut work.copy else {
            return Ok(Progress::Waits);
        };
        let read = plan.read();
        let read = read.map_err(|error| running.partition.read_failed(&error))?;
        let copied = read.records.len();
        if copied > 0 {
            // Records that a truncation removed meanwhile are not appended, or removed again by
            // the next steps.
            let now = wall_clock();
            append_copied(copy, read.records, end, now, |offset| {
                let producers = running.partition.producers_below(offset, now);
                producers.map_err(StepFailure::from)
            })?;
        }
        self.moves.throttle.record(copied);
        work.progress.on_copied(copy.log_end_offset() >= end);
        if work.obstacle.take().is_some() {
            let partition = running.partition.name();
            tracing::info!(%partition, "the move of a replica makes progress again");
        }
        let progress = if copied > 0 {
            Progress::Made
        } else {
            Progress::Waits
        };
        Ok(progress)
    }

    /// Handles a step that failed: it is tried again, unless the copy's directory has failed.
    fn on_step_failed(
        &self,
        running: &Arc<Move>,
        mut work: parking_lot::MutexGuard<'_, MoveWork>,
        source: &MoveSource,
        failure: StepFailure,
    ) -> Progress {
        let reason = match failure {
            StepFailure::Copy(error) => match error.kind() {
                StorageErrorKind::Full | StorageErrorKind::Shortage
                    if work.copy.as_ref().is_some_and(|copy| !copy.is_failed()) =>
                {
                    if error.kind() == StorageErrorKind::Full {
                        self.shared.space.on_refused_write(running.to);
                    }
                    return Progress::Waits;
                }
                StorageErrorKind::Device => {
                    if let Some(dir) = self.dirs.iter().find(|dir| dir.id == running.to) {
                        self.fail_dir(dir, &error);
                    }
                    drop(work);
                    self.end_move(running, MoveEnd::TargetFailed(error.to_string()));
                    return Progress::Made;
                }
                _ => {
                    drop(work);
                    self.end_move(running, MoveEnd::CopyFailed(error.to_string()));
                    return Progress::Made;
                }
            },
            StepFailure::Source(reason) => reason,
        };
        if work.obstacle.as_ref() != Some(&reason) {
            tracing::warn!(
                partition = %running.partition.name(), reason,
                copied_to = %source.view.copy.end, log_end_offset = %source.view.current.end,
                "the move of a replica makes no progress"
            );
            work.obstacle = Some(reason);
        }
        Progress::Waits
    }
}
