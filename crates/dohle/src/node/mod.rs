//! A node: connects its roles, starts them and stops them.
//!
//! ```text
//! start:    directories → ports → controller → session and feed → first image → clients → unfenced
//! shutdown: leaderships away → clients → logs closed, marked clean → quorum's leadership → ports
//! ```
//!
//! Invariant: ports are bound before the broker registers, so advertised addresses accept
//! connections; clients are served only once the replicas follow the metadata.

mod authorized_replicas;
mod broker;
mod connections;
#[cfg(feature = "web")]
mod console;
mod controller;
#[cfg(feature = "web")]
mod debug;
mod fatal_error;
mod first_users;
#[cfg(feature = "web")]
mod group_metrics;
#[cfg(feature = "web")]
mod http;
#[cfg(not(feature = "web"))]
#[path = "no_http.rs"]
mod http;
mod network;
mod tls;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use dohle_config::BrokerKey;
use dohle_config::keys::broker as keys;
use dohle_model::NodeId;
use dohle_model::image::MetadataImage;
use dohle_network::listener::{Bound, Limits, ListenerConfig, NetworkContext, NetworkThreads};
use dohle_telemetry::loggers::Loggers;
use dohle_tls::readable_by_others;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{ListenerAddress, NodeConfig, SecretFile};
use crate::directories::{Directories, fresh_id};
use crate::jwks;
use broker::{Broker, quota_windows};
use connections::ConnectionLimits;
use controller::ControllerRole;
pub use fatal_error::FatalError;
use network::NetworkProperties;
use tls::NodeTls;

/// How long connections may take to complete their responses when a node stops.
const CONNECTION_GRACE: Duration = Duration::from_secs(1);

/// A running node. [`Node::shutdown`] stops it cleanly; dropping it is like a crash.
pub struct Node {
    id: NodeId,
    cluster_id: String,
    broker: Option<Broker>,
    controller: Option<ControllerRole>,
    shared: Arc<NetworkContext>,
    /// Serves metrics and health.
    http: Option<http::Server>,
    /// Watches the key material.
    tls_task: Option<AbortOnDropHandle<()>>,
    /// Fetch the keys of tokens. They begin before a role starts: a broker may need them to be let
    /// in by this node's own controller.
    jwks_tasks: Vec<AbortOnDropHandle<()>>,
    /// Holds the lock of the metadata directory when that is not a log directory.
    _metadata: Option<dohle_log::directory::LogDirectory>,
}

/// Ports that are bound but not served yet.
struct Ports {
    broker: Vec<Bound>,
    controller: Option<Bound>,
    by_name: BTreeMap<String, u16>,
}

impl Node {
    /// Starts a node. Returns when the node serves requests and, unless it is only a controller,
    /// its Metadata responses list it. Clients of the node may change the levels of `loggers`. Must
    /// be called inside a multi-threaded tokio runtime.
    ///
    /// # Errors
    /// The reason why the node cannot start.
    pub async fn start(
        config: NodeConfig,
        hostname: &str,
        loggers: Arc<dyn Loggers>,
    ) -> anyhow::Result<Self> {
        let mut node = Self::prepare(&config).await?;
        let result = node.run(config, hostname, loggers).await;
        match result {
            Ok(()) => Ok(node.node),
            Err(error) => {
                node.node.shutdown().await;
                Err(error)
            }
        }
    }

