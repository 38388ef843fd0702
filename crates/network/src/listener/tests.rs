//! Tests of listeners over loopback: which connections are served, what is logged, and the limits.

use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::connection::{
    ConnectionHandler, Frame, Malformed, MemoryPermit, Pending, ResponseAction,
};

mod quotas;
mod tls;

/// The first bytes of an HTTP/2 connection with prior knowledge, as gRPC begins.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A service that answers each request with its own bytes.
struct Echo;

impl Service for Echo {
    fn connect(&self, _: &Client) -> Box<dyn ConnectionHandler> {
        Box::new(Self)
    }
}

impl ConnectionHandler for Echo {
    fn call(&mut self, frame: Bytes, _: MemoryPermit) -> Result<Pending, Malformed> {
        let answer = ResponseAction::Send(Frame::One(frame));
        Ok(Pending {
            answer: Box::pin(std::future::ready(answer)),
            pipelined: false,
            tag: None,
        })
    }
}

/// A service that reads the preface, answers "h2", and waits until the client sends no more.
struct Http2;

impl Http2Service for Http2 {
    fn serve(
        &self,
        mut stream: ListenerStream,
        _: Client,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let mut preface = [0; 24];
            stream.read_exact(&mut preface).await.unwrap();
            assert_eq!(preface, HTTP2_PREFACE);
            stream.write_all(b"h2").await.unwrap();
            let _ = stream.read(&mut preface).await;
        })
    }
}

/// A service that reads the preface, and answers with the name of the thread that runs it.
struct ThreadName;

impl Http2Service for ThreadName {
    fn serve(
        &self,
        mut stream: ListenerStream,
        _: Client,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            stream.read_exact(&mut [0; 24]).await.unwrap();
            let name = std::thread::current().name().unwrap().to_owned();
            stream.write_all(name.as_bytes()).await.unwrap();
        })
    }
}

/// Returns limits of all connections, and of those of one address.
fn places(max: usize, per_ip_max: usize) -> Limits {
    Limits {
        connections: ConnectionQuotas {
            max,
            per_ip_max,
            ..ConnectionQuotas::default()
        },
        ..Limits::default()
    }
}

async fn listen(limits: Limits) -> Listener {
    let threads = NetworkThreads::start("test", 2).unwrap();
    let shared = NetworkContext::new(limits.clone(), threads);
    listen_with(shared).await
}

async fn listen_with(shared: Arc<NetworkContext>) -> Listener {
    listen_as(shared, SecurityProtocol::Plaintext).await
}

async fn listen_as(shared: Arc<NetworkContext>, security_protocol: SecurityProtocol) -> Listener {
    let services = Services {
        tls: None,
        kafka: Some(Arc::new(Echo)),
        http2: Some(Arc::new(Http2)),
        runtime: None,
    };
    serve(shared, security_protocol, services).await
}

async fn serve(
    shared: Arc<NetworkContext>,
    security_protocol: SecurityProtocol,
    services: Services,
) -> Listener {
    let config = ListenerConfig {
        name: "TEST".into(),
        host: "localhost".into(),
        port: 0,
        security_protocol,
    };
    let bound = Bound::bind(config, &shared.limits).await.unwrap();
    bound.serve(shared, services)
}

async fn connect(listener: &Listener) -> TcpStream {
    let address = (Ipv4Addr::LOCALHOST, listener.address().port());
    TcpStream::connect(address).await.unwrap()
}

async fn echo(stream: &mut TcpStream) -> std::io::Result<bool> {
    stream.write_all(&[0, 0, 0, 10]).await?;
    stream.write_all(b"0123456789").await?;
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).await?;
    Ok(&answer == b"0123456789")
}

