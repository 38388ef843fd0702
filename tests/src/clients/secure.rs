//! Clients of five families on listeners that authenticate: each produces ten records to partition
//! 0 of a topic, consumes ten from its start, and prints `ok 10`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::clients::{franz_go, java};
use crate::program::{Output, Program};

/// A family of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// The Java client.
    Java,
    /// librdkafka, as confluent-kafka. The version in kcat may be older than 2.6.1, whose SCRAM
    /// repeats the client's nonce; servers refuse that since CVE-2024-56128.
    Librdkafka,
    /// franz-go.
    FranzGo,
    /// kafkajs.
    Kafkajs,
    /// aiokafka.
    Aiokafka,
}

/// How a client authenticates.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The SASL mechanism; `None` for a listener without SASL.
    pub mechanism: Option<String>,
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
    /// Whether the user is the id of a delegation token, and the password its HMAC. Of the clients,
    /// the Java client and franz-go support that.
    pub is_token: bool,
    /// The file with the token of OAUTHBEARER, as the Java client reads it; other clients take the
    /// token as their password.
    pub token_file: Option<PathBuf>,
    /// The PEM file with the trusted certificates; `None` for a listener without TLS.
    pub ca: Option<PathBuf>,
    /// The PEM file with the client's certificate and key; `None` for a client without.
    pub store: Option<PathBuf>,
    /// How long the clients try to reach a broker; `None` for limits of their own. Of tools, it
    /// changes nothing.
    pub patience: Option<Duration>,
}

impl Credentials {
    /// Returns the credentials of a user, without TLS.
    pub fn sasl(mechanism: &str, user: &str, password: &str) -> Self {
        Self {
            mechanism: Some(mechanism.to_owned()),
            user: user.to_owned(),
            password: password.to_owned(),
            ..Self::default()
        }
    }

    /// Returns these credentials for a listener with TLS. `ca` is the PEM file with the trusted
    /// certificates.
    #[must_use]
    pub fn over_tls(self, ca: impl Into<PathBuf>) -> Self {
        Self {
            ca: Some(ca.into()),
            ..self
        }
    }

    /// Returns these credentials with a certificate of the client: a PEM file that also has its
    /// key.
    #[must_use]
    pub fn with_store(self, store: impl Into<PathBuf>) -> Self {
        Self {
            store: Some(store.into()),
            ..self
        }
    }

    /// Returns these credentials for clients that give up early.
    #[must_use]
    pub fn within(self, patience: Duration) -> Self {
        Self {
            patience: Some(patience),
            ..self
        }
    }

    /// Returns the security protocol of the listener that these credentials are for.
    pub fn protocol(&self) -> &'static str {
        match (&self.mechanism, &self.ca) {
            (Some(_), Some(_)) => "SASL_SSL",
            (Some(_), None) => "SASL_PLAINTEXT",
            (None, Some(_)) => "SSL",
            (None, None) => "PLAINTEXT",
        }
    }

    /// Returns the JAAS line of a Java client.
    pub fn jaas(&self) -> Option<String> {
        if self.token_file.is_some() {
            let module = "oauthbearer.OAuthBearerLoginModule";
            return Some(format!(
                "org.apache.kafka.common.security.{module} required;"
            ));
        }
        let module = match self.mechanism.as_deref()? {
            "PLAIN" => "plain.PlainLoginModule",
            _ => "scram.ScramLoginModule",
        };
        let token = if self.is_token {
            " tokenauth=\"true\""
        } else {
            ""
        };
        Some(format!(
            "org.apache.kafka.common.security.{module} required username=\"{}\" \
             password=\"{}\"{token};",
            self.user, self.password
        ))
    }

    /// Returns the properties of a Java client.
    pub fn java(&self) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.display().to_string();
        let mut properties = vec![("security.protocol", self.protocol().to_owned())];
        properties.extend(self.mechanism.clone().map(|it| ("sasl.mechanism", it)));
        properties.extend(self.jaas().map(|line| ("sasl.jaas.config", line)));
        if let Some(file) = &self.token_file {
            let handler = "org.apache.kafka.common.security.oauthbearer.\
                           OAuthBearerLoginCallbackHandler";
            properties.push(("sasl.login.callback.handler.class", handler.to_owned()));
            let url = format!("file://{}", file.display());
            properties.push(("sasl.oauthbearer.token.endpoint.url", url));
        }
        if let Some(ca) = &self.ca {
            properties.push(("ssl.truststore.type", "PEM".to_owned()));
            properties.push(("ssl.truststore.location", text(ca)));
        }
        if let Some(store) = &self.store {
            properties.push(("ssl.keystore.type", "PEM".to_owned()));
            properties.push(("ssl.keystore.location", text(store)));
        }
        properties
    }

    /// Returns the file of `--command-config`, for Kafka's tools and for Dohle's.
    pub fn command_config(&self) -> String {
        let lines = self.java().into_iter();
        lines
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect()
    }
}

