//! `server-stop`: SIGTERM to the nodes of this user that run on this machine.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use dohle_admin::load_properties;
use rustix::process::{Pid, Signal, getuid, kill_process};

use crate::tool_run::{Failure, Tool, ToolRun, Work};

const OPTIONS: &str = "
    --process-role <role>: Only nodes whose properties file sets process.roles=ROLE.
    --node-id <id>: Only nodes whose properties file sets node.id=ID.
    ";

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-server-stop",
    "Sends SIGTERM to the nodes of this user on this machine, and does not wait until they stop. \
     The environment variable SIGNAL selects another signal: TERM, INT or KILL.",
    &[OPTIONS],
    Work::Plain(work),
)
.works_without_arguments()
.failure(Failure::Stdout(""));

/// A node that runs.
struct Running {
    pid: Pid,
    /// Its properties file, and the folder that the path starts from.
    file: Option<PathBuf>,
}

pub(crate) fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let signal = match std::env::var("SIGNAL").as_deref() {
        Err(_) | Ok("TERM" | "SIGTERM" | "15") => Signal::TERM,
        Ok("INT" | "SIGINT" | "2") => Signal::INT,
        Ok("KILL" | "SIGKILL" | "9") => Signal::KILL,
        Ok(other) => bail!("SIGNAL={other}: TERM, INT or KILL"),
    };
    let role = run.parsed.value("process-role")?;
    let id = run.parsed.value("node-id")?;
    if role.is_some() && id.is_some() {
        run.print(
            "When both node-id and process-role are provided, the value for node-id will take \
             precedence\n",
        )?;
    }
    let mut running = running()?;
    if running.is_empty() {
        bail!("No kafka server to stop");
    }
    let wanted = match (id, role) {
        (Some(id), _) => Some(("node.id", id)),
        (None, Some(role)) => Some(("process.roles", role)),
        (None, None) => None,
    };
    if let Some((name, value)) = wanted {
        running.retain(|node| has_property(node, name, value));
        if running.is_empty() {
            bail!("No kafka server with {name}={value} to stop");
        }
    }
    for node in running {
        let pid = node.pid.as_raw_nonzero();
        kill_process(node.pid, signal).with_context(|| format!("signal process {pid}"))?;
    }
    Ok(())
}

fn has_property(node: &Running, name: &str, value: &str) -> bool {
    let path = node.file.as_ref().and_then(|path| path.to_str());
    let Some(properties) = path.and_then(|path| load_properties(path).ok()) else {
        return false;
    };
    properties.get(name).is_some_and(|found| found == value)
}

/// This user's processes that run a node.
fn running() -> anyhow::Result<Vec<Running>> {
    let own = std::process::id().to_string();
    let program = std::env::current_exe().unwrap_or_default();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").context("list processes in /proc")? {
        let Ok(entry) = entry else { continue };
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end while it is looked at.
        let (Ok(meta), Ok(line)) = (
            entry.metadata(),
            std::fs::read(entry.path().join("cmdline")),
        ) else {
            continue;
        };
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        if meta.uid() != getuid().as_raw() || name.to_str() == Some(&own) {
            continue;
        }
        let (Some(args), Some(pid)) = (node_arguments(&words), Pid::from_raw(pid)) else {
            continue;
        };
        if !runs_dohle(&entry.path(), &program) {
            continue;
        }
        let file = file_of(args).map(|file| {
            let folder = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            folder.join(std::ffi::OsStr::from_bytes(file))
        });
        found.push(Running { pid, file });
    }
    Ok(found)
}

/// Whether a process runs this program, or another file of its name (for example an older one).
fn runs_dohle(process: &Path, program: &Path) -> bool {
    let Ok(running) = std::fs::read_link(process.join("exe")) else {
        return false;
    };
    let name = running.file_name().and_then(|name| name.to_str());
    running == program || name.is_some_and(|name| name.starts_with("dohle"))
}

/// The arguments of a node, when a command line is one.
fn node_arguments<'a>(words: &'a [&'a [u8]]) -> Option<&'a [&'a [u8]]> {
    let program = Path::new(std::ffi::OsStr::from_bytes(words.first()?));
    match program.file_name()?.to_str()? {
        "kafka-server-start" | "kafka-server-start.sh" => Some(&words[1..]),
        // What images call their first process; whether it is this program is looked at apart.
        "run" | "launch" | "run.sh" | "entrypoint.sh" => Some(&words[1..]),
        "dohle" => match *words.get(1)? {
            b"server"
            | b"server-start"
            | b"kafka-server-start"
            | b"kafka-server-start.sh"
            | b"entrypoint" => Some(&words[2..]),
            _ => None,
        },
        _ => None,
    }
}

/// The first argument that is no option and no option's value.
fn file_of<'a>(args: &[&'a [u8]]) -> Option<&'a [u8]> {
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        match arg {
            b"--override" => {
                args.next();
            }
            b"" => {}
            option if option.starts_with(b"-") => {}
            file => return Some(file),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(line: &str) -> Option<String> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let file = file_of(node_arguments(&words)?)?;
        Some(String::from_utf8_lossy(file).into_owned())
    }

    #[test]
    fn nodes_are_told_from_other_processes() {
        let path = Some("a.properties".to_owned());
        assert_eq!(file("dohle server a.properties"), path);
        assert_eq!(
            file("/usr/bin/dohle server --override x=y a.properties"),
            path
        );
        assert_eq!(
            file("bin/kafka-server-start.sh a.properties --override x=y"),
            path
        );
        assert_eq!(file("dohle kafka-server-start.sh a.properties"), path);
        assert_eq!(file("dohle topics a.properties"), None);
        assert_eq!(file("vim server a.properties"), None);
        let words: [&[u8]; 2] = [b"dohle", b"server"];
        assert!(node_arguments(&words).is_some(), "a node without a file");
    }
}
