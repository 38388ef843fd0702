//! Serves gRPC on connections that a listener accepted.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dohle_auth::{Authorizer, NodePeer, NodePrincipals, Principal};
use dohle_broker::replication::ReplicationServer;
use dohle_model::acl::{Operation, ResourceType};
use dohle_network::connection::Client;
use dohle_network::listener::{Http2Service, ListenerStream};
use dohle_tls::{ClientAuth, FailureLog, HandshakeFailure, ServerTls};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tonic::service::Routes;

/// The size of flow-control windows, so that large messages need not wait for window updates.
const WINDOW_BYTES: u32 = 16 << 20;
const FRAME_BYTES_MAX: u32 = 1 << 20;
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The name of the cluster as a resource of ACLs.
const CLUSTER_NAME: &str = "kafka-cluster";

/// gRPC services behind a listener.
pub(crate) struct Grpc {
    routes: Routes,
    principals: Option<Arc<NodePrincipals>>,
}

impl Grpc {
    /// Serves nodes, which act under the ids that the principals allow.
    pub(crate) fn new(routes: Routes, principals: Option<Arc<NodePrincipals>>) -> Self {
        Self {
            routes: routes.prepare(),
            principals,
        }
    }
}

/// Returns the node at the other end of a connection.
fn node_peer(principals: Option<&Arc<NodePrincipals>>, client: &Client) -> NodePeer {
    let Some(principals) = principals else {
        return NodePeer::default();
    };
    let principal = client.principal().cloned();
    NodePeer::bound(
        Arc::clone(principals),
        principal.unwrap_or_else(Principal::anonymous),
        Arc::clone(&client.listener),
        client.peer,
    )
}

impl Http2Service for Grpc {
    fn serve(
        &self,
        stream: ListenerStream,
        client: Client,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        // The services find the peer in the extensions of a request.
        let peer = node_peer(self.principals.as_ref(), &client);
        let routes = TowerToHyperService::new(self.routes.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            routes.call(request)
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX)
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        Box::pin(async move {
            if let Err(error) = connection.await {
                tracing::debug!(peer = %client.peer, "gRPC connection ended: {error}");
            }
        })
    }
}

/// The replication service behind the inter-broker listener.
pub(crate) struct Replication {
    pub(crate) server: ReplicationServer,
    /// The brokers act under the ids that these allow.
    pub(crate) principals: Option<Arc<NodePrincipals>>,
}

impl Http2Service for Replication {
    fn serve(
        &self,
        stream: ListenerStream,
        client: Client,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let server = self.server.clone();
        let peer = node_peer(self.principals.as_ref(), &client);
        Box::pin(async move { server.serve_connection(stream, peer).await })
    }
}

/// Serves connections of other nodes only: refuses a peer without a certificate where a listener
/// without SASL asks for one, and a peer that may not carry out ClusterAction on the cluster.
pub(crate) struct NodesOnly {
    service: Arc<dyn Http2Service>,
    tls: Option<Arc<ServerTls>>,
    authorizer: Arc<dyn Authorizer>,
    failures: FailureLog,
    started: Instant,
}

impl NodesOnly {
    /// Serves other nodes at a listener with this TLS.
    pub(crate) fn new(
        service: Arc<dyn Http2Service>,
        tls: Option<Arc<ServerTls>>,
        authorizer: Arc<dyn Authorizer>,
    ) -> Arc<Self> {
        Arc::new(Self {
            service,
            tls,
            authorizer,
            failures: FailureLog::default(),
            started: Instant::now(),
        })
    }

    /// Returns why a peer is refused; `None` when it is served.
    fn refusal(&self, client: &Client) -> Option<HandshakeFailure> {
        let asks = |tls: &Arc<ServerTls>| tls.client_auth() != ClientAuth::None;
        let principal = match client.principal() {
            Some(principal) => principal.clone(),
            // The listener passes on no connection that has not authenticated.
            None if client.security_protocol.is_sasl() => {
                return Some(HandshakeFailure::new(
                    "it connected as another node without authenticating (SASL)",
                ));
            }
            None if self.tls.as_ref().is_some_and(asks) => {
                return Some(HandshakeFailure::new(
                    "it connected as another node without a certificate: set \
                     ssl.keystore.location on it",
                ));
            }
            None => Principal::anonymous(),
        };
        let cluster = (ResourceType::Cluster, CLUSTER_NAME);
        let host = client.peer.ip();
        if self
            .authorizer
            .is_allowed(&principal, host, Operation::ClusterAction, cluster)
        {
            return None;
        }
        Some(HandshakeFailure::new(format!(
            "it connected as another node, and {principal} may not carry out ClusterAction on the \
             cluster: add the principal to super.users, or add an ACL"
        )))
    }
}

impl Http2Service for NodesOnly {
    fn serve(
        &self,
        stream: ListenerStream,
        client: Client,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let Some(cause) = self.refusal(&client) else {
            return self.service.serve(stream, client);
        };
        let (listener, peer, now) = (&client.listener, client.peer, self.started.elapsed());
        if self.failures.is_new(listener, peer.ip(), &cause, now) {
            tracing::warn!(%listener, %peer, "closed a connection: {cause}");
        }
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests;
