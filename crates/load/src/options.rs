//! What a run does: its cluster, its load, its end.
//!
//! Pure.

use std::time::Duration;

use dohle_config::Properties;
pub use kacrab_protocol::compression::Compression;

use crate::template::MARK_BYTES;

/// A run.
#[derive(Debug, Clone)]
pub struct Load {
    /// The addresses of brokers, `host:port,…`.
    pub bootstrap: String,
    /// A client's properties: `security.protocol`, `ssl.*`, `sasl.*`.
    pub properties: Properties,
    /// An existing topic, whose partitions are used.
    pub topic: String,
    /// The threads that the connections are distributed over.
    pub threads: usize,
    /// How long the run lasts before anything is measured.
    pub warm_up: Duration,
    /// When the run ends.
    pub end: End,
    /// The records that are produced.
    pub produce: Option<ProduceLoad>,
    /// The records that are read.
    pub consume: Option<ConsumeLoad>,
}

/// When a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// This long after the warm-up.
    After(Duration),
    /// After this many records, those of the warm-up not counted.
    Records(u64),
    /// When everything was read that was there when the run began; for a run that only reads.
    EndOfLog,
}

/// How records are produced.
#[derive(Debug, Clone)]
pub struct ProduceLoad {
    /// Clients, each with a connection to each broker that leads partitions.
    pub connections: usize,
    /// Requests that wait for their response on one connection.
    pub in_flight: usize,
    /// Records a second of all clients together; `None` for as many as possible.
    pub rate: Option<f64>,
    /// Bytes of each value.
    pub record_size: usize,
    /// The part of each value that does not compress, in percent.
    pub random_percent: u8,
    /// Records of a batch. Each request has one batch.
    pub batch_records: usize,
    /// 0, 1 or -1 (all).
    pub acks: i16,
    /// The codec of the batches, which are compressed before the run begins.
    pub compression: Compression,
    /// The number of different keys; 0 for records without keys.
    pub keys: u64,
    /// Whether each client is an idempotent producer.
    pub idempotent: bool,
    /// Records of a transaction, rounded up to whole batches; `None` for none.
    pub transaction_records: Option<u64>,
    /// `request.timeout.ms`: how long a broker may wait for its followers, and how long a client
    /// waits for a response.
    pub timeout: Duration,
}

impl Default for ProduceLoad {
    fn default() -> Self {
        Self {
            connections: 1,
            in_flight: 5,
            rate: None,
            record_size: 1024,
            random_percent: 100,
            batch_records: 1,
            acks: -1,
            compression: Compression::None,
            keys: 0,
            idempotent: false,
            transaction_records: None,
            timeout: Duration::from_secs(30),
        }
    }
}

/// How records are read.
#[derive(Debug, Clone)]
pub struct ConsumeLoad {
    /// Clients, which share the partitions; each has a connection to each of their leaders.
    pub connections: usize,
    /// `fetch.min.bytes`.
    pub min_bytes: i32,
    /// `fetch.max.bytes`.
    pub max_bytes: i32,
    /// `max.partition.fetch.bytes`.
    pub partition_max_bytes: i32,
    /// `fetch.max.wait.ms`.
    pub max_wait: Duration,
    /// Where reading begins.
    pub start: Start,
    /// Whether checksums are verified, and records are decompressed and counted one by one.
    pub verify: bool,
    /// Whether records of open and aborted transactions are left out.
    pub read_committed: bool,
    /// Whether the latency from the time at which a record was due to its arrival is measured. The
    /// run has to produce, too.
    pub end_to_end: bool,
}

impl Default for ConsumeLoad {
    fn default() -> Self {
        Self {
            connections: 1,
            min_bytes: 1,
            max_bytes: 50 << 20,
            partition_max_bytes: 1 << 20,
            max_wait: Duration::from_millis(500),
            start: Start::Beginning,
            verify: false,
            read_committed: false,
            end_to_end: false,
        }
    }
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record of each partition.
    Beginning,
    /// With the next record of each partition.
    End,
}

/// The requests in flight with which Kafka keeps the order of an idempotent producer.
const IDEMPOTENT_IN_FLIGHT_MAX: usize = 5;

