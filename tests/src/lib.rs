//! The harness of the cluster tests: it starts real nodes, drives them with real clients, and
//! checks the files that they leave on disk.
//!
//! It uses only Dohle's external interfaces: a program started as `dohle server FILE.properties`, a
//! Kafka address, files. So the same tests run against any program with that command line, and are
//! checked against Apache Kafka in this way. `tests/README.md` explains how to run them.
//!
//! Invariant: nothing here pauses for a guessed time. Only [`wait::eventually`] waits, for
//! something that can be observed, and with a deadline; [`wait::let_pass`] is for the length of a
//! measurement or of a fault.

pub mod chaos;
pub mod clients;
pub mod cluster;
pub mod connection;
pub mod corpus;
pub mod digest;
pub mod exposition;
pub mod http;
pub mod length;
pub mod logs;
pub mod node;
pub mod ports;
pub mod private;
pub mod proc;
pub mod program;
pub mod proxy;
pub mod random;
pub mod records;
pub mod replicas;
pub mod wait;
pub mod wire;

pub use cluster::Cluster;
pub use connection::KafkaConnection;
pub use wait::{eventually, until};

use std::path::{Path, PathBuf};

/// Returns the checkout's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the checkout")
        .to_owned()
}

/// Returns the folder with everything that was built or fetched for the tests: `target/compat`.
pub fn compat() -> PathBuf {
    root().join("target/compat")
}
