//! The keys of all properties that Dohle acts on, by scope. Code can read a property only with its
//! key.
//!
//! A broker's property that is merely the default of a topic's has no key: it is read with the
//! topic's.

use std::time::Duration;

use dohle_model::CompressionType;

use super::choices::{
    AddressCounts, CleanupPolicy, LogFormat, TargetCompression, ThrottledReplicas, TimestampType,
};
use super::group::MigrationPolicy;
use super::key::{BrokerKey, ClientMetricsKey, GroupKey, TopicKey};

macro_rules! keys {
    ($key:ident; $($name:ident: $type:ty = $text:literal;)*) => {
        $(
            #[doc = concat!("`", $text, "`.")]
            pub const $name: $key<$type> = $key::new($text);
        )*

        /// The constants' names and those of their properties, and whether a property's default is
        /// a value of its key's type.
        #[cfg(test)]
        pub(crate) fn all() -> Vec<(&'static str, &'static str, bool)> {
            vec![$((stringify!($name), $text, reads_default(&$name.definition(), |def, text| {
                <$type as crate::key::ConfigValue>::read(def, text).is_some()
            }))),*]
        }
    };
}

#[cfg(test)]
fn reads_default(def: &crate::ConfigDef, read: impl Fn(&crate::ConfigDef, &str) -> bool) -> bool {
    def.default_value().is_none_or(|text| read(def, text))
}

/// Properties of brokers and controllers.
pub mod broker {
    use super::*;

