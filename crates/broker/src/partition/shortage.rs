//! Partitions whose logs were closed, or never opened, because descriptors, memory or space were
//! short.
//!
//! Such a log is intact, and is opened again when the resource is available.

use std::collections::BTreeMap;

use dohle_model::{Offset, TopicIdPartition};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The state of a log that is to be opened again, as the log directory's checkpoints record it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClosedLog {
    pub(crate) high_watermark: Offset,
    pub(crate) recovery_point: Offset,
    pub(crate) log_start_offset: Offset,
    /// The end of the part that compaction has processed.
    pub(crate) cleaner_offset: Option<Offset>,
    /// Whether the log's files are in the state of a clean shutdown.
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

    /// Completes when there is a log to open.
    pub(crate) async fn ready(&self) {
        while self.logs.lock().is_empty() {
            self.added.notified().await;
        }
    }
}
