//! All partitions of this broker, in its log directories.
//!
//! Invariant: the registry follows the metadata feed; nothing else creates or removes a partition.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use dohle_auth::quotas::QuotaWindows;
use dohle_config::{BrokerConfig, BrokerValues, DynamicBrokerConfig, Properties};
use dohle_log::{DecompressionMemory, OpenFiles};
use dohle_model::{DirectoryId, NodeId, TopicIdPartition, TopicPartition};
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

mod apply;
mod cleaner;
mod controller_link;
mod copies;
mod cordon;
mod dirs;
mod in_blocking;
mod isr;
mod maintenance;
mod markers;
mod metrics;
mod moves;
mod previous_epoch;
mod reopen;
mod repair;
mod replicator;
mod scrub;
mod space;
mod strays;
mod throttle;

pub use crate::clock::wall_clock;
pub use apply::LocalPartitions;
pub use controller_link::{AlterAnswer, AlterOutcome, BrokerLink, ControllerLink};
pub use dirs::{LogDir, OfflineDir};
pub use markers::{MarkerCommit, MarkerReplay};
pub use metrics::ReplicaMetrics;
pub use moves::MoveError;
pub use previous_epoch::previous_broker_epoch;
pub use replicator::{RecordStream, Replicator};

use crate::blocking::BlockingPool;
use crate::partition::Partition;
use crate::partition::shared::PartitionContext;
use dirs::Dir;

/// The parameters of the registry.
pub struct PartitionsConfig {
    /// The id of this broker.
    pub node: NodeId,
    /// The cluster's id.
    pub cluster_id: String,
    /// Its log directories, locked and formatted; at least one.
    pub log_dirs: Vec<LogDir>,
    /// The log directories that could not be opened: they stay offline while the process runs.
    pub offline_dirs: Vec<OfflineDir>,
    /// The node's own properties; dynamic ones from the metadata take precedence.
    pub properties: Arc<Properties>,
    /// Sends requests to the active controller.
    pub controller: Arc<dyn ControllerLink>,
    /// Replicates the partitions that this broker follows.
    pub replicator: Arc<dyn Replicator>,
}

impl std::fmt::Debug for PartitionsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionsConfig")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// A replica in a log directory (`DescribeLogDirs`).
#[derive(Debug, Clone)]
pub struct ReplicaInfo {
    /// The partition.
    pub partition: TopicPartition,
    /// Bytes of its log.
    pub size: u64,
    /// The number of records by which the replica is behind the high watermark; 0 when it is up to
    /// date.
    pub offset_lag: i64,
    /// Whether it is a copy that will replace the replica in another log directory. Its lag is
    /// relative to the end of the replica's log.
    pub is_future: bool,
}

/// A log directory (`DescribeLogDirs`).
#[derive(Debug, Clone)]
pub struct LogDirInfo {
    /// Its path, absolute.
    pub path: PathBuf,
    /// Its id.
    pub id: DirectoryId,
    /// Whether it failed.
    pub offline: bool,
    /// Whether it gets no new replicas.
    pub is_cordoned: bool,
    /// The size of its file system in bytes, if the system reports it.
    pub total_bytes: Option<u64>,
    /// Bytes of it that are available to this process.
    pub usable_bytes: Option<u64>,
    /// The replicas in it.
    pub replicas: Vec<ReplicaInfo>,
}

#[derive(Debug, Default)]
struct Registry {
    by_id: HashMap<TopicIdPartition, Arc<Partition>>,
    by_name: HashMap<TopicPartition, Arc<Partition>>,
}

/// The configuration in the current metadata.
#[derive(Debug)]
struct CurrentConfig {
    values: BrokerValues,
    dynamic: DynamicBrokerConfig,
}

/// The registry of partitions.
#[derive(Debug)]
pub struct Partitions {
    pub(crate) shared: Arc<PartitionContext>,
    node: NodeId,
    cluster_id: String,
    properties: Arc<Properties>,
    dirs: Vec<Dir>,
    offline_dirs: Vec<OfflineDir>,
    registry: RwLock<Registry>,
    /// The part of the configuration that does not change while the broker runs.
    config: BrokerConfig,
    settings: RwLock<CurrentConfig>,
    /// Coordinators that write the markers of their topics themselves.
    marker_replays: RwLock<markers::MarkerReplays>,
    replicator: Arc<dyn Replicator>,
    /// The replicas that move between the log directories.
    moves: Arc<moves::Moves>,
    /// The log directories that get no new replicas; `None` until the metadata were applied, which
    /// contain the dynamic configuration.
    cordoned: watch::Sender<Option<BTreeSet<DirectoryId>>>,
    tasks: Mutex<JoinSet<()>>,
    /// Held while a change of the metadata is applied, or closed logs are opened again.
    following: Mutex<()>,
    /// Notified when replicas were added or removed, so that the metadata position is written.
    applied_changed: Arc<Notify>,
    /// Runs the background work.
    runtime: Handle,
}

