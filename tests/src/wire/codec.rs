//! Messages as fields, to bytes and back, by their schemas. Pure.
//!
//! The encoder checks names and ranges of numbers, and nothing else: null where a version does not
//! allow it is encoded as null, since servers must refuse it. The decoder is strict: each byte
//! belongs to a field.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use super::batches;
use super::schema::{Field, Kind, Message};

/// Encodes the body of a request.
pub fn encode(message: &Message, version: i16, value: &Value) -> Result<Vec<u8>> {
    let mut writer = Writer {
        message,
        version,
        flexible: message.flexible.contains(version),
        bytes: Vec::new(),
    };
    writer.fields(&message.fields, value)?;
    Ok(writer.bytes)
}

/// Decodes the body of a response, to its last byte.
pub fn decode(message: &Message, version: i16, bytes: &[u8]) -> Result<Value> {
    let mut reader = Reader {
        message,
        version,
        flexible: message.flexible.contains(version),
        bytes,
    };
    let value = reader.fields(&message.fields)?;
    let rest = reader.bytes.len();
    ensure!(rest == 0, "{rest} bytes follow the response");
    Ok(value)
}

/// What comes before a structure that may be null.
const PRESENT: u8 = 1;
const ABSENT: u8 = 0xff;

struct Writer<'a> {
    message: &'a Message,
    version: i16,
    flexible: bool,
    bytes: Vec<u8>,
}

