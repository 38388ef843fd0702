//! Properties of brokers: consumer, share and streams groups.
//!
//! Names, types, defaults, ranges, importance, update modes and documentation are those of Apache
//! Kafka 4.3, with what 4.4 adds (see NOTICE). Sorted by name.

use crate::definition::ConfigDef;
use crate::definition::ConfigType::{Boolean, Class, Int, List, Long, Short, String};
use crate::definition::Default::{Null, Value};
use crate::definition::Importance::{High, Low, Medium};
use crate::definition::UpdateMode::ClusterWide;
use crate::definition::Validator::{
    AtLeast, Between, Distinct, ListOf, ListWithFirst, OneOfAnyCase,
};

#[rustfmt::skip]
pub(super) const TABLE: &[ConfigDef] = &[
    ConfigDef::new(
        "errors.deadletterqueue.auto.create.topics.enable",
        Boolean,
        Value("false"),
        Medium,
    )
        .dynamic(ClusterWide)
        .doc("Whether automatic creation of DLQ topics is enabled (KIP-1191). When a share group \
             has a DLQ topic configured, this setting controls whether the broker will \
             automatically create the topic if it does not exist."),
    ConfigDef::new("errors.deadletterqueue.topic.name.prefix", String, Value("dlq."), Medium)
        .dynamic(ClusterWide)
        .doc("The required prefix of topic names used by dead-letter queue topics for share \
             groups. When set to \"\", there is no restriction on the names used for dead-letter \
             queue topics."),
    ConfigDef::new("group.consumer.assignment.interval.ms", Int, Value("1000"), Medium)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured()
        .doc("The interval between assignment updates for a consumer group."),
    ConfigDef::new("group.consumer.assignor.offload.enable", Boolean, Value("true"), Medium)
        .dynamic(ClusterWide).internal()
        .doc("Whether to offload consumer group assignment to a group coordinator background \
             thread."),
    ConfigDef::new("group.consumer.assignors", List, Value("uniform,range"), Medium)
        .check(ListOf(&["uniform", "range"])).honoured()
        .doc("The server side assignors as a list of either names for builtin assignors or full \
             class names for customer assignors. The first one in the list is considered as \
             the default assignor to be used in the case where the consumer does not specify \
             an assignor. The supported builtin assignors are: uniform, range."),
    ConfigDef::new("group.consumer.heartbeat.interval.ms", Int, Value("5000"), Medium)
        .check(AtLeast(1)).honoured()
        .doc("The heartbeat interval given to the members of a consumer group."),
    ConfigDef::new("group.consumer.max.assignment.interval.ms", Int, Value("15000"), Medium)
        .check(AtLeast(0)).honoured()
        .doc("The maximum interval between assignment updates for a consumer group."),
    ConfigDef::new("group.consumer.max.heartbeat.interval.ms", Int, Value("15000"), Medium)
        .check(AtLeast(1)).honoured()
        .doc("The maximum heartbeat interval for registered consumers."),
    ConfigDef::new("group.consumer.max.session.timeout.ms", Int, Value("60000"), Medium)
        .check(AtLeast(1)).honoured()
        .doc("The maximum allowed session timeout for registered consumers."),
    ConfigDef::new("group.consumer.max.size", Int, Value("2147483647"), Medium)
        .check(AtLeast(1)).honoured()
        .doc("The maximum number of consumers that a single consumer group can accommodate. \
             This value will only impact groups under the CONSUMER group protocol. To \
             configure the max group size when using the CLASSIC group protocol use \
             group.max.size instead."),
    ConfigDef::new("group.consumer.migration.policy", String, Value("bidirectional"), Medium)
        .check(OneOfAnyCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"])).honoured()
        .doc("The config that enables converting the non-empty classic group using the consumer \
             embedded protocol to the non-empty consumer group using the consumer group \
             protocol and vice versa; conversions of empty groups in both directions are \
             always enabled regardless of this policy. bidirectional: both upgrade from \
             classic group to consumer group and downgrade from consumer group to classic \
             group are enabled, upgrade: only upgrade from classic group to consumer group is \
             enabled, downgrade: only downgrade from consumer group to classic group is \
             enabled, disabled: neither upgrade nor downgrade is enabled. In this mode a \
             member using the classic protocol is not allowed to join or rejoin a non-empty \
             consumer group; if a group is already mixed (for example because this policy was \
             changed), its classic-protocol members are rejected when they next attempt to \
             rejoin."),
    ConfigDef::new("group.consumer.min.assignment.interval.ms", Int, Value("0"), Medium)
        .check(AtLeast(0)).honoured()
        .doc("The minimum interval between assignment updates for a consumer group."),
    ConfigDef::new("group.consumer.min.heartbeat.interval.ms", Int, Value("5000"), Medium)
        .check(AtLeast(1)).honoured()
        .doc("The minimum heartbeat interval for registered consumers."),
    ConfigDef::new("group.consumer.min.session.timeout.ms", Int, Value("45000"), Medium)
        .check(AtLeast(1)).honoured()
        .doc("The minimum allowed session timeout for registered consumers."),
    ConfigDef::new("group.consumer.regex.refresh.interval.ms", Int, Value("600000"), Medium)
        .check(AtLeast(10_000)).internal().honoured()
        .doc("The interval at which the group coordinator will refresh the topics matching the \
             group subscribed regexes. This is only applicable to consumer groups using the \
             consumer group protocol. "),
    ConfigDef::new("group.consumer.session.timeout.ms", Int, Value("45000"), Medium)
        .check(AtLeast(1)).honoured()
        .doc("The timeout to detect client failures when using the consumer group protocol."),
    ConfigDef::new("group.coordinator.append.linger.ms", Int, Value("-1"), Medium)
        .check(AtLeast(-1))
        .doc("The duration in milliseconds that the coordinator will wait for writes to \
             accumulate before flushing them to disk. Increasing this value improves write \
             efficiency and batch size, but also increases the response latency for requests, \
             as the coordinator must wait for batches to be flushed to disk before completing \
             request processing. Transactional writes are not accumulated. Set to -1 for an \
             adaptive linger time that minimizes latency based on the workload."),
    ConfigDef::new("group.coordinator.background.threads", Int, Value("2"), High)
        .check(AtLeast(1))
        .doc("The number of threads used by the group coordinator for processing background \
             tasks (e.g. updating regular expression subscriptions and offloaded assignments)."),
    ConfigDef::new("group.coordinator.cached.buffer.max.bytes", Int, Value("1048588"), Medium)
        .check(AtLeast(524_288)).dynamic(ClusterWide)
        .doc("The maximum buffer size that the GroupCoordinator will retain for reuse. Note: \
             Setting this larger than the maximum message size is not recommended. In this \
             case, every write buffer will be eligible for recycling, which renders this \
             configuration ineffective as a size limit."),
    ConfigDef::new(
        "group.coordinator.rebalance.protocols",
        List,
        Value("classic,consumer,streams"),
        Medium,
    )
        .check(ListWithFirst(&["classic", "consumer", "share", "streams"])).honoured()
        .doc("This configuration is deprecated and will be removed in Kafka 5.0. The list of \
             enabled rebalance protocols. In Kafka 5.0, all protocols will always be enabled \
             and cannot be disabled via this configuration. Use feature versions \
             (group.version, streams.version, share.version) managed by kafka-features.sh \
             instead."),
    ConfigDef::new("group.coordinator.threads", Int, Value("4"), High)
        .check(AtLeast(1))
        .doc("The number of threads used by the group coordinator for processing requests."),
    ConfigDef::new("group.initial.rebalance.delay.ms", Int, Value("3000"), Medium)
        .honoured()
        .doc("The amount of time the group coordinator will wait for more consumers to join a \
             new group before performing the first rebalance. A longer delay means potentially \
             fewer rebalances, but increases the time until processing begins."),
    ConfigDef::new("group.max.session.timeout.ms", Int, Value("1800000"), Medium)
        .honoured()
        .doc("The maximum allowed session timeout for registered consumers. Longer timeouts \
             give consumers more time to process messages in between heartbeats at the cost of \
             a longer time to detect failures."),
    ConfigDef::new("group.max.size", Int, Value("2147483647"), Medium)
        .check(AtLeast(1)).honoured()
        .doc("The maximum number of consumers that a single consumer group can accommodate."),
    ConfigDef::new("group.min.session.timeout.ms", Int, Value("6000"), Medium)
        .honoured()
        .doc("The minimum allowed session timeout for registered consumers. Shorter timeouts \
             result in quicker failure detection at the cost of more frequent consumer \
             heartbeating, which can overwhelm broker resources."),
    ConfigDef::new("group.share.assignment.interval.ms", Int, Value("1000"), Medium)
        .check(AtLeast(0)).dynamic(ClusterWide)
        .doc("The interval between assignment updates for a share group."),
    ConfigDef::new("group.share.assignor.offload.enable", Boolean, Value("true"), Medium)
        .dynamic(ClusterWide).internal()
        .doc("Whether to offload share group assignment to a group coordinator background thread."),
    ConfigDef::new("group.share.assignors", List, Value("simple"), Medium)
        .check(ListOf(&["simple"]))
        .doc("The server-side assignors as a list of either names for built-in assignors or \
             full class names for custom assignors. The list must contain only a single entry \
             which is used by all groups. The supported built-in assignors are: simple."),
    ConfigDef::new("group.share.delivery.count.limit", Int, Value("5"), Medium)
        .check(Between(2, 10))
        .doc("The maximum number of delivery attempts for a record delivered to a share group."),
    ConfigDef::new(
        "group.share.dlq.manager.class.name",
        String,
        Value("org.apache.kafka.server.share.dlq.DefaultShareGroupDLQManager"),
        Medium,
    )
        .internal()
        .doc("The fully qualified name of a class which implements the \
             <code>org.apache.kafka.server.share.dlq.ShareGroupDLQManager</code> interface."),
    ConfigDef::new("group.share.heartbeat.interval.ms", Int, Value("5000"), Medium)
        .check(AtLeast(1))
        .doc("The heartbeat interval given to the members of a share group."),
    ConfigDef::new("group.share.initialize.retry.interval.ms", Int, Value("30000"), Low)
        .check(AtLeast(1)).internal()
        .doc("Time elapsed before retrying initialize share group state request. If below \
             offsets.commit.timeout.ms, then value of offsets.commit.timeout.ms is used."),
    ConfigDef::new("group.share.max.assignment.interval.ms", Int, Value("15000"), Medium)
        .check(AtLeast(0))
        .doc("The maximum interval between assignment updates for a share group."),
    ConfigDef::new("group.share.max.delivery.count.limit", Int, Value("10"), Medium)
        .check(Between(5, 25))
        .doc("The maximum value of a group configuration for the maximum number of delivery \
             attempts for a record delivered to a share group."),
    ConfigDef::new("group.share.max.heartbeat.interval.ms", Int, Value("15000"), Medium)
        .check(AtLeast(1))
        .doc("The maximum heartbeat interval for share group members."),
    ConfigDef::new("group.share.max.partition.max.record.locks", Int, Value("4000"), Medium)
        .check(Between(2000, 10_000))
        .doc("The maximum value of a group configuration for the record lock limit per \
             share-partition."),
    ConfigDef::new("group.share.max.record.lock.duration.ms", Int, Value("60000"), Medium)
        .check(Between(30_000, 3_600_000))
        .doc("The maximum value of a group configuration for record acquisition lock duration \
             in milliseconds."),
    ConfigDef::new("group.share.max.session.timeout.ms", Int, Value("60000"), Medium)
        .check(AtLeast(1))
        .doc("The maximum allowed session timeout for share group members."),
    ConfigDef::new("group.share.max.share.sessions", Int, Value("2000"), Medium)
        .check(AtLeast(1))
        .doc("The maximum number of share sessions per broker."),
    ConfigDef::new("group.share.max.size", Int, Value("200"), Medium)
        .check(Between(1, 1000))
        .doc("The maximum number of members that a single share group can accommodate."),
    ConfigDef::new("group.share.min.assignment.interval.ms", Int, Value("0"), Medium)
        .check(AtLeast(0))
        .doc("The minimum interval between assignment updates for a share group."),
    ConfigDef::new("group.share.min.delivery.count.limit", Int, Value("2"), Medium)
        .check(Between(2, 5))
        .doc("The minimum value of a group configuration for the maximum number of delivery \
             attempts for a record delivered to a share group."),
    ConfigDef::new("group.share.min.heartbeat.interval.ms", Int, Value("5000"), Medium)
        .check(AtLeast(1))
        .doc("The minimum heartbeat interval for share group members."),
    ConfigDef::new("group.share.min.partition.max.record.locks", Int, Value("100"), Medium)
        .check(Between(100, 2000))
        .doc("The minimum value of a group configuration for the record lock limit per \
             share-partition."),
    ConfigDef::new("group.share.min.record.lock.duration.ms", Int, Value("15000"), Medium)
        .check(Between(1000, 30_000))
        .doc("The minimum value of a group configuration for record acquisition lock duration \
             in milliseconds."),
    ConfigDef::new("group.share.min.session.timeout.ms", Int, Value("45000"), Medium)
        .check(AtLeast(1))
        .doc("The minimum allowed session timeout for share group members."),
    ConfigDef::new("group.share.partition.max.record.locks", Int, Value("2000"), Medium)
        .check(Between(100, 10_000))
        .doc("Share-group record lock limit per share-partition."),
    ConfigDef::new(
        "group.share.persister.class.name",
        String,
        Value("org.apache.kafka.server.share.persister.DefaultStatePersister"),
        Medium,
    )
        .internal()
        .doc("The fully qualified name of a class which implements the \
             <code>org.apache.kafka.server.share.Persister</code> interface."),
    ConfigDef::new("group.share.record.lock.duration.ms", Int, Value("30000"), Medium)
        .check(Between(1000, 3_600_000))
        .doc("The record acquisition lock duration in milliseconds for share groups."),
    ConfigDef::new("group.share.session.timeout.ms", Int, Value("45000"), Medium)
        .check(AtLeast(1))
        .doc("The timeout to detect client failures when using the share group protocol."),
    ConfigDef::new("group.streams.acceptable.recovery.lag", Long, Value("10000"), Medium)
        .check(AtLeast(0)).internal()
        .doc("The maximum acceptable lag (number of offsets to catch up) for a client to be \
             considered caught-up enough to receive an active task assignment."),
    ConfigDef::new("group.streams.assignment.interval.ms", Int, Value("1000"), Medium)
        .check(AtLeast(0)).dynamic(ClusterWide)
        .doc("The interval between assignment updates for a streams group."),
    ConfigDef::new("group.streams.assignor.offload.enable", Boolean, Value("true"), Medium)
        .dynamic(ClusterWide).internal()
        .doc("Whether to offload streams group assignment to a group coordinator background \
             thread."),
    ConfigDef::new("group.streams.assignors", List, Value("sticky"), Medium)
        .check(ListOf(&["sticky"]))
        .doc("The server side task assignors for streams groups as a list of either names for \
             built-in assignors or fully qualified class names for custom assignors. The first \
             one in the list is considered as the default assignor to be used in the case where \
             the streams group does not specify an assignor. Changing the default assignor does \
             not trigger a rebalance for existing groups; the new default takes effect on the \
             next rebalance. The supported built-in assignors are: sticky."),
    ConfigDef::new("group.streams.heartbeat.interval.ms", Int, Value("5000"), Medium)
        .check(AtLeast(1))
        .doc("The heartbeat interval given to the members."),
    ConfigDef::new("group.streams.initial.rebalance.delay.ms", Int, Value("3000"), Medium)
        .check(AtLeast(0))
        .doc("The amount of time the group coordinator will wait for more streams clients to \
             join a new group before performing the first rebalance. A longer delay means \
             potentially fewer rebalances."),
    ConfigDef::new("group.streams.max.assignment.interval.ms", Int, Value("15000"), Medium)
        .check(AtLeast(0))
        .doc("The maximum interval between assignment updates for a streams group."),
    ConfigDef::new("group.streams.max.heartbeat.interval.ms", Int, Value("15000"), Medium)
        .check(AtLeast(1))
        .doc("The maximum allowed value for the group-level configuration of \
             streams.heartbeat.interval.ms"),
    ConfigDef::new("group.streams.max.session.timeout.ms", Int, Value("60000"), Medium)
        .check(AtLeast(1))
        .doc("The maximum allowed value for the group-level configuration of \
             streams.session.timeout.ms"),
    ConfigDef::new("group.streams.max.size", Int, Value("2147483647"), Medium)
        .check(AtLeast(1))
        .doc("The maximum number of streams clients that a single streams group can accommodate."),
    ConfigDef::new("group.streams.max.standby.replicas", Int, Value("2"), Medium)
        .check(AtLeast(0))
        .doc("The maximum allowed value for the group-level configuration of \
             streams.num.standby.replicas"),
    ConfigDef::new("group.streams.max.warmup.replicas", Int, Value("20"), Medium)
        .check(AtLeast(0)).internal()
        .doc("The maximum allowed value for the group-level configuration of \
             streams.num.warmup.replicas"),
    ConfigDef::new("group.streams.min.assignment.interval.ms", Int, Value("0"), Medium)
        .check(AtLeast(0))
        .doc("The minimum interval between assignment updates for a streams group."),
    ConfigDef::new("group.streams.min.heartbeat.interval.ms", Int, Value("5000"), Medium)
        .check(AtLeast(1))
        .doc("The minimum allowed value for the group-level configuration of \
             streams.heartbeat.interval.ms"),
    ConfigDef::new("group.streams.min.session.timeout.ms", Int, Value("45000"), Medium)
        .check(AtLeast(1))
        .doc("The minimum allowed value for the group-level configuration of \
             streams.session.timeout.ms"),
    ConfigDef::new("group.streams.min.task.offset.interval.ms", Int, Value("15000"), Medium)
        .check(AtLeast(1)).internal()
        .doc("The minimum allowed value for the group-level configuration of \
             streams.task.offset.interval.ms"),
    ConfigDef::new("group.streams.num.standby.replicas", Int, Value("0"), Medium)
        .check(AtLeast(0))
        .doc("The number of standby replicas for each task."),
    ConfigDef::new("group.streams.num.warmup.replicas", Int, Value("2"), Medium)
        .check(AtLeast(0)).internal()
        .doc("The maximum number of warmup task replicas."),
    ConfigDef::new("group.streams.rack.aware.assignment.tags", List, Value(""), Low)
        .check(Distinct)
        .doc("List of client tag keys used to distribute standby replicas across Kafka Streams \
             instances. When configured, and the used broker-side assignor supports it, it will \
             make a best-effort to distribute standby tasks over each client tag dimension."),
    ConfigDef::new("group.streams.session.timeout.ms", Int, Value("45000"), Medium)
        .check(AtLeast(1))
        .doc("The timeout to detect client failures when using the streams group protocol."),
    ConfigDef::new("group.streams.task.offset.interval.ms", Int, Value("60000"), Medium)
        .check(AtLeast(1)).internal()
        .doc("The interval in which the warmup task changelog offsets on a client are updated on \
             the broker. The offsets are sent with the next heartbeat after this time has passed."),
    ConfigDef::new("group.streams.topology.description.plugin.class", Class, Null, Medium)
        .doc("The fully qualified class name of a StreamsGroupTopologyDescriptionPlugin \
             implementation. When not set, the feature is disabled."),
    ConfigDef::new("share.coordinator.append.linger.ms", Int, Value("-1"), Medium)
        .check(AtLeast(-1))
        .doc("The duration in milliseconds that the share coordinator will wait for writes to \
             accumulate before flushing them to disk. Set to -1 for an adaptive linger time \
             that minimizes latency based on the workload."),
    ConfigDef::new("share.coordinator.cached.buffer.max.bytes", Int, Value("1048588"), Medium)
        .check(AtLeast(524_288)).dynamic(ClusterWide)
        .doc("The maximum buffer size that the ShareCoordinator will retain for reuse. Note: \
             Setting this larger than the maximum message size is not recommended. In this \
             case, every write buffer will be eligible for recycling, which renders this \
             configuration ineffective as a size limit."),
    ConfigDef::new(
        "share.coordinator.cold.partition.snapshot.interval.ms",
        Int,
        Value("300000"),
        Low,
    )
        .check(AtLeast(1)).internal()
        .doc("The duration in milliseconds that the share coordinator will wait between force \
             snapshotting share partitions which are not being updated."),
    ConfigDef::new("share.coordinator.load.buffer.size", Int, Value("5242880"), High)
        .check(AtLeast(1))
        .doc("Batch size for reading from the share-group state topic when loading state \
             information into the cache (soft-limit, overridden if records are too large)."),
    ConfigDef::new(
        "share.coordinator.snapshot.update.records.per.snapshot",
        Int,
        Value("500"),
        Medium,
    )
        .check(Between(0, 500))
        .doc("The number of update records the share coordinator writes between snapshot \
             records."),
    ConfigDef::new("share.coordinator.state.topic.compression.codec", Int, Value("0"), High)
        .check(Between(0, 4))
        .doc("Compression codec for the share-group state topic."),
    ConfigDef::new("share.coordinator.state.topic.min.isr", Short, Value("2"), High)
        .check(AtLeast(1))
        .doc("Overridden min.insync.replicas for the share-group state topic."),
    ConfigDef::new("share.coordinator.state.topic.num.partitions", Int, Value("50"), High)
        .check(AtLeast(1))
        .doc("The number of partitions for the share-group state topic (should not change after \
             deployment)."),
    ConfigDef::new("share.coordinator.state.topic.prune.interval.ms", Int, Value("300000"), Low)
        .check(AtLeast(1)).internal()
        .doc("The duration in milliseconds that the share coordinator will wait between pruning \
             eligible records in share-group state topic."),
    ConfigDef::new("share.coordinator.state.topic.replication.factor", Short, Value("3"), High)
        .check(AtLeast(1))
        .doc("Replication factor for the share-group state topic. Topic creation will fail \
             until the cluster size meets this replication factor requirement."),
    ConfigDef::new("share.coordinator.state.topic.segment.bytes", Int, Value("104857600"), High)
        .check(AtLeast(1))
        .doc("The log segment size for the share-group state topic."),
    ConfigDef::new("share.coordinator.threads", Int, Value("1"), Medium)
        .check(AtLeast(1))
        .doc("The number of threads used by the share coordinator."),
    ConfigDef::new("share.coordinator.write.timeout.ms", Int, Value("5000"), High)
        .check(AtLeast(1))
        .doc("The duration in milliseconds that the share coordinator will wait for all \
             replicas of the share-group state topic to receive a write."),
    ConfigDef::new("share.fetch.purgatory.purge.interval.requests", Int, Value("1000"), Medium)
        .doc("The purge interval (in number of requests) of the share fetch request purgatory"),
];
