//! Tests of the warnings about open listeners: which listeners are named, and that the properties
//! of a warning end it.

use expect_test::{Expect, expect};

use super::*;
use crate::config::Sources;
use crate::test_support::folded;

const NODE: &[(&str, &str)] = &[
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

/// Listeners of which only OUT is open to strangers.
const CLIENTS_ONLY: &[(&str, &str)] = &[
    (
        "listeners",
        "PLAINTEXT://127.0.0.1:9092,CONTROLLER://localhost:9093,OUT://:9094",
    ),
    (
        "listener.security.protocol.map",
        "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,OUT:PLAINTEXT",
    ),
];

const KEYS: &[(&str, &str)] = &[
    ("ssl.keystore.type", "PEM"),
    ("ssl.keystore.location", "/node.pem"),
];

const AUTHORIZER: (&str, &str) = (
    "authorizer.class.name",
    "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
);

fn config(changes: &[&[(&str, &str)]]) -> NodeConfig {
    let mut sources = Sources {
        has_file: true,
        ..Sources::default()
    };
    for (name, value) in NODE.iter().chain(changes.iter().copied().flatten()) {
        sources.add_override(&format!("{name}={value}")).unwrap();
    }
    NodeConfig::new(sources, "host1").unwrap()
}

#[track_caller]
fn check(changes: &[&[(&str, &str)]], expected: Expect) {
    let warnings = open_listener_warnings(&config(changes));
    let folded = warnings.iter().map(|warning| {
        let (text, lines) = warning.split_once('\n').unwrap();
        format!("{}\n{lines}\n", folded(text))
    });
    expected.assert_eq(&folded.collect::<String>());
}

/// Checks that the properties in the warnings are accepted, and that no warning is left with them.
#[track_caller]
fn check_remedy(changes: &[&[(&str, &str)]]) {
    let warnings = open_listener_warnings(&config(changes)).join("\n");
    let lines = warnings
        .lines()
        .filter_map(|line| line.strip_prefix("    "));
    let lines: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once('=')).collect();
    assert!(!lines.is_empty());
    let mut with = changes.to_vec();
    with.push(&lines);
    let left = open_listener_warnings(&config(&with));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_node_that_lets_everyone_in_is_warned_about_with_the_properties_that_change_it() {
    check(
        &[],
        expect![[r#"
        EVERYONE IS LET IN: the listeners PLAINTEXT://:9092
        (advertised as PLAINTEXT://host1:9092), CONTROLLER://:9093
        can be reached from other machines, and have neither
        authentication nor authorization: whoever connects can read,
        change and delete everything. `dohle security init DIR`
        makes certificates for nodes and clients; with them, these
        properties of each node change it:
            listener.security.protocol.map=CONTROLLER:SSL,PLAINTEXT:SSL
            ssl.keystore.type=PEM
            ssl.keystore.location=DIR/nodeN.pem
            ssl.truststore.type=PEM
            ssl.truststore.location=DIR/ca.pem
            listener.name.plaintext.ssl.client.auth=required
            listener.name.controller.ssl.client.auth=required
    "#]],
    );
    check_remedy(&[]);
}

#[test]
fn clients_of_an_open_listener_can_log_in_after_three_lines() {
    check(
        &[CLIENTS_ONLY],
        expect![[r#"
        EVERYONE IS LET IN: the listener OUT://:9094 (advertised as
        OUT://host1:9094) can be reached from other machines, and
        has neither authentication nor authorization: whoever
        connects can read, change and delete everything. These
        properties of each node change it, for clients that log in
        with a password:
            listener.security.protocol.map=CONTROLLER:PLAINTEXT,OUT:SASL_PLAINTEXT,PLAINTEXT:PLAINTEXT
            listener.name.out.sasl.enabled.mechanisms=PLAIN
            listener.name.out.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_NAME="PASSWORD";
    "#]],
    );
    check_remedy(&[CLIENTS_ONLY]);
}

#[test]
fn tls_that_asks_for_no_certificate_lets_everyone_in() {
    let ssl = [(
        "listener.security.protocol.map",
        "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,OUT:SSL",
    )];
    check(
        &[CLIENTS_ONLY, KEYS, &ssl],
        expect![[r#"
        EVERYONE IS LET IN: the listener OUT://:9094 (advertised as
        OUT://host1:9094) can be reached from other machines, and
        has neither authentication nor authorization: whoever
        connects can read, change and delete everything. These
        properties of each node change it, for clients with
        certificates:
            listener.name.out.ssl.client.auth=required
            listener.name.out.ssl.truststore.type=PEM
            listener.name.out.ssl.truststore.location=FILE
    "#]],
    );
    check_remedy(&[CLIENTS_ONLY, KEYS, &ssl]);
    let requested = [
        ("listener.name.out.ssl.client.auth", "requested"),
        ("listener.name.out.ssl.truststore.type", "PEM"),
        ("listener.name.out.ssl.truststore.location", "/ca.pem"),
    ];
    check(
        &[CLIENTS_ONLY, KEYS, &ssl, &requested],
        expect![[r#"
        EVERYONE IS LET IN: the listener OUT://:9094 (advertised as
        OUT://host1:9094) can be reached from other machines, and
        has neither authentication nor authorization: whoever
        connects can read, change and delete everything. These
        properties of each node change it, for clients with
        certificates:
            listener.name.out.ssl.client.auth=required
    "#]],
    );
    check_remedy(&[CLIENTS_ONLY, KEYS, &ssl, &requested]);
}

#[test]
fn listeners_that_only_this_machine_reaches_raise_no_warning() {
    let local = [(
        "listeners",
        "PLAINTEXT://127.0.0.1:9092,CONTROLLER://localhost:9093",
    )];
    check(&[&local], expect![[""]]);
    let ipv6 = [(
        "listeners",
        "PLAINTEXT://[::1]:9092,CONTROLLER://[::1]:9093",
    )];
    check(&[&ipv6], expect![[""]]);
    let forwarded = [("advertised.listeners", "PLAINTEXT://kafka.example.com:9092")];
    let warnings = open_listener_warnings(&config(&[&local, &forwarded]));
    let named = "PLAINTEXT://127.0.0.1:9092 (advertised as PLAINTEXT://kafka.example.com:9092) can";
    assert!(warnings[0].contains(named), "{warnings:?}");
    assert!(!warnings[0].contains("CONTROLLER://"), "{warnings:?}");
}

#[test]
fn authentication_or_authorization_ends_the_warning() {
    let out = |protocol: &str| format!("PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,OUT:{protocol}");
    let sasl = out("SASL_PLAINTEXT");
    let sasl = [
        ("listener.security.protocol.map", sasl.as_str()),
        ("sasl.enabled.mechanisms", "SCRAM-SHA-512"),
    ];
    check(&[CLIENTS_ONLY, &sasl], expect![[""]]);
    let ssl = out("SSL");
    let mutual = [
        ("listener.security.protocol.map", ssl.as_str()),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.location", "/ca.pem"),
        ("ssl.client.auth", "required"),
    ];
    check(&[CLIENTS_ONLY, KEYS, &mutual], expect![[""]]);
    check(&[CLIENTS_ONLY, &[AUTHORIZER]], expect![[""]]);
}

#[test]
fn an_authorizer_that_lets_strangers_do_everything_does_not_end_the_warning() {
    let strangers = [AUTHORIZER, ("super.users", "User:admin;User:ANONYMOUS")];
    let warnings = open_listener_warnings(&config(&[CLIENTS_ONLY, &strangers]));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(open_listener_warnings(&config(&[&[AUTHORIZER]])).is_empty());
}

#[test]
fn controllers_that_ask_for_certificates_raise_no_warning() {
    for client_auth in ["required", "requested"] {
        let tls = [
            ("process.roles", "controller"),
            ("listeners", "CONTROLLER://:9093"),
            ("listener.security.protocol.map", "CONTROLLER:SSL"),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", "/ca.pem"),
            ("ssl.client.auth", client_auth),
        ];
        check(&[KEYS, &tls], expect![[""]]);
    }
}
