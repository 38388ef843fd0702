//! What can go wrong between a client and a cluster, with messages that explain what to do next.

use std::fmt;
use std::time::Duration;

use kacrab::wire::{BrokerEndpoint, WireError};
use kacrab_protocol::KafkaString;
use kacrab_protocol::generated::{ApiKey, ErrorCode};

use dohle_model::HostPort;

use super::Cluster;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HostPort(&self.host, self.port).fmt(f)
    }
}

impl BrokerAddress {
    /// Reads `host1:port1,host2:port2`; a listener's name before a host is ignored.
    ///
    /// # Errors
    /// When the text has no address, or one has no port.
    pub fn list(text: &str) -> Result<Vec<Self>, ClusterError> {
        let bad = |text: &str, why| ClusterError::BadAddress {
            text: text.to_owned(),
            why,
        };
        let mut list = Vec::new();
        for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            let plain = one.split_once("://").map_or(one, |(_, rest)| rest);
            let Some((host, port)) = plain.rsplit_once(':') else {
                return Err(bad(one, "a port is missing, as in localhost:9092"));
            };
            let Ok(port) = port.parse::<u16>() else {
                return Err(bad(one, "a port is a number from 1 to 65535"));
            };
            let host = host.trim_start_matches('[').trim_end_matches(']');
            if host.is_empty() {
                return Err(bad(one, "a host is missing, as in localhost:9092"));
            }
            list.push(Self {
                host: host.to_owned(),
                port,
            });
        }
        if list.is_empty() {
            return Err(bad(text, "it contains no address"));
        }
        Ok(list)
    }

    /// Resolves the host.
    pub(super) async fn endpoint(&self, id: i32) -> std::io::Result<BrokerEndpoint> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(std::net::SocketAddr::is_ipv6);
        match found.first() {
            Some(address) => Ok(BrokerEndpoint::from_resolved(
                id,
                self.host.clone(),
                self.port,
                *address,
            )),
            None => Err(std::io::Error::other("the name has no address")),
        }
    }

    /// Checks that the address accepts a connection.
    pub(super) async fn probe(&self, timeout: Duration) -> std::io::Result<()> {
        let connect = tokio::net::TcpStream::connect((self.host.as_str(), self.port));
        match tokio::time::timeout(timeout, connect).await {
            Ok(connected) => connected.map(drop),
            Err(_) => Err(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("no answer within {} s", timeout.as_secs()),
            )),
        }
    }
}

/// Returns whether a listener that is advertised as `host` can be reached only from the broker's
/// own machine.
pub(super) fn is_local(host: &str) -> bool {
    let ip = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || ip.is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

/// Returns an error's text without the system's error number.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// A refusal by the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The error code.
    pub code: ErrorCode,
    /// The broker's message, or else the meaning of the code.
    pub message: String,
}

impl Refusal {
    /// Returns the error as Java prints an exception: its class and the message. Kafka's tools
    /// print it like this in some places, and scripts search for the class.
    #[must_use]
    pub fn java(&self) -> String {
        let name = match self.code {
            ErrorCode::UnknownServerError => "UnknownServer".to_owned(),
            ErrorCode::TopicAlreadyExists => "TopicExists".to_owned(),
            ErrorCode::NonEmptyGroup => "GroupNotEmpty".to_owned(),
            ErrorCode::RequestTimedOut => "Timeout".to_owned(),
            ErrorCode::InvalidConfig => "InvalidConfiguration".to_owned(),
            ErrorCode::DelegationTokenAuthDisabled => "DelegationTokenDisabled".to_owned(),
            ErrorCode::DelegationTokenRequestNotAllowed => "UnsupportedByAuthentication".to_owned(),
            ErrorCode::KafkaStorageError => "KafkaStorage".to_owned(),
            code => format!("{code:?}"),
        };
        let name = name.strip_suffix("Exception").unwrap_or(&name);
        let name = match name.strip_suffix("Failed") {
            Some(cause) if cause.ends_with("Authorization") => cause,
            Some(cause) if cause.ends_with("Authentication") => cause,
            _ => name,
        };
        format!("org.apache.kafka.common.errors.{name}Exception: {self}")
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self {
            message: code.to_string(),
            code,
        }
    }
}

