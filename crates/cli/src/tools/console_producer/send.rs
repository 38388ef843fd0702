//! Sends records and keeps count of those that were not delivered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dohle_admin::client::why_not_delivered;
use kacrab::producer::{Producer, ProducerError, ProducerRecord, SendFuture};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::lines::Chunk;
use crate::client::Interrupts;
use crate::tool_run::AlreadyReported;

/// The memory that a record takes beside its bytes.
const OVERHEAD: usize = 128;
/// The memory that a header takes beside its bytes.
const HEADER: usize = 16;
/// How many records may be in flight.
const IN_FLIGHT: usize = 64 << 10;
/// How long to wait when the producer's memory is full.
const ROOM: Duration = Duration::from_millis(5);
/// Between two flushes while records are in flight.
const FLUSH_AGAIN: Duration = Duration::from_millis(50);

/// How many records were sent, and why some were not delivered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    sent: u64,
    reasons: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn count(&mut self, result: Result<(), String>) {
        self.sent += 1;
        if let Err(why) = result {
            let times = self.reasons.entry(why.clone()).or_default();
            *times += 1;
            if *times == 1 {
                eprintln!("Record {} was not delivered: {why}", self.sent);
            }
        }
    }

    /// The summary of failures; `None` when all records were delivered.
    pub(super) fn failures(&self) -> Option<String> {
        let failed: u64 = self.reasons.values().sum();
        if failed == 0 {
            return None;
        }
        let mut text = format!("{failed} of {} records were not delivered:", self.sent);
        for (why, times) in &self.reasons {
            text += &format!("\n  {times}: {why}");
        }
        Some(text)
    }

    fn finish(&self, error: Option<anyhow::Error>) -> anyhow::Result<()> {
        let failures = self.failures();
        if let Some(text) = &failures {
            eprintln!("{text}");
        }
        match (error, failures) {
            (Some(error), _) => Err(error),
            (None, Some(_)) => Err(AlreadyReported.into()),
            (None, None) => Ok(()),
        }
    }
}

/// Chooses the partition of the first records without a key, as many as fill a batch; the client
/// chooses those of later ones. The client's choice always begins with the same partition, so that
/// all short inputs would go there.
#[derive(Debug)]
pub(super) struct Beginning {
    partition: Option<i32>,
    bytes_left: usize,
}

impl Beginning {
    /// Chooses one of `partitions` by `random`, for about `bytes`.
    pub(super) fn new(partitions: &[i32], random: usize, bytes: usize) -> Self {
        let index = random.checked_rem(partitions.len());
        Self {
            partition: index.map(|index| partitions[index]),
            bytes_left: bytes,
        }
    }

    /// Gives the record its partition, where there is one to give.
    pub(super) fn place(&mut self, record: &mut ProducerRecord) {
        if let (None, Some(partition)) = (&record.key, self.partition) {
            record.partition = partition;
            let size = size(record) - OVERHEAD;
            match self.bytes_left.checked_sub(size) {
                Some(left) => self.bytes_left = left,
                None => self.partition = None,
            }
        }
    }
}

/// Sends each record when the one before has been acknowledged.
pub(super) async fn one_by_one(
    producer: Producer,
    mut records: mpsc::Receiver<Chunk>,
    mut beginning: Beginning,
    limit: Option<usize>,
) -> anyhow::Result<()> {
    let mut tally = Tally::default();
    let mut wrong = None;
    'all: while let Some(chunk) = records.recv().await {
        match chunk {
            Ok(chunk) => {
                for mut record in chunk {
                    beginning.place(&mut record);
                    let result = match check_size(&record, limit) {
                        Ok(()) => match producer.send(record) {
                            Ok(delivery) => {
                                // The record does not wait for others to fill a batch.
                                let (delivered, flushed) = tokio::join!(delivery, producer.flush());
                                let delivered = delivered.map(drop).and(flushed);
                                delivered.map_err(|error| why_not_delivered(&error))
                            }
                            Err(error) => Err(why_not_delivered(&error)),
                        },
                        too_large => too_large,
                    };
                    let failed = result.is_err();
                    tally.count(result);
                    if failed {
                        break 'all;
                    }
                }
            }
            Err(error) => {
                wrong = Some(error);
                break;
            }
        }
    }
    producer.close().await?;
    tally.finish(wrong)
}

