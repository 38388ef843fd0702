//! Opens connections to other nodes and servers, with TLS or without.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::client::{ClientStream, ClientTls};
use crate::handshake::HandshakeFailure;

/// How long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How connections are opened. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Connector {
    tls: Option<Arc<ClientTls>>,
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
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Unreachable(error) => error,
            handshake @ ConnectError::Handshake(_) => Self::other(handshake),
        }
    }
}

/// Connectors are equal when they share their TLS.
impl PartialEq for Connector {
    fn eq(&self, other: &Self) -> bool {
        match (&self.tls, &other.tls) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        }
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
        Self { tls: Some(tls) }
    }

    /// Returns whether connections have no TLS.
    #[must_use]
    pub fn is_plaintext(&self) -> bool {
        self.tls.is_none()
    }

    /// Connects to a server, without Nagle's algorithm.
    ///
    /// # Errors
    /// When the server cannot be reached, or the handshake fails.
    pub async fn connect(&self, host: &str, port: u16) -> Result<NodeStream, ConnectError> {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(NodeStream::Plaintext(stream));
        };
        let handshake = tokio::time::timeout(HANDSHAKE_MAX, tls.connect(host, stream)).await;
        let stream = handshake.map_err(|_| {
            HandshakeFailure::new(format!(
                "the server did not complete the handshake within {HANDSHAKE_MAX:?}: its port may \
                 belong to a listener without TLS (security.protocol)"
            ))
        })??;
        Ok(NodeStream::Tls(Box::new(stream)))
    }
}

/// A connection that a [`Connector`] opened.
#[derive(Debug)]
pub enum NodeStream {
    /// Without TLS.
    Plaintext(TcpStream),
    /// With TLS.
    Tls(Box<ClientStream<TcpStream>>),
}

macro_rules! each {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            NodeStream::Plaintext($inner) => $call,
            NodeStream::Tls($inner) => $call,
        }
    };
}

impl AsyncRead for NodeStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl AsyncWrite for NodeStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, inner => inner.is_write_vectored())
    }
}
