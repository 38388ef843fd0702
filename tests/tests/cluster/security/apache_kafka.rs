//! Dohle's tools against a secured Apache Kafka: SASL_SSL with SCRAM and with delegation tokens,
//! TLS with certificates of clients, and SASL_PLAINTEXT with PLAIN. Refusals have clear causes.

use std::path::Path;

use anyhow::{Result, ensure};
use dohle_tests::clients::secure::Credentials;
use dohle_tests::program::{Output, Program};
use dohle_tests::wait::{DEADLINE, until};
use dohle_tls::testing::{TestAuthority, TestRequest};

use super::delegation_tokens::{only_token, token};
use super::mistakes::tools_without_tls_are_refused;
use super::tls::our_tools_report;
use super::write_private;
use crate::console_tools::{Kafka, ours};

/// Dohle's tools, as one user on one listener.
struct Tools<'a> {
    address: &'a str,
    config: &'a str,
}

impl Tools<'_> {
    fn tool(&self, name: &str, line: &str) -> Result<Program> {
        let args: Vec<&str> = line.split_whitespace().collect();
        let program = ours(name, self.address, &args)?;
        Ok(program.args(["--command-config", self.config]))
    }

    fn run(&self, name: &str, line: &str) -> Result<Output> {
        self.tool(name, line)?.run()
    }

    /// Creates a topic, writes to it, reads it as a group, and describes what there is then.
    fn walk(&self, topic: &str) -> Result<()> {
        let create =
            format!("--create --topic {topic} --partitions 2 --config retention.ms=1000000");
        self.run("topics", &create)?.clean()?;
        let described = self.run("topics", &format!("--describe --topic {topic}"))?;
        let described = described.clean()?;
        ensure!(described.contains("PartitionCount: 2"), "{described}");
        let write = self.tool("console-producer", &format!("--topic {topic}"))?;
        write.input("one\ntwo\n").run()?.clean()?;
        let read = format!(
            "--topic {topic} --group g-{topic} --from-beginning --max-messages 2 --timeout-ms 30000"
        );
        let read = self.run("console-consumer", &read)?.ok()?;
        let mut lines: Vec<&str> = read.lines().collect();
        lines.sort_unstable();
        ensure!(lines == ["one", "two"], "{lines:?}");
        let group = self.run("consumer-groups", &format!("--describe --group g-{topic}"))?;
        let group = group.ok()?;
        ensure!(group.contains(topic), "{group}");
        let of_topic = format!("--entity-type topics --entity-name {topic}");
        let alter = format!("--alter {of_topic} --add-config max.message.bytes=54321");
        self.run("configs", &alter)?.clean()?;
        let described = self
            .run("configs", &format!("--describe {of_topic}"))?
            .clean()?;
        for value in ["max.message.bytes=54321", "retention.ms=1000000"] {
            ensure!(described.contains(value), "{described}");
        }
        let add = format!("--add --allow-principal User:bob --operation Read --topic {topic}");
        self.run("acls", &add)?.clean()?;
        let listed = self
            .run("acls", &format!("--list --topic {topic}"))?
            .clean()?;
        ensure!(listed.contains("principal=User:bob"), "{listed}");
        Ok(())
    }
}

/// Creates a delegation token with Dohle's tool, lists the topics with it, and ends it.
fn use_a_token(tools: &Tools<'_>, ca: &Path, config: &Path) -> Result<()> {
    let created = tools.run(
        "delegation-tokens",
        "--create --max-life-time-period 3600000",
    )?;
    let created = only_token(&created.clean()?)?;
    let with = token(&created).over_tls(ca);
    std::fs::write(config, with.command_config())?;
    let by_token = Tools {
        address: tools.address,
        config: &config.display().to_string(),
    };
    // A token is known to a broker a moment after the controller has created it.
    until(DEADLINE, "the token logs in", || {
        by_token.run("topics", "--list")?.clean().map(|_| true)
    })?;
    let (id, hmac) = &created;
    let listed = tools.run("delegation-tokens", "--describe")?.clean()?;
    ensure!(listed.contains(id) && listed.contains(hmac), "{listed}");
    let renew = format!("--renew --renew-time-period 60000 --hmac {hmac}");
    tools.run("delegation-tokens", &renew)?.clean()?;
    let expire = format!("--expire --expiry-time-period -1 --hmac {hmac}");
    tools.run("delegation-tokens", &expire)?.clean()?;
    until(DEADLINE, "the token that was ended is refused", || {
        let output = by_token.run("topics", "--list")?;
        let printed = output.stdout + &output.stderr;
        Ok(printed.contains("due to invalid credentials with SASL mechanism SCRAM-SHA-512"))
    })
}

