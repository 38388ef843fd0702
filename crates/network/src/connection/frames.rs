//! Cuts the stream of bytes into frames.
//!
//! Invariant: while no request may begin (the pipeline of the connection is full, or a request
//! waits that must not be overtaken), or the node has no memory for the frame, nothing beyond the
//! frame's length is read. The rest stays in the socket, and the client has to wait.
//!
//! Invariant: a frame that has begun is whole within a bound, or its connection is closed. While
//! another connection waits for memory it must also keep up a minimum rate.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{future::Future, io};

use bytes::{BufMut, Bytes, BytesMut};
use dohle_protocol::frame::LENGTH_BYTES;
use dohle_protocol::{FrameError, frame_length};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, Sleep};

use super::memory_pool::{MemoryPermit, RequestMemoryPool, Share, Wait};

/// The room of a connection that is idle, or sends small requests.
const ROOM_FIRST: usize = 4 << 10;
/// The room that is made at once for a frame larger than that.
const ROOM_STEP: usize = 128 << 10;
/// Frames up to this size are read into room of their size if the connection has sent such frames
/// before.
const ROOM_TRUSTED_MAX: usize = 2 << 20;
/// While other frames wait for memory, this much of a frame, or its end, must arrive in each
/// window ([`FrameTimes::window`]).
const WINDOW_BYTES_MIN: usize = 64 << 10;

/// How long the parts of a frame may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameTimes {
    /// From the moment the frame may be read to its last byte: the `request.timeout.ms` of the
    /// broker. A client that waits no longer than that for a response has given up the request.
    pub whole: Duration,
    /// In each period of this length at least 64 KiB, or the end of the frame, must arrive while
    /// other connections wait for memory.
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

/// What came of reading.
pub(super) enum Event {
    /// A whole frame, without its length.
    Frame(Bytes, MemoryPermit),
    /// The client sends no more.
    End,
    /// The connection broke.
    Lost(io::Error),
    /// The length of the next frame is none.
    Refused(FrameError),
    /// The frame that was begun did not arrive in time; its memory was given back.
    Late(String),
}

/// A frame that is being read.
struct PartialFrame {
    length: usize,
    permit: MemoryPermit,
    began: Instant,
    window_began: Instant,
    /// Bytes of the frame that were there when the window began.
    window_from: usize,
}

pub(super) struct Frames {
    buffer: BytesMut,
    begun: Option<PartialFrame>,
    /// The largest frame that was read to its end, up to [`ROOM_TRUSTED_MAX`].
    trusted: usize,
    waiting: Option<Wait>,
    share: Share,
    length_max: usize,
    times: FrameTimes,
    /// Wakes the connection to look at a frame that is slow; made for the first such frame.
    timer: Option<Pin<Box<Sleep>>>,
    /// All bytes that were read.
    received: u64,
}

impl Frames {
    pub fn new(memory_pool: &Arc<RequestMemoryPool>, length_max: usize, times: FrameTimes) -> Self {
        Self {
            buffer: BytesMut::new(),
            begun: None,
            trusted: 0,
            waiting: None,
            share: memory_pool.share(),
            length_max,
            times,
            timer: None,
            received: 0,
        }
    }

    /// Whether part of a frame was read.
    pub fn is_inside(&self) -> bool {
        !self.buffer.is_empty() || self.begun.is_some()
    }

    /// Whether the next frame waits for memory of the node.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// All bytes that were read so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Reads the next frame. A frame that has not begun yet is begun only when `may_begin`;
    /// otherwise the caller polls again when that has changed.
    pub fn poll_next<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        may_begin: bool,
    ) -> Poll<Event> {
        loop {
            if self.begun.is_none()
                && let Some(prefix) = self.buffer.first_chunk::<LENGTH_BYTES>()
            {
                let length = match frame_length(*prefix, self.length_max) {
                    Ok(length) => length,
                    Err(error) => return Poll::Ready(Event::Refused(error)),
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
                return Poll::Ready(Event::Frame(frame, begun.permit));
            }
            match self.poll_read(stream, cx, may_begin) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Event::End),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Event::Lost(error)),
                Poll::Pending => {
                    let reason = ready!(self.poll_late(cx));
                    self.begun = None;
                    self.buffer = BytesMut::new();
                    return Poll::Ready(Event::Late(reason));
                }
            }
        }
    }

    /// Ready with the frame's memory, once the node has it.
    fn poll_memory(&mut self, length: usize, cx: &mut Context<'_>) -> Poll<MemoryPermit> {
        loop {
            if let Some(permit) = self.share.take(length) {
                self.waiting = None;
                return Poll::Ready(permit);
            }
            match &mut self.waiting {
                Some(waiting) => {
                    ready!(waiting.poll(cx));
                    // Armed again before the next look, and counted as waiting all the time.
                    self.waiting = Some(self.share.wait());
                }
                // The loop looks once more: what is given back from here on is not missed.
                None => self.waiting = Some(self.share.wait()),
            }
        }
    }

    /// Ready with the reason when the frame that has begun takes too long.
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
        // Cancel safe: what was read is in the buffer.
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
