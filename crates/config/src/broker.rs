//! A broker's configuration as typed values: the properties that are fixed while a node runs
//! ([`BrokerConfig`]), and those that the metadata can change at run time
//! ([`DynamicBrokerConfig`]).

use std::time::Duration;

use super::cleaner::{CleanerConfig, ScrubConfig};
use super::definition::UpdateMode;
use super::effective::BrokerValues;
use super::key::{BrokerKey, ConfigValue};
use super::keys::broker as keys;

/// The properties of a broker that change only with a restart, without listeners, roles and
/// directories. The fields are Kafka's names with dots as underscores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// `num.partitions`: the number of partitions of a topic that is created without one.
    pub num_partitions: i32,
    /// `default.replication.factor`: the replicas of a topic that is created without a number of
    /// them.
    pub default_replication_factor: i16,
    /// `auto.create.topics.enable`.
    pub auto_create_topics_enable: bool,
    /// `delete.topic.enable`.
    pub delete_topic_enable: bool,
    /// `controlled.shutdown.enable`.
    pub controlled_shutdown_enable: bool,
    /// `auto.leader.rebalance.enable`: whether the controller gives leadership back to preferred
    /// replicas.
    pub auto_leader_rebalance_enable: bool,
    /// `leader.imbalance.check.interval.seconds`.
    pub leader_imbalance_check_interval: Duration,
    /// `broker.session.timeout.ms`.
    pub broker_session_timeout: Duration,
    /// `broker.heartbeat.interval.ms`.
    pub broker_heartbeat_interval: Duration,
    /// `replica.lag.time.max.ms`.
    pub replica_lag_time_max: Duration,
    /// `replica.high.watermark.checkpoint.interval.ms`.
    pub replica_high_watermark_checkpoint_interval: Duration,
    /// Whether `replica.selector.class` names Kafka's rack-aware selector (KIP-392).
    pub selects_replicas_by_rack: bool,
    /// `replication.quota.window.num`, at least 1.
    pub replication_quota_window_num: u32,
    /// `replication.quota.window.size.seconds`.
    pub replication_quota_window_size: Duration,
    /// `alter.log.dirs.replication.quota.window.num`, at least 1.
    pub alter_log_dirs_quota_window_num: u32,
    /// `alter.log.dirs.replication.quota.window.size.seconds`.
    pub alter_log_dirs_quota_window_size: Duration,
    /// `num.replica.alter.log.dirs.threads`; `None` for one for each log directory.
    pub num_replica_alter_log_dirs_threads: Option<usize>,
    /// `log.retention.check.interval.ms`.
    pub log_retention_check_interval: Duration,
    /// `log.flush.offset.checkpoint.interval.ms`.
    pub log_flush_offset_checkpoint_interval: Duration,
    /// `producer.id.expiration.check.interval.ms`.
    pub producer_id_expiration_check_interval: Duration,
    /// `add.partitions.to.txn.retry.backoff.ms`.
    pub add_partitions_to_txn_retry_backoff: Duration,
    /// `add.partitions.to.txn.retry.backoff.max.ms`.
    pub add_partitions_to_txn_retry_backoff_max: Duration,
    /// `socket.listen.backlog.size`.
    pub socket_listen_backlog_size: u32,
    /// `connections.max.idle.ms`: after this time an idle connection is closed; `None` for never.
    pub connections_max_idle: Option<Duration>,
    /// `fetch.max.bytes`: the largest size of a Fetch response.
    pub fetch_max_bytes: usize,
    /// `max.request.partition.size.limit`: the most partitions in one response to
    /// DescribeTopicPartitions.
    pub max_request_partition_size_limit: usize,
    /// `max.incremental.fetch.session.cache.slots`.
    pub max_incremental_fetch_session_cache_slots: usize,
    /// `telemetry.max.bytes`: the most bytes that a client may push at once.
    pub telemetry_max_bytes: usize,
    /// `metrics.client.series.max`: the most series of metrics that clients have pushed.
    pub metrics_client_series_max: usize,
    /// `unstable.api.versions.enable`.
    pub unstable_api_versions_enable: bool,
    /// Whether `group.coordinator.rebalance.protocols` includes the consumer protocol (KIP-848).
    pub serves_consumer_groups: bool,
    /// `controller.quorum.election.timeout.ms`.
    pub controller_quorum_election_timeout: Duration,
    /// `controller.quorum.fetch.timeout.ms`.
    pub controller_quorum_fetch_timeout: Duration,
}

