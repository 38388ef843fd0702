//! Multi-broker wire client facade.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, RwLock},
    time::Instant,
};

#[cfg(feature = "producer")]
use bytes::BytesMut;
use kacrab_protocol::{
    generated::{ApiKey, MetadataResponseData},
    version::client_api_info,
};
use tokio::sync::Mutex;

#[cfg(feature = "producer")]
use super::broker::PendingBrokerResponse;
#[cfg(feature = "consumer")]
use super::capabilities::BrokerCapabilities;
#[cfg(feature = "producer")]
use super::metadata::PartitionLeaderChange;
use super::{
    auth::OAuthTokenCache,
    broker::{BrokerEndpoint, BrokerHandle},
    buffer::{BufferPoolStats, BufferPools},
    config::ConnectionConfig,
    error::{Result, WireError},
    message::{RequestMessage, ResponseMessage},
    metadata::{
        BrokerMetadata, ClusterMetadata, MetadataManager, MetadataRecoveryAction, map_metadata,
        metadata_request, metadata_topic_states,
    },
};

/// Cloneable wire facade that routes requests to broker-owned tasks.
#[derive(Debug, Clone)]
pub struct WireClient {
    inner: Arc<WireClientInner>,
}

#[derive(Debug)]
struct WireClientInner {
    config: ConnectionConfig,
    client_id: String,
    endpoints: RwLock<HashMap<i32, BrokerEndpoint>>,
    /// The hosts and ports of brokers whose host could not be resolved.
    unresolved: RwLock<HashMap<i32, (String, i32)>>,
    handles: RwLock<HashMap<i32, BrokerHandle>>,
    metadata: RwLock<MetadataManager>,
    metadata_refresh: Mutex<()>,
    oauth_token_cache: Arc<Mutex<OAuthTokenCache>>,
    buffers: Arc<BufferPools>,
}

impl WireClient {
    /// Create a wire client from known broker endpoints.
    #[must_use]
    pub fn connect_with_brokers(
        config: ConnectionConfig,
        client_id: impl Into<String>,
        brokers: impl IntoIterator<Item = BrokerEndpoint>,
    ) -> Self {
        let endpoints = brokers.into_iter().collect::<Vec<_>>();
        let endpoint_registry = endpoints
            .iter()
            .cloned()
            .map(|endpoint| (endpoint.node_id, endpoint))
            .collect();
        Self {
            inner: Arc::new(WireClientInner {
                buffers: Arc::new(BufferPools::new(config.buffer_pool_capacity)),
                metadata: RwLock::new(MetadataManager::new(config.clone(), endpoints)),
                config,
                client_id: client_id.into(),
                endpoints: RwLock::new(endpoint_registry),
                unresolved: RwLock::new(HashMap::new()),
                handles: RwLock::new(HashMap::new()),
                metadata_refresh: Mutex::new(()),
                oauth_token_cache: Arc::new(Mutex::new(OAuthTokenCache::default())),
            }),
        }
    }

    /// Add or replace a broker endpoint discovered from metadata.
    pub fn upsert_broker(&self, endpoint: BrokerEndpoint) {
        self.register_endpoints([endpoint]);
    }

    /// Add or replace endpoints. The connection to a broker whose host or port
    /// has changed is given up: the next request connects to the new address.
    fn register_endpoints(&self, registered: impl IntoIterator<Item = BrokerEndpoint>) {
        let mut endpoints = self
            .inner
            .endpoints
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut moved = Vec::new();
        for endpoint in registered {
            let id = endpoint.node_id;
            let address = (endpoint.host.clone(), endpoint.port);
            let previous = endpoints.insert(id, endpoint);
            if previous.is_some_and(|previous| (previous.host, previous.port) != address) {
                moved.push(id);
            }
        }
        drop(endpoints);
        if moved.is_empty() {
            return;
        }
        let mut handles = self
            .inner
            .handles
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for id in moved {
            let _previous = handles.remove(&id);
        }
    }

    /// Return one known broker id for metadata/control-plane requests.
    #[cfg(any(feature = "producer", feature = "consumer"))]
    pub(crate) fn any_broker_id(&self) -> Result<i32> {
        self.refresh_broker_id()
    }

