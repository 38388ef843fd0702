//! Checks over a node's listeners whether the node serves, and whether its broker is in sync.
//!
//! For orchestrators: a node is *alive* when it answers ApiVersions; a broker is *ready* when the
//! cluster counts it as alive and it is in the ISR of every partition of which it has a replica. An
//! orchestrator that restarts one broker after the other, and waits until each is ready, never
//! stops a second replica of a partition.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dohle_model::NodeId;
use dohle_protocol::messages::{ApiVersionsRequestData, MetadataRequestData, MetadataResponseData};
use dohle_protocol::{KafkaString, Request, decode_response, encode_request};
use dohle_rpc::sasl::SaslClient;
use dohle_tls::{BlockingStream, ClientPurpose, ClientTls, TlsSettings};

use crate::config::{ListenerAddress, NodeConfig, is_all_interfaces};

/// The maximum length of an answer in bytes: metadata of about a million partitions.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// The most partitions that are named when a broker is behind; the others are only counted.
const NAMED_MAX: usize = 5;

const API_VERSIONS_VERSION: i16 = 0;
const METADATA_VERSION: i16 = 12;

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// No listener of the node has a fixed port.
    #[error("no listener has a fixed port to ask at: {0}")]
    NoPort(String),
    /// The node does not answer.
    #[error("{address} does not {step}: {error}")]
    Unreachable {
        /// The address that was checked.
        address: String,
        /// The step that failed.
        step: &'static str,
        /// The reason.
        error: io::Error,
    },
    /// The answer is not that of a working broker.
    #[error("{address} answers {api} with {what}")]
    ResponseAction {
        /// The address that was checked.
        address: String,
        /// The API that was called.
        api: &'static str,
        /// What is wrong with the answer.
        what: String,
    },
    /// The broker serves requests, but other brokers should not be stopped yet.
    #[error("broker {node} is not ready: {reason}")]
    NotReady {
        /// The broker.
        node: NodeId,
        /// The reason.
        reason: String,
    },
}

/// Checks whether a node serves, and with `ready` whether its broker is in sync. Takes at most
/// `limit`. Returns a message with the result.
///
/// # Errors
/// The reason why the check failed.
pub fn check(config: &NodeConfig, ready: bool, limit: Duration) -> Result<String, HealthError> {
    let end = Instant::now() + limit;
    let node = config.node_id;
    let (address, is_broker) = listener(config)?;
    let mut connection = Connection::open(address, config.tls.get(&address.name), end)?;
    if !is_broker {
        // Controllers use gRPC among themselves; without a gRPC client only an accepted connection
        // can be checked.
        return Ok(format!("controller {node} accepts connections"));
    }
    connection.api_versions()?;
    if !ready {
        return Ok(format!("broker {node} serves"));
    }
    if let Some(sasl) = config.sasl_clients.get(&address.name) {
        connection.authenticate(sasl)?;
    }
    let metadata = connection.metadata()?;
    readiness(node, &metadata).map_err(|reason| HealthError::NotReady { node, reason })?;
    Ok(format!("broker {node} serves and is in sync"))
}

/// Returns the address to check: the inter-broker listener before others, and the controller's only
/// when the node has no other.
fn listener(config: &NodeConfig) -> Result<(&ListenerAddress, bool), HealthError> {
    let listeners = &config.listeners;
    let fixed = |address: &&ListenerAddress| address.port != 0;
    let inter_broker = |address: &&ListenerAddress| address.name == listeners.inter_broker;
    let mut brokers = listeners.broker.iter().filter(fixed);
    let broker = brokers
        .clone()
        .find(inter_broker)
        .or_else(|| brokers.next());
    let controller = listeners.controller.as_ref().filter(fixed);
    let found = broker.map(|address| (address, true));
    found
        .or_else(|| controller.map(|address| (address, false)))
        .ok_or_else(|| {
            let all = listeners.broker.iter().chain(&listeners.controller);
            let all: Vec<String> = all.map(ToString::to_string).collect();
            HealthError::NoPort(all.join(","))
        })
}

/// Checks whether the cluster counts a broker as alive and in sync; returns the reason if not.
fn readiness(node: NodeId, metadata: &MetadataResponseData) -> Result<(), String> {
    if !metadata
        .brokers
        .iter()
        .any(|broker| broker.node_id == node.0)
    {
        return Err("the controllers do not count it as alive".to_owned());
    }
    let (mut named, mut behind) = (Vec::new(), 0_usize);
    for topic in &metadata.topics {
        for partition in &topic.partitions {
            let is_here = partition.replica_nodes.contains(&node.0);
            if is_here && !partition.isr_nodes.contains(&node.0) {
                behind += 1;
                if named.len() < NAMED_MAX {
                    let name = topic.name.as_ref().map_or("?", KafkaString::as_str);
                    named.push(format!("{name}-{}", partition.partition_index));
                }
            }
        }
    }
    if behind == 0 {
        return Ok(());
    }
    let more = if behind > named.len() {
        " and others"
    } else {
        ""
    };
    Err(format!(
        "not in the ISR of {behind} of its partitions ({}{more})",
        named.join(", ")
    ))
}

/// A blocking connection for a few requests.
struct Connection {
    stream: Stream,
    address: String,
    end: Instant,
}

