//! The check of a value in text form against its property's definition, and its conversion to
//! numbers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::client_patterns::ClientPatterns;
use super::definition::{ConfigDef, ConfigType, Status, Validator};

/// A value that its property does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {value:?}; allowed is {allowed}")]
pub struct ConfigError {
    /// The property.
    pub name: String,
    /// Its value as given.
    pub value: String,
    /// What would be allowed.
    pub allowed: String,
}

impl ConfigError {
    /// Returns the error for a property `name` with the value `value`; `allowed` describes the
    /// valid values.
    pub fn new(name: &str, value: &str, allowed: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            value: value.to_owned(),
            allowed: allowed.into(),
        }
    }
}

impl ConfigDef {
    /// Whether this text is allowed as value.
    ///
    /// # Errors
    /// Names the property, the value and what is allowed.
    pub fn validate(&self, value: &str) -> Result<(), ConfigError> {
        if self.has_type(value)
            && self.validator.allows(self.kind, value)
            && self.is_implemented(value)
        {
            return Ok(());
        }
        let shown = if self.kind.is_sensitive() {
            "[hidden]"
        } else {
            value
        };
        Err(ConfigError::new(self.name, shown, self.allowed()))
    }

    /// Describes the valid values in words.
    #[must_use]
    pub fn allowed(&self) -> String {
        if self.status == Status::OnlyDefault {
            let default = self.default_value().filter(|value| !value.is_empty());
            return format!(
                "{}, because Dohle does not implement other values, and to ignore them would not \
                 be safe",
                default.unwrap_or("nothing")
            );
        }
        match self.validator {
            Validator::Any => self.kind.to_string(),
            Validator::AtLeast(_)
            | Validator::NotZero
            | Validator::Between(..)
            | Validator::BetweenDecimals(..) => {
                format!("{}, {}", self.kind, self.validator)
            }
            _ => self.validator.to_string(),
        }
    }

    /// Whether Dohle has an implementation of the value, or may ignore it.
    fn is_implemented(&self, value: &str) -> bool {
        let (value, default) = (value.trim(), self.default_value().unwrap_or_default());
        self.status != Status::OnlyDefault
            || value.is_empty()
            || value == default
            || (self.kind == ConfigType::Boolean && value.eq_ignore_ascii_case(default))
    }

    fn has_type(&self, value: &str) -> bool {
        let value = value.trim();
        match self.kind {
            ConfigType::Boolean => parse_boolean(value).is_some(),
            ConfigType::Int => value.parse::<i32>().is_ok(),
            ConfigType::Short => value.parse::<i16>().is_ok(),
            ConfigType::Long => value.parse::<i64>().is_ok(),
            ConfigType::Double => value.parse::<f64>().is_ok_and(|number| !number.is_nan()),
            ConfigType::List => {
                value.is_empty() || value.split(',').all(|item| !item.trim().is_empty())
            }
            ConfigType::String | ConfigType::Class | ConfigType::Password => true,
        }
    }
}

impl Validator {
    fn allows(&self, kind: ConfigType, value: &str) -> bool {
        let value = value.trim();
        let whole = || value.parse::<i64>().ok();
        match *self {
            Self::Any => true,
            Self::AtLeast(min) if kind == ConfigType::Double => value
                .parse::<f64>()
                .is_ok_and(|number| number >= min as f64),
            Self::AtLeast(min) => whole().is_some_and(|number| number >= min),
            Self::Between(min, max) => whole().is_some_and(|number| (min..=max).contains(&number)),
            Self::BetweenDecimals(min, max) => value
                .parse::<f64>()
                .is_ok_and(|number| (min..=max).contains(&number)),
            Self::OneOf(allowed) => allowed.contains(&value),
            Self::OneOfAnyCase(allowed) => allowed
                .iter()
                .any(|known| known.eq_ignore_ascii_case(value)),
            Self::ListOf(allowed) => list(value).all(|item| allowed.contains(&item)),
            Self::ListWithFirst(allowed) => {
                list(value).any(|item| item == allowed[0])
                    && list(value).all(|item| allowed.contains(&item))
            }
            Self::Distinct => {
                let mut seen = BTreeSet::new();
                list(value).all(|item| seen.insert(item))
            }
            Self::NonEmpty => !value.is_empty(),
            Self::NotZero => whole().is_some_and(|number| number != 0),
            Self::GzipLevel => whole().is_some_and(|level| level == -1 || (1..=9).contains(&level)),
            Self::AddressCounts => list(value).all(|item| address_and_count(item).is_some()),
            Self::ThrottledReplicas => {
                value == "*" || list(value).all(|item| partition_and_broker(item).is_some())
            }
            Self::OffsetReset => match value.split_once(':') {
                Some(("by_duration", duration)) => is_duration(duration),
                Some(_) => false,
                None => value == "latest" || value == "earliest",
            },
            Self::ClientPatterns => ClientPatterns::parse(value).is_ok(),
        }
    }
}

/// Reads an address and a number that is not negative: `10.0.0.1:100`, `::1:100` or `[::1]:100`.
pub(super) fn address_and_count(item: &str) -> Option<(IpAddr, usize)> {
    let (address, count) = item.rsplit_once(':')?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let count: i32 = count.trim().parse().ok()?;
    Some((address.trim().parse().ok()?, usize::try_from(count).ok()?))
}

/// Reads `true` or `false` in any case, as Kafka does.
#[must_use]
pub fn parse_boolean(value: &str) -> Option<bool> {
    let value = value.trim();
    if value.eq_ignore_ascii_case("true") {
        Some(true)
    } else if value.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Returns the items of a comma-separated list without surrounding space; none for the empty text.
pub fn list(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// Returns whether the text is a duration of ISO 8601: days, hours, minutes and seconds in this
/// order, at least one of them and none negative.
fn is_duration(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(['P', 'p']) else {
        return false;
    };
    let (days, time) = rest
        .split_once(['T', 't'])
        .map_or((rest, None), |(d, t)| (d, Some(t)));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let days_are_right = days.is_empty() || days.strip_suffix(['D', 'd']).is_some_and(number);
    let Some(mut time) = time else {
        return days_are_right && !days.is_empty();
    };
    let mut parts = 0;
    for unit in [['H', 'h'], ['M', 'm'], ['S', 's']] {
        let Some((value, rest)) = time.split_once(unit) else {
            continue;
        };
        let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
        let is_whole = unit[0] == 'S' || !value.contains('.');
        if !(is_whole && number(whole) && number(fraction)) {
            return false;
        }
        parts += 1;
        time = rest;
    }
    days_are_right && parts > 0 && time.is_empty()
}

/// Reads the index of a partition and the id of a broker, neither negative: `0:1`.
pub(super) fn partition_and_broker(item: &str) -> Option<(i32, i32)> {
    let number = |text: &str| text.parse::<i32>().ok().filter(|number| *number >= 0);
    let (partition, broker) = item.split_once(':')?;
    Some((number(partition)?, number(broker)?))
}
