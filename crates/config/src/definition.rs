//! The definition of a property: its name, type, default, range, importance, update mode,
//! documentation, and whether Dohle acts on it.

use std::fmt;

/// The type of a property's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean,
    /// Text.
    String,
    /// 32 bits, signed.
    Int,
    /// 16 bits, signed.
    Short,
    /// 64 bits, signed.
    Long,
    /// A decimal number.
    Double,
    /// Comma-separated texts.
    List,
    /// The name of a Java class. Dohle compares it with the names it supports, and never loads a
    /// class.
    Class,
    /// A text that no response and no log shows.
    Password,
}

impl ConfigType {
    /// Returns the number of the type in DescribeConfigs (KIP-569).
    #[must_use]
    pub const fn wire_id(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }

    /// Returns whether values are hidden in descriptions.
    #[must_use]
    pub const fn is_sensitive(self) -> bool {
        matches!(self, Self::Password)
    }
}

impl fmt::Display for ConfigType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "true or false",
            Self::String => "text",
            Self::Int => "a whole number of 32 bits",
            Self::Short => "a whole number of 16 bits",
            Self::Long => "a whole number of 64 bits",
            Self::Double => "a number",
            Self::List => "a comma-separated list without empty items",
            Self::Class => "the name of a class",
            Self::Password => "a password",
        })
    }
}

/// The value of a property that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// There is none: the property must be set.
    Required,
    /// The property has no value.
    Null,
    /// This text.
    Value(&'static str),
}

/// The importance of a property, as Kafka's documentation rates it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Importance {
    /// High.
    High,
    /// Medium.
    Medium,
    /// Low.
    Low,
}

/// Whether a property of brokers can change while a broker runs (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpdateMode {
    /// The property changes only with a restart.
    #[default]
    ReadOnly,
    /// The property can be set for single brokers.
    PerBroker,
    /// The property can be set for all brokers together, or for single brokers.
    ClusterWide,
}

/// The range of a property: which values of its type are allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Validator {
    /// All values.
    Any,
    /// Whole numbers of at least this value.
    AtLeast(i64),
    /// Whole numbers between the two, both included.
    Between(i64, i64),
    /// Numbers between the two, both included.
    BetweenDecimals(f64, f64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts, in upper or lower case.
    OneOfAnyCase(&'static [&'static str]),
    /// A list of some of these texts; Kafka counts a text that occurs twice once.
    ListOf(&'static [&'static str]),
    /// A list of some of these texts, the first of which must be among them.
    ListWithFirst(&'static [&'static str]),
    /// A list in which no text occurs twice.
    Distinct,
    /// A text that is not empty.
    NonEmpty,
    /// Whole numbers that are not 0.
    NotZero,
    /// 1 to 9, or -1 for the codec's default.
    GzipLevel,
    /// `address:count,…`. Kafka allows names of hosts too.
    AddressCounts,
    /// `partition:broker,…`, or `*`.
    ThrottledReplicas,
    /// `latest`, `earliest`, or `by_duration:` and a duration of ISO 8601.
    OffsetReset,
    /// A list of `field=pattern`; see [`ClientPatterns`](crate::ClientPatterns).
    ClientPatterns,
}

impl fmt::Display for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::AtLeast(min) => write!(f, "at least {min}"),
            Self::Between(min, max) => write!(f, "{min} to {max}"),
            Self::BetweenDecimals(min, max) => write!(f, "{min} to {max}"),
            Self::OneOf(values) | Self::OneOfAnyCase(values) => {
                write!(f, "one of {}", values.join(", "))
            }
            Self::ListOf(values) => write!(f, "a list of any of {}", values.join(", ")),
            Self::ListWithFirst(values) => write!(
                f,
                "a list of {} and any of {}",
                values[0],
                values[1..].join(", ")
            ),
            Self::Distinct => f.write_str("a comma-separated list of different items"),
            Self::NonEmpty => f.write_str("a text that is not empty"),
            Self::NotZero => f.write_str("not 0; -1 is no limit"),
            Self::GzipLevel => f.write_str("1 to 9, or -1"),
            Self::AddressCounts => f.write_str(
                "a list of addresses, not names, with numbers such as 10.0.0.1:100,10.0.0.2:5",
            ),
            Self::ThrottledReplicas => {
                f.write_str("* or a list of partition:broker pairs such as 0:1,0:2")
            }
            Self::OffsetReset => {
                f.write_str("latest, earliest, or by_duration:PnDTnHnMn.nS such as by_duration:P1D")
            }
            Self::ClientPatterns => f.write_str(
                "a list of field=pattern pairs such as client_id=app-.*; the fields are \
                 client_instance_id, client_id, client_software_name, client_software_version, \
                 client_source_address and client_source_port",
            ),
        }
    }
}

