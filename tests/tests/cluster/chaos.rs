//! A short run of `make chaos`: producers and readers, and nodes that die, hang, are restarted and
//! lose their disks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use dohle_tests::chaos::run::run;

/// How long faults are added; the last one and the check come on top.
const LENGTH: Duration = Duration::from_secs(20);

fn short(seed: u64) -> Result<()> {
    println!("SEED={seed}");
    let report = run(seed, LENGTH)?;
    println!("{report}");
    ensure!(report.is_clean(), "SEED={seed}: {report}");
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
