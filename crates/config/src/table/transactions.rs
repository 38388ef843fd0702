//! Properties of brokers: offsets, producers and transactions.
//!
//! Names, types, defaults, ranges, importance, update modes and documentation are those of Apache
//! Kafka 4.3 (see NOTICE). Sorted by name.

use crate::definition::ConfigDef;
use crate::definition::ConfigType::{Boolean, Int, Long, Short};
use crate::definition::Default::Value;
use crate::definition::Importance::{High, Low, Medium};
use crate::definition::UpdateMode::ClusterWide;
use crate::definition::Validator::{AtLeast, Between};

#[rustfmt::skip]
pub(super) const TABLE: &[ConfigDef] = &[
    ConfigDef::new("add.partitions.to.txn.retry.backoff.max.ms", Int, Value("100"), High)
        .check(AtLeast(0)).honoured()
        .doc("The maximum allowed timeout for adding partitions to transactions on the server \
             side. It only applies to the actual add partition operations, not the \
             verification. It will not be effective if it is larger than request.timeout.ms"),
    ConfigDef::new("add.partitions.to.txn.retry.backoff.ms", Int, Value("20"), High)
        .check(AtLeast(1)).honoured()
        .doc("The server-side retry backoff when the server attemptsto add the partition to the \
             transaction"),
    ConfigDef::new("offset.metadata.max.bytes", Int, Value("4096"), High)
        .honoured()
        .doc("The maximum size for a metadata entry associated with an offset commit."),
    ConfigDef::new("offsets.commit.timeout.ms", Int, Value("5000"), High)
        .check(AtLeast(1)).honoured()
        .doc("Offset commit will be delayed until all replicas for the offsets topic receive \
             the commit or this timeout is reached. This is similar to the producer request \
             timeout. This is applied to all the writes made by the coordinator."),
    ConfigDef::new("offsets.load.buffer.size", Int, Value("5242880"), High)
        .check(AtLeast(1)).honoured()
        .doc("Batch size for reading from the offsets segments when loading group metadata  \
             into the cache (soft-limit, overridden if records are too large)."),
    ConfigDef::new("offsets.retention.check.interval.ms", Long, Value("600000"), High)
        .check(AtLeast(1)).honoured()
        .doc("Frequency at which to check for stale offsets"),
    ConfigDef::new("offsets.retention.minutes", Int, Value("10080"), High)
        .check(AtLeast(1)).honoured()
        .doc("For subscribed consumers, committed offset of a specific partition will be \
             expired and discarded when 1) this retention period has elapsed after the \
             consumer group loses all its consumers (i.e. becomes empty); 2) this retention \
             period has elapsed since the last time an offset is committed for the partition \
             and the group is no longer subscribed to the corresponding topic. For standalone \
             consumers (using manual assignment), offsets will be expired after this retention \
             period has elapsed since the time of last commit. Note that when a group is \
             deleted via the delete-group request, its committed offsets will also be deleted \
             without extra retention period; also when a topic is deleted via the delete-topic \
             request, upon propagated metadata update any group's committed offsets for that \
             topic will also be deleted without extra retention period."),
    ConfigDef::new("offsets.topic.compression.codec", Int, Value("0"), High)
        .check(Between(0, 4)).honoured()
        .doc("Compression codec for the offsets topic - compression may be used to achieve \
             \"atomic\" commits."),
    ConfigDef::new("offsets.topic.num.partitions", Int, Value("50"), High)
        .check(AtLeast(1)).honoured()
        .doc("The number of partitions for the offset commit topic (should not change after \
             deployment)."),
    ConfigDef::new("offsets.topic.replication.factor", Short, Value("3"), High)
        .check(AtLeast(1)).honoured()
        .doc("The replication factor for the offsets topic (set higher to ensure availability). \
             Internal topic creation will fail until the cluster size meets this replication \
             factor requirement."),
    ConfigDef::new("offsets.topic.segment.bytes", Int, Value("104857600"), High)
        .check(AtLeast(1)).honoured()
        .doc("The offsets topic segment bytes should be kept relatively small in order to \
             facilitate faster log compaction and cache loads."),
    ConfigDef::new("producer.id.expiration.check.interval.ms", Int, Value("600000"), Low)
        .check(AtLeast(1)).internal().honoured()
        .doc("The interval at which to remove producer IDs that have expired due to \
             <code>producer.id.expiration.ms</code> passing."),
    ConfigDef::new("producer.id.expiration.ms", Int, Value("86400000"), Low)
        .check(AtLeast(1)).dynamic(ClusterWide).honoured()
        .doc("The time in ms that a topic partition leader will wait before expiring producer \
             IDs. Producer IDs will not expire while a transaction associated to them is still \
             ongoing. Note that producer IDs may expire sooner if the last write from the \
             producer ID is deleted due to the topic's retention settings. Setting this value \
             the same or higher than <code>delivery.timeout.ms</code> can help prevent \
             expiration during retries and protect against message duplication, but the \
             default should be reasonable for most use cases."),
    ConfigDef::new("producer.purgatory.purge.interval.requests", Int, Value("1000"), Medium)
        .doc("The purge interval (in number of requests) of the producer request purgatory"),
    ConfigDef::new(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        Int,
        Value("10000"),
        Low,
    )
        .check(AtLeast(1))
        .doc("The interval at which to rollback transactions that have timed out"),
    ConfigDef::new("transaction.max.timeout.ms", Int, Value("900000"), High)
        .check(AtLeast(1)).honoured()
        .doc("The maximum allowed timeout for transactions. If a client’s requested transaction \
             time exceed this, then the broker will return an error in InitProducerIdRequest. \
             This prevents a client from too large of a timeout, which can stall consumers \
             reading from topics included in the transaction."),
    ConfigDef::new("transaction.partition.verification.enable", Boolean, Value("true"), Low)
        .dynamic(ClusterWide).honoured()
        .doc("Enable verification that checks that the partition has been added to the \
             transaction before writing transactional records to the partition"),
    ConfigDef::new(
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        Int,
        Value("3600000"),
        Low,
    )
        .check(AtLeast(1)).honoured()
        .doc("The interval at which to remove transactions that have expired due to \
             <code>transactional.id.expiration.ms</code> passing"),
    ConfigDef::new("transaction.state.log.load.buffer.size", Int, Value("5242880"), High)
        .check(AtLeast(1)).honoured()
        .doc("Batch size for reading from the transaction log segments when loading producer \
             ids and transactions into the cache (soft-limit, overridden if records are too \
             large)."),
    ConfigDef::new("transaction.state.log.min.isr", Int, Value("2"), High)
        .check(AtLeast(1)).honoured()
        .doc("The minimum number of replicas that must acknowledge a write to transaction topic \
             in order to be considered successful."),
    ConfigDef::new("transaction.state.log.num.partitions", Int, Value("50"), High)
        .check(AtLeast(1)).honoured()
        .doc("The number of partitions for the transaction topic (should not change after \
             deployment)."),
    ConfigDef::new("transaction.state.log.replication.factor", Short, Value("3"), High)
        .check(AtLeast(1)).honoured()
        .doc("The replication factor for the transaction topic (set higher to ensure \
             availability). Internal topic creation will fail until the cluster size meets \
             this replication factor requirement."),
    ConfigDef::new("transaction.state.log.segment.bytes", Int, Value("104857600"), High)
        .check(AtLeast(1)).honoured()
        .doc("The transaction topic segment bytes should be kept relatively small in order to \
             facilitate faster log compaction and cache loads"),
    ConfigDef::new("transaction.two.phase.commit.enable", Boolean, Value("false"), Low)
        .honoured()
        .doc("Allow participation in Two-Phase Commit (2PC) transactions with an external \
             transaction coordinator"),
    ConfigDef::new("transactional.id.expiration.ms", Int, Value("604800000"), High)
        .check(AtLeast(1)).honoured()
        .doc("The time in ms that the transaction coordinator will wait without receiving any \
             transaction status updates for the current transaction before expiring its \
             transactional id. Transactional IDs will not expire while a the transaction is \
             still ongoing."),
];