    /// Capabilities negotiated with `preferred`, falling back to any broker
    /// whose connection has already completed its `ApiVersions` handshake.
    ///
    /// `None` means no connection has handshaken yet — not that the cluster
    /// lacks anything. The fallback matters because a group member learns its
    /// coordinator's node id from `FindCoordinator` (answered by some other
    /// broker) and only connects to it when it sends the first group RPC: at the
    /// moment the consumer wants to decide whether that RPC is even servable,
    /// the coordinator's own handshake has not happened. Every broker in a
    /// cluster runs the same release and advertises the same API set, so the
    /// broker that answered `FindCoordinator` is a sound stand-in.
    ///
    /// Reads the handle registry directly rather than going through
    /// [`handle_for`](Self::handle_for), which would spawn a connection task for
    /// a broker that has not been contacted — the opposite of what a
    /// capability *query* should do.
    #[cfg(feature = "consumer")]
    pub(crate) fn negotiated_capabilities(&self, preferred: i32) -> Option<BrokerCapabilities> {
        let handles = self
            .inner
            .handles
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        handles
            .get(&preferred)
            .and_then(BrokerHandle::capabilities)
            .or_else(|| handles.values().find_map(BrokerHandle::capabilities))
    }

    /// Highest mutually-supported version the given broker advertised for
    /// `api_key`, or `None` if the broker is unknown or its connection has not
    /// yet completed `ApiVersions` negotiation. Used by the producer to gate
    /// coordinator-capability-dependent behavior (e.g. epoch bumping) and by the
    /// consumer to pick fetch/offset request versions.
    #[cfg(any(feature = "producer", feature = "consumer"))]
    pub(crate) fn negotiated_version(&self, broker_id: i32, api_key: ApiKey) -> Option<i16> {
        self.handle_for(broker_id).ok()?.negotiated_version(api_key)
    }

    /// Age of the currently cached cluster metadata (Kafka `metadata-age`), or
    /// `None` when no metadata has been fetched yet.
    #[cfg(feature = "producer")]
    pub(crate) fn metadata_age(&self) -> Option<std::time::Duration> {
        self.inner
            .metadata
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .current_age(Instant::now())
    }

    /// Return wire buffer pool diagnostic counters.
    #[must_use]
    pub fn buffer_pool_stats(&self) -> BufferPoolStats {
        self.inner.buffers.stats()
    }

    #[cfg(feature = "producer")]
    pub(crate) fn acquire_write_buffer(&self, capacity: usize) -> BytesMut {
        self.inner.buffers.acquire_write(capacity)
    }

    #[cfg(feature = "producer")]
    pub(crate) fn release_write_buffer(&self, buffer: BytesMut) {
        self.inner.buffers.release_write(buffer);
    }

    /// Send a generated request to a specific broker id.
    pub async fn send_to_broker<Req, Resp>(
        &self,
        broker_id: i32,
        api_key: ApiKey,
        api_version: i16,
        request: &Req,
    ) -> Result<Resp>
    where
        Req: RequestMessage + Clone + Send + Sync + 'static,
        Resp: ResponseMessage,
    {
        let handle = self.handle_for(broker_id)?;
        handle.send(api_key, api_version, request).await
    }

