//! Properties of brokers: tiered storage.
//!
//! Names, types, defaults, ranges, importance, update modes and documentation are those of Apache
//! Kafka 4.3 (see NOTICE). Sorted by name.

use crate::definition::ConfigDef;
use crate::definition::ConfigType::{Boolean, Double, Int, Long, String};
use crate::definition::Default::{Null, Value};
use crate::definition::Importance::{Low, Medium};
use crate::definition::UpdateMode::ClusterWide;
use crate::definition::Validator::{AtLeast, BetweenDecimals, NonEmpty};

#[rustfmt::skip]
pub(super) const TABLE: &[ConfigDef] = &[
    ConfigDef::new("remote.fetch.max.wait.ms", Int, Value("500"), Medium)
        .check(AtLeast(1)).dynamic(ClusterWide)
        .doc("The maximum amount of time the server will wait before answering the fetch \
             request containing remote fetch partitions. It's important to be aware that the \
             request will only be responded after all remote partitions have been successfully \
             fetched, have failed, or this timeout is exceeded."),
    ConfigDef::new("remote.list.offsets.request.timeout.ms", Long, Value("30000"), Medium)
        .check(AtLeast(1)).dynamic(ClusterWide)
        .doc("The maximum amount of time the server will wait for the remote list offsets \
             request to complete."),
    ConfigDef::new("remote.log.index.file.cache.total.size.bytes", Long, Value("1073741824"), Low)
        .check(AtLeast(1)).dynamic(ClusterWide)
        .doc("The total size of the space allocated to store index files fetched from remote \
             storage in the local storage."),
    ConfigDef::new("remote.log.index.file.cache.ttl.ms", Long, Value("900000"), Low)
        .check(AtLeast(-1)).internal()
        .doc("The maximum time in milliseconds an index file entry can remain in the cache \
             after its last access. After this duration, the entry will be evicted even if \
             there is available space. This helps prevent stale index files from remaining in \
             cache indefinitely, particularly when a broker is no longer the leader for a \
             partition or when read-from-replica is enabled. Evicted index files are \
             automatically re-fetched from remote storage when needed. Default is 15 minutes \
             (900000 ms), which provides sufficient time for clients to read a \
             partition/segment while ensuring stale entries don't accumulate. Set to -1 to \
             disable time-based eviction and use only size-based eviction."),
    ConfigDef::new("remote.log.manager.copier.thread.pool.size", Int, Value("10"), Medium)
        .check(AtLeast(1)).dynamic(ClusterWide)
        .doc("Size of the thread pool used in scheduling tasks to copy segments."),
    ConfigDef::new(
        "remote.log.manager.copy.max.bytes.per.second",
        Long,
        Value("9223372036854775807"),
        Medium,
    )
        .check(AtLeast(1)).dynamic(ClusterWide)
        .doc("The maximum number of bytes that can be copied from local storage to remote \
             storage per second. This is a global limit for all the partitions that are being \
             copied from local storage to remote storage. The default value is Long.MAX_VALUE, \
             which means there is no limit on the number of bytes that can be copied per \
             second."),
    ConfigDef::new("remote.log.manager.copy.quota.window.num", Int, Value("11"), Medium)
        .check(AtLeast(1))
        .doc("The number of samples to retain in memory for remote copy quota management. The \
             default value is 11, which means there are 10 whole windows + 1 current window."),
    ConfigDef::new("remote.log.manager.copy.quota.window.size.seconds", Int, Value("1"), Medium)
        .check(AtLeast(1))
        .doc("The time span of each sample for remote copy quota management. The default value \
             is 1 second."),
    ConfigDef::new("remote.log.manager.expiration.thread.pool.size", Int, Value("10"), Medium)
        .check(AtLeast(1)).dynamic(ClusterWide)
        .doc("Size of the thread pool used in scheduling tasks to clean up the expired remote \
             log segments."),
    ConfigDef::new(
        "remote.log.manager.fetch.max.bytes.per.second",
        Long,
        Value("9223372036854775807"),
        Medium,
    )
        .check(AtLeast(1)).dynamic(ClusterWide)
        .doc("The maximum number of bytes that can be fetched from remote storage to local \
             storage per second. This is a global limit for all the partitions that are being \
             fetched from remote storage to local storage. The default value is \
             Long.MAX_VALUE, which means there is no limit on the number of bytes that can be \
             fetched per second."),
    ConfigDef::new("remote.log.manager.fetch.quota.window.num", Int, Value("11"), Medium)
        .check(AtLeast(1))
        .doc("The number of samples to retain in memory for remote fetch quota management. The \
             default value is 11, which means there are 10 whole windows + 1 current window."),
    ConfigDef::new("remote.log.manager.fetch.quota.window.size.seconds", Int, Value("1"), Medium)
        .check(AtLeast(1))
        .doc("The time span of each sample for remote fetch quota management. The default value \
             is 1 second."),
    ConfigDef::new("remote.log.manager.follower.thread.pool.size", Int, Value("2"), Medium)
        .check(AtLeast(1)).dynamic(ClusterWide)
        .doc("Size of the thread pool used in scheduling follower tasks to read the \
             highest-uploaded remote-offset for follower partitions."),
    ConfigDef::new("remote.log.manager.task.interval.ms", Long, Value("30000"), Low)
        .check(AtLeast(1))
        .doc("Interval at which remote log manager runs the scheduled tasks like copy segments, \
             and clean up remote log segments."),
    ConfigDef::new("remote.log.manager.task.retry.backoff.max.ms", Long, Value("30000"), Low)
        .check(AtLeast(1)).internal()
        .doc("The maximum amount of time in milliseconds to wait when the request is retried \
             again. The retry duration will increase exponentially for each request failure up \
             to this maximum wait interval."),
    ConfigDef::new("remote.log.manager.task.retry.backoff.ms", Long, Value("500"), Low)
        .check(AtLeast(1)).internal()
        .doc("The initial amount of wait in milliseconds before the request is retried again."),
    ConfigDef::new("remote.log.manager.task.retry.jitter", Double, Value("0.2"), Low)
        .check(BetweenDecimals(0.0, 0.5)).internal()
        .doc("The value used in defining the range for computing random jitter factor. It is \
             applied to the effective exponential term for computing the resultant retry \
             backoff interval. This will avoid thundering herds of requests. The default value \
             is 0.2 and valid value should be between 0(inclusive) and 0.5(inclusive). For ex: \
             remote.log.manager.task.retry.jitter = 0.25, then the range to compute random \
             jitter will be [1-0.25, 1+0.25) viz [0.75, 1.25). So, jitter factor can be any \
             random value with in that range."),
    ConfigDef::new("remote.log.manager.thread.pool.size", Int, Value("2"), Medium)
        .check(AtLeast(1))
        .doc("Size of the thread pool used in scheduling follower tasks to read the \
             highest-uploaded remote-offset for follower partitions. This config is deprecated \
             since 4.2, please use <code>remote.log.manager.follower.thread.pool.size</code> \
             instead."),
    ConfigDef::new("remote.log.metadata.custom.metadata.max.bytes", Int, Value("128"), Low)
        .check(AtLeast(0))
        .doc("The maximum size of custom metadata in bytes that the broker should accept from a \
             remote storage plugin. If custom  metadata exceeds this limit, the updated \
             segment metadata will not be stored, the copied data will be attempted to delete, \
             and the remote copying task for this topic-partition will stop with an error."),
    ConfigDef::new(
        "remote.log.metadata.manager.class.name",
        String,
        Value(
            "org.apache.kafka.server.log.remote.metadata.storage.\
             TopicBasedRemoteLogMetadataManager",
        ),
        Medium,
    )
        .check(NonEmpty)
        .doc("Fully qualified class name of <code>RemoteLogMetadataManager</code> \
             implementation."),
    ConfigDef::new("remote.log.metadata.manager.class.path", String, Null, Medium)
        .doc("Class path of the <code>RemoteLogMetadataManager</code> implementation. If \
             specified, the RemoteLogMetadataManager implementation and its dependent \
             libraries will be loaded by a dedicated classloader which searches this class \
             path before the Kafka broker class path. The syntax of this parameter is same as \
             the standard Java class path string."),
    ConfigDef::new("remote.log.metadata.manager.impl.prefix", String, Value("rlmm.config."), Medium)
        .check(NonEmpty)
        .doc("Prefix used for properties to be passed to RemoteLogMetadataManager \
             implementation. For example this value can be <code>rlmm.config.</code>."),
    ConfigDef::new("remote.log.metadata.manager.listener.name", String, Null, Medium)
        .check(NonEmpty)
        .doc("Listener name of the local broker to which it should get connected if needed by \
             RemoteLogMetadataManager implementation."),
    ConfigDef::new("remote.log.reader.max.pending.tasks", Int, Value("100"), Medium)
        .check(AtLeast(1))
        .doc("Maximum remote log reader thread pool task queue size. If the task queue is full, \
             fetch requests are served with an error."),
    ConfigDef::new("remote.log.reader.threads", Int, Value("10"), Medium)
        .check(AtLeast(1)).dynamic(ClusterWide)
        .doc("Size of the thread pool that is allocated for handling remote log reads."),
    ConfigDef::new("remote.log.storage.manager.class.name", String, Null, Medium)
        .check(NonEmpty)
        .doc("Fully qualified class name of <code>RemoteStorageManager</code> implementation."),
    ConfigDef::new("remote.log.storage.manager.class.path", String, Null, Medium)
        .doc("Class path of the <code>RemoteStorageManager</code> implementation. If specified, \
             the RemoteStorageManager implementation and its dependent libraries will be \
             loaded by a dedicated classloader which searches this class path before the Kafka \
             broker class path. The syntax of this parameter is same as the standard Java \
             class path string."),
    ConfigDef::new("remote.log.storage.manager.impl.prefix", String, Value("rsm.config."), Medium)
        .check(NonEmpty)
        .doc("Prefix used for properties to be passed to RemoteStorageManager implementation. \
             For example this value can be <code>rsm.config.</code>."),
    ConfigDef::new("remote.log.storage.system.enable", Boolean, Value("false"), Medium)
        .only_default()
        .doc("Whether to enable tiered storage functionality in a broker or not. When it is \
             true broker starts all the services required for the tiered storage functionality."),
];
