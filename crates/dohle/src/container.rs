//! `dohle entrypoint`: the first process of a container.
//!
//! ```text
//! as root:  configuration → data folders belong to their user → exec as that user
//! as user:  configuration → server
//! ```
//!
//! Docker makes the folder of a bind mount as root. A server that is not root could not write
//! there, so the image begins as root, gives its folders away, and goes on without rights. Started
//! with `--user`, or by Kubernetes as a user, it only does the second half.
//!
//! Anything else that the image is told to run is run instead: a tool, `dohle dev`, a shell where
//! the image has one.

mod ownership;

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Parser;
use dohle::config::{NodeConfig, image};

use crate::server;

/// Where the scripts that start the server lie in the images of Apache, Confluent and Bitnami. In
/// ours they are links to `dohle`.
const START_SCRIPTS: &[&str] = &[
    "/etc/kafka/docker/run",
    "/etc/kafka/docker/launch",
    "/etc/confluent/docker/run",
    "/etc/confluent/docker/launch",
    "/opt/bitnami/scripts/kafka/entrypoint.sh",
    "/opt/bitnami/scripts/kafka/run.sh",
];

/// Names of the server besides `server`.
const SERVER_NAMES: &[&str] = &[
    "server",
    "server-start",
    "kafka-server-start",
    "kafka-server-start.sh",
];

/// Files that come with Kafka's images. Who names one means what the image does by itself.
const FILES_OF_KAFKA: &[&str] = &[
    "/opt/kafka/config/server.properties",
    "/opt/kafka/config/kraft/server.properties",
    "/opt/bitnami/kafka/config/server.properties",
    "/opt/bitnami/kafka/config/kraft/server.properties",
    "/etc/kafka/server.properties",
    "/etc/kafka/kraft/server.properties",
    "/etc/kafka/kafka.properties",
];

/// The command's arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to run: nothing or `server …` for a node, or any command.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

#[derive(Debug, clap::Parser)]
#[command(name = "dohle server")]
struct ServerLine {
    #[command(flatten)]
    server: server::Arguments,
}