impl Load {
    /// Returns whether batches carry the time at which they are due.
    pub(crate) fn is_end_to_end(&self) -> bool {
        self.consume.as_ref().is_some_and(|it| it.end_to_end)
    }

    /// Checks what does not go together.
    ///
    /// # Errors
    /// The reason.
    pub fn check(&self) -> Result<(), String> {
        let positive = |value: usize, name: &str| match value {
            0 => Err(format!("{name} must be at least 1")),
            _ => Ok(()),
        };
        positive(self.threads, "the number of threads")?;
        if let Some(produce) = &self.produce {
            positive(produce.connections, "the number of connections")?;
            positive(produce.in_flight, "the number of requests in flight")?;
            positive(produce.batch_records, "the number of records in a batch")?;
            produce.check()?;
            if self.end == End::EndOfLog {
                return Err("a run that produces needs a duration or a number of records".into());
            }
            if self.is_end_to_end() && produce.record_size < MARK_BYTES {
                return Err(format!(
                    "values need at least {MARK_BYTES} bytes for the time at which they are due"
                ));
            }
        }
        if let Some(consume) = &self.consume {
            positive(consume.connections, "the number of connections")?;
            if consume.end_to_end && self.produce.is_none() {
                return Err("end-to-end latencies need a run that produces".into());
            }
        }
        match (&self.produce, &self.consume) {
            (None, None) => Err("a run produces or reads".into()),
            _ => Ok(()),
        }
    }
}

impl ProduceLoad {
    /// Returns whether the clients have producer ids.
    pub(crate) fn is_sequenced(&self) -> bool {
        self.idempotent || self.transaction_records.is_some()
    }

    fn check(&self) -> Result<(), String> {
        if !(-1..=1).contains(&self.acks) {
            return Err(format!("acks is 0, 1 or -1 (all), not {}", self.acks));
        }
        if self.is_sequenced() && self.acks != -1 {
            return Err("idempotent and transactional producers need acks=all".into());
        }
        if self.is_sequenced() && self.in_flight > IDEMPOTENT_IN_FLIGHT_MAX {
            return Err(format!(
                "idempotent and transactional producers have at most {IDEMPOTENT_IN_FLIGHT_MAX} \
                 requests in flight"
            ));
        }
        if self.transaction_records == Some(0) {
            return Err("a transaction has at least one record".into());
        }
        if self
            .rate
            .is_some_and(|rate| !(rate > 0.0 && rate.is_finite()))
        {
            return Err("the rate must be above 0".into());
        }
        if self.random_percent > 100 {
            return Err("a value has at most 100 % random bytes".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(produce: ProduceLoad) -> Load {
        Load {
            bootstrap: "localhost:9092".to_owned(),
            properties: Properties::new(),
            topic: "t".to_owned(),
            threads: 1,
            warm_up: Duration::ZERO,
            end: End::Records(1),
            produce: Some(produce),
            consume: None,
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_the_reason() {
        let default = ProduceLoad::default;
        assert_eq!(load(default()).check(), Ok(()));
        for (produce, reason) in [
            (
                ProduceLoad {
                    acks: 2,
                    ..default()
                },
                "acks is 0, 1 or -1",
            ),
            (
                ProduceLoad {
                    acks: 1,
                    idempotent: true,
                    ..default()
                },
                "need acks=all",
            ),
            (
                ProduceLoad {
                    in_flight: 6,
                    transaction_records: Some(10),
                    ..default()
                },
                "at most 5",
            ),
            (
                ProduceLoad {
                    rate: Some(0.0),
                    ..default()
                },
                "above 0",
            ),
            (
                ProduceLoad {
                    batch_records: 0,
                    ..default()
                },
                "records in a batch must be at least 1",
            ),
        ] {
            let refused = load(produce).check().unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
        let mut end_to_end = load(ProduceLoad {
            record_size: 15,
            ..default()
        });
        end_to_end.consume = Some(ConsumeLoad {
            end_to_end: true,
            ..ConsumeLoad::default()
        });
        assert!(end_to_end.check().unwrap_err().contains("at least 16"));
        let endless = Load {
            end: End::EndOfLog,
            ..load(default())
        };
        assert!(endless.check().unwrap_err().contains("needs a duration"));
    }
}
