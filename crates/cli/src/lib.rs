//! Kafka's command-line tools.
//!
//! Each tool is a module and a row in [`TOOLS`]. A tool reads its command line ([`options`]),
//! fetches state into plain values ([`dohle_admin`]), and renders them: as Kafka prints them, or as
//! JSON. What is rendered comes from one value, and rendering is pure.
//!
//! Invariant: flags, columns, wording and exit codes are Kafka's (4.3). What a tool adds, it prints
//! on standard error. Nothing heavy happens before a tool's own work.

pub mod options;
pub mod progress;
mod tool_run;
mod tools;

mod client;
mod clock;
mod connect;
mod feature_levels;
mod group_records;
mod host;
mod numbers;
mod ordered_json;
mod partition_file;
mod table;
mod text;
mod transaction_records;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

pub use self::host::{Host, NewUser, NodeDirectories, PlannedImport, VoterState};
pub use self::tool_run::{Failure, Tool, ToolRun, explain};
pub use self::tools::TOOLS;

/// What a command line asks for.
#[derive(Debug)]
pub enum Command {
    /// A tool, and its arguments.
    Tool(&'static Tool, Vec<OsString>),
    /// A command of the binary itself.
    Other,
}

/// Finds the tool in a command line: by the program's name (a link), or by the first argument.
#[must_use]
pub fn find(command_line: &[OsString]) -> Command {
    let program = command_line.first().and_then(|program| {
        let name = Path::new(program).file_name()?.to_str()?;
        name.starts_with(LINK_PREFIX).then(|| tool(name)).flatten()
    });
    if let Some(tool) = program {
        return Command::Tool(tool, command_line[1..].to_vec());
    }
    let first = command_line.get(1).and_then(|first| first.to_str());
    match first.and_then(tool) {
        Some(tool) => Command::Tool(tool, command_line[2..].to_vec()),
        None => Command::Other,
    }
}

/// The prefix of the names of Kafka's scripts.
const LINK_PREFIX: &str = "kafka-";

/// The tool of this name: `topics`, `kafka-topics` or `kafka-topics.sh`.
#[must_use]
pub fn tool(name: &str) -> Option<&'static Tool> {
    let name = name.strip_prefix(LINK_PREFIX).unwrap_or(name);
    let name = name.strip_suffix(".sh").unwrap_or(name);
    TOOLS.iter().find(|tool| tool.name == name)
}

/// The tool whose name is nearest to an unknown name.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    dohle_model::suggest::nearest(name, TOOLS.iter().map(|tool| tool.name))
}

/// Runs a tool with its arguments.
#[must_use]
pub fn run(tool: &'static Tool, args: Vec<OsString>, host: &Host) -> ExitCode {
    tool_run::run(tool, args, host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Option<(&'static str, usize)> {
        let line: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        match find(&line) {
            Command::Tool(tool, rest) => Some((tool.name, rest.len())),
            Command::Other => None,
        }
    }

    #[test]
    fn a_tool_is_found_by_the_name_of_its_link_or_by_the_first_word() {
        assert_eq!(found("kafka-topics --list"), Some(("topics", 1)));
        assert_eq!(found("/opt/kafka/bin/kafka-topics.sh"), Some(("topics", 0)));
        assert_eq!(found("dohle topics --list"), Some(("topics", 1)));
        assert_eq!(found("dohle kafka-topics.sh --list"), Some(("topics", 1)));
        assert_eq!(found("topics --list"), None, "only links of Kafka's names");
        assert_eq!(found("dohle server"), None);
        assert_eq!(found("dohle"), None);
    }

    #[test]
    fn a_name_with_a_typo_is_answered_with_the_nearest() {
        assert_eq!(nearest("tpoics"), Some("topics"));
        assert_eq!(nearest("frobnicate"), None);
    }

    #[test]
    fn no_two_tools_have_one_name() {
        let mut names: Vec<&str> = TOOLS.iter().map(|tool| tool.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TOOLS.len());
    }
}