/// What a container is told to run.
#[derive(Debug, PartialEq, Eq)]
enum Task<'a> {
    /// The server, with these words after it.
    Server(&'a [OsString]),
    /// A command of this program.
    Own(&'a [OsString]),
    /// Another program.
    Other(&'a [OsString]),
}

/// The command line, with `entrypoint` put in where this program is called by the name of a start
/// script.
pub fn command_line(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.collect();
    if words.first().is_some_and(|name| is_start_script(name)) {
        words.insert(1, "entrypoint".into());
    }
    words
}

/// Does what a container's first process does. Returns what is left to do in this process: a node's
/// configuration to run.
///
/// # Errors
/// When the configuration is wrong, or the program cannot be started.
pub fn enter(arguments: &Arguments, hostname: &str) -> anyhow::Result<NodeConfig> {
    match task(&arguments.command) {
        Task::Server(words) => {
            let config = node(words, hostname)?;
            if ownership::is_root() {
                go_on_as_user(&config, words);
            }
            Ok(config)
        }
        Task::Own(words) => {
            let program = std::env::current_exe().context("find this program")?;
            Err(replaced_by(program.as_os_str(), words))
        }
        Task::Other(words) => Err(replaced_by(&words[0], &words[1..])),
    }
}

/// The node's configuration, made as the image makes it. `words` follow `server`.
///
/// # Errors
/// What the node cannot start with.
fn node(words: &[OsString], hostname: &str) -> anyhow::Result<NodeConfig> {
    let name = OsString::from("server");
    let line = ServerLine::try_parse_from(std::iter::once(&name).chain(words));
    let mut arguments = line.unwrap_or_else(|error| error.exit()).server;
    let is_kafkas = |file: &PathBuf| {
        let listed = FILES_OF_KAFKA.iter().any(|known| Path::new(known) == file);
        listed && !file.exists()
    };
    if arguments.file.as_ref().is_some_and(is_kafkas) {
        arguments.file = None;
    }
    if arguments.file.is_none() {
        let files = image::PROPERTY_FILES.iter().map(PathBuf::from);
        arguments.file = files.into_iter().find(|file| file.is_file());
    }
    let mut sources = server::sources(&arguments)?;
    let variables: Vec<(String, String)> = server::environment().collect();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let has_data = |folder: &str| Path::new(folder).join("meta.properties").exists();
    let folder = image::data_folder(&image::mount_points(&mounts), has_data);
    sources.complete_for_image(&variables, folder);
    Ok(NodeConfig::new(sources, hostname)?)
}

/// The configuration of the node that this container runs, where its first process is one.
///
/// # Errors
/// What the node could not have started with.
pub fn running(hostname: &str) -> anyhow::Result<Option<NodeConfig>> {
    let first = std::fs::read("/proc/1/cmdline").unwrap_or_default();
    match server_words(&words(&first)) {
        Some(words) => node(&words, hostname).map(Some),
        None => Ok(None),
    }
}

fn words(cmdline: &[u8]) -> Vec<OsString> {
    use std::os::unix::ffi::OsStrExt as _;
    let words = cmdline
        .strip_suffix(&[0])
        .unwrap_or(cmdline)
        .split(|byte| *byte == 0);
    words
        .map(|word| OsStr::from_bytes(word).to_owned())
        .collect()
}

/// What follows `server` in the command line of a container's first process, which may be an init
/// that was put before the image's entrypoint.
fn server_words(line: &[OsString]) -> Option<Vec<OsString>> {
    let at = line.iter().position(|word| word == "entrypoint");
    let start = match at {
        Some(at) => at + 1,
        None => 1 + line.iter().position(|word| is_start_script(word))?,
    };
    match task(&line[start..]) {
        Task::Server(words) => Some(words.to_vec()),
        Task::Own(_) | Task::Other(_) => None,
    }
}

fn task(words: &[OsString]) -> Task<'_> {
    let Some(first) = words.first() else {
        return Task::Server(words);
    };
    let name = Path::new(first).file_name().unwrap_or(first);
    if is_start_script(first) {
        return task(&words[1..]);
    }
    let about = |word: &OsString| {
        ["-h", "--help", "-V", "--version"]
            .iter()
            .any(|a| word == a)
    };
    if name == "dohle" {
        return match words.get(1) {
            Some(word) if !about(word) => task(&words[1..]),
            _ => Task::Own(&words[1..]),
        };
    }
    if about(first) {
        return Task::Own(words);
    }
    if first.to_string_lossy().starts_with('-') {
        return Task::Server(words);
    }
    if SERVER_NAMES.iter().any(|known| name == *known) {
        return Task::Server(&words[1..]);
    }
    let commands = <crate::Arguments as clap::CommandFactory>::command();
    let mut names = commands.get_subcommands().map(clap::Command::get_name);
    let is_tool = dohle_cli::TOOLS.iter().any(|tool| first == tool.name);
    if is_tool || names.any(|own| first == own) {
        return Task::Own(words);
    }
    Task::Other(words)
}

fn is_start_script(word: &OsStr) -> bool {
    START_SCRIPTS.iter().any(|script| word == *script)
}

/// Goes on as the user that the data folders belong to. Returns only where that cannot be done,
/// after saying so.
fn go_on_as_user(config: &NodeConfig, words: &[OsString]) {
    let mut folders: Vec<&Path> = config.log_dirs.iter().map(PathBuf::as_path).collect();
    if !folders.contains(&config.metadata_log_dir.as_path()) {
        folders.push(&config.metadata_log_dir);
    }
    let owner = match ownership::take(&folders) {
        Ok(owner) => owner,
        Err(error) => {
            tracing::warn!("going on as root: {error}; `docker run --user` names another user");
            return;
        }
    };
    let error = match std::env::current_exe() {
        Ok(program) => std::process::Command::new(program)
            .args(["entrypoint", "server"])
            .args(words)
            .uid(owner.uid)
            .gid(owner.gid)
            .exec(),
        Err(error) => error,
    };
    tracing::warn!(
        "going on as root: cannot become user {}: {error}",
        owner.uid
    );
}

/// Replaces this process; returns why it could not.
fn replaced_by(program: &OsStr, words: &[OsString]) -> anyhow::Error {
    let error = std::process::Command::new(program).args(words).exec();
    let name = program.display();
    if error.kind() == std::io::ErrorKind::NotFound {
        return anyhow::anyhow!(
            "there is no program {name} in this image: it has dohle, Kafka's tools by their names, \
             and no shell (an image with a shell is made with `make image BASE=…`)"
        );
    }
    anyhow::Error::from(error).context(format!("start {name}"))
}

#[cfg(test)]
mod tests;
