//! Plans: functions from a request and a draft of the metadata to records and a response.
//!
//! Pure: no clock, no randomness, no I/O. Every function here takes a [`Draft`], pushes its
//! records, and returns the response to send once they are committed. The draft replays each record
//! at once, so plans that share a draft see each other's effects, and their records form one batch.

pub mod acls;
pub mod brokers;
mod capacity;
pub mod client_quotas;
mod config_schema;
pub mod configs;
pub mod controllers;
pub mod create_partitions;
pub mod create_topics;
pub mod delegation_tokens;
pub mod delete_topics;
pub mod draft;
pub mod election;
pub mod features;
pub mod indexes;
pub mod leaders;
mod new_partitions;
pub mod partitions;
pub mod placement;
pub mod producer_ids;
pub mod reassignments;
pub mod scram;

pub use config_schema::{AnyConfig, ConfigSchema};
pub use draft::{Draft, Note, PlanSettings, TokenSettings};
pub use indexes::Indexes;

use std::collections::HashMap;
use std::hash::Hash;

use dohle_model::{ApiError, NodeId, TopicId, Uuid};
use dohle_protocol::{KafkaString, text};

/// The most partitions one request may create, and the most resources it may change: Kafka's
/// `MAX_RECORDS_PER_USER_OP`.
pub const RECORDS_PER_REQUEST_MAX: usize = 10_000;

/// Converts a result to the fields of Kafka's responses: an error code, and a message for an error.
#[must_use]
pub fn code_and_message<T>(result: &Result<T, ApiError>) -> (i16, Option<KafkaString>) {
    match result {
        Ok(_) => (0, None),
        Err(error) => (error.code.code(), Some(text(&error.message))),
    }
}

/// Returns the items of a request, each name once and in order, with its number of occurrences.
fn distinct<'a, T, K: Eq + Hash>(items: &'a [T], key: impl Fn(&'a T) -> K) -> Vec<(&'a T, usize)> {
    let mut times: HashMap<K, usize> = HashMap::with_capacity(items.len());
    for item in items {
        *times.entry(key(item)).or_default() += 1;
    }
    // The count of a name is removed when it is returned, so that the name is returned only once.
    let once = |item: &'a T| Some((item, times.remove(&key(item))?));
    items.iter().filter_map(once).collect()
}

/// Returns the id of what the item number `index` of a request creates; the first has the request's
/// id. Ids within one request differ, because an odd number times `index` is different for each
/// index.
fn nth_id(request: Uuid, index: usize) -> Uuid {
    // Only bits below the UUID's variant change, so that the id stays a valid random UUID.
    const COUNTED: u128 = (1 << 62) - 1;
    const STEP: u128 = 0x9e37_79b9_7f4a_7c15;
    let bits = u128::from_be_bytes(request.0);
    let counted = bits.wrapping_add(STEP.wrapping_mul(index as u128)) & COUNTED;
    Uuid(((bits & !COUNTED) | counted).to_be_bytes())
}

fn topic_id(bytes: &[u8]) -> Option<TopicId> {
    bytes.try_into().ok().map(TopicId::from_bytes)
}

fn node_ids(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

/// Formats broker ids for messages: `1, 2, 3`.
pub(crate) fn listed(ids: &[NodeId]) -> String {
    let ids: Vec<String> = ids.iter().map(NodeId::to_string).collect();
    ids.join(", ")
}

#[cfg(test)]
mod tests;
