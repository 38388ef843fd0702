//! SASL between nodes: SCRAM between brokers and PLAIN at controllers. Wrong passwords and users
//! without permission have clear causes, and the services of nodes refuse clients.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::clients::kcat::kcat;
use dohle_tests::clients::secure::{Credentials, Family};
use dohle_tests::connection::KafkaConnection;
use dohle_tests::node::binary;
use dohle_tests::ports::free_port;
use dohle_tests::program::Program;
use dohle_tests::wait::{DEADLINE, until};
use kacrab_protocol::KafkaString;
use kacrab_protocol::generated as kafka;

use super::Secured;
use crate::console_tools::ours;

const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
pub(super) const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";
const NODES: &str = "listener.name.nodes.scram-sha-512.sasl.jaas.config";
const CONTROLLER: &str = "listener.name.controller.plain.sasl.jaas.config";
/// The users of PLAIN at controllers.
const USERS: &str = "user_controller=\"controller-secret\" user_guest=\"guest-secret\" \
                     user_alice=\"alice-secret\"";

/// The properties of nodes that authenticate each other with SASL. `protocol` is that of the
/// listeners between them.
fn properties(protocol: &str) -> String {
    format!(
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,NODES:{protocol},\
         CONTROLLER:{protocol},CLIENTS:{protocol}\n\
         listener.name.nodes.ssl.client.auth=none\n\
         listener.name.controller.ssl.client.auth=none\n\
         sasl.enabled.mechanisms=SCRAM-SHA-512\n\
         listener.name.controller.sasl.enabled.mechanisms=PLAIN\n\
         sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512\n\
         sasl.mechanism.controller.protocol=PLAIN\n\
         early.start.listeners=CONTROLLER\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS;User:controller;User:node\n\
         {}{}",
        nodes("node-secret"),
        controller("controller", "controller-secret"),
    )
}

/// The line with a node's own user at brokers.
fn nodes(password: &str) -> String {
    format!("{NODES}={SCRAM} required username=\"node\" password=\"{password}\";\n")
}

/// The line with a node's own user at controllers, and the users that it accepts.
fn controller(user: &str, password: &str) -> String {
    format!("{CONTROLLER}={PLAIN} required username=\"{user}\" password=\"{password}\" {USERS};\n")
}

/// Formats each node with the users of SCRAM that the cluster begins with.
pub(super) fn format(cluster: &Cluster) -> Result<()> {
    for node in cluster.nodes() {
        let mut program = Program::new(binary()?).args(["storage", "format"]);
        program = program.args(["-t", dohle_tests::cluster::CLUSTER_ID, "-c"]);
        program = program.arg(&node.properties);
        for user in ["node", "alice"] {
            let credential = format!("SCRAM-SHA-512=[name={user},password={user}-secret]");
            program = program.args(["--add-scram", &credential]);
        }
        program.run()?.ok()?;
    }
    Ok(())
}

