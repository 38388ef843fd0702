//! `dohle security init`: a cluster that is started with the files as they are lets in whom it has
//! made files for, and nobody else. And what a node logs that lets in everyone.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context, Result, ensure};
use dohle_tests::clients::java;
use dohle_tests::clients::kcat::kcat;
use dohle_tests::clients::secure::Credentials;
use dohle_tests::node::binary;
use dohle_tests::ports::free_ports;
use dohle_tests::program::{Output, Program, Running};
use dohle_tests::wait::{DEADLINE, until};

/// Starts a node that is stopped when the test ends.
fn node(arguments: &[&str]) -> Result<Running> {
    let program = Program::new(binary()?).arg("server").args(arguments);
    program.limit(4 * DEADLINE).start()
}

fn healthcheck(properties: &str) -> Result<Output> {
    let program = Program::new(binary()?).args(["healthcheck", "--ready"]);
    program.arg(properties).run()
}

fn wait_until_ready(properties: &str) -> Result<()> {
    until(DEADLINE, format!("{properties} is ready"), || {
        healthcheck(properties)?.ok().map(|_| true)
    })
}

/// Stops a node, and returns its log.
fn stop(node: Running) -> Result<String> {
    node.terminate()?;
    Ok(node.finish()?.stderr)
}

fn tool(name: &str, bootstrap: &str, config: &str) -> Result<Program> {
    let program = Program::new(binary()?).arg(name);
    Ok(program.args(["--bootstrap-server", bootstrap, "--command-config", config]))
}

/// One of Apache Kafka's tools.
fn kafkas(class: &str, bootstrap: &str, config: &str) -> Program {
    java::tool(class).args(["--bootstrap-server", bootstrap, "--command-config", config])
}

/// One of Apache Kafka's console tools.
fn java_console(class: &str, bootstrap: &str, config: &str) -> Program {
    kafkas(class, bootstrap, config).args(["--topic", "t"])
}

fn consume_with_java(bootstrap: &str, config: &str) -> Result<String> {
    let from = [
        "--partition",
        "0",
        "--offset",
        "earliest",
        "--max-messages",
        "2",
    ];
    java_console("ConsoleConsumer", bootstrap, config)
        .args(from)
        .run()?
        .ok()
}

