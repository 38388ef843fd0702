//! One of two log directories of a broker fails, first when the broker is a follower there, then
//! when it leads: producers with acks=all continue, also when the broker is restarted without it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dohle_tests::records::{batch, produce};
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, until};

use super::faults::allow_lost_connections;

const PARTITIONS: usize = 6;
/// Kafka's error code.
const REQUEST_TIMED_OUT: i16 = 7;
/// Ten of them fill a segment.
const BATCH: usize = 100 << 10;

pub(super) fn second_directory(cluster: &mut Cluster, id: i32) -> PathBuf {
    cluster.broker(id).data.with_file_name("data2")
}

/// Gives each node of a cluster that has not started yet a second log directory.
pub(super) fn give_second_directories(cluster: &Cluster) -> Result<()> {
    for node in cluster.nodes() {
        let second = node.data.with_file_name("data2");
        let mut file = OpenOptions::new().append(true).open(&node.properties)?;
        let first = node.data.display();
        writeln!(file, "log.dirs={first},{}", second.display())?;
    }
    Ok(())
}

/// Finds a partition that a broker has in its second directory, as its leader or as a follower.
fn find(cluster: &mut Cluster, leads: bool) -> Result<(i32, usize)> {
    let states = cluster.describe("t")?;
    for id in 1..=3 {
        let directory = second_directory(cluster, id);
        for (partition, state) in states.iter().enumerate() {
            let is_there = directory.join(format!("t-{partition}")).exists();
            if is_there && (state.leader == Some(id)) == leads {
                return Ok((id, partition));
            }
        }
    }
    anyhow::bail!("no such replica: {states:?}")
}

/// Appends a batch, and waits until it is acknowledged by all replicas in sync.
fn produce_acknowledged(cluster: &Cluster, partition: usize) -> Result<()> {
    let index = i32::try_from(partition)?;
    let mut timed_out = false;
    until(DEADLINE, "a batch is acknowledged", || {
        let leader = cluster.leader("t", partition)?;
        let node = cluster.nodes().iter().find(|node| node.id == leader);
        let mut connection = node.context("the leader")?.connect()?;
        let records = batch(&[&[7; BATCH]])?.freeze();
        let produced = produce(&mut connection, "t", index, -1, records)?;
        timed_out |= produced.error_code == REQUEST_TIMED_OUT;
        ensure!(produced.error_code == 0, "{produced:?}");
        Ok(true)
    })?;
    ensure!(
        !timed_out,
        "a batch was appended and not acknowledged in time"
    );
    Ok(())
}

/// Makes the second directory of a broker fail. Returns the longest time without an
/// acknowledgement.
fn fail(cluster: &mut Cluster, id: i32, partition: usize) -> Result<Duration> {
    let directory = second_directory(cluster, id);
    let before = cluster.broker(id).log()?.len();
    // A new segment cannot be created, because a file is in the directory's place.
    std::fs::rename(&directory, directory.with_file_name("unmounted"))?;
    std::fs::write(&directory, "")?;
    let mut longest = Duration::ZERO;
    until(DEADLINE, format!("the directory of {id} fails"), || {
        let start = Instant::now();
        produce_acknowledged(cluster, partition)?;
        longest = longest.max(start.elapsed());
        Ok(cluster.broker(id).log()?[before..].contains("log directory is offline"))
    })?;
    cluster.wait_for_partition("t", partition, DEADLINE, |state| {
        state.leader.is_some_and(|leader| leader != id) && !state.isr.contains(&id)
    })?;
    for _ in 0..10 {
        let start = Instant::now();
        produce_acknowledged(cluster, partition)?;
        longest = longest.max(start.elapsed());
    }
    let state = cluster.describe("t")?.remove(partition);
    ensure!(!state.isr.contains(&id), "{id} was put back: {state:?}");
    ensure!(cluster.broker(id).is_up(), "node {id} stopped");
    Ok(longest)
}

#[test]
fn acks_all_goes_on_when_one_of_two_log_directories_fails() -> Result<()> {
    let mut cluster = Cluster::of(3).prepare()?;
    give_second_directories(&cluster)?;
    cluster.start()?;
    allow_lost_connections(&mut cluster);
    for text in [
        "log goes offline",
        "log directory failed",
        "log directory is offline",
        // What was in the directory when its replicas were built again in the other one.
        "stray partitions are kept",
    ] {
        cluster.allow(text);
    }
    let configs = [("min.insync.replicas", "2"), ("segment.bytes", "1048576")];
    cluster.create_topic("t", PARTITIONS as i32, 3, &configs)?;
    cluster.wait_in_sync("t")?;
    for leads in [false, true] {
        let (id, partition) = find(&mut cluster, leads)?;
        let longest = fail(&mut cluster, id, partition)?;
        eprintln!("leader: {leads}; the slowest acknowledgement took {longest:?}");
        let directory = second_directory(&mut cluster, id);
        cluster.broker(id).stop()?;
        if leads {
            let before = cluster.broker(id).log()?.len();
            cluster.broker(id).start()?;
            let log = cluster.broker(id).log()?.split_off(before);
            let offline = format!("log directory is offline dir={}", directory.display());
            ensure!(log.contains(&offline), "{log}");
            produce_acknowledged(&cluster, partition)?;
            cluster.broker(id).stop()?;
        }
        std::fs::remove_file(&directory)?;
        std::fs::rename(directory.with_file_name("unmounted"), &directory)?;
        cluster.broker(id).start()?;
        cluster.wait_in_sync("t")?;
    }
    Ok(())
}
