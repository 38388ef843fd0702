//! Properties of brokers: logs.
//!
//! Names, types, defaults, ranges, importance, update modes and documentation are those of Apache
//! Kafka 4.3, with what 4.4 adds (see NOTICE). Sorted by name.

use crate::definition::ConfigDef;
use crate::definition::ConfigType::{Boolean, Double, Int, List, Long, String};
use crate::definition::Default::{Null, Value};
use crate::definition::Importance::{High, Low, Medium};
use crate::definition::UpdateMode::ClusterWide;
use crate::definition::Validator::{AtLeast, BetweenDecimals, ListOf, NotZero, OneOf};

#[rustfmt::skip]
pub(super) const TABLE: &[ConfigDef] = &[
    ConfigDef::new("log.cleaner.backoff.ms", Long, Value("15000"), Medium)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured()
        .doc("The amount of time to sleep when there are no logs to clean"),
    ConfigDef::new("log.cleaner.dedupe.buffer.size", Long, Value("134217728"), Medium)
        .dynamic(ClusterWide).honoured()
        .doc("The total memory used for log deduplication across all cleaner threads"),
    ConfigDef::new("log.cleaner.delete.retention.ms", Long, Value("86400000"), Medium)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured()
        .doc("The amount of time to retain tombstone message markers for log compacted topics. \
             This setting also gives a bound on the time in which a consumer must complete a \
             read if they begin from offset 0 to ensure that they get a valid snapshot of the \
             final stage (otherwise  tombstones messages may be collected before a consumer \
             completes their scan)."),
    ConfigDef::new("log.cleaner.enable", Boolean, Value("true"), Medium)
        .honoured()
        .doc("This configuration has been deprecated and will be removed in Kafka 5.0. Users \
             should not set it to false to prepare for its future removal. Enable the log \
             cleaner process to run on the server. Should be enabled if using any topics with \
             a cleanup.policy=compact including the internal offsets topic. If disabled those \
             topics will not be compacted and continually grow in size."),
    ConfigDef::new("log.cleaner.io.buffer.load.factor", Double, Value("0.9"), Medium)
        .dynamic(ClusterWide).honoured()
        .doc("Log cleaner dedupe buffer load factor. The percentage full the dedupe buffer can \
             become. A higher value will allow more log to be cleaned at once but will lead to \
             more hash collisions"),
    ConfigDef::new("log.cleaner.io.buffer.size", Int, Value("524288"), Medium)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured()
        .doc("The total memory used for log cleaner I/O buffers across all cleaner threads"),
    ConfigDef::new(
        "log.cleaner.io.max.bytes.per.second",
        Double,
        Value("1.7976931348623157E308"),
        Medium,
    )
        .dynamic(ClusterWide).honoured()
        .doc("The log cleaner will be throttled so that the sum of its read and write i/o will \
             be less than this value on average"),
    ConfigDef::new("log.cleaner.max.compaction.lag.ms", Long, Value("9223372036854775807"), Medium)
        .check(AtLeast(1)).dynamic(ClusterWide).honoured()
        .doc("The maximum time a message will remain ineligible for compaction in the log. Only \
             applicable for logs that are being compacted."),
    ConfigDef::new("log.cleaner.min.cleanable.ratio", Double, Value("0.5"), Medium)
        .check(BetweenDecimals(0.0, 1.0)).dynamic(ClusterWide).honoured()
        .doc("The minimum ratio of dirty log to total log for a log to eligible for cleaning. \
             If the log.cleaner.max.compaction.lag.ms or the log.cleaner.min.compaction.lag.ms \
             configurations are also specified, then the log compactor considers the log \
             eligible for compaction as soon as either: (i) the dirty ratio threshold has been \
             met and the log has had dirty (uncompacted) records for at least the \
             log.cleaner.min.compaction.lag.ms duration, or (ii) if the log has had dirty \
             (uncompacted) records for at most the log.cleaner.max.compaction.lag.ms period."),
    ConfigDef::new("log.cleaner.min.compaction.lag.ms", Long, Value("0"), Medium)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured()
        .doc("The minimum time a message will remain uncompacted in the log. Only applicable \
             for logs that are being compacted."),
    ConfigDef::new("log.cleaner.threads", Int, Value("1"), Medium)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured()
        .doc("The number of background threads to use for log cleaning"),
    ConfigDef::new("log.cleanup.policy", List, Value("delete"), Medium)
        .check(ListOf(&["compact", "delete"])).dynamic(ClusterWide).honoured()
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
    ConfigDef::new("log.dir", List, Value("/tmp/kafka-logs"), High)
        .honoured()
        .doc("A comma-separated list of the directories where the log data is stored. \
             (supplemental to log.dirs property)"),
    ConfigDef::new("log.dir.failure.timeout.ms", Long, Value("30000"), Low)
        .check(AtLeast(1))
        .doc("If the broker is unable to successfully communicate to the controller that some \
             log directory has failed for longer than this time, the broker will fail and shut \
             down."),
    ConfigDef::new("log.dirs", List, Null, High)
        .honoured()
        .doc("A comma-separated list of the directories where the log data is stored. If not \
             set, the value in log.dir is used."),
    ConfigDef::new("log.flush.interval.messages", Long, Value("9223372036854775807"), High)
        .check(AtLeast(1)).dynamic(ClusterWide).honoured()
        .doc("The number of messages accumulated on a log partition before messages are flushed \
             to disk."),
    ConfigDef::new("log.flush.interval.ms", Long, Null, High)
        .dynamic(ClusterWide).honoured()
        .synonyms(&["log.flush.interval.ms", "log.flush.scheduler.interval.ms"])
        .doc("The maximum time in ms that a message in any topic is kept in memory before \
             flushed to disk. If not set, the value in log.flush.scheduler.interval.ms is used"),
    ConfigDef::new("log.flush.offset.checkpoint.interval.ms", Int, Value("60000"), High)
        .check(AtLeast(0)).honoured()
        .doc("The frequency with which we update the persistent record of the last flush which \
             acts as the log recovery point."),
    ConfigDef::new("log.flush.scheduler.interval.ms", Long, Value("9223372036854775807"), High)
        .honoured()
        .doc("The frequency in ms that the log flusher checks whether any log needs to be \
             flushed to disk"),
    ConfigDef::new("log.flush.start.offset.checkpoint.interval.ms", Int, Value("60000"), High)
        .check(AtLeast(0))
        .doc("The frequency with which we update the persistent record of log start offset"),
    ConfigDef::new("log.index.interval.bytes", Int, Value("4096"), Medium)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured()
        .doc("The interval with which we add an entry to the offset index."),
    ConfigDef::new("log.index.size.max.bytes", Int, Value("10485760"), Medium)
        .check(AtLeast(4)).dynamic(ClusterWide).honoured()
        .doc("The maximum size in bytes of the offset index"),
    ConfigDef::new("log.initial.task.delay.ms", Long, Value("30000"), Low)
        .check(AtLeast(0)).internal()
        .doc("The initial task delay in millisecond when initializing tasks in LogManager. This \
             should be used for testing only."),
    ConfigDef::new("log.local.retention.bytes", Long, Value("-2"), Medium)
        .check(AtLeast(-2)).dynamic(ClusterWide)
        .doc("The maximum size of local log segments that can grow for a partition before it \
             gets eligible for deletion. Default value is -2, it represents \
             <code>log.retention.bytes</code> value to be used. The effective value should \
             always be less than or equal to <code>log.retention.bytes</code> value."),
    ConfigDef::new("log.local.retention.ms", Long, Value("-2"), Medium)
        .check(AtLeast(-2)).dynamic(ClusterWide)
        .doc("The number of milliseconds to keep the local log segments before it gets eligible \
             for deletion. Default value is -2, it represents <code>log.retention.ms</code> \
             value is to be used. The effective value should always be less than or equal to \
             <code>log.retention.ms</code> value."),
    ConfigDef::new("log.message.timestamp.after.max.ms", Long, Value("3600000"), Medium)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured()
        .doc("This configuration sets the allowable timestamp difference between the message \
             timestamp and the broker's timestamp. The message timestamp can be later than or \
             equal to the broker's timestamp, with the maximum allowable difference determined \
             by the value set in this configuration. If log.message.timestamp.type=CreateTime, \
             the message will be rejected if the difference in timestamps exceeds this \
             specified threshold. This configuration is ignored if \
             log.message.timestamp.type=LogAppendTime."),
    ConfigDef::new(
        "log.message.timestamp.before.max.ms",
        Long,
        Value("9223372036854775807"),
        Medium,
    )
        .check(AtLeast(0)).dynamic(ClusterWide).honoured()
        .doc("This configuration sets the allowable timestamp difference between the broker's \
             timestamp and the message timestamp. The message timestamp can be earlier than or \
             equal to the broker's timestamp, with the maximum allowable difference determined \
             by the value set in this configuration. If log.message.timestamp.type=CreateTime, \
             the message will be rejected if the difference in timestamps exceeds this \
             specified threshold. This configuration is ignored if \
             log.message.timestamp.type=LogAppendTime."),
    ConfigDef::new("log.message.timestamp.type", String, Value("CreateTime"), Medium)
        .check(OneOf(&["CreateTime", "LogAppendTime"])).dynamic(ClusterWide).honoured()
        .doc("Define whether the timestamp in the message is message create time or log append \
             time. The value should be either <code>CreateTime</code> or \
             <code>LogAppendTime</code>."),
    ConfigDef::new("log.preallocate", Boolean, Value("false"), Medium)
        .dynamic(ClusterWide)
        .doc("Should pre allocate file when create new segment? If you are using Kafka on \
             Windows, you probably need to set it to true."),
    ConfigDef::new("log.remote.copy.lag.bytes", Long, Value("-1"), Medium)
        .check(AtLeast(-1)).dynamic(ClusterWide)
        .doc("Controls one of the two upload eligibility checks (time and size) for copying \
             segments to remote storage. A non-active segment is upload-eligible when either this \
             size-based check or <code>log.remote.copy.lag.ms</code> is satisfied. When set to 0, \
             uploads are immediately eligible regardless of lag checks. When set to a positive \
             value (bytes), the segment is size-eligible once bytes of newer local log data after \
             that segment reaches this value. When set to -1, this value is derived from \
             effective local retention size (<code>log.local.retention.bytes</code>). If that \
             effective local retention size is unlimited (-1), this size-based check is not \
             applied. A positive value should not exceed effective local retention size unless \
             local retention is unlimited (-1)."),
    ConfigDef::new("log.remote.copy.lag.ms", Long, Value("0"), Medium)
        .check(AtLeast(-1)).dynamic(ClusterWide)
        .doc("Controls one of the two upload eligibility checks (time and size) for copying \
             segments to remote storage. A non-active segment is upload-eligible when either this \
             time-based check or <code>log.remote.copy.lag.bytes</code> is satisfied. When set to \
             0, uploads are immediately eligible regardless of lag checks. When set to a positive \
             value (ms), the segment is time-eligible once elapsed time since its latest record \
             reaches this value. When set to -1, this value is derived from effective local \
             retention time (<code>log.local.retention.ms</code>). If that effective local \
             retention time is unlimited (-1), this time-based check is not applied. A positive \
             value should not exceed effective local retention time unless local retention is \
             unlimited (-1)."),
    ConfigDef::new("log.retention.bytes", Long, Value("-1"), High)
        .dynamic(ClusterWide).honoured()
        .doc("The maximum size of the log before deleting it"),
    ConfigDef::new("log.retention.check.interval.ms", Long, Value("300000"), Medium)
        .check(AtLeast(1)).honoured()
        .doc("The frequency in milliseconds that the log cleaner checks whether any log is \
             eligible for deletion"),
    ConfigDef::new("log.retention.hours", Int, Value("168"), High)
        .check(NotZero).honoured()
        .synonyms(&["log.retention.ms", "log.retention.minutes", "log.retention.hours"])
        .doc("The number of hours to keep a log file before deleting it (in hours), tertiary to \
             log.retention.ms property"),
    ConfigDef::new("log.retention.minutes", Int, Null, High)
        .check(NotZero).honoured()
        .synonyms(&["log.retention.ms", "log.retention.minutes", "log.retention.hours"])
        .doc("The number of minutes to keep a log file before deleting it (in minutes), \
             secondary to log.retention.ms property. If not set, the value in \
             log.retention.hours is used"),
    ConfigDef::new("log.retention.ms", Long, Null, High)
        .check(NotZero).dynamic(ClusterWide).honoured()
        .synonyms(&["log.retention.ms", "log.retention.minutes", "log.retention.hours"])
        .doc("The number of milliseconds to keep a log file before deleting it (in \
             milliseconds), If not set, the value in log.retention.minutes is used. If set to \
             -1, no time limit is applied."),
    ConfigDef::new("log.roll.hours", Int, Value("168"), High)
        .check(AtLeast(1)).honoured()
        .synonyms(&["log.roll.ms", "log.roll.hours"])
        .doc("The maximum time before a new log segment is rolled out (in hours), secondary to \
             log.roll.ms property"),
    ConfigDef::new("log.roll.jitter.hours", Int, Value("0"), High)
        .check(AtLeast(0)).honoured()
        .synonyms(&["log.roll.jitter.ms", "log.roll.jitter.hours"])
        .doc("The maximum jitter to subtract from logRollTimeMillis (in hours), secondary to \
             log.roll.jitter.ms property"),
    ConfigDef::new("log.roll.jitter.ms", Long, Null, High)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured()
        .synonyms(&["log.roll.jitter.ms", "log.roll.jitter.hours"])
        .doc("The maximum jitter to subtract from logRollTimeMillis (in milliseconds). If not \
             set, the value in log.roll.jitter.hours is used"),
    ConfigDef::new("log.roll.ms", Long, Null, High)
        .check(AtLeast(1)).dynamic(ClusterWide).honoured()
        .synonyms(&["log.roll.ms", "log.roll.hours"])
        .doc("The maximum time before a new log segment is rolled out (in milliseconds). If not \
             set, the value in log.roll.hours is used"),
    ConfigDef::new("log.segment.bytes", Int, Value("1073741824"), High)
        .check(AtLeast(1_048_576)).dynamic(ClusterWide).honoured()
        .doc("The maximum size of a single log file"),
    ConfigDef::new("log.segment.delete.delay.ms", Long, Value("60000"), High)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured()
        .doc("The amount of time to wait before deleting a file from the filesystem. If the \
             value is 0 and there is no file to delete, the system will wait 1 millisecond. \
             Low value will cause busy waiting"),
];