#[test]
fn a_cluster_of_the_files_that_were_made_for_it_lets_in_only_its_client_and_its_user() -> Result<()>
{
    let scratch = tempfile::tempdir()?;
    let port = free_ports(12)?;
    let directory = scratch.path().join("security");
    let file = |name: &str| directory.join(name).display().to_string();
    let said = Program::new(binary()?)
        .args(["security", "init", &directory.display().to_string()])
        .args(["--port", &port.to_string(), "--scram-user", "alice"])
        .run()?
        .clean()?;
    let properties = [1, 2, 3].map(|id| file(&format!("node{id}.properties")));
    let nodes = properties.iter().map(|file| node(&[file]));
    let nodes = nodes.collect::<Result<Vec<_>>>()?;
    for file in &properties {
        wait_until_ready(file)?;
    }

    let clients = format!("localhost:{port}");
    let config = file("client.properties");
    let create = ["--create", "--topic", "t", "--replication-factor", "3"];
    tool("topics", &clients, &config)?
        .args(create)
        .run()?
        .clean()?;
    let produce = java_console("ConsoleProducer", &clients, &config);
    produce.input("one\ntwo\n").run()?.clean()?;
    assert_eq!(consume_with_java(&clients, &config)?, "one\ntwo\n");

    // The command that creates the user is the one that was printed.
    let command = said.lines().find(|line| line.contains("--add-config-file"));
    let command = command.context("no command that creates the user")?;
    let words = command.split_whitespace().skip(1);
    Program::new(binary()?).args(words).run()?.clean()?;
    let users = format!("localhost:{}", port + 3);
    assert_eq!(
        consume_with_java(&users, &file("alice.properties"))?,
        "one\ntwo\n"
    );

    // Kafka's tools create a user and allow it something, and Dohle's see the same.
    kafkas("ConfigCommand", &clients, &config)
        .args([
            "--alter",
            "--entity-type",
            "users",
            "--entity-name",
            "carol",
        ])
        .args(["--add-config", "SCRAM-SHA-512=[password=carol-secret]"])
        .run()?
        .ok()?;
    let carol = Credentials::sasl("SCRAM-SHA-512", "carol", "carol-secret");
    let carol = carol.over_tls(file("ca.pem")).command_config();
    std::fs::write(file("carol.properties"), carol)?;
    let of_carol = || {
        tool("topics", &users, &file("carol.properties"))?
            .arg("--list")
            .run()
    };
    let seen = of_carol()?.clean()?;
    ensure!(seen.trim().is_empty(), "carol sees {seen}");
    kafkas("AclCommand", &clients, &config)
        .args([
            "--add",
            "--allow-principal",
            "User:carol",
            "--operation",
            "Describe",
        ])
        .args(["--topic", "t"])
        .run()?
        .ok()?;
    until(DEADLINE, "carol sees the topic", || {
        Ok(of_carol()?.clean()? == "t\n")
    })?;
    let listed = tool("acls", &clients, &config)?
        .arg("--list")
        .run()?
        .clean()?;
    ensure!(listed.contains("principal=User:carol"), "{listed}");

    // Without a certificate, and on the listeners of nodes with that of a client.
    let ca = format!("ssl.ca.location={}", file("ca.pem"));
    let list = |bootstrap: &str, with_certificate: bool| -> Result<Output> {
        let mut program = kcat(bootstrap, &["-L", "-m", "2"]);
        program = program.args(["-X", "security.protocol=SSL", "-X", &ca]);
        if with_certificate {
            for option in ["ssl.certificate.location", "ssl.key.location"] {
                program = program.args(["-X", &format!("{option}={}", file("client.pem"))]);
            }
        }
        program.run()
    };
    let listed = list(&clients, true)?.clean()?;
    ensure!(listed.contains("topic \"t\""), "{listed}");
    ensure!(
        list(&clients, false)?.ok().is_err(),
        "a client without a certificate is let in"
    );
    let between = format!("localhost:{}", port + 1);
    ensure!(
        list(&between, true)?.ok().is_err(),
        "a client is let in where nodes are"
    );
    // A user whom nothing is allowed.
    let bob = file("bob.properties");
    let other = std::fs::read_to_string(file("alice.properties"))?;
    std::fs::write(&bob, other.replace("\"alice\"", "\"bob\""))?;
    let refused = tool("topics", &users, &bob)?.arg("--list").run()?;
    ensure!(refused.ok().is_err(), "bob is let in");

    let mut logs = String::new();
    // A node with the certificate of another one.
    let (mut nodes, other) = (nodes, &properties[2]);
    logs += &stop(nodes.pop().context("three nodes")?)?;
    let text = std::fs::read_to_string(other)?;
    std::fs::write(other, text.replace("node3.pem", "node2.pem"))?;
    let refused = node(&[other])?.finish()?;
    let names_both = "User:CN=node2 may not act as node 3, which is User:CN=node3";
    ensure!(refused.stderr.contains(names_both), "{refused}");

    for node in nodes {
        logs += &stop(node)?;
    }
    for (text, is_there) in [
        (names_both, true),
        ("EVERYONE IS LET IN", false),
        ("the client has no certificate", true),
        (
            "was not issued by an authority in this listener's trust store",
            true,
        ),
        ("authentication failed", true),
        ("ERROR", false),
    ] {
        assert_eq!(logs.contains(text), is_there, "{text}\n{logs}");
    }
    let password = std::fs::read_to_string(file("alice.scram"))?;
    let password = password.rsplit_once('=').context("no password")?.1;
    ensure!(!logs.contains(password.trim_end()));
    ensure!(!said.contains(password.trim_end()));
    ensure!(!logs.contains("carol-secret"));
    Ok(())
}

