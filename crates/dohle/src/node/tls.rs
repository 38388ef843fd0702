//! The TLS of a node: of its listeners, and of its connections to other nodes, on which it also
//! authenticates with SASL. Key material is loaded again when its files or its properties change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use dohle_config::{BrokerValues, Properties};
use dohle_model::NodeId;
use dohle_model::image::MetadataImage;
use dohle_rpc::sasl::SaslClient;
use dohle_tls::{ClientPurpose, ClientTls, Connector, ServerTls, TlsError, TlsSettings};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::config::{JwksEndpoint, NodeConfig};

/// How often the files of key material are examined.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5);
/// How often a certificate that expires soon is reported.
const EXPIRY_INTERVAL: Duration = Duration::from_hours(24);

/// The TLS of a node's listeners and of its connections, by listener.
pub(super) struct NodeTls {
    node: NodeId,
    servers: BTreeMap<String, Arc<ServerTls>>,
    clients: BTreeMap<String, Arc<ClientTls>>,
    /// The connections on which the keys of tokens are fetched, with their settings.
    jwks: BTreeMap<String, (Arc<ClientTls>, TlsSettings)>,
    sasl: BTreeMap<String, Arc<SaslClient>>,
}

impl NodeTls {
    /// Loads the key material of all listeners with TLS. Reads files.
    ///
    /// # Errors
    /// Names the listener, and what is missing or cannot be used.
    pub(super) fn load(config: &NodeConfig) -> anyhow::Result<Arc<Self>> {
        let listeners = &config.listeners;
        let mut servers = BTreeMap::new();
        let mut clients = BTreeMap::new();
        for (name, settings) in &config.tls {
            let context = || format!("listener {name}");
            let mut served = listeners.broker.iter().chain(&listeners.controller);
            if served.any(|address| address.name == *name) {
                let server = ServerTls::new(name, settings.clone()).with_context(context)?;
                if let Some(warning) = server.warning() {
                    tracing::warn!(node = %config.node_id, listener = name, "{warning}");
                }
                servers.insert(name.clone(), server);
            }
            if *name == listeners.inter_broker || *name == listeners.controller_name {
                let client = ClientTls::new(ClientPurpose::Node, settings.clone());
                clients.insert(name.clone(), client.with_context(context)?);
            }
        }
        let mut jwks = BTreeMap::new();
        for endpoint in &config.jwks {
            let Some(tls) = &endpoint.tls else { continue };
            let context = || {
                format!(
                    "TLS of {} with the options of {}",
                    endpoint.url, tls.property
                )
            };
            let client = ClientTls::new(ClientPurpose::Tool, tls.settings.clone());
            let client = client.with_context(context)?;
            jwks.insert(endpoint.listener.clone(), (client, tls.settings.clone()));
        }
        Ok(Arc::new(Self {
            node: config.node_id,
            servers,
            clients,
            jwks,
            sasl: config.sasl_clients.clone(),
        }))
    }

    /// Returns the TLS of a listener; `None` for a listener without TLS.
    pub(super) fn server(&self, listener: &str) -> Option<Arc<ServerTls>> {
        self.servers.get(listener).cloned()
    }

    /// Returns how other nodes are reached at a listener.
    pub(super) fn connector(&self, listener: &str) -> Connector {
        let client = self.clients.get(listener);
        let connector =
            client.map_or_else(Connector::plaintext, |it| Connector::tls(Arc::clone(it)));
        match self.sasl.get(listener) {
            Some(sasl) => connector.authenticated(Arc::clone(sasl) as _),
            None => connector,
        }
    }

    /// Returns how the server is reached from which the keys of a listener's tokens are fetched.
    pub(super) fn jwks_connector(&self, endpoint: &JwksEndpoint) -> Connector {
        let client = self.jwks.get(&endpoint.listener);
        client.map_or_else(Connector::plaintext, |(it, _)| {
            Connector::tls(Arc::clone(it))
        })
    }

    /// Begins to examine the files and properties of key material; `None` without TLS. The task
    /// runs until it is aborted.
    pub(super) fn watch(
        self: &Arc<Self>,
        fixed: &Arc<Properties>,
        images: Option<watch::Receiver<Arc<MetadataImage>>>,
    ) -> Option<JoinHandle<()>> {
        if self.servers.is_empty() && self.clients.is_empty() && self.jwks.is_empty() {
            return None;
        }
        let follow = follow(Arc::clone(self), Arc::clone(fixed), images);
        Some(tokio::spawn(follow))
    }

    /// Loads what has changed. Logs what was loaded, and what could not be. `failed` has the last
    /// problem of each listener, which is logged once.
    fn reload(&self, values: &BrokerValues, failed: &mut BTreeMap<String, String>) {
        let node = self.node;
        let names = self.servers.keys().chain(self.clients.keys());
        let names: BTreeSet<&String> = names.chain(self.jwks.keys()).collect();
        for name in names {
            match self.reload_listener(name, values) {
                Ok(false) => {
                    failed.remove(name);
                }
                Ok(true) => {
                    let server = self.servers.get(name);
                    let subject = server.map(|it| it.facts().subject).unwrap_or_default();
                    tracing::info!(%node, listener = name, subject, "loaded new key material");
                    failed.remove(name);
                }
                Err(error) => {
                    let error = error.to_string();
                    if failed.get(name) != Some(&error) {
                        tracing::warn!(
                            %node, listener = name,
                            "new key material cannot be used, and the present one stays in use: \
                             {error}"
                        );
                        failed.insert(name.clone(), error);
                    }
                }
            }
        }
    }

