//! Sets of partitions.

use std::fmt;
use std::sync::Arc;

use dohle_model::{PartitionIndex, TopicName, TopicPartition};
use imbl::OrdSet;

/// A set of at most this many partitions is kept as one slice, which takes the least memory. Most
/// transactions write to a few partitions.
const FEW: usize = 8;

/// Partitions, in the order of their topics and indexes.
///
/// Clones share their content. Adding a partition to a large set copies a small part of the set, so
/// that the states of a transaction that grows do not cost the square of its size.
#[derive(Clone)]
pub struct PartitionSet(Content);

#[derive(Clone)]
enum Content {
    /// In order, at most [`FEW`].
    Few(Arc<[TopicPartition]>),
    Many(OrdSet<TopicPartition>),
}

impl PartitionSet {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Content::Few(few) => few.len(),
            Content::Many(many) => many.len(),
        }
    }

    /// Whether a partition is one of them.
    #[must_use]
    pub fn contains(&self, partition: &TopicPartition) -> bool {
        match &self.0 {
            Content::Few(few) => few.binary_search(partition).is_ok(),
            Content::Many(many) => many.contains(partition),
        }
    }

    /// Adds one. Returns whether it is new.
    pub fn insert(&mut self, partition: TopicPartition) -> bool {
        match &mut self.0 {
            Content::Few(few) => match few.binary_search(&partition) {
                Ok(_) => false,
                Err(at) if few.len() < FEW => {
                    let mut more = few.to_vec();
                    more.insert(at, partition);
                    *few = more.into();
                    true
                }
                Err(_) => {
                    let mut many: OrdSet<_> = few.iter().cloned().collect();
                    many.insert(partition);
                    self.0 = Content::Many(many);
                    true
                }
            },
            Content::Many(many) => many.insert(partition).is_none(),
        }
    }

    /// Removes one. Returns whether it was there.
    pub fn remove(&mut self, partition: &TopicPartition) -> bool {
        match &mut self.0 {
            Content::Few(few) => {
                let found = few.binary_search(partition);
                if let Ok(at) = found {
                    let (before, after) = (&few[..at], &few[at + 1..]);
                    *few = before.iter().chain(after).cloned().collect();
                }
                found.is_ok()
            }
            Content::Many(many) => many.remove(partition).is_some(),
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &TopicPartition> {
        let (few, many) = match &self.0 {
            Content::Few(few) => (few.iter(), None),
            Content::Many(many) => ([].iter(), Some(many.iter())),
        };
        few.chain(many.into_iter().flatten())
    }

    /// The topics, each with its partitions in order.
    #[must_use]
    pub fn topics(&self) -> Vec<(&TopicName, Vec<PartitionIndex>)> {
        let mut topics: Vec<(&TopicName, Vec<PartitionIndex>)> = Vec::new();
        for TopicPartition { topic, partition } in self.iter() {
            match topics.last_mut() {
                Some((last, partitions)) if *last == topic => partitions.push(*partition),
                _ => topics.push((topic, vec![*partition])),
            }
        }
        topics
    }
}

impl Default for PartitionSet {
    fn default() -> Self {
        Self(Content::Few(Arc::default()))
    }
}

impl FromIterator<TopicPartition> for PartitionSet {
    fn from_iter<I: IntoIterator<Item = TopicPartition>>(partitions: I) -> Self {
        let mut all: Vec<_> = partitions.into_iter().collect();
        all.sort_unstable();
        all.dedup();
        match all.len() {
            ..=FEW => Self(Content::Few(all.into())),
            _ => Self(Content::Many(all.into_iter().collect())),
        }
    }
}

impl PartialEq for PartitionSet {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for PartitionSet {}

impl fmt::Debug for PartitionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn partition(topic: &str, index: i32) -> TopicPartition {
        TopicPartition {
            topic: TopicName::new(topic).unwrap(),
            partition: PartitionIndex(index),
        }
    }

    #[test]
    fn a_set_of_any_size_has_what_was_added_and_not_removed() {
        let (mut set, mut expected) = (PartitionSet::default(), BTreeSet::new());
        // Grows past the few, and shrinks to none.
        for step in 0..400 {
            let topic = ["b", "a", "c"][step % 3];
            let changed = partition(topic, (step * 7 % 40) as i32);
            let before = set.clone();
            let expected_before = expected.clone();
            if step % 5 == 4 || step >= 300 {
                assert_eq!(set.remove(&changed), expected.remove(&changed), "{step}");
            } else {
                let is_new = expected.insert(changed.clone());
                assert_eq!(set.insert(changed.clone()), is_new, "{step}");
            }
            assert_eq!(set.contains(&changed), expected.contains(&changed));
            assert!(set.iter().eq(&expected), "{step}: {set:?}");
            assert!(before.iter().eq(&expected_before), "{step}: the clone");
            assert_eq!(set.len(), expected.len());
            assert_eq!(set, expected.iter().cloned().collect(), "{step}");
        }
    }

    #[test]
    fn topics_have_their_partitions_in_order() {
        for count in [2, 20] {
            let partitions = (0..count).rev();
            let partitions = partitions.flat_map(|n| [partition("b", n), partition("a", n)]);
            let set: PartitionSet = partitions.collect();
            let topics: Vec<_> = set
                .topics()
                .into_iter()
                .map(|(topic, partitions)| (topic.as_str(), partitions))
                .collect();
            let all: Vec<_> = (0..count).map(PartitionIndex).collect();
            assert_eq!(topics, [("a", all.clone()), ("b", all)]);
        }
    }
}
