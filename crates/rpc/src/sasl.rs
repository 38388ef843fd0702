//! Authenticates this node to another node with SASL, in Kafka's frames (KIP-43, KIP-152), at the
//! beginning of a connection. HTTP/2 follows on the same connection.
//!
//! [`SaslExchange`] is the exchange without I/O: a frame goes in, the next frame or the verdict
//! comes out.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use dohle_auth::Secret;
use dohle_auth::sasl::{ClientExchange, ClientStep, Failure, FailureLog, Mechanism, NONCE_BYTES};
use dohle_protocol::messages::{
    SaslAuthenticateRequestData, SaslAuthenticateResponseData, SaslHandshakeRequestData,
    SaslHandshakeResponseData,
};
use dohle_protocol::{KafkaString, Request, decode_response, encode_request};
use dohle_tls::{Authentication, NodeStream};
use parking_lot::Mutex;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The versions that are used: tokens in requests of their own, and the lifetime of the session.
const HANDSHAKE_VERSION: i16 = 1;
const AUTHENTICATE_VERSION: i16 = 1;
const CLIENT_ID: &str = "dohle-node";
/// The largest frame that is accepted during the exchange, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What a node proves its identity with.
#[derive(Debug, Clone)]
pub enum Credential {
    /// The password of a user.
    Password {
        /// The name of the user.
        user: Arc<str>,
        /// The password.
        password: Secret,
    },
    /// The token in a file, which is read for each connection.
    TokenFile(PathBuf),
}

/// How this node authenticates to the nodes behind one listener.
pub struct SaslClient {
    listener: Arc<str>,
    mechanism: Mechanism,
    credential: Credential,
    /// The property with the credential, for messages.
    property: String,
    failures: Mutex<FailureLog>,
}

impl SaslClient {
    /// Authenticates with the credential of `property` at the listener with this name.
    #[must_use]
    pub fn new(
        listener: &str,
        mechanism: Mechanism,
        credential: Credential,
        property: String,
    ) -> Self {
        Self {
            listener: listener.into(),
            mechanism,
            credential,
            property,
            failures: Mutex::default(),
        }
    }

    /// Returns the file with this node's token, and the property that names it.
    #[must_use]
    pub fn token_file(&self) -> Option<(&str, &Path)> {
        match &self.credential {
            Credential::Password { .. } => None,
            Credential::TokenFile(path) => Some((&self.property, path)),
        }
    }

    /// Begins an exchange. Reads the file of a token.
    ///
    /// # Errors
    /// When the file cannot be read, or the system provides no randomness.
    pub fn begin(&self) -> Result<SaslExchange, String> {
        let mut nonce = [0; NONCE_BYTES];
        let filled = SystemRandom::new().fill(&mut nonce);
        filled.map_err(|_| "the system provides no randomness".to_owned())?;
        let mechanism = self.mechanism;
        let exchange = match &self.credential {
            Credential::Password { user, password } => {
                ClientExchange::new(mechanism, user, password.clone(), nonce)
            }
            Credential::TokenFile(path) => {
                ClientExchange::new(mechanism, "", read_token(path)?, nonce)
            }
        };
        Ok(SaslExchange {
            mechanism,
            exchange,
            correlation_id: 0,
            state: State::Handshake,
        })
    }

    /// Describes a failed exchange, and what to check.
    #[must_use]
    pub fn describe(&self, (host, port): (&str, u16), reason: &str) -> String {
        let user = match &self.credential {
            Credential::Password { user, .. } => format!(" as user {user:?}"),
            Credential::TokenFile(_) => String::new(),
        };
        format!(
            "SASL: this node cannot authenticate{user} with {} at {host}:{port} (listener {}): \
             {reason}; check {} of this node, and the users of the other",
            self.mechanism, self.listener, self.property
        )
    }

    fn log(&self, host: Option<IpAddr>, message: &str) {
        let failure = Failure {
            listener: Arc::clone(&self.listener),
            host: host.unwrap_or(IpAddr::from([0, 0, 0, 0])),
            user: None,
            cause: message.to_owned(),
        };
        let logged = self.failures.lock().on_failure(&failure, Instant::now());
        if logged.is_some() {
            tracing::warn!("{message}");
        }
    }

    async fn exchange(&self, stream: &mut NodeStream) -> Result<(), ExchangeError> {
        let mut exchange = self.begin()?;
        let mut request = Some(exchange.first()?);
        while let Some(frame) = request {
            stream.write_all(&frame).await?;
            stream.flush().await?;
            let length = stream.read_u32().await? as usize;
            if length > ANSWER_BYTES_MAX {
                let reason = "the other node does not speak Kafka's protocol";
                return Err(reason.to_owned().into());
            }
            let mut answer = vec![0; length];
            stream.read_exact(&mut answer).await?;
            request = exchange.on_answer(answer.into())?;
        }
        Ok(())
    }
}

