//! Tests of the authentication of clients, request by request.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;

use bytes::{Buf, BytesMut};
use dohle_auth::jaas::JaasConfig;
use dohle_auth::sasl::{
    ClientExchange, ClientStep, Mechanism, NONCE_BYTES, credential, salted_password,
};
use dohle_auth::{AllowAll, Secret};
use dohle_model::record::SecurityProtocol;
use dohle_network::connection::{ConnectionHandler, RequestMemoryPool, Service as _};
use dohle_protocol::messages::{self, RequestHeaderData};

use super::*;
use crate::KafkaService;
use crate::pipeline::Unlimited;
use crate::table::TABLE;
use crate::tests::harness::Broker;

const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";

fn config(session_max: Option<Duration>) -> SaslConfig {
    let line = format!("{PLAIN} required user_alice=\"secret\";");
    let plain_users = PlainUsers::new(&JaasConfig::parse(&line).unwrap());
    let mechanisms = [Mechanism::Plain, Mechanism::Scram(ScramMechanism::Sha256)];
    let listener = SaslListener {
        mechanisms: mechanisms
            .map(|mechanism| EnabledMechanism {
                mechanism,
                session_max,
            })
            .into(),
        plain_users,
        tokens: None,
        receive_bytes_max: 1000,
    };
    SaslConfig {
        listeners: [("SASL".to_owned(), Arc::new(listener))].into(),
        failure_delay: Duration::ZERO,
    }
}

struct Fixture {
    session: Box<dyn ConnectionHandler>,
    _broker: Broker,
}

/// The end of a request.
enum Outcome {
    /// The body of the response, and whether the connection is closed.
    Answer(Bytes, bool),
    Closed,
}

impl Fixture {
    async fn new(session_max: Option<Duration>) -> Self {
        Self::on("SASL", session_max).await
    }

    async fn on(listener: &str, session_max: Option<Duration>) -> Self {
        Self::with(listener, Arc::new(config(session_max))).await
    }

    async fn with(listener: &str, config: Arc<SaslConfig>) -> Self {
        let broker = Broker::start(&[]).await;
        let service = KafkaService::with(
            TABLE,
            Arc::clone(&broker.context),
            Arc::new(AllowAll),
            Arc::new(Unlimited),
            config,
        );
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9092));
        let session = service.connect(&Client {
            listener: listener.into(),
            security_protocol: SecurityProtocol::SaslPlaintext,
            certificate_principal: None,
            authenticated: None,
            local: address,
            peer: address,
        });
        Self {
            session,
            _broker: broker,
        }
    }

    fn begin(&mut self, frame: Bytes) -> Result<Pending, String> {
        let pool = RequestMemoryPool::new(1 << 20);
        let permit = pool.share().take(1).expect("room");
        let pending = self.session.call(frame, permit);
        pending.map_err(|error| error.to_string())
    }

    /// Sends a request, and returns whether its answer comes without the delay of an hour. An
    /// expected answer may take as long as a busy machine needs.
    async fn is_answered_at_once<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        is_expected: bool,
    ) -> bool {
        let pending = self.begin(encoded(request, version)).expect("a request");
        let limit = Duration::from_millis(if is_expected { 20_000 } else { 20 });
        tokio::time::timeout(limit, pending.answer).await.is_ok()
    }

    async fn frame(&mut self, frame: Bytes) -> Result<Outcome, String> {
        Ok(match self.begin(frame)?.answer.await {
            ResponseAction::Send(Frame::One(bytes)) => Outcome::Answer(bytes, false),
            ResponseAction::End(Some(Frame::One(bytes))) => Outcome::Answer(bytes, true),
            ResponseAction::End(None) => Outcome::Closed,
            other => panic!("{other:?}"),
        })
    }

    /// Sends a request. Returns the response, and whether the connection is closed.
    async fn call<R: Request>(&mut self, request: &R, version: i16) -> (R::Response, bool) {
        match self.try_call(request, version).await {
            Outcome::Answer(mut bytes, is_closed) => {
                // The length and the correlation id, and the tagged fields of a flexible header.
                bytes.advance(8);
                if R::KEY != ApiKey::ApiVersions && is_flexible(R::KEY, version) {
                    bytes.advance(1);
                }
                let response = dohle_protocol::forward::decode_body::<R::Response>(bytes, version);
                (response.unwrap(), is_closed)
            }
            Outcome::Closed => panic!("{:?} has no response", R::KEY),
        }
    }

    async fn try_call<R: Request>(&mut self, request: &R, version: i16) -> Outcome {
        let frame = encoded(request, version);
        self.frame(frame).await.expect("a request")
    }

    async fn handshake(&mut self, mechanism: &str) -> (SaslHandshakeResponseData, bool) {
        self.call(&handshake(mechanism), 1).await
    }

    async fn token(&mut self, token: &[u8]) -> (SaslAuthenticateResponseData, bool) {
        let request = SaslAuthenticateRequestData {
            auth_bytes: token.to_vec().into(),
            ..SaslAuthenticateRequestData::default()
        };
        self.call(&request, 2).await
    }

    /// Returns whether requests of authenticated clients are served.
    async fn is_served(&mut self) -> bool {
        let request = messages::ListGroupsRequestData::default();
        matches!(self.try_call(&request, 5).await, Outcome::Answer(_, false))
    }

    fn frame_bytes_max(&self) -> usize {
        let configured = FrameSizes::of_requests(1 << 20);
        self.session.frame_sizes(configured).max
    }
}

