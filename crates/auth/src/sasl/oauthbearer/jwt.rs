//! JSON Web Tokens (RFC 7519) with a signature (RFC 7515, compact form).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::jwks::{Algorithm, Jwks};

/// The longest token that is read, in bytes.
const TOKEN_BYTES_MAX: usize = 64 << 10;

/// What a token has to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    /// `sasl.oauthbearer.expected.issuer`: the only issuer that is accepted; `None` accepts any.
    pub issuer: Option<String>,
    /// `sasl.oauthbearer.expected.audience`: at least one of these must be in the token's audience;
    /// an empty list accepts any.
    pub audiences: Vec<String>,
    /// `sasl.oauthbearer.scope.claim.name`.
    pub scope_claim: String,
    /// `sasl.oauthbearer.sub.claim.name`.
    pub sub_claim: String,
    /// `sasl.oauthbearer.clock.skew.seconds`.
    pub clock_skew: Duration,
    /// Whether tokens without a signature (`alg=none`) are accepted. For development alone.
    pub allow_unsecured: bool,
}

/// A token that is valid now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidToken {
    /// The user.
    pub subject: Arc<str>,
    /// How long the token remains valid; zero within the clock skew after its end.
    pub lifetime: Duration,
    /// The scopes.
    pub scopes: Vec<String>,
}

/// Why a token is refused. It contains nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenError {
    /// Not a signed JSON Web Token.
    #[error("the token is not a signed JSON Web Token")]
    Form,
    /// A token without a signature.
    #[error("the token has no signature (alg=none)")]
    Unsecured,
    /// An algorithm that is not accepted.
    #[error("the token is signed with an algorithm that is not accepted")]
    Algorithm,
    /// An extension that has to be understood.
    #[error("the token has a critical extension (crit)")]
    Critical,
    /// The signature is wrong, or its key is unknown.
    #[error("no key of the JWKS has made the token's signature")]
    Signature,
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
    /// The token is not valid yet.
    #[error("the token is not valid yet (nbf, iat)")]
    NotYet,
    /// A claim is missing or has another type.
    #[error("the token has no valid claim {0}")]
    Claim(&'static str),
    /// Another issuer.
    #[error("the token has another issuer than sasl.oauthbearer.expected.issuer")]
    Issuer,
    /// Another audience.
    #[error("the token is not for an audience of sasl.oauthbearer.expected.audience")]
    Audience,
    /// The listener has no keys.
    #[error("the listener has no keys to check tokens with")]
    NoKeys,
}

impl TokenRules {
    /// Checks a token. `now` is the time since 1970.
    ///
    /// # Errors
    /// Why the token is refused.
    pub fn check(
        &self,
        token: &str,
        jwks: Option<&Jwks>,
        now: Duration,
    ) -> Result<ValidToken, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Form);
        }
        let parts: Vec<&str> = token.splitn(4, '.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(TokenError::Form);
        };
        let signed = &token[..header.len() + 1 + claims.len()];
        let header = object(header)?;
        let claims = object(claims)?;
        let signature = decode(signature)?;
        if header.contains_key("crit") {
            return Err(TokenError::Critical);
        }
        let name = header.get("alg").and_then(Value::as_str);
        match name.ok_or(TokenError::Form)? {
            "none" if self.allow_unsecured && signature.is_empty() => {}
            "none" => return Err(TokenError::Unsecured),
            name => {
                let algorithm = Algorithm::from_name(name).ok_or(TokenError::Algorithm)?;
                let id = match header.get("kid") {
                    None => None,
                    Some(id) => Some(id.as_str().ok_or(TokenError::Form)?),
                };
                let jwks = jwks.ok_or(TokenError::NoKeys)?;
                if !jwks.verify(id, algorithm, signed.as_bytes(), &signature) {
                    return Err(TokenError::Signature);
                }
            }
        }
        self.check_claims(&claims, now)
    }

    fn check_claims(
        &self,
        claims: &Map<String, Value>,
        now: Duration,
    ) -> Result<ValidToken, TokenError> {
        let (now, skew) = (now.as_secs_f64(), self.clock_skew.as_secs_f64());
        let expires = time(claims, "exp")?.ok_or(TokenError::Claim("exp"))?;
        if expires + skew <= now {
            return Err(TokenError::Expired);
        }
        let not_before = time(claims, "nbf")?;
        let issued = time(claims, "iat")?;
        if !self.allow_unsecured && issued.is_none() {
            return Err(TokenError::Claim("iat"));
        }
        if not_before
            .into_iter()
            .chain(issued)
            .any(|it| it - skew > now)
        {
            return Err(TokenError::NotYet);
        }
        if let Some(expected) = &self.issuer {
            let issuer = claims.get("iss").and_then(Value::as_str);
            if issuer != Some(expected) {
                return Err(TokenError::Issuer);
            }
        }
        if !self.audiences.is_empty() {
            let audience = texts(claims.get("aud")).ok_or(TokenError::Audience)?;
            if !audience.iter().any(|it| self.audiences.contains(it)) {
                return Err(TokenError::Audience);
            }
        }
        let scopes = match claims.get(&self.scope_claim) {
            None => Vec::new(),
            scope => texts(scope).ok_or(TokenError::Claim("scope"))?,
        };
        let scopes = scopes.iter().flat_map(|text| text.split_whitespace());
        let subject = claims.get(&self.sub_claim).and_then(Value::as_str);
        let subject = subject.map(str::trim).filter(|subject| !subject.is_empty());
        let left = (expires - now).clamp(0.0, 1e9);
        Ok(ValidToken {
            subject: subject.ok_or(TokenError::Claim("sub"))?.into(),
            lifetime: Duration::from_secs_f64(left),
            scopes: scopes.map(str::to_owned).collect(),
        })
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Form)
}

fn object(part: &str) -> Result<Map<String, Value>, TokenError> {
    match serde_json::from_slice(&decode(part)?) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(TokenError::Form),
    }
}

/// Returns a time in seconds since 1970.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<f64>, TokenError> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let time = value.as_f64().filter(|time| time.is_finite());
            time.map(Some).ok_or(TokenError::Claim(name))
        }
    }
}

/// Returns the texts of a claim that is a text or a list of texts.
fn texts(claim: Option<&Value>) -> Option<Vec<String>> {
    match claim? {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}
