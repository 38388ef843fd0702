//! The controller's role: a voter of the metadata quorum, and its listener.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use dohle_api::NodeAuthentication;
use dohle_auth::quotas::QuotaWindows;
use dohle_auth::{AclAuthorizer, AclSettings, AllowAll, Authorizer, TokenKey};
use dohle_config::BrokerValues;
use dohle_config::keys::broker as keys;
use dohle_controller::plan::TokenSettings;
use dohle_controller::{Controller, ControllerConfig, VoterAddress, new_cluster};
use dohle_model::image::MetadataImage;
use dohle_model::record::MetadataRecord;
use dohle_model::{DirectoryId, NodeId};
use dohle_network::listener::{Bound, Listener, NetworkContext, Services};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::tls::NodeTls;
use crate::config::NodeConfig;
use crate::grpc::{Grpc, NodesOnly};
use crate::schema::Definitions;

/// The longest interval between two heartbeats of the active controller.
const HEARTBEAT_MAX: Duration = Duration::from_millis(200);

pub(super) struct ControllerRole {
    controller: Controller,
    listener: Listener,
    /// Follows the metadata with the authorizer.
    _authorizing: Option<AbortOnDropHandle<()>>,
}

impl ControllerRole {
    pub(super) async fn start(
        config: &NodeConfig,
        cluster_id: &str,
        directory_id: DirectoryId,
        port: Bound,
        shared: &Arc<NetworkContext>,
        tls: &NodeTls,
    ) -> anyhow::Result<Self> {
        let connector = tls.connector(&config.listeners.controller_name);
        let (acls, sasl) = (config.authorizer.clone(), Arc::clone(&config.sasl));
        let principals = config.node_principals.clone();
        let mut config = controller_config(config, cluster_id, directory_id);
        config.connector = connector;
        std::fs::create_dir_all(&config.metadata_dir)
            .with_context(|| format!("make the directory {}", config.metadata_dir.display()))?;
        if let Some(levels) = new_cluster::read_features(&config.metadata_dir)? {
            config.new_cluster_features = levels;
        }
        config.new_cluster_users = new_cluster::read_scram(&config.metadata_dir)?;
        let first_users = first_users(&config.new_cluster_users);
        let controller = Controller::start(config).await?;
        let tls = tls.server(port.name());
        let grpc = Arc::new(Grpc::new(controller.routes(), principals));
        let (authorizer, authorizing) = authorizer(&controller, acls);
        let kafka = sasl.listeners.contains_key(port.name()).then(|| {
            let images = controller.images();
            let users = move || match images() {
                image if image.offset == first_users.offset => Arc::clone(&first_users),
                image => image,
            };
            NodeAuthentication::new(sasl, users) as _
        });
        let services = Services {
            kafka,
            http2: Some(NodesOnly::new(grpc, tls.clone(), authorizer)),
            tls,
            // Requests of nodes are served where the controller itself runs, so that a heartbeat
            // wakes one thread.
            runtime: Some(Handle::current()),
        };
        let listener = port.serve(Arc::clone(shared), services);
        Ok(Self {
            controller,
            listener,
            _authorizing: authorizing,
        })
    }

    /// Returns the metrics of the controller.
    #[cfg(feature = "web")]
    pub(super) fn metrics(&self, config: &NodeConfig) -> dohle_controller::ControllerMetrics {
        let topics_max = config.http.topics_max;
        self.controller.metrics(config.node_id, topics_max)
    }

    /// Becomes `Some` with the reason when the controller failed.
    pub(super) fn fatal(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.controller.fatal()
    }

    /// Announces that the node is about to stop.
    pub(super) fn prepare_shutdown(&self) {
        self.controller.prepare_shutdown();
    }

    pub(super) async fn shutdown(self) {
        self.controller.shutdown().await;
        self.listener.shutdown().await;
    }
}

/// Returns metadata of a new cluster, which has no records yet, with the users that it begins with:
/// voters authenticate to each other with them until the first records are committed.
fn first_users(records: &[MetadataRecord]) -> Arc<MetadataImage> {
    let mut image = MetadataImage::default();
    for record in records {
        if let MetadataRecord::UserScramCredential {
            user,
            mechanism,
            credential,
        } = record
        {
            let credential = Arc::new(credential.clone());
            image
                .scram_credentials
                .insert((user.clone(), *mechanism), credential);
        }
    }
    Arc::new(image)
}

