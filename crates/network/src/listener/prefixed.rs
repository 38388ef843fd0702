//! A stream whose first bytes were read ahead, to recognise its protocol.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use dohle_protocol::Foreign;
use dohle_protocol::foreign::SNIFF_BYTES;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// A stream whose first bytes were already read. Reads return these bytes first.
#[derive(Debug)]
pub struct Prefixed<S> {
    prefix: Bytes,
    stream: S,
}

impl<S> Prefixed<S> {
    /// Returns a stream that reads `prefix` first and then `stream`.
    pub fn new(prefix: Bytes, stream: S) -> Self {
        Self { prefix, stream }
    }

    /// Puts bytes back that were read. Later reads return them first.
    pub fn unread(&mut self, read: Bytes) {
        self.prefix = if self.prefix.is_empty() {
            read
        } else {
            [read, self.prefix.clone()].concat().into()
        };
    }

    /// Returns the stream without the prefix.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

/// Reads the first bytes of a connection. Returns `None` when it ends, fails or sends nothing for
/// too long before they have arrived. That is not logged.
pub(super) async fn sniff<S: AsyncRead + Unpin>(
    mut stream: S,
    idle_max: Duration,
) -> Option<(Prefixed<S>, Option<Foreign>)> {
    let mut first = BytesMut::with_capacity(SNIFF_BYTES);
    let read = async {
        while first.len() < SNIFF_BYTES {
            let mut rest = (&mut stream).take((SNIFF_BYTES - first.len()) as u64);
            match rest.read_buf(&mut first).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
        <[u8; SNIFF_BYTES]>::try_from(&first[..]).ok()
    };
    let mark = tokio::time::timeout(idle_max, read).await.ok()??;
    Some((
        Prefixed::new(first.freeze(), stream),
        Foreign::recognise(mark),
    ))
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = self.prefix.len().min(buf.remaining());
        buf.put_slice(&self.prefix[..count]);
        self.prefix.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn sniffed(first: &[u8]) -> Option<(Vec<u8>, Option<Foreign>)> {
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(first).await.unwrap();
        drop(client);
        let (mut stream, foreign) = sniff(server, Duration::from_secs(1)).await?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        Some((all, foreign))
    }

    #[tokio::test]
    async fn nothing_is_lost_by_sniffing() {
        let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        assert_eq!(
            sniffed(http2).await,
            Some((http2.to_vec(), Some(Foreign::Http2)))
        );
        let kafka = [0, 0, 0, 20, 0, 18, 0, 3];
        assert_eq!(sniffed(&kafka).await, Some((kafka.to_vec(), None)));
    }

    #[tokio::test]
    async fn a_connection_that_ends_before_it_says_anything_is_nothing() {
        assert_eq!(sniffed(b"").await, None);
        assert_eq!(sniffed(b"GE").await, None);
    }

    #[tokio::test]
    async fn a_silent_connection_is_given_up() {
        let (_client, server) = tokio::io::duplex(64);
        assert!(sniff(server, Duration::from_millis(20)).await.is_none());
    }
}
