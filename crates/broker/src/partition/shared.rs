//! The state that all partitions of one broker share: the broker's id, its clock, and lists of
//! partitions that background tasks have to process. A partition is on a list at most once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dohle_auth::quotas::QuotaWindows;
use dohle_config::DynamicBrokerConfig;
use dohle_log::{DecompressionMemory, OpenFiles};
use dohle_model::image::MetadataImage;
use dohle_model::{BrokerEpoch, DirectoryId, NodeId, TopicIdPartition};
use dohle_telemetry::history::{Event, History};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use super::counts::TopicMeters;
use super::history::{self, PartitionChange};
use super::shortage::ClosedLogs;
use super::space::SpaceTable;
use super::suspects::Suspects;
use super::throttle::ReplicationThrottle;
use crate::blocking::BlockingPool;
use crate::clock::wall_clock;
use crate::replica::IsrProposal;

/// A set of partitions with work to do, and a wake-up for the task that does it.
#[derive(Debug, Default)]
pub(crate) struct WorkSet {
    ids: Mutex<BTreeSet<TopicIdPartition>>,
    bell: Notify,
}

impl WorkSet {
    /// Adds a partition and wakes the task.
    pub(crate) fn add(&self, id: TopicIdPartition) {
        let mut ids = self.ids.lock();
        let first = ids.is_empty();
        ids.insert(id);
        drop(ids);
        if first {
            self.bell.notify_one();
        }
    }

    /// Takes all partitions of the set.
    pub(crate) fn take(&self) -> BTreeSet<TopicIdPartition> {
        std::mem::take(&mut *self.ids.lock())
    }

    /// Completes when the set is not empty.
    pub(crate) async fn ready(&self) {
        while self.ids.lock().is_empty() {
            self.bell.notified().await;
        }
    }
}

/// The state that all partitions of one broker share.
pub(crate) struct PartitionContext {
    pub(crate) node: NodeId,
    /// The metadata that were applied to all replicas. Empty before the first change.
    image: RwLock<Arc<MetadataImage>>,
    started: Instant,
    next_subscription_id: AtomicU64,
    /// Runs work of this node's partitions that blocks or computes for long.
    pub(crate) blocking: BlockingPool,
    /// The memory pool of all decompressions of this node.
    pub(crate) decompression: Arc<DecompressionMemory>,
    next_subscription: AtomicU64,
    /// Leaders to tick, whose followers lag or may join the ISR.
    pub(crate) lagging: WorkSet,
    /// Logs to flush soon.
    pub(crate) flushes: WorkSet,
    /// Logs to flush when `flush.ms` has passed since the append.
    pub(crate) timed_flushes: WorkSet,
    /// Compacted logs with closed segments that compaction has not examined.
    pub(crate) cleanings: WorkSet,
    /// Leaders with waits for the low watermark, which a fenced broker may complete.
    pub(crate) low_watermark_waits: WorkSet,
    proposals: Mutex<BTreeMap<TopicIdPartition, IsrProposal>>,
    proposals_bell: Notify,
    failed_dirs: watch::Sender<BTreeSet<DirectoryId>>,
    assignments: Mutex<BTreeMap<TopicIdPartition, DirectoryId>>,
    assignments_bell: Notify,
    /// Segments to check, whose content made a read fail.
    pub(crate) suspects: Suspects,
    /// The space of the log directories.
    pub(crate) space: SpaceTable,
    /// Logs whose segments are deleted soon, because their log start rose while space is short.
    pub(crate) reclaims: WorkSet,
    /// Logs to open again when the shortage that closed them has passed.
    pub(crate) closed_logs: ClosedLogs,
    /// The files of all logs.
    pub(crate) open_files: Arc<OpenFiles>,
    /// Bytes in the tails of all partitions.
    pub(crate) tail_bytes: Arc<AtomicUsize>,
    /// What throttled replicas may send to their followers.
    pub(crate) leader_throttle: ReplicationThrottle,
    /// What throttled replicas may receive from their leaders.
    pub(crate) follower_throttle: ReplicationThrottle,
    /// Whether a high watermark changed since the checkpoint was written.
    pub(crate) moved: AtomicBool,
    /// The counts of topics.
    pub(crate) meters: TopicMeters,
    /// The changes of leaders and ISRs within the last day.
    pub(crate) history: Mutex<History<TopicIdPartition, PartitionChange>>,
}

