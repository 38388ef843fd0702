//! Typed keys: the name of a property together with the type of its value.
//!
//! Invariant: the property of a key is defined in the tables and marked as honoured. If it has no
//! default, the key's type has a value for that case. Both are checked at compile time.

use std::marker::PhantomData;
use std::time::Duration;

use dohle_model::CompressionType;

use super::choices::{
    AddressCounts, CleanupPolicy, LogFormat, TargetCompression, ThrottledReplicas, TimestampType,
};
use super::definition::{ConfigDef, ConfigType, Default as ConfigDefault, Status};
use super::value::{address_and_count, list, parse_boolean, partition_and_broker};
use super::{Properties, Scope, tables};

/// A type that values of properties are read as.
pub trait ConfigValue: Sized + Default {
    /// Whether a property without a value reads as `Self::default()`.
    const IS_NULLABLE: bool = false;

    /// Reads a text; `None` when the text is not a value of this type.
    fn read(def: &ConfigDef, text: &str) -> Option<Self>;
}

/// A property of one scope.
#[derive(Debug)]
struct Key<T> {
    def: &'static ConfigDef,
    kind: PhantomData<fn() -> T>,
}

impl<T: ConfigValue> Key<T> {
    const fn new(scope: Scope, name: &'static str) -> Self {
        let def = defined(scope, name);
        assert!(
            matches!(def.status, Status::Honoured),
            "the property is not marked as honoured"
        );
        assert!(
            T::IS_NULLABLE || matches!(def.default, ConfigDefault::Value(_)),
            "the property has no default and the key's type has no value for that"
        );
        Self {
            def,
            kind: PhantomData,
        }
    }

    /// Reads a value that was set; a text that is no value reads as the default.
    fn read(&self, set: Option<&str>) -> T {
        let default = || T::read(self.def, self.def.default_value()?);
        set.and_then(|text| T::read(self.def, text.trim()))
            .or_else(default)
            .unwrap_or_default()
    }
}

const fn defined(scope: Scope, name: &str) -> &'static ConfigDef {
    let tables = tables(scope);
    let mut table = 0;
    while table < tables.len() {
        let mut row = 0;
        while row < tables[table].len() {
            if is_same(tables[table][row].name.as_bytes(), name.as_bytes()) {
                return &tables[table][row];
            }
            row += 1;
        }
        table += 1;
    }
    panic!("no table defines the property");
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

macro_rules! scoped_key {
    ($(#[$doc:meta])* $name:ident, $scope:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<T>(Key<T>);

        impl<T: ConfigValue> $name<T> {
            /// Returns the key of a property.
            ///
            /// # Panics
            /// When the tables do not define the property, or not as honoured: at compile time,
            /// where the key is a constant.
            #[must_use]
            pub const fn new(name: &'static str) -> Self {
                Self(Key::new(Scope::$scope, name))
            }

        }

        impl<T> $name<T> {
            /// Returns the definition of the property.
            #[must_use]
            pub const fn definition(&self) -> &'static ConfigDef {
                self.0.def
            }

            /// Returns the name of the property.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                self.0.def.name
            }
        }
    };
}

impl<T: ConfigValue> GroupKey<T> {
    /// Returns the value among those that a group sets, if it sets one that is a value.
    #[must_use]
    pub fn own(&self, own: &Properties) -> Option<T> {
        T::read(self.0.def, own.get(self.name())?.trim())
    }
}

scoped_key!(
    /// A property of brokers and controllers.
    BrokerKey,
    Broker
);
impl<T: ConfigValue> BrokerKey<T> {
    pub(crate) fn read(&self, set: Option<&str>) -> T {
        self.0.read(set)
    }
}

impl<T: ConfigValue> TopicKey<T> {
    pub(crate) fn read(&self, set: Option<&str>) -> T {
        self.0.read(set)
    }
}

scoped_key!(
    /// A property of topics.
    TopicKey,
    Topic
);
scoped_key!(
    /// A property of client metrics subscriptions.
    ClientMetricsKey,
    ClientMetrics
);
impl<T: ConfigValue> ClientMetricsKey<T> {
    /// Returns the value that a subscription sets, or else the default.
    #[must_use]
    pub fn get(&self, own: &Properties) -> T {
        self.0.read(own.get(self.name()).map(String::as_str))
    }
}

