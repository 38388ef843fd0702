//! Lets system calls of a running node fail or take long: strace injects the results.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::plan::Calls;
use crate::node::signal;
use crate::until;
use crate::wait::DEADLINE;

/// strace with a process, until it is dropped.
#[derive(Debug)]
pub struct Injection(Child);

impl Injection {
    /// Attaches to a process. The calls that it makes from then on have the results of `calls`.
    pub fn start(pid: u32, calls: Calls) -> Result<Self> {
        let inject = match calls {
            Calls::FlushesFail => "inject=fsync,fdatasync:error=EIO",
            // Sockets use other calls.
            Calls::WritesFail => "inject=pwrite64,pwritev,pwritev2:error=EIO",
            Calls::FlushesAreSlow => "inject=fsync,fdatasync:delay_enter=300ms",
        };
        Self::attach(pid, inject)
    }

    fn attach(pid: u32, inject: &str) -> Result<Self> {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", inject, "-p"]);
        let child = strace
            .arg(pid.to_string())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut this = Self(child.context("start strace")?);
        let status = format!("/proc/{pid}/status");
        let tracer = format!("TracerPid:\t{}", this.0.id());
        until(DEADLINE, format!("strace is attached to {pid}"), || {
            // The process may end because of what was injected.
            let ended = this.0.try_wait()?.is_some();
            let status = std::fs::read_to_string(&status).unwrap_or_default();
            Ok(ended || status.contains(&tracer))
        })?;
        Ok(this)
    }

    /// Returns why no call can be changed on this machine, if none can.
    #[must_use]
    pub fn missing() -> Option<String> {
        let attempt = || {
            let mut command = Command::new("cat");
            let mut process = command.stdin(Stdio::piped()).spawn()?;
            let attached = Self::attach(process.id(), "inject=fsync:error=EIO");
            let refused = attached.map(|mut strace| strace.0.try_wait());
            process.kill()?;
            process.wait()?;
            ensure!(refused??.is_none(), "strace may not attach to a process");
            Ok(())
        };
        attempt()
            .err()
            .map(|error: anyhow::Error| format!("{error:#}"))
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        // strace detaches when it is asked to end.
        let _ = signal(self.0.id(), Signal::TERM);
        let ended = until(Duration::from_secs(10), "strace ends", || {
            Ok(self.0.try_wait()?.is_some())
        });
        if ended.is_err() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
