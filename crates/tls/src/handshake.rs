//! Why a handshake failed, in words that name the cause and the remedy. Pure.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use crate::subject::date;

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HandshakeFailure {
    /// The peer went away without a word: a probe of the port, or a client that was ended.
    #[error("the peer closed the connection during the TLS handshake")]
    Lost,
    /// Something is wrong at one of the ends, in words.
    #[error("{0}")]
    Refused(String),
}

/// Which end of a handshake failed; the remedies differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// This node accepted the connection.
    Server,
    /// This node, or a tool, began the connection.
    Client,
}

impl HandshakeFailure {
    /// Returns a failure that did not occur in TLS itself.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self::Refused(reason.into())
    }

    /// Returns the failure of a handshake, from the error of its stream.
    pub(crate) fn of(error: &io::Error, side: Side) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match (inner, side) {
            (Some(error), Side::Server) => Self::Refused(on_server(error)),
            (Some(error), Side::Client) => Self::Refused(on_client(error)),
            (None, _) if is_end_of_peer(error.kind()) => Self::Lost,
            (None, _) => Self::Refused(error.to_string()),
        }
    }
}

/// Whether the peer ended the connection: the kernel reports a reset instead of an end when the
/// peer had not read all that was sent to it.
fn is_end_of_peer(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

fn on_server(error: &Error) -> String {
    match error {
        Error::NoCertificatesPresented => {
            "the client has no certificate, and ssl.client.auth=required: set \
             ssl.keystore.location in the client"
                .to_owned()
        }
        Error::InvalidCertificate(error) => format!(
            "the client's certificate {}",
            certificate(
                error,
                "this listener's trust store (ssl.truststore.location)"
            )
        ),
        Error::AlertReceived(alert) => match alert {
            AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::BadCertificate => format!(
                "the client does not accept this node's certificate (alert {alert:?}): its trust \
                 store must have the certificate's authority, and the certificate must be for the \
                 host name that the client connects to"
            ),
            AlertDescription::CertificateExpired => {
                "the client found that this node's certificate has expired".to_owned()
            }
            alert => format!("the client ended the TLS handshake with the alert {alert:?}"),
        },
        other => either_side(other),
    }
}

fn on_client(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => format!(
            "the server's certificate {}",
            certificate(error, "the trust store (ssl.truststore.location)")
        ),
        Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure => format!(
                "the server requires a certificate of its client (alert {alert:?}): set \
                 ssl.keystore.location"
            ),
            AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::BadCertificate
            | AlertDescription::DecryptError => format!(
                "the server does not accept this client's certificate (alert {alert:?}): the \
                 server's trust store must have the certificate's authority"
            ),
            AlertDescription::CertificateExpired => {
                "the server found that this client's certificate has expired".to_owned()
            }
            alert => format!("the server ended the TLS handshake with the alert {alert:?}"),
        },
        Error::InvalidMessage(_) => {
            "the server does not answer with TLS: its port may belong to a listener without TLS \
             (security.protocol)"
                .to_owned()
        }
        other => either_side(other),
    }
}

fn either_side(error: &Error) -> String {
    match error {
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => {
            "no cipher suite is common to both sides (ssl.cipher.suites)".to_owned()
        }
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => "no version of TLS is common to both sides (ssl.enabled.protocols)".to_owned(),
        other => other.to_string(),
    }
}

/// Completes a sentence that begins with the certificate.
fn certificate(error: &CertificateError, store: &str) -> String {
    match error {
        CertificateError::Expired => "has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("has expired: it was valid until {}", date(*not_after))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet; compare the clocks of both machines".to_owned()
        }
        CertificateError::UnknownIssuer => {
            format!("was not issued by an authority in {store}")
        }
        CertificateError::NotValidForName => "is not for the host that was connected to".to_owned(),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let names = if presented.is_empty() {
                "has no alternative names".to_owned()
            } else {
                format!("is only for {}", presented.join(", "))
            };
            format!(
                "is not for the host {}: it {names} (ssl.endpoint.identification.algorithm)",
                expected.to_str()
            )
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is for another purpose: its extended key usage must have clientAuth for clients and \
             serverAuth for servers, and both for nodes"
                .to_owned()
        }
        CertificateError::BadEncoding => "is damaged".to_owned(),
        CertificateError::BadSignature => {
            "does not match the private key, or was changed".to_owned()
        }
        other => format!("cannot be used: {other}"),
    }
}

