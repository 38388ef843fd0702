//! Authentications of one connection, and clients that do not keep to their order.

mod hostile;

use dohle_model::scram::{ScramCredential, ScramMechanism};

use super::*;
use crate::sasl::TokenError;

/// Everybody's password is `secret`.
struct Everybody;

impl Credentials for Everybody {
    fn is_plain_password(&self, _: &str, password: &str) -> bool {
        password == "secret"
    }

    fn scram(&self, _: ScramMechanism, _: &str) -> (ScramCredential, bool) {
        unreachable!("no test authenticates with SCRAM")
    }

    fn bearer(&self, token: &str) -> Result<(Arc<str>, Duration), TokenError> {
        match token {
            "minute" => Ok(("alice".into(), Duration::from_mins(1))),
            _ => Err(TokenError::Expired),
        }
    }
}

const HOUR: Duration = Duration::from_hours(1);
const NONCE: [u8; NONCE_BYTES] = [0; NONCE_BYTES];

fn session(session_max: Option<Duration>) -> SaslSession {
    let enabled = |mechanism: Mechanism| EnabledMechanism {
        mechanism,
        session_max,
    };
    let sha_256 = Mechanism::Scram(ScramMechanism::Sha256);
    let tokens = enabled(Mechanism::OAuthBearer);
    SaslSession::new([enabled(Mechanism::Plain), enabled(sha_256), tokens].into())
}

impl SaslSession {
    fn plain(&mut self, message: &[u8], now: Instant) -> Result<TokenAccepted, Refusal> {
        assert_eq!(self.on_handshake("PLAIN", 1, now), Ok(true));
        self.on_token(message, &Everybody, NONCE, now)
    }
}

