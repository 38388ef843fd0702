//! The credits that a follower gives its leader: how many bytes of records may be sent to it. Pure.

use std::time::{Duration, Instant};

/// The credits of one stream that were not sent to the leader yet.
#[derive(Debug, Default)]
pub(super) struct Credits {
    /// Bytes to give with the next message.
    due: u64,
    /// Bytes that are kept back while the replicas of the stream receive more than they may.
    held: u64,
    release_at: Option<Instant>,
}

impl Credits {
    /// Gives bytes with the next message.
    pub(super) fn add(&mut self, bytes: u64) {
        self.due += bytes;
    }

    /// Keeps bytes back until [`Credits::release`].
    pub(super) fn hold(&mut self, bytes: u64) {
        self.held += bytes;
    }

    /// Gives what was kept back, unless there is still a time to wait.
    pub(super) fn release(&mut self, delay: Option<Duration>, now: Instant) {
        self.release_at = match delay {
            Some(delay) if self.held > 0 => Some(now + delay),
            Some(_) => None,
            None => {
                self.due += std::mem::take(&mut self.held);
                None
            }
        };
    }

    /// Returns when to release what is kept back.
    pub(super) fn release_at(&self) -> Option<Instant> {
        self.release_at
    }

    /// Takes the bytes for a message.
    pub(super) fn take(&mut self) -> u64 {
        std::mem::take(&mut self.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_credits_are_given_when_there_is_no_more_delay() {
        let now = Instant::now();
        let mut credits = Credits::default();
        credits.hold(10);
        credits.release(Some(Duration::from_secs(1)), now);
        assert_eq!(credits.release_at(), Some(now + Duration::from_secs(1)));
        assert_eq!(credits.take(), 0);
        credits.add(3);
        credits.release(None, now);
        assert_eq!((credits.release_at(), credits.take()), (None, 13));
        assert_eq!(credits.take(), 0);
    }

    #[test]
    fn nothing_is_scheduled_without_held_credits() {
        let now = Instant::now();
        let mut credits = Credits::default();
        credits.release(Some(Duration::from_secs(1)), now);
        assert_eq!(credits.release_at(), None);
    }
}
