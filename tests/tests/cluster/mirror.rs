//! The recipe of `docs/migration.md`: MirrorMaker 2 copies topics, configurations, records and the
//! offsets of groups from Apache Kafka to Dohle and back, exactly once, while a group and a
//! producer move to Dohle and return. The blocks of that page are what runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dohle_tests::clients::java;
use dohle_tests::clients::kcat::kcat;
use dohle_tests::node::binary;
use dohle_tests::ports::free_port;
use dohle_tests::program::{Program, Running};
use dohle_tests::{Cluster, until};

use crate::console_tools::{Kafka, ours};

const SETTLED: Duration = Duration::from_secs(150);
const LIMIT: Duration = Duration::from_secs(500);
/// `offset.lag.max` of the recipe.
const LAG_MAX: usize = 10;

/// The page, with the addresses of a test in it.
struct Recipe {
    text: String,
    folder: PathBuf,
}

impl Recipe {
    fn read(kafka: &str, dohle: &str, folder: &Path) -> Result<Self> {
        let page = dohle_tests::root().join("docs/migration.md");
        let mut text = std::fs::read_to_string(page)?;
        let port = free_port()?;
        let changes = [
            ("kafka-1:9092", kafka),
            ("dohle-1:9092", dohle),
            ("127.0.0.1:8083", &format!("127.0.0.1:{port}")),
            // This Kafka has one node.
            ("replication.factor = 3", "replication.factor = 1"),
        ];
        for (from, to) in changes {
            ensure!(text.contains(from), "the recipe has no {from}");
            text = text.replace(from, to);
        }
        let folder = folder.to_owned();
        Ok(Self { text, folder })
    }

    /// The lines of the block whose fence ends with this name.
    fn block(&self, name: &str) -> Result<&str> {
        let mut blocks = self.text.split("\n```").skip(1).step_by(2);
        blocks
            .find_map(|block| {
                let (info, lines) = block.split_once('\n')?;
                (info.split(' ').nth(1) == Some(name)).then_some(lines)
            })
            .with_context(|| format!("the recipe has no block {name}"))
    }

    /// What the commands of a block print.
    fn run(&self, name: &str) -> Result<Vec<String>> {
        let mut printed = Vec::new();
        for line in self.block(name)?.lines() {
            let words = line.strip_prefix("dohle ").context("another command")?;
            let tool = Program::new(binary()?).args(words.split(' '));
            printed.push(tool.run()?.ok()?);
        }
        Ok(printed)
    }

    /// `connect-mirror-maker.sh mirror.properties`.
    fn mirror(&self) -> Result<Running> {
        let file = self.folder.join("mirror.properties");
        std::fs::write(&file, self.block("mirror")?)?;
        java::class("org.apache.kafka.connect.mirror.MirrorMaker")
            .arg(&file)
            .limit(LIMIT)
            .start()
    }

    /// Waits until a block shows that the group goes on in a topic where it was after `last`, or
    /// at most [`LAG_MAX`] records before that.
    fn wait_for_group(
        &self,
        name: &str,
        (bootstrap, topic): (&str, &str),
        last: usize,
    ) -> Result<()> {
        until(
            SETTLED,
            format!("offsets of {topic} are translated"),
            || {
                let printed = self.run(name)?.concat();
                let mut lines = printed.lines().map(|line| line.split_whitespace());
                let offset = lines
                    .find_map(|mut words| (words.nth(1) == Some(topic)).then(|| words.nth(1)))
                    .flatten();
                let offset = offset.with_context(|| printed.clone())?;
                let arguments = [
                    "-C", "-t", topic, "-p", "0", "-o", offset, "-c", "1", "-e", "-q",
                ];
                let next = kcat(bootstrap, &arguments).run()?.ok()?;
                // Nothing follows: the group has read all there is.
                let next = numbers(next.lines())?.pop().unwrap_or(last + 1);
                ensure!(
                    next + LAG_MAX > last,
                    "at {offset} is {next}, before {last}"
                );
                Ok(true)
            },
        )
    }
}

/// The committed values of a topic, sorted.
fn values(bootstrap: &str, topic: &str) -> Result<Vec<usize>> {
    let isolation = "isolation.level=read_committed";
    let arguments = ["-C", "-t", topic, "-e", "-q", "-X", isolation];
    let output = kcat(bootstrap, &arguments).run()?.ok()?;
    numbers(output.lines())
}

fn numbers<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Vec<usize>> {
    let mut numbers: Vec<usize> = lines
        .into_iter()
        .map(|line| Ok(line.parse()?))
        .collect::<Result<_>>()?;
    numbers.sort_unstable();
    Ok(numbers)
}

