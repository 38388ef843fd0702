//! `make chaos`: faults of a seed on a cluster of real processes with clients, for so many minutes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use dohle_tests::chaos::run::run;

const USAGE: &str = "usage: chaos [MINUTES [SEED]]";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let minutes: f64 = match arguments.next() {
        Some(minutes) => minutes.parse().context(USAGE)?,
        None => 10.0,
    };
    let seed: u64 = match arguments.next() {
        Some(seed) => seed.parse().context(USAGE)?,
        None => SystemTime::now()
            .duration_since(UNIX_EPOCH)?
            .subsec_nanos()
            .into(),
    };
    println!("{minutes} minutes, SEED={seed}");
    let length = Duration::try_from_secs_f64(minutes * 60.0).context(USAGE)?;
    let report = run(seed, length).with_context(|| format!("SEED={seed}"))?;
    println!("{report}");
    if !report.is_clean() {
        bail!("SEED={seed} found faults");
    }
    Ok(())
}
