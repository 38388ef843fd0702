//! How long the requests of a connection take, stage by stage.
//!
//! The clock is read when a request is answered, when it begins to wait, and when bytes were
//! written.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Names a request whose stages are measured.
#[derive(Debug, Clone, Copy)]
pub struct RequestTag {
    /// A number of the session's, which it gets back.
    pub number: usize,
    /// When the request was complete.
    pub received: Instant,
}

/// How long the stages of a request took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageTimes {
    /// Until the request was answered or had to wait.
    pub local: Duration,
    /// From then on until it was answered.
    pub remote: Duration,
    /// For which the response waited for responses to earlier requests.
    pub response_queue: Duration,
    /// Until the socket had accepted the response.
    pub response_send: Duration,
}

impl StageTimes {
    /// Returns how long the request took.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.local + self.remote + self.response_queue + self.response_send
    }
}

/// A request that is answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    pub tag: RequestTag,
    /// When the request was polled for the first time.
    pub polled: Instant,
    /// When it was answered.
    pub answered: Instant,
}

/// A response whose bytes are being written.
#[derive(Debug)]
struct Unsent {
    request: Answered,
    /// When the responses to earlier requests were known.
    queued: Instant,
    /// The number of bytes of the connection that end with the response.
    end: u64,
}

/// The responses that are being written, in their order.
#[derive(Debug, Default)]
pub(super) struct UnsentResponses {
    unsent: VecDeque<Unsent>,
    /// The latest time at which a request of the connection was answered.
    latest: Option<Instant>,
}

impl UnsentResponses {
    /// Notes the time at which a request was answered.
    pub fn on_answered(&mut self, at: Instant) {
        self.latest = Some(at);
    }

    /// Adds a response that is to be written next; it ends with this byte of the connection.
    pub fn push(&mut self, request: Answered, end: u64) {
        // An answer that waited for others goes on with the last of them.
        let queued = self
            .latest
            .unwrap_or(request.answered)
            .max(request.answered);
        self.unsent.push_back(Unsent {
            request,
            queued,
            end,
        });
    }

    /// Returns the next request whose response was written, with its times. `written` bytes were
    /// written by `now`.
    pub fn pop(&mut self, written: u64, now: Instant) -> Option<(usize, StageTimes)> {
        let unsent = self.unsent.pop_front_if(|first| first.end <= written)?;
        let Answered {
            tag,
            polled,
            answered,
        } = unsent.request;
        let times = StageTimes {
            local: polled.saturating_duration_since(tag.received),
            remote: answered.saturating_duration_since(polled),
            response_queue: unsent.queued.saturating_duration_since(answered),
            response_send: now.saturating_duration_since(unsent.queued),
        };
        Some((tag.number, times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_waits_for_the_last_one_before_it() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let answered = |number, received, polled, answered| Answered {
            tag: RequestTag {
                number,
                received: at(received),
            },
            polled: at(polled),
            answered: at(answered),
        };
        let mut responses = UnsentResponses::default();
        // The second request is answered before the first one.
        responses.on_answered(at(20));
        responses.on_answered(at(50));
        responses.push(answered(1, 0, 1, 50), 100);
        responses.push(answered(2, 10, 20, 20), 150);
        assert_eq!(responses.pop(99, at(60)), None);
        let milliseconds = |times: StageTimes| {
            let parts = [
                times.local,
                times.remote,
                times.response_queue,
                times.response_send,
            ];
            (
                parts.map(|part| part.as_millis()),
                times.total().as_millis(),
            )
        };
        let (number, times) = responses.pop(149, at(60)).unwrap();
        assert_eq!((number, milliseconds(times)), (1, ([1, 49, 0, 10], 60)));
        assert_eq!(responses.pop(149, at(60)), None);
        let (number, times) = responses.pop(150, at(80)).unwrap();
        assert_eq!((number, milliseconds(times)), (2, ([10, 0, 30, 30], 70)));
        assert_eq!(responses.pop(150, at(80)), None);
    }
}
