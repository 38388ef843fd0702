//! What is printed for a record: Kafka's formatters.
//!
//! Pure.

use anyhow::bail;
use bytes::Bytes;
use dohle_admin::client::Properties;

use super::deserializer::Deserializer;
use dohle_transactions::RecordFormatError;
use kacrab::consumer::{ConsumerRecord, TimestampType};

use crate::group_records::{self, Embedded, Shown};
use crate::options::{UsageError, usage};
use crate::ordered_json::{Json, fields, object};
use crate::transaction_records;

/// How records are printed.
#[derive(Debug)]
pub(super) enum Formatter {
    /// `DefaultMessageFormatter`.
    Default(Box<Columns>),
    /// `LoggingMessageFormatter`: as the default one, and a line to the log.
    Logging(Box<Columns>),
    /// `NoOpMessageFormatter`.
    NoOp,
    /// `OffsetsMessageFormatter`: committed offsets of `__consumer_offsets`.
    Offsets,
    /// `GroupMetadataMessageFormatter`: classic groups of `__consumer_offsets`.
    GroupMetadata,
    /// `TransactionLogMessageFormatter`: records of `__transaction_state`.
    TransactionLog,
    /// `--output json`: an object a line.
    Json,
}

impl Formatter {
    /// The formatter of this class, by its current or its former name.
    ///
    /// # Errors
    /// When the class is unknown, or a property is invalid.
    pub(super) fn of_class(class: &str, properties: &Properties) -> anyhow::Result<Self> {
        let name = class.rsplit(['.', '$']).next().unwrap_or(class);
        let kafka = ["org.apache.kafka.", "kafka."]
            .iter()
            .any(|p| class.starts_with(p));
        let columns = || Columns::new(properties).map(Box::new);
        Ok(match name {
            _ if !kafka && name != class => return Ok(refuse(class)?),
            "DefaultMessageFormatter" => Self::Default(columns()?),
            "LoggingMessageFormatter" => Self::Logging(columns()?),
            "NoOpMessageFormatter" => Self::NoOp,
            "OffsetsMessageFormatter" => Self::Offsets,
            "GroupMetadataMessageFormatter" => Self::GroupMetadata,
            "TransactionLogMessageFormatter" => Self::TransactionLog,
            _ => refuse(class)?,
        })
    }

    /// Appends what is printed for a record.
    ///
    /// # Errors
    /// When a deserializer cannot read it.
    pub(super) fn format(&self, record: &ConsumerRecord, out: &mut Vec<u8>) -> anyhow::Result<()> {
        match self {
            Self::Default(columns) | Self::Logging(columns) => columns.format(record, out),
            Self::NoOp => Ok(()),
            Self::Offsets => internal_record(record, &[0, 1], group, out),
            Self::GroupMetadata => internal_record(record, &[2], group, out),
            Self::TransactionLog => internal_record(record, &[0], transaction_records::show, out),
            Self::Json => {
                out.extend_from_slice(json(record).compact().as_bytes());
                out.push(b'\n');
                Ok(())
            }
        }
    }

    /// The line that goes to the log.
    pub(super) fn log_line(&self, record: &ConsumerRecord) -> Option<String> {
        let Self::Logging(_) = self else {
            return None;
        };
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let key = record
            .key
            .as_ref()
            .map_or("null ".to_owned(), |key| text(key) + ", ");
        let value = record.value.as_ref().map_or("null".to_owned(), text);
        let kind = timestamp_type(record.timestamp_type);
        Some(format!(
            "{kind}:{}, key:{key}value:{value}",
            record.timestamp
        ))
    }
}

fn refuse<T>(class: &str) -> Result<T, UsageError> {
    usage(format!(
        "{class} is a Java class, and this tool runs none; of org.apache.kafka.tools.consumer.* \
         there are DefaultMessageFormatter, LoggingMessageFormatter, NoOpMessageFormatter, \
         OffsetsMessageFormatter, GroupMetadataMessageFormatter and \
         TransactionLogMessageFormatter, and --output json prints a JSON object a line"
    ))
}

/// What the default formatter prints.
#[derive(Debug)]
pub(super) struct Columns {
    /// The names of the columns that are printed, as in `print.key`.
    printed: Vec<&'static str>,
    key_separator: Vec<u8>,
    line_separator: Vec<u8>,
    headers_separator: Vec<u8>,
    null_literal: Vec<u8>,
    key_deserializer: Deserializer,
    value_deserializer: Deserializer,
    headers_deserializer: Deserializer,
}

/// The columns, in their order; by default only the value is printed.
const COLUMNS: [&str; 8] = [
    "timestamp",
    "partition",
    "offset",
    "delivery",
    "epoch",
    "headers",
    "key",
    "value",
];

impl Columns {
    /// Reads the formatter's properties.
    ///
    /// # Errors
    /// When a deserializer is unknown.
    pub(super) fn new(properties: &Properties) -> anyhow::Result<Self> {
        let bytes = |name: &str, default: &str| {
            let text = properties.get(name).unwrap_or(default);
            text.as_bytes().to_vec()
        };
        let deserializer = |name: &str| match properties.get(name) {
            Some(class) => Deserializer::of_class(class),
            None => Ok(Deserializer::BYTES),
        };
        let printed = |name: &&str| {
            let property = format!("print.{name}");
            let default = *name == "value" && !properties.has(&property);
            default || properties.is_true(&property)
        };
        Ok(Self {
            printed: COLUMNS.into_iter().filter(printed).collect(),
            key_separator: bytes("key.separator", "\t"),
            line_separator: bytes("line.separator", "\n"),
            headers_separator: bytes("headers.separator", ","),
            null_literal: bytes("null.literal", "null"),
            key_deserializer: deserializer("key.deserializer")?,
            value_deserializer: deserializer("value.deserializer")?,
            headers_deserializer: deserializer("headers.deserializer")?,
        })
    }

