//! `partition.metadata`: the topic id of a partition's directory (KIP-516).

use std::io;
use std::path::Path;

use dohle_model::TopicId;
use dohle_storage::{Environment, FileSystem, OpenMode};

use crate::checkpoint::{Sync, read_if_exists, write_atomically};
use crate::error::{Context, StorageError};

/// The file's name.
pub const PARTITION_METADATA_FILE: &str = "partition.metadata";

/// Returns the topic id in a partition's directory; `None` when the file does not exist or is
/// empty, which a crash of the machine may cause.
///
/// # Errors
/// When the file cannot be read or parsed.
pub fn read(dir: &Path) -> Result<Option<TopicId>, StorageError> {
    read_in(&*Environment::native().files, dir)
}

/// Does the same as [`read`] in this file system.
pub(crate) fn read_in(fs: &dyn FileSystem, dir: &Path) -> Result<Option<TopicId>, StorageError> {
    let path = dir.join(PARTITION_METADATA_FILE);
    let Some(bytes) = read_if_exists(fs, &path)?.filter(|bytes| !bytes.is_empty()) else {
        return Ok(None);
    };
    decode(&String::from_utf8_lossy(&bytes))
        .map(Some)
        .map_err(|text| StorageError::invalid("read", &path, text))
}

/// Writes the file. It is on the disk after the partition's first flush, so that creating thousands
/// of partitions does not wait for the disk thousands of times.
///
/// # Errors
/// When it cannot be written.
pub fn write(dir: &Path, topic_id: TopicId) -> Result<(), StorageError> {
    write_in(&*Environment::native().files, dir, topic_id)
}

/// Does the same as [`write`] in this file system.
pub(crate) fn write_in(
    fs: &dyn FileSystem,
    dir: &Path,
    topic_id: TopicId,
) -> Result<(), StorageError> {
    let path = dir.join(PARTITION_METADATA_FILE);
    write_atomically(fs, &path, &encode(topic_id), Sync::No)
}

/// Writes the file if the partition has none yet. Returns the topic id in the file.
pub(crate) fn ensure_in(
    fs: &dyn FileSystem,
    dir: &Path,
    topic_id: TopicId,
) -> Result<TopicId, StorageError> {
    let path = dir.join(PARTITION_METADATA_FILE);
    match fs.open(&path, OpenMode::CreateNew) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        created => {
            let written = created.and_then(|file| file.write_all_at(&encode(topic_id), 0));
            if let Err(error) = written {
                let _ = fs.remove_file(&path);
                return Err(error).context("write", &path);
            }
            return Ok(topic_id);
        }
    }
    if let Some(known) = read_in(fs, dir)? {
        return Ok(known);
    }
    write_in(fs, dir, topic_id)?;
    Ok(topic_id)
}

fn encode(topic_id: TopicId) -> Vec<u8> {
    format!("version: 0\ntopic_id: {topic_id}").into_bytes()
}

fn decode(text: &str) -> Result<TopicId, String> {
    let mut lines = text.lines();
    let mut field = |name: &str| {
        let line = lines.next().unwrap_or_default();
        let value = line.strip_prefix(name).map(str::trim);
        value.ok_or_else(|| format!("{line:?} does not begin with {name:?}"))
    };
    let version = field("version:")?;
    if version != "0" {
        return Err(format!(
            "version {version:?} is not supported, 0 is expected"
        ));
    }
    let id: TopicId = field("topic_id:")?
        .parse()
        .map_err(|error| format!("{error}"))?;
    if id.is_zero() {
        Err("the topic id is zero".to_owned())
    } else {
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_keeps_the_topic_id() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let id = TopicId::from_bytes([7; 16]);
        write(dir.path(), id).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(id));
        std::fs::write(dir.path().join(PARTITION_METADATA_FILE), "version: 1\n").unwrap();
        assert!(
            read(dir.path())
                .unwrap_err()
                .to_string()
                .contains("version \"1\" is not supported")
        );
    }
}
