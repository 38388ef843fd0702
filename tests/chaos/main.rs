//! `make chaos`: faults of a seed on a cluster of real processes with clients, for so many minutes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use dohle_tests::chaos::calls::Injection;
use dohle_tests::chaos::run::run;
use dohle_tests::chaos::{namespaces, network};

const USAGE: &str = "usage: chaos [MINUTES [SEED]]";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments
        .next_if(|first| first == network::DATAGRAM)
        .is_some()
    {
        return network::send_datagram(&arguments.next().context(USAGE)?);
    }
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
    let length = Duration::try_from_secs_f64(minutes * 60.0).context(USAGE)?;
    let mut abilities = namespaces::enter()?;
    match Injection::missing() {
        None => abilities.changes_calls = true,
        Some(reason) => println!("left out: system calls that fail or are slow: {reason}"),
    }
    println!("{minutes} minutes, SEED={seed}");
    let report = run(seed, length, abilities).with_context(|| format!("SEED={seed}"))?;
    println!("{report}");
    if !report.is_clean() {
        bail!("SEED={seed} found faults");
    }
    Ok(())
}
