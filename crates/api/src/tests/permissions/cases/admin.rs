//! Administrative requests.

use dohle_model::ErrorCode as Code;
use dohle_model::TopicId;
use dohle_model::acl::{Operation as Op, ResourceType as On};
use dohle_protocol::KafkaUuid;
use dohle_protocol::kinds::resource_type::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use dohle_protocol::messages as m;

use super::{CLUSTER_DENIED, Case, GROUP_DENIED, SHOWN, TOKEN_DENIED, TOPIC_DENIED, case, name};
use crate::wire;

/// The resources that have properties, and the code of a denial for each. The name of the broker is
/// that of the test's.
const RESOURCES: [(i8, &str, i16); 4] = [
    (TOPIC, "t", TOPIC_DENIED),
    (GROUP, "g", GROUP_DENIED),
    (BROKER, "1", CLUSTER_DENIED),
    (CLIENT_METRICS, "all", CLUSTER_DENIED),
];

pub(super) fn cases(topic_id: KafkaUuid) -> Vec<Case> {
    let mut cases = described();
    cases.extend(altered());
    cases.extend(topics(topic_id));
    cases.extend(cluster());
    cases.extend(reassignments());
    cases.extend(acls());
    cases.extend(users());
    cases.extend(delegation_tokens());
    cases.extend(telemetry());
    cases
}

/// About the metrics of the client itself: nothing is asked.
fn telemetry() -> Vec<Case> {
    let question = m::GetTelemetrySubscriptionsRequestData::default();
    vec![
        case!(GetTelemetrySubscriptions 0, question,
            |r: m::GetTelemetrySubscriptionsResponseData| [r.error_code], [wire::NONE]),
        case!(PushTelemetry 0, m::PushTelemetryRequestData::default(),
            |r: m::PushTelemetryResponseData| [r.error_code], [Code::InvalidRequest.code()]),
    ]
}

fn described() -> Vec<Case> {
    let resources = RESOURCES.iter().map(|(kind, named, _)| (*kind, *named));
    let others = [(BROKER_LOGGER, "1")];
    let resource = |(resource_type, named)| m::describe_configs_request::DescribeConfigsResource {
        resource_type,
        resource_name: name(named),
        ..Default::default()
    };
    let configs = m::DescribeConfigsRequestData {
        resources: resources.chain(others).map(resource).collect(),
        ..Default::default()
    };
    let on_group = [(On::Group, Op::DescribeConfigs)];
    vec![
        case!(DescribeConfigs 4, configs,
            |r: m::DescribeConfigsResponseData| {
                let results = r.results.iter();
                results.map(|result| result.error_code).collect::<Vec<_>>()
            },
            [TOPIC_DENIED, GROUP_DENIED, CLUSTER_DENIED, CLUSTER_DENIED, CLUSTER_DENIED])
        .denying(
            &on_group,
            &[wire::NONE, GROUP_DENIED, wire::NONE, wire::NONE, wire::NONE],
        ),
        case!(ListConfigResources 1, m::ListConfigResourcesRequestData::default(),
            |r: m::ListConfigResourcesResponseData|
                [r.error_code, shown(&r.config_resources)],
            [CLUSTER_DENIED, 0]),
        case!(DescribeLogDirs 4, m::DescribeLogDirsRequestData::default(),
            |r: m::DescribeLogDirsResponseData| [r.error_code, shown(&r.results)],
            [CLUSTER_DENIED, 0]),
        case!(AlterReplicaLogDirs 2, moved_to_another_dir(),
            |r: m::AlterReplicaLogDirsResponseData| {
                let partitions = r.results.iter().flat_map(|topic| &topic.partitions);
                partitions.map(|partition| partition.error_code).collect::<Vec<_>>()
            },
            [CLUSTER_DENIED]),
    ]
}

fn shown<T>(list: &[T]) -> i16 {
    if list.is_empty() { 0 } else { SHOWN }
}

fn moved_to_another_dir() -> m::AlterReplicaLogDirsRequestData {
    use m::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
    let topic = AlterReplicaLogDirTopic {
        name: name("t"),
        partitions: vec![0],
        ..Default::default()
    };
    let dir = AlterReplicaLogDir {
        path: name("/nowhere"),
        topics: vec![topic],
        ..Default::default()
    };
    m::AlterReplicaLogDirsRequestData {
        dirs: vec![dir],
        ..Default::default()
    }
}

