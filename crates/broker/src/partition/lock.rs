//! The lock of a partition's state. A panic under the lock may leave a change incomplete, so it
//! takes the partition offline: nothing is served from a state that may be wrong. The process goes
//! on.

use std::ops::{Deref, DerefMut};
use std::sync::Weak;
use std::thread;

use parking_lot::{Mutex, MutexGuard};

use super::Partition;
use super::state::{DeferredWakeups, State};

/// Why a partition is offline after a panic.
const REASON: &str = "a change of the partition panicked, so its state in memory may be wrong; \
                      restart the broker to load it from the disk";

/// The state of a partition, and that partition.
#[derive(Debug)]
pub(super) struct StateLock {
    state: Mutex<State>,
    partition: Weak<Partition>,
}

impl StateLock {
    pub(super) fn new(state: State, partition: Weak<Partition>) -> Self {
        let state = Mutex::new(state);
        Self { state, partition }
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        Locked {
            state: self.state.lock(),
            partition: &self.partition,
            was_panicking: thread::panicking(),
        }
    }
}

/// The state while it is locked.
pub(super) struct Locked<'a> {
    state: MutexGuard<'a, State>,
    partition: &'a Weak<Partition>,
    was_panicking: bool,
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.was_panicking || !thread::panicking() {
            return;
        }
        let mut wakes = DeferredWakeups::default();
        if self.state.log().is_ok() {
            let partition = self.state.id;
            tracing::error!(%partition, "partition taken offline after a panic");
            self.state.go_offline(REASON.to_owned(), &mut wakes);
        }
        if let Some(partition) = self.partition.upgrade() {
            partition.publish(&self.state, &mut wakes);
        }
        MutexGuard::unlocked(&mut self.state, || drop(wakes));
    }
}
