//! Tests of listeners with TLS over loopback. Certificates are made by the tests.

use std::io;
use std::sync::Mutex;

use dohle_auth::Principal;
use dohle_config::{BrokerValues, Properties};
use dohle_tls::testing::{TestAuthority, TestIdentity, TestRequest};
use dohle_tls::{ClientPurpose, ClientTls, Connector, NodeStream, ServerTls, TlsSettings};
use tokio::io::{AsyncRead, AsyncWrite};

use super::*;

/// A service that echoes, and records whom the clients' certificates identify.
#[derive(Default)]
struct Recorder(Mutex<Vec<Option<Principal>>>);

impl Service for Recorder {
    fn connect(&self, client: &Client) -> Box<dyn ConnectionHandler> {
        let principal = client.certificate_principal.clone();
        self.0.lock().unwrap().push(principal);
        Box::new(Echo)
    }
}

fn settings(
    identity: Option<&TestIdentity>,
    authority: &TestAuthority,
    more: &[(&str, &str)],
) -> TlsSettings {
    let mut properties = Properties::new();
    let mut set = |name: &str, value: String| properties.insert(name.to_owned(), value);
    if let Some(identity) = identity {
        set("ssl.keystore.type", "PEM".to_owned());
        set("ssl.keystore.certificate.chain", identity.certificate_pem());
        set("ssl.keystore.key", identity.key_pem());
    }
    set("ssl.truststore.type", "PEM".to_owned());
    set("ssl.truststore.certificates", authority.pem());
    for (name, value) in more {
        set(name, (*value).to_owned());
    }
    TlsSettings::read(&BrokerValues::fixed(Arc::new(properties)).listener("TEST")).unwrap()
}

/// A listener that requires certificates of an authority, and that authority.
struct Secured {
    authority: TestAuthority,
    tls: Arc<ServerTls>,
    recorder: Arc<Recorder>,
    listener: Listener,
}

impl Secured {
    async fn start(limits: Limits) -> Self {
        let authority = TestAuthority::new("CA");
        let required = [("ssl.client.auth", "required")];
        let own = settings(Some(&authority.local("node")), &authority, &required);
        let tls = ServerTls::new("TEST", own).unwrap();
        let recorder = Arc::new(Recorder::default());
        let shared = NetworkContext::new(limits, NetworkThreads::start("test", 2).unwrap());
        let config = ListenerConfig {
            name: "TEST".into(),
            host: "localhost".into(),
            port: 0,
            security_protocol: SecurityProtocol::Ssl,
        };
        let bound = Bound::bind(config, &shared.limits).await.unwrap();
        let services = Services {
            tls: Some(Arc::clone(&tls)),
            kafka: Some(Arc::clone(&recorder) as _),
            http2: Some(Arc::new(Http2)),
            runtime: None,
        };
        Self {
            authority,
            tls,
            recorder,
            listener: bound.serve(shared, services),
        }
    }

    async fn connect(
        &self,
        purpose: ClientPurpose,
        settings: TlsSettings,
    ) -> io::Result<NodeStream> {
        let connector = Connector::tls(ClientTls::new(purpose, settings).unwrap());
        let port = self.listener.address().port();
        Ok(connector.connect("localhost", port).await?)
    }

    async fn client(&self, name: &str) -> NodeStream {
        let identity = self.authority.local(name);
        let own = settings(Some(&identity), &self.authority, &[]);
        self.connect(ClientPurpose::Tool, own).await.unwrap()
    }
}

async fn echo_tls(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<bool> {
    stream.write_all(b"\0\0\0\x0a0123456789").await?;
    stream.flush().await?;
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).await?;
    Ok(&answer == b"0123456789")
}

#[tokio::test]
async fn clients_and_nodes_are_served_over_tls_and_identified() {
    let secured = Secured::start(Limits::default()).await;
    let mut client = secured.client("alice").await;
    assert!(echo_tls(&mut client).await.unwrap());
    let seen = secured.recorder.0.lock().unwrap().clone();
    assert_eq!(seen, [Some(Principal::user("CN=alice"))]);

    let identity = secured.authority.local("node-2");
    let own = settings(Some(&identity), &secured.authority, &[]);
    let mut node = secured
        .connect(ClientPurpose::Node, own.clone())
        .await
        .unwrap();
    node.write_all(HTTP2_PREFACE).await.unwrap();
    node.flush().await.unwrap();
    let mut answer = [0; 2];
    node.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"h2");

    // HTTP/2 has to be chosen in the handshake.
    let mut other = secured.connect(ClientPurpose::Tool, own).await.unwrap();
    other.write_all(HTTP2_PREFACE).await.unwrap();
    other.flush().await.unwrap();
    assert!(other.read_exact(&mut answer).await.is_err(), "closed");
    assert!(echo_tls(&mut client).await.unwrap());
    secured.listener.shutdown().await;
}

