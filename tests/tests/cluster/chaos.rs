//! A short run of `make chaos`: clients, and nodes that die, hang, are restarted, lose their disks,
//! their links and their descriptors, as far as the machine allows.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};

/// How many minutes faults are added; the last one and the check come on top.
const LENGTH: &str = "0.33";

fn short(seed: u64) -> Result<()> {
    // The program runs again in namespaces of its own, which a test cannot.
    let mut chaos = Command::new(env!("CARGO_BIN_EXE_chaos"));
    let output = chaos.args([LENGTH, &seed.to_string()]).output()?;
    for bytes in [&output.stdout, &output.stderr] {
        println!("{}", String::from_utf8_lossy(bytes));
    }
    ensure!(output.status.success(), "{chaos:?}: {}", output.status);
    Ok(())
}

#[test]
fn nothing_is_lost_or_doubled_under_the_faults_of_a_fixed_seed() -> Result<()> {
    short(1)
}

#[test]
fn nothing_is_lost_or_doubled_under_the_faults_of_a_fresh_seed() -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    short(now.subsec_nanos().into())
}
