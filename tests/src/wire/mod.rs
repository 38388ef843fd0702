//! Answers on the wire: requests in every version of an API, whose answers are recorded from Apache
//! Kafka and compared with those of a node.
//!
//! `scripts` has the requests as data, `run` sends them to a node, `recording` writes and reads
//! answers as a file, and `compare` finds the differences. Messages are encoded and decoded by
//! Kafka's own descriptions of them (`schema`, `codec`), and not by the library that Dohle uses, so
//! that an error in that library is found.

pub mod batches;
pub mod codec;
pub mod compare;
pub mod coverage;
pub mod kinds;
pub mod names;
pub mod newer;
pub mod permissions;
pub mod recording;
pub mod run;
pub mod schema;
pub mod script;
pub mod scripts;
pub mod session;

use std::path::PathBuf;

/// Returns the folder of recordings, schemas and intended differences: `tests/wire`.
pub fn folder() -> PathBuf {
    crate::root().join("tests/wire")
}
