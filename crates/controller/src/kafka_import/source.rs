//! Reads the metadata log of a stopped Apache Kafka node: the newest snapshot, the batches after
//! it, and `quorum-state`. Changes nothing.
//!
//! The log is in Kafka's usual segments, a snapshot in a file `<end offset>-<epoch>.checkpoint`
//! that holds the same kind of batches.

use std::io;
use std::path::{Path, PathBuf};

use dohle_kafka_metadata::{ControlRecord, DecodeError, KafkaRecord, QuorumState};
use dohle_log::{Batch, Batches};
use dohle_storage::FileSystem;

use super::ImportError;

const SEGMENT_SUFFIX: &str = ".log";
const SNAPSHOT_SUFFIX: &str = ".checkpoint";
/// The most bytes that a compressed batch may unpack to. Kafka writes batches of 8 MiB at most.
const UNPACKED_MAX: usize = 64 * 1024 * 1024;

/// What a node's metadata directory holds.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub snapshot: Option<KafkaSnapshot>,
    /// The batches after the snapshot; contiguous.
    pub batches: Vec<KafkaBatch>,
    pub quorum_state: Option<QuorumState>,
    pub torn: Option<TornTail>,
}

/// The newest snapshot.
#[derive(Debug)]
pub(super) struct KafkaSnapshot {
    /// The offset after the last record that it covers.
    pub end: u64,
    /// The epoch of that record.
    pub epoch: u64,
    pub records: Vec<LogRecord>,
}

/// A batch of the log.
#[derive(Debug)]
pub(super) struct KafkaBatch {
    pub epoch: u64,
    pub base: u64,
    /// Their offsets follow `base` without a gap.
    pub records: Vec<LogRecord>,
}

/// A record of either kind.
#[derive(Debug)]
pub(super) enum LogRecord {
    Control(ControlRecord),
    Metadata(KafkaRecord),
}

/// The end of the last segment, which is not a whole batch, as after a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TornTail {
    pub segment: PathBuf,
    pub bytes: usize,
}

/// Reads the directory `__cluster_metadata-0` of a stopped node.
pub(super) fn read(fs: &dyn FileSystem, dir: &Path) -> Result<Source, ImportError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ImportError::Io { path, source }
    };
    let entries = fs.list(dir).map_err(io(dir))?;
    let mut names: Vec<String> = entries
        .into_iter()
        .filter_map(|entry| entry.name.into_string().ok())
        .collect();
    names.sort();
    let mut source = Source::default();
    let newest = names.iter().filter_map(|name| snapshot_id(name)).max();
    if let Some((end, epoch)) = newest {
        let path = dir.join(format!("{end:020}-{epoch:010}{SNAPSHOT_SUFFIX}"));
        let bytes = fs.read(&path).map_err(io(&path))?;
        source.snapshot = Some(snapshot(&bytes, &path, (end, epoch))?);
    }
    let begin = newest.map_or(0, |(end, _)| end);
    let segments: Vec<&String> = names.iter().filter(|name| is_segment(name)).collect();
    for (at, name) in segments.iter().enumerate() {
        // A segment whose successor begins at the snapshot, or before, has nothing after it.
        let next = segments.get(at + 1).map(|name| base_of(name));
        if next.is_some_and(|next| next <= begin) {
            continue;
        }
        let path = dir.join(name);
        let bytes = fs.read(&path).map_err(io(&path))?;
        let torn = segment(&bytes, &path, begin, next.is_none(), &mut source.batches)?;
        source.torn = torn.map(|bytes| TornTail {
            segment: path,
            bytes,
        });
    }
    check_contiguous(&source.batches, begin, dir)?;
    let path = dir.join(QuorumState::NAME);
    match fs.read(&path) {
        Ok(text) => {
            let state = QuorumState::parse(&String::from_utf8_lossy(&text));
            source.quorum_state = Some(state.map_err(|error| damaged(&path, &error))?);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(&path)(error)),
    }
    Ok(source)
}

/// Parses the end offset and the epoch in the name of a complete snapshot.
fn snapshot_id(name: &str) -> Option<(u64, u64)> {
    let (end, epoch) = name.strip_suffix(SNAPSHOT_SUFFIX)?.split_once('-')?;
    (end.len() == 20 && epoch.len() == 10).then_some(())?;
    Some((end.parse().ok()?, epoch.parse().ok()?))
}

fn is_segment(name: &str) -> bool {
    let digits = name.strip_suffix(SEGMENT_SUFFIX);
    digits.is_some_and(|it| it.len() == 20 && it.bytes().all(|byte| byte.is_ascii_digit()))
}

fn base_of(segment: &str) -> u64 {
    segment[..20].parse().unwrap_or(u64::MAX)
}