async fn answer_to(listener: &Listener, first: &[u8]) -> Vec<u8> {
    let mut stream = connect(listener).await;
    stream.write_all(first).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    // A close with unread bytes causes a reset.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

#[tokio::test]
async fn the_first_bytes_decide_who_serves() {
    let listener = listen(Limits::default()).await;
    assert!(echo(&mut connect(&listener).await).await.unwrap());
    assert_eq!(answer_to(&listener, HTTP2_PREFACE).await, b"h2");
    assert_eq!(answer_to(&listener, b"GET / HTTP/1.1\r\n\r\n").await, b"");
    assert_eq!(
        answer_to(&listener, &[22, 3, 1, 2, 0, 1, 0, 1, 252]).await,
        b""
    );
    assert!(
        echo(&mut connect(&listener).await).await.unwrap(),
        "others are still served"
    );
    listener.shutdown().await;
}

#[tokio::test]
async fn a_listener_is_served_by_the_network_threads_or_by_a_runtime_of_its_own() {
    for runtime in [None, Some(Handle::current())] {
        let threads = NetworkThreads::start("test", 1).unwrap();
        let shared = NetworkContext::new(Limits::default(), threads);
        let own = runtime.is_some();
        let services = Services {
            http2: Some(Arc::new(ThreadName)),
            runtime,
            ..Services::default()
        };
        let listener = serve(shared, SecurityProtocol::Plaintext, services).await;
        let thread = answer_to(&listener, HTTP2_PREFACE).await;
        assert_eq!(thread.starts_with(b"test-net-"), !own, "{thread:?}");
        listener.shutdown().await;
    }
}

/// Clients take a reset for a broken network, and name TLS as the cause of an orderly end.
#[tokio::test]
async fn a_tls_hello_without_a_listener_with_tls_is_answered_with_an_end_and_no_reset() {
    let listener = listen(Limits::default()).await;
    let mut stream = connect(&listener).await;
    let mut hello = vec![22, 3, 1, 2, 0, 1, 0, 1, 252];
    hello.resize(517, 0);
    stream.write_all(&hello).await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    drop(stream);
    listener.shutdown().await;
}

/// The service here serves everyone that the listener passes on.
#[tokio::test]
async fn no_byte_of_http2_is_served_before_sasl() {
    let threads = NetworkThreads::start("test", 1).unwrap();
    let shared = NetworkContext::new(Limits::default(), threads);
    let listener = listen_as(shared, SecurityProtocol::SaslPlaintext).await;
    assert_eq!(answer_to(&listener, HTTP2_PREFACE).await, b"");
    assert!(echo(&mut connect(&listener).await).await.unwrap());
    listener.shutdown().await;
}

#[tokio::test]
async fn an_address_has_no_more_connections_than_allowed() {
    let listener = listen(places(100, 2)).await;
    let mut first = connect(&listener).await;
    let mut second = connect(&listener).await;
    assert!(echo(&mut first).await.unwrap() && echo(&mut second).await.unwrap());
    let mut third = connect(&listener).await;
    assert!(echo(&mut third).await.is_err(), "closed");
    drop(first);
    // The place of a client is free once the broker has noticed the end of its connection.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while echo(&mut connect(&listener).await).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    listener.shutdown().await;
}

#[tokio::test]
async fn over_the_limit_connections_wait_for_their_turn() {
    let listener = listen(places(1, 100)).await;
    let mut first = connect(&listener).await;
    assert!(echo(&mut first).await.unwrap());
    let mut second = connect(&listener).await;
    assert!(
        timeout(Duration::from_millis(50), echo(&mut second))
            .await
            .is_err()
    );
    drop(first);
    let mut answer = [0; 10];
    second.read_exact(&mut answer).await.unwrap();
    listener.shutdown().await;
}

#[tokio::test]
async fn other_nodes_connect_while_clients_hold_every_place() {
    let listener = listen(places(2, 2)).await;
    let mut first = connect(&listener).await;
    let mut second = connect(&listener).await;
    assert!(echo(&mut first).await.unwrap() && echo(&mut second).await.unwrap());
    let mut third = connect(&listener).await;
    let waited = timeout(Duration::from_millis(50), echo(&mut third)).await;
    assert!(waited.is_err(), "a third client waits");
    // Sockets that send nothing do not prevent connections of other nodes either.
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(connect(&listener).await);
        let preface = HTTP2_PREFACE;
        let answer = timeout(Duration::from_secs(10), answer_to(&listener, preface));
        assert_eq!(answer.await.unwrap(), b"h2");
    }
    drop(first);
    let mut answer = [0; 10];
    third.read_exact(&mut answer).await.unwrap();
    listener.shutdown().await;
}

#[tokio::test]
async fn a_connection_of_another_node_takes_no_place_of_a_client() {
    let listener = listen(places(1, 1)).await;
    let mut node = connect(&listener).await;
    node.write_all(HTTP2_PREFACE).await.unwrap();
    let mut answer = [0; 2];
    node.read_exact(&mut answer).await.unwrap();
    let mut client = connect(&listener).await;
    let served = timeout(Duration::from_secs(10), echo(&mut client)).await;
    assert!(served.unwrap().unwrap());
    listener.shutdown().await;
}

