//! HTTP/2 as replication wants it: large windows and frames, no Nagle, and pings that notice a peer
//! that is frozen.

use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioTimer};

/// What may be on the way on a stream and on a connection, more than the credits allow: HTTP/2's
/// own windows are never what holds replication back.
const WINDOW_BYTES: u32 = 16 << 20;
/// The largest frame: one message of records is a few frames.
const FRAME_BYTES: u32 = 1 << 20;
const SEND_BUFFER_BYTES: usize = 4 << 20;
const PING_INTERVAL: Duration = Duration::from_secs(2);
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// Records that a leader may send beyond what the follower has taken in.
pub(super) const CREDIT_BYTES: u64 = 8 << 20;
/// The same for replicas that are far behind.
pub(super) const CATCH_UP_CREDIT_BYTES: u64 = 2 << 20;
/// Records in one message, unless a single batch is larger.
pub(super) const MESSAGE_BYTES: usize = 1 << 20;
/// The largest message that is taken: a batch of the largest size that a segment holds.
pub(super) const MESSAGE_BYTES_MAX: usize = i32::MAX as usize;

/// A follower's connections.
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

/// A leader's connections.
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
