//! A connection as one future, which polls the slots of requests, reads frames and writes
//! responses.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use dohle_protocol::{FrameError, FrameSizes};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::frames::{FrameEvent, Frames};
use super::outbox::{Outbox, WriteError};
use super::stages::{Answered, UnsentResponses};
use super::{
    Authenticated, ConnectionHandler, ConnectionLimits, NodeConnection, Pending, RequestMemoryPool,
    ResponseAction,
};

/// Requests of a connection that may be in progress at a time.
const SLOTS_MAX: usize = 64;
/// While more bytes than this wait to be written, no further requests begin.
const OUTBOX_BYTES_MAX: usize = 1 << 20;
/// Frames that a connection serves before it yields to other connections of its thread.
const FRAMES_A_TURN: usize = 16;

/// Why a connection ended.
pub(super) enum ConnectionEnd {
    /// The client closed it, it was idle, or this node stops.
    Quiet,
    /// The socket failed.
    Lost(io::Error),
    /// This node closed it, for this reason.
    Closed(String),
    /// This node closed it, because the client sent bytes that are not a valid request.
    Refused(String),
    /// The client has authenticated, and goes on with HTTP/2.
    Http2(Authenticated),
}

enum ResponseSlot {
    Waiting {
        pending: Pending,
        /// When the request was polled for the first time.
        polled: Instant,
    },
    Done(ResponseAction, Option<Answered>),
}

pub(super) struct Connection<S> {
    stream: S,
    session: Box<dyn ConnectionHandler>,
    frames: Frames,
    slots: VecDeque<ResponseSlot>,
    /// The number of slots that wait.
    waiting: usize,
    /// Whether a request waits that is not pipelined. Its slot is the last one then.
    blocked: bool,
    /// Completes when the throttle time of the client is over; `None` while it is not throttled.
    muted: Option<Pin<Box<Sleep>>>,
    outbox: Outbox,
    responses: UnsentResponses,
    memory_pool: Arc<RequestMemoryPool>,
    limits: ConnectionLimits,
    /// When bytes were last read from the socket, or last accepted by it.
    last_progress: Instant,
    /// The number of bytes that had been read and written by then.
    progress: u64,
    idle: Pin<Box<Sleep>>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Set once no further request is read: how the connection ends when all responses are sent.
    closing: Option<ConnectionEnd>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub fn new(
        stream: S,
        session: Box<dyn ConnectionHandler>,
        memory_pool: Arc<RequestMemoryPool>,
        limits: ConnectionLimits,
        shutdown: CancellationToken,
    ) -> Self {
        let now = Instant::now();
        let sizes = FrameSizes::of_requests(limits.request_bytes_max.get());
        let sizes = session.frame_sizes(sizes);
        Self {
            stream,
            session,
            frames: Frames::new(&memory_pool, sizes, limits.frame_times),
            slots: VecDeque::new(),
            waiting: 0,
            blocked: false,
            muted: None,
            outbox: Outbox::new(Arc::clone(&memory_pool)),
            responses: UnsentResponses::default(),
            memory_pool,
            last_progress: now,
            progress: 0,
            idle: Box::pin(tokio::time::sleep_until(now + limits.idle_max)),
            shutdown: Box::pin(shutdown.cancelled_owned()),
            limits,
            closing: None,
        }
    }

    /// Returns the parts of a connection that becomes that of another node.
    pub fn into_node(self, authenticated: Authenticated) -> NodeConnection<S> {
        NodeConnection {
            stream: self.stream,
            read: self.frames.into_rest(),
            authenticated,
        }
    }

    /// Polls every slot that waits. A connection has few of them.
    fn poll_slots(&mut self, cx: &mut Context<'_>) {
        if self.waiting == 0 {
            return;
        }
        for slot in &mut self.slots {
            let ResponseSlot::Waiting { pending, polled } = slot else {
                continue;
            };
            if let Poll::Ready(answer) = pending.answer.as_mut().poll(cx) {
                assert!(self.waiting > 0, "a request ends, and none is in progress");
                self.waiting -= 1;
                self.blocked &= pending.pipelined;
                if let Some(frame) = answer.frame() {
                    self.outbox.expect(frame);
                }
                let request = pending.tag.map(|tag| {
                    let answered = Instant::now();
                    self.responses.on_answered(answered);
                    Answered {
                        tag,
                        polled: *polled,
                        answered,
                    }
                });
                *slot = ResponseSlot::Done(answer, request);
            }
        }
    }

    /// Begins no further requests for the throttle time of those that were served.
    fn throttle(&mut self) {
        let throttle_time = self.session.take_throttle_time();
        if throttle_time.is_zero() {
            return;
        }
        let until = Instant::now() + throttle_time;
        match &mut self.muted {
            Some(muted) if muted.deadline() >= until => {}
            Some(muted) => muted.as_mut().reset(until),
            None => self.muted = Some(Box::pin(tokio::time::sleep_until(until))),
        }
    }

