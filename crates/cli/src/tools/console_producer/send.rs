//! Sends records and keeps count of those that were not delivered.

use std::time::Duration;

use bytes::Bytes;
use dohle_admin::client::why_not_delivered;
use kacrab::producer::{Producer, ProducerError, ProducerRecord, SendFuture};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::lines::Chunk;
use crate::client::{Failures, Interrupts, OVERHEAD, Room};
use crate::tool_run::fail_if;

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
    failures: Failures,
}

impl Tally {
    pub(super) fn count(&mut self, result: Result<(), String>) {
        self.sent += 1;
        if let Err(why) = result
            && self.failures.count(&why)
        {
            eprintln!("Record {} was not delivered: {why}", self.sent);
        }
    }

    /// The summary of failures; `None` when all records were delivered.
    pub(super) fn failures(&self) -> Option<String> {
        self.failures.summary(self.sent)
    }

    fn finish(&self, error: Option<anyhow::Error>) -> anyhow::Result<()> {
        let failures = self.failures();
        if let Some(text) = &failures {
            eprintln!("{text}");
        }
        match error {
            Some(error) => Err(error),
            None => fail_if(failures.is_some()),
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
                        Ok(()) => send_alone(&producer, record).await,
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

async fn send_alone(producer: &Producer, record: ProducerRecord) -> Result<(), String> {
    let sent = async {
        // The record does not wait for others to fill a batch.
        let (delivered, flushed) = tokio::join!(producer.send(record)?, producer.flush());
        delivered.map(drop).and(flushed)
    };
    sent.await.map_err(|error| why_not_delivered(&error))
}

/// Sends records as they arrive, as many at once as fit into half of the producer's memory.
pub(super) async fn in_batches(
    producer: Producer,
    mut records: mpsc::Receiver<Chunk>,
    memory: usize,
    mut beginning: Beginning,
    limit: Option<usize>,
) -> anyhow::Result<()> {
    let room = Room::new(memory);
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
                    let permit = room.take(size(&record)).await?;
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
    let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers = record.headers.iter();
    let headers = headers.map(|header| header.key.len() + len(&header.value) + HEADER);
    OVERHEAD + len(&record.key) + len(&record.value) + headers.sum::<usize>()
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
        tally.count(match sent {
            Ok(delivery) => match delivery.await {
                Ok(_) => Ok(()),
                Err(error) => Err(why_not_delivered(&error)),
            },
            Err(why) => Err(why),
        });
        drop(permit);
    }
    tally
}
