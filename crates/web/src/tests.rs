//! The server over real sockets, with a node that answers from memory.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use dohle_telemetry::text::Format;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::{
    Bound, Check, ConsoleNode, ConsoleSettings, DebugPage, DebugQuery, HttpAddress, Node, Server,
    Traffic,
};

pub(crate) struct Fixed;

impl Node for Fixed {
    fn metrics(&self, format: Format) -> BoxFuture<'_, String> {
        Box::pin(async move { format!("{format:?}\n") })
    }

    fn check(&self, check: Check) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(async move {
            match check {
                Check::Live => Ok("broker 1 serves".to_owned()),
                Check::Ready => Err("broker 1 is not ready".to_owned()),
            }
        })
    }

    /// Timers are shown as on a node that is only a controller.
    fn debug(&self, page: DebugPage, query: DebugQuery) -> BoxFuture<'_, Option<Value>> {
        let shown = json!({ "page": format!("{page:?}"), "topic": query.topic });
        Box::pin(async move { (page != DebugPage::Timers).then_some(shown) })
    }
}

impl ConsoleNode for Fixed {
    fn console(&self) -> ConsoleSettings {
        ConsoleSettings {
            node_id: 1,
            version: "0.0.0",
            bootstrap: Err("There is no listener.".to_owned()),
            authorizer: false,
        }
    }

    fn traffic(&self) -> BoxFuture<'_, Option<Traffic>> {
        Box::pin(async {
            Some(Traffic {
                bytes_in: 3,
                bytes_out: 2,
                records_in: 1,
            })
        })
    }
}

pub(crate) async fn serve() -> (SocketAddr, Server) {
    let address = HttpAddress {
        host: "127.0.0.1".to_owned(),
        port: 0,
    };
    let bound = Bound::bind(&[address]).await.unwrap();
    (
        bound.addresses()[0],
        bound.serve(Arc::new(Fixed), Arc::new(Fixed)),
    )
}

/// Sends one request, and returns the whole answer in lower-case header names.
pub(crate) async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str) -> String {
    let host = match headers.contains("Host: ") {
        true => "",
        false => "Host: localhost\r\n",
    };
    let request = format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n");
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    asked.await.unwrap()
}

#[track_caller]
fn check(answer: &str, status: &str, header: &str, body: &str) {
    let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    assert!(head.lines().any(|line| line == header), "{answer}");
    assert_eq!(rest, body);
}

#[tokio::test]
async fn metrics_are_served_in_the_format_that_the_client_accepts() {
    let (address, _server) = serve().await;
    let plain = "content-type: text/plain; version=0.0.4; charset=utf-8";
    let answer = ask(address, "GET", "/metrics", "").await;
    check(&answer, "200", plain, "Prometheus\n");
    let accept = "Accept: text/plain;q=0.5\r\nAccept: application/openmetrics-text\r\n";
    let open = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    let answer = ask(address, "GET", "/metrics", accept).await;
    check(&answer, "200", open, "OpenMetrics\n");
    let answer = ask(address, "HEAD", "/metrics", "").await;
    check(&answer, "200", plain, "");
}

#[tokio::test]
async fn health_is_a_status_with_a_reason() {
    let (address, _server) = serve().await;
    let plain = "content-type: text/plain; charset=utf-8";
    let live = ask(address, "GET", "/health/live", "").await;
    check(&live, "200", plain, "broker 1 serves\n");
    let ready = ask(address, "GET", "/health/ready", "").await;
    check(&ready, "503", plain, "broker 1 is not ready\n");
}

#[tokio::test]
async fn pages_under_debug_are_listed_and_served_as_json() {
    let (address, _server) = serve().await;
    let json = "content-type: application/json";
    let index = ask(address, "GET", "/debug", "").await;
    for page in ["partitions", "replication", "requests", "groups", "timers"] {
        assert!(index.contains(&format!("\"/debug/{page}\"")), "{index}");
    }
    assert!(index.contains("\"node\":1"), "{index}");
    let page = ask(address, "GET", "/debug/partitions?topic=a%20b", "").await;
    check(&page, "200", json, r#"{"page":"Partitions","topic":"a b"}"#);
    for (path, status, part) in [
        ("/debug/other", "404", "/debug lists those that there are"),
        (
            "/debug/groups?name=g",
            "400",
            "only topic, partition, group",
        ),
        ("/debug/timers", "404", "only a controller"),
    ] {
        let answer = ask(address, "GET", path, "").await;
        let expected = format!("HTTP/1.1 {status}");
        assert!(
            answer.starts_with(&expected) && answer.contains(part),
            "{answer}"
        );
    }
    let foreign = ask(address, "GET", "/debug/groups", "Host: evil.example\r\n").await;
    assert!(foreign.starts_with("HTTP/1.1 403"), "{foreign}");
}

#[tokio::test]
async fn nothing_can_be_changed_and_other_paths_do_not_exist() {
    let (address, _server) = serve().await;
    let post = ask(address, "POST", "/metrics", "Content-Length: 0\r\n").await;
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");
    let other = ask(address, "GET", "/other", "").await;
    assert!(
        other.starts_with("HTTP/1.1 404") && other.contains("/health/ready"),
        "{other}"
    );
}

#[tokio::test]
async fn an_address_in_use_is_reported_with_what_to_do() {
    let (address, _server) = serve().await;
    let address = HttpAddress {
        host: address.ip().to_string(),
        port: address.port(),
    };
    let error = Bound::bind(std::slice::from_ref(&address))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(&format!("http.listeners: {address} cannot be bound: ")),
        "{error}"
    );
    assert!(
        error.ends_with("or nothing for no HTTP listener"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_stops_closes_its_ports_and_idle_connections() {
    let (address, server) = serve().await;
    let mut idle = TcpStream::connect(address).unwrap();
    // One answer shows that the connection was accepted.
    idle.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut first = [0; 1];
        idle.read_exact(&mut first).unwrap();
        idle
    });
    let mut idle = read.await.unwrap();
    server.shutdown().await;
    assert!(TcpStream::connect(address).is_err());
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).unwrap();
}