impl std::fmt::Debug for PartitionContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl PartitionContext {
    /// Creates the state of a broker, which measures the rates of replication over `windows`.
    pub(crate) fn new(node: NodeId, windows: QuotaWindows) -> Arc<Self> {
        Arc::new(Self {
            node,
            image: RwLock::default(),
            started: Instant::now(),
            next_subscription_id: AtomicU64::new(1),
            blocking: BlockingPool::for_machine(),
            decompression: Arc::default(),
            next_subscription: AtomicU64::new(1),
            lagging: WorkSet::default(),
            flushes: WorkSet::default(),
            timed_flushes: WorkSet::default(),
            cleanings: WorkSet::default(),
            low_watermark_waits: WorkSet::default(),
            proposals: Mutex::default(),
            proposals_bell: Notify::new(),
            failed_dirs: watch::Sender::new(BTreeSet::new()),
            assignments: Mutex::default(),
            assignments_bell: Notify::new(),
            suspects: Suspects::default(),
            space: SpaceTable::default(),
            reclaims: WorkSet::default(),
            closed_logs: ClosedLogs::default(),
            open_files: Arc::new(OpenFiles::for_process()),
            tail_bytes: Arc::default(),
            leader_throttle: ReplicationThrottle::new(windows),
            follower_throttle: ReplicationThrottle::new(windows),
            moved: AtomicBool::new(false),
            meters: TopicMeters::default(),
            history: Mutex::new(History::new(history::LIMITS)),
        })
    }

    /// Returns the time since the broker started, on the monotonic clock.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Adds changes of a partition to the history.
    pub(crate) fn note_changes(&self, id: TopicIdPartition, changes: Vec<PartitionChange>) {
        let now = wall_clock().0;
        let mut history = self.history.lock();
        for change in changes {
            history.add(id, now, change);
        }
    }

    /// Returns the changes of a partition within the last day, the oldest first.
    pub(crate) fn changes_of(&self, id: &TopicIdPartition) -> Vec<Event<PartitionChange>> {
        self.history
            .lock()
            .of(id, wall_clock().0)
            .cloned()
            .collect()
    }

