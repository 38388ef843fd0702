//! OAUTHBEARER: clients of five families present tokens whose keys the node fetches from a URL.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dohle_tests::Cluster;
use dohle_tests::clients::secure::{Credentials, Family};
use dohle_tests::program::Program;
use dohle_tests::wait::{DEADLINE, until};
use dohle_tls::testing::{TestAuthority, TestIdentity};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::sasl::cluster;
use super::{all_report, all_work};
use crate::console_tools::ours;

/// An identity provider: it signs tokens, and serves its public key.
pub(super) struct Provider(EcdsaKeyPair);

impl Provider {
    pub(super) fn new() -> Result<Self> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random)
            .ok()
            .context("a key")?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random);
        Ok(Self(pair.ok().context("a key pair")?))
    }

    pub(super) fn jwks(&self) -> String {
        // An uncompressed point: a byte, and two coordinates.
        let point = self.0.public_key().as_ref();
        let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (x, y) = (coordinate(&point[1..33]), coordinate(&point[33..]));
        let key = json!({"kty": "EC", "crv": "P-256", "kid": "one", "x": x, "y": y});
        json!({ "keys": [key] }).to_string()
    }

    /// Returns a token of alice that expires in this number of seconds.
    fn token(&self, algorithm: &str, expires_in: i64) -> Result<String> {
        self.token_of("alice", algorithm, expires_in)
    }

    /// Returns a token of a user that expires in this number of seconds.
    pub(super) fn token_of(&self, user: &str, algorithm: &str, expires_in: i64) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let now = i64::try_from(now)?;
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(json!({"alg": algorithm, "typ": "JWT", "kid": "one"}));
        let claims = part(json!({"sub": user, "iss": "https://idp.example",
            "aud": "dohle", "scope": "kafka", "iat": now - 7200, "exp": now + expires_in}));
        let signed = format!("{head}.{claims}");
        if algorithm == "none" {
            // A signature, as the Java client does not send a token without one.
            return Ok(signed + ".e30");
        }
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.ok().context("a signature")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Serves the public key until the program ends. Returns the URL.
    fn serve(&self) -> Result<String> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let url = format!("http://{}/jwks", socket.local_addr()?);
        let answer = self.answer();
        std::thread::spawn(move || {
            for mut stream in socket.incoming().flatten() {
                respond(&mut stream, &answer);
            }
        });
        Ok(url)
    }

    /// Serves the public key over TLS with this certificate until the program ends. Returns the
    /// URL.
    fn serve_tls(&self, identity: &TestIdentity) -> Result<String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth();
        let key = PrivatePkcs8KeyDer::from(identity.key.to_vec());
        let config = config.with_single_cert(vec![identity.certificate.clone()], key.into())?;
        let config = Arc::new(config);
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let url = format!("https://localhost:{}/jwks", socket.local_addr()?.port());
        let answer = self.answer();
        std::thread::spawn(move || {
            for stream in socket.incoming().flatten() {
                let Ok(connection) = ServerConnection::new(Arc::clone(&config)) else {
                    return;
                };
                let mut stream: StreamOwned<_, TcpStream> = StreamOwned::new(connection, stream);
                respond(&mut stream, &answer);
                stream.conn.send_close_notify();
                // A client that goes away before is no matter.
                let _ = stream.flush();
            }
        });
        Ok(url)
    }

    /// Returns the HTTP response with the public key.
    fn answer(&self) -> String {
        let jwks = self.jwks();
        let length = jwks.len();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{jwks}")
    }
}

/// Responds to one request. A client that goes away in between is no matter.
fn respond(stream: &mut (impl Read + Write), answer: &str) {
    if stream.read(&mut [0; 1000]).is_ok_and(|length| length > 0) {
        let _ = stream.write_all(answer.as_bytes());
    }
}

fn with(cluster: &Cluster, token: &str) -> Result<Credentials> {
    let file = cluster.scratch().join("token");
    std::fs::write(&file, token)?;
    Ok(Credentials {
        token_file: Some(file),
        ..Credentials::sasl("OAUTHBEARER", "alice", token)
    })
}

/// What the client of a family prints whose token is refused. Three of them do not know the message
/// with the cause (RFC 7628, section 3.2.2), which Apache Kafka sends too.
fn refused(family: Family) -> &'static str {
    match family {
        Family::Java | Family::Librdkafka => "invalid_token",
        Family::FranzGo => "unexpected data in oauth response",
        Family::Kafkajs => "Closed connection",
        Family::Aiokafka => "closed",
    }
}

