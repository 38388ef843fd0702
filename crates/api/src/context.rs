//! The state that all handlers of the Kafka API share.
//!
//! Invariant: each node has its own `Context`; nothing in it is global to the process.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dohle_auth::TokenKey;
use dohle_config::keys::broker as keys;
use dohle_config::{BrokerConfig, BrokerValues, ConfigSnapshot, Properties};
use dohle_model::image::MetadataImage;
use dohle_model::{ApiError, ErrorCode, MetadataOffset, NodeId};
use dohle_telemetry::loggers::Loggers;
use tokio::time::Instant;

use crate::client_telemetry::ClientTelemetry;
use crate::fetch_session::FetchSessions;
use crate::token_credentials::DelegationTokens;
use crate::verifier::VerifyTransactions;
use dohle_broker::metadata::{ControllerClient, MetadataCache};
use dohle_broker::partitions::Partitions;
use dohle_coordinator::groups::GroupCoordinator;
use dohle_coordinator::transactions::TransactionCoordinator;
use dohle_coordinator::{InternalTopics, ProducerIdSource};

/// How long requests may take that have no timeout of their own (`request.timeout.ms` of clients).
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The state that all handlers of a node share.
#[derive(Debug)]
pub struct Context {
    /// `node.id`.
    pub node_id: NodeId,
    /// The cluster's id.
    pub cluster_id: String,
    /// The properties that were set for this node: file, environment and command line.
    pub properties: Arc<Properties>,
    /// The typed values of `properties`, as of the start of the node.
    pub config: BrokerConfig,
    /// What this broker knows of the cluster.
    pub metadata: Arc<MetadataCache>,
    /// The client of the active controller.
    pub controller: Arc<ControllerClient>,
    /// The replicas that this broker hosts.
    pub partitions: Arc<Partitions>,
    /// The groups that this broker coordinates.
    pub groups: Arc<GroupCoordinator>,
    /// The transactions that this broker coordinates.
    pub transactions: Arc<TransactionCoordinator>,
    /// The delegation tokens that clients authenticate with (KIP-48).
    pub(crate) delegation_tokens: DelegationTokens,
    /// Creates internal topics when they are first needed.
    pub(crate) internal_topics: InternalTopics,
    /// The fetch sessions of this broker's consumers (KIP-227).
    pub(crate) fetch_sessions: FetchSessions,
    /// The metrics that clients push (KIP-714).
    pub(crate) client_telemetry: Arc<ClientTelemetry>,
    /// Asks the coordinators of transactions on behalf of producers.
    transaction_verifier: OnceLock<Arc<dyn VerifyTransactions>>,
    /// The source of the producer ids that this broker hands out (KIP-730).
    pub(crate) producer_ids: Arc<dyn ProducerIdSource>,
    /// The loggers of the program.
    loggers: OnceLock<Arc<dyn Loggers>>,
}

/// The coordinators of a broker, and the source of their producer ids.
#[derive(Debug)]
pub struct Coordinators {
    /// The groups.
    pub groups: Arc<GroupCoordinator>,
    /// The transactions.
    pub transactions: Arc<TransactionCoordinator>,
    /// Ids for producers.
    pub producer_ids: Arc<dyn ProducerIdSource>,
}

impl Context {
    /// Creates the context of one node.
    #[must_use]
    pub fn new(
        node_id: NodeId,
        cluster_id: String,
        properties: Arc<Properties>,
        metadata: Arc<MetadataCache>,
        controller: Arc<ControllerClient>,
        partitions: Arc<Partitions>,
        coordinators: Coordinators,
    ) -> Arc<Self> {
        let values = BrokerValues::fixed(Arc::clone(&properties));
        let config = BrokerConfig::resolve(&values);
        let secret = values.text_set(&keys::DELEGATION_TOKEN_SECRET_KEY);
        let delegation_tokens = DelegationTokens::new(secret.and_then(TokenKey::new));
        let internal_topics = InternalTopics::new(
            node_id,
            Arc::clone(&properties),
            Arc::clone(&metadata),
            Arc::clone(&controller),
        );
        let Coordinators {
            groups,
            transactions,
            producer_ids,
        } = coordinators;
        let slots = config.max_incremental_fetch_session_cache_slots;
        let client_telemetry =
            ClientTelemetry::new(config.telemetry_max_bytes, config.metrics_client_series_max);
        Arc::new(Self {
            node_id,
            cluster_id,
            properties,
            config,
            metadata,
            controller,
            partitions,
            groups,
            transactions,
            delegation_tokens,
            internal_topics,
            fetch_sessions: FetchSessions::new(slots),
            client_telemetry,
            transaction_verifier: OnceLock::new(),
            producer_ids,
            loggers: OnceLock::new(),
        })
    }

    /// Sets the verifier that asks the coordinators of transactions.
    ///
    /// # Panics
    /// When there is a verifier already.
    pub fn set_transaction_verifier(&self, verifier: Arc<dyn VerifyTransactions>) {
        let set = self.transaction_verifier.set(verifier);
        assert!(set.is_ok(), "a node has one verifier");
    }

    /// Returns the verifier that asks the coordinators of transactions; `None` before it is set.
    pub(crate) fn transaction_verifier(&self) -> Option<&Arc<dyn VerifyTransactions>> {
        self.transaction_verifier.get()
    }

    /// Sets the loggers whose levels clients may change.
    ///
    /// # Panics
    /// When they are set already.
    pub fn set_loggers(&self, loggers: Arc<dyn Loggers>) {
        let set = self.loggers.set(loggers);
        assert!(set.is_ok(), "a program has one set of loggers");
    }

    /// Returns the loggers of the program; `None` before they are set.
    pub(crate) fn loggers(&self) -> Option<&Arc<dyn Loggers>> {
        self.loggers.get()
    }

    /// Requires that a resource is named after this broker.
    ///
    /// # Errors
    /// INVALID_REQUEST for another broker, and for a name that is no number.
    pub(crate) fn check_is_this_broker(&self, name: &str) -> Result<(), ApiError> {
        let message = match name.parse() {
            Ok(id) if NodeId(id) == self.node_id => return Ok(()),
            Ok(id) => {
                let expected = self.node_id;
                format!("Unexpected broker id, expected {expected}, but received {id}")
            }
            Err(_) => format!("Node id must be an integer, but it is: {name}"),
        };
        Err(ErrorCode::InvalidRequest.because(message))
    }

    /// Returns the newest metadata.
    #[must_use]
    pub fn image(&self) -> Arc<MetadataImage> {
        self.metadata.image()
    }

    /// Waits for, and returns, the metadata that hold what the controller committed at `offset`, so
    /// that a client reads what it wrote.
    ///
    /// # Errors
    /// REQUEST_TIMED_OUT at the deadline; the change is made nevertheless.
    pub async fn reached(
        &self,
        offset: u64,
        deadline: Instant,
    ) -> Result<Arc<MetadataImage>, ApiError> {
        Ok(self
            .metadata
            .wait_for(MetadataOffset(offset), deadline)
            .await?)
    }

    /// All properties at the offset of an image.
    pub(crate) fn configs<'a>(&self, image: &'a MetadataImage) -> ConfigSnapshot<'a> {
        ConfigSnapshot::new(Arc::clone(&self.properties), image, self.node_id)
    }
}