#[test]
fn nodes_with_sasl_replicate_and_refuse_each_other_with_clear_causes() -> Result<()> {
    let builder = Cluster::of(3)
        .property("min.insync.replicas", "2")
        .allow("authentication failed")
        .allow("SASL: this node cannot authenticate")
        .allow("may not carry out ClusterAction")
        .allow("no active controller to register with")
        .allow("fencing broker");
    let clients = [("CLIENTS", "SASL_SSL")];
    let mut secured = Secured::prepare(builder, &clients, |_, _| Ok(properties("SASL_SSL")))?;
    format(&secured.cluster)?;
    secured.cluster.start()?;
    let (ca, address) = (secured.ca(), secured.address("CLIENTS").to_owned());
    let cluster = &mut secured.cluster;
    cluster.create_topic("t", 3, 3, &[])?;
    let produce = |cluster: &Cluster, text: &str| -> Result<()> {
        let args = ["-P", "-t", "t", "-X", "acks=all"];
        kcat(&cluster.bootstrap(), &args).input(text).run()?.ok()?;
        Ok(())
    };
    produce(cluster, "one\ntwo\n")?;
    cluster.wait_in_sync("t")?;

    // A client with a user of SCRAM, over the same mechanism as the nodes.
    let bootstrap = cluster.bootstrap();
    cluster.create_topic("clients", 1, 3, &[])?;
    let acl = "--add --allow-principal User:alice --producer --consumer --group * --topic clients";
    let acl: Vec<&str> = acl.split(' ').collect();
    ours("acls", &bootstrap, &acl)?.run()?.clean()?;
    let with = Credentials::sasl("SCRAM-SHA-512", "alice", "alice-secret").over_tls(ca);
    let client = Family::FranzGo
        .round_trip(&address, "clients", &with)
        .run()?;
    ensure!(client.stdout.contains("ok 10"), "{client}");

    cluster.broker(2).kill()?;
    produce(cluster, "three\nfour\n")?;
    cluster.broker(2).start()?;
    cluster.wait_in_sync("t")?;
    produce(cluster, "five\n")?;
    let consume = ["-C", "-t", "t", "-o", "beginning", "-e", "-q"];
    let consumed = kcat(&cluster.bootstrap(), &consume).run()?.ok()?;
    let mut lines: Vec<&str> = consumed.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["five", "four", "one", "three", "two"]);
    let check = Program::new(binary()?).args(["healthcheck", "--ready"]);
    let checked = check.arg(&cluster.broker(2).properties).run()?.clean()?;
    assert_eq!(checked, "broker 2 serves and is in sync\n");

    // A wrong password between brokers: the node joins, and its replicas fall behind.
    let expected = [
        "as user \"node\" with SCRAM-SHA-512 at localhost:",
        "(listener NODES): Authentication failed during authentication due to invalid credentials",
        NODES,
    ];
    fails_with(cluster, &nodes("wrong-secret"), &expected)?;
    // A wrong password at controllers.
    let expected = [
        "as user \"controller\" with PLAIN at 127.0.0.1:",
        "(listener CONTROLLER): Authentication failed: Invalid username or password",
        CONTROLLER,
    ];
    fails_with(
        cluster,
        &controller("controller", "wrong-secret"),
        &expected,
    )?;
    // A user at controllers who is no super user needs an ACL.
    let guest = controller("guest", "guest-secret");
    append(cluster, &guest)?;
    cluster.broker(3).launch()?;
    let refused = "User:guest may not carry out ClusterAction on the cluster";
    until(DEADLINE, "a controller refuses a user without ACLs", || {
        let log = cluster.broker(1).log()? + &cluster.broker(2).log()?;
        Ok(log.contains(refused))
    })?;
    let acl = "--add --allow-principal User:guest --operation ClusterAction --cluster";
    let acl: Vec<&str> = acl.split(' ').collect();
    ours("acls", &cluster.bootstrap(), &acl)?.run()?.clean()?;
    cluster.broker(3).wait_until_ready()?;
    cluster.wait_in_sync("t")?;
    cluster.stop()?;
    let logs = secured.logs()?;
    ensure!(!logs.contains("-secret"), "the log has a password");
    Ok(())
}

/// Adds lines to the properties of node 3, which is stopped, and returns the former content.
fn append(cluster: &mut Cluster, lines: &str) -> Result<String> {
    cluster.broker(3).stop()?;
    let file = fs::read_to_string(&cluster.broker(3).properties)?;
    fs::write(&cluster.broker(3).properties, format!("{file}{lines}"))?;
    Ok(file)
}

/// Starts node 3 with further lines in its properties, waits until it logs a line with all of
/// `expected`, and starts it again without the lines.
fn fails_with(cluster: &mut Cluster, lines: &str, expected: &[&str]) -> Result<()> {
    let file = append(cluster, lines)?;
    cluster.broker(3).launch()?;
    until(DEADLINE, "node 3 names the cause", || {
        let log = cluster.broker(3).log()?;
        let has_all = |line: &str| expected.iter().all(|text| line.contains(text));
        Ok(log.lines().any(has_all))
    })?;
    cluster.broker(3).kill()?;
    fs::write(&cluster.broker(3).properties, file)?;
    cluster.broker(3).start()?;
    cluster.wait_in_sync("t")
}

