//! What waits to be sent to each broker. One request is on its way to a broker at a time; what
//! comes meanwhile is sent with the next.

use std::collections::HashMap;

use dohle_model::NodeId;
use parking_lot::Mutex;

/// Items by the broker that they go to.
#[derive(Debug)]
pub(super) struct BrokerQueues<T> {
    /// A broker has a queue while a task sends to it.
    queues: Mutex<HashMap<NodeId, Vec<T>>>,
}

impl<T> Default for BrokerQueues<T> {
    fn default() -> Self {
        Self {
            queues: Mutex::default(),
        }
    }
}

impl<T> BrokerQueues<T> {
    /// Adds items for a broker. Returns whether the caller has to start the task that sends them:
    /// no other one sends to the broker.
    #[must_use]
    pub(super) fn push(&self, broker: NodeId, items: impl IntoIterator<Item = T>) -> bool {
        let mut queues = self.queues.lock();
        let is_idle = !queues.contains_key(&broker);
        queues.entry(broker).or_default().extend(items);
        is_idle
    }

    /// Takes the items that `fits` accepts, asked in the order in which they were added, for the
    /// next request. `None` when there are no items: the task that sends to this broker ends.
    /// `fits` accepts the first item at least.
    pub(super) fn take(&self, broker: NodeId, mut fits: impl FnMut(&T) -> bool) -> Option<Vec<T>> {
        let mut queues = self.queues.lock();
        let queue = queues.get_mut(&broker)?;
        if queue.is_empty() {
            queues.remove(&broker);
            return None;
        }
        let (taken, left) = std::mem::take(queue)
            .into_iter()
            .partition(|item| fits(item));
        *queue = left;
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
        assert!(queues.push(broker, [1]));
        assert_eq!(queues.take(broker, |_| true), Some(vec![1]));
        assert!(!queues.push(broker, [2, 3, 4]));
        assert!(queues.push(NodeId(2), [5]));
        assert_eq!(queues.take(broker, |item| item % 2 == 0), Some(vec![2, 4]));
        assert_eq!(queues.take(broker, |_| true), Some(vec![3]));
        assert_eq!(queues.take(broker, |_| true), None);
        assert!(queues.push(broker, [6]));
    }
}
