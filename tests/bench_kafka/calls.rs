//! Counts the system calls of processes with `perf stat`, which Linux allows to root.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use dohle_tests::node::signal;
use rustix::process::Signal;

const EVENT: &str = "raw_syscalls:sys_enter";

/// A running count. It begins some milliseconds after its creation.
#[derive(Debug)]
pub struct Calls(Child);

impl Calls {
    /// Begins to count the calls of these processes, new threads included.
    pub fn of(pids: &[u32]) -> Result<Self> {
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let mut command = Command::new("perf");
        command.args(["stat", "-x", ",", "-e", EVENT, "-p", &pids.join(",")]);
        let child = command.stderr(Stdio::piped()).spawn();
        Ok(Self(child.context("start perf, which --calls needs")?))
    }

    /// Ends the count and returns it.
    pub fn count(self) -> Result<u64> {
        signal(self.0.id(), Signal::INT)?;
        let output = self.0.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        let count = counted(&text);
        ensure!(count.is_some(), "perf counted no calls: {text}");
        Ok(count.unwrap_or_default())
    }
}

/// Returns the count in the output of `perf stat -x ,`.
fn counted(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains(EVENT))?;
    line.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_the_first_field_of_the_line_with_the_event() {
        let text = "# a comment\n1234,,raw_syscalls:sys_enter,754535,100.00,,\n";
        assert_eq!(counted(text), Some(1234));
        let none = "<not counted>,,raw_syscalls:sys_enter,0,0.00,,\n";
        assert_eq!(counted(none), None);
        assert_eq!(counted(""), None);
    }
}