/// CVE-2018-1288: clients of Kafka could act as replicas. Here they would use the services of
/// nodes.
#[test]
fn replica_fetch_by_a_client_is_refused_before_and_after_its_authentication() -> Result<()> {
    let mut cluster = Cluster::of(1)
        .allow("without authenticating (SASL)")
        .allow("may not carry out ClusterAction")
        .prepare()?;
    let port = free_port()?;
    let node = &cluster.nodes()[0];
    let (address, controller) = (node.address, node.controller);
    let advertised = format!("PLAINTEXT://{address},NODES://127.0.0.1:{port}");
    let file = fs::read_to_string(&node.properties)?;
    let own = properties("SASL_PLAINTEXT").replace(",CLIENTS:SASL_PLAINTEXT", "");
    let own = format!(
        "{file}listeners={advertised},CONTROLLER://{controller}\n\
         advertised.listeners={advertised}\ninter.broker.listener.name=NODES\n{own}\
         listener.name.nodes.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN\n\
         listener.name.nodes.plain.sasl.jaas.config={PLAIN} required {USERS};\n"
    );
    fs::write(&node.properties, own)?;
    format(&cluster)?;
    cluster.start()?;
    let nodes = SocketAddr::from(([127, 0, 0, 1], port));
    for address in [nodes, controller] {
        let mut stranger = KafkaConnection::open(address)?;
        ensure!(
            speak_http2(&mut stranger)? == 0,
            "{address} before the authentication"
        );
        let mut alice = KafkaConnection::open(address)?;
        authenticate(&mut alice, "alice")?;
        ensure!(speak_http2(&mut alice)? == 0, "{address}: alice");
        let mut node = KafkaConnection::open(address)?;
        authenticate(&mut node, "controller")?;
        ensure!(
            speak_http2(&mut node)? > 0,
            "{address}: a super user is served"
        );
    }
    let log = cluster.broker(1).log()?;
    for listener in ["NODES", "CONTROLLER"] {
        for cause in [
            "it connected as another node without authenticating (SASL)",
            "User:alice may not carry out ClusterAction on the cluster",
        ] {
            let mut lines = log.lines().filter(|line| line.contains(cause));
            let named = lines.any(|line| line.contains(&format!("listener={listener}")));
            ensure!(named, "{listener}: {cause:?} is not in the log");
        }
    }
    cluster.stop()
}

/// Authenticates with PLAIN.
fn authenticate(connection: &mut KafkaConnection, user: &str) -> Result<()> {
    let handshake = kafka::SaslHandshakeRequestData {
        mechanism: KafkaString::from("PLAIN".to_owned()),
        ..Default::default()
    };
    let answer = connection.call(&handshake, 1)?;
    ensure!(answer.error_code == 0, "handshake: {}", answer.error_code);
    let token = kafka::SaslAuthenticateRequestData {
        auth_bytes: format!("\0{user}\0{user}-secret").into_bytes().into(),
        ..Default::default()
    };
    let answer = connection.call(&token, 1)?;
    ensure!(answer.error_code == 0, "{:?}", answer.error_message);
    Ok(())
}

/// Sends the beginning of HTTP/2, and returns how many bytes the listener answers: none when it
/// closes the connection.
fn speak_http2(connection: &mut KafkaConnection) -> Result<usize> {
    let stream = connection.stream();
    // The preface and empty settings.
    let begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    stream.write_all(begin).context("send the preface")?;
    let mut answer = [0; 9];
    match stream.read(&mut answer) {
        Ok(count) => Ok(count),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(0),
        Err(error) => Err(error.into()),
    }
}
