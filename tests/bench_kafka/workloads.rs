//! What clients do to a cluster while it is measured.
//!
//! Pure.

use dohle_load::{Compression, ProduceLoad};

/// A load of producers.
#[derive(Debug)]
pub struct Workload {
    /// Its name in the report.
    pub name: &'static str,
    /// The topic.
    pub shape: Shape,
    /// Records a second; `None` for as many as possible.
    pub rate: Option<f64>,
    /// What is produced.
    pub produce: fn() -> ProduceLoad,
    /// Whether the null broker can do it.
    pub has_floor: bool,
    /// Whether what was produced is read afterwards.
    pub is_read: bool,
    /// Whether it is run with `--full` only.
    pub is_extra: bool,
}

/// The partitions of a topic, and the replicas of each.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Partitions.
    pub partitions: i32,
    /// Replicas of each.
    pub replicas: i16,
}

const REPLICATED: Shape = Shape {
    partitions: 6,
    replicas: 3,
};
/// The records of 1 KiB, and of 100 bytes, in a batch of 64 KiB.
const FULL: usize = 63;
const FULL_OF_SMALL: usize = 600;

fn full_batches() -> ProduceLoad {
    ProduceLoad {
        connections: 2,
        batch_records: FULL,
        idempotent: true,
        ..ProduceLoad::default()
    }
}

fn not_awaited() -> ProduceLoad {
    ProduceLoad {
        acks: 1,
        idempotent: false,
        ..full_batches()
    }
}

fn compressed(compression: Compression) -> ProduceLoad {
    ProduceLoad {
        compression,
        random_percent: 30,
        ..full_batches()
    }
}

/// A load on a schedule: what is due while the cluster stalls is sent late, and counts as late.
fn open_loop(batch_records: usize) -> ProduceLoad {
    ProduceLoad {
        batch_records,
        in_flight: 100,
        ..ProduceLoad::default()
    }
}

/// Records of 1 KiB a second.
const fn kibibytes(mb_per_second: f64) -> f64 {
    mb_per_second * 1e6 / 1024.0
}

const SATURATED: Workload = Workload {
    name: "",
    shape: REPLICATED,
    rate: None,
    produce: full_batches,
    has_floor: false,
    is_read: false,
    is_extra: false,
};

/// All loads, in the order in which they are run.
pub const ALL: &[Workload] = &[
    Workload {
        name: "1 KiB, full batches, acks=all",
        has_floor: true,
        is_read: true,
        ..SATURATED
    },
    Workload {
        name: "1 KiB, full batches, acks=1",
        produce: not_awaited,
        has_floor: true,
        ..SATURATED
    },
    Workload {
        name: ALONE,
        shape: Shape {
            replicas: 1,
            ..REPLICATED
        },
        produce: not_awaited,
        has_floor: true,
        ..SATURATED
    },
    Workload {
        name: "1 KiB, batches of 16 KiB, acks=all",
        produce: || ProduceLoad {
            batch_records: 15,
            ..full_batches()
        },
        has_floor: true,
        ..SATURATED
    },
    Workload {
        name: "100 bytes, full batches, acks=all",
        produce: || ProduceLoad {
            record_size: 100,
            batch_records: FULL_OF_SMALL,
            ..full_batches()
        },
        has_floor: true,
        ..SATURATED
    },
    Workload {
        name: "1 KiB, full batches of lz4, acks=all",
        produce: || compressed(Compression::Lz4),
        ..SATURATED
    },
    Workload {
        name: "1 KiB, full batches of zstd, acks=all",
        produce: || compressed(Compression::Zstd),
        ..SATURATED
    },
    Workload {
        name: "1 KiB, full batches, transactions of 5,000",
        produce: || ProduceLoad {
            transaction_records: Some(5_000),
            ..full_batches()
        },
        ..SATURATED
    },
    Workload {
        name: "1 KiB, full batches, acks=all, 100 partitions",
        shape: Shape {
            partitions: 100,
            ..REPLICATED
        },
        is_extra: true,
        ..SATURATED
    },
    Workload {
        name: "1 KiB, full batches, acks=all, 1,000 partitions",
        shape: Shape {
            partitions: 1000,
            ..REPLICATED
        },
        is_extra: true,
        ..SATURATED
    },
    Workload {
        name: "1 KiB, keyed, batches of 16 KiB, 1,000 partitions",
        shape: Shape {
            partitions: 1000,
            ..REPLICATED
        },
        produce: || ProduceLoad {
            batch_records: 15,
            keys: 100_000,
            ..full_batches()
        },
        is_extra: true,
        ..SATURATED
    },
    Workload {
        name: "5 MB/s of 1 KiB, one by one, acks=all",
        rate: Some(5_000.0),
        produce: || ProduceLoad {
            connections: 5,
            ..open_loop(1)
        },
        has_floor: true,
        ..SATURATED
    },
    Workload {
        name: "0.5 MB/s of 100 bytes, one by one, 200 connections, acks=1",
        rate: Some(5_000.0),
        produce: || ProduceLoad {
            connections: 200,
            record_size: 100,
            acks: 1,
            ..open_loop(1)
        },
        has_floor: true,
        ..SATURATED
    },
    Workload {
        name: "30 MB/s of 1 KiB, open loop, acks=all",
        rate: Some(kibibytes(30.0)),
        produce: || open_loop(8),
        has_floor: true,
        ..SATURATED
    },
    Workload {
        name: "80 MB/s of 1 KiB, open loop, acks=all",
        rate: Some(kibibytes(80.0)),
        produce: || open_loop(16),
        has_floor: true,
        ..SATURATED
    },
];

/// The load with one replica, which the null broker without files takes too.
pub const ALONE: &str = "1 KiB, full batches, acks=1, one replica";

/// The load that warms a system up.
pub fn warm_up() -> ProduceLoad {
    full_batches()
}

/// The load that goes on for minutes.
pub const SOAK: Workload = Workload {
    name: "100 MB/s of 1 KiB, open loop, acks=all, soak",
    rate: Some(kibibytes(100.0)),
    produce: || open_loop(16),
    ..SATURATED
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_load_is_valid_and_has_a_name_of_its_own() {
        let mut names: Vec<&str> = ALL.iter().map(|workload| workload.name).collect();
        for workload in ALL {
            let load = dohle_load::Load {
                bootstrap: "localhost:9092".to_owned(),
                properties: Default::default(),
                topic: "t".to_owned(),
                threads: 1,
                warm_up: std::time::Duration::ZERO,
                end: dohle_load::End::Records(1),
                produce: Some((workload.produce)()),
                consume: None,
            };
            assert_eq!(load.check(), Ok(()), "{}", workload.name);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn a_full_batch_is_nearly_64_kib() {
        for produce in [full_batches(), (ALL[4].produce)()] {
            let bytes = produce.batch_records * (produce.record_size + 8) + 61;
            assert!((62_000..=65_536).contains(&bytes), "{bytes}");
        }
    }

    #[test]
    fn a_rate_in_megabytes_is_that_of_the_values() {
        assert_eq!((kibibytes(80.0) * 1024.0).round(), 80e6);
    }
}
