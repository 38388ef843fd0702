//! HTTP/2 connections with the settings that replication needs: large windows and frames, no Nagle,
//! and pings that detect a peer that no longer responds.

use std::time::Duration;

use dohle_model::HostPort;
use dohle_rpc::replication_transport::{
    EndStatus, Framed, MessageBody, Messages, TransportError, refusal,
};
use dohle_tls::Connector;
use futures::Stream;
use http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::task::JoinHandle;

/// The HTTP/2 window of a stream and of a connection. Larger than the credits, so that only the
/// credits limit what is in flight.
const WINDOW_BYTES: u32 = 16 << 20;
/// The largest HTTP/2 frame. A message of records takes a few frames.
const FRAME_BYTES: u32 = 1 << 20;
const SEND_BUFFER_BYTES: usize = 4 << 20;
const PING_INTERVAL: Duration = Duration::from_secs(2);
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of records that a leader may send before the follower has processed them.
pub(super) const CREDIT_BYTES: u64 = 8 << 20;
/// The same on a stream for replicas that are far behind.
pub(super) const CATCH_UP_CREDIT_BYTES: u64 = 2 << 20;
/// The same for throttled replicas: one message, so that they exceed their limit by little.
pub(super) const THROTTLED_CREDIT_BYTES: u64 = 256 << 10;
/// Bytes of records in one message, unless a single batch is larger.
pub(super) const MESSAGE_BYTES: usize = 1 << 20;
/// The largest message that is accepted: one batch of the largest size that fits in a segment.
pub(super) const MESSAGE_BYTES_MAX: usize = i32::MAX as usize;

/// Builds connections of a follower to its leaders.
pub(super) fn client() -> hyper::client::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .adaptive_window(false)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true);
    builder
}

/// Builds connections of a leader to its followers.
pub(super) fn server() -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .adaptive_window(false)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_concurrent_streams(64)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

/// The task that drives a connection. Dropping this ends the task.
pub(super) struct Connection(JoinHandle<()>);

impl Connection {
    pub(super) fn abort(&self) {
        self.0.abort();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends the requests of one connection. Clones share the connection.
pub(super) type Sender<S> = SendRequest<MessageBody<S>>;

/// Connects to a broker.
///
/// # Errors
/// When the broker cannot be reached.
pub(super) async fn connect<S>(
    connector: &Connector,
    host: &str,
    port: u16,
) -> Result<(Sender<S>, Connection), TransportError>
where
    S: Stream<Item = Result<Framed, EndStatus>> + Unpin + Send + 'static,
{
    let stream = connector.connect(host, port).await;
    let stream = stream.map_err(|error| broken(&error))?;
    let (sender, connection) = client()
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    let connection = Connection(tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "replication connection ended");
        }
    }));
    Ok((sender, connection))
}

/// Begins a call whose requests are the items of `requests`, and returns the messages that answer
/// them.
///
/// # Errors
/// When the connection broke, or the broker refuses the call.
pub(super) async fn begin<S>(
    sender: &mut Sender<S>,
    authority: &HostPort<'_>,
    path: &str,
    requests: S,
) -> Result<Messages<Incoming>, TransportError>
where
    S: Stream<Item = Result<Framed, EndStatus>> + Unpin + Send + 'static,
{
    let request = Request::post(format!("http://{authority}{path}"))
        .header(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        )
        .header(header::TE, HeaderValue::from_static("trailers"))
        .body(MessageBody::request(requests))
        .map_err(|error| broken(&error))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| broken(&error))?;
    if let Some(EndStatus { code, message }) = refusal(response.headers()) {
        return Err(TransportError::Status { code, message });
    }
    if !response.status().is_success() {
        return Err(TransportError::Broken(format!(
            "HTTP status {}",
            response.status()
        )));
    }
    Ok(Messages::new(response.into_body(), MESSAGE_BYTES_MAX))
}

/// Connects to a broker and begins a call whose requests are the items of `requests`.
///
/// # Errors
/// When the broker cannot be reached or refuses the call.
pub(super) async fn call<S>(
    connector: &Connector,
    host: &str,
    port: u16,
    path: &str,
    requests: S,
) -> Result<(Messages<Incoming>, Connection), TransportError>
where
    S: Stream<Item = Result<Framed, EndStatus>> + Unpin + Send + 'static,
{
    let (mut sender, connection) = connect(connector, host, port).await?;
    let messages = begin(&mut sender, &HostPort(host, port), path, requests).await?;
    Ok((messages, connection))
}

fn broken(error: &dyn std::fmt::Display) -> TransportError {
    TransportError::Broken(error.to_string())
}
