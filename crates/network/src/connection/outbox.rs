//! The responses of a connection that wait to be written, and the vectored writes that send them.
//!
//! Invariant: records of a response are read just before they are written, one window at a time,
//! into memory that belongs to the thread. Bytes that the socket does not accept are dropped and
//! read again later, so a connection whose client does not read holds no records in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::window::{WINDOW_BYTES, WindowSize};
use super::{Chunk, Frame, Load, RequestMemoryPool, SourceError};

/// The most buffers of one vectored write.
const SLICES_MAX: usize = 64;
/// The smallest part of a window that is read beside other chunks, in bytes, unless fewer are left.
const PART_BYTES_MIN: usize = 4 << 10;
/// Bytes that a connection writes before it yields to other connections of its thread.
const TURN_BYTES: usize = 2 << 20;

thread_local! {
    /// Holds a window from its read until its write. Its content is not used afterwards.
    static WINDOW: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Why writing failed.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The socket failed.
    Socket(io::Error),
    /// Records of a response whose length was already sent cannot be read.
    Records(String),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

struct Entry {
    chunk: Chunk,
    /// Bytes of memory that are given back when the chunk has been written.
    memory: usize,
}

pub(super) struct Outbox {
    chunks: VecDeque<Entry>,
    /// How many bytes of the first chunk were written, if it is a source.
    sent: usize,
    /// Bytes that are not written yet, including those of expected responses.
    bytes: usize,
    /// Bytes in memory, including those of expected responses.
    memory: usize,
    /// The number of bytes that the socket accepted.
    written_bytes: u64,
    /// The number of bytes of all responses that were pushed.
    pushed_bytes: u64,
    window_size: WindowSize,
    /// Whether the stream may hold bytes that it accepted and has not sent yet, as TLS does.
    unflushed: bool,
    /// A read of the next window of the first chunk from the disk.
    loading: Option<Load>,
    loaded: Option<Bytes>,
    memory_pool: Arc<RequestMemoryPool>,
}

/// A part of one vectored write.
enum Piece {
    /// A chunk in memory.
    Chunk(usize),
    /// Records that were read into the thread's window.
    Window(Range<usize>),
    /// Records that were read from the disk.
    Loaded,
}

impl Outbox {
    pub fn new(memory_pool: Arc<RequestMemoryPool>) -> Self {
        Self {
            chunks: VecDeque::new(),
            sent: 0,
            bytes: 0,
            memory: 0,
            written_bytes: 0,
            pushed_bytes: 0,
            window_size: WindowSize::new(),
            unflushed: false,
            loading: None,
            loaded: None,
            memory_pool,
        }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns how many bytes of memory the responses of this connection hold.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Returns the number of bytes that the socket accepted so far.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Returns the number of bytes of all responses that were pushed so far.
    pub fn pushed_bytes(&self) -> u64 {
        self.pushed_bytes
    }

    /// Returns whether everything was written and sent.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty() && !self.unflushed
    }

    /// Counts a response that is complete, but may have to wait for earlier responses.
    pub fn expect(&mut self, frame: &Frame) {
        let (bytes, memory) = frame.sizes();
        self.bytes += bytes;
        self.memory += memory;
        self.memory_pool.responses().add(memory);
    }

    /// Appends a response that [`Self::expect`] has counted.
    pub fn push(&mut self, frame: Frame) {
        match frame {
            Frame::One(chunk) => self.push_chunk(Chunk::Memory(chunk)),
            Frame::Many(chunks) => chunks.into_iter().for_each(|chunk| self.push_chunk(chunk)),
        }
    }

    fn push_chunk(&mut self, chunk: Chunk) {
        self.pushed_bytes += chunk.length() as u64;
        if chunk.length() > 0 {
            let memory = chunk.memory();
            self.chunks.push_back(Entry { chunk, memory });
        }
    }

    /// Writes until everything is written or the socket is full.
    pub fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), WriteError>> {
        let mut turn = 0;
        while !self.chunks.is_empty() {
            if turn >= TURN_BYTES {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(loading) = &mut self.loading {
                let loaded = ready!(loading.as_mut().poll(cx));
                self.loading = None;
                self.loaded = Some(loaded.map_err(WriteError::Records)?);
            }
            let (written, outcome) =
                WINDOW.with_borrow_mut(|window| self.write_once(window, stream, cx));
            // Bytes that the socket did not accept are read again later.
            self.loaded = None;
            self.window_size.on_accepted(written);
            self.written(written);
            self.unflushed |= written > 0;
            turn += written;
            if outcome.is_pending() {
                self.window_size.on_full();
            }
            ready!(outcome)?;
        }
        // A TCP socket needs no flush, but other streams (TLS) do.
        ready!(Pin::new(stream).poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Gathers pieces, and writes until all of them are written or the socket is full. Returns how
    /// many bytes were written: 0 when the first bytes have to be read from the disk, which has
    /// begun then.
    fn write_once<S: AsyncWrite + Unpin>(
        &mut self,
        window: &mut Vec<u8>,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> (usize, Poll<Result<(), WriteError>>) {
        // The usual response.
        if self.chunks.len() == 1
            && let Some(Chunk::Memory(bytes)) = self.chunks.front().map(|first| &first.chunk)
        {
            return write_all(&mut [IoSlice::new(bytes)], stream, cx);
        }
        let pieces = match self.gather(window) {
            Ok(pieces) => pieces,
            Err(reason) => return (0, Poll::Ready(Err(WriteError::Records(reason)))),
        };
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        for (slice, piece) in slices.iter_mut().zip(&pieces) {
            *slice = IoSlice::new(match piece {
                Piece::Chunk(at) => match &self.chunks[*at].chunk {
                    Chunk::Memory(bytes) => bytes,
                    Chunk::Source(_) => &[],
                },
                Piece::Window(range) => &window[range.clone()],
                Piece::Loaded => self.loaded.as_deref().unwrap_or_default(),
            });
        }
        write_all(&mut slices[..pieces.len()], stream, cx)
    }

    /// Returns the pieces of the next write: chunks in memory, and at most one window of records.
    fn gather(&mut self, window: &mut Vec<u8>) -> Result<Vec<Piece>, String> {
        let mut pieces = Vec::with_capacity(self.chunks.len().min(SLICES_MAX));
        let mut used = 0;
        for at in 0..self.chunks.len().min(SLICES_MAX) {
            let Chunk::Source(source) = &mut self.chunks[at].chunk else {
                pieces.push(Piece::Chunk(at));
                continue;
            };
            let from = if at == 0 { self.sent } else { 0 };
            let rest = source.length() - from;
            if at == 0
                && let Some(loaded) = &self.loaded
            {
                pieces.push(Piece::Loaded);
                if loaded.len() < rest {
                    break;
                }
                continue;
            }
            if window.is_empty() {
                window.resize(WINDOW_BYTES, 0);
            }
            let room = self.window_size.next().saturating_sub(used);
            if room < rest.min(PART_BYTES_MIN) {
                break;
            }
            match source.read(from, &mut window[used..used + room]) {
                Ok(read) => {
                    pieces.push(Piece::Window(used..used + read));
                    used += read;
                    if read < rest {
                        break;
                    }
                }
                Err(SourceError::NotCached) if pieces.is_empty() => {
                    self.loading = Some(source.load(from, rest.min(WINDOW_BYTES)));
                    break;
                }
                // The chunks before this one are written first.
                Err(SourceError::NotCached) => break,
                Err(SourceError::Lost(reason)) => return Err(reason),
            }
        }
        Ok(pieces)
    }

    fn written(&mut self, mut count: usize) {
        assert!(
            count <= self.bytes,
            "{count} bytes were written, {} waited",
            self.bytes
        );
        self.bytes -= count;
        self.written_bytes += count as u64;
        while count > 0 {
            let first = self.chunks.front_mut();
            assert!(
                first.is_some(),
                "{count} bytes were written beyond all responses"
            );
            let Some(first) = first else { return };
            let rest = match &mut first.chunk {
                Chunk::Memory(bytes) if count < bytes.len() => return bytes.advance(count),
                Chunk::Memory(bytes) => bytes.len(),
                Chunk::Source(source) => {
                    let rest = source.length() - self.sent;
                    if count < rest {
                        self.sent += count;
                        return;
                    }
                    rest
                }
            };
            count -= rest;
            self.sent = 0;
            if let Some(done) = self.chunks.pop_front() {
                assert!(
                    self.memory >= done.memory,
                    "a response gives back {} bytes of {}",
                    done.memory,
                    self.memory
                );
                self.memory -= done.memory;
                self.memory_pool.responses().sub(done.memory);
            }
        }
    }
}

/// Writes `slices` until the socket is full. Returns how many bytes were written. A socket that
/// accepts a part is asked again with the rest: only its answer that it is full wakes the task when
/// it is no longer.
fn write_all<S: AsyncWrite + Unpin>(
    mut slices: &mut [IoSlice<'_>],
    stream: &mut S,
    cx: &mut Context<'_>,
) -> (usize, Poll<Result<(), WriteError>>) {
    let mut written = 0;
    loop {
        let stream = Pin::new(&mut *stream);
        let result = match &*slices {
            [] => return (written, Poll::Ready(Ok(()))),
            [slice] => stream.poll_write(cx, slice),
            slices => stream.poll_write_vectored(cx, slices),
        };
        match result {
            Poll::Pending => return (written, Poll::Pending),
            Poll::Ready(Ok(0)) => {
                let error = io::Error::from(io::ErrorKind::WriteZero);
                return (written, Poll::Ready(Err(error.into())));
            }
            Poll::Ready(Ok(count)) => {
                written += count;
                IoSlice::advance_slices(&mut slices, count);
            }
            Poll::Ready(Err(error)) => return (written, Poll::Ready(Err(error.into()))),
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.memory_pool.responses().sub(self.memory);
    }
}
