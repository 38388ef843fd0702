//! Groups' properties (KIP-848, KIP-932, KIP-1071).
//!
//! Names, types, defaults, ranges, importance and documentation are those of Apache Kafka 4.3, with
//! what 4.4 adds (see NOTICE). Sorted by name.

use crate::definition::ConfigDef;
use crate::definition::ConfigType::{Boolean, Int, List, Long, String};
use crate::definition::Default::{Null, Value};
use crate::definition::Importance::{Low, Medium};
use crate::definition::Validator::{AtLeast, Distinct, OffsetReset, OneOf};

#[rustfmt::skip]
pub(super) const TABLE: &[ConfigDef] = &[
    ConfigDef::new("consumer.assignment.interval.ms", Int, Value("1000"), Medium)
        .check(AtLeast(0)).honoured().broker("group.consumer.assignment.interval.ms")
        .doc("The interval between assignment updates for a consumer group."),
    ConfigDef::new("consumer.assignor.offload.enable", Boolean, Value("true"), Medium)
        .internal().broker("group.consumer.assignor.offload.enable")
        .doc("Whether to offload consumer group assignment to a group coordinator background \
             thread."),
    ConfigDef::new("consumer.heartbeat.interval.ms", Int, Value("5000"), Medium)
        .check(AtLeast(1)).honoured().broker("group.consumer.heartbeat.interval.ms")
        .doc("The heartbeat interval given to the members of a consumer group."),
    ConfigDef::new("consumer.session.timeout.ms", Int, Value("45000"), Medium)
        .check(AtLeast(1)).honoured().broker("group.consumer.session.timeout.ms")
        .doc("The timeout to detect client failures when using the consumer group protocol."),
    ConfigDef::new("errors.deadletterqueue.copy.record.enable", Boolean, Value("false"), Medium)
        .doc("When writing onto the dead-letter queue topic, whether to copy the original record \
             onto the DLQ topic, or just write a record containing the context information \
             headers."),
    ConfigDef::new("errors.deadletterqueue.topic.name", String, Value(""), Medium)
        .doc("The name of the topic to be used as the dead-letter queue (DLQ) topic for this share \
             group. If blank (the default), the group does not have a DLQ topic."),
    ConfigDef::new("share.assignment.interval.ms", Int, Value("1000"), Medium)
        .check(AtLeast(0)).broker("group.share.assignment.interval.ms")
        .doc("The interval between assignment updates for a share group."),
    ConfigDef::new("share.assignor.offload.enable", Boolean, Value("true"), Medium)
        .internal().broker("group.share.assignor.offload.enable")
        .doc("Whether to offload share group assignment to a group coordinator background thread."),
    ConfigDef::new("share.auto.offset.reset", String, Value("latest"), Medium)
        .check(OffsetReset)
        .doc("The strategy to initialize the share-partition start offset. <ul><li>earliest: \
             automatically reset the offset to the earliest offset</li><li>latest: \
             automatically reset the offset to the latest \
             offset</li><li>by_duration:&lt;duration&gt;: automatically reset the offset to a \
             configured duration from the current timestamp. &lt;duration&gt; must be specified \
             in ISO8601 format (PnDTnHnMn.nS). Negative duration is not \
             allowed.</li><li>anything else: throw exception to the share consumer.</li></ul>"),
    ConfigDef::new("share.delivery.count.limit", Int, Value("5"), Medium)
        .check(AtLeast(2)).broker("group.share.delivery.count.limit")
        .doc("The maximum number of delivery attempts for a record delivered to a share group."),
    ConfigDef::new("share.heartbeat.interval.ms", Int, Value("5000"), Medium)
        .check(AtLeast(1)).broker("group.share.heartbeat.interval.ms")
        .doc("The heartbeat interval given to the members of a share group."),
    ConfigDef::new("share.isolation.level", String, Value("read_uncommitted"), Medium)
        .check(OneOf(&["read_committed", "read_uncommitted"]))
        .doc("Controls how to read records written transactionally. If set to \"read_committed\", \
             the share group will only deliver transactional records which have been committed. \
             If set to \"read_uncommitted\", the share group will return all messages, even \
             transactional messages which have been aborted. Non-transactional records will be \
             returned unconditionally in either mode."),
    ConfigDef::new("share.partition.max.record.locks", Int, Value("2000"), Medium)
        .check(AtLeast(100)).broker("group.share.partition.max.record.locks")
        .doc("Share-group record lock limit per share-partition."),
    ConfigDef::new("share.record.lock.duration.ms", Int, Value("30000"), Medium)
        .check(AtLeast(1000)).broker("group.share.record.lock.duration.ms")
        .doc("The record acquisition lock duration in milliseconds for share groups."),
    ConfigDef::new("share.renew.acknowledge.enable", Boolean, Value("true"), Medium)
        .doc("Whether the renew acknowledge type is enabled for the share group."),
    ConfigDef::new("share.session.timeout.ms", Int, Value("45000"), Medium)
        .check(AtLeast(1)).broker("group.share.session.timeout.ms")
        .doc("The timeout to detect client failures when using the share group protocol."),
    ConfigDef::new("streams.acceptable.recovery.lag", Long, Value("10000"), Medium)
        .check(AtLeast(0)).internal().broker("group.streams.acceptable.recovery.lag")
        .doc("The maximum acceptable lag (number of offsets to catch up) for a client to be \
             considered caught-up enough to receive an active task assignment."),
    ConfigDef::new("streams.assignment.interval.ms", Int, Value("1000"), Medium)
        .check(AtLeast(0)).broker("group.streams.assignment.interval.ms")
        .doc("The interval between assignment updates for a streams group."),
    ConfigDef::new("streams.assignor.name", String, Null, Medium)
        .check(OneOf(&["sticky"])).broker("group.streams.assignors")
        .doc("The task assignor to use for this streams group, selected by short name from the \
             assignors registered via the broker configuration group.streams.assignors. When \
             unset, the group defaults to the first assignor configured in the broker's \
             group.streams.assignors setting. Changing the assignor does not trigger a rebalance \
             for the group; the new assignor takes effect on the next rebalance."),
    ConfigDef::new("streams.assignor.offload.enable", Boolean, Value("true"), Medium)
        .internal().broker("group.streams.assignor.offload.enable")
        .doc("Whether to offload streams group assignment to a group coordinator background \
             thread."),
    ConfigDef::new("streams.heartbeat.interval.ms", Int, Value("5000"), Medium)
        .check(AtLeast(1)).broker("group.streams.heartbeat.interval.ms")
        .doc("The heartbeat interval given to the members."),
    ConfigDef::new("streams.initial.rebalance.delay.ms", Int, Value("3000"), Medium)
        .check(AtLeast(0)).broker("group.streams.initial.rebalance.delay.ms")
        .doc("The amount of time the group coordinator will wait for more streams clients to \
             join a new group before performing the first rebalance. A longer delay means \
             potentially fewer rebalances."),
    ConfigDef::new("streams.num.standby.replicas", Int, Value("0"), Medium)
        .check(AtLeast(0)).broker("group.streams.num.standby.replicas")
        .doc("The number of standby replicas for each task."),
    ConfigDef::new("streams.num.warmup.replicas", Int, Value("2"), Medium)
        .check(AtLeast(0)).internal().broker("group.streams.num.warmup.replicas")
        .doc("The maximum number of warmup task replicas."),
    ConfigDef::new("streams.rack.aware.assignment.tags", List, Value(""), Low)
        .check(Distinct).broker("group.streams.rack.aware.assignment.tags")
        .doc("List of client tag keys used to distribute standby replicas across Kafka Streams \
             instances. When configured, and the used broker-side assignor supports it, it will \
             make a best-effort to distribute standby tasks over each client tag dimension."),
    ConfigDef::new("streams.session.timeout.ms", Int, Value("45000"), Medium)
        .check(AtLeast(1)).broker("group.streams.session.timeout.ms")
        .doc("The timeout to detect client failures when using the streams group protocol."),
    ConfigDef::new("streams.task.offset.interval.ms", Int, Value("60000"), Medium)
        .check(AtLeast(1)).internal().broker("group.streams.task.offset.interval.ms")
        .doc("The interval in which the warmup task changelog offsets on a client are updated on \
             the broker. The offsets are sent with the next heartbeat after this time has passed."),
];