    fn reload_listener(&self, name: &str, values: &BrokerValues) -> Result<bool, TlsError> {
        let settings = TlsSettings::read(&values.listener(name))?;
        let mut is_new = false;
        if let Some(server) = self.servers.get(name) {
            is_new |= server.reload(&settings)?;
        }
        if let Some(client) = self.clients.get(name) {
            is_new |= client.reload(&settings)?;
        }
        if let Some((client, settings)) = self.jwks.get(name) {
            is_new |= client.reload(settings)?;
        }
        Ok(is_new)
    }

    fn report_expiry(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        for (name, server) in &self.servers {
            if let Some(warning) = server.facts().expiry_warning(now) {
                tracing::warn!(node = %self.node, listener = name, "{warning}");
            }
        }
    }
}

async fn follow(
    tls: Arc<NodeTls>,
    fixed: Arc<Properties>,
    mut images: Option<watch::Receiver<Arc<MetadataImage>>>,
) {
    let mut timer = interval_at(Instant::now() + RELOAD_INTERVAL, RELOAD_INTERVAL);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut values = BrokerValues::fixed(Arc::clone(&fixed));
    let mut failed = BTreeMap::new();
    let mut expiry = Instant::now();
    loop {
        if Instant::now() >= expiry {
            tls.report_expiry();
            expiry += EXPIRY_INTERVAL;
        }
        let now = images.as_mut().map(|images| {
            let image = Arc::clone(&images.borrow_and_update());
            BrokerValues::new(Arc::clone(&fixed), &image, tls.node)
        });
        values = now.unwrap_or(values);
        // Files are read on a thread that may block.
        let (reloading, current) = (Arc::clone(&tls), values.clone());
        let reloaded = tokio::task::spawn_blocking(move || {
            reloading.reload(&current, &mut failed);
            failed
        });
        let Ok(known) = reloaded.await else { return };
        failed = known;
        wait_for_change(&mut timer, &mut images, &fixed, &values, tls.node).await;
    }
}

/// Waits until the files are to be examined again, or the node's properties differ from `values`.
async fn wait_for_change(
    timer: &mut tokio::time::Interval,
    images: &mut Option<watch::Receiver<Arc<MetadataImage>>>,
    fixed: &Arc<Properties>,
    values: &BrokerValues,
    node: NodeId,
) {
    let differs =
        |image: &Arc<MetadataImage>| BrokerValues::new(Arc::clone(fixed), image, node) != *values;
    let changed = async {
        let found = match images {
            Some(images) => images.wait_for(differs).await.is_ok(),
            None => false,
        };
        // Without the broker, whose end closes the channel, only the files can change.
        if !found {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        _ = timer.tick() => {}
        () = changed => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dohle_tls::authority::{Authority, CertificateRequest};
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::Sources;

    fn settings(key_store: &Path) -> TlsSettings {
        let location = key_store.display().to_string();
        let properties = [
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", &location),
        ];
        let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let values = BrokerValues::fixed(Arc::new(properties.into_iter().collect()));
        TlsSettings::read(&values.listener("IDP")).unwrap()
    }

    /// Returns the properties of a node that fetches the keys of tokens at this port.
    fn config(trust_store: &Path, port: u16) -> NodeConfig {
        let url = format!("https://localhost:{port}/jwks");
        let jaas = format!(
            "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
             ssl.truststore.type=PEM ssl.truststore.location=\"{}\";",
            trust_store.display()
        );
        let mut sources = Sources {
            has_file: true,
            ..Sources::default()
        };
        for (name, value) in [
            ("process.roles", "broker"),
            ("node.id", "1"),
            ("controller.quorum.voters", "2@localhost:9093"),
            ("controller.listener.names", "CONTROLLER"),
            (
                "listeners",
                "NODES://localhost:9092,CLIENTS://localhost:9094",
            ),
            ("inter.broker.listener.name", "NODES"),
            (
                "listener.security.protocol.map",
                "NODES:PLAINTEXT,CLIENTS:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
            ),
            ("sasl.enabled.mechanisms", "OAUTHBEARER"),
            ("sasl.oauthbearer.jwks.endpoint.url", url.as_str()),
            ("sasl.oauthbearer.expected.audience", "dohle"),
            (
                "listener.name.clients.oauthbearer.sasl.jaas.config",
                jaas.as_str(),
            ),
        ] {
            sources.add_override(&format!("{name}={value}")).unwrap();
        }
        NodeConfig::new(sources, "host1").unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keys_of_tokens_are_fetched_with_the_trust_store_that_is_there_now() {
        let scratch = tempfile::tempdir().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_secs()).unwrap();
        let request = |name| CertificateRequest::new(name, now - 60, now + 3600);
        let [old, new] = ["old", "new"].map(|name| Authority::new(&request(name)).unwrap());
        let server = new.issue(&request("idp").for_server(&["localhost".to_owned()]));
        let key_store = scratch.path().join("idp.pem");
        std::fs::write(&key_store, server.unwrap().pem()).unwrap();
        let server = ServerTls::new("IDP", settings(&key_store)).unwrap();
        let socket = TcpListener::bind(("localhost", 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                // The client reports why a handshake fails.
                drop(server.accept(stream).await);
            }
        });
        let trust_store = scratch.path().join("ca.pem");
        std::fs::write(&trust_store, old.identity.certificate_pem()).unwrap();
        let config = config(&trust_store, port);
        let tls = NodeTls::load(&config).unwrap();
        let connector = tls.jwks_connector(&config.jwks[0]);
        let refused = connector.connect("localhost", port).await.unwrap_err();
        assert!(refused.to_string().starts_with("TLS: "), "{refused}");

        std::fs::write(&trust_store, new.identity.certificate_pem()).unwrap();
        let mut failed = BTreeMap::new();
        tls.reload(&config.values, &mut failed);
        assert_eq!(failed, BTreeMap::new());
        connector.connect("localhost", port).await.unwrap();
        serving.abort();
    }
}
