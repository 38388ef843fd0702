//! Properties of brokers: identity, listeners and the metadata quorum.
//!
//! Names, types, defaults, ranges, importance, update modes and documentation are those of Apache
//! Kafka 4.3 (see NOTICE). Sorted by name.

use crate::definition::ConfigDef;
use crate::definition::ConfigType::{Boolean, Int, List, Long, String};
use crate::definition::Default::{Null, Required, Value};
use crate::definition::Importance::{High, Low, Medium};
use crate::definition::UpdateMode::PerBroker;
use crate::definition::Validator::{AtLeast, ListOf};

#[rustfmt::skip]
pub(super) const TABLE: &[ConfigDef] = &[
    ConfigDef::new("advertised.listeners", List, Null, High)
        .honoured()
        .doc("Specifies the listener addresses that the Kafka brokers will advertise to clients \
             and other brokers. The config is useful where the actual listener configuration \
             <code>listeners</code> does not represent the addresses that clients should use \
             to connect, such as in cloud environments. The addresses are published to and \
             managed by the controller, the brokers pull these data from the controller as \
             needed. In IaaS environments, this may need to be different from the interface to \
             which the broker binds. If this is not set, the value for <code>listeners</code> \
             will be used. Unlike <code>listeners</code>, it is not valid to advertise the \
             0.0.0.0 meta-address.\n Also unlike <code>listeners</code>, there can be \
             duplicated ports in this property, so that one listener can be configured to \
             advertise another listener's address. This can be useful in some cases where \
             external load balancers are used."),
    ConfigDef::new("broker.heartbeat.interval.ms", Int, Value("2000"), Medium)
        .honoured()
        .doc("The length of time in milliseconds between broker heartbeats."),
    ConfigDef::new("broker.id", Int, Value("-1"), High)
        .honoured()
        .doc("The broker id for this server."),
    ConfigDef::new("broker.rack", String, Null, Medium)
        .honoured()
        .doc("Rack of the broker. This will be used in rack aware replication assignment for \
             fault tolerance. Examples: <code>RACK1</code>, <code>us-east-1d</code>"),
    ConfigDef::new("broker.session.timeout.ms", Int, Value("9000"), Medium)
        .honoured()
        .doc("The length of time in milliseconds that a broker lease lasts if no heartbeats are \
             made."),
    ConfigDef::new("controller.listener.names", List, Required, High)
        .honoured()
        .doc("A comma-separated list of the names of the listeners used by the controller. This \
             is required when communicating with the controller quorum, the broker will always \
             use the first listener in this list."),
    ConfigDef::new("controller.performance.always.log.threshold.ms", Long, Value("2000"), Medium)
        .check(AtLeast(0)).internal()
        .doc("We will log an error message about controller events that take longer than this \
             threshold."),
    ConfigDef::new("controller.performance.sample.period.ms", Long, Value("60000"), Medium)
        .check(AtLeast(100)).internal()
        .doc("The number of milliseconds between periodic controller event performance log \
             messages."),
    ConfigDef::new("controller.quorum.append.linger.ms", Int, Value("25"), Medium)
        .check(AtLeast(0))
        .doc("The duration in milliseconds that the leader will wait for writes to accumulate \
             before flushing them to disk."),
    ConfigDef::new("controller.quorum.auto.join.enable", Boolean, Value("false"), Low)
        .doc("Controls whether a KRaft controller should automatically join the cluster \
             metadata partition for its cluster id."),
    ConfigDef::new("controller.quorum.bootstrap.servers", List, Value(""), High)
        .honoured()
        .doc("List of endpoints to use for bootstrapping the cluster metadata. The endpoints \
             are specified in comma-separated list of <code>{host}:{port}</code> entries. For \
             example: <code>localhost:9092,localhost:9093,localhost:9094</code>."),
    ConfigDef::new("controller.quorum.election.backoff.max.ms", Int, Value("1000"), High)
        .check(AtLeast(0))
        .doc("Maximum time in milliseconds before starting new elections. This is used in the \
             binary exponential backoff mechanism that helps prevent gridlocked elections"),
    ConfigDef::new("controller.quorum.election.timeout.ms", Int, Value("1000"), High)
        .check(AtLeast(0)).honoured()
        .doc("Maximum time in milliseconds to wait without being able to fetch from the leader \
             before triggering a new election"),
    ConfigDef::new("controller.quorum.fetch.max.bytes", Int, Value("1048576"), Low)
        .check(AtLeast(1))
        .doc("Maximum amount of data to retrieve for each Fetch request. Always returns at \
             least one batch even if it is greater than controller.quorum.fetch.max.bytes."),
    ConfigDef::new("controller.quorum.fetch.snapshot.max.bytes", Int, Value("1048576"), Low)
        .check(AtLeast(1))
        .doc("Maximum amount of data to retrieve for each FetchSnapshot request to the \
             controller."),
    ConfigDef::new("controller.quorum.fetch.timeout.ms", Int, Value("2000"), High)
        .check(AtLeast(0)).honoured()
        .doc("Maximum time without a successful fetch from the current leader before becoming a \
             candidate and triggering an election for voters; Maximum time a leader can go \
             without receiving valid fetch or fetchSnapshot request from a majority of the \
             quorum before resigning."),
    ConfigDef::new("controller.quorum.request.timeout.ms", Int, Value("2000"), Medium)
        .check(AtLeast(0))
        .doc("The configuration controls the maximum amount of time the client will wait for \
             the response of a request. If the response is not received before the timeout \
             elapses the client will resend the request if necessary or fail the request if \
             retries are exhausted."),
    ConfigDef::new("controller.quorum.retry.backoff.ms", Int, Value("20"), Low)
        .check(AtLeast(0))
        .doc("The amount of time to wait before attempting to retry a failed request to a given \
             topic partition. This avoids repeatedly sending requests in a tight loop under \
             some failure scenarios. This value is the initial backoff value and will increase \
             exponentially for each failed request, up to the \
             <code>retry.backoff.max.ms</code> value."),
    ConfigDef::new("controller.quorum.voters", List, Value(""), High)
        .honoured()
        .doc("Map of id/endpoint information for the set of voters in a comma-separated list of \
             <code>{id}@{host}:{port}</code> entries. This is the old way of defining \
             membership for controller quorums and should NOT be set if using dynamic quorums. \
             Instead, controller.quorum.bootstrap.servers should be set,and the voter set is \
             determined by the --standalone or --initial-controllers flags when formatting.For \
             example: <code>1@localhost:9092,2@localhost:9093,3@localhost:9094</code>"),
    ConfigDef::new("controller.quota.window.num", Int, Value("11"), Low)
        .check(AtLeast(1)).honoured()
        .doc("The number of samples to retain in memory for controller mutation quotas"),
    ConfigDef::new("controller.quota.window.size.seconds", Int, Value("1"), Low)
        .check(AtLeast(1)).honoured()
        .doc("The time span of each sample for controller mutations quotas"),
    ConfigDef::new("controller.socket.timeout.ms", Int, Value("30000"), Medium)
        .doc("The socket timeout for controller-to-broker channels."),
    ConfigDef::new("initial.broker.registration.timeout.ms", Int, Value("60000"), Medium)
        .doc("When initially registering with the controller quorum, the number of milliseconds \
             to wait before declaring failure and exiting the broker process."),
    ConfigDef::new("inter.broker.listener.name", String, Null, Medium)
        .honoured()
        .doc("Name of listener used for communication between brokers. If this is unset, the \
             listener name is defined by security.inter.broker.protocol. It is an error to set \
             this and security.inter.broker.protocol properties at the same time."),
    ConfigDef::new(
        "listener.security.protocol.map",
        String,
        Value(
            "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
        ),
        Low,
    )
        .dynamic(PerBroker).honoured().with_restart()
        .doc("Map between listener names and security protocols. This must be defined for the \
             same security protocol to be usable in more than one port or IP. For example, \
             internal and external traffic can be separated even if SSL is required for both. \
             Concretely, the user could define listeners with names INTERNAL and EXTERNAL and \
             this property as: <code>INTERNAL:SSL,EXTERNAL:SSL</code>. As shown, key and value \
             are separated by a colon and map entries are separated by commas. Each listener \
             name should only appear once in the map. Different security (SSL and SASL) \
             settings can be configured for each listener by adding a normalised prefix (the \
             listener name is lowercased) to the config name. For example, to set a different \
             keystore for the INTERNAL listener, a config with name \
             <code>listener.name.internal.ssl.keystore.location</code> would be set. If the \
             config for the listener name is not set, the config will fallback to the generic \
             config (i.e. <code>ssl.keystore.location</code>). Note that in KRaft a default \
             mapping from the listener names defined by <code>controller.listener.names</code> \
             to PLAINTEXT is assumed if no explicit mapping is provided and no other security \
             protocol is in use."),
    ConfigDef::new("listeners", List, Value("PLAINTEXT://:9092"), High)
        .dynamic(PerBroker).honoured().with_restart()
        .doc("Listener List - Comma-separated list of URIs we will listen on and the listener \
             names. If the listener name is not a security protocol, \
             <code>listener.security.protocol.map</code> must also be set.\n Listener names \
             and port numbers must be unique unless one listener is an IPv4 address and the \
             other listener is an IPv6 address (for the same port).\n Specify hostname as \
             0.0.0.0 to bind to all interfaces.\n Leave hostname empty to bind to default \
             interface.\n Examples of legal listener lists:\n \
             <code>PLAINTEXT://myhost:9092,SSL://:9091</code>\n \
             <code>CLIENT://0.0.0.0:9092,REPLICATION://localhost:9093</code>\n \
             <code>PLAINTEXT://127.0.0.1:9092,SSL://[::1]:9092</code>\n"),
    ConfigDef::new("metadata.log.dir", String, Null, High)
        .honoured()
        .doc("This configuration determines where we put the metadata log. If it is not set, \
             the metadata log is placed in the first log directory from log.dirs."),
    ConfigDef::new("metadata.log.max.record.bytes.between.snapshots", Long, Value("20971520"), High)
        .check(AtLeast(1)).honoured()
        .doc("This is the maximum number of bytes in the log between the latest snapshot and \
             the high-watermark needed before generating a new snapshot. The default value is \
             20971520. To generate snapshots based on the time elapsed, see the \
             <code>metadata.log.max.snapshot.interval.ms</code> configuration. The Kafka node \
             will generate a snapshot when either the maximum time interval is reached or the \
             maximum bytes limit is reached."),
    ConfigDef::new("metadata.log.max.snapshot.interval.ms", Long, Value("3600000"), High)
        .check(AtLeast(0)).honoured()
        .doc("This is the maximum number of milliseconds to wait to generate a snapshot if \
             there are committed records in the log that are not included in the latest \
             snapshot. A value of zero disables time based snapshot generation. The default \
             value is 3600000. To generate snapshots based on the number of metadata bytes, \
             see the <code>metadata.log.max.record.bytes.between.snapshots</code> \
             configuration. The Kafka node will generate a snapshot when either the maximum \
             time interval is reached or the maximum bytes limit is reached."),
    ConfigDef::new("metadata.log.segment.bytes", Int, Value("1073741824"), High)
        .check(AtLeast(8_388_608))
        .doc("The maximum size of a single metadata log file."),
    ConfigDef::new("metadata.log.segment.ms", Long, Value("604800000"), High)
        .doc("The maximum time before a new metadata log file is rolled out (in milliseconds)."),
    ConfigDef::new("metadata.max.idle.interval.ms", Int, Value("500"), Low)
        .check(AtLeast(0))
        .doc("This configuration controls how often the active controller should write no-op \
             records to the metadata partition. If the value is 0, no-op records are not \
             appended to the metadata partition. The default value is 500"),
    ConfigDef::new("metadata.max.retention.bytes", Long, Value("104857600"), High)
        .doc("The maximum combined size of the metadata log and snapshots before deleting old \
             snapshots and log files. Since at least one snapshot must exist before any logs \
             can be deleted, this is a soft limit."),
    ConfigDef::new("metadata.max.retention.ms", Long, Value("604800000"), High)
        .doc("The number of milliseconds to keep a metadata log file or snapshot before \
             deleting it. Since at least one snapshot must exist before any logs can be \
             deleted, this is a soft limit."),
    ConfigDef::new("node.id", Int, Required, High)
        .check(AtLeast(0)).honoured()
        .doc("The node ID associated with the roles this process is playing when \
             <code>process.roles</code> is non-empty. This is required configuration when \
             running in KRaft mode."),
    ConfigDef::new("process.roles", List, Required, High)
        .check(ListOf(&["broker", "controller"])).honoured()
        .doc("The roles that this process plays: 'broker', 'controller', or 'broker,controller' \
             if it is both. "),
];
