//! Fetches the keys that tokens of OAUTHBEARER are signed with from an identity provider.
//!
//! A task for each listener fetches its keys at the start and at every refresh. Keys that cannot be
//! fetched, or are no key set, leave the last ones in place; the task tries again at growing
//! intervals. A token that no key has signed leads to an early refresh, as new keys may be in use.
//!
//! Invariant: network threads neither wait for nor make a request here.
//!
//! Source: `org.apache.kafka.common.security.oauthbearer.internals.secured.RefreshingHttpsJwks`.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use dohle_auth::sasl::{Jwks, JwksError};
use dohle_tls::{ConnectError, Connector};
use hyper::body::{Body as _, Incoming};
use hyper::header::{ACCEPT, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::config::{self, JwksEndpoint, NodeConfig};

/// The longest key set, in bytes.
const BYTES_MAX: usize = 1 << 20;

/// How long a request may take, from the connection to the last byte of the response.
const TIME_MAX: Duration = Duration::from_secs(10);

/// The shortest time between a refresh and an early one.
const EARLY_MIN: Duration = Duration::from_secs(10);

/// Why keys could not be fetched. It contains nothing of the response.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("no response within {TIME_MAX:?}")]
    Late,
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the response has status {0}; redirects are not followed")]
    Redirect(StatusCode),
    #[error("the response has status {0}")]
    Status(StatusCode),
    #[error("the response has more than {BYTES_MAX} bytes")]
    Large,
    #[error("the URL cannot be requested: {0}")]
    Url(#[from] hyper::http::Error),
    #[error("the response is no key set that can be used: {0}")]
    Keys(#[from] JwksError),
}

/// Begins to fetch the keys of all listeners that have them at a URL. `connector` returns how the
/// servers of a listener's keys are reached. Returns the tasks, which run until they are aborted.
pub(crate) fn start(
    config: &NodeConfig,
    connector: impl Fn(&JwksEndpoint) -> Connector,
) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    for endpoint in &config.jwks {
        if !endpoint.is_tls() && !is_on_this_machine(&endpoint.url) {
            tracing::warn!(
                listener = endpoint.listener, url = %endpoint.url,
                "keys that tokens are signed with are fetched without TLS: whoever can change the \
                 response can sign tokens; use https://"
            );
        }
        tasks.push(tokio::spawn(follow(endpoint.clone(), connector(endpoint))));
    }
    tasks
}

fn is_on_this_machine(url: &Uri) -> bool {
    config::is_loopback(bare(url.host().unwrap_or_default()))
}

/// Returns a host without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Keeps the keys of a listener up to date.
async fn follow(endpoint: JwksEndpoint, connector: Connector) {
    let (listener, url) = (&endpoint.listener, &endpoint.url);
    let mut failures = 0;
    let mut reported = None;
    let mut is_first = true;
    loop {
        let wait = match fetch(url, &connector).await {
            Ok(keys) => {
                endpoint.keys.set(keys);
                if is_first || failures > 0 {
                    tracing::info!(listener, %url, "fetched the keys that tokens are signed with");
                }
                (is_first, failures, reported) = (false, 0, None);
                endpoint.refresh
            }
            Err(error) => {
                let mut reason = error.to_string();
                if let (FetchError::Connect(ConnectError::Handshake(_)), Some(tls)) =
                    (&error, &endpoint.tls)
                {
                    reason += &format!(
                        "; check the options ssl.truststore.* of {}, without which the authorities \
                         of the system are trusted",
                        tls.property
                    );
                }
                if reported.as_ref() != Some(&reason) {
                    let consequence = match endpoint.keys.get() {
                        Some(_) => "the last ones stay in use",
                        None => "tokens are refused until then",
                    };
                    tracing::warn!(
                        listener, %url,
                        "cannot fetch the keys that tokens are signed with, and tries again; \
                         {consequence}: {reason}"
                    );
                    reported = Some(reason);
                }
                failures += 1;
                backoff(endpoint.backoff, endpoint.backoff_max, failures)
            }
        };
        let early = async {
            sleep(EARLY_MIN).await;
            endpoint.keys.missed().await;
        };
        // What came first does not matter.
        drop(timeout(wait, early).await);
    }
}

/// Returns the wait after a number of failures in a row: it doubles with each.
fn backoff(min: Duration, max: Duration, failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
    min.saturating_mul(factor).min(max.max(min))
}

async fn fetch(url: &Uri, connector: &Connector) -> Result<Jwks, FetchError> {
    let body = timeout(TIME_MAX, get(url, connector)).await;
    let body = body.map_err(|_| FetchError::Late)??;
    Ok(Jwks::parse(&body)?)
}

async fn get(url: &Uri, connector: &Connector) -> Result<Vec<u8>, FetchError> {
    let port = url.port_u16().unwrap_or(match url.scheme_str() {
        Some("https") => 443,
        _ => 80,
    });
    let host = url.host().unwrap_or_default();
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, authority)
        .header(ACCEPT, "application/json")
        .body(String::new())?;
    let stream = connector.connect(bare(host), port).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the request: dropping the set aborts the task.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request).await?;
    match response.status() {
        StatusCode::OK => limited(response.into_body()).await,
        status if status.is_redirection() => Err(FetchError::Redirect(status)),
        status => Err(FetchError::Status(status)),
    }
}

