//! Cuts the stream of bytes into frames.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::{future::Future, io};

use bytes::{Bytes, BytesMut};
use dohle_protocol::frame::LENGTH_BYTES;
use dohle_protocol::{FrameError, frame_length};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::futures::OwnedNotified;

use super::budget::{Budget, Charge};

/// The room of a connection that is idle, or sends small requests.
const ROOM_FIRST: usize = 4 << 10;
/// The room that is made at once for a frame larger than that.
const ROOM_STEP: usize = 128 << 10;
/// Frames up to this size are read into room of their size if the connection has sent such frames
/// before.
const ROOM_TRUSTED_MAX: usize = 2 << 20;

/// What came of reading.
pub(super) enum Event {
    /// A whole frame, without its length.
    Frame(Bytes, Charge),
    /// The client sends no more.
    End,
    /// The connection broke.
    Lost(io::Error),
    /// The length of the next frame is none.
    Refused(FrameError),
}

pub(super) struct Frames {
    buffer: BytesMut,
    /// The length of the frame that is being read.
    length: Option<usize>,
    charge: Option<Charge>,
    /// The largest frame that was read to its end, up to [`ROOM_TRUSTED_MAX`].
    trusted: usize,
    waiting: Option<Pin<Box<OwnedNotified>>>,
    budget: Arc<Budget>,
    length_max: usize,
}

impl Frames {
    pub fn new(budget: Arc<Budget>, length_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            length: None,
            charge: None,
            trusted: 0,
            waiting: None,
            budget,
            length_max,
        }
    }

    /// Whether part of a frame was read.
    pub fn is_inside(&self) -> bool {
        !self.buffer.is_empty() || self.length.is_some()
    }

    pub fn poll_next<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Event> {
        loop {
            if self.length.is_none()
                && let Some(prefix) = self.buffer.first_chunk::<LENGTH_BYTES>()
            {
                let length = match frame_length(*prefix, self.length_max) {
                    Ok(length) => length,
                    Err(error) => return Poll::Ready(Event::Refused(error)),
                };
                ready!(self.poll_budget(cx));
                let _ = self.buffer.split_to(LENGTH_BYTES);
                let mut charge = self.budget.charge();
                charge.add(self.buffer.len().min(length));
                self.charge = Some(charge);
                self.length = Some(length);
            }
            if let Some(length) = self.length
                && self.buffer.len() >= length
                && let Some(charge) = self.charge.take()
            {
                self.length = None;
                self.trusted = self.trusted.max(length.min(ROOM_TRUSTED_MAX));
                return Poll::Ready(Event::Frame(self.buffer.split_to(length).freeze(), charge));
            }
            match ready!(self.poll_read(stream, cx)) {
                Ok(0) => return Poll::Ready(Event::End),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Event::Lost(error)),
            }
        }
    }

    /// Ready when the node may begin to hold another frame.
    fn poll_budget(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.budget.is_free() {
            let budget = &self.budget;
            let waiting = self.waiting.get_or_insert_with(|| {
                let mut freed = Box::pin(budget.freed());
                // From here on nothing that is given back is missed; the loop looks once more.
                freed.as_mut().enable();
                freed
            });
            if budget.is_free() {
                break;
            }
            ready!(waiting.as_mut().poll(cx));
            self.waiting = None;
        }
        self.waiting = None;
        Poll::Ready(())
    }

    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.make_room();
        // Cancel safe: what was read is in the buffer.
        let read = std::pin::pin!(stream.read_buf(&mut self.buffer));
        let count = ready!(read.poll(cx))?;
        self.advance(count);
        Poll::Ready(Ok(count))
    }

    fn advance(&mut self, count: usize) {
        if let (Some(charge), Some(length)) = (&mut self.charge, self.length) {
            let before = (self.buffer.len() - count).min(length);
            charge.add(self.buffer.len().min(length) - before);
        }
    }

    fn make_room(&mut self) {
        let have = self.buffer.len();
        let wanted = match self.length {
            None => ROOM_FIRST,
            Some(length) => length.min(ROOM_STEP.max(2 * have).max(self.trusted)),
        };
        if self.buffer.capacity() == have
            || (self.length.is_some() && self.buffer.capacity() < wanted)
        {
            self.buffer.reserve(wanted.saturating_sub(have).max(1));
        }
    }
}
