//! Which partition of `__consumer_offsets` a group belongs to: Java's `String.hashCode` modulo the
//! number of partitions, as every Kafka broker and tool has it.

use dohle_model::PartitionIndex;

/// The partition for a group. `partitions` of 0 counts as 1.
pub(super) fn partition_for(group_id: &str, partitions: usize) -> PartitionIndex {
    let hash = group_id.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    // Kafka's Utils.abs: the smallest number, which has no opposite, becomes 0.
    let hash = hash.checked_abs().unwrap_or(0);
    let partitions = i32::try_from(partitions.max(1)).unwrap_or(i32::MAX);
    PartitionIndex(hash % partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_those_that_kafka_computes() {
        // "g".hashCode() is 103, "my-group" 1 492 893 037 (as jshell says), and
        // "polygenelubricants" is known to be i32::MIN.
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
