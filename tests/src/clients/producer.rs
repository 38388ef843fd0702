//! An idempotent producer of numbered records, through the script in `tests/compat/python`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::program::{Program, Running};

/// A running idempotent producer.
#[derive(Debug)]
pub struct Producer {
    running: Running,
    lines: usize,
    /// The number of each acknowledged record, by its partition and offset.
    acknowledged: BTreeMap<(i32, i64), u64>,
}

impl Producer {
    /// Starts a producer that writes record `n` to partition `n % partitions` until it is asked to
    /// stop. A value has `size` bytes and begins with its number in ten digits.
    pub fn start(bootstrap: &str, topic: &str, partitions: i32, size: usize) -> Result<Self> {
        let script = crate::root().join("tests/compat/python/produce_confluent.py");
        let program = Program::new("python3")
            .env("PYTHONPATH", crate::compat().join("python"))
            .arg(script)
            .args([bootstrap, topic])
            .args([partitions.to_string(), size.to_string()]);
        Ok(Self {
            running: program.start()?,
            lines: 0,
            acknowledged: BTreeMap::new(),
        })
    }

    /// Returns the number of each record that was acknowledged so far, by its partition and offset.
    /// Fails when the producer has given up a record.
    pub fn acknowledged(&mut self) -> Result<&BTreeMap<(i32, i64), u64>> {
        let lines = self.running.lines_so_far();
        for line in &lines[self.lines..] {
            let words: Vec<&str> = line.split(' ').collect();
            if let ["acknowledged", partition, offset, number] = words[..] {
                let at = (partition.parse()?, offset.parse()?);
                let earlier = self.acknowledged.insert(at, number.parse()?);
                ensure!(earlier.is_none(), "two records at {at:?}");
            } else {
                ensure!(words[0] == "sent", "the producer printed {line:?}");
            }
        }
        self.lines = lines.len();
        Ok(&self.acknowledged)
    }

    /// Lets the producer flush and end. Returns the acknowledged records, which are all the records
    /// that it has sent.
    pub fn stop(mut self) -> Result<BTreeMap<(i32, i64), u64>> {
        self.running.interrupt()?;
        let last = self
            .running
            .wait_for_line(|line| line.starts_with("sent "))?;
        let sent: usize = last[5..].parse().context("the number of sent records")?;
        let count = self.acknowledged()?.len();
        ensure!(count == sent, "{count} of {sent} records acknowledged");
        self.running.finish()?.ok()?;
        Ok(self.acknowledged)
    }
}
