//! The tables of definitions, one file a concern; each sorted by name.

mod client_metrics;
mod cluster;
mod constraints;
mod group;
mod groups;
mod log;
mod own;
mod remote;
mod security;
mod server;
mod topic;
mod transactions;

use super::definition::ConfigDef;

pub(super) use constraints::constraints;

/// The tables of brokers' properties.
pub(super) const BROKER: &[&[ConfigDef]] = &[
    cluster::TABLE,
    groups::TABLE,
    log::TABLE,
    own::TABLE,
    remote::TABLE,
    security::TABLE,
    server::TABLE,
    transactions::TABLE,
];

/// Brokers' properties that are not in Apache Kafka's list; part of [`BROKER`].
#[cfg(test)]
pub(super) const OWN: &[ConfigDef] = own::TABLE;

/// The tables of the properties of client metrics subscriptions.
pub(super) const CLIENT_METRICS: &[&[ConfigDef]] = &[client_metrics::TABLE];

/// The tables of groups' properties.
pub(super) const GROUP: &[&[ConfigDef]] = &[group::TABLE];

/// The tables of topics' properties.
pub(super) const TOPIC: &[&[ConfigDef]] = &[topic::TABLE];