impl Family {
    /// All families.
    pub const ALL: [Self; 5] = [
        Self::Java,
        Self::Librdkafka,
        Self::FranzGo,
        Self::Kafkajs,
        Self::Aiokafka,
    ];

    /// Returns the client, which produces and consumes ten records.
    pub fn round_trip(self, bootstrap: &str, topic: &str, with: &Credentials) -> Program {
        let python = |name: &str| {
            let path = crate::root().join("tests/compat/python").join(name);
            let packages = crate::compat().join("python");
            Program::new("python3")
                .env("PYTHONPATH", packages)
                .arg(path)
        };
        let script = |program: Program| {
            let mut program = program.args([bootstrap, topic]);
            for (name, value) in pairs(with) {
                program = program.arg(format!("{name}={value}"));
            }
            program
        };
        match self {
            Self::Java => {
                let mut program = java::class("Secure").args([bootstrap, topic]);
                let mut properties = with.java();
                let patience = with.patience.unwrap_or(Duration::from_secs(20));
                let patience = patience.as_millis().to_string();
                properties.push(("max.block.ms", patience.clone()));
                properties.push(("reconnect.backoff.max.ms", "1000".to_owned()));
                if with.patience.is_some() {
                    properties.push(("request.timeout.ms", "1000".to_owned()));
                    properties.push(("delivery.timeout.ms", patience));
                }
                for (name, value) in properties {
                    program = program.arg(format!("{name}={value}"));
                }
                program
            }
            Self::FranzGo => {
                let mut program = franz_go::franz_go("secure", bootstrap).args(["--topic", topic]);
                for (name, value) in pairs(with) {
                    program = program.arg(format!("--{name}={value}"));
                }
                program
            }
            Self::Kafkajs => {
                let path = crate::compat().join("node/secure.js");
                script(Program::new("node").arg(path))
            }
            Self::Librdkafka => script(python("secure_confluent.py")),
            Self::Aiokafka => script(python("secure_aiokafka.py")),
        }
    }
}

/// Runs a client of each family at once, and returns what each printed.
pub fn round_trips(
    bootstrap: &str,
    topic: &str,
    with: &Credentials,
) -> Result<Vec<(Family, Output)>> {
    let start = |family: Family| {
        let program = family.round_trip(bootstrap, topic, with);
        Ok((family, program.start()?))
    };
    let running: Result<Vec<_>> = Family::ALL.into_iter().map(start).collect();
    let finish =
        |(family, running): (Family, crate::program::Running)| Ok((family, running.finish()?));
    running?.into_iter().map(finish).collect()
}

/// Returns the options of the clients in Go, JavaScript and Python.
fn pairs(with: &Credentials) -> Vec<(&'static str, String)> {
    let mut pairs = Vec::new();
    if let Some(mechanism) = &with.mechanism {
        pairs.push(("mechanism", mechanism.clone()));
        pairs.push(("user", with.user.clone()));
        pairs.push(("password", with.password.clone()));
    }
    if with.is_token {
        pairs.push(("token", "true".to_owned()));
    }
    if let Some(patience) = with.patience {
        pairs.push(("patience", patience.as_secs().to_string()));
    }
    let files = [("ca", &with.ca), ("store", &with.store)];
    pairs.extend(files.into_iter().filter_map(|(name, path)| {
        let path = path.as_ref()?;
        Some((name, path.display().to_string()))
    }));
    pairs
}
