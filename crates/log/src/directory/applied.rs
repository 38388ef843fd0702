//! `metadata-applied-checkpoint`: the metadata position that a log directory's replicas have
//! applied, and the partitions that the directory held at that position.
//!
//! If later metadata of the same history do not contain a partition of this file, then a committed
//! record deleted or moved that partition. There is no other evidence of a deletion: a partition
//! that is only absent from the metadata is not deleted.
//!
//! Invariant: a partition is in the file only if the metadata contained it at the file's position
//! or before, and the directory had applied the metadata up to that position.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dohle_model::image::MetadataPosition;
use dohle_model::{MetadataOffset, PartitionIndex, TopicId, TopicName, TopicPartition};

use super::LogDirectory;
use crate::checkpoint::{Sync, entry_lines, read_if_exists, write_atomically};
use crate::error::StorageError;

/// The file's name.
pub const APPLIED_METADATA_FILE: &str = "metadata-applied-checkpoint";

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedMetadata {
    /// The metadata position that the replicas in the directory have applied.
    pub position: MetadataPosition,
    /// The replicas in the directory, with their topic ids.
    pub partitions: BTreeMap<TopicPartition, TopicId>,
}

impl LogDirectory {
    /// Reads the file. Returns `None` when it does not exist.
    ///
    /// # Errors
    /// When the file cannot be read or parsed.
    pub fn read_applied_metadata(&self) -> Result<Option<AppliedMetadata>, StorageError> {
        let path = self.path().join(APPLIED_METADATA_FILE);
        let Some(bytes) = read_if_exists(self.fs(), &path)? else {
            return Ok(None);
        };
        decode(&String::from_utf8_lossy(&bytes))
            .map(Some)
            .map_err(|text| StorageError::invalid("read", &path, text))
    }

    /// Writes the file, durably.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_applied_metadata(&self, applied: &AppliedMetadata) -> Result<(), StorageError> {
        let path = self.path().join(APPLIED_METADATA_FILE);
        write_atomically(self.fs(), &path, encode(applied).as_bytes(), Sync::Yes)
    }
}

fn encode(applied: &AppliedMetadata) -> String {
    let MetadataPosition { offset, activation } = applied.position;
    let mut text = format!(
        "0\n{}\n{offset} {activation}\n",
        applied.partitions.len() + 1
    );
    for (name, id) in &applied.partitions {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} {} {id}", name.topic, name.partition);
    }
    text
}

fn decode(text: &str) -> Result<AppliedMetadata, String> {
    let mut lines = entry_lines(text)?.into_iter();
    let (number, line) = lines.next().ok_or("the metadata position is missing")?;
    let position = position(line)
        .ok_or_else(|| format!("line {number}: {line:?} is not \"offset activation\""))?;
    let mut partitions = BTreeMap::new();
    for (number, line) in lines {
        let (name, id) = partition(line)
            .ok_or_else(|| format!("line {number}: {line:?} is not \"topic partition id\""))?;
        partitions.insert(name, id);
    }
    Ok(AppliedMetadata {
        position,
        partitions,
    })
}

fn position(line: &str) -> Option<MetadataPosition> {
    let (offset, activation) = line.split_once(' ')?;
    Some(MetadataPosition {
        offset: MetadataOffset(offset.parse().ok()?),
        activation: activation.parse().ok()?,
    })
}

fn partition(line: &str) -> Option<(TopicPartition, TopicId)> {
    let mut fields = line.split(' ');
    let topic = TopicName::new(fields.next()?).ok()?;
    let partition = PartitionIndex::from_wire(fields.next()?.parse().ok()?)?;
    let id = fields.next()?.parse().ok()?;
    if fields.next().is_some() {
        return None;
    }
    Some((TopicPartition { topic, partition }, id))
}

#[cfg(test)]
mod tests {
    use dohle_model::Uuid;

    use super::*;

    #[test]
    fn the_file_keeps_position_and_partitions() {
        let dir = tempfile::tempdir().unwrap();
        let directory = LogDirectory::open(dir.path()).unwrap();
        assert_eq!(directory.read_applied_metadata().unwrap(), None);
        let name = TopicPartition {
            topic: TopicName::new("a.b_c-d").unwrap(),
            partition: PartitionIndex(3),
        };
        let applied = AppliedMetadata {
            position: MetadataPosition {
                offset: MetadataOffset(71),
                activation: Uuid([0xf8; 16]),
            },
            partitions: [(name, TopicId::from_bytes([2; 16]))].into(),
        };
        directory.write_applied_metadata(&applied).unwrap();
        assert_eq!(directory.read_applied_metadata().unwrap(), Some(applied));
        let path = dir.path().join(APPLIED_METADATA_FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        for cut in 0..text.len() - 1 {
            std::fs::write(&path, &text[..cut]).unwrap();
            directory.read_applied_metadata().unwrap_err();
        }
    }
}
