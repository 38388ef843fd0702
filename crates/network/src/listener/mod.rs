//! Listeners: where connections come in.
//!
//! A listener binds its port first ([`Bound`]) and serves later ([`Bound::serve`]), so that an
//! address that is taken stops the start of the node at once. Sockets are handed out round robin to
//! the [`NetworkThreads`]. The first bytes of a connection tell what it speaks: a Kafka frame goes
//! to the Kafka service, HTTP/2's preface to the service of the brokers among themselves, anything
//! else to one line in the log.
//!
//! Invariant: nothing a peer does, and no shortage of file descriptors, ends the accepting task.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dohle_model::record::SecurityProtocol;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use places::{Counted, NodeCounted, Place};

use crate::connection::{self, Client, ConnectionLimits, FrameTimes, RequestMemoryPool, Service};

mod accept;
mod bind;
mod places;
mod prefixed;
#[cfg(test)]
mod tests;
mod threads;

pub use places::ConnectionCounts;
pub use prefixed::Prefixed;
pub use threads::NetworkThreads;

/// A listener as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Its name, upper case.
    pub name: String,
    /// The host to bind: an address, a name, or empty (or `0.0.0.0`, `::`) for all interfaces.
    pub host: String,
    /// The port to bind; 0 lets the system choose.
    pub port: u16,
    /// What `listener.security.protocol.map` says of the name.
    pub security_protocol: SecurityProtocol,
}

/// A port that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The host is no address and no name that resolves.
    #[error(
        "listener {listener}: the host {host:?} cannot be resolved; `listeners` names an address \
         of this machine, or 0.0.0.0 for all"
    )]
    Resolve {
        /// The listener.
        listener: String,
        /// The host as configured.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The address cannot be bound.
    #[error("listener {listener}: {address} cannot be bound{}", what_to_do(source))]
    Bind {
        /// The listener.
        listener: String,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

fn what_to_do(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; end the program that listens there, or set another port in `listeners`"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; it is no address of this machine: what clients are told goes to \
             `advertised.listeners`, what is bound here to `listeners`"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege: set another port",
        _ => "",
    }
}

/// What serves connections that begin with HTTP/2's preface: gRPC among brokers, or of controllers.
pub trait Http2Service: Send + Sync + 'static {
    /// Serves one connection until it ends. Runs on a network thread.
    fn serve(
        &self,
        stream: Prefixed<TcpStream>,
        peer: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// Limits of all listeners of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `max.connections`: of clients, over all listeners.
    pub connections_max: usize,
    /// Files and connections that the process may have open at a time.
    pub open_files_max: usize,
    /// `max.connections.per.ip`, over all listeners.
    pub connections_per_ip_max: usize,
    /// `connections.max.idle.ms`.
    pub idle_max: Duration,
    /// `request.timeout.ms`: how long a request may take to arrive once it is being read.
    pub frame_max: Duration,
    /// `socket.request.max.bytes`.
    pub request_bytes_max: usize,
    /// `queued.max.request.bytes`: while requests hold more, no further ones are read.
    pub requests_bytes_max: usize,
    /// `socket.send.buffer.bytes`; `None` leaves it to the system.
    pub send_buffer_bytes: Option<u32>,
    /// `socket.receive.buffer.bytes`; `None` leaves it to the system.
    pub receive_buffer_bytes: Option<u32>,
    /// `socket.listen.backlog.size`.
    pub backlog: u32,
    /// How long connections may take to end at a shutdown.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: i32::MAX as usize,
            open_files_max: 1 << 20,
            connections_per_ip_max: i32::MAX as usize,
            idle_max: Duration::from_mins(10),
            frame_max: FrameTimes::default().whole,
            request_bytes_max: 100 << 20,
            requests_bytes_max: 256 << 20,
            send_buffer_bytes: None,
            receive_buffer_bytes: None,
            backlog: 1024,
            shutdown_grace: Duration::from_secs(1),
        }
    }
}

/// What all listeners of a node share.
#[derive(Debug)]
pub struct Shared {
    /// The limits.
    pub limits: Limits,
    /// Where connections run.
    pub threads: NetworkThreads,
    counts: Arc<ConnectionCounts>,
    memory_pool: Arc<RequestMemoryPool>,
}

impl Shared {
    /// For one node.
    #[must_use]
    pub fn new(limits: Limits, threads: NetworkThreads) -> Arc<Self> {
        let counts = ConnectionCounts::new(&limits);
        let memory_pool = RequestMemoryPool::new(limits.requests_bytes_max);
        Arc::new(Self {
            limits,
            threads,
            counts,
            memory_pool,
        })
    }

    /// Keeps as many descriptors from clients as `promised` returns at the time, besides the
    /// reserve: logs will need them. Only the first call has an effect.
    pub fn keep_descriptors(&self, promised: impl Fn() -> usize + Send + Sync + 'static) {
        self.counts.keep_descriptors(Box::new(promised));
    }
}

/// What a listener serves; what is `None` is refused with a line in the log.
#[derive(Clone, Default)]
pub struct Services {
    /// Kafka's protocol.
    pub kafka: Option<Arc<dyn Service>>,
    /// HTTP/2.
    pub http2: Option<Arc<dyn Http2Service>>,
}

/// A listener that has its port and serves nobody yet.
#[derive(Debug)]
pub struct Bound {
    config: ListenerConfig,
    listener: TcpListener,
    address: SocketAddr,
}

/// A listener that serves. Dropping it does not end it; [`Listener::shutdown`] does.
#[derive(Debug)]
pub struct Listener {
    name: String,
    address: SocketAddr,
    accepting: CancellationToken,
    connections: CancellationToken,
    tasks: TaskTracker,
}