/// Sends records as they arrive, as many at once as fit into half of the producer's memory.
pub(super) async fn in_batches(
    producer: Producer,
    mut records: mpsc::Receiver<Chunk>,
    memory: usize,
    mut beginning: Beginning,
    limit: Option<usize>,
) -> anyhow::Result<()> {
    let budget = (memory / 2).clamp(64 << 10, 1 << 30);
    let room = Arc::new(Semaphore::new(budget));
    let (deliveries, delivered) = mpsc::channel(IN_FLIGHT);
    let mut counting = tokio::spawn(count(delivered));
    let mut interrupts = Interrupts::new()?;
    let mut wrong = None;
    loop {
        let chunk = tokio::select! {
            chunk = records.recv() => chunk,
            () = interrupts.next() => None,
        };
        match chunk {
            Some(Ok(chunk)) => {
                for mut record in chunk {
                    beginning.place(&mut record);
                    let cost = u32::try_from(size(&record).min(budget)).unwrap_or(u32::MAX);
                    let permit = Arc::clone(&room).acquire_many_owned(cost).await?;
                    let sent = match check_size(&record, limit) {
                        Ok(()) => send(&producer, record).await,
                        Err(too_large) => Err(too_large),
                    };
                    deliveries.send((sent, permit)).await?;
                }
            }
            Some(Err(error)) => {
                wrong = Some(error);
                break;
            }
            None => break,
        }
    }
    drop(deliveries);
    let ending = async {
        loop {
            // A flush ends early when something fails; what failed is counted there.
            let flush = async {
                let _ = producer.flush().await;
                tokio::time::sleep(FLUSH_AGAIN).await;
            };
            tokio::select! {
                tally = &mut counting => break tally,
                () = flush => {}
            }
        }
    };
    let tally = tokio::select! {
        tally = ending => tally?,
        () = interrupts.next() => {
            anyhow::bail!("Interrupted: records that had not been acknowledged may be lost");
        }
    };
    producer.close().await?;
    tally.finish(wrong)
}

fn size(record: &ProducerRecord) -> usize {
    let key = record.key.as_ref().map_or(0, bytes::Bytes::len);
    let value = record.value.as_ref().map_or(0, bytes::Bytes::len);
    let headers = record.headers.iter().map(|header| {
        header.key.len() + header.value.as_ref().map_or(0, bytes::Bytes::len) + HEADER
    });
    OVERHEAD + key + value + headers.sum::<usize>()
}

/// Rejects a record that the topic would reject (`max.message.bytes`): the broker would reject its
/// whole batch, and the client would have to find out which record caused it.
fn check_size(record: &ProducerRecord, limit: Option<usize>) -> Result<(), String> {
    // No record takes less beside its fields: lengths, deltas, the header of the batch.
    const LEAST: usize = 61 + 7;
    let fields = size(record) - OVERHEAD - record.headers.len() * HEADER;
    let least = fields + LEAST + record.headers.len() * 2;
    match limit {
        Some(limit) if least > limit => Err(format!(
            "The message is {least} bytes when serialized which is larger than {limit}, which is \
             the value of the topic's max.message.bytes configuration."
        )),
        _ => Ok(()),
    }
}

/// Gives a record to the producer, and waits while its memory is full.
async fn send(producer: &Producer, record: ProducerRecord) -> Result<SendFuture, String> {
    loop {
        match producer.send(record.clone()) {
            Err(ProducerError::Backpressure) => tokio::time::sleep(ROOM).await,
            sent => return sent.map_err(|error| why_not_delivered(&error)),
        }
    }
}

type Delivery = (Result<SendFuture, String>, OwnedSemaphorePermit);

/// Waits for each delivery; a record's memory is given back with it.
async fn count(mut deliveries: mpsc::Receiver<Delivery>) -> Tally {
    let mut tally = Tally::default();
    while let Some((sent, permit)) = deliveries.recv().await {
        let result = match sent {
            Ok(delivery) => delivery
                .await
                .map(drop)
                .map_err(|error| why_not_delivered(&error)),
            Err(why) => Err(why),
        };
        tally.count(result);
        drop(permit);
    }
    tally
}
