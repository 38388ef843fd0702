//! Tests of classic groups: scripts, whose traces show responses and records, and random runs.

mod admission;
mod driver;
mod history;
mod join;
mod leave;
mod members;
mod print;
mod rebalance;
mod records;
mod simulation;
mod statics;
mod stories;
mod sync;