    keys! { BrokerKey;
        ADD_PARTITIONS_TO_TXN_RETRY_BACKOFF_MAX_MS: Duration =
            "add.partitions.to.txn.retry.backoff.max.ms";
        ADD_PARTITIONS_TO_TXN_RETRY_BACKOFF_MS: Duration = "add.partitions.to.txn.retry.backoff.ms";
        ADVERTISED_LISTENERS: Vec<String> = "advertised.listeners";
        ALLOW_EVERYONE_IF_NO_ACL_FOUND: bool = "allow.everyone.if.no.acl.found";
        ALTER_LOG_DIRS_REPLICATION_QUOTA_WINDOW_NUM: u32 =
            "alter.log.dirs.replication.quota.window.num";
        ALTER_LOG_DIRS_REPLICATION_QUOTA_WINDOW_SIZE_SECONDS: Duration =
            "alter.log.dirs.replication.quota.window.size.seconds";
        AUTHORIZER_CLASS_NAME: Option<String> = "authorizer.class.name";
        AUTO_CREATE_TOPICS_ENABLE: bool = "auto.create.topics.enable";
        AUTO_LEADER_REBALANCE_ENABLE: bool = "auto.leader.rebalance.enable";
        BROKER_HEARTBEAT_INTERVAL_MS: Duration = "broker.heartbeat.interval.ms";
        BROKER_ID: Option<i32> = "broker.id";
        BROKER_RACK: Option<String> = "broker.rack";
        BROKER_SESSION_TIMEOUT_MS: Duration = "broker.session.timeout.ms";
        CONFIG_PROVIDERS: Vec<String> = "config.providers";
        CONNECTION_FAILED_AUTHENTICATION_DELAY_MS: Duration =
            "connection.failed.authentication.delay.ms";
        CONNECTIONS_MAX_IDLE_MS: Option<Duration> = "connections.max.idle.ms";
        CONNECTIONS_MAX_REAUTH_MS: Option<Duration> = "connections.max.reauth.ms";
        CONTROLLED_SHUTDOWN_ENABLE: bool = "controlled.shutdown.enable";
        CONTROLLER_LISTENER_NAMES: Vec<String> = "controller.listener.names";
        CONTROLLER_QUORUM_BOOTSTRAP_SERVERS: Vec<String> = "controller.quorum.bootstrap.servers";
        CONTROLLER_QUORUM_ELECTION_TIMEOUT_MS: Duration = "controller.quorum.election.timeout.ms";
        CONTROLLER_QUORUM_FETCH_TIMEOUT_MS: Duration = "controller.quorum.fetch.timeout.ms";
        CONTROLLER_QUORUM_VOTERS: Vec<String> = "controller.quorum.voters";
        CONTROLLER_QUOTA_WINDOW_NUM: u32 = "controller.quota.window.num";
        CONTROLLER_QUOTA_WINDOW_SIZE_SECONDS: Duration = "controller.quota.window.size.seconds";
        CORDONED_LOG_DIRS: Vec<String> = "cordoned.log.dirs";
        DEFAULT_REPLICATION_FACTOR: i16 = "default.replication.factor";
        DELEGATION_TOKEN_EXPIRY_CHECK_INTERVAL_MS: Duration =
            "delegation.token.expiry.check.interval.ms";
        DELEGATION_TOKEN_EXPIRY_TIME_MS: Duration = "delegation.token.expiry.time.ms";
        DELEGATION_TOKEN_MAX_LIFETIME_MS: Duration = "delegation.token.max.lifetime.ms";
        DELEGATION_TOKEN_SECRET_KEY: Option<String> = "delegation.token.secret.key";
        DELETE_TOPIC_ENABLE: bool = "delete.topic.enable";
        EARLY_START_LISTENERS: Vec<String> = "early.start.listeners";
        FETCH_MAX_BYTES: usize = "fetch.max.bytes";
        FOLLOWER_REPLICATION_THROTTLED_RATE: Option<u64> = "follower.replication.throttled.rate";
        GROUP_CONSUMER_ASSIGNMENT_INTERVAL_MS: Duration = "group.consumer.assignment.interval.ms";
        GROUP_CONSUMER_ASSIGNORS: Vec<String> = "group.consumer.assignors";
        GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS: Duration = "group.consumer.heartbeat.interval.ms";
        GROUP_CONSUMER_MAX_ASSIGNMENT_INTERVAL_MS: Duration =
            "group.consumer.max.assignment.interval.ms";
        GROUP_CONSUMER_MAX_HEARTBEAT_INTERVAL_MS: Duration =
            "group.consumer.max.heartbeat.interval.ms";
        GROUP_CONSUMER_MAX_SESSION_TIMEOUT_MS: Duration = "group.consumer.max.session.timeout.ms";
        GROUP_CONSUMER_MAX_SIZE: usize = "group.consumer.max.size";
        GROUP_CONSUMER_MIGRATION_POLICY: MigrationPolicy = "group.consumer.migration.policy";
        GROUP_CONSUMER_MIN_ASSIGNMENT_INTERVAL_MS: Duration =
            "group.consumer.min.assignment.interval.ms";
        GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS: Duration =
            "group.consumer.min.heartbeat.interval.ms";
        GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS: Duration = "group.consumer.min.session.timeout.ms";
        GROUP_CONSUMER_REGEX_REFRESH_INTERVAL_MS: Duration =
            "group.consumer.regex.refresh.interval.ms";
        GROUP_CONSUMER_SESSION_TIMEOUT_MS: Duration = "group.consumer.session.timeout.ms";
        GROUP_COORDINATOR_REBALANCE_PROTOCOLS: Vec<String> =
            "group.coordinator.rebalance.protocols";
        GROUP_INITIAL_REBALANCE_DELAY_MS: Duration = "group.initial.rebalance.delay.ms";
        GROUP_MAX_SESSION_TIMEOUT_MS: Duration = "group.max.session.timeout.ms";
        GROUP_MAX_SIZE: usize = "group.max.size";
        GROUP_MIN_SESSION_TIMEOUT_MS: Duration = "group.min.session.timeout.ms";
        HTTP_LISTENERS: Vec<String> = "http.listeners";
        INTER_BROKER_LISTENER_NAME: Option<String> = "inter.broker.listener.name";
        LEADER_IMBALANCE_CHECK_INTERVAL_SECONDS: Duration =
            "leader.imbalance.check.interval.seconds";
        LEADER_REPLICATION_THROTTLED_RATE: Option<u64> = "leader.replication.throttled.rate";
        LISTENER_SECURITY_PROTOCOL_MAP: String = "listener.security.protocol.map";
        LISTENERS: Vec<String> = "listeners";
        LOG_CLEANER_BACKOFF_MS: Duration = "log.cleaner.backoff.ms";
        LOG_CLEANER_DEDUPE_BUFFER_SIZE: usize = "log.cleaner.dedupe.buffer.size";
        LOG_CLEANER_ENABLE: bool = "log.cleaner.enable";
        LOG_CLEANER_IO_BUFFER_LOAD_FACTOR: f64 = "log.cleaner.io.buffer.load.factor";
        LOG_CLEANER_IO_BUFFER_SIZE: usize = "log.cleaner.io.buffer.size";
        LOG_CLEANER_IO_MAX_BYTES_PER_SECOND: f64 = "log.cleaner.io.max.bytes.per.second";
        LOG_CLEANER_THREADS: usize = "log.cleaner.threads";
        LOG_DIR: Vec<String> = "log.dir";
        LOG_DIR_RESERVE_BYTES: u64 = "log.dir.reserve.bytes";
        LOG_DIRS: Vec<String> = "log.dirs";
        LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS: Duration =
            "log.flush.offset.checkpoint.interval.ms";
        LOG_FORMAT: LogFormat = "log.format";
        LOG_RETENTION_CHECK_INTERVAL_MS: Duration = "log.retention.check.interval.ms";
        LOG_SCRUB_ENABLE: bool = "log.scrub.enable";
        LOG_SCRUB_INTERVAL_MS: Duration = "log.scrub.interval.ms";
        LOG_SCRUB_MAX_BYTES_PER_SECOND: f64 = "log.scrub.max.bytes.per.second";
        MAX_CONNECTIONS: usize = "max.connections";
        MAX_CONNECTIONS_PER_IP: usize = "max.connections.per.ip";
        MAX_CONNECTIONS_PER_IP_OVERRIDES: AddressCounts = "max.connections.per.ip.overrides";
        MAX_CONNECTION_CREATION_RATE: i32 = "max.connection.creation.rate";
        MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS: usize =
            "max.incremental.fetch.session.cache.slots";
        MAX_REQUEST_PARTITION_SIZE_LIMIT: usize = "max.request.partition.size.limit";
        METADATA_LOG_DIR: Option<String> = "metadata.log.dir";
        METADATA_LOG_MAX_RECORD_BYTES_BETWEEN_SNAPSHOTS: u64 =
            "metadata.log.max.record.bytes.between.snapshots";
        METADATA_LOG_MAX_SNAPSHOT_INTERVAL_MS: Duration = "metadata.log.max.snapshot.interval.ms";
        METRICS_CLIENT_SERIES_MAX: usize = "metrics.client.series.max";
        METRICS_GROUPS_MAX: usize = "metrics.groups.max";
        METRICS_JMX_RULES: Option<String> = "metrics.jmx.rules";
        METRICS_TOPICS_MAX: usize = "metrics.topics.max";
        MIN_INSYNC_REPLICAS: usize = "min.insync.replicas";
        NODE_ID: Option<i32> = "node.id";
        NODE_PRINCIPALS: String = "node.principals";
        NUM_NETWORK_THREADS: usize = "num.network.threads";
        NUM_PARTITIONS: i32 = "num.partitions";
        NUM_REPLICA_ALTER_LOG_DIRS_THREADS: Option<i32> = "num.replica.alter.log.dirs.threads";
        OFFSET_METADATA_MAX_BYTES: usize = "offset.metadata.max.bytes";
        OFFSETS_COMMIT_TIMEOUT_MS: Duration = "offsets.commit.timeout.ms";
        OFFSETS_LOAD_BUFFER_SIZE: usize = "offsets.load.buffer.size";
        OFFSETS_RETENTION_CHECK_INTERVAL_MS: Duration = "offsets.retention.check.interval.ms";
        OFFSETS_RETENTION_MINUTES: Duration = "offsets.retention.minutes";
        OFFSETS_TOPIC_COMPRESSION_CODEC: CompressionType = "offsets.topic.compression.codec";
        OFFSETS_TOPIC_NUM_PARTITIONS: i32 = "offsets.topic.num.partitions";
        OFFSETS_TOPIC_REPLICATION_FACTOR: usize = "offsets.topic.replication.factor";
        OFFSETS_TOPIC_SEGMENT_BYTES: i32 = "offsets.topic.segment.bytes";
        PROCESS_ROLES: Vec<String> = "process.roles";
        PRODUCER_ID_EXPIRATION_CHECK_INTERVAL_MS: Duration =
            "producer.id.expiration.check.interval.ms";
        PRODUCER_ID_EXPIRATION_MS: Duration = "producer.id.expiration.ms";
        QUEUED_MAX_REQUEST_BYTES: Option<usize> = "queued.max.request.bytes";
        QUOTA_WINDOW_NUM: u32 = "quota.window.num";
        QUOTA_WINDOW_SIZE_SECONDS: Duration = "quota.window.size.seconds";
        REPLICA_ALTER_LOG_DIRS_IO_MAX_BYTES_PER_SECOND: Option<u64> =
            "replica.alter.log.dirs.io.max.bytes.per.second";
        REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS: Duration =
            "replica.high.watermark.checkpoint.interval.ms";
        REPLICA_LAG_TIME_MAX_MS: Duration = "replica.lag.time.max.ms";
        REPLICA_SELECTOR_CLASS: Option<String> = "replica.selector.class";
        REPLICATION_QUOTA_WINDOW_NUM: u32 = "replication.quota.window.num";
        REPLICATION_QUOTA_WINDOW_SIZE_SECONDS: Duration = "replication.quota.window.size.seconds";
        REQUEST_TIMEOUT_MS: Duration = "request.timeout.ms";
        SASL_ENABLED_MECHANISMS: Vec<String> = "sasl.enabled.mechanisms";
        SASL_JAAS_CONFIG: Option<String> = "sasl.jaas.config";
        SASL_MECHANISM_CONTROLLER_PROTOCOL: String = "sasl.mechanism.controller.protocol";
        SASL_MECHANISM_INTER_BROKER_PROTOCOL: String = "sasl.mechanism.inter.broker.protocol";
        SASL_OAUTHBEARER_ALLOW_UNVERIFIED_AUDIENCE: bool =
            "sasl.oauthbearer.allow.unverified.audience";
        SASL_OAUTHBEARER_ALLOW_UNVERIFIED_ISSUER: bool =
            "sasl.oauthbearer.allow.unverified.issuer";
        SASL_OAUTHBEARER_CLOCK_SKEW_SECONDS: Duration = "sasl.oauthbearer.clock.skew.seconds";
        SASL_OAUTHBEARER_EXPECTED_AUDIENCE: Vec<String> = "sasl.oauthbearer.expected.audience";
        SASL_OAUTHBEARER_EXPECTED_ISSUER: Option<String> = "sasl.oauthbearer.expected.issuer";
        SASL_OAUTHBEARER_JWKS_ENDPOINT_REFRESH_MS: Duration =
            "sasl.oauthbearer.jwks.endpoint.refresh.ms";
        SASL_OAUTHBEARER_JWKS_ENDPOINT_RETRY_BACKOFF_MAX_MS: Duration =
            "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms";
        SASL_OAUTHBEARER_JWKS_ENDPOINT_RETRY_BACKOFF_MS: Duration =
            "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms";
        SASL_OAUTHBEARER_JWKS_ENDPOINT_URL: Option<String> = "sasl.oauthbearer.jwks.endpoint.url";
        SASL_OAUTHBEARER_SCOPE_CLAIM_NAME: String = "sasl.oauthbearer.scope.claim.name";
        SASL_OAUTHBEARER_SUB_CLAIM_NAME: String = "sasl.oauthbearer.sub.claim.name";
        SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL: Option<String> =
            "sasl.oauthbearer.token.endpoint.url";
        SASL_SERVER_CALLBACK_HANDLER_CLASS: Option<String> = "sasl.server.callback.handler.class";
        SASL_SERVER_MAX_RECEIVE_SIZE: usize = "sasl.server.max.receive.size";
        SECURITY_INTER_BROKER_PROTOCOL: String = "security.inter.broker.protocol";
        SOCKET_LISTEN_BACKLOG_SIZE: u32 = "socket.listen.backlog.size";
        SOCKET_RECEIVE_BUFFER_BYTES: Option<u32> = "socket.receive.buffer.bytes";
        SOCKET_REQUEST_MAX_BYTES: usize = "socket.request.max.bytes";
        SOCKET_SEND_BUFFER_BYTES: Option<u32> = "socket.send.buffer.bytes";
        SSL_ALLOW_DN_CHANGES: bool = "ssl.allow.dn.changes";
        SSL_ALLOW_SAN_CHANGES: bool = "ssl.allow.san.changes";
        SSL_CIPHER_SUITES: Vec<String> = "ssl.cipher.suites";
        SSL_CLIENT_AUTH: String = "ssl.client.auth";
        SSL_ENABLED_PROTOCOLS: Vec<String> = "ssl.enabled.protocols";
        SSL_ENDPOINT_IDENTIFICATION_ALGORITHM: String = "ssl.endpoint.identification.algorithm";
        SSL_KEY_PASSWORD: Option<String> = "ssl.key.password";
        SSL_KEYSTORE_CERTIFICATE_CHAIN: Option<String> = "ssl.keystore.certificate.chain";
        SSL_KEYSTORE_KEY: Option<String> = "ssl.keystore.key";
        SSL_KEYSTORE_LOCATION: Option<String> = "ssl.keystore.location";
        SSL_KEYSTORE_PASSWORD: Option<String> = "ssl.keystore.password";
        SSL_KEYSTORE_TYPE: String = "ssl.keystore.type";
        SSL_PRINCIPAL_MAPPING_RULES: String = "ssl.principal.mapping.rules";
        SSL_PROTOCOL: String = "ssl.protocol";
        SSL_TRUSTSTORE_CERTIFICATES: Option<String> = "ssl.truststore.certificates";
        SSL_TRUSTSTORE_LOCATION: Option<String> = "ssl.truststore.location";
        SSL_TRUSTSTORE_PASSWORD: Option<String> = "ssl.truststore.password";
        SSL_TRUSTSTORE_TYPE: String = "ssl.truststore.type";
        SUPER_USERS: String = "super.users";
        TELEMETRY_MAX_BYTES: usize = "telemetry.max.bytes";
        TRANSACTION_MAX_TIMEOUT_MS: Duration = "transaction.max.timeout.ms";
        TRANSACTION_PARTITION_VERIFICATION_ENABLE: bool =
            "transaction.partition.verification.enable";
        TRANSACTION_REMOVE_EXPIRED_TRANSACTION_CLEANUP_INTERVAL_MS: Duration =
            "transaction.remove.expired.transaction.cleanup.interval.ms";
        TRANSACTION_STATE_LOG_LOAD_BUFFER_SIZE: usize = "transaction.state.log.load.buffer.size";
        TRANSACTION_STATE_LOG_MIN_ISR: usize = "transaction.state.log.min.isr";
        TRANSACTION_STATE_LOG_NUM_PARTITIONS: i32 = "transaction.state.log.num.partitions";
        TRANSACTION_STATE_LOG_REPLICATION_FACTOR: usize =
            "transaction.state.log.replication.factor";
        TRANSACTION_STATE_LOG_SEGMENT_BYTES: i32 = "transaction.state.log.segment.bytes";
        TRANSACTION_TWO_PHASE_COMMIT_ENABLE: bool = "transaction.two.phase.commit.enable";
        TRANSACTIONAL_ID_EXPIRATION_MS: Duration = "transactional.id.expiration.ms";
        UNCLEAN_LEADER_ELECTION_ENABLE: bool = "unclean.leader.election.enable";
        UNSTABLE_API_VERSIONS_ENABLE: bool = "unstable.api.versions.enable";
    }
}