    /// Send to a specific broker with a per-request timeout instead of the
    /// connection's `request.timeout.ms` — for RPCs the broker legitimately
    /// holds longer (JoinGroup/SyncGroup during a rebalance).
    #[cfg(feature = "consumer")]
    #[expect(
        clippy::too_many_arguments,
        reason = "send_to_broker plus the per-request timeout; splitting hurts call-site clarity."
    )]
    pub(crate) async fn send_to_broker_with_timeout<Req, Resp>(
        &self,
        broker_id: i32,
        api_key: ApiKey,
        api_version: i16,
        request: &Req,
        timeout: std::time::Duration,
    ) -> Result<Resp>
    where
        Req: RequestMessage + Clone + Send + Sync + 'static,
        Resp: ResponseMessage,
    {
        let handle = self.handle_for(broker_id)?;
        handle
            .send_with_timeout(api_key, api_version, request, timeout)
            .await
    }

    #[cfg(feature = "producer")]
    pub(crate) fn enqueue_to_broker<Req, Resp>(
        &self,
        broker_id: i32,
        api_key: ApiKey,
        api_version: i16,
        request: &Req,
    ) -> Result<PendingBrokerResponse<Resp>>
    where
        Req: RequestMessage + Clone + Send + Sync + 'static,
        Resp: ResponseMessage,
    {
        let handle = self.handle_for(broker_id)?;
        handle.enqueue(api_key, api_version, request)
    }

    /// Send a generated request to a broker when the Kafka API will not return
    /// a response for this request, such as Produce with `acks=0`.
    pub async fn send_to_broker_without_response<Req>(
        &self,
        broker_id: i32,
        api_key: ApiKey,
        api_version: i16,
        request: &Req,
    ) -> Result<()>
    where
        Req: RequestMessage + Clone + Send + Sync + 'static,
    {
        let handle = self.handle_for(broker_id)?;
        handle
            .send_without_response(api_key, api_version, request)
            .await
    }

    /// Return cached metadata for topics, refreshing through a known broker when needed.
    pub async fn metadata_for_topics<I, S>(&self, topics: I) -> Result<Arc<ClusterMetadata>>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let topics: Vec<String> = topics
            .into_iter()
            .map(|topic| topic.as_ref().to_owned())
            .collect();
        if let Some(metadata) = self.cached_metadata_for(&topics) {
            return Ok(metadata);
        }
        self.request_metadata_update_for_missing_topics(&topics);
        if let Some((topic, error)) = self.persistent_topic_error_for(&topics) {
            return Err(WireError::MetadataTopic { topic, error });
        }

        let _refresh_guard = self.inner.metadata_refresh.lock().await;
        if let Some(metadata) = self.cached_metadata_for(&topics) {
            return Ok(metadata);
        }
        self.request_metadata_update_for_missing_topics(&topics);
        if let Some((topic, error)) = self.persistent_topic_error_for(&topics) {
            return Err(WireError::MetadataTopic { topic, error });
        }

        self.wait_for_metadata_refresh_slot().await;
        self.record_metadata_refresh_attempt();

        let response = match self.fetch_metadata_response(&topics).await {
            Ok(response) => response,
            Err(error) => {
                self.record_metadata_refresh_failure()?;
                if self.record_no_usable_metadata() == MetadataRecoveryAction::Rebootstrap {
                    self.restore_bootstrap_endpoints();
                    self.wait_for_metadata_refresh_slot().await;
                    self.record_metadata_refresh_attempt();
                    self.fetch_metadata_response(&topics).await?
                } else {
                    return Err(error);
                }
            },
        };
        self.record_metadata_topic_states(&response);
        let metadata = Arc::new(match map_metadata(response) {
            Ok(metadata) => metadata,
            Err(error) => {
                self.record_metadata_refresh_failure()?;
                return Err(error);
            },
        });
        self.update_broker_registry(&metadata).await?;
        self.store_metadata(&topics, Arc::clone(&metadata))?;
        self.mark_topics_used(&topics);
        Ok(metadata)
    }

    /// Invalidate cached metadata when a topic-partition leadership error is observed.
    ///
    /// `partition` identifies the trigger and is recorded per partition, but the
    /// invalidation is *topic-scoped*: Kafka's `Metadata` request is topic-keyed,
    /// so the smallest unit that can actually be refetched is a whole topic.
    /// Metadata for every other topic keeps being served from the cached
    /// snapshot until its own `metadata.max.age.ms` / `metadata.max.idle.ms`
    /// expiry, instead of one partition's leadership error forcing a
    /// full-cluster refetch.
    pub fn invalidate_topic_partition(&self, topic: &str, partition: i32) {
        self.inner
            .metadata
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .invalidate_topic_partition(topic, partition);
    }

    #[cfg(feature = "producer")]
    pub(crate) async fn upsert_broker_metadata(&self, brokers: &[BrokerMetadata]) -> Result<()> {
        self.update_broker_registry_from_brokers(brokers).await
    }

    #[cfg(feature = "producer")]
    pub(crate) fn apply_partition_leader_update(&self, change: PartitionLeaderChange<'_>) -> bool {
        self.inner
            .metadata
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .apply_partition_leader_update(change)
    }

    fn handle_for(&self, broker_id: i32) -> Result<BrokerHandle> {
        let existing_handle = {
            let handles = self
                .inner
                .handles
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            handles.get(&broker_id).cloned()
        };
        if let Some(handle) = existing_handle {
            return Ok(handle);
        }

        let endpoint = {
            let endpoints = self
                .inner
                .endpoints
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            endpoints.get(&broker_id).cloned()
        };
        let endpoint = match endpoint {
            Some(endpoint) => endpoint,
            None => return Err(self.missing_endpoint(broker_id)),
        };

        let result = {
            let mut handles = self
                .inner
                .handles
                .write()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            handles.get(&broker_id).cloned().unwrap_or_else(|| {
                let handle = BrokerHandle::spawn(
                    endpoint,
                    self.inner.client_id.clone(),
                    self.inner.config.clone(),
                    Arc::clone(&self.inner.buffers),
                    Arc::clone(&self.inner.oauth_token_cache),
                );
                let _previous = handles.insert(broker_id, handle.clone());
                handle
            })
        };
        Ok(result)
    }

    /// Why there is no endpoint of a broker.
    fn missing_endpoint(&self, broker_id: i32) -> WireError {
        let unresolved = self
            .inner
            .unresolved
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        unresolved
            .get(&broker_id)
            .map_or(WireError::UnknownBroker(broker_id), |(host, port)| {
                WireError::InvalidBrokerEndpoint {
                    node_id: broker_id,
                    host: host.clone(),
                    port: *port,
                }
            })
    }

    pub(crate) fn cached_metadata_for(&self, topics: &[String]) -> Option<Arc<ClusterMetadata>> {
        let mut manager = self
            .inner
            .metadata
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let metadata = manager.cached_for(topics, Instant::now())?;
        manager.mark_topics_used(topics, Instant::now());
        drop(manager);
        Some(metadata)
    }

    fn refresh_broker_id(&self) -> Result<i32> {
        self.candidate_broker_ids()
            .first()
            .copied()
            .ok_or(WireError::NoBrokerAvailable)
    }

    /// Brokers for a request that any of them can serve, in the order in which to
    /// try them: connected ones, those that were not tried yet, and last those
    /// whose last attempt to connect failed. Among equals, bootstrap addresses
    /// come first, in the order of `bootstrap.servers`.
    fn candidate_broker_ids(&self) -> Vec<i32> {
        let endpoints = self
            .inner
            .endpoints
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut ids: Vec<i32> = endpoints.keys().copied().collect();
        drop(endpoints);
        let handles = self
            .inner
            .handles
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        ids.sort_by_key(|id| {
            let state = match handles.get(id) {
                Some(handle) if handle.is_unreachable() => 2_u8,
                Some(_) => 0,
                None => 1,
            };
            (state, *id >= 0, id.unsigned_abs())
        });
        drop(handles);
        ids
    }

    /// Send to one broker, and fail with [`WireError::ConnectionClosed`] as soon as
    /// an attempt to connect to it fails.
    #[cfg(feature = "consumer")]
    pub(crate) async fn send_while_reachable<Req, Resp>(
        &self,
        broker_id: i32,
        api_key: ApiKey,
        api_version: i16,
        request: &Req,
    ) -> Result<Resp>
    where
        Req: RequestMessage + Clone + Send + Sync + 'static,
        Resp: ResponseMessage,
    {
        self.handle_for(broker_id)?
            .send_while_reachable(api_key, api_version, request)
            .await
    }

    /// Send a request that any broker can serve to the first one that answers.
    pub(crate) async fn send_to_any_broker<Req, Resp>(
        &self,
        api_key: ApiKey,
        api_version: i16,
        request: &Req,
    ) -> Result<Resp>
    where
        Req: RequestMessage + Clone + Send + Sync + 'static,
        Resp: ResponseMessage,
    {
        let mut last_error = WireError::NoBrokerAvailable;
        for broker_id in self.candidate_broker_ids() {
            let handle = self.handle_for(broker_id)?;
            match handle
                .send_while_reachable(api_key, api_version, request)
                .await
            {
                Err(
                    error @ (WireError::ConnectionClosed | WireError::Io(_) | WireError::Timeout),
                ) => last_error = error,
                answer => return answer,
            }
        }
        Err(last_error)
    }

    async fn update_broker_registry(&self, metadata: &ClusterMetadata) -> Result<()> {
        self.update_broker_registry_from_brokers(&metadata.brokers)
            .await
    }

    async fn update_broker_registry_from_brokers(&self, brokers: &[BrokerMetadata]) -> Result<()> {
        let (endpoints, unresolved) = resolve_broker_endpoints(brokers).await?;
        {
            let mut known = self
                .inner
                .unresolved
                .write()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            for endpoint in &endpoints {
                let _resolved = known.remove(&endpoint.node_id);
            }
            known.extend(
                unresolved
                    .into_iter()
                    .map(|broker| (broker.node_id, (broker.host, broker.port))),
            );
        }
        self.register_endpoints(endpoints);
        Ok(())
    }

    /// Fold a metadata response into the cache.
    ///
    /// `requested_topics` is the topic list the refresh actually asked for: the
    /// response only speaks for those topics, so every other cached topic is
    /// retained rather than evicted.
    fn store_metadata(
        &self,
        requested_topics: &[String],
        metadata: Arc<ClusterMetadata>,
    ) -> Result<()> {
        self.inner
            .metadata
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .store(requested_topics, metadata, Instant::now())?;
        Ok(())
    }

    async fn fetch_metadata_response(&self, topics: &[String]) -> Result<MetadataResponseData> {
        let request = metadata_request(topics, self.inner.config.allow_auto_topic_creation);
        let version = client_api_info(ApiKey::Metadata).max_version;
        self.send_to_any_broker(ApiKey::Metadata, version, &request)
            .await
    }

    fn mark_topics_used(&self, topics: &[String]) {
        self.inner
            .metadata
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .mark_topics_used(topics, Instant::now());
    }

    fn record_no_usable_metadata(&self) -> MetadataRecoveryAction {
        self.inner
            .metadata
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .record_no_usable_metadata(Instant::now())
    }

    async fn wait_for_metadata_refresh_slot(&self) {
        loop {
            let delay = self
                .inner
                .metadata
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .refresh_delay(Instant::now());
            if delay.is_zero() {
                return;
            }
            tokio::time::sleep(delay).await;
        }
    }

    fn record_metadata_refresh_attempt(&self) {
        self.inner
            .metadata
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .record_refresh_attempt(Instant::now());
    }

    fn record_metadata_refresh_failure(&self) -> Result<()> {
        let _delay = self
            .inner
            .metadata
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .record_refresh_failure(Instant::now())?;
        Ok(())
    }

    fn record_metadata_topic_states(&self, response: &MetadataResponseData) {
        self.inner
            .metadata
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .record_topic_states(metadata_topic_states(response));
    }

    fn request_metadata_update_for_missing_topics(&self, topics: &[String]) {
        self.inner
            .metadata
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .request_update_for_missing_topics(topics);
    }

    fn persistent_topic_error_for(
        &self,
        topics: &[String],
    ) -> Option<(String, kacrab_protocol::generated::ErrorCode)> {
        let manager = self
            .inner
            .metadata
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        topics.iter().find_map(|topic| {
            if manager.is_invalid_topic(topic) || manager.is_unauthorized_topic(topic) {
                manager
                    .topic_error(topic)
                    .map(|error| (topic.clone(), error))
            } else {
                None
            }
        })
    }

    fn restore_bootstrap_endpoints(&self) {
        let endpoints = self
            .inner
            .metadata
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .bootstrap_endpoints()
            .map(|endpoint| (endpoint.node_id, endpoint))
            .collect::<HashMap<_, _>>();
        if endpoints.is_empty() {
            return;
        }
        let mut guard = self
            .inner
            .endpoints
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *guard = endpoints;
    }

    /// Fetch fresh cluster metadata for admin routing and listing.
    ///
    /// `topics = None` requests metadata for every topic (the Kafka "all topics"
    /// convention); `Some(list)` limits it to the named topics. The broker
    /// registry is updated so brokers discovered here — including the
    /// controller — become directly reachable for follow-up requests.
    ///
    /// Also used by the consumer to resolve pattern subscriptions against the
    /// full topic list.
    #[cfg(any(feature = "admin", feature = "consumer"))]
    pub(crate) async fn admin_metadata(
        &self,
        topics: Option<&[String]>,
    ) -> Result<Arc<ClusterMetadata>> {
        let request = topics.map_or_else(super::metadata::metadata_request_all, |topics| {
            metadata_request(topics, false)
        });
        let version = client_api_info(ApiKey::Metadata).max_version;
        let response: MetadataResponseData = self
            .send_to_any_broker(ApiKey::Metadata, version, &request)
            .await?;
        let metadata = Arc::new(map_metadata(response)?);
        self.update_broker_registry(metadata.as_ref()).await?;
        Ok(metadata)
    }

    /// Lowest known broker id, for admin requests that target any live broker.
    #[cfg(feature = "admin")]
    pub(crate) fn admin_any_broker_id(&self) -> Result<i32> {
        self.refresh_broker_id()
    }
}

