//! Kafka's deserializers, as far as their results can be printed.
//!
//! Pure.

use std::borrow::Cow;

use anyhow::bail;

use crate::numbers::java_double;

/// How bytes are interpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deserializer {
    /// Printed as they are.
    Bytes,
    /// UTF-8.
    Text,
    /// Eight bytes.
    Long,
    /// Four.
    Integer,
    /// Two.
    Short,
    /// Eight.
    Double,
    /// Four.
    Float,
    /// One.
    Boolean,
    /// A UUID as text.
    Uuid,
}

const PACKAGE: &str = "org.apache.kafka.common.serialization.";

impl Deserializer {
    const ALL: [(&'static str, Self); 11] = [
        ("StringDeserializer", Self::Text),
        ("LongDeserializer", Self::Long),
        ("IntegerDeserializer", Self::Integer),
        ("ShortDeserializer", Self::Short),
        ("DoubleDeserializer", Self::Double),
        ("FloatDeserializer", Self::Float),
        ("BooleanDeserializer", Self::Boolean),
        ("UUIDDeserializer", Self::Uuid),
        ("ByteArrayDeserializer", Self::Bytes),
        ("BytesDeserializer", Self::Bytes),
        ("ByteBufferDeserializer", Self::Bytes),
    ];

    /// The one of this class.
    ///
    /// # Errors
    /// When it is unknown; the error lists the known ones.
    pub(super) fn of_class(class: &str) -> anyhow::Result<Self> {
        let name = class.strip_prefix(PACKAGE).unwrap_or(class);
        match Self::ALL.iter().find(|(known, _)| *known == name) {
            Some((_, deserializer)) => Ok(*deserializer),
            None => {
                let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
                bail!(
                    "{class} is a Java class, and this tool runs none; of \
                     {PACKAGE}* there are: {}",
                    names.join(", ")
                );
            }
        }
    }

    /// What is printed for these bytes.
    ///
    /// # Errors
    /// When the bytes do not have the expected form.
    pub(super) fn text<'a>(self, bytes: &'a [u8]) -> anyhow::Result<Cow<'a, [u8]>> {
        let text = match self {
            Self::Bytes => return Ok(Cow::Borrowed(bytes)),
            // As in Java, bytes that are not UTF-8 become U+FFFD.
            Self::Text => match String::from_utf8_lossy(bytes) {
                Cow::Borrowed(text) => return Ok(Cow::Borrowed(text.as_bytes())),
                Cow::Owned(text) => text,
            },
            Self::Long => i64::from_be_bytes(exactly(bytes, "LongDeserializer")?).to_string(),
            Self::Integer => i32::from_be_bytes(exactly(bytes, "IntegerDeserializer")?).to_string(),
            Self::Short => i16::from_be_bytes(exactly(bytes, "ShortDeserializer")?).to_string(),
            Self::Double => java_double(f64::from_be_bytes(exactly(bytes, "Deserializer")?)),
            Self::Float => {
                let value = f32::from_be_bytes(exactly(bytes, "Deserializer")?);
                // By way of its shortest text, for that is what Java prints.
                java_double(value.to_string().parse().unwrap_or(f64::NAN))
            }
            Self::Boolean => match exactly(bytes, "BooleanDeserializer")? {
                [0] => "false".to_owned(),
                [1] => "true".to_owned(),
                [other] => bail!("Unexpected byte received by BooleanDeserializer: {other}"),
            },
            Self::Uuid => match std::str::from_utf8(bytes) {
                Ok(text) if is_uuid(text) => text.to_lowercase(),
                _ => bail!("Error parsing data into UUID"),
            },
        };
        Ok(Cow::Owned(text.into_bytes()))
    }
}

fn exactly<const N: usize>(bytes: &[u8], who: &str) -> anyhow::Result<[u8; N]> {
    match bytes.try_into() {
        Ok(bytes) => Ok(bytes),
        Err(_) => bail!("Size of data received by {who} is not {N}"),
    }
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &&str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(class: &str, bytes: &[u8]) -> String {
        let deserializer = Deserializer::of_class(class).unwrap();
        match deserializer.text(bytes) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("{error}"),
        }
    }

    #[test]
    fn numbers_are_printed_as_java_does() {
        let long = "org.apache.kafka.common.serialization.LongDeserializer";
        assert_eq!(text(long, &42_i64.to_be_bytes()), "42");
        assert_eq!(
            text(long, b"value1"),
            "Size of data received by LongDeserializer is not 8"
        );
        for (value, expected) in [
            (1.0_f64, "1.0"),
            (0.1, "0.1"),
            (1e7, "1.0E7"),
            (1.5e-5, "1.5E-5"),
            (-123.25, "-123.25"),
            (f64::INFINITY, "Infinity"),
        ] {
            assert_eq!(text("DoubleDeserializer", &value.to_be_bytes()), expected);
        }
        assert_eq!(text("FloatDeserializer", &0.1_f32.to_be_bytes()), "0.1");
        assert_eq!(text("BooleanDeserializer", &[1]), "true");
    }

    #[test]
    fn other_classes_are_refused_with_those_that_there_are() {
        let error = Deserializer::of_class("no.such.Class")
            .unwrap_err()
            .to_string();
        assert!(error.contains("no.such.Class is a Java class"), "{error}");
        assert!(error.contains("StringDeserializer"), "{error}");
    }
}
