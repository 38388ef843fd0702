//! Topics' properties.
//!
//! Names, types, defaults, ranges, importance, update modes and documentation are those of Apache
//! Kafka 4.3, with what 4.4 adds (see NOTICE). Sorted by name.

use crate::definition::ConfigDef;
use crate::definition::ConfigType::{Boolean, Double, Int, List, Long, String};
use crate::definition::Default::{Null, Value};
use crate::definition::Importance::Medium;
use crate::definition::Validator::{
    AtLeast, Between, BetweenDecimals, GzipLevel, ListOf, OneOf, ThrottledReplicas,
};

#[rustfmt::skip]
pub(super) const TABLE: &[ConfigDef] = &[
    ConfigDef::new("cleanup.policy", List, Value("delete"), Medium)
        .check(ListOf(&["compact", "delete"])).honoured().broker("log.cleanup.policy")
        .doc("This config designates the retention policy to use on log segments. The \
             \"delete\" policy (which is the default) will discard old segments when their \
             retention time or size limit has been reached. The \"compact\" policy will enable \
             <a href=\"#compaction\">log compaction</a>, which retains the latest value for \
             each key. It is also possible to specify both policies in a comma-separated list \
             (e.g. \"delete,compact\"). In this case, old segments will be discarded per the \
             retention time and size configuration, while retained segments will be compacted. \
             An empty list means infinite retention - no cleanup policies will be applied and \
             log segments will be retained indefinitely. Note that with remote storage \
             enabled, local retention limits (log.local.retention.ms and \
             log.local.retention.bytes) are still applied to local segments."),
    ConfigDef::new("compression.gzip.level", Int, Value("-1"), Medium)
        .check(GzipLevel).honoured().broker("compression.gzip.level")
        .doc("The compression level to use if compression.type is set to <code>gzip</code>."),
    ConfigDef::new("compression.lz4.level", Int, Value("9"), Medium)
        .check(Between(1, 17)).broker("compression.lz4.level")
        .doc("The compression level to use if compression.type is set to <code>lz4</code>."),
    ConfigDef::new("compression.type", String, Value("producer"), Medium)
        .check(OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])).honoured()
        .broker("compression.type")
        .doc("Specify the final compression type for a given topic. This configuration accepts \
             the standard compression codecs ('gzip', 'snappy', 'lz4', 'zstd'). It \
             additionally accepts 'uncompressed' which is equivalent to no compression; and \
             'producer' which means retain the original compression codec set by the producer."),
    ConfigDef::new("compression.zstd.level", Int, Value("3"), Medium)
        .check(Between(-131_072, 22)).honoured().broker("compression.zstd.level")
        .doc("The compression level to use if compression.type is set to <code>zstd</code>."),
    ConfigDef::new("delete.retention.ms", Long, Value("86400000"), Medium)
        .check(AtLeast(0)).honoured().broker("log.cleaner.delete.retention.ms")
        .doc("The amount of time to retain delete tombstone markers for <a \
             href=\"#compaction\">log compacted</a> topics. This setting also gives a bound on \
             the time in which a consumer must complete a read if they begin from offset 0 to \
             ensure that they get a valid snapshot of the final stage (otherwise delete \
             tombstones may be collected before they complete their scan)."),
    ConfigDef::new("errors.deadletterqueue.group.enable", Boolean, Value("false"), Medium)
        .doc("Enable this topic to be used as a dead-letter queue for share groups. When set to \
             <code>true</code>, share groups can write undeliverable records to this topic. When \
             set to <code>false</code> (the default), attempts to use this topic as a DLQ will be \
             rejected."),
    ConfigDef::new("file.delete.delay.ms", Long, Value("60000"), Medium)
        .check(AtLeast(0)).honoured().broker("log.segment.delete.delay.ms")
        .doc("The time to wait before deleting a file from the filesystem"),
    ConfigDef::new("flush.messages", Long, Value("9223372036854775807"), Medium)
        .check(AtLeast(1)).honoured().broker("log.flush.interval.messages")
        .doc("This setting allows specifying an interval at which we will force an fsync of \
             data written to the log. For example if this was set to 1 we would fsync after \
             every message; if it were 5 we would fsync after every five messages. In general \
             we recommend you not set this and use replication for durability and allow the \
             operating system's background flush capabilities as it is more efficient. This \
             setting can be overridden on a per-topic basis (see <a href=\"#topicconfigs\">the \
             per-topic configuration section</a>)."),
    ConfigDef::new("flush.ms", Long, Value("9223372036854775807"), Medium)
        .check(AtLeast(0)).honoured().broker("log.flush.interval.ms")
        .doc("This setting allows specifying a time interval at which we will force an fsync of \
             data written to the log. For example if this was set to 1000 we would fsync after \
             1000 ms had passed. Note that this setting depends on the broker-level \
             configuration <code>log.flush.scheduler.interval.ms</code>, which controls how \
             frequently the flush check occurs. In general we recommend you not set this and \
             use replication for durability and allow the operating system's background flush \
             capabilities as it is more efficient."),
    ConfigDef::new("follower.replication.throttled.replicas", List, Value(""), Medium)
        .check(ThrottledReplicas).honoured()
        .doc("A list of replicas for which log replication should be throttled on the follower \
             side. The list should describe a set of replicas in the form \
             [PartitionId]:[BrokerId],[PartitionId]:[BrokerId]:... or alternatively the \
             wildcard '*' can be used to throttle all replicas for this topic."),
    ConfigDef::new("index.interval.bytes", Int, Value("4096"), Medium)
        .check(AtLeast(0)).honoured().broker("log.index.interval.bytes")
        .doc("This setting controls how frequently Kafka adds entries to its offset index and, \
             conditionally, to its time index. The default setting ensures that we index a \
             message roughly every 4096 bytes. More frequent indexing allows reads to jump \
             closer to the exact position in the log but results in larger index files. You \
             probably don't need to change this.<p> Note: the time index will be inserted only \
             when the timestamp is greater than the last indexed timestamp.</p>"),
    ConfigDef::new("internal.segment.bytes", Int, Null, Medium)
        .internal()
        .doc("The maximum size of a single log file. This should be used for testing only."),
    ConfigDef::new("leader.replication.throttled.replicas", List, Value(""), Medium)
        .check(ThrottledReplicas).honoured()
        .doc("A list of replicas for which log replication should be throttled on the leader \
             side. The list should describe a set of replicas in the form \
             [PartitionId]:[BrokerId],[PartitionId]:[BrokerId]:... or alternatively the \
             wildcard '*' can be used to throttle all replicas for this topic."),
    ConfigDef::new("local.retention.bytes", Long, Value("-2"), Medium)
        .check(AtLeast(-2)).broker("log.local.retention.bytes")
        .doc("The maximum size of local log segments that can grow for a partition before it \
             deletes the old segments. Default value is -2, it represents \
             <code>retention.bytes</code> value to be used. The effective value should always \
             be less than or equal to <code>retention.bytes</code> value."),
    ConfigDef::new("local.retention.ms", Long, Value("-2"), Medium)
        .check(AtLeast(-2)).broker("log.local.retention.ms")
        .doc("The number of milliseconds to keep the local log segment before it gets deleted. \
             Default value is -2, it represents <code>retention.ms</code> value is to be used. \
             The effective value should always be less than or equal to \
             <code>retention.ms</code> value."),
    ConfigDef::new("max.compaction.lag.ms", Long, Value("9223372036854775807"), Medium)
        .check(AtLeast(1)).honoured().broker("log.cleaner.max.compaction.lag.ms")
        .doc("The maximum time a message will remain ineligible for compaction in the log. Only \
             applicable for logs that are being compacted."),
    ConfigDef::new("max.decompressed.message.bytes", Int, Value("2147483639"), Medium)
        .check(Between(1, 2_147_483_639)).honoured().broker("max.decompressed.message.bytes")
        .doc("The maximum decompressed size, in bytes, of a single record the broker will accept; \
             larger records are rejected with an <code>InvalidRecordException</code>. It is \
             enforced where the broker decompresses records: produce validation of compressed \
             batches, log compaction, and offset lookups by timestamp or max timestamp against \
             the local log or remote storage. Unlike <code>max.message.bytes</code>, which bounds \
             the compressed batch on the wire, this bounds the decompressed size of an individual \
             record. Lowering it below the size of already-stored records makes compaction and \
             timestamp offset lookups of affected partitions fail until it is raised again. The \
             default imposes no limit beyond the largest record the broker could allocate anyway; \
             set a smaller value to enforce a per-record cap."),
    ConfigDef::new("max.message.bytes", Int, Value("1048588"), Medium)
        .check(AtLeast(0)).honoured().broker("message.max.bytes")
        .doc("The largest record batch size allowed by Kafka (after compression if compression \
             is enabled)."),
    ConfigDef::new("message.timestamp.after.max.ms", Long, Value("3600000"), Medium)
        .check(AtLeast(0)).honoured().broker("log.message.timestamp.after.max.ms")
        .doc("This configuration sets the allowable timestamp difference between the message \
             timestamp and the broker's timestamp. The message timestamp can be later than or \
             equal to the broker's timestamp, with the maximum allowable difference determined \
             by the value set in this configuration. If message.timestamp.type=CreateTime, the \
             message will be rejected if the difference in timestamps exceeds this specified \
             threshold. This configuration is ignored if message.timestamp.type=LogAppendTime."),
    ConfigDef::new("message.timestamp.before.max.ms", Long, Value("9223372036854775807"), Medium)
        .check(AtLeast(0)).honoured().broker("log.message.timestamp.before.max.ms")
        .doc("This configuration sets the allowable timestamp difference between the broker's \
             timestamp and the message timestamp. The message timestamp can be earlier than or \
             equal to the broker's timestamp, with the maximum allowable difference determined \
             by the value set in this configuration. If message.timestamp.type=CreateTime, the \
             message will be rejected if the difference in timestamps exceeds this specified \
             threshold. This configuration is ignored if message.timestamp.type=LogAppendTime."),
    ConfigDef::new("message.timestamp.type", String, Value("CreateTime"), Medium)
        .check(OneOf(&["CreateTime", "LogAppendTime"])).honoured()
        .broker("log.message.timestamp.type")
        .doc("Define whether the timestamp in the message is message create time or log append \
             time."),
    ConfigDef::new("min.cleanable.dirty.ratio", Double, Value("0.5"), Medium)
        .check(BetweenDecimals(0.0, 1.0)).honoured().broker("log.cleaner.min.cleanable.ratio")
        .doc("This configuration controls how frequently the log compactor will attempt to \
             clean the log (assuming <a href=\"#compaction\">log compaction</a> is enabled). \
             By default we will avoid cleaning a log where more than 50% of the log has been \
             compacted. This ratio bounds the maximum space wasted in the log by duplicates \
             (at 50% at most 50% of the log could be duplicates). A higher ratio will mean \
             fewer, more efficient cleanings but will mean more wasted space in the log. If \
             the max.compaction.lag.ms or the min.compaction.lag.ms configurations are also \
             specified, then the log compactor considers the log to be eligible for compaction \
             as soon as either: (i) the dirty ratio threshold has been met and the log has had \
             dirty (uncompacted) records for at least the min.compaction.lag.ms duration, or \
             (ii) if the log has had dirty (uncompacted) records for at most the \
             max.compaction.lag.ms period."),
    ConfigDef::new("min.compaction.lag.ms", Long, Value("0"), Medium)
        .check(AtLeast(0)).honoured().broker("log.cleaner.min.compaction.lag.ms")
        .doc("The minimum time a message will remain uncompacted in the log. Only applicable \
             for logs that are being compacted."),
    ConfigDef::new("min.insync.replicas", Int, Value("1"), Medium)
        .check(AtLeast(1)).honoured().broker("min.insync.replicas")
        .doc("Specifies the <i>minimum</i> number of in-sync replicas (including the leader) \
             required for a write to succeed when a producer sets <code>acks</code> to \"all\" \
             (or \"-1\"). In the <code>acks=all</code> case, every in-sync replica must \
             acknowledge a write for it to be considered successful. E.g., if a topic has \
             <code>replication.factor</code> of 3 and the ISR set includes all three replicas, \
             then all three replicas must acknowledge an <code>acks=all</code> write for it to \
             succeed, even if <code>min.insync.replicas</code> happens to be less than 3. If \
             <code>acks=all</code> and the current ISR set contains fewer than \
             <code>min.insync.replicas</code> members, then the producer will raise an \
             exception (either <code>NotEnoughReplicas</code> or \
             <code>NotEnoughReplicasAfterAppend</code>).<br> Regardless of the \
             <code>acks</code> setting, the messages will not be visible to the consumers \
             until they are replicated to all in-sync replicas and the \
             <code>min.insync.replicas</code> condition is met.<br> When used together, \
             <code>min.insync.replicas</code> and <code>acks</code> allow you to enforce \
             greater durability guarantees. A typical scenario would be to create a topic with \
             a replication factor of 3, set <code>min.insync.replicas</code> to 2, and produce \
             with <code>acks</code> of \"all\". This ensures that a majority of replicas must \
             persist a write before it's considered successful by the producer and it's \
             visible to consumers.<p>Note that when the Eligible Leader Replicas feature is \
             enabled, the semantics of this config changes. Please refer to <a \
             href=\"#eligible_leader_replicas\">the ELR section</a> for more info.</p>"),
    ConfigDef::new("preallocate", Boolean, Value("false"), Medium)
        .broker("log.preallocate")
        .doc("True if we should preallocate the file on disk when creating a new log segment."),
    ConfigDef::new("remote.copy.lag.bytes", Long, Value("-1"), Medium)
        .check(AtLeast(-1)).broker("log.remote.copy.lag.bytes")
        .doc("Controls one of the two upload eligibility checks (time and size) for copying \
             segments to remote storage. A non-active segment is upload-eligible when either this \
             size-based check or <code>remote.copy.lag.ms</code> is satisfied. When set to 0, \
             uploads are immediately eligible regardless of lag checks. When set to a positive \
             value (bytes), the segment is size-eligible once bytes of newer local log data after \
             that segment reaches this value. When set to -1, this value is derived from \
             effective local retention size (<code>local.retention.bytes</code>). If that \
             effective local retention size is unlimited (-1), this size-based check is not \
             applied. A positive value should not exceed effective local retention size unless \
             local retention is unlimited (-1)."),
    ConfigDef::new("remote.copy.lag.ms", Long, Value("0"), Medium)
        .check(AtLeast(-1)).broker("log.remote.copy.lag.ms")
        .doc("Controls one of the two upload eligibility checks (time and size) for copying \
             segments to remote storage. A non-active segment is upload-eligible when either this \
             time-based check or <code>remote.copy.lag.bytes</code> is satisfied. When set to 0, \
             uploads are immediately eligible regardless of lag checks. When set to a positive \
             value (ms), the segment is time-eligible once elapsed time since its latest record \
             reaches this value. When set to -1, this value is derived from effective local \
             retention time (<code>local.retention.ms</code>). If that effective local retention \
             time is unlimited (-1), this time-based check is not applied. A positive value \
             should not exceed effective local retention time unless local retention is unlimited \
             (-1)."),
    ConfigDef::new("remote.log.copy.disable", Boolean, Value("false"), Medium)
        .doc("Determines whether tiered data for a topic should become read only, and no more \
             data uploading on a topic. Once this config is set to true, the local retention \
             configuration (i.e. local.retention.ms/bytes) becomes irrelevant, and all data \
             expiration follows the topic-wide retention configuration(i.e. \
             retention.ms/bytes)."),
    ConfigDef::new("remote.log.delete.on.disable", Boolean, Value("false"), Medium)
        .doc("Determines whether tiered data for a topic should be deleted after tiered storage \
             is disabled on a topic. This configuration should be enabled when trying to set \
             <code>remote.storage.enable</code> from true to false"),
    ConfigDef::new("remote.storage.enable", Boolean, Value("false"), Medium)
        .only_default()
        .doc("To enable tiered storage for a topic, set this configuration to true. To disable \
             tiered storage for a topic that has it enabled, set this configuration to false. \
             When disabling, you must also set <code>remote.log.delete.on.disable</code> to \
             true."),
    ConfigDef::new("retention.bytes", Long, Value("-1"), Medium)
        .honoured().broker("log.retention.bytes")
        .doc("This configuration controls the maximum size a partition (which consists of log \
             segments) can grow to before we will discard old log segments to free up space if \
             we are using the \"delete\" retention policy. By default there is no size limit \
             only a time limit. Since this limit is enforced at the partition level, multiply \
             it by the number of partitions to compute the topic retention in bytes. \
             Additionally, retention.bytes configuration operates independently of \
             \"segment.ms\" and \"segment.bytes\" configurations. Moreover, it triggers the \
             rolling of new segment if the retention.bytes is configured to zero."),
    ConfigDef::new("retention.ms", Long, Value("604800000"), Medium)
        .check(AtLeast(-1)).honoured().broker("log.retention.ms")
        .doc("This configuration controls the maximum time we will retain a log before we will \
             discard old log segments to free up space if we are using the \"delete\" \
             retention policy. This represents an SLA on how soon consumers must read their \
             data. If set to -1, no time limit is applied. Additionally, retention.ms \
             configuration operates independently of \"segment.ms\" and \"segment.bytes\" \
             configurations. Moreover, it triggers the rolling of new segment if the \
             retention.ms condition is satisfied."),
    ConfigDef::new("segment.bytes", Int, Value("1073741824"), Medium)
        .check(AtLeast(1_048_576)).honoured().broker("log.segment.bytes")
        .doc("This configuration controls the segment file size for the log. Retention and \
             cleaning is always done a file at a time so a larger segment size means fewer \
             files but less granular control over retention."),
    ConfigDef::new("segment.index.bytes", Int, Value("10485760"), Medium)
        .check(AtLeast(4)).honoured().broker("log.index.size.max.bytes")
        .doc("This configuration controls the size of the index that maps offsets to file \
             positions. We preallocate this index file and shrink it only after log rolls. You \
             generally should not need to change this setting."),
    ConfigDef::new("segment.jitter.ms", Long, Value("0"), Medium)
        .check(AtLeast(0)).honoured().broker("log.roll.jitter.ms")
        .doc("The maximum random jitter subtracted from the scheduled segment roll time to \
             avoid thundering herds of segment rolling"),
    ConfigDef::new("segment.ms", Long, Value("604800000"), Medium)
        .check(AtLeast(1)).honoured().broker("log.roll.ms")
        .doc("This configuration controls the period of time after which Kafka will force the \
             log to roll even if the segment file isn't full to ensure that retention can \
             delete or compact old data."),
    ConfigDef::new("unclean.leader.election.enable", Boolean, Value("false"), Medium)
        .honoured().broker("unclean.leader.election.enable")
        .doc("Indicates whether to enable replicas not in the ISR set to be elected as leader \
             as a last resort, even though doing so may result in data loss.<p>Note: In KRaft \
             mode, when enabling this config dynamically, it needs to wait for the unclean \
             leader electionthread to trigger election periodically (default is 5 minutes). \
             Please run <code>kafka-leader-election.sh</code> with <code>unclean</code> option \
             to trigger the unclean leader election immediately if needed.</p>"),
];
