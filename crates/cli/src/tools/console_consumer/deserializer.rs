//! Kafka's deserializers, as far as their results can be printed.
//!
//! Pure.

use std::borrow::Cow;

use anyhow::bail;

use crate::numbers::java_double;

/// Makes the text that is printed for bytes; fails when they do not have the expected form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deserializer(fn(&[u8]) -> Text<'_>);

type Text<'a> = anyhow::Result<Cow<'a, [u8]>>;

const PACKAGE: &str = "org.apache.kafka.common.serialization.";

impl Deserializer {
    /// Prints bytes as they are.
    pub(super) const BYTES: Self = Self(|bytes| Ok(Cow::Borrowed(bytes)));

    const ALL: [(&'static str, Self); 11] = [
        ("StringDeserializer", Self(utf8)),
        (
            "LongDeserializer",
            Self(|bytes| exactly(bytes, "LongDeserializer", i64::from_be_bytes)),
        ),
        (
            "IntegerDeserializer",
            Self(|bytes| exactly(bytes, "IntegerDeserializer", i32::from_be_bytes)),
        ),
        (
            "ShortDeserializer",
            Self(|bytes| exactly(bytes, "ShortDeserializer", i16::from_be_bytes)),
        ),
        (
            "DoubleDeserializer",
            Self(|bytes| {
                exactly(bytes, "Deserializer", |eight| {
                    java_double(f64::from_be_bytes(eight))
                })
            }),
        ),
        ("FloatDeserializer", Self(float)),
        ("BooleanDeserializer", Self(boolean)),
        ("UUIDDeserializer", Self(uuid)),
        ("ByteArrayDeserializer", Self::BYTES),
        ("BytesDeserializer", Self::BYTES),
        ("ByteBufferDeserializer", Self::BYTES),
    ];

    /// The one of this class.
    ///
    /// # Errors
    /// When it is unknown; the error lists the known ones.
    pub(super) fn of_class(class: &str) -> anyhow::Result<Self> {
        let name = class.strip_prefix(PACKAGE).unwrap_or(class);
        match Self::ALL.iter().find(|(known, _)| *known == name) {
            Some((_, deserializer)) => Ok(*deserializer),
            None => bail!(
                "{class} is a Java class, and this tool runs none; of {PACKAGE}* there are: {}",
                Self::ALL.map(|(name, _)| name).join(", ")
            ),
        }
    }

    /// What is printed for these bytes.
    ///
    /// # Errors
    /// When the bytes do not have the expected form.
    pub(super) fn text(self, bytes: &[u8]) -> Text<'_> {
        (self.0)(bytes)
    }
}

/// As in Java, bytes that are not UTF-8 become U+FFFD.
fn utf8(bytes: &[u8]) -> Text<'_> {
    Ok(match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

/// By way of its shortest text, for that is what Java prints.
fn float(bytes: &[u8]) -> Text<'_> {
    let shortest = |four| f32::from_be_bytes(four).to_string();
    exactly(bytes, "Deserializer", |four| {
        java_double(shortest(four).parse().unwrap_or(f64::NAN))
    })
}

fn boolean(bytes: &[u8]) -> Text<'_> {
    match bytes {
        [0 | 1] => exactly(bytes, "BooleanDeserializer", |[byte]| byte == 1),
        [other] => bail!("Unexpected byte received by BooleanDeserializer: {other}"),
        _ => bail!("Size of data received by BooleanDeserializer is not 1"),
    }
}

fn uuid(bytes: &[u8]) -> Text<'_> {
    match std::str::from_utf8(bytes) {
        Ok(text) if is_uuid(text) => Ok(Cow::Owned(text.to_lowercase().into_bytes())),
        _ => bail!("Error parsing data into UUID"),
    }
}

/// The text of a value of a fixed size.
fn exactly<'a, const N: usize, Value: ToString>(
    bytes: &'a [u8],
    who: &str,
    value: impl Fn([u8; N]) -> Value,
) -> Text<'a> {
    match bytes.try_into() {
        Ok(bytes) => Ok(Cow::Owned(value(bytes).to_string().into_bytes())),
        Err(_) => bail!("Size of data received by {who} is not {N}"),
    }
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &&str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(hex)
}

#[cfg(test)]
mod tests;
