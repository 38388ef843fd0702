//! The Kafka API: one file an API, and the pipeline that every request passes.
//!
//! ```text
//! connection ─▶ authenticate ─▶ throttle ─▶ measure ─▶ serve ─▶ the API's handler (authorizes)
//! ```
//!
//! Invariant: the table of APIs (`table.rs`) is the source of the `ApiVersions` response, and
//! decides whether a request is served. Every API that it lists is implemented.

mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
mod alter_client_quotas;
mod alter_configs;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod alter_user_scram_credentials;
mod api_versions;
mod broker_loggers;
mod client_telemetry;
mod consumer_group_describe;
mod consumer_group_heartbeat;
pub mod context;
mod create_acls;
mod create_partitions;
mod create_topics;
mod delegation_tokens;
mod delete_acls;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_acls;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_transactions;
mod describe_user_scram_credentials;
mod elect_leaders;
mod end_txn;
mod errors;
mod fetch;
mod fetch_session;
mod find_coordinator;
mod forward;
mod get_telemetry_subscriptions;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod origin;
mod pipeline;
mod produce;
mod push_telemetry;
mod quotas;
mod raft_voters;
mod resolve;
mod sasl_authenticate;
mod sasl_handshake;
mod share_groups;
mod share_state;
mod streams_groups;
mod sync_group;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod token_credentials;
mod too_large;
mod txn_offset_commit;
mod unregister_broker;
mod unregister_controller;
mod update_features;
mod verification;
mod verifier;
mod wire;
mod write_txn_markers;

pub(crate) use pipeline::{CLUSTER, Call, ClientSoftware, Ordered, Respond, denial};
pub use pipeline::{KafkaService, NodeAuthentication, SaslConfig, SaslListener, TokenKeys};
pub use quotas::ClientQuotas;
pub use verifier::VerifyTransactions;

use std::sync::Arc;

use context::Context;
use dohle_auth::{AllowAll, Authorizer};
use table::TABLE;

impl KafkaService {
    /// Creates the service of one node, which serves all APIs and allows everything.
    #[must_use]
    pub fn new(context: Arc<Context>, quotas: Arc<ClientQuotas>) -> Arc<Self> {
        Self::authorized(context, Arc::new(AllowAll), Arc::default(), quotas)
    }

    /// Creates the service of one node, which authenticates the clients of listeners with SASL, and
    /// serves all APIs as far as `authorizer` allows.
    #[must_use]
    pub fn authorized(
        context: Arc<Context>,
        authorizer: Arc<dyn Authorizer>,
        sasl: Arc<SaslConfig>,
        quotas: Arc<ClientQuotas>,
    ) -> Arc<Self> {
        Self::with(TABLE, context, authorizer, quotas, sasl)
    }
}
