//! A generator of load for clusters that speak Kafka's protocol, whatever their make.
//!
//! ```text
//!   Load ──▶ run ──▶ threads ──▶ Producer: schedule ─▶ template ─▶ frame ─▶ connection ─┐
//!                            └─▶ Consumer: fetch ─▶ headers of batches ◀─ connection ◀──┘ brokers
//!                    Report ◀── tallies ◀── latencies
//! ```
//!
//! The load is open: batches are due at times that do not depend on the cluster, and latency counts
//! from the time at which a batch was due. A cluster that stalls is late with every record that was
//! due meanwhile, also with those that could not be sent.
//!
//! Batches are encoded before the run begins. Only timestamps, sequences and checksums change, so
//! that the generator needs little of the machine that it shares with what it measures.
//!
//! Invariant: what is decided is pure (`schedule`, `template`, `frame`, `tally`, `report`); tasks
//! (`produce`, `consume`) carry it out.

mod clock;
mod cluster;
mod connection;
mod consume;
mod cpu;
mod error;
mod fetched;
mod frame;
mod keys;
mod latency;
mod leaders;
mod link;
mod options;
mod produce;
mod random;
mod report;
mod run;
mod schedule;
mod tally;
mod target;
mod template;
mod timer;
mod window;

pub use clock::StopSignal;
pub use error::LoadError;
pub use latency::{Latencies, LatencySummary, PercentilePoint};
pub use options::{Compression, ConsumeLoad, End, Load, ProduceLoad, Start};
pub use report::{ConsumeReport, GeneratorReport, ProduceReport, Report, TransactionReport};
pub use run::run;
