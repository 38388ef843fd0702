//! The console over real sockets, with a node that has no Kafka listener.

use crate::tests::{ask, serve};

/// Returns the body of a JSON answer, after a check of its status.
#[track_caller]
fn body(answer: &str, status: &str) -> serde_json::Value {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    assert!(head.contains("content-type: application/json"), "{answer}");
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn the_page_has_all_its_files_and_may_load_nothing_else() {
    let (address, _server) = serve().await;
    let mut bytes = 0;
    for (path, kind, content) in super::assets::ASSETS {
        let answer = ask(address, "GET", path, "").await;
        let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        for header in [
            format!("content-type: {kind}"),
            "content-security-policy: default-src 'self'; base-uri 'none'; form-action 'self'; \
             frame-ancestors 'none'; object-src 'none'"
                .to_owned(),
            "x-content-type-options: nosniff".to_owned(),
        ] {
            assert!(head.lines().any(|line| line == header), "{path}: {head}");
        }
        assert_eq!(rest.as_bytes(), *content, "{path}");
        bytes += content.len();
        for import in rest.split(" from \"./").skip(1) {
            let file = import.split('"').next().unwrap();
            let folder = &path[..=path.rfind('/').unwrap()];
            let wanted = format!("{folder}{file}");
            let found = super::assets::ASSETS
                .iter()
                .any(|(path, ..)| *path == wanted);
            assert!(found, "{path} imports {wanted}");
        }
    }
    assert!(bytes < 1 << 20, "{bytes}");
    let page = ask(address, "GET", "/", "").await;
    assert!(
        !page.contains("<script>") && !page.contains("style="),
        "{page}"
    );
}

#[tokio::test]
async fn mistakes_in_a_request_are_explained() {
    let (address, _server) = serve().await;
    let long = format!("/api/v1/topics/{}", "x".repeat(250));
    for (path, status, message) in [
        (
            "/api/v1/topics/a%20b",
            "400",
            "\"a b\" is not the name of a topic: ",
        ),
        (long.as_str(), "400", "is not the name of a topic: "),
        (
            "/api/v1/brokers/one",
            "400",
            "The id of a broker is a number",
        ),
        (
            "/api/v1/brokers/-1",
            "400",
            "The id of a broker is a number",
        ),
        (
            "/api/v1/brokers/4294967296",
            "400",
            "The id of a broker is a number",
        ),
        ("/api/v1/other", "404", "The API has no such path"),
        ("/api/v1/topics", "503", "There is no listener."),
    ] {
        let body = body(&ask(address, "GET", path, "").await, status);
        let text = body["error"]["message"].as_str().unwrap();
        assert!(text.contains(message), "{path}: {text}");
        assert_eq!(body["error"]["status"].to_string(), status);
    }
}

#[tokio::test]
async fn the_page_reads_of_its_node_what_kafka_does_not_report() {
    let (address, _server) = serve().await;
    let node = body(&ask(address, "GET", "/api/v1/node", "").await, "200");
    let expected = serde_json::json!({
        "node": 1, "version": "0.0.0", "authorizer": false, "unavailable": "There is no listener.",
    });
    assert_eq!(node, expected);
    let traffic = body(&ask(address, "GET", "/api/v1/traffic", "").await, "200");
    let expected = serde_json::json!({ "bytesIn": 3, "bytesOut": 2, "recordsIn": 1 });
    assert_eq!(traffic, expected);
}

#[tokio::test]
async fn the_console_only_reads() {
    let (address, _server) = serve().await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let answer = ask(address, method, "/api/v1/topics", "Content-Length: 0\r\n").await;
        let body = body(&answer, "405");
        let text = body["error"]["message"].as_str().unwrap();
        assert!(text.starts_with("The console only reads"), "{text}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_cannot_reach_a_node_on_this_machine() {
    let (address, _server) = serve().await;
    for path in ["/", "/api/v1/node", "/api/v1/traffic"] {
        let answer = ask(address, "GET", path, "Host: evil.example:9644\r\n").await;
        let body = body(&answer, "403");
        let text = body["error"]["message"].as_str().unwrap();
        assert!(
            text.contains("made to the host \"evil.example:9644\""),
            "{text}"
        );
    }
}
