//! Divides the byte stream of a connection into frames.
//!
//! Invariant: only the length of the next frame is read while its request may not begin (the queue
//! of the connection is full, or a request waits that is not pipelined) or the node has no memory
//! for it. Everything else stays in the socket's buffer, so that TCP slows the client down.
//!
//! Invariant: a frame arrives completely within a limited time, or its connection is closed. While
//! other connections wait for memory, it must also arrive at a minimum rate.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{future::Future, io};

use bytes::{BufMut, Bytes, BytesMut};
use dohle_protocol::frame::LENGTH_BYTES;
use dohle_protocol::{Foreign, FrameError, FrameSizes, frame_length};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, Sleep};

use super::memory_pool::{MemoryPermit, RequestMemoryPool, Share, Wait};

/// The buffer of a connection that is idle or sends small requests, in bytes.
const ROOM_FIRST: usize = 4 << 10;
/// The buffer that is allocated first for a frame larger than [`ROOM_FIRST`], in bytes.
const ROOM_STEP: usize = 128 << 10;
/// A frame of up to this many bytes gets a buffer of its full size at once, if the connection sent
/// a frame of that size before.
const ROOM_TRUSTED_MAX: usize = 2 << 20;
/// While other connections wait for memory, so many bytes of a frame, or its end, must arrive in
/// each [`FrameTimes::window`].
const WINDOW_BYTES_MIN: usize = 64 << 10;

/// How long a frame may take to arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameTimes {
    /// The time from the moment the frame may be read until its last byte arrives: the broker's
    /// `request.timeout.ms`. By then the client has given up waiting for the response.
    pub whole: Duration,
    /// While other connections wait for memory, at least 64 KiB of the frame, or its end, must
    /// arrive in each period of this length.
    pub window: Duration,
}

impl Default for FrameTimes {
    fn default() -> Self {
        Self {
            whole: Duration::from_secs(30),
            window: Duration::from_secs(2),
        }
    }
}

/// The result of reading from a connection.
pub(super) enum FrameEvent {
    /// A complete frame, without its length.
    Frame(Bytes, MemoryPermit),
    /// The client closed its end of the connection.
    End,
    /// Reading failed.
    Lost(io::Error),
    /// The length of the next frame is invalid.
    Refused(FrameError),
    /// HTTP/2 begins instead of a frame. Its first bytes are in the buffer.
    Http2,
    /// The frame did not arrive in time, for this reason. Its memory was given back.
    Late(String),
}

/// A frame that is being read.
struct PartialFrame {
    length: usize,
    permit: MemoryPermit,
    began: Instant,
    window_began: Instant,
    /// How many bytes of the frame had arrived when the window began.
    window_from: usize,
}

pub(super) struct Frames {
    buffer: BytesMut,
    begun: Option<PartialFrame>,
    /// The size of the largest frame that arrived completely, at most [`ROOM_TRUSTED_MAX`].
    trusted: usize,
    waiting: Option<Wait>,
    share: Share,
    sizes: FrameSizes,
    /// Whether HTTP/2 may begin instead of a frame.
    accepts_http2: bool,
    times: FrameTimes,
    /// Wakes the connection to check a slow frame. Created for the first such frame.
    timer: Option<Pin<Box<Sleep>>>,
    /// The number of bytes that were read.
    received: u64,
}

impl Frames {
    pub fn new(memory_pool: &Arc<RequestMemoryPool>, sizes: FrameSizes, times: FrameTimes) -> Self {
        Self {
            buffer: BytesMut::new(),
            begun: None,
            trusted: 0,
            waiting: None,
            share: memory_pool.share(),
            sizes,
            accepts_http2: false,
            times,
            timer: None,
            received: 0,
        }
    }

    /// Accepts frames of these sizes from the next one on, and HTTP/2 instead if `http2`.
    pub fn accept(&mut self, sizes: FrameSizes, http2: bool) {
        self.sizes = sizes;
        self.accepts_http2 = http2;
    }

    /// Accepts frames of these sizes, the one that was refused included.
    pub fn set_sizes(&mut self, sizes: FrameSizes) {
        self.sizes = sizes;
    }

    /// Returns the bytes that were read and belong to no frame yet.
    pub fn into_rest(self) -> Bytes {
        self.buffer.freeze()
    }

    /// Returns whether a part of a frame was read.
    pub fn is_inside(&self) -> bool {
        !self.buffer.is_empty() || self.begun.is_some()
    }

