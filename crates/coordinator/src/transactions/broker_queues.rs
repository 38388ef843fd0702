//! Queues of items for each broker. One request to a broker is in flight at a time; items that are
//! added meanwhile are sent with the next request.

use std::collections::{HashMap, VecDeque};

use dohle_model::NodeId;
use parking_lot::Mutex;

/// Whether an item goes with the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It does.
    Taken,
    /// It goes with a later one.
    Later,
    /// The request is full: no further item is looked at.
    Full,
}

/// Items by the broker that they go to.
#[derive(Debug)]
pub(super) struct BrokerQueues<T> {
    /// A broker has a queue while a task sends to it.
    queues: Mutex<HashMap<NodeId, VecDeque<T>>>,
}

impl<T> Default for BrokerQueues<T> {
    fn default() -> Self {
        Self {
            queues: Mutex::default(),
        }
    }
}

impl<T> BrokerQueues<T> {
    /// Adds items for a broker. Returns whether the caller must start the task that sends them,
    /// because no task sends to the broker yet.
    #[must_use]
    pub(super) fn push(&self, broker: NodeId, items: impl IntoIterator<Item = T>) -> bool {
        let mut queues = self.queues.lock();
        let is_idle = !queues.contains_key(&broker);
        queues.entry(broker).or_default().extend(items);
        is_idle
    }

    /// Takes the items for the next request, as `fit` decides for each in the order in which they
    /// were added. `None` when there are no items: the task that sends to this broker ends. `fit`
    /// takes the first item at least. The cost does not depend on how many items are left.
    pub(super) fn take(&self, broker: NodeId, mut fit: impl FnMut(&T) -> Fit) -> Option<Vec<T>> {
        let mut queues = self.queues.lock();
        let queue = queues.get_mut(&broker)?;
        if queue.is_empty() {
            queues.remove(&broker);
            return None;
        }
        let (mut taken, mut later) = (Vec::new(), Vec::new());
        while let Some(item) = queue.pop_front() {
            match fit(&item) {
                Fit::Taken => taken.push(item),
                Fit::Later => later.push(item),
                Fit::Full => {
                    queue.push_front(item);
                    break;
                }
            }
        }
        for item in later.into_iter().rev() {
            queue.push_front(item);
        }
        assert!(
            !taken.is_empty(),
            "none of {} items for broker {broker} fits into a request",
            queue.len()
        );
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_while_a_request_is_on_its_way_is_sent_with_the_next() {
        let queues = BrokerQueues::default();
        let broker = NodeId(1);
        let all = |_: &_| Fit::Taken;
        assert!(queues.push(broker, [1]));
        assert_eq!(queues.take(broker, all), Some(vec![1]));
        assert!(!queues.push(broker, [2, 3, 4]));
        assert!(queues.push(NodeId(2), [5]));
        let even = |item: &i32| match item % 2 {
            0 => Fit::Taken,
            _ => Fit::Later,
        };
        assert_eq!(queues.take(broker, even), Some(vec![2, 4]));
        assert_eq!(queues.take(broker, all), Some(vec![3]));
        assert_eq!(queues.take(broker, all), None);
        assert!(queues.push(broker, [6]));
    }

    #[test]
    fn a_request_looks_at_no_more_of_a_long_queue_than_it_takes() {
        let queues = BrokerQueues::default();
        let broker = NodeId(1);
        assert!(queues.push(broker, 0..10_000));
        let (mut seen, mut taken) = (0, Vec::new());
        let mut requests = 0;
        loop {
            let mut count = 0;
            let batch = queues.take(broker, |_| {
                seen += 1;
                count += 1;
                match count {
                    // The second of a request goes with the next one.
                    2 => Fit::Later,
                    ..=100 => Fit::Taken,
                    _ => Fit::Full,
                }
            });
            let Some(batch) = batch else {
                break;
            };
            requests += 1;
            taken.extend(batch);
        }
        assert_eq!(requests, 102);
        // Each request has looked at what it took, at one item that goes later, and at one too
        // many.
        assert!(seen <= 10_000 + 2 * requests, "{seen} in {requests}");
        taken.sort_unstable();
        assert!(taken.iter().copied().eq(0..10_000));
    }

    #[test]
    #[should_panic(expected = "none of 1 items for broker 1 fits into a request")]
    fn an_item_that_no_request_takes_is_noticed() {
        let queues = BrokerQueues::default();
        assert!(queues.push(NodeId(1), [1]));
        queues.take(NodeId(1), |_| Fit::Later);
    }
}