/// Encodes a request with its header.
fn encoded<R: Request>(request: &R, version: i16) -> Bytes {
    let mut frame = BytesMut::new();
    let header = RequestHeaderData {
        request_api_key: R::KEY as i16,
        request_api_version: version,
        correlation_id: 7,
        client_id: Some(KafkaString::from_static("test")),
        ..RequestHeaderData::default()
    };
    let header_version = if is_flexible(R::KEY, version) { 2 } else { 1 };
    header.write(&mut frame, header_version).unwrap();
    request.write(&mut frame, version).unwrap();
    frame.freeze()
}

fn is_flexible(key: ApiKey, version: i16) -> bool {
    version >= messages::client_api_info(key).flexible_versions_start
}

fn handshake(mechanism: &str) -> SaslHandshakeRequestData {
    SaslHandshakeRequestData {
        mechanism: KafkaString::from(mechanism.to_owned()),
        ..SaslHandshakeRequestData::default()
    }
}

fn text(response: &SaslAuthenticateResponseData) -> (i16, &str) {
    let message = response.error_message.as_ref();
    (response.error_code, message.map_or("", KafkaString::as_str))
}

#[tokio::test]
async fn a_client_is_served_once_it_has_authenticated() {
    let mut client = Fixture::new(None).await;
    assert_eq!(client.frame_bytes_max(), 1000);
    let versions = messages::ApiVersionsRequestData::default();
    let (versions, is_closed) = client.call(&versions, 0).await;
    assert!(!is_closed);
    let keys = [ApiKey::SaslHandshake, ApiKey::SaslAuthenticate].map(|key| key as i16);
    let listed = versions
        .api_keys
        .iter()
        .filter(|it| keys.contains(&it.api_key));
    let listed: Vec<_> = listed.map(|it| (it.api_key, it.max_version)).collect();
    assert_eq!(listed, [(17, 1), (36, 2)]);
    let (response, is_closed) = client.handshake("PLAIN").await;
    assert_eq!((response.error_code, is_closed), (0, false));
    let (response, is_closed) = client.token(b"\0alice\0secret").await;
    assert_eq!((text(&response), is_closed), ((0, ""), false));
    assert_eq!(response.session_lifetime_ms, 0);
    assert!(client.is_served().await);
    assert_eq!(client.frame_bytes_max(), 1 << 20);
    let (response, _) = client.token(b"\0alice\0secret").await;
    let again = "SaslAuthenticate request received after successful authentication";
    let illegal = ErrorCode::IllegalSaslState.code();
    assert_eq!(text(&response), (illegal, again));
}

