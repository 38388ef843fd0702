//! Serves gRPC on connections that a listener accepted.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use dohle_broker::replication::ReplicationServer;
use dohle_network::listener::{Http2Service, Prefixed};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tonic::service::Routes;

/// The size of flow-control windows, so that large messages need not wait for window updates.
const WINDOW_BYTES: u32 = 16 << 20;
const FRAME_BYTES_MAX: u32 = 1 << 20;
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// gRPC services behind a listener.
pub(crate) struct Grpc {
    routes: Routes,
}

impl Grpc {
    pub(crate) fn new(routes: Routes) -> Self {
        Self {
            routes: routes.prepare(),
        }
    }
}

impl Http2Service for Grpc {
    fn serve(
        &self,
        stream: Prefixed<TcpStream>,
        peer: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX)
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .serve_connection(
                TokioIo::new(stream),
                TowerToHyperService::new(self.routes.clone()),
            );
        Box::pin(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, "gRPC connection ended: {error}");
            }
        })
    }
}

/// The replication service behind the inter-broker listener.
pub(crate) struct Replication(pub(crate) ReplicationServer);

impl Http2Service for Replication {
    fn serve(
        &self,
        stream: Prefixed<TcpStream>,
        _peer: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let server = self.0.clone();
        Box::pin(async move { server.serve_connection(stream).await })
    }
}
