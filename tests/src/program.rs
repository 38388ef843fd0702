//! Runs other programs with a deadline, and captures their output.

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::wait::until;

/// A program to run.
#[derive(Debug)]
pub struct Program {
    command: Command,
    input: Vec<u8>,
    is_interactive: bool,
    limit: Duration,
}

/// The output of a program, and its exit code.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command line.
    pub command: String,
    /// The exit code; -1 after a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A running program.
#[derive(Debug)]
pub struct Running {
    command: String,
    child: Child,
    stdin: Option<ChildStdin>,
    deadline: Instant,
    lines: Receiver<String>,
    seen: Vec<String>,
    /// The rest of the output after the last complete line.
    torn: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

impl Program {
    /// Creates a program of this name, on the PATH or as a path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        // Children inherit that SIGINT is ignored from a shell that runs the tests in the
        // background.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT").arg(program);
        Self {
            command,
            input: Vec::new(),
            is_interactive: false,
            limit: Duration::from_secs(120),
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes an environment variable.
    pub fn without_env(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Sets the program's standard input.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Leaves the program's standard input open, for [`Running::send_line`].
    pub fn interactive(mut self) -> Self {
        self.is_interactive = true;
        self
    }

    /// Sets how long the program may run. After that it is killed, and the run fails.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Starts the program.
    pub fn start(mut self) -> Result<Running> {
        let command = format!("{:?}", self.command);
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {command}; `make compat-deps` brings the clients"))?;
        let mut stdin = child.stdin.take().context("no stdin")?;
        let stdin = if self.is_interactive {
            Some(stdin)
        } else {
            let input = self.input;
            // It is not an error when a program does not read its whole input.
            std::thread::spawn(move || stdin.write_all(&input).ok());
            None
        };
        let (sender, lines) = channel();
        let mut stdout = BufReader::new(child.stdout.take().context("no stdout")?);
        let torn = std::thread::spawn(move || {
            loop {
                let mut line = Vec::new();
                // A broken pipe counts as a closed one.
                let _ = stdout.read_until(b'\n', &mut line);
                let text = String::from_utf8_lossy(&line).into_owned();
                match text.strip_suffix('\n') {
                    Some(whole) if sender.send(whole.to_owned()).is_ok() => {}
                    Some(_) => return String::new(),
                    None => return text,
                }
            }
        });
        let mut stderr = child.stderr.take().context("no stderr")?;
        let stderr = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let deadline = Instant::now() + self.limit;
        Ok(Running {
            command,
            child,
            stdin,
            deadline,
            lines,
            seen: Vec::new(),
            torn: Some(torn),
            stderr: Some(stderr),
        })
    }

    /// Runs the program to its end.
    pub fn run(self) -> Result<Output> {
        self.start()?.finish()
    }
}

impl Running {
    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to the standard input of an interactive program.
    pub fn send_line(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("not an interactive program")?;
        writeln!(stdin, "{line}").with_context(|| format!("{} reads no more", self.command))
    }

    /// Waits until the program prints a line that `wanted` accepts, and returns it.
    ///
    /// Fails when the program closes its output, or its time is over first.
    pub fn wait_for_line(&mut self, wanted: impl Fn(&str) -> bool) -> Result<String> {
        loop {
            match self.next_line()? {
                Some(line) if wanted(&line) => return Ok(line),
                Some(_) => {}
                None => bail!(
                    "{} ended without the line; it printed {:?}",
                    self.command,
                    self.seen
                ),
            }
        }
    }

    /// Returns the complete lines that the program has printed so far. Does not wait.
    pub fn lines_so_far(&mut self) -> &[String] {
        self.seen.extend(self.lines.try_iter());
        &self.seen
    }

    /// Kills the program with SIGKILL, and waits until it has ended and its complete lines are
    /// read.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        while self.next_line()?.is_some() {}
        Ok(())
    }

    fn next_line(&mut self) -> Result<Option<String>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => {
                self.seen.push(line.clone());
                Ok(Some(line))
            }
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => {
                let _ = self.child.kill();
                let _ = self.child.wait();
                let stderr = self.stderr.take().map(|thread| thread.join());
                bail!("{} ran too long; stderr: {stderr:?}", self.command)
            }
        }
    }

    /// Waits until the program ends.
    pub fn finish(mut self) -> Result<Output> {
        self.stdin = None;
        while self.next_line()?.is_some() {}
        let left = self.deadline.saturating_duration_since(Instant::now());
        let child = &mut self.child;
        until(left, format!("{} ends", self.command), || {
            Ok(child.try_wait()?.is_some())
        })?;
        let status = self.child.wait()?;
        let stderr = self
            .stderr
            .take()
            .map(|thread| thread.join().unwrap_or_default());
        let torn = self
            .torn
            .take()
            .map(|thread| thread.join().unwrap_or_default());
        self.seen.extend(torn.filter(|text| !text.is_empty()));
        let mut stdout = self.seen.join("\n");
        if !self.seen.is_empty() {
            stdout.push('\n');
        }
        Ok(Output {
            command: std::mem::take(&mut self.command),
            code: status.code().unwrap_or(-1),
            stdout,
            stderr: stderr.unwrap_or_default(),
        })
    }

    /// Sends SIGTERM, like service managers.
    pub fn terminate(&self) -> Result<()> {
        crate::node::signal(self.child.id(), rustix::process::Signal::TERM)
    }

    /// Sends SIGINT, like Ctrl-C.
    pub fn interrupt(&self) -> Result<()> {
        crate::node::signal(self.child.id(), rustix::process::Signal::INT)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Output {
    /// Checks that the program succeeded, and printed nothing on standard error.
    pub fn clean(self) -> Result<String> {
        let stderr = self.stderr.trim();
        ensure!(
            self.code == 0 && stderr.is_empty(),
            "not a clean run: {self}"
        );
        Ok(self.stdout)
    }

    /// Checks that the program succeeded, whatever it printed on standard error.
    pub fn ok(self) -> Result<String> {
        ensure!(self.code == 0, "failed: {self}");
        Ok(self.stdout)
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            command,
            code,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "{command}\nexit code {code}\nstdout:\n{stdout}\nstderr:\n{stderr}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_is_no_line_of_a_program_that_was_killed() {
        let script = "printf 'one\ntwo\n3'; exec sleep 60";
        let mut running = Program::new("sh").args(["-c", script]).start().unwrap();
        running.wait_for_line(|line| line == "two").unwrap();
        running.kill().unwrap();
        assert_eq!(running.lines_so_far(), ["one", "two"]);
    }

    #[test]
    fn half_a_line_is_output_of_a_program_that_ends() {
        let output = Program::new("printf").arg("one\\ntwo").run().unwrap();
        assert_eq!(output.stdout, "one\ntwo\n");
    }
}
