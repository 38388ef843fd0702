//! Tests of connections between nodes over loopback, on listeners with SASL.

use std::num::NonZeroU32;
use std::sync::Mutex;

use dohle_api::{NodeAuthentication, SaslConfig, SaslListener, TokenKeys};
use dohle_auth::jaas::{JaasConfig, LoginModule};
use dohle_auth::sasl::{
    EnabledMechanism, Mechanism, PlainUsers, TokenRules, credential, salted_password,
};
use dohle_auth::{AclAuthorizer, AclSettings, Secret};
use dohle_model::image::MetadataImage;
use dohle_model::record::SecurityProtocol;
use dohle_model::scram::ScramMechanism;
use dohle_network::listener::{
    Bound, Limits, Listener, ListenerConfig, NetworkContext, NetworkThreads, Services,
};
use dohle_rpc::sasl::{Credential, SaslClient};
use dohle_tls::{Connector, NodeStream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SHA_512: Mechanism = Mechanism::Scram(ScramMechanism::Sha512);
/// Tokens of the user `node` without a signature, which the listener here accepts. One expires in
/// 2100, the other has expired in 2020.
const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJub2RlIiwiZXhwIjo0MTAyNDQ0ODAwfQ.";
const OLD_TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJub2RlIiwiZXhwIjoxNjAwMDAwMDAwfQ.";
const PROPERTY: &str = "listener.name.test.plain.sasl.jaas.config";

/// A service that answers the preface with `h2`, and keeps the connection until the peer ends it.
#[derive(Default)]
struct Recorder(Mutex<Vec<Option<Principal>>>);

struct Shared(Arc<Recorder>);

impl Http2Service for Shared {
    fn serve(
        &self,
        mut stream: ListenerStream,
        client: Client,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.0.0.lock().unwrap().push(client.principal().cloned());
        Box::pin(async move {
            let mut preface = [0; PREFACE.len()];
            stream.read_exact(&mut preface).await.unwrap();
            assert_eq!(preface, PREFACE);
            stream.write_all(b"h2").await.unwrap();
            let _ = stream.read_u8().await;
        })
    }
}

/// A listener for other nodes, with the users `node` (a super user) and `alice`.
struct Fixture {
    listener: Listener,
    recorder: Arc<Recorder>,
}

impl Fixture {
    async fn start(session_max: Option<Duration>) -> Self {
        let class = LoginModule::Plain.class();
        let jaas = format!("{class} required user_node=\"node-secret\" user_alice=\"secret\";");
        let enabled = |mechanism| EnabledMechanism {
            mechanism,
            session_max,
        };
        let sasl = SaslListener {
            mechanisms: [Mechanism::Plain, SHA_512, Mechanism::OAuthBearer]
                .map(enabled)
                .into(),
            plain_users: PlainUsers::new(&JaasConfig::parse(&jaas).unwrap()),
            tokens: Some((unsecured(), TokenKeys::new(None))),
            receive_bytes_max: 512 << 10,
        };
        let sasl = SaslConfig {
            listeners: [("TEST".to_owned(), Arc::new(sasl))].into(),
            failure_delay: Duration::ZERO,
        };
        let mut image = MetadataImage::default();
        let (salt, iterations) = (b"0123456789abcdef", NonZeroU32::new(4096).unwrap());
        let sha_512 = ScramMechanism::Sha512;
        let salted = salted_password(sha_512, "node-secret", salt, iterations);
        let stored = credential(sha_512, &salted, salt, iterations.get());
        let key = (Arc::from("node"), sha_512);
        image.scram_credentials.insert(key, Arc::new(stored));
        let image = Arc::new(image);
        let authentication = NodeAuthentication::new(Arc::new(sasl), move || Arc::clone(&image));
        let settings = AclSettings::parse("User:node", false).unwrap();
        let recorder = Arc::new(Recorder::default());
        let service = Arc::new(Shared(Arc::clone(&recorder)));
        let authorizer = Arc::new(AclAuthorizer::new(settings));
        let threads = NetworkThreads::start("test", 1).unwrap();
        let shared = NetworkContext::new(Limits::default(), threads);
        let config = ListenerConfig {
            name: "TEST".into(),
            host: "localhost".into(),
            port: 0,
            security_protocol: SecurityProtocol::SaslPlaintext,
        };
        let bound = Bound::bind(config, &shared.limits).await.unwrap();
        let services = Services {
            tls: None,
            kafka: Some(authentication),
            http2: Some(NodesOnly::new(service, None, authorizer)),
            runtime: None,
        };
        Self {
            listener: bound.serve(shared, services),
            recorder,
        }
    }

    fn port(&self) -> u16 {
        self.listener.address().port()
    }

    async fn connect(
        &self,
        mechanism: Mechanism,
        user: &str,
        password: &str,
    ) -> Result<NodeStream, String> {
        let credential = Credential::Password {
            user: user.into(),
            password: Secret::new(password),
        };
        let client = SaslClient::new("TEST", mechanism, credential, PROPERTY.to_owned());
        assert!(!format!("{client:?}").contains(password));
        self.connect_as(client).await
    }

    async fn connect_as(&self, client: SaslClient) -> Result<NodeStream, String> {
        let connector = Connector::plaintext().authenticated(Arc::new(client));
        let connected = connector.connect("localhost", self.port()).await;
        connected.map_err(|error| error.to_string())
    }

    /// Returns the principals that the service has served.
    fn served(&self) -> Vec<Option<Principal>> {
        self.recorder.0.lock().unwrap().clone()
    }
}

/// Rules that accept tokens without a signature.
fn unsecured() -> TokenRules {
    TokenRules {
        issuer: None,
        audiences: Vec::new(),
        scope_claim: "scope".to_owned(),
        sub_claim: "sub".to_owned(),
        clock_skew: Duration::ZERO,
        allow_unsecured: true,
    }
}

/// Sends the preface, and returns what the service answers before the connection ends.
async fn begin(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Vec<u8> {
    let _ = stream.write_all(PREFACE).await;
    let _ = stream.flush().await;
    let mut answer = vec![0; 2];
    match stream.read_exact(&mut answer).await {
        Ok(_) => answer,
        Err(_) => Vec::new(),
    }
}

#[tokio::test]
async fn a_node_authenticates_and_goes_on_with_http2_on_the_same_connection() {
    let fixture = Fixture::start(None).await;
    for mechanism in [Mechanism::Plain, SHA_512] {
        let mut stream = fixture
            .connect(mechanism, "node", "node-secret")
            .await
            .unwrap();
        assert_eq!(begin(&mut stream).await, b"h2", "{mechanism}");
    }
    let node = Some(Principal::user("node"));
    assert_eq!(fixture.served(), [node.clone(), node]);
    fixture.listener.shutdown().await;
}

#[tokio::test]
async fn a_node_authenticates_with_the_token_that_its_file_has_now() {
    let fixture = Fixture::start(None).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let property = "sasl.oauthbearer.token.endpoint.url";
    let connect = || {
        let credential = Credential::TokenFile(file.clone());
        let mechanism = Mechanism::OAuthBearer;
        fixture.connect_as(SaslClient::new(
            "TEST",
            mechanism,
            credential,
            property.to_owned(),
        ))
    };
    let missing = connect().await.unwrap_err();
    assert!(missing.contains(file.to_str().unwrap()), "{missing}");
    std::fs::write(&file, OLD_TOKEN).unwrap();
    let refused = connect().await.unwrap_err();
    for text in [
        "with OAUTHBEARER at localhost:",
        "(listener TEST)",
        property,
    ] {
        assert!(refused.contains(text), "{text:?} is not in {refused:?}");
    }
    assert_eq!(fixture.served(), []);
    std::fs::write(&file, TOKEN).unwrap();
    let mut stream = connect().await.unwrap();
    assert_eq!(begin(&mut stream).await, b"h2");
    assert_eq!(fixture.served(), [Some(Principal::user("node"))]);
    fixture.listener.shutdown().await;
}

/// CVE-2018-1288: a client must not act as a replica.
#[tokio::test]
async fn nobody_but_a_node_is_served_the_services_of_nodes() {
    let fixture = Fixture::start(None).await;
    // Before the authentication.
    let address = ("localhost", fixture.port());
    let mut stranger = TcpStream::connect(address).await.unwrap();
    assert_eq!(begin(&mut stranger).await, b"");
    // In the middle of it: after SaslHandshake, and before a token.
    let mut begun = TcpStream::connect(address).await.unwrap();
    begun
        .write_all(b"\0\0\0\x11\0\x11\0\x01\0\0\0\x01\xff\xff\0\x05PLAIN")
        .await
        .unwrap();
    let length = begun.read_u32().await.unwrap();
    let mut answer = vec![0; length as usize];
    begun.read_exact(&mut answer).await.unwrap();
    assert_eq!(begin(&mut begun).await, b"");
    // Authenticated as a user who may not carry out ClusterAction.
    let mut alice = fixture
        .connect(Mechanism::Plain, "alice", "secret")
        .await
        .unwrap();
    assert_eq!(begin(&mut alice).await, b"");
    assert_eq!(fixture.served(), []);
    fixture.listener.shutdown().await;
}

#[tokio::test]
async fn a_node_names_the_cause_the_listener_and_the_property_of_a_refusal() {
    let fixture = Fixture::start(None).await;
    let refused = fixture.connect(Mechanism::Plain, "node", "wrong").await;
    let port = fixture.port();
    assert_eq!(
        refused.unwrap_err(),
        format!(
            "SASL: this node cannot authenticate as user \"node\" with PLAIN at localhost:{port} \
             (listener TEST): Authentication failed: Invalid username or password; check \
             {PROPERTY} of this node, and the users of the other"
        )
    );
    for user in ["node", "nobody"] {
        let refused = fixture.connect(SHA_512, user, "wrong").await.unwrap_err();
        let cause = "due to invalid credentials with SASL mechanism SCRAM-SHA-512";
        assert!(refused.contains(cause), "{refused}");
    }
    let sha_256 = Mechanism::Scram(ScramMechanism::Sha256);
    let refused = fixture
        .connect(sha_256, "node", "node-secret")
        .await
        .unwrap_err();
    let enabled = "has \"PLAIN,SCRAM-SHA-512,OAUTHBEARER\"";
    assert!(refused.contains(enabled), "{refused}");
    assert_eq!(fixture.served(), []);
    fixture.listener.shutdown().await;
}

#[tokio::test]
async fn the_connection_of_a_node_ends_with_its_session() {
    let fixture = Fixture::start(Some(Duration::from_millis(300))).await;
    let mut stream = fixture
        .connect(Mechanism::Plain, "node", "node-secret")
        .await
        .unwrap();
    assert_eq!(begin(&mut stream).await, b"h2");
    let ended = timeout(Duration::from_mins(1), stream.read_u8()).await;
    let ended = ended.expect("the connection ends with the session of 300 ms");
    assert!(ended.is_err(), "closed by the listener");
    let mut again = fixture
        .connect(Mechanism::Plain, "node", "node-secret")
        .await
        .unwrap();
    assert_eq!(begin(&mut again).await, b"h2");
    fixture.listener.shutdown().await;
}