    async fn prepare(config: &NodeConfig) -> anyhow::Result<Prepared> {
        let http = http::prepare(config).await?;
        let tls = tokio::task::block_in_place(|| {
            for warning in readable_secrets(config) {
                tracing::warn!(node = %config.node_id, "{warning}");
            }
            NodeTls::load(config)
        })?;
        let directories = tokio::task::block_in_place(|| Directories::open(config, fresh_id))?;
        for path in &directories.formatted {
            tracing::info!(
                node = %config.node_id, cluster_id = directories.cluster_id,
                "formatted {}", path.display()
            );
        }
        if directories.formatted.contains(&config.metadata_log_dir) {
            tokio::task::block_in_place(|| first_users::write(config))?;
        }
        let limits = limits(config);
        if let Some(contradiction) = NetworkProperties::new(config).contradiction() {
            tracing::warn!(node = %config.node_id, "{contradiction}");
        }
        let count = config.values.read(&keys::NUM_NETWORK_THREADS);
        let threads = NetworkThreads::start(&format!("node-{}", config.node_id), count)
            .context("start the network threads")?;
        let ports = bind(config, &limits).await?;
        let node = Self {
            id: config.node_id,
            cluster_id: directories.cluster_id.clone(),
            broker: None,
            controller: None,
            http: None,
            shared: NetworkContext::new(limits, threads),
            tls_task: None,
            jwks_tasks: Vec::new(),
            _metadata: None,
        };
        Ok(Prepared {
            node,
            directories: Some(directories),
            ports: Some(ports),
            http,
            tls,
        })
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The cluster's id.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// Returns the advertised addresses of the node's listeners: `NAME://host:port`.
    #[must_use]
    pub fn advertised(&self) -> Vec<String> {
        self.broker
            .as_ref()
            .map(Broker::advertised)
            .unwrap_or_default()
    }

    /// Waits until this node's Metadata responses list all of `brokers`; returns at once on a node
    /// that is only a controller.
    ///
    /// # Errors
    /// An error that occurred before and requires the node to stop.
    pub async fn wait_until_advertised(&self, brokers: &[NodeId]) -> Result<(), FatalError> {
        let Some(broker) = &self.broker else {
            return Ok(());
        };
        tokio::select! {
            () = broker.wait_until_advertised(brokers) => Ok(()),
            fault = self.failed() => Err(fault),
        }
    }

    /// Waits until an error requires the node to stop.
    pub async fn failed(&self) -> FatalError {
        tokio::select! {
            fault = fatal_error::of_broker(self.broker.as_ref()) => fault,
            fault = fatal_error::of_controller(self.controller.as_ref()) => fault,
        }
    }

    /// Stops the broker's role: leaderships move away first, then clients are disconnected, and
    /// logs are closed and marked clean.
    pub async fn shutdown_broker(&mut self) {
        if let Some(controller) = &self.controller {
            controller.prepare_shutdown();
        }
        if let Some(http) = self.http.take() {
            http.shutdown().await;
        }
        if let Some(broker) = self.broker.take() {
            broker.shutdown().await;
        }
    }

    /// Stops the node cleanly.
    pub async fn shutdown(mut self) {
        self.shutdown_broker().await;
        if let Some(controller) = self.controller.take() {
            controller.shutdown().await;
        }
        let shared = self.shared;
        // Dropping the shared state joins the network threads.
        let dropped = tokio::task::spawn_blocking(move || drop(shared)).await;
        if dropped.is_err() {
            tracing::error!(node = %self.id, "network threads did not end");
        }
    }
}

/// A node that is being started.
struct Prepared {
    node: Node,
    directories: Option<Directories>,
    ports: Option<Ports>,
    http: Option<http::Prepared>,
    tls: Arc<NodeTls>,
}

impl Prepared {
    async fn run(
        &mut self,
        config: NodeConfig,
        hostname: &str,
        loggers: Arc<dyn Loggers>,
    ) -> anyhow::Result<()> {
        let (Some(directories), Some(ports)) = (self.directories.take(), self.ports.take()) else {
            anyhow::bail!("a node is started once");
        };
        let fetching = jwks::start(&config, |endpoint| self.tls.jwks_connector(endpoint));
        let fetching = fetching.into_iter().map(AbortOnDropHandle::new);
        self.node.jwks_tasks = fetching.collect();
        let shared = &self.node.shared;
        self.node._metadata = directories.metadata;
        let own_controller = ports.controller.as_ref().map(Bound::address);
        if let Some(port) = ports.controller {
            let id = directories.metadata_id;
            let started = ControllerRole::start(
                &config,
                &directories.cluster_id,
                id,
                port,
                shared,
                &self.tls,
            )
            .await;
            self.node.controller = Some(started.context("start the controller")?);
        }
        if config.roles.broker {
            let warnings = broker::Warnings::new(&config, hostname, &ports.by_name);
            let start = broker::Start {
                config: &config,
                cluster_id: &directories.cluster_id,
                log_dirs: directories.log_dirs,
                offline_dirs: directories.offline,
                ports: ports.broker,
                by_name: &ports.by_name,
                own_controller,
                shared,
                tls: &self.tls,
                loggers,
            };
            let broker = Broker::start(start).await?;
            let broker = self.node.broker.insert(broker);
            warnings.watch(broker);
            let watching = self.tls.watch(config.properties(), Some(broker.images()));
            self.node.tls_task = watching.map(AbortOnDropHandle::new);
        } else {
            let watching = self.tls.watch(config.properties(), None);
            self.node.tls_task = watching.map(AbortOnDropHandle::new);
        }
        if let Some(http) = self.http.take() {
            self.node.http = Some(http.serve(&config, &mut self.node));
        }
        if let Some(broker) = &self.node.broker {
            let controller = self.node.controller.as_ref();
            // Wait until the broker is unfenced, or an error stops the node first.
            tokio::select! {
                unfenced = broker.unfenced() => {
                    unfenced?;
                }
                fault = fatal_error::of_controller(controller) => return Err(fault.into()),
                fault = fatal_error::of_broker(Some(broker)) => return Err(fault.into()),
            }
        }
        Ok(())
    }
}

/// Returns a sentence for each file with secrets that everybody on the machine can read.
fn readable_secrets(config: &NodeConfig) -> Vec<String> {
    let files = config.secret_files.iter();
    let sentence = |file: &SecretFile| readable_by_others(&file.setting, file.content, &file.path);
    files.filter_map(sentence).collect()
}

fn limits(config: &NodeConfig) -> Limits {
    let (values, broker) = (&config.values, &config.broker);
    let defaults = Limits::default();
    // -1 leaves the buffer size to the system. So does an unset property, because Kafka's default
    // would limit the throughput.
    let buffer = |key: &BrokerKey<Option<u32>>| values.read(key).filter(|_| values.is_set(key));
    Limits {
        open_files_max: dohle_log::descriptors::limit(),
        connections: ConnectionLimits::new(config).resolve(&MetadataImage::default()),
        quota_windows: quota_windows(config),
        idle_max: broker
            .connections_max_idle
            .unwrap_or(Duration::from_secs(u64::from(u32::MAX))),
        frame_max: values.read(&keys::REQUEST_TIMEOUT_MS),
        request_bytes_max: NetworkProperties::new(config)
            .request_bytes_max(&MetadataImage::default()),
        requests_bytes_max: values
            .read(&keys::QUEUED_MAX_REQUEST_BYTES)
            .unwrap_or(defaults.requests_bytes_max),
        send_buffer_bytes: buffer(&keys::SOCKET_SEND_BUFFER_BYTES),
        receive_buffer_bytes: buffer(&keys::SOCKET_RECEIVE_BUFFER_BYTES),
        backlog: if values.is_set(&keys::SOCKET_LISTEN_BACKLOG_SIZE) {
            broker.socket_listen_backlog_size
        } else {
            defaults.backlog
        },
        shutdown_grace: CONNECTION_GRACE,
        handshake_max: defaults.handshake_max,
    }
}

async fn bind(config: &NodeConfig, limits: &Limits) -> anyhow::Result<Ports> {
    let mut by_name = BTreeMap::new();
    let mut broker = Vec::new();
    for address in &config.listeners.broker {
        let bound = Bound::bind(listener(config, address), limits).await?;
        by_name.insert(address.name.clone(), bound.address().port());
        broker.push(bound);
    }
    let controller = match &config.listeners.controller {
        Some(address) => Some(Bound::bind(listener(config, address), limits).await?),
        None => None,
    };
    Ok(Ports {
        broker,
        controller,
        by_name,
    })
}

fn listener(config: &NodeConfig, address: &ListenerAddress) -> ListenerConfig {
    ListenerConfig {
        name: address.name.clone(),
        host: address.host.clone(),
        port: address.port,
        security_protocol: config.listeners.protocol(&address.name),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::Sources;

    #[test]
    fn a_file_with_secrets_that_everybody_can_read_is_reported() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("server.properties");
        let name = path.display().to_string();
        let base = "process.roles=broker,controller\nnode.id=1\n\
                    controller.quorum.voters=1@localhost:9093\n\
                    controller.listener.names=CONTROLLER\n\
                    listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
                    log.dirs=/data\n";
        let secret = "delegation.token.secret.key=swordfish\n";
        for (text, mode, is_reported) in [
            (secret, 0o644, true),
            (secret, 0o604, true),
            (secret, 0o640, false),
            (secret, 0o600, false),
            ("", 0o644, false),
        ] {
            fs::write(&path, format!("{base}{text}")).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let mut sources = Sources::default();
            sources.add_file(&name, &fs::read(&path).unwrap()).unwrap();
            let config = NodeConfig::new(sources, "host1").unwrap();
            let expected = format!(
                "delegation.token.secret.key: everybody on this machine can read the secrets in \
                 {name}; run: chmod o-r {name}"
            );
            let expected = is_reported.then_some(expected);
            assert_eq!(
                readable_secrets(&config),
                Vec::from_iter(expected),
                "{text:?} {mode:o}"
            );
        }
    }
}
