//! Opens connections to other nodes and servers, with TLS or without, and lets this node
//! authenticate on them.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_util::either::Either;

use crate::client::{ClientStream, ClientTls};
use crate::handshake::HandshakeFailure;

/// How long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long an authentication may take. A server delays its refusal.
const AUTHENTICATION_MAX: Duration = Duration::from_secs(10);

/// How connections are opened. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Connector {
    tls: Option<Arc<ClientTls>>,
    authentication: Option<Arc<dyn Authentication>>,
    /// A host and port whose address is known without asking DNS.
    known: Option<(Arc<str>, u16, SocketAddr)>,
}

/// Authenticates this node at the beginning of a connection, before anything else is sent.
pub trait Authentication: fmt::Debug + Send + Sync {
    /// Carries out the exchange. Completes with the reason when it failed. `peer` is the server's
    /// host and port, for messages.
    fn authenticate<'a>(
        &'a self,
        stream: &'a mut NodeStream,
        peer: (&'a str, u16),
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address could not be reached.
    #[error(transparent)]
    Unreachable(#[from] io::Error),
    /// The TLS handshake failed.
    #[error("TLS: {0}")]
    Handshake(#[from] HandshakeFailure),
    /// The server does not let this node in.
    #[error("{0}")]
    Authentication(String),
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Unreachable(error) => error,
            refused @ (ConnectError::Handshake(_) | ConnectError::Authentication(_)) => {
                Self::other(refused)
            }
        }
    }
}

/// Connectors are equal when they share their TLS and their authentication.
impl PartialEq for Connector {
    fn eq(&self, other: &Self) -> bool {
        fn is_same<T: ?Sized>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
            match (a, b) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (a, b) => a.is_none() && b.is_none(),
            }
        }
        is_same(self.tls.as_ref(), other.tls.as_ref())
            && is_same(self.authentication.as_ref(), other.authentication.as_ref())
            && self.known == other.known
    }
}

impl Eq for Connector {}

impl Connector {
    /// Opens connections without TLS.
    #[must_use]
    pub fn plaintext() -> Self {
        Self::default()
    }

    /// Opens connections with TLS.
    #[must_use]
    pub fn tls(tls: Arc<ClientTls>) -> Self {
        Self {
            tls: Some(tls),
            ..Self::default()
        }
    }

    /// Lets this node authenticate on each connection.
    #[must_use]
    pub fn authenticated(mut self, authentication: Arc<dyn Authentication>) -> Self {
        self.authentication = Some(authentication);
        self
    }

    /// Connects to this address where `host` and `port` are asked for, without asking DNS. The
    /// host remains the name that the server's certificate is checked for.
    #[must_use]
    pub fn knowing(mut self, host: &str, port: u16, address: SocketAddr) -> Self {
        self.known = Some((host.into(), port, address));
        self
    }

    /// Returns whether connections have neither TLS nor an authentication, and all names are
    /// resolved by DNS.
    #[must_use]
    pub fn is_plaintext(&self) -> bool {
        self.tls.is_none() && self.authentication.is_none() && self.known.is_none()
    }

    /// Connects to a server, without Nagle's algorithm, and authenticates this node.
    ///
    /// # Errors
    /// When the server cannot be reached, the handshake fails, or the server does not let this node
    /// in.
    pub async fn connect(&self, host: &str, port: u16) -> Result<NodeStream, ConnectError> {
        let mut stream = self.open(host, port).await?;
        if let Some(authentication) = &self.authentication {
            let exchange = authentication.authenticate(&mut stream, (host, port));
            let exchanged = tokio::time::timeout(AUTHENTICATION_MAX, exchange).await;
            let late = |_| {
                Err(format!(
                    "SASL: {host}:{port} did not complete the authentication within \
                     {AUTHENTICATION_MAX:?}: its port may belong to a listener without SASL"
                ))
            };
            let exchanged = exchanged.unwrap_or_else(late);
            exchanged.map_err(ConnectError::Authentication)?;
        }
        Ok(stream)
    }

    async fn open(&self, host: &str, port: u16) -> Result<NodeStream, ConnectError> {
        let known = self.known.as_ref();
        let known = known.filter(|(name, of, _)| **name == *host && *of == port);
        let stream = match known {
            Some((_, _, address)) => TcpStream::connect(address).await?,
            None => TcpStream::connect((host, port)).await?,
        };
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Either::Left(stream));
        };
        let handshake = tokio::time::timeout(HANDSHAKE_MAX, tls.connect(host, stream)).await;
        let stream = handshake.map_err(|_| {
            HandshakeFailure::new(format!(
                "the server did not complete the handshake within {HANDSHAKE_MAX:?}: its port may \
                 belong to a listener without TLS (security.protocol)"
            ))
        })??;
        Ok(Either::Right(Box::new(stream)))
    }
}

/// A connection that a [`Connector`] opened: without TLS, or with it.
pub type NodeStream = Either<TcpStream, Box<ClientStream<TcpStream>>>;

/// Returns the socket of a connection.
#[must_use]
pub fn socket(stream: &NodeStream) -> &TcpStream {
    match stream {
        Either::Left(stream) => stream,
        Either::Right(stream) => stream.get_ref().0,
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_host_whose_address_is_known_is_not_looked_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connector = Connector::plaintext().knowing("node.invalid", 9093, address);
        assert!(!connector.is_plaintext());
        let (accepted, connected) =
            tokio::join!(listener.accept(), connector.connect("node.invalid", 9093));
        let Either::Left(stream) = connected.unwrap() else {
            panic!("a connection without TLS has TLS");
        };
        assert_eq!(stream.local_addr().unwrap(), accepted.unwrap().1);
    }
}
