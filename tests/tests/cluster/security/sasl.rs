//! SASL: clients of five families with PLAIN and SCRAM, with right and wrong passwords, and the
//! tools that manage users.

use anyhow::{Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::clients::java;
use dohle_tests::clients::secure::{Credentials, Family};
use dohle_tests::ports::free_port;
use dohle_tests::program::Program;

use super::{all_report, all_work};

const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// A cluster of one node with a listener for clients that authenticate, and its address.
pub(super) fn cluster(properties: &[(&str, &str)]) -> Result<(Cluster, String)> {
    let port = free_port()?;
    let mut builder = Cluster::of(1)
        .property("sasl.enabled.mechanisms", &MECHANISMS.join(","))
        .property("group.initial.rebalance.delay.ms", "0")
        .property(
            "listener.name.clients.plain.sasl.jaas.config",
            "org.apache.kafka.common.security.plain.PlainLoginModule required \
             user_alice=\"alice-secret\" user_bob=\"bob-secret\";",
        )
        .allow("authentication failed");
    for (name, value) in properties {
        builder = builder.property(name, value);
    }
    let mut cluster = builder.prepare()?;
    for node in cluster.nodes() {
        let text = std::fs::read_to_string(&node.properties)?;
        let listener = format!(",CLIENTS://127.0.0.1:{port}");
        let lines = text.lines().map(|line| {
            let name = line.split_once('=').map_or("", |(name, _)| name);
            match name {
                "listeners" | "advertised.listeners" => format!("{line}{listener}\n"),
                "listener.security.protocol.map" => format!("{line},CLIENTS:SASL_PLAINTEXT\n"),
                _ => format!("{line}\n"),
            }
        });
        std::fs::write(&node.properties, lines.collect::<String>())?;
    }
    cluster.start()?;
    Ok((cluster, format!("127.0.0.1:{port}")))
}

/// Creates a user for both mechanisms of SCRAM.
pub(super) fn add_user(cluster: &Cluster, user: &str, password: &str) -> Result<()> {
    for mechanism in &MECHANISMS[1..] {
        let program = Program::new(dohle_tests::node::binary()?).arg("configs");
        add_credential(program, cluster, user, mechanism, password)?;
    }
    Ok(())
}

/// Creates a credential of SCRAM with a tool that alters configurations.
fn add_credential(
    tool: Program,
    cluster: &Cluster,
    user: &str,
    mechanism: &str,
    password: &str,
) -> Result<()> {
    let config = format!("{mechanism}=[iterations=8192,password={password}]");
    tool.args(["--bootstrap-server", &cluster.bootstrap(), "--alter"])
        .args(["--entity-type", "users", "--entity-name", user])
        .args(["--add-config", &config])
        .run()?
        .ok()?;
    Ok(())
}

#[test]
fn clients_of_every_family_authenticate_with_every_mechanism() -> Result<()> {
    let (cluster, address) = cluster(&[])?;
    for mechanism in &MECHANISMS[1..] {
        let kafkas = java::tool("ConfigCommand");
        add_credential(kafkas, &cluster, "alice", mechanism, "alice-secret")?;
    }
    for mechanism in MECHANISMS {
        let topic = mechanism.to_lowercase();
        cluster.create_topic(&topic, 1, 1, &[])?;
        let with = Credentials::sasl(mechanism, "alice", "alice-secret");
        all_work(&address, &topic, &with)?;
    }
    Ok(())
}

/// What the client of a family prints when its password is wrong.
pub(super) fn wrong_password(family: Family, mechanism: &str) -> &'static str {
    match (family, mechanism) {
        (Family::Librdkafka, "PLAIN") => {
            "SASL authentication error: Authentication failed: Invalid"
        }
        (Family::Librdkafka, _) => "SASL authentication error: Authentication failed during",
        (Family::FranzGo, _) => "SASL_AUTHENTICATION_FAILED",
        (_, "PLAIN") => "Authentication failed: Invalid username or password",
        _ => "due to invalid credentials with SASL mechanism SCRAM-SHA-",
    }
}

#[test]
fn clients_of_every_family_report_a_wrong_password() -> Result<()> {
    let (mut cluster, address) = cluster(&[])?;
    add_user(&cluster, "alice", "alice-secret")?;
    cluster.create_topic("closed", 1, 1, &[])?;
    for mechanism in &MECHANISMS[..2] {
        for user in ["alice", "nobody"] {
            let with = Credentials::sasl(mechanism, user, "wrong-secret");
            all_report(&address, &with, |family| wrong_password(family, mechanism))?;
        }
    }
    let log = cluster.broker(1).log()?;
    ensure!(!log.contains("wrong-secret"), "the log has a password");
    let failures = log
        .lines()
        .filter(|line| line.contains("authentication failed"));
    let (count, attempts) = (failures.count(), 2 * 2 * Family::ALL.len());
    ensure!(
        (1..attempts).contains(&count),
        "{count} lines about failed authentications"
    );
    Ok(())
}

#[test]
fn tools_of_kafka_and_dohle_manage_users_and_authenticate() -> Result<()> {
    let (cluster, address) = cluster(&[])?;
    let dohle = || -> Result<Program> {
        let program = Program::new(dohle_tests::node::binary()?).arg("configs");
        Ok(program.args(["--bootstrap-server", &cluster.bootstrap()]))
    };
    let of_carol = ["--entity-type", "users", "--entity-name", "carol"];
    // The command in Kafka's documentation, which changes two mechanisms at once.
    dohle()?
        .arg("--alter")
        .args(of_carol)
        .args(["--add-config"])
        .arg("SCRAM-SHA-256=[iterations=8192,password=secret],SCRAM-SHA-512=[password=secret]")
        .run()?
        .clean()?;
    let expected = "SCRAM credential configs for user-principal 'carol' are \
                    SCRAM-SHA-256=iterations=8192, SCRAM-SHA-512=iterations=4096";
    let described = dohle()?.arg("--describe").args(of_carol).run()?.clean()?;
    ensure!(described.contains(expected), "{described}");
    // Both kinds of tools authenticate as the new user.
    let with = Credentials::sasl("SCRAM-SHA-512", "carol", "secret");
    let file = cluster.scratch().join("client.properties");
    std::fs::write(&file, with.command_config())?;
    let binary = dohle_tests::node::binary()?;
    let list = ["--bootstrap-server", &address, "--list", "--command-config"];
    cluster.create_topic("seen", 1, 1, &[])?;
    let ours = Program::new(binary).arg("topics").args(list).arg(&file);
    let listed = ours.run()?.clean()?;
    ensure!(listed.contains("seen"), "{listed}");
    let kafkas = java::tool("TopicCommand").args(list).arg(&file);
    let listed = kafkas.run()?.ok()?;
    ensure!(listed.contains("seen"), "{listed}");
    // A user that is deleted is not let in any more.
    dohle()?
        .arg("--alter")
        .args(of_carol)
        .args(["--delete-config", "SCRAM-SHA-512"])
        .run()?
        .clean()?;
    let refused = java::tool("TopicCommand").args(list).arg(&file).run()?;
    let all = format!("{}{}", refused.stdout, refused.stderr);
    ensure!(all.contains("SaslAuthenticationException"), "{all}");
    Ok(())
}
