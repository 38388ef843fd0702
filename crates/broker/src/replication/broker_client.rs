//! Kafka requests to other brokers (`Replication.Call`).
//!
//! All calls to a broker share one HTTP/2 connection. When a connection breaks, the calls on it
//! fail, and the next call connects again. The caller decides whether to repeat a call, which the
//! broker may have carried out.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use dohle_model::{BrokerEpoch, ErrorCode, HostPort, IncarnationId, NodeId};
use dohle_protocol::InterBroker;
use dohle_protocol::forward::{decode_body, encode_request};
use dohle_rpc::replication_transport::{CALL_PATH, EndStatus, Framed, TransportError};
use dohle_rpc::{convert, v1};
use dohle_tls::Connector;
use futures::stream;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::time::{Instant, timeout_at};

use super::connection::{self, Connection, Sender};
use crate::metadata::MetadataCache;

/// Why a call has no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The metadata has no address of the broker, or does not have this broker yet.
    #[error("broker {0} has no address in the metadata")]
    Unknown(NodeId),
    /// The broker cannot be reached, or ended the call.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// No response came in time; the request may have been carried out.
    #[error("no response in time")]
    TimedOut,
    /// The broker serves other versions of the request.
    #[error("broker {broker} serves versions {} to {}", .served.start(), .served.end())]
    Version {
        /// The broker.
        broker: NodeId,
        /// The versions that it serves.
        served: RangeInclusive<i32>,
    },
    /// The request or the response cannot be encoded or decoded.
    #[error("{0}")]
    Codec(String),
}

impl CallError {
    /// Kafka's code for the outcome of the request.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Unknown(_) => ErrorCode::BrokerNotAvailable,
            Self::Transport(_) => ErrorCode::NetworkException,
            Self::TimedOut => ErrorCode::RequestTimedOut,
            Self::Version { .. } => ErrorCode::UnsupportedVersion,
            Self::Codec(_) => ErrorCode::UnknownServerError,
        }
    }
}

/// The requests of a call, of which there is one.
type Requests = stream::Iter<std::array::IntoIter<Result<Framed, EndStatus>, 1>>;

/// A connection to a broker.
struct Live {
    address: PeerAddress,
    sender: Sender<Requests>,
    _connection: Connection,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct PeerAddress {
    host: String,
    port: u16,
    /// The epoch of the broker: a broker that was restarted has another one at the same address.
    epoch: BrokerEpoch,
}

type ClientSlot = Arc<tokio::sync::Mutex<Option<Live>>>;

/// Sends Kafka requests to other brokers of the cluster.
pub struct BrokerClient {
    node: NodeId,
    cluster_id: String,
    incarnation: IncarnationId,
    listener: String,
    connector: Connector,
    metadata: Arc<MetadataCache>,
    connections: Mutex<HashMap<NodeId, ClientSlot>>,
}

impl std::fmt::Debug for BrokerClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerClient")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl BrokerClient {
    /// Creates the client of this broker, which connects to others at their endpoint of `listener`.
    #[must_use]
    pub fn new(
        node: NodeId,
        cluster_id: String,
        incarnation: IncarnationId,
        listener: String,
        metadata: Arc<MetadataCache>,
    ) -> Self {
        Self {
            node,
            cluster_id,
            incarnation,
            listener,
            connector: Connector::plaintext(),
            metadata,
            connections: Mutex::default(),
        }
    }

    /// Returns the client with another way to open its connections.
    #[must_use]
    pub fn with_connector(mut self, connector: Connector) -> Self {
        self.connector = connector;
        self
    }

