//! Signals from machines to the task that works for them outside: the partitions that have work.

use std::collections::BTreeSet;

use dohle_model::PartitionIndex;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The partitions whose machines have raised a signal since the last [`Signals::take`]. Bounded by
/// the number of partitions.
#[derive(Debug, Default)]
pub(super) struct Signals {
    raised: Mutex<BTreeSet<PartitionIndex>>,
    changed: Notify,
}

impl Signals {
    /// Adds a partition, and wakes the task.
    pub(super) fn raise(&self, partition: PartitionIndex) {
        self.raised.lock().insert(partition);
        self.changed.notify_one();
    }

    /// Waits until there is a signal, and takes all of them.
    pub(super) async fn take(&self) -> BTreeSet<PartitionIndex> {
        loop {
            let raised = std::mem::take(&mut *self.raised.lock());
            if !raised.is_empty() {
                return raised;
            }
            self.changed.notified().await;
        }
    }
}
