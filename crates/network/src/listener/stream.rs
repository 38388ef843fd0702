//! A connection that a listener accepted, with TLS or without.

use bytes::Bytes;
use dohle_tls::ServerStream;
use tokio::net::TcpStream;
use tokio_util::either::Either;

use super::prefixed::Prefixed;

/// A connection that a listener accepted: without TLS, or with it. Reads return the bytes first
/// that were read ahead.
pub type ListenerStream =
    Either<Prefixed<TcpStream>, Box<Prefixed<ServerStream<Prefixed<TcpStream>>>>>;

/// Returns the socket of a connection.
pub(super) fn socket(stream: &ListenerStream) -> &TcpStream {
    match stream {
        Either::Left(stream) => stream.get_ref(),
        Either::Right(stream) => stream.get_ref().get_ref().0.get_ref(),
    }
}

/// Puts bytes back that were read.
pub(super) fn unread(stream: &mut ListenerStream, read: Bytes) {
    match stream {
        Either::Left(stream) => stream.unread(read),
        Either::Right(stream) => stream.unread(read),
    }
}
