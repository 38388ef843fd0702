//! `make bench`: measures three nodes on this machine with franz-go as the client.
//!
//! Three nodes, replication factor 3, 6 partitions, acks=all, min.insync.replicas=2, values of
//! 1 KiB. It starts a cluster of its own, or, with `--bootstrap HOST:PORT,… --pids PID,…`, measures
//! one that runs already. `--client "--ca FILE --mechanism M …"` are flags of the client, for
//! listeners that authenticate. `docs/performance.md` explains the figures.

use std::fmt::{self, Display, Formatter};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use dohle_tests::clients::franz_go::franz_go;
use dohle_tests::program::Program;
use dohle_tests::{Cluster, proc};

struct Options {
    bytes: u64,
    paced: String,
    /// How long to open connections; `None` to measure the throughput and latencies.
    connections: Option<String>,
    other: Option<Target>,
}

/// The target of the measurement: the addresses for clients, and the servers' processes.
struct Target {
    bootstrap: String,
    pids: Vec<u32>,
    /// Flags of the client.
    client: Vec<String>,
}

impl Target {
    /// Returns a subcommand of the client.
    fn client(&self, command: &str) -> Program {
        franz_go(command, &self.bootstrap).args(&self.client)
    }
}

fn main() -> Result<()> {
    let options = options()?;
    match options.other {
        Some(ref target) => match &options.connections {
            Some(time) => connections(target, time),
            None => measure(target, &options),
        },
        None => {
            let mut cluster = Cluster::of(3).prepare()?;
            let started = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
            for node in cluster.nodes_mut() {
                node.launch()?;
            }
            let bootstrap = cluster.bootstrap();
            let first = franz_go("first-ack", &bootstrap)
                .args(["--topic", "first", "--since-ms", &started.to_string()])
                .run()?
                .ok()?;
            println!("start to first acknowledged record: {}", first.trim());
            let pids = cluster
                .nodes()
                .iter()
                .map(|node| node.pid())
                .collect::<Result<_>>()?;
            let target = Target {
                bootstrap,
                pids,
                client: Vec::new(),
            };
            measure(&target, &options)?;
            cluster.stop()
        }
    }
}

fn options() -> Result<Options> {
    let mut options = Options {
        bytes: 2_000_000_000,
        paced: "20s".to_owned(),
        connections: None,
        other: None,
    };
    let (mut bootstrap, mut pids, mut client) = (None, None, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args
            .next()
            .with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--bytes" => options.bytes = value.parse()?,
            "--paced-for" => options.paced = value,
            "--bootstrap" => bootstrap = Some(value),
            "--pids" => pids = Some(value.split(',').map(str::parse).collect::<Result<_, _>>()?),
            "--client" => client = value.split_whitespace().map(str::to_owned).collect(),
            "--connections-for" => options.connections = Some(value),
            _ => bail!(
                "unknown flag {flag}: --bytes N, --paced-for 20s, --bootstrap, --pids, \
                 --client, --connections-for 10s"
            ),
        }
    }
    options.other = match (bootstrap, pids) {
        (Some(bootstrap), Some(pids)) => Some(Target {
            bootstrap,
            pids,
            client,
        }),
        (None, None) if client.is_empty() && options.connections.is_none() => None,
        (None, None) => bail!("--client and --connections-for need --bootstrap and --pids"),
        _ => bail!("--bootstrap and --pids go together"),
    };
    Ok(options)
}

fn connections(target: &Target, time: &str) -> Result<()> {
    let before = Used::until_now(target)?;
    let output = target.client("connections").args(["--for", time]);
    let output = output.limit(Duration::from_secs(900)).run()?.ok()?;
    let used = Used::since(&before, target)?;
    println!("connections: {}", output.trim());
    println!("CPU of the servers meanwhile: {used}");
    Ok(())
}

fn measure(target: &Target, options: &Options) -> Result<()> {
    let resident = || memory(target, proc::resident_bytes);
    println!("resident memory, idle: {}", resident()?);
    let limit = Duration::from_secs(900);
    let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let topic = format!("bench-{run}");
    target
        .client("bench")
        .args(["--topic", &topic, "--bytes", "100000000"])
        .limit(limit)
        .run()?
        .ok()
        .context("warm up")?;
    let before = Used::until_now(target)?;
    let output = target
        .client("bench")
        .args(["--topic", &topic, "--bytes", &options.bytes.to_string()])
        .limit(limit)
        .run()?
        .ok()?;
    let used = Used::since(&before, target)?;
    println!("throughput: {}", output.trim());
    println!("CPU of the servers: {}, {used}", used.per_gigabyte(options));
    println!("resident memory, right after that: {}", resident()?);
    // Otherwise the kernel, which is still writing those bytes to the disk, delays the next ones.
    rustix::fs::sync();
    let before = Used::until_now(target)?;
    let output = target
        .client("bench")
        .args(["--topic", &topic, "--bytes", &options.bytes.to_string()])
        .args(["--transaction", "100ms"])
        .limit(limit)
        .run()?
        .ok()?;
    let used = Used::since(&before, target)?;
    println!("throughput in transactions of 100 ms: {}", output.trim());
    println!("CPU of the servers: {}, {used}", used.per_gigabyte(options));
    rustix::fs::sync();
    let before = Used::until_now(target)?;
    let output = target
        .client("paced")
        .args(["--topic", &topic, "--for", &options.paced])
        .limit(limit)
        .run()?
        .ok()?;
    println!("produce latency at 5 MB/s, no linger: {}", output.trim());
    let used = Used::since(&before, target)?;
    println!("CPU of the servers meanwhile: {used}");
    println!("resident memory, in the end: {}", resident()?);
    let most = memory(target, proc::peak_resident_bytes)?;
    println!("resident memory, at most: {most}");
    Ok(())
}

fn memory(target: &Target, bytes: fn(u32) -> Result<u64>) -> Result<String> {
    let nodes = target.pids.iter();
    let nodes = nodes.map(|pid| Ok(format!("{:.1} MB", bytes(*pid)? as f64 / 1e6)));
    Ok(nodes.collect::<Result<Vec<_>>>()?.join(", "))
}

/// The CPU time of the servers, and the time that the host of this virtual machine withheld.
struct Used {
    servers: Duration,
    stolen: Duration,
}

impl Used {
    fn until_now(target: &Target) -> Result<Self> {
        let servers = target.pids.iter().map(|pid| proc::cpu_time(*pid));
        Ok(Self {
            servers: servers.sum::<Result<_>>()?,
            stolen: proc::stolen_time()?,
        })
    }

    fn since(before: &Self, target: &Target) -> Result<Self> {
        let now = Self::until_now(target)?;
        Ok(Self {
            servers: now.servers - before.servers,
            stolen: now.stolen - before.stolen,
        })
    }

    fn per_gigabyte(&self, options: &Options) -> String {
        let each = self.servers.as_secs_f64() / (options.bytes as f64 / 1e9);
        format!("{each:.2} s/GB")
    }
}

impl Display for Used {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [servers, stolen] = [self.servers, self.stolen].map(|time| time.as_secs_f64());
        write!(
            f,
            "{servers:.1} s; {stolen:.1} s stolen by the machine's host"
        )
    }
}
