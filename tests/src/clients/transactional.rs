//! A loop of consume, process and produce in transactions, in the language of any client: a program
//! that does one step for each line that it reads.
//!
//! | Step | Meaning |
//! |---|---|
//! | `init` | creates the consumer, and the producer, which fences others with its id |
//! | `begin` | begins a transaction |
//! | `read 5` | takes the next five records of the source, waiting for them |
//! | `write` | produces a copy of each to the target, and waits for the acknowledgements |
//! | `offsets` | adds the offsets behind them to the transaction |
//! | `commit`, `abort` | ends the transaction |
//!
//! It answers `ok STEP`, or `failed STEP ERROR TEXT` with the client's own name of the error.

use anyhow::{Context, Result, bail, ensure};

use super::{franz_go, java};
use crate::program::{Program, Running};

/// The client of the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Kafka's Java client.
    Java,
    /// confluent-kafka (librdkafka).
    Confluent,
    /// aiokafka.
    Aiokafka,
    /// franz-go. Its session adds offsets as part of a commit, so it cannot abort a transaction
    /// that has offsets.
    FranzGo,
    /// kafkajs.
    Kafkajs,
}

/// The parameters of the loop: topics, group and transactional id.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    /// Addresses of brokers.
    pub bootstrap: &'a str,
    /// The topic that is read.
    pub source: &'a str,
    /// The topic that is written.
    pub target: &'a str,
    /// The group whose offsets are committed.
    pub group: &'a str,
    /// The `transactional.id`.
    pub transactional_id: &'a str,
}

/// A running loop.
#[derive(Debug)]
pub struct Transactional {
    running: Running,
}

impl Flavour {
    /// Whether a program with this client is replaced after any error, because the client cannot
    /// end a transaction that it once failed to end.
    pub fn is_replaced_after_errors(self) -> bool {
        matches!(self, Self::Confluent | Self::FranzGo | Self::Kafkajs)
    }

    /// Whether the client can abort a transaction that has offsets.
    pub fn aborts_offsets(self) -> bool {
        self != Self::FranzGo
    }

    fn program(self, work: Work<'_>) -> Program {
        let places = [
            work.bootstrap,
            work.source,
            work.target,
            work.group,
            work.transactional_id,
        ];
        let python = |script: &str| {
            Program::new("python3")
                .env("PYTHONPATH", crate::compat().join("python"))
                .arg(crate::root().join("tests/compat/python").join(script))
                .args(places)
        };
        match self {
            Self::Java => java::class("Transactional").args(places),
            Self::Confluent => python("transactional_confluent.py"),
            Self::Aiokafka => python("transactional_aiokafka.py"),
            Self::FranzGo => franz_go::franz_go("transactional", work.bootstrap).args(&places[1..]),
            Self::Kafkajs => Program::new("node")
                .arg(crate::compat().join("node/transactional.js"))
                .args(places),
        }
    }
}

impl Transactional {
    /// Starts a loop, which waits for its first step.
    pub fn start(flavour: Flavour, work: Work<'_>) -> Result<Self> {
        let running = flavour
            .program(work)
            .interactive()
            .limit(std::time::Duration::from_secs(200))
            .start()?;
        Ok(Self { running })
    }

    /// Starts a step, whose answer [`Transactional::answer`] returns.
    pub fn ask(&mut self, step: &str) -> Result<()> {
        self.running.send_line(step)
    }

    /// Waits for the answer to a step. Returns the client's error if the step failed.
    pub fn answer(&mut self, step: &str) -> Result<Option<String>> {
        let name = step.split(' ').next().unwrap_or(step);
        let line = self
            .running
            .wait_for_line(|line| line.starts_with("ok ") || line.starts_with("failed "))
            .with_context(|| format!("the answer to {step}"))?;
        if line == format!("ok {name}") {
            return Ok(None);
        }
        match line.strip_prefix(&format!("failed {name} ")) {
            Some(error) => Ok(Some(error.to_owned())),
            None => bail!("{line:?} does not answer {step}"),
        }
    }

    /// Makes a step, which must succeed.
    pub fn step(&mut self, step: &str) -> Result<()> {
        self.ask(step)?;
        let failed = self.answer(step)?;
        ensure!(failed.is_none(), "{step} failed: {failed:?}");
        Ok(())
    }

    /// Ends the program's input, and waits until the program has ended.
    pub fn finish(self) -> Result<()> {
        self.running.finish()?.ok()?;
        Ok(())
    }

    /// Pauses the program with SIGSTOP, so that others consider it dead.
    pub fn pause(&self) -> Result<()> {
        crate::node::signal(self.running.pid(), rustix::process::Signal::STOP)
    }

    /// Resumes the program with SIGCONT; it does not notice that time has passed.
    pub fn resume(&self) -> Result<()> {
        crate::node::signal(self.running.pid(), rustix::process::Signal::CONT)
    }

    /// Kills the program with SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.running.kill()
    }
}
