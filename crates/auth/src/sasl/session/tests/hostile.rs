//! Messages of hostile clients, in any order: nothing panics, and nobody is authenticated without
//! the right credentials.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dohle_model::scram::{ScramCredential, ScramMechanism};
use proptest::prelude::*;

use super::super::*;
use crate::sasl::TokenError;

/// Nobody has any of these passwords, and every token is refused.
struct Nobody;

impl Credentials for Nobody {
    fn is_plain_password(&self, _: &str, _: &str) -> bool {
        false
    }

    fn scram(&self, mechanism: ScramMechanism, _: &str) -> (ScramCredential, bool) {
        let credential = crate::sasl::credential(mechanism, b"unknown", b"salt", 4096);
        (credential, false)
    }

    fn bearer(&self, _: &str) -> Result<(Arc<str>, Duration), TokenError> {
        Err(TokenError::Signature)
    }
}

/// What a client does.
#[derive(Debug, Clone)]
enum Action {
    Handshake(String, i16),
    Token(Vec<u8>),
    Request(bool),
    Wait(u16),
}

fn token() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(
        &[
            "n,,",
            "p=tls,,",
            "y,,",
            "n=",
            "alice",
            ",r=",
            "c=biws",
            ",p=",
            "v=",
            "\0",
            "\u{1}",
            "auth=Bearer ",
            "a.b.c",
            "m=x",
            "e=",
            "=2C",
            "AAAA",
            ",",
            "secret",
            "i=4096",
        ][..],
    );
    let text = prop::collection::vec(pieces, 0..12).prop_map(|it| it.concat().into_bytes());
    prop_oneof![text, prop::collection::vec(any::<u8>(), 0..64)]
}

const MECHANISMS: &[&str] = &[
    "PLAIN",
    "SCRAM-SHA-256",
    "SCRAM-SHA-512",
    "OAUTHBEARER",
    "GSSAPI",
    "",
];

fn action() -> impl Strategy<Value = Action> {
    let name = prop::sample::select(MECHANISMS).prop_map(str::to_owned);
    prop_oneof![
        (name, -1_i16..3).prop_map(|(name, version)| Action::Handshake(name, version)),
        ("\\PC{0,200}", 0_i16..2).prop_map(|(name, version)| Action::Handshake(name, version)),
        token().prop_map(Action::Token),
        any::<bool>().prop_map(Action::Request),
        any::<u16>().prop_map(Action::Wait),
    ]
}

proptest! {
    #[test]
    fn hostile_clients_are_never_authenticated(
        actions in prop::collection::vec(action(), 0..20),
        nonce: [u8; NONCE_BYTES],
    ) {
        let enabled = Mechanism::ALL.map(|mechanism| EnabledMechanism {
            mechanism,
            session_max: Some(Duration::from_secs(60)),
        });
        let mut session = SaslSession::new(enabled.into());
        let mut now = Instant::now();
        let mut is_closed = false;
        for action in actions {
            let refused = match action {
                Action::Handshake(name, version) => {
                    session.on_handshake(&name, version, now).err()
                }
                Action::Token(token) => {
                    let accepted = session.on_token(&token, &Nobody, nonce, now);
                    if let Ok(accepted) = &accepted {
                        prop_assert!(!accepted.is_done);
                        // Nothing that a client sends makes an answer long.
                        prop_assert!(accepted.message.len() < 1_000);
                    }
                    prop_assert!(!is_closed || accepted.is_err(), "a closed session went on");
                    accepted.err()
                }
                Action::Request(is_api_versions) => {
                    let allowed = session.check_request("FETCH", is_api_versions, now).is_ok();
                    prop_assert!(!allowed || is_api_versions);
                    None
                }
                Action::Wait(ms) => {
                    now += Duration::from_millis(ms.into());
                    None
                }
            };
            is_closed |= refused.is_some();
            prop_assert_eq!(session.user(), None);
        }
    }
}
