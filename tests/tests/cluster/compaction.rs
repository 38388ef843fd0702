//! Compacted topics: the newest value of each key is kept on every replica, whatever happens.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dohle_tests::clients::{digest_in, java, kcat};
use dohle_tests::digest::Digest;
use dohle_tests::node::Node;
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, replicas, until};

use super::faults::allow_lost_connections;

const TOPIC: &str = "c";

/// The value of each key; `None` is deleted.
type State = BTreeMap<String, Option<String>>;

/// Offset, key and value; `None` is a tombstone.
type Record = (i64, String, Option<String>);

/// Updates of a few keys, which are the same in each run.
#[derive(Default)]
struct Updates {
    state: State,
    seed: u64,
}

impl Updates {
    fn noise(&mut self, length: usize) -> String {
        let mut text = String::with_capacity(length + 16);
        while text.len() < length {
            self.seed = self
                .seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let _ = write!(text, "{:016x}", self.seed ^ (self.seed >> 29));
        }
        text
    }

    /// Returns lines of `KEY TAB VALUE`: a number of updates for each key in turn.
    fn rounds(&mut self, prefix: &str, keys: usize, rounds: usize) -> String {
        let mut lines = String::new();
        for _ in 0..rounds {
            for key in 0..keys {
                let (key, value) = (format!("{prefix}{key:03}"), self.noise(1000));
                let _ = writeln!(lines, "{key}\t{value}");
                self.state.insert(key, Some(value));
            }
        }
        lines
    }

    fn delete(&mut self, key: &str) -> String {
        self.state.insert(key.to_owned(), None);
        format!("{key}\t\n")
    }
}

fn start(properties: &[(&str, &str)]) -> Result<Cluster> {
    let mut builder = Cluster::of(3).property("log.cleaner.backoff.ms", "200");
    for (name, value) in properties {
        builder = builder.property(name, value);
    }
    let cluster = builder.start()?;
    let configs = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "1048576"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "1000"),
        ("file.delete.delay.ms", "1000"),
        ("min.insync.replicas", "2"),
    ];
    cluster.create_topic(TOPIC, 1, 3, &configs)?;
    Ok(cluster)
}

/// Produces lines with kcat; a key without a value deletes.
fn produce(cluster: &Cluster, lines: &str, codec: &str) -> Result<()> {
    let file = cluster.scratch().join("updates");
    std::fs::write(&file, lines)?;
    let arguments = ["-P", "-t", TOPIC, "-K", "\t", "-Z", "-z", codec];
    kcat::kcat(&cluster.bootstrap(), &arguments)
        .args(["-X", "acks=all", "-X", "enable.idempotence=true", "-l"])
        .arg(&file)
        .run()?
        .clean()?;
    Ok(())
}

/// Returns the records that kcat reads: offset, key and value. The offsets must increase.
fn consume(cluster: &Cluster) -> Result<Vec<Record>> {
    let arguments = ["-C", "-t", TOPIC, "-o", "beginning", "-e", "-q"];
    let output = kcat::kcat(&cluster.bootstrap(), &arguments)
        .args(["-f", "%o\t%k\t%S\t%s\n"])
        .run()?
        .clean()?;
    let mut records: Vec<Record> = Vec::new();
    for line in output.lines() {
        let mut fields = line.splitn(4, '\t');
        let mut field = || {
            fields
                .next()
                .with_context(|| format!("kcat printed {line:?}"))
        };
        let (offset, key, size) = (field()?.parse()?, field()?.to_owned(), field()?.to_owned());
        let value = field()?.to_owned();
        let last = records.last().map_or(-1, |(offset, ..)| *offset);
        ensure!(offset > last, "offset {offset} after {last}");
        records.push((offset, key, (size != "-1").then_some(value)));
    }
    Ok(records)
}

fn newest(records: &[Record]) -> State {
    let entry = |it: &Record| (it.1.clone(), it.2.clone());
    records.iter().map(entry).collect()
}

fn folder(node: &Node) -> PathBuf {
    node.data.join(format!("{TOPIC}-0"))
}

fn names(node: &Node) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder(node))?;
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        Ok(entry?.file_name().to_string_lossy().into_owned())
    };
    entries.map(name).collect()
}

/// Returns the progress of compaction on a node, from Kafka's checkpoint file.
fn cleaned_to(node: &Node) -> Result<i64> {
    let text = std::fs::read_to_string(node.data.join("cleaner-offset-checkpoint"))?;
    let mut lines = text.lines();
    ensure!(lines.next() == Some("0"), "version of {text:?}");
    let prefix = format!("{TOPIC} 0 ");
    let entry = lines.find_map(|line| line.strip_prefix(&prefix));
    entry.context("no entry")?.parse().context("offset")
}

