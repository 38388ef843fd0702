//! The state that a fetch session keeps of its partitions, and how it reads them.
//!
//! Does not depend on the pipeline: the sessions of a node outlive the requests.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use parking_lot::Mutex;

mod read;
mod session;
mod sessions;
mod source;

pub(crate) use read::{ColdRead, FetchContext, PartitionRead};
pub(crate) use session::{Entry, FetchSession, Reads, TopicKey};
pub(crate) use sessions::{EPOCH_FINAL, EPOCH_INITIAL, Slots};
pub(crate) use source::SentRecords;

/// The fetch sessions of a broker.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    pub(crate) slots: Mutex<Slots<Mutex<FetchSession>>>,
}

impl FetchSessions {
    /// Creates a cache of at most `max` sessions.
    pub fn new(max: usize) -> Self {
        // Ids differ from run to run, so that a client with a session of an earlier run is
        // recognised.
        let first_id = (RandomState::new().hash_one(max) & 0x7fff_ffff) as i32;
        Self {
            slots: Mutex::new(Slots::new(max, first_id)),
        }
    }
}

/// The outcome for one partition, as it is sent to the client.
pub(crate) type PartitionResult = (TopicKey, i32, PartitionRead);
