//! Accepts connections, and distributes them over the network threads unless the listener has a
//! runtime of its own.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use dohle_model::record::SecurityProtocol;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{NetworkContext, Services, serve_socket};
use crate::connection::Client;

/// How long to wait after the system could not accept a connection, such as for lack of
/// descriptors.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Acceptor {
    pub name: Arc<str>,
    pub security_protocol: SecurityProtocol,
    pub listener: TcpListener,
    pub address: SocketAddr,
    pub shared: Arc<NetworkContext>,
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

    /// Accepts connections until the task is dropped. Above `max.connections`, clients wait for a
    /// place, as with Kafka; but they wait after the connection was accepted, so that other nodes
    /// can connect.
    async fn accept_all(&self) {
        let mut is_short = false;
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    if std::mem::take(&mut is_short) {
                        tracing::info!(listener = %self.name, "connections are accepted again");
                    }
                    self.hand_out(stream, peer);
                }
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    if !std::mem::replace(&mut is_short, true) {
                        tracing::warn!(
                            listener = %self.name,
                            "cannot accept connections: {error}; new ones wait. If open files are \
                             short, raise the limit (ulimit -n)"
                        );
                    }
                    tokio::time::sleep(SHORTAGE_PAUSE).await;
                }
            }
        }
    }

    fn hand_out(&self, stream: TcpStream, peer: SocketAddr) {
        let descriptor = usize::try_from(stream.as_raw_fd()).unwrap_or(0);
        let place = self.shared.counts.place(&self.name, peer.ip(), descriptor);
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(listener = %self.name, %peer, "cannot set TCP_NODELAY: {error}");
        }
        // As Kafka does, so that peers which vanished without closing their connection are noticed.
        if let Err(error) = socket2::SockRef::from(&stream).set_keepalive(true) {
            tracing::debug!(listener = %self.name, %peer, "cannot set SO_KEEPALIVE: {error}");
        }
        // The socket is registered with the reactor of this runtime. It has to be registered again
        // with that of the thread that serves it.
        let Ok(stream) = stream.into_std() else {
            return;
        };
        let client = Client {
            listener: Arc::clone(&self.name),
            security_protocol: self.security_protocol,
            certificate_principal: None,
            authenticated: None,
            local: self.address,
            peer,
        };
        let shared = Arc::clone(&self.shared);
        let services = self.services.clone();
        let shutdown = self.connections.clone();
        let served = async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => serve_socket(stream, client, place, shared, services, shutdown).await,
                Err(error) => tracing::warn!(%peer, "cannot register a connection: {error}"),
            }
        };
        let served = self.tasks.track_future(served);
        match &self.services.runtime {
            Some(runtime) => runtime.spawn(served),
            None => self.shared.threads.next().spawn(served),
        };
    }
}

/// Returns whether the peer closed the connection before it was accepted.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
