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
}

impl Syntax {
    /// Without options, rules and subcommands.
    pub const EMPTY: Self = Self {
        tool: "",
        about: "",
        options: &[],
        rules: &[],
        commands: "",
    };
}

/// Reads options from a text in which each begins a line, and lines that are indented further
/// continue its help:
///
/// ```text
/// --list: List all topics. --topic, -t <topic>: The topic to describe, or a regular expression
/// that is matched against
///     all names.
/// --state [states]: A value that may be left out. --props <name=value>...: All words up to the
/// next option.
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
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_they_are_written() {
        let read = |text| {
            let mut options = read_options(text);
            (options.pop().unwrap(), options.len())
        };
        let (option, before) = read(
            "
            --list: List all.
            --topic, -t <topic id>: The topic: one,
                or --all.
            ",
        );
        assert_eq!((option.name, option.alias, before), ("topic", "t", 1));
        assert_eq!(option.arity, Arity::Value("topic id"));
        assert_eq!(option.help, "The topic: one, or --all.");
        let arity = |text| read(text).0.arity;
        assert_eq!(arity("--state [states]: x"), Arity::Optional("states"));
        assert_eq!(arity("--props <p>...: x"), Arity::Many("p"));
        assert_eq!(arity("--yes, -y: x"), Arity::Flag);
    }

    #[test]
    fn commands_are_read_as_they_are_written() {
        let commands = read_commands(
            "
            list: List: all,
                or some.
            describe: Describe.
                --topic, -t <topic>: The topic: one,
                    or --all.
                --all: All.
            add: Add.
            ",
        );
        let texts = commands.iter().map(|command| {
            let options: Vec<String> = command
                .options
                .iter()
                .map(|option| option.name.to_owned() + ": " + &option.help)
                .collect();
            (command.name, command.help.as_str(), options.join(" | "))
        });
        let texts: Vec<_> = texts.collect();
        let options = "topic: The topic: one, or --all. | all: All.".to_owned();
        assert_eq!(
            texts,
            [
                ("list", "List: all, or some.", String::new()),
                ("describe", "Describe.", options),
                ("add", "Add.", String::new()),
            ]
        );
    }

    #[test]
    fn every_tool_declares_options_of_this_form_once() {
        for tool in crate::tools::TOOLS {
            let commands = read_commands(tool.syntax.commands);
            let mut own: Vec<Vec<Opt>> = commands
                .into_iter()
                .map(|command| command.options)
                .collect();
            own.push(
                tool.syntax
                    .options
                    .iter()
                    .flat_map(|text| read_options(text))
                    .collect(),
            );
            let texts = tool.syntax.options.iter().chain([&tool.syntax.commands]);
            let lines = texts.flat_map(|text| text.lines());
            let begun = lines.filter(|line| line.trim_start().starts_with("--"));
            let read: usize = own.iter().map(Vec::len).sum();
            assert!(read <= begun.count(), "{}", tool.name);
            for options in own {
                let mut names: Vec<&str> = options.iter().map(|option| option.name).collect();
                names.sort_unstable();
                names.dedup();
                assert_eq!(names.len(), options.len(), "{}: {names:?}", tool.name);
            }
            for text in tool.syntax.options.iter().copied() {
                assert!(!read_options(text).is_empty(), "{}: {text}", tool.name);
            }
        }
    }
}