scoped_key!(
    /// A property of groups.
    GroupKey,
    Group
);

macro_rules! number {
    ($($type:ty),*) => {$(
        impl ConfigValue for $type {
            fn read(_: &ConfigDef, text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )*};
}

number!(i16, i32, i64, u64, f64);

/// Negative numbers read as 0, and numbers beyond the type's range as its largest value.
macro_rules! clamped {
    ($($type:ty),*) => {$(
        impl ConfigValue for $type {
            fn read(_: &ConfigDef, text: &str) -> Option<Self> {
                let number: i64 = text.parse().ok()?;
                Some(Self::try_from(number.max(0)).unwrap_or(Self::MAX))
            }
        }
    )*};
}

clamped!(u32, usize);

impl ConfigValue for bool {
    fn read(_: &ConfigDef, text: &str) -> Option<Self> {
        parse_boolean(text)
    }
}

impl ConfigValue for String {
    fn read(_: &ConfigDef, text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl ConfigValue for Vec<String> {
    const IS_NULLABLE: bool = true;

    fn read(_: &ConfigDef, text: &str) -> Option<Self> {
        Some(list(text).map(str::to_owned).collect())
    }
}

/// The unit is taken from the end of the property's name. Negative numbers read as zero.
impl ConfigValue for Duration {
    fn read(def: &ConfigDef, text: &str) -> Option<Self> {
        let number: i64 = text.parse().ok()?;
        let ms = number.saturating_mul(def.unit_ms());
        Some(Self::from_millis(u64::try_from(ms).unwrap_or(0)))
    }
}

/// A property without a limit reads as `None`: when its number is negative, or the largest of 64
/// bits.
impl<T: Optional> ConfigValue for Option<T> {
    const IS_NULLABLE: bool = true;

    fn read(def: &ConfigDef, text: &str) -> Option<Self> {
        let is_number = matches!(
            def.kind,
            ConfigType::Int | ConfigType::Long | ConfigType::Short
        );
        if is_number {
            let number: i64 = text.parse().ok()?;
            if number < 0 || number == i64::MAX {
                return Some(None);
            }
        }
        T::read(def, text).map(Some)
    }
}

/// Types of values that may be absent.
pub trait Optional: ConfigValue {}

impl Optional for Duration {}
impl Optional for String {}
impl Optional for i32 {}
impl Optional for u32 {}
impl Optional for u64 {}
impl Optional for usize {}

impl ConfigValue for AddressCounts {
    fn read(_: &ConfigDef, text: &str) -> Option<Self> {
        list(text)
            .map(address_and_count)
            .collect::<Option<_>>()
            .map(Self)
    }
}

impl ConfigValue for ThrottledReplicas {
    fn read(_: &ConfigDef, text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        let replicas = list(text).map(partition_and_broker);
        replicas.collect::<Option<_>>().map(Self::Listed)
    }
}

impl ConfigValue for TimestampType {
    fn read(_: &ConfigDef, text: &str) -> Option<Self> {
        match text {
            "CreateTime" => Some(Self::CreateTime),
            "LogAppendTime" => Some(Self::LogAppendTime),
            _ => None,
        }
    }
}

impl ConfigValue for LogFormat {
    fn read(_: &ConfigDef, text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl ConfigValue for CleanupPolicy {
    fn read(_: &ConfigDef, text: &str) -> Option<Self> {
        let has = |policy| list(text).any(|item| item == policy);
        Some(Self {
            delete: has("delete"),
            compact: has("compact"),
        })
    }
}

impl ConfigValue for TargetCompression {
    fn read(_: &ConfigDef, text: &str) -> Option<Self> {
        Some(Self::Codec(match text {
            "producer" => return Some(Self::Producer),
            "uncompressed" => CompressionType::None,
            "gzip" => CompressionType::Gzip,
            "snappy" => CompressionType::Snappy,
            "lz4" => CompressionType::Lz4,
            "zstd" => CompressionType::Zstd,
            _ => return None,
        }))
    }
}

/// A codec by its number (`offsets.topic.compression.codec`).
impl ConfigValue for CompressionType {
    fn read(_: &ConfigDef, text: &str) -> Option<Self> {
        Self::from_id(text.parse().ok()?)
    }
}
