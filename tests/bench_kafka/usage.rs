//! What a system's processes use of the machine, from Linux's `/proc`.

use std::time::Duration;

use anyhow::{Context, Result};
use dohle_tests::proc;

/// What processes have used since their start, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Context switches, voluntary and not, of all threads that still exist.
    pub switches: u64,
    /// Calls of read, write and their relatives: `syscr` and `syscw` of proc_pid_io(5). Calls such
    /// as recvfrom, sendto and epoll_wait are not among them.
    pub calls: u64,
    /// Bytes that the disk has to write: `write_bytes` of proc_pid_io(5).
    pub disk: u64,
}

impl Usage {
    /// Returns what these processes have used so far.
    pub fn of(pids: &[u32]) -> Result<Self> {
        let mut all = Self::default();
        for pid in pids {
            all.cpu += proc::cpu_time(*pid)?;
            all.switches += switches(*pid)?;
            let path = format!("/proc/{pid}/io");
            let io = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
            let field =
                |name: &str| number_after(&io, name).with_context(|| format!("{path}: {name}"));
            all.calls += field("syscr:")? + field("syscw:")?;
            all.disk += field("write_bytes:")?;
        }
        Ok(all)
    }

    /// Returns what was used since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            switches: self.switches.saturating_sub(before.switches),
            calls: self.calls.saturating_sub(before.calls),
            disk: self.disk.saturating_sub(before.disk),
        }
    }
}

fn switches(pid: u32) -> Result<u64> {
    let tasks = format!("/proc/{pid}/task");
    let mut all = 0;
    for task in std::fs::read_dir(&tasks).with_context(|| format!("list {tasks}"))? {
        // A thread may end after it was listed.
        let Ok(status) = std::fs::read_to_string(task?.path().join("status")) else {
            continue;
        };
        all += switches_in(&status);
    }
    Ok(all)
}

fn switches_in(status: &str) -> u64 {
    ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"]
        .iter()
        .filter_map(|name| number_after(status, name))
        .sum()
}

/// Returns the number in the line that begins with exactly this name.
fn number_after(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_belongs_to_the_line_with_exactly_its_name() {
        let io = "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\n\
                  cancelled_write_bytes: 7\n";
        assert_eq!(number_after(io, "write_bytes:"), Some(6));
        assert_eq!(number_after(io, "syscw:"), Some(4));
        assert_eq!(number_after(io, "bytes:"), None);
    }

    #[test]
    fn switches_are_the_voluntary_ones_and_the_others() {
        let status = "nonvoluntary_ctxt_switches:\t70\nvoluntary_ctxt_switches:\t5\n";
        assert_eq!(switches_in(status), 75);
    }

    #[test]
    fn what_was_used_before_does_not_count() {
        let usage = |seconds, number| Usage {
            cpu: Duration::from_secs(seconds),
            switches: number,
            calls: number * 10,
            disk: number * 100,
        };
        assert_eq!(usage(7, 9).since(usage(4, 2)), usage(3, 7));
    }

    #[test]
    fn a_process_that_writes_uses_calls() {
        let pids = [std::process::id()];
        let before = Usage::of(&pids).unwrap();
        let file = tempfile::tempfile().unwrap();
        for _ in 0..1_000 {
            std::io::Write::write_all(&mut &file, b"x").unwrap();
        }
        let used = Usage::of(&pids).unwrap().since(before);
        assert!(used.calls >= 1_000, "{used:?}");
    }
}
