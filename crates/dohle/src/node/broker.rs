//! The broker's role: a session with the active controller, replicas that follow the metadata, and
//! listeners that serve clients and other brokers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use dohle_api::context::{Context, Coordinators};
use dohle_api::{ClientQuotas, KafkaService, add_partitions_to_txn};
use dohle_auth::quotas::QuotaWindows;
use dohle_auth::{AclAuthorizer, AllowAll, Authorizer};
use dohle_broker::metadata::{
    ControllerClient, ControllerEndpoint, ControllerSession, FeedConfig, FeedError, LocalReplicas,
    MetadataCache, MetadataChange, MetadataFeed, SessionConfig, SessionError,
};
#[cfg(feature = "web")]
use dohle_broker::partitions::ReplicaMetrics;
use dohle_broker::partitions::{
    BrokerLink, LocalPartitions, LogDir, OfflineDir, Partitions, PartitionsConfig,
    previous_broker_epoch,
};
use dohle_broker::replication::{
    BrokerClient, BrokerRequestHandlers, ReplicationServer, ReplicatorConfig, StreamReplicator,
};
use dohle_config::keys::broker as keys;
use dohle_coordinator::transactions::{
    self, PartitionMarkers, TransactionServices, TransactionVerifier,
};
use dohle_coordinator::{
    AnyCoordinator, CoordinatedPartitions, ProducerIdSource, ProducerIds, groups,
};
use dohle_model::image::MetadataImage;
use dohle_model::record::{BrokerRegistration, Endpoint};
use dohle_model::{BrokerEpoch, DirectoryId, IncarnationId, NodeId, features};
use dohle_network::listener::{Bound, Listener, NetworkContext, Services};
use dohle_telemetry::loggers::Loggers;
use dohle_tls::Connector;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::authorized_replicas::AuthorizedReplicas;
use super::connections::ConnectionLimits;
#[cfg(feature = "web")]
use super::debug::BrokerDebug;
#[cfg(feature = "web")]
use super::group_metrics::GroupMetrics;
use super::network::NetworkProperties;
use super::tls::NodeTls;
use crate::advertised::{ListenerContext, advertised_listener_warnings, shared_addresses};
use crate::config::{ListenerAddress, NodeConfig, is_loopback};
use crate::directories::fresh_id;
use crate::grpc::{NodesOnly, Replication};

/// How long a stopping broker waits until its leaderships have moved to other brokers.
const CONTROLLED_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// The inputs with which a broker starts.
pub(super) struct Start<'a> {
    pub config: &'a NodeConfig,
    pub cluster_id: &'a str,
    pub log_dirs: Vec<LogDir>,
    pub offline_dirs: Vec<OfflineDir>,
    pub ports: Vec<Bound>,
    pub by_name: &'a BTreeMap<String, u16>,
    /// The address of this node's own controller, if it has one.
    pub own_controller: Option<SocketAddr>,
    pub shared: &'a Arc<NetworkContext>,
    pub tls: &'a NodeTls,
    /// The loggers of the program.
    pub loggers: Arc<dyn Loggers>,
}

/// Reads the metrics of a broker.
#[cfg(feature = "web")]
pub(super) struct BrokerMetrics {
    pub replicas: ReplicaMetrics,
    pub kafka: Arc<KafkaService>,
    pub groups: GroupMetrics,
    pub debug: BrokerDebug,
}

pub(super) struct Broker {
    node: NodeId,
    cache: Arc<MetadataCache>,
    partitions: Arc<Partitions>,
    coordinators: Vec<Arc<dyn AnyCoordinator>>,
    session: Arc<ControllerSession>,
    feed: MetadataFeed,
    listeners: Vec<Listener>,
    advertised: Vec<String>,
    controlled_shutdown: bool,
    session_timeout: Duration,
    log_dirs: usize,
    previous_broker_epoch: Option<BrokerEpoch>,
    /// Tasks that are stopped together with the broker.
    tasks: Vec<JoinHandle<()>>,
    #[cfg(feature = "web")]
    metrics: Option<BrokerMetrics>,
}

