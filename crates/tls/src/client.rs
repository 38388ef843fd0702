//! The TLS of connections that a node or a tool begins.

use std::fmt;
use std::net::TcpStream;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::error::TlsError;
use crate::handshake::{HandshakeFailure, Side};
use crate::material::{self, CertificateFacts, Stamp};
use crate::server::HTTP2;
use crate::settings::TlsSettings;
use crate::suites;
use crate::trust::Trust;

/// Who connects, and with which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientPurpose {
    /// A node connects to another one, with HTTP/2.
    Node,
    /// A tool connects with Kafka's protocol.
    Tool,
    /// A node's health check connects to the node itself, at any of its addresses. It trusts the
    /// certificate in the key store alone.
    Own,
}

/// A connection after its handshake.
pub(crate) type ClientStream<S> = tokio_rustls::client::TlsStream<S>;

/// A connection on a socket that blocks, after its handshake.
pub type BlockingStream = StreamOwned<ClientConnection, TcpStream>;

/// The TLS of connections to servers. Without a trust store, the authorities of the operating
/// system are trusted. Its configuration can be replaced; open connections go on.
pub struct ClientTls {
    purpose: ClientPurpose,
    current: RwLock<Arc<Current>>,
}

struct Current {
    settings: TlsSettings,
    config: Arc<ClientConfig>,
    facts: Option<CertificateFacts>,
    stamps: Vec<Stamp>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("purpose", &self.purpose)
            .field("facts", &self.current().facts)
            .finish_non_exhaustive()
    }
}

impl ClientTls {
    /// Loads the key material. Reads files.
    ///
    /// # Errors
    /// What is missing or cannot be used.
    pub fn new(purpose: ClientPurpose, settings: TlsSettings) -> Result<Arc<Self>, TlsError> {
        let current = RwLock::new(Arc::new(Current::load(purpose, settings)?));
        Ok(Arc::new(Self { purpose, current }))
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read())
    }

    /// Carries out the handshake with the server `host`. The caller limits its time.
    ///
    /// # Errors
    /// Why the handshake failed.
    pub async fn connect<S>(
        &self,
        host: &str,
        stream: S,
    ) -> Result<ClientStream<S>, HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = server_name(host)?;
        let connector = TlsConnector::from(Arc::clone(&self.current().config));
        let connected = connector.connect(name, stream).await;
        connected.map_err(|error| HandshakeFailure::of(&error, Side::Client))
    }

    /// Carries out the handshake with the server `host` on a socket that blocks, whose timeouts
    /// limit the time.
    ///
    /// # Errors
    /// Why the handshake failed.
    pub fn connect_blocking(
        &self,
        host: &str,
        mut socket: TcpStream,
    ) -> Result<BlockingStream, HandshakeFailure> {
        let mut connection =
            ClientConnection::new(Arc::clone(&self.current().config), server_name(host)?)
                .map_err(|error| HandshakeFailure::new(error.to_string()))?;
        let done = connection.complete_io(&mut socket);
        done.map_err(|error| HandshakeFailure::of(&error, Side::Client))?;
        Ok(StreamOwned::new(connection, socket))
    }

    /// Loads the key material again if the settings or one of the files differ from those in use.
    /// Returns whether it did. Reads files.
    ///
    /// # Errors
    /// Why the new material cannot be used. The previous one stays in use.
    pub fn reload(&self, settings: &TlsSettings) -> Result<bool, TlsError> {
        let current = self.current();
        if current.settings == *settings && current.stamps == material::stamps(settings) {
            return Ok(false);
        }
        let next = Current::load(self.purpose, settings.clone())?;
        *self.current.write() = Arc::new(next);
        Ok(true)
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, HandshakeFailure> {
    ServerName::try_from(host.to_owned()).map_err(|_| {
        HandshakeFailure::new(format!("{host:?} is neither a host name nor an address"))
    })
}

impl Current {
    fn load(purpose: ClientPurpose, settings: TlsSettings) -> Result<Self, TlsError> {
        let stamps = material::stamps(&settings);
        let provider = suites::provider(&settings.cipher_suites);
        let versions: Vec<_> = settings
            .protocols
            .iter()
            .filter_map(|name| suites::version(name))
            .collect();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&versions).map_err(|error| {
            TlsError::Combination(format!(
                "ssl.enabled.protocols and ssl.cipher.suites have nothing in common: {error}"
            ))
        })?;
        let key = match &settings.keystore {
            Some(source) => Some(material::load_key(source, &provider)?),
            None => None,
        };
        let trust = match (&settings.truststore, purpose) {
            (_, ClientPurpose::Own) => {
                let own = key
                    .iter()
                    .flat_map(|key| key.certified.cert.first().cloned());
                Trust::new(own.collect()).map_err(TlsError::Combination)?
            }
            (Some(source), _) => material::load_trust(source)?,
            (None, ClientPurpose::Tool) => Trust::of_the_system().map_err(TlsError::Combination)?,
            // A node that never connects to another one needs no trust store.
            (None, ClientPurpose::Node) => Trust::of_the_system().unwrap_or_else(|_| Trust::none()),
        };
        let verifies_host_name = settings.verifies_host_name && purpose != ClientPurpose::Own;
        let verifier = trust.server_verifier(&provider, verifies_host_name);
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let (mut config, facts) = match key {
            None => (builder.with_no_client_auth(), None),
            Some(key) => {
                let certificate = SingleCertAndKey::from(key.certified);
                let resolver: Arc<dyn ResolvesClientCert> = Arc::new(certificate);
                (builder.with_client_cert_resolver(resolver), Some(key.facts))
            }
        };
        if purpose == ClientPurpose::Node {
            config.alpn_protocols = vec![HTTP2.to_vec()];
        }
        Ok(Self {
            settings,
            config: Arc::new(config),
            facts,
            stamps,
        })
    }
}