/// Checks that the tools name the cause when Apache Kafka refuses their certificate, or they its.
fn refusals_are_named(
    address: &str,
    authority: &TestAuthority,
    path: impl Fn(&str) -> std::path::PathBuf,
) -> Result<()> {
    let stranger = TestAuthority::new("Another CA");
    std::fs::write(path("stranger.pem"), stranger.pem())?;
    write_private(&path("strange.pem"), &stranger.local("mallory"))?;
    let mut request = TestRequest::new("admin", &[]);
    request.days = (-30, -1);
    write_private(&path("late.pem"), &authority.issue(&request))?;
    let without = Credentials::default().over_tls(path("ca.pem"));
    let in_store = "ssl.keystore.location";
    let strange = without.clone().with_store(path("strange.pem"));
    let late = without.clone().with_store(path("late.pem"));
    let untrusting = Credentials::default().over_tls(path("stranger.pem"));
    for (with, expected) in [
        (strange, ["does not accept the certificate", in_store]),
        (late, ["certificate of this client", in_store]),
        (without, ["requires a certificate", in_store]),
        (untrusting, ["UnknownIssuer", "ssl.truststore.location"]),
    ] {
        our_tools_report(address, &path("tool.properties"), &with, expected)?;
    }
    Ok(())
}

#[test]
fn our_tools_administer_an_apache_kafka_on_each_kind_of_listener_and_name_refusals() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let authority = TestAuthority::new("Test CA");
    std::fs::write(path("ca.pem"), authority.pem())?;
    write_private(&path("node.pem"), &authority.local("node"))?;
    write_private(&path("admin.pem"), &authority.local("admin"))?;
    let (ca, node) = (path("ca.pem"), path("node.pem"));
    let (ca, node) = (ca.display().to_string(), node.display().to_string());
    let kafka = Kafka::start_on(
        folder.path(),
        &[
            ("SCRAM", "SASL_SSL"),
            ("CERTIFICATES", "SSL"),
            ("USERS", "SASL_PLAINTEXT"),
        ],
        &[
            ("delegation.token.secret.key", "secret-of-all-nodes"),
            super::acls::AUTHORIZER,
            ("super.users", "User:ANONYMOUS;User:admin;User:CN=admin"),
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", &node),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", &ca),
            ("listener.name.certificates.ssl.client.auth", "required"),
            (
                "listener.name.scram.sasl.enabled.mechanisms",
                "SCRAM-SHA-512",
            ),
            (
                "listener.name.scram.scram-sha-512.sasl.jaas.config",
                "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            ),
            ("listener.name.users.sasl.enabled.mechanisms", "PLAIN"),
            (
                "listener.name.users.plain.sasl.jaas.config",
                "org.apache.kafka.common.security.plain.PlainLoginModule required \
                 user_admin=\"admin-secret\";",
            ),
        ],
    )?;
    let user = "--alter --entity-type users --entity-name admin --add-config \
                SCRAM-SHA-512=[password=admin-secret]";
    let user: Vec<&str> = user.split_whitespace().collect();
    ours("configs", &kafka.bootstrap, &user)?.run()?.clean()?;

    let scram = |password: &str| {
        Credentials::sasl("SCRAM-SHA-512", "admin", password).over_tls(path("ca.pem"))
    };
    let certificate = Credentials::default()
        .over_tls(path("ca.pem"))
        .with_store(path("admin.pem"));
    let plain = Credentials::sasl("PLAIN", "admin", "admin-secret");
    let users = [
        ("scram", scram("admin-secret"), 0),
        ("certificates", certificate, 1),
        ("plain", plain, 2),
        ("wrong", scram("wrong-secret"), 0),
    ];
    for (name, with, listener) in users {
        let config = path(name);
        std::fs::write(&config, with.command_config())?;
        let tools = Tools {
            address: &kafka.others[listener],
            config: &config.display().to_string(),
        };
        if name == "scram" {
            use_a_token(&tools, &path("ca.pem"), &path("token"))?;
        }
        if name != "wrong" {
            tools.walk(name)?;
            continue;
        }
        let output = tools.run("topics", "--list")?;
        let printed = output.stdout.clone() + &output.stderr;
        let refused = "due to invalid credentials with SASL mechanism SCRAM-SHA-512";
        ensure!(output.code == 1 && printed.contains(refused), "{output}");
    }
    tools_without_tls_are_refused(&kafka.others[1])?;
    refusals_are_named(&kafka.others[1], &authority, path)
}
