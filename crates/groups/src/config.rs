//! The broker's configuration of groups, as typed values.

use std::collections::BTreeMap;
use std::time::Duration;

use dohle_config::BrokerValues;

/// What the coordinator reads of a broker's properties. The fields are Kafka's names with dots as
/// underscores.
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
    /// `offset.metadata.max.bytes`: of the text that a client keeps with an offset.
    pub offset_metadata_max_bytes: usize,
    /// Properties that are set for single groups (`ConfigResource::Group`).
    pub groups: BTreeMap<String, BTreeMap<String, String>>,
}

/// `group.consumer.migration.policy`: between which protocols a live group may move (KIP-848).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Both ways.
    Bidirectional,
    /// From classic to consumer.
    Upgrade,
    /// From consumer to classic.
    Downgrade,
    /// Not at all.
    Disabled,
}

impl MigrationPolicy {
    /// Whether a classic group may become a consumer group.
    #[must_use]
    pub fn upgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Upgrade)
    }

    /// Whether a consumer group may become a classic group.
    #[must_use]
    pub fn downgrades(self) -> bool {
        matches!(self, Self::Bidirectional | Self::Downgrade)
    }
}

impl GroupConfig {
    /// Reads the effective values, which were validated where they were set. Values of single
    /// groups are added by the caller, who has the metadata.
    #[must_use]
    pub fn resolve(values: &BrokerValues) -> Self {
        let ms = |name: &str| Duration::from_millis(values.number(name).unwrap_or(0));
        let size = |name: &str| values.number::<usize>(name).unwrap_or(0);
        let text = |name: &str| values.get(name).unwrap_or_default().to_owned();
        let policy = text("group.consumer.migration.policy").to_ascii_lowercase();
        let minutes: u64 = values.number("offsets.retention.minutes").unwrap_or(10_080);
        let assignors = text("group.consumer.assignors");
        Self {
            group_min_session_timeout: ms("group.min.session.timeout.ms"),
            group_max_session_timeout: ms("group.max.session.timeout.ms"),
            group_initial_rebalance_delay: ms("group.initial.rebalance.delay.ms"),
            group_max_size: size("group.max.size"),
            group_consumer_session_timeout: ms("group.consumer.session.timeout.ms"),
            group_consumer_min_session_timeout: ms("group.consumer.min.session.timeout.ms"),
            group_consumer_max_session_timeout: ms("group.consumer.max.session.timeout.ms"),
            group_consumer_heartbeat_interval: ms("group.consumer.heartbeat.interval.ms"),
            group_consumer_min_heartbeat_interval: ms("group.consumer.min.heartbeat.interval.ms"),
            group_consumer_max_heartbeat_interval: ms("group.consumer.max.heartbeat.interval.ms"),
            group_consumer_max_size: size("group.consumer.max.size"),
            group_consumer_assignors: assignors
                .split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect(),
            group_consumer_migration_policy: match policy.as_str() {
                "upgrade" => MigrationPolicy::Upgrade,
                "downgrade" => MigrationPolicy::Downgrade,
                "disabled" => MigrationPolicy::Disabled,
                _ => MigrationPolicy::Bidirectional,
            },
            group_consumer_regex_refresh_interval: ms("group.consumer.regex.refresh.interval.ms"),
            group_consumer_assignment_interval: ms("group.consumer.assignment.interval.ms"),
            group_consumer_min_assignment_interval: ms("group.consumer.min.assignment.interval.ms"),
            group_consumer_max_assignment_interval: ms("group.consumer.max.assignment.interval.ms"),
            offsets_retention: Duration::from_secs(minutes.saturating_mul(60)),
            offset_metadata_max_bytes: size("offset.metadata.max.bytes"),
            groups: BTreeMap::new(),
        }
    }
}
