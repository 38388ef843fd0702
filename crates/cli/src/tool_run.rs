//! Runs a tool: command line, runtime, standard output, errors, exit code.

use std::ffi::OsString;
use std::io::Write;
use std::pin::pin;
use std::process::ExitCode;

use dohle_admin::Cluster;
use dohle_model::suggest::nearest_few;
use futures::future::{Either, LocalBoxFuture, select};

use crate::connect::connection;
use crate::host::Host;
use crate::options::{Parsed, ParsedCommand, Rule, Syntax, UsageError, usage};
use crate::progress::Progress;

/// A tool: one row of the table.
#[derive(Debug)]
pub struct Tool {
    /// Its name, without `kafka-`.
    pub name: &'static str,
    /// Whether Kafka has a script of this name, so that a link is made for it.
    pub linked: bool,
    /// What its command line may hold; its name is the one that messages use.
    pub syntax: Syntax,
    /// Does the work.
    pub work: Work,
    /// How Kafka's tool reports that it failed.
    pub failure: Failure,
}

impl Tool {
    /// A tool that Kafka has a script for, named `kafka-…`, without rules and subcommands. Its
    /// errors go to standard error.
    pub(crate) const fn kafka(
        script: &'static str,
        about: &'static str,
        options: &'static [&'static str],
        work: Work,
    ) -> Self {
        Self {
            name: script.split_at("kafka-".len()).1,
            linked: true,
            syntax: Syntax {
                tool: script,
                about,
                options,
                ..Syntax::EMPTY
            },
            work,
            failure: Failure::Stderr(""),
        }
    }

    /// Lets the tool work without any argument.
    pub(crate) const fn works_without_arguments(mut self) -> Self {
        self.syntax.works_without_arguments = true;
        self
    }

    /// Sets which options go together.
    pub(crate) const fn rules(mut self, rules: &'static [Rule]) -> Self {
        self.syntax.rules = rules;
        self
    }

    /// Sets the subcommands.
    pub(crate) const fn commands(mut self, commands: &'static str) -> Self {
        self.syntax.commands = commands;
        self
    }

    /// Sets how errors are reported.
    pub(crate) const fn failure(mut self, failure: Failure) -> Self {
        self.failure = failure;
        self
    }

    /// Reads a command line, and checks its rules.
    #[cfg(test)]
    pub(crate) fn read(&self, line: &str) -> Result<Parsed, UsageError> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match self.syntax.parse(&words)? {
            ParsedCommand::Work(parsed) => self.syntax.check(&parsed).map(|()| parsed),
            other => panic!("{other:?}"),
        }
    }

    /// What it is for, in the first sentence of its help.
    #[must_use]
    pub fn summary(&self) -> &'static str {
        let about = self.syntax.about;
        about.split_once(". ").map_or(about, |(first, _)| first)
    }
}

/// How a tool does its work.
#[derive(Debug)]
pub enum Work {
    /// On a runtime of one thread.
    Async(for<'a> fn(&'a ToolRun<'a>) -> LocalBoxFuture<'a, anyhow::Result<()>>),
    /// Without one.
    Plain(fn(&ToolRun<'_>) -> anyhow::Result<()>),
    /// With the arguments unparsed, and an exit code of its own.
    Raw(fn(Vec<OsString>, &Host) -> ExitCode),
}

/// How Kafka's tool reports that it failed: a text before the error, and where it goes.
#[derive(Debug, Clone, Copy)]
pub enum Failure {
    /// On standard output, as `kafka-topics` does.
    Stdout(&'static str),
    /// On standard error.
    Stderr(&'static str),
}

/// One run of a tool. What prints fails when the reader has closed standard output; [`run`] then
/// ends the tool without a message.
#[derive(Debug)]
pub struct ToolRun<'a> {
    /// The command line.
    pub parsed: Parsed,
    /// The same, as it was given.
    pub args: Vec<String>,
    /// The program around it.
    pub host: &'a Host,
    /// Shows how far its work is.
    pub progress: Progress,
}

/// How state is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// As Kafka prints it.
    Text,
    /// As JSON.
    Json,
}

/// The option of all tools that print state.
pub const OUTPUT: &str = "
    --output <text|json>: How to print: text as Apache Kafka's tool does (the default), or json.
";

/// An error, and what to do about it: the hint is printed on standard error after Kafka's own
/// words.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ErrorWithHint {
    /// What Kafka's tool prints.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

/// An error about a name that does not exist, with the existing names that are near to it.
pub fn unknown_name<'a>(
    message: impl Into<String>,
    name: &str,
    existing: impl IntoIterator<Item = &'a str>,
) -> anyhow::Error {
    let message = message.into();
    match nearest_few(name, existing).join(" or ") {
        near if near.is_empty() => anyhow::Error::msg(message),
        near => {
            let hint = format!("Did you mean {near}?");
            ErrorWithHint { message, hint }.into()
        }
    }
}

/// The error of a tool that has already reported what went wrong: only the exit code remains to be
/// set.
#[derive(Debug, thiserror::Error)]
#[error("failed")]
pub struct AlreadyReported;

/// Fails with [`AlreadyReported`] where something failed.
pub fn fail_if(failed: bool) -> anyhow::Result<()> {
    if failed {
        Err(AlreadyReported.into())
    } else {
        Ok(())
    }
}

impl ToolRun<'_> {
    /// Connects to the cluster that the command line names.
    ///
    /// # Errors
    /// When it names none, or no broker answers.
    pub async fn connect(&self) -> anyhow::Result<Cluster> {
        Ok(Cluster::connect(&connection(&self.parsed, None)?).await?)
    }

