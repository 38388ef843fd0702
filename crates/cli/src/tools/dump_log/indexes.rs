//! The indexes of a segment, compared with its batches.

use std::io::Write;
use std::path::Path;

use dohle_log::{Batch, BatchHeader, offset_index_entries, time_index_entries, txn_index_entries};
use dohle_model::{Offset, Timestamp};

use super::batches::{BatchReader, Next};
use super::findings::add;
use super::log::UNCOMPRESSED_MAX;
use super::{Dump, Stop, absolute, base_offset, read};
use crate::ordered_json::{Json, fields, text_of};
use crate::tool_run::Output;

const OFFSET_ENTRY: usize = 8;
const TIME_ENTRY: usize = 12;
const TXN_ENTRY: usize = 34;

impl<W: Write> Dump<'_, W> {
    /// Shows an index of offsets.
    pub(super) fn offset_index(&mut self, path: &Path) -> Result<(), Stop> {
        let base = base_offset(path)?;
        let bytes = read(path)?;
        let entries = offset_index_entries(&bytes, base);
        if entries.is_empty() {
            return self.plain(format!("{} is empty.", path.display()));
        }
        if self.settings.sanity_only {
            check_size("Index", path, &bytes, OFFSET_ENTRY)?;
            return self.plain(format!("{} passed sanity check.", path.display()));
        }
        let log = path.with_extension("log");
        let file = absolute(path);
        for (number, (offset, position)) in entries.into_iter().enumerate() {
            // Kafka fills the index of its active segment with zeros in advance.
            if offset == base && number > 0 {
                break;
            }
            self.reading.up_to((number * OFFSET_ENTRY) as u64);
            match self.last_offset_at(&log, u64::from(position))? {
                Ok(last) if last == offset => {}
                Ok(last) => {
                    add(&mut self.findings.index_mismatches, &file, offset.0, last.0);
                    self.findings
                        .break_off_unless(offset == base && position == 0);
                }
                Err(why) => {
                    self.findings.break_off();
                    self.tell(format!(
                        "{}: the entry of offset {offset} names position {position} of {}: {why}",
                        path.display(),
                        log.display()
                    ))?;
                }
            }
            if self.settings.verify_only {
                continue;
            }
            self.entry(
                &file,
                fields! { "offset": offset.0, "position": i64::from(position) },
            )?;
        }
        Ok(())
    }

    /// The last offset of the batch at this position, or why it cannot be read.
    fn last_offset_at(&self, log: &Path, position: u64) -> Result<Result<Offset, String>, Stop> {
        let end = position.saturating_add(self.settings.message_max);
        let mut reader = match BatchReader::open(log, position, Some(end)) {
            Ok(reader) => reader,
            Err(Stop::File(why)) => return Ok(Err(why)),
            Err(stop) => return Err(stop),
        };
        Ok(match reader.next()? {
            Next::Batch { header, .. } => Ok(header.last_offset()),
            Next::Wrong { why, .. } => Err(why.to_string()),
            Next::BadSize { size, .. } => Err(format!("a batch cannot have {size} bytes")),
            Next::End { .. } => {
                Err("no whole batch begins there, or one larger than --max-message-size".to_owned())
            }
        })
    }

    /// Shows an index of timestamps.
    pub(super) fn time_index(&mut self, path: &Path) -> Result<(), Stop> {
        let base = base_offset(path)?;
        let bytes = read(path)?;
        let entries = time_index_entries(&bytes, base);
        if self.settings.sanity_only {
            check_times(path, &entries)?;
            check_size("Time index", path, &bytes, TIME_ENTRY)?;
            return self.plain(format!("{} passed sanity check.", path.display()));
        }
        let log = path.with_extension("log");
        let index = std::fs::read(path.with_extension("index")).unwrap_or_default();
        let mut index = offset_index_entries(&index, base);
        // Zeros at the end, which Kafka writes in advance, are not entries.
        let used = index
            .iter()
            .skip(1)
            .position(|(indexed, _)| *indexed == base);
        index.truncate(used.map_or(index.len(), |used| used + 1));
        let file = absolute(path);
        let mut before = -1;
        for (number, (timestamp, offset)) in entries.into_iter().enumerate() {
            if offset == base && number > 0 {
                break;
            }
            self.reading.up_to((number * TIME_ENTRY) as u64);
            let floor = index.partition_point(|(indexed, _)| *indexed <= offset);
            let position = index[..floor].last().map_or(0, |(_, position)| *position);
            match batch_with(&log, u64::from(position), offset)? {
                Some((header, largest)) if header.last_offset() == offset => {
                    if largest != timestamp {
                        add(
                            &mut self.findings.time_mismatches,
                            &file,
                            timestamp,
                            largest,
                        );
                        let room = offset == base && timestamp == 0;
                        self.findings.break_off_unless(room);
                    }
                    if before >= timestamp {
                        add(&mut self.findings.out_of_order, &file, timestamp, before);
                        self.findings.break_off();
                    }
                }
                other => {
                    let found = other.map_or(-1, |(header, _)| header.last_offset().0);
                    add(&mut self.findings.not_found, &file, offset.0, found);
                    self.findings
                        .break_off_unless(offset == base && timestamp == 0);
                }
            }
            before = timestamp;
            if self.settings.verify_only {
                continue;
            }
            self.entry(
                &file,
                fields! { "timestamp": timestamp, "offset": offset.0 },
            )?;
        }
        Ok(())
    }

    /// Shows an index of aborted transactions.
    pub(super) fn txn_index(&mut self, path: &Path) -> Result<(), Stop> {
        let bytes = read(path)?;
        let file = absolute(path);
        for (number, txn) in txn_index_entries(&bytes).into_iter().enumerate() {
            let at = number * TXN_ENTRY;
            let version = i16::from_be_bytes([bytes[at], bytes[at + 1]]);
            if version != 0 {
                return Err(Stop::File(format!(
                    "the entry at position {at} has version {version}, 0 is known"
                )));
            }
            let fields = fields! {
                "version": version,
                "producerId": txn.producer_id.0,
                "firstOffset": txn.first_offset.0,
                "lastOffset": txn.last_offset.0,
                "lastStableOffset": txn.last_stable_offset.0,
            };
            self.entry(&file, fields)?;
        }
        check_size("Transaction index", path, &bytes, TXN_ENTRY)
    }

    /// Shows an entry, in JSON with the file before its fields.
    pub(super) fn entry(
        &mut self,
        file: &str,
        mut fields: Vec<(&'static str, Json)>,
    ) -> Result<(), Stop> {
        let line = match self.settings.output {
            Output::Text => text_of(&fields),
            Output::Json => {
                fields.insert(0, ("file", file.into()));
                Json::Object(fields).compact()
            }
        };
        writeln!(self.out, "{line}")?;
        Ok(())
    }

    /// A line that only text has.
    fn plain(&mut self, line: String) -> Result<(), Stop> {
        if self.settings.output == Output::Text {
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }
}

fn check_size(kind: &str, path: &Path, bytes: &[u8], entry: usize) -> Result<(), Stop> {
    if bytes.len().is_multiple_of(entry) {
        return Ok(());
    }
    Err(Stop::File(format!(
        "{kind} file {} is corrupt, found {} bytes which is neither positive nor a multiple of \
         {entry}",
        absolute(path),
        bytes.len()
    )))
}

fn check_times(path: &Path, entries: &[(i64, Offset)]) -> Result<(), Stop> {
    let (Some((first, _)), Some((last, _))) = (entries.first(), entries.last()) else {
        return Ok(());
    };
    if last >= first {
        return Ok(());
    }
    Err(Stop::File(format!(
        "Corrupt time index found, time index file ({}) has non-zero size but the last timestamp \
         is {last} which is less than the first timestamp {first}",
        absolute(path)
    )))
}

/// The first batch from `position` on that ends at `offset` or behind it, and the largest timestamp
/// of its records.
fn batch_with(
    log: &Path,
    position: u64,
    offset: Offset,
) -> Result<Option<(BatchHeader, i64)>, Stop> {
    let mut reader = BatchReader::open(log, position, None)?;
    loop {
        match reader.next()? {
            Next::Batch { header, .. } if header.last_offset() >= offset => {
                let batch = Batch {
                    header,
                    bytes: reader.bytes(),
                    position: 0,
                };
                return Ok(Some((header, largest_timestamp(&batch))));
            }
            Next::Batch { .. } | Next::Wrong { .. } => {}
            Next::BadSize { .. } | Next::End { .. } => return Ok(None),
        }
    }
}

fn largest_timestamp(batch: &Batch<'_>) -> i64 {
    let Ok(records) = batch.uncompressed(UNCOMPRESSED_MAX) else {
        return -1;
    };
    let timestamps = batch.records(&records).map_while(Result::ok);
    let largest = timestamps
        .map(|record| Timestamp::to_wire(record.timestamp))
        .max();
    largest.unwrap_or(-1)
}
