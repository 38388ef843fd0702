//! How keys and values are shown.
//!
//! Pure.

use dohle_log::batch::RecordView;

use crate::group_records::{self, Embedded, Shown};
use crate::options::{Parsed, UsageError, usage};
use crate::ordered_json::Json;
use crate::transaction_records;

/// How a record's fields are interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoder {
    /// Keys and values, each by itself.
    Fields { key: Field, value: Field },
    /// Records of `__consumer_offsets`.
    Offsets,
    /// Records of `__transaction_state`.
    Transactions,
}

/// How bytes are interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Text,
    Long,
    Integer,
}

/// What is shown of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) key: Option<String>,
    pub(super) payload: Option<String>,
}

impl Decoder {
    /// Reads the decoder options.
    ///
    /// # Errors
    /// When they name a class that is not one of Kafka's own.
    pub(super) fn from_options(parsed: &Parsed) -> Result<Self, UsageError> {
        if parsed.has("offsets-decoder") {
            return Ok(Self::Offsets);
        }
        if parsed.has("transaction-log-decoder") {
            return Ok(Self::Transactions);
        }
        let field = |option: &str| match parsed.value(option)? {
            None => Ok(Field::Text),
            Some(class) => Field::of_class(class, option),
        };
        Ok(Self::Fields {
            key: field("key-decoder-class")?,
            value: field("value-decoder-class")?,
        })
    }

    pub(super) fn decode(self, record: &RecordView<'_>) -> Decoded {
        match self {
            Self::Fields { key, value } => Decoded {
                key: record.key.map(|bytes| key.text(bytes)),
                payload: record.value.map(|bytes| value.text(bytes)),
            },
            Self::Offsets => internal(record, |key, value| {
                group_records::show(key, value, Embedded::Decoded)
            }),
            Self::Transactions => internal(record, transaction_records::show),
        }
    }
}

impl Field {
    fn of_class(class: &str, option: &str) -> Result<Self, UsageError> {
        let name = class.rsplit('.').next().unwrap_or(class);
        let kafka = ["org.apache.kafka.tools.api.", "kafka.serializer."];
        let known = name == class || kafka.iter().any(|package| class.starts_with(package));
        match name {
            "StringDecoder" | "DefaultDecoder" if known => Ok(Self::Text),
            "LongDecoder" if known => Ok(Self::Long),
            "IntegerDecoder" if known => Ok(Self::Integer),
            _ => usage(format!(
                "--{option}: {class} is a Java class, and this tool runs none; of \
                 org.apache.kafka.tools.api.* there are StringDecoder, LongDecoder, \
                 IntegerDecoder and DefaultDecoder"
            )),
        }
    }

    fn text(self, bytes: &[u8]) -> String {
        let number = match self {
            Self::Text => return String::from_utf8_lossy(bytes).into_owned(),
            Self::Long => bytes.first_chunk().map(|bytes| i64::from_be_bytes(*bytes)),
            Self::Integer => {
                let number = bytes.first_chunk().map(|bytes| i32::from_be_bytes(*bytes));
                number.map(i64::from)
            }
        };
        match number {
            Some(number) => number.to_string(),
            None => format!("<{} bytes, too few for a number>", bytes.len()),
        }
    }
}

/// A record of an internal topic.
fn internal<E: std::fmt::Display>(
    record: &RecordView<'_>,
    show: impl FnOnce(&[u8], Option<&[u8]>) -> Result<Option<Shown>, E>,
) -> Decoded {
    let only_key = |key: String| Decoded {
        key: Some(key),
        payload: None,
    };
    let offset = record.offset;
    let Some(key) = record.key else {
        return only_key(format!(
            "Error at offset {offset}, skipping. The key is missing"
        ));
    };
    let kind = group_records::first(key).unwrap_or(-1);
    match show(key, record.value) {
        Ok(Some(shown)) => {
            let json = |name, number: i16, data| {
                let fields = vec![(name, Json::Text(number.to_string())), ("data", data)];
                Json::Object(fields).compact()
            };
            let payload = shown
                .value
                .map(|(version, data)| json("version", version, data));
            Decoded {
                key: Some(json("type", kind, shown.key)),
                payload: Some(payload.unwrap_or_else(|| "<DELETE>".to_owned())),
            }
        }
        Ok(None) => only_key(format!(
            "Unknown record type {kind} at offset {offset}, skipping."
        )),
        Err(error) => only_key(format!("Error at offset {offset}, skipping. {error}")),
    }
}
