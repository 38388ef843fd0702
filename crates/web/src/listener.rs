//! Binds the addresses of `http.listeners`, and serves connections to them.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::console::{self, Client, Connected};
use crate::debug;
use crate::routes::routes;
use crate::{ConsoleNode, Node};

/// The most connections at a time; further ones wait. They use no places of Kafka's clients.
const CONNECTIONS_MAX: usize = 64;
/// How long the header of a request may take to arrive. Also ends connections that are idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// How long to wait after a connection could not be accepted, for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long requests may take to be answered when the node stops.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// An address of `http.listeners`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAddress {
    /// An address or a name, without brackets.
    pub host: String,
    /// The port. With 0 the system chooses one.
    pub port: u16,
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "http://[{}]:{}", self.host, self.port),
            false => write!(f, "http://{}:{}", self.host, self.port),
        }
    }
}

/// Why an address of `http.listeners` cannot be served.
#[derive(Debug, thiserror::Error)]
#[error(
    "http.listeners: {address} cannot be bound: {source}; set another address in http.listeners, \
     or nothing for no HTTP listener"
)]
pub struct BindError {
    address: HttpAddress,
    source: io::Error,
}

/// Ports that are bound and not served yet.
#[derive(Debug)]
pub struct Bound(Vec<TcpListener>);

impl Bound {
    /// Binds all addresses. A name is bound at all its addresses that this machine has.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub async fn bind(addresses: &[HttpAddress]) -> Result<Self, BindError> {
        let mut listeners = Vec::new();
        for address in addresses {
            let bound = bind(address).await.map_err(|source| BindError {
                address: address.clone(),
                source,
            })?;
            listeners.extend(bound);
        }
        Ok(Self(listeners))
    }

    /// Returns the addresses, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let listeners = self.0.iter();
        listeners.filter_map(|it| it.local_addr().ok()).collect()
    }

    /// Serves a node, and a console of its cluster, on the current runtime.
    #[must_use]
    pub fn serve(self, node: Arc<dyn Node>, console: Arc<dyn ConsoleNode>) -> Server {
        let server = Server {
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let settings = console.console();
        let debug = debug::routes(Arc::clone(&node), &settings);
        let client = Client::new(settings, server.stop.clone());
        let routes = routes(node)
            .merge(debug)
            .merge(console::routes(console, client));
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        for listener in self.0 {
            let (stop, tasks) = (server.stop.clone(), server.tasks.clone());
            let (routes, places) = (routes.clone(), Arc::clone(&places));
            server.tasks.spawn(async move {
                accept(&listener, &stop, &tasks, &routes, &places).await;
            });
        }
        server
    }
}

async fn bind(address: &HttpAddress) -> io::Result<Vec<TcpListener>> {
    let mut found: Vec<SocketAddr> = lookup_host((address.host.as_str(), address.port))
        .await?
        .collect();
    found.dedup();
    let (mut bound, mut failed) = (Vec::new(), None);
    for address in found {
        match TcpListener::bind(address).await {
            Ok(listener) => bound.push(listener),
            // A name such as localhost may have an address of a protocol that is switched off.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => failed = Some(error),
            Err(error) => return Err(error),
        }
    }
    match (bound.is_empty(), failed) {
        (false, _) => Ok(bound),
        (true, Some(error)) => Err(error),
        (true, None) => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "its name has no address",
        )),
    }
}

/// A running HTTP server. Dropping it ends it like a crash.
#[derive(Debug)]
pub struct Server {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Closes the ports, and waits for a moment until requests are answered.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(SHUTDOWN_GRACE, self.tasks.wait()).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(
    listener: &TcpListener,
    stop: &CancellationToken,
    tasks: &TaskTracker,
    routes: &Router,
    places: &Arc<Semaphore>,
) {
    loop {
        let accepted = async {
            let place = Arc::clone(places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            (Ok(place), Ok((stream, peer))) => {
                let routes = routes.clone().layer(Extension(Connected { peer }));
                let stop = stop.clone();
                tasks.spawn(async move {
                    serve(stream, routes, &stop).await;
                    drop(place);
                });
            }
            (Err(_), _) => return,
            (_, Err(error)) => {
                tracing::debug!("an HTTP connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, routes: Router, stop: &CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("an HTTP connection ended: {error}");
    }
}
