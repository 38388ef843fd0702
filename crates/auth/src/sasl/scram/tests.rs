//! The vectors of RFC 7677, attacks on the exchange, and client and server together.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dohle_model::scram::{ScramCredential, ScramMechanism};
use proptest::prelude::*;

use super::{ITERATIONS_MIN, NONCE_BYTES, ScramServer, ScramUsers, credential, salted_password};
use crate::sasl::client::{ClientError, ClientStep, ScramClient};
use crate::sasl::{Cause, Credentials, Rejection, Step, TokenCredential, TokenError};
use crate::{Secret, TokenKey};

#[derive(Default)]
struct Users(BTreeMap<String, Arc<ScramCredential>>);

impl Users {
    fn with(mechanism: ScramMechanism, users: &[(&str, &str)]) -> Self {
        let users = users.iter().map(|(user, password)| {
            let found = derived(mechanism, password, b"0123456789abcdefghijklmno", 8192);
            ((*user).to_owned(), Arc::new(found))
        });
        Self(users.collect())
    }
}

fn derived(
    mechanism: ScramMechanism,
    password: &str,
    salt: &[u8],
    iterations: u32,
) -> ScramCredential {
    let count = NonZeroU32::new(iterations).unwrap();
    let salted = salted_password(mechanism, password, salt, count);
    credential(mechanism, &salted, salt, iterations)
}

impl ScramUsers for Users {
    fn find(&self, _: ScramMechanism, user: &str) -> Option<Arc<ScramCredential>> {
        self.0.get(user).cloned()
    }

    fn any(&self) -> Option<Arc<ScramCredential>> {
        self.0.values().next().cloned()
    }
}

impl Credentials for Users {
    fn is_plain_password(&self, _: &str, _: &str) -> bool {
        unreachable!("SCRAM sends no password")
    }

    fn scram(&self, mechanism: ScramMechanism, user: &str) -> (ScramCredential, bool) {
        self.credential(mechanism, user)
    }

    fn bearer(&self, _: &str) -> Result<(Arc<str>, Duration), TokenError> {
        unreachable!("SCRAM has no tokens")
    }
}

/// RFC 7677, section 3.
const RFC_CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const RFC_SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const RFC_CLIENT_FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const RFC_SERVER_FIRST: &[u8] = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const RFC_CLIENT_FINAL: &[u8] = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const RFC_SERVER_FINAL: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn rfc_users() -> Users {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let found = derived(ScramMechanism::Sha256, "pencil", &salt, 4096);
    Users([("user".to_owned(), Arc::new(found))].into())
}

#[test]
fn the_server_follows_rfc_7677() {
    let users = rfc_users();
    let mut server = ScramServer::new(ScramMechanism::Sha256);
    let challenge = server.on_client_first(RFC_CLIENT_FIRST, &users, RFC_SERVER_NONCE);
    assert_eq!(challenge, Ok(Step::Continue(RFC_SERVER_FIRST.to_vec())));
    let done = Step::Done {
        message: RFC_SERVER_FINAL.to_vec(),
        user: "user".into(),
        lifetime: None,
        is_delegated: false,
    };
    assert_eq!(
        server.step(RFC_CLIENT_FINAL, &users, [0; NONCE_BYTES]),
        Ok(done)
    );
    let ended = server.step(RFC_CLIENT_FINAL, &users, [0; NONCE_BYTES]);
    assert_eq!(ended.expect_err("over").cause, Cause::Ended);
}

fn rfc_client() -> ScramClient {
    let password = Secret::new("pencil");
    let nonce = RFC_CLIENT_NONCE.to_owned();
    ScramClient::with_nonce(ScramMechanism::Sha256, "user", password, nonce)
}

#[test]
fn the_client_follows_rfc_7677() {
    let mut client = rfc_client();
    assert_eq!(client.first(), RFC_CLIENT_FIRST);
    let answer = client.step(RFC_SERVER_FIRST);
    assert_eq!(answer, Ok(ClientStep::Send(RFC_CLIENT_FINAL.to_vec())));
    assert_eq!(client.step(RFC_SERVER_FINAL), Ok(ClientStep::Done));
    assert_eq!(client.step(RFC_SERVER_FINAL), Err(ClientError::Ended));
}

