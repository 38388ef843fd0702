//! Tests of a node's configuration: from variables to values or errors.

use std::path::PathBuf;

use dohle_model::record::SecurityProtocol;
use dohle_tls::ClientAuth;
use expect_test::{Expect, expect};

use super::*;
use crate::test_support::folded;

const COMBINED: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    (
        "controller.quorum.voters",
        "1@one:9093,2@two:9093,3@three:9093",
    ),
    ("controller.listener.names", "CONTROLLER"),
    ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
    ("log.dirs", "/data"),
];

fn sources(base: &[(&str, &str)], changes: &[(&str, &str)]) -> Sources {
    let mut sources = Sources {
        has_file: true,
        ..Sources::default()
    };
    for (name, value) in base.iter().chain(changes) {
        sources.add_override(&format!("{name}={value}")).unwrap();
        if value.is_empty() {
            sources.properties.remove(*name);
        }
    }
    sources
}

#[track_caller]
fn accepted(changes: &[(&str, &str)]) -> NodeConfig {
    NodeConfig::new(sources(COMBINED, changes), "host1").unwrap()
}

#[track_caller]
fn check_fault(changes: &[(&str, &str)], expected: Expect) {
    let fault = NodeConfig::new(sources(COMBINED, changes), "host1").unwrap_err();
    expected.assert_eq(&folded(&fault.to_string()));
}

#[track_caller]
fn check_advertised(changes: &[(&str, &str)], expected: Expect) {
    let config = accepted(changes);
    let text: Vec<String> = config
        .listeners
        .advertised
        .iter()
        .map(ToString::to_string)
        .collect();
    let inter_broker = &config.listeners.inter_broker;
    expected.assert_eq(&format!("{} (brokers: {inter_broker})", text.join(",")));
}

#[test]
fn variables_become_properties_as_in_the_images_of_kafka() {
    let table = [
        ("KAFKA_NODE_ID", Some("node.id")),
        ("KAFKA_CFG_NODE_ID", Some("node.id")),
        (
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
            Some("listener.security.protocol.map"),
        ),
        (
            "KAFKA_AUTO_CREATE_TOPICS_ENABLE",
            Some("auto.create.topics.enable"),
        ),
        ("KAFKA_SOME__UNDERSCORE", Some("some_underscore")),
        ("KAFKA_SOME___DASH", Some("some-dash")),
        ("KAFKA_A____B", Some("a____b")),
        (
            "KAFKA_CFG_LISTENER_NAME_SASL_SSL_SSL_CLIENT_AUTH",
            Some("listener.name.sasl_ssl.ssl.client.auth"),
        ),
        ("KAFKA_CLIENT_PASSWORDS_FILE", None),
        ("KAFKA_TLS_OUT_CLIENT_AUTH", None),
        ("KAFKA_LOG_DIRS", Some("log.dirs")),
        ("KAFKA_LOG_DIR", None),
        ("KAFKA_HEAP_OPTS", None),
        ("KAFKA_LOG4J_ROOT_LOGLEVEL", None),
        ("KAFKA_LOG4J_LOGGERS", None),
        ("KAFKA_OPTS", None),
        ("KAFKA_JMX_PORT", None),
        ("KAFKA_CLUSTER_ID", None),
        ("KAFKA_", None),
        ("CLUSTER_ID", None),
        ("PATH", None),
    ];
    for (variable, property) in table {
        assert_eq!(property_of(variable).as_deref(), property, "{variable}");
    }
}

#[test]
fn later_sources_outvote_earlier_ones() {
    let mut sources = Sources::default();
    let file =
        b"# a comment\nnode.id=1\nnum.partitions = 2\nbroker.rack=file\nlog.dirs=/a,\\\n  /b\n";
    sources.add_file("server.properties", file).unwrap();
    sources.add_environment([
        ("KAFKA_CFG_BROKER_RACK".to_owned(), "bitnami".to_owned()),
        ("KAFKA_BROKER_RACK".to_owned(), "apache".to_owned()),
        ("KAFKA_NUM_PARTITIONS".to_owned(), "3".to_owned()),
        ("KAFKA_KRAFT_CLUSTER_ID".to_owned(), "third".to_owned()),
        ("CLUSTER_ID".to_owned(), "first".to_owned()),
    ]);
    sources.add_override("num.partitions=4").unwrap();
    let get = |name: &str| sources.properties[name].as_str();
    assert_eq!(get("node.id"), "1");
    assert_eq!(get("broker.rack"), "bitnami");
    assert_eq!(get("num.partitions"), "4");
    assert_eq!(get("log.dirs"), "/a,/b");
    assert_eq!(sources.cluster_id.as_deref(), Some("first"));
    assert_eq!(
        sources.origins["broker.rack"],
        "the variable KAFKA_CFG_BROKER_RACK"
    );
}

