//! The `dohle` binary: reads the command line, starts nodes, stops them on a signal.

mod dev;
mod logging;
mod server;
mod signals;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

/// Memory goes back to the system soon after a burst; idle nodes stay small.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    /// KAFKA_CFG_NODE_ID, …, CLUSTER_ID) and from --override; later ones outvote earlier ones.
    /// Without any: one node with both roles on localhost:9092.
    Server(server::Arguments),
    /// Run a three-node cluster in this process.
    Dev(dev::Arguments),
}

/// A runtime for everything that is not a connection: Raft, metadata, the coordinators' timers.
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

fn main() -> ExitCode {
    let began = Instant::now();
    let arguments = Arguments::parse();
    logging::start();
    let result = runtime().map_err(anyhow::Error::from).and_then(|runtime| {
        let result = runtime.block_on(async {
            match arguments.command {
                Command::Server(arguments) => server::run(arguments, began).await,
                Command::Dev(arguments) => dev::run(arguments, began).await,
            }
        });
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The machine's name.
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

/// A file's content, with what was being done in the error.
fn read(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    use anyhow::Context as _;
    std::fs::read(path).with_context(|| format!("read {}", path.display()))
}