    fn format(&self, record: &ConsumerRecord, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let begin = out.len();
        let result = self.append(record, out);
        if result.is_err() {
            // A part of a record would look like a whole one.
            out.truncate(begin);
        }
        result
    }

    fn append(&self, record: &ConsumerRecord, out: &mut Vec<u8>) -> anyhow::Result<()> {
        for (number, column) in self.printed.iter().enumerate() {
            if number > 0 {
                out.extend_from_slice(&self.key_separator);
            }
            let text = match *column {
                "timestamp" => {
                    let kind = timestamp_type(record.timestamp_type);
                    format!("{kind}:{}", record.timestamp)
                }
                "partition" => format!("Partition:{}", record.partition),
                "offset" => format!("Offset:{}", record.offset),
                "delivery" => "Delivery:NOT_PRESENT".to_owned(),
                "epoch" => match record.leader_epoch {
                    Some(epoch) => format!("Epoch:{epoch}"),
                    None => "Epoch:NOT_PRESENT".to_owned(),
                },
                "headers" => {
                    self.append_headers(record, out)?;
                    continue;
                }
                column => {
                    let (deserializer, field) = match column {
                        "key" => (self.key_deserializer, &record.key),
                        _ => (self.value_deserializer, &record.value),
                    };
                    self.append_field(deserializer, field.as_deref(), out)?;
                    continue;
                }
            };
            out.extend_from_slice(text.as_bytes());
        }
        if !self.printed.is_empty() {
            out.extend_from_slice(&self.line_separator);
        }
        Ok(())
    }

    fn append_headers(&self, record: &ConsumerRecord, out: &mut Vec<u8>) -> anyhow::Result<()> {
        if record.headers.is_empty() {
            out.extend_from_slice(b"NO_HEADERS");
        }
        for (number, header) in record.headers.iter().enumerate() {
            if number > 0 {
                out.extend_from_slice(&self.headers_separator);
            }
            out.extend_from_slice(&header.key);
            out.push(b':');
            self.append_field(self.headers_deserializer, header.value.as_deref(), out)?;
        }
        Ok(())
    }

    fn append_field(
        &self,
        deserializer: Deserializer,
        field: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> anyhow::Result<()> {
        match field {
            None => out.extend_from_slice(&self.null_literal),
            Some(bytes) => out.extend_from_slice(&deserializer.text(bytes)?),
        }
        Ok(())
    }
}

fn timestamp_type(kind: TimestampType) -> &'static str {
    match kind {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

/// Converts the key and the value of a record of an internal topic; `None` for an unknown type.
type Show = fn(&[u8], Option<&[u8]>) -> Result<Option<Shown>, RecordFormatError>;

fn group(key: &[u8], value: Option<&[u8]>) -> Result<Option<Shown>, RecordFormatError> {
    group_records::show(key, value, Embedded::Bytes)
}

/// A record of an internal topic, when its key is of one of these types. As with Kafka, no line
/// ends after it.
fn internal_record(
    record: &ConsumerRecord,
    types: &[i16],
    show: Show,
    out: &mut Vec<u8>,
) -> anyhow::Result<()> {
    let Some(key) = &record.key else {
        return Ok(());
    };
    let Some(kind) = group_records::first(key).filter(|kind| types.contains(kind)) else {
        return Ok(());
    };
    let shown = match show(key, record.value.as_deref()) {
        Ok(Some(shown)) => shown,
        Ok(None) => return Ok(()),
        Err(error) => bail!(
            "offset {} of {}-{} is not a record of the type that its key names: {error}",
            record.offset,
            record.topic,
            record.partition
        ),
    };
    let value = shown
        .value
        .map(|(version, data)| object! { "version": version, "data": data });
    let key = object! { "type": kind, "data": shown.key };
    let text = object! { "key": key, "value": value }.compact();
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// All fields of a record. Bytes that are not UTF-8 are shown as `keyBase64`, `valueBase64`.
pub(super) fn json(record: &ConsumerRecord) -> Json {
    let headers = Json::list(&record.headers, |header| {
        let mut fields = Vec::new();
        field(&mut fields, ["key", "keyBase64"], Some(&header.key));
        let value = header.value.as_deref();
        field(&mut fields, ["value", "valueBase64"], value);
        fields.into()
    });
    let mut fields = fields! {
        "topic": &*record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "timestampType": timestamp_type(record.timestamp_type),
        "leaderEpoch" [record.leader_epoch.is_some()]: record.leader_epoch,
        "headers": headers,
    };
    field(&mut fields, ["key", "keyBase64"], record.key.as_deref());
    let value = record.value.as_deref();
    field(&mut fields, ["value", "valueBase64"], value);
    fields.into()
}

fn field(fields: &mut Vec<(&'static str, Json)>, names: [&'static str; 2], bytes: Option<&[u8]>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => fields.push((names[0], Json::Null)),
        Some((_, Ok(text))) => fields.push((names[0], text.into())),
        Some((bytes, Err(_))) => fields.push((names[1], Json::base64(bytes))),
    }
}