/// Reads a body of at most [`BYTES_MAX`] bytes.
async fn limited(mut body: Incoming) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let data: Bytes = frame?.into_data().unwrap_or_default();
        if bytes.len() + data.remaining() > BYTES_MAX {
            return Err(FetchError::Large);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dohle_api::TokenKeys;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A public key, from RFC 7515, appendix A.3.
    const KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"KID",
        "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

    fn response(status: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nLocation: /other\r\nContent-Length: {length}\r\n\r\n{body}")
    }

    /// Starts a server that answers each request with the next of these responses, and the others
    /// with the last. Returns its URL.
    async fn server(responses: Vec<String>) -> Uri {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut last = String::new();
            let mut responses = responses.into_iter();
            loop {
                let (mut stream, _) = socket.accept().await.unwrap();
                last = responses.next().unwrap_or(last);
                let mut request = [0; 1000];
                let length = stream.read(&mut request).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&request[..length]);
                assert!(head.starts_with("GET /jwks?x=1 HTTP/1.1\r\n"), "{head}");
                assert!(
                    head.contains(&format!("host: 127.0.0.1:{port}\r\n")),
                    "{head}"
                );
                drop(stream.write_all(last.as_bytes()).await);
            }
        });
        format!("http://127.0.0.1:{port}/jwks?x=1").parse().unwrap()
    }

    async fn error(response: String) -> String {
        let url = server(vec![response]).await;
        fetch(&url, &Connector::plaintext())
            .await
            .unwrap_err()
            .to_string()
    }

    #[tokio::test]
    async fn a_key_set_is_fetched_and_nothing_else_counts_as_one() {
        let url = server(vec![response("200 OK", KEYS)]).await;
        let keys = fetch(&url, &Connector::plaintext()).await.unwrap();
        assert_eq!(format!("{keys:?}"), r#"[Some("KID")]"#);
        let moved = error(response("302 Found", KEYS)).await;
        assert!(moved.contains("redirects are not followed"), "{moved}");
        let missing = error(response("404 Not Found", KEYS)).await;
        assert_eq!(missing, "the response has status 404 Not Found");
        let text = error(response("200 OK", "<html>")).await;
        assert!(text.starts_with("the response is no key set"), "{text}");
        let large = error(response("200 OK", &" ".repeat(BYTES_MAX + 1))).await;
        assert_eq!(large, "the response has more than 1048576 bytes");
        let broken = error("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_owned()).await;
        assert!(!broken.is_empty());
    }

    #[tokio::test]
    async fn new_keys_replace_the_last_ones_and_failures_do_not() {
        let one = KEYS.replace("KID", "one");
        let two = KEYS.replace("KID", "two");
        let url = server(vec![
            response("500 Internal Server Error", ""),
            response("200 OK", &one),
            response("200 OK", "no keys"),
            response("302 Found", &two),
            response("200 OK", &two),
        ]);
        let keys = TokenKeys::new(None);
        let endpoint = JwksEndpoint {
            listener: "CLIENTS".to_owned(),
            url: url.await,
            refresh: Duration::from_millis(1),
            backoff: Duration::from_millis(1),
            backoff_max: Duration::from_millis(2),
            tls: None,
            keys: Arc::clone(&keys),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(endpoint, Connector::plaintext()));
        let mut seen: Vec<String> = Vec::new();
        let both = async {
            while seen.last().is_none_or(|last| !last.contains("two")) {
                let now = format!("{:?}", keys.get());
                if seen.last() != Some(&now) {
                    seen.push(now);
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(TIME_MAX, both).await.expect("the second key set");
        let expected = ["None", r#"Some([Some("one")])"#, r#"Some([Some("two")])"#];
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_wait_doubles_up_to_its_limit() {
        let millis = Duration::from_millis;
        let wait = |failures| backoff(millis(100), millis(10_000), failures);
        assert_eq!(
            [1, 2, 3, 8, 99].map(wait),
            [100, 200, 400, 10_000, 10_000].map(millis)
        );
    }

    #[test]
    fn only_addresses_of_this_machine_are_loopback() {
        for (url, expected) in [
            ("http://localhost/jwks", true),
            ("http://127.0.0.1:8080/jwks", true),
            ("http://[::1]:8080/jwks", true),
            ("http://idp.example.com/jwks", false),
            ("http://10.0.0.1/jwks", false),
        ] {
            assert_eq!(is_on_this_machine(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
