//! The `dohle` binary: reads the command line, starts nodes, stops them on a signal.

mod allocator;
mod container;
mod dev;
mod healthcheck;
mod logging;
mod security;
mod server;
mod signals;
mod storage;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Kafka-compatible event streaming in one binary.
#[derive(Debug, Parser)]
#[command(name = "dohle", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node.
    ///
    /// Properties have Kafka's names. They come from FILE, from variables (KAFKA_NODE_ID,
    /// KAFKA_CFG_NODE_ID, …, CLUSTER_ID) and from --override; later ones override earlier ones.
    /// Without any: one node with both roles on localhost:9092.
    Server(server::Arguments),
    /// Run a three-node cluster in this process.
    Dev(dev::Arguments),
    /// Check whether the node of this machine or container serves requests; exits with 1 if not.
    Healthcheck(healthcheck::Arguments),
    /// Create the certificates and properties of a cluster whose listeners are secured.
    Security(security::Arguments),
    /// Run as a container's first process: give the data folders to their user, then run a node as
    /// that user, or any other given command.
    Entrypoint(container::Arguments),
}

/// Creates the runtime for everything except connections: Raft, metadata, the coordinators' timers.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .thread_stack_size(1 << 20)
        .thread_keep_alive(std::time::Duration::from_secs(5))
        .thread_name("control")
        .enable_all()
        .build()
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

fn main() -> ExitCode {
    allocator::give_back_soon();
    let words = container::command_line(std::env::args_os());
    // Tools come first: they are called often, and need no setup of a node.
    if let dohle_cli::Command::Tool(tool, arguments) = dohle_cli::find(&words) {
        return dohle_cli::run(tool, arguments, &HOST);
    }
    run(words)
}

/// The functions of the server that tools use.
const HOST: dohle_cli::Host = dohle_cli::Host {
    server,
    directories: storage::directories,
    format: storage::format,
    inspect_voter: storage::inspect_voter,
    recover_quorum: storage::recover_quorum,
    plan_import: storage::plan_import,
};

/// Runs a node, for the tool that starts one.
fn server(arguments: Vec<OsString>) -> ExitCode {
    let words = ["dohle".into(), "server".into()];
    run(words.into_iter().chain(arguments).collect())
}

/// Parses the command line, with Kafka's tools in the help.
fn parse(words: Vec<OsString>) -> Arguments {
    let mut tools = "Kafka's tools, with Kafka's options:".to_owned();
    for tool in dohle_cli::TOOLS {
        tools += &format!("\n  {:<24}{}", tool.name, tool.summary());
    }
    let given = words
        .get(1)
        .and_then(|word| word.to_str())
        .map(str::to_owned);
    let matches = Arguments::command()
        .after_help(tools)
        .try_get_matches_from(words);
    let matches = matches.unwrap_or_else(|error| {
        let unknown = error.kind() == clap::error::ErrorKind::InvalidSubcommand;
        let given = given.filter(|_| unknown).unwrap_or_default();
        if let Some(meant) = dohle_cli::nearest(&given) {
            eprintln!("error: {given} is not a command; did you mean {meant}?");
            std::process::exit(2);
        }
        error.exit()
    });
    Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn run(words: Vec<OsString>) -> ExitCode {
    let began = Instant::now();
    let arguments = parse(words);
    let log = logging::start();
    let result = match arguments.command {
        Command::Server(arguments) => block_on(server::run(arguments, &log, began)),
        Command::Dev(arguments) => block_on(dev::run(arguments, &log, began)),
        Command::Healthcheck(arguments) => healthcheck::run(arguments, &hostname()),
        Command::Security(arguments) => security::run(arguments),
        Command::Entrypoint(arguments) => {
            let hostname = hostname();
            container::enter(&arguments, &hostname, &log)
                .and_then(|config| block_on(server::serve(config, &hostname, &log, began)))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", dohle_cli::explain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Raises the limit of open files of a node to the system's maximum.
fn raise_open_files() {
    match dohle_log::descriptors::raise_limit() {
        Ok((before, now)) => tracing::info!(before, now, "open files: soft limit raised to hard"),
        Err(error) => tracing::warn!("the limit of open files cannot be raised: {error}"),
    }
}

/// Returns the machine's name.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name.to_owned()
    }
}

/// Reads a file; the error names the file.
fn read(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    use anyhow::Context as _;
    std::fs::read(path).with_context(|| format!("read {}", path.display()))
}