fn altered() -> Vec<Case> {
    let loggers = (BROKER_LOGGER, "1", CLUSTER_DENIED);
    let with_loggers = RESOURCES.into_iter().chain([loggers]);
    let replaced = with_loggers.clone().map(|(resource_type, named, _)| {
        m::alter_configs_request::AlterConfigsResource {
            resource_type,
            resource_name: name(named),
            ..Default::default()
        }
    });
    let changed = with_loggers.clone().map(|(resource_type, named, _)| {
        m::incremental_alter_configs_request::AlterConfigsResource {
            resource_type,
            resource_name: name(named),
            ..Default::default()
        }
    });
    let replace = m::AlterConfigsRequestData {
        resources: replaced.collect(),
        ..Default::default()
    };
    let change = m::IncrementalAlterConfigsRequestData {
        resources: changed.collect(),
        ..Default::default()
    };
    let denied: Vec<i16> = with_loggers.map(|(_, _, denied)| denied).collect();
    // Nobody may change loggers with the older request.
    let mut denied_or_refused = denied.clone();
    denied_or_refused[RESOURCES.len()] = Code::InvalidRequest.code();
    vec![
        case!(AlterConfigs 2, replace,
            |r: m::AlterConfigsResponseData| {
                let results = r.responses.iter();
                results.map(|result| result.error_code).collect::<Vec<_>>()
            }, denied_or_refused)
        .forwarded(),
        case!(IncrementalAlterConfigs 1, change,
            |r: m::IncrementalAlterConfigsResponseData| {
                let results = r.responses.iter();
                results.map(|result| result.error_code).collect::<Vec<_>>()
            }, denied)
        .forwarded(),
    ]
}

fn topics(topic_id: KafkaUuid) -> Vec<Case> {
    let create = m::CreateTopicsRequestData {
        topics: vec![m::create_topics_request::CreatableTopic {
            name: name("new"),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        }],
        ..Default::default()
    };
    let grow = m::CreatePartitionsRequestData {
        topics: vec![m::create_partitions_request::CreatePartitionsTopic {
            name: name("t"),
            count: 2,
            ..Default::default()
        }],
        timeout_ms: 5000,
        ..Default::default()
    };
    let delete = |named: Option<&str>, topic_id| m::DeleteTopicsRequestData {
        topics: vec![m::delete_topics_request::DeleteTopicState {
            name: named.map(name),
            topic_id,
            ..Default::default()
        }],
        timeout_ms: 5000,
        ..Default::default()
    };
    let unknown = wire::wire_id(TopicId::from_bytes([9; 16]));
    let delete_old = m::DeleteTopicsRequestData {
        topic_names: vec![name("t")],
        timeout_ms: 5000,
        ..Default::default()
    };
    // The code, and whether the response has the name of the topic.
    let deleted = |response: &m::DeleteTopicsResponseData| {
        let results = response.responses.iter();
        let codes = results.flat_map(|it| [it.error_code, shown(it.name.as_slice())]);
        codes.collect::<Vec<_>>()
    };
    let on_cluster = (On::Cluster, Op::Delete);
    let on_topic = (On::Topic, Op::Delete);
    let describe = (On::Topic, Op::Describe);
    vec![
        case!(CreateTopics 7, create,
            |r: m::CreateTopicsResponseData| [r.topics[0].error_code], [TOPIC_DENIED])
        .forwarded()
        .denying(
            &[(On::Cluster, Op::Create), (On::Topic, Op::Create)],
            &[TOPIC_DENIED],
        ),
        case!(CreatePartitions 3, grow,
            |r: m::CreatePartitionsResponseData| [r.results[0].error_code], [TOPIC_DENIED])
        .forwarded(),
        case!(DeleteTopics 6, delete(Some("t"), KafkaUuid::ZERO),
            |r: m::DeleteTopicsResponseData| deleted(&r), [TOPIC_DENIED, SHOWN])
        .forwarded()
        .denying(&[on_cluster, on_topic], &[TOPIC_DENIED, SHOWN])
        .denying(&[on_cluster, describe], &[TOPIC_DENIED, SHOWN]),
        case!(DeleteTopics 6, delete(Some("missing"), KafkaUuid::ZERO),
            |r: m::DeleteTopicsResponseData| deleted(&r), [TOPIC_DENIED, SHOWN])
        .forwarded()
        .denying(
            &[on_cluster, on_topic],
            &[Code::UnknownTopicOrPartition.code(), SHOWN],
        ),
        // The name of a topic is shown to those who may describe it.
        case!(DeleteTopics 6, delete(None, topic_id),
            |r: m::DeleteTopicsResponseData| deleted(&r), [TOPIC_DENIED, 0])
        .forwarded()
        .denying(&[on_cluster, on_topic], &[TOPIC_DENIED, SHOWN]),
        case!(DeleteTopics 6, delete(None, unknown),
            |r: m::DeleteTopicsResponseData| deleted(&r), [Code::UnknownTopicId.code(), 0])
        .forwarded(),
        case!(DeleteTopics 5, delete_old,
            |r: m::DeleteTopicsResponseData| deleted(&r), [TOPIC_DENIED, SHOWN])
        .forwarded(),
    ]
}

