//! A broker whose quorum lost its data keeps its partitions, and an operator decides about them.

use anyhow::{Context as _, Result, ensure};
use dohle_tests::node::binary;
use dohle_tests::program::{Output, Program};
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, until};

fn strays(cluster: &mut Cluster, words: &[&str]) -> Result<Output> {
    let home = cluster
        .broker(1)
        .data
        .parent()
        .context("a home")?
        .to_owned();
    let output = Program::new(binary()?)
        .args(["storage", "strays"])
        .args(words)
        .arg("--config")
        .arg(home.join("server.properties"))
        .run()?;
    ensure!(output.code == 0 && output.stderr.is_empty(), "{output}");
    Ok(output)
}

/// Counts the directories of the topic `kept` whose names end like this.
fn kept(cluster: &mut Cluster, end: &str) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(&cluster.broker(1).data)? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        count += usize::from(name.starts_with("kept-") && name.ends_with(end));
    }
    Ok(count)
}

#[test]
fn a_broker_whose_controller_lost_its_directory_keeps_its_partitions() -> Result<()> {
    let waits = "the broker stays fenced";
    let reported = "stray partitions are kept";
    let mut cluster = Cluster::of(1).allow(waits).allow(reported).start()?;
    cluster.create_topic("kept", 3, 1, &[])?;
    cluster.broker(1).stop()?;
    std::fs::remove_dir_all(cluster.broker(1).data.join("__cluster_metadata-0"))?;

    let node = cluster.broker(1);
    node.launch()?;
    until(DEADLINE, "the broker waits for a decision", || {
        Ok(node.log()?.contains(waits))
    })?;
    node.stop()?;
    ensure!(kept(&mut cluster, "-0")? + kept(&mut cluster, "-stray")? == 1);
    let listed = strays(&mut cluster, &["list"])?.stdout;
    ensure!(listed.contains("3 stray partitions"), "{listed}");
    ensure!(listed.contains("waits for a decision"), "{listed}");

    strays(&mut cluster, &["adopt"])?;
    cluster.broker(1).start()?;
    ensure!(cluster.broker(1).log()?.contains(reported));
    ensure!(kept(&mut cluster, "-stray")? == 3);
    // A topic with the same name is a different topic.
    cluster.create_topic("kept", 3, 1, &[])?;
    cluster.broker(1).stop()?;
    strays(&mut cluster, &["delete", "--yes"])?;
    ensure!(kept(&mut cluster, "-stray")? == 0);
    cluster.broker(1).start()?;
    cluster.wait_in_sync("kept")
}