#[test]
fn without_anything_a_node_is_alone_on_localhost() {
    let config = NodeConfig::new(Sources::default(), "host1").unwrap();
    assert_eq!(
        config.roles,
        Roles {
            broker: true,
            controller: true
        }
    );
    assert_eq!(config.node_id, NodeId(1));
    assert_eq!(config.log_dirs, [PathBuf::from("/tmp/kraft-combined-logs")]);
    let broker: Vec<String> = config
        .listeners
        .broker
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(broker, ["PLAINTEXT://localhost:9092"]);
    assert_eq!(
        config.voters,
        [ConfiguredVoter {
            id: Some(NodeId(1)),
            host: "localhost".into(),
            port: 9093
        }]
    );
}

#[test]
fn what_is_advertised_follows_from_what_is_bound() {
    check_advertised(&[], expect!["PLAINTEXT://host1:9092 (brokers: PLAINTEXT)"]);
    check_advertised(
        &[("listeners", "plaintext://[::1]:9092,CONTROLLER://:9093")],
        expect!["PLAINTEXT://[::1]:9092 (brokers: PLAINTEXT)"],
    );
    check_advertised(
        &[
            (
                "listeners",
                "INTERNAL://0.0.0.0:29092,EXTERNAL://:9092,CONTROLLER://:9093",
            ),
            (
                "advertised.listeners",
                "EXTERNAL://localhost:9092,INTERNAL://broker1:29092",
            ),
            ("inter.broker.listener.name", "INTERNAL"),
            (
                "listener.security.protocol.map",
                "INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
            ),
        ],
        expect!["EXTERNAL://localhost:9092,INTERNAL://broker1:29092 (brokers: INTERNAL)"],
    );
    // As in Confluent's images, the controller's listener may be among the advertised ones; brokers
    // skip it.
    check_advertised(
        &[(
            "advertised.listeners",
            "PLAINTEXT://broker1:9092,CONTROLLER://broker1:9093",
        )],
        expect!["PLAINTEXT://broker1:9092 (brokers: PLAINTEXT)"],
    );
}