/// Returns the authorizer of a controller's listener, and the task that keeps it up to date.
fn authorizer(
    controller: &Controller,
    settings: Option<AclSettings>,
) -> (Arc<dyn Authorizer>, Option<AbortOnDropHandle<()>>) {
    let Some(settings) = settings else {
        return (Arc::new(AllowAll), None);
    };
    let acls = Arc::new(AclAuthorizer::new(settings));
    let following = Arc::clone(&acls);
    let mut before = Arc::new(MetadataImage::default());
    let task = controller.follow(move |image| {
        following.follow(&before, image);
        before = Arc::clone(image);
    });
    (acls, Some(AbortOnDropHandle::new(task)))
}

fn controller_config(
    config: &NodeConfig,
    cluster_id: &str,
    directory_id: DirectoryId,
) -> ControllerConfig {
    let schema = Definitions {
        values: config.values.clone(),
    };
    let mut to = ControllerConfig::new(
        config.node_id,
        cluster_id.to_owned(),
        voters(config),
        config.metadata_dir(),
        Arc::new(schema),
    );
    let (values, broker) = (&config.values, &config.broker);
    to.directory_id = directory_id;
    let (fixed, node) = (Arc::clone(&values.fixed), config.node_id);
    to.reserve_bytes = Arc::new(move |image| {
        let values = BrokerValues::new(Arc::clone(&fixed), image, node);
        values.read(&keys::LOG_DIR_RESERVE_BYTES)
    });
    to.snapshot_after_bytes = values.read(&keys::METADATA_LOG_MAX_RECORD_BYTES_BETWEEN_SNAPSHOTS);
    let interval = values.read(&keys::METADATA_LOG_MAX_SNAPSHOT_INTERVAL_MS);
    to.snapshot_interval = (!interval.is_zero()).then_some(interval);
    // Kafka's defaults allow for pauses of JVMs; Dohle's own apply unless the property is set.
    if values.is_set(&keys::CONTROLLER_QUORUM_FETCH_TIMEOUT_MS) {
        to.quorum_election_timeout = broker.controller_quorum_fetch_timeout;
    } else if values.is_set(&keys::CONTROLLER_QUORUM_ELECTION_TIMEOUT_MS) {
        to.quorum_election_timeout = broker.controller_quorum_election_timeout;
    }
    to.quorum_election_timeout = to.quorum_election_timeout.max(Duration::from_millis(100));
    to.quorum_heartbeat_interval = (to.quorum_election_timeout / 3).min(HEARTBEAT_MAX);
    to.broker_session_timeout = broker.broker_session_timeout;
    to.broker_heartbeat_interval = broker.broker_heartbeat_interval;
    to.auto_leader_rebalance = broker.auto_leader_rebalance_enable;
    to.leader_imbalance_check_interval = broker.leader_imbalance_check_interval;
    to.num_partitions = broker.num_partitions;
    to.default_replication_factor = i32::from(broker.default_replication_factor);
    to.min_insync_replicas = values.read(&keys::MIN_INSYNC_REPLICAS);
    to.quota_windows = QuotaWindows {
        samples: values.read(&keys::CONTROLLER_QUOTA_WINDOW_NUM),
        length: values.read(&keys::CONTROLLER_QUOTA_WINDOW_SIZE_SECONDS),
    };
    to.delegation_tokens = token_settings(values);
    to.unclean_leader_election = values.read(&keys::UNCLEAN_LEADER_ELECTION_ENABLE);
    to
}

/// Returns the settings of delegation tokens; `None` without `delegation.token.secret.key`.
fn token_settings(values: &BrokerValues) -> Option<TokenSettings> {
    Some(TokenSettings {
        key: TokenKey::new(values.text_set(&keys::DELEGATION_TOKEN_SECRET_KEY)?)?,
        lifetime_max: values.read(&keys::DELEGATION_TOKEN_MAX_LIFETIME_MS),
        renewal_max: values.read(&keys::DELEGATION_TOKEN_EXPIRY_TIME_MS),
        check_interval: values.read(&keys::DELEGATION_TOKEN_EXPIRY_CHECK_INTERVAL_MS),
    })
}

fn voters(config: &NodeConfig) -> BTreeMap<NodeId, VoterAddress> {
    let listener = &config.listeners.controller_name;
    let voter = |voter: &crate::config::ConfiguredVoter| {
        let address = VoterAddress {
            listener: listener.clone(),
            host: voter.host.clone(),
            port: voter.port,
        };
        Some((voter.id?, address))
    };
    config.voters.iter().filter_map(voter).collect()
}
