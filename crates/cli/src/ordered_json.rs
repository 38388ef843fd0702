//! JSON whose fields stay in the order they were given, as Kafka writes its records.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::text::join_with;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object.
    Object(Vec<(&'static str, Json)>),
}

/// The fields of an object, as `fields! { "name": value, … }`; values are converted into [`Json`].
/// A field `"name" [condition]: value` is left out unless the condition holds.
macro_rules! fields {
    ($($name:literal $([$condition:expr])?: $value:expr),* $(,)?) => {{
        let mut fields: Vec<(&'static str, $crate::ordered_json::Json)> = Vec::new();
        $(
            let conditions: &[bool] = &[$($condition)?];
            if !conditions.contains(&false) {
                fields.push(($name, $crate::ordered_json::Json::from($value)));
            }
        )*
        fields
    }};
}

/// An object, as `object! { "name": value, … }`.
macro_rules! object {
    ($($field:tt)*) => {
        $crate::ordered_json::Json::Object($crate::ordered_json::fields! { $($field)* })
    };
}

pub(crate) use {fields, object};

impl Json {
    /// Bytes, as base64.
    pub(crate) fn base64(bytes: &[u8]) -> Self {
        Self::Text(STANDARD.encode(bytes))
    }

    /// A list.
    pub(crate) fn list<T>(items: &[T], item: impl Fn(&T) -> Self) -> Self {
        Self::List(items.iter().map(item).collect())
    }

    /// On one line, without spaces.
    pub(crate) fn compact(&self) -> String {
        // No key is anything but text, and nothing fails to be written to memory.
        serde_json::to_string(self).unwrap_or_default()
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident),* $(,)?) => {
        $(impl From<$type> for Json {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

from! { &str => Text, String => Text, bool => Bool, i64 => Int, i32 => Int, i16 => Int, i8 => Int }
from! { Vec<Json> => List, Vec<(&'static str, Json)> => Object }

/// `None` is null.
impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Scalars as they are; only lists and objects are JSON.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
            Self::Null | Self::List(_) | Self::Object(_) => f.write_str(&self.compact()),
        }
    }
}

/// `name: value name: value`.
pub(crate) fn text_of(fields: &[(&'static str, Json)]) -> String {
    join_with(
        " ",
        fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}")),
    )
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(items) => items.serialize(serializer),
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}
