//! Segments: their batches, and the records of those.

use std::io::Write;
use std::path::Path;

use dohle_log::batch::RecordView;
use dohle_log::{Batch, BatchHeader, TimestampType};
use dohle_model::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence, Timestamp};

use super::batches::{BatchReader, Next};
use super::decoder::Decoded;
use super::findings::add;
use super::{Dump, DumpSettings, Stop, absolute, base_offset, control};
use crate::ordered_json::{Json, fields, object, text_of};
use crate::tool_run::Output;

/// How many bytes the records of one batch may take when they are uncompressed.
pub(super) const UNCOMPRESSED_MAX: usize = 1 << 30;

impl<W: Write> Dump<'_, W> {
    /// Shows a segment, or a snapshot of Kafka's metadata.
    pub(super) fn log(&mut self, path: &Path) -> Result<(), Stop> {
        let name = path
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let title = title(path, &name)?;
        if self.settings.output == Output::Text {
            writeln!(self.out, "{title}")?;
        }
        let mut reader = BatchReader::open(path, 0, self.settings.bytes_max)?;
        let file = absolute(path);
        let mut last_offset = None;
        loop {
            self.reading.up_to(reader.position());
            match reader.next()? {
                Next::Batch { position, header } => {
                    let batch = Batch {
                        header,
                        bytes: reader.bytes(),
                        position: 0,
                    };
                    self.batch(&file, position, &batch, &mut last_offset)?;
                }
                Next::Wrong { position, why } => {
                    self.findings.break_off();
                    self.tell(format!(
                        "{name}: no valid batch at position {position}: {why}"
                    ))?;
                }
                Next::BadSize { position, size } => {
                    return Err(Stop::File(format!(
                        "Found record size {size} smaller than minimum record overhead (14) at \
                         position {position}; nothing can be read from there on"
                    )));
                }
                Next::End { left } => {
                    if left > 0 && self.settings.bytes_max.is_none() {
                        self.findings.break_off();
                        let text = format!("Found {left} invalid bytes at the end of {name}");
                        match self.settings.output {
                            Output::Text => writeln!(self.out, "{text}")?,
                            Output::Json => self.tell(text)?,
                        }
                    }
                    return Ok(());
                }
            }
        }
    }

    fn batch(
        &mut self,
        file: &str,
        position: u64,
        batch: &Batch<'_>,
        last_offset: &mut Option<i64>,
    ) -> Result<(), Stop> {
        let header = &batch.header;
        let crc = header.check_crc(batch.bytes);
        let json = self.settings.output == Output::Json;
        if !json {
            let fields = batch_fields(header, position, crc.is_ok(), Output::Text);
            writeln!(self.out, "{}", text_of(&fields))?;
        }
        let mut records = Vec::new();
        let mut wrong = None;
        let uncompressed = self
            .settings
            .deep
            .then(|| batch.uncompressed(UNCOMPRESSED_MAX));
        let uncompressed = uncompressed.transpose().unwrap_or_else(|error| {
            wrong = Some(error);
            None
        });
        for record in uncompressed.iter().flat_map(|bytes| batch.records(bytes)) {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    wrong = Some(error);
                    break;
                }
            };
            let offset = record.offset.0;
            if let Some(last) = last_offset.filter(|last| offset != last + 1) {
                add(&mut self.findings.gaps, file, last, offset);
            }
            *last_offset = Some(offset);
            if json {
                records.push(record_json(header, &record, self.settings));
            } else {
                let line = record_line(header, &record, self.settings);
                writeln!(self.out, "{line}")?;
            }
        }
        if json {
            let mut fields = fields! { "file": file };
            fields.extend(batch_fields(header, position, crc.is_ok(), Output::Json));
            if self.settings.deep {
                fields.push(("records", records.into()));
            }
            writeln!(self.out, "{}", Json::Object(fields).compact())?;
        }
        for why in [crc.err(), wrong].into_iter().flatten() {
            self.findings.break_off();
            let base = header.base_offset;
            self.tell(format!(
                "{file}: batch {base} at position {position}: {why}"
            ))?;
        }
        Ok(())
    }
}

/// The first line, made from the file's name.
fn title(path: &Path, name: &str) -> Result<String, Stop> {
    if name == "bootstrap.checkpoint" {
        return Ok("KRaft bootstrap snapshot".to_owned());
    }
    let Some(stem) = name.strip_suffix(".checkpoint") else {
        return Ok(format!("Log starting offset: {}", base_offset(path)?));
    };
    let numbers = stem.split_once('-').and_then(|(offset, epoch)| {
        Some((offset.parse::<u64>().ok()?, epoch.parse::<u32>().ok()?))
    });
    match numbers {
        Some((offset, epoch)) => Ok(format!("Snapshot end offset: {offset}, epoch: {epoch}")),
        None => Err(Stop::File(
            "its name is not that of a snapshot of Kafka's metadata, OFFSET-EPOCH.checkpoint"
                .to_owned(),
        )),
    }
}

