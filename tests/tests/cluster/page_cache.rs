//! A broker loses the part of its log that was only in the page cache, and waits for the replica
//! that has it.

use std::fs::OpenOptions;

use anyhow::{Context, Result, ensure};
use dohle_tests::records::{batch, fetch, produce};
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, until};

use super::faults::allow_lost_connections;

const BATCHES: usize = 40;
const RECORDS: usize = 50;

#[test]
fn a_broker_that_lost_its_page_cache_waits_for_the_complete_replica() -> Result<()> {
    let mut cluster = Cluster::of(3)
        .property("broker.session.timeout.ms", "3000")
        .start()?;
    allow_lost_connections(&mut cluster);
    cluster.create_topic("t", 1, 2, &[("min.insync.replicas", "2")])?;
    let state = cluster.describe("t")?.remove(0);
    let complete = state.leader.context("no leader")?;
    let mut replicas = state.replicas.iter().copied();
    let lossy = replicas.find(|id| *id != complete).context("one replica")?;
    let mut connection = cluster.broker(complete).connect()?;
    for _ in 0..BATCHES {
        let records = batch(&[b"a record that is acknowledged".as_slice(); RECORDS])?.freeze();
        let produced = produce(&mut connection, "t", 0, -1, records)?;
        ensure!(produced.error_code == 0, "{produced:?}");
    }
    cluster.broker(lossy).kill()?;
    cluster.wait_for_partition("t", 0, DEADLINE, |partition| partition.isr == [complete])?;
    let path = cluster
        .broker(lossy)
        .data
        .join("t-0/00000000000000000000.log");
    let log = OpenOptions::new().write(true).open(&path)?;
    log.set_len(log.metadata()?.len() / 2)?;

    cluster.broker(complete).kill()?;
    cluster.broker(lossy).start()?;
    // A broker is live only once the elections that it allows have run.
    cluster.wait_for_brokers(2)?;
    let state = cluster.describe("t")?.remove(0);
    ensure!(state.leader.is_none(), "{state:?}");
    cluster.broker(complete).start()?;
    cluster.wait_for_partition("t", 0, DEADLINE, |partition| {
        partition.leader == Some(complete)
    })?;
    cluster.wait_in_sync("t")?;
    let mut read = 0;
    until(DEADLINE, "all acknowledged records are read", || {
        let offset = i64::try_from(read)?;
        read += fetch(&mut cluster.broker(complete).connect()?, "t", 0, offset)?
            .0
            .len();
        Ok(read == BATCHES * RECORDS)
    })?;
    Ok(())
}
