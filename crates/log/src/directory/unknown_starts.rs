//! `unknown-log-starts`: the partitions of a log directory whose log start was lost with a damaged
//! `log-start-offset-checkpoint`, and not yet restored from another replica.
//!
//! The checkpoint is rewritten soon after a start, with the log starts that the logs have then.
//! This file records across restarts that those may be too small. It does not exist while every log
//! start is known.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use dohle_model::{PartitionIndex, TopicName, TopicPartition};

use super::LogDirectory;
use crate::checkpoint::{
    Sync, entry_lines, read_if_exists, remove_if_exists, with_checksum, without_checksum,
    write_atomically,
};
use crate::error::StorageError;

/// The file's name.
const FILE: &str = "unknown-log-starts";

impl LogDirectory {
    /// Returns the partitions whose log start is lost.
    ///
    /// # Errors
    /// When the file cannot be read or parsed.
    pub fn read_unknown_log_starts(&self) -> Result<BTreeSet<TopicPartition>, StorageError> {
        let path = self.path().join(FILE);
        let Some(bytes) = read_if_exists(self.fs(), &path)? else {
            return Ok(BTreeSet::new());
        };
        decode(&bytes).map_err(|text| StorageError::invalid("read", &path, text))
    }

    /// Replaces the list of partitions whose log start is lost, durably. Removes the file when the
    /// list is empty.
    ///
    /// # Errors
    /// When the file cannot be written or removed.
    pub fn write_unknown_log_starts(
        &self,
        partitions: &BTreeSet<TopicPartition>,
    ) -> Result<(), StorageError> {
        let path = self.path().join(FILE);
        if partitions.is_empty() {
            return remove_if_exists(self.fs(), &path);
        }
        write_atomically(self.fs(), &path, encode(partitions).as_bytes(), Sync::Yes)
    }
}

fn encode(partitions: &BTreeSet<TopicPartition>) -> String {
    let mut text = format!("0\n{}\n", partitions.len());
    for name in partitions {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} {}", name.topic, name.partition);
    }
    with_checksum(text)
}

fn decode(bytes: &[u8]) -> Result<BTreeSet<TopicPartition>, String> {
    let partition_of = |line: &str| {
        let (topic, partition) = line.split_once(' ')?;
        Some(TopicPartition {
            topic: TopicName::new(topic).ok()?,
            partition: PartitionIndex::from_wire(partition.parse().ok()?)?,
        })
    };
    let entries = entry_lines(without_checksum(bytes)?)?.into_iter();
    let partitions = entries.map(|(number, line)| {
        partition_of(line).ok_or_else(|| format!("line {number}: {line:?} is not a partition"))
    });
    partitions.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_read_as_they_were_written_and_changed_bytes_are_refused() {
        let name = |partition| TopicPartition {
            topic: TopicName::new("orders").unwrap(),
            partition: PartitionIndex(partition),
        };
        let partitions = BTreeSet::from([name(0), name(7)]);
        let bytes = encode(&partitions).into_bytes();
        assert_eq!(decode(&bytes), Ok(partitions));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(decode(&changed).is_err(), "byte {at}");
            assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
