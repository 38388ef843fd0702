//! What users see who have made a usual mistake: TLS on one side alone, a wrong port, and brokers
//! whose advertised names cannot be resolved; with clients of five families and with Dohle's tools.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::clients::secure::{Credentials, Family, round_trips};
use dohle_tests::ports::free_port;
use dohle_tests::program::Program;

use super::Secured;
use crate::console_tools::ours;

/// How long clients try to reach a broker.
const PATIENCE: Duration = Duration::from_secs(5);
const LISTENERS: [(&str, &str); 2] = [("CLIENTS", "SSL"), ("ELSEWHERE", "PLAINTEXT")];
/// The protocols of all listeners: that of controllers has no TLS here.
const PROTOCOLS: &str = "listener.security.protocol.map=\
    PLAINTEXT:PLAINTEXT,NODES:SSL,CONTROLLER:PLAINTEXT,CLIENTS:SSL,ELSEWHERE:PLAINTEXT";
/// A name that no resolver has (RFC 6761).
const NOWHERE: &str = "no-such-host.invalid";

/// A client with a mistake, and what each family prints about it: one of these texts.
struct Mistake<'a> {
    address: &'a str,
    with: Credentials,
    reported: fn(Family) -> &'static [&'static str],
}

impl Mistake<'_> {
    fn is_reported(&self) -> Result<()> {
        for (family, output) in round_trips(self.address, "closed", &self.with)? {
            let printed = output.stdout.clone() + &output.stderr;
            let texts = (self.reported)(family);
            let is_named = texts.iter().any(|text| printed.contains(text));
            ensure!(
                output.code != 0 && is_named,
                "{family:?} {texts:?}: {output}"
            );
        }
        Ok(())
    }
}

/// What clients print that do not use TLS where it is required. The listener answers with a TLS
/// alert, as Kafka's do. The Java client takes it for the length of a response of 336 MiB.
fn without_tls(family: Family) -> &'static [&'static str] {
    match family {
        Family::Java => &["java.lang.OutOfMemoryError", "disconnected"],
        Family::Librdkafka => &["connection closed by peer"],
        Family::FranzGo => &["is this a plaintext connection speaking to a tls endpoint?"],
        Family::Kafkajs => &["Closed connection"],
        Family::Aiokafka => &["closed"],
    }
}

/// What clients print that use TLS where there is none.
fn with_tls(family: Family) -> &'static [&'static str] {
    match family {
        Family::Java => &["terminated during authentication"],
        // Mostly it adds "connecting to a PLAINTEXT broker listener?".
        Family::Librdkafka => &["in state SSL_HANDSHAKE"],
        Family::FranzGo => &["is TLS misconfigured on the client or the broker?"],
        Family::Kafkajs => &["disconnected before secure TLS connection was established"],
        Family::Aiokafka => &["Unable connect to"],
    }
}

/// What clients print about a port that nothing listens on.
fn closed_port(family: Family) -> &'static [&'static str] {
    match family {
        Family::Java => &["could not be established. Node may not be available"],
        Family::Librdkafka => &["Connection refused"],
        Family::FranzGo => &["connection refused"],
        Family::Kafkajs => &["ECONNREFUSED"],
        Family::Aiokafka => &["Connect call failed"],
    }
}

/// What clients print about a broker whose name cannot be resolved.
fn unresolvable(family: Family) -> &'static [&'static str] {
    match family {
        Family::Java => &["UnknownHostException: no-such-host.invalid"],
        Family::Librdkafka => &["Failed to resolve 'no-such-host.invalid"],
        Family::FranzGo => &["lookup no-such-host.invalid"],
        Family::Kafkajs => &["no-such-host.invalid"],
        Family::Aiokafka => &["Unable connect to node with id 1"],
    }
}

/// Checks that a tool fails, and prints all of `expected`.
fn fails_with(program: Program, expected: &[&str]) -> Result<()> {
    let output = program.input("x\n").limit(Duration::from_secs(60)).run()?;
    // Some tools print errors on standard output, as Kafka's do.
    let printed = output.stdout.clone() + &output.stderr;
    let is_named = expected.iter().all(|text| printed.contains(text));
    ensure!(output.code == 1 && is_named, "{expected:?}: {output}");
    Ok(())
}

/// Checks that Dohle's tools without TLS are refused at once where TLS is required, and name the
/// property.
pub(super) fn tools_without_tls_are_refused(address: &str) -> Result<()> {
    let expected = ["requires TLS: set security.protocol=SSL, or SASL_SSL"];
    fails_with(ours("topics", address, &["--list"])?, &expected)?;
    fails_with(
        ours("console-producer", address, &["--topic", "closed"])?,
        &expected,
    )
}

