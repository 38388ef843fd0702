//! The requests that one connection may have in flight.
//!
//! Pure.

/// Counts requests in flight, and remembers since when another one is possible.
#[derive(Debug)]
pub(crate) struct Window {
    in_flight: usize,
    max: usize,
    open_since: u64,
}

impl Window {
    /// Returns a window that is open since `now`.
    pub(crate) fn new(max: usize, now: u64) -> Self {
        Self {
            in_flight: 0,
            max,
            open_since: now,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.in_flight < self.max
    }

    /// Returns how much later than possible a batch is sent: possible from the time at which it was
    /// due, or from the one at which the connection accepted another request.
    pub(crate) fn on_send(&mut self, due: u64, now: u64) -> u64 {
        self.in_flight += 1;
        now.saturating_sub(due.max(self.open_since))
    }

    /// Notes that a request is complete.
    pub(crate) fn on_complete(&mut self, now: u64) {
        if !self.is_open() {
            self.open_since = now;
        }
        self.in_flight -= 1;
    }

    /// Notes that what kept batches back, besides the requests in flight, is over.
    pub(crate) fn on_release(&mut self, now: u64) {
        self.open_since = now;
    }
}