impl Writer<'_> {
    fn fields(&mut self, fields: &[Field], value: &Value) -> Result<()> {
        let object = value.as_object();
        let object = object.with_context(|| format!("{value} is no object"))?;
        for name in object.keys() {
            let known = fields.iter().any(|field| field.name == *name);
            ensure!(known, "there is no field {name}");
        }
        let mut tagged = Vec::new();
        let version = self.version;
        for field in fields.iter().filter(|it| it.versions.contains(version)) {
            let given = object.get(&field.name);
            if let Some((tag, versions)) = field.tag
                && versions.contains(self.version)
            {
                if let Some(given) = given {
                    tagged.push((tag, self.apart(&field.kind, given)?));
                }
                continue;
            }
            let value = given.unwrap_or(&field.default);
            let outcome = match field.has_presence(version) {
                true if value.is_null() => {
                    self.bytes.push(ABSENT);
                    Ok(())
                }
                true => {
                    self.bytes.push(PRESENT);
                    self.value(&field.kind, value)
                }
                false => self.value(&field.kind, value),
            };
            outcome.with_context(|| field.name.clone())?;
        }
        if self.flexible {
            tagged.sort();
            self.unsigned(tagged.len())?;
            for (tag, bytes) in tagged {
                self.unsigned(usize::try_from(tag)?)?;
                self.unsigned(bytes.len())?;
                self.bytes.extend(bytes);
            }
        }
        Ok(())
    }

    /// Encodes a value by itself.
    fn apart(&mut self, kind: &Kind, value: &Value) -> Result<Vec<u8>> {
        let before = std::mem::take(&mut self.bytes);
        let outcome = self.value(kind, value);
        let bytes = std::mem::replace(&mut self.bytes, before);
        outcome.map(|()| bytes)
    }

    fn value(&mut self, kind: &Kind, value: &Value) -> Result<()> {
        let number = || {
            value
                .as_i64()
                .with_context(|| format!("{value} is no number"))
        };
        let text = || {
            value
                .as_str()
                .with_context(|| format!("{value} is no text"))
        };
        match kind {
            Kind::Bool => {
                let flag = value.as_bool();
                let flag = flag.with_context(|| format!("{value} is no bool"))?;
                self.bytes.push(u8::from(flag));
            }
            Kind::Int(size) | Kind::Uint(size) => {
                let number = number()?;
                let bits = u32::try_from(size * 8)?;
                let fits = match kind {
                    Kind::Int(_) => bits == 64 || (number << (64 - bits)) >> (64 - bits) == number,
                    _ => number >= 0 && number >> bits == 0,
                };
                ensure!(fits, "{number} does not fit into {bits} bits");
                self.bytes.extend(&number.to_be_bytes()[8 - size..]);
            }
            Kind::Float => {
                let number = match value.as_str() {
                    Some(text) => text.parse()?,
                    None => value
                        .as_f64()
                        .with_context(|| format!("{value} is no number"))?,
                };
                self.bytes.extend(number.to_be_bytes());
            }
            Kind::Uuid => self.bytes.extend(uuid_bytes(text()?)?),
            Kind::Struct(name) => {
                let fields = self.message.structs.get(name);
                let fields = fields.with_context(|| format!("there is no {name}"))?;
                self.fields(fields, value)?;
            }
            Kind::Text if value.is_null() => self.null(2)?,
            Kind::Bytes | Kind::Records | Kind::Array(_) if value.is_null() => self.null(4)?,
            Kind::Text => {
                let text = text()?;
                self.length(2, text.len())?;
                self.bytes.extend(text.as_bytes());
            }
            Kind::Bytes => {
                let bytes = hex_bytes(text()?)?;
                self.length(4, bytes.len())?;
                self.bytes.extend(bytes);
            }
            Kind::Records => {
                let bytes = batches::encode(value)?;
                self.length(4, bytes.len())?;
                self.bytes.extend(bytes);
            }
            Kind::Array(inner) => {
                let items = value.as_array();
                let items = items.with_context(|| format!("{value} is no list"))?;
                self.length(4, items.len())?;
                for item in items {
                    self.value(inner, item)?;
                }
            }
        }
        Ok(())
    }

    /// Appends a length, of `size` bytes where versions are not flexible.
    fn length(&mut self, size: usize, length: usize) -> Result<()> {
        if self.flexible {
            return self.unsigned(length + 1);
        }
        let length = i64::try_from(length)?;
        self.bytes.extend(&length.to_be_bytes()[8 - size..]);
        Ok(())
    }

    fn null(&mut self, size: usize) -> Result<()> {
        if self.flexible {
            return self.unsigned(0);
        }
        self.bytes.extend(&(-1i64).to_be_bytes()[8 - size..]);
        Ok(())
    }

    /// Appends a number in groups of seven bits, the lowest first.
    fn unsigned(&mut self, mut number: usize) -> Result<()> {
        while number >= 0x80 {
            self.bytes.push(u8::try_from(number & 0x7f)? | 0x80);
            number >>= 7;
        }
        self.bytes.push(u8::try_from(number)?);
        Ok(())
    }
}

