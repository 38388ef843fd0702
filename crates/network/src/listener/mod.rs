//! Listeners, which accept connections.
//!
//! A listener binds its port first ([`Bound`]) and serves later ([`Bound::serve`]), so that the
//! node fails at its start when the address is in use. Sockets are distributed round robin over the
//! [`NetworkThreads`]. The first bytes of a connection identify its protocol: Kafka frames are
//! passed to the Kafka service, and HTTP/2's preface to the service for other nodes. A connection
//! of any other protocol is logged and closed. On a listener with TLS, this follows the handshake,
//! in which other nodes choose HTTP/2 (ALPN). On a listener with SASL other nodes authenticate in
//! Kafka's frames first, and the preface follows on the same connection.
//!
//! Invariant: on a listener with SASL no byte of HTTP/2 is served to a peer that has not
//! authenticated, or whose session has expired.
//!
//! Invariant: a peer has [`Limits::handshake_max`] to complete the TLS handshake. Each (listener,
//! host, cause) of failures is logged once an hour.
//!
//! Invariant: neither a peer nor a shortage of file descriptors can end the task that accepts.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dohle_auth::quotas::QuotaWindows;
use dohle_model::record::SecurityProtocol;
use dohle_protocol::Foreign;
use dohle_tls::{FailureLog, HandshakeFailure, ServerTls};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use excess::NotingUse;
use open::Opened;
use places::{Counted, NodeCounted, Place};

use crate::connection::{
    self, Client, ConnectionLimits, FrameTimes, RequestLimit, RequestMemoryPool, Service,
};

mod accept;
mod bind;
mod excess;
mod metrics;
mod open;
mod places;
mod prefixed;
mod stream;
#[cfg(test)]
mod tests;
mod threads;

pub use places::{ConnectionCounts, ConnectionQuotas};
pub use prefixed::Prefixed;
pub use stream::ListenerStream;
pub use threads::NetworkThreads;

/// The configuration of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// The name, in upper case.
    pub name: String,
    /// The host to bind: an address or a name; empty, `0.0.0.0` or `::` means all interfaces.
    pub host: String,
    /// The port to bind. With 0 the system chooses one.
    pub port: u16,
    /// The protocol that `listener.security.protocol.map` has for the name.
    pub security_protocol: SecurityProtocol,
}

/// Why a listener could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The host is neither an address nor a name that can be resolved.
    #[error(
        "listener {listener}: the host {host:?} cannot be resolved; set `listeners` to an address \
         of this machine, or to 0.0.0.0 for all of them"
    )]
    Resolve {
        /// The listener.
        listener: String,
        /// The configured host.
        host: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The address cannot be bound.
    #[error("listener {listener}: {address} cannot be bound{}", what_to_do(source))]
    Bind {
        /// The listener.
        listener: String,
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
}

fn what_to_do(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; end the program that listens there, or set another port in `listeners`"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; this machine has no such address: set `listeners` to an address of this machine, \
             and `advertised.listeners` to the one that clients connect to"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege: set a higher port",
        _ => "",
    }
}

/// Serves connections that begin with HTTP/2's preface: gRPC between nodes.
pub trait Http2Service: Send + Sync + 'static {
    /// Serves one connection until it ends. Runs on [`Services::runtime`].
    fn serve(
        &self,
        stream: ListenerStream,
        client: Client,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The default of [`Limits::handshake_max`]: the time that Kafka's clients wait for a connection.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Limits of all listeners of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// The limits of clients' connections when the node starts.
    pub connections: ConnectionQuotas,
    /// `quota.window.num` and `quota.window.size.seconds`: the samples over which rates of new
    /// connections are measured.
    pub quota_windows: QuotaWindows,
    /// Files and connections that the process may have open.
    pub open_files_max: usize,
    /// `connections.max.idle.ms`.
    pub idle_max: Duration,
    /// `request.timeout.ms`: how long a request may take to arrive, from its first byte on.
    pub frame_max: Duration,
    /// The size of the largest request when the node starts.
    pub request_bytes_max: usize,
    /// `queued.max.request.bytes`: while requests hold more memory, no further ones are read.
    pub requests_bytes_max: usize,
    /// `socket.send.buffer.bytes`; with `None` the system chooses.
    pub send_buffer_bytes: Option<u32>,
    /// `socket.receive.buffer.bytes`; with `None` the system chooses.
    pub receive_buffer_bytes: Option<u32>,
    /// `socket.listen.backlog.size`.
    pub backlog: u32,
    /// How long a connection may take until its TLS handshake is complete.
    pub handshake_max: Duration,
    /// How long connections may take to answer requests after a shutdown began.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: ConnectionQuotas::default(),
            quota_windows: QuotaWindows::default(),
            open_files_max: 1 << 20,
            idle_max: Duration::from_mins(10),
            frame_max: FrameTimes::default().whole,
            request_bytes_max: 100 << 20,
            requests_bytes_max: 256 << 20,
            send_buffer_bytes: None,
            receive_buffer_bytes: None,
            backlog: 1024,
            handshake_max: HANDSHAKE_MAX,
            shutdown_grace: Duration::from_secs(1),
        }
    }
}