fn text(refusal: Result<TokenAccepted, Refusal>) -> String {
    match refusal {
        Err(Refusal::Rejected { text, .. } | Refusal::IllegalState(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_api_versions_is_served_before_the_handshake_and_nothing_in_the_middle() {
    let now = Instant::now();
    let mut session = session(None);
    assert_eq!(session.check_request("API_VERSIONS", true, now), Ok(()));
    let refused = |text: &str| Err(Refusal::IllegalState(text.to_owned()));
    assert_eq!(
        session.check_request("METADATA", false, now),
        refused("Unexpected Kafka request of type METADATA during SASL handshake.")
    );
    assert_eq!(session.user(), None);
    assert_eq!(session.on_handshake("PLAIN", 1, now), Ok(true));
    let in_the_middle = "Unexpected Kafka request of type X during SASL authentication.";
    assert_eq!(
        session.check_request("X", true, now),
        refused(in_the_middle)
    );
    let accepted = session.on_token(b"\0alice\0secret", &Everybody, NONCE, now);
    assert!(accepted.unwrap().is_done);
    assert_eq!(session.check_request("METADATA", false, now), Ok(()));
    assert_eq!(session.user().map(|user| &**user), Some("alice"));
}

#[test]
fn a_mechanism_that_is_not_enabled_is_refused() {
    let now = Instant::now();
    for mechanism in ["GSSAPI", "SCRAM-SHA-512", "plain", ""] {
        let mut session = session(None);
        let refused = session.on_handshake(mechanism, 1, now);
        assert_eq!(
            refused,
            Err(Refusal::UnsupportedMechanism(mechanism.to_owned()))
        );
        assert!(
            session.on_handshake("PLAIN", 1, now).is_err(),
            "no second attempt"
        );
    }
    assert_eq!(
        session(None).enabled().collect::<Vec<_>>(),
        ["PLAIN", "SCRAM-SHA-256", "OAUTHBEARER"]
    );
}

/// A client that chose a mechanism cannot go on with a weaker one.
#[test]
fn the_mechanism_does_not_change_in_the_middle_of_an_exchange() {
    let now = Instant::now();
    let mut session = session(None);
    assert_eq!(session.on_handshake("SCRAM-SHA-256", 1, now), Ok(true));
    assert!(session.on_handshake("PLAIN", 1, now).is_err());
    let refused = session.on_token(b"\0alice\0secret", &Everybody, NONCE, now);
    assert!(refused.is_err());
    assert_eq!(session.user(), None);
}

#[test]
fn a_token_without_a_handshake_is_refused() {
    let mut session = session(None);
    let refused = session.on_token(b"\0alice\0secret", &Everybody, NONCE, Instant::now());
    assert_eq!(
        text(refused),
        "Unexpected Kafka request of type SASL_AUTHENTICATE during SASL handshake."
    );
}

#[test]
fn the_client_learns_why_it_is_rejected_and_cannot_try_again() {
    let now = Instant::now();
    let mut session = session(None);
    let refused = session.plain(b"\0alice\0wrong", now);
    assert_eq!(
        text(refused),
        "Authentication failed: Invalid username or password"
    );
    assert!(session.on_handshake("PLAIN", 1, now).is_err());
    let again = session.on_token(b"\0alice\0secret", &Everybody, NONCE, now);
    assert!(again.is_err());
    let malformed = self::session(None).plain(b"\0\xff\0x", now);
    assert_eq!(
        text(malformed),
        "Authentication failed during authentication due to invalid credentials with SASL \
         mechanism PLAIN"
    );
}

#[test]
fn tokens_are_bare_after_version_0_of_the_handshake() {
    let now = Instant::now();
    let mut session = session(None);
    assert_eq!(session.on_handshake("PLAIN", 0, now), Ok(true));
    assert!(session.expects_bare_token());
    session
        .on_token(b"\0alice\0secret", &Everybody, NONCE, now)
        .unwrap();
    assert!(!session.expects_bare_token());
}

#[test]
fn a_session_ends_unless_the_client_authenticates_again() {
    let start = Instant::now();
    let mut session = session(Some(HOUR));
    let accepted = session.plain(b"\0alice\0secret", start).unwrap();
    assert_eq!(accepted.session_lifetime, HOUR);
    let later = start + HOUR;
    assert_eq!(session.check_request("FETCH", false, later), Ok(()));
    let late = later + Duration::from_millis(1);
    assert!(session.check_request("FETCH", false, late).is_err());
    session.plain(b"\0alice\0secret", late).unwrap();
    assert_eq!(session.check_request("FETCH", false, late), Ok(()));
    assert!(
        session
            .check_request("FETCH", false, late + HOUR * 2)
            .is_err()
    );
}

#[test]
fn a_session_ends_with_its_token_or_earlier() {
    let now = Instant::now();
    let token = b"n,,\x01auth=Bearer minute\x01\x01";
    let lifetime = |session_max| {
        let mut session = session(session_max);
        assert_eq!(session.on_handshake("OAUTHBEARER", 1, now), Ok(true));
        let accepted = session.on_token(token, &Everybody, NONCE, now).unwrap();
        accepted.session_lifetime
    };
    assert_eq!(lifetime(None), Duration::from_mins(1));
    assert_eq!(lifetime(Some(HOUR)), Duration::from_mins(1));
    let second = Duration::from_secs(1);
    assert_eq!(lifetime(Some(second)), second);
}

#[test]
fn a_token_that_is_refused_is_answered_before_the_exchange_fails() {
    let now = Instant::now();
    let mut session = session(None);
    assert_eq!(session.on_handshake("OAUTHBEARER", 1, now), Ok(true));
    let token = b"n,,\x01auth=Bearer old\x01\x01";
    let accepted = session.on_token(token, &Everybody, NONCE, now).unwrap();
    assert_eq!(accepted.message, br#"{"status":"invalid_token"}"#);
    assert!(!accepted.is_done);
    assert_eq!(
        text(session.on_token(b"\x01", &Everybody, NONCE, now)),
        r#"{"status":"invalid_token"}"#
    );
}

#[test]
fn the_user_and_the_mechanism_stay_the_same() {
    let start = Instant::now();
    let mut session = session(Some(HOUR));
    session.plain(b"\0alice\0secret", start).unwrap();
    let later = start + Duration::from_mins(1);
    assert_eq!(
        text(session.plain(b"\0bob\0secret", later)),
        "Cannot change principals during re-authentication from User.alice: User.bob"
    );
    assert_eq!(session.user(), None);
    let mut session = self::session(Some(HOUR));
    session.plain(b"\0alice\0secret", start).unwrap();
    assert_eq!(session.on_handshake("SCRAM-SHA-256", 1, later), Ok(true));
    assert_eq!(
        text(session.on_token(b"n,,n=alice,r=x", &Everybody, NONCE, later)),
        "SASL mechanism 'SCRAM-SHA-256' requested by client is not supported for \
         re-authentication of mechanism 'PLAIN'"
    );
}

#[test]
fn a_client_authenticates_again_at_most_once_a_second() {
    let start = Instant::now();
    let mut session = session(Some(HOUR));
    session.plain(b"\0alice\0secret", start).unwrap();
    session.plain(b"\0alice\0secret", start).unwrap();
    let soon = start + Duration::from_millis(999);
    assert_eq!(session.on_handshake("PLAIN", 1, soon), Ok(false));
    assert!(session.user().is_some(), "the session continues");
    session
        .plain(b"\0alice\0secret", start + Duration::from_secs(1))
        .unwrap();
}