struct Reader<'a> {
    message: &'a Message,
    version: i16,
    flexible: bool,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let taken = self.bytes.split_at_checked(count);
        let (taken, rest) = taken.context("the response ends too early")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn fields(&mut self, fields: &[Field]) -> Result<Value> {
        let mut object = Map::new();
        let version = self.version;
        for field in fields.iter().filter(|it| it.versions.contains(version)) {
            let tagged = field.tag;
            if tagged.is_some_and(|(_, versions)| versions.contains(self.version)) {
                continue;
            }
            let value = self.field(field)?;
            object.insert(field.name.clone(), value);
        }
        if self.flexible {
            for _ in 0..self.unsigned()? {
                let tag = u32::try_from(self.unsigned()?)?;
                let length = self.unsigned()?;
                let body = self.take(length)?;
                let known = fields.iter().find(|field| {
                    let is_it = field.tag.filter(|(known, _)| *known == tag);
                    is_it.is_some_and(|(_, versions)| versions.contains(self.version))
                });
                let Some(field) = known else {
                    object.insert(format!("tag {tag}"), json!(hex_text(body)));
                    continue;
                };
                let mut inner = Reader {
                    bytes: body,
                    ..*self
                };
                let value = inner.field(field)?;
                ensure!(inner.bytes.is_empty(), "tag {tag} is too long");
                object.insert(field.name.clone(), value);
            }
        }
        Ok(Value::Object(object))
    }

    fn field(&mut self, field: &Field) -> Result<Value> {
        let is_absent = field.has_presence(self.version) && self.take(1)? == [ABSENT];
        let value = match is_absent {
            true => Ok(Value::Null),
            false => self.value(&field.kind),
        };
        let value = value.with_context(|| field.name.clone())?;
        let allowed = !value.is_null()
            || field.nullable.contains(self.version)
            || matches!(field.kind, Kind::Records);
        ensure!(allowed, "{} is null, which it must not be", field.name);
        Ok(value)
    }

    fn value(&mut self, kind: &Kind) -> Result<Value> {
        Ok(match kind {
            Kind::Bool => match self.take(1)? {
                [0] => json!(false),
                [1] => json!(true),
                other => bail!("{other:?} is no bool"),
            },
            Kind::Int(size) => json!(signed(self.take(*size)?)),
            Kind::Uint(size) => {
                let bits = size * 8;
                json!(signed(self.take(*size)?) & ((1 << bits) - 1))
            }
            Kind::Float => {
                let number = f64::from_be_bytes(self.take(8)?.try_into()?);
                match number.is_finite() {
                    true => json!(number),
                    false => json!(number.to_string()),
                }
            }
            Kind::Uuid => json!(uuid_text(self.take(16)?)),
            Kind::Struct(name) => {
                let fields = self.message.structs.get(name);
                self.fields(fields.with_context(|| format!("there is no {name}"))?)?
            }
            Kind::Text => match self.length(2)? {
                Some(length) => json!(std::str::from_utf8(self.take(length)?)?),
                None => Value::Null,
            },
            Kind::Bytes => match self.length(4)? {
                Some(length) => json!(hex_text(self.take(length)?)),
                None => Value::Null,
            },
            Kind::Records => match self.length(4)? {
                Some(length) => batches::decode(self.take(length)?)?,
                None => Value::Null,
            },
            Kind::Array(inner) => match self.length(4)? {
                Some(length) => (0..length)
                    .map(|_| self.value(inner))
                    .collect::<Result<_>>()?,
                None => Value::Null,
            },
        })
    }

    fn length(&mut self, size: usize) -> Result<Option<usize>> {
        if self.flexible {
            return Ok(self.unsigned()?.checked_sub(1));
        }
        Ok(match signed(self.take(size)?) {
            -1 => None,
            length => Some(usize::try_from(length)?),
        })
    }

    fn unsigned(&mut self) -> Result<usize> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            number |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        bail!("a length of more than five bytes")
    }
}

/// Returns a number with a sign, in the order of the network.
fn signed(bytes: &[u8]) -> i64 {
    let sign = bytes.first().is_some_and(|first| *first >= 0x80);
    let start = if sign { -1 } else { 0 };
    bytes
        .iter()
        .fold(start, |number, byte| (number << 8) | i64::from(*byte))
}

/// Returns bytes as hexadecimal digits.
pub fn hex_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the bytes that hexadecimal digits stand for.
pub fn hex_bytes(text: &str) -> Result<Vec<u8>> {
    ensure!(
        text.len().is_multiple_of(2),
        "{text}: an odd number of digits"
    );
    let pair = |at: usize| -> Result<u8> {
        let digits = text.get(at..at + 2).context("digits")?;
        Ok(u8::from_str_radix(digits, 16)?)
    };
    (0..text.len()).step_by(2).map(pair).collect()
}

/// Returns an id of sixteen bytes as 32 hexadecimal digits.
pub fn uuid_text(bytes: &[u8]) -> String {
    hex_text(bytes)
}