    /// Returns whether the next frame waits for memory.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Returns the number of bytes that were read so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Reads the next frame. Unless `may_begin`, no more than the length of a new frame is read;
    /// the caller polls again when a request may begin.
    pub fn poll_next<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        may_begin: bool,
    ) -> Poll<FrameEvent> {
        loop {
            if self.begun.is_none()
                && let Some(prefix) = self.buffer.first_chunk::<LENGTH_BYTES>()
            {
                if self.accepts_http2 && Foreign::recognise(*prefix) == Some(Foreign::Http2) {
                    return Poll::Ready(FrameEvent::Http2);
                }
                let length = match frame_length(*prefix, self.sizes) {
                    Ok(length) => length,
                    Err(error) => return Poll::Ready(FrameEvent::Refused(error)),
                };
                if !may_begin {
                    self.waiting = None;
                    return Poll::Pending;
                }
                let permit = ready!(self.poll_memory(length, cx));
                let _ = self.buffer.split_to(LENGTH_BYTES);
                let now = Instant::now();
                self.begun = Some(PartialFrame {
                    length,
                    permit,
                    began: now,
                    window_began: now,
                    window_from: self.buffer.len().min(length),
                });
            }
            if let Some(begun) = self.begun.take_if(|it| self.buffer.len() >= it.length) {
                self.trusted = self.trusted.max(begun.length.min(ROOM_TRUSTED_MAX));
                let frame = self.buffer.split_to(begun.length).freeze();
                assert_eq!(
                    begun.permit.bytes(),
                    frame.len(),
                    "bytes of memory that a frame has taken"
                );
                return Poll::Ready(FrameEvent::Frame(frame, begun.permit));
            }
            match self.poll_read(stream, cx, may_begin) {
                Poll::Ready(Ok(0)) => return Poll::Ready(FrameEvent::End),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(FrameEvent::Lost(error)),
                Poll::Pending => {
                    let reason = ready!(self.poll_late(cx));
                    self.begun = None;
                    self.buffer = BytesMut::new();
                    return Poll::Ready(FrameEvent::Late(reason));
                }
            }
        }
    }

    /// Takes the memory of a frame from the pool, or waits for it.
    fn poll_memory(&mut self, length: usize, cx: &mut Context<'_>) -> Poll<MemoryPermit> {
        loop {
            if let Some(permit) = self.share.take(length) {
                self.waiting = None;
                return Poll::Ready(permit);
            }
            match &mut self.waiting {
                Some(waiting) => {
                    ready!(waiting.poll(cx));
                    // Registers again before the next attempt, and counts as waiting meanwhile.
                    self.waiting = Some(self.share.wait());
                }
                // The loop tries once more, so memory that was given back in between is found.
                None => self.waiting = Some(self.share.wait()),
            }
        }
    }

    /// Completes with the reason when the frame that is being read takes too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<String> {
        loop {
            let Some(begun) = &mut self.begun else {
                return Poll::Pending;
            };
            let until = begun.began + self.times.whole;
            let next = until.min(begun.window_began + self.times.window);
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
            if timer.deadline() != next {
                timer.as_mut().reset(next);
            }
            ready!(timer.as_mut().poll(cx));
            let (arrived, length) = (self.buffer.len().min(begun.length), begun.length);
            assert!(
                begun.window_from <= arrived,
                "{arrived} bytes of a frame have arrived, and {} before",
                begun.window_from
            );
            let now = Instant::now();
            if now >= until {
                return Poll::Ready(format!(
                    "{arrived} of the {length} bytes of a request arrived within {:?} \
                     (request.timeout.ms)",
                    self.times.whole
                ));
            }
            let least = WINDOW_BYTES_MIN.min(length - begun.window_from);
            if arrived - begun.window_from < least && self.share.memory_pool().is_short() {
                return Poll::Ready(format!(
                    "other requests wait for memory (queued.max.request.bytes), and {} bytes of a \
                     request of {length} arrived within {:?}",
                    arrived - begun.window_from,
                    self.times.window
                ));
            }
            begun.window_began = now;
            begun.window_from = arrived;
        }
    }

    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        may_begin: bool,
    ) -> Poll<io::Result<usize>> {
        let rest = match &self.begun {
            Some(begun) => begun.length - self.buffer.len() + ROOM_FIRST,
            None if may_begin => ROOM_FIRST,
            None => LENGTH_BYTES - self.buffer.len(),
        };
        self.make_room();
        let mut room = (&mut self.buffer).limit(rest);
        // Dropping this future loses nothing: the bytes that were read are in the buffer.
        let read = std::pin::pin!(stream.read_buf(&mut room));
        let count = ready!(read.poll(cx))?;
        self.received += count as u64;
        Poll::Ready(Ok(count))
    }

    fn make_room(&mut self) {
        let have = self.buffer.len();
        let wanted = match &self.begun {
            None => ROOM_FIRST,
            Some(begun) => begun.length.min(ROOM_STEP.max(2 * have).max(self.trusted)),
        };
        if self.buffer.capacity() == have
            || (self.begun.is_some() && self.buffer.capacity() < wanted)
        {
            self.buffer.reserve(wanted.saturating_sub(have).max(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;

    use super::*;

    /// As in CVE-2022-34917: clients that had not authenticated made Kafka allocate what they only
    /// announced.
    #[tokio::test]
    async fn a_length_that_is_only_announced_takes_little_memory() {
        let announced = 100 << 20;
        let pool = RequestMemoryPool::new(1 << 30);
        let sizes = FrameSizes::of_requests(announced);
        let mut frames = Frames::new(&pool, sizes, FrameTimes::default());
        let (mut client, mut server) = tokio::io::duplex(1 << 20);
        let length = i32::try_from(announced).unwrap();
        client.write_all(&length.to_be_bytes()).await.unwrap();
        let mut sent = 0;
        for bytes in [0, 100, 300_000] {
            client.write_all(&vec![0; bytes]).await.unwrap();
            sent += bytes;
            let polled = |cx: &mut Context<'_>| {
                let polled = frames.poll_next(&mut server, cx, true);
                Poll::Ready(polled.is_pending())
            };
            assert!(poll_fn(polled).await);
            let capacity = frames.buffer.capacity();
            assert!(capacity <= 4 * sent + ROOM_STEP, "{capacity} for {sent}");
        }
    }
}
