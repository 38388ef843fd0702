//! `server-start`: a node, under the name that Kafka's script has.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;

use crate::host::Host;
use crate::tool_run::{Tool, Work, explain};

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-server-start",
    "Runs a node, as `dohle server` does.",
    &[],
    Work::Raw(work),
);

const USAGE: &str = "USAGE: kafka-server-start [-daemon] server.properties \
                     [--override property=value]*";

fn work(mut args: Vec<OsString>, host: &Host) -> ExitCode {
    if args.is_empty() {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    }
    if args[0] != "-daemon" {
        return (host.server)(args);
    }
    args.remove(0);
    if args.is_empty() {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    }
    match start_daemon(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Starts this program again, in the background: Kafka's script uses nohup for that. What the node
/// prints goes to `$LOG_DIR/kafkaServer.out`.
fn start_daemon(args: &[OsString]) -> anyhow::Result<()> {
    let directory = log_directory();
    std::fs::create_dir_all(&directory).with_context(|| {
        format!(
            "create {} (LOG_DIR selects another directory)",
            directory.display()
        )
    })?;
    let path = directory.join("kafkaServer.out");
    let out = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    let program = std::env::current_exe().context("find this program's own path")?;
    // A group of its own: what interrupts the terminal's foreground does not reach it.
    Command::new(program)
        .arg("server")
        .args(args)
        .stdin(Stdio::null())
        .stdout(out.try_clone().context("share the output file")?)
        .stderr(out)
        .process_group(0)
        .spawn()
        .context("start the node")?;
    Ok(())
}

/// `LOG_DIR`, or `logs` beside the folder of the link, as in Kafka's own layout.
fn log_directory() -> PathBuf {
    if let Some(given) = std::env::var_os("LOG_DIR") {
        return PathBuf::from(given);
    }
    let program = std::env::args_os().next().map(PathBuf::from);
    let bin = program.as_deref().and_then(Path::parent);
    match bin.filter(|bin| bin.ends_with("bin")) {
        Some(bin) => bin.join("../logs"),
        None => PathBuf::from("logs"),
    }
}
