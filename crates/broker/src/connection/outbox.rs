//! What is to be written, as chunks, and the vectored writes that take it to the socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::Frame;

/// Entries of one vectored write.
const SLICES_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Outbox {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    /// All bytes that the socket accepted.
    written_bytes: u64,
}

impl Outbox {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All bytes that the socket accepted so far.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub fn push(&mut self, frame: Frame) {
        match frame {
            Frame::One(chunk) => self.push_chunk(chunk),
            Frame::Many(chunks) => chunks.into_iter().for_each(|chunk| self.push_chunk(chunk)),
        }
    }

    fn push_chunk(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.bytes += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    /// Writes until all is written or the socket takes no more.
    pub fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.chunks.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut count = 0;
            for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
                *slice = IoSlice::new(chunk);
                count += 1;
            }
            let stream = Pin::new(&mut *stream);
            let written = if count == 1 {
                ready!(stream.poll_write(cx, &slices[0]))?
            } else {
                ready!(stream.poll_write_vectored(cx, &slices[..count]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written(written);
        }
        // Sockets need no flush; other streams (TLS) do.
        Pin::new(stream).poll_flush(cx)
    }

    fn written(&mut self, mut count: usize) {
        self.bytes -= count;
        self.written_bytes += count as u64;
        while count > 0 {
            let Some(first) = self.chunks.front_mut() else {
                return;
            };
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.chunks.pop_front();
        }
    }
}
