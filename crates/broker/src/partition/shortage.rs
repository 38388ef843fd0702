//! Partitions whose logs were closed, or never opened, because descriptors, memory or space were
//! short.
//!
//! Such a log is as good as before: it is opened again when there are any.

use std::collections::BTreeMap;

use dohle_model::{Offset, TopicIdPartition};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What is known of a log that is to be opened again, as the log directory's checkpoints have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClosedLog {
    pub(crate) high_watermark: Offset,
    pub(crate) recovery_point: Offset,
    pub(crate) log_start_offset: Offset,
    /// Where the part begins that compaction has not seen.
    pub(crate) cleaner_offset: Option<Offset>,
    /// Whether its files are as a clean shutdown left them.
    pub(crate) is_clean: bool,
}

/// The logs of a broker that are to be opened again.
#[derive(Debug, Default)]
pub(crate) struct ClosedLogs {
    logs: Mutex<BTreeMap<TopicIdPartition, ClosedLog>>,
    added: Notify,
}

impl ClosedLogs {
    pub(crate) fn add(&self, id: TopicIdPartition, log: ClosedLog) {
        self.logs.lock().insert(id, log);
        self.added.notify_one();
    }

    pub(crate) fn remove(&self, id: &TopicIdPartition) {
        self.logs.lock().remove(id);
    }

    pub(crate) fn get(&self, id: &TopicIdPartition) -> Option<ClosedLog> {
        self.logs.lock().get(id).copied()
    }

    pub(crate) fn all(&self) -> BTreeMap<TopicIdPartition, ClosedLog> {
        self.logs.lock().clone()
    }

    /// Completes when there is one.
    pub(crate) async fn ready(&self) {
        while self.logs.lock().is_empty() {
            self.added.notified().await;
        }
    }
}