    /// Sends a request to a broker, and returns its response.
    ///
    /// # Errors
    /// When there is no response by the deadline. Except for [`CallError::Unknown`] and
    /// [`CallError::Version`] the broker may have carried out the request.
    pub async fn call<R: InterBroker>(
        &self,
        to: NodeId,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Response, CallError> {
        let mut version = *R::VERSIONS.end();
        loop {
            let call = self.call_in(to, request, version);
            let answer = timeout_at(deadline, call).await;
            match answer.map_err(|_| CallError::TimedOut)?? {
                CallOutcome::Response(response) => return Ok(response),
                CallOutcome::Versions(served) => {
                    let newest = (*served.end()).min(i32::from(*R::VERSIONS.end()));
                    let newest = i16::try_from(newest).unwrap_or(-1);
                    let agreed = R::VERSIONS.contains(&newest)
                        && served.contains(&i32::from(newest))
                        && newest < version;
                    if !agreed {
                        return Err(CallError::Version { broker: to, served });
                    }
                    version = newest;
                }
            }
        }
    }

    async fn call_in<R: InterBroker>(
        &self,
        to: NodeId,
        request: &R,
        version: i16,
    ) -> Result<CallOutcome<R::Response>, CallError> {
        let codec = |error: &dyn std::fmt::Display| CallError::Codec(error.to_string());
        let (address, hello) = self.address(to).ok_or(CallError::Unknown(to))?;
        let request = v1::CallRequest {
            hello: Some(hello),
            api_key: i32::from(R::KEY as i16),
            api_version: i32::from(version),
            body: encode_request(request, version).map_err(|error| codec(&error))?,
        };
        let mut sender = self.sender(to, &address).await?;
        let requests = stream::iter([Ok(Framed::message(&request))]);
        let authority = HostPort(&address.host, address.port);
        let mut messages = connection::begin(&mut sender, &authority, CALL_PATH, requests).await?;
        let message = messages.message().await?;
        let message =
            message.ok_or_else(|| CallError::Codec("the response is empty".to_owned()))?;
        let response = v1::CallResponse::decode(message).map_err(|error| codec(&error))?;
        match response.result {
            Some(v1::call_response::Result::Body(body)) => {
                let response = decode_body(body, version).map_err(|error| codec(&error))?;
                Ok(CallOutcome::Response(response))
            }
            Some(v1::call_response::Result::Versions(v1::CallVersions { min, max })) => {
                Ok(CallOutcome::Versions(min..=max))
            }
            None => Err(CallError::Codec("the response has no result".to_owned())),
        }
    }

    /// Returns the connection to a broker. Connects if there is no connection, or if the broker has
    /// another address now.
    async fn sender(
        &self,
        to: NodeId,
        address: &PeerAddress,
    ) -> Result<Sender<Requests>, TransportError> {
        let slot = Arc::clone(self.connections.lock().entry(to).or_default());
        let mut slot = slot.lock().await;
        if let Some(live) = &*slot
            && live.address == *address
            && !live.sender.is_closed()
        {
            return Ok(live.sender.clone());
        }
        *slot = None;
        let (sender, connection) =
            connection::connect(&self.connector, &address.host, address.port).await?;
        *slot = Some(Live {
            address: address.clone(),
            sender: sender.clone(),
            _connection: connection,
        });
        Ok(sender)
    }

    /// Returns the address of a broker, and the hello to send to it.
    fn address(&self, to: NodeId) -> Option<(PeerAddress, v1::FollowerHello)> {
        let image = self.metadata.image();
        let broker = image.brokers.get(&to)?;
        let mut endpoints = broker.endpoints.iter();
        let endpoint = endpoints.find(|it| it.listener == self.listener)?;
        let own = image.brokers.get(&self.node)?;
        let address = PeerAddress {
            host: endpoint.host.clone(),
            port: endpoint.port,
            epoch: broker.epoch,
        };
        let hello = v1::FollowerHello {
            cluster_id: self.cluster_id.clone(),
            broker_id: self.node.0,
            broker_epoch: own.epoch.0,
            incarnation: convert::uuid_to_wire(self.incarnation.0),
        };
        Some((address, hello))
    }
}

enum CallOutcome<T> {
    Response(T),
    Versions(RangeInclusive<i32>),
}

#[cfg(test)]
mod tests;
