//! The authenticate stage of listeners with SASL: SaslHandshake 0–1 and SaslAuthenticate 0–2
//! (KIP-43, KIP-152, KIP-368).
//!
//! The first request of a client is ApiVersions or SaslHandshake. Tokens follow, as
//! SaslAuthenticate requests after SaslHandshake 1, and as bare frames after SaslHandshake 0. Any
//! other request closes the connection until the client is authenticated. A failed authentication
//! is answered, and its connection closed, after `connection.failed.authentication.delay.ms`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};
use dohle_auth::Principal;
use dohle_auth::sasl::{
    Credentials, EnabledMechanism, Failure, FailureLog, Jwks, NONCE_BYTES, PlainUsers, Refusal,
    SaslSession, ScramUsers, TokenAccepted, TokenCredential, TokenError, TokenRules,
    printable_user,
};
use dohle_model::ErrorCode;
use dohle_model::image::MetadataImage;
use dohle_model::scram::{ScramCredential, ScramMechanism};
use dohle_network::connection::{Authenticated, Client, Frame, Pending, ResponseAction};
use dohle_protocol::messages::sasl_authenticate_request::SaslAuthenticateRequestData;
use dohle_protocol::messages::sasl_authenticate_response::SaslAuthenticateResponseData;
use dohle_protocol::messages::sasl_handshake_request::SaslHandshakeRequestData;
use dohle_protocol::messages::sasl_handshake_response::SaslHandshakeResponseData;
use dohle_protocol::{
    ApiKey, FrameSizes, KafkaString, Request, RequestHeader, Response, encode_response,
};
use parking_lot::{Mutex, RwLock};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::token_credentials::DelegationTokens;

/// The SASL configuration of a node.
#[derive(Debug, Default)]
pub struct SaslConfig {
    /// The listeners whose security protocol is SASL_PLAINTEXT or SASL_SSL, by name.
    pub listeners: BTreeMap<String, Arc<SaslListener>>,
    /// `connection.failed.authentication.delay.ms`.
    pub failure_delay: Duration,
}

/// The SASL configuration of one listener.
#[derive(Debug)]
pub struct SaslListener {
    /// `sasl.enabled.mechanisms`.
    pub mechanisms: Arc<[EnabledMechanism]>,
    /// The users of PLAIN.
    pub plain_users: PlainUsers,
    /// What tokens of OAUTHBEARER have to be like, and the keys that they are signed with.
    pub tokens: Option<(TokenRules, Arc<TokenKeys>)>,
    /// `sasl.server.max.receive.size`.
    pub receive_bytes_max: usize,
}

/// The keys that the tokens of a listener are signed with. They may be replaced at any time.
#[derive(Debug, Default)]
pub struct TokenKeys {
    current: RwLock<Option<Arc<Jwks>>>,
    missed: Notify,
}

impl TokenKeys {
    /// Returns keys, or the place for keys that are yet to be fetched.
    #[must_use]
    pub fn new(keys: Option<Jwks>) -> Arc<Self> {
        Arc::new(Self {
            current: RwLock::new(keys.map(Arc::new)),
            missed: Notify::new(),
        })
    }

    /// Returns the present keys, if there are any.
    #[must_use]
    pub fn get(&self) -> Option<Arc<Jwks>> {
        self.current.read().clone()
    }

    /// Replaces the keys.
    pub fn set(&self, keys: Jwks) {
        *self.current.write() = Some(Arc::new(keys));
    }

    /// Waits until a token is refused because none of the keys has signed it, or was refused since
    /// the last call.
    pub async fn missed(&self) {
        self.missed.notified().await;
    }
}

/// The SASL configuration of a node, and which failed authentications were logged.
#[derive(Debug)]
pub(super) struct Sasl {
    config: Arc<SaslConfig>,
    failures: Mutex<FailureLog>,
}

