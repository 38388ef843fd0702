//! One client's connection: reads frames, passes them to a [`ConnectionHandler`], and sends the
//! responses in the order of the requests.
//!
//! ```text
//! socket ──▶ frames ──▶ ConnectionHandler::call ──▶ slots (FIFO) ──▶ chunks ──▶ vectored writes
//! ```
//!
//! Invariant: responses are sent in the order of their requests. Each request is polled once before
//! the next frame is read, so a session begins requests in the order of their arrival. While a
//! request waits, further ones begin only if it is pipelined (produce).
//!
//! Invariant: memory is allocated for bytes that arrived, never for a length that was announced.
//! The queue of slots and the bytes that wait to be written are bounded. When a bound is reached,
//! only the length of the next frame is read.
//!
//! Invariant: a client that exceeded a quota gets its responses at once, and none of its further
//! requests begins before its throttle time is over (KIP-219).
//!
//! Invariant: responses that a client does not read take little memory. Records stay in their files
//! (see [`Source`]). The other parts of responses are counted per connection and for the node, and
//! a connection that holds more than its part begins no further requests.
//!
//! Invariant: a connection on which no byte moves in either direction is closed: after
//! [`FrameTimes`] in the middle of a request, otherwise after `connections.max.idle.ms`. It stays
//! open longer only while this node owes it a response.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dohle_auth::Principal;
use dohle_model::record::SecurityProtocol;
use dohle_protocol::FrameSizes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

mod frames;
mod memory_pool;
mod outbox;
mod responses;
mod run;
mod stages;
#[cfg(test)]
mod tests;
mod window;

pub use frames::FrameTimes;
pub use memory_pool::{MemoryPermit, RequestMemoryPool, Share};
pub use stages::{RequestTag, StageTimes};

/// The client of a connection.
#[derive(Debug, Clone)]
pub struct Client {
    /// The name of the listener that accepted the connection.
    pub listener: Arc<str>,
    /// The security protocol of that listener.
    pub security_protocol: SecurityProtocol,
    /// Whom the client's TLS certificate identifies; `None` without TLS, and when the client has
    /// sent no certificate.
    pub certificate_principal: Option<Principal>,
    /// Whom SASL has authenticated; `None` on a listener without SASL, and while
    /// [`Service::connect`] serves the connection, whose sessions authenticate.
    pub authenticated: Option<Authenticated>,
    /// The address of that listener.
    pub local: SocketAddr,
    /// The address of the client.
    pub peer: SocketAddr,
}

/// Whom SASL has authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// The user.
    pub principal: Principal,
    /// When the session ends (`connections.max.reauth.ms`, or with a token); `None` when it does
    /// not.
    pub expires: Option<Instant>,
}

impl Client {
    /// Returns whom the security protocol of the listener has identified; `None` for an anonymous
    /// client, and on a listener with SASL before the client has authenticated.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        match self.security_protocol {
            SecurityProtocol::Ssl => self.certificate_principal.as_ref(),
            SecurityProtocol::Plaintext => None,
            // A certificate does not authenticate a client of SASL_SSL.
            SecurityProtocol::SaslPlaintext | SecurityProtocol::SaslSsl => {
                self.authenticated.as_ref().map(|it| &it.principal)
            }
        }
    }
}

/// Bytes of a response that are read only when the socket can accept them.
pub trait Source: std::fmt::Debug + Send {
    /// Returns the number of bytes. It never changes.
    fn length(&self) -> usize;

    /// Reads at least one byte, from position `at` on, into `window` without waiting for the disk,
    /// and returns the number of bytes read. `window` has at least 4 KiB, or reaches to the end of
    /// the source.
    ///
    /// # Errors
    /// When the bytes are not in memory, or can no longer be read.
    fn read(&mut self, at: usize, window: &mut [u8]) -> Result<usize, SourceError>;

    /// Reads between one and `length` bytes, from position `at` on, on a thread that may wait for
    /// the disk.
    fn load(&mut self, at: usize, length: usize) -> Load;
}

/// Completes with the bytes of [`Source::load`], or with the reason why they cannot be read.
pub type Load = Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>>;

/// Why [`Source::read`] returned no bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceError {
    /// The bytes are not in memory: [`Source::load`] reads them.
    NotCached,
    /// The bytes can no longer be read. The connection is closed, because the length that was sent
    /// to the client includes them.
    Lost(String),
}

/// A part of a response.
#[derive(Debug)]
pub enum Chunk {
    /// Bytes in memory.
    Memory(Bytes),
    /// Bytes that are read when they are sent.
    Source(Box<dyn Source>),
}

impl Chunk {
    /// Returns the size in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::Source(source) => source.length(),
        }
    }

    /// Returns how many bytes of memory the chunk holds.
    fn memory(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::Source(_) => 0,
        }
    }
}

impl From<Bytes> for Chunk {
    fn from(bytes: Bytes) -> Self {
        Self::Memory(bytes)
    }
}

/// A response frame: chunks that are written one after the other.
#[derive(Debug)]
pub enum Frame {
    /// One chunk, in memory.
    One(Bytes),
    /// Several chunks.
    Many(Vec<Chunk>),
}

impl Frame {
    /// Returns the size of the frame in bytes, and how many of these bytes are in memory.
    fn sizes(&self) -> (usize, usize) {
        match self {
            Self::One(bytes) => (bytes.len(), bytes.len()),
            Self::Many(chunks) => chunks.iter().fold((0, 0), |(bytes, memory), chunk| {
                (bytes + chunk.length(), memory + chunk.memory())
            }),
        }
    }
}

