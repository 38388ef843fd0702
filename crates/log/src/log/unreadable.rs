//! The damaged ranges of a log: those that its opening found, kept in a file of the partition, and
//! the search for others.
//!
//! A range that is missing leaves no bytes that could be found again, so the file matters:
//! `damaged-ranges` has a version, a count, and for each range the segment's base offset, the first
//! byte and the byte after the last, the first offset and the offset after the last, and a reason.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use dohle_model::Offset;

use super::Log;
use crate::checkpoint::{Sync, entry_lines, read_if_exists, write_atomically};
use crate::clean::Pace;
use crate::error::{Context, StorageError, StorageErrorKind};
use crate::leader_epoch::LeaderEpochCache;
use crate::segment::damage::{Step, Unreadable, Walk};
use crate::segment::files::{LOG_SUFFIX, SegmentFiles, file_name, remove_if_exists};

/// The name of the file.
const DAMAGE_FILE: &str = "damaged-ranges";

/// Reads the file. Without it, or when it cannot be used, nothing is known of damage.
pub(super) fn read(dir: &Path) -> Result<Vec<Unreadable>, StorageError> {
    let path = dir.join(DAMAGE_FILE);
    let Some(bytes) = read_if_exists(&path)? else {
        return Ok(Vec::new());
    };
    let text = String::from_utf8_lossy(&bytes);
    Ok(decode(dir, &text).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), error, "the list of damaged ranges cannot be read");
        Vec::new()
    }))
}

fn decode(dir: &Path, text: &str) -> Result<Vec<Unreadable>, String> {
    let mut found = Vec::new();
    for (number, line) in entry_lines(text)? {
        let mut fields = line.splitn(6, ' ');
        let mut next = || -> Option<u64> { fields.next()?.parse().ok() };
        let numbers = [next(), next(), next(), next(), next()];
        let reason = fields.next();
        let (
            [
                Some(base),
                Some(position),
                Some(end_position),
                Some(offset),
                Some(end),
            ],
            Some(reason),
        ) = (numbers, reason)
        else {
            return Err(format!("line {number} is not five numbers and a reason"));
        };
        let offset_of = |value: u64| {
            let offset = i64::try_from(value).ok().and_then(Offset::from_wire);
            offset.ok_or_else(|| format!("line {number}: {value} is no offset"))
        };
        let base_offset = offset_of(base)?;
        found.push(Unreadable {
            path: dir.join(file_name(base_offset, LOG_SUFFIX)),
            base_offset,
            position,
            end_position,
            offset: offset_of(offset)?,
            end_offset: offset_of(end)?,
            reason: reason.to_owned(),
        });
    }
    Ok(found)
}

fn encode(damaged: &[Unreadable]) -> String {
    let mut text = format!("0\n{}\n", damaged.len());
    for it in damaged {
        let reason = it.reason.replace('\n', " ");
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{} {} {} {} {} {reason}",
            it.base_offset, it.position, it.end_position, it.offset, it.end_offset
        );
    }
    text
}

/// A segment that can be searched for damage without the log's lock.
#[derive(Debug)]
pub struct SegmentSearch {
    files: Arc<SegmentFiles>,
    size: u32,
    truncations: u32,
    /// The base offset of the next segment, or the log's end.
    end_offset: Offset,
    epochs: Arc<LeaderEpochCache>,
}

impl SegmentSearch {
    /// The base offset of the segment.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        self.files.base_offset()
    }

    /// Bytes of the segment's `.log`.
    #[must_use]
    pub fn size(&self) -> u64 {
        u64::from(self.size)
    }

    /// Reads every batch of the segment and returns what is damaged, in the order of the file.
    /// `pace` is called with the bytes of each batch; it may wait, and ends the search by returning
    /// `false`. Nothing is found in a segment that was truncated or replaced meanwhile.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn find_damage(&self, pace: Pace<'_>) -> Result<Vec<Unreadable>, StorageError> {
        let mut found = Vec::new();
        let mut walk = Walk::new(&self.files, self.size(), Some(self.end_offset))
            .with_epochs(&self.epochs, self.end_offset);
        loop {
            let before = walk.position();
            let reason = match walk.next()? {
                None => break,
                Some(Step::Batch { .. }) => None,
                Some(Step::Flaw(reason)) => Some(reason),
            };
            if let Some(reason) = reason {
                found.push(walk.skip(reason, self.end_offset)?);
            }
            if !pace(walk.position() - before) {
                break;
            }
        }
        if self.files.truncations() != self.truncations {
            found.clear();
        }
        Ok(found)
    }
}