    /// How to print.
    ///
    /// # Errors
    /// When `--output` has another value.
    pub fn output(&self) -> Result<Output, UsageError> {
        match self.parsed.value("output")? {
            None | Some("text") => Ok(Output::Text),
            Some("json") => Ok(Output::Json),
            Some(other) => usage(format!("--output is text or json, not {other}")),
        }
    }

    /// Prints to standard output.
    pub fn print(&self, text: impl AsRef<str>) -> std::io::Result<()> {
        self.progress.before_output(text.as_ref());
        print(text.as_ref())
    }

    /// Prints a value as JSON, on lines of its own.
    pub fn print_json(&self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(value)?;
        text.push('\n');
        Ok(self.print(text)?)
    }

    /// Prints a value in the form that `--output` asks for: as JSON, or the text made of it.
    pub fn show<T: serde::Serialize + ?Sized>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        match self.output()? {
            Output::Text => Ok(self.print(text(value))?),
            Output::Json => self.print_json(&value),
        }
    }

    /// Prints a warning, on standard output as Kafka's tools do, for each of these deprecated
    /// options that was given; in the message `{option}` is its name, `{instead}` that of the new
    /// option.
    pub fn warn_of_deprecated(
        &self,
        options: &[(&str, &str)],
        message: &str,
    ) -> std::io::Result<()> {
        for (option, instead) in options.iter().filter(|(option, _)| self.parsed.has(option)) {
            let message = message.replace("{option}", option);
            self.print(message.replace("{instead}", instead) + "\n")?;
        }
        Ok(())
    }

    /// Prints something on standard error.
    pub fn note(&self, text: impl AsRef<str>) {
        self.progress.before_note();
        note(text.as_ref());
    }
}

/// Prints to standard output, whole.
fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Ignores an error: standard error may be closed.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Runs a tool with its arguments.
pub(crate) fn run(tool: &'static Tool, args: Vec<OsString>, host: &Host) -> ExitCode {
    if let Work::Raw(work) = tool.work {
        return work(args, host);
    }
    let mut words = Vec::with_capacity(args.len());
    for arg in args {
        match arg.into_string() {
            Ok(word) => words.push(word),
            Err(arg) => {
                note(&format!("{} is not valid UTF-8", arg.display()));
                return ExitCode::FAILURE;
            }
        }
    }
    let result = match tool.syntax.parse(&words) {
        Ok(ParsedCommand::Help(text)) if words.is_empty() => {
            note(&text);
            Err(AlreadyReported.into())
        }
        Ok(ParsedCommand::Help(text)) => print(&text).map_err(anyhow::Error::from),
        Ok(ParsedCommand::Version) => {
            let version = env!("CARGO_PKG_VERSION");
            print(&format!("{KAFKA_VERSION} (Dohle {version})\n")).map_err(anyhow::Error::from)
        }
        Ok(ParsedCommand::Work(parsed)) => {
            let run = ToolRun {
                parsed,
                args: words,
                host,
                progress: Progress::on_stderr(),
            };
            work(tool, &run)
        }
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(tool, &error),
    }
}

/// Subcommands that are not Kafka's, and take words beside their options.
pub(crate) const STRAYS: &str = "strays";
pub(crate) const IMPORT_KAFKA: &str = "import-kafka";

/// The release whose tools these are like.
const KAFKA_VERSION: &str = "4.3.1";

fn work(tool: &Tool, run: &ToolRun<'_>) -> anyhow::Result<()> {
    // Kafka's tools pass over words that belong to no option; what is not Kafka's may take some.
    let own = matches!(run.parsed.command, Some(STRAYS | IMPORT_KAFKA));
    let passes_over = tool.linked && !own;
    let name = tool.syntax.tool;
    for word in run.parsed.words.iter().filter(|_| passes_over) {
        note(&format!(
            "{word:?} is not an option of {name}, and is ignored"
        ));
    }
    tool.syntax.check(&run.parsed)?;
    match tool.work {
        Work::Plain(work) => work(run),
        Work::Async(work) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let result = runtime.block_on(async {
                let told = pin!(run.progress.keep_current());
                match select(work(run), told).await {
                    Either::Left((result, _)) => result,
                    Either::Right((never, _)) => match never {},
                }
            });
            // A resolver's thread may still wait for an answer that is no longer needed.
            runtime.shutdown_background();
            result
        }
        Work::Raw(_) => Ok(()),
    }
}

/// Formats an error with its causes, without causes that repeat the text before them.
#[must_use]
pub fn explain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Prints what went wrong.
fn fail(tool: &Tool, error: &anyhow::Error) -> ExitCode {
    let closed = error.downcast_ref::<std::io::Error>();
    if closed.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
        // The reader needs no more, as `head` after its last line.
        return ExitCode::SUCCESS;
    }
    if error.is::<AlreadyReported>() {
        return ExitCode::FAILURE;
    }
    if let Some(UsageError(message)) = error.downcast_ref() {
        let name = tool.syntax.tool;
        note(&format!("{message}\nRun {name} --help for all options."));
        return ExitCode::FAILURE;
    }
    let message = explain(error);
    match tool.failure {
        Failure::Stdout(prefix) => {
            // When standard output is closed, the exit code alone reports the failure.
            let _ = print(&format!("{prefix}{message}\n"));
        }
        Failure::Stderr(prefix) => note(&format!("{prefix}{message}")),
    }
    if let Some(error) = error.downcast_ref::<ErrorWithHint>() {
        note(&error.hint);
    }
    ExitCode::FAILURE
}