/// What the connection does when a request has been served.
#[derive(Debug)]
pub enum ResponseAction {
    /// Sends this response.
    Send(Frame),
    /// Sends nothing (produce with acks=0).
    Nothing,
    /// Sends nothing and closes the connection, for this reason. A producer with acks=0 gets no
    /// response, so a closed connection is the only sign of an error.
    Close(String),
    /// Sends this response, if there is one, and closes the connection. The session has logged why.
    End(Option<Frame>),
}

impl ResponseAction {
    /// Returns the response that is sent.
    fn frame(&self) -> Option<&Frame> {
        match self {
            Self::Send(frame) | Self::End(Some(frame)) => Some(frame),
            Self::Nothing | Self::Close(_) | Self::End(None) => None,
        }
    }
}

/// A request that is being served.
pub struct Pending {
    /// Completes when the request has been served. Polled once before the next frame is read.
    pub answer: Pin<Box<dyn Future<Output = ResponseAction> + Send>>,
    /// Whether further requests may begin while this one waits.
    pub pipelined: bool,
    /// Set if the time that the request takes is reported to the session; see
    /// [`ConnectionHandler::on_sent`].
    pub tag: Option<RequestTag>,
}

/// A frame that is not a valid request. Its connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("{api} version {version}: {reason}")]
pub struct Malformed {
    /// The name of the API, or its key if there is no such API.
    pub api: String,
    /// The version that was sent.
    pub version: i16,
    /// What is wrong with the request.
    pub reason: String,
}

/// Serves connections.
pub trait Service: Send + Sync + 'static {
    /// Returns the session that serves the requests of a new connection.
    fn connect(&self, client: &Client) -> Box<dyn ConnectionHandler>;
}

/// Serves the requests of one connection.
pub trait ConnectionHandler: Send {
    /// Begins to serve the request in `frame`, which does not include the length. The session drops
    /// `permit` when it no longer needs the bytes of the frame.
    ///
    /// # Errors
    /// When the frame is not a valid request. The connection is closed then.
    fn call(&mut self, frame: Bytes, permit: MemoryPermit) -> Result<Pending, Malformed>;

    /// Returns the sizes of frames that are accepted now. Called at the beginning and after each
    /// call; `configured` are the sizes of requests.
    fn frame_sizes(&self, configured: FrameSizes) -> FrameSizes {
        configured
    }

    /// Returns whom the client has authenticated as, where HTTP/2 may follow on the connection:
    /// another node authenticates in Kafka's frames, and goes on with gRPC. `None` where only
    /// further frames may. Called after each call.
    fn may_become_node(&self) -> Option<Authenticated> {
        None
    }

    /// Notes how long a request took whose tag has this number, once its response was sent.
    fn on_sent(&mut self, number: usize, times: &StageTimes) {
        let _ = (number, times);
    }

    /// Returns for how long no further requests of the client begin, because one that was served
    /// since the last call exceeded a quota.
    fn take_throttle_time(&mut self) -> Duration {
        Duration::ZERO
    }
}

/// The size of the largest request, in bytes. All clones share it, and open connections follow a
/// change.
#[derive(Debug, Clone)]
pub struct RequestLimit(Arc<AtomicUsize>);

impl RequestLimit {
    /// Returns a limit.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(max)))
    }

    /// Returns the limit.
    #[must_use]
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Changes the limit. Returns the one before.
    pub fn set(&self, max: usize) -> usize {
        self.0.swap(max, Ordering::Relaxed)
    }
}

/// Limits of one connection.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// `socket.request.max.bytes`, or more where messages may be larger.
    pub request_bytes_max: RequestLimit,
    /// `connections.max.idle.ms`.
    pub idle_max: Duration,
    /// How long a client may read none of its responses while the responses of all connections
    /// hold too much memory.
    pub stalled_max: Duration,
    /// How long a request may take to arrive.
    pub frame_times: FrameTimes,
    /// How long requests that have begun may take to complete after a shutdown began.
    pub shutdown_grace: Duration,
}

/// A connection whose client has authenticated, and then begun HTTP/2.
#[derive(Debug)]
pub struct NodeConnection<S> {
    /// The stream.
    pub stream: S,
    /// The bytes of HTTP/2 that were read from it.
    pub read: Bytes,
    /// Whom the client has authenticated as.
    pub authenticated: Authenticated,
}

/// Serves a connection until the client closes it, an error occurs, it is idle for too long, or
/// `shutdown` is cancelled. Returns the connection when it becomes that of another node.
pub async fn run<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: S,
    client: Client,
    session: Box<dyn ConnectionHandler>,
    memory_pool: Arc<RequestMemoryPool>,
    limits: ConnectionLimits,
    shutdown: CancellationToken,
) -> Option<NodeConnection<S>> {
    // Dropped after the reason was logged, and only then closes the socket: a client that sees the
    // end of the connection finds the reason in the log.
    let mut connection = run::Connection::new(stream, session, memory_pool, limits, shutdown);
    let (listener, peer) = (&client.listener, client.peer);
    match (&mut connection).await {
        run::ConnectionEnd::Quiet => {}
        run::ConnectionEnd::Lost(error) => {
            tracing::debug!(%listener, %peer, "connection lost: {error}")
        }
        run::ConnectionEnd::Closed(reason) => {
            tracing::info!(%listener, %peer, "closed a connection: {reason}");
        }
        run::ConnectionEnd::Refused(reason) => {
            tracing::warn!(%listener, %peer, "closed a connection: {reason}");
        }
        run::ConnectionEnd::Http2(authenticated) => {
            return Some(connection.into_node(authenticated));
        }
    }
    if client.security_protocol.is_tls() {
        poll_fn(|cx| Pin::new(&mut connection).poll_close_notify(cx)).await;
    }
    None
}
