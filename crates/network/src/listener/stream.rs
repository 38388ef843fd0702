//! A connection that a listener accepted, with TLS or without.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use dohle_tls::ServerStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::prefixed::Prefixed;

/// A connection that a listener accepted. Reads return the bytes first that were read ahead.
#[derive(Debug)]
pub enum ListenerStream {
    /// Without TLS.
    Plaintext(Prefixed<TcpStream>),
    /// With TLS.
    Tls(Box<Prefixed<ServerStream<Prefixed<TcpStream>>>>),
}

impl ListenerStream {
    /// Returns the socket.
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plaintext(stream) => stream.get_ref(),
            Self::Tls(stream) => stream.get_ref().get_ref().0.get_ref(),
        }
    }
}

macro_rules! each {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            ListenerStream::Plaintext($inner) => $call,
            ListenerStream::Tls($inner) => $call,
        }
    };
}

impl ListenerStream {
    /// Puts bytes back that were read.
    pub(super) fn unread(&mut self, read: Bytes) {
        each!(self, inner => inner.unread(read));
    }
}

impl AsyncRead for ListenerStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl AsyncWrite for ListenerStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), inner => Pin::new(inner).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, inner => inner.is_write_vectored())
    }
}