impl Sasl {
    pub fn new(config: Arc<SaslConfig>) -> Arc<Self> {
        Arc::new(Self {
            config,
            failures: Mutex::default(),
        })
    }
}

/// The authentication of one connection.
pub(super) struct SaslStage {
    session: SaslSession,
    listener: Arc<SaslListener>,
    node: Arc<Sasl>,
    client: Client,
}

/// What clients are checked against besides the users of their listener.
pub(super) struct Accounts<'a> {
    /// The metadata with the users of SCRAM.
    pub image: Arc<MetadataImage>,
    /// The delegation tokens.
    pub delegation_tokens: &'a DelegationTokens,
}

/// What a listener checks its clients against.
struct ListenerCredentials<'a> {
    listener: &'a SaslListener,
    accounts: &'a Accounts<'a>,
}

impl Credentials for ListenerCredentials<'_> {
    fn is_plain_password(&self, user: &str, password: &str) -> bool {
        self.listener.plain_users.is_password(user, password)
    }

    fn bearer(&self, token: &str) -> Result<(Arc<str>, Duration), TokenError> {
        let (rules, keys) = self.listener.tokens.as_ref().ok_or(TokenError::NoKeys)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let checked = rules.check(token, keys.get().as_deref(), now.unwrap_or_default());
        if matches!(checked, Err(TokenError::Signature | TokenError::NoKeys)) {
            keys.missed.notify_one();
        }
        let token = checked?;
        Ok((token.subject, token.lifetime))
    }

    fn scram(&self, mechanism: ScramMechanism, user: &str) -> (ScramCredential, bool) {
        self.credential(mechanism, user)
    }

    fn delegation_token(&self, mechanism: ScramMechanism, id: &str) -> Option<TokenCredential> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let Accounts {
            image,
            delegation_tokens,
        } = self.accounts;
        delegation_tokens.credential(image, mechanism, id, now.unwrap_or_default())
    }
}

impl ScramUsers for ListenerCredentials<'_> {
    fn find(&self, mechanism: ScramMechanism, user: &str) -> Option<Arc<ScramCredential>> {
        let key = (Arc::from(user), mechanism);
        self.accounts.image.scram_credentials.get(&key).cloned()
    }

    fn any(&self) -> Option<Arc<ScramCredential>> {
        let first = self.accounts.image.scram_credentials.get_min();
        first.map(|(_, credential)| Arc::clone(credential))
    }
}

impl SaslStage {
    /// Returns the stage of a new connection; `None` on a listener without SASL.
    pub fn new(node: &Arc<Sasl>, client: &Client) -> Option<Self> {
        let listener = node.config.listeners.get(&*client.listener)?;
        Some(Self {
            session: SaslSession::new(Arc::clone(&listener.mechanisms)),
            listener: Arc::clone(listener),
            node: Arc::clone(node),
            client: client.clone(),
        })
    }

    /// Returns the principal of an authenticated client.
    pub fn principal(&self) -> Option<Principal> {
        self.session.user().map(|user| Principal::user(user))
    }

    /// Returns whether the client has authenticated with a delegation token.
    pub fn is_delegated(&self) -> bool {
        self.session.is_delegated()
    }

    /// Returns whom a client has authenticated as that may act as another node, and the end of its
    /// session. A delegation token acts for a client, and never for a node.
    pub fn node(&self) -> Option<Authenticated> {
        if self.is_delegated() {
            return None;
        }
        Some(Authenticated {
            principal: self.principal()?,
            expires: self.session.expires(),
        })
    }

    /// Returns the sizes of frames that are accepted now.
    pub fn frame_sizes(&self, configured: FrameSizes) -> FrameSizes {
        if self.session.user().is_some() {
            return configured;
        }
        FrameSizes {
            min: if self.session.expects_bare_token() {
                1
            } else {
                configured.min
            },
            max: self.listener.receive_bytes_max.min(configured.max),
            property: "sasl.server.max.receive.size",
        }
    }

