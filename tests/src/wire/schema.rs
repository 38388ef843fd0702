//! Kafka's descriptions of its messages, as they are in the jar of its clients. Pure.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

/// The messages by name, requests and responses.
#[derive(Debug)]
pub struct Schemas {
    messages: BTreeMap<String, Message>,
}

/// A request or a response.
#[derive(Debug)]
pub struct Message {
    /// The API's key.
    pub api_key: i16,
    /// The versions that exist.
    pub versions: Versions,
    /// The versions with compact lengths and tagged fields.
    pub flexible: Versions,
    /// The fields in their order.
    pub fields: Vec<Field>,
    /// Structures that fields refer to by name.
    pub structs: BTreeMap<String, Vec<Field>>,
}

/// A field of a message or a structure.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// The versions that have it.
    pub versions: Versions,
    /// The versions in which it may be null.
    pub nullable: Versions,
    /// The tag, and the versions in which the field is tagged.
    pub tag: Option<(u32, Versions)>,
    /// What a request holds that does not name the field.
    pub default: Value,
}

/// The type of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A byte, 0 or 1.
    Bool,
    /// A whole number with a sign, of this many bytes.
    Int(usize),
    /// A whole number without a sign, of this many bytes.
    Uint(usize),
    /// A floating-point number of eight bytes; `NaN`, `inf` and `-inf` are text.
    Float,
    /// Text.
    Text,
    /// Sixteen bytes.
    Uuid,
    /// Any bytes.
    Bytes,
    /// Record batches.
    Records,
    /// A structure.
    Struct(String),
    /// Many of a type.
    Array(Box<Kind>),
}

/// A range of versions; empty when `first` is above `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// The first.
    pub first: i16,
    /// The last.
    pub last: i16,
}

impl Versions {
    const NONE: Self = Self { first: 1, last: 0 };

    /// Returns whether the range has this version.
    pub fn contains(self, version: i16) -> bool {
        (self.first..=self.last).contains(&version)
    }

    fn parse(text: &str) -> Result<Self> {
        let number = |text: &str| text.parse().with_context(|| format!("versions {text:?}"));
        if text == "none" {
            return Ok(Self::NONE);
        }
        if let Some(first) = text.strip_suffix('+') {
            return Ok(Self {
                first: number(first)?,
                last: i16::MAX,
            });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Ok(Self {
            first: number(first)?,
            last: number(last)?,
        })
    }
}

impl Schemas {
    /// Reads what [`compact`] made of Kafka's files: an object of messages by name.
    pub fn parse(text: &str) -> Result<Self> {
        let messages: BTreeMap<String, Value> = serde_json::from_str(text)?;
        let message = |(name, value): (String, Value)| {
            let message = Message::parse(&value).with_context(|| name.clone())?;
            Ok((name, message))
        };
        let messages = messages.into_iter().map(message).collect::<Result<_>>()?;
        Ok(Self { messages })
    }

    /// Returns the request of an API.
    pub fn request(&self, api: &str) -> Result<&Message> {
        self.get(&format!("{api}Request"))
    }

    /// Returns the response of an API.
    pub fn response(&self, api: &str) -> Result<&Message> {
        self.get(&format!("{api}Response"))
    }

    /// Returns the names of the APIs by their keys.
    pub fn names(&self) -> BTreeMap<i64, String> {
        let named = |(name, message): (&String, &Message)| {
            let name = name.strip_suffix("Request")?;
            Some((i64::from(message.api_key), name.to_owned()))
        };
        self.messages.iter().filter_map(named).collect()
    }

