//! Reads the memory and CPU time of a process from Linux, and the CPU time that was withheld from
//! the machine.

use std::time::Duration;

use anyhow::{Context, Result};

/// Returns the resident memory of a process, in bytes.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmRSS")
}

/// Returns the largest resident memory that a process has had, in bytes.
pub fn peak_resident_bytes(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmHWM")
}

fn status_bytes(pid: u32, name: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .with_context(|| format!("{path} has no {name}"))?;
    let kib: u64 = value.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

/// Returns the CPU time that a process has used since its start, including the kernel's on its
/// behalf.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    // The second field is the program's name in brackets, which may contain spaces.
    let (_, fields) = stat.rsplit_once(')').context("no program name")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    Ok(of_ticks(
        fields[11].parse::<u64>()? + fields[12].parse::<u64>()?,
    ))
}

/// Returns the CPU time that this virtual machine was ready to use since its start, and that its
/// host gave to others: `steal` in proc_stat(5), of all CPUs.
pub fn stolen_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let stolen = stat
        .lines()
        .next()
        .and_then(|all| all.split_whitespace().nth(8));
    let ticks = stolen.context("/proc/stat tells no stolen time")?.parse()?;
    Ok(of_ticks(ticks))
}

fn of_ticks(ticks: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second();
    Duration::from_secs_f64(ticks as f64 / per_second as f64)
}

/// Returns whether every thread of a process is stopped.
pub fn is_stopped(pid: u32) -> Result<bool> {
    let tasks = format!("/proc/{pid}/task");
    for task in std::fs::read_dir(&tasks).with_context(|| format!("list {tasks}"))? {
        let path = task?.path().join("stat");
        let stat = std::fs::read_to_string(&path)?;
        let (_, fields) = stat.rsplit_once(')').context("no program name")?;
        if !fields.trim_start().starts_with('T') {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns whether a process exists and is not a zombie.
pub fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| {
            stat.rsplit_once(')')
                .map(|(_, rest)| !rest.trim().starts_with('Z'))
        })
        .unwrap_or(false)
}
