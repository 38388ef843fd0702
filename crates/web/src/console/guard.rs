//! Headers that restrict what the page may do, and a check of the host that a browser asks for.

use std::net::SocketAddr;

use axum::Extension;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::error::ApiError;

/// Everything comes from the node itself, and nothing is inline.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'; object-src 'none'";

const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

/// Who is connected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connected {
    /// The address of the browser.
    pub peer: SocketAddr,
}

/// Answers requests of the page, with headers.
pub(crate) async fn guard(
    connected: Option<Extension<Connected>>,
    request: Request,
    next: Next,
) -> Response {
    let peer = connected.map(|Extension(connected)| connected.peer);
    let mut response = match foreign_host(peer, request.headers()) {
        Some(host) => refusal(&host),
        None => next.run(request).await,
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Returns the host that a browser on this machine asked for, if it is not a name of this machine:
/// the page of another site whose name was made to lead to this machine would read the cluster.
fn foreign_host(peer: Option<SocketAddr>, headers: &HeaderMap) -> Option<String> {
    if !peer?.ip().to_canonical().is_loopback() {
        return None;
    }
    let host = headers.get(HOST)?.to_str().unwrap_or_default();
    (!is_local(host)).then(|| host.to_owned())
}

/// Returns whether the value of a Host header is a name or an address of this machine.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.to_ascii_lowercase();
    let address = name.parse::<std::net::IpAddr>();
    name == "localhost"
        || name.ends_with(".localhost")
        || address.is_ok_and(|address| address.is_loopback())
}

fn refusal(host: &str) -> Response {
    ApiError::new(
        StatusCode::FORBIDDEN,
        format!(
            "This connection comes from the node's own machine, and was made to the host {host:?}. \
             Use http://localhost with the node's port; a proxy on this machine \
             must send such a Host header."
        ),
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_this_machine_only_names_of_this_machine_are_served() {
        let foreign = |peer: &str, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            foreign_host(Some(peer.parse().unwrap()), &headers).is_some()
        };
        for host in [
            "localhost:9644",
            "LOCALHOST",
            "127.0.0.1:1",
            "[::1]:9644",
            "a.localhost",
        ] {
            assert!(!foreign("127.0.0.1:5", host), "{host}");
            assert!(!foreign("[::ffff:127.0.0.1]:5", host), "{host}");
        }
        for host in [
            "evil.example:9644",
            "localhost.evil.example",
            "10.0.0.1",
            "[::2]",
            "",
        ] {
            assert!(foreign("127.0.0.1:5", host), "{host}");
            assert!(foreign("[::1]:5", host), "{host}");
        }
        // The guard accepts every name from clients on other machines.
        assert!(!foreign("10.0.0.1:5", "node1.example:9644"));
        // Browsers always send the header.
        assert!(foreign_host(Some("127.0.0.1:5".parse().unwrap()), &HeaderMap::new()).is_none());
    }
}
