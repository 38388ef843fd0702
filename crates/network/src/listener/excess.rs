//! Closes connections of clients when there are more than `max.connections`, because the limit was
//! lowered, or because the listener between brokers took a place (KIP-402): those that were used
//! least recently.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dohle_protocol::FrameSizes;
use tokio_util::sync::CancellationToken;

use crate::connection::{
    Authenticated, ConnectionHandler, Malformed, MemoryPermit, Pending, StageTimes,
};

/// When a connection was last used: the microseconds since the node started.
#[derive(Debug, Clone)]
pub(super) struct LastUse {
    started: Instant,
    at: Arc<AtomicU64>,
}

impl LastUse {
    fn note(&self) {
        let micros = self.started.elapsed().as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        self.at.store(micros, Ordering::Relaxed);
    }
}

/// A connection that is served.
#[derive(Debug)]
struct ServedConnection {
    listener: Arc<str>,
    last_use: LastUse,
    /// Cancelled when the connection is to be closed.
    closing: CancellationToken,
}

/// The connections that are served, by a number of their own.
#[derive(Debug)]
pub(super) struct ServedConnections {
    started: Instant,
    next: u64,
    by_id: HashMap<u64, ServedConnection>,
}

impl Default for ServedConnections {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            next: 0,
            by_id: HashMap::new(),
        }
    }
}

impl ServedConnections {
    /// Adds a connection, which is closed by cancelling `closing`. Returns its number.
    pub(super) fn add(
        &mut self,
        listener: &Arc<str>,
        closing: CancellationToken,
    ) -> (u64, LastUse) {
        let id = self.next;
        self.next += 1;
        let last_use = LastUse {
            started: self.started,
            at: Arc::default(),
        };
        last_use.note();
        let connection = ServedConnection {
            listener: Arc::clone(listener),
            last_use: last_use.clone(),
            closing,
        };
        self.by_id.insert(id, connection);
        (id, last_use)
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.by_id.remove(&id);
    }

    /// Closes `excess` connections of the listeners that are not protected. Those that are closing
    /// already count.
    pub(super) fn close_excess(&self, excess: usize, is_protected: impl Fn(&str) -> bool) {
        if excess == 0 {
            return;
        }
        let closable = self.by_id.iter();
        let closable = closable.filter(|(_, it)| !is_protected(&it.listener));
        let (closing, mut open): (Vec<_>, Vec<_>) =
            closable.partition(|(_, it)| it.closing.is_cancelled());
        open.sort_by_key(|(id, it)| (it.last_use.at.load(Ordering::Relaxed), **id));
        let more = excess.saturating_sub(closing.len());
        for (_, connection) in open.into_iter().take(more) {
            connection.closing.cancel();
        }
    }
}

/// Notes the use of a connection by each request.
pub(super) struct NotingUse {
    pub(super) handler: Box<dyn ConnectionHandler>,
    pub(super) last_use: LastUse,
}

impl ConnectionHandler for NotingUse {
    fn call(&mut self, frame: Bytes, permit: MemoryPermit) -> Result<Pending, Malformed> {
        self.last_use.note();
        self.handler.call(frame, permit)
    }

    fn frame_sizes(&self, configured: FrameSizes) -> FrameSizes {
        self.handler.frame_sizes(configured)
    }

    fn may_become_node(&self) -> Option<Authenticated> {
        self.handler.may_become_node()
    }

    fn on_sent(&mut self, number: usize, times: &StageTimes) {
        self.handler.on_sent(number, times);
    }

    fn take_throttle_time(&mut self) -> Duration {
        self.handler.take_throttle_time()
    }
}
