//! SASL_SSL: clients of five families with each mechanism over TLS. What is wrong with a password
//! or a node's certificate is clear from what each client prints.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::clients::secure::{Credentials, Family};
use dohle_tls::testing::TestRequest;

use super::oauthbearer::Provider;
use super::sasl::{add_user, wrong_password};
use super::tls::our_tools_report;
use super::{Secured, all_report, all_work, write_private};
use crate::console_tools::ours;

/// The mechanisms with a password.
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// Listeners whose certificate is right, has expired, and is for another host.
const LISTENERS: [(&str, &str); 3] = [
    ("CLIENTS", "SASL_SSL"),
    ("EXPIRED", "SASL_SSL"),
    ("ELSEWHERE", "SASL_SSL"),
];

fn prepare(provider: &Provider) -> Result<Secured> {
    let builder = Cluster::of(1)
        .allow("authentication failed")
        .allow("closed a connection")
        .allow("expired");
    Secured::prepare(builder, &LISTENERS, |files, authority| {
        let mut expired = TestRequest::new("node-1", &["localhost", "127.0.0.1"]);
        expired.days = (-30, -1);
        let elsewhere = TestRequest::new("node-1", &["elsewhere.example"]);
        let jwks = files.join("jwks.json");
        std::fs::write(&jwks, provider.jwks())?;
        let mut lines = format!(
            "sasl.enabled.mechanisms={},OAUTHBEARER\n\
             sasl.oauthbearer.jwks.endpoint.url=file://{}\n\
             sasl.oauthbearer.expected.audience=dohle\n",
            MECHANISMS.join(","),
            jwks.display(),
        );
        for (listener, request) in [("expired", expired), ("elsewhere", elsewhere)] {
            let store = files.join(format!("{listener}.pem"));
            write_private(&store, &authority.issue(&request))?;
            let store = store.display();
            writeln!(
                lines,
                "listener.name.{listener}.ssl.keystore.location={store}"
            )?;
        }
        for (listener, _) in LISTENERS {
            let listener = listener.to_lowercase();
            writeln!(
                lines,
                "listener.name.{listener}.plain.sasl.jaas.config=\
                 org.apache.kafka.common.security.plain.PlainLoginModule required \
                 user_alice=\"alice-secret\";"
            )?;
        }
        Ok(lines)
    })
}

fn untrusted(family: Family) -> &'static str {
    match family {
        Family::Java => "PKIX path building failed",
        Family::Librdkafka => "certificate verify failed",
        Family::FranzGo => "certificate signed by unknown authority",
        Family::Kafkajs => "unable to verify the first certificate",
        Family::Aiokafka => "CERTIFICATE_VERIFY_FAILED",
    }
}

fn expired(family: Family) -> &'static str {
    match family {
        Family::Java => "CertificateExpiredException",
        Family::Librdkafka => "certificate verify failed",
        Family::FranzGo | Family::Kafkajs | Family::Aiokafka => "certificate has expired",
    }
}

fn elsewhere(family: Family) -> &'static str {
    match family {
        Family::Java => "No subject alternative DNS name matching localhost found",
        Family::Librdkafka => "certificate verify failed",
        Family::FranzGo => "certificate is valid for elsewhere.example, not localhost",
        Family::Kafkajs => "Hostname/IP does not match certificate's altnames",
        Family::Aiokafka => "certificate is not valid for 'localhost'",
    }
}

#[test]
fn clients_of_every_family_authenticate_over_tls_and_report_what_is_wrong() -> Result<()> {
    let provider = Provider::new()?;
    let mut secured = prepare(&provider)?;
    secured.cluster.start()?;
    add_user(&secured.cluster, "alice", "alice-secret")?;
    for mechanism in MECHANISMS {
        let topic = mechanism.to_lowercase();
        secured.cluster.create_topic(&topic, 1, 1, &[])?;
    }
    for topic in ["tokens", "closed"] {
        secured.cluster.create_topic(topic, 1, 1, &[])?;
    }
    let alice = |mechanism: &str, password: &str| {
        Credentials::sasl(mechanism, "alice", password).over_tls(secured.ca())
    };
    let clients = secured.address("CLIENTS");
    for mechanism in MECHANISMS {
        let topic = mechanism.to_lowercase();
        all_work(clients, &topic, &alice(mechanism, "alice-secret"))?;
    }
    let token = provider.token_of("alice", "ES256", 3600)?;
    let tokens = Credentials {
        token_file: Some(secured.file("token", &token)?.into()),
        ..alice("OAUTHBEARER", &token)
    };
    all_work(clients, "tokens", &tokens)?;
    let wrong = alice("SCRAM-SHA-512", "wrong-secret");
    all_report(clients, &wrong, |family| {
        wrong_password(family, "SCRAM-SHA-512")
    })?;

    let right = alice("SCRAM-SHA-512", "alice-secret");
    all_report(secured.address("EXPIRED"), &right, expired)?;
    all_report(secured.address("ELSEWHERE"), &right, elsewhere)?;
    let stranger = dohle_tls::testing::TestAuthority::new("Another CA");
    let ca = secured.file("stranger.pem", &stranger.pem())?;
    all_report(clients, &right.clone().over_tls(&ca), untrusted)?;

    // Dohle's tools on the same listeners.
    let config = secured.files.join("tool.properties");
    std::fs::write(&config, right.command_config())?;
    let listed = ours("topics", clients, &["--list"])?.arg("--command-config");
    let listed = listed.arg(&config).run()?.clean()?;
    ensure!(listed.contains("closed"), "{listed}");
    let untrusting = right.clone().over_tls(ca);
    for (listener, with, expected) in [
        (
            "CLIENTS",
            &wrong,
            ["invalid credentials with SASL mechanism", "SCRAM-SHA-512"],
        ),
        (
            "EXPIRED",
            &right,
            ["the broker's certificate cannot be trusted", "expired"],
        ),
        (
            "ELSEWHERE",
            &right,
            [
                "the broker's certificate is not for the host",
                "elsewhere.example",
            ],
        ),
        (
            "CLIENTS",
            &untrusting,
            ["UnknownIssuer", "ssl.truststore.location"],
        ),
    ] {
        our_tools_report(secured.address(listener), &config, with, expected)?;
    }

    let log = secured.logs()?;
    ensure!(!log.contains("wrong-secret"), "the log has a password");
    let mut warnings = log.lines().filter(|line| line.contains("WARN"));
    let is_reported = warnings.any(|line| {
        line.contains("the certificate CN=node-1 has expired") && line.contains("EXPIRED")
    });
    ensure!(is_reported, "the log has no warning of the certificate");
    secured.cluster.stop()
}
