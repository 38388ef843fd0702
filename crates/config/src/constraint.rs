//! Constraints between properties: conditions that the values of several properties fulfil
//! together, and conditions on the change of a value while a node runs.
//!
//! Source: Kafka's `KafkaConfig.validateValues`, `GroupCoordinatorConfig`, `ShareGroupConfig`,
//! `GroupConfig.validate`, `LogConfig`, and `validateReconfiguration` of its classes.

use std::fmt;

use super::value::list;

/// A condition on the values of properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Constraint {
    /// The properties: the one that is refused first, then those that it depends on.
    pub names: &'static [&'static str],
    /// The condition.
    pub relation: Relation,
    /// Whether only changes at run time are checked.
    pub at_run_time_only: bool,
}

/// What holds between the values of a constraint's properties, in their order. A property without a
/// value fulfils every condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The first is at least the second.
    AtLeast,
    /// The first is at most the second.
    AtMost,
    /// The first is less than the second.
    Below,
    /// The first is zero or negative, which means no limit, or at least the second.
    AtLeastWhenPositive,
    /// The first is less than the second, or the second is negative, which means no limit.
    BelowLimit,
    /// The first, divided by the second, is more than this number.
    MoreForEach(i64),
    /// The first is not zero, or the second is not empty.
    ZeroOnlyWith,
    /// All items of the first are items of one of the others; or the first is `*` alone.
    ItemsOf,
    /// The first is -2, which means the second; or the second is negative; or the first is neither
    /// -1 nor more than the second.
    WithinRetention,
    /// The first is not positive, or at most the second, where -2 as the second means the third, or
    /// this limit is negative, which means no limit.
    PositiveWithinLimit,
    /// The new value is between half of the present one and twice the present one.
    HalfToDouble,
    /// The new value is at least 1.
    Positive,
}

impl Constraint {
    pub(super) const fn new(relation: Relation, names: &'static [&'static str]) -> Self {
        Self {
            names,
            relation,
            at_run_time_only: false,
        }
    }

    pub(super) const fn at_run_time_only(mut self) -> Self {
        self.at_run_time_only = true;
        self
    }
}

/// Values that contradict a constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Violation {
    /// The property that is refused.
    pub name: &'static str,
    /// The names and values, and what is allowed.
    pub message: String,
}

/// Returns a property's effective value as text.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The values that a constraint is checked with.
pub(super) struct Values<'a> {
    /// After the change, or at the start.
    pub value: Lookup<'a>,
    /// Before the change.
    pub now: Lookup<'a>,
}

impl Values<'_> {
    fn number(&self, name: &str) -> Option<i64> {
        (self.value)(name)?.trim().parse().ok()
    }

    /// Returns a name with its value, for messages.
    fn show(&self, name: &str) -> Shown {
        Shown(name.to_owned(), (self.value)(name))
    }
}

struct Shown(String, Option<String>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, value) = self;
        match value.as_deref().map(str::trim) {
            None | Some("") => write!(f, "{name} (not set)"),
            Some(value) => write!(f, "{name} ({value})"),
        }
    }
}

impl Constraint {
    /// Returns what the values contradict.
    pub(super) fn violation(&self, values: &Values<'_>) -> Option<Violation> {
        let allowed = self.allowed(values)?;
        let name = self.names[0];
        Some(Violation {
            name,
            message: format!("{} {allowed}", values.show(name)),
        })
    }

    /// Returns what is allowed for the first property if its value is not.
    fn allowed(&self, values: &Values<'_>) -> Option<String> {
        let first = self.names[0];
        let second = self.names.get(1).copied().unwrap_or(first);
        let other = || values.show(second);
        let numbers = || Some((values.number(first)?, values.number(second)?));
        match self.relation {
            Relation::AtLeast => {
                let (a, b) = numbers()?;
                (a < b).then(|| format!("must be greater than or equal to {}", other()))
            }
            Relation::AtMost => {
                let (a, b) = numbers()?;
                (a > b).then(|| format!("must be less than or equal to {}", other()))
            }
            Relation::Below => {
                let (a, b) = numbers()?;
                (a >= b).then(|| format!("must be less than {}", other()))
            }
            Relation::AtLeastWhenPositive => {
                let (a, b) = numbers()?;
                (a > 0 && a < b)
                    .then(|| format!("must be greater than or equal to {}, or -1", other()))
            }
            Relation::BelowLimit => {
                let (a, b) = numbers()?;
                (b >= 0 && a >= b).then(|| format!("must be less than {}", other()))
            }
            Relation::MoreForEach(min) => {
                let (a, b) = numbers()?;
                (b < 1 || a / b <= min)
                    .then(|| format!("must be more than {min} for each of {}", other()))
            }
            Relation::ZeroOnlyWith => {
                let is_set = (values.value)(second).is_some_and(|text| !text.trim().is_empty());
                (values.number(first)? == 0 && !is_set)
                    .then(|| format!("can be 0 only if {second} is set"))
            }
            Relation::ItemsOf => self.missing_items(values),
            Relation::WithinRetention => {
                let (local, all) = numbers()?;
                (all >= 0 && local != -2 && (local == -1 || local > all))
                    .then(|| format!("must be -2, or 0 up to {}", other()))
            }
            Relation::PositiveWithinLimit => {
                let first = values.number(first)?;
                let limit = match values.number(second)? {
                    -2 => *self.names.get(2)?,
                    _ => second,
                };
                let max = values.number(limit)?;
                (first > 0 && max >= 0 && first > max)
                    .then(|| format!("must be less than or equal to {}", values.show(limit)))
            }
            Relation::HalfToDouble => {
                let now = (values.now)(first)?.trim().parse::<i64>().ok()?;
                let new = values.number(first)?;
                (new != now && (new < now / 2 || new > now.saturating_mul(2))).then(|| {
                    let (min, max) = ((now / 2).max(1), now.saturating_mul(2));
                    format!(
                        "must be from {min} to {max} while it is {now}: a change at run time \
                         at most halves or doubles the value"
                    )
                })
            }
            Relation::Positive => {
                let new = values.number(first)?;
                (new < 1).then(|| "must be at least 1 when it is set at run time".to_owned())
            }
        }
    }

    fn missing_items(&self, values: &Values<'_>) -> Option<String> {
        let text = (values.value)(self.names[0])?;
        let mut others = self.names[1..].iter().map(|name| (values.value)(name));
        let known = others.find_map(|value| value.filter(|text| !text.trim().is_empty()));
        let known = known.unwrap_or_default();
        let mut items = list(&text);
        if text.trim() == "*" {
            return None;
        }
        let missing = items.find(|item| !list(&known).any(|known| known == *item))?;
        Some(format!(
            "must be * or items of {} ({known}), and {missing} is not one",
            self.names[1..].join(" or ")
        ))
    }
}
