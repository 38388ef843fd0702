//! The harness of the cluster tests: it starts real nodes, drives them with clients that nobody
//! here wrote, and looks at what they leave on disk.
//!
//! It knows Dohle only from outside: a program started as `dohle server FILE.properties`, a Kafka
//! address, files. So the same tests run against any program with that command line, which is how
//! they are checked against Apache Kafka itself. `tests/README.md` says how to run them.
//!
//! Invariant: nothing here pauses for a guessed time. [`wait::eventually`] is the only place that
//! waits, and what it waits for is something seen from outside, with a deadline.

pub mod clients;
pub mod cluster;
pub mod connection;
pub mod corpus;
pub mod digest;
pub mod http;
pub mod logs;
pub mod node;
pub mod ports;
pub mod proc;
pub mod program;
pub mod records;
pub mod replicas;
pub mod wait;

pub use cluster::Cluster;
pub use connection::KafkaConnection;
pub use wait::{eventually, until};

use std::path::{Path, PathBuf};

/// The checkout's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the checkout")
        .to_owned()
}

/// The folder that holds what was built or fetched for the tests: `target/compat`.
pub fn compat() -> PathBuf {
    root().join("target/compat")
}
