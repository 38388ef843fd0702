//! The limits of replication: which replicas are throttled, and what they may transfer (KIP-73).
//!
//! A topic lists throttled replicas, and a broker has a limit of bytes per second for those that it
//! leads and one for those that it follows. Their bytes are counted whether they are in the ISR or
//! not; only replicas outside of it wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dohle_auth::quotas::{QuotaWindows, ReplicationRate};
use dohle_model::NodeId;
use parking_lot::Mutex;

use super::Partition;
use super::config::PartitionConfig;

/// The longest wait before a limit is looked at again, which may have changed.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The limit of one side, as leader or as follower, that all partitions of a broker share.
#[derive(Debug)]
pub(crate) struct ReplicationThrottle {
    /// Whether there is a limit: without one, the rate is not touched.
    is_limited: AtomicBool,
    rate: Mutex<ReplicationRate>,
}

impl ReplicationThrottle {
    pub(crate) fn new(windows: QuotaWindows) -> Self {
        Self {
            is_limited: AtomicBool::new(false),
            rate: Mutex::new(ReplicationRate::new(windows)),
        }
    }

    /// Sets the limit in bytes per second, or removes it.
    pub(crate) fn set_limit(&self, limit: Option<u64>) {
        self.rate.lock().set_limit(limit);
        self.is_limited.store(limit.is_some(), Ordering::Relaxed);
    }

    fn is_limited(&self) -> bool {
        self.is_limited.load(Ordering::Relaxed)
    }

    /// Counts bytes that were transferred.
    pub(crate) fn record(&self, bytes: usize) {
        if self.is_limited() {
            self.rate.lock().record(bytes, Instant::now());
        }
    }

    /// Returns the time to wait before the next transfer, or before the next question; `None` while
    /// the rate is within the limit.
    pub(crate) fn delay(&self) -> Option<Duration> {
        if !self.is_limited() {
            return None;
        }
        let delay = self.rate.lock().delay(Instant::now());
        (!delay.is_zero()).then(|| delay.min(WAIT_MAX))
    }
}

/// Whether the replica of this broker is among those that its topic lists as throttled.
#[derive(Debug, Default)]
pub(super) struct ThrottledSides {
    leader: AtomicBool,
    follower: AtomicBool,
}

impl ThrottledSides {
    pub(super) fn set(&self, config: &PartitionConfig, partition: i32, node: NodeId) {
        let is_leader = config.leader_throttled.contains(partition, node.0);
        let is_follower = config.follower_throttled.contains(partition, node.0);
        self.leader.store(is_leader, Ordering::Relaxed);
        self.follower.store(is_follower, Ordering::Relaxed);
    }
}

impl Partition {
    /// Counts bytes of records that this broker sends to a follower.
    pub(crate) fn on_sent(&self, bytes: usize) {
        if self.throttled.leader.load(Ordering::Relaxed) {
            self.shared.leader_throttle.record(bytes);
        }
    }

    /// Counts bytes of records that this broker received from the leader.
    pub(crate) fn on_received(&self, bytes: usize) {
        if self.throttled.follower.load(Ordering::Relaxed) {
            self.shared.follower_throttle.record(bytes);
        }
    }

    /// Returns the time to wait before a follower is sent more records; `None` when it need not
    /// wait.
    pub(crate) fn send_delay(&self, follower: NodeId) -> Option<Duration> {
        if !self.throttled.leader.load(Ordering::Relaxed) {
            return None;
        }
        let delay = self.shared.leader_throttle.delay()?;
        (!self.isr().contains(&follower)).then_some(delay)
    }

    /// Returns whether what this replica receives is limited, unless it is in the ISR.
    pub(crate) fn is_throttled_follower(&self) -> bool {
        self.throttled.follower.load(Ordering::Relaxed)
            && self.shared.follower_throttle.is_limited()
    }

    /// Returns the time to wait before this broker receives more records for any throttled replica;
    /// `None` when it need not wait.
    pub(crate) fn receive_delay(&self) -> Option<Duration> {
        self.shared.follower_throttle.delay()
    }
}