fn cluster() -> Vec<Case> {
    let elect = || m::ElectLeadersRequestData {
        topic_partitions: Some(vec![m::elect_leaders_request::TopicPartitions {
            topic: name("t"),
            partitions: vec![0],
            ..Default::default()
        }]),
        ..Default::default()
    };
    let elected = |response: &m::ElectLeadersResponseData| {
        let topics = response.replica_election_results.iter();
        let partitions = topics.flat_map(|topic| &topic.partition_result);
        let codes = partitions.map(|it| it.error_code);
        std::iter::once(response.error_code)
            .chain(codes)
            .collect::<Vec<_>>()
    };
    let features = m::UpdateFeaturesRequestData {
        feature_updates: vec![m::update_features_request::FeatureUpdateKey {
            feature: name("group.version"),
            max_version_level: 1,
            ..Default::default()
        }],
        ..Default::default()
    };
    let unregister = m::UnregisterBrokerRequestData {
        broker_id: 2,
        ..Default::default()
    };
    let controller = m::UnregisterControllerRequestData { controller_id: 2 };
    let quorum = m::DescribeQuorumRequestData {
        topics: vec![m::describe_quorum_request::TopicData {
            topic_name: name("__cluster_metadata"),
            partitions: vec![Default::default()],
            ..Default::default()
        }],
        ..Default::default()
    };
    vec![
        case!(ElectLeaders 2, elect(),
            |r: m::ElectLeadersResponseData| elected(&r), [CLUSTER_DENIED, CLUSTER_DENIED])
        .forwarded(),
        // The first version has an error for each partition only.
        case!(ElectLeaders 0, elect(),
            |r: m::ElectLeadersResponseData| elected(&r), [wire::NONE, CLUSTER_DENIED])
        .forwarded(),
        case!(DescribeQuorum 2, quorum,
            |r: m::DescribeQuorumResponseData| [r.error_code, shown(&r.topics)],
            [CLUSTER_DENIED, 0])
        .forwarded(),
        case!(UnregisterBroker 0, unregister,
            |r: m::UnregisterBrokerResponseData| [r.error_code], [CLUSTER_DENIED])
        .forwarded(),
        case!(UnregisterController 0, controller,
            |r: m::UnregisterControllerResponseData| [r.error_code], [CLUSTER_DENIED])
        .forwarded(),
        case!(UpdateFeatures 2, features,
            |r: m::UpdateFeaturesResponseData| [r.error_code], [CLUSTER_DENIED])
        .forwarded(),
    ]
}