/// Computed with Python's `hashlib`.
#[test]
fn the_keys_of_sha_512_are_those_of_another_implementation() {
    let salt: Vec<u8> = (0..24).collect();
    let found = derived(ScramMechanism::Sha512, "pencil", &salt, 4096);
    assert_eq!(
        STANDARD.encode(&found.stored_key),
        "5LdMzPsOne9LxjQdzaT0UaGRlYSVUCw2Zt8lUpNxDF7L3wO8qXpfW83Bj4Q83iklnxjS3EcgtDnadTx8KnAQAw=="
    );
    assert_eq!(
        STANDARD.encode(&found.server_key),
        "w9vuQlVm5K5gYybcIVUJyzCtbunTXEEFbmLWn98PceRkDejI6bXPIOayT5aTbOOgq1fXnmKZ+xvewPNDfE+KaA=="
    );
}

/// Runs an exchange between our client and our server.
fn run(
    mechanism: ScramMechanism,
    users: &Users,
    (user, password): (&str, &str),
) -> Result<(), Rejection> {
    let password = Secret::new(password);
    let mut client = ScramClient::new(mechanism, user, password, [1; NONCE_BYTES]);
    let mut server = ScramServer::new(mechanism);
    let mut message = client.first();
    loop {
        let (answer, is_done) = match server.step(&message, users, [2; NONCE_BYTES])? {
            Step::Continue(challenge) => (challenge, false),
            Step::Done {
                message,
                user: proved,
                ..
            } => {
                assert_eq!(&*proved, user);
                (message, true)
            }
        };
        match client.step(&answer).unwrap() {
            ClientStep::Send(next) => message = next,
            ClientStep::Done => {
                assert!(is_done);
                return Ok(());
            }
        }
    }
}

#[test]
fn client_and_server_agree_on_every_name_and_mechanism() {
    for mechanism in ScramMechanism::ALL {
        let users = Users::with(mechanism, &[("alice", "secret"), ("a=b,c", "pass,word=ü")]);
        assert_eq!(run(mechanism, &users, ("alice", "secret")), Ok(()));
        assert_eq!(run(mechanism, &users, ("a=b,c", "pass,word=ü")), Ok(()));
        let cause = |user, password| run(mechanism, &users, (user, password)).unwrap_err().cause;
        assert_eq!(cause("alice", "Secret"), Cause::WrongPassword);
        assert_eq!(cause("bob", "secret"), Cause::UnknownUser);
    }
}

