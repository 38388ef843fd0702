//! Reads and changes the state of a cluster; results are plain values.

mod acls;
mod batches;
mod brokers;
mod configs;
mod delegation_tokens;
mod group_changes;
mod groups;
mod offsets;
mod partition_id;
mod partitions;
mod quorum;
mod quotas;
mod readable;
mod topics;
mod transactions;
mod versions;

pub use self::acls::{create_acls, delete_acls, describe_acls};
pub use self::batches::{ByPartition, ask_leaders, by_topic, leaders};
pub use self::brokers::{describe_log_dirs, unregister_broker};
pub use self::configs::{
    ConfigEntry, ConfigSource, Resource, alter_configs, describe_configs, list_config_resources,
};
pub use self::delegation_tokens::{
    PrincipalParts, TokenAndHmac, create_token, describe_tokens, expire_token, renew_token,
};
pub use self::group_changes::{commit_offsets, delete_group, delete_offsets};
pub use self::groups::{
    Committed, Group, ListedGroup, Member, committed, describe_groups, list_groups,
};
pub use self::offsets::{EARLIEST, LATEST, list_offsets, log_ends, offsets_at};
pub use self::partition_id::PartitionId;
pub use self::partitions::{
    Replica, ReplicaLogDir, alter_reassignments, delete_records, elect_leaders, move_replicas,
    replica_log_dirs,
};
pub use self::quorum::{Quorum, QuorumReplica, describe_quorum, remove_voter};
pub use self::quotas::{
    ClientQuotas, ScramChange, ScramCredential, alter_quotas, alter_scram_credential,
    describe_quotas, scram_credentials,
};
pub use self::readable::{Readable, readable};
pub use self::topics::{
    Names, NewTopic, Partition, Reassignment, Topic, TopicName, add_partitions, create_topic,
    delete_topics, describe_topics, list_topics, partitions_of, reassignments,
};
pub use self::transactions::{
    AbortMarker, ListedTransaction, Producer, Transaction, TransactionFilter, abort_transaction,
    describe_producers, describe_transaction, describe_transactions, list_transactions,
    terminate_transaction,
};
pub use self::versions::{FeatureUpdate, api_versions, update_features};
