//! `dohle entrypoint`: the first process of a container.
//!
//! ```text
//! as root:  configuration → data folders belong to their user → exec as that user
//! as user:  configuration → server
//! ```
//!
//! Docker creates the folder of a bind mount as root, and a server that is not root could not write
//! there. So the container starts as root, changes the owner of its data folders, and continues as
//! that user. When it is started with `--user`, or by Kubernetes as a user, only the second half
//! runs.
//!
//! Any other command of the container is executed instead: a tool, `dohle dev`, a shell if the
//! image has one.

mod ownership;

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Parser;
use dohle::config::{NodeConfig, image};

use crate::logging::Log;
use crate::server;

/// The paths of the scripts that start the server in the images of Apache, Confluent and Bitnami.
/// In Dohle's image they are links to `dohle`.
const START_SCRIPTS: &[&str] = &[
    "/etc/kafka/docker/run",
    "/etc/kafka/docker/launch",
    "/etc/confluent/docker/run",
    "/etc/confluent/docker/launch",
    "/opt/bitnami/scripts/kafka/entrypoint.sh",
    "/opt/bitnami/scripts/kafka/run.sh",
];

/// The name of the image's entrypoint. Probes look for "kafka" in the command line of the process.
const ENTRYPOINT: &str = START_SCRIPTS[0];

/// Further command names that run the server.
const SERVER_NAMES: &[&str] = &[
    "server",
    "server-start",
    "kafka-server-start",
    "kafka-server-start.sh",
];

/// Property files in Kafka's images. A command line that names one requests the image's defaults.
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
    /// The command: nothing or `server …` for a node, or any other command.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

#[derive(Debug, clap::Parser)]
#[command(name = "dohle server")]
struct ServerLine {
    #[command(flatten)]
    server: server::Arguments,
}

/// The command that a container runs.
#[derive(Debug, PartialEq, Eq)]
enum Task<'a> {
    /// The server, with its arguments.
    Server(&'a [OsString]),
    /// A subcommand of this program.
    Own(&'a [OsString]),
    /// Another program.
    Other(&'a [OsString]),
}

/// Returns the command line, with `entrypoint` inserted when this program was called by the name of
/// a start script.
pub fn command_line(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.collect();
    if words.first().is_some_and(|name| is_start_script(name)) {
        words.insert(1, "entrypoint".into());
    }
    words
}

/// Runs as a container's first process. Returns the configuration of the node that is to run in
/// this process, if it does not replace the process. The log has the format of that configuration.
///
/// # Errors
/// When the configuration is wrong, or the program cannot be started.
pub fn enter(arguments: &Arguments, hostname: &str, log: &Log) -> anyhow::Result<NodeConfig> {
    match task(&arguments.command) {
        Task::Server(words) => {
            let config = node(words, hostname)?;
            log.set_format(&config);
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

/// Returns the node's configuration, completed like in the images. `words` follow `server`.
///
/// # Errors
/// The configuration error that prevents the start.
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
    sources.complete_key_stores(|file| std::fs::read_to_string(file))?;
    let read = &|file: &str| std::fs::read_to_string(file);
    sources.complete_voters(&variables, read)?;
    sources.complete_for_image(&variables, folder);
    sources.complete_security(&variables, read)?;
    Ok(NodeConfig::new(sources, hostname)?)
}

/// Returns the configuration of this container's node, if the first process is one.
///
/// # Errors
/// A configuration error that would have prevented the node's start.
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

/// Returns the arguments after `server` in the command line of a container's first process, which
/// may be an init process in front of the image's entrypoint.
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

/// Continues as the user that owns the data folders, by replacing this process. Returns only when
/// that failed, after logging the reason.
fn go_on_as_user(config: &NodeConfig, words: &[OsString]) {
    let mut folders: Vec<&Path> = config.log_dirs.iter().map(PathBuf::as_path).collect();
    if !folders.contains(&config.metadata_log_dir.as_path()) {
        folders.push(&config.metadata_log_dir);
    }
    let owner = match ownership::take(&folders) {
        Ok(owner) => owner,
        Err(error) => {
            tracing::warn!("continuing as root: {error}; `docker run --user` sets another user");
            return;
        }
    };
    let error = match std::env::current_exe() {
        Ok(program) => std::process::Command::new(program)
            .arg0(ENTRYPOINT)
            .arg("server")
            .args(words)
            .uid(owner.uid)
            .gid(owner.gid)
            .exec(),
        Err(error) => error,
    };
    tracing::warn!(
        "continuing as root: cannot become user {}: {error}",
        owner.uid
    );
}

/// Replaces this process by another program; returns the error if that failed.
fn replaced_by(program: &OsStr, words: &[OsString]) -> anyhow::Error {
    let error = std::process::Command::new(program).args(words).exec();
    let name = program.display();
    if error.kind() == std::io::ErrorKind::NotFound {
        return anyhow::anyhow!(
            "there is no program {name} in this image: it has dohle and Kafka's tools by their \
             names, and a shell with the usual small programs unless its name ends in -distroless"
        );
    }
    anyhow::Error::from(error).context(format!("start {name}"))
}

#[cfg(test)]
mod tests;
