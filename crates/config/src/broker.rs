//! A broker's configuration as typed values: what more than one part of a node reads.

use std::time::Duration;

use super::effective::BrokerValues;

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
    /// `socket.request.max.bytes`: the largest request.
    pub socket_request_max_bytes: usize,
    /// `socket.listen.backlog.size`.
    pub socket_listen_backlog_size: u32,
    /// `connections.max.idle.ms`; `None` for ever.
    pub connections_max_idle: Option<Duration>,
    /// `fetch.max.bytes`: of one answer to a fetch.
    pub fetch_max_bytes: usize,
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
        let ms = |name: &str| Duration::from_millis(values.number(name).unwrap_or(0));
        let size = |name: &str| values.number::<usize>(name).unwrap_or(0);
        let endless_ms = |name: &str| {
            let value: i64 = values.number(name).unwrap_or(-1);
            let bounded = u64::try_from(value).ok().filter(|_| value != i64::MAX);
            bounded.map(Duration::from_millis)
        };
        Self {
            num_partitions: values.number("num.partitions").unwrap_or(1),
            default_replication_factor: values.number("default.replication.factor").unwrap_or(1),
            auto_create_topics_enable: values.boolean("auto.create.topics.enable"),
            delete_topic_enable: values.boolean("delete.topic.enable"),
            controlled_shutdown_enable: values.boolean("controlled.shutdown.enable"),
            auto_leader_rebalance_enable: values.boolean("auto.leader.rebalance.enable"),
            leader_imbalance_check_interval: Duration::from_secs(
                values
                    .number("leader.imbalance.check.interval.seconds")
                    .unwrap_or(300),
            ),
            broker_session_timeout: ms("broker.session.timeout.ms"),
            broker_heartbeat_interval: ms("broker.heartbeat.interval.ms"),
            replica_lag_time_max: ms("replica.lag.time.max.ms"),
            replica_high_watermark_checkpoint_interval: ms(
                "replica.high.watermark.checkpoint.interval.ms",
            ),
            selects_replicas_by_rack: values
                .get("replica.selector.class")
                .is_some_and(|class| class.trim().ends_with("RackAwareReplicaSelector")),
            log_retention_check_interval: ms("log.retention.check.interval.ms"),
            log_flush_offset_checkpoint_interval: ms("log.flush.offset.checkpoint.interval.ms"),
            producer_id_expiration: ms("producer.id.expiration.ms"),
            socket_request_max_bytes: size("socket.request.max.bytes"),
            socket_listen_backlog_size: values.number("socket.listen.backlog.size").unwrap_or(50),
            connections_max_idle: endless_ms("connections.max.idle.ms"),
            fetch_max_bytes: size("fetch.max.bytes"),
            max_incremental_fetch_session_cache_slots: size(
                "max.incremental.fetch.session.cache.slots",
            ),
            controller_quorum_election_timeout: ms("controller.quorum.election.timeout.ms"),
            controller_quorum_fetch_timeout: ms("controller.quorum.fetch.timeout.ms"),
        }
    }
}