    /// Returns whether the next frame is a bare token, which has no header.
    pub fn expects_bare_token(&self) -> bool {
        self.session.expects_bare_token()
    }

    /// Evaluates a bare token.
    pub fn on_bare_token(&mut self, token: &[u8], accounts: &Accounts<'_>) -> Pending {
        match self.evaluate(token, accounts) {
            Ok(accepted) => {
                let mut frame = BytesMut::with_capacity(4 + accepted.message.len());
                // A message of this node is shorter than 2 GiB.
                frame.put_u32(u32::try_from(accepted.message.len()).unwrap_or(0));
                frame.extend_from_slice(&accepted.message);
                ready(ResponseAction::Send(Frame::One(frame.freeze())))
            }
            Err(refusal) => self.fail(refusal, None),
        }
    }

    /// Handles a request that belongs to the authentication, and refuses others until the client is
    /// authenticated. Returns `None` for a request that the pipeline serves.
    ///
    /// # Errors
    /// The reason why the bytes are not a request.
    pub fn on_request<'a>(
        &mut self,
        header: &RequestHeader,
        body: &Bytes,
        accounts: impl FnOnce() -> Accounts<'a>,
    ) -> Result<Option<Pending>, String> {
        let is_authenticated = self.session.user().is_some();
        match header.key {
            ApiKey::SaslHandshake => self.on_handshake(header, body),
            ApiKey::SaslAuthenticate if !is_authenticated => {
                self.on_authenticate(header, body, &accounts()).map(Some)
            }
            key => {
                let is_api_versions = key == ApiKey::ApiVersions;
                let name = kafka_name(key);
                let now = Instant::now().into_std();
                match self.session.check_request(&name, is_api_versions, now) {
                    Ok(()) => Ok(None),
                    Err(refusal) => Ok(Some(self.fail(refusal, None))),
                }
            }
        }
    }

    fn on_handshake(
        &mut self,
        header: &RequestHeader,
        body: &Bytes,
    ) -> Result<Option<Pending>, String> {
        let request = decode::<SaslHandshakeRequestData>(header, body)?;
        let now = Instant::now().into_std();
        let mechanism = request.mechanism.as_str();
        let begun = self.session.on_handshake(mechanism, header.version, now);
        let (error_code, refusal) = match begun {
            Ok(true) => (0, None),
            // Out of place: the handler of the table answers ILLEGAL_SASL_STATE.
            Ok(false) => return Ok(None),
            Err(refusal @ Refusal::UnsupportedMechanism(_)) => {
                (ErrorCode::UnsupportedSaslMechanism.code(), Some(refusal))
            }
            Err(refusal) => return Ok(Some(self.fail(refusal, None))),
        };
        let mechanisms = self.session.enabled().map(KafkaString::from_static);
        let response = SaslHandshakeResponseData {
            error_code,
            mechanisms: mechanisms.collect(),
            ..SaslHandshakeResponseData::default()
        };
        let frame = encode(&response, header)?;
        Ok(Some(match refusal {
            None => ready(ResponseAction::Send(frame)),
            Some(refusal) => self.fail(refusal, Some(frame)),
        }))
    }

    fn on_authenticate(
        &mut self,
        header: &RequestHeader,
        body: &Bytes,
        accounts: &Accounts<'_>,
    ) -> Result<Pending, String> {
        let request = decode::<SaslAuthenticateRequestData>(header, body)?;
        match self.evaluate(&request.auth_bytes, accounts) {
            Ok(accepted) => {
                let lifetime = accepted.session_lifetime.as_millis();
                let response = SaslAuthenticateResponseData {
                    auth_bytes: accepted.message.into(),
                    session_lifetime_ms: if header.version >= 1 {
                        i64::try_from(lifetime).unwrap_or(i64::MAX)
                    } else {
                        0
                    },
                    ..SaslAuthenticateResponseData::default()
                };
                Ok(ready(ResponseAction::Send(encode(&response, header)?)))
            }
            Err(refusal) => {
                let (error, text) = match &refusal {
                    Refusal::Rejected { text, .. } => (ErrorCode::SaslAuthenticationFailed, text),
                    Refusal::IllegalState(text) | Refusal::UnsupportedMechanism(text) => {
                        (ErrorCode::IllegalSaslState, text)
                    }
                };
                let response = SaslAuthenticateResponseData {
                    error_code: error.code(),
                    error_message: Some(KafkaString::from(text.clone())),
                    ..SaslAuthenticateResponseData::default()
                };
                let frame = encode(&response, header)?;
                Ok(self.fail(refusal, Some(frame)))
            }
        }
    }

    fn evaluate(
        &mut self,
        token: &[u8],
        accounts: &Accounts<'_>,
    ) -> Result<TokenAccepted, Refusal> {
        let credentials = ListenerCredentials {
            listener: &self.listener,
            accounts,
        };
        let mut nonce = [0; NONCE_BYTES];
        if SystemRandom::new().fill(&mut nonce).is_err() {
            let text = "the system provides no randomness";
            return Err(Refusal::IllegalState(text.to_owned()));
        }
        let now = Instant::now().into_std();
        let accepted = self.session.on_token(token, &credentials, nonce, now)?;
        if accepted.is_done {
            tracing::debug!(
                listener = %self.client.listener, peer = %self.client.peer,
                user = printable_user(self.session.user().map(|user| &**user)),
                "client authenticated"
            );
        }
        Ok(accepted)
    }

    /// Logs why a client is refused, and closes its connection after a delay, with a last response
    /// if there is one.
    fn fail(&self, refusal: Refusal, response: Option<Frame>) -> Pending {
        let (user, cause) = match refusal {
            Refusal::Rejected {
                rejection,
                mechanism,
                ..
            } => {
                let cause = format!("{} ({mechanism})", rejection.cause);
                (rejection.user, cause)
            }
            Refusal::UnsupportedMechanism(name) => {
                let enabled: Vec<_> = self.session.enabled().collect();
                let enabled = enabled.join(", ");
                let cause = format!(
                    "the client asks for the mechanism {name}; sasl.enabled.mechanisms has \
                     {enabled}"
                );
                (None, cause)
            }
            Refusal::IllegalState(text) => (None, text),
        };
        let failure = Failure {
            listener: Arc::clone(&self.client.listener),
            host: self.client.peer.ip(),
            user,
            cause,
        };
        let now = Instant::now().into_std();
        if let Some(suppressed) = self.node.failures.lock().on_failure(&failure, now) {
            tracing::warn!(
                listener = %failure.listener, host = %failure.host,
                user = printable_user(failure.user.as_deref()), suppressed,
                "authentication failed: {}", failure.cause
            );
        }
        let delay = self.node.config.failure_delay;
        Pending {
            answer: Box::pin(async move {
                tokio::time::sleep(delay).await;
                ResponseAction::End(response)
            }),
            pipelined: false,
            tag: None,
        }
    }
}

fn ready(action: ResponseAction) -> Pending {
    Pending {
        answer: Box::pin(std::future::ready(action)),
        pipelined: false,
        tag: None,
    }
}

fn decode<R: Request>(header: &RequestHeader, body: &Bytes) -> Result<R, String> {
    R::decode(body.clone(), header.version).map_err(|error| error.to_string())
}

fn encode<R: Response>(response: &R, header: &RequestHeader) -> Result<Frame, String> {
    encode_response(response, header.version, header.correlation_id)
        .map(Frame::One)
        .map_err(|error| error.to_string())
}

/// Returns the name of an API as Kafka writes it: `API_VERSIONS`.
fn kafka_name(key: ApiKey) -> String {
    let mut name = String::new();
    for c in format!("{key:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests;