#[test]
fn a_node_that_lets_in_everyone_warns_once_at_its_start() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let port = free_ports(3)?;
    let properties = scratch.path().join("server.properties");
    let text = |advertised: &str| {
        format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\n\
             listeners=PLAINTEXT://127.0.0.1:{port},OUT://127.0.0.1:{out},\
             CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port},{advertised}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,OUT:PLAINTEXT,\
             CONTROLLER:PLAINTEXT\n\
             log.dirs={data}\n",
            controller = port + 1,
            out = port + 2,
            data = scratch.path().join("data").display(),
        )
    };
    let logged = |advertised: &str| -> Result<usize> {
        std::fs::write(&properties, text(advertised))?;
        let path = properties.display().to_string();
        let running = node(&[&path])?;
        wait_until_ready(&path)?;
        Ok(stop(running)?.matches("EVERYONE IS LET IN").count())
    };
    assert_eq!(logged("OUT://kafka.example.com:9092")?, 1);
    assert_eq!(logged(&format!("OUT://localhost:{}", port + 2))?, 0);
    Ok(())
}

/// The variables of Bitnami's image, whose users are part of the new cluster.
#[test]
fn a_container_creates_the_users_of_its_variables_with_the_cluster() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    // A container that is started as root continues as another user.
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o755))?;
    let port = free_ports(3)?;
    let (controller, out) = (port + 1, port + 2);
    let container = Program::new(binary()?)
        .args(["entrypoint", "server"])
        .env("KAFKA_CFG_NODE_ID", "1")
        .env("KAFKA_CFG_PROCESS_ROLES", "broker,controller")
        .env("KAFKA_CFG_CONTROLLER_LISTENER_NAMES", "CONTROLLER")
        .env("KAFKA_CFG_LOG_DIRS", scratch.path().join("data"))
        .env(
            "KAFKA_CFG_CONTROLLER_QUORUM_VOTERS",
            format!("1@127.0.0.1:{controller}"),
        )
        .env(
            "KAFKA_CFG_LISTENERS",
            format!(
                "PLAINTEXT://127.0.0.1:{port},OUT://127.0.0.1:{out},\
                 CONTROLLER://127.0.0.1:{controller}"
            ),
        )
        .env(
            "KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP",
            "PLAINTEXT:PLAINTEXT,OUT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        )
        .env("KAFKA_CLIENT_USERS", "alice,bob")
        .env("KAFKA_CLIENT_PASSWORDS", "alice-secret;bob-secret")
        .limit(4 * DEADLINE)
        .start()?;
    let list = |mechanism: &str, user: &str, password: &str| -> Result<Output> {
        let module = match mechanism {
            "PLAIN" => "plain.PlainLoginModule",
            _ => "scram.ScramLoginModule",
        };
        let config = scratch.path().join("client.properties");
        let properties = format!(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism={mechanism}\n\
             sasl.jaas.config=org.apache.kafka.common.security.{module} required \
             username=\"{user}\" password=\"{password}\";\n"
        );
        std::fs::write(&config, properties)?;
        let address = format!("127.0.0.1:{out}");
        let tool = tool("topics", &address, &config.display().to_string())?;
        tool.arg("--list").run()
    };
    until(DEADLINE, "alice is let in", || {
        list("PLAIN", "alice", "alice-secret")?.ok().map(|_| true)
    })?;
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        list(mechanism, "bob", "bob-secret")?.ok()?;
        let wrong = list(mechanism, "bob", "alice-secret")?;
        ensure!(
            wrong.ok().is_err(),
            "{mechanism}: a wrong password is let in"
        );
    }
    let log = stop(container)?;
    ensure!(
        !log.contains("alice-secret") && !log.contains("bob-secret"),
        "{log}"
    );
    Ok(())
}
