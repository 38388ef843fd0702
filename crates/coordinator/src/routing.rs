//! Maps keys to partitions of an internal topic: Java's `String.hashCode` modulo the number of
//! partitions, as in every Kafka broker and tool.

use dohle_model::PartitionIndex;
use dohle_model::image::MetadataImage;

/// Returns the partition of `topic` for a `key` such as a group's id; `None` while the topic does
/// not exist.
#[must_use]
pub fn partition_of(image: &MetadataImage, topic: &str, key: &str) -> Option<PartitionIndex> {
    let topic = image.topic(topic)?;
    Some(partition_for(key, topic.partitions.len()))
}

/// Returns the partition for a key. `partitions` of 0 counts as 1.
fn partition_for(key: &str, partitions: usize) -> PartitionIndex {
    let hash = key.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    // As in Kafka's Utils.abs, the smallest number, which has no opposite, becomes 0.
    let hash = hash.checked_abs().unwrap_or(0);
    let partitions = i32::try_from(partitions.max(1)).unwrap_or(i32::MAX);
    let index = hash % partitions;
    assert!(
        (0..partitions).contains(&index),
        "the key {key:?} belongs to partition {index} of {partitions}"
    );
    PartitionIndex(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_those_that_kafka_computes() {
        // "g".hashCode() is 103, and "polygenelubricants".hashCode() is i32::MIN.
        assert_eq!(partition_for("g", 50), PartitionIndex(3));
        assert_eq!(partition_for("", 50), PartitionIndex(0));
        assert_eq!(partition_for("polygenelubricants", 50), PartitionIndex(0));
        // A character outside the basic plane counts as its two halves.
        assert_eq!(
            partition_for("\u{1F600}", 50),
            PartitionIndex(1_772_899 % 50)
        );
    }
}