/// How many different failures are remembered.
const FAILURES_MAX: usize = 1_000;
/// How long a failure is not logged again.
const FAILURE_PERIOD: Duration = Duration::from_hours(1);

/// The listener, the peer and the cause of a failure.
type LoggedFailure = (Arc<str>, IpAddr, HandshakeFailure);

/// Remembers which failures of connections were logged, so that each (listener, host, cause) is
/// logged once an hour, however often the peer tries.
#[derive(Debug, Default)]
pub struct FailureLog {
    seen: Mutex<HashMap<LoggedFailure, Duration>>,
}

impl FailureLog {
    /// Returns whether a failure is to be logged at `now`, a time since any fixed moment. When too
    /// many different failures are remembered, further ones are not logged until some of those are
    /// an hour old.
    pub fn is_new(
        &self,
        listener: &Arc<str>,
        peer: IpAddr,
        cause: &HandshakeFailure,
        now: Duration,
    ) -> bool {
        let mut seen = self.seen.lock();
        if seen.len() >= FAILURES_MAX {
            seen.retain(|_, logged| now.saturating_sub(*logged) < FAILURE_PERIOD);
        }
        let is_full = seen.len() >= FAILURES_MAX;
        let key = (Arc::clone(listener), peer, cause.clone());
        match seen.get_mut(&key) {
            Some(logged) if now.saturating_sub(*logged) < FAILURE_PERIOD => false,
            Some(logged) => {
                *logged = now;
                true
            }
            None if is_full => false,
            None => {
                seen.insert(key, now);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_peer_that_goes_away_has_one_cause_however_the_kernel_reports_it() {
        let cause = |error: io::Error| HandshakeFailure::of(&error, Side::Server);
        for kind in [
            io::ErrorKind::UnexpectedEof,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::ConnectionAborted,
            io::ErrorKind::BrokenPipe,
        ] {
            assert_eq!(cause(kind.into()), HandshakeFailure::Lost, "{kind:?}");
        }
        let other = io::Error::other("no memory");
        assert_eq!(cause(other), HandshakeFailure::new("no memory"));
    }

    #[test]
    fn a_failure_is_logged_once_an_hour_for_each_listener_host_and_cause() {
        let log = FailureLog::default();
        let (a, b): (Arc<str>, Arc<str>) = ("A".into(), "B".into());
        let host = |last| IpAddr::from(Ipv4Addr::new(127, 0, 0, last));
        let (expired, unknown) = (HandshakeFailure::new("expired"), HandshakeFailure::new("?"));
        let at = Duration::from_secs;
        assert!(log.is_new(&a, host(1), &expired, at(0)));
        assert!(!log.is_new(&a, host(1), &expired, at(3_599)));
        assert!(log.is_new(&a, host(1), &unknown, at(1)));
        assert!(log.is_new(&a, host(2), &expired, at(1)));
        assert!(log.is_new(&b, host(1), &expired, at(1)));
        assert!(log.is_new(&a, host(1), &expired, at(3_600)));
    }

    #[test]
    fn the_memory_of_failures_is_bounded() {
        let log = FailureLog::default();
        let listener: Arc<str> = "A".into();
        let cause = HandshakeFailure::new("expired");
        let host = |number: u32| IpAddr::from(Ipv4Addr::from(number));
        let new = |from, now| {
            let hosts = from..from + 3_000;
            hosts
                .filter(|it| log.is_new(&listener, host(*it), &cause, now))
                .count()
        };
        assert_eq!(new(0, Duration::ZERO), FAILURES_MAX);
        assert_eq!(new(10_000, Duration::from_secs(1)), 0);
        assert_eq!(new(10_000, FAILURE_PERIOD), FAILURES_MAX);
        assert!(log.seen.lock().len() <= FAILURES_MAX);
    }
}
