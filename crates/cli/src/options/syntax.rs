//! What a command line may hold: options, written as the help shows them, and subcommands.

use super::Rule;

/// What follows an option's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    /// Nothing: the option is there or not.
    Flag,
    /// One value, named so in the help; the option may be repeated where its tool allows that.
    Value(&'static str),
    /// A value that may be left out.
    Optional(&'static str),
    /// All words up to the next option.
    Many(&'static str),
}

/// One option of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opt {
    /// Its name, without dashes.
    pub name: &'static str,
    /// A second name, or an empty text. A single letter is written with one dash.
    pub alias: &'static str,
    /// What follows it.
    pub arity: Arity,
    /// What it does, in a sentence or two.
    pub help: String,
}

/// A subcommand of a tool, as `describe` of `metadata-quorum`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subcommand {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub help: String,
    /// Options that it has beside the tool's.
    pub options: Vec<Opt>,
}

/// All that a tool's command line may hold.
#[derive(Debug, Clone, Copy)]
pub struct Syntax {
    /// The tool's name.
    pub tool: &'static str,
    /// What it is for, in one sentence.
    pub about: &'static str,
    /// Its options: texts of one option or of several, as [`read_options`] describes.
    pub options: &'static [&'static str],
    /// Which options go together, in the order in which the rules are checked.
    pub rules: &'static [Rule],
    /// Its subcommands, as [`read_commands`] describes; where there are some, one must be given.
    pub commands: &'static str,
    /// Whether the tool works without any argument. Other tools print their help then.
    pub works_without_arguments: bool,
}

impl Syntax {
    /// Without options, rules and subcommands.
    pub const EMPTY: Self = Self {
        tool: "",
        about: "",
        options: &[],
        rules: &[],
        commands: "",
        works_without_arguments: false,
    };
}

/// Reads options from a text in which each begins a line, and lines that are indented further
/// continue its help:
///
/// ```text
/// --list: List all topics.
/// --topic, -t <topic>: The topic to describe, or a regular expression that is matched against
///     all names.
/// --state [states]: A value that may be left out.
/// --props <name=value>...: All words up to the next option.
/// ```
///
/// A test reads the options of all tools, so that a text of another form is found.
pub fn read_options(text: &'static str) -> Vec<Opt> {
    let mut options: Vec<Opt> = Vec::new();
    let mut indent = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let words = line.trim();
        let depth = line.len() - line.trim_start().len();
        if depth == *indent.get_or_insert(depth) {
            options.extend(read_option(words));
        } else if let Some(option) = options.last_mut() {
            option.help += " ";
            option.help += words;
        }
    }
    options
}

/// Reads subcommands from a text in which each begins a line, and the lines of its options are
/// indented further:
///
/// ```text
/// list: List transactions.
///     --duration-filter <ms>: The least duration.
/// describe: Describe a transaction.
/// ```
pub fn read_commands(text: &'static str) -> Vec<Subcommand> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let mut commands: Vec<Subcommand> = Vec::new();
    let mut rest = text.trim_start_matches('\n');
    let indent = depth(rest);
    while let Some((name, after)) = rest.split_once(": ") {
        let begins = |line: &str| !line.trim().is_empty() && depth(line) == indent;
        let mut end = 0;
        let mut options = None;
        for line in after.split_inclusive('\n') {
            if end > 0 && begins(line) {
                break;
            }
            if options.is_none() && line.trim_start().starts_with("--") {
                options = Some(end);
            }
            end += line.len();
        }
        let (help, options) = after[..end].split_at(options.unwrap_or(end));
        commands.push(Subcommand {
            name: name.trim(),
            help: help.split_whitespace().collect::<Vec<_>>().join(" "),
            options: read_options(options),
        });
        rest = &after[end..];
    }
    commands
}

/// Reads the first line of an option; `None` where it has another form.
fn read_option(line: &'static str) -> Option<Opt> {
    let rest = line.strip_prefix("--")?;
    let name_end = rest.find([' ', ',', ':'])?;
    let (name, rest) = rest.split_at(name_end);
    let (alias, rest) = match rest.strip_prefix(", ") {
        Some(rest) => rest.split_at(rest.find([' ', ':'])?),
        None => ("", rest),
    };
    let (arity, help) = if let Some(rest) = rest.strip_prefix(" <") {
        let (value, rest) = rest.split_once('>')?;
        match rest.strip_prefix("...") {
            Some(rest) => (Arity::Many(value), rest),
            None => (Arity::Value(value), rest),
        }
    } else if let Some(rest) = rest.strip_prefix(" [") {
        let (value, rest) = rest.split_once(']')?;
        (Arity::Optional(value), rest)
    } else {
        (Arity::Flag, rest)
    };
    Some(Opt {
        name,
        alias: alias.trim_start_matches('-'),
        arity,
        help: help.strip_prefix(": ")?.to_owned(),
    })
}

#[cfg(test)]
mod tests;
