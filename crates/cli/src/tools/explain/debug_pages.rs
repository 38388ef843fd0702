//! The pages under `/debug` of the nodes' HTTP listeners: finds the listeners, and asks them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use dohle_admin::{BrokerAddress, Node};
use futures::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::options::UsageError;
use crate::tool_run::ToolRun;

/// The port of the first node's HTTP listener, where none is named.
const PORT: u16 = 9644;
/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most bytes of a response.
const BYTES_MAX: u64 = 64 << 20;

/// The HTTP listeners that were found.
#[derive(Debug, Default)]
pub(super) struct DebugPages {
    by_node: BTreeMap<i32, BrokerAddress>,
    /// The addresses that did not answer, with the reasons.
    failed: Vec<(BrokerAddress, String)>,
}

impl DebugPages {
    /// Asks the listeners that `--http` names, or those at the usual ports of the brokers' hosts,
    /// which node each one belongs to.
    ///
    /// # Errors
    /// When a value of `--http` is not an address.
    pub(super) async fn find(run: &ToolRun<'_>, brokers: &[Node]) -> Result<Self, UsageError> {
        let mut addresses = Vec::new();
        for url in run.parsed.values("http") {
            addresses.extend(parse(url)?);
        }
        if addresses.is_empty() {
            addresses = usual(brokers);
        }
        let asked = addresses.into_iter().map(|address| async move {
            let index = get(&address, "/debug").await;
            let node = index.and_then(|index| {
                let node = index["node"].as_i64().and_then(|id| i32::try_from(id).ok());
                node.ok_or_else(|| "it is not the HTTP listener of a node".to_owned())
            });
            (address, node)
        });
        let mut found = Self::default();
        for (address, node) in join_all(asked).await {
            match node {
                Ok(node) => {
                    found.by_node.entry(node).or_insert(address);
                }
                Err(reason) => found.failed.push((address, reason)),
            }
        }
        Ok(found)
    }

    /// Asks a broker for a page.
    ///
    /// # Errors
    /// A sentence that names what could not be asked, and what to do.
    pub(super) async fn page(&self, broker: i32, path: &str) -> Result<Value, String> {
        let Some(address) = self.by_node.get(&broker) else {
            return Err(self.missing(broker));
        };
        let page = get(address, path).await;
        page.map_err(|reason| {
            format!("broker {broker} did not answer http://{address}{path}: {reason}")
        })
    }

    fn missing(&self, broker: i32) -> String {
        let tried = self.failed.iter();
        let tried: Vec<String> = tried
            .map(|(address, reason)| format!("http://{address}: {reason}"))
            .collect();
        let tried = match tried.is_empty() {
            true => String::new(),
            false => format!(" (tried {})", tried.join("; ")),
        };
        format!(
            "broker {broker} could not be asked for causes: no HTTP listener of it was \
             found{tried}. Name it with --http, as in --http http://HOST:{PORT}; if the broker has \
             none, set http.listeners in its properties and restart it"
        )
    }
}

/// Reads `http://host:port` or `host:port`, or several of them with commas between them.
fn parse(url: &str) -> Result<Vec<BrokerAddress>, UsageError> {
    let wrong = |reason: &dyn std::fmt::Display| {
        UsageError(format!(
            "--http {url}: {reason}; it is an address such as http://localhost:{PORT}"
        ))
    };
    if url.contains("https://") {
        return Err(wrong(&"HTTP listeners of nodes have no TLS"));
    }
    let trimmed: Vec<&str> = url
        .split(',')
        .map(|one| one.trim_end_matches('/'))
        .collect();
    BrokerAddress::list(&trimmed.join(",")).map_err(|error| wrong(&error))
}

/// The usual ports of brokers: 9644 on each host, and the next ones if it has several brokers, as
/// `dohle dev` has.
fn usual(brokers: &[Node]) -> Vec<BrokerAddress> {
    let mut by_host: BTreeMap<&str, u16> = BTreeMap::new();
    for broker in brokers {
        *by_host.entry(&broker.host).or_default() += 1;
    }
    let hosts = by_host.into_iter();
    hosts
        .flat_map(|(host, count)| {
            (0..count).map(|index| BrokerAddress {
                host: host.to_owned(),
                port: PORT.saturating_add(index),
            })
        })
        .collect()
}

/// Encodes a value of a query.
pub(super) fn encode(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    });
    encoded.collect()
}

/// Sends a request, and returns the JSON of the response.
async fn get(address: &BrokerAddress, path: &str) -> Result<Value, String> {
    let answered = timeout(PATIENCE, exchange(address, path)).await;
    let answer = answered.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?;
    answer.map_err(|error| crate::tool_run::explain(&error))
}

async fn exchange(address: &BrokerAddress, path: &str) -> anyhow::Result<Value> {
    let mut stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    // A server of HTTP/1.0 sends the whole response and closes the connection.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    stream.take(BYTES_MAX).read_to_end(&mut response).await?;
    parsed(&response)
}

/// Reads a response.
fn parsed(response: &[u8]) -> anyhow::Result<Value> {
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let (head, body) = response.split_at(end.context("the response is not one of HTTP")?);
    let status = std::str::from_utf8(head)?
        .split(' ')
        .nth(1)
        .unwrap_or_default();
    let body: Result<Value, _> = serde_json::from_slice(&body[4..]);
    if status == "200" {
        return Ok(body?);
    }
    let message = body
        .ok()
        .and_then(|body| Some(body["error"]["message"].as_str()?.to_owned()));
    match message {
        Some(message) => anyhow::bail!("{message}"),
        None => anyhow::bail!("the answer has the status {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_named_or_looked_for_at_the_usual_ports() {
        let texts = |addresses: Vec<BrokerAddress>| -> Vec<String> {
            addresses.iter().map(ToString::to_string).collect()
        };
        let named = parse("http://a:1/,b:2").unwrap();
        assert_eq!(texts(named), ["a:1", "b:2"]);
        let error = parse("https://a:1").unwrap_err().to_string();
        assert!(error.starts_with("--http https://a:1: HTTP listeners of nodes have no TLS"));
        assert!(parse("http://a").is_err());
        let broker = |id, host: &str| Node {
            id,
            host: host.to_owned(),
            port: 9092,
            rack: None,
            fenced: false,
        };
        let found = usual(&[
            broker(1, "localhost"),
            broker(2, "other"),
            broker(3, "localhost"),
        ]);
        assert_eq!(
            texts(found),
            ["localhost:9644", "localhost:9645", "other:9644"]
        );
    }

    #[test]
    fn a_response_is_its_json_or_its_error() {
        let ok = parsed(b"HTTP/1.0 200 OK\r\ncontent-length: 9\r\n\r\n{\"a\":[1]}").unwrap();
        assert_eq!(ok["a"][0], 1);
        let refused = b"HTTP/1.1 403 Forbidden\r\n\r\n{\"error\":{\"message\":\"Not here.\"}}";
        assert_eq!(parsed(refused).unwrap_err().to_string(), "Not here.");
        let other = parsed(b"HTTP/1.1 500 x\r\n\r\noops").unwrap_err();
        assert_eq!(other.to_string(), "the answer has the status 500");
        assert!(parsed(b"SSH-2.0-x\r\n").is_err());
    }

    #[test]
    fn values_of_a_query_are_encoded() {
        assert_eq!(encode("a-b.c_1 &ü"), "a-b.c_1%20%26%C3%BC");
    }
}
