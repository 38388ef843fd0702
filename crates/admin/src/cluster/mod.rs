//! A connection to a cluster: sends requests to the bootstrap broker, to a broker by its id, or to
//! a coordinator.
//!
//! Built on kacrab's `wire` layer, which provides connections, TLS, SASL and version negotiation.
//! The messages are Kafka's own, so that a caller sees every field of the response.
//!
//! Invariant: a request that any broker can answer goes to the bootstrap address. Advertised names
//! matter only for requests that one broker alone can answer.

mod calls;
mod connection;
mod error;
mod stores;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::{Duration, Instant};

use kacrab::wire::{BrokerEndpoint, WireClient, WireError};
use kacrab_protocol::generated::{
    DescribeClusterBroker, DescribeClusterRequestData, DescribeClusterResponseData, ErrorCode,
    FindCoordinatorRequestData, client_api_info,
};
use tokio::task::JoinSet;

pub use self::calls::{Call, DescribeTopicPartitions, TopicPartitions};
pub(crate) use self::connection::is_built_in;
pub use self::connection::{Connection, load_client_properties, load_properties};
pub use self::error::{BrokerAddress, ClusterError, Refusal, check};

/// How long a tool waits for the first broker that accepts a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a controller may take before it is assumed not to support the protocol.
const CONTROLLER_PATIENCE: Duration = Duration::from_secs(5);
/// The key type of groups in FindCoordinator.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// The time between two attempts.
const RETRY_BACKOFF: Duration = Duration::from_millis(100);

/// A broker, as the cluster describes it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Node {
    /// Its id.
    pub id: i32,
    /// The advertised host.
    pub host: String,
    /// The advertised port.
    pub port: i32,
    /// Its rack.
    pub rack: Option<String>,
    /// Whether it is registered but not in service.
    pub fenced: bool,
}

/// The recipient of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient<'a> {
    /// Any broker; it forwards the request to the controller if necessary.
    Any,
    /// The broker of this id.
    Broker(i32),
    /// The coordinator of this group.
    Coordinator(&'a str),
}

/// A connection to a cluster.
#[derive(Debug)]
pub struct Cluster {
    wire: WireClient,
    bootstrap: Vec<BrokerAddress>,
    /// The index in `bootstrap` of the address that answered.
    answering: usize,
    controllers: bool,
    /// `default.api.timeout.ms`: how long a tool retries.
    pub timeout: Duration,
    /// `request.timeout.ms`: how long a broker may take over one request.
    pub request_timeout: Duration,
    setup_timeout: Duration,
    /// Whether this client has a certificate, for messages.
    has_certificate: bool,
    nodes: RefCell<BTreeMap<i32, Node>>,
    reached: RefCell<Vec<i32>>,
}

impl Cluster {
    /// Connects to the first of the bootstrap addresses that answers.
    ///
    /// # Errors
    /// When an address cannot be read or resolved, or when none answers within ten seconds.
    pub async fn connect(connection: &Connection) -> Result<Self, ClusterError> {
        let config = connection.admin_config()?;
        let wire_config = config
            .to_connection_config()
            .map_err(ClusterError::config)?;
        let bootstrap = BrokerAddress::list(&connection.bootstrap)?;
        let endpoints = bootstrap_endpoints(&bootstrap).await;
        let setup_timeout = wire_config.socket_connection_setup_timeout;
        let answering = find_answering(&bootstrap, setup_timeout).await?;
        let request_timeout = wire_config.request_timeout;
        let wire = WireClient::connect_with_brokers(wire_config, config.client_id, endpoints);
        Ok(Self {
            wire,
            bootstrap,
            answering,
            controllers: connection.controllers,
            timeout: config.default_api_timeout_ms.duration(),
            request_timeout,
            setup_timeout,
            has_certificate: connection.has_certificate(),
            nodes: RefCell::default(),
            reached: RefCell::default(),
        })
    }

    /// Returns the bootstrap address that answered.
    #[must_use]
    pub fn bootstrap(&self) -> &BrokerAddress {
        &self.bootstrap[self.answering]
    }

