//! Reads command lines as Kafka's tools do: `--name value`, `--name=value`, `-name value`.
//!
//! Kafka's tools are written with two libraries, joptsimple and argparse4j. What both accept, this
//! accepts: options in any order and repeated, a value that begins with a dash, a subcommand with
//! options of its own, `--` before words that are not options. An option may be shortened as long
//! as it is unambiguous.
//!
//! It must not depend on what the options are for.

use dohle_model::suggest::nearest;

mod rules;
mod syntax;

pub use self::rules::{
    Rule, all_of, any_of, arguments, at_most_one_of, conflicts, no_value_of, none_of, one_of, only,
};
pub use self::syntax::{Arity, Opt, Subcommand, Syntax, read_commands, read_options};

/// Options of every tool.
const EVERYWHERE: &str = "
    --help, -h: Print usage information.
    --version: Display the version.
";

/// An error in a command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

impl From<&str> for UsageError {
    fn from(message: &str) -> Self {
        Self(message.to_owned())
    }
}

/// Fails with a [`UsageError`].
///
/// # Errors
/// Always.
pub fn usage<T>(message: impl Into<String>) -> Result<T, UsageError> {
    Err(UsageError(message.into()))
}

/// The options and words of a command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The subcommand, for tools that have some.
    pub command: Option<&'static str>,
    /// Words that belong to no option.
    pub words: Vec<String>,
    found: Vec<(&'static str, Option<String>)>,
}

impl Parsed {
    /// Whether the option was given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.found.iter().any(|(found, _)| *found == name)
    }

    /// The value of an option that may be given once.
    ///
    /// # Errors
    /// When it was given more than once.
    pub fn value(&self, name: &str) -> Result<Option<&str>, UsageError> {
        let mut values = self.values(name);
        let first = values.next();
        if values.next().is_some() {
            return usage(format!(
                "Found multiple arguments for option {name}, but you asked for only one"
            ));
        }
        Ok(first)
    }

    /// The values of an option, in their order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let of_name = self.found.iter().filter(move |(found, _)| *found == name);
        of_name.filter_map(|(_, value)| value.as_deref())
    }

    /// All options with their values, in the order of the command line.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        self.found
            .iter()
            .map(|(name, value)| (*name, value.as_deref()))
    }

    /// The value of an option as a number, or whatever else is read from text.
    ///
    /// # Errors
    /// When it was given more than once, or is not what it should be.
    pub fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, UsageError> {
        let Some(text) = self.value(name)? else {
            return Ok(None);
        };
        match text.trim().parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => usage(format!("Cannot parse argument '{text}' of option {name}")),
        }
    }

    /// The value of an option that must be there.
    ///
    /// # Errors
    /// When it is missing, or was given more than once.
    pub fn required(&self, name: &str) -> Result<&str, UsageError> {
        match self.value(name)? {
            Some(value) => Ok(value),
            None => usage(format!("Missing required argument \"[{name}]\"")),
        }
    }
}

/// A command line that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParsedCommand {
    /// The tool's work.
    Work(Parsed),
    /// The help, of the tool or of one of its subcommands.
    Help(String),
    /// The version.
    Version,
}

