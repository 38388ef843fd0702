//! The way from a client to one broker: opens a connection, and opens it again when it breaks.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::cluster::{BACKOFF, Cluster};
use crate::connection::Connection;
use crate::error::LoadError;

/// A connection to one broker, or the attempt to open it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) broker: i32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Closed until this moment.
    Down(Instant),
    Opening(JoinHandle<Result<Connection, LoadError>>),
    Up(Box<Connection>),
}

/// What happened to a link.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// The connection is open.
    Opened,
    /// The connection broke, or could not be opened.
    Lost(LoadError),
    /// A response arrived.
    Frame(Bytes),
}

impl Link {
    pub(crate) fn new(broker: i32) -> Self {
        Self {
            broker,
            state: State::Down(Instant::now()),
        }
    }

    /// Returns the connection, where it is open.
    pub(crate) fn connection(&mut self) -> Option<&mut Connection> {
        match &mut self.state {
            State::Up(connection) => Some(connection),
            State::Down(_) | State::Opening(_) => None,
        }
    }

    /// Returns when the next attempt to connect is due.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        match &self.state {
            State::Down(at) => Some(*at),
            State::Opening(_) | State::Up(_) => None,
        }
    }

    /// Closes the connection, and opens it again a moment later.
    pub(crate) fn close(&mut self) {
        self.state = State::Down(Instant::now() + BACKOFF);
    }

    /// Writes what is to be written. Returns the number of frames that were completed.
    ///
    /// # Errors
    /// When the connection is broken; the caller closes the link.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<usize> {
        match &mut self.state {
            State::Up(connection) => connection.poll_write(cx),
            State::Down(_) | State::Opening(_) => Ok(0),
        }
    }

    /// Returns the next event. Begins to connect where it is time for that.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, cluster: &Arc<Cluster>) -> Poll<LinkEvent> {
        if let State::Down(at) = &self.state {
            if Instant::now() < *at {
                return Poll::Pending;
            }
            let (cluster, broker) = (Arc::clone(cluster), self.broker);
            let opening = tokio::spawn(async move { cluster.open(broker).await });
            self.state = State::Opening(opening);
        }
        let lost = match &mut self.state {
            State::Opening(opening) => match Pin::new(opening).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Ok(connection))) => {
                    self.state = State::Up(Box::new(connection));
                    return Poll::Ready(LinkEvent::Opened);
                }
                Poll::Ready(Ok(Err(error))) => error,
                Poll::Ready(Err(error)) => LoadError::Connection(io::Error::other(error)),
            },
            State::Up(connection) => match connection.poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(frame)) => return Poll::Ready(LinkEvent::Frame(frame)),
                Poll::Ready(Err(error)) => error.into(),
            },
            State::Down(_) => return Poll::Pending,
        };
        self.close();
        Poll::Ready(LinkEvent::Lost(lost))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Self::Opening(opening) = self {
            opening.abort();
        }
    }
}
