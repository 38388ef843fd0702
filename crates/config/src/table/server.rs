//! Properties of brokers: everything else.
//!
//! Names, types, defaults, ranges, importance, update modes and documentation are those of Apache
//! Kafka 4.3, with what 4.4 adds (see NOTICE). Sorted by name.

use crate::definition::ConfigDef;
use crate::definition::ConfigType::{Boolean, Class, Int, List, Long, String};
use crate::definition::Default::{Null, Value};
use crate::definition::Importance::{High, Low, Medium};
use crate::definition::UpdateMode::{ClusterWide, PerBroker};
use crate::definition::Validator::{AddressCounts, AtLeast, Between, GzipLevel, OneOf};

#[rustfmt::skip]
pub(super) const TABLE: &[ConfigDef] = &[
    ConfigDef::new("alter.config.policy.class.name", Class, Null, Low)
        .only_default()
        .doc("The alter configs policy class that should be used for validation. The class \
             should implement the \
             <code>org.apache.kafka.server.policy.AlterConfigPolicy</code> interface. <p>Note: \
             This policy runs on the controller instead of the broker.</p>"),
    ConfigDef::new("alter.log.dirs.replication.quota.window.num", Int, Value("11"), Low)
        .check(AtLeast(1)).honoured()
        .doc("The number of samples to retain in memory for alter log dirs replication quotas"),
    ConfigDef::new("alter.log.dirs.replication.quota.window.size.seconds", Int, Value("1"), Low)
        .check(AtLeast(1)).honoured()
        .doc("The time span of each sample for alter log dirs replication quotas"),
    ConfigDef::new("auto.create.topics.enable", Boolean, Value("true"), High)
        .honoured()
        .doc("Enable auto creation of topic on the server."),
    ConfigDef::new("auto.leader.rebalance.enable", Boolean, Value("true"), High)
        .honoured()
        .doc("Enables auto leader balancing. A background thread checks the distribution of \
             partition leaders at regular intervals, configurable by \
             leader.imbalance.check.interval.seconds. If the leader is imbalanced, leader \
             rebalance to the preferred leader for partitions is triggered."),
    ConfigDef::new("background.threads", Int, Value("10"), High)
        .check(AtLeast(1)).dynamic(ClusterWide)
        .doc("The number of threads to use for various background processing tasks"),
    ConfigDef::new("client.quota.callback.class", Class, Null, Low)
        .only_default()
        .doc("The fully qualified name of a class that implements the ClientQuotaCallback \
             interface, which is used to determine quota limits applied to client requests. By \
             default, the &lt;user&gt; and &lt;client-id&gt quotas that are stored and \
             applied. For any given request, the most specific quota that matches the user \
             principal of the session and the client-id of the request is applied."),
    ConfigDef::new("compression.gzip.level", Int, Value("-1"), Medium)
        .check(GzipLevel).dynamic(ClusterWide).honoured()
        .doc("The compression level to use if compression.type is set to 'gzip'."),
    ConfigDef::new("compression.lz4.level", Int, Value("9"), Medium)
        .check(Between(1, 17)).dynamic(ClusterWide)
        .doc("The compression level to use if compression.type is set to 'lz4'."),
    ConfigDef::new("compression.type", String, Value("producer"), High)
        .check(OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]))
        .dynamic(ClusterWide).honoured()
        .doc("Specify the final compression type for a given topic. This configuration accepts \
             the standard compression codecs ('gzip', 'snappy', 'lz4', 'zstd'). It \
             additionally accepts 'uncompressed' which is equivalent to no compression; and \
             'producer' which means retain the original compression codec set by the producer."),
    ConfigDef::new("compression.zstd.level", Int, Value("3"), Medium)
        .check(Between(-131_072, 22)).dynamic(ClusterWide).honoured()
        .doc("The compression level to use if compression.type is set to 'zstd'."),
    ConfigDef::new("config.providers", List, Value(""), Low)
        .dynamic(ClusterWide).honoured().with_restart()
        .doc("Comma-separated alias names for classes implementing the \
             <code>ConfigProvider</code> interface. This enables loading configuration data \
             (such as passwords, API keys, and other credentials) from external sources. For \
             example, see <a \
             href=\"https://kafka.apache.org/documentation/#config_providers\">Configuration \
             Providers</a>."),
    ConfigDef::new("connections.max.idle.ms", Long, Value("600000"), Medium)
        .honoured()
        .doc("Idle connections timeout: the server socket processor threads close the \
             connections that idle more than this"),
    ConfigDef::new("controlled.shutdown.enable", Boolean, Value("true"), Medium)
        .honoured()
        .doc("Enable controlled shutdown of the server."),
    ConfigDef::new("cordoned.log.dirs", List, Value(""), Medium)
        .dynamic(PerBroker)
        .honoured()
        .doc("A comma-separated list of the directories that are cordoned. Entries in this list \
             must be entries in log.dirs or log.dir configuration. This can also be set to * \
             to cordon all log directories."),
    ConfigDef::new("create.topic.policy.class.name", Class, Null, Low)
        .only_default()
        .doc("The create topic policy class that should be used for validation. The class \
             should implement the \
             <code>org.apache.kafka.server.policy.CreateTopicPolicy</code> interface. <p>Note: \
             This policy runs on the controller instead of the broker.</p>"),
    ConfigDef::new("default.replication.factor", Int, Value("1"), Medium)
        .honoured()
        .doc("The default replication factor per topic. This configuration affects the \
             following paths:<ul>  <li>1. Auto topic creation</li>  <li>2. Internal streams \
             topic creation</li>  <li>3. Topic creation via \
             <code>AdminClient#createTopics</code> when the replication factor is set to \
             -1</li></ul><p>For (1), the value from the broker configuration is used only when \
             it is explicitly set. If it is not explicitly configured on the broker, the value \
             from the controller configuration is used.<br/>For (2) and (3), the value from \
             the controller configuration is always used.</p>"),
    ConfigDef::new("delete.records.purgatory.purge.interval.requests", Int, Value("1"), Medium)
        .doc("The purge interval (in number of requests) of the delete records request purgatory"),
    ConfigDef::new("delete.topic.enable", Boolean, Value("true"), High)
        .honoured()
        .doc("When set to true, topics can be deleted by the admin client. When set to false, \
             deletion requests will be explicitly rejected by the broker."),
    ConfigDef::new("early.start.listeners", List, Null, High)
        .honoured()
        .doc("A comma-separated list of listener names which may be started before the \
             authorizer has finished initialization. This is useful when the authorizer is \
             dependent on the cluster itself for bootstrapping, as is the case for the \
             StandardAuthorizer (which stores ACLs in the metadata log.) By default, all \
             listeners included in controller.listener.names will also be early start \
             listeners. A listener should not appear in this list if it accepts external \
             traffic."),
    ConfigDef::new("fetch.max.bytes", Int, Value("57671680"), Medium)
        .check(AtLeast(1024)).honoured()
        .doc("The maximum number of bytes we will return for a fetch request. Must be at least \
             1024."),
    ConfigDef::new("fetch.purgatory.purge.interval.requests", Int, Value("1000"), Medium)
        .doc("The purge interval (in number of requests) of the fetch request purgatory"),
    ConfigDef::new("follower.fetch.last.tiered.offset.enable", Boolean, Value("false"), Medium)
        .dynamic(ClusterWide)
        .doc("When enabled, an empty follower skips offsets up to the last tiered offset and \
             begins replication from the next offset."),
    ConfigDef::new("internal.metadata.delete.delay.millis", Long, Value("60000"), Low)
        .internal()
        .doc("The amount of time to wait before deleting a file from the filesystem, only for \
             testing."),
    ConfigDef::new("internal.metadata.log.segment.bytes", Int, Null, Low)
        .internal()
        .doc("The maximum size of a single metadata log file, only for testing."),
    ConfigDef::new("internal.metadata.max.batch.size.in.bytes", Int, Value("8388608"), Low)
        .internal()
        .doc("The largest record batch size allowed in the metadata log, only for testing."),
    ConfigDef::new("kafka.metrics.polling.interval.secs", Int, Value("10"), Low)
        .check(AtLeast(1))
        .doc("The metrics polling interval (in seconds) which can be used in \
             kafka.metrics.reporters implementations."),
    ConfigDef::new("kafka.metrics.reporters", List, Value(""), Low)
        .doc("A list of classes to use as Yammer metrics custom reporters. The reporters should \
             implement <code>kafka.metrics.KafkaMetricsReporter</code> trait. If a client \
             wants to expose JMX operations on a custom reporter, the custom reporter needs to \
             additionally implement an MBean trait that extends \
             <code>kafka.metrics.KafkaMetricsReporterMBean</code> trait so that the registered \
             MBean is compliant with the standard MBean convention."),
    ConfigDef::new("leader.imbalance.check.interval.seconds", Long, Value("300"), High)
        .check(AtLeast(1)).honoured()
        .doc("The frequency with which the partition rebalance check is triggered by the \
             controller"),
    ConfigDef::new("max.connection.creation.rate", Int, Value("2147483647"), Medium)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured()
        .doc("The maximum connection creation rate we allow in the broker at any time. \
             Listener-level limits may also be configured by prefixing the config name with \
             the listener prefix, for example, \
             <code>listener.name.internal.max.connection.creation.rate</code>.Broker-wide \
             connection rate limit should be configured based on broker capacity while \
             listener limits should be configured based on application requirements. New \
             connections will be throttled if either the listener or the broker limit is \
             reached, with the exception of inter-broker listener. Connections on the \
             inter-broker listener will be throttled only when the listener-level rate limit \
             is reached."),
    ConfigDef::new("max.connections", Int, Value("2147483647"), Medium)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured()
        .doc("The maximum number of connections we allow in the broker at any time. This limit \
             is applied in addition to any per-ip limits configured using \
             max.connections.per.ip. Listener-level limits may also be configured by prefixing \
             the config name with the listener prefix, for example, \
             <code>listener.name.internal.max.connections.per.ip</code>. Broker-wide limit \
             should be configured based on broker capacity while listener limits should be \
             configured based on application requirements. New connections are blocked if \
             either the listener or broker limit is reached. Connections on the inter-broker \
             listener are permitted even if broker-wide limit is reached. The least recently \
             used connection on another listener will be closed in this case."),
    ConfigDef::new("max.connections.per.ip", Int, Value("2147483647"), Medium)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured()
        .doc("The maximum number of connections we allow from each ip address. This can be set \
             to 0 if there are overrides configured using max.connections.per.ip.overrides \
             property. New connections from the ip address are dropped if the limit is reached."),
    ConfigDef::new("max.connections.per.ip.overrides", String, Value(""), Medium)
        .check(AddressCounts).dynamic(ClusterWide).honoured()
        .doc("A comma-separated list of per-ip or hostname overrides to the default maximum \
             number of connections. An example value is \"hostName:100,127.0.0.1:200\""),
    ConfigDef::new("max.decompressed.message.bytes", Int, Value("2147483639"), Medium)
        .check(Between(1, 2_147_483_639)).dynamic(ClusterWide).honoured()
        .doc("The maximum decompressed size, in bytes, of a single record the broker will accept; \
             larger records are rejected with an <code>InvalidRecordException</code>. It is \
             enforced where the broker decompresses records: produce validation of compressed \
             batches, log compaction, and offset lookups by timestamp or max timestamp against \
             the local log or remote storage. Unlike <code>max.message.bytes</code>, which bounds \
             the compressed batch on the wire, this bounds the decompressed size of an individual \
             record. Lowering it below the size of already-stored records makes compaction and \
             timestamp offset lookups of affected partitions fail until it is raised again. The \
             default imposes no limit beyond the largest record the broker could allocate anyway; \
             set a smaller value to enforce a per-record cap. This can be set per topic with the \
             topic level <code>max.decompressed.message.bytes</code> config."),
    ConfigDef::new("max.incremental.fetch.session.cache.slots", Int, Value("1000"), Medium)
        .check(AtLeast(0)).honoured()
        .doc("The maximum number of total incremental fetch sessions that we will maintain. \
             FetchSessionCache is sharded into 8 shards and the limit is equally divided among \
             all shards. Sessions are allocated to each shard in round-robin. Only entries \
             within a shard are considered eligible for eviction."),
    ConfigDef::new("max.request.partition.size.limit", Int, Value("2000"), Medium)
        .check(AtLeast(1)).honoured()
        .doc("The maximum number of partitions can be served in one request."),
    ConfigDef::new("message.max.bytes", Int, Value("1048588"), High)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured()
        .doc("The largest record batch size allowed by Kafka (after compression if compression \
             is enabled).This can be set per topic with the topic level \
             <code>max.message.bytes</code> config."),
    ConfigDef::new(
        "metric.reporters",
        List,
        Value("org.apache.kafka.common.metrics.JmxReporter"),
        Low,
    )
        .dynamic(ClusterWide)
        .doc("A list of classes to use as metrics reporters. Implementing the \
             <code>org.apache.kafka.common.metrics.MetricsReporter</code> interface allows \
             plugging in classes that will be notified of new metric creation. When custom \
             reporters are set and <code>org.apache.kafka.common.metrics.JmxReporter</code> is \
             needed, it has to be explicitly added to the list."),
    ConfigDef::new("metrics.num.samples", Int, Value("2"), Low)
        .check(AtLeast(1))
        .doc("The number of samples maintained to compute metrics."),
    ConfigDef::new("metrics.recording.level", String, Value("INFO"), Low)
        .doc("The highest recording level for metrics. It has three levels for recording \
             metrics - info, debug, and trace.\n \nINFO level records only essential metrics \
             necessary for monitoring system performance and health. It collects vital data \
             without gathering too much detail, making it suitable for production environments \
             where minimal overhead is desired.\n\nDEBUG level records most metrics, providing \
             more detailed information about the system's operation. It's useful for \
             development and testing environments where you need deeper insights to debug and \
             fine-tune the application.\n\nTRACE level records all possible metrics, capturing \
             every detail about the system's performance and operation. It's best for \
             controlled environments where in-depth analysis is required, though it can \
             introduce significant overhead."),
    ConfigDef::new("metrics.sample.window.ms", Long, Value("30000"), Low)
        .check(AtLeast(1))
        .doc("The window of time a metrics sample is computed over."),
    ConfigDef::new("min.insync.replicas", Int, Value("1"), High)
        .check(AtLeast(1)).dynamic(ClusterWide).honoured()
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
    ConfigDef::new("num.io.threads", Int, Value("8"), High)
        .check(AtLeast(1)).dynamic(ClusterWide)
        .doc("The number of threads that the server uses for processing requests, which may \
             include disk I/O"),
    ConfigDef::new("num.network.threads", Int, Value("3"), High)
        .check(AtLeast(1)).dynamic(ClusterWide).honoured()
        .doc("The number of threads that the server uses for receiving requests from the \
             network and sending responses to the network. Noted: each listener (except for \
             controller listener) creates its own thread pool."),
    ConfigDef::new("num.partitions", Int, Value("1"), Medium)
        .check(AtLeast(1)).honoured()
        .doc("The default number of log partitions per topic. This configuration affects the \
             following paths:<ul>  <li>1. Auto topic creation</li>  <li>2. Internal streams \
             topic creation</li>  <li>3. Topic creation via \
             <code>AdminClient#createTopics</code> when the number of partition is set to \
             -1</li></ul><p>For (1), the value from the broker configuration is used only when \
             it is explicitly set. If it is not explicitly configured on the broker, the value \
             from the controller configuration is used.<br/>For (2) and (3), the value from \
             the controller configuration is always used.</p>"),
    ConfigDef::new("num.recovery.threads.per.data.dir", Int, Value("2"), High)
        .check(AtLeast(1)).dynamic(ClusterWide)
        .doc("The number of threads per data directory to be used for log recovery at startup \
             and flushing at shutdown"),
    ConfigDef::new("num.replica.alter.log.dirs.threads", Int, Null, High)
        .honoured()
        .doc("The number of threads that can move replicas between log directories, which may \
             include disk I/O. The default value is equal to the number of directories \
             specified in the <code>log.dir</code> or <code>log.dirs</code> configuration \
             property."),
    ConfigDef::new("num.replica.fetchers", Int, Value("1"), High)
        .check(AtLeast(1)).dynamic(ClusterWide)
        .doc("Number of fetcher threads used to replicate records from each source broker. The \
             total number of fetchers on each broker is bound by \
             <code>num.replica.fetchers</code> multiplied by the number of brokers in the \
             cluster.Increasing this value can increase the degree of I/O parallelism in the \
             follower and leader broker at the cost of higher CPU and memory utilization."),
    ConfigDef::new("queued.max.request.bytes", Long, Value("-1"), Medium)
        .honoured()
        .doc("The number of queued bytes allowed before no more requests are read"),
    ConfigDef::new("queued.max.requests", Int, Value("500"), High)
        .check(AtLeast(1))
        .doc("The number of queued requests allowed for data-plane, before blocking the network \
             threads"),
    ConfigDef::new("quota.window.num", Int, Value("11"), Low)
        .check(AtLeast(1)).honoured()
        .doc("The number of samples to retain in memory for client quotas"),
    ConfigDef::new("quota.window.size.seconds", Int, Value("1"), Low)
        .check(AtLeast(1)).honoured()
        .doc("The time span of each sample for client quotas"),
    ConfigDef::new("replica.fetch.backoff.ms", Int, Value("1000"), Medium)
        .check(AtLeast(0))
        .doc("The amount of time to sleep when fetch partition error occurs."),
    ConfigDef::new("replica.fetch.max.bytes", Int, Value("1048576"), Medium)
        .check(AtLeast(0))
        .doc("The number of bytes of messages to attempt to fetch for each partition. This is \
             not an absolute maximum, if the first record batch in the first non-empty \
             partition of the fetch is larger than this value, the record batch will still be \
             returned to ensure that progress can be made. The maximum record batch size \
             accepted by the broker is defined via <code>message.max.bytes</code> (broker \
             config) or <code>max.message.bytes</code> (topic config)."),
    ConfigDef::new("replica.fetch.min.bytes", Int, Value("1"), High)
        .doc("Minimum bytes expected for each fetch response. If not enough bytes, wait up to \
             <code>replica.fetch.wait.max.ms</code> (broker config). Even if the total data \
             available in the broker exceeds replica.fetch.min.bytes, the actual returned size \
             may still be less than this value due to per-partition limits \
             replica.fetch.max.bytes and max returned limits replica.fetch.response.max.bytes"),
    ConfigDef::new("replica.fetch.response.max.bytes", Int, Value("10485760"), Medium)
        .check(AtLeast(0))
        .doc("Maximum bytes expected for the entire fetch response. Records are fetched in \
             batches, and if the first record batch in the first non-empty partition of the \
             fetch is larger than this value, the record batch will still be returned to \
             ensure that progress can be made. As such, this is not an absolute maximum. The \
             maximum record batch size accepted by the broker is defined via \
             <code>message.max.bytes</code> (broker config) or <code>max.message.bytes</code> \
             (topic config)."),
    ConfigDef::new("replica.fetch.wait.max.ms", Int, Value("500"), High)
        .doc("The maximum wait time for each fetcher request issued by follower replicas. This \
             value should always be less than the replica.lag.time.max.ms at all times to \
             prevent frequent shrinking of ISR for low throughput topics"),
    ConfigDef::new("replica.high.watermark.checkpoint.interval.ms", Long, Value("5000"), High)
        .honoured()
        .doc("The frequency with which the high watermark is saved out to disk"),
    ConfigDef::new("replica.lag.time.max.ms", Long, Value("30000"), High)
        .honoured()
        .doc("If a follower hasn't sent any fetch requests or hasn't consumed up to the \
             leader's log end offset for at least this time, the leader will remove the \
             follower from ISR"),
    ConfigDef::new("replica.selector.class", String, Null, Medium)
        .honoured()
        .doc("The fully qualified class name that implements ReplicaSelector. This is used by \
             the broker to find the preferred read replica. By default, we use an \
             implementation that returns the leader."),
    ConfigDef::new("replica.socket.receive.buffer.bytes", Int, Value("65536"), High)
        .doc("The socket receive buffer for network requests to the leader for replicating data"),
    ConfigDef::new("replica.socket.timeout.ms", Int, Value("30000"), High)
        .doc("The socket timeout for network requests. Its value should be at least \
             replica.fetch.wait.max.ms"),
    ConfigDef::new("replication.quota.window.num", Int, Value("11"), Low)
        .check(AtLeast(1)).honoured()
        .doc("The number of samples to retain in memory for replication quotas"),
    ConfigDef::new("replication.quota.window.size.seconds", Int, Value("1"), Low)
        .check(AtLeast(1)).honoured()
        .doc("The time span of each sample for replication quotas"),
    ConfigDef::new("request.timeout.ms", Int, Value("30000"), High)
        .honoured()
        .doc("The configuration controls the maximum amount of time the client will wait for \
             the response of a request. If the response is not received before the timeout \
             elapses the client will resend the request if necessary or fail the request if \
             retries are exhausted."),
    ConfigDef::new("server.max.startup.time.ms", Long, Value("9223372036854775807"), Medium)
        .check(AtLeast(0)).internal()
        .doc("The maximum number of milliseconds we will wait for the server to come up. By \
             default there is no limit. This should be used for testing only."),
    ConfigDef::new("socket.connection.setup.timeout.max.ms", Long, Value("30000"), Medium)
        .doc("The maximum amount of time the client will wait for the socket connection to be \
             established. The connection setup timeout will increase exponentially for each \
             consecutive connection failure up to this maximum. To avoid connection storms, a \
             randomization factor of 0.2 will be applied to the timeout resulting in a random \
             range between 20% below and 20% above the computed value."),
    ConfigDef::new("socket.connection.setup.timeout.ms", Long, Value("10000"), Medium)
        .doc("The amount of time the client will wait for the socket connection to be \
             established. If the connection is not built before the timeout elapses, clients \
             will close the socket channel. This value is the initial backoff value and will \
             increase exponentially for each consecutive connection failure, up to the \
             <code>socket.connection.setup.timeout.max.ms</code> value."),
    ConfigDef::new("socket.listen.backlog.size", Int, Value("50"), Medium)
        .check(AtLeast(1)).honoured()
        .doc("The maximum number of pending connections on the socket. In Linux, you may also \
             need to configure <code>somaxconn</code> and <code>tcp_max_syn_backlog</code> \
             kernel parameters accordingly to make the configuration takes effect."),
    ConfigDef::new("socket.receive.buffer.bytes", Int, Value("102400"), High)
        .honoured()
        .doc("The SO_RCVBUF buffer of the socket server sockets. If the value is -1, the OS \
             default will be used."),
    ConfigDef::new("socket.request.max.bytes", Int, Value("104857600"), High)
        .check(AtLeast(1)).honoured()
        .doc("The maximum number of bytes in a socket request"),
    ConfigDef::new("socket.send.buffer.bytes", Int, Value("102400"), High)
        .honoured()
        .doc("The SO_SNDBUF buffer of the socket server sockets. If the value is -1, the OS \
             default will be used."),
    ConfigDef::new("telemetry.max.bytes", Int, Value("1048576"), Low)
        .check(AtLeast(1)).honoured()
        .doc("The maximum size (after compression if compression is used) of telemetry metrics \
             pushed from a client to the broker. The default value is 1048576 (1 MB)."),
    ConfigDef::new("unclean.leader.election.enable", Boolean, Value("false"), High)
        .dynamic(ClusterWide).honoured()
        .doc("Indicates whether to enable replicas not in the ISR set to be elected as leader \
             as a last resort, even though doing so may result in data loss<p>Note: In KRaft \
             mode, when enabling this config dynamically, it needs to wait for the unclean \
             leader election thread to trigger election periodically (default is 5 minutes). \
             Please run <code>kafka-leader-election.sh</code> with <code>unclean</code> option \
             to trigger the unclean leader election immediately if needed.</p>"),
    ConfigDef::new("unclean.leader.election.interval.ms", Long, Value("300000"), Medium)
        .check(AtLeast(1)).internal()
        .doc("The frequency with which the controller checks if it should perform an unclean \
             leader election for leaderless partitions."),
    ConfigDef::new("unstable.api.versions.enable", Boolean, Value("false"), High)
        .internal().honoured()
        .doc(""),
    ConfigDef::new("unstable.feature.versions.enable", Boolean, Value("false"), High)
        .internal()
        .doc(""),
];