#[tokio::test]
async fn nothing_else_is_served_before_and_the_connection_ends() {
    assert!(!Fixture::new(None).await.is_served().await);
    let mut client = Fixture::new(None).await;
    client.handshake("PLAIN").await;
    assert!(!client.is_served().await);
}

#[tokio::test]
async fn a_wrong_password_is_answered_and_ends_the_connection() {
    let mut client = Fixture::new(None).await;
    client.handshake("PLAIN").await;
    let (response, is_closed) = client.token(b"\0alice\0wrong").await;
    let failed = ErrorCode::SaslAuthenticationFailed.code();
    assert_eq!(
        (text(&response), is_closed),
        (
            (
                failed,
                "Authentication failed: Invalid username or password"
            ),
            true
        )
    );
    assert!(!client.is_served().await);
}

/// `connection.failed.authentication.delay.ms`: a client that tries passwords waits for each one.
#[tokio::test]
async fn every_refusal_is_delayed_and_nothing_else_is() {
    let mut config = config(None);
    config.failure_delay = Duration::from_hours(1);
    let config = Arc::new(config);
    let token = |token: &'static [u8]| SaslAuthenticateRequestData {
        auth_bytes: Bytes::from_static(token),
        ..SaslAuthenticateRequestData::default()
    };
    for (mechanism, is_enabled) in [("GSSAPI", false), ("PLAIN", true)] {
        let mut client = Fixture::with("SASL", Arc::clone(&config)).await;
        let handshake = handshake(mechanism);
        let is_answered = client.is_answered_at_once(&handshake, 1, is_enabled).await;
        assert_eq!(is_answered, is_enabled, "{mechanism}");
    }
    for (password, is_right) in [(&b"\0alice\0wrong"[..], false), (b"\0alice\0secret", true)] {
        let mut client = Fixture::with("SASL", Arc::clone(&config)).await;
        client.handshake("PLAIN").await;
        let token = token(password);
        let is_answered = client.is_answered_at_once(&token, 2, is_right).await;
        assert_eq!(is_answered, is_right);
    }
}

#[tokio::test]
async fn a_mechanism_that_is_not_enabled_is_answered_with_those_that_are() {
    let mut client = Fixture::new(None).await;
    let (response, is_closed) = client.handshake("GSSAPI").await;
    let unsupported = ErrorCode::UnsupportedSaslMechanism.code();
    assert_eq!((response.error_code, is_closed), (unsupported, true));
    let enabled: Vec<_> = response
        .mechanisms
        .iter()
        .map(KafkaString::as_str)
        .collect();
    assert_eq!(enabled, ["PLAIN", "SCRAM-SHA-256"]);
}

#[tokio::test]
async fn bare_tokens_follow_version_0_of_the_handshake() {
    let mut client = Fixture::new(None).await;
    let (response, _) = client.call(&handshake("PLAIN"), 0).await;
    assert_eq!(response.error_code, 0);
    let sizes = client.session.frame_sizes(FrameSizes::of_requests(1 << 20));
    assert_eq!((sizes.min, sizes.max), (1, 1000));
    let accepted = client.frame(Bytes::from_static(b"\0alice\0secret")).await;
    match accepted {
        Ok(Outcome::Answer(bytes, false)) => assert_eq!(bytes[..], [0; 4]),
        _ => panic!("the token is not accepted"),
    }
    assert!(client.is_served().await);
    let mut client = Fixture::new(None).await;
    client.call(&handshake("PLAIN"), 0).await;
    let refused = client.frame(Bytes::from_static(b"\0alice\0wrong")).await;
    assert!(matches!(refused, Ok(Outcome::Closed)));
}