/// Checks what Dohle's tools print about addresses that are wrong. `config` is a file with the
/// properties of a client with TLS.
fn tools_report_wrong_addresses(plaintext: &str, controller: &str, config: &Path) -> Result<()> {
    let list = |address: &str| ours("topics", address, &["--list"]);
    let tls = list(plaintext)?.arg("--command-config").arg(config);
    let closed = format!("127.0.0.1:{}", free_port()?);
    let cases = [
        (
            tls,
            format!("{plaintext} closed the connection"),
            "the configured security.protocol",
        ),
        (
            list(controller)?,
            format!("{controller} closed the connection"),
            "of a Kafka broker",
        ),
        (
            list(&closed)?,
            format!("No broker answers at {closed}"),
            "Check --bootstrap-server",
        ),
    ];
    thread::scope(|scope| {
        let check = |(program, text, advice): (Program, String, &'static str)| {
            scope.spawn(move || fails_with(program, &[&text, advice]))
        };
        let running: Vec<_> = cases.into_iter().map(check).collect();
        running
            .into_iter()
            .try_for_each(|it| it.join().expect("a panic"))
    })
}

/// Checks that Dohle's tools name a broker that they cannot find, and the property that sets its
/// address, where they need that broker alone.
fn tools_name_brokers_that_cannot_be_resolved(address: &str) -> Result<()> {
    let listed = ours("topics", address, &["--list"])?.run()?.clean()?;
    ensure!(listed.contains("closed"), "{listed}");
    let expected = [
        "reports broker 1 at no-such-host.invalid:",
        "set advertised.listeners",
    ];
    fails_with(ours("log-dirs", address, &["--describe"])?, &expected)?;
    let limits = [
        "delivery.timeout.ms=2000",
        "request.timeout.ms=1000",
        "linger.ms=0",
    ];
    let mut producer = ours("console-producer", address, &["--topic", "closed"])?;
    for limit in limits {
        producer = producer.args(["--command-property", limit]);
    }
    fails_with(producer, &expected)?;
    let consumer = [
        "--topic",
        "closed",
        "--from-beginning",
        "--timeout-ms",
        "1000",
    ];
    fails_with(ours("console-consumer", address, &consumer)?, &expected)
}

#[test]
fn usual_mistakes_have_clear_causes_at_clients_and_in_the_log() -> Result<()> {
    let builder = Cluster::of(1)
        .allow("closed a connection")
        .allow("EVERYONE IS LET IN");
    let mut secured = Secured::prepare(builder, &LISTENERS, |_, _| Ok(PROTOCOLS.to_owned()))?;
    // The address of the last listener, as clients get it.
    let node = &secured.cluster.nodes()[0];
    let file = fs::read_to_string(&node.properties)?;
    let (listeners, advertised) = file
        .rsplit_once("advertised.listeners=")
        .unwrap_or_default();
    let elsewhere = secured.address("ELSEWHERE").to_owned();
    let nowhere = elsewhere.replace("localhost", NOWHERE);
    let advertised = advertised.replacen(&elsewhere, &nowhere, 1);
    let file = format!("{listeners}advertised.listeners={advertised}");
    fs::write(&node.properties, file)?;
    let (plaintext, controller) = (node.address.to_string(), node.controller.to_string());
    secured.cluster.start()?;
    secured.cluster.create_topic("closed", 1, 1, &[])?;
    let tls = Credentials::default().over_tls(secured.ca());
    let config = secured.file("tls.properties", &tls.command_config())?;

    let plain = || Credentials::default().within(PATIENCE);
    let closed = format!("127.0.0.1:{}", free_port()?);
    let clients = secured.address("CLIENTS").to_owned();
    let mistake = |address, with, reported| Mistake {
        address,
        with,
        reported,
    };
    let mistakes = [
        mistake(&clients, plain(), without_tls as _),
        mistake(&plaintext, tls.within(PATIENCE), with_tls),
        mistake(&closed, plain(), closed_port),
        mistake(&elsewhere, plain(), unresolvable),
    ];
    thread::scope(|scope| {
        let tools = [
            scope.spawn(|| tools_without_tls_are_refused(&clients)),
            scope.spawn(|| {
                tools_report_wrong_addresses(&plaintext, &controller, Path::new(&config))
            }),
            scope.spawn(|| tools_name_brokers_that_cannot_be_resolved(&elsewhere)),
        ];
        let clients = mistakes.iter().map(|it| scope.spawn(|| it.is_reported()));
        let clients: Vec<_> = clients.collect();
        let mut running = clients.into_iter().chain(tools);
        running.try_for_each(|it| it.join().expect("a panic"))
    })?;
    let log = secured.logs()?;
    for (cause, listener) in [
        (
            "it sent a request without TLS to a listener with TLS",
            "CLIENTS",
        ),
        ("it sent a TLS hello to a listener without TLS", "PLAINTEXT"),
        (
            "this listener does not serve Kafka's client protocol",
            "CONTROLLER",
        ),
    ] {
        let mut lines = log.lines().filter(|line| line.contains(cause));
        let is_named = lines.any(|line| line.contains(&format!("listener={listener}")));
        ensure!(is_named, "{cause:?} is not in the log");
    }
    secured.cluster.stop()
}