/// Reads a snapshot: a header, its records and a footer.
fn snapshot(
    bytes: &[u8],
    path: &Path,
    (end, epoch): (u64, u64),
) -> Result<KafkaSnapshot, ImportError> {
    let mut all = Vec::new();
    for batch in Batches::new(bytes) {
        let batch = batch.map_err(|error| damaged(path, &error))?;
        checked(&batch).map_err(|error| damaged(path, &error))?;
        all.extend(records(&batch, path)?);
    }
    let is_complete = matches!(
        all.last(),
        Some(LogRecord::Control(ControlRecord::SnapshotFooter))
    );
    if !is_complete {
        return Err(damaged(path, &"the snapshot has no end"));
    }
    Ok(KafkaSnapshot {
        end,
        epoch,
        records: all,
    })
}

/// Adds the batches of a segment that are not below `begin`. Returns the number of bytes at its end
/// that are not a whole batch: more than 0 is possible in the last segment only.
fn segment(
    bytes: &[u8],
    path: &Path,
    begin: u64,
    is_last: bool,
    to: &mut Vec<KafkaBatch>,
) -> Result<Option<usize>, ImportError> {
    let mut batches = Batches::new(bytes);
    loop {
        let at = batches.position();
        let Some(batch) = batches.next() else {
            return Ok(None);
        };
        let whole = batch.and_then(|batch| checked(&batch).map(|()| batch));
        let batch = match whole {
            Ok(batch) => batch,
            Err(error) if !is_last || is_followed(bytes, at) => {
                return Err(damaged(path, &format!("at byte {at}: {error}")));
            }
            Err(_) => {
                let rest = &bytes[at..];
                let is_written = rest.iter().any(|byte| *byte != 0);
                return Ok(is_written.then_some(rest.len()));
            }
        };
        if unsigned(batch.header.last_offset().0) >= begin {
            let epoch = batch.header.partition_leader_epoch;
            let epoch = epoch.ok_or_else(|| damaged(path, &"a batch has no leader epoch"))?;
            let base = unsigned(batch.header.base_offset.0);
            let records = records(&batch, path)?;
            if base < begin {
                return Err(damaged(path, &"a batch is partly in the snapshot"));
            }
            to.push(KafkaBatch {
                epoch: unsigned(i64::from(epoch.0)),
                base,
                records,
            });
        }
    }
}

/// Whether a whole batch follows the damaged one at `at`: then a crash has not caused the damage.
fn is_followed(bytes: &[u8], at: usize) -> bool {
    let Ok(header) = dohle_log::BatchHeader::parse(&bytes[at..]) else {
        return false;
    };
    let next = bytes.get(at + header.size as usize..).unwrap_or_default();
    let next = Batches::new(next).next();
    next.is_some_and(|next| next.is_ok_and(|batch| checked(&batch).is_ok()))
}

fn checked(batch: &Batch<'_>) -> Result<(), dohle_log::BatchError> {
    batch.header.check_crc(batch.bytes)
}

fn records(batch: &Batch<'_>, path: &Path) -> Result<Vec<LogRecord>, ImportError> {
    let bytes = batch.uncompressed(UNPACKED_MAX);
    let bytes = bytes.map_err(|error| damaged(path, &error))?;
    let is_control = batch.header.attributes.is_control();
    let decode = |(at, record): (usize, Result<dohle_log::batch::RecordView<'_>, _>)| {
        let record = record.map_err(|error: dohle_log::BatchError| damaged(path, &error))?;
        let offset = record.offset;
        let wrong = |what: &dyn std::fmt::Display| {
            damaged(path, &format!("the record at offset {offset}: {what}"))
        };
        if usize::try_from(record.offset_delta).ok() != Some(at) {
            return Err(wrong(&"records are missing before it"));
        }
        let value = record.value.ok_or_else(|| wrong(&"it has no value"))?;
        let decoded = match is_control {
            true => {
                ControlRecord::decode(record.key.unwrap_or_default(), value).map(LogRecord::Control)
            }
            false => KafkaRecord::decode(value).map(LogRecord::Metadata),
        };
        decoded.map_err(|error| match error {
            DecodeError::Unknown { .. } | DecodeError::Frame(_) => ImportError::Unknown {
                path: path.to_owned(),
                reason: format!("the record at offset {offset}: {error}"),
            },
            DecodeError::Truncated | DecodeError::Malformed(_) => wrong(&error),
        })
    };
    batch.records(&bytes).enumerate().map(decode).collect()
}

/// Checks that the batches follow the snapshot, and each other, and that epochs never decrease.
fn check_contiguous(batches: &[KafkaBatch], begin: u64, dir: &Path) -> Result<(), ImportError> {
    let (mut next, mut epoch) = (begin, 0);
    for batch in batches {
        if batch.base != next {
            let missing = format!("the records {next} to {} are missing", batch.base);
            return Err(damaged(dir, &missing));
        }
        if batch.epoch < epoch {
            let (base, now) = (batch.base, batch.epoch);
            let falls = format!("the epoch falls from {epoch} to {now} at offset {base}");
            return Err(damaged(dir, &falls));
        }
        next = batch.base + batch.records.len() as u64;
        epoch = batch.epoch;
    }
    Ok(())
}

/// Offsets and epochs of parsed batches are not negative.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn damaged(path: &Path, reason: &dyn std::fmt::Display) -> ImportError {
    ImportError::Damaged {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
