//! Checks segments in which damage is suspected and repairs damaged ones from other replicas.
//!
//! Suspects are added by reads that met damage, by followers that refused records, and by the
//! scrubber. One task a node does the work, one segment at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use dohle_log::damage::{Repair, RepairError};
use dohle_model::{NodeId, Offset, TopicIdPartition};
use futures::TryStreamExt as _;
use tokio::time::{Instant, sleep_until};

use super::in_blocking::in_blocking;
use super::throttle::StopOnDrop;
use super::{Partitions, wall_clock};
use crate::backoff::Backoff;
use crate::partition::Partition;

/// A segment that was found intact is not checked again before this time has passed, because
/// otherwise each report of a follower would read the whole segment.
const RECHECK_AFTER: Duration = Duration::from_secs(30);
/// The wait before a repair that failed is tried again.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// A segment of a partition, by its base offset.
type SegmentKey = (TopicIdPartition, Offset);

/// When damaged segments are to be repaired, and when suspects were found intact.
#[derive(Debug, Default)]
struct Schedule {
    damaged: BTreeMap<SegmentKey, Attempt>,
    intact: BTreeMap<(TopicIdPartition, Offset), Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Attempt {
    due: Instant,
    backoff: Backoff,
}

impl Schedule {
    /// Whether the segment that holds `offset` needs a check.
    fn needs_check(&mut self, id: TopicIdPartition, offset: Offset, now: Instant) -> bool {
        self.intact.retain(|_, at| now - *at < RECHECK_AFTER);
        !self.intact.contains_key(&(id, offset))
    }

    fn on_intact(&mut self, id: TopicIdPartition, offset: Offset, now: Instant) {
        self.intact.insert((id, offset), now);
    }

    fn on_damaged(&mut self, key: SegmentKey, now: Instant) {
        let first = Attempt {
            due: now,
            backoff: BACKOFF,
        };
        self.damaged.entry(key).or_insert(first);
    }

    fn next_due(&self) -> Option<Instant> {
        self.damaged.values().map(|attempt| attempt.due).min()
    }

    fn due(&self, now: Instant) -> Vec<SegmentKey> {
        let due = self.damaged.iter().filter(|(_, it)| it.due <= now);
        due.map(|(key, _)| *key).collect()
    }

    fn on_repaired(&mut self, key: &SegmentKey) {
        self.damaged.remove(key);
    }

    /// Notes a failed repair. Returns whether it is the segment's first failure.
    fn on_failed(&mut self, key: &SegmentKey, now: Instant) -> bool {
        let Some(attempt) = self.damaged.get_mut(key) else {
            return false;
        };
        let is_first = !attempt.backoff.has_failed();
        attempt.due = now + attempt.backoff.next_wait();
        is_first
    }
}

/// Runs until the registry is dropped.
pub(super) async fn run(weak: Weak<Partitions>) {
    let Some(shared) = weak.upgrade().map(|it| Arc::clone(&it.shared)) else {
        return;
    };
    let stop = StopOnDrop::default();
    let mut schedule = Schedule::default();
    loop {
        let due = schedule.next_due();
        let suspects = tokio::select! {
            suspects = shared.suspects.take() => suspects,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => BTreeMap::new(),
        };
        let Some(partitions) = weak.upgrade() else {
            return;
        };
        for (id, offsets) in suspects {
            for offset in offsets {
                if schedule.needs_check(id, offset, Instant::now()) {
                    partitions.check(id, offset, &mut schedule, &stop).await;
                }
            }
        }
        for key in schedule.due(Instant::now()) {
            let repaired = partitions.repair(key, &stop).await;
            match repaired {
                Ok(()) => schedule.on_repaired(&key),
                Err(error) => {
                    let (id, segment) = key;
                    let is_first = schedule.on_failed(&key, Instant::now());
                    log_failure(id, segment, &error, is_first);
                }
            }
        }
    }
}

/// Logs a failed repair. Only the first failure is a warning, since later attempts fail for the
/// same reason.
fn log_failure(id: TopicIdPartition, segment: Offset, error: &str, is_first: bool) {
    let text = "damaged segment is not repaired yet";
    if is_first {
        tracing::warn!(partition = %id, %segment, error, "{text}");
    } else {
        tracing::debug!(partition = %id, %segment, error, "{text}");
    }
}

impl Partitions {
    async fn check(
        &self,
        id: TopicIdPartition,
        offset: Offset,
        schedule: &mut Schedule,
        stop: &StopOnDrop,
    ) {
        let Some(partition) = self.get(&id) else {
            return;
        };
        let stop = Arc::clone(&stop.0);
        let checked = in_blocking(move || {
            let damaged = partition.check_segment(offset, &mut |_| !stop.load(Ordering::Relaxed));
            damaged.and_then(|damaged| Ok((damaged, partition.damaged_segments()?)))
        })
        .await;
        match checked {
            Ok((damaged, segments)) => {
                if !damaged {
                    schedule.on_intact(id, offset, Instant::now());
                }
                for segment in segments {
                    schedule.on_damaged((id, segment), Instant::now());
                }
            }
            Err(error) => tracing::debug!(partition = %id, %error, "segment cannot be checked"),
        }
    }

