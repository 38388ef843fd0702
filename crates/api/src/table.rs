//! The table of APIs.

use dohle_model::acl::{Operation, ResourceType};
use dohle_protocol::ApiKey;

use crate::pipeline::{Api, ThrottleClass, serve};
use crate::{
    add_offsets_to_txn, add_partitions_to_txn, alter_client_quotas, alter_configs,
    alter_partition_reassignments, alter_replica_log_dirs, alter_user_scram_credentials,
    api_versions, consumer_group_describe, consumer_group_heartbeat, create_acls,
    create_partitions, create_topics, delegation_tokens, delete_acls, delete_groups,
    delete_records, delete_topics, describe_acls, describe_client_quotas, describe_cluster,
    describe_configs, describe_groups, describe_log_dirs, describe_producers, describe_quorum,
    describe_topic_partitions, describe_transactions, describe_user_scram_credentials,
    elect_leaders, end_txn, fetch, find_coordinator, get_telemetry_subscriptions, heartbeat,
    init_producer_id, join_group, leave_group, list_config_resources, list_groups, list_offsets,
    list_partition_reassignments, list_transactions, metadata, offset_commit, offset_delete,
    offset_fetch, offset_for_leader_epoch, produce, push_telemetry, raft_voters, sasl_authenticate,
    sasl_handshake, share_groups, share_state, streams_groups, sync_group, txn_offset_commit,
    unregister_broker, unregister_controller, update_features, write_txn_markers,
};

macro_rules! table {
    ($($key:ident $min:literal..=$max:literal $handler:path,
       $throttle:ident [$($kind:ident $operation:ident),*] $(, $flag:ident)*;)*) => {
        &[$(Api {
            key: ApiKey::$key,
            version_min: $min,
            version_max: $max,
            access: &[$((ResourceType::$kind, Operation::$operation)),*],
            throttle: ThrottleClass::$throttle,
            handler: |call, body| serve(call, body, $handler),
            $($flag: true,)*
            ..NO_FLAGS
        }),*]
    };
}

const NO_FLAGS: Api = Api {
    key: ApiKey::ApiVersions,
    version_min: 0,
    version_max: 0,
    has_unstable_version: false,
    before_authentication: false,
    pipelined: false,
    access: &[],
    throttle: ThrottleClass::Request,
    handler: |call, body| serve(call, body, api_versions::handle),
};

