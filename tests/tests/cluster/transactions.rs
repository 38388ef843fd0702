//! Loops of consume, process and produce in transactions, with five client families: the
//! coordinator is killed before every step and in the middle of a commit, a commit loses its
//! answer, the leader of the target moves, a transaction is aborted, and a program that was
//! replaced comes back. Every order is copied exactly once.

use anyhow::{Context, Result, ensure};
use dohle_tests::clients::kcat::kcat;
use dohle_tests::clients::transactional::{Flavour, Transactional, Work};
use dohle_tests::cluster::text;
use dohle_tests::length::Length;
use dohle_tests::proxy::Proxies;
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, eventually};
use kacrab_protocol::generated as kafka;

use crate::console_tools::ours;
use crate::faults::allow_lost_connections;

pub const SOURCE: &str = "orders";
pub const TARGET: &str = "invoices";
pub const GROUP: &str = "billing";
pub const ID: &str = "biller";
/// The type of keys in FindCoordinator.
const TRANSACTION: i8 = 1;
/// The steps of one transaction.
pub const STEPS: [&str; 5] = ["begin", "read 5", "write", "offsets", "commit"];

/// Records of one transaction.
const READ: usize = 5;
const ORDERS: usize = 40;
/// Of EndTxn.
const END_TXN: i16 = 26;

fn cluster() -> Result<(Cluster, Proxies)> {
    let mut cluster = Cluster::of(3)
        .property("group.initial.rebalance.delay.ms", "0")
        .property("offsets.topic.num.partitions", "3")
        .property("transaction.state.log.num.partitions", "3")
        .prepare()?;
    let proxies = Proxies::start(&cluster)?;
    cluster.start()?;
    allow_lost_connections(&mut cluster);
    let config = [("min.insync.replicas", "2")];
    cluster.create_topic(SOURCE, 1, 3, &config)?;
    cluster.create_topic(TARGET, 2, 3, &config)?;
    write_orders(&cluster.bootstrap(), ORDERS)?;
    Ok((cluster, proxies))
}

/// Returns the broker that coordinates the transactions of [`ID`].
pub fn coordinator(cluster: &Cluster) -> Result<i32> {
    let request = kafka::FindCoordinatorRequestData {
        key_type: TRANSACTION,
        coordinator_keys: vec![text(ID)],
        ..Default::default()
    };
    eventually(DEADLINE, "the transactions have a coordinator", || {
        let answer = cluster.connect()?.call(&request, 6)?;
        let found = &answer.coordinators[0];
        let is_up = cluster
            .nodes()
            .iter()
            .any(|node| node.id == found.node_id && node.is_up());
        Ok((found.error_code == 0 && is_up).then_some(found.node_id))
    })
}

/// Returns the values of the target that a reader of committed records receives.
pub fn committed(cluster: &Cluster) -> Result<Vec<String>> {
    let arguments = [
        "-C",
        "-t",
        TARGET,
        "-e",
        "-q",
        "-X",
        "isolation.level=read_committed",
    ];
    let output = kcat(&cluster.bootstrap(), &arguments).run()?.ok()?;
    Ok(output.lines().map(str::to_owned).collect())
}

/// Writes records to the source.
pub fn write_orders(bootstrap: &str, count: usize) -> Result<()> {
    let lines: String = (0..count).map(|n| format!("{n}:order {n}\n")).collect();
    kcat(bootstrap, &["-P", "-t", SOURCE, "-K:", "-X", "acks=all"])
        .input(lines)
        .run()?
        .ok()?;
    Ok(())
}

/// A loop that copies orders, one program at a time.
struct Loop {
    cluster: Cluster,
    proxies: Proxies,
    flavour: Flavour,
    copy: Transactional,
    /// Steps of the transaction that is open.
    steps: Vec<&'static str>,
    /// Records whose transactions were committed.
    committed: usize,
}

