//! The broker's configuration of groups, as typed values.

use std::collections::BTreeMap;
use std::time::Duration;

use dohle_config::keys::broker as keys;
use dohle_config::{BrokerValues, MigrationPolicy, Properties};

/// The properties that the coordinator uses. The fields have Kafka's names with underscores instead
/// of dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`.
    pub group_min_session_timeout: Duration,
    /// `group.max.session.timeout.ms`.
    pub group_max_session_timeout: Duration,
    /// `group.initial.rebalance.delay.ms`.
    pub group_initial_rebalance_delay: Duration,
    /// `group.max.size`: members of a classic group.
    pub group_max_size: usize,
    /// `group.consumer.session.timeout.ms`, unless the group has its own.
    pub group_consumer_session_timeout: Duration,
    /// `group.consumer.min.session.timeout.ms`.
    pub group_consumer_min_session_timeout: Duration,
    /// `group.consumer.max.session.timeout.ms`.
    pub group_consumer_max_session_timeout: Duration,
    /// `group.consumer.heartbeat.interval.ms`, unless the group has its own.
    pub group_consumer_heartbeat_interval: Duration,
    /// `group.consumer.min.heartbeat.interval.ms`.
    pub group_consumer_min_heartbeat_interval: Duration,
    /// `group.consumer.max.heartbeat.interval.ms`.
    pub group_consumer_max_heartbeat_interval: Duration,
    /// `group.consumer.max.size`: members of a consumer group.
    pub group_consumer_max_size: usize,
    /// `group.consumer.assignors`: the first is the default.
    pub group_consumer_assignors: Vec<String>,
    /// `group.consumer.migration.policy`.
    pub group_consumer_migration_policy: MigrationPolicy,
    /// `group.consumer.regex.refresh.interval.ms`.
    pub group_consumer_regex_refresh_interval: Duration,
    /// `group.consumer.assignment.interval.ms` (KIP-1263), unless the group has its own.
    pub group_consumer_assignment_interval: Duration,
    /// `group.consumer.min.assignment.interval.ms`.
    pub group_consumer_min_assignment_interval: Duration,
    /// `group.consumer.max.assignment.interval.ms`.
    pub group_consumer_max_assignment_interval: Duration,
    /// `offsets.retention.minutes`.
    pub offsets_retention: Duration,
    /// `offset.metadata.max.bytes`: the limit for the text that a client stores with an offset.
    pub offset_metadata_max_bytes: usize,
    /// Properties that are set for single groups (`ConfigResource::Group`).
    pub groups: BTreeMap<String, Properties>,
}

impl GroupConfig {
    /// Reads the effective values, which were validated where they were set. Values of single
    /// groups are added by the caller, who has the metadata.
    #[must_use]
    pub fn resolve(values: &BrokerValues) -> Self {
        Self {
            group_min_session_timeout: values.read(&keys::GROUP_MIN_SESSION_TIMEOUT_MS),
            group_max_session_timeout: values.read(&keys::GROUP_MAX_SESSION_TIMEOUT_MS),
            group_initial_rebalance_delay: values.read(&keys::GROUP_INITIAL_REBALANCE_DELAY_MS),
            group_max_size: values.read(&keys::GROUP_MAX_SIZE),
            group_consumer_session_timeout: values.read(&keys::GROUP_CONSUMER_SESSION_TIMEOUT_MS),
            group_consumer_min_session_timeout: values
                .read(&keys::GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS),
            group_consumer_max_session_timeout: values
                .read(&keys::GROUP_CONSUMER_MAX_SESSION_TIMEOUT_MS),
            group_consumer_heartbeat_interval: values
                .read(&keys::GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS),
            group_consumer_min_heartbeat_interval: values
                .read(&keys::GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS),
            group_consumer_max_heartbeat_interval: values
                .read(&keys::GROUP_CONSUMER_MAX_HEARTBEAT_INTERVAL_MS),
            group_consumer_max_size: values.read(&keys::GROUP_CONSUMER_MAX_SIZE),
            group_consumer_assignors: values.read(&keys::GROUP_CONSUMER_ASSIGNORS),
            group_consumer_migration_policy: values.read(&keys::GROUP_CONSUMER_MIGRATION_POLICY),
            group_consumer_regex_refresh_interval: values
                .read(&keys::GROUP_CONSUMER_REGEX_REFRESH_INTERVAL_MS),
            group_consumer_assignment_interval: values
                .read(&keys::GROUP_CONSUMER_ASSIGNMENT_INTERVAL_MS),
            group_consumer_min_assignment_interval: values
                .read(&keys::GROUP_CONSUMER_MIN_ASSIGNMENT_INTERVAL_MS),
            group_consumer_max_assignment_interval: values
                .read(&keys::GROUP_CONSUMER_MAX_ASSIGNMENT_INTERVAL_MS),
            offsets_retention: values.read(&keys::OFFSETS_RETENTION_MINUTES),
            offset_metadata_max_bytes: values.read(&keys::OFFSET_METADATA_MAX_BYTES),
            groups: BTreeMap::new(),
        }
    }
}
