//! The bytes of requests that a node holds at a time (`queued.max.request.bytes`).
//!
//! Invariant: a frame that was begun may be read to its end. Over the limit no new frames are
//! begun, so what is held exceeds the limit by at most one frame a connection, of bytes that were
//! truly sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The budget of one node.
#[derive(Debug)]
pub struct Budget {
    max: usize,
    used: AtomicUsize,
    freed: Arc<Notify>,
}

/// Bytes taken from a [`Budget`]; given back when this is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// A budget of `max` bytes.
    #[must_use]
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            used: AtomicUsize::new(0),
            freed: Arc::new(Notify::new()),
        })
    }

    /// Whether a new frame may be begun.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.used.load(Ordering::Acquire) < self.max
    }

    /// Bytes held at present.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// Completes when bytes were given back after this call.
    pub fn freed(&self) -> tokio::sync::futures::OwnedNotified {
        Arc::clone(&self.freed).notified_owned()
    }

    /// A charge of nothing yet.
    #[must_use]
    pub fn charge(self: &Arc<Self>) -> Charge {
        Charge {
            budget: Arc::clone(self),
            bytes: 0,
        }
    }
}

impl Charge {
    /// Takes `bytes` more.
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.budget.used.fetch_add(bytes, Ordering::AcqRel);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let before = self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
        if before >= self.budget.max && before - self.bytes < self.budget.max {
            self.budget.freed.notify_waiters();
        }
    }
}