impl From<ErrorCode> for ClusterError {
    fn from(code: ErrorCode) -> Self {
        Self::Refused(code.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Fails when an answer's code is an error; `message` is the broker's message.
///
/// # Errors
/// [`ClusterError::Refused`].
pub fn check(code: i16, message: Option<&KafkaString>) -> Result<(), ClusterError> {
    let code = ErrorCode::from(code);
    if !code.is_error() {
        return Ok(());
    }
    let message = message.filter(|message| !message.as_str().is_empty());
    Err(ClusterError::Refused(Refusal {
        message: message.map_or_else(|| code.to_string(), ToString::to_string),
        code,
    }))
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The cluster refused the request.
    #[error("{0}")]
    Refused(Refusal),
    /// The system provides no randomness.
    #[error("the system provides no randomness")]
    NoRandomness,
    /// An invalid address.
    #[error("{text:?} is not an address: {why}")]
    BadAddress {
        /// The text.
        text: String,
        /// What is wrong.
        why: &'static str,
    },
    /// No bootstrap address accepts a connection.
    #[error("{}", nobody(tried))]
    Nobody {
        /// All the addresses, each with the reason.
        tried: Vec<(BrokerAddress, String)>,
    },
    /// A broker cannot be reached at the address that it advertises.
    #[error(
        "The cluster behind {bootstrap} reports broker {id} at {advertised}, and that address \
         cannot be reached from here ({why}). Clients must reach a broker at the address it \
         advertises: set advertised.listeners of broker {id} (KAFKA_ADVERTISED_LISTENERS in a \
         container) to a name and a port that work from this machine"
    )]
    Advertised {
        /// The id of the broker.
        id: i32,
        /// The address that it advertises.
        advertised: BrokerAddress,
        /// The address of the cluster that listed it.
        bootstrap: BrokerAddress,
        /// What went wrong.
        why: String,
    },
    /// A broker does not answer at the address it advertises, and the address is not what is wrong.
    #[error(
        "Broker {id} does not answer at {advertised} ({why}), although the cluster behind \
         {bootstrap} lists it. It has probably stopped: start it, or wait until the cluster has \
         replaced it"
    )]
    Unreachable {
        /// The id of the broker.
        id: i32,
        /// Its address.
        advertised: BrokerAddress,
        /// The address of the cluster that listed it.
        bootstrap: BrokerAddress,
        /// What went wrong.
        why: String,
    },
    /// There is no such broker.
    #[error("There is no broker {id} in service; there are: {}", join(known))]
    NoSuchBroker {
        /// The requested id.
        id: i32,
        /// The ids of the brokers in service.
        known: Vec<i32>,
    },
    /// A broker did not answer in time.
    #[error(
        "{address} did not answer {api:?} within {} s. If it is a broker, does its listener use \
         the security.protocol that is set in --command-config? It may also be overloaded, or \
         still starting", .after.as_secs_f32()
    )]
    Timeout {
        /// The broker.
        address: BrokerAddress,
        /// The request.
        api: ApiKey,
        /// `request.timeout.ms`.
        after: Duration,
    },
    /// A controller that does not answer Kafka's requests.
    #[error(
        "{0} did not answer. Controllers of Apache Kafka answer --bootstrap-controller; those of \
         Dohle do not speak Kafka's protocol: give a broker, with --bootstrap-server"
    )]
    SilentController(BrokerAddress),
    /// A broker closed the connection.
    #[error(
        "{address} closed the connection instead of answering {api:?} ({why}). Is it the listener \
         of a Kafka broker, and does it use the configured security.protocol?"
    )]
    Closed {
        /// The broker.
        address: BrokerAddress,
        /// The request.
        api: ApiKey,
        /// The error of the connection.
        why: String,
    },
    /// The TLS handshake failed.
    #[error("{address}: TLS: {}", tls_advice(why, *.has_certificate))]
    Tls {
        /// The broker.
        address: BrokerAddress,
        /// The library's text, which contains the alert or the fault of the certificate.
        why: String,
        /// Whether this client has a certificate.
        has_certificate: bool,
    },
    /// A request without TLS to a listener with TLS.
    #[error(
        "{0} requires TLS: set security.protocol=SSL, or SASL_SSL, and the trust store \
         (ssl.truststore.location) in the file of --command-config, or use the port of a listener \
         without TLS"
    )]
    TlsRequired(BrokerAddress),
    /// An ACL with a code that this release does not support.
    #[error("The cluster has an ACL whose {0} this release does not know; use a newer release")]
    NewerAcl(String),
    /// A broker that does not support the request.
    #[error("The broker at {address} does not support {api:?}")]
    Unsupported {
        /// The broker.
        address: BrokerAddress,
        /// The request.
        api: ApiKey,
    },
    /// An invalid property.
    #[error("{0}")]
    Config(String),
    /// A file that cannot be read.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// Any other failure of a connection.
    #[error("{address}: {why}")]
    Wire {
        /// The broker.
        address: BrokerAddress,
        /// What happened.
        why: String,
    },
}