/// Returns the base offset of the active segment.
fn active_base(node: &Node) -> Result<i64> {
    let logs = replicas::files(&folder(node), "log")?;
    let last = logs.last().context("no segment")?;
    let stem = last.file_stem().unwrap_or_default().to_string_lossy();
    Ok(stem.parse()?)
}

/// Waits until nothing is left to compact on any node.
fn wait_compacted(cluster: &Cluster) -> Result<()> {
    for node in cluster.nodes() {
        until(
            DEADLINE,
            format!("node {} has compacted all", node.id),
            || {
                let (cleaned, base) = (cleaned_to(node)?, active_base(node)?);
                ensure!(
                    cleaned == base,
                    "cleaned to {cleaned}, the active segment is {base}"
                );
                Ok(base > 0)
            },
        )?;
    }
    Ok(())
}

/// Reads every file of a node's replica with Kafka's tool, and returns the records.
fn dump(node: &Node) -> Result<Vec<Record>> {
    let folder = folder(node);
    let joined = |extensions: &[&str]| -> Result<String> {
        let mut files = Vec::new();
        for extension in extensions {
            files.extend(replicas::files(&folder, extension)?);
        }
        let names: Vec<_> = files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        Ok(names.join(","))
    };
    let run = |arguments: &[&str], files: &str| {
        let tool = java::tool("DumpLogSegments").args(arguments);
        // The tool reports the gaps that compaction leaves on its standard error.
        tool.args(["--files", files])
            .limit(Duration::from_secs(120))
            .run()?
            .ok()
    };
    let indexes = joined(&["index", "timeindex"])?;
    for output in [
        run(&["--index-sanity-check"], &indexes)?,
        run(&["--verify-index-only"], &indexes)?,
        run(&[], &joined(&["index"])?)?,
    ] {
        for wrong in ["ismatch", "orrupt", "nvalid", "out of order", "not found"] {
            ensure!(!output.contains(wrong), "{wrong}: {output}");
        }
    }
    let output = run(
        &["--deep-iteration", "--print-data-log"],
        &joined(&["log"])?,
    )?;
    let mut records = Vec::new();
    for line in output.lines() {
        ensure!(!line.contains("isvalid: false"), "{line}");
        let Some(rest) = line.strip_prefix("| offset: ") else {
            continue;
        };
        let word = |name: &str| {
            let after = rest.split_once(&format!(" {name}: "))?.1;
            after.split(' ').next().map(str::to_owned)
        };
        let offset = rest.split(' ').next().unwrap_or_default().parse()?;
        let key = word("key").with_context(|| line.to_owned())?;
        let value = word("payload").filter(|value| value != "null");
        records.push((offset, key, value));
    }
    Ok(records)
}

#[test]
fn every_replica_keeps_the_newest_value_of_each_key_and_forgets_deleted_ones() -> Result<()> {
    let mut cluster = start(&[])?;
    let mut updates = Updates::default();
    let lines = updates.rounds("k", 40, 100);
    produce(&cluster, &lines, "none")?;
    let mut lines: String = (0..10)
        .map(|key| updates.delete(&format!("k{key:03}")))
        .collect();
    lines += &updates.rounds("l", 20, 100);
    produce(&cluster, &lines, "lz4")?;
    wait_compacted(&cluster)?;
    let first = consume(&cluster)?;
    assert!(
        first.len() < 3000,
        "{} of 6010 records are left",
        first.len()
    );
    assert_eq!(newest(&first), updates.state, "tombstones are still told");

    // The tombstones' retention is over by now: the next cleaning removes them.
    until(DEADLINE, "tombstones are gone", || {
        let lines = updates.rounds("m", 10, 120);
        produce(&cluster, &lines, "zstd")?;
        wait_compacted(&cluster)?;
        Ok(consume(&cluster)?
            .iter()
            .all(|(_, _, value)| value.is_some()))
    })?;
    let live: State = updates
        .state
        .clone()
        .into_iter()
        .filter(|it| it.1.is_some())
        .collect();
    let records = consume(&cluster)?;
    assert_eq!(newest(&records), live);
    let kept: Vec<_> = first
        .iter()
        .filter(|it| live.get(&it.1) == Some(&it.2))
        .collect();
    assert!(
        kept.iter().all(|it| records.contains(it)),
        "records keep their offsets"
    );

    let mut expected = Digest::default();
    for (_, key, value) in &records {
        expected.add(
            key.as_bytes(),
            value.as_deref().unwrap_or_default().as_bytes(),
        );
    }
    let java = java::consume(&cluster.bootstrap(), TOPIC).run()?.clean()?;
    assert_eq!(digest_in(&java), expected.to_string());
    cluster.stop()?;
    for node in cluster.nodes() {
        let on_disk = newest(&dump(node)?);
        let on_disk: State = on_disk.into_iter().filter(|it| it.1.is_some()).collect();
        assert!(on_disk == live, "node {} differs", node.id);
    }
    cluster.start()?;
    assert_eq!(newest(&consume(&cluster)?), live);
    Ok(())
}

