//! Compaction of this broker's logs, in the background.
//!
//! A log is examined when a flush has covered closed segments, when its topic's configuration
//! changes, and when it is opened. It is examined again only while it waits for a delay to pass or
//! for other brokers. Logs that are not compacted, or have no new records, are never examined.

mod queue;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dohle_config::CleanerConfig;
use dohle_log::{Cleanable, CleanerLimits};
use dohle_model::{Timestamp, TopicIdPartition};
use tokio::sync::mpsc;
use tokio::time::sleep;

use self::queue::{Finding, Queue};
use super::in_blocking::run_blocking;
use super::throttle::{Rate, StopOnDrop};
use super::{Partitions, wall_clock};
use crate::partition::{CleanOutcome, Partition};

/// The most logs that are cleaned at a time, whatever the value of `log.cleaner.threads`.
const THREADS_MAX: usize = 256;

type Done = (TopicIdPartition, CleanOutcome);

enum CleanerEvent {
    /// There are logs to examine.
    Work,
    /// A cleaning has ended.
    Done(Done),
    /// The time has come to examine a log that waits.
    Due,
}

/// Examines logs, and starts to clean the dirtiest. Ends with the registry.
pub(super) async fn run(weak: Weak<Partitions>) {
    let Some(shared) = weak.upgrade().map(|it| Arc::clone(&it.shared)) else {
        return;
    };
    let stop = StopOnDrop::default();
    let (done, mut done_jobs) = mpsc::channel::<Done>(THREADS_MAX);
    let mut queue = Queue::default();
    loop {
        let due = queue.next_due().map(|at| at.saturating_sub(shared.now()));
        let event = tokio::select! {
            () = shared.cleanings.ready() => CleanerEvent::Work,
            Some(done) = done_jobs.recv() => CleanerEvent::Done(done),
            () = sleep(due.unwrap_or_default()), if due.is_some() => CleanerEvent::Due,
        };
        let Some(partitions) = weak.upgrade() else {
            return;
        };
        let config = partitions.cleaner_config();
        if !config.enabled {
            return;
        }
        let now = shared.now();
        let mut ids = shared.cleanings.take();
        ids.extend(queue.take_due(now));
        if let CleanerEvent::Done((id, outcome)) = event {
            if let CleanOutcome::Uncleanable(reason) = &outcome {
                tracing::error!(
                    partition = %id,
                    reason,
                    "log is not compacted again until the next start"
                );
            }
            if queue.on_done(id, &outcome, now, config.backoff) {
                ids.insert(id);
            }
        }
        look(&partitions, &mut queue, ids, config.backoff).await;
        while let Some(id) = queue.start(config.threads.min(THREADS_MAX)) {
            partitions.start_cleaning(id, config, &done, &stop.0);
        }
    }
}

/// Examines logs, and records how far compaction has processed them.
async fn look(
    partitions: &Arc<Partitions>,
    queue: &mut Queue,
    ids: BTreeSet<TopicIdPartition>,
    backoff: Duration,
) {
    if ids.is_empty() {
        return;
    }
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let looking = Arc::clone(partitions);
    run_blocking(move || {
        let found = looking.look_at(ids, backoff);
        // The receiver is dropped only with the whole task.
        let _ = sender.send(found);
    })
    .await;
    for (id, finding) in receiver.await.unwrap_or_default() {
        queue.on_look(id, finding);
    }
}

impl Partitions {
    fn cleaner_config(&self) -> CleanerConfig {
        self.settings.read().dynamic.cleaner
    }

    fn look_at(
        &self,
        ids: BTreeSet<TopicIdPartition>,
        backoff: Duration,
    ) -> Vec<(TopicIdPartition, Option<Finding>)> {
        let (now, wall) = (self.shared.now(), wall_clock());
        let mut findings = Vec::with_capacity(ids.len());
        for id in ids {
            let partition = self.get(&id);
            let finding = partition.and_then(|partition| {
                self.note_checkpoint(&partition);
                let found = partition.cleanable(wall)?;
                if found.needs_flush {
                    // The log is examined again when the flush ends.
                    self.shared.flushes.add(id);
                }
                Some(finding(&found, now, wall, backoff))
            });
            findings.push((id, finding));
        }
        for dir in self.dirs.iter().filter(|dir| dir.offline().is_none()) {
            if let Err(error) = dir.write_cleaner_offsets() {
                self.fail_dir(dir, &error);
            }
        }
        findings
    }

    fn note_checkpoint(&self, partition: &Partition) {
        let dir_id = partition.directory();
        if let Some(dir) = self.dirs.iter().find(|dir| dir.id == dir_id) {
            let offset = partition.cleaner_checkpoint();
            dir.cleaner_offsets.lock().set(partition.name(), offset);
        }
    }

    fn start_cleaning(
        self: &Arc<Self>,
        id: TopicIdPartition,
        config: CleanerConfig,
        done: &mpsc::Sender<Done>,
        stop: &Arc<AtomicBool>,
    ) {
        let report = Report {
            id,
            outcome: Some(CleanOutcome::Uncleanable(
                "the cleaning panicked".to_owned(),
            )),
            done: done.clone(),
        };
        let Some(partition) = self.get(&id) else {
            return report.end(CleanOutcome::Offline);
        };
        let (weak, stop) = (Arc::downgrade(self), Arc::clone(stop));
        let work = move || {
            let share = config.threads.clamp(1, THREADS_MAX);
            let limits = CleanerLimits {
                dedupe_buffer_bytes: config.dedupe_buffer_size / share,
                load_factor: config.io_buffer_load_factor,
                // Half for reading, half for writing.
                io_buffer_bytes: config.io_buffer_size / share / 2,
            };
            let mut rate = Rate::new(config.io_max_bytes_per_second / share as f64);
            let mut throttle = |bytes| rate.spend(bytes, &stop);
            let mut replaced = |deleted| {
                if let Some(partitions) = weak.upgrade() {
                    partitions.unlink_later(deleted);
                }
            };
            let outcome = partition.clean(limits, wall_clock(), &mut throttle, &mut replaced);
            report.end(outcome);
        };
        // One of the registry's tasks, so that a shutdown waits for it.
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn_blocking_on(work, &self.runtime);
    }
}

fn finding(found: &Cleanable, now: Duration, wall: Timestamp, backoff: Duration) -> Finding {
    let in_time = found.look_again_at.map(|at| {
        let wait = u64::try_from(at.0.saturating_sub(wall.0)).unwrap_or(0);
        now.saturating_add(Duration::from_millis(wait))
    });
    let in_a_while = found.is_blocked.then(|| now + backoff);
    Finding {
        ratio: found.is_due().then(|| found.ratio()),
        look_again: [in_time, in_a_while].into_iter().flatten().min(),
    }
}

/// Sends the outcome of a cleaning, even when the cleaning panics.
struct Report {
    id: TopicIdPartition,
    outcome: Option<CleanOutcome>,
    done: mpsc::Sender<Done>,
}

impl Report {
    fn end(mut self, outcome: CleanOutcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            // The queue has room for each running cleaning.
            let _ = self.done.try_send((self.id, outcome));
        }
    }
}