/// Properties of topics.
pub mod topic {
    use super::*;

    keys! { TopicKey;
        CLEANUP_POLICY: CleanupPolicy = "cleanup.policy";
        COMPRESSION_GZIP_LEVEL: Option<u32> = "compression.gzip.level";
        COMPRESSION_TYPE: TargetCompression = "compression.type";
        COMPRESSION_ZSTD_LEVEL: i32 = "compression.zstd.level";
        DELETE_RETENTION_MS: Duration = "delete.retention.ms";
        FILE_DELETE_DELAY_MS: Duration = "file.delete.delay.ms";
        FLUSH_MESSAGES: Option<u64> = "flush.messages";
        FLUSH_MS: Option<Duration> = "flush.ms";
        FOLLOWER_REPLICATION_THROTTLED_REPLICAS: ThrottledReplicas =
            "follower.replication.throttled.replicas";
        INDEX_INTERVAL_BYTES: u32 = "index.interval.bytes";
        LEADER_REPLICATION_THROTTLED_REPLICAS: ThrottledReplicas =
            "leader.replication.throttled.replicas";
        MAX_COMPACTION_LAG_MS: Option<Duration> = "max.compaction.lag.ms";
        MAX_DECOMPRESSED_MESSAGE_BYTES: u32 = "max.decompressed.message.bytes";
        MAX_MESSAGE_BYTES: u32 = "max.message.bytes";
        MESSAGE_TIMESTAMP_AFTER_MAX_MS: Option<Duration> = "message.timestamp.after.max.ms";
        MESSAGE_TIMESTAMP_BEFORE_MAX_MS: Option<Duration> = "message.timestamp.before.max.ms";
        MESSAGE_TIMESTAMP_TYPE: TimestampType = "message.timestamp.type";
        MIN_CLEANABLE_DIRTY_RATIO: f64 = "min.cleanable.dirty.ratio";
        MIN_COMPACTION_LAG_MS: Duration = "min.compaction.lag.ms";
        MIN_INSYNC_REPLICAS: usize = "min.insync.replicas";
        RETENTION_BYTES: Option<u64> = "retention.bytes";
        RETENTION_MS: Option<Duration> = "retention.ms";
        SEGMENT_BYTES: u32 = "segment.bytes";
        SEGMENT_INDEX_BYTES: u32 = "segment.index.bytes";
        SEGMENT_JITTER_MS: Duration = "segment.jitter.ms";
        SEGMENT_MS: Duration = "segment.ms";
        UNCLEAN_LEADER_ELECTION_ENABLE: bool = "unclean.leader.election.enable";
    }
}

/// Properties of groups.
pub mod group {
    use super::*;

    keys! { GroupKey;
        CONSUMER_ASSIGNMENT_INTERVAL_MS: Duration = "consumer.assignment.interval.ms";
        CONSUMER_HEARTBEAT_INTERVAL_MS: Duration = "consumer.heartbeat.interval.ms";
        CONSUMER_SESSION_TIMEOUT_MS: Duration = "consumer.session.timeout.ms";
    }
}

/// Properties of client metrics subscriptions.
pub mod client_metrics {
    use super::*;

    keys! { ClientMetricsKey;
        INTERVAL_MS: Duration = "interval.ms";
        MATCH: String = "match";
        METRICS: Vec<String> = "metrics";
    }
}