/// Why an exchange did not succeed.
enum ExchangeError {
    /// The connection broke.
    Lost(io::Error),
    /// The other node refuses this node, or the exchange is malformed.
    Failed(String),
}

impl From<io::Error> for ExchangeError {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

impl From<String> for ExchangeError {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

impl Authentication for SaslClient {
    fn authenticate<'a>(
        &'a self,
        stream: &'a mut NodeStream,
        peer: (&'a str, u16),
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async move {
            let reason = match self.exchange(stream).await {
                Ok(()) => return Ok(()),
                // The other node stops, or has a listener without SASL at this port.
                Err(ExchangeError::Lost(error)) => {
                    let (host, port) = peer;
                    return Err(format!(
                        "SASL: {host}:{port} closed the connection during the authentication \
                         (listener {}): {error}",
                        self.listener
                    ));
                }
                Err(ExchangeError::Failed(reason)) => reason,
            };
            let message = self.describe(peer, &reason);
            let host = dohle_tls::socket(stream)
                .peer_addr()
                .ok()
                .map(|address| address.ip());
            self.log(host, &message);
            Err(message)
        })
    }
}

impl fmt::Debug for SaslClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaslClient")
            .field("listener", &self.listener)
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}

fn read_token(path: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(Secret::new(text.trim()))
}

/// An exchange without I/O.
#[derive(Debug)]
pub struct SaslExchange {
    mechanism: Mechanism,
    exchange: ClientExchange,
    correlation_id: i32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The answer to SaslHandshake is next.
    Handshake,
    /// The answer to a token is next.
    Token,
}

impl SaslExchange {
    /// Returns the first frame, with its length.
    ///
    /// # Errors
    /// When the request cannot be encoded.
    pub fn first(&mut self) -> Result<Bytes, String> {
        let request = SaslHandshakeRequestData {
            mechanism: KafkaString::from_static(self.mechanism.name()),
            ..SaslHandshakeRequestData::default()
        };
        self.encode(&request, HANDSHAKE_VERSION)
    }

    /// Evaluates a frame of the server, without its length. Returns the next frame with its length;
    /// `None` when this node is authenticated.
    ///
    /// # Errors
    /// When the server refuses this node, or its answer is malformed.
    pub fn on_answer(&mut self, frame: Bytes) -> Result<Option<Bytes>, String> {
        let id = self.correlation_id;
        let malformed = |error| format!("the other node's answer is malformed: {error}");
        if self.state == State::Handshake {
            let answer = decode_response(frame, HANDSHAKE_VERSION, id).map_err(malformed)?;
            self.on_handshake(&answer)?;
            self.state = State::Token;
            let token = self.exchange.first();
            return self.token(token).map(Some);
        }
        let answer: SaslAuthenticateResponseData =
            decode_response(frame, AUTHENTICATE_VERSION, id).map_err(malformed)?;
        if answer.error_code != 0 {
            let text = answer.error_message.as_ref().map(KafkaString::as_str);
            let text = text.unwrap_or("the other node refused the authentication");
            return Err(text
                .chars()
                .take(300)
                .flat_map(char::escape_debug)
                .collect());
        }
        match self.exchange.step(&answer.auth_bytes) {
            Ok(ClientStep::Done) => Ok(None),
            Ok(ClientStep::Send(token)) => self.token(token).map(Some),
            Err(error) => Err(error.to_string()),
        }
    }

    fn on_handshake(&self, answer: &SaslHandshakeResponseData) -> Result<(), String> {
        if answer.error_code == 0 {
            return Ok(());
        }
        let enabled = answer.mechanisms.iter().map(KafkaString::as_str);
        let enabled: Vec<&str> = enabled.take(10).collect();
        Err(format!(
            "the other node does not enable the mechanism (error {}); its sasl.enabled.mechanisms \
             has {:?}",
            answer.error_code,
            enabled.join(",")
        ))
    }

    fn token(&mut self, token: Vec<u8>) -> Result<Bytes, String> {
        let request = SaslAuthenticateRequestData {
            auth_bytes: token.into(),
            ..SaslAuthenticateRequestData::default()
        };
        self.encode(&request, AUTHENTICATE_VERSION)
    }

    fn encode<R: Request>(&mut self, request: &R, version: i16) -> Result<Bytes, String> {
        self.correlation_id += 1;
        let frame = encode_request(request, version, self.correlation_id, CLIENT_ID);
        frame.map_err(|error| error.to_string())
    }
}