impl BrokerConfig {
    /// Reads the effective values, which were validated when they were set.
    ///
    /// # Panics
    /// When a property that may change while a broker runs is among them.
    #[must_use]
    pub fn resolve(values: &BrokerValues) -> Self {
        Self {
            num_partitions: fixed(values, &keys::NUM_PARTITIONS),
            default_replication_factor: fixed(values, &keys::DEFAULT_REPLICATION_FACTOR),
            auto_create_topics_enable: fixed(values, &keys::AUTO_CREATE_TOPICS_ENABLE),
            delete_topic_enable: fixed(values, &keys::DELETE_TOPIC_ENABLE),
            controlled_shutdown_enable: fixed(values, &keys::CONTROLLED_SHUTDOWN_ENABLE),
            auto_leader_rebalance_enable: fixed(values, &keys::AUTO_LEADER_REBALANCE_ENABLE),
            leader_imbalance_check_interval: fixed(
                values,
                &keys::LEADER_IMBALANCE_CHECK_INTERVAL_SECONDS,
            ),
            broker_session_timeout: fixed(values, &keys::BROKER_SESSION_TIMEOUT_MS),
            broker_heartbeat_interval: fixed(values, &keys::BROKER_HEARTBEAT_INTERVAL_MS),
            replica_lag_time_max: fixed(values, &keys::REPLICA_LAG_TIME_MAX_MS),
            replica_high_watermark_checkpoint_interval: fixed(
                values,
                &keys::REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS,
            ),
            selects_replicas_by_rack: fixed(values, &keys::REPLICA_SELECTOR_CLASS)
                .is_some_and(|class| class.ends_with("RackAwareReplicaSelector")),
            replication_quota_window_num: fixed(values, &keys::REPLICATION_QUOTA_WINDOW_NUM),
            replication_quota_window_size: fixed(
                values,
                &keys::REPLICATION_QUOTA_WINDOW_SIZE_SECONDS,
            ),
            alter_log_dirs_quota_window_num: fixed(
                values,
                &keys::ALTER_LOG_DIRS_REPLICATION_QUOTA_WINDOW_NUM,
            ),
            alter_log_dirs_quota_window_size: fixed(
                values,
                &keys::ALTER_LOG_DIRS_REPLICATION_QUOTA_WINDOW_SIZE_SECONDS,
            ),
            num_replica_alter_log_dirs_threads: fixed(
                values,
                &keys::NUM_REPLICA_ALTER_LOG_DIRS_THREADS,
            )
            .map(|threads: i32| usize::try_from(threads).unwrap_or(0)),
            log_retention_check_interval: fixed(values, &keys::LOG_RETENTION_CHECK_INTERVAL_MS),
            log_flush_offset_checkpoint_interval: fixed(
                values,
                &keys::LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS,
            ),
            producer_id_expiration_check_interval: fixed(
                values,
                &keys::PRODUCER_ID_EXPIRATION_CHECK_INTERVAL_MS,
            ),
            add_partitions_to_txn_retry_backoff: fixed(
                values,
                &keys::ADD_PARTITIONS_TO_TXN_RETRY_BACKOFF_MS,
            ),
            add_partitions_to_txn_retry_backoff_max: fixed(
                values,
                &keys::ADD_PARTITIONS_TO_TXN_RETRY_BACKOFF_MAX_MS,
            ),
            socket_listen_backlog_size: fixed(values, &keys::SOCKET_LISTEN_BACKLOG_SIZE),
            connections_max_idle: fixed(values, &keys::CONNECTIONS_MAX_IDLE_MS),
            fetch_max_bytes: fixed(values, &keys::FETCH_MAX_BYTES),
            max_request_partition_size_limit: fixed(
                values,
                &keys::MAX_REQUEST_PARTITION_SIZE_LIMIT,
            ),
            max_incremental_fetch_session_cache_slots: fixed(
                values,
                &keys::MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS,
            ),
            telemetry_max_bytes: fixed(values, &keys::TELEMETRY_MAX_BYTES),
            metrics_client_series_max: fixed(values, &keys::METRICS_CLIENT_SERIES_MAX),
            unstable_api_versions_enable: fixed(values, &keys::UNSTABLE_API_VERSIONS_ENABLE),
            controller_quorum_election_timeout: fixed(
                values,
                &keys::CONTROLLER_QUORUM_ELECTION_TIMEOUT_MS,
            ),
            serves_consumer_groups: fixed(values, &keys::GROUP_COORDINATOR_REBALANCE_PROTOCOLS)
                .iter()
                .any(|protocol| protocol.eq_ignore_ascii_case("consumer")),
            controller_quorum_fetch_timeout: fixed(
                values,
                &keys::CONTROLLER_QUORUM_FETCH_TIMEOUT_MS,
            ),
        }
    }
}

