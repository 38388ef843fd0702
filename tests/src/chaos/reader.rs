//! Consumers that read partitions from their beginning.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use kacrab_protocol::generated as kafka;
use kacrab_protocol::record::{RecordBatch, decode_batches};
use kafka::fetch_response::PartitionData;

use super::client::{Client, Partitions};
use super::history::{self, Isolation, Partition, Read, Value};
use crate::records::{FETCH_VERSION, fetch_request};

/// The attributes of batches.
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// A consumer.
#[derive(Debug)]
pub struct Reader {
    client: Client,
    partitions: Partitions,
    isolation: Isolation,
    /// The offset of the next fetch, by partition.
    next: Vec<i64>,
    reads: Vec<Read>,
}

impl Reader {
    /// Returns a consumer that has read nothing.
    #[must_use]
    pub fn new(client: Client, partitions: &Partitions, isolation: Isolation) -> Self {
        Self {
            client,
            next: vec![0; partitions.0.len()],
            partitions: partitions.clone(),
            isolation,
            reads: Vec::new(),
        }
    }

    /// Returns the partitions that it reads.
    #[must_use]
    pub fn partitions(&self) -> std::ops::Range<Partition> {
        0..self.next.len()
    }

    /// Returns the sum of the offsets that it has reached.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.next.iter().sum()
    }

    /// Returns the offset of the next fetch from a partition.
    #[must_use]
    pub fn next(&self, partition: Partition) -> i64 {
        self.next[partition]
    }

    /// Fetches from this offset next.
    pub fn seek(&mut self, partition: Partition, offset: i64) {
        self.next[partition] = offset;
    }

    /// Returns the records that it got since the last call.
    pub fn take_reads(&mut self) -> Vec<Read> {
        std::mem::take(&mut self.reads)
    }

    /// Fetches once from a partition. Returns whether the high watermark is reached: with
    /// read_committed not before the last transaction has its marker.
    pub fn poll(&mut self, partition: Partition) -> Result<bool> {
        let name = self.partitions.name(partition);
        let from = self.next[partition];
        let mut request = fetch_request(name.0, name.1, from);
        request.isolation_level = i8::from(self.isolation == Isolation::ReadCommitted);
        let (answer, code) = self.client.on_leader(name, |connection| {
            let answer = connection.call(&request, FETCH_VERSION)?;
            let mut topics = answer.responses;
            let mut topic = topics.pop().context("no topic in the answer")?;
            let answer = topic
                .partitions
                .pop()
                .context("no partition in the answer")?;
            let code = answer.error_code;
            Ok((answer, code))
        })?;
        ensure!(
            code == 0,
            "fetch from {name:?} at offset {from}: error {code}"
        );
        self.take(partition, &answer)?;
        Ok(self.next[partition] >= answer.high_watermark)
    }

    fn take(&mut self, partition: Partition, answer: &PartitionData) -> Result<()> {
        let mut records = answer.records.clone().unwrap_or_default();
        let mut aborted: Vec<(i64, i64)> = answer
            .aborted_transactions
            .iter()
            .flatten()
            .map(|aborted| (aborted.first_offset, aborted.producer_id))
            .collect();
        aborted.sort_unstable_by(|one, other| other.cmp(one));
        let mut open: BTreeSet<i64> = BTreeSet::new();
        for batch in decode_batches(&mut records)? {
            while let Some((_, producer)) = aborted.pop_if(|(first, _)| *first <= batch.base_offset)
            {
                open.insert(producer);
            }
            let end = batch.base_offset + i64::from(batch.last_offset_delta) + 1;
            if batch.attributes & CONTROL != 0 {
                // A marker ends the transaction, however it ended.
                open.remove(&batch.producer_id);
            } else {
                let is_transactional = batch.attributes & TRANSACTIONAL != 0;
                let is_aborted = is_transactional && open.contains(&batch.producer_id);
                if !(is_aborted && self.isolation == Isolation::ReadCommitted) {
                    self.take_records(partition, &batch)?;
                }
            }
            self.next[partition] = end.max(self.next[partition]);
        }
        Ok(())
    }

    fn take_records(&mut self, partition: Partition, batch: &RecordBatch) -> Result<()> {
        for record in &batch.records {
            let offset = batch.base_offset + i64::from(record.offset_delta);
            if offset < self.next[partition] {
                continue;
            }
            let value = record.value.as_deref().unwrap_or_default();
            let value: [u8; size_of::<Value>()] = value
                .try_into()
                .with_context(|| format!("value {value:?} at offset {offset}"))?;
            self.reads.push(Read {
                partition,
                offset,
                value: Value::from_be_bytes(value),
            });
        }
        Ok(())
    }

    /// Returns what it read.
    #[must_use]
    pub fn into_history(self) -> history::Reader {
        history::Reader {
            isolation: self.isolation,
            reads: self.reads,
        }
    }
}