impl Connection {
    fn open(
        address: &ListenerAddress,
        tls: Option<&TlsSettings>,
        end: Instant,
    ) -> Result<Self, HealthError> {
        let failed = |step| {
            move |error| HealthError::Unreachable {
                address: address.to_string(),
                step,
                error,
            }
        };
        let socket = connect(address, end).map_err(failed("accept connections"))?;
        let stream = match tls {
            None => Stream::Plaintext(socket),
            Some(settings) => {
                let stream = handshake(socket, address, settings, end);
                Stream::Tls(Box::new(
                    stream.map_err(failed("complete a TLS handshake"))?,
                ))
            }
        };
        Ok(Self {
            stream,
            address: address.to_string(),
            end,
        })
    }

    fn api_versions(&mut self) -> Result<(), HealthError> {
        let request = ApiVersionsRequestData::default();
        let response = self.call("ApiVersions", &request, API_VERSIONS_VERSION)?;
        match response.error_code {
            0 => Ok(()),
            code => Err(self.wrong("ApiVersions", format!("error {code}"))),
        }
    }

    /// Authenticates like another node.
    fn authenticate(&mut self, sasl: &SaslClient) -> Result<(), HealthError> {
        let refused = |connection: &Self, reason: String| HealthError::Unreachable {
            address: connection.address.clone(),
            step: "let this node in",
            error: io::Error::other(reason),
        };
        let mut exchange = sasl.begin().map_err(|reason| refused(self, reason))?;
        let mut request = Some(exchange.first().map_err(|reason| refused(self, reason))?);
        while let Some(frame) = request {
            let answer = exchange_frames(&mut self.stream, &frame, self.end);
            let next = answer
                .map_err(|error| error.to_string())
                .and_then(|answer| exchange.on_answer(answer));
            request = next.map_err(|reason| refused(self, reason))?;
        }
        Ok(())
    }

    fn metadata(&mut self) -> Result<MetadataResponseData, HealthError> {
        let request = MetadataRequestData {
            topics: None,
            allow_auto_topic_creation: false,
            ..MetadataRequestData::default()
        };
        self.call("Metadata", &request, METADATA_VERSION)
    }

    /// Sends a request and returns its response.
    fn call<R: Request>(
        &mut self,
        name: &'static str,
        request: &R,
        version: i16,
    ) -> Result<R::Response, HealthError> {
        const CORRELATION_ID: i32 = 1;
        let frame = encode_request(request, version, CORRELATION_ID, "dohle-healthcheck");
        let frame = frame.map_err(|error| self.wrong(name, error.to_string()))?;
        let exchanged = exchange_frames(&mut self.stream, &frame, self.end);
        let answer = exchanged.map_err(|error| HealthError::Unreachable {
            address: self.address.clone(),
            step: "answer in time",
            error,
        })?;
        decode_response(answer, version, CORRELATION_ID).map_err(|error| self.wrong(name, error))
    }

    fn wrong(&self, api: &'static str, what: String) -> HealthError {
        HealthError::ResponseAction {
            address: self.address.clone(),
            api,
            what,
        }
    }
}

/// Connects to a listener of this machine.
fn connect(address: &ListenerAddress, end: Instant) -> io::Result<TcpStream> {
    let addresses: Vec<_> = if is_all_interfaces(&address.host) {
        let local = [
            IpAddr::from([127, 0, 0, 1]),
            IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        ];
        local.map(|ip| (ip, address.port).into()).to_vec()
    } else {
        (address.host.as_str(), address.port)
            .to_socket_addrs()?
            .collect()
    };
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, left(end)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Carries out the TLS handshake with the own node.
fn handshake(
    socket: TcpStream,
    address: &ListenerAddress,
    settings: &TlsSettings,
    end: Instant,
) -> io::Result<BlockingStream> {
    let tls = ClientTls::new(ClientPurpose::Own, settings.clone()).map_err(io::Error::other)?;
    socket.set_read_timeout(Some(left(end)?))?;
    socket.set_write_timeout(Some(left(end)?))?;
    let host = if is_all_interfaces(&address.host) {
        "localhost"
    } else {
        &address.host
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    tls.connect_blocking(host, socket).map_err(io::Error::other)
}

/// A connection with TLS or without.
enum Stream {
    Plaintext(TcpStream),
    Tls(Box<BlockingStream>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plaintext(socket) => socket,
            Self::Tls(stream) => stream.get_ref(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plaintext(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plaintext(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plaintext(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// Sends a frame, with its length, and receives one without.
fn exchange_frames(stream: &mut Stream, frame: &[u8], end: Instant) -> io::Result<Bytes> {
    stream.socket().set_write_timeout(Some(left(end)?))?;
    stream.write_all(frame)?;
    stream.flush()?;
    let mut length = [0; 4];
    receive(stream, &mut length, end)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > ANSWER_BYTES_MAX {
        let error = format!("an answer of {length} bytes, which a broker does not send");
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    // Memory is allocated for the bytes that arrive, not for the length that the frame declares.
    let mut answer = Vec::new();
    let mut part = vec![0; length.min(1 << 16)];
    while answer.len() < length {
        let wanted = part.len().min(length - answer.len());
        receive(stream, &mut part[..wanted], end)?;
        answer.extend_from_slice(&part[..wanted]);
    }
    Ok(answer.into())
}

fn receive(stream: &mut Stream, mut buffer: &mut [u8], end: Instant) -> io::Result<()> {
    while !buffer.is_empty() {
        stream.socket().set_read_timeout(Some(left(end)?))?;
        match stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => buffer = &mut buffer[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

#[cfg(test)]
mod tests;
