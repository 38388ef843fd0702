//! OAUTHBEARER: clients of five families present tokens whose keys the node fetches from a URL.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dohle_tests::Cluster;
use dohle_tests::clients::secure::{Credentials, Family};
use dohle_tests::wait::{DEADLINE, until};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::sasl::cluster;
use super::{all_report, all_work};

/// An identity provider: it signs tokens, and serves its public key.
struct Provider(EcdsaKeyPair);

impl Provider {
    fn new() -> Result<Self> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random)
            .ok()
            .context("a key")?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random);
        Ok(Self(pair.ok().context("a key pair")?))
    }

    fn jwks(&self) -> String {
        // An uncompressed point: a byte, and two coordinates.
        let point = self.0.public_key().as_ref();
        let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (x, y) = (coordinate(&point[1..33]), coordinate(&point[33..]));
        let key = json!({"kty": "EC", "crv": "P-256", "kid": "one", "x": x, "y": y});
        json!({ "keys": [key] }).to_string()
    }

    /// Returns a token of alice that expires in this number of seconds.
    fn token(&self, algorithm: &str, expires_in: i64) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let now = i64::try_from(now)?;
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(json!({"alg": algorithm, "typ": "JWT", "kid": "one"}));
        let claims = part(json!({"sub": "alice", "iss": "https://idp.example",
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
        let jwks = self.jwks();
        let length = jwks.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{jwks}");
        std::thread::spawn(move || {
            for stream in socket.incoming() {
                let Ok(mut stream) = stream else { return };
                // A client that goes away in between is no matter.
                let _ = stream.read(&mut [0; 1000]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Ok(url)
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
    let wrong = [
        Provider::new()?.token("ES256", 3600)?,
        provider.token("ES256", -3600)?,
        provider.token("none", 3600)?,
    ];
    for token in &wrong {
        all_report(&address, &with(&cluster, token)?, refused)?;
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
