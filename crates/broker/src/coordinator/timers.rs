//! The timers of all shards of a node: one task that sleeps until the first of them runs out.
//!
//! It is woken when an earlier one appears, and looks at the shards only when one may have run out.

use std::sync::{Arc, Weak};
use std::time::Duration;

use dohle_groups::Shard;
use dohle_groups::timers::Timer;
use dohle_machine::{Machine as _, run_expired_timer};
use dohle_model::ErrorCode;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::slot::{Slot, Writes};
use super::{Coordinator, at};

/// When a timer whose records could not be appended runs out again.
const RUN_AGAIN: Duration = Duration::from_millis(500);

/// When the task wakes.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    deadline: Mutex<Option<Duration>>,
    bell: Notify,
}

impl Alarm {
    /// Wakes the task at `deadline` at the latest.
    pub(super) fn set(&self, deadline: Duration) {
        let mut first = self.deadline.lock();
        if first.is_none_or(|first| deadline < first) {
            *first = Some(deadline);
            self.bell.notify_one();
        }
    }

    /// Wakes the task now.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    fn take(&self) -> Option<Duration> {
        self.deadline.lock().take()
    }

    fn deadline(&self) -> Option<Duration> {
        *self.deadline.lock()
    }
}

/// Starts the task; it ends when the coordinator is dropped.
pub(super) fn spawn(coordinator: &Arc<Coordinator>) {
    let weak = Arc::downgrade(coordinator);
    let (alarm, started) = (Arc::clone(&coordinator.alarm), coordinator.started);
    let runtime = &coordinator.runtime;
    runtime.spawn(async move {
        while wait(&alarm, started, &weak).await {
            let Some(coordinator) = weak.upgrade() else {
                return;
            };
            alarm.take();
            coordinator.run_timers();
        }
    });
    let weak = Arc::downgrade(coordinator);
    runtime.spawn(async move {
        let mut next = Instant::now();
        loop {
            let Some(coordinator) = weak.upgrade() else {
                return;
            };
            next += coordinator.settings().retention_check_interval;
            drop(coordinator);
            sleep_until(next).await;
            let Some(coordinator) = weak.upgrade() else {
                return;
            };
            coordinator
                .upkeep(|shard, step| shard.expire_offsets(step))
                .await;
        }
    });
}

/// Waits until a timer may have run out; `false` when there is no coordinator any more.
async fn wait(alarm: &Alarm, started: Instant, coordinator: &Weak<Coordinator>) -> bool {
    loop {
        let deadline = alarm.deadline();
        let elapsed = async {
            match deadline {
                Some(deadline) => sleep_until(at(started, deadline)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = elapsed => return true,
            () = alarm.bell.notified() => {
                if coordinator.strong_count() == 0 {
                    return false;
                }
            }
        }
    }
}

impl Coordinator {
    /// Runs the timers that have run out, and sets the alarm for the next.
    fn run_timers(self: &Arc<Self>) {
        let slots: Vec<Arc<Slot>> = self.slots.read().values().cloned().collect();
        for slot in slots {
            // Each step sets the alarm for what it leaves.
            while let Some(deadline) = slot.next_deadline() {
                if deadline > self.started.elapsed() {
                    self.alarm.set(deadline);
                    break;
                }
                let mut timer = None;
                let outcome = self.step(&slot, Writes::Apart, |shard, step| {
                    timer = run_expired_timer(shard, step);
                });
                if let (Err(code), Some(timer)) = (outcome, timer) {
                    self.run_again(&slot, timer, code);
                }
            }
        }
    }

    /// A timer's records could not be appended: too few replicas are in sync, for example.
    fn run_again(self: &Arc<Self>, slot: &Arc<Slot>, timer: Timer, code: ErrorCode) {
        let partition = slot.partition.name();
        tracing::info!(%partition, ?timer, "a timer of a group could not be written: {code}");
        let deadline = self.started.elapsed() + RUN_AGAIN;
        // Fails only when the shard is gone.
        let _ = self.step(slot, Writes::Whole, |shard, _| {
            shard.timers().set_if_absent(timer, deadline);
        });
    }

    /// Makes steps in every shard until there is nothing to write, on a thread that may be busy for
    /// a while.
    pub(super) async fn upkeep(
        self: Arc<Self>,
        mut step: impl FnMut(&mut Shard, &mut dohle_groups::Step<'_>) + Send + 'static,
    ) {
        let work = move || {
            let slots: Vec<Arc<Slot>> = self.slots.read().values().cloned().collect();
            for slot in slots {
                // A shard that is being loaded or cannot write has its turn the next time.
                while let Ok((_, waits)) = self.step(&slot, Writes::Apart, &mut step) {
                    if !waits.has_written() {
                        break;
                    }
                }
            }
        };
        if let Err(error) = tokio::task::spawn_blocking(work).await {
            tracing::error!("upkeep of groups ended early: {error}");
        }
    }
}
