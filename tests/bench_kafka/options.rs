//! The command line.
//!
//! Pure.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::plan::Side;
use crate::system::Kind;

/// How long the parts of a run take, and what is counted meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// The shortest warm-up of a system that compiles while it runs.
    pub warm_up: Duration,
    /// The shortest warm-up of native code.
    pub native_warm_up: Duration,
    /// Bytes that a run at full speed produces.
    pub bytes: u64,
    /// How long a run at a fixed rate takes.
    pub paced: Duration,
    /// How often a leader is killed.
    pub deaths: usize,
    /// How long the idle cluster is watched.
    pub idle: Duration,
    /// How long the soak takes.
    pub soak: Duration,
    /// The bytes of the log that a cold start finds.
    pub log: u64,
    /// Whether the system calls of the servers are counted.
    pub counts_calls: bool,
    /// The partitions that are created after the first 1,000.
    pub partitions: i32,
}

const CORE: Lengths = Lengths {
    warm_up: Duration::from_secs(60),
    native_warm_up: Duration::from_secs(8),
    bytes: 800_000_000,
    paced: Duration::from_secs(10),
    deaths: 3,
    idle: Duration::from_secs(10),
    soak: Duration::from_secs(600),
    log: 10_000_000_000,
    counts_calls: false,
    partitions: 9_000,
};
const QUICK: Lengths = Lengths {
    warm_up: Duration::from_secs(20),
    native_warm_up: Duration::from_secs(6),
    bytes: 400_000_000,
    paced: Duration::from_secs(4),
    deaths: 1,
    idle: Duration::from_secs(5),
    soak: Duration::from_secs(60),
    log: 2_000_000_000,
    counts_calls: false,
    partitions: 2_000,
};

/// What is measured, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How often each side is measured.
    pub rounds: usize,
    /// The sides.
    pub sides: Vec<Side>,
    /// The lengths of the runs.
    pub lengths: Lengths,
    /// Whether the long runs are made, too.
    pub is_full: bool,
    /// Texts, separated by `|`; the names of loads have to contain one of them.
    pub only: String,
    /// The seed of the order and of the intervals; `None` for a new one.
    pub seed: Option<u64>,
    /// The system that Dohle is compared with.
    pub other: Kind,
    /// Its name.
    pub name: String,
    /// The folder for the report.
    pub output: PathBuf,
}

impl Options {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            rounds: 5,
            sides: Side::ALL.to_vec(),
            lengths: CORE,
            is_full: false,
            only: String::new(),
            seed: None,
            other: Kind::Kafka,
            name: "Apache Kafka".to_owned(),
            output: PathBuf::from("target/bench-kafka"),
        };
        let mut counts_calls = false;
        let (mut bootstrap, mut pids, mut rounds) = (None, Vec::new(), None);
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            match flag.as_str() {
                "--quick" => {
                    options.lengths = QUICK;
                    options.rounds = 1;
                    continue;
                }
                "--calls" => {
                    counts_calls = true;
                    continue;
                }
                "--full" => {
                    options.is_full = true;
                    continue;
                }
                _ => {}
            }
            let value = arguments
                .next()
                .with_context(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--rounds" => rounds = Some(value.parse().context("--rounds")?),
                "--sides" => options.sides = sides(&value)?,
                "--only" => options.only = value,
                "--seed" => options.seed = Some(value.parse().context("--seed")?),
                "--name" => options.name = value,
                "--output" => options.output = value.into(),
                "--bootstrap" => bootstrap = Some(value),
                "--pids" => {
                    let parsed = value.split(',').map(str::parse).collect::<Result<_, _>>();
                    pids = parsed.context("--pids")?;
                }
                _ => bail!(
                    "unknown option {flag}; there are --quick, --full, --calls, --rounds N, \
                     --sides dohle,control,other,floor, --only TEXT|TEXT…, --seed N, --name NAME, \
                     --output FOLDER, --bootstrap HOST:PORT,… and --pids PID,…"
                ),
            }
        }
        options.lengths.counts_calls = counts_calls;
        options.rounds = rounds.unwrap_or(options.rounds);
        ensure!(options.rounds > 0, "--rounds is at least 1");
        match bootstrap {
            Some(bootstrap) => options.other = Kind::Running { bootstrap, pids },
            None => ensure!(pids.is_empty(), "--pids needs --bootstrap"),
        }
        Ok(options)
    }

    /// Returns whether a load or another part of a run is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.only.split('|').any(|text| name.contains(text))
    }

    /// Returns how long a side is warmed up at least.
    pub fn warm_up(&self, side: Side) -> Duration {
        match side {
            Side::Other => self.lengths.warm_up,
            Side::Dohle | Side::Control => self.lengths.native_warm_up,
            Side::Floor => self.lengths.native_warm_up / 2,
        }
    }
}

fn sides(text: &str) -> Result<Vec<Side>> {
    let side = |name: &str| {
        let named = |side: &&Side| format!("{side:?}").eq_ignore_ascii_case(name);
        let found = Side::ALL.iter().find(named).copied();
        found.with_context(|| format!("--sides: {name} is not dohle, control, other or floor"))
    };
    text.split(',').map(side).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options> {
        Options::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_quick_run_has_one_round_unless_more_are_asked_for() {
        let default = parse("").unwrap();
        assert_eq!((default.rounds, default.lengths), (5, CORE));
        let quick = parse("--quick").unwrap();
        assert_eq!((quick.rounds, quick.lengths), (1, QUICK));
        let more = parse("--calls --rounds 3 --quick").unwrap();
        assert!(more.rounds == 3 && more.lengths.counts_calls);
        assert!(parse("--rounds 0").is_err());
    }

    #[test]
    fn another_server_is_named_by_its_address() {
        let options = parse("--bootstrap h:1,h:2 --pids 4,5 --name Other").unwrap();
        let other = Kind::Running {
            bootstrap: "h:1,h:2".to_owned(),
            pids: vec![4, 5],
        };
        assert_eq!((options.other, options.name.as_str()), (other, "Other"));
        assert!(parse("--pids 4").is_err());
        assert!(parse("--bootstrap").is_err());
        assert!(parse("--unknown x").is_err());
    }

    #[test]
    fn some_sides_and_some_loads_can_be_chosen() {
        let options = parse("--sides dohle,floor --only lz4|SIGKILL").unwrap();
        assert_eq!(options.sides, [Side::Dohle, Side::Floor]);
        assert!(options.wants("batches of lz4") && options.wants("SIGKILL of a leader"));
        assert!(!options.wants("batches of zstd"));
        assert!(parse("").unwrap().wants("batches of zstd"));
        assert!(parse("--sides nobody").is_err());
        assert!(options.warm_up(Side::Other) > options.warm_up(Side::Dohle));
    }
}