    /// Repairs a segment, or returns why it cannot be repaired now.
    async fn repair(&self, (id, segment): SegmentKey, stop: &StopOnDrop) -> Result<(), String> {
        let Some(partition) = self.get(&id) else {
            return Ok(());
        };
        let begun = {
            let partition = Arc::clone(&partition);
            in_blocking(move || partition.begin_repair(segment, wall_clock())).await?
        };
        let Some(repair) = begun else { return Ok(()) };
        let sources = partition.repair_sources();
        if sources.is_empty() {
            return Err("no other replica is in sync".to_owned());
        }
        // Records that one source has supplied are kept. The next source supplies the rest.
        let work = Work {
            partitions: self,
            partition: &partition,
            segment,
            stop: &stop.0,
        };
        let fetched = work.fetch(repair, &sources).await?;
        let finished = {
            let (partition, stop) = (Arc::clone(&partition), Arc::clone(&stop.0));
            in_blocking(move || {
                let mut throttle = |_| !stop.load(Ordering::Relaxed);
                let cleaned = fetched.finish(&mut throttle).map_err(|error| {
                    partition.repair_failed(segment, &error);
                    error.to_string()
                })?;
                partition.complete_repair(cleaned)
            })
            .await?
        };
        if let Some(deleted) = finished {
            tracing::info!(partition = %partition.name(), %segment, "repaired damaged segment");
            self.unlink_later(deleted);
        }
        Ok(())
    }
}

/// One repair in progress.
struct Work<'a> {
    partitions: &'a Partitions,
    partition: &'a Arc<Partition>,
    segment: Offset,
    stop: &'a Arc<AtomicBool>,
}

impl Work<'_> {
    /// Fetches each missing range from the first source that has it.
    async fn fetch(&self, mut repair: Repair, sources: &[NodeId]) -> Result<Repair, String> {
        loop {
            let (back, missing) = self
                .step(repair, |repair, throttle| repair.next_missing(throttle))
                .await?;
            repair = back;
            let Some(mut missing) = missing else {
                return Ok(repair);
            };
            let mut refusals = Vec::new();
            for source in sources {
                let id = self.partition.id();
                let mut records = match self
                    .partitions
                    .replicator
                    .records(*source, id, &missing)
                    .await
                {
                    Ok(records) => records,
                    Err(error) => {
                        refusals.push(format!("broker {source}: {error}"));
                        continue;
                    }
                };
                let ended = loop {
                    match records.try_next().await {
                        Ok(Some(bytes)) => {
                            let supply = move |repair: &mut Repair, throttle: Throttle<'_>| {
                                repair.supply(&bytes, throttle)
                            };
                            (repair, ()) = self.step(repair, supply).await?;
                        }
                        Ok(None) => break Ok(()),
                        Err(error) => break Err(error),
                    }
                };
                missing.start = repair.next_offset();
                match ended {
                    Ok(()) => {
                        refusals.clear();
                        break;
                    }
                    Err(error) => refusals.push(format!("broker {source}: {error}")),
                }
            }
            if !refusals.is_empty() {
                return Err(refusals.join("; "));
            }
        }
    }

    /// Runs a step of the repair on the blocking pool.
    async fn step<T: Send + 'static>(
        &self,
        mut repair: Repair,
        step: impl FnOnce(&mut Repair, Throttle<'_>) -> Result<T, RepairError> + Send + 'static,
    ) -> Result<(Repair, T), String> {
        let (partition, segment) = (Arc::clone(self.partition), self.segment);
        let stop = Arc::clone(self.stop);
        in_blocking(move || {
            let mut throttle = |_| !stop.load(Ordering::Relaxed);
            match step(&mut repair, &mut throttle) {
                Ok(value) => Ok((repair, value)),
                Err(error) => {
                    partition.repair_failed(segment, &error);
                    Err(error.to_string())
                }
            }
        })
        .await
    }
}

type Throttle<'a> = &'a mut dyn FnMut(u64) -> bool;

#[cfg(test)]
mod tests {
    use super::*;
    use dohle_model::{PartitionIndex, TopicId, Uuid};

    #[test]
    fn repairs_that_fail_are_tried_again_less_and_less_often() {
        let id = TopicIdPartition {
            topic_id: TopicId(Uuid([1; 16])),
            partition: PartitionIndex(0),
        };
        let key = (id, Offset(0));
        let mut schedule = Schedule::default();
        let start = Instant::now();
        schedule.on_damaged(key, start);
        assert_eq!(schedule.due(start), [key]);
        assert!(
            schedule.on_failed(&key, start),
            "the first failure is logged"
        );
        assert_eq!(schedule.due(start), []);
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..8 {
            let due = schedule.next_due().unwrap();
            waits.push((due - now).as_secs());
            now = due;
            assert!(!schedule.on_failed(&key, now));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        schedule.on_repaired(&key);
        assert_eq!(schedule.next_due(), None);
    }

    #[test]
    fn an_intact_segment_is_checked_once_for_many_reports() {
        let id = TopicIdPartition {
            topic_id: TopicId(Uuid([1; 16])),
            partition: PartitionIndex(0),
        };
        let mut schedule = Schedule::default();
        let now = Instant::now();
        assert!(schedule.needs_check(id, Offset(5), now));
        schedule.on_intact(id, Offset(5), now);
        assert!(!schedule.needs_check(id, Offset(5), now));
        assert!(schedule.needs_check(id, Offset(5), now + RECHECK_AFTER));
    }
}
