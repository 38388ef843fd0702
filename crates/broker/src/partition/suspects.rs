//! Offsets near which damage is suspected, until the repair task has checked them.

use std::collections::{BTreeMap, BTreeSet};

use dohle_model::{Offset, TopicIdPartition};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Offsets near which damage is suspected, by partition, for the node's repair task.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    offsets: Mutex<BTreeMap<TopicIdPartition, BTreeSet<Offset>>>,
    added: Notify,
}

impl Suspects {
    /// Adds the segment that holds `offset`.
    pub(crate) fn add(&self, id: TopicIdPartition, offset: Offset) {
        self.offsets.lock().entry(id).or_default().insert(offset);
        self.added.notify_one();
    }

    /// Waits for suspects and takes all.
    pub(crate) async fn take(&self) -> BTreeMap<TopicIdPartition, BTreeSet<Offset>> {
        loop {
            let taken = std::mem::take(&mut *self.offsets.lock());
            if !taken.is_empty() {
                return taken;
            }
            self.added.notified().await;
        }
    }
}