#[test]
fn a_node_that_is_killed_while_it_compacts_comes_back_whole() -> Result<()> {
    // Slow enough that a cleaning takes seconds, so that the node is killed during one.
    let mut cluster = start(&[("log.cleaner.io.max.bytes.per.second", "4000000")])?;
    allow_lost_connections(&mut cluster);
    let mut updates = Updates::default();
    for (round, mark) in [".log.cleaned", ".log.deleted", ".log.cleaned"]
        .into_iter()
        .enumerate()
    {
        let lines = updates.rounds("k", 60, 50) + &updates.delete("k007");
        produce(&cluster, &lines, "none")?;
        let victim = i32::try_from(round)? + 1;
        let node = cluster.broker(victim);
        until(DEADLINE, format!("{mark} on node {victim}"), || {
            Ok(names(node)?.iter().any(|name| name.ends_with(mark)))
        })?;
        node.kill()?;
        node.start()?;
        cluster.wait_in_sync(TOPIC)?;
        let read = newest(&consume(&cluster)?);
        for (key, value) in &updates.state {
            let found = read.get(key).cloned().flatten();
            assert!(&found == value, "{key} after round {round}");
        }
    }
    wait_compacted(&cluster)?;
    cluster.stop()?;
    let live: State = updates
        .state
        .clone()
        .into_iter()
        .filter(|it| it.1.is_some())
        .collect();
    for node in cluster.nodes() {
        let left = names(node)?;
        let of_a_swap = |name: &&String| name.ends_with(".swap") || name.ends_with(".cleaned");
        assert_eq!(
            left.iter().find(of_a_swap),
            None,
            "node {}: {left:?}",
            node.id
        );
        let records = dump(node)?;
        assert!(
            records.len() < 4000,
            "{} of 9003 records are left",
            records.len()
        );
        let on_disk: State = newest(&records)
            .into_iter()
            .filter(|it| it.1.is_some())
            .collect();
        assert!(on_disk == live, "node {} differs", node.id);
    }
    Ok(())
}

#[test]
fn a_replica_that_is_made_anew_catches_up_with_a_compacted_log() -> Result<()> {
    let mut cluster = start(&[])?;
    allow_lost_connections(&mut cluster);
    // The warning about an empty directory is expected here.
    let mut updates = Updates::default();
    let lines = updates.rounds("k", 30, 100);
    produce(&cluster, &lines, "lz4")?;
    produce(&cluster, &updates.rounds("k", 30, 70), "none")?;
    wait_compacted(&cluster)?;
    let victim = cluster.leader(TOPIC, 0)? % 3 + 1;
    cluster.broker(victim).stop()?;
    std::fs::remove_dir_all(folder(cluster.broker(victim)))?;
    produce(&cluster, &updates.rounds("k", 30, 40), "none")?;
    cluster.broker(victim).start()?;
    cluster.wait_in_sync(TOPIC)?;
    cluster.stop()?;
    for node in cluster.nodes() {
        assert!(
            newest(&dump(node)?) == updates.state,
            "node {} differs",
            node.id
        );
    }
    Ok(())
}

#[test]
fn compaction_that_is_switched_on_at_run_time_looks_at_what_was_written_before() -> Result<()> {
    let mut cluster = start(&[("log.cleaner.min.compaction.lag.ms", "604800000")])?;
    let mut updates = Updates::default();
    produce(&cluster, &updates.rounds("k", 20, 150), "none")?;
    assert_eq!(consume(&cluster)?.len(), 3000);
    java::tool("ConfigCommand")
        .args(["--bootstrap-server", &cluster.bootstrap(), "--alter"])
        .args(["--entity-type", "brokers", "--entity-default"])
        .args(["--add-config", "log.cleaner.min.compaction.lag.ms=0"])
        .run()?
        .clean()?;
    wait_compacted(&cluster)?;
    let records = consume(&cluster)?;
    assert!(
        records.len() < 1500,
        "{} of 3000 records are left",
        records.len()
    );
    assert_eq!(newest(&records), updates.state);
    cluster.stop()?;
    cluster.start()?;
    assert_eq!(consume(&cluster)?, records);
    Ok(())
}
