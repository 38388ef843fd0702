//! The subscriptions of a stream that wait for the limit of throttled replicas.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Subscriptions that are sent no records until the rate has fallen.
#[derive(Debug, Default)]
pub(super) struct ThrottledSubscriptions {
    /// Tokens and ids of the subscriptions, in the order of their turns.
    waiting: Vec<(u32, u64)>,
    /// The shortest of their waits.
    delay: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl ThrottledSubscriptions {
    /// Adds a subscription, which waits for `delay`.
    pub(super) fn add(&mut self, token: u32, subscription_id: u64, delay: Duration) {
        self.delay = match self.waiting.is_empty() {
            true => delay,
            false => self.delay.min(delay),
        };
        self.waiting.push((token, subscription_id));
    }

    /// Takes the subscriptions if their wait is over.
    pub(super) fn take_due(&mut self, cx: &mut Context<'_>) -> Vec<(u32, u64)> {
        let timer = self.timer.as_mut();
        if timer.is_none_or(|timer| timer.as_mut().poll(cx).is_pending()) {
            return Vec::new();
        }
        self.timer = None;
        std::mem::take(&mut self.waiting)
    }

    /// Has the task woken when the wait is over.
    pub(super) fn wake_when_due(&mut self, cx: &mut Context<'_>) {
        if self.waiting.is_empty() || self.timer.is_some() {
            return;
        }
        let mut timer = Box::pin(tokio::time::sleep_until(Instant::now() + self.delay));
        // The first poll starts the timer.
        if timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        self.timer = Some(timer);
    }
}