    /// Returns `request.timeout.ms` in the type that the messages use.
    #[must_use]
    pub fn request_timeout_ms(&self) -> i32 {
        i32::try_from(self.request_timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// Sends a request to the broker at the bootstrap address.
    ///
    /// # Errors
    /// When it does not answer, or does not support the request.
    pub async fn ask<Request: Call>(
        &self,
        request: &Request,
    ) -> Result<Request::Response, ClusterError> {
        let id = BrokerEndpoint::bootstrap_node_id(self.answering).unwrap_or(-1);
        self.send(id, self.bootstrap(), request).await
    }

    /// Sends a request to one broker at its advertised address.
    ///
    /// # Errors
    /// When the cluster has no such broker, when its advertised address cannot be resolved or
    /// reached from here, or when it does not answer.
    pub async fn ask_broker<Request: Call>(
        &self,
        id: i32,
        request: &Request,
    ) -> Result<Request::Response, ClusterError> {
        let address = self.reach(id).await?;
        self.send(id, &address, request).await
    }

    /// Sends a request to its recipient, and fails when the response as a whole is an error.
    ///
    /// # Errors
    /// When no broker answers, or the cluster refuses.
    pub async fn call_once<Request: Call>(
        &self,
        target: Recipient<'_>,
        request: &Request,
    ) -> Result<Request::Response, ClusterError> {
        let answer = match target {
            Recipient::Any => self.ask(request).await?,
            Recipient::Broker(id) => self.ask_broker(id, request).await?,
            Recipient::Coordinator(group) => {
                let coordinator = self.coordinator(group).await?;
                self.ask_broker(coordinator.id, request).await?
            }
        };
        Request::check(&answer)?;
        Ok(answer)
    }

    /// Sends a request as [`Cluster::call_once`] does, and repeats it while the error is retriable,
    /// up to [`Cluster::timeout`].
    ///
    /// # Errors
    /// The last error.
    pub async fn call<Request: Call>(
        &self,
        target: Recipient<'_>,
        request: &Request,
    ) -> Result<Request::Response, ClusterError> {
        self.retry(async || self.call_once(target, request).await)
            .await
    }

    async fn send<Request: Call>(
        &self,
        id: i32,
        address: &BrokerAddress,
        request: &Request,
    ) -> Result<Request::Response, ClusterError> {
        let newest = client_api_info(Request::KEY).max_version;
        let version = newest.min(Request::VERSION_MAX);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let answer = self.wire.send_to_broker(id, Request::KEY, version, request);
            let answer = if self.controllers {
                let patience = CONTROLLER_PATIENCE.min(self.request_timeout);
                match tokio::time::timeout(patience, answer).await {
                    Ok(answer) => answer,
                    Err(_) => return Err(ClusterError::SilentController(address.clone())),
                }
            } else {
                answer.await
            };
            match answer {
                // An established connection broke: a broker that restarts comes back soon.
                Err(WireError::ConnectionClosed | WireError::Io(_)) if attempts < 3 => {
                    tokio::time::sleep(RETRY_BACKOFF).await;
                }
                Err(error) => {
                    return Err(ClusterError::from_wire(error, Request::KEY, address, self));
                }
                Ok(answer) => return Ok(answer),
            }
        }
    }

    /// Checks that a broker can be reached at its advertised address.
    async fn reach(&self, id: i32) -> Result<BrokerAddress, ClusterError> {
        let node = self.node(id).await?;
        let address = BrokerAddress {
            host: node.host,
            port: u16::try_from(node.port).unwrap_or(0),
        };
        if self.reached.borrow().contains(&id) {
            return Ok(address);
        }
        let advertised = |why: std::io::Error| ClusterError::Advertised {
            id,
            advertised: address.clone(),
            bootstrap: self.bootstrap().clone(),
            why: error::reason(&why),
        };
        let endpoint: BrokerEndpoint = address.endpoint(id).await.map_err(advertised)?;
        let probed = address.probe(self.setup_timeout).await;
        probed.map_err(|why| {
            ClusterError::unreached(id, address.clone(), self.bootstrap().clone(), &why)
        })?;
        self.wire.upsert_broker(endpoint);
        self.reached.borrow_mut().push(id);
        Ok(address)
    }

    /// Returns an error for each broker whose advertised name cannot be resolved from here, by id.
    /// Returns none when the brokers are not known.
    pub async fn unresolvable(&self) -> Vec<ClusterError> {
        let mut lookups = JoinSet::new();
        for node in self.nodes().await.unwrap_or_default() {
            let advertised = BrokerAddress {
                host: node.host,
                port: u16::try_from(node.port).unwrap_or(0),
            };
            lookups.spawn(async move {
                let failed = advertised.endpoint(node.id).await.err();
                (node.id, advertised, failed)
            });
        }
        let mut failures = Vec::new();
        while let Some(Ok((id, advertised, failed))) = lookups.join_next().await {
            failures.extend(failed.map(|why| (id, advertised, error::reason(&why))));
        }
        failures.sort_by_key(|(id, ..)| *id);
        let bootstrap = self.bootstrap();
        let error = |(id, advertised, why)| ClusterError::Advertised {
            id,
            advertised,
            bootstrap: bootstrap.clone(),
            why,
        };
        failures.into_iter().map(error).collect()
    }

    async fn node(&self, id: i32) -> Result<Node, ClusterError> {
        if let Some(node) = self.nodes.borrow().get(&id) {
            return Ok(node.clone());
        }
        let nodes = self.nodes().await?;
        let known = nodes.iter().map(|node| node.id).collect();
        let found = nodes.into_iter().find(|node| node.id == id);
        found.ok_or(ClusterError::NoSuchBroker { id, known })
    }

    /// Describes the cluster, with fenced brokers where `fenced` is set.
    ///
    /// # Errors
    /// When the broker does not answer, or refuses.
    pub async fn describe(
        &self,
        fenced: bool,
    ) -> Result<DescribeClusterResponseData, ClusterError> {
        let request = DescribeClusterRequestData {
            endpoint_type: if self.controllers { 2 } else { 1 },
            include_fenced_brokers: fenced,
            ..DescribeClusterRequestData::default()
        };
        let answer = self.ask(&request).await?;
        check(answer.error_code, answer.error_message.as_ref())?;
        let mut nodes = self.nodes.borrow_mut();
        for broker in &answer.brokers {
            nodes.insert(broker.broker_id, Node::from(broker));
        }
        drop(nodes);
        Ok(answer)
    }

    /// Returns the brokers in service, by id.
    ///
    /// # Errors
    /// When the broker does not answer, or refuses.
    pub async fn nodes(&self) -> Result<Vec<Node>, ClusterError> {
        let answer = self.describe(false).await?;
        let mut nodes: Vec<Node> = answer.brokers.iter().map(Node::from).collect();
        nodes.sort_by_key(|node| node.id);
        Ok(nodes)
    }

    /// Returns the ids of the brokers in service.
    ///
    /// # Errors
    /// When the broker does not answer, or refuses.
    pub async fn broker_ids(&self) -> Result<BTreeSet<i32>, ClusterError> {
        Ok(self.nodes().await?.iter().map(|node| node.id).collect())
    }

    /// Returns the coordinator of a group.
    ///
    /// # Errors
    /// When none is found within [`Cluster::timeout`], or the cluster refuses.
    pub async fn coordinator(&self, group: &str) -> Result<Node, ClusterError> {
        self.coordinator_of(GROUP, group).await
    }

    /// Returns the coordinator of a transactional id.
    ///
    /// # Errors
    /// As [`Cluster::coordinator`].
    pub async fn transaction_coordinator(&self, id: &str) -> Result<Node, ClusterError> {
        self.coordinator_of(TRANSACTION, id).await
    }

    async fn coordinator_of(&self, key_type: i8, key: &str) -> Result<Node, ClusterError> {
        let request = FindCoordinatorRequestData {
            key_type,
            coordinator_keys: vec![key.to_owned().into()],
            ..FindCoordinatorRequestData::default()
        };
        self.retry(async || {
            let answer = self.ask(&request).await?;
            let (code, message, id, host, port) = match answer.coordinators.first() {
                Some(one) => {
                    let message = one.error_message.as_ref();
                    (one.error_code, message, one.node_id, &one.host, one.port)
                }
                None => {
                    let message = answer.error_message.as_ref();
                    (
                        answer.error_code,
                        message,
                        answer.node_id,
                        &answer.host,
                        answer.port,
                    )
                }
            };
            check(code, message)?;
            let node = Node {
                id,
                host: host.to_string(),
                port,
                rack: None,
                fenced: false,
            };
            self.nodes
                .borrow_mut()
                .entry(id)
                .or_insert_with(|| node.clone());
            Ok(node)
        })
        .await
    }

    /// Repeats `work` while its error is retriable, up to [`Cluster::timeout`].
    ///
    /// # Errors
    /// The last refusal, or whatever else went wrong.
    pub async fn retry<T, Work, Running>(&self, mut work: Work) -> Result<T, ClusterError>
    where
        Work: FnMut() -> Running,
        Running: Future<Output = Result<T, ClusterError>>,
    {
        let until = Instant::now() + self.timeout;
        loop {
            match work().await {
                Err(ClusterError::Refused(refusal))
                    if is_retriable(refusal.code) && Instant::now() < until =>
                {
                    tokio::time::sleep(RETRY_BACKOFF).await;
                }
                done => return done,
            }
        }
    }
}

/// Returns whether a request may succeed a moment later: after elections, while coordinators load,
/// after a response from stale metadata.
pub fn is_retriable(code: ErrorCode) -> bool {
    use ErrorCode as Code;
    matches!(
        code,
        Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::LeaderNotAvailable
            | Code::NotLeaderOrFollower
            | Code::NotController
            | Code::RequestTimedOut
            | Code::UnstableOffsetCommit
    )
}

impl From<&DescribeClusterBroker> for Node {
    fn from(broker: &DescribeClusterBroker) -> Self {
        Self {
            id: broker.broker_id,
            host: broker.host.to_string(),
            port: broker.port,
            rack: broker.rack.as_ref().map(ToString::to_string),
            fenced: broker.is_fenced,
        }
    }
}

/// Returns the endpoints of bootstrap addresses, with ids below those of brokers. An address that
/// cannot be resolved is left out: it is reported when no other address answers.
pub(crate) async fn bootstrap_endpoints(addresses: &[BrokerAddress]) -> Vec<BrokerEndpoint> {
    let mut endpoints = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        let Some(id) = BrokerEndpoint::bootstrap_node_id(index) else {
            break;
        };
        if let Ok(endpoint) = address.endpoint(id).await {
            endpoints.push(endpoint);
        }
    }
    endpoints
}

/// Finds the first address that accepts connections; waits for a broker that is starting.
async fn find_answering(
    bootstrap: &[BrokerAddress],
    setup_timeout: Duration,
) -> Result<usize, ClusterError> {
    let began = Instant::now();
    let mut told = false;
    loop {
        let mut tried = Vec::new();
        let mut refused = false;
        for (number, address) in bootstrap.iter().enumerate() {
            match address.probe(setup_timeout).await {
                Ok(()) => return Ok(number),
                Err(why) => {
                    refused |= why.kind() == std::io::ErrorKind::ConnectionRefused;
                    tried.push((address.clone(), error::reason(&why)));
                }
            }
        }
        // A name that cannot be resolved fails at once; a refused connection is tried again, as the
        // broker may be starting.
        if !refused || began.elapsed() >= PATIENCE {
            return Err(ClusterError::Nobody { tried });
        }
        if !told {
            told = true;
            let (address, why) = &tried[0];
            let seconds = PATIENCE.as_secs();
            eprintln!(
                "No broker answers at {address} ({why}); trying again for up to {seconds} s."
            );
        }
        tokio::time::sleep(RETRY_BACKOFF).await;
    }
}

#[cfg(test)]
mod tests;
