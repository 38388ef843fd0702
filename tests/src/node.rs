//! A node: a process with its properties file, its data and its log.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::connection::KafkaConnection;
use crate::logs;
use crate::proc;
use crate::wait::{DEADLINE, until};

/// How long a node may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// A node of a cluster, running or not.
#[derive(Debug)]
pub struct Node {
    /// `node.id`.
    pub id: i32,
    /// The address for clients.
    pub address: SocketAddr,
    /// The address for the other controllers.
    pub controller: SocketAddr,
    /// Its one `log.dirs` entry.
    pub data: PathBuf,
    /// The path of its properties file.
    pub properties: PathBuf,
    pub(crate) log: PathBuf,
    /// The program; `None` for the one under test.
    pub(crate) program: Option<PathBuf>,
    /// Further environment variables.
    pub environment: Vec<(String, String)>,
    /// The limit of open files; `None` for that of the tests.
    pub(crate) open_files: Option<u32>,
    /// The file of the network namespace in which the process is started; `None` for this
    /// program's own.
    pub namespace: Option<PathBuf>,
    pub(crate) child: Option<Child>,
    paused: bool,
}

/// Returns the program under test: `DOHLE_BIN`, or the newest `dohle` in `target/`.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("DOHLE_BIN") {
        return Ok(path.into());
    }
    let built = |path: &Path| -> Option<SystemTime> { path.metadata().ok()?.modified().ok() };
    ["debug", "release"]
        .map(|profile| crate::root().join("target").join(profile).join("dohle"))
        .into_iter()
        .filter_map(|path| built(&path).map(|time| (time, path)))
        .max()
        .map(|(_, path)| path)
        .context("no dohle in target/: build it, or say where it is with DOHLE_BIN")
}

/// Sends a signal to a process.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("pid 0")?;
    kill_process(pid, signal).with_context(|| format!("send {signal:?} to {pid:?}"))
}

impl Node {
    pub(crate) fn new(
        id: i32,
        address: SocketAddr,
        controller: SocketAddr,
        directory: &Path,
    ) -> Self {
        Self {
            id,
            address,
            controller,
            data: directory.join("data"),
            properties: directory.join("server.properties"),
            log: directory.join("node.log"),
            program: None,
            environment: Vec::new(),
            open_files: None,
            namespace: None,
            child: None,
            paused: false,
        }
    }

    /// Starts the process without waiting until the node is ready.
    pub fn launch(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "node {} runs already", self.id);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let program = self.program.clone().map_or_else(binary, Ok)?;
        let mut command = match (&self.namespace, self.open_files) {
            (Some(namespace), _) => {
                let mut nsenter = Command::new("nsenter");
                let namespace = format!("--net={}", namespace.display());
                nsenter.arg(namespace).arg("--").arg(program);
                nsenter
            }
            (None, Some(limit)) => {
                let mut shell = Command::new("sh");
                let script = format!("ulimit -n {limit} && exec \"$@\"");
                shell.args(["-c", &script, "sh"]).arg(program);
                shell
            }
            (None, None) => Command::new(program),
        };
        command.arg("server").arg(&self.properties);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        clear_environment(&mut command);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let child = command
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        self.child = Some(child);
        Ok(())
    }

    /// Starts the process and waits until the node lists itself in Metadata responses.
    pub fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_until_ready()
    }

    /// Waits until the node lists itself in Metadata responses; fails when its process ends first.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let address = self.address;
        let id = self.id;
        let log = self.log.clone();
        let child = self
            .child
            .as_mut()
            .with_context(|| format!("node {id} does not run"))?;
        let mut ended = None;
        until(DEADLINE, format!("node {id} is live"), || {
            ended = child.try_wait()?;
            if ended.is_some() {
                return Ok(true);
            }
            let live = KafkaConnection::open(address)?.live_brokers()?;
            ensure!(live.contains(&id), "it tells of {live:?}");
            Ok(true)
        })
        .with_context(|| format!("its log ends:\n{}", logs::tail(&log, 20)))?;
        if let Some(status) = ended {
            bail!(
                "node {id} ended with {status}; its log ends:\n{}",
                logs::tail(&log, 40)
            );
        }
        Ok(())
    }

    /// Kills the process with SIGKILL; it has ended when this returns.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.running()?;
        child.kill()?;
        child.wait()?;
        self.paused = false;
        Ok(())
    }

    /// Sends SIGTERM, and waits until the process has ended; fails unless it ended successfully.
    pub fn stop(&mut self) -> Result<()> {
        self.ask_to_stop()?;
        self.wait_until_stopped()
    }

    /// Sends SIGTERM.
    pub fn ask_to_stop(&self) -> Result<()> {
        signal(self.pid()?, Signal::TERM)
    }

    /// Waits until the process has ended by itself; fails unless it ended successfully.
    pub fn wait_until_stopped(&mut self) -> Result<()> {
        let status = self.wait_until_ended()?;
        // A JVM ends with 143 after SIGTERM.
        let well = status.success() || status.code() == Some(143) || status.signal() == Some(15);
        ensure!(well, "node {} ended with {status}", self.id);
        Ok(())
    }

    /// Waits until the process has ended by itself, and returns its status.
    pub fn wait_until_ended(&mut self) -> Result<ExitStatus> {
        let mut child = self.running()?;
        let ended = until(STOP_LIMIT, format!("node {} stops", self.id), || {
            Ok(child.try_wait()?.is_some())
        });
        if ended.is_err() {
            child.kill()?;
        }
        let status = child.wait()?;
        ended?;
        Ok(status)
    }

    /// Pauses the process with SIGSTOP: it keeps its sockets and does nothing.
    pub fn pause(&mut self) -> Result<()> {
        self.paused = true;
        let pid = self.pid()?;
        signal(pid, Signal::STOP)?;
        // On a busy machine the other threads run until one of them has received the signal.
        until(DEADLINE, format!("node {} is paused", self.id), || {
            proc::is_stopped(pid)
        })
    }

    /// Resumes the process with SIGCONT, after [`Node::pause`].
    pub fn resume(&mut self) -> Result<()> {
        self.paused = false;
        signal(self.pid()?, Signal::CONT)
    }

    /// Returns whether the process runs and is not paused.
    pub fn is_up(&self) -> bool {
        self.child.is_some() && !self.paused
    }

    /// Returns the process id.
    pub fn pid(&self) -> Result<u32> {
        let child = self
            .child
            .as_ref()
            .with_context(|| format!("node {} is down", self.id))?;
        Ok(child.id())
    }

    /// Connects to the node.
    pub fn connect(&self) -> Result<KafkaConnection> {
        KafkaConnection::open(self.address)
    }

    /// Returns the log so far.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(&self.log)?).into_owned())
    }

    pub(crate) fn create_log(&self) -> Result<()> {
        File::create(&self.log).context("create the log")?;
        Ok(())
    }

    fn running(&mut self) -> Result<Child> {
        self.child
            .take()
            .with_context(|| format!("node {} does not run", self.id))
    }
}

/// Removes the variables that would configure a node.
pub fn clear_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("KAFKA_") || text == "CLUSTER_ID" {
            command.env_remove(&name);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // SIGKILL also ends a paused process.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
