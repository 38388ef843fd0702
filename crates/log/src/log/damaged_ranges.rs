//! The file `damaged-ranges`: the damaged ranges of a log, kept across restarts.
//!
//! The file has a version, a count, one line per range with the segment's base offset, the first
//! damaged byte, the number of damaged bytes, the first offset, the offset after the last and a
//! reason, and at its end the CRC32C of all that. If the file is lost, the next check of a segment
//! finds bytes that are not batches again, and an entry of the offset index beyond the end of the
//! file shows that records are missing there.

use std::fmt::Write as _;
use std::path::Path;

use dohle_model::Offset;
use dohle_storage::{FileSystem, OpenMode};

use super::Log;
use crate::checkpoint::{
    Sync, entry_lines, read_if_exists, remove_if_exists, with_checksum, without_checksum,
    write_atomically,
};
use crate::damage::Damage;
use crate::error::{Context, StorageError, StorageErrorKind};

/// The name of the file.
const FILE: &str = "damaged-ranges";

/// Reads the file. Returns no ranges when the file does not exist or is invalid.
pub(super) fn read(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<Damage>, StorageError> {
    let path = dir.join(FILE);
    let Some(bytes) = read_if_exists(fs, &path)? else {
        return Ok(Vec::new());
    };
    Ok(decode(&bytes).unwrap_or_else(|error| {
        tracing::warn!(
            path = %path.display(),
            error,
            "cannot read the list of damaged ranges, the next checks will find the ranges again"
        );
        Vec::new()
    }))
}

fn decode(bytes: &[u8]) -> Result<Vec<Damage>, String> {
    let text = without_checksum(bytes)?;
    let mut found = Vec::new();
    for (number, line) in entry_lines(text)? {
        let mut fields = line.splitn(6, ' ');
        let mut next = || -> Option<u64> { fields.next()?.parse().ok() };
        let numbers = [next(), next(), next(), next(), next()];
        let [
            Some(segment),
            Some(position),
            Some(length),
            Some(start),
            Some(end),
        ] = numbers
        else {
            return Err(format!("line {number} is not five numbers and a reason"));
        };
        let offset_of = |value: u64| {
            let offset = i64::try_from(value).ok().and_then(Offset::from_wire);
            offset.ok_or_else(|| format!("line {number}: {value} is not an offset"))
        };
        found.push(Damage {
            segment: offset_of(segment)?,
            position,
            length,
            start: offset_of(start)?,
            end: offset_of(end)?,
            reason: fields.next().unwrap_or_default().to_owned(),
        });
    }
    Ok(found)
}

fn encode(damage: &[Damage]) -> String {
    let mut text = format!("0\n{}\n", damage.len());
    for it in damage {
        let reason = it.reason.replace('\n', " ");
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{} {} {} {} {} {reason}",
            it.segment, it.position, it.length, it.start, it.end
        );
    }
    with_checksum(text)
}

impl Log {
    /// Removes the ranges for which `keep` returns `false`, and writes the file if that changes the
    /// list.
    pub(super) fn retain_damage(
        &mut self,
        keep: impl Fn(&Damage) -> bool,
    ) -> Result<(), StorageError> {
        let before = self.damage.len();
        self.damage.retain(keep);
        if self.damage.len() == before {
            return Ok(());
        }
        self.write_damage(Sync::No)
    }

    /// Shortens the list to the log's new end `end`.
    pub(super) fn truncate_damage(&mut self, end: Offset) -> Result<(), StorageError> {
        let reaches_beyond = |it: &Damage| it.end > end || it.start >= end;
        if !self.damage.iter().any(reaches_beyond) {
            return Ok(());
        }
        self.damage.retain(|it| it.start < end);
        for it in &mut self.damage {
            it.end = it.end.min(end);
        }
        self.write_damage(Sync::No)
    }

    /// Writes the current list to the file.
    pub(super) fn write_damage(&self, sync: Sync) -> Result<(), StorageError> {
        let path = self.dir.join(FILE);
        if self.damage.is_empty() {
            return remove_if_exists(self.fs(), &path);
        }
        let list = encode(&self.damage);
        match write_atomically(self.fs(), &path, list.as_bytes(), sync) {
            // The list in memory applies. A shorter list must reach the file, because after a start
            // the ranges in the file cannot be read.
            Err(error) if error.kind() == StorageErrorKind::Full => {
                tracing::warn!(
                    partition = %self.topic_partition, %error,
                    "no space to write the list of damaged ranges"
                );
                overwrite(self.fs(), &path, list.as_bytes())
            }
            written => written,
        }
    }
}

/// Overwrites the file with `content`, in the space that the file has. A list that is longer than
/// the file is not written; the next change tries again.
fn overwrite(fs: &dyn FileSystem, path: &Path, content: &[u8]) -> Result<(), StorageError> {
    let old_len = fs.metadata(path).map_or(0, |file| file.len);
    if content.len() as u64 > old_len {
        return Ok(());
    }
    let file = fs.open(path, OpenMode::ReadWrite);
    file.and_then(|file| {
        file.write_all_at(content, 0)?;
        file.set_len(content.len() as u64)
    })
    .context("overwrite", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(position: u64) -> Damage {
        Damage {
            segment: Offset(100),
            position,
            length: 92,
            start: Offset(120),
            end: Offset(130),
            reason: "CRC32C is wrong".to_owned(),
        }
    }

    #[test]
    fn the_list_is_read_as_it_was_written() {
        let list = vec![damage(7), damage(99)];
        assert_eq!(decode(encode(&list).as_bytes()), Ok(list));
        assert!(decode(b"0\n1\n1 2 3\n").is_err());
        for text in ["0\n1\n1 2 3\n", "0\n1\n1 2 3 4 x y\n"] {
            assert!(decode(with_checksum(text.to_owned()).as_bytes()).is_err());
        }
    }

    #[test]
    fn a_list_with_any_changed_byte_is_refused() {
        let bytes = encode(&[damage(7)]).into_bytes();
        for at in 0..bytes.len() {
            for change in [1, 0x10, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                assert!(decode(&changed).is_err(), "byte {at} ^ {change}");
            }
            assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