impl Bound {
    /// Binds the port. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the host does not resolve, or no address of it can be bound.
    pub async fn bind(config: ListenerConfig, limits: &Limits) -> Result<Self, BindError> {
        let (listener, address) = bind::bind(&config, limits).await?;
        Ok(Self {
            config,
            listener,
            address,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The address, with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to serve. Must be called inside a tokio runtime, which runs the accepting task.
    #[must_use]
    pub fn serve(self, shared: Arc<Shared>, services: Services) -> Listener {
        let listener = Listener {
            name: self.config.name.clone(),
            address: self.address,
            accepting: CancellationToken::new(),
            connections: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let acceptor = accept::Acceptor {
            name: self.config.name.into(),
            listener: self.listener,
            address: self.address,
            shared,
            services,
            accepting: listener.accepting.clone(),
            connections: listener.connections.clone(),
            tasks: listener.tasks.clone(),
        };
        tokio::spawn(listener.tasks.track_future(acceptor.run()));
        listener
    }
}

impl Listener {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address, with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more connections; those that are there go on.
    pub fn stop_accepting(&self) {
        self.accepting.cancel();
    }

    /// Accepts no more, lets connections answer what they have begun (for a grace period at most),
    /// closes them and waits until the last is gone.
    pub async fn shutdown(&self) {
        self.accepting.cancel();
        self.connections.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// How long a client may read nothing of its responses while the node is short of memory for them.
const STALLED_MAX: Duration = Duration::from_secs(10);

fn limits_of(shared: &Shared) -> ConnectionLimits {
    ConnectionLimits {
        request_bytes_max: shared.limits.request_bytes_max,
        idle_max: shared.limits.idle_max,
        stalled_max: STALLED_MAX,
        frame_times: FrameTimes {
            whole: shared.limits.frame_max,
            ..FrameTimes::default()
        },
        shutdown_grace: shared.limits.shutdown_grace,
    }
}

/// The bytes that a client's socket holds and has not sent. Without a limit the system holds some
/// MB for each client that does not read.
const UNSENT_BYTES_MAX: u32 = 128 << 10;

fn limit_unsent(stream: &TcpStream, limits: &Limits) {
    if limits.send_buffer_bytes.is_some() {
        return;
    }
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX) {
        tracing::debug!("set TCP_NOTSENT_LOWAT: {error}");
    }
}

/// A connection that has its place.
enum Served {
    Kafka(Arc<dyn Service>, Counted),
    Http2(Arc<dyn Http2Service>, NodeCounted),
}

/// Serves one accepted socket until it ends.
async fn serve_socket(
    stream: TcpStream,
    client: Client,
    place: Place,
    shared: Arc<Shared>,
    services: Services,
    shutdown: CancellationToken,
) {
    let admitted = tokio::select! {
        admitted = admit(stream, &client, place, &shared, &services) => admitted,
        () = shutdown.cancelled() => return,
    };
    match admitted {
        None => {}
        Some((stream, Served::Http2(http2, _counted))) => {
            let served = http2.serve(stream, client.peer);
            tokio::select! {
                () = served => {}
                () = shutdown.cancelled() => {}
            }
        }
        Some((stream, Served::Kafka(kafka, _counted))) => {
            limit_unsent(stream.get_ref(), &shared.limits);
            let (limits, memory_pool) = (limits_of(&shared), Arc::clone(&shared.memory_pool));
            let session = kafka.connect(&client);
            connection::run(stream, client, session, memory_pool, limits, shutdown).await;
        }
    }
}

/// Looks at the first bytes of a socket and finds a place for it. `None` when it is to be closed.
async fn admit(
    stream: TcpStream,
    client: &Client,
    place: Place,
    shared: &Shared,
    services: &Services,
) -> Option<(Prefixed<TcpStream>, Served)> {
    let (listener, peer) = (&client.listener, client.peer);
    let sniffing = prefixed::sniff(stream, shared.limits.idle_max);
    let (counted, sniffed) = match place {
        Place::Client(counted) => (Ok(counted), sniffing.await),
        Place::Unknown(lack, mut unknown) => {
            let sniffed = tokio::select! {
                sniffed = sniffing => sniffed,
                () = unknown.closed() => {
                    tracing::debug!(%listener, %peer, "closed a silent connection for a new one");
                    None
                }
            };
            (Err(lack), sniffed)
        }
    };
    let (stream, foreign) = sniffed?;
    match (foreign, &services.kafka, &services.http2) {
        (Some(dohle_protocol::Foreign::Http2), _, Some(http2)) => {
            // Another node does not take a client's place.
            drop(counted);
            let Some(counted) = shared.counts.node() else {
                tracing::warn!(
                    %listener, %peer,
                    "closed a connection: too many connections of other nodes are open"
                );
                return None;
            };
            Some((stream, Served::Http2(Arc::clone(http2), counted)))
        }
        (Some(foreign), _, _) => {
            let advice = foreign.advice();
            tracing::warn!(%listener, %peer, "closed a connection: {advice}");
            None
        }
        (None, Some(kafka), _) => {
            let counted = match counted {
                Ok(counted) => counted,
                Err(lack) => shared.counts.wait(lack, client).await?,
            };
            Some((stream, Served::Kafka(Arc::clone(kafka), counted)))
        }
        (None, None, _) => {
            tracing::warn!(
                %listener, %peer,
                "closed a connection: it speaks Kafka's client protocol, which this listener does \
                 not serve; connect to a broker's listener"
            );
            None
        }
    }
}