    pub(crate) fn next_subscription_id(&self) -> u64 {
        self.next_subscription_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the number of a new subscription as follower. One counter serves all leaders, so
    /// that a late message of a former leader never has the number of the subscription at its
    /// successor.
    pub(crate) fn next_subscription(&self) -> u64 {
        self.next_subscription.fetch_add(1, Ordering::Relaxed)
    }

    /// The metadata that the replicas follow.
    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.image.read())
    }

    pub(crate) fn set_image(&self, image: &Arc<MetadataImage>) {
        *self.image.write() = Arc::clone(image);
    }

    /// Sets the limits of throttled replicas.
    pub(crate) fn set_throttles(&self, config: &DynamicBrokerConfig) {
        let (leader, follower) = (
            config.leader_replication_throttled_rate,
            config.follower_replication_throttled_rate,
        );
        self.leader_throttle.set_limit(leader);
        self.follower_throttle.set_limit(follower);
    }

    /// Whether a broker may join the ISR of this partition: it is alive, not shutting down, has the
    /// registration that its stream named, and the replica's log directory is online (KIP-841,
    /// KIP-903, KIP-858). The controller refuses other brokers.
    pub(crate) fn is_eligible(
        &self,
        partition: &TopicIdPartition,
        id: NodeId,
        epoch: BrokerEpoch,
    ) -> bool {
        let image = self.image();
        let Some(broker) = image.brokers.get(&id) else {
            return false;
        };
        let directory = image
            .partition(partition)
            .and_then(|registration| registration.directory(id))
            .filter(|directory| *directory != DirectoryId::UNASSIGNED);
        !broker.fenced
            && !broker.in_controlled_shutdown
            && broker.epoch == epoch
            && directory.is_none_or(|directory| broker.log_dirs.contains(&directory))
    }

    /// Whether a broker is registered and not fenced.
    pub(crate) fn is_alive(&self, id: NodeId) -> bool {
        self.image()
            .brokers
            .get(&id)
            .is_some_and(|broker| !broker.fenced)
    }

    /// Queues a proposal; a newer one for the same partition takes its place.
    pub(crate) fn propose(&self, id: TopicIdPartition, proposal: IsrProposal) {
        self.proposals.lock().insert(id, proposal);
        self.proposals_bell.notify_one();
    }

    /// Takes up to `max` proposals; waits for the first.
    pub(crate) async fn take_proposals(&self, max: usize) -> Vec<(TopicIdPartition, IsrProposal)> {
        loop {
            let mut taken = Vec::new();
            {
                let mut proposals = self.proposals.lock();
                while taken.len() < max {
                    let Some(entry) = proposals.pop_first() else {
                        break;
                    };
                    taken.push(entry);
                }
            }
            if !taken.is_empty() {
                return taken;
            }
            self.proposals_bell.notified().await;
        }
    }

    /// Puts back proposals that got no response, unless there are newer ones.
    pub(crate) fn repropose(&self, proposals: Vec<(TopicIdPartition, IsrProposal)>) {
        let mut queue = self.proposals.lock();
        for (id, proposal) in proposals {
            queue.entry(id).or_insert(proposal);
        }
        drop(queue);
        self.proposals_bell.notify_one();
    }

    /// Reports a log directory in which a file operation failed.
    pub(crate) fn dir_failed(&self, dir: DirectoryId) {
        self.failed_dirs
            .send_if_modified(|failed| failed.insert(dir));
    }

    /// The log directories that failed.
    pub(crate) fn failed_dirs(&self) -> watch::Receiver<BTreeSet<DirectoryId>> {
        self.failed_dirs.subscribe()
    }

    /// Queues a report of a replica's directory where the controller's metadata have another one.
    pub(crate) fn assign_dir(&self, id: TopicIdPartition, dir: DirectoryId) {
        self.assignments.lock().insert(id, dir);
        self.assignments_bell.notify_one();
    }

    /// Takes up to `max` assignments; waits for the first.
    pub(crate) async fn take_assignments(
        &self,
        max: usize,
    ) -> Vec<(TopicIdPartition, DirectoryId)> {
        loop {
            let mut taken = Vec::new();
            {
                let mut assignments = self.assignments.lock();
                while taken.len() < max {
                    let Some(entry) = assignments.pop_first() else {
                        break;
                    };
                    taken.push(entry);
                }
            }
            if !taken.is_empty() {
                return taken;
            }
            self.assignments_bell.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dohle_model::delta::MetadataDelta;
    use dohle_model::partition::PartitionRegistration;
    use dohle_model::record::{BrokerRegistration, BrokerRegistrationChange, MetadataRecord};
    use dohle_model::{IncarnationId, PartitionIndex, TopicId, TopicName};

    use super::*;

    const FOLLOWER: NodeId = NodeId(2);
    const EPOCH: BrokerEpoch = BrokerEpoch(5);

    fn directory(number: u8) -> DirectoryId {
        DirectoryId::from_bytes([number; 16])
    }

    fn replay(image: &mut MetadataImage, record: MetadataRecord) {
        let mut delta = MetadataDelta::default();
        image.replay(&record, &mut delta).unwrap();
    }

    #[test]
    fn a_replica_whose_log_directory_is_offline_may_not_join_the_isr() {
        let topic_id = TopicId::from_bytes([9; 16]);
        let mut image = MetadataImage::default();
        let name = TopicName::new("foo").unwrap();
        let topic = MetadataRecord::Topic { name, id: topic_id };
        replay(&mut image, topic);
        for (partition, dir) in [
            (0, directory(1)),
            (1, directory(2)),
            (2, DirectoryId::UNASSIGNED),
        ] {
            let registration = PartitionRegistration::new(
                vec![NodeId(1), FOLLOWER],
                vec![directory(7), dir],
                vec![NodeId(1)],
            );
            let partition = PartitionIndex(partition);
            replay(
                &mut image,
                MetadataRecord::Partition {
                    topic_id,
                    partition,
                    registration,
                },
            );
        }
        let broker = BrokerRegistration {
            id: FOLLOWER,
            incarnation: IncarnationId::from_bytes([3; 16]),
            epoch: EPOCH,
            endpoints: Vec::new(),
            rack: None,
            fenced: false,
            in_controlled_shutdown: false,
            log_dirs: vec![directory(1), directory(2)],
            cordoned_log_dirs: Vec::new(),
            features: Vec::new(),
        };
        replay(&mut image, MetadataRecord::RegisterBroker(broker));
        let shared = PartitionContext::new(NodeId(1), QuotaWindows::default());
        let eligible = |image: &MetadataImage| {
            shared.set_image(&Arc::new(image.clone()));
            [0, 1, 2].map(|partition| {
                let id = TopicIdPartition {
                    topic_id,
                    partition: PartitionIndex(partition),
                };
                shared.is_eligible(&id, FOLLOWER, EPOCH)
            })
        };
        assert_eq!(eligible(&image), [true, true, true]);
        let failed = BrokerRegistrationChange {
            id: FOLLOWER,
            epoch: EPOCH,
            fenced: None,
            in_controlled_shutdown: None,
            log_dirs: Some(vec![directory(2)]),
            cordoned_log_dirs: None,
        };
        replay(&mut image, MetadataRecord::BrokerRegistrationChange(failed));
        assert_eq!(eligible(&image), [false, true, true]);
    }
}