/// Returns the cause of a failed TLS handshake, and the property to check.
fn tls_advice(why: &str, has_certificate: bool) -> String {
    let has = |parts: &[&str]| parts.iter().any(|part| why.contains(part));
    let about_clients = [
        "CertificateRequired",
        "BadCertificate",
        "HandshakeFailure",
        "UnknownCA",
        "CertificateUnknown",
        "DecryptError",
        "AccessDenied",
    ];
    if has(&["received fatal alert: CertificateExpired"]) {
        return format!(
            "the certificate of this client has expired ({why}): replace it in \
             ssl.keystore.location"
        );
    }
    if why.contains("received fatal alert") && has(&about_clients) {
        return if has_certificate {
            format!(
                "the broker does not accept the certificate of this client ({why}): check \
                 ssl.keystore.location; the broker's trust store must have the certificate's \
                 authority"
            )
        } else {
            format!(
                "the broker requires a certificate of its clients ({why}): set \
                 ssl.keystore.location, ssl.keystore.type and ssl.keystore.password"
            )
        };
    }
    if has(&["UnknownIssuer"]) {
        return format!(
            "the broker's certificate was not issued by an authority in the trust store ({why}): \
             check ssl.truststore.location"
        );
    }
    if has(&["not valid for name", "NotValidForName"]) {
        return format!(
            "the broker's certificate is not for the host in --bootstrap-server or in the \
             broker's advertised.listeners ({why}): \
             ssl.endpoint.identification.algorithm= turns the check off"
        );
    }
    if has(&["invalid peer certificate"]) {
        return format!("the broker's certificate cannot be trusted ({why})");
    }
    if has(&["corrupt message"]) {
        return format!(
            "the broker does not answer with TLS ({why}): check security.protocol and the port"
        );
    }
    why.to_owned()
}

fn nobody(tried: &[(BrokerAddress, String)]) -> String {
    let all: Vec<String> = tried
        .iter()
        .map(|(address, why)| format!("{address} ({why})"))
        .collect();
    format!(
        "No broker answers at {}. Is a broker listening there? Check --bootstrap-server",
        all.join(", ")
    )
}

fn join(ids: &[i32]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(", ")
}

impl ClusterError {
    /// Returns the error for a broker that accepts no connection at the address that it advertises,
    /// which was resolved. The address is wrong when it is local to the broker's machine and this
    /// is another machine.
    pub(super) fn unreached(
        id: i32,
        advertised: BrokerAddress,
        bootstrap: BrokerAddress,
        error: &std::io::Error,
    ) -> Self {
        let why = reason(error);
        if is_local(&advertised.host) && !is_local(&bootstrap.host) {
            return Self::Advertised {
                id,
                advertised,
                bootstrap,
                why,
            };
        }
        Self::Unreachable {
            id,
            advertised,
            bootstrap,
            why,
        }
    }

    /// Returns the refusal, if the cluster refused the request.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// Returns whether it is a refusal with this code.
    #[must_use]
    pub fn is(&self, code: ErrorCode) -> bool {
        self.refusal().is_some_and(|refusal| refusal.code == code)
    }