fn start(flavour: Flavour, proxies: &Proxies) -> Result<Transactional> {
    let work = Work {
        bootstrap: &proxies.bootstrap(),
        source: SOURCE,
        target: TARGET,
        group: GROUP,
        transactional_id: ID,
    };
    let mut copy = Transactional::start(flavour, work)?;
    copy.step("init")?;
    Ok(copy)
}

impl Loop {
    fn start(flavour: Flavour) -> Result<Self> {
        let (cluster, proxies) = cluster()?;
        let copy = start(flavour, &proxies)?;
        Ok(Self {
            cluster,
            proxies,
            flavour,
            copy,
            steps: Vec::new(),
            committed: 0,
        })
    }

    fn steps(&mut self, steps: &[&'static str]) -> Result<()> {
        for step in steps {
            self.step(step)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &'static str) -> Result<()> {
        self.copy.ask(step)?;
        self.finish_step(step)
    }

    /// Waits until a step is done. A client that cannot go on after an error is replaced, and the
    /// new program does the same transaction, unless it was committed after all.
    fn finish_step(&mut self, step: &'static str) -> Result<()> {
        let failed = self.copy.answer(step)?;
        self.steps.push(step);
        if let Some(error) = failed {
            println!("{step} failed: {error}");
            ensure!(
                self.flavour.is_replaced_after_errors(),
                "{step} failed: {error}"
            );
            self.replace()?;
            let seen = committed(&self.cluster)?.len();
            let is_committed = step == "commit" && seen == self.committed + READ;
            if !is_committed {
                ensure!(seen == self.committed, "{seen} records are committed");
                let again = std::mem::take(&mut self.steps);
                return self.steps(&again);
            }
        }
        if step == "commit" {
            self.steps.clear();
            self.committed += READ;
        }
        Ok(())
    }

    fn replace(&mut self) -> Result<()> {
        self.copy.kill()?;
        self.copy = start(self.flavour, &self.proxies)?;
        Ok(())
    }

    /// Kills a broker, and starts it again once `meanwhile` is done.
    fn while_killed(
        &mut self,
        broker: i32,
        meanwhile: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.proxies.close(broker);
        self.cluster.broker(broker).kill()?;
        meanwhile(self)?;
        self.cluster.broker(broker).start()?;
        self.proxies.open(broker)?;
        for topic in [SOURCE, TARGET, "__transaction_state", "__consumer_offsets"] {
            self.cluster.wait_in_sync(topic)?;
        }
        Ok(())
    }

    fn transaction_with_the_coordinator_killed_before_every_step(&mut self) -> Result<()> {
        // In the short form only where requests about the transaction follow.
        let kills = Length::wished().choose(&STEPS[2..], &STEPS);
        self.steps(&STEPS[..STEPS.len() - kills.len()])?;
        for step in kills {
            let coordinator = coordinator(&self.cluster)?;
            self.while_killed(coordinator, |this| {
                this.step(step)
                    .with_context(|| format!("{step}, its coordinator killed"))
            })?;
        }
        Ok(())
    }

    fn transaction_with_the_coordinator_killed_during_its_commit(&mut self) -> Result<()> {
        self.steps(&STEPS[..4])?;
        let coordinator = coordinator(&self.cluster)?;
        self.copy.ask("commit")?;
        self.while_killed(coordinator, |this| this.finish_step("commit"))
    }

    fn transaction_whose_commit_loses_its_answer(&mut self) -> Result<()> {
        self.steps(&STEPS[..4])?;
        let committed = self.committed + READ;
        self.proxies.lose_next_answer(END_TXN);
        self.step("commit")?;
        ensure!(self.proxies.lost() == 1, "no answer was lost");
        ensure!(self.committed == committed, "the commit was undone");
        Ok(())
    }

    fn transaction_in_which_the_leader_of_the_target_moves(&mut self) -> Result<()> {
        self.steps(&STEPS[..3])?;
        let leader = self.cluster.leader(TARGET, 0)?;
        self.while_killed(leader, |this| this.steps(&STEPS[3..]))
    }

    fn aborted_transaction(&mut self) -> Result<()> {
        let with_offsets = self.flavour.aborts_offsets();
        self.steps(if with_offsets {
            &STEPS[..4]
        } else {
            &STEPS[..3]
        })?;
        self.copy.step("abort")?;
        self.steps.clear();
        self.replace()?;
        let seen = committed(&self.cluster)?;
        ensure!(
            seen.len() == self.committed,
            "{} of {seen:?}",
            self.committed
        );
        Ok(())
    }

    /// A program that is taken for dead in the middle of a transaction is replaced, and comes back.
    fn zombie(&mut self) -> Result<()> {
        self.steps(&STEPS[..3])?;
        self.copy.pause()?;
        let replacement = start(self.flavour, &self.proxies)?;
        let mut zombie = std::mem::replace(&mut self.copy, replacement);
        self.steps.clear();
        self.steps(&STEPS)?;
        self.steps(&STEPS[..3])?;
        zombie.resume()?;
        zombie.ask("commit")?;
        let refused = zombie.answer("commit")?.context("the zombie committed")?;
        println!("the zombie: {refused}");
        ensure!(is_fenced(&refused), "{refused}");
        zombie.kill()?;
        self.steps(&STEPS[3..])
    }

    /// Copies the remaining orders, and checks that each was copied once.
    fn finish(mut self) -> Result<()> {
        while self.committed < ORDERS {
            self.steps(&STEPS)?;
        }
        self.copy.finish()?;
        let mut seen = committed(&self.cluster)?;
        seen.sort();
        let mut expected: Vec<String> = (0..ORDERS).map(|n| format!("copy of order {n}")).collect();
        expected.sort();
        ensure!(seen == expected, "{} records: {seen:?}", seen.len());
        Ok(())
    }
}

/// Whether an error has one of the names that clients give to their being fenced.
fn is_fenced(error: &str) -> bool {
    let error = error.to_lowercase().replace(['_', ' '], "");
    ["fenced", "invalidproducerepoch"]
        .iter()
        .any(|name| error.contains(name))
}

fn story(flavour: Flavour) -> Result<()> {
    let mut copies = Loop::start(flavour)?;
    if flavour == Flavour::Kafkajs {
        // Its leader leaves out members without a partition; the zombie may still be a member.
        copies
            .cluster
            .allow("leader assigned nothing to some members");
    }
    copies.steps(&STEPS)?;
    copies.transaction_with_the_coordinator_killed_before_every_step()?;
    copies.transaction_with_the_coordinator_killed_during_its_commit()?;
    copies.transaction_whose_commit_loses_its_answer()?;
    copies.transaction_in_which_the_leader_of_the_target_moves()?;
    copies.aborted_transaction()?;
    copies.zombie()?;
    copies.finish()
}

/// The version of the protocol is raised between transactions, while the program goes on.
#[test]
fn transactions_while_their_version_is_raised() -> Result<()> {
    let mut copies = Loop::start(Flavour::Java)?;
    for arguments in [
        &["disable", "--feature", "transaction.version"][..],
        &["upgrade", "--feature", "transaction.version=1"],
        &["upgrade", "--feature", "transaction.version=2"],
    ] {
        let bootstrap = copies.cluster.bootstrap();
        ours("features", &bootstrap, arguments)?.run()?.ok()?;
        copies.steps(&STEPS)?;
        copies.transaction_with_the_coordinator_killed_during_its_commit()?;
    }
    copies.finish()
}

#[test]
fn transactions_of_the_java_client() -> Result<()> {
    story(Flavour::Java)
}

#[test]
fn transactions_of_librdkafka() -> Result<()> {
    story(Flavour::Confluent)
}

#[test]
fn transactions_of_aiokafka() -> Result<()> {
    story(Flavour::Aiokafka)
}

#[test]
fn transactions_of_franz_go() -> Result<()> {
    story(Flavour::FranzGo)
}

#[test]
fn transactions_of_kafkajs() -> Result<()> {
    story(Flavour::Kafkajs)
}
