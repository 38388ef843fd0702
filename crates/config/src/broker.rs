//! A broker's configuration as typed values: what more than one part of a node reads.

use std::time::Duration;

use super::effective::BrokerValues;
use super::keys::broker as keys;

/// What Dohle reads of a broker's properties beyond listeners, roles and directories. The fields
/// are Kafka's names with dots as underscores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// `num.partitions`: of a topic that does not say.
    pub num_partitions: i32,
    /// `default.replication.factor`: of a topic that does not say.
    pub default_replication_factor: i16,
    /// `auto.create.topics.enable`.
    pub auto_create_topics_enable: bool,
    /// `delete.topic.enable`.
    pub delete_topic_enable: bool,
    /// `controlled.shutdown.enable`.
    pub controlled_shutdown_enable: bool,
    /// `auto.leader.rebalance.enable`: leaderships go back to the preferred replicas.
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
    /// `log.retention.check.interval.ms`.
    pub log_retention_check_interval: Duration,
    /// `log.flush.offset.checkpoint.interval.ms`.
    pub log_flush_offset_checkpoint_interval: Duration,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration: Duration,
    /// `producer.id.expiration.check.interval.ms`.
    pub producer_id_expiration_check_interval: Duration,
    /// `add.partitions.to.txn.retry.backoff.ms`.
    pub add_partitions_to_txn_retry_backoff: Duration,
    /// `add.partitions.to.txn.retry.backoff.max.ms`.
    pub add_partitions_to_txn_retry_backoff_max: Duration,
    /// `transaction.partition.verification.enable`.
    pub transaction_partition_verification_enable: bool,
    /// `socket.request.max.bytes`: the largest request.
    pub socket_request_max_bytes: usize,
    /// `socket.listen.backlog.size`.
    pub socket_listen_backlog_size: u32,
    /// `connections.max.idle.ms`; `None` for ever.
    pub connections_max_idle: Option<Duration>,
    /// `fetch.max.bytes`: of one answer to a fetch.
    pub fetch_max_bytes: usize,
    /// `max.request.partition.size.limit`: of one page of DescribeTopicPartitions.
    pub max_request_partition_size_limit: usize,
    /// `max.incremental.fetch.session.cache.slots`.
    pub max_incremental_fetch_session_cache_slots: usize,
    /// `controller.quorum.election.timeout.ms`.
    pub controller_quorum_election_timeout: Duration,
    /// `controller.quorum.fetch.timeout.ms`.
    pub controller_quorum_fetch_timeout: Duration,
}

impl BrokerConfig {
    /// Reads the effective values. They were validated where they were set.
    #[must_use]
    pub fn resolve(values: &BrokerValues) -> Self {
        Self {
            num_partitions: values.read(&keys::NUM_PARTITIONS),
            default_replication_factor: values.read(&keys::DEFAULT_REPLICATION_FACTOR),
            auto_create_topics_enable: values.read(&keys::AUTO_CREATE_TOPICS_ENABLE),
            delete_topic_enable: values.read(&keys::DELETE_TOPIC_ENABLE),
            controlled_shutdown_enable: values.read(&keys::CONTROLLED_SHUTDOWN_ENABLE),
            auto_leader_rebalance_enable: values.read(&keys::AUTO_LEADER_REBALANCE_ENABLE),
            leader_imbalance_check_interval: values
                .read(&keys::LEADER_IMBALANCE_CHECK_INTERVAL_SECONDS),
            broker_session_timeout: values.read(&keys::BROKER_SESSION_TIMEOUT_MS),
            broker_heartbeat_interval: values.read(&keys::BROKER_HEARTBEAT_INTERVAL_MS),
            replica_lag_time_max: values.read(&keys::REPLICA_LAG_TIME_MAX_MS),
            replica_high_watermark_checkpoint_interval: values
                .read(&keys::REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS),
            selects_replicas_by_rack: values
                .read(&keys::REPLICA_SELECTOR_CLASS)
                .is_some_and(|class| class.ends_with("RackAwareReplicaSelector")),
            log_retention_check_interval: values.read(&keys::LOG_RETENTION_CHECK_INTERVAL_MS),
            log_flush_offset_checkpoint_interval: values
                .read(&keys::LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS),
            producer_id_expiration: values.read(&keys::PRODUCER_ID_EXPIRATION_MS),
            producer_id_expiration_check_interval: values
                .read(&keys::PRODUCER_ID_EXPIRATION_CHECK_INTERVAL_MS),
            add_partitions_to_txn_retry_backoff: values
                .read(&keys::ADD_PARTITIONS_TO_TXN_RETRY_BACKOFF_MS),
            add_partitions_to_txn_retry_backoff_max: values
                .read(&keys::ADD_PARTITIONS_TO_TXN_RETRY_BACKOFF_MAX_MS),
            transaction_partition_verification_enable: values
                .read(&keys::TRANSACTION_PARTITION_VERIFICATION_ENABLE),
            socket_request_max_bytes: values.read(&keys::SOCKET_REQUEST_MAX_BYTES),
            socket_listen_backlog_size: values.read(&keys::SOCKET_LISTEN_BACKLOG_SIZE),
            connections_max_idle: values.read(&keys::CONNECTIONS_MAX_IDLE_MS),
            fetch_max_bytes: values.read(&keys::FETCH_MAX_BYTES),
            max_request_partition_size_limit: values.read(&keys::MAX_REQUEST_PARTITION_SIZE_LIMIT),
            max_incremental_fetch_session_cache_slots: values
                .read(&keys::MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS),
            controller_quorum_election_timeout: values
                .read(&keys::CONTROLLER_QUORUM_ELECTION_TIMEOUT_MS),
            controller_quorum_fetch_timeout: values.read(&keys::CONTROLLER_QUORUM_FETCH_TIMEOUT_MS),
        }
    }
}
