//! The `Replication` service, served on the inter-broker listener's own port.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use dohle_auth::NodePeer;
use dohle_rpc::replication_transport::{
    CALL_PATH, CATCH_UP_PATH, EndStatus, Framed, MessageBody, Messages, READ_RECORDS_PATH,
    REPLICATE_PATH,
};
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::calls::{self, BrokerRequestHandlers};
use super::connection;
use super::hello::code;
use super::leader_stream::{LeaderSession, LeaderStream};
use super::pending_subscriptions::PendingSubscriptions;
use super::records::{self, RecordsStream};
use super::replicator::StreamReplicator;
use crate::partitions::Partitions;

/// Serves followers of the partitions that this broker leads, and requests of other brokers.
#[derive(Debug, Clone)]
pub struct ReplicationServer {
    partitions: Arc<Partitions>,
    pending: Arc<PendingSubscriptions>,
    handlers: Arc<BrokerRequestHandlers>,
}

/// The messages of any kind of call.
enum Outgoing {
    Replication(Box<LeaderStream>),
    /// The messages of a call that has one response, or several.
    Messages(RecordsStream),
}

impl Stream for Outgoing {
    type Item = Result<Framed, EndStatus>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut *self {
            Self::Replication(stream) => Pin::new(&mut **stream).poll_next(cx),
            Self::Messages(stream) => Pin::new(stream).poll_next(cx),
        }
    }
}

type MessageResponse = Response<MessageBody<Outgoing>>;

/// A call, by its path.
#[derive(Debug, Clone, Copy)]
enum Call {
    Replicate,
    /// Replication of replicas that are far behind.
    CatchUp,
    ReadRecords,
    /// A Kafka request.
    Kafka,
}

impl ReplicationServer {
    /// Creates the server for these partitions, which the replicator replicates, with these
    /// handlers of requests.
    #[must_use]
    pub fn new(
        partitions: Arc<Partitions>,
        replicator: &StreamReplicator,
        handlers: BrokerRequestHandlers,
    ) -> Self {
        Self {
            partitions,
            pending: Arc::clone(replicator.pending()),
            handlers: Arc::new(handlers),
        }
    }

    /// Serves one connection of HTTP/2, of this peer, until it ends.
    pub async fn serve_connection(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: NodePeer,
    ) {
        let server = self.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (server, peer) = (server.clone(), peer.clone());
            async move {
                let answer = match route(request.uri().path()) {
                    Ok(Call::Replicate) => server.begin(request, peer, false),
                    Ok(Call::CatchUp) => server.begin(request, peer, true),
                    Ok(Call::ReadRecords) => {
                        let records = records::serve(server.partitions, peer, request.into_body());
                        respond(MessageBody::response(Outgoing::Messages(records.await)))
                    }
                    Ok(Call::Kafka) => {
                        let body = request.into_body();
                        let answer =
                            calls::serve(&server.partitions, &server.handlers, &peer, body);
                        let answer = stream::iter([answer.await]).boxed();
                        respond(MessageBody::response(Outgoing::Messages(answer)))
                    }
                    Err(status) => refuse(&status),
                };
                Ok::<_, Infallible>(answer)
            }
        });
        if let Err(error) = connection::server()
            .serve_connection(TokioIo::new(io), service)
            .await
        {
            tracing::debug!(%error, "replication connection ended");
        }
    }

    fn begin(&self, request: Request<Incoming>, peer: NodePeer, catch_up: bool) -> MessageResponse {
        let calls = LeaderSession::new(
            Arc::clone(&self.partitions),
            peer,
            Arc::clone(&self.pending),
        );
        let messages = Messages::new(request.into_body(), FOLLOWER_MESSAGE_BYTES_MAX);
        tokio::spawn(Arc::clone(&calls).receive(messages));
        let stream = Outgoing::Replication(Box::new(LeaderStream::new(calls, catch_up)));
        respond(MessageBody::response(stream))
    }
}

fn respond(body: MessageBody<Outgoing>) -> MessageResponse {
    let mut response = Response::new(body);
    let grpc = HeaderValue::from_static("application/grpc");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, grpc);
    response
}

/// The largest message of a follower, which has subscriptions and acks but no records.
const FOLLOWER_MESSAGE_BYTES_MAX: usize = 4 << 20;

fn route(path: &str) -> Result<Call, EndStatus> {
    match path {
        REPLICATE_PATH => Ok(Call::Replicate),
        CATCH_UP_PATH => Ok(Call::CatchUp),
        READ_RECORDS_PATH => Ok(Call::ReadRecords),
        CALL_PATH => Ok(Call::Kafka),
        other => {
            let message = format!("this broker does not serve {other}");
            Err(EndStatus {
                code: code::UNIMPLEMENTED,
                message,
            })
        }
    }
}

fn refuse(status: &EndStatus) -> MessageResponse {
    let mut response = Response::new(MessageBody::empty());
    *response.headers_mut() = status.trailers();
    let grpc = HeaderValue::from_static("application/grpc");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, grpc);
    response
}