impl Log {
    /// The ranges that are known to be damaged, in the order of their offsets. Reads of them fail.
    #[must_use]
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.damaged
    }

    /// The damaged range that holds `offset`, or the next one after it.
    pub(super) fn unreadable_from(&self, offset: Offset) -> Option<&Unreadable> {
        self.damaged
            .iter()
            .find(|it| it.end_offset > offset && it.end_offset > it.offset)
    }

    /// Every segment, to be searched for damage outside the lock.
    #[must_use]
    pub fn segment_searches(&self) -> Vec<SegmentSearch> {
        let epochs = Arc::new(self.leader_epochs.clone());
        let ends = self.segments.iter().skip(1).map(|next| next.base_offset);
        self.segments
            .iter()
            .zip(ends.chain([self.log_end_offset]))
            .map(|(segment, end_offset)| SegmentSearch {
                files: Arc::clone(&segment.files),
                size: segment.size,
                truncations: segment.files.truncations(),
                end_offset,
                epochs: Arc::clone(&epochs),
            })
            .collect()
    }

    /// Drops what `keep` refuses from the list, and writes the list if that changes it.
    pub(super) fn retain_unreadable(
        &mut self,
        keep: impl Fn(&Unreadable) -> bool,
    ) -> Result<(), StorageError> {
        let before = self.damaged.len();
        self.damaged.retain(keep);
        if self.damaged.len() == before {
            return Ok(());
        }
        self.write_unreadable(Sync::No)
    }

    /// The log now ends at `end`.
    pub(super) fn truncate_unreadable(&mut self, end: Offset) -> Result<(), StorageError> {
        let reaches_beyond = |it: &Unreadable| it.end_offset > end || it.offset >= end;
        if !self.damaged.iter().any(reaches_beyond) {
            return Ok(());
        }
        self.damaged.retain(|it| it.offset < end);
        for it in &mut self.damaged {
            it.end_offset = it.end_offset.min(end);
        }
        self.write_unreadable(Sync::No)
    }

    pub(super) fn write_unreadable(&self, sync: Sync) -> Result<(), StorageError> {
        let path = self.dir.join(DAMAGE_FILE);
        if self.damaged.is_empty() {
            return remove_if_exists(&path);
        }
        let list = encode(&self.damaged);
        match write_atomically(&path, list.as_bytes(), sync) {
            // The list in memory counts. A shorter list must reach the file: what is in it would
            // not be readable after a start.
            Err(error) if error.kind() == StorageErrorKind::Full => {
                tracing::warn!(
                    partition = %self.topic_partition, %error,
                    "no space for the list of damaged ranges"
                );
                overwrite(&path, list.as_bytes())
            }
            written => written,
        }
    }
}

/// Puts `content` in the place of the file's content, in the space that the file has. A longer list
/// than the file's is left for the next change.
fn overwrite(path: &Path, content: &[u8]) -> Result<(), StorageError> {
    let old_len = std::fs::metadata(path).map_or(0, |file| file.len());
    if content.len() as u64 > old_len {
        return Ok(());
    }
    let file = std::fs::OpenOptions::new().write(true).open(path);
    file.and_then(|mut file| {
        file.write_all(content)?;
        file.set_len(content.len() as u64)
    })
    .context("overwrite", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_as_it_was_written() {
        let dir = Path::new("/d/t-0");
        let damage = Unreadable {
            path: dir.join("00000000000000000100.log"),
            base_offset: Offset(100),
            position: 7,
            end_position: 99,
            offset: Offset(120),
            end_offset: Offset(130),
            reason: "CRC32C is wrong".to_owned(),
        };
        let list = vec![
            damage.clone(),
            Unreadable {
                position: 99,
                ..damage
            },
        ];
        assert_eq!(decode(dir, &encode(&list)), Ok(list));
        assert!(decode(dir, "0\n1\n1 2 3\n").is_err());
        assert!(decode(dir, "0\n1\n1 2 3 4 x y\n").is_err());
    }
}