fn reassignments() -> Vec<Case> {
    use m::alter_partition_reassignments_request as alter;
    let move_to = m::AlterPartitionReassignmentsRequestData {
        topics: vec![alter::ReassignableTopic {
            name: name("t"),
            partitions: vec![alter::ReassignablePartition {
                replicas: Some(vec![1]),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let list = m::ListPartitionReassignmentsRequestData {
        topics: Some(vec![
            m::list_partition_reassignments_request::ListPartitionReassignmentsTopics {
                name: name("t"),
                partition_indexes: vec![0],
                ..Default::default()
            },
        ]),
        ..Default::default()
    };
    vec![
        case!(AlterPartitionReassignments 1, move_to,
            |r: m::AlterPartitionReassignmentsResponseData|
                [r.error_code, r.responses[0].partitions[0].error_code],
            [CLUSTER_DENIED, CLUSTER_DENIED])
        .forwarded(),
        // As in Kafka, a refusal has the partitions of the request.
        case!(ListPartitionReassignments 0, list,
            |r: m::ListPartitionReassignmentsResponseData| [r.error_code, shown(&r.topics)],
            [CLUSTER_DENIED, SHOWN]),
    ]
}

fn acls() -> Vec<Case> {
    const ANY: i8 = 1;
    let (literal, allow, all) = (3, 3, 2);
    let describe = m::describe_acls_request::DescribeAclsRequestData {
        resource_type_filter: ANY,
        pattern_type_filter: ANY,
        operation: ANY,
        permission_type: ANY,
        ..Default::default()
    };
    let create = m::create_acls_request::CreateAclsRequestData {
        creations: vec![m::create_acls_request::AclCreation {
            resource_type: On::Topic as i8,
            resource_name: name("t"),
            resource_pattern_type: literal,
            principal: name("User:mallory"),
            host: name("*"),
            operation: all,
            permission_type: allow,
            ..Default::default()
        }],
        ..Default::default()
    };
    let delete = m::delete_acls_request::DeleteAclsRequestData {
        filters: vec![m::delete_acls_request::DeleteAclsFilter {
            resource_type_filter: ANY,
            pattern_type_filter: ANY,
            operation: ANY,
            permission_type: ANY,
            ..Default::default()
        }],
        ..Default::default()
    };
    vec![
        case!(DescribeAcls 3, describe,
            |r: m::describe_acls_response::DescribeAclsResponseData| [r.error_code],
            [CLUSTER_DENIED]),
        case!(CreateAcls 3, create,
            |r: m::create_acls_response::CreateAclsResponseData| [r.results[0].error_code],
            [CLUSTER_DENIED])
        .forwarded(),
        case!(DeleteAcls 3, delete,
            |r: m::delete_acls_response::DeleteAclsResponseData| {
                let results = r.filter_results.iter();
                results.map(|result| result.error_code).collect::<Vec<_>>()
            },
            [CLUSTER_DENIED])
        .forwarded(),
    ]
}

fn users() -> Vec<Case> {
    use m::describe_user_scram_credentials_request as asked;
    use m::describe_user_scram_credentials_response as answered;
    use m::sasl_authenticate_request::SaslAuthenticateRequestData as Authenticate;
    let describe = asked::DescribeUserScramCredentialsRequestData::default();
    let alter = m::alter_user_scram_credentials_request::AlterUserScramCredentialsRequestData {
        deletions: vec![
            m::alter_user_scram_credentials_request::ScramCredentialDeletion {
                name: name("alice"),
                mechanism: 1,
                ..Default::default()
            },
        ],
        ..Default::default()
    };
    let alter_quotas = m::alter_client_quotas_request::AlterClientQuotasRequestData {
        entries: vec![Default::default()],
        ..Default::default()
    };
    vec![
        case!(DescribeUserScramCredentials 0, describe,
            |r: answered::DescribeUserScramCredentialsResponseData|
                [r.error_code],
            [CLUSTER_DENIED]),
        case!(AlterUserScramCredentials 0, alter,
            |r: m::alter_user_scram_credentials_response::AlterUserScramCredentialsResponseData|
                [r.results[0].error_code],
            [CLUSTER_DENIED])
        .forwarded(),
        case!(DescribeClientQuotas 1,
            m::describe_client_quotas_request::DescribeClientQuotasRequestData::default(),
            |r: m::describe_client_quotas_response::DescribeClientQuotasResponseData|
                [r.error_code],
            [CLUSTER_DENIED]),
        case!(AlterClientQuotas 1, alter_quotas,
            |r: m::alter_client_quotas_response::AlterClientQuotasResponseData|
                [r.entries[0].error_code],
            [CLUSTER_DENIED])
        .forwarded(),
        // On a listener without SASL.
        case!(SaslHandshake 1, m::sasl_handshake_request::SaslHandshakeRequestData::default(),
            |r: m::sasl_handshake_response::SaslHandshakeResponseData| [r.error_code],
            [Code::IllegalSaslState.code()]),
        case!(SaslAuthenticate 2, Authenticate::default(),
            |r: m::sasl_authenticate_response::SaslAuthenticateResponseData| [r.error_code],
            [Code::IllegalSaslState.code()]),
    ]
}

fn delegation_tokens() -> Vec<Case> {
    let create = m::CreateDelegationTokenRequestData {
        owner_principal_type: Some(name("User")),
        owner_principal_name: Some(name("bob")),
        ..Default::default()
    };
    let describe = m::DescribeDelegationTokenRequestData::default;
    let not_allowed = Code::DelegationTokenRequestNotAllowed.code();
    vec![
        case!(CreateDelegationToken 3, create,
            |r: m::CreateDelegationTokenResponseData| [r.error_code],
            [TOKEN_DENIED])
        .by("alice")
        .forwarded(),
        // Of a client that has not authenticated.
        case!(RenewDelegationToken 2, m::RenewDelegationTokenRequestData::default(),
            |r: m::RenewDelegationTokenResponseData| [r.error_code],
            [not_allowed]),
        case!(ExpireDelegationToken 2, m::ExpireDelegationTokenRequestData::default(),
            |r: m::ExpireDelegationTokenResponseData| [r.error_code],
            [not_allowed]),
        case!(DescribeDelegationToken 1, describe(),
            |r: m::DescribeDelegationTokenResponseData| [r.error_code, shown(&r.tokens)],
            [wire::NONE, 0])
        .by("alice"),
        // Without permissions, a client is shown its own tokens.
        case!(DescribeDelegationToken 3, describe(),
            |r: m::DescribeDelegationTokenResponseData| [r.error_code, shown(&r.tokens)],
            [wire::NONE, 0])
        .denying(&[(On::User, Op::DescribeTokens)], &[wire::NONE, SHOWN])
        .denying(&[(On::DelegationToken, Op::Describe)], &[wire::NONE, SHOWN])
        .by("alice"),
    ]
}
