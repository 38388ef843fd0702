//! TLS on all listeners that clients, brokers and controllers use: five families of clients produce
//! and consume; wrong certificates have clear causes; new certificates are loaded while clients go
//! on.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::clients::java;
use dohle_tests::clients::kcat::kcat;
use dohle_tests::clients::secure::{Credentials, Family};
use dohle_tests::node::binary;
use dohle_tests::program::{Output, Program};
use dohle_tests::wait::{DEADLINE, until};
use dohle_tls::testing::{TestAuthority, TestRequest};

use super::{Secured, all_report, all_work, write_private};
use crate::console_tools::ours;

const CLIENTS: [(&str, &str); 1] = [("CLIENTS", "SSL")];
const REQUIRED: &str = "listener.name.clients.ssl.client.auth=required";

fn kcat_with(files: &Credentials, bootstrap: &str, args: &[&str]) -> Program {
    let option = |name: &str, path: &Option<std::path::PathBuf>| {
        let path = path.as_deref().unwrap_or(std::path::Path::new(""));
        format!("{name}={}", path.display())
    };
    kcat(bootstrap, args)
        .args(["-X", "security.protocol=SSL"])
        .args(["-X", &option("ssl.ca.location", &files.ca)])
        .args(["-X", &option("ssl.certificate.location", &files.store)])
        .args(["-X", &option("ssl.key.location", &files.store)])
}

#[test]
fn five_families_of_clients_produce_and_consume_over_tls() -> Result<()> {
    let mut secured = Secured::prepare(Cluster::of(3), &CLIENTS, |_, _| Ok(REQUIRED.to_owned()))?;
    secured.cluster.start()?;
    let files = secured.client("alice")?;
    let bootstrap = secured.address("CLIENTS").to_owned();
    secured.cluster.create_topic("t", 1, 3, &[])?;
    all_work(&bootstrap, "t", &files)?;
    secured.cluster.wait_in_sync("t")?;

    // Our own tools, and the check of a node's health over the listener between brokers.
    let config = secured.file("alice.properties", &files.command_config())?;
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
    assert_eq!(listed, "t\n");
    let produced = own("console-producer")?
        .args(["--topic", "t"])
        .input("ours\n");
    produced.run()?.clean()?;
    // Each family has produced ten records.
    let offset = (10 * Family::ALL.len()).to_string();
    let consumed = own("console-consumer")?
        .args(["--topic", "t", "--partition", "0", "--offset", &offset])
        .args(["--max-messages", "1"]);
    assert_eq!(consumed.run()?.ok()?, "ours\n");
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

/// Checks that Dohle's tools are refused without trying again, and name the cause and the property
/// to check.
pub(super) fn our_tools_report(
    address: &str,
    config: &Path,
    with: &Credentials,
    expected: [&str; 2],
) -> Result<()> {
    std::fs::write(config, with.command_config())?;
    for tool in ["topics --list", "console-producer --topic closed"] {
        let mut args = tool.split(' ');
        let name = args.next().unwrap_or_default();
        let program = ours(name, address, &args.collect::<Vec<_>>())?;
        let output = program.arg("--command-config").arg(config).input("x\n");
        let output = output.limit(Duration::from_secs(20)).run()?;
        // Some tools print errors on standard output, as Kafka's do.
        let printed = output.stdout.clone() + &output.stderr;
        let is_named = expected.iter().all(|part| printed.contains(part));
        ensure!(output.code == 1 && is_named, "{expected:?}: {output}");
    }
    Ok(())
}

/// What a client prints whose own certificate was issued by a stranger. Most clients do not send
/// such a certificate, because the node names the authorities that it trusts. aiokafka reports no
/// alert that arrives after the handshake of TLS 1.3.
fn unknown_authority(family: Family) -> &'static str {
    match family {
        Family::Java => "certificate_required",
        Family::Librdkafka => "No matching issuer found in server trusted certificate authorities",
        Family::FranzGo => "certificate required",
        Family::Kafkajs => "unknown ca",
        Family::Aiokafka => "closed",
    }
}

/// What a client prints whose own certificate has expired.
fn expired(family: Family) -> &'static str {
    match family {
        Family::Java => "certificate_expired",
        Family::Librdkafka => "certificate expired",
        Family::FranzGo => "expired certificate",
        Family::Kafkajs => "certificate expired",
        Family::Aiokafka => "closed",
    }
}