#[tokio::test]
async fn other_nodes_have_a_limit_of_their_own() {
    // An eighth of the descriptors is for other nodes.
    let limits = Limits {
        open_files_max: 16,
        ..Limits::default()
    };
    let listener = listen(limits).await;
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let mut node = connect(&listener).await;
        node.write_all(HTTP2_PREFACE).await.unwrap();
        let mut answer = [0; 2];
        node.read_exact(&mut answer).await.unwrap();
        nodes.push(node);
    }
    assert_eq!(answer_to(&listener, HTTP2_PREFACE).await, b"", "closed");
    nodes.pop();
    // The place is free once the broker has noticed the end of the connection.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while answer_to(&listener, HTTP2_PREFACE).await != b"h2" {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    listener.shutdown().await;
}

#[tokio::test]
async fn clients_are_refused_while_descriptors_are_short_and_other_nodes_are_not() {
    let limits = Limits {
        open_files_max: 16,
        ..Limits::default()
    };
    let shared = NetworkContext::new(limits, NetworkThreads::start("test", 2).unwrap());
    // All are promised, so every new descriptor is one of the reserved ones.
    shared.keep_descriptors(|| 16);
    let listener = listen_with(shared).await;
    for _ in 0..50 {
        assert!(echo(&mut connect(&listener).await).await.is_err(), "closed");
        let preface = HTTP2_PREFACE;
        assert_eq!(answer_to(&listener, preface).await, b"h2");
    }
    listener.shutdown().await;
}

#[tokio::test]
async fn descriptors_that_logs_will_need_are_kept_from_clients() {
    let limits = Limits {
        open_files_max: 4_096,
        ..Limits::default()
    };
    let shared = NetworkContext::new(limits, NetworkThreads::start("test", 2).unwrap());
    let promised = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&promised);
    shared.keep_descriptors(move || now.load(Ordering::Relaxed));
    let listener = listen_with(shared).await;
    assert!(echo(&mut connect(&listener).await).await.unwrap());
    promised.store(4_000, Ordering::Relaxed);
    assert!(echo(&mut connect(&listener).await).await.is_err(), "closed");
    promised.store(100, Ordering::Relaxed);
    assert!(echo(&mut connect(&listener).await).await.unwrap());
    listener.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_closes_idle_connections_and_frees_the_port() {
    let listener = listen(Limits::default()).await;
    let mut client = connect(&listener).await;
    assert!(echo(&mut client).await.unwrap());
    let silent = connect(&listener).await;
    timeout(Duration::from_secs(10), listener.shutdown())
        .await
        .unwrap();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    drop(silent);
    let address = (Ipv4Addr::LOCALHOST, listener.address().port());
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn a_listener_at_localhost_has_every_address_of_it() {
    let listener = listen(Limits::default()).await;
    let port = listener.address().port();
    for host in ["127.0.0.1", "::1"] {
        // An address that the machine does not have cannot be bound by anyone.
        if std::net::TcpListener::bind((host, 0)).is_err() {
            continue;
        }
        let mut stream = TcpStream::connect((host, port)).await.unwrap();
        assert!(echo(&mut stream).await.unwrap(), "{host}");
    }
    listener.shutdown().await;
    let mut config = ListenerConfig {
        name: "TAKEN".into(),
        host: "localhost".into(),
        port,
        security_protocol: SecurityProtocol::Plaintext,
    };
    let bound = super::bind::bind(&config, &Limits::default())
        .await
        .unwrap();
    let taken = bound.last().unwrap().1.ip().to_string();
    drop(bound);
    let other = std::net::TcpListener::bind((taken.as_str(), port)).unwrap();
    let error = super::bind::bind(&config, &Limits::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains(&taken), "{error}");
    drop(other);
    config.host = "LOCALHOST".into();
    let bound = super::bind::bind(&config, &Limits::default()).await;
    assert!(bound.is_ok());
}

#[tokio::test]
async fn a_port_that_is_taken_and_a_name_that_is_none_are_named() {
    let listener = listen(Limits::default()).await;
    let mut config = ListenerConfig {
        name: "TWICE".into(),
        host: "127.0.0.1".into(),
        port: listener.address().port(),
        security_protocol: SecurityProtocol::Plaintext,
    };
    let error = Bound::bind(config.clone(), &Limits::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("TWICE") && error.contains("127.0.0.1"),
        "{error}"
    );
    config.host = "no such host".into();
    let error = Bound::bind(config, &Limits::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("no such host"), "{error}");
    listener.shutdown().await;
}