#[test]
fn listeners_that_cannot_be_right_are_refused_in_words() {
    check_fault(
        &[("listeners", "PLAINTEXT:9092,CONTROLLER://:9093")],
        expect![[r#"
            listeners is "PLAINTEXT:9092,CONTROLLER://:9093"; allowed is
            a list of NAME://host:port ("PLAINTEXT:9092" has no NAME://
            in front)"#]],
    );
    check_fault(
        &[("listeners", "PLAINTEXT://:port,CONTROLLER://:9093")],
        expect![[r#"
            listeners is "PLAINTEXT://:port,CONTROLLER://:9093"; allowed
            is a list of NAME://host:port ("port" is not a port from 0
            to 65535)"#]],
    );
    check_fault(
        &[("listeners", "PLAINTEXT://::1:9092,CONTROLLER://:9093")],
        expect![[r#"
            listeners is "PLAINTEXT://::1:9092,CONTROLLER://:9093";
            allowed is a list of NAME://host:port (the IPv6 address
            "::1" needs brackets: [::1])"#]],
    );
    check_fault(
        &[("listeners", "PLAINTEXT://:9093,CONTROLLER://:9093")],
        expect![[r#"
            listeners is "PLAINTEXT://:9093,CONTROLLER://:9093"; allowed
            is a list in which each listener has a port of its own;
            PLAINTEXT and CONTROLLER share 9093"#]],
    );
    check_fault(
        &[(
            "listeners",
            "PLAINTEXT://:9092,PLAINTEXT://:9094,CONTROLLER://:9093",
        )],
        expect![[r#"
            listeners is
            "PLAINTEXT://:9092,PLAINTEXT://:9094,CONTROLLER://:9093";
            allowed is a list without PLAINTEXT twice"#]],
    );
    check_fault(
        &[("listeners", "PLAINTEXT://:9092")],
        expect![[r#"
            listeners is "PLAINTEXT://:9092"; allowed is a list that has
            CONTROLLER, the first of controller.listener.names, because
            process.roles has controller"#]],
    );
    check_fault(
        &[("listeners", "CONTROLLER://:9093")],
        expect![[r#"
            listeners is "CONTROLLER://:9093"; allowed is a list with a
            listener that is not in controller.listener.names, because
            process.roles has broker"#]],
    );
    check_fault(
        &[("listeners", "INSIDE://:9092,CONTROLLER://:9093")],
        expect![[r#"
            listener.security.protocol.map is
            "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT";
            allowed is a list that has the listener INSIDE, for example
            INSIDE:PLAINTEXT"#]],
    );
    check_fault(
        &[
            ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
            (
                "listener.security.protocol.map",
                "PLAINTEXT:PLAINTEXT,CONTROLLER:SASL_SSL",
            ),
        ],
        expect![[r#"
            the configuration has 2 mistakes:
              sasl.enabled.mechanisms
            is not set; it must be a list of PLAIN, SCRAM-SHA-256,
            SCRAM-SHA-512, OAUTHBEARER for the listener CONTROLLER: the
            default of Kafka is GSSAPI (Kerberos), which is not
            supported
              sasl.mechanism.controller.protocol is not set;
            it must be one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512,
            OAUTHBEARER, with which nodes authenticate at the listener
            CONTROLLER: the default of Kafka is GSSAPI (Kerberos), which
            is not supported"#]],
    );
    check_fault(
        &[("listeners", "PLAINTEXT://0.0.0.0:9092,CONTROLLER://:9093")],
        expect![[r#"
            listeners: PLAINTEXT would be advertised as 0.0.0.0, which
            means all interfaces and is not an address that clients can
            connect to; set advertised.listeners to
            PLAINTEXT://HOST:PORT with the host name or address that
            clients use"#]],
    );
    check_fault(
        &[("advertised.listeners", "PLAINTEXT://0.0.0.0:9092")],
        expect![[r#"
            advertised.listeners: PLAINTEXT would be advertised as
            0.0.0.0, which means all interfaces and is not an address
            that clients can connect to; set advertised.listeners to
            PLAINTEXT://HOST:PORT with the host name or address that
            clients use"#]],
    );
    check_fault(
        &[("advertised.listeners", "OTHER://one:9092")],
        expect![[r#"
            advertised.listeners is "OTHER://one:9092"; allowed is a
            list of names that are in listeners; OTHER is not"#]],
    );
    check_fault(
        &[("inter.broker.listener.name", "INSIDE")],
        expect![[r#"
            inter.broker.listener.name is "INSIDE"; allowed is a name
            that is in listeners"#]],
    );
    check_fault(
        &[("controller.listener.names", "")],
        expect![[r#"
            controller.listener.names is not set; it must be the name of
            the listener that controllers use, for example CONTROLLER"#]],
    );
    check_fault(
        &[("listener.security.protocol.map", "PLAINTEXT:TCP")],
        expect![[r#"
            listener.security.protocol.map is "PLAINTEXT:TCP"; allowed
            is a list of NAME:PROTOCOL with PLAINTEXT, SSL,
            SASL_PLAINTEXT or SASL_SSL"#]],
    );
}

#[test]
fn voters_that_cannot_be_right_are_refused_in_words() {
    check_fault(
        &[("controller.quorum.voters", "one:9093")],
        expect![[r#"
            controller.quorum.voters is "one:9093"; allowed is a list of
            ID@HOST:PORT, for example 1@one:9093,2@two:9093,3@three:9093"#]],
    );
    check_fault(
        &[("controller.quorum.voters", "1@one:9093,1@two:9093")],
        expect![[r#"
            controller.quorum.voters is "1@one:9093,1@two:9093"; allowed
            is a list in which each id stands once"#]],
    );
    check_fault(
        &[("controller.quorum.voters", "2@two:9093")],
        expect![[r#"
            controller.quorum.voters is "2@two:9093"; allowed is a list
            that has this node: process.roles has controller, node.id=1"#]],
    );
    check_fault(
        &[("controller.quorum.voters", "1@one:9999")],
        expect![[r#"
            controller.quorum.voters says that node 1 is at port 9999,
            but the listener CONTROLLER has port 9093; the two must
            agree"#]],
    );
    check_fault(
        &[
            ("process.roles", "broker"),
            ("listeners", "PLAINTEXT://:9092"),
        ],
        expect![[r#"
            controller.quorum.voters names node 1 as a controller, but
            process.roles of this node is broker: give the broker a
            node.id of its own, or add the role"#]],
    );
    check_fault(
        &[("controller.quorum.voters", "")],
        expect![[r#"
            controller.quorum.voters is not set; it must be the list of
            controllers as ID@HOST:PORT, for example 1@localhost:9093"#]],
    );
    check_fault(
        &[
            ("controller.quorum.voters", ""),
            ("controller.quorum.bootstrap.servers", "one:9093,two:9093"),
        ],
        expect![[r#"
            controller.quorum.bootstrap.servers has 2 controllers; Dohle
            has no voters that join at run time yet: set
            controller.quorum.voters to the list of all controllers as
            ID@HOST:PORT, the same on every node"#]],
    );
}

#[test]
fn bad_values_are_refused_in_words() {
    check_fault(
        &[("num.partitions", "none")],
        expect![[r#"
            num.partitions is "none"; allowed is a whole number of 32
            bits, at least 1"#]],
    );
    check_fault(
        &[("process.roles", "leader")],
        expect![[r#"
            process.roles is "leader"; allowed is a list of any of
            broker, controller"#]],
    );
    check_fault(
        &[("process.roles", "")],
        expect![[r#"
            process.roles is not set; it must be broker, controller or
            broker,controller"#]],
    );
    check_fault(
        &[("node.id", "")],
        expect!["node.id is not set; it must be a whole number from 0"],
    );
    check_fault(
        &[("node.id", "-3")],
        expect![[r#"
            node.id is "-3"; allowed is a whole number of 32 bits, at
            least 0"#]],
    );
    check_fault(
        &[("broker.id", "2")],
        expect![[r#"
            broker.id is "2"; allowed is nothing, or the same as
            node.id=1"#]],
    );
    check_fault(
        &[("log.dirs", "/data,/data")],
        expect![[r#"
            log.dirs is "/data,/data"; allowed is a list without /data
            twice"#]],
    );
}

#[test]
fn what_nobody_set_is_nobodys_mistake() {
    let config = NodeConfig::new(Sources::default(), "host1").unwrap();
    assert!(config.completed.contains("transaction.state.log.min.isr"));
    assert_eq!(notices(&config), Vec::<String>::new());
}

#[test]
fn a_listener_with_tls_has_its_own_properties_before_those_of_all() {
    let set = [
        (
            "listeners",
            "SSL://:9092,PLAINTEXT://:9094,CONTROLLER://:9093",
        ),
        (
            "listener.security.protocol.map",
            "SSL:SSL,PLAINTEXT:PLAINTEXT,CONTROLLER:SSL",
        ),
        ("ssl.client.auth", "required"),
        ("listener.name.ssl.ssl.client.auth", "none"),
    ];
    let config = accepted(&set);
    let auth = |name: &str| config.tls.get(name).map(|tls| tls.client_auth);
    assert_eq!(auth("SSL"), Some(ClientAuth::None));
    assert_eq!(auth("CONTROLLER"), Some(ClientAuth::Required));
    assert_eq!(auth("PLAINTEXT"), None);
    let protocols = config.listeners.endpoints(|_| None).into_iter();
    let protocols: Vec<_> = protocols
        .map(|endpoint| endpoint.security_protocol)
        .collect();
    assert_eq!(
        protocols,
        [SecurityProtocol::Ssl, SecurityProtocol::Plaintext]
    );

    let unusable = ("listener.name.ssl.ssl.enabled.protocols", "TLSv1");
    let changes = [&set[..], &[unusable]].concat();
    let fault = NodeConfig::new(sources(COMBINED, &changes), "host1").unwrap_err();
    let fault = fault.to_string();
    assert!(
        fault.starts_with("listener SSL: listener.name.ssl.ssl.enabled.protocols is \"TLSv1\""),
        "{fault}"
    );
}

#[test]
fn a_file_for_zookeeper_says_what_to_do() {
    let mut sources = Sources::default();
    sources.add_environment([("KAFKA_ZOOKEEPER_CONNECT".to_owned(), "zk:2181".to_owned())]);
    let fault = NodeConfig::new(sources, "host1").unwrap_err();
    assert_eq!(fault, ConfigFault::ZooKeeper);
    let mut sources = Sources::default();
    sources
        .add_file("f", b"broker.id=1\nzookeeper.connect=zk:2181\n")
        .unwrap();
    let fault = NodeConfig::new(sources, "host1").unwrap_err();
    assert_eq!(fault, ConfigFault::ZooKeeper);
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let changes = [
        ("num.partitions", "none"),
        ("node.id", "x"),
        ("log.dirs", "\"/data\""),
        ("advertised.listeners", "localhost:9092"),
        ("log.cleaner.threads", "200"),
        ("remote.log.storage.system.enable", "true"),
    ];
    let fault = NodeConfig::new(sources(COMBINED, &changes), "host1").unwrap_err();
    let text = fault.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(lines[0], "the configuration has 6 mistakes:");
    for (line, start) in lines[1..].iter().zip([
        "log.dirs is \"\\\"/data\\\"\"; allowed is the value without quotes",
        "node.id is \"x\"",
        "num.partitions is \"none\"",
        "remote.log.storage.system.enable is \"true\"; allowed is false",
        "log.cleaner.dedupe.buffer.size (134217728) must be more than 1048576 for each of \
         log.cleaner.threads (200)",
        "advertised.listeners is \"localhost:9092\"",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn a_mistake_in_a_variable_names_the_variable() {
    let mut sources = sources(COMBINED, &[]);
    let variable = ("KAFKA_ADVERTISED_LISTENERS", "localhost:9092");
    sources.add_environment([(variable.0.to_owned(), variable.1.to_owned())]);
    let fault = NodeConfig::new(sources, "host1").unwrap_err();
    expect![[r#"
        advertised.listeners is "localhost:9092"; allowed is a list
        of NAME://host:port ("localhost:9092" has no NAME:// in
        front) (set by the variable KAFKA_ADVERTISED_LISTENERS)"#]]
    .assert_eq(&folded(&fault.to_string()));
}

#[test]
fn a_single_node_may_name_itself_as_bootstrap_server() {
    let config = accepted(&[
        ("controller.quorum.voters", ""),
        ("controller.quorum.bootstrap.servers", "localhost:9093"),
    ]);
    assert_eq!(
        config.voters,
        [ConfiguredVoter {
            id: Some(NodeId(1)),
            host: "localhost".into(),
            port: 9093
        }]
    );
}

#[test]
fn notices_name_ignored_and_unknown_properties() {
    let config = accepted(&[
        ("num.io.threads", "8"),
        ("ssl.keystore.location", "/keys"),
        ("listener.name.external.ssl.key.password", "x"),
        ("ssl.keymanager.algorithm", "PKIX"),
        ("listener.name.external.ssl.keymanager.algorithm", "PKIX"),
        ("auto.create.topic.enable", "false"),
        ("zookeeper.connect", "zk:2181"),
        ("my.own.plugin", "1"),
    ]);
    expect![[r#"
        unknown property auto.create.topic.enable has no effect; did
        you mean auto.create.topics.enable?
        unknown property
        my.own.plugin has no effect
        zookeeper.connect is a property
        of older versions of Kafka and has no effect: Dohle does not
        use ZooKeeper
        these properties of Kafka have no effect in
        Dohle: listener.name.external.ssl.keymanager.algorithm,
        num.io.threads, ssl.keymanager.algorithm"#]]
    .assert_eq(&folded(&notices(&config).join("\n")));
}

#[test]
fn all_variables_of_kubernetes_services_are_named_in_one_line() {
    let mut sources = Sources::default();
    sources.add_environment(
        [
            ("KAFKA_PORT", "tcp://10.0.0.1:9092"),
            ("KAFKA_SERVICE_HOST", "10.0.0.1"),
            ("KAFKA_PORT_9092_TCP_PROTO", "tcp"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let config = NodeConfig::new(sources, "host1").unwrap();
    let expected = "these variables of Kubernetes Services are ignored: KAFKA_PORT, \
                    KAFKA_PORT_9092_TCP_PROTO, KAFKA_SERVICE_HOST; set enableServiceLinks: false \
                    in the pod to have none of them";
    assert_eq!(notices(&config), [expected]);
}

#[test]
fn the_authorizer_is_kafkas_standard_one_or_none() {
    const CLASS: &str = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    assert_eq!(accepted(&[]).authorizer, None);
    assert_eq!(accepted(&[("super.users", "User:a")]).authorizer, None);
    let config = accepted(&[
        ("authorizer.class.name", CLASS),
        ("super.users", "User:a;User:b"),
        ("allow.everyone.if.no.acl.found", "true"),
    ]);
    let expected = dohle_auth::AclSettings::parse("User:b;User:a", true).unwrap();
    assert_eq!(config.authorizer, Some(expected));
    check_fault(
        &[(
            "authorizer.class.name",
            "kafka.security.authorizer.AclAuthorizer",
        )],
        expect![[r#"
            authorizer.class.name is
            "kafka.security.authorizer.AclAuthorizer", a class that
            Dohle cannot run; allowed is
            org.apache.kafka.metadata.authorizer.StandardAuthorizer for
            Dohle's own authorizer, which decides by the same ACLs, or
            nothing to allow everyone everything"#]],
    );
    check_fault(
        &[
            ("authorizer.class.name", CLASS),
            ("super.users", "User:a;admin"),
        ],
        expect![[r#"
            super.users has "admin"; each super user has a type and a
            name, such as User:admin, and ; separates them"#]],
    );
    check_fault(
        &[
            ("authorizer.class.name", CLASS),
            ("allow.everyone.if.no.acl.found", "perhaps"),
        ],
        expect![[r#"
            allow.everyone.if.no.acl.found is "perhaps"; allowed is true
            or false"#]],
    );
}

#[test]
fn principals_of_nodes_need_listeners_that_authenticate() {
    const PRINCIPALS: (&str, &str) = ("node.principals", "User:CN=node{node.id}");
    assert_eq!(accepted(&[]).node_principals, None);
    let with = |map, auth| {
        [
            PRINCIPALS,
            ("listener.security.protocol.map", map),
            ("ssl.client.auth", auth),
        ]
    };
    let both = "PLAINTEXT:SSL,CONTROLLER:SSL";
    let principals = accepted(&with(both, "required")).node_principals;
    assert!(principals.is_some());
    for changes in [
        with("PLAINTEXT:PLAINTEXT,CONTROLLER:SSL", "required"),
        with("PLAINTEXT:SSL,CONTROLLER:PLAINTEXT", "required"),
        with(both, "none"),
    ] {
        let fault = NodeConfig::new(sources(COMBINED, &changes), "host1").unwrap_err();
        let text = fault.to_string();
        assert!(
            text.contains("do not authenticate at the listener"),
            "{text}"
        );
    }
    check_fault(
        &[PRINCIPALS],
        expect![[r#"
        node.principals is "User:CN=node{node.id}"; allowed is
        nothing while nodes do not authenticate at the listener
        PLAINTEXT: map it to SASL_SSL, or to SSL with
        ssl.client.auth=required, in listener.security.protocol.map"#]],
    );
    check_fault(
        &[("node.principals", "node{node.id}")],
        expect![[r#"
        node.principals has "node{node.id}"; each principal is User:
        and a name, such as User:CN=node{node.id}, where {node.id}
        stands for the id of the node, and ; separates them"#]],
    );
}
