//! One partition that this broker leads, in one leader epoch: its machine behind a lock, the state
//! of its load, and the requests that are parked in it.

use std::sync::Arc;
use std::time::Duration;

use dohle_machine::Machine;
use dohle_model::LeaderEpoch;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::pending::PendingReplies;
use dohle_broker::partition::Partition;

/// The pause after a failed load before requests may start another one.
const LOAD_AGAIN: Duration = Duration::from_secs(5);

/// A partition that this broker leads; see the module.
#[derive(Debug)]
pub(super) struct ShardRuntime<M> {
    pub(super) partition: Arc<Partition>,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) state: Mutex<State<M>>,
    /// Whether the state is no longer `Loading`.
    loaded: watch::Sender<bool>,
    /// The requests that are parked.
    pub(super) replies: Arc<PendingReplies>,
}

#[derive(Debug)]
pub(super) enum State<M> {
    Loading,
    Active(Box<M>),
    /// The load failed at this time.
    Failed(Duration),
    Resigned,
}

impl<M: Machine> ShardRuntime<M> {
    pub(super) fn new(partition: Arc<Partition>, leader_epoch: LeaderEpoch) -> Arc<Self> {
        Arc::new(Self {
            partition,
            leader_epoch,
            state: Mutex::new(State::Loading),
            loaded: watch::Sender::new(false),
            replies: Arc::default(),
        })
    }

    /// Sets the loaded machine. Returns `false` when the shard no longer waited for it.
    pub(super) fn activate(&self, machine: M) -> bool {
        self.end_load(State::Active(Box::new(machine)))
    }

    /// Records that the load failed. Returns `false` when the shard no longer waited for the load.
    pub(super) fn fail(&self, now: Duration) -> bool {
        self.end_load(State::Failed(now))
    }

    fn end_load(&self, outcome: State<M>) -> bool {
        let mut state = self.state.lock();
        let waits = matches!(*state, State::Loading);
        if waits {
            *state = outcome;
            // Sent under the lock: after it, another load could already have begun.
            self.loaded.send_replace(true);
        }
        waits
    }

    /// Returns whether to try a failed load again; if so, the state is `Loading` from now on.
    pub(super) fn may_load_again(&self, now: Duration) -> bool {
        let mut state = self.state.lock();
        match *state {
            State::Failed(since) if now >= since + LOAD_AGAIN => {
                *state = State::Loading;
                self.loaded.send_replace(false);
                true
            }
            _ => false,
        }
    }

    /// Waits until the load has ended, or the deadline.
    pub(super) async fn until_loaded(&self, deadline: Instant) {
        if *self.loaded.borrow() {
            return;
        }
        let mut loaded = self.loaded.subscribe();
        // The caller's next step reads the outcome from the state.
        let _ = timeout_at(deadline, loaded.wait_for(|loaded| *loaded)).await;
    }

    /// Ends this leadership: drops the machine, and ends parked requests with NOT_COORDINATOR.
    pub(super) fn resign(&self) {
        let state = std::mem::replace(&mut *self.state.lock(), State::Resigned);
        self.replies.clear();
        self.loaded.send_replace(true);
        drop(state);
    }

    /// Returns the time at which the machine's first timer expires.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        match &mut *self.state.lock() {
            State::Active(machine) => machine.timers().next(),
            State::Loading | State::Failed(_) | State::Resigned => None,
        }
    }
}
