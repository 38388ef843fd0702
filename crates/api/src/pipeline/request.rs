//! One request on its way through the pipeline.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dohle_auth::{Authorizer, Principal};
use dohle_broker::blocking::WorkOwner;
use dohle_model::acl::{Operation, ResourceType};
use dohle_network::connection::MemoryPermit;
use dohle_protocol::messages::api_versions_response::ApiVersion;
use dohle_protocol::{ApiKey, KafkaString};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::meter::RequestMeter;
use super::quotas::{QuotaClient, Quotas, ThrottleClass};
use crate::client_telemetry::ConnectedInstance;
use crate::context::Context;

/// The context of a request: its sender, its connection, and when it arrived.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext {
    /// The authenticated sender.
    pub principal: Principal,
    /// How the sender has proved who it is.
    pub authentication: Authentication,
    /// The name of the listener that the connection came in on.
    pub listener: Arc<str>,
    /// The client's address.
    pub client_address: SocketAddr,
    /// `client.id`.
    pub client_id: Option<KafkaString>,
    /// The client's library, as named in ApiVersions (KIP-511).
    pub software: Option<Arc<ClientSoftware>>,
    /// The number that the response repeats.
    pub correlation_id: i32,
    /// When the request was complete.
    pub received: Instant,
}

/// How a client has proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Authentication {
    /// Not at all: it is `User:ANONYMOUS`.
    None,
    /// With the certificate of a TLS connection.
    Certificate,
    /// With SASL.
    Sasl,
    /// With SASL and a delegation token of its principal (KIP-48).
    DelegationToken,
}

impl RequestContext {
    /// Returns the client's library and its version for a line in the log; empty when the client
    /// has not named them.
    pub fn software(&self) -> String {
        let software = self.software.as_ref();
        software.map_or_else(String::new, |software| software.to_string())
    }

    /// Returns the client that quotas apply to.
    pub fn quota_client(&self) -> QuotaClient<'_> {
        let client_id = self.client_id.as_ref();
        QuotaClient {
            user: self.principal.name(),
            client_id: client_id.map_or("", |client_id| client_id.as_str()),
        }
    }
}

/// The client library at the other end of a connection (KIP-511).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientSoftware {
    /// `ClientSoftwareName`.
    pub name: String,
    /// `ClientSoftwareVersion`.
    pub version: String,
}

impl fmt::Display for ClientSoftware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// The state that the requests of one connection share.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Held by the produce request that is appending. The later produce requests of the connection
    /// wait for it in the order of their arrival, so that records are appended in that order while
    /// batches are checked on other threads.
    pub appends: Arc<Mutex<()>>,
    /// The client library, once an ApiVersions request has named it.
    pub software: OnceLock<Arc<ClientSoftware>>,
    /// The instance of the client, once it has asked for subscriptions to its metrics.
    pub telemetry: OnceLock<ConnectedInstance>,
    /// For how long the client is throttled, in milliseconds, since the connection last asked.
    throttle_ms: AtomicU64,
    /// Measures the requests of all connections.
    pub meter: Arc<RequestMeter>,
}

impl Connection {
    /// Creates the state of a new connection.
    pub fn new(meter: &Arc<RequestMeter>) -> Self {
        Self {
            appends: Arc::default(),
            software: OnceLock::new(),
            telemetry: OnceLock::new(),
            throttle_ms: AtomicU64::new(0),
            meter: Arc::clone(meter),
        }
    }

    /// Throttles the client of the connection for this time at least, because of a request of this
    /// API.
    pub fn throttle(&self, key: ApiKey, time: Duration) {
        if !time.is_zero() {
            self.meter.throttled(key, time);
            let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            self.throttle_ms.fetch_max(milliseconds, Ordering::Relaxed);
        }
    }

    /// Returns for how long the client is throttled because of requests that were served since the
    /// last call.
    pub fn take_throttle_time(&self) -> Duration {
        // Most of the time there is none, and a load is cheaper.
        if self.throttle_ms.load(Ordering::Relaxed) == 0 {
            return Duration::ZERO;
        }
        Duration::from_millis(self.throttle_ms.swap(0, Ordering::Relaxed))
    }
}

/// A request, with everything that its handler needs.
pub(crate) struct Call {
    /// The APIs that are served, as ApiVersions lists them.
    pub advertised: Arc<[ApiVersion]>,
    /// The state that all handlers share.
    pub context: Arc<Context>,
    /// The state that the requests of the connection share.
    pub connection: Arc<Connection>,
    /// The context of the request.
    pub request: RequestContext,
    /// The request's version, which the table allows.
    pub version: i16,
    /// The permit for the memory of the request's bytes. Handlers that wait without the bytes drop
    /// it first.
    pub permit: Option<MemoryPermit>,
    /// The size of the request, without its length.
    pub frame_bytes: usize,
    /// The quota that the request counts towards.
    pub throttle_class: ThrottleClass,
    /// The quotas, and what was used of them.
    pub quotas: Arc<dyn Quotas>,
    pub(super) authorizer: Arc<dyn Authorizer>,
    /// The operations that the API's row in the table lists.
    pub(super) access: &'static [(ResourceType, Operation)],
}

impl Call {
    /// Returns the owner of the request's work on the blocking pool.
    pub fn owner(&self) -> WorkOwner {
        WorkOwner::client(self.request.client_address.ip())
    }

    /// Returns whether an authorizer is configured that decides by ACLs.
    pub fn has_acls(&self) -> bool {
        self.authorizer.has_acls()
    }
}