impl Syntax {
    /// Reads a command line, without the tool's name.
    ///
    /// # Errors
    /// An unknown option (with the nearest one), a missing value, an unknown subcommand.
    pub fn parse(&self, args: &[String]) -> Result<ParsedCommand, UsageError> {
        let mut parsed = Parsed::default();
        let commands = read_commands(self.commands);
        let mut command: Option<&Subcommand> = None;
        let mut rest = args.iter().map(String::as_str).peekable();
        while let Some(word) = rest.next() {
            if word == "--" {
                parsed.words.extend(rest.by_ref().map(str::to_owned));
                break;
            }
            if !looks_like_an_option(word) {
                match commands.iter().find(|known| known.name == word) {
                    Some(known) if command.is_none() => command = Some(known),
                    None if command.is_none() && !commands.is_empty() => {
                        return usage(unknown_command(&commands, word));
                    }
                    _ => parsed.words.push(word.to_owned()),
                }
                continue;
            }
            let (name, attached) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word, None),
            };
            let option = self.find(name, command)?;
            let mut word = || {
                let word = rest.next_if(|next| !looks_like_an_option(next));
                word.map(str::to_owned)
            };
            let values: Vec<Option<String>> = match (attached, option.arity) {
                (Some(_), Arity::Flag) => {
                    return usage(format!("Option {} takes no value", option.name));
                }
                (Some(value), _) => vec![Some(value)],
                (None, Arity::Flag) => vec![None],
                (None, Arity::Value(_)) => rest
                    .next()
                    .map(|value| Some(value.to_owned()))
                    .into_iter()
                    .collect(),
                (None, Arity::Optional(_)) => vec![word()],
                (None, Arity::Many(_)) => std::iter::from_fn(word).map(Some).collect(),
            };
            if values.is_empty() {
                return usage(format!("Option {} requires an argument", option.name));
            }
            let name = option.name;
            parsed.found.extend(values.into_iter().map(|v| (name, v)));
        }
        let is_missing_all = args.is_empty() && !self.works_without_arguments;
        if parsed.has("help") || is_missing_all {
            return Ok(ParsedCommand::Help(self.help(command)));
        }
        if parsed.has("version") {
            return Ok(ParsedCommand::Version);
        }
        if command.is_none() && !commands.is_empty() {
            return usage(format!(
                "A command is missing; there are: {}",
                names(&commands)
            ));
        }
        parsed.command = command.map(|command| command.name);
        Ok(ParsedCommand::Work(parsed))
    }

    /// Fails when options were given that do not go together, or one is missing.
    ///
    /// # Errors
    /// Of the first rule that is broken.
    pub fn check(&self, parsed: &Parsed) -> Result<(), UsageError> {
        self.rules.iter().try_for_each(|rule| rule.check(parsed))
    }

    fn known(&self, command: Option<&Subcommand>) -> Vec<Opt> {
        let own = command.map_or(&[][..], |command| &command.options);
        let texts = self.options.iter().chain([&EVERYWHERE]);
        let shared = texts.flat_map(|text| read_options(text));
        own.iter().cloned().chain(shared).collect()
    }

    /// The option of this name, or the only one that begins with it.
    fn find(&self, given: &str, command: Option<&Subcommand>) -> Result<Opt, UsageError> {
        let name = given.trim_start_matches('-');
        let known = self.known(command);
        let exact = |option: &&Opt| option.name == name || option.alias == name;
        let longer = |option: &&Opt| name.len() > 1 && option.name.starts_with(name);
        let mut found: Vec<&Opt> = known.iter().find(exact).into_iter().collect();
        if found.is_empty() {
            found = known.iter().filter(longer).collect();
        }
        match found.as_slice() {
            [only] => return Ok((*only).clone()),
            [] => {}
            several => {
                let names: Vec<String> = several.iter().map(|o| format!("--{}", o.name)).collect();
                return usage(format!("{given} may be {}", names.join(" or ")));
            }
        }
        let mut message = format!("{name} is not a recognized option");
        let connects = known.iter().any(|option| option.name == "bootstrap-server");
        if connects && OLD_ADDRESSES.contains(&name) {
            message += " any more; use --bootstrap-server with the addresses of brokers";
        } else if let Some(meant) = nearest(name, known.iter().map(|option| option.name)) {
            message += &format!("; did you mean --{meant}?");
        } else {
            let mut commands = read_commands(self.commands).into_iter();
            let of = commands.find(|other| other.options.iter().any(|option| option.name == name));
            if let Some(of) = of {
                message += &format!(" here; it belongs to the command {}", of.name);
            }
        }
        usage(message)
    }

    /// The help text.
    #[must_use]
    pub fn help(&self, command: Option<&Subcommand>) -> String {
        let commands = read_commands(self.commands);
        let mut text = format!("{}\n\nUsage: {}", self.about, self.tool);
        if let Some(command) = command {
            text = format!("{}\n\nUsage: {} {}", command.help, self.tool, command.name);
        } else if !commands.is_empty() {
            text += " COMMAND";
        }
        text += " [OPTIONS]\n";
        if command.is_none() && !commands.is_empty() {
            text += "\nCommands:\n";
            let rows = commands
                .iter()
                .map(|command| row(command.name, &command.help));
            text.extend(rows);
        }
        text += "\nOptions:\n";
        for option in self.known(command) {
            let dashes = |name: &str| if name.len() == 1 { "-" } else { "--" };
            let mut left = format!("{}{}", dashes(option.name), option.name);
            if !option.alias.is_empty() {
                left += &format!(", {}{}", dashes(option.alias), option.alias);
            }
            left += &match option.arity {
                Arity::Flag => String::new(),
                Arity::Value(value) => format!(" <{value}>"),
                Arity::Optional(value) => format!(" [{value}]"),
                Arity::Many(value) => format!(" <{value}>..."),
            };
            text += &row(&left, &option.help);
        }
        text
    }
}

/// Options of older versions of Kafka's tools that named a cluster.
const OLD_ADDRESSES: &[&str] = &["zookeeper", "broker-list"];

fn names(commands: &[Subcommand]) -> String {
    let names: Vec<&str> = commands.iter().map(|command| command.name).collect();
    names.join(", ")
}

fn unknown_command(commands: &[Subcommand], word: &str) -> String {
    match nearest(word, commands.iter().map(|command| command.name)) {
        Some(meant) => format!("{word} is not a command; did you mean {meant}?"),
        None => format!("{word} is not a command; there are: {}", names(commands)),
    }
}

/// A dash alone is a word, and so is a number below zero.
fn looks_like_an_option(word: &str) -> bool {
    word.len() > 1 && word.starts_with('-') && word.parse::<f64>().is_err()
}

/// Two columns, the second one broken at 100.
fn row(left: &str, right: &str) -> String {
    const INDENT: usize = 34;
    const WIDTH: usize = 100;
    let mut text = format!("  {left}");
    let mut column = text.len();
    if column + 2 > INDENT {
        text += "\n";
        column = 0;
    }
    text += &" ".repeat(INDENT - column);
    column = INDENT;
    for (number, word) in right.split_whitespace().enumerate() {
        if number > 0 && column + 1 + word.len() > WIDTH {
            text += &format!("\n{}", " ".repeat(INDENT));
            column = INDENT;
        } else if number > 0 {
            text += " ";
            column += 1;
        }
        text += word;
        column += word.len();
    }
    text + "\n"
}

#[cfg(test)]
mod tests;
