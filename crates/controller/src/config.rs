//! What a controller needs to know, taken from the node's properties by whoever starts it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dohle_model::image::MetadataImage;
use dohle_model::{DirectoryId, NodeId, features};

use crate::plan::{ConfigSchema, Settings};

/// Where a voter listens for brokers and voters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voter {
    /// The name of its controller listener, for example `CONTROLLER`.
    pub listener: String,
    /// Its host, as `controller.quorum.voters` has it.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Returns `log.dir.reserve.bytes`: as the metadata set it at run time, or as the node's own
/// properties have it.
pub type ReserveBytes = Arc<dyn Fn(&MetadataImage) -> u64 + Send + Sync>;

/// The configuration of a controller.
#[derive(Clone)]
pub struct ControllerConfig {
    /// This node; one of `voters`.
    pub node_id: NodeId,
    /// Nodes of another cluster are refused.
    pub cluster_id: String,
    /// The `directory.id` of the metadata directory; told by DescribeQuorum.
    pub directory_id: DirectoryId,
    /// All voters: `controller.quorum.voters`.
    pub voters: BTreeMap<NodeId, Voter>,
    /// The directory of the metadata log and its snapshots; created when absent.
    pub metadata_dir: PathBuf,
    /// `log.dir.reserve.bytes`: with fewer free bytes for the metadata log nothing is created.
    pub reserve_bytes: ReserveBytes,
    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub snapshot_after_bytes: u64,
    /// `metadata.log.max.snapshot.interval.ms`; `None` for never.
    pub snapshot_interval: Option<Duration>,
    /// How often the active controller tells the other voters that it lives.
    pub quorum_heartbeat_interval: Duration,
    /// How long a voter hears no active controller before it starts an election.
    pub quorum_election_timeout: Duration,
    /// `broker.session.timeout.ms`: a broker that is silent for so long is fenced.
    pub broker_session_timeout: Duration,
    /// `broker.heartbeat.interval.ms`, told to brokers.
    pub broker_heartbeat_interval: Duration,
    /// How long a broker whose session's stream broke may take to come back before it is fenced.
    pub broken_session_grace: Duration,
    /// How long brokers may take to come to a new active controller before they are fenced; at most
    /// `broker.session.timeout.ms`. Those that nobody listens for are fenced at once.
    pub inherited_session_grace: Duration,
    /// `auto.leader.rebalance.enable`.
    pub auto_leader_rebalance: bool,
    /// `leader.imbalance.check.interval.seconds`.
    pub leader_imbalance_check_interval: Duration,
    /// The levels of features that a new cluster finalizes.
    pub new_cluster_features: BTreeMap<String, i16>,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i32,
    /// `min.insync.replicas` of topics that set none.
    pub min_insync_replicas: usize,
    /// `unclean.leader.election.enable` of topics that set none.
    pub unclean_leader_election: bool,
    /// Which configuration names and values are allowed.
    pub configs: Arc<dyn ConfigSchema>,
    /// Encoded bytes of recent metadata batches that are kept in memory for brokers that follow, at
    /// least. A broker that is further behind is sent the whole image.
    pub feed_bytes_min: usize,
    /// Encoded bytes that are kept for each replica of a partition, where that makes more. A change
    /// of a partition has about 50 bytes: with three replicas the batches of four changes of every
    /// partition are kept, which is less than two whole images.
    pub feed_bytes_per_replica: usize,
    /// A plan whose records have more bytes is divided into several batches where that is safe.
    pub batch_bytes_max: usize,
}

impl ControllerConfig {
    /// A configuration with Kafka's defaults, but a quorum that notices a death within a second.
    #[must_use]
    pub fn new(
        node_id: NodeId,
        cluster_id: String,
        voters: BTreeMap<NodeId, Voter>,
        metadata_dir: PathBuf,
        configs: Arc<dyn ConfigSchema>,
    ) -> Self {
        Self {
            node_id,
            cluster_id,
            directory_id: DirectoryId::ZERO,
            voters,
            metadata_dir,
            reserve_bytes: Arc::new(|_| 0),
            snapshot_after_bytes: 20 * 1024 * 1024,
            snapshot_interval: Some(Duration::from_secs(3600)),
            quorum_heartbeat_interval: Duration::from_millis(200),
            quorum_election_timeout: Duration::from_millis(600),
            broker_session_timeout: Duration::from_secs(9),
            broker_heartbeat_interval: Duration::from_secs(2),
            broken_session_grace: Duration::from_millis(200),
            inherited_session_grace: Duration::from_secs(3),
            auto_leader_rebalance: true,
            leader_imbalance_check_interval: Duration::from_secs(300),
            new_cluster_features: features::defaults(),
            num_partitions: 1,
            default_replication_factor: 1,
            min_insync_replicas: 1,
            unclean_leader_election: false,
            configs,
            feed_bytes_min: 1024 * 1024,
            feed_bytes_per_replica: 64,
            batch_bytes_max: 4 * 1024 * 1024,
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            controller: self.node_id,
            new_cluster_features: self.new_cluster_features.clone(),
            num_partitions: self.num_partitions,
            default_replication_factor: self.default_replication_factor,
            min_insync_replicas: self.min_insync_replicas,
            unclean_leader_election: self.unclean_leader_election,
            configs: Arc::clone(&self.configs),
        }
    }
}
