//! Reads and writes Kafka's checkpoint files: a version, a count, one entry per line. A file is
//! written so that after a crash it has either its old or its new content.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use dohle_model::{Offset, PartitionIndex, TopicName, TopicPartition};
use dohle_storage::{FileSystem, OpenMode};

use crate::batch::crc32c;
use crate::error::{Context, StorageError};

/// Whether a written file is forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// File and directory are synced: the file survives a crash of the machine.
    Yes,
    /// Nothing is synced: the file survives only a crash of the process.
    No,
}

/// Replaces `path` by a file with this content, through a temporary file and a rename. On failure
/// the old file does not change, and the temporary file is removed to free its space.
pub(crate) fn write_atomically(
    fs: &dyn FileSystem,
    path: &Path,
    content: &[u8],
    sync: Sync,
) -> Result<(), StorageError> {
    // Two threads may write the same file, for example a flush and the close of a log, so each
    // write has a temporary file of its own.
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", WRITES.fetch_add(1, Ordering::Relaxed)));
    let temporary = Path::new(&name);
    let write = || -> io::Result<()> {
        let file = fs.open(temporary, OpenMode::CreateOrTruncate)?;
        file.write_all_at(content, 0)?;
        if sync == Sync::Yes {
            file.sync_data()?;
        }
        fs.rename(temporary, path)
    };
    if let Err(error) = write() {
        let _ = fs.remove_file(temporary);
        return Err(error).context("write", path);
    }
    if sync == Sync::Yes
        && let Some(parent) = path.parent()
    {
        sync_dir(fs, parent)?;
    }
    Ok(())
}

/// Forces a directory's entries to the disk.
pub(crate) fn sync_dir(fs: &dyn FileSystem, dir: &Path) -> Result<(), StorageError> {
    fs.sync_directory(dir).context("sync directory", dir)
}

/// Reads a whole file. Returns `None` when it does not exist.
pub(crate) fn read_if_exists(
    fs: &dyn FileSystem,
    path: &Path,
) -> Result<Option<Vec<u8>>, StorageError> {
    match fs.read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("read", path),
    }
}

/// Removes a file if it exists.
pub(crate) fn remove_if_exists(fs: &dyn FileSystem, path: &Path) -> Result<(), StorageError> {
    match fs.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("delete", path),
        _ => Ok(()),
    }
}

/// Returns the entries of a checkpoint of version 0, with their line numbers.
pub(crate) fn entry_lines(text: &str) -> Result<Vec<(usize, &str)>, String> {
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    let mut number = |what: &str| -> Result<u64, String> {
        let (_, line) = lines.next().ok_or_else(|| format!("{what} is missing"))?;
        line.trim()
            .parse()
            .map_err(|_| format!("{what} {line:?} is not a number"))
    };
    let version = number("version")?;
    if version != 0 {
        return Err(format!("version {version} is not supported, 0 is expected"));
    }
    let count = number("number of entries")?;
    let entries: Vec<_> = lines.filter(|(_, line)| !line.trim().is_empty()).collect();
    if entries.len() as u64 != count {
        return Err(format!(
            "it has {} entries, its second line has {count}",
            entries.len()
        ));
    }
    Ok(entries)
}

/// Parses a field of an entry; `None` when it is no number or `from_wire` refuses it.
pub(crate) fn field<N: FromStr, T>(
    text: &str,
    from_wire: impl FnOnce(N) -> Option<T>,
) -> Option<T> {
    text.parse().ok().and_then(from_wire)
}

/// The prefix of the last line of a file that ends with its checksum.
const CHECKSUM: &str = "crc32c ";

/// Appends a line with the CRC32C of `text`.
pub(crate) fn with_checksum(mut text: String) -> String {
    let checksum = crc32c(text.as_bytes());
    // Writing to a string does not fail.
    let _ = writeln!(text, "{CHECKSUM}{checksum:08x}");
    text
}

/// Returns the text that [`with_checksum`] was called with, or the reason why `bytes` are not its
/// result.
pub(crate) fn without_checksum(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let (text, checksum) = text.rsplit_once(CHECKSUM).ok_or("it has no checksum")?;
    let expected = format!("{:08x}\n", crc32c(text.as_bytes()));
    if checksum == expected {
        Ok(text)
    } else {
        Err("its checksum is wrong".to_owned())
    }
}

/// Encodes a checkpoint with one offset per partition.
pub(crate) fn encode_offsets<'a>(
    offsets: impl IntoIterator<Item = (&'a TopicPartition, Offset)>,
) -> String {
    let mut entries = String::new();
    let mut count = 0u64;
    for (partition, offset) in offsets {
        // Writing to a string does not fail.
        let _ = writeln!(
            entries,
            "{} {} {offset}",
            partition.topic, partition.partition
        );
        count += 1;
    }
    format!("0\n{count}\n{entries}")
}

/// Decodes the text that [`encode_offsets`] returns.
pub(crate) fn decode_offsets(text: &str) -> Result<BTreeMap<TopicPartition, Offset>, String> {
    let mut offsets = BTreeMap::new();
    for (number, line) in entry_lines(text)? {
        let wrong = || format!("line {number}: {line:?} is not \"topic partition offset\"");
        let mut fields = line.split(' ');
        let (Some(topic), Some(partition), Some(offset), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(wrong());
        };
        let topic = TopicName::new(topic).map_err(|error| format!("line {number}: {error}"))?;
        let partition = field(partition, PartitionIndex::from_wire).ok_or_else(wrong)?;
        let offset = field(offset, Offset::from_wire).ok_or_else(wrong)?;
        offsets.insert(TopicPartition { topic, partition }, offset);
    }
    Ok(offsets)
}