#[tokio::test]
async fn scram_credentials_come_from_the_metadata() {
    let mechanism = ScramMechanism::Sha256;
    let iterations = NonZeroU32::new(4096).unwrap();
    let salted = salted_password(mechanism, "secret", b"salt", iterations);
    let mut image = MetadataImage::default();
    image.scram_credentials.insert(
        ("bob".into(), mechanism),
        Arc::new(credential(mechanism, &salted, b"salt", 4096)),
    );
    let tokens = DelegationTokens::new(None);
    let config = Arc::new(config(None));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9092));
    let client = Client {
        listener: "SASL".into(),
        security_protocol: SecurityProtocol::SaslPlaintext,
        certificate_principal: None,
        authenticated: None,
        local: address,
        peer: address,
    };
    for (user, password, is_right) in [
        ("bob", "secret", true),
        ("bob", "Secret", false),
        ("alice", "secret", false),
    ] {
        let mut stage = SaslStage::new(&Sasl::new(Arc::clone(&config)), &client).unwrap();
        let now = Instant::now().into_std();
        let begun = stage.session.on_handshake(mechanism.name(), 1, now);
        assert_eq!(begun, Ok(true));
        let of_client = Mechanism::Scram(mechanism);
        let password = Secret::new(password);
        let mut exchange = ClientExchange::new(of_client, user, password, [9; NONCE_BYTES]);
        let accounts = Accounts {
            image: Arc::new(image.clone()),
            delegation_tokens: &tokens,
        };
        let first = stage.evaluate(&exchange.first(), &accounts).unwrap();
        let ClientStep::Send(last) = exchange.step(&first.message).unwrap() else {
            panic!("SCRAM has two messages")
        };
        match stage.evaluate(&last, &accounts) {
            Ok(accepted) => {
                assert!(is_right, "{user}");
                assert_eq!(exchange.step(&accepted.message), Ok(ClientStep::Done));
                assert_eq!(stage.principal(), Some(Principal::user(user)));
            }
            Err(Refusal::Rejected { text, .. }) => {
                assert!(!is_right, "{user}");
                assert_eq!(
                    text,
                    "Authentication failed during authentication due to invalid credentials with \
                     SASL mechanism SCRAM-SHA-256"
                );
            }
            Err(refusal) => panic!("{refusal:?}"),
        }
    }
}

#[tokio::test]
async fn a_client_learns_the_lifetime_of_its_session_and_authenticates_again() {
    let mut client = Fixture::new(Some(Duration::from_mins(1))).await;
    client.handshake("PLAIN").await;
    let (response, _) = client.token(b"\0alice\0secret").await;
    assert_eq!(response.session_lifetime_ms, 60_000);
    client.handshake("PLAIN").await;
    let (response, is_closed) = client.token(b"\0alice\0secret").await;
    assert_eq!((text(&response), is_closed), ((0, ""), false));
    assert!(client.is_served().await);
}

#[tokio::test]
async fn a_client_that_authenticates_again_stays_the_same() {
    let mut client = Fixture::new(Some(Duration::from_mins(1))).await;
    client.handshake("PLAIN").await;
    client.token(b"\0alice\0secret").await;
    let (response, _) = client.handshake("SCRAM-SHA-256").await;
    assert_eq!(response.error_code, 0);
    let (response, is_closed) = client.token(b"n,,n=alice,r=x").await;
    assert_eq!(
        (text(&response), is_closed),
        (
            (
                ErrorCode::SaslAuthenticationFailed.code(),
                "SASL mechanism 'SCRAM-SHA-256' requested by client is not supported for \
                 re-authentication of mechanism 'PLAIN'"
            ),
            true
        )
    );
    assert!(!client.is_served().await);
}

#[tokio::test]
async fn a_listener_without_sasl_answers_that_it_has_none() {
    let mut client = Fixture::on("PLAINTEXT", None).await;
    assert_eq!(client.frame_bytes_max(), 1 << 20);
    let illegal = ErrorCode::IllegalSaslState.code();
    let (response, is_closed) = client.handshake("PLAIN").await;
    assert_eq!((response.error_code, is_closed), (illegal, false));
    assert!(client.is_served().await);
}

#[test]
fn apis_have_kafkas_names() {
    assert_eq!(kafka_name(ApiKey::ApiVersions), "API_VERSIONS");
    assert_eq!(kafka_name(ApiKey::Metadata), "METADATA");
}