/// Whether Dohle acts on a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The property has the effect that Kafka's documentation describes.
    Honoured,
    /// The property is accepted, checked, stored and described, but has no effect.
    AcceptedIgnored,
    /// Only the default is accepted, because Dohle does not implement the others, and to ignore
    /// them would cost safety or durability.
    OnlyDefault,
}

/// The definition of a property.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigDef {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: ConfigType,
    /// Its default.
    pub default: Default,
    /// How much it matters.
    pub importance: Importance,
    /// What is allowed.
    pub validator: Validator,
    /// When the value can change. Only for properties of brokers: those of topics can always
    /// change.
    pub update_mode: UpdateMode,
    /// Whether Dohle acts on it.
    pub status: Status,
    /// Whether Dohle refuses a change at run time that Kafka accepts; the value changes with a
    /// restart.
    pub needs_restart: bool,
    /// Whether the property is listed only when it is set.
    pub is_internal: bool,
    /// For properties of brokers: all names of the same setting in different units, including this
    /// one, in the order of precedence. Empty when there is only one name.
    pub synonyms: &'static [&'static str],
    /// Topics' properties: the broker's property that is its default.
    pub broker_name: Option<&'static str>,
    /// Kafka's documentation; may contain HTML.
    pub documentation: &'static str,
}

impl ConfigDef {
    pub(super) const fn new(
        name: &'static str,
        kind: ConfigType,
        default: Default,
        importance: Importance,
    ) -> Self {
        Self {
            name,
            kind,
            default,
            importance,
            validator: Validator::Any,
            update_mode: UpdateMode::ReadOnly,
            status: Status::AcceptedIgnored,
            needs_restart: false,
            is_internal: false,
            synonyms: &[],
            broker_name: None,
            documentation: "",
        }
    }

    pub(super) const fn check(mut self, validator: Validator) -> Self {
        self.validator = validator;
        self
    }

    pub(super) const fn dynamic(mut self, mode: UpdateMode) -> Self {
        self.update_mode = mode;
        self
    }

    pub(super) const fn honoured(mut self) -> Self {
        self.status = Status::Honoured;
        self
    }

    pub(super) const fn only_default(mut self) -> Self {
        self.status = Status::OnlyDefault;
        self
    }

    pub(super) const fn with_restart(mut self) -> Self {
        self.needs_restart = true;
        self
    }

    pub(super) const fn internal(mut self) -> Self {
        self.is_internal = true;
        self
    }

    pub(super) const fn synonyms(mut self, names: &'static [&'static str]) -> Self {
        self.synonyms = names;
        self
    }

    pub(super) const fn broker(mut self, name: &'static str) -> Self {
        self.broker_name = Some(name);
        self
    }

    pub(super) const fn doc(mut self, text: &'static str) -> Self {
        self.documentation = text;
        self
    }

    /// The default as text; `None` when there is none.
    #[must_use]
    pub const fn default_value(&self) -> Option<&'static str> {
        match self.default {
            Default::Required | Default::Null => None,
            Default::Value(value) => Some(value),
        }
    }

    /// Whether a broker's property may be changed while it runs.
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        self.update_mode != UpdateMode::ReadOnly
    }

    /// Milliseconds in the unit of a time, which the end of the property's name gives.
    #[must_use]
    pub fn unit_ms(&self) -> i64 {
        const SECOND: i64 = 1000;
        if self.name.ends_with(".hours") {
            3600 * SECOND
        } else if self.name.ends_with(".minutes") {
            60 * SECOND
        } else if self.name.ends_with(".seconds") {
            SECOND
        } else {
            1
        }
    }
}