fn produce(bootstrap: &str, topic: &str, numbers: std::ops::Range<usize>) -> Result<()> {
    let lines: String = numbers.map(|n| format!("{n}\n")).collect();
    kcat(bootstrap, &["-P", "-t", topic, "-X", "acks=all"])
        .input(lines)
        .run()?
        .ok()?;
    Ok(())
}

/// The one member of the group.
struct Member(Running);

impl Member {
    fn start(bootstrap: &str, topic: &str) -> Result<Self> {
        let arguments = [
            "-G",
            "billing",
            "-q",
            "-u",
            "-X",
            "auto.offset.reset=earliest",
            "-X",
            "isolation.level=read_committed",
            topic,
        ];
        Ok(Self(kcat(bootstrap, &arguments).limit(LIMIT).start()?))
    }

    /// Waits until it has read this one.
    fn wait_for(&mut self, last: usize) -> Result<()> {
        self.0.wait_for_line(|line| line == last.to_string())?;
        Ok(())
    }

    /// Lets it commit and leave; returns the numbers that it read, sorted.
    fn leave(self) -> Result<Vec<usize>> {
        self.0.interrupt()?;
        let output = self.0.finish()?;
        numbers(output.stdout.lines())
    }
}

/// Checks that a group that went on from a translated offset repeated at most [`LAG_MAX`]
/// records, and missed none.
fn check_continued(before: &[usize], after: &[usize]) -> Result<()> {
    let (last, first) = (
        before.last().context("none")?,
        after.first().context("none")?,
    );
    ensure!(
        *first <= last + 1 && *first + LAG_MAX > *last,
        "the group went on at {first} after {last}"
    );
    let all: Vec<usize> = (*first..=*after.last().context("none")?).collect();
    ensure!(after == all, "after the move the group read {after:?}");
    Ok(())
}

#[test]
fn mirror_maker_moves_applications_to_dohle_and_back() -> Result<()> {
    let cluster = Cluster::of(3)
        .property("group.initial.rebalance.delay.ms", "0")
        .property("offsets.topic.num.partitions", "3")
        .property("transaction.state.log.num.partitions", "3")
        .start()?;
    let kafka = Kafka::start(cluster.scratch())?;
    let (kafka, dohle) = (kafka.bootstrap.as_str(), cluster.bootstrap());
    let dohle = dohle.as_str();
    let topic = ["--create", "--topic", "orders", "--partitions", "1"];
    ours("topics", kafka, &topic)?
        .args(["--config", "retention.ms=123456789"])
        .run()?
        .ok()?;
    produce(kafka, "orders", 0..300)?;
    let mut member = Member::start(kafka, "orders")?;
    member.wait_for(299)?;

    // 1. Start to copy. MirrorMaker dies in the middle of more records, and starts again.
    let recipe = Recipe::read(kafka, dohle, cluster.scratch())?;
    let mut mirror = recipe.mirror()?;
    until(SETTLED, "the first records are at Dohle", || {
        Ok(values(dohle, "orders")?.len() >= 300)
    })?;
    produce(kafka, "orders", 300..2000)?;
    mirror.kill()?;
    let mirror = recipe.mirror()?;
    until(SETTLED, "the records of Kafka are at Dohle", || {
        Ok(values(dohle, "orders")?.len() >= 2000)
    })?;
    for described in recipe.run("topics")? {
        ensure!(described.contains("retention.ms=123456789"), "{described}");
        ensure!(described.contains("PartitionCount: 1"), "{described}");
    }

    // 2. The group moves, while producers write to Kafka.
    member.wait_for(1999)?;
    let before = member.leave()?;
    recipe.wait_for_group("group", (dohle, "orders"), 1999)?;
    produce(kafka, "orders", 2000..2100)?;
    let mut member = Member::start(dohle, "orders")?;
    member.wait_for(2099)?;

    // 3. The producers move.
    produce(dohle, "orders", 2100..2200)?;
    member.wait_for(2199)?;

    // 4. And back: the group, then the producers.
    recipe.wait_for_group("back", (kafka, "dohle.orders"), 2199)?;
    let at_dohle = member.leave()?;
    check_continued(&before, &at_dohle)?;
    produce(kafka, "orders", 2200..2300)?;
    let mut member = Member::start(kafka, "dohle.orders")?;
    member.wait_for(2299)?;
    check_continued(&at_dohle, &member.leave()?)?;

    // 5. Stop to copy.
    recipe.run("rest")?;
    mirror.interrupt()?;
    mirror.finish()?;
    let all: Vec<usize> = (0..2300).collect();
    for (bootstrap, topic) in [(dohle, "orders"), (kafka, "dohle.orders")] {
        let copied = values(bootstrap, topic)?;
        ensure!(copied == all, "{} records of {topic}", copied.len());
    }
    Ok(())
}
