//! TLS on all listeners that clients, brokers and controllers use: five families of clients produce
//! and consume; wrong certificates have clear causes; new certificates are loaded while clients go
//! on.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, ensure};
use dohle_tests::clients::franz_go::franz_go;
use dohle_tests::clients::java;
use dohle_tests::clients::kcat::kcat;
use dohle_tests::node::binary;
use dohle_tests::program::Program;
use dohle_tests::wait::{DEADLINE, until};
use dohle_tests::{Cluster, compat, root};

use super::{Secured, write_private};

const RECORDS: &str = "100";

/// The files of a client: the authority that it trusts, its certificate and its key.
struct Files {
    ca: String,
    certificate: String,
    key: String,
    /// Key and certificate in one file, as Java reads them.
    store: String,
}

impl Files {
    fn environment(&self, program: Program) -> Program {
        program
            .env("DOHLE_TEST_CA", &self.ca)
            .env("DOHLE_TEST_CERTIFICATE", &self.certificate)
            .env("DOHLE_TEST_KEY", &self.key)
    }

    fn java(&self) -> String {
        format!(
            "security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location={}\n\
             ssl.keystore.type=PEM\nssl.keystore.location={}\n",
            self.ca, self.store
        )
    }

    fn kcat(&self, bootstrap: &str, args: &[&str]) -> Program {
        let option = |name: &str, value: &str| format!("{name}={value}");
        kcat(bootstrap, args)
            .args(["-X", "security.protocol=SSL"])
            .args(["-X", &option("ssl.ca.location", &self.ca)])
            .args(["-X", &option("ssl.certificate.location", &self.certificate)])
            .args(["-X", &option("ssl.key.location", &self.key)])
    }
}

impl Secured {
    fn client(&self, name: &str) -> Result<Files> {
        let identity = self.authority.local(name);
        Ok(Files {
            ca: self.files.join("ca.pem").display().to_string(),
            certificate: self.file(&format!("{name}.crt"), &identity.certificate_pem())?,
            key: self.file(&format!("{name}.key"), &identity.key_pem())?,
            store: self.file(&format!("{name}.pem"), &identity.pem())?,
        })
    }
}

fn kafkajs(bootstrap: &str, topic: &str) -> Program {
    Program::new("node")
        .env("NODE_PATH", compat().join("node/node_modules"))
        .arg(root().join("tests/compat/node/secured.js"))
        .args([bootstrap, topic, RECORDS])
}

fn aiokafka(bootstrap: &str, topic: &str) -> Program {
    Program::new("python3")
        .env("PYTHONPATH", compat().join("python"))
        .arg(root().join("tests/compat/python/secured_aiokafka.py"))
        .args([bootstrap, topic, RECORDS])
}

fn franz(files: &Files, bootstrap: &str, topic: &str) -> Program {
    franz_go("secured", bootstrap)
        .args(["--topic", topic, "--count", RECORDS, "--ca", &files.ca])
        .args(["--certificate", &files.certificate, "--key", &files.key])
}

/// Produces and consumes lines with the console tools of Apache Kafka.
fn java_round_trip(bootstrap: &str, topic: &str, config: &Path) -> Result<()> {
    let lines: String = (0..100).map(|n| format!("record {n}\n")).collect();
    java::tool("ConsoleProducer")
        .args(["--bootstrap-server", bootstrap, "--topic", topic])
        .arg("--command-config")
        .arg(config)
        .input(lines.clone())
        .run()?
        .clean()?;
    let consumed = java::tool("ConsoleConsumer")
        .args(["--bootstrap-server", bootstrap, "--topic", topic])
        .arg("--command-config")
        .arg(config)
        .args([
            "--partition",
            "0",
            "--offset",
            "earliest",
            "--max-messages",
            RECORDS,
        ])
        .run()?
        .ok()?;
    assert_eq!(consumed, lines);
    Ok(())
}

#[test]
fn five_families_of_clients_produce_and_consume_over_tls() -> Result<()> {
    let own = "listener.name.clients.ssl.client.auth=required";
    let mut secured = Secured::prepare(Cluster::of(3), "SSL", own)?;
    secured.cluster.start()?;
    let files = secured.client("alice")?;
    let bootstrap = secured.clients.clone();
    for topic in ["java", "kcat", "franz-go", "kafkajs", "aiokafka"] {
        secured.cluster.create_topic(topic, 1, 3, &[])?;
    }
    let config = secured.file("java.properties", &files.java())?;
    java_round_trip(&bootstrap, "java", Path::new(&config))?;

    let lines: String = (0..100).map(|n| format!("record {n}\n")).collect();
    let produced = files.kcat(&bootstrap, &["-P", "-t", "kcat", "-X", "acks=all"]);
    produced.input(lines.clone()).run()?.clean()?;
    let consume = ["-C", "-t", "kcat", "-p", "0", "-o", "beginning", "-e", "-q"];
    let consumed = files.kcat(&bootstrap, &consume).run()?.clean()?;
    assert_eq!(consumed, lines);

    let expected = format!("consumed {RECORDS}\n");
    assert_eq!(
        franz(&files, &bootstrap, "franz-go").run()?.clean()?,
        expected
    );
    let node = files.environment(kafkajs(&bootstrap, "kafkajs"));
    assert_eq!(node.run()?.ok()?, expected);
    let python = files.environment(aiokafka(&bootstrap, "aiokafka"));
    assert_eq!(python.run()?.clean()?, expected);
    secured.cluster.wait_in_sync("java")?;

    // Our own tools, and the check of a node's health over the listener between brokers.
    let own = |tool: &str| -> Result<Program> {
        let program = Program::new(binary()?).arg(tool);
        Ok(program.args([
            "--bootstrap-server",
            &bootstrap,
            "--command-config",
            &config,
        ]))
    };
    let list = ["--list", "--exclude-internal"];
    let listed = own("topics")?.args(list).run()?.clean()?;
    assert_eq!(listed, "aiokafka\nfranz-go\njava\nkafkajs\nkcat\n");
    let produced = own("console-producer")?
        .args(["--topic", "java"])
        .input("ours\n");
    produced.run()?.clean()?;
    let last = [
        "--topic",
        "java",
        "--partition",
        "0",
        "--offset",
        RECORDS,
        "--max-messages",
        "1",
    ];
    let consumed = own("console-consumer")?.args(last).run()?.ok()?;
    assert_eq!(consumed, "ours\n");
    for node in secured.cluster.nodes() {
        let check = Program::new(binary()?).args(["healthcheck", "--ready"]);
        let checked = check.arg(&node.properties).run()?.clean()?;
        assert_eq!(
            checked,
            format!("broker {} serves and is in sync\n", node.id)
        );
    }
    secured.cluster.stop()
}

