//! The TLS of a listener.

use std::fmt;
use std::sync::Arc;

use dohle_auth::{Principal, SslPrincipalMapper};
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use crate::error::TlsError;
use crate::handshake::{HandshakeFailure, Side};
use crate::material::{self, CertificateFacts, Stamp};
use crate::settings::{ClientAuth, TlsSettings};
use crate::subject::distinguished_name;
use crate::suites;

/// The ALPN protocol of gRPC. Kafka's clients name none.
pub(crate) const HTTP2: &[u8] = b"h2";

/// A connection of a listener after its handshake.
pub type ServerStream<S> = tokio_rustls::server::TlsStream<S>;

/// A handshake that succeeded.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The connection.
    pub stream: ServerStream<S>,
    /// Whom the client's certificate identifies; `None` when the client has none.
    pub principal: Option<Principal>,
    /// Whether the client chose HTTP/2 (ALPN), which other nodes do.
    pub is_http2: bool,
}

/// The TLS of one listener. Its configuration can be replaced while connections are served.
pub struct ServerTls {
    listener: Arc<str>,
    current: RwLock<Arc<Current>>,
}

struct Current {
    settings: TlsSettings,
    config: Arc<ServerConfig>,
    mapper: SslPrincipalMapper,
    facts: CertificateFacts,
    stamps: Vec<Stamp>,
    warning: Option<String>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current();
        f.debug_struct("ServerTls")
            .field("listener", &self.listener)
            .field("facts", &current.facts)
            .finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Loads the key material of a listener. Reads files.
    ///
    /// # Errors
    /// What is missing or cannot be used.
    pub fn new(listener: &str, settings: TlsSettings) -> Result<Arc<Self>, TlsError> {
        let current = Current::load(listener, settings)?;
        Ok(Arc::new(Self {
            listener: listener.into(),
            current: RwLock::new(Arc::new(current)),
        }))
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read())
    }

    /// Returns the name of the listener.
    #[must_use]
    pub fn listener(&self) -> &Arc<str> {
        &self.listener
    }

    /// Returns the certificate that clients see.
    #[must_use]
    pub fn facts(&self) -> CertificateFacts {
        self.current().facts.clone()
    }

    /// Returns a problem of the key material that does not prevent its use.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        self.current().warning.clone()
    }

    /// Returns whether clients are asked for a certificate.
    #[must_use]
    pub fn client_auth(&self) -> ClientAuth {
        self.current().settings.client_auth
    }

    /// Carries out the handshake of a connection. The caller limits its time.
    ///
    /// # Errors
    /// Why the handshake failed.
    pub async fn accept<S>(&self, stream: S) -> Result<Accepted<S>, HandshakeFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let current = self.current();
        let acceptor = TlsAcceptor::from(Arc::clone(&current.config));
        let stream = acceptor.accept(stream).await;
        let stream = stream.map_err(|error| HandshakeFailure::of(&error, Side::Server))?;
        let (_, connection) = stream.get_ref();
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        let principal = match certificate {
            None => None,
            Some(certificate) => {
                let name = distinguished_name(certificate);
                let name = name
                    .ok_or_else(|| HandshakeFailure::new("the client's certificate is damaged"))?;
                let principal = current.mapper.principal(&name);
                Some(principal.ok_or_else(|| {
                    HandshakeFailure::new(format!(
                        "no rule of ssl.principal.mapping.rules matches the client's certificate \
                         {name}"
                    ))
                })?)
            }
        };
        Ok(Accepted {
            is_http2: connection.alpn_protocol() == Some(HTTP2),
            principal,
            stream,
        })
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
        let next = Current::load(&self.listener, settings.clone())?;
        check_changes(&current.facts, &next)?;
        *self.current.write() = Arc::new(next);
        Ok(true)
    }
}

/// Refuses another subject, and missing alternative names, unless the settings allow that. Clients
/// that verify names would be cut off by a wrong file.
fn check_changes(old: &CertificateFacts, new: &Current) -> Result<(), TlsError> {
    let facts = &new.facts;
    if old.subject != facts.subject && !new.settings.allows_dn_changes {
        return Err(TlsError::Combination(format!(
            "the new certificate has the subject {}, the present one {}; set \
             ssl.allow.dn.changes=true to allow that",
            facts.subject, old.subject
        )));
    }
    let is_missing = |name: &&String| !facts.alternative_names.contains(name);
    let missing = old.alternative_names.iter().find(is_missing);
    match missing {
        Some(name) if !new.settings.allows_san_changes => Err(TlsError::Combination(format!(
            "the new certificate lacks the alternative name {name} of the present one; set \
             ssl.allow.san.changes=true to allow that"
        ))),
        _ => Ok(()),
    }
}

impl Current {
    fn load(listener: &str, settings: TlsSettings) -> Result<Self, TlsError> {
        // Taken first, so that a change during the load is noticed afterwards.
        let stamps = material::stamps(&settings);
        let mapper = SslPrincipalMapper::parse(&settings.principal_mapping_rules);
        let mapper = mapper.map_err(|error| TlsError::Invalid {
            property: "ssl.principal.mapping.rules".to_owned(),
            value: settings.principal_mapping_rules.clone(),
            allowed: format!("a list of rules: {error}"),
        })?;
        let Some(keystore) = &settings.keystore else {
            return Err(TlsError::Combination(format!(
                "the listener {listener} uses TLS and has no certificate: set \
                 ssl.keystore.location to a file with its certificates and private key, and \
                 ssl.keystore.type to PEM, PKCS12 or JKS"
            )));
        };
        let provider = suites::provider(&settings.cipher_suites);
        let key = material::load_key(keystore, &provider)?;
        let versions: Vec<_> = settings
            .protocols
            .iter()
            .filter_map(|name| suites::version(name))
            .collect();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&versions).map_err(|error| {
            TlsError::Combination(format!(
                "ssl.enabled.protocols and ssl.cipher.suites have nothing in common: {error}"
            ))
        })?;
        let verifier = match (settings.client_auth, &settings.truststore) {
            (ClientAuth::None, _) => WebPkiClientVerifier::no_client_auth(),
            (_, None) => {
                return Err(TlsError::Combination(format!(
                    "the listener {listener} asks its clients for certificates (ssl.client.auth) \
                     and trusts none: set ssl.truststore.location to a file with the certificates \
                     of the clients' authorities, and ssl.truststore.type to PEM, PKCS12 or JKS"
                )));
            }
            (auth, Some(source)) => material::load_trust(source)?
                .client_verifier(&provider, auth == ClientAuth::Required)
                .map_err(TlsError::Combination)?,
        };
        let mut config = builder
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key.certified)));
        config.alpn_protocols = vec![HTTP2.to_vec()];
        if settings.client_auth != ClientAuth::None {
            // A resumed session would not verify the certificate again.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self {
            settings,
            config: Arc::new(config),
            mapper,
            facts: key.facts,
            stamps,
            warning: key.warning,
        })
    }
}