    /// Returns whether the throttle time of the client has just ended.
    fn poll_muted(&mut self, cx: &mut Context<'_>) -> bool {
        let is_over = self
            .muted
            .as_mut()
            .is_some_and(|muted| muted.as_mut().poll(cx).is_ready());
        if is_over {
            self.muted = None;
            // The client could not make progress meanwhile.
            self.last_progress = Instant::now();
        }
        is_over
    }

    /// Moves completed responses to the outbox, in the order of their requests.
    fn collect(&mut self) {
        while let Some(ResponseSlot::Done(action, request)) = self
            .slots
            .pop_front_if(|slot| matches!(slot, ResponseSlot::Done(..)))
        {
            match action {
                ResponseAction::Send(frame) => self.outbox.push(frame),
                ResponseAction::Nothing => {}
                ResponseAction::Close(reason) => {
                    self.close(ConnectionEnd::Closed(reason));
                    self.drop_slots();
                }
                ResponseAction::End(frame) => {
                    if let Some(frame) = frame {
                        self.outbox.push(frame);
                    }
                    self.close(ConnectionEnd::Quiet);
                    self.drop_slots();
                }
            }
            if let Some(request) = request {
                self.responses.push(request, self.outbox.pushed_bytes());
            }
        }
    }

    /// Reports how long the requests took whose responses were sent.
    fn report_sent(&mut self) {
        let written = self.outbox.written_bytes();
        while let Some((number, times)) = self.responses.pop(written, self.last_progress) {
            self.session.on_sent(number, &times);
        }
    }

    /// Stops reading. The connection ends when all requests that have begun are answered, or after
    /// a grace period.
    fn close(&mut self, end: ConnectionEnd) {
        if self.closing.is_none() {
            self.closing = Some(end);
            self.idle
                .as_mut()
                .reset(Instant::now() + self.limits.shutdown_grace);
        }
    }

    fn drop_slots(&mut self) {
        self.slots.clear();
        self.waiting = 0;
        self.blocked = false;
    }

    fn may_begin(&self) -> bool {
        self.closing.is_none()
            && !self.blocked
            && self.muted.is_none()
            && self.slots.len() < SLOTS_MAX
            && !self.is_full()
    }

    /// Returns whether the client has to read responses before more of its requests begin.
    fn is_full(&self) -> bool {
        let memory = self.outbox.memory();
        self.outbox.bytes() >= OUTBOX_BYTES_MAX
            || (memory > 0 && memory >= self.memory_pool.responses().part())
    }

    /// Reads frames and begins their requests, at most [`FRAMES_A_TURN`]. Returns whether there may
    /// be more.
    ///
    /// While no request may begin, the length of the next frame is read nevertheless, so that a
    /// client that closes its connection is noticed.
    fn poll_requests(&mut self, cx: &mut Context<'_>) -> bool {
        for _ in 0..FRAMES_A_TURN {
            if self.closing.is_some() {
                return false;
            }
            let may_begin = self.may_begin();
            match self.frames.poll_next(&mut self.stream, cx, may_begin) {
                Poll::Pending => return false,
                Poll::Ready(event) => self.on_event(event, cx),
            }
            self.collect();
        }
        true
    }

