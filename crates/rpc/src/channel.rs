//! Channels to other nodes, with TLS and authentication or without.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use dohle_tls::{Connector, NodeStream};
use hyper_util::rt::TokioIo;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

/// Returns a channel that connects when it is first used, and again when the connection broke.
#[must_use]
pub fn connect_lazy(endpoint: &Endpoint, connector: &Connector) -> Channel {
    if connector.is_plaintext() {
        return endpoint.connect_lazy();
    }
    endpoint.connect_with_connector_lazy(NodeService(connector.clone()))
}

/// Opens the connections of a channel.
struct NodeService(Connector);

impl Service<Uri> for NodeService {
    type Response = TokioIo<NodeStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.0.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default();
            // The host of an address of IPv6 has brackets in a URI.
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let port = uri
                .port_u16()
                .ok_or_else(|| io::Error::other(format!("{uri} has no port")))?;
            let stream = connector.connect(host, port).await?;
            Ok(TokioIo::new(stream))
        })
    }
}
