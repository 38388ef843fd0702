//! Compares the files of replicas on disk, and reads them with Kafka's own dump tool.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::clients::java;
use crate::cluster::Cluster;

/// Returns the files with this extension in a partition's folder, in the order of their names.
pub fn files(partition: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(partition).with_context(|| partition.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Returns the folders of a topic's partitions on one node.
pub fn partitions(data: &Path, topic: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(data)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = name
            .strip_prefix(topic)
            .and_then(|rest| rest.strip_prefix('-'));
        if number.is_some_and(|number| number.parse::<u32>().is_ok()) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Compares the replicas of a topic byte by byte. Returns the bytes of one replica of each
/// partition.
///
/// Replicas may begin segments at different offsets, so the concatenated segments are compared.
pub fn assert_identical(cluster: &Cluster, topic: &str) -> Result<u64> {
    let mut replicas: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for node in cluster.nodes() {
        let mut found = partitions(&node.data, topic)?;
        // Some stories give their nodes a second log directory.
        let second = node.data.with_file_name("data2");
        if second.exists() {
            found.extend(partitions(&second, topic)?);
        }
        for partition in found {
            let name = partition
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            replicas.entry(name).or_default().push(partition);
        }
    }
    ensure!(!replicas.is_empty(), "no replica of {topic} on disk");
    let mut total = 0;
    for (name, folders) in &replicas {
        ensure!(folders.len() > 1, "{name} has one replica only");
        let (first, others) = folders.split_first().context("no replica")?;
        for other in others {
            let length = compare(first, other).with_context(|| format!("compare {name}"))?;
            if Some(other) == others.first() {
                total += length;
            }
        }
    }
    Ok(total)
}

fn segments(folder: &Path) -> Result<Box<dyn Read>> {
    let mut all: Box<dyn Read> = Box::new(std::io::empty());
    for file in files(folder, "log")? {
        all = Box::new(all.chain(File::open(file)?));
    }
    Ok(all)
}

fn compare(left: &Path, right: &Path) -> Result<u64> {
    let mut readers = [left, right]
        .map(|folder| Ok(BufReader::with_capacity(1 << 20, segments(folder)?)))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let mut blocks = [vec![0; 1 << 20], vec![0; 1 << 20]];
    let mut at = 0u64;
    loop {
        let mut lengths = [0, 0];
        for ((reader, block), length) in readers.iter_mut().zip(&mut blocks).zip(&mut lengths) {
            *length = fill(reader, block)?;
        }
        let [l, r] = lengths;
        let differs = (0..l.min(r)).find(|i| blocks[0][*i] != blocks[1][*i]);
        if let Some(offset) = differs.or((l != r).then_some(l.min(r))) {
            let at = at + offset as u64;
            bail!(
                "{} and {} differ at byte {at}",
                left.display(),
                right.display()
            );
        }
        at += l as u64;
        if l == 0 {
            return Ok(at);
        }
    }
}

fn fill(reader: &mut impl Read, block: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match reader.read(&mut block[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// Reads every segment and every index of every replica of a topic with Kafka's DumpLogSegments,
/// and returns the number of records over all replicas.
///
/// The cluster must be stopped: the indexes of a segment that is written to are not complete.
pub fn assert_dumpable(cluster: &Cluster, topic: &str) -> Result<u64> {
    let mut records = 0;
    for node in cluster.nodes() {
        let mut logs = Vec::new();
        let mut indexes = Vec::new();
        for partition in partitions(&node.data, topic)? {
            logs.extend(files(&partition, "log")?);
            indexes.extend(files(&partition, "index")?);
            indexes.extend(files(&partition, "timeindex")?);
        }
        ensure!(
            !logs.is_empty(),
            "node {} has no segment of {topic}",
            node.id
        );
        records += dump_logs(&logs)?;
        dump_indexes(&indexes)?;
    }
    Ok(records)
}

fn joined(files: &[PathBuf]) -> String {
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    names.join(",")
}

fn dump_logs(logs: &[PathBuf]) -> Result<u64> {
    let output = java::tool("DumpLogSegments")
        .args(["--deep-iteration", "--files", &joined(logs)])
        .limit(Duration::from_secs(300))
        .run()?;
    check_gaps(&output.stderr)?;
    let mut records = 0;
    for line in output.ok()?.lines() {
        if line.starts_with("| offset:") {
            records += 1;
            continue;
        }
        let lower = line.to_lowercase();
        let wrong = ["isvalid: false", "corrupt", "invalid", "mismatch"];
        ensure!(
            !wrong.iter().any(|word| lower.contains(word)),
            "DumpLogSegments: {line}"
        );
    }
    Ok(records)
}

/// Checks the tool's output about gaps between offsets.
///
/// Kafka 4.3 reports a segment that does not begin at offset 0 as a gap between -1 and its first
/// offset, which is in its name. Any other gap is a real one.
fn check_gaps(stderr: &str) -> Result<()> {
    let mut lines = stderr.lines();
    while let Some(line) = lines.next() {
        let file = line
            .strip_prefix("Non-consecutive offsets in ")
            .with_context(|| line.to_owned())?;
        let gap = lines.next().unwrap_or_default();
        let first = gap
            .trim()
            .strip_prefix("-1 is followed by ")
            .and_then(|n| n.parse::<u64>().ok());
        let name = Path::new(file)
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .parse();
        ensure!(
            first.is_some() && name.ok() == first,
            "DumpLogSegments: {line}: {gap}"
        );
    }
    Ok(())
}

fn dump_indexes(indexes: &[PathBuf]) -> Result<()> {
    let output = java::tool("DumpLogSegments")
        .args(["--index-sanity-check", "--files", &joined(indexes)])
        .run()?
        .clean()?;
    for line in output.lines() {
        let lower = line.to_lowercase();
        let wrong = [
            "mismatch",
            "corrupt",
            "invalid",
            "out of order",
            "not found",
        ];
        ensure!(
            !wrong.iter().any(|word| lower.contains(word)),
            "DumpLogSegments: {line}"
        );
    }
    // An index may be empty, because its segment has too few bytes for an entry.
    let passed =
        output.matches(" passed sanity check.").count() + output.matches(" is empty.").count();
    ensure!(
        passed == indexes.len(),
        "{passed} of {} indexes passed:\n{output}",
        indexes.len()
    );
    Ok(())
}
