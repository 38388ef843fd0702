//! Which options go together: declared in a tool's [`Syntax`](super::Syntax), checked before its
//! work begins, and reported in the words of Kafka's tool.

use super::{Parsed, UsageError, usage};

/// Names of options, separated by spaces. [`Rule::when`] takes names of subcommands too.
type Names = &'static str;

fn each(names: Names) -> impl Iterator<Item = &'static str> {
    names.split_whitespace()
}

/// A rule for which options go together.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    need: Need,
    when: Names,
    unless: Names,
    message: Option<&'static str>,
}

#[derive(Debug, Clone, Copy)]
enum Need {
    All(Names),
    Any(Names),
    One(Names),
    AtMostOne(Names),
    None(Names),
    Only(Names),
    NoValue(Names),
}

/// All of these options are needed.
pub const fn all_of(options: Names) -> Rule {
    Rule::new(Need::All(options))
}

/// All of these options are needed, in the words of the library that Kafka's newer tools use.
pub const fn arguments(options: Names) -> Rule {
    all_of(options).message("argument --{first} is required")
}

/// At least one of these options is needed.
pub const fn any_of(options: Names) -> Rule {
    Rule::new(Need::Any(options))
}

/// Exactly one of these options is needed.
pub const fn one_of(options: Names) -> Rule {
    Rule::new(Need::One(options))
}

/// No two of these options go together.
pub const fn at_most_one_of(options: Names) -> Rule {
    Rule::new(Need::AtMostOne(options))
}

/// None of these options may be given.
pub const fn none_of(options: Names) -> Rule {
    Rule::new(Need::None(options))
}

/// No other options than these may be given.
pub const fn only(options: Names) -> Rule {
    Rule::new(Need::Only(options))
}

/// None of these options, whose value may be left out, may have one.
pub const fn no_value_of(options: Names) -> Rule {
    Rule::new(Need::NoValue(options))
}

/// The option does not go together with any of the others.
pub const fn conflicts(option: Names, others: Names) -> Rule {
    none_of(others).when(option)
}

impl Rule {
    const fn new(need: Need) -> Self {
        Self {
            need,
            when: "",
            unless: "",
            message: None,
        }
    }

    /// Applies only where one of these options, or one of these subcommands, is given.
    pub const fn when(mut self, given: Names) -> Self {
        self.when = given;
        self
    }

    /// Does not apply where one of these options is given.
    pub const fn unless(mut self, given: Names) -> Self {
        self.unless = given;
        self
    }

    /// What is reported. `{when}` becomes the name because of which the rule applies, `{options}`
    /// the options that are missing or must not be there, `{first}` and `{second}` those of them.
    pub const fn message(mut self, message: &'static str) -> Self {
        self.message = Some(message);
        self
    }

    /// Fails when the command line breaks the rule.
    ///
    /// # Errors
    /// In the rule's own words, or else in those of Kafka's `CommandLineUtils`.
    pub(super) fn check(&self, parsed: &Parsed) -> Result<(), UsageError> {
        let given = |name: &&str| parsed.has(name) || parsed.command == Some(*name);
        let when = each(self.when).find(given);
        if (when.is_none() && !self.when.is_empty()) || each(self.unless).any(|name| given(&name)) {
            return Ok(());
        }
        let Some(options) = self.need.broken_by(parsed) else {
            return Ok(());
        };
        let when = when.unwrap_or_default();
        let message = self.message.unwrap_or(match self.need {
            Need::All(_) => "Missing required argument \"[{first}]\"",
            Need::AtMostOne(_) => "Option \"[{first}]\" can't be used with option \"[{second}]\"",
            _ => "Option \"[{when}]\" can't be used with option \"[{first}]\"",
        });
        let nth = |number: usize| options.get(number).copied().unwrap_or_default();
        let message = message.replace("{when}", when);
        let message = message
            .replace("{first}", nth(0))
            .replace("{second}", nth(1));
        usage(message.replace("{options}", &options.join(", ")))
    }
}

impl Need {
    /// The options that are missing or must not be there; `None` when all is well.
    fn broken_by(self, parsed: &Parsed) -> Option<Vec<&'static str>> {
        let with = |options: Names, has: bool| -> Vec<&'static str> {
            each(options)
                .filter(|name| parsed.has(name) == has)
                .collect()
        };
        let all = |options: Names| each(options).collect();
        let some = |options: Vec<&'static str>| (!options.is_empty()).then_some(options);
        match self {
            Self::All(options) => some(with(options, false)),
            Self::None(options) => some(with(options, true)),
            Self::Any(options) => with(options, true).is_empty().then(|| all(options)),
            Self::One(options) => (with(options, true).len() != 1).then(|| all(options)),
            Self::AtMostOne(options) => Some(with(options, true)).filter(|both| both.len() > 1),
            Self::NoValue(options) => {
                let has_value = |name: &&str| parsed.values(name).next().is_some();
                some(each(options).filter(has_value).collect())
            }
            Self::Only(options) => {
                let mut given = parsed.all().map(|(name, _)| name);
                let other = given.find(|name| each(options).all(|allowed| allowed != *name));
                other.map(|other| vec![other])
            }
        }
    }
}

#[cfg(test)]
mod tests;