/// Reads a property that cannot change while a node runs.
fn fixed<T: ConfigValue>(values: &BrokerValues, key: &BrokerKey<T>) -> T {
    let definition = key.definition();
    assert!(
        definition.update_mode == UpdateMode::ReadOnly,
        "{} may change while a broker runs, and is read as if it did not",
        definition.name
    );
    values.read(key)
}

/// The properties that the metadata can change while a broker runs. All are resolved again when one
/// of them changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DynamicBrokerConfig {
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration: Duration,
    /// `transaction.partition.verification.enable`.
    pub transaction_partition_verification_enable: bool,
    /// `log.dir.reserve.bytes`.
    pub log_dir_reserve_bytes: u64,
    /// `log.cleaner.*`.
    pub cleaner: CleanerConfig,
    /// `log.scrub.*`.
    pub scrub: ScrubConfig,
    /// `leader.replication.throttled.rate`, bytes per second; `None` for no limit.
    pub leader_replication_throttled_rate: Option<u64>,
    /// `follower.replication.throttled.rate`, bytes per second; `None` for no limit.
    pub follower_replication_throttled_rate: Option<u64>,
    /// `replica.alter.log.dirs.io.max.bytes.per.second`; `None` for no limit.
    pub alter_log_dirs_rate: Option<u64>,
}

impl DynamicBrokerConfig {
    /// Reads the effective values, which were validated when they were set.
    #[must_use]
    pub fn resolve(values: &BrokerValues) -> Self {
        Self {
            producer_id_expiration: values.read(&keys::PRODUCER_ID_EXPIRATION_MS),
            transaction_partition_verification_enable: values
                .read(&keys::TRANSACTION_PARTITION_VERIFICATION_ENABLE),
            log_dir_reserve_bytes: values.read(&keys::LOG_DIR_RESERVE_BYTES),
            cleaner: CleanerConfig::resolve(values),
            scrub: ScrubConfig::resolve(values),
            leader_replication_throttled_rate: values
                .read(&keys::LEADER_REPLICATION_THROTTLED_RATE),
            follower_replication_throttled_rate: values
                .read(&keys::FOLLOWER_REPLICATION_THROTTLED_RATE),
            alter_log_dirs_rate: values.read(&keys::REPLICA_ALTER_LOG_DIRS_IO_MAX_BYTES_PER_SECOND),
        }
    }
}
