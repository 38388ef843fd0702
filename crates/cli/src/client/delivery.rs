//! Records in flight: the memory that they take, and why some were not delivered.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The memory that a record takes beside its bytes.
pub const OVERHEAD: usize = 128;

/// How many records were not delivered, by the reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures(BTreeMap<String, u64>);

impl Failures {
    /// Counts a record. Returns whether it is the first one with this reason.
    pub fn count(&mut self, why: &str) -> bool {
        let times = self.0.entry(why.to_owned()).or_default();
        *times += 1;
        *times == 1
    }

    /// No longer counts a record, because it is sent again.
    pub fn take_back(&mut self, why: &str) {
        if let Some(times) = self.0.get_mut(why) {
            *times = times.saturating_sub(1);
        }
        self.0.retain(|_, times| *times > 0);
    }

    /// Returns how many records were not delivered.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Returns the number and the reasons; `None` when all of the records were delivered.
    pub fn summary(&self, records: u64) -> Option<String> {
        let failed = self.total();
        let reasons = self
            .0
            .iter()
            .map(|(why, times)| format!("\n  {times}: {why}"));
        let reasons: String = reasons.collect();
        (failed > 0).then(|| format!("{failed} of {records} records were not delivered:{reasons}"))
    }
}

/// The memory that records in flight may take: half of the producer's.
#[derive(Debug, Clone)]
pub struct Room {
    left: Arc<Semaphore>,
    all: usize,
}

impl Room {
    /// Makes the room of a producer with this much memory, in bytes.
    pub fn new(memory: usize) -> Self {
        let all = (memory / 2).clamp(64 << 10, 1 << 30);
        let left = Arc::new(Semaphore::new(all));
        Self { left, all }
    }

    /// Waits until there is room for so many bytes. A record that is larger than the room takes all
    /// of it.
    ///
    /// # Errors
    /// Never: the semaphore is not closed.
    pub async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, AcquireError> {
        let cost = u32::try_from(bytes.min(self.all)).unwrap_or(u32::MAX);
        Arc::clone(&self.left).acquire_many_owned(cost).await
    }
}