    fn get(&self, name: &str) -> Result<&Message> {
        let found = self.messages.get(name);
        found.with_context(|| format!("no schema of {name}: `make wire-record` collects them"))
    }
}

impl Message {
    fn parse(value: &Value) -> Result<Self> {
        let mut structs = BTreeMap::new();
        for common in value["commonStructs"].as_array().into_iter().flatten() {
            let name = text(common, "name")?.to_owned();
            let fields = fields(&common["fields"], &mut structs)?;
            structs.insert(name, fields);
        }
        Ok(Self {
            api_key: i16::try_from(value["apiKey"].as_i64().context("apiKey")?)?,
            versions: Versions::parse(text(value, "validVersions")?)?,
            flexible: Versions::parse(text(value, "flexibleVersions")?)?,
            fields: fields(&value["fields"], &mut structs)?,
            structs,
        })
    }
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value[name]
        .as_str()
        .with_context(|| format!("{name} of {value}"))
}

fn fields(value: &Value, structs: &mut BTreeMap<String, Vec<Field>>) -> Result<Vec<Field>> {
    let list = value.as_array().context("no fields")?;
    list.iter().map(|value| field(value, structs)).collect()
}

fn field(value: &Value, structs: &mut BTreeMap<String, Vec<Field>>) -> Result<Field> {
    let kind = Kind::parse(text(value, "type")?)?;
    if value["fields"].is_array() {
        let inner = fields(&value["fields"], structs)?;
        match kind.structure() {
            Some(name) => structs.insert(name.to_owned(), inner),
            None => bail!("fields of {value}"),
        };
    }
    let versions = |name: &str| match value[name].as_str() {
        Some(text) => Versions::parse(text),
        None => Ok(Versions::NONE),
    };
    let tag = match value["tag"].as_u64() {
        Some(tag) => Some((u32::try_from(tag)?, versions("taggedVersions")?)),
        None => None,
    };
    Ok(Field {
        name: text(value, "name")?.to_owned(),
        default: default(&kind, &value["default"])?,
        kind,
        versions: versions("versions")?,
        nullable: versions("nullableVersions")?,
        tag,
    })
}

impl Field {
    /// Returns whether a byte before the field says whether it is null.
    pub fn has_presence(&self, version: i16) -> bool {
        matches!(self.kind, Kind::Struct(_)) && self.nullable.contains(version)
    }
}

impl Kind {
    fn parse(text: &str) -> Result<Self> {
        if let Some(inner) = text.strip_prefix("[]") {
            return Ok(Self::Array(Box::new(Self::parse(inner)?)));
        }
        Ok(match text {
            "bool" => Self::Bool,
            "int8" => Self::Int(1),
            "int16" => Self::Int(2),
            "int32" => Self::Int(4),
            "int64" => Self::Int(8),
            "uint16" => Self::Uint(2),
            "uint32" => Self::Uint(4),
            "float64" => Self::Float,
            "string" => Self::Text,
            "uuid" => Self::Uuid,
            "bytes" => Self::Bytes,
            "records" => Self::Records,
            name if name.starts_with(|c: char| c.is_ascii_uppercase()) => {
                Self::Struct(name.to_owned())
            }
            other => bail!("fields of type {other} are not supported"),
        })
    }

    /// Returns the structure that fields of this type hold.
    fn structure(&self) -> Option<&str> {
        match self {
            Self::Struct(name) => Some(name),
            Self::Array(inner) => inner.structure(),
            _ => None,
        }
    }
}

/// Returns the default of a field, of which Kafka's files hold numbers also as text.
fn default(kind: &Kind, value: &Value) -> Result<Value> {
    let text = value.as_str();
    Ok(match kind {
        _ if text == Some("null") => Value::Null,
        Kind::Bool => json!(value == &json!(true) || text == Some("true")),
        Kind::Int(_) | Kind::Uint(_) => match text {
            Some(text) => json!(number(text).with_context(|| format!("default {text:?}"))?),
            None => json!(value.as_i64().unwrap_or(0)),
        },
        Kind::Float => json!(value.as_f64().unwrap_or(0.0)),
        Kind::Text => json!(text.unwrap_or_default()),
        Kind::Uuid => json!(super::codec::uuid_text(&[0; 16])),
        Kind::Bytes => json!(""),
        Kind::Records => Value::Null,
        Kind::Struct(_) => json!({}),
        Kind::Array(_) => json!([]),
    })
}

fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Returns a file of Kafka's without its comments and without what `codec` does not need.
pub fn compact(text: &str) -> Result<Value> {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    Ok(without_texts(serde_json::from_str(&text)?))
}

fn without_texts(value: Value) -> Value {
    const NEEDED: [&str; 13] = [
        "apiKey",
        "name",
        "type",
        "validVersions",
        "latestVersionUnstable",
        "flexibleVersions",
        "fields",
        "commonStructs",
        "versions",
        "nullableVersions",
        "taggedVersions",
        "tag",
        "default",
    ];
    match value {
        Value::Object(object) => {
            let kept = object
                .into_iter()
                .filter(|(name, _)| NEEDED.contains(&name.as_str()))
                .map(|(name, value)| (name, without_texts(value)));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        Value::Array(list) => list.into_iter().map(without_texts).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_kafkas_files() {
        let cases = [
            (Kind::Int(4), json!("0x7fffffff"), json!(0x7fff_ffff)),
            (Kind::Int(8), json!("-1"), json!(-1)),
            (Kind::Int(2), json!(-1), json!(-1)),
            (Kind::Int(2), Value::Null, json!(0)),
            (Kind::Bool, json!("false"), json!(false)),
            (Kind::Bool, json!(true), json!(true)),
            (Kind::Text, json!("null"), Value::Null),
            (Kind::Text, Value::Null, json!("")),
        ];
        for (kind, written, expected) in cases {
            assert_eq!(default(&kind, &written).unwrap(), expected, "{kind:?}");
        }
    }
}
