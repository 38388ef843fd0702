//! Tokens that are valid, and tokens that are not. The keys are made here.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::*;

/// The vector of RFC 7515, appendix A.2: RS256.
const RFC_TOKEN: &str = concat!(
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGx",
    "lLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5R",
    "Zmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrn",
    "byTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHW",
    "EsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig",
    "cN_IoypGlUPQGe77Rw",
);
const RFC_N: &str = concat!(
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt",
    "0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSX",
    "ndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5",
    "IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
);

const NOW: u64 = 1_000_000;

fn rules() -> TokenRules {
    TokenRules {
        issuer: Some("joe".to_owned()),
        audiences: vec!["kafka".to_owned(), "dohle".to_owned()],
        scope_claim: "scope".to_owned(),
        sub_claim: "sub".to_owned(),
        clock_skew: Duration::from_secs(30),
        allow_unsecured: false,
    }
}

/// A key with its public half as a JWKS.
struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap())
    }

    fn jwk(&self) -> Value {
        let point = self.0.public_key().as_ref();
        json!({
            "kty": "EC", "crv": "P-256", "kid": "one",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
            "y": URL_SAFE_NO_PAD.encode(&point[33..]),
        })
    }

    fn jwks(&self) -> Jwks {
        Jwks::parse(json!({"keys": [self.jwk()]}).to_string().as_bytes()).unwrap()
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let signature = self
            .0
            .sign(&SystemRandom::new(), signed.as_bytes())
            .unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn header() -> Value {
    json!({"alg": "ES256", "kid": "one"})
}

fn claims() -> Value {
    json!({
        "iss": "joe", "aud": ["x", "kafka"], "sub": "alice", "exp": NOW + 60, "iat": NOW - 1,
        "scope": "read write",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn now() -> Duration {
    Duration::from_secs(NOW)
}

#[test]
fn a_valid_token_names_its_user_and_its_end() {
    let signer = Signer::new();
    let token = signer.token(&header(), &claims());
    let valid = rules().check(&token, Some(&signer.jwks()), now()).unwrap();
    assert_eq!(&*valid.subject, "alice");
    assert_eq!(valid.lifetime, Duration::from_secs(60));
    assert_eq!(valid.scopes, ["read", "write"]);
    // Without an id, every key is tried.
    let token = signer.token(&json!({"alg": "ES256"}), &claims());
    assert!(rules().check(&token, Some(&signer.jwks()), now()).is_ok());
}

#[test]
fn the_vector_of_rfc_7515_is_verified() {
    let jwks = json!({"keys": [{"kty": "RSA", "n": RFC_N, "e": "AQAB"}]});
    let jwks = Jwks::parse(jwks.to_string().as_bytes()).unwrap();
    let rules = TokenRules {
        audiences: Vec::new(),
        ..rules()
    };
    // The signature is right, and the token has no iat.
    let before = Duration::from_secs(1_300_819_000);
    assert_eq!(
        rules.check(RFC_TOKEN, Some(&jwks), before),
        Err(TokenError::Claim("iat"))
    );
    let forged = RFC_TOKEN.replace("eyJpc3MiOiJqb2Ui", "eyJpc3MiOiJqb2Uj");
    let refused = rules.check(&forged, Some(&jwks), before);
    assert!(matches!(
        refused,
        Err(TokenError::Signature | TokenError::Form)
    ));
}

/// `alg=none`: a token that anybody can make.
#[test]
fn a_token_without_a_signature_is_refused() {
    let signer = Signer::new();
    let none = |name: &str| format!("{}.", unsigned(&json!({"alg": name}), &claims()));
    let check = |token: &str| rules().check(token, Some(&signer.jwks()), now());
    assert_eq!(check(&none("none")), Err(TokenError::Unsecured));
    for name in ["None", "NONE", "nOnE", "HS256", "ES512", "ES256K", ""] {
        assert_eq!(check(&none(name)), Err(TokenError::Algorithm), "{name}");
    }
    assert_eq!(check(&none("ES256")), Err(TokenError::Signature));
    assert_eq!(
        check(&unsigned(&json!({"alg": "none"}), &claims())),
        Err(TokenError::Form)
    );
    let development = TokenRules {
        allow_unsecured: true,
        ..rules()
    };
    assert!(development.check(&none("none"), None, now()).is_ok());
    let signed = signer.token(&json!({"alg": "none"}), &claims());
    assert_eq!(
        development.check(&signed, None, now()),
        Err(TokenError::Unsecured)
    );
    let signed = signer.token(&header(), &claims());
    assert_eq!(
        development.check(&signed, None, now()),
        Err(TokenError::NoKeys)
    );
}

/// A token that is signed with the public key as if it were a shared secret, and others of the
/// wrong key.
#[test]
fn a_token_of_another_key_or_algorithm_is_refused() {
    let (signer, other) = (Signer::new(), Signer::new());
    let check = |token: &str| rules().check(token, Some(&signer.jwks()), now());
    let foreign = other.token(&header(), &claims());
    assert_eq!(check(&foreign), Err(TokenError::Signature));
    let unknown = signer.token(&json!({"alg": "ES256", "kid": "two"}), &claims());
    assert_eq!(check(&unknown), Err(TokenError::Signature));
    for name in ["RS256", "PS512", "ES384"] {
        let token = signer.token(&json!({"alg": name, "kid": "one"}), &claims());
        assert_eq!(check(&token), Err(TokenError::Signature), "{name}");
    }
    let mut jwk = signer.jwk();
    jwk["alg"] = json!("ES384");
    let jwks = Jwks::parse(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
    let token = signer.token(&header(), &claims());
    let refused = rules().check(&token, Some(&jwks), now());
    assert_eq!(refused, Err(TokenError::Signature));
    let critical = json!({"alg": "ES256", "kid": "one", "crit": ["b64"]});
    let token = signer.token(&critical, &claims());
    assert_eq!(check(&token), Err(TokenError::Critical));
}

#[test]
fn claims_are_checked() {
    let signer = Signer::new();
    let check = |claims: &Value| {
        let token = signer.token(&header(), claims);
        let checked = rules().check(&token, Some(&signer.jwks()), now());
        checked.map(|valid| valid.lifetime)
    };
    let zero = Ok(Duration::ZERO);
    assert_eq!(check(&with("exp", json!(NOW - 29))), zero, "clock skew");
    assert_eq!(
        check(&with("exp", json!(NOW - 30))),
        Err(TokenError::Expired)
    );
    assert_eq!(
        check(&with("exp", json!("x"))),
        Err(TokenError::Claim("exp"))
    );
    assert_eq!(
        check(&with("exp", Value::Null)),
        Err(TokenError::Claim("exp"))
    );
    assert_eq!(
        check(&with("iat", Value::Null)),
        Err(TokenError::Claim("iat"))
    );
    assert!(check(&with("iat", json!(NOW + 30))).is_ok());
    assert_eq!(
        check(&with("iat", json!(NOW + 31))),
        Err(TokenError::NotYet)
    );
    assert_eq!(
        check(&with("nbf", json!(NOW + 31))),
        Err(TokenError::NotYet)
    );
    assert_eq!(check(&with("iss", json!("eve"))), Err(TokenError::Issuer));
    assert_eq!(check(&with("aud", json!("x"))), Err(TokenError::Audience));
    assert_eq!(check(&with("aud", json!([1]))), Err(TokenError::Audience));
    assert!(check(&with("aud", json!("dohle"))).is_ok());
    for subject in [json!(""), json!(" "), json!(7), Value::Null] {
        assert_eq!(check(&with("sub", subject)), Err(TokenError::Claim("sub")));
    }
    assert_eq!(
        check(&with("scope", json!(7))),
        Err(TokenError::Claim("scope"))
    );
}

#[test]
fn key_sets_that_cannot_be_used_are_refused() {
    let parse = |value: Value| Jwks::parse(value.to_string().as_bytes()).map(|_| ());
    assert_eq!(Jwks::parse(b"x").map(|_| ()), Err(JwksError::Form));
    assert_eq!(parse(json!({})), Err(JwksError::Form));
    assert_eq!(parse(json!({"keys": []})), Err(JwksError::NoKey));
    let secret = json!({"kty": "oct", "k": "c2VjcmV0"});
    assert_eq!(parse(json!({"keys": [secret]})), Err(JwksError::NoKey));
    let mut jwk = Signer::new().jwk();
    jwk["use"] = json!("enc");
    assert_eq!(parse(json!({"keys": [jwk]})), Err(JwksError::NoKey));
    let many = vec![json!({}); 1001];
    assert_eq!(parse(json!({"keys": many})), Err(JwksError::TooMany));
}

proptest! {
    #[test]
    fn hostile_tokens_are_refused_without_a_panic(token in "\\PC{0,200}") {
        let signer = Signer::new();
        prop_assert!(rules().check(&token, Some(&signer.jwks()), now()).is_err());
    }

    #[test]
    fn hostile_parts_are_refused_without_a_panic(header: Vec<u8>, claims: Vec<u8>, sig: Vec<u8>) {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let token = format!("{}.{}.{}", part(&header), part(&claims), part(&sig));
        prop_assert!(rules().check(&token, None, now()).is_err());
        let _ = Jwks::parse(&header);
    }
}
