//! Accepts connections, counts them, and hands them to the network threads.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Services, Shared, serve_socket};
use crate::connection::Client;

/// How long to wait after the system refused a connection for lack of something.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);
/// How many refusals in a row are one line in the log.
const SHORTAGE_LOG_EVERY: u32 = 300;

/// How many connections a node has, over all its listeners.
#[derive(Debug)]
pub struct ConnectionCounts {
    free: Arc<Semaphore>,
    per_ip_max: usize,
    per_ip: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's place in the [`ConnectionCounts`].
#[derive(Debug)]
pub(super) struct Counted {
    counts: Arc<ConnectionCounts>,
    ip: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionCounts {
    pub(super) fn new(max: usize, per_ip_max: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self {
            free,
            per_ip_max,
            per_ip: Mutex::default(),
        })
    }

    /// Counts a connection; `None` when its address has as many as are allowed.
    fn count(self: &Arc<Self>, ip: IpAddr, permit: OwnedSemaphorePermit) -> Option<Counted> {
        let mut per_ip = self.per_ip.lock();
        let count = per_ip.entry(ip).or_default();
        if *count >= self.per_ip_max {
            return None;
        }
        *count += 1;
        Some(Counted {
            counts: Arc::clone(self),
            ip,
            _permit: permit,
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut per_ip = self.counts.per_ip.lock();
        if let Some(count) = per_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                per_ip.remove(&self.ip);
            }
        }
    }
}

pub(super) struct Acceptor {
    pub name: Arc<str>,
    pub listener: TcpListener,
    pub address: SocketAddr,
    pub shared: Arc<Shared>,
    pub services: Services,
    pub accepting: CancellationToken,
    pub connections: CancellationToken,
    pub tasks: TaskTracker,
}

impl Acceptor {
    pub async fn run(self) {
        let accepting = self.accepting.clone();
        accepting.run_until_cancelled(self.accept_all()).await;
    }

    async fn accept_all(&self) {
        let mut shortages = 0;
        loop {
            // Over `max.connections` the rest wait in the system's backlog, as with Kafka.
            let free = Arc::clone(&self.shared.counts.free);
            let Ok(permit) = free.acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    shortages = 0;
                    self.hand_out(stream, peer, permit);
                }
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    if shortages % SHORTAGE_LOG_EVERY == 0 {
                        tracing::warn!(
                            listener = %self.name,
                            "a connection cannot be accepted: {error}; if open files are short, \
                             raise the limit (ulimit -n)"
                        );
                    }
                    shortages += 1;
                    tokio::time::sleep(SHORTAGE_PAUSE).await;
                }
            }
        }
    }

    fn hand_out(&self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let Some(counted) = self.shared.counts.count(peer.ip(), permit) else {
            tracing::info!(
                listener = %self.name, %peer,
                "closed a connection: its address has {} of them (max.connections.per.ip)",
                self.shared.limits.connections_per_ip_max
            );
            return;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(listener = %self.name, %peer, "set TCP_NODELAY: {error}");
        }
        // As Kafka does: peers that vanished without a word are found out.
        if let Err(error) = socket2::SockRef::from(&stream).set_keepalive(true) {
            tracing::debug!(listener = %self.name, %peer, "set SO_KEEPALIVE: {error}");
        }
        // The socket is registered with this runtime's reactor; the thread that serves it has
        // another.
        let Ok(stream) = stream.into_std() else {
            return;
        };
        let client = Client {
            listener: Arc::clone(&self.name),
            local: self.address,
            peer,
            appends: Arc::default(),
        };
        let shared = Arc::clone(&self.shared);
        let services = self.services.clone();
        let shutdown = self.connections.clone();
        let served = async move {
            let _counted = counted;
            match TcpStream::from_std(stream) {
                Ok(stream) => serve_socket(stream, client, shared, services, shutdown).await,
                Err(error) => tracing::warn!(%peer, "register a connection: {error}"),
            }
        };
        self.shared
            .threads
            .next()
            .spawn(self.tasks.track_future(served));
    }
}

/// Whether the connection was broken by its peer before it was accepted.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