impl Partitions {
    /// Reads the log directories and starts the background work on the current runtime. The logs of
    /// partitions are opened when the metadata contain them. Blocks on the disk.
    ///
    /// # Panics
    /// Outside a tokio runtime, or without a log directory.
    #[must_use]
    pub fn open(config: PartitionsConfig) -> Arc<Self> {
        assert!(!config.log_dirs.is_empty(), "a broker has a log directory");
        let fixed = BrokerValues::fixed(Arc::clone(&config.properties));
        let fixed = BrokerConfig::resolve(&fixed);
        let windows = QuotaWindows {
            samples: fixed.replication_quota_window_num,
            length: fixed.replication_quota_window_size,
        };
        let shared = PartitionContext::new(config.node, windows);
        let properties = Arc::clone(&config.properties);
        let values = BrokerValues::new(properties, &shared.image(), config.node);
        let dynamic = DynamicBrokerConfig::resolve(&values);
        shared.set_throttles(&dynamic);
        let moves = moves::Moves::new(QuotaWindows {
            samples: fixed.alter_log_dirs_quota_window_num,
            length: fixed.alter_log_dirs_quota_window_size,
        });
        moves.set_limit(dynamic.alter_log_dirs_rate);
        let dirs: Vec<Dir> = config.log_dirs.into_iter().map(Dir::open).collect();
        for dir in dirs.iter().filter(|dir| dir.offline().is_some()) {
            shared.dir_failed(dir.id);
        }
        for dir in &config.offline_dirs {
            let (path, reason) = (dir.path.display(), &dir.reason);
            tracing::error!(dir = %path, reason, "log directory is offline");
        }
        let partitions = Arc::new(Self {
            shared,
            node: config.node,
            cluster_id: config.cluster_id,
            properties: config.properties,
            dirs,
            offline_dirs: config.offline_dirs,
            registry: RwLock::default(),
            config: fixed,
            settings: RwLock::new(CurrentConfig { values, dynamic }),
            marker_replays: RwLock::default(),
            replicator: config.replicator,
            moves: Arc::new(moves),
            cordoned: watch::Sender::new(None),
            tasks: Mutex::default(),
            following: Mutex::default(),
            applied_changed: Arc::default(),
            runtime: Handle::current(),
        });
        partitions.begin_space();
        maintenance::spawn(&partitions, &config.controller);
        partitions
    }

    /// Returns a partition, if this broker hosts it.
    #[must_use]
    pub fn get(&self, id: &TopicIdPartition) -> Option<Arc<Partition>> {
        self.registry.read().by_id.get(id).cloned()
    }

    /// Returns the partition of this name, if this broker hosts it.
    #[must_use]
    pub fn get_by_name(&self, name: &TopicPartition) -> Option<Arc<Partition>> {
        self.registry.read().by_name.get(name).cloned()
    }

    /// Returns all partitions, in no particular order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.registry.read().by_id.values().cloned().collect()
    }

    /// Returns the pool for work that blocks or computes for long, off the network threads.
    #[must_use]
    pub fn blocking(&self) -> &BlockingPool {
        &self.shared.blocking
    }

    /// Returns the memory pool of all decompressions of this node.
    #[must_use]
    pub fn decompression(&self) -> &Arc<DecompressionMemory> {
        &self.shared.decompression
    }

    /// Returns the open files of all logs.
    #[must_use]
    pub fn open_files(&self) -> &Arc<OpenFiles> {
        &self.shared.open_files
    }

    /// Returns the cluster's id.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// Returns the log directories that failed, and changes of them. The broker reports them with
    /// its heartbeats, and stops when no directory is left.
    #[must_use]
    pub fn failed_dirs(&self) -> watch::Receiver<BTreeSet<DirectoryId>> {
        self.shared.failed_dirs()
    }

    /// Returns the log directories and their replicas.
    #[must_use]
    pub fn log_dirs(&self) -> Vec<LogDirInfo> {
        let mut infos: Vec<LogDirInfo> = self.dirs.iter().map(Dir::info).collect();
        for partition in self.all() {
            let dir = partition.directory();
            let Some(info) = infos.iter_mut().find(|info| info.id == dir) else {
                continue;
            };
            let (size, offset_lag) = partition.size_and_lag();
            let partition = partition.name().clone();
            info.replicas.push(ReplicaInfo {
                partition,
                size,
                offset_lag,
                is_future: false,
            });
        }
        for info in &mut infos {
            info.replicas.extend(self.copies_in(info.id));
            info.is_cordoned = !info.offline && self.is_cordoned(info.id);
        }
        infos.extend(self.offline_dirs.iter().map(OfflineDir::info));
        for info in &mut infos {
            info.replicas.sort_by(|a, b| a.partition.cmp(&b.partition));
        }
        infos
    }
}

impl OfflineDir {
    fn info(&self) -> LogDirInfo {
        LogDirInfo {
            path: std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone()),
            id: DirectoryId::UNASSIGNED,
            offline: true,
            is_cordoned: false,
            total_bytes: None,
            usable_bytes: None,
            replicas: Vec::new(),
        }
    }
}

impl Dir {
    fn info(&self) -> LogDirInfo {
        let path = self.directory.path();
        let space = rustix::fs::statvfs(path).ok();
        LogDirInfo {
            path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            id: self.id,
            offline: self.offline().is_some(),
            is_cordoned: false,
            total_bytes: space.as_ref().map(|space| space.f_blocks * space.f_frsize),
            usable_bytes: space.as_ref().map(|space| space.f_bavail * space.f_frsize),
            replicas: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
