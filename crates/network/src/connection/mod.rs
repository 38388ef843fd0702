//! One client's connection: reads frames, has them served, and answers in the order of the
//! requests.
//!
//! ```text
//! socket ──▶ frames ──▶ Session::call ──▶ slots (FIFO) ──▶ chunks ──▶ vectored writes
//! ```
//!
//! Invariant: answers leave in the order their requests came. A request is first polled before the
//! next one is looked at, so a session begins requests in the order of their arrival; only requests
//! that may be overtaken (produce) leave room for further ones while they wait.
//!
//! Invariant: memory grows with the bytes that arrived, never with a length that was announced. The
//! queue of slots and the bytes waiting to be written are bounded; beyond that nothing is read but
//! the length of the next frame.
//!
//! Invariant: what a client does not read takes little memory. Records stay in their files (see
//! [`Source`]); other responses are counted per connection and for the node, and while a connection
//! holds more than its share it begins no requests.
//!
//! Invariant: a connection on which no byte moves in either direction ends: a frame that stops
//! arriving after [`FrameTimes`], everything else after `connections.max.idle.ms`. Only a response
//! that this node owes keeps a silent connection open.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

mod frames;
mod memory_pool;
mod outbox;
mod responses;
mod run;
#[cfg(test)]
mod tests;

pub use frames::FrameTimes;
pub use memory_pool::{MemoryPermit, RequestMemoryPool, Share};

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct Client {
    /// The name of the listener that it came in on.
    pub listener: Arc<str>,
    /// The address of that listener.
    pub local: SocketAddr,
    /// Its address.
    pub peer: SocketAddr,
}

/// Bytes that are read when the socket can take them.
pub trait Source: std::fmt::Debug + Send {
    /// Their number. It does not change.
    fn length(&self) -> usize;

    /// Reads bytes from `at` on into `window`, at least one, if that needs no wait for the disk.
    /// `window` has at least 4 KiB, or ends the source.
    ///
    /// # Errors
    /// When they are not in memory, or cannot be had at all.
    fn read(&mut self, at: usize, window: &mut [u8]) -> Result<usize, SourceError>;

    /// Reads at most `length` bytes from `at` on, at least one, on a thread that may wait.
    fn load(&mut self, at: usize, length: usize) -> Load;
}

/// Bytes that are being loaded, or the reason why they cannot be had.
pub type Load = Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>>;

/// Why a [`Source`] has no bytes now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceError {
    /// They have to be loaded.
    NotCached,
    /// They cannot be had any more. The connection is closed: its client was promised more.
    Lost(String),
}

/// A part of a response.
#[derive(Debug)]
pub enum Chunk {
    /// In memory.
    Memory(Bytes),
    /// Elsewhere.
    Source(Box<dyn Source>),
}

impl Chunk {
    /// Its size in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::Source(source) => source.length(),
        }
    }

    /// Bytes of memory that it holds.
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

/// A response frame, to be written one chunk after the other.
#[derive(Debug)]
pub enum Frame {
    /// One chunk.
    One(Bytes),
    /// Several.
    Many(Vec<Chunk>),
}

impl Frame {
    /// Bytes of the frame, and those of them that it holds in memory.
    fn sizes(&self) -> (usize, usize) {
        match self {
            Self::One(bytes) => (bytes.len(), bytes.len()),
            Self::Many(chunks) => chunks.iter().fold((0, 0), |(bytes, memory), chunk| {
                (bytes + chunk.length(), memory + chunk.memory())
            }),
        }
    }
}

/// What became of a request.
#[derive(Debug)]
pub enum ResponseAction {
    /// This is to be sent.
    Send(Frame),
    /// Nothing is to be sent (produce with acks=0).
    Nothing,
    /// Nothing is to be sent, and the connection is to be closed: how a producer with acks=0 is
    /// told that something went wrong.
    Close(String),
}

/// A request that is being served.
pub struct Pending {
    /// Completes with the answer. Polled at once, before further requests are looked at.
    pub answer: Pin<Box<dyn Future<Output = ResponseAction> + Send>>,
    /// Whether further requests may be begun while this one waits.
    pub pipelined: bool,
}

/// Why a connection is closed: a request that is no request.
#[derive(Debug, thiserror::Error)]
#[error("{api} version {version}: {reason}")]
pub struct Malformed {
    /// The API, or its number.
    pub api: String,
    /// The version as sent.
    pub version: i16,
    /// What is wrong.
    pub reason: String,
}

/// Serves connections.
pub trait Service: Send + Sync + 'static {
    /// Returns what serves the requests of a connection.
    fn connect(&self, client: &Client) -> Box<dyn Session>;
}

/// Serves the requests of one connection.
pub trait Session: Send {
    /// Begins to serve a frame (without its length). `permit` is given back when the bytes of the
    /// frame are not needed any more.
    ///
    /// # Errors
    /// When the frame is not a request; the connection is then closed.
    fn call(&mut self, frame: Bytes, permit: MemoryPermit) -> Result<Pending, Malformed>;
}

/// Limits of one connection.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// `socket.request.max.bytes`.
    pub request_bytes_max: usize,
    /// `connections.max.idle.ms`.
    pub idle_max: Duration,
    /// How long a client may read nothing of its responses while those of the node hold too much
    /// memory.
    pub stalled_max: Duration,
    /// How long a frame may take to arrive.
    pub frame_times: FrameTimes,
    /// How long a connection may take to answer what it has begun at a shutdown.
    pub shutdown_grace: Duration,
}

/// Serves a connection until it ends: by the client, by an error, by idleness or by `shutdown`.
pub async fn run<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: S,
    client: Client,
    session: Box<dyn Session>,
    memory_pool: Arc<RequestMemoryPool>,
    limits: ConnectionLimits,
    shutdown: CancellationToken,
) {
    // Dropped, and so closed, after the line in the log: whoever sees the end finds the reason.
    let mut connection = pin!(run::Connection::new(
        stream,
        session,
        memory_pool,
        limits,
        shutdown,
    ));
    let (listener, peer) = (&client.listener, client.peer);
    match connection.as_mut().await {
        run::End::Quiet => {}
        run::End::Lost(error) => tracing::debug!(%listener, %peer, "connection lost: {error}"),
        run::End::Closed(reason) => {
            tracing::info!(%listener, %peer, "closed a connection: {reason}");
        }
        run::End::Refused(reason) => {
            tracing::warn!(%listener, %peer, "closed a connection: {reason}");
        }
    }
}