#[test]
fn five_families_authenticate_with_tokens_whose_keys_are_fetched() -> Result<()> {
    let provider = Provider::new()?;
    let url = provider.serve()?;
    let (mut cluster, address) = cluster(&[
        ("sasl.enabled.mechanisms", "OAUTHBEARER"),
        ("sasl.oauthbearer.jwks.endpoint.url", &url),
        ("sasl.oauthbearer.expected.audience", "dohle"),
        ("sasl.oauthbearer.expected.issuer", "https://idp.example"),
    ])?;
    for topic in ["t", "closed"] {
        cluster.create_topic(topic, 1, 1, &[])?;
    }
    until(DEADLINE, "the node has fetched the keys", || {
        let log = cluster.nodes()[0].log()?;
        Ok(log.contains("fetched the keys that tokens are signed with"))
    })?;
    let good = provider.token("ES256", 3600)?;
    all_work(&address, "t", &with(&cluster, &good)?)?;
    // Dohle's tools, with the file of Kafka's.
    let config = cluster.scratch().join("tool.properties");
    std::fs::write(&config, with(&cluster, &good)?.command_config())?;
    let tool = |name: &str, args: &[&str]| -> Result<Program> {
        let program = ours(name, &address, args)?;
        Ok(program.arg("--command-config").arg(&config))
    };
    let listed = tool("topics", &["--list"])?.run()?.clean()?;
    ensure!(listed.contains("closed"), "{listed}");
    let produced = tool("console-producer", &["--topic", "t"])?.input("ours\n");
    produced.run()?.clean()?;
    let wrong = [
        Provider::new()?.token("ES256", 3600)?,
        provider.token("ES256", -3600)?,
        provider.token("none", 3600)?,
    ];
    for token in &wrong {
        all_report(&address, &with(&cluster, token)?, refused)?;
        let output = tool("topics", &["--list"])?.run()?;
        let printed = output.stdout.clone() + &output.stderr;
        ensure!(
            output.code == 1 && printed.contains("invalid_token"),
            "{output}"
        );
    }
    let log = cluster.broker(1).log()?;
    for cause in [
        "no key of the JWKS has made the token's signature",
        "the token has expired",
        "the token has no signature (alg=none)",
    ] {
        ensure!(log.contains(cause), "{cause:?} is not in the log");
    }
    for token in wrong.iter().chain([&good]) {
        ensure!(!log.contains(token.as_str()), "the log has a token");
    }
    Ok(())
}

#[test]
fn keys_are_fetched_over_tls_from_servers_that_the_jaas_line_trusts() -> Result<()> {
    let provider = Provider::new()?;
    let [idp, clients] = ["IdP CA", "Clients CA"].map(TestAuthority::new);
    let url = provider.serve_tls(&idp.local("idp"))?;
    let scratch = tempfile::tempdir()?;
    let file = |name: &str, content: &str| -> Result<String> {
        let path = scratch.path().join(name);
        std::fs::write(&path, content)?;
        Ok(path.display().to_string())
    };
    // The listener trusts the authority of the identity provider, which is not asked.
    let listeners = file("listener.pem", &(idp.pem() + &clients.pem()))?;
    let trusted = file("trusted.pem", &clients.pem())?;
    let property = "listener.name.clients.oauthbearer.sasl.jaas.config";
    let jaas = format!(
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
         ssl.truststore.type=PEM ssl.truststore.location=\"{trusted}\";"
    );
    let (mut cluster, address) = cluster(&[
        ("sasl.enabled.mechanisms", "OAUTHBEARER"),
        ("sasl.oauthbearer.jwks.endpoint.url", &url),
        ("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", "200"),
        ("sasl.oauthbearer.expected.audience", "dohle"),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.location", &listeners),
        (property, &jaas),
    ])?;
    cluster.allow("cannot fetch the keys that tokens are signed with");
    cluster.create_topic("t", 1, 1, &[])?;
    until(DEADLINE, "the node names cause and property", || {
        let log = cluster.nodes()[0].log()?;
        let mut lines = log.lines().filter(|line| line.contains(&url));
        Ok(lines.any(|line| {
            line.contains("the server's certificate was not issued by an authority")
                && line.contains(&format!("ssl.truststore.* of {property}"))
        }))
    })?;
    let token = with(&cluster, &provider.token("ES256", 3600)?)?;
    let refused = Family::Java.round_trip(&address, "t", &token).run()?;
    ensure!(refused.code != 0, "a token without keys is accepted");

    cluster.broker(1).stop()?;
    file("trusted.pem", &idp.pem())?;
    cluster.broker(1).start()?;
    until(DEADLINE, "the node has fetched the keys", || {
        let log = cluster.nodes()[0].log()?;
        Ok(log.contains("fetched the keys that tokens are signed with"))
    })?;
    let worked = Family::Java.round_trip(&address, "t", &token).run()?;
    ensure!(worked.ok()?.contains("ok 10"), "a good token is refused");
    cluster.stop()
}
