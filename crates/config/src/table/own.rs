//! Brokers' properties that are not in Apache Kafka's list: those of its StandardAuthorizer, those
//! that it takes at run time alone (`DynamicConfig.Broker`), and Dohle's own.

use crate::definition::ConfigDef;
use crate::definition::ConfigType::{Boolean, Double, Int, List, Long, String};
use crate::definition::Default::{Null, Value};
use crate::definition::Importance::{Low, Medium};
use crate::definition::UpdateMode::ClusterWide;
use crate::definition::Validator::{AtLeast, OneOf};

#[rustfmt::skip]
pub(crate) const TABLE: &[ConfigDef] = &[
    ConfigDef::new("allow.everyone.if.no.acl.found", Boolean, Value("false"), Low)
        .honoured().internal()
        .doc("With an authorizer: whether everyone may do everything with a resource that no ACL \
             matches."),
    ConfigDef::new("follower.replication.throttled.rate", Long,
        Value("9223372036854775807"), Medium)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured().internal()
        .doc("The most bytes per second that this broker receives, as a follower, for the replicas \
             that follower.replication.throttled.replicas of topics list. Replicas in the ISR are \
             counted, and not delayed. It is suggested that the limit be kept above 1 MB/s."),
    ConfigDef::new("http.listeners", List, Value(""), Medium)
        .honoured()
        .doc("The addresses at which the node serves its metrics and its health over HTTP, such as \
             http://localhost:9644; without any there is no HTTP listener. Whoever reaches an \
             address may read: there is neither TLS nor authentication."),
    ConfigDef::new("leader.replication.throttled.rate", Long,
        Value("9223372036854775807"), Medium)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured().internal()
        .doc("The most bytes per second that this broker sends, as a leader, to the replicas that \
             leader.replication.throttled.replicas of topics list. Replicas in the ISR are \
             counted, and not delayed. It is suggested that the limit be kept above 1 MB/s."),
    ConfigDef::new("log.dir.reserve.bytes", Long, Value("268435456"), Low)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured()
        .doc("The bytes that are kept free in the file system of each log directory, and of the \
             metadata log, but at most 5 % of it. Below that, producers are refused with \
             KAFKA_STORAGE_ERROR, followers pause and no topics are created, while reads, the \
             offsets of groups, DeleteTopics and DeleteRecords go on. All of it resumes by itself \
             when a quarter more than this is free. With 0 only a disk without any space refuses."),
    ConfigDef::new("log.format", String, Value("text"), Low)
        .check(OneOf(&["text", "json"])).honoured()
        .doc("The format of the lines that the node writes to standard error: text, or json for \
             one JSON object a line. Errors of the configuration, which come before, are text."),
    ConfigDef::new("log.scrub.enable", Boolean, Value("true"), Low)
        .dynamic(ClusterWide).honoured()
        .doc("Whether the broker reads all closed segments in the background and checks their \
             records, so that damage is found and repaired from another replica before a consumer \
             meets it."),
    ConfigDef::new("log.scrub.interval.ms", Long, Value("604800000"), Low)
        .check(AtLeast(1000)).dynamic(ClusterWide).honoured()
        .doc("The time from the beginning of one pass over all closed segments to the beginning of \
             the next. A pass that takes longer is followed by the next at once. The first pass \
             begins a tenth of this time after the start."),
    ConfigDef::new("log.scrub.max.bytes.per.second", Double, Value("4194304"), Low)
        .dynamic(ClusterWide).honoured()
        .doc("The most bytes that a pass reads per second, on average."),
    ConfigDef::new("metrics.client.series.max", Int, Value("10000"), Low)
        .check(AtLeast(0)).honoured()
        .doc("The most series of metrics that clients have pushed to this node and that it \
             exposes."),
    ConfigDef::new("metrics.groups.max", Int, Value("1000"), Low)
        .check(AtLeast(0)).honoured()
        .doc("The most groups that this node coordinates and has metrics of their own for, in the \
             order of their names."),
    ConfigDef::new("metrics.jmx.rules", String, Null, Low)
        .honoured()
        .doc("A rule file of Prometheus's jmx_exporter that names the metrics. Without one the \
             names are those of Strimzi's rules."),
    ConfigDef::new("metrics.topics.max", Int, Value("1000"), Low)
        .check(AtLeast(0)).honoured()
        .doc("The most topics that this node has replicas of and has metrics of their own for, in \
             the order of their names."),
    ConfigDef::new("node.principals", String, Value(""), Low)
        .honoured()
        .doc("The principals with which nodes authenticate to each other, separated by semicolons; \
             {node.id} stands for the id of the node, as in User:CN=node{node.id}. A broker or \
             controller is served under a node id only if one of these principals, with that id, \
             is its own; a name without {node.id} may act under any id. The inter-broker \
             listener and the controllers' listener have to authenticate. Without principals, \
             whoever may carry out ClusterAction may act under any id."),
    ConfigDef::new("replica.alter.log.dirs.io.max.bytes.per.second", Long,
        Value("9223372036854775807"), Medium)
        .check(AtLeast(0)).dynamic(ClusterWide).honoured().internal()
        .doc("The most bytes per second that replicas use which move between the log directories \
             of a broker."),
    ConfigDef::new("super.users", String, Value(""), Low)
        .honoured().internal()
        .doc("With an authorizer: the principals that may do everything, separated by semicolons, \
             such as User:admin;User:CN=broker-1."),
];
