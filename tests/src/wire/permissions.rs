//! A request of each API, and the refusal of a client that may do nothing. Pure.
//!
//! The requests are about the topic `t`, the group `g` and the transactional id `tx`, and are sent
//! in the highest version that a node advertises; a version leaves out the fields that it lacks.

use serde_json::{Value, json};

/// `TOPIC_AUTHORIZATION_FAILED`.
const TOPIC: i64 = 29;
/// `GROUP_AUTHORIZATION_FAILED`.
const GROUP: i64 = 30;
/// `CLUSTER_AUTHORIZATION_FAILED`.
const CLUSTER: i64 = 31;
/// `TRANSACTIONAL_ID_AUTHORIZATION_FAILED`.
const ID: i64 = 53;
/// `DELEGATION_TOKEN_AUTHORIZATION_FAILED`.
const TOKEN: i64 = 65;

/// The error codes of denials.
pub const DENIALS: [i64; 5] = [TOPIC, GROUP, CLUSTER, ID, TOKEN];

/// How an API refuses a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// With this error code, and no other.
    Code(i64),
    /// By leaving out what this field of the response shows to others.
    Hides(&'static str),
    /// Not at all: the API asks for no permission, for this reason.
    Free(&'static str),
}

/// A request of an API.
#[derive(Debug)]
pub struct Row {
    /// The API.
    pub api: &'static str,
    /// The fields of the request.
    pub request: Value,
    /// What a client gets that may do nothing.
    pub refusal: Refusal,
}

/// Returns a row for each API.
pub fn rows() -> Vec<Row> {
    let parts = [
        data(),
        groups(),
        transactions(),
        topics(),
        cluster(),
        users(),
        delegation_tokens(),
        switched_off(),
    ];
    parts.into_iter().flatten().collect()
}

fn row(api: &'static str, code: i64, request: Value) -> Row {
    let refusal = Refusal::Code(code);
    Row {
        api,
        request,
        refusal,
    }
}

fn hides(api: &'static str, field: &'static str, request: Value) -> Row {
    let refusal = Refusal::Hides(field);
    Row {
        api,
        request,
        refusal,
    }
}

fn free(api: &'static str, why: &'static str) -> Row {
    Row {
        api,
        request: json!({}),
        refusal: Refusal::Free(why),
    }
}

fn data() -> Vec<Row> {
    let topic =
        |more: Value| super::scripts::with(&json!({"Name": "t", "TopicId": "$id of t"}), &more);
    let records = json!([{"Index": 0, "Records": [{"records": ["a"]}]}]);
    let fetched = json!([{"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1000}]);
    let fetched = json!([{"Topic": "t", "TopicId": "$id of t", "Partitions": fetched}]);
    vec![
        row(
            "Produce",
            TOPIC,
            json!({"Acks": -1, "TimeoutMs": 2000,
                "TopicData": [topic(json!({"PartitionData": records}))]}),
        ),
        row(
            "Fetch",
            TOPIC,
            json!({"MaxWaitMs": 0, "MinBytes": 0, "Topics": fetched}),
        ),
        row(
            "ListOffsets",
            TOPIC,
            json!({"ReplicaId": -1,
                "Topics": [{"Name": "t", "Partitions": [{"PartitionIndex": 0, "Timestamp": -1}]}]}),
        ),
        row(
            "OffsetForLeaderEpoch",
            TOPIC,
            json!({"ReplicaId": -1,
                "Topics": [{"Topic": "t", "Partitions": [{"Partition": 0, "LeaderEpoch": 0}]}]}),
        ),
        row(
            "DescribeProducers",
            TOPIC,
            json!({"Topics": [{"Name": "t", "PartitionIndexes": [0]}]}),
        ),
        row(
            "DeleteRecords",
            TOPIC,
            json!({"TimeoutMs": 2000,
                "Topics": [{"Name": "t", "Partitions": [{"PartitionIndex": 0, "Offset": 0}]}]}),
        ),
        row(
            "Metadata",
            TOPIC,
            json!({"Topics": [{"Name": "t"}], "AllowAutoTopicCreation": false}),
        ),
        row(
            "DescribeTopicPartitions",
            TOPIC,
            json!({"Topics": [{"Name": "t"}]}),
        ),
    ]
}

fn groups() -> Vec<Row> {
    let group = |more: Value| super::scripts::with(&json!({"GroupId": "g"}), &more);
    let partition = json!([{"PartitionIndex": 0, "CommittedOffset": 0, "CommittedMetadata": ""}]);
    let committed = json!([{"Name": "t", "TopicId": "$id of t", "Partitions": partition}]);
    let fetched = json!([{"Name": "t", "TopicId": "$id of t", "PartitionIndexes": [0]}]);
    vec![
        row(
            "FindCoordinator",
            GROUP,
            json!({"CoordinatorKeys": ["g"], "KeyType": 0}),
        ),
        row(
            "JoinGroup",
            GROUP,
            group(
                json!({"SessionTimeoutMs": 10000, "RebalanceTimeoutMs": 10000, "MemberId": "",
                "ProtocolType": "consumer", "Protocols": [{"Name": "range", "Metadata": "00"}]}),
            ),
        ),
        row(
            "SyncGroup",
            GROUP,
            group(
                json!({"GenerationId": 1, "MemberId": "m", "ProtocolType": "consumer",
                "ProtocolName": "range", "Assignments": []}),
            ),
        ),
        row(
            "Heartbeat",
            GROUP,
            group(json!({"GenerationId": 1, "MemberId": "m"})),
        ),
        row(
            "LeaveGroup",
            GROUP,
            group(json!({"Members": [{"MemberId": "m"}]})),
        ),
        row("OffsetCommit", GROUP, group(json!({"Topics": committed}))),
        row(
            "OffsetFetch",
            GROUP,
            json!({"Groups": [{"GroupId": "g", "Topics": fetched}]}),
        ),
        row(
            "OffsetDelete",
            GROUP,
            group(json!({"Topics": [{"Name": "t", "Partitions": [{"PartitionIndex": 0}]}]})),
        ),
        row("DescribeGroups", GROUP, json!({"Groups": ["g"]})),
        hides("ListGroups", "Groups", json!({})),
        row(
            "ConsumerGroupHeartbeat",
            GROUP,
            json!({"GroupId": "modern", "MemberId": "m", "MemberEpoch": 0,
                "RebalanceTimeoutMs": 10000, "SubscribedTopicNames": ["t"], "TopicPartitions": []}),
        ),
        row("ConsumerGroupDescribe", GROUP, json!({"GroupIds": ["g"]})),
        row("DeleteGroups", GROUP, json!({"GroupsNames": ["g"]})),
    ]
}

fn transactions() -> Vec<Row> {
    let id = |more: Value| {
        let id = json!({"TransactionalId": "tx", "ProducerId": "$pid", "ProducerEpoch": "$epoch"});
        super::scripts::with(&id, &more)
    };
    let partition = json!([{"PartitionIndex": 0, "CommittedOffset": 0, "CommittedMetadata": ""}]);
    let topics = json!([{"Name": "t", "Partitions": [0]}]);
    let markers = json!({"ProducerId": "$pid", "ProducerEpoch": "$epoch", "CoordinatorEpoch": 0,
        "TransactionResult": false, "Topics": [{"Name": "t", "PartitionIndexes": [0]}]});
    vec![
        row(
            "DescribeTransactions",
            ID,
            json!({"TransactionalIds": ["tx"]}),
        ),
        hides("ListTransactions", "TransactionStates", json!({})),
        row(
            "AddPartitionsToTxn",
            CLUSTER,
            json!({"Transactions": [id(json!({"VerifyOnly": true, "Topics": topics}))]}),
        ),
        row("AddOffsetsToTxn", ID, id(json!({"GroupId": "g"}))),
        row(
            "TxnOffsetCommit",
            ID,
            id(json!({"GroupId": "g", "Topics": [{"Name": "t", "Partitions": partition}]})),
        ),
        row("EndTxn", ID, id(json!({"Committed": false}))),
        row("WriteTxnMarkers", CLUSTER, json!({"Markers": [markers]})),
        row(
            "InitProducerId",
            ID,
            json!({"TransactionalId": "tx", "TransactionTimeoutMs": 60000}),
        ),
    ]
}

fn topics() -> Vec<Row> {
    let described = json!([{"ResourceType": 2, "ResourceName": "t", "ConfigurationKeys": null}]);
    let altered = json!([{"ResourceType": 2, "ResourceName": "t", "Configs": []}]);
    vec![
        row(
            "CreateTopics",
            TOPIC,
            json!({"Topics": [{"Name": "new", "NumPartitions": 1, "ReplicationFactor": 1}]}),
        ),
        row(
            "CreatePartitions",
            TOPIC,
            json!({"TimeoutMs": 2000, "Topics": [{"Name": "t", "Count": 2, "Assignments": null}]}),
        ),
        row(
            "DeleteTopics",
            TOPIC,
            json!({"TimeoutMs": 2000, "Topics": [{"Name": "new"}]}),
        ),
        row("DescribeConfigs", TOPIC, json!({"Resources": described})),
        row("AlterConfigs", TOPIC, json!({"Resources": altered})),
        row(
            "IncrementalAlterConfigs",
            TOPIC,
            json!({"Resources": altered}),
        ),
        row(
            "ElectLeaders",
            CLUSTER,
            json!({"ElectionType": 0, "TopicPartitions": [{"Topic": "t", "Partitions": [0]}]}),
        ),
        row(
            "AlterPartitionReassignments",
            CLUSTER,
            json!({"Topics": [{"Name": "t", "Partitions": [{"PartitionIndex": 0}]}]}),
        ),
        row(
            "ListPartitionReassignments",
            CLUSTER,
            json!({"Topics": null}),
        ),
    ]
}

fn cluster() -> Vec<Row> {
    let feature = json!({"Feature": "group.version", "MaxVersionLevel": 1});
    let telemetry = "it is about the metrics of the client itself";
    vec![
        free(
            "ApiVersions",
            "it is answered before the client is known, with what the node is",
        ),
        free("SaslHandshake", "clients use it to become known"),
        free("SaslAuthenticate", "clients use it to become known"),
        hides(
            "DescribeCluster",
            "ClusterAuthorizedOperations",
            json!({"IncludeClusterAuthorizedOperations": true}),
        ),
        row(
            "DescribeQuorum",
            CLUSTER,
            json!({"Topics": [{"TopicName": "__cluster_metadata",
                "Partitions": [{"PartitionIndex": 0}]}]}),
        ),
        row("DescribeLogDirs", CLUSTER, json!({"Topics": null})),
        row(
            "AlterReplicaLogDirs",
            CLUSTER,
            json!({"Dirs": [{"Path": "/nowhere", "Topics": [{"Name": "x", "Partitions": [0]}]}]}),
        ),
        row("ListConfigResources", CLUSTER, json!({})),
        free("GetTelemetrySubscriptions", telemetry),
        free("PushTelemetry", telemetry),
        row(
            "UpdateFeatures",
            CLUSTER,
            json!({"FeatureUpdates": [feature], "ValidateOnly": true}),
        ),
        row("UnregisterBroker", CLUSTER, json!({"BrokerId": 99})),
        row("UnregisterController", CLUSTER, json!({"ControllerId": 99})),
    ]
}

fn users() -> Vec<Row> {
    let filter = json!({"ResourceTypeFilter": 1, "ResourceNameFilter": null,
        "PatternTypeFilter": 1, "PrincipalFilter": "User:x", "HostFilter": null, "Operation": 1,
        "PermissionType": 1});
    let acl = json!({"ResourceType": 2, "ResourceName": "x", "ResourcePatternType": 3,
        "Principal": "User:x", "Host": "*", "Operation": 3, "PermissionType": 3});
    let quota = json!({"Entity": [{"EntityType": "user", "EntityName": "x"}],
        "Ops": [{"Key": "producer_byte_rate", "Value": 1000, "Remove": false}]});
    vec![
        row("DescribeAcls", CLUSTER, filter.clone()),
        row("CreateAcls", CLUSTER, json!({"Creations": [acl]})),
        row("DeleteAcls", CLUSTER, json!({"Filters": [filter]})),
        row(
            "DescribeClientQuotas",
            CLUSTER,
            json!({"Components": [], "Strict": false}),
        ),
        row(
            "AlterClientQuotas",
            CLUSTER,
            json!({"Entries": [quota], "ValidateOnly": true}),
        ),
        row(
            "DescribeUserScramCredentials",
            CLUSTER,
            json!({"Users": []}),
        ),
        row(
            "AlterUserScramCredentials",
            CLUSTER,
            json!({"Deletions": [{"Name": "x", "Mechanism": 1}], "Upsertions": []}),
        ),
    ]
}

fn delegation_tokens() -> Vec<Row> {
    let owner = json!({"OwnerPrincipalType": "User", "OwnerPrincipalName": "x", "Renewers": [],
        "MaxLifetimeMs": -1});
    let why = "the controller asks whether the client is the token's owner or one of its renewers";
    vec![
        row("CreateDelegationToken", TOKEN, owner),
        free("RenewDelegationToken", why),
        free("ExpireDelegationToken", why),
        hides("DescribeDelegationToken", "Tokens", json!({"Owners": null})),
    ]
}

fn switched_off() -> Vec<Row> {
    let share = "share groups are switched off, so it shows and changes nothing";
    let streams = "streams groups are switched off, so it shows and changes nothing";
    let state = json!({"GroupId": "s",
        "Topics": [{"TopicId": "$id of t", "Partitions": [{"Partition": 0}]}]});
    let voter = json!({"VoterId": 99, "VoterDirectoryId": "ab".repeat(16), "Listeners": []});
    let removed = json!({"VoterId": 99, "VoterDirectoryId": "ab".repeat(16)});
    vec![
        free("ShareGroupHeartbeat", share),
        free("ShareGroupDescribe", share),
        free("ShareFetch", share),
        free("ShareAcknowledge", share),
        free("DescribeShareGroupOffsets", share),
        free("AlterShareGroupOffsets", share),
        free("DeleteShareGroupOffsets", share),
        free("StreamsGroupHeartbeat", streams),
        free("StreamsGroupDescribe", streams),
        Row {
            request: json!({"TopologyDescription": {"Subtopologies": [], "GlobalStores": []}}),
            ..free("StreamsGroupTopologyDescriptionUpdate", streams)
        },
        row("InitializeShareGroupState", CLUSTER, state.clone()),
        row("ReadShareGroupState", CLUSTER, state.clone()),
        row("WriteShareGroupState", CLUSTER, state.clone()),
        row("DeleteShareGroupState", CLUSTER, state.clone()),
        row("ReadShareGroupStateSummary", CLUSTER, state),
        row("AddRaftVoter", CLUSTER, voter),
        row("RemoveRaftVoter", CLUSTER, removed),
    ]
}