fn timestamp_type(header: &BatchHeader) -> &'static str {
    match header.attributes.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

fn codec(header: &BatchHeader) -> &'static str {
    header
        .attributes
        .compression()
        .map_or("unknown", |codec| codec.name())
}

fn sequence(header: &BatchHeader, delta: i32) -> i32 {
    Sequence::to_wire(header.base_sequence.map(|base| base.plus(delta)))
}

/// What is shown of a batch. Some names and one value differ between Kafka's text and JSON.
fn batch_fields(
    header: &BatchHeader,
    position: u64,
    valid: bool,
    output: Output,
) -> Vec<(&'static str, Json)> {
    let horizon = header.delete_horizon();
    let timestamp = Timestamp::to_wire(header.max_timestamp);
    let mut fields = fields! {
        "baseOffset": header.base_offset.0,
        "lastOffset": header.last_offset().0,
        "count": header.record_count,
        "baseSequence": Sequence::to_wire(header.base_sequence),
        "lastSequence": Sequence::to_wire(header.last_sequence()),
        "producerId": ProducerId::to_wire(header.producer_id),
        "producerEpoch": ProducerEpoch::to_wire(header.producer_epoch),
        "partitionLeaderEpoch": LeaderEpoch::to_wire(header.partition_leader_epoch),
        "isTransactional": header.attributes.is_transactional(),
        "isControl": header.attributes.is_control(),
        "deleteHorizonMs": match (output, horizon) {
            (Output::Json, horizon) => horizon.map(|at| at.0).into(),
            (Output::Text, Some(at)) => Json::from(format!("OptionalLong[{}]", at.0)),
            (Output::Text, None) => "OptionalLong.empty".into(),
        },
        "position": i64::try_from(position).unwrap_or(i64::MAX),
    };
    let (size, crc) = (i64::from(header.size), i64::from(header.crc));
    fields.extend(match output {
        Output::Text => vec![
            (timestamp_type(header), timestamp.into()),
            ("size", size.into()),
            ("magic", 2.into()),
            ("compresscodec", codec(header).into()),
            ("crc", crc.into()),
            ("isvalid", valid.into()),
        ],
        Output::Json => fields! {
            "timestampType": timestamp_type(header),
            "timestamp": timestamp,
            "size": size,
            "magic": 2,
            "compressionType": codec(header),
            "crc": crc,
            "isValid": valid,
        },
    });
    fields
}

fn size(field: Option<&[u8]>) -> i64 {
    field.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The line of a record; it may be empty.
fn record_line(header: &BatchHeader, record: &RecordView<'_>, settings: &DumpSettings) -> String {
    let mut line = String::new();
    let mut prefix = "| ";
    if !settings.skip_record_metadata {
        let keys: Vec<String> = record.headers().map(|(key, _)| lossy(key)).collect();
        line = format!(
            "| offset: {} {}: {} keySize: {} valueSize: {} sequence: {} headerKeys: [{}]",
            record.offset,
            timestamp_type(header),
            Timestamp::to_wire(record.timestamp),
            size(record.key),
            size(record.value),
            sequence(header, record.offset_delta),
            keys.join(",")
        );
        prefix = " ";
        if header.attributes.is_control() {
            line += &control::text(record.key, record.value);
        }
    }
    if settings.contents && !header.attributes.is_control() {
        let decoded = settings.decoder.decode(record);
        for (name, text) in [("key", &decoded.key), ("payload", &decoded.payload)] {
            if let Some(text) = text {
                line += &format!("{prefix}{name}: {text}");
                prefix = " ";
            }
        }
    }
    line
}

fn record_json(header: &BatchHeader, record: &RecordView<'_>, settings: &DumpSettings) -> Json {
    let keys = record.headers().map(|(key, _)| Json::from(lossy(key)));
    let control = header.attributes.is_control();
    let decoded = !control && settings.contents;
    let Decoded { key, payload } = match decoded {
        true => settings.decoder.decode(record),
        false => Decoded::default(),
    };
    object! {
        "offset": record.offset.0,
        "timestamp": Timestamp::to_wire(record.timestamp),
        "keySize": size(record.key),
        "valueSize": size(record.value),
        "sequence": sequence(header, record.offset_delta),
        "headerKeys": keys.collect::<Vec<_>>(),
        "control" [control]: control::text(record.key, record.value).trim(),
        "key" [decoded]: key,
        "payload" [decoded]: payload,
    }
}
