//! A member of a group, in the language of any client: a program that prints what happens to it.
//!
//! | Line | Meaning |
//! |---|---|
//! | `assigned 0,3` | what it owns from now on |
//! | `record 3 17 text` | it read offset 17 of partition 3 |
//! | `committed 3 18` | its commit of offset 18 was acknowledged |
//! | `uncommitted 3 18` | its commit was refused, since a rebalance came in between |
//! | `left` | it left the group, after SIGINT |

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use super::{franz_go, java};
use crate::program::{Output, Program, Running};

/// The client of a member, and the protocol and assignor that it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// kafkajs: eager, round robin.
    Kafkajs,
    /// aiokafka: eager, round robin.
    Aiokafka,
    /// confluent-kafka (librdkafka): eager, range.
    ConfluentRange,
    /// confluent-kafka (librdkafka): cooperative, sticky.
    ConfluentCooperative,
    /// confluent-kafka (librdkafka): the consumer protocol (KIP-848).
    ConfluentConsumer,
    /// franz-go: cooperative, sticky.
    FranzGoCooperative,
    /// franz-go: eager, range.
    FranzGoRange,
    /// The Java client: eager, range.
    JavaRange,
    /// The Java client: cooperative, sticky.
    JavaCooperative,
    /// The Java client: the consumer protocol (KIP-848).
    JavaConsumer,
}

/// A record as a member read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its value.
    pub value: String,
}

/// A running member.
#[derive(Debug)]
pub struct Member {
    running: Running,
    lines: usize,
    assigned: BTreeSet<i32>,
    reads: Vec<Read>,
    committed: BTreeMap<i32, i64>,
}

impl Flavour {
    fn program(self, bootstrap: &str, topic: &str, group: &str) -> Program {
        let place = [bootstrap, topic, group];
        let python = |script: &str| {
            Program::new("python3")
                .env("PYTHONPATH", crate::compat().join("python"))
                .arg(crate::root().join("tests/compat/python").join(script))
                .args(place)
        };
        let franz_go = |balancer: &str| {
            franz_go::franz_go("group", bootstrap).args([
                "--topic",
                topic,
                "--group",
                group,
                "--balancer",
                balancer,
            ])
        };
        let strategy = |name: &str| format!("partition.assignment.strategy={name}");
        let java_assignor =
            |name: &str| strategy(&format!("org.apache.kafka.clients.consumer.{name}"));
        match self {
            Self::Kafkajs => Program::new("node")
                .arg(crate::compat().join("node/group.js"))
                .args(place),
            Self::Aiokafka => python("group_aiokafka.py"),
            Self::ConfluentRange => python("group_confluent.py").arg(strategy("range")),
            Self::ConfluentCooperative => {
                python("group_confluent.py").arg(strategy("cooperative-sticky"))
            }
            Self::ConfluentConsumer => python("group_confluent.py").arg("group.protocol=consumer"),
            Self::FranzGoCooperative => franz_go("cooperative-sticky"),
            Self::FranzGoRange => franz_go("range"),
            Self::JavaRange => java::class("Group")
                .args(place)
                .arg(java_assignor("RangeAssignor")),
            Self::JavaCooperative => java::class("Group")
                .args(place)
                .arg(java_assignor("CooperativeStickyAssignor")),
            Self::JavaConsumer => java::class("Group")
                .args(place)
                .arg("group.protocol=consumer"),
        }
    }
}

impl Member {
    /// Starts a member.
    pub fn start(flavour: Flavour, bootstrap: &str, topic: &str, group: &str) -> Result<Self> {
        Ok(Self {
            running: flavour.program(bootstrap, topic, group).start()?,
            lines: 0,
            assigned: BTreeSet::new(),
            reads: Vec::new(),
            committed: BTreeMap::new(),
        })
    }

    /// Returns the partitions that the member owns, according to its output so far.
    pub fn assigned(&mut self) -> Result<&BTreeSet<i32>> {
        self.listen()?;
        Ok(&self.assigned)
    }

    /// Returns the records that the member has read, in its order.
    pub fn reads(&mut self) -> Result<&[Read]> {
        self.listen()?;
        Ok(&self.reads)
    }

    /// Returns the offsets that the member has committed.
    pub fn committed(&mut self) -> Result<&BTreeMap<i32, i64>> {
        self.listen()?;
        Ok(&self.committed)
    }

    /// Kills the member with SIGKILL; its output so far can still be read.
    pub fn kill(&mut self) -> Result<()> {
        self.running.kill()?;
        self.listen()
    }

    /// Lets it leave the group and end.
    pub fn leave(self) -> Result<Output> {
        self.running.interrupt()?;
        let output = self.running.finish()?;
        ensure!(
            output.stdout.lines().any(|line| line == "left"),
            "it did not leave: {output}"
        );
        Ok(output)
    }

    fn listen(&mut self) -> Result<()> {
        let lines = self.running.lines_so_far();
        for line in &lines[self.lines..] {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["assigned", partitions] => {
                    self.assigned = partitions
                        .split(',')
                        .filter(|it| !it.is_empty())
                        .map(str::parse)
                        .collect::<Result<_, _>>()?;
                }
                ["assigned"] => self.assigned.clear(),
                ["record", partition, offset, value] => self.reads.push(Read {
                    partition: partition.parse()?,
                    offset: offset.parse()?,
                    value: value.to_owned(),
                }),
                ["committed", partition, offset] => {
                    self.committed.insert(partition.parse()?, offset.parse()?);
                }
                _ => {}
            }
        }
        self.lines = lines.len();
        Ok(())
    }
}