impl Drop for Broker {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Broker {
    /// Registers the broker, follows the metadata and serves clients. The broker is not yet
    /// unfenced when this returns.
    pub(super) async fn start(mut start: Start<'_>) -> anyhow::Result<Self> {
        let config = start.config;
        let ports = std::mem::take(&mut start.ports);
        let offline_dirs = std::mem::take(&mut start.offline_dirs);
        let incarnation = IncarnationId(fresh_id());
        let cache = Arc::new(MetadataCache::new());
        let client = Arc::new(ControllerClient::with_connector(
            quorum(config),
            &to_controllers(&start),
        )?);
        let connector = start.tls.connector(&config.listeners.inter_broker);
        let registration = registration(&start, incarnation);
        let advertised = registration.endpoints.iter().map(endpoint_text).collect();
        let log_dirs = start.log_dirs.len();
        let previous_broker_epoch = previous_broker_epoch(&start.log_dirs, config.log_dirs.len());
        let session = Arc::new(ControllerSession::start(
            SessionConfig {
                cluster_id: start.cluster_id.to_owned(),
                registration,
                previous_broker_epoch,
                open_files_max: dohle_log::descriptors::limit(),
            },
            Arc::clone(&client),
            Arc::clone(&cache),
        ));
        let link = BrokerLink::new(config.node_id, Arc::clone(&client), Arc::clone(&session));
        let replicator = StreamReplicator::new(ReplicatorConfig {
            node: config.node_id,
            cluster_id: start.cluster_id.to_owned(),
            incarnation,
            listener: config.listeners.inter_broker.clone(),
            connector: connector.clone(),
            runtimes: start.shared.threads.handles(),
        });
        let partitions = open_partitions(PartitionsConfig {
            node: config.node_id,
            cluster_id: start.cluster_id.to_owned(),
            log_dirs: std::mem::take(&mut start.log_dirs),
            offline_dirs,
            properties: Arc::clone(config.properties()),
            controller: link,
            replicator: Arc::clone(&replicator) as _,
        })
        .await?;
        let groups = groups::start(
            config.node_id,
            Arc::clone(config.properties()),
            Arc::clone(&cache),
            Arc::clone(&partitions),
        );
        let producer_ids: Arc<dyn ProducerIdSource> = Arc::new(ProducerIds::new(
            config.node_id,
            Arc::clone(&cache),
            Arc::clone(&client),
        ));
        let brokers = BrokerClient::new(
            config.node_id,
            start.cluster_id.to_owned(),
            incarnation,
            config.listeners.inter_broker.clone(),
            Arc::clone(&cache),
        );
        let brokers = Arc::new(brokers.with_connector(connector));
        #[cfg(feature = "web")]
        let broker_client = Arc::clone(&brokers);
        let transactions = transactions::start(
            config.node_id,
            Arc::clone(config.properties()),
            Arc::clone(&cache),
            Arc::clone(&partitions),
            TransactionServices {
                producer_ids: Arc::clone(&producer_ids),
                local_markers: Arc::new(PartitionMarkers(Arc::clone(&partitions))),
                brokers: Arc::clone(&brokers),
            },
        );
        let verifier = TransactionVerifier::new(
            config.node_id,
            Arc::clone(&cache),
            Arc::clone(&transactions),
            brokers,
        );
        #[cfg(feature = "web")]
        let group_coordinator = Arc::clone(&groups);
        #[cfg(feature = "web")]
        let debug = BrokerDebug {
            node: config.node_id,
            metadata: Arc::clone(&cache),
            partitions: Arc::clone(&partitions),
            replicator: Arc::clone(&replicator),
            groups: Arc::clone(&groups),
            transactions: Arc::clone(&transactions),
        };
        let coordinators: Vec<Arc<dyn AnyCoordinator>> =
            vec![groups.clone(), transactions.coordinator()];
        let acls = config.authorizer.clone().map(AclAuthorizer::new);
        let acls = acls.map(Arc::new);
        let authorizer: Arc<dyn Authorizer> = match &acls {
            Some(acls) => Arc::clone(acls) as _,
            None => Arc::new(AllowAll),
        };
        let quotas = ClientQuotas::new(quota_windows(config));
        let feed = MetadataFeed::start(
            FeedConfig {
                cluster_id: start.cluster_id.to_owned(),
                node: config.node_id,
                incarnation,
            },
            Arc::clone(&client),
            Arc::clone(&cache),
            Arc::new(Followers {
                replicas: AuthorizedReplicas {
                    authorizer: acls.clone(),
                    replicas: CoordinatedPartitions {
                        partitions: LocalPartitions(Arc::clone(&partitions)),
                        coordinators: coordinators.clone(),
                    },
                },
                quotas: Arc::clone(&quotas),
                connections: ConnectionLimits::new(config),
                network: NetworkProperties::new(config),
                shared: Arc::clone(start.shared),
            }),
        );
        first_image(config.node_id, &cache, &session, &feed).await?;
        let context = Context::new(
            config.node_id,
            start.cluster_id.to_owned(),
            Arc::clone(config.properties()),
            Arc::clone(&cache),
            client,
            Arc::clone(&partitions),
            Coordinators {
                groups,
                transactions,
                producer_ids,
            },
        );
        context.set_transaction_verifier(Arc::new(verifier));
        context.set_loggers(Arc::clone(&start.loggers));
        let (transactions, markers) = (Arc::clone(&context), Arc::clone(&partitions));
        let offsets = Arc::clone(&partitions);
        let handlers = BrokerRequestHandlers::default()
            .on(move |_, request| {
                add_partitions_to_txn::for_broker(Arc::clone(&transactions), request)
            })
            .on(move |_, request| markers.write_txn_markers(request))
            .on(move |_, request| std::future::ready(offsets.high_watermarks(&request)));
        let replication = Arc::new(Replication {
            server: ReplicationServer::new(Arc::clone(&partitions), &replicator, handlers),
            principals: config.node_principals.clone(),
        });
        let open_files = Arc::clone(partitions.open_files());
        start.shared.keep_descriptors(move || open_files.promised());
        let sasl = Arc::clone(&config.sasl);
        let kafka = KafkaService::authorized(context, Arc::clone(&authorizer), sasl, quotas);
        let listeners = serve(&start, ports, &kafka, &replication, &authorizer);
        #[cfg(feature = "web")]
        let metrics = BrokerMetrics {
            replicas: ReplicaMetrics::new(Arc::clone(&partitions), config.http.topics_max),
            kafka,
            groups: GroupMetrics {
                node: config.node_id,
                groups: group_coordinator,
                metadata: Arc::clone(&cache),
                partitions: Arc::clone(&partitions),
                brokers: broker_client,
                groups_max: config.http.groups_max,
            },
            debug,
        };
        let (dirs, reports) = (Arc::clone(&partitions), Arc::clone(&session));
        let reporting = tokio::spawn(async move {
            tokio::join!(
                report_failed_dirs(&dirs, &reports),
                report_cordoned_dirs(&dirs, &reports)
            );
        });
        Ok(Self {
            node: config.node_id,
            cache,
            partitions,
            coordinators,
            session,
            feed,
            listeners,
            advertised,
            controlled_shutdown: config.broker.controlled_shutdown_enable,
            session_timeout: config.broker.broker_session_timeout,
            log_dirs,
            previous_broker_epoch,
            tasks: vec![reporting],
            #[cfg(feature = "web")]
            metrics: Some(metrics),
        })
    }