/// The APIs that a broker serves: versions as in Apache Kafka 4.3, and some of 4.4, handler, quota,
/// operations that it depends on, and flags. Produce is advertised from 0 and served from 3, as
/// Kafka does (KAFKA-18659): old versions of librdkafka check the lowest version only.
pub(crate) static TABLE: &[Api] = table! {
    Produce 0..=13 produce::handle, Produce [Topic Write, TransactionalId Write], pipelined;
    Fetch 4..=18 fetch::handle, Fetch [Topic Read, Cluster ClusterAction];
    ListOffsets 1..=11 list_offsets::handle, Request [Topic Describe];
    Metadata 0..=13 metadata::handle,
        Request [Topic Describe, Topic Create, Cluster Create, Cluster Describe];
    OffsetCommit 2..=10 offset_commit::handle, Request [Group Read, Topic Read];
    OffsetFetch 1..=10 offset_fetch::handle, Request [Group Describe, Topic Describe];
    FindCoordinator 0..=6 find_coordinator::handle,
        Request [Group Describe, TransactionalId Describe];
    JoinGroup 0..=9 join_group::handle, Request [Group Read];
    Heartbeat 0..=4 heartbeat::handle, Request [Group Read];
    LeaveGroup 0..=5 leave_group::handle, Request [Group Read];
    SyncGroup 0..=5 sync_group::handle, Request [Group Read];
    DescribeGroups 0..=6 describe_groups::handle, Request [Group Describe];
    ListGroups 0..=5 list_groups::handle, Request [Cluster Describe, Group Describe];
    SaslHandshake 0..=1 sasl_handshake::handle, Request [], before_authentication;
    ApiVersions 0..=5 api_versions::handle, Request [], before_authentication;
    CreateTopics 2..=7 create_topics::handle,
        ControllerMutation [Cluster Create, Topic Create, Topic DescribeConfigs];
    DeleteTopics 1..=6 delete_topics::handle,
        ControllerMutation [Topic Delete, Topic Describe, Cluster Delete];
    DeleteRecords 0..=2 delete_records::handle, Request [Topic Delete];
    InitProducerId 0..=5 init_producer_id::handle,
        Request [TransactionalId Write, TransactionalId TwoPhaseCommit, Cluster IdempotentWrite,
            Topic Write], has_unstable_version;
    AddPartitionsToTxn 0..=5 add_partitions_to_txn::handle,
        Request [TransactionalId Write, Topic Write, Cluster ClusterAction];
    AddOffsetsToTxn 0..=4 add_offsets_to_txn::handle,
        Request [TransactionalId Write, Group Read];
    EndTxn 0..=5 end_txn::handle, Request [TransactionalId Write];
    WriteTxnMarkers 1..=2 write_txn_markers::handle,
        Request [Cluster Alter, Cluster ClusterAction];
    TxnOffsetCommit 0..=6 txn_offset_commit::handle,
        Request [TransactionalId Write, Group Read, Topic Read];
    OffsetForLeaderEpoch 2..=4 offset_for_leader_epoch::handle,
        Request [Topic Describe, Cluster ClusterAction];
    DescribeAcls 1..=3 describe_acls::handle, Request [Cluster Describe];
    CreateAcls 1..=3 create_acls::handle, Request [Cluster Alter];
    DeleteAcls 1..=3 delete_acls::handle, Request [Cluster Alter];
    SaslAuthenticate 0..=2 sasl_authenticate::handle, Request [], before_authentication;
    DescribeConfigs 1..=4 describe_configs::handle,
        Request [Topic DescribeConfigs, Group DescribeConfigs, Cluster DescribeConfigs];
    AlterConfigs 0..=2 alter_configs::handle,
        Request [Topic AlterConfigs, Group AlterConfigs, Cluster AlterConfigs];
    CreateDelegationToken 1..=3 delegation_tokens::create, Request [User CreateTokens];
    RenewDelegationToken 1..=2 delegation_tokens::renew, Request [];
    ExpireDelegationToken 1..=2 delegation_tokens::expire, Request [];
    DescribeDelegationToken 1..=3 delegation_tokens::describe,
        Request [DelegationToken Describe, User DescribeTokens];
    DeleteGroups 0..=3 delete_groups::handle, Request [Group Delete];
    AlterReplicaLogDirs 1..=2 alter_replica_log_dirs::handle, Request [Cluster Alter];
    DescribeLogDirs 1..=5 describe_log_dirs::handle, Request [Cluster Describe];
    CreatePartitions 0..=3 create_partitions::handle, ControllerMutation [Topic Alter];
    ElectLeaders 0..=2 elect_leaders::handle, Request [Cluster Alter];
    IncrementalAlterConfigs 0..=1 alter_configs::handle_incremental,
        Request [Topic AlterConfigs, Group AlterConfigs, Cluster AlterConfigs];
    AlterPartitionReassignments 0..=1 alter_partition_reassignments::handle,
        Request [Cluster Alter];
    ListPartitionReassignments 0..=0 list_partition_reassignments::handle,
        Request [Cluster Describe];
    OffsetDelete 0..=0 offset_delete::handle, Request [Group Delete, Topic Read];
    DescribeUserScramCredentials 0..=0 describe_user_scram_credentials::handle,
        Request [Cluster Describe];
    AlterUserScramCredentials 0..=0 alter_user_scram_credentials::handle,
        Request [Cluster Alter];
    DescribeClientQuotas 0..=1 describe_client_quotas::handle, Request [Cluster DescribeConfigs];
    AlterClientQuotas 0..=1 alter_client_quotas::handle, Request [Cluster AlterConfigs];
    DescribeQuorum 0..=2 describe_quorum::handle, Request [Cluster Describe];
    DescribeCluster 0..=2 describe_cluster::handle, Request [Cluster Describe];
    DescribeProducers 0..=0 describe_producers::handle, Request [Topic Read];
    DescribeTransactions 0..=0 describe_transactions::handle,
        Request [TransactionalId Describe, Topic Describe];
    ListTransactions 0..=2 list_transactions::handle, Request [TransactionalId Describe];
    ConsumerGroupHeartbeat 0..=1 consumer_group_heartbeat::handle,
        Request [Group Read, Topic Describe];
    ConsumerGroupDescribe 0..=1 consumer_group_describe::handle,
        Request [Group Describe, Topic Describe];
    UnregisterBroker 0..=0 unregister_broker::handle, Request [Cluster Alter];
    UpdateFeatures 0..=2 update_features::handle, Request [Cluster Alter];
    GetTelemetrySubscriptions 0..=0 get_telemetry_subscriptions::handle, Request [];
    PushTelemetry 0..=0 push_telemetry::handle, Request [];
    ListConfigResources 0..=1 list_config_resources::handle, Request [Cluster DescribeConfigs];
    DescribeTopicPartitions 0..=0 describe_topic_partitions::handle, Request [Topic Describe];
    ShareGroupHeartbeat 1..=1 share_groups::heartbeat, Request [];
    ShareGroupDescribe 1..=1 share_groups::describe, Request [];
    ShareFetch 1..=2 share_groups::fetch, Request [];
    ShareAcknowledge 1..=2 share_groups::acknowledge, Request [];
    AddRaftVoter 0..=1 raft_voters::add, Request [Cluster Alter];
    RemoveRaftVoter 0..=0 raft_voters::remove, Request [Cluster Alter];
    InitializeShareGroupState 0..=0 share_state::initialize, Request [Cluster ClusterAction];
    ReadShareGroupState 0..=0 share_state::read, Request [Cluster ClusterAction];
    WriteShareGroupState 0..=1 share_state::write, Request [Cluster ClusterAction];
    DeleteShareGroupState 0..=0 share_state::delete, Request [Cluster ClusterAction];
    ReadShareGroupStateSummary 0..=1 share_state::read_summary, Request [Cluster ClusterAction];
    StreamsGroupHeartbeat 0..=1 streams_groups::heartbeat, Request [];
    StreamsGroupDescribe 0..=1 streams_groups::describe, Request [];
    DescribeShareGroupOffsets 0..=1 share_groups::describe_offsets, Request [];
    AlterShareGroupOffsets 0..=0 share_groups::alter_offsets, Request [];
    DeleteShareGroupOffsets 0..=0 share_groups::delete_offsets, Request [];
    StreamsGroupTopologyDescriptionUpdate 0..=0 streams_groups::update_topology_description,
        Request [];
    UnregisterController 0..=0 unregister_controller::handle, Request [Cluster Alter];
};
