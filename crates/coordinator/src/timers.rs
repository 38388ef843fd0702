//! The timers of all shards of a coordinator: one task that sleeps until the first of them expires.
//!
//! The task is notified when an earlier timer is set, and visits the shards only when a timer may
//! have expired. A request that must see what has ended ([`Request::AFTER_TIMERS`]) does not wait
//! for the task: the timers of its shard are handled before it.
//!
//! [`Request::AFTER_TIMERS`]: dohle_machine::Request::AFTER_TIMERS

use std::ops::ControlFlow;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dohle_machine::{Machine, Step, run_expired_timer};
use dohle_model::ErrorCode;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Coordinator;
use super::shard::ShardRuntime;
use super::step::WriteMode;

/// The time after which a timer expires again whose records could not be appended.
const RUN_AGAIN: Duration = Duration::from_millis(500);

/// The time at which the task of the timers wakes up.
#[derive(Debug, Default)]
pub(super) struct TimerWakeup {
    deadline: Mutex<Option<Duration>>,
    changed: Notify,
}

impl TimerWakeup {
    /// Sets the wake-up of the task to `deadline`, unless it is earlier already.
    pub(super) fn set(&self, deadline: Duration) {
        let mut first = self.deadline.lock();
        if first.is_none_or(|first| deadline < first) {
            *first = Some(deadline);
            self.changed.notify_one();
        }
    }

    /// Wakes the task now.
    pub(super) fn notify(&self) {
        self.changed.notify_one();
    }

    fn take(&self) -> Option<Duration> {
        self.deadline.lock().take()
    }

    fn deadline(&self) -> Option<Duration> {
        *self.deadline.lock()
    }
}

/// Starts the task; it ends when the coordinator is dropped.
pub(super) fn spawn<M: Machine>(coordinator: &Arc<Coordinator<M>>) {
    let weak = Arc::downgrade(coordinator);
    let (wakeup, started) = (Arc::clone(&coordinator.wakeup), coordinator.started);
    let runtime = &coordinator.runtime;
    runtime.spawn(async move {
        while wait(&wakeup, started, &weak).await {
            let Some(coordinator) = weak.upgrade() else {
                return;
            };
            wakeup.take();
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
            next += coordinator.settings().upkeep_interval;
            drop(coordinator);
            sleep_until(next).await;
            let Some(coordinator) = weak.upgrade() else {
                return;
            };
            coordinator.upkeep(M::on_interval).await;
        }
    });
}

/// Waits until a timer may have expired. Returns `false` once the coordinator is dropped.
async fn wait<M: Machine>(
    wakeup: &TimerWakeup,
    started: Instant,
    coordinator: &Weak<Coordinator<M>>,
) -> bool {
    loop {
        let deadline = wakeup.deadline();
        let elapsed = async {
            match deadline {
                Some(deadline) => sleep_until(started + deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = elapsed => return true,
            () = wakeup.changed.notified() => {
                if coordinator.strong_count() == 0 {
                    return false;
                }
            }
        }
    }
}

impl<M: Machine> Coordinator<M> {
    /// Handles the timers that have expired, and sets the wake-up for the next.
    fn run_timers(self: &Arc<Self>) {
        for shard in self.shards() {
            self.run_timers_of(&shard);
        }
    }

    /// Handles the timers of a shard that have expired, and sets the wake-up for the next.
    pub(super) fn run_timers_of(self: &Arc<Self>, shard: &Arc<ShardRuntime<M>>) {
        // Each step sets the wake-up for the machine's remaining timers.
        while let Some(deadline) = shard.next_deadline() {
            if deadline > self.started.elapsed() {
                self.wakeup.set(deadline);
                break;
            }
            let mut timer = None;
            let outcome = self.step(shard, WriteMode::PerRecord, |machine, step| {
                timer = run_expired_timer(machine, step);
            });
            if let (Err(code), Some(timer)) = (outcome, timer) {
                self.run_again(shard, timer, code);
            }
        }
    }

    /// Sets a timer again whose records could not be appended, for example because too few replicas
    /// are in sync.
    fn run_again(self: &Arc<Self>, shard: &Arc<ShardRuntime<M>>, timer: M::Timer, code: ErrorCode) {
        let partition = shard.partition.name();
        tracing::info!(
            %partition,
            ?timer,
            %code,
            "cannot append the records of an expired timer; it expires again soon"
        );
        let deadline = self.started.elapsed() + RUN_AGAIN;
        // Fails only when the machine was dropped.
        let _ = self.step(shard, WriteMode::Atomic, |machine, _| {
            machine.timers().set_if_absent(timer, deadline);
        });
    }

    /// Repeats a step in every shard until it breaks or cannot append, on a blocking thread.
    pub(super) async fn upkeep(
        self: Arc<Self>,
        mut plan: impl FnMut(&mut M, &mut Step<'_, M>) -> ControlFlow<()> + Send + 'static,
    ) {
        let work = move || {
            for shard in self.shards() {
                // A shard that is loading, or that cannot append, is skipped until the next time.
                while let Ok((flow, _)) = self.step(&shard, WriteMode::PerRecord, &mut plan) {
                    if flow.is_break() {
                        break;
                    }
                }
            }
        };
        if let Err(error) = tokio::task::spawn_blocking(work).await {
            let machine = M::NAME;
            tracing::error!("the upkeep of {machine} ended early: {error}");
        }
    }
}