    /// Returns the metrics, the first time that it is called.
    #[cfg(feature = "web")]
    pub(super) fn take_metrics(&mut self) -> Option<BrokerMetrics> {
        self.metrics.take()
    }

    /// Returns the images of the metadata.
    pub(super) fn images(&self) -> watch::Receiver<Arc<MetadataImage>> {
        self.cache.subscribe()
    }

    pub(super) fn advertised(&self) -> Vec<String> {
        self.advertised.clone()
    }

    /// Waits until the controller has unfenced this broker, and its Metadata responses list it.
    pub(super) async fn unfenced(&self) -> Result<(), SessionError> {
        let epoch = self.session.unfenced().await?;
        self.image(|image| {
            let own = image.brokers.get(&self.node);
            own.is_some_and(|broker| broker.epoch >= epoch && !broker.fenced)
        })
        .await;
        Ok(())
    }

    /// Waits until this broker's Metadata responses list all of `brokers`.
    pub(super) async fn wait_until_advertised(&self, brokers: &[NodeId]) {
        self.image(|image| brokers.iter().all(|id| image.is_active(*id)))
            .await;
    }

    /// Waits for metadata for which `wanted` returns true.
    async fn image(&self, wanted: impl Fn(&MetadataImage) -> bool) {
        let mut images = self.cache.subscribe();
        // The cache lives as long as this broker, so the wait does not fail.
        let _ = images.wait_for(|image| wanted(image)).await;
    }

    /// Waits until the controller refuses this broker.
    pub(super) async fn refused(&self) -> SessionError {
        self.session.refused().await
    }

    /// Waits until following the metadata fails.
    pub(super) async fn feed_failed(&self) -> FeedError {
        self.feed.failed().await
    }

    /// Waits until all log directories have failed.
    pub(super) async fn dirs_failed(&self) {
        let mut failed = self.partitions.failed_dirs();
        if failed
            .wait_for(|failed| failed.len() >= self.log_dirs)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }

    /// Stops the broker: moves its leaderships away, disconnects clients and closes the logs.
    pub(super) async fn shutdown(mut self) {
        let node = self.node;
        if self.controlled_shutdown && self.session.state().refused.is_none() {
            let deadline = Instant::now() + CONTROLLED_SHUTDOWN_TIMEOUT;
            let timeout = self.session_timeout;
            if !self.session.shutdown(deadline, timeout).await {
                tracing::warn!(%node, "other brokers have not taken over all leaderships in time");
            }
        }
        // Waiting group members are answered at once, and look for the next coordinator.
        for coordinator in &self.coordinators {
            coordinator.resign_all();
        }
        for listener in std::mem::take(&mut self.listeners) {
            listener.shutdown().await;
        }
        // A broker that was never registered has appended nothing, so the previous epoch is still
        // valid.
        let epoch = self.session.broker_epoch().or(self.previous_broker_epoch);
        if let Err(error) = self.partitions.shutdown(epoch).await {
            tracing::error!(%node, "logs could not be closed: {error}");
        }
        self.session.close();
    }
}

/// The parts of a broker that follow the metadata, in the order in which they do.
struct Followers {
    replicas: AuthorizedReplicas<CoordinatedPartitions>,
    quotas: Arc<ClientQuotas>,
    connections: ConnectionLimits,
    network: NetworkProperties,
    shared: Arc<NetworkContext>,
}

impl LocalReplicas for Followers {
    async fn apply(&self, change: &MetadataChange) {
        self.replicas.apply(change).await;
        self.quotas.on_metadata(&change.after, &change.delta);
        self.connections.on_metadata(change, &self.shared);
        self.network.on_metadata(change, &self.shared);
    }
}

/// Returns the samples over which the quotas of clients are measured.
pub(super) fn quota_windows(config: &NodeConfig) -> QuotaWindows {
    QuotaWindows {
        samples: config.values.read(&keys::QUOTA_WINDOW_NUM),
        length: config.values.read(&keys::QUOTA_WINDOW_SIZE_SECONDS),
    }
}

/// Opens the log directories on a thread that may block.
async fn open_partitions(config: PartitionsConfig) -> anyhow::Result<Arc<Partitions>> {
    let opening = tokio::task::spawn_blocking(move || Partitions::open(config));
    opening.await.context("open the log directories")
}

/// Waits until the replicas have applied metadata that include this broker's registration.
async fn first_image(
    node: NodeId,
    cache: &MetadataCache,
    session: &ControllerSession,
    feed: &MetadataFeed,
) -> anyhow::Result<()> {
    let mut images = cache.subscribe();
    tokio::select! {
        image = images.wait_for(|image| image.brokers.contains_key(&node)) => {
            image.context("follow the metadata")?;
            Ok(())
        }
        error = session.refused() => Err(error.into()),
        error = feed.failed() => Err(error.into()),
    }
}

/// Serves clients on all listeners, and other brokers on the inter-broker listener.
fn serve(
    start: &Start<'_>,
    ports: Vec<Bound>,
    kafka: &Arc<KafkaService>,
    replication: &Arc<Replication>,
    authorizer: &Arc<dyn Authorizer>,
) -> Vec<Listener> {
    let inter_broker = &start.config.listeners.inter_broker;
    let serve = |port: Bound| {
        let tls = start.tls.server(port.name());
        let nodes = (port.name() == inter_broker).then(|| {
            let authorizer = Arc::clone(authorizer);
            NodesOnly::new(Arc::clone(replication) as _, tls.clone(), authorizer) as _
        });
        let services = Services {
            kafka: Some(Arc::clone(kafka) as _),
            http2: nodes,
            tls,
            runtime: None,
        };
        port.serve(Arc::clone(start.shared), services)
    };
    ports.into_iter().map(serve).collect()
}

/// Returns how this broker connects to controllers. The controller of its own node is reached at
/// the address that it has bound: its name may not be in DNS before this node is ready.
fn to_controllers(start: &Start<'_>) -> Connector {
    let config = start.config;
    let connector = start.tls.connector(&config.listeners.controller_name);
    let mut voters = config.voters.iter();
    let own = voters.find(|voter| voter.id == Some(config.node_id));
    match (own, start.own_controller) {
        (Some(own), Some(bound)) if is_name(&own.host) => {
            connector.knowing(&own.host, own.port, reachable(bound))
        }
        _ => connector,
    }
}

/// Whether a host has to be looked up in DNS.
fn is_name(host: &str) -> bool {
    host.parse::<IpAddr>().is_err() && !host.eq_ignore_ascii_case("localhost")
}

/// Returns an address at which a bound address can be reached from this machine. A socket that
/// is bound to all addresses of IPv6 accepts IPv4 too, and `::1` is missing in containers of
/// networks without IPv6.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

fn quorum(config: &NodeConfig) -> Vec<ControllerEndpoint> {
    let voter = |voter: &crate::config::ConfiguredVoter| ControllerEndpoint {
        id: voter.id,
        host: voter.host.clone(),
        port: voter.port,
    };
    config.voters.iter().map(voter).collect()
}

fn registration(start: &Start<'_>, incarnation: IncarnationId) -> BrokerRegistration {
    let config = start.config;
    BrokerRegistration {
        id: config.node_id,
        incarnation,
        epoch: BrokerEpoch(-1),
        endpoints: config
            .listeners
            .endpoints(|name| start.by_name.get(name).copied()),
        rack: config.rack.clone(),
        fenced: true,
        in_controlled_shutdown: false,
        log_dirs: start.log_dirs.iter().map(|dir| dir.id).collect(),
        cordoned_log_dirs: Vec::new(),
        features: features::supported(),
    }
}

fn endpoint_text(endpoint: &Endpoint) -> String {
    let address = ListenerAddress {
        name: endpoint.listener.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
    };
    address.to_string()
}

/// Reports failed log directories to the controller.
async fn report_failed_dirs(partitions: &Partitions, session: &ControllerSession) {
    let mut failed = partitions.failed_dirs();
    loop {
        let now: Vec<DirectoryId> = failed.borrow_and_update().iter().copied().collect();
        if !now.is_empty() {
            session.report_offline_log_dirs(now);
        }
        if failed.changed().await.is_err() {
            return;
        }
    }
}

/// Reports the log directories that get no new replicas to the controller.
async fn report_cordoned_dirs(partitions: &Partitions, session: &ControllerSession) {
    let mut cordoned = partitions.cordoned_dirs();
    loop {
        let now = cordoned.borrow_and_update().clone();
        if let Some(now) = now {
            session.report_cordoned_log_dirs(now.into_iter().collect());
        }
        if cordoned.changed().await.is_err() {
            return;
        }
    }
}

/// Warns about problems of the broker's advertised listeners.
pub(super) struct Warnings {
    node: NodeId,
}

impl Warnings {
    /// Logs the problems that the configuration alone shows.
    pub(super) fn new(
        config: &NodeConfig,
        hostname: &str,
        by_name: &BTreeMap<String, u16>,
    ) -> Self {
        let around = ListenerContext {
            hostname,
            in_container: in_container(),
            has_peers: config
                .voters
                .iter()
                .any(|voter| voter.id != Some(config.node_id) && !is_loopback(&voter.host)),
            bound: by_name,
        };
        for doubt in advertised_listener_warnings(&config.listeners, &around) {
            tracing::warn!(node = %config.node_id, "advertised.listeners: {doubt}");
        }
        Self {
            node: config.node_id,
        }
    }