    /// Returns the message of Java's `ExecutionException`: refusals begin with the class of their
    /// exception.
    #[must_use]
    pub fn java(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.java(),
            other => other.to_string(),
        }
    }

    pub(super) fn config(error: impl fmt::Display) -> Self {
        Self::Config(error.to_string())
    }

    pub(super) fn from_wire(
        error: WireError,
        api: ApiKey,
        address: &BrokerAddress,
        cluster: &Cluster,
    ) -> Self {
        let address = address.clone();
        match error {
            WireError::Timeout => Self::Timeout {
                address,
                api,
                after: cluster.request_timeout,
            },
            WireError::ConnectionClosed => Self::Closed {
                address,
                api,
                why: "end of stream".to_owned(),
            },
            WireError::Io(why) => Self::Closed {
                address,
                api,
                why: reason(&why),
            },
            WireError::UnsupportedApiVersion { .. } => Self::Unsupported { address, api },
            WireError::TlsHandshake(why) => Self::Tls {
                address,
                why,
                has_certificate: cluster.has_certificate,
            },
            WireError::TlsRequired => Self::TlsRequired(address),
            other => Self::Wire {
                address,
                why: other.to_string(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_clients_write_them() {
        let list = BrokerAddress::list("a:1, [::1]:2,PLAINTEXT://b:3,").unwrap();
        let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["a:1", "[::1]:2", "b:3"]);
        for (text, part) in [
            ("localhost", "a port is missing"),
            ("localhost:kafka", "a number"),
            (":9092", "a host is missing"),
            ("", "no address"),
        ] {
            let error = BrokerAddress::list(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn refusals_have_the_names_of_javas_exceptions() {
        for (code, name) in [
            (ErrorCode::SecurityDisabled, "SecurityDisabledException"),
            (
                ErrorCode::ClusterAuthorizationFailed,
                "ClusterAuthorizationException",
            ),
            (
                ErrorCode::SaslAuthenticationFailed,
                "SaslAuthenticationException",
            ),
            (
                ErrorCode::FeatureUpdateFailed,
                "FeatureUpdateFailedException",
            ),
            (ErrorCode::TopicAlreadyExists, "TopicExistsException"),
        ] {
            let java = Refusal::from(code).java();
            let class = format!("org.apache.kafka.common.errors.{name}: ");
            assert!(java.starts_with(&class), "{java}");
        }
    }

    #[test]
    fn a_failed_handshake_names_the_cause_and_the_property() {
        for (why, has_certificate, cause, property) in [
            (
                "received fatal alert: CertificateRequired",
                false,
                "requires a certificate",
                "set ssl.keystore.location",
            ),
            (
                "received fatal alert: UnknownCA",
                true,
                "does not accept the certificate of this client",
                "ssl.keystore.location",
            ),
            (
                "received fatal alert: CertificateExpired",
                true,
                "has expired",
                "ssl.keystore.location",
            ),
            (
                "invalid peer certificate: UnknownIssuer",
                false,
                "not issued by an authority in the trust store",
                "ssl.truststore.location",
            ),
            (
                "invalid peer certificate: certificate not valid for name \"a\"",
                false,
                "not for the host",
                "ssl.endpoint.identification.algorithm",
            ),
            (
                "received corrupt message of type InvalidContentType",
                false,
                "does not answer with TLS",
                "security.protocol",
            ),
        ] {
            let text = tls_advice(why, has_certificate);
            for part in [why, cause, property] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }

    #[test]
    fn a_broker_that_stopped_is_not_blamed_on_its_listeners() {
        let address = |port: u16| BrokerAddress {
            host: "localhost".to_owned(),
            port,
        };
        let error = ClusterError::unreached(
            2,
            address(9094),
            address(9092),
            &std::io::Error::from(std::io::ErrorKind::ConnectionRefused),
        );
        expect_test::expect![[r#"
            Broker 2 does not answer at localhost:9094 (connection refused), although the cluster behind localhost:9092 lists it. It has probably stopped: start it, or wait until the cluster has replaced it
        "#]]
        .assert_eq(&format!("{error}\n"));
    }

    #[test]
    fn a_broker_that_advertises_its_own_machine_to_another_is_told_so() {
        let address = |host: &str| BrokerAddress {
            host: host.to_owned(),
            port: 9092,
        };
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        for (advertised, bootstrap, blamed) in [
            ("localhost", "kafka.example", true),
            ("127.0.0.1", "10.0.0.7", true),
            ("0.0.0.0", "10.0.0.7", true),
            ("127.0.0.1", "localhost", false),
            ("10.0.0.8", "10.0.0.7", false),
            ("kafka-2", "kafka-1", false),
        ] {
            let error =
                ClusterError::unreached(2, address(advertised), address(bootstrap), &refused);
            let text = error.to_string();
            assert_eq!(text.contains("advertised.listeners"), blamed, "{text}");
        }
    }

    #[test]
    fn an_advertised_name_that_does_not_work_is_told_with_the_way_out() {
        let address = |host: &str| BrokerAddress {
            host: host.to_owned(),
            port: 9092,
        };
        let error = ClusterError::Advertised {
            id: 2,
            advertised: address("kafka-2"),
            bootstrap: address("localhost"),
            why: "failed to lookup address information: Name or service not known".to_owned(),
        };
        expect_test::expect![[r#"
            The cluster behind localhost:9092 reports broker 2 at kafka-2:9092, and that address cannot be reached from here (failed to lookup address information: Name or service not known). Clients must reach a broker at the address it advertises: set advertised.listeners of broker 2 (KAFKA_ADVERTISED_LISTENERS in a container) to a name and a port that work from this machine
        "#]]
        .assert_eq(&format!("{error}\n"));
    }
}