/// Resolves the hosts of brokers. Returns those whose host cannot be resolved apart: as
/// in Java, they do not keep a client from the others.
async fn resolve_broker_endpoints(
    brokers: &[BrokerMetadata],
) -> Result<(Vec<BrokerEndpoint>, Vec<BrokerMetadata>)> {
    let mut endpoints = Vec::with_capacity(brokers.len());
    let mut unresolved = Vec::new();
    for broker in brokers {
        let port = u16::try_from(broker.port).map_err(|_| WireError::InvalidBrokerEndpoint {
            node_id: broker.node_id,
            host: broker.host.clone(),
            port: broker.port,
        })?;
        let addresses = tokio::net::lookup_host((broker.host.as_str(), port)).await;
        let Some(addr) = addresses.ok().and_then(choose_broker_addr) else {
            unresolved.push(broker.clone());
            continue;
        };
        endpoints.push(BrokerEndpoint::from_resolved(
            broker.node_id,
            broker.host.clone(),
            port,
            addr,
        ));
    }
    Ok((endpoints, unresolved))
}

fn choose_broker_addr(addresses: impl IntoIterator<Item = SocketAddr>) -> Option<SocketAddr> {
    let mut first = None;
    for address in addresses {
        if first.is_none() {
            first = Some(address);
        }
        if address.is_ipv4() {
            return Some(address);
        }
    }
    first
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::expect_used,
        clippy::missing_assert_message,
        clippy::unwrap_used,
        reason = "Unit test fixtures fail fastest with contextual unwrap/expect calls."
    )]

    use std::{
        net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
        sync::Arc,
        time::Duration,
    };

    use kacrab_protocol::{
        KafkaString, KafkaUuid,
        generated::{ErrorCode, MetadataResponseData, MetadataResponseTopic},
    };

    use super::{BrokerEndpoint, ClusterMetadata, WireClient, choose_broker_addr};
    use crate::wire::{
        BrokerMetadata, ConnectionConfig, PartitionMetadata, TopicMetadata, WireError,
    };

    #[test]
    fn choose_broker_addr_prefers_ipv4_when_available() {
        let ipv6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 9092);
        let ipv4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9092);

        assert_eq!(choose_broker_addr([ipv6, ipv4]), Some(ipv4));
    }

    #[test]
    fn choose_broker_addr_keeps_ipv6_when_it_is_the_only_address() {
        let ipv6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 9092);

        assert_eq!(choose_broker_addr([ipv6]), Some(ipv6));
    }

    #[test]
    fn cached_metadata_rejects_expired_or_missing_topic_snapshots() {
        let client = WireClient::connect_with_brokers(
            ConnectionConfig::default().metadata_max_age(Duration::ZERO),
            "client-a",
            [BrokerEndpoint::new(
                7,
                "127.0.0.1:9092".parse().expect("socket address"),
            )],
        );
        let metadata = Arc::new(ClusterMetadata {
            cluster_id: Some("cluster-a".to_owned()),
            controller_id: 7,
            brokers: vec![BrokerMetadata {
                node_id: 7,
                host: "localhost".to_owned(),
                port: 9092,
                rack: None,
            }],
            topics: vec![TopicMetadata {
                name: "orders".to_owned(),
                topic_id: KafkaUuid::ZERO,
                is_internal: false,
                partitions: vec![PartitionMetadata {
                    partition_index: 0,
                    leader_id: 7,
                    leader_epoch: 1,
                    replica_nodes: vec![7],
                    isr_nodes: vec![7],
                    offline_replicas: Vec::new(),
                }],
            }],
        });

        client
            .store_metadata(&["orders".to_owned()], Arc::clone(&metadata))
            .unwrap();

        assert!(client.cached_metadata_for(&["orders".to_owned()]).is_none());

        let client = WireClient::connect_with_brokers(ConnectionConfig::default(), "client-a", []);
        client
            .store_metadata(&["orders".to_owned()], metadata)
            .unwrap();
        assert!(
            client
                .cached_metadata_for(&["payments".to_owned()])
                .is_none()
        );
    }

    #[test]
    fn cached_metadata_rejects_idle_topic_snapshots() {
        let client = WireClient::connect_with_brokers(
            ConnectionConfig::default()
                .metadata_max_age(Duration::from_mins(1))
                .metadata_max_idle(Duration::ZERO),
            "client-a",
            [BrokerEndpoint::new(
                7,
                "127.0.0.1:9092".parse().expect("socket address"),
            )],
        );
        client
            .store_metadata(
                &["orders".to_owned()],
                Arc::new(ClusterMetadata {
                    cluster_id: Some("cluster-a".to_owned()),
                    controller_id: 7,
                    brokers: vec![BrokerMetadata {
                        node_id: 7,
                        host: "localhost".to_owned(),
                        port: 9092,
                        rack: None,
                    }],
                    topics: vec![TopicMetadata {
                        name: "orders".to_owned(),
                        topic_id: KafkaUuid::ZERO,
                        is_internal: false,
                        partitions: vec![PartitionMetadata {
                            partition_index: 0,
                            leader_id: 7,
                            leader_epoch: 1,
                            replica_nodes: vec![7],
                            isr_nodes: vec![7],
                            offline_replicas: Vec::new(),
                        }],
                    }],
                }),
            )
            .unwrap();

        assert!(client.cached_metadata_for(&["orders".to_owned()]).is_none());
    }

    #[test]
    fn invalidate_topic_partition_keeps_unrelated_topics_cached() {
        let client = WireClient::connect_with_brokers(
            ConnectionConfig::default()
                .metadata_max_age(Duration::from_mins(5))
                .metadata_max_idle(Duration::from_mins(5)),
            "client-a",
            [BrokerEndpoint::new(
                7,
                "127.0.0.1:9092".parse().expect("socket address"),
            )],
        );
        let orders = "orders".to_owned();
        let payments = "payments".to_owned();
        client
            .store_metadata(
                &[orders.clone(), payments.clone()],
                Arc::new(cluster_metadata_with_topics(&["orders", "payments"])),
            )
            .unwrap();
        client.mark_topics_used(&[orders.clone(), payments.clone()]);

        assert!(
            client
                .cached_metadata_for(std::slice::from_ref(&orders))
                .is_some()
        );
        assert!(
            client
                .cached_metadata_for(std::slice::from_ref(&payments))
                .is_some()
        );

        client.invalidate_topic_partition(&orders, 0);

        // The unaffected topic is still served from the cached snapshot, so no
        // metadata request is issued on its behalf.
        assert!(
            client
                .cached_metadata_for(std::slice::from_ref(&payments))
                .is_some(),
            "a leadership error on one topic must not evict every other topic"
        );
        // The topic that lost its leader has to go back to the broker.
        assert!(
            client
                .cached_metadata_for(std::slice::from_ref(&orders))
                .is_none(),
            "the invalidated topic must trigger a metadata refresh"
        );
    }

    #[test]
    fn refresh_broker_id_reports_empty_registry() {
        let client = WireClient::connect_with_brokers(ConnectionConfig::default(), "client-a", []);

        assert!(matches!(
            client.refresh_broker_id(),
            Err(WireError::NoBrokerAvailable)
        ));
    }

    #[tokio::test]
    async fn update_broker_registry_rejects_invalid_ports_before_dns_lookup() {
        let client = WireClient::connect_with_brokers(ConnectionConfig::default(), "client-a", []);
        let metadata = ClusterMetadata {
            cluster_id: None,
            controller_id: -1,
            brokers: vec![BrokerMetadata {
                node_id: 7,
                host: "localhost".to_owned(),
                port: -1,
                rack: None,
            }],
            topics: Vec::new(),
        };

        assert!(matches!(
            client.update_broker_registry(&metadata).await,
            Err(WireError::InvalidBrokerEndpoint {
                node_id: 7,
                port: -1,
                ..
            })
        ));
    }

    #[tokio::test]
    async fn update_broker_registry_preserves_advertised_hostname() {
        let client = WireClient::connect_with_brokers(ConnectionConfig::default(), "client-a", []);
        let metadata = ClusterMetadata {
            cluster_id: None,
            controller_id: -1,
            brokers: vec![BrokerMetadata {
                node_id: 7,
                host: "localhost".to_owned(),
                port: 9092,
                rack: None,
            }],
            topics: Vec::new(),
        };

        client.update_broker_registry(&metadata).await.unwrap();

        let endpoint = client
            .inner
            .endpoints
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get(&7)
            .expect("broker endpoint")
            .clone();
        assert_eq!(endpoint.host(), "localhost");
        assert_eq!(endpoint.port(), 9092);
        assert_eq!(endpoint.addr.port(), 9092);
    }

    #[tokio::test]
    async fn update_broker_registry_accepts_produce_response_endpoint_metadata() {
        let client = WireClient::connect_with_brokers(ConnectionConfig::default(), "client-a", []);
        client
            .update_broker_registry_from_brokers(&[BrokerMetadata {
                node_id: 9,
                host: "localhost".to_owned(),
                port: 19_092,
                rack: Some("rack-a".to_owned()),
            }])
            .await
            .unwrap();

        let endpoint = client
            .inner
            .endpoints
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get(&9)
            .expect("broker endpoint")
            .clone();
        assert_eq!(endpoint.host(), "localhost");
        assert_eq!(endpoint.port(), 19_092);
    }

    #[test]
    fn persistent_topic_error_returns_invalid_and_unauthorized_bookkeeping() {
        let client = WireClient::connect_with_brokers(ConnectionConfig::default(), "client-a", []);
        let response = MetadataResponseData {
            topics: vec![
                MetadataResponseTopic {
                    error_code: i16::from(ErrorCode::InvalidTopicException),
                    name: Some(KafkaString::from("bad topic".to_owned())),
                    ..MetadataResponseTopic::default()
                },
                MetadataResponseTopic {
                    error_code: i16::from(ErrorCode::TopicAuthorizationFailed),
                    name: Some(KafkaString::from("secret".to_owned())),
                    ..MetadataResponseTopic::default()
                },
            ],
            ..MetadataResponseData::default()
        };
        client.record_metadata_topic_states(&response);

        assert_eq!(
            client.persistent_topic_error_for(&["bad topic".to_owned()]),
            Some(("bad topic".to_owned(), ErrorCode::InvalidTopicException))
        );
        assert_eq!(
            client.persistent_topic_error_for(&["secret".to_owned()]),
            Some(("secret".to_owned(), ErrorCode::TopicAuthorizationFailed))
        );
    }

    fn cluster_metadata_with_topics(topics: &[&str]) -> ClusterMetadata {
        ClusterMetadata {
            cluster_id: Some("cluster-a".to_owned()),
            controller_id: 7,
            brokers: vec![BrokerMetadata {
                node_id: 7,
                host: "localhost".to_owned(),
                port: 9092,
                rack: None,
            }],
            topics: topics
                .iter()
                .map(|topic| TopicMetadata {
                    name: (*topic).to_owned(),
                    topic_id: KafkaUuid::ZERO,
                    is_internal: false,
                    partitions: vec![PartitionMetadata {
                        partition_index: 0,
                        leader_id: 7,
                        leader_epoch: 1,
                        replica_nodes: vec![7],
                        isr_nodes: vec![7],
                        offline_replicas: Vec::new(),
                    }],
                })
                .collect(),
        }
    }
}