    /// Watches for other brokers with the same address, and warns of each once.
    pub(super) fn watch(self, broker: &mut Broker) {
        let mut images = broker.cache.subscribe();
        let node = self.node;
        broker.tasks.push(tokio::spawn(async move {
            let mut told = BTreeSet::new();
            let mut brokers = None;
            loop {
                let image = Arc::clone(&images.borrow_and_update());
                if brokers.as_ref() != Some(&image.brokers) {
                    for (other, text) in shared_addresses(&image, node) {
                        if told.insert(other) {
                            tracing::warn!(%node, "{text}");
                        }
                    }
                    brokers = Some(image.brokers.clone());
                }
                if images.changed().await.is_err() {
                    return;
                }
            }
        }));
    }
}

fn in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"]
        .iter()
        .any(|path| std::path::Path::new(path).exists())
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_bound_to_all_addresses_is_reached_without_ipv6() {
        let reached = |bound: &str| reachable(bound.parse().unwrap()).to_string();
        assert_eq!(reached("[::]:9093"), "127.0.0.1:9093");
        assert_eq!(reached("0.0.0.0:9093"), "127.0.0.1:9093");
        assert_eq!(reached("10.0.0.7:9093"), "10.0.0.7:9093");
        assert_eq!(reached("[fd00::7]:9093"), "[fd00::7]:9093");
    }
}
