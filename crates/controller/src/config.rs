//! A controller's configuration, which the node derives from its properties.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dohle_auth::quotas::QuotaWindows;
use dohle_model::image::MetadataImage;
use dohle_model::record::MetadataRecord;
use dohle_model::{DirectoryId, NodeId, features};
use dohle_tls::Connector;

use crate::plan::{ConfigSchema, PlanSettings, TokenSettings};

/// The address at which a voter listens for brokers and voters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoterAddress {
    /// The name of its controller listener, for example `CONTROLLER`.
    pub listener: String,
    /// Its host, as in `controller.quorum.voters`.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Returns `log.dir.reserve.bytes`: the dynamic value in the metadata, or else the value of the
/// node's own properties.
pub type ReserveBytes = Arc<dyn Fn(&MetadataImage) -> u64 + Send + Sync>;

/// The configuration of a controller.
#[derive(Clone)]
pub struct ControllerConfig {
    /// This node; one of `voters`.
    pub node_id: NodeId,
    /// The cluster's id. Requests of nodes of another cluster are rejected.
    pub cluster_id: String,
    /// The `directory.id` of the metadata directory, which DescribeQuorum returns.
    pub directory_id: DirectoryId,
    /// All voters: `controller.quorum.voters`.
    pub voters: BTreeMap<NodeId, VoterAddress>,
    /// Connects to the other voters.
    pub connector: Connector,
    /// The directory of the metadata log and its snapshots; created when absent.
    pub metadata_dir: PathBuf,
    /// `log.dir.reserve.bytes`: while the metadata log's file system has fewer free bytes, topics
    /// and partitions are not created.
    pub reserve_bytes: ReserveBytes,
    /// `metadata.log.max.record.bytes.between.snapshots`.
    pub snapshot_after_bytes: u64,
    /// `metadata.log.max.snapshot.interval.ms`; `None` for never.
    pub snapshot_interval: Option<Duration>,
    /// The interval of the active controller's heartbeats to the other voters.
    pub quorum_heartbeat_interval: Duration,
    /// How long a voter waits without a heartbeat of the active controller before it starts an
    /// election.
    pub quorum_election_timeout: Duration,
    /// `broker.session.timeout.ms`: a broker without a heartbeat for this time is fenced.
    pub broker_session_timeout: Duration,
    /// `broker.heartbeat.interval.ms`, which the controller sends to brokers.
    pub broker_heartbeat_interval: Duration,
    /// How long a broker whose session stream broke may take to reconnect before it is fenced.
    pub broken_session_grace: Duration,
    /// How long brokers may take to connect to a new active controller before they are fenced; at
    /// most `broker.session.timeout.ms`. A broker whose endpoints refuse connections is fenced at
    /// once.
    pub inherited_session_grace: Duration,
    /// `auto.leader.rebalance.enable`.
    pub auto_leader_rebalance: bool,
    /// `leader.imbalance.check.interval.seconds`.
    pub leader_imbalance_check_interval: Duration,
    /// The levels of features that a new cluster finalizes.
    pub new_cluster_features: BTreeMap<String, i16>,
    /// The users that a new cluster begins with.
    pub new_cluster_users: Vec<MetadataRecord>,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i32,
    /// `min.insync.replicas` of topics that set none.
    pub min_insync_replicas: usize,
    /// `unclean.leader.election.enable` of topics that set none.
    pub unclean_leader_election: bool,
    /// The key and the lifetimes of delegation tokens; `None` where they are disabled.
    pub delegation_tokens: Option<TokenSettings>,
    /// `controller.quota.window.num` and `controller.quota.window.size.seconds`: the samples of
    /// quotas of controller mutations.
    pub quota_windows: QuotaWindows,
    /// Defines the allowed configuration names and values.
    pub configs: Arc<dyn ConfigSchema>,
    /// The least encoded bytes of recent metadata batches to keep in memory for brokers that
    /// follow. A broker that is further behind receives the whole image.
    pub feed_bytes_min: usize,
    /// Encoded bytes to keep in memory for each replica of a partition, when the sum is larger than
    /// `feed_bytes_min`. A change of a partition has about 50 bytes: with three replicas the
    /// batches of four changes of every partition are kept, which is less than two whole images.
    pub feed_bytes_per_replica: usize,
    /// Plans whose records have more bytes are divided into several batches where that is safe.
    pub batch_bytes_max: usize,
}

impl ControllerConfig {
    /// Returns a configuration with Kafka's defaults, except for quorum timeouts that detect a
    /// failed leader within a second.
    #[must_use]
    pub fn new(
        node_id: NodeId,
        cluster_id: String,
        voters: BTreeMap<NodeId, VoterAddress>,
        metadata_dir: PathBuf,
        configs: Arc<dyn ConfigSchema>,
    ) -> Self {
        Self {
            node_id,
            cluster_id,
            directory_id: DirectoryId::ZERO,
            voters,
            connector: Connector::plaintext(),
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
            new_cluster_users: Vec::new(),
            num_partitions: 1,
            default_replication_factor: 1,
            min_insync_replicas: 1,
            unclean_leader_election: false,
            delegation_tokens: None,
            quota_windows: QuotaWindows::default(),
            configs,
            feed_bytes_min: 1024 * 1024,
            feed_bytes_per_replica: 64,
            batch_bytes_max: 4 * 1024 * 1024,
        }
    }

    pub(crate) fn settings(&self) -> PlanSettings {
        PlanSettings {
            controller: self.node_id,
            controllers: self.voters.keys().copied().collect(),
            new_cluster_features: self.new_cluster_features.clone(),
            new_cluster_users: self.new_cluster_users.clone(),
            num_partitions: self.num_partitions,
            default_replication_factor: self.default_replication_factor,
            min_insync_replicas: self.min_insync_replicas,
            unclean_leader_election: self.unclean_leader_election,
            delegation_tokens: self.delegation_tokens.clone(),
            configs: Arc::clone(&self.configs),
        }
    }
}