fn uuid_bytes(text: &str) -> Result<Vec<u8>> {
    let bytes = hex_bytes(text)?;
    ensure!(bytes.len() == 16, "{text} has {} bytes", bytes.len());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::schema::Schemas;
    use super::*;

    const SCHEMAS: &str = r#"{"TRequest": {
        "apiKey": 1, "validVersions": "0-2", "flexibleVersions": "1+", "fields": [
        {"name": "Text", "type": "string", "versions": "0+", "nullableVersions": "0+"},
        {"name": "Number", "type": "int16", "versions": "1+", "default": "-1"},
        {"name": "Ids", "type": "[]uuid", "versions": "0+"},
        {"name": "Late", "type": "S", "versions": "1+", "taggedVersions": "1+", "tag": 3,
            "fields": [{"name": "Flag", "type": "bool", "versions": "0+"}]},
        {"name": "Inner", "type": "P", "versions": "2+", "nullableVersions": "2+",
            "default": "null", "fields": [{"name": "Flag", "type": "bool", "versions": "0+"}]}
    ]}}"#;

    fn encoded(version: i16, value: &Value) -> Vec<u8> {
        let schemas = Schemas::parse(SCHEMAS).unwrap();
        encode(schemas.request("T").unwrap(), version, value).unwrap()
    }

    fn decoded(version: i16, bytes: &[u8]) -> Result<Value> {
        let schemas = Schemas::parse(SCHEMAS).unwrap();
        decode(schemas.request("T").unwrap(), version, bytes)
    }

    #[test]
    fn versions_that_are_not_flexible_have_lengths_of_fixed_size() {
        let value = json!({"Text": "ab", "Ids": []});
        let bytes = [0, 2, b'a', b'b', 0, 0, 0, 0];
        assert_eq!(encoded(0, &value), bytes);
        assert_eq!(decoded(0, &bytes).unwrap(), value);
    }

    #[test]
    fn flexible_versions_have_short_lengths_and_tags() {
        let id = "000102030405060708090a0b0c0d0e0f";
        let value = json!({"Text": null, "Number": -2, "Ids": [id], "Late": {"Flag": true}});
        let mut bytes = vec![0, 0xff, 0xfe, 2];
        bytes.extend(0..16);
        bytes.extend([1, 3, 2, 1, 0]);
        assert_eq!(encoded(1, &value), bytes);
        assert_eq!(decoded(1, &bytes).unwrap(), value);
    }

    #[test]
    fn a_structure_that_may_be_null_has_a_byte_before_it() {
        let value = |inner: Value| json!({"Text": null, "Number": 1, "Ids": [], "Inner": inner});
        for (inner, bytes) in [
            (Value::Null, &[0xff][..]),
            (json!({"Flag": true}), &[1, 1, 0]),
        ] {
            let bytes = [&[0, 0, 1, 1], bytes, &[0]].concat();
            assert_eq!(encoded(2, &value(inner.clone())), bytes);
            assert_eq!(decoded(2, &bytes).unwrap(), value(inner));
        }
    }

    #[test]
    fn floating_point_numbers_have_eight_bytes() {
        let schema = r#"{"TRequest": {"apiKey": 1, "validVersions": "0", "flexibleVersions": "none",
            "fields": [{"name": "Value", "type": "float64", "versions": "0+"}]}}"#;
        let schemas = Schemas::parse(schema).unwrap();
        let message = schemas.request("T").unwrap();
        for (value, first) in [
            (json!(1.5), 0x3f),
            (json!("inf"), 0x7f),
            (json!("NaN"), 0x7f),
        ] {
            let value = json!({"Value": value});
            let bytes = encode(message, 0, &value).unwrap();
            assert_eq!((bytes.len(), bytes[0]), (8, first));
            assert_eq!(decode(message, 0, &bytes).unwrap(), value);
        }
    }

    #[test]
    fn fields_that_are_not_given_have_their_defaults() {
        assert_eq!(encoded(1, &json!({})), [1, 0xff, 0xff, 1, 0]);
    }

    #[test]
    fn bytes_after_the_last_field_and_missing_ones_are_errors() {
        assert!(decoded(0, &[0, 0, 0, 0, 0, 0, 1]).is_err());
        assert!(decoded(0, &[0, 0, 0, 0, 0]).is_err());
    }
}
