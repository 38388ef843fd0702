//! Waits for a position to reach an offset, ordered by offset.

use std::collections::VecDeque;

use dohle_model::Offset;
use tokio::sync::oneshot;

/// Waits that complete when a position reaches their offset.
///
/// Invariant: the waits are ordered by offset, so that a new position examines only the waits that
/// it completes.
#[derive(Debug)]
pub(super) struct OffsetWaiters<T> {
    queue: VecDeque<(Offset, oneshot::Sender<T>)>,
    /// The length at which dropped waits are removed.
    sweep_at: usize,
}

const SWEEP_MIN: usize = 64;

impl<T> Default for OffsetWaiters<T> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            sweep_at: SWEEP_MIN,
        }
    }
}

impl<T> OffsetWaiters<T> {
    /// Waits for `offset`.
    pub(super) fn push(&mut self, offset: Offset) -> oneshot::Receiver<T> {
        if self.queue.len() >= self.sweep_at {
            self.queue.retain(|(_, wait)| !wait.is_closed());
            self.sweep_at = SWEEP_MIN.max(self.queue.len() * 2);
        }
        let (sender, receiver) = oneshot::channel();
        let later = self
            .queue
            .iter()
            .rev()
            .take_while(|(other, _)| *other > offset)
            .count();
        let at = self.queue.len() - later;
        self.queue.insert(at, (offset, sender));
        let is_ordered = |first: usize| match (self.queue.get(first), self.queue.get(first + 1)) {
            (Some((one, _)), Some((next, _))) => one <= next,
            _ => true,
        };
        assert!(
            is_ordered(at) && at.checked_sub(1).is_none_or(is_ordered),
            "waits out of order around offset {offset}"
        );
        receiver
    }

    /// Takes the next wait that completes at `reached`.
    pub(super) fn pop(&mut self, reached: Offset) -> Option<oneshot::Sender<T>> {
        if self.queue.front()?.0 > reached {
            return None;
        }
        self.queue.pop_front().map(|(_, sender)| sender)
    }

    /// Whether there are no waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Returns the number of waits that were not given up.
    pub(super) fn len(&self) -> usize {
        let waits = self.queue.iter();
        waits.filter(|(_, wait)| !wait.is_closed()).count()
    }

    /// Takes all waits.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = oneshot::Sender<T>> {
        std::mem::take(&mut self.queue)
            .into_iter()
            .map(|(_, sender)| sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_complete_in_the_order_of_their_offsets() {
        let mut waits = OffsetWaiters::<i64>::default();
        let receivers: Vec<_> = [5, 3, 9, 3].map(|at| (at, waits.push(Offset(at)))).into();
        while let Some(wait) = waits.pop(Offset(5)) {
            wait.send(5).unwrap();
        }
        for (at, mut receiver) in receivers {
            assert_eq!(receiver.try_recv().is_ok(), at <= 5, "{at}");
        }
    }

    #[test]
    fn waits_that_were_given_up_do_not_pile_up() {
        let mut waits = OffsetWaiters::<i64>::default();
        for at in 0..10_000 {
            drop(waits.push(Offset(at)));
        }
        assert!(waits.queue.len() <= SWEEP_MIN, "{}", waits.queue.len());
    }
}