    fn on_event(&mut self, event: FrameEvent, cx: &mut Context<'_>) {
        match event {
            // A frame is read only when its request may begin, and no other request began since.
            FrameEvent::Frame(frame, permit) => match self.session.call(frame, permit) {
                Ok(pending) => {
                    let sizes = self.frame_sizes();
                    let http2 = self.session.may_become_node().is_some();
                    self.frames.accept(sizes, http2);
                    return self.begin(pending, cx);
                }
                Err(malformed) => return self.close(ConnectionEnd::Refused(malformed.to_string())),
            },
            // The limit was raised after the request before.
            FrameEvent::Refused(FrameError::TooLong { max, .. })
                if self.frame_sizes().max > max =>
            {
                return self.frames.set_sizes(self.frame_sizes());
            }
            // Requests that began earlier are still answered.
            FrameEvent::Refused(error) => {
                return self.close(ConnectionEnd::Refused(error.to_string()));
            }
            // Another node waits for the answer that authenticates it before it goes on.
            FrameEvent::Http2 => {
                let is_answered = self.slots.is_empty() && self.outbox.is_empty();
                return self.close(match self.session.may_become_node() {
                    Some(authenticated) if is_answered => ConnectionEnd::Http2(authenticated),
                    _ => ConnectionEnd::Refused("HTTP/2 begins in the middle".to_owned()),
                });
            }
            FrameEvent::Late(reason) => return self.close(ConnectionEnd::Closed(reason)),
            FrameEvent::End if self.frames.is_inside() => {
                self.close(ConnectionEnd::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
            FrameEvent::End => self.close(ConnectionEnd::Quiet),
            FrameEvent::Lost(error) => self.close(ConnectionEnd::Lost(error)),
        }
        self.drop_slots();
    }

    /// Returns the sizes of frames that are accepted now.
    fn frame_sizes(&self) -> FrameSizes {
        let configured = FrameSizes::of_requests(self.limits.request_bytes_max.get());
        self.session.frame_sizes(configured)
    }

    fn begin(&mut self, mut pending: Pending, cx: &mut Context<'_>) {
        let answer = pending.answer.as_mut().poll(cx);
        let polled = Instant::now();
        match answer {
            Poll::Ready(answer) => {
                if let Some(frame) = answer.frame() {
                    self.outbox.expect(frame);
                }
                self.responses.on_answered(polled);
                let request = pending.tag.map(|tag| Answered {
                    tag,
                    polled,
                    answered: polled,
                });
                self.slots.push_back(ResponseSlot::Done(answer, request));
            }
            Poll::Pending => {
                self.waiting += 1;
                self.blocked |= !pending.pipelined;
                self.slots
                    .push_back(ResponseSlot::Waiting { pending, polled });
            }
        }
        self.throttle();
        assert!(
            self.waiting <= self.slots.len() && self.slots.len() <= SLOTS_MAX,
            "{} requests are in progress in {} slots",
            self.waiting,
            self.slots.len()
        );
    }

    /// Records the time when bytes were read, or accepted by the socket.
    fn note_progress(&mut self) {
        let progress = self.frames.received() + self.outbox.written_bytes();
        assert!(
            progress >= self.progress,
            "{progress} bytes were moved, and {} before",
            self.progress
        );
        if progress != self.progress {
            self.progress = progress;
            self.last_progress = Instant::now();
        }
    }

    /// Lets the timer check a client that holds memory after `stalled_max`, not only after
    /// `idle_max`.
    fn watch_reader(&mut self) {
        if self.outbox.memory() > 0 && self.closing.is_none() {
            let soon = Instant::now() + self.limits.stalled_max;
            // The timer is only moved forward: if each poll postponed it, it would never fire.
            if self.idle.deadline() > soon {
                self.idle.as_mut().reset(soon);
            }
        }
    }

    /// Closes the connection when no byte has moved in either direction for too long. A response
    /// that this node still owes keeps it open; one that the client does not read does not.
    fn poll_idle(&mut self, cx: &mut Context<'_>) {
        while self.idle.as_mut().poll(cx).is_ready() {
            let unread = !self.outbox.is_empty();
            let is_owed =
                (self.waiting > 0 && !unread) || self.frames.is_waiting() || self.muted.is_some();
            let now = Instant::now();
            let since = if is_owed { now } else { self.last_progress };
            let until = since + self.limits.idle_max;
            let stalled_max = self.limits.stalled_max;
            let stalled = self.last_progress + stalled_max;
            if unread && now >= stalled && self.memory_pool.responses().is_short() {
                return self.close(ConnectionEnd::Closed(format!(
                    "the responses of this node hold too much memory, {} bytes of them for this \
                     client, which has read none of them for {stalled_max:?}",
                    self.outbox.memory()
                )));
            }
            if until > now {
                let check = if stalled > now {
                    stalled
                } else {
                    now + stalled_max
                };
                let next = if unread { until.min(check) } else { until };
                self.idle.as_mut().reset(next);
                continue;
            }
            let idle_max = self.limits.idle_max;
            return self.close(if unread {
                ConnectionEnd::Closed(format!(
                    "the client has not read its responses for {idle_max:?} \
                     (connections.max.idle.ms)"
                ))
            } else {
                ConnectionEnd::Quiet
            });
        }
    }

    /// Tells the client of a TLS connection that its end is intended, if the socket accepts that
    /// now. Clients report the end of other connections as an error.
    pub fn poll_close_notify(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
        Poll::Ready(())
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) {
        if self.closing.is_none() && self.shutdown.as_mut().poll(cx).is_ready() {
            self.close(ConnectionEnd::Quiet);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Connection<S> {
    type Output = ConnectionEnd;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ConnectionEnd> {
        let this = self.get_mut();
        this.poll_slots(cx);
        this.throttle();
        this.poll_muted(cx);
        this.collect();
        this.poll_shutdown(cx);
        loop {
            let more = this.poll_requests(cx);
            let full = this.is_full();
            match this.outbox.poll_write(&mut this.stream, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(WriteError::Socket(error))) => {
                    return Poll::Ready(ConnectionEnd::Lost(error));
                }
                Poll::Ready(Err(WriteError::Records(reason))) => {
                    return Poll::Ready(ConnectionEnd::Closed(reason));
                }
                Poll::Pending => break,
            }
            if more {
                // Yields to the other connections of this thread.
                cx.waker().wake_by_ref();
                break;
            }
            if !full || this.is_full() {
                break;
            }
        }
        if this.poll_muted(cx) {
            cx.waker().wake_by_ref();
        }
        this.note_progress();
        this.report_sent();
        this.watch_reader();
        if this.closing.is_none() {
            this.poll_idle(cx);
        }
        if this.closing.is_some() {
            let answered = this.slots.is_empty() && this.outbox.is_empty();
            if answered || this.idle.as_mut().poll(cx).is_ready() {
                return Poll::Ready(this.closing.take().unwrap_or(ConnectionEnd::Quiet));
            }
        }
        Poll::Pending
    }
}