#[tokio::test]
async fn peers_that_fail_the_handshake_are_closed_and_others_are_served() {
    let secured = Secured::start(Limits::default()).await;
    let (authority, stranger) = (&secured.authority, TestAuthority::new("Other CA"));
    let mut old = TestRequest::new("old", &[]);
    old.days = (-30, -2);
    let refused = [
        settings(None, authority, &[]),
        settings(Some(&stranger.local("stranger")), authority, &[]),
        settings(Some(&authority.issue(&old)), authority, &[]),
        settings(Some(&authority.local("a")), &stranger, &[]),
    ];
    for (at, settings) in refused.into_iter().enumerate() {
        let echoed = async {
            let mut stream = secured.connect(ClientPurpose::Tool, settings).await?;
            echo_tls(&mut stream).await
        };
        assert!(echoed.await.is_err(), "{at}");
    }
    // A request without TLS, and other protocols, are answered with a fatal alert.
    for first in [
        b"\0\0\0\x0a0123456789".as_slice(),
        b"GET / HTTP/1.1\r\n\r\n",
        HTTP2_PREFACE,
    ] {
        assert_eq!(
            answer_to(&secured.listener, first).await,
            [21, 3, 3, 0, 2, 2, 40]
        );
    }
    assert!(
        secured.recorder.0.lock().unwrap().is_empty(),
        "no session began"
    );
    assert!(echo_tls(&mut secured.client("alice").await).await.unwrap());
    secured.listener.shutdown().await;
}

#[tokio::test]
async fn a_handshake_has_limited_time() {
    let limits = Limits {
        handshake_max: Duration::from_millis(100),
        ..Limits::default()
    };
    let secured = Secured::start(limits).await;
    // Nothing; and the beginning of a ClientHello of 512 bytes.
    for first in [b"".as_slice(), &[22, 3, 1, 2, 0, 1, 0, 1, 252]] {
        let closed = timeout(Duration::from_secs(10), answer_to(&secured.listener, first));
        closed.await.unwrap();
    }
    secured.listener.shutdown().await;
}

#[tokio::test]
async fn a_large_response_arrives_completely() {
    let secured = Secured::start(Limits::default()).await;
    let mut client = secured.client("alice").await;
    let payload: Vec<u8> = (0..8 << 20_u32).map(|at: u32| (at % 251) as u8).collect();
    let length = u32::try_from(payload.len()).unwrap();
    let mut received = vec![0; payload.len()];
    let exchange = async {
        client.write_all(&length.to_be_bytes()).await?;
        client.write_all(&payload).await?;
        client.flush().await?;
        client.read_exact(&mut received).await
    };
    let exchanged = timeout(Duration::from_secs(60), exchange).await;
    exchanged.unwrap().unwrap();
    assert!(received == payload);
    secured.listener.shutdown().await;
}

#[tokio::test]
async fn new_key_material_serves_new_connections_and_keeps_open_ones() {
    let secured = Secured::start(Limits::default()).await;
    let mut client = secured.client("alice").await;
    assert!(echo_tls(&mut client).await.unwrap());
    let new = TestAuthority::new("New CA");
    let required = [("ssl.client.auth", "required")];
    let own = settings(Some(&new.local("node")), &new, &required);
    assert!(secured.tls.reload(&own).unwrap());
    assert!(
        echo_tls(&mut client).await.unwrap(),
        "the open connection goes on"
    );
    let by_new = settings(Some(&new.local("bob")), &new, &[]);
    let mut other = secured.connect(ClientPurpose::Tool, by_new).await.unwrap();
    assert!(echo_tls(&mut other).await.unwrap());
    let old = settings(
        Some(&secured.authority.local("eve")),
        &secured.authority,
        &[],
    );
    assert!(secured.connect(ClientPurpose::Tool, old).await.is_err());
    secured.listener.shutdown().await;
}

#[tokio::test]
async fn the_end_of_a_connection_is_announced_to_the_client() {
    let secured = Secured::start(Limits::default()).await;
    let mut client = secured.client("alice").await;
    assert!(echo_tls(&mut client).await.unwrap());
    secured.listener.shutdown().await;
    // Without a close_notify this is an error: an unexpected end of file.
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
}