#[test]
fn a_certificate_of_a_stranger_has_a_clear_cause_at_both_ends() -> Result<()> {
    let builder = Cluster::of(1)
        .allow("closed a connection: the client")
        .allow("the client's certificate")
        .allow("without TLS");
    let mut secured = Secured::prepare(builder, &CLIENTS, |_, _| Ok(REQUIRED.to_owned()))?;
    secured.cluster.start()?;
    for topic in ["t", "closed"] {
        secured.cluster.create_topic(topic, 1, 1, &[])?;
    }
    let good = secured.client("alice")?;
    let bootstrap = secured.address("CLIENTS").to_owned();
    let stranger = TestAuthority::new("Another CA");
    let with = |name: &str, identity| -> Result<Credentials> {
        let store = secured.files.join(name);
        write_private(&store, &identity)?;
        Ok(good.clone().with_store(store))
    };
    let strange = with("strange.pem", stranger.local("mallory"))?;
    all_report(&bootstrap, &strange, unknown_authority)?;
    let mut request = TestRequest::new("alice", &[]);
    request.days = (-30, -1);
    let late = with("late.pem", secured.authority.issue(&request))?;
    all_report(&bootstrap, &late, expired)?;
    // A client that does not know the node's authority, as in the story of SASL_SSL.
    let ca = secured.file("stranger.pem", &stranger.pem())?;
    let list = ["-L", "-m", "5"];
    let output = kcat_with(&good.clone().over_tls(ca), &bootstrap, &list).run()?;
    ensure!(
        output.stderr.contains("certificate verify failed"),
        "{output}"
    );
    // Our tools, whose own certificate or whose trust store is wrong.
    let config = secured.files.join("tool.properties");
    let strangers = Credentials::default().over_tls(secured.files.join("stranger.pem"));
    let without = Credentials::default().over_tls(secured.ca());
    let in_store = "ssl.keystore.location";
    for (with, expected) in [
        (&strange, ["does not accept the certificate", in_store]),
        (&late, ["certificate of this client has expired", in_store]),
        (&without, ["requires a certificate", in_store]),
        (&strangers, ["UnknownIssuer", "ssl.truststore.location"]),
    ] {
        our_tools_report(&bootstrap, &config, with, expected)?;
    }
    // The authorities of the operating system count only where there is no trust store.
    let on_system = |properties: &str| -> Result<Output> {
        std::fs::write(&config, properties)?;
        let program = ours("topics", &bootstrap, &["--list"])?.env("SSL_CERT_FILE", secured.ca());
        program.arg("--command-config").arg(&config).run()
    };
    let elsewhere = good.clone().over_tls(secured.files.join("stranger.pem"));
    let refused = on_system(&elsewhere.command_config())?;
    ensure!(refused.stdout.contains("UnknownIssuer"), "{refused}");
    let properties = good.command_config();
    let lines = properties
        .lines()
        .filter(|line| !line.starts_with("ssl.truststore"));
    let without_store: String = lines.map(|line| format!("{line}\n")).collect();
    on_system(&without_store)?.clean()?;
    // Without TLS: the client learns only that the connection was closed, and the log has the
    // cause.
    let output = kcat(&bootstrap, &list).run()?;
    ensure!(
        output.stderr.contains("Disconnected") || !output.stderr.is_empty(),
        "{output}"
    );

    let listed = kcat_with(&good, &bootstrap, &["-L"]).run()?.clean()?;
    ensure!(listed.contains("topic \"t\""), "{listed}");
    let log = secured.logs()?;
    for cause in [
        "the client does not accept this node's certificate",
        "it sent a request without TLS to a listener with TLS",
        "the client's certificate was not issued by an authority in this listener's trust store",
        "the client's certificate has expired",
        "the client has no certificate",
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
    let builder = Cluster::of(3).allow("does not accept this node's certificate");
    let mut secured = Secured::prepare(builder, &CLIENTS, |_, _| Ok(String::new()))?;
    secured.cluster.start()?;
    secured.cluster.create_topic("t", 1, 3, &[])?;
    let files = secured.client("alice")?;
    let bootstrap = secured.address("CLIENTS").to_owned();
    let partitions = || -> Result<Vec<String>> {
        let listed = kcat_with(&files, &bootstrap, &["-L"]).run()?.clean()?;
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

    // The same by AlterConfigs, with Kafka's tool over TLS: broker 1 has a certificate of another
    // authority then, on this listener alone.
    let other = TestAuthority::new("Another CA");
    let store = secured.files.join("altered.pem");
    write_private(&store, &other.local("node-1"))?;
    let broker = bootstrap.split(',').next().unwrap_or_default();
    let config = secured.file("alice.properties", &files.command_config())?;
    let store = store.display();
    java::tool("ConfigCommand")
        .args(["--bootstrap-server", broker, "--command-config", &config])
        .args(["--alter", "--entity-type", "brokers", "--entity-name", "1"])
        .args(["--add-config"])
        .arg(format!(
            "listener.name.clients.ssl.keystore.location={store}"
        ))
        .run()?
        .ok()?;
    let others = files
        .clone()
        .over_tls(secured.file("other-ca.pem", &other.pem())?);
    let list = ["-L", "-m", "5"];
    until(
        DEADLINE,
        "broker 1 has the certificate that was set",
        || {
            kcat_with(&others, broker, &list)
                .run()?
                .clean()
                .map(|_| true)
        },
    )?;
    let refused = kcat_with(&files, broker, &list).run()?;
    ensure!(
        refused.stderr.contains("certificate verify failed"),
        "{refused}"
    );
    secured.cluster.wait_in_sync("t")?;
    secured.cluster.stop()
}
