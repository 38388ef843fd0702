//! The disks of controllers are new, formatted by an operator, or are replaced: one after the other
//! as the documentation advises, and most of them at once.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use dohle_tests::cluster::CLUSTER_ID;
use dohle_tests::node::{binary, clear_environment};
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, until};

use super::faults::{allow_lost_connections, produce_until_acknowledged, values};

#[test]
fn the_disks_of_all_nodes_are_replaced_in_turn_and_nothing_is_lost() -> Result<()> {
    let mut cluster = Cluster::of(3).start()?;
    allow_lost_connections(&mut cluster);
    cluster.allow("log of a voter has moved backwards");
    cluster.create_topic("t", 1, 3, &[("min.insync.replicas", "2")])?;
    let mut expected = vec!["before".to_owned()];
    produce_until_acknowledged(&cluster, "t", "before")?;
    for id in 1..=3 {
        cluster.broker(id).stop()?;
        fs::remove_dir_all(&cluster.broker(id).data)?;
        cluster.broker(id).start()?;
        cluster.wait_in_sync("t")?;
        cluster.wait_for_quorum()?;
        let value = format!("after {id}");
        produce_until_acknowledged(&cluster, "t", &value)?;
        cluster.create_topic(&format!("t{id}"), 1, 3, &[])?;
        expected.push(value);
    }
    assert_eq!(values(&mut cluster, "t")?, expected);
    for id in 1..=3 {
        cluster.wait_in_sync(&format!("t{id}"))?;
    }
    Ok(())
}

#[test]
fn a_majority_that_was_formatted_forms_a_cluster_without_the_third_voter() -> Result<()> {
    let mut cluster = Cluster::of(3).prepare()?;
    allow_lost_connections(&mut cluster);
    for id in 1..=2 {
        let mut command = Command::new(binary()?);
        clear_environment(&mut command);
        command.args(["storage", "format", "-t", CLUSTER_ID, "-c"]);
        let output = command.arg(&cluster.broker(id).properties).output()?;
        ensure!(output.status.success(), "{output:?}");
        cluster.broker(id).launch()?;
    }
    for id in 1..=2 {
        cluster.broker(id).wait_until_ready()?;
    }
    cluster.wait_for_brokers(2)?;
    cluster.create_topic("t", 1, 2, &[])?;
    cluster.wait_in_sync("t")
}

#[test]
fn a_wiped_majority_elects_nobody_until_an_operator_recovers_the_quorum() -> Result<()> {
    let mut cluster = Cluster::of(3).start()?;
    allow_lost_connections(&mut cluster);
    for text in [
        "a majority of the voters holds no metadata",
        "no replica is known to hold all committed records",
        "metadata quorum is recovered from this voter",
        "no active controller to register with",
    ] {
        cluster.allow(text);
    }
    cluster.create_topic("before", 1, 3, &[])?;
    cluster.wait_for_quorum()?;
    for id in 1..=3 {
        cluster.broker(id).kill()?;
    }
    for id in 1..=2 {
        fs::remove_dir_all(&cluster.broker(id).data)?;
    }
    for id in 1..=3 {
        cluster.broker(id).launch()?;
    }
    until(DEADLINE, "the survivor reports the loss", || {
        let log = cluster.nodes()[2].log()?;
        Ok(log.contains("a majority of the voters holds no metadata"))
    })?;
    cluster.broker(3).kill()?;
    let mut command = Command::new(binary()?);
    clear_environment(&mut command);
    command.args(["storage", "recover-quorum", "--yes", "--config"]);
    let output = command.arg(&cluster.broker(3).properties).output()?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{output:?}");
    ensure!(printed.contains("last entry:"), "{printed}");
    cluster.broker(3).launch()?;
    for id in 1..=3 {
        cluster.broker(id).wait_until_ready()?;
    }
    cluster.wait_for_quorum()?;
    // The metadata that this controller held are there, and changes are committed by all three
    // again.
    assert_eq!(cluster.describe("before")?[0].replicas.len(), 3);
    cluster.create_topic("after", 1, 3, &[])?;
    cluster.wait_in_sync("after")?;
    Ok(())
}