#[test]
fn a_certificate_of_a_stranger_has_a_clear_cause_at_both_ends() -> Result<()> {
    let own = "listener.name.clients.ssl.client.auth=required";
    let builder = Cluster::of(1)
        .allow("closed a connection: the client")
        .allow("closed a connection: the peer closed the connection during the TLS handshake")
        .allow("without TLS");
    let mut secured = Secured::prepare(builder, "SSL", own)?;
    secured.cluster.start()?;
    secured.cluster.create_topic("t", 1, 1, &[])?;
    let good = secured.client("alice")?;
    let stranger = dohle_tls::testing::TestAuthority::new("Another CA");
    let ca = secured.file("stranger.pem", &stranger.pem())?;
    let distrusting = Files {
        ca,
        ..secured.client("bob")?
    };
    let bootstrap = secured.clients.clone();

    let list = ["-L", "-m", "5"];
    let output = distrusting.kcat(&bootstrap, &list).run()?;
    ensure!(
        output.stderr.contains("certificate verify failed"),
        "{output}"
    );
    let output = franz(&distrusting, &bootstrap, "t")
        .args(["--limit", "5s"])
        .run()?;
    ensure!(output.stderr.contains("unknown authority"), "{output}");
    let node = distrusting.environment(kafkajs(&bootstrap, "t").env("DOHLE_TEST_RETRIES", "1"));
    let output = node.run()?;
    ensure!(output.stderr.contains("unable to verify"), "{output}");
    let output = distrusting.environment(aiokafka(&bootstrap, "t")).run()?;
    ensure!(
        output.stderr.contains("CERTIFICATE_VERIFY_FAILED"),
        "{output}"
    );
    let config = secured.file("distrusting.properties", &distrusting.java())?;
    let output = java::tool("TopicCommand")
        .args([
            "--bootstrap-server",
            &bootstrap,
            "--list",
            "--command-config",
            &config,
        ])
        .run()?;
    ensure!(
        output.to_string().contains("PKIX path building failed"),
        "{output}"
    );
    // Without TLS: the client learns only that the connection was closed, and the log has the
    // cause.
    let output = kcat(&bootstrap, &list).run()?;
    ensure!(
        output.stderr.contains("Disconnected") || !output.stderr.is_empty(),
        "{output}"
    );

    let listed = good.kcat(&bootstrap, &["-L"]).run()?.clean()?;
    ensure!(listed.contains("topic \"t\""), "{listed}");
    let log = secured.logs()?;
    for cause in [
        "the client does not accept this node's certificate",
        "it sent a request without TLS to a listener with TLS",
    ] {
        let lines = log.lines().filter(|line| line.contains(cause));
        let warnings = lines.filter_map(|line| line.split_once("WARN"));
        let texts: Vec<&str> = warnings
            .map(|(_, text)| text.split(" listener=").next().unwrap_or_default())
            .collect();
        ensure!(!texts.is_empty(), "{cause:?} is not in the log");
        let different: BTreeSet<&str> = texts.iter().copied().collect();
        ensure!(
            different.len() == texts.len(),
            "logged for each connection: {texts:?}"
        );
    }
    secured.cluster.stop()
}

#[test]
fn new_certificates_are_loaded_while_clients_go_on() -> Result<()> {
    let mut secured = Secured::prepare(Cluster::of(3), "SSL", "")?;
    secured.cluster.start()?;
    secured.cluster.create_topic("t", 1, 3, &[])?;
    let files = secured.client("alice")?;
    let bootstrap = secured.clients.clone();
    let partitions = || -> Result<Vec<String>> {
        let listed = files.kcat(&bootstrap, &["-L"]).run()?.clean()?;
        let lines = listed.lines().filter(|line| line.contains("partition "));
        Ok(lines.map(str::to_owned).collect())
    };
    let before = partitions()?;
    for id in 1..=3 {
        let store = secured.files.join(format!("node{id}.pem"));
        write_private(&store, &secured.authority.local(&format!("node-{id}")))?;
    }
    until(DEADLINE, "each node has loaded its new certificate", || {
        let logs = secured.logs()?;
        // Each node has four listeners, three of them with TLS.
        Ok(logs.matches("loaded new key material").count() >= 9)
    })?;
    assert_eq!(before.len(), 1, "{before:?}");
    assert_eq!(before, partitions()?);
    secured.cluster.wait_in_sync("t")?;
    secured.cluster.stop()
}