/// The state that all listeners of a node share.
#[derive(Debug)]
pub struct NetworkContext {
    /// The limits.
    pub limits: Limits,
    /// The threads that serve connections.
    pub threads: NetworkThreads,
    /// The size of the largest request.
    pub request_limit: RequestLimit,
    counts: Arc<ConnectionCounts>,
    memory_pool: Arc<RequestMemoryPool>,
    failures: FailureLog,
    started: Instant,
}

impl NetworkContext {
    /// Returns the state for the listeners of one node.
    #[must_use]
    pub fn new(limits: Limits, threads: NetworkThreads) -> Arc<Self> {
        let counts = ConnectionCounts::new(&limits);
        let memory_pool = RequestMemoryPool::new(limits.requests_bytes_max);
        Arc::new(Self {
            request_limit: RequestLimit::new(limits.request_bytes_max),
            limits,
            threads,
            counts,
            memory_pool,
            failures: FailureLog::default(),
            started: Instant::now(),
        })
    }

    /// Logs why a connection failed before it was served, unless that was logged recently.
    fn log_failure(&self, client: &Client, cause: &HandshakeFailure) {
        let (listener, peer, now) = (&client.listener, client.peer, self.started.elapsed());
        match cause {
            cause if !self.failures.is_new(listener, peer.ip(), cause, now) => {
                tracing::debug!(%listener, %peer, "closed a connection: {cause}");
            }
            HandshakeFailure::Lost => tracing::info!(%listener, %peer, "connection lost: {cause}"),
            cause => tracing::warn!(%listener, %peer, "closed a connection: {cause}"),
        }
    }

    /// Refuses clients the descriptors that logs are going to need: as many as `promised` returns
    /// when a client connects, besides the reserve. Only the first call has an effect.
    pub fn keep_descriptors(&self, promised: impl Fn() -> usize + Send + Sync + 'static) {
        self.counts.keep_descriptors(Box::new(promised));
    }

    /// Changes the limits of clients' connections. Connections that are open remain open.
    pub fn set_connection_quotas(&self, quotas: ConnectionQuotas) {
        self.counts.set_quotas(quotas);
    }
}

/// How a listener serves connections. A connection whose service is `None` is logged and closed.
#[derive(Clone, Default)]
pub struct Services {
    /// The TLS of the listener; `None` for a listener without TLS.
    pub tls: Option<Arc<ServerTls>>,
    /// Serves Kafka's protocol.
    pub kafka: Option<Arc<dyn Service>>,
    /// Serves HTTP/2.
    pub http2: Option<Arc<dyn Http2Service>>,
    /// The runtime that serves the connections; `None` for the network threads.
    pub runtime: Option<Handle>,
}

/// A listener that is bound to its port and does not accept connections yet.
#[derive(Debug)]
pub struct Bound {
    config: ListenerConfig,
    /// One for each address.
    listeners: Vec<(TcpListener, SocketAddr)>,
    address: SocketAddr,
}