fn challenge(users: &Users, user: &str) -> String {
    let mut server = ScramServer::new(ScramMechanism::Sha256);
    let first = format!("n,,n={user},r=abc");
    match server.on_client_first(first.as_bytes(), users, "def") {
        Ok(Step::Continue(challenge)) => String::from_utf8(challenge).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A client that could tell unknown users from known ones could search for names.
#[test]
fn an_unknown_user_gets_a_challenge_like_a_known_one() {
    let users = Users::with(ScramMechanism::Sha256, &[("alice", "secret")]);
    let (known, unknown) = (challenge(&users, "alice"), challenge(&users, "bob"));
    assert_eq!(known.len(), unknown.len());
    assert!(unknown.starts_with("r=abcdef,s=") && unknown.ends_with(",i=8192"));
    let salt = unknown
        .split(',')
        .nth(1)
        .unwrap()
        .strip_prefix("s=")
        .unwrap();
    let salt = STANDARD.decode(salt).unwrap();
    assert!(salt.iter().all(u8::is_ascii_alphanumeric), "{salt:?}");
    assert_eq!(challenge(&users, "bob"), unknown, "it stays the same");
    assert_ne!(
        challenge(&users, "carol"),
        unknown,
        "each user has a salt of its own"
    );
    let none = Users::default();
    assert!(challenge(&none, "bob").ends_with(",i=4096"));
}

fn second(users: &Users, first: &[u8], last: &[u8]) -> Cause {
    let mut server = ScramServer::new(ScramMechanism::Sha256);
    let challenge = server.on_client_first(first, users, RFC_SERVER_NONCE);
    assert!(challenge.is_ok(), "{challenge:?}");
    let verdict = server.step(last, users, [0; NONCE_BYTES]);
    verdict.expect_err("rejected").cause
}

/// CVE-2024-56128: Kafka compared only the end of the nonce.
#[test]
fn the_final_nonce_is_the_whole_nonce_of_the_exchange() {
    let with_nonce = |nonce: &str| {
        let text = str::from_utf8(RFC_CLIENT_FINAL).unwrap();
        let expected = format!("{RFC_CLIENT_NONCE}{RFC_SERVER_NONCE}");
        assert!(text.contains(&expected));
        let last = text.replace(&expected, nonce);
        second(&rfc_users(), RFC_CLIENT_FIRST, last.as_bytes())
    };
    assert_eq!(with_nonce(RFC_SERVER_NONCE), Cause::Nonce);
    assert_eq!(with_nonce(RFC_CLIENT_NONCE), Cause::Nonce);
    let longer = format!("x{RFC_CLIENT_NONCE}{RFC_SERVER_NONCE}");
    assert_eq!(with_nonce(&longer), Cause::Nonce);
    let other = format!("{}{RFC_SERVER_NONCE}", "x".repeat(RFC_CLIENT_NONCE.len()));
    assert_eq!(with_nonce(&other), Cause::Nonce);
}

/// CVE-2021-38153: a comparison that ends at the first difference reveals how much of a guess is
/// right. The keys and passwords that this crate checks are compared with `is_same_secret` alone.
#[test]
fn secrets_are_compared_in_constant_time() {
    let server = include_str!("server.rs");
    assert!(server.contains("is_same_secret(&stored_key, &credential.stored_key)"));
    assert!(include_str!("../client/scram.rs").contains("is_same_secret(&sent, &signature)"));
    let secret = include_str!("../../secret.rs");
    assert!(secret.contains("is_same_secret(&self.0, &Self::of(password).0)"));
    assert!(secret.contains("a.ct_eq(b).into()"));
    for code in [
        server,
        include_str!("../client/scram.rs"),
        include_str!("../plain.rs"),
    ] {
        let code = code.split("#[cfg(test)]").next().unwrap();
        for name in [
            "key ==",
            "key !=",
            "password ==",
            "password !=",
            "signature ==",
        ] {
            assert!(!code.contains(name), "{name}");
        }
    }
}

#[test]
fn the_channel_binding_repeats_the_header_of_the_first_message() {
    let text = str::from_utf8(RFC_CLIENT_FINAL).unwrap();
    let bound = text.replace("c=biws", &format!("c={}", STANDARD.encode("y,,")));
    let cause = second(&rfc_users(), RFC_CLIENT_FIRST, bound.as_bytes());
    assert_eq!(cause, Cause::ChannelBinding);
}

/// CVE-2017-12610: a client asks to act as somebody else.
#[test]
fn nobody_acts_as_another_user() {
    let first = |message: &[u8], users: &Users| {
        let mut server = ScramServer::new(ScramMechanism::Sha256);
        server.on_client_first(message, users, RFC_SERVER_NONCE)
    };
    let users = rfc_users();
    let refused = first(b"n,a=admin,n=user,r=abc", &users).expect_err("rejected");
    assert_eq!(refused.cause, Cause::AuthorizationId);
    let text = refused.cause.text_for_client();
    assert!(
        text.unwrap()
            .contains("authorization id that is different from username")
    );
    let unknown = first(b"n,a=admin,n=nobody,r=abc", &users).expect_err("rejected");
    assert_eq!(unknown.cause, Cause::AuthorizationId, "as for a known user");
    assert!(first(b"n,a=user,n=user,r=abc", &users).is_ok());
}

#[test]
fn proofs_of_another_length_are_rejected() {
    let users = rfc_users();
    let text = str::from_utf8(RFC_CLIENT_FINAL).unwrap();
    let short = text.replace("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "dHzb");
    let cause = second(&users, RFC_CLIENT_FIRST, short.as_bytes());
    assert!(matches!(cause, Cause::Malformed(_)), "{cause:?}");
}

/// Users, and one delegation token of alice with the id `token`.
struct WithToken(Users, TokenKey);

impl Credentials for WithToken {
    fn is_plain_password(&self, _: &str, _: &str) -> bool {
        unreachable!("SCRAM sends no password")
    }

    fn scram(&self, mechanism: ScramMechanism, user: &str) -> (ScramCredential, bool) {
        self.0.credential(mechanism, user)
    }

    fn delegation_token(&self, mechanism: ScramMechanism, id: &str) -> Option<TokenCredential> {
        (id == "token").then(|| TokenCredential {
            credential: self.1.credential(mechanism, id),
            owner: "alice".into(),
            lifetime: Duration::from_mins(1),
        })
    }

    fn bearer(&self, _: &str) -> Result<(Arc<str>, Duration), TokenError> {
        unreachable!("SCRAM has no bearer tokens")
    }
}

#[test]
fn a_delegation_token_authenticates_its_owner_for_its_lifetime() {
    let key = TokenKey::new("secret key").unwrap();
    let hmac = STANDARD.encode(&*key.hmac("token"));
    for mechanism in ScramMechanism::ALL {
        let users = Users::with(mechanism, &[("alice", "secret"), ("token", "secret")]);
        let credentials = WithToken(users, key.clone());
        let authenticate = |id: &str, password: &str, is_token: bool| {
            let password = Secret::new(password);
            let client = ScramClient::new(mechanism, id, password, [1; NONCE_BYTES]);
            let mut client = if is_token {
                client.with_token()
            } else {
                client
            };
            let mut server = ScramServer::new(mechanism);
            let first = server.step(&client.first(), &credentials, [2; NONCE_BYTES]);
            let Ok(Step::Continue(challenge)) = first else {
                panic!("{first:?}")
            };
            let Ok(ClientStep::Send(proof)) = client.step(&challenge) else {
                panic!("the client has no proof")
            };
            server.step(&proof, &credentials, [2; NONCE_BYTES])
        };
        match authenticate("token", &hmac, true) {
            Ok(Step::Done {
                user,
                lifetime,
                is_delegated,
                ..
            }) => {
                assert_eq!((&*user, is_delegated), ("alice", true));
                assert_eq!(lifetime, Some(Duration::from_mins(1)));
            }
            other => panic!("{other:?}"),
        }
        let cause = |id, password, is_token| match authenticate(id, password, is_token) {
            Err(rejection) => rejection.cause,
            Ok(step) => panic!("{step:?}"),
        };
        // A password is no HMAC, an HMAC is no password, and users are no tokens.
        assert_eq!(cause("token", "secret", true), Cause::DelegationTokenHmac);
        assert_eq!(cause("token", &hmac, false), Cause::WrongPassword);
        assert_eq!(cause("alice", "secret", true), Cause::DelegationToken);
        assert_eq!(cause("other", &hmac, true), Cause::DelegationToken);
    }
}

#[test]
fn a_credential_with_too_few_iterations_is_not_used() {
    let weak = derived(
        ScramMechanism::Sha256,
        "pencil",
        b"salt",
        ITERATIONS_MIN - 1,
    );
    let users = Users([("user".to_owned(), Arc::new(weak))].into());
    let mut server = ScramServer::new(ScramMechanism::Sha256);
    let refused = server.on_client_first(RFC_CLIENT_FIRST, &users, "def");
    assert_eq!(refused.expect_err("rejected").cause, Cause::WeakCredential);
}

#[test]
fn the_client_refuses_a_server_that_is_not_the_one_it_means() {
    let with = |challenge: &str| rfc_client().step(challenge.as_bytes());
    assert_eq!(with("r=abcdef,s=AAAA,i=4096"), Err(ClientError::Nonce));
    let own = format!("r={RFC_CLIENT_NONCE}");
    assert_eq!(
        with(&format!("{own},s=AAAA,i=4096")),
        Err(ClientError::Nonce)
    );
    for iterations in [1, 4095, 1_048_577, u32::MAX] {
        let challenge = format!("{own}x,s=AAAA,i={iterations}");
        assert_eq!(with(&challenge), Err(ClientError::Iterations(iterations)));
    }
    let signed = |last: &str| {
        let mut client = rfc_client();
        client.step(RFC_SERVER_FIRST).unwrap();
        client.step(last.as_bytes())
    };
    assert_eq!(signed("v=AAAA"), Err(ClientError::Signature));
    let error = ClientError::Server("other-error".to_owned());
    assert_eq!(signed("e=other-error"), Err(error));
    assert!(matches!(signed("x"), Err(ClientError::Malformed(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hostile_messages_are_rejected_without_a_panic(first: Vec<u8>, last: Vec<u8>) {
        let users = rfc_users();
        let mut server = ScramServer::new(ScramMechanism::Sha256);
        let _ = server.step(&first, &users, [0; NONCE_BYTES]);
        prop_assert!(server.step(&last, &users, [0; NONCE_BYTES]).is_err());
        let mut server = ScramServer::new(ScramMechanism::Sha256);
        server.step(RFC_CLIENT_FIRST, &users, [0; NONCE_BYTES]).unwrap();
        prop_assert!(server.step(&last, &users, [0; NONCE_BYTES]).is_err());
        let _ = rfc_client().step(&first);
    }
}
