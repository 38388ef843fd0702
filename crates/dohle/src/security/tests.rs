//! Tests of `dohle security init`: the files it writes, what their properties mean, and what it
//! refuses.

use std::os::unix::fs::PermissionsExt as _;

use clap::Parser as _;
use dohle::config::{NodeConfig, Sources, notices, open_listener_warnings};
use dohle_tls::{ClientAuth, ClientPurpose, ClientTls, ServerTls, TlsSettings};
use expect_test::expect;

use super::*;

fn init(directory: &Path, arguments: &str) -> anyhow::Result<()> {
    let given = ["dohle", "security", "init"].into_iter().map(str::to_owned);
    let given = given.chain([directory.display().to_string()]);
    let given = given.chain(arguments.split_whitespace().map(str::to_owned));
    let parsed = crate::Arguments::try_parse_from(given)?;
    let crate::Command::Security(arguments) = parsed.command else {
        panic!("another command");
    };
    run(arguments)
}

fn text(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(name)).unwrap()
}

fn config(directory: &Path, name: &str) -> NodeConfig {
    let mut sources = Sources::default();
    sources
        .add_file(name, text(directory, name).as_bytes())
        .unwrap();
    NodeConfig::new(sources, "host1").unwrap()
}

#[test]
fn a_node_can_be_started_with_the_file_that_is_made_for_it() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("new/security");
    init(&directory, "--nodes 2 --port 19092").unwrap();
    for id in [1, 2] {
        let config = config(&directory, &format!("node{id}.properties"));
        assert!(notices(&config).is_empty(), "{:?}", notices(&config));
        assert_eq!(config.node_id.0, id);
        assert!(config.authorizer.is_some());
        for (name, settings) in &config.tls {
            assert_eq!(settings.client_auth, ClientAuth::Required, "{name}");
            ServerTls::new(name, settings.clone()).unwrap();
            ClientTls::new(ClientPurpose::Node, settings.clone()).unwrap();
        }
        let tls: Vec<&str> = config.tls.keys().map(String::as_str).collect();
        assert_eq!(tls, ["CLIENTS", "CONTROLLER", "NODES"]);
    }
    let (one, two) = (
        config(&directory, "node1.properties"),
        config(&directory, "node2.properties"),
    );
    assert_eq!(one.cluster_id, two.cluster_id);
    let advertised = two.listeners.advertised.iter().map(ToString::to_string);
    assert_eq!(
        advertised.collect::<Vec<_>>(),
        ["CLIENTS://localhost:19096", "NODES://localhost:19097"]
    );
    let directory = directory.display().to_string();
    let client = text(Path::new(&directory), "client.properties").replace(&directory, "DIR");
    expect![[r#"
        # A client of the cluster. `dohle security init` has made this file.
        bootstrap.servers=localhost:19092,localhost:19096
        security.protocol=SSL
        ssl.truststore.type=PEM
        ssl.truststore.location=DIR/ca.pem
        ssl.keystore.type=PEM
        ssl.keystore.location=DIR/client.pem
    "#]]
    .assert_eq(&client);
}

#[test]
fn files_for_other_machines_name_their_hosts_and_paths() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("security");
    let hosts = "--host one.example.com,10.0.0.1 --host two.example.com --first-id 0";
    init(&directory, &format!("{hosts} --scram-user alice")).unwrap();
    let properties = text(&directory, "node0.properties");
    let id = config(&directory, "node0.properties").cluster_id.unwrap();
    expect![[r#"
        # A node of the cluster. `dohle security init` has made this file.
        process.roles=broker,controller
        node.id=0
        cluster.id=ID
        controller.quorum.voters=0@one.example.com:9094,1@two.example.com:9094
        controller.listener.names=CONTROLLER
        log.dirs=/var/lib/dohle
        default.replication.factor=2
        min.insync.replicas=1
        offsets.topic.replication.factor=2
        transaction.state.log.replication.factor=2
        transaction.state.log.min.isr=1

        listeners=CLIENTS://:9092,NODES://:9093,USERS://:9095,CONTROLLER://:9094
        advertised.listeners=CLIENTS://one.example.com:9092,NODES://one.example.com:9093,USERS://one.example.com:9095
        inter.broker.listener.name=NODES

        # TLS on all listeners. Nodes and clients have certificates of two authorities.
        listener.security.protocol.map=CLIENTS:SSL,NODES:SSL,CONTROLLER:SSL,USERS:SASL_SSL
        ssl.keystore.type=PEM
        ssl.keystore.location=/etc/dohle/node0.pem
        ssl.truststore.type=PEM
        ssl.truststore.location=/etc/dohle/ca.pem
        ssl.client.auth=required
        listener.name.clients.ssl.truststore.location=/etc/dohle/clients-ca.pem
        listener.name.users.ssl.client.auth=none
        listener.name.users.sasl.enabled.mechanisms=SCRAM-SHA-512

        # These may do everything; kafka-acls allows others what they need.
        authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
        super.users=User:CN=node0;User:CN=node1;User:CN=admin;User:alice

        # A node acts only under the id in its certificate.
        node.principals=User:CN=node{node.id}
    "#]].assert_eq(&properties.replace(&id, "ID"));
    // Everyone on the network reaches the listeners, and all of them authenticate.
    let config = config(&directory, "node0.properties");
    assert!(open_listener_warnings(&config).is_empty());
    let path = directory.join("node0.pem").display().to_string();
    let settings = [
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.location", &path),
    ];
    let settings: dohle_config::Properties = settings
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let values = dohle_config::BrokerValues::fixed(settings.into());
    let server = ServerTls::new("X", TlsSettings::read(&values.listener("X")).unwrap()).unwrap();
    let facts = server.facts();
    assert_eq!(facts.subject, "CN=node0");
    expect!["DNSName(one.example.com) IPAddress(0a:00:00:01)"]
        .assert_eq(&facts.alternative_names.join(" "));

    let user = text(&directory, "alice.properties");
    let password = user
        .split("password=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert_eq!(password.len(), 48);
    let credential = text(&directory, "alice.scram");
    assert!(credential.contains(password));
    assert!(!properties.contains(password));
}

#[test]
fn only_the_owner_can_read_a_file_with_a_secret() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("security");
    init(&directory, "--nodes 1 --scram-user alice").unwrap();
    let mut open = Vec::new();
    for entry in fs::read_dir(&directory).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        if mode != 0o600 {
            open.push(format!("{} {mode:o}", entry.file_name().display()));
        }
    }
    open.sort();
    assert_eq!(open, ["ca.pem 644", "clients-ca.pem 644"]);
    let mode = fs::metadata(&directory).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn keys_are_never_overwritten() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("security");
    init(&directory, "--nodes 1").unwrap();
    let before = text(&directory, "node1.pem");
    let refused = init(&directory, "--nodes 1").unwrap_err().to_string();
    assert!(
        refused.contains("keys are not overwritten: choose a new directory"),
        "{refused}"
    );
    assert_eq!(text(&directory, "node1.pem"), before);
    let file = scratch.path().join("file");
    fs::write(&file, "x").unwrap();
    let refused = init(&file, "").unwrap_err().to_string();
    assert!(
        refused.starts_with("read ") && refused.ends_with("file"),
        "{refused}"
    );
}

#[test]
fn wrong_arguments_are_refused_before_anything_is_written() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("security");
    for (arguments, message) in [
        ("--nodes 0", "0 is not in 1..=1000"),
        ("--nodes 3 --host a", "cannot be used with"),
        ("--host a,", "--host takes a host name"),
        ("--host *.example.com", "--host takes a host name"),
        ("--host a --host a", "--host a is given twice"),
        ("--host a_b/c", "is neither an IP address nor a host name"),
        ("--port 65530", "allowed is 1 to 65524"),
        ("--days 4000", "4000 is not in 1..=3650"),
        ("--client node7", "is not a name of a client or user"),
        ("--scram-user a=b", "is not a name of a client or user"),
    ] {
        let refused = init(&directory, arguments).unwrap_err().to_string();
        assert!(refused.contains(message), "{arguments}: {refused}");
        assert!(!directory.exists(), "{arguments}");
    }
}