/// A listener that accepts connections. It stops with [`Listener::shutdown`], not when it is
/// dropped.
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
    /// When the host cannot be resolved, or none of its addresses can be bound.
    pub async fn bind(config: ListenerConfig, limits: &Limits) -> Result<Self, BindError> {
        let listeners = bind::bind(&config, limits).await?;
        let address = listeners[0].1;
        Ok(Self {
            config,
            listeners,
            address,
        })
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Returns the address, with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to accept connections. Must be called inside a tokio runtime, which runs the task
    /// that accepts.
    #[must_use]
    pub fn serve(self, shared: Arc<NetworkContext>, services: Services) -> Listener {
        let listener = Listener {
            name: self.config.name.clone(),
            address: self.address,
            accepting: CancellationToken::new(),
            connections: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let name: Arc<str> = self.config.name.into();
        for (socket, address) in self.listeners {
            let acceptor = accept::Acceptor {
                name: Arc::clone(&name),
                security_protocol: self.config.security_protocol,
                listener: socket,
                address,
                shared: Arc::clone(&shared),
                services: services.clone(),
                accepting: listener.accepting.clone(),
                connections: listener.connections.clone(),
                tasks: listener.tasks.clone(),
            };
            tokio::spawn(listener.tasks.track_future(acceptor.run()));
        }
        listener
    }
}

impl Listener {
    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address, with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting connections, lets open connections answer the requests that have begun (for
    /// [`Limits::shutdown_grace`] at most), and waits until all of them are closed.
    pub async fn shutdown(&self) {
        self.accepting.cancel();
        self.connections.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// How long a client may read none of its responses while the responses of all connections hold too
/// much memory.
const STALLED_MAX: Duration = Duration::from_secs(10);

fn limits_of(shared: &NetworkContext) -> ConnectionLimits {
    ConnectionLimits {
        request_bytes_max: shared.request_limit.clone(),
        idle_max: shared.limits.idle_max,
        stalled_max: STALLED_MAX,
        frame_times: FrameTimes {
            whole: shared.limits.frame_max,
            ..FrameTimes::default()
        },
        shutdown_grace: shared.limits.shutdown_grace,
    }
}

/// Bytes that the socket of a client accepts beyond those that it has sent. Without a limit the
/// system buffers some MB for each client that does not read.
const UNSENT_BYTES_MAX: u32 = 128 << 10;

fn limit_unsent(stream: &TcpStream, limits: &Limits) {
    if limits.send_buffer_bytes.is_some() {
        return;
    }
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX) {
        tracing::debug!("cannot set TCP_NOTSENT_LOWAT: {error}");
    }
}

/// Lets the socket of another node accept as many unsent bytes as the system allows.
fn unlimit_unsent(stream: &TcpStream) {
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(0) {
        tracing::debug!("cannot reset TCP_NOTSENT_LOWAT: {error}");
    }
}

/// The service of a connection, and its place.
enum Served {
    Kafka {
        service: Arc<dyn Service>,
        counted: Counted,
        may_be_http2: bool,
    },
    Http2(Arc<dyn Http2Service>, NodeCounted),
}

/// Serves one accepted socket until it ends.
async fn serve_socket(
    stream: TcpStream,
    mut client: Client,
    place: Place,
    shared: Arc<NetworkContext>,
    services: Services,
    shutdown: CancellationToken,
) {
    let admitted = tokio::select! {
        admitted = admit(stream, &mut client, place, &shared, &services) => admitted,
        () = shutdown.cancelled() => return,
    };
    match admitted {
        None => {}
        Some((stream, Served::Http2(http2, _counted))) => {
            serve_http2(&*http2, stream, client, &shutdown).await;
        }
        Some((
            stream,
            Served::Kafka {
                service,
                mut counted,
                may_be_http2,
            },
        )) => {
            let closing = shutdown.child_token();
            let session = Box::new(NotingUse {
                last_use: counted.serve(&closing),
                handler: service.connect(&client),
            });
            let served = serve_kafka(stream, &mut client, session, &shared, &closing).await;
            if closing.is_cancelled() && !shutdown.is_cancelled() {
                let (listener, peer) = (&client.listener, client.peer);
                tracing::info!(
                    %listener, %peer,
                    "closed the connection that was used least recently: more are open than \
                     max.connections"
                );
            }
            // A connection of another node does not take the place of a client.
            drop(counted);
            let Some(stream) = served else {
                return;
            };
            match node_service(&client, &shared, &services, may_be_http2) {
                Some((http2, _counted)) => {
                    serve_http2(&*http2, stream, client, &shutdown).await;
                }
                None => drop(stream),
            }
        }
    }
}

/// Serves Kafka's protocol until the connection ends. Returns the stream when the client has
/// authenticated and goes on with HTTP/2; `client` has whom it has authenticated as.
async fn serve_kafka(
    stream: ListenerStream,
    client: &mut Client,
    session: Box<NotingUse>,
    shared: &Arc<NetworkContext>,
    shutdown: &CancellationToken,
) -> Option<ListenerStream> {
    limit_unsent(stream::socket(&stream), &shared.limits);
    let (limits, memory_pool) = (limits_of(shared), Arc::clone(&shared.memory_pool));
    let (of, end) = (client.clone(), shutdown.clone());
    // One copy of the code for each kind of stream, so that TLS costs other listeners nothing.
    let (mut stream, read, authenticated) = match stream {
        Either::Left(stream) => {
            let node = connection::run(stream, of, session, memory_pool, limits, end).await?;
            let stream = Either::Left(node.stream);
            (stream, node.read, node.authenticated)
        }
        Either::Right(stream) => {
            let node = connection::run(*stream, of, session, memory_pool, limits, end).await?;
            let stream = Either::Right(Box::new(node.stream));
            (stream, node.read, node.authenticated)
        }
    };
    stream::unread(&mut stream, read);
    client.authenticated = Some(authenticated);
    unlimit_unsent(stream::socket(&stream));
    Some(stream)
}

/// Serves HTTP/2 until the connection, the session of the peer or the listener ends. A peer whose
/// session ends connects and authenticates again (KIP-368).
async fn serve_http2(
    http2: &dyn Http2Service,
    stream: ListenerStream,
    client: Client,
    shutdown: &CancellationToken,
) {
    let expires = client.authenticated.as_ref().and_then(|it| it.expires);
    let (listener, peer) = (Arc::clone(&client.listener), client.peer);
    let expired = async {
        match expires {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = http2.serve(stream, client) => {}
        () = shutdown.cancelled() => {}
        () = expired => {
            tracing::debug!(
                %listener, %peer,
                "closed a connection of another node: its session has expired"
            );
        }
    }
}

/// Returns the service for other nodes, and a place. Logs why there is none.
fn node_service(
    client: &Client,
    shared: &NetworkContext,
    services: &Services,
    may_be_http2: bool,
) -> Option<(Arc<dyn Http2Service>, NodeCounted)> {
    let Some(http2) = &services.http2 else {
        shared.log_failure(client, &HandshakeFailure::new(Foreign::Http2.advice()));
        return None;
    };
    if !may_be_http2 {
        shared.log_failure(client, &open::not_chosen());
        return None;
    }
    if client.security_protocol.is_sasl() && client.authenticated.is_none() {
        let cause = HandshakeFailure::new(
            "it connected as another node without authenticating (SASL): check \
             security.inter.broker.protocol, inter.broker.listener.name and \
             listener.security.protocol.map on all nodes",
        );
        shared.log_failure(client, &cause);
        return None;
    }
    let Some(counted) = shared.counts.node() else {
        let (listener, peer) = (&client.listener, client.peer);
        tracing::warn!(
            %listener, %peer,
            "closed a connection of another node: too many of them are open"
        );
        return None;
    };
    Some((Arc::clone(http2), counted))
}

/// Opens a connection and finds a place for it. Returns `None` when the socket is to be closed.
async fn admit(
    stream: TcpStream,
    client: &mut Client,
    place: Place,
    shared: &NetworkContext,
    services: &Services,
) -> Option<(ListenerStream, Served)> {
    let (listener, peer) = (Arc::clone(&client.listener), client.peer);
    let opening = open::open(stream, client, shared, services.tls.as_deref());
    let (counted, opened) = match place {
        Place::Client(counted) => (Ok(counted), opening.await),
        Place::Unknown(lack, mut unknown) => {
            let opened = tokio::select! {
                opened = opening => opened,
                () = unknown.closed() => {
                    tracing::debug!(
                        %listener, %peer,
                        "closed a connection that has sent nothing, to accept a newer one"
                    );
                    None
                }
            };
            (Err(lack), opened)
        }
    };
    let Opened {
        stream,
        foreign,
        may_be_http2,
    } = opened?;
    match (foreign, &services.kafka) {
        (Some(Foreign::Http2), _) => {
            // A connection of another node does not take the place of a client.
            drop(counted);
            let (http2, counted) = node_service(client, shared, services, may_be_http2)?;
            Some((stream, Served::Http2(http2, counted)))
        }
        (Some(foreign), _) => {
            shared.log_failure(client, &HandshakeFailure::new(foreign.advice()));
            // Clients with TLS conclude from an orderly end that the listener has no TLS.
            if counted.is_ok() {
                open::end(stream, &[]).await;
            }
            None
        }
        (None, Some(kafka)) => {
            let counted = match counted {
                Ok(counted) => counted,
                Err(lack) => shared.counts.wait(lack, client).await?,
            };
            if !shared.counts.within_rates(client).await {
                return None;
            }
            let served = Served::Kafka {
                service: Arc::clone(kafka),
                counted,
                may_be_http2,
            };
            Some((stream, served))
        }
        (None, None) => {
            let cause = HandshakeFailure::new(
                "this listener does not serve Kafka's client protocol; connect to a listener of a \
                 broker",
            );
            shared.log_failure(client, &cause);
            None
        }
    }
}
