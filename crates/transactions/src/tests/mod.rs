//! Tests of the machine: traces of requests, and random runs.

mod driver;
mod end;
mod init;
mod markers;
mod partitions;
mod simulation;
mod upkeep;
