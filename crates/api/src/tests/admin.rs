//! Tests of ApiVersions, Metadata, DescribeTopicPartitions, DescribeCluster, DescribeConfigs and
//! other APIs that are answered from metadata.

use dohle_model::ErrorCode;
use dohle_model::record::{ConfigResource, MetadataRecord};
use dohle_protocol::messages::api_versions_request::ApiVersionsRequestData;
use dohle_protocol::messages::api_versions_response::ApiVersionsResponseData;
use dohle_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequestData};
use dohle_protocol::messages::delete_topics_response::DeleteTopicsResponseData;
use dohle_protocol::messages::describe_cluster_request::DescribeClusterRequestData;
use dohle_protocol::messages::describe_cluster_response::DescribeClusterResponseData;
use dohle_protocol::messages::describe_configs_request::{
    DescribeConfigsRequestData, DescribeConfigsResource,
};
use dohle_protocol::messages::describe_configs_response::DescribeConfigsResponseData;
use dohle_protocol::messages::describe_topic_partitions_request::{
    Cursor, DescribeTopicPartitionsRequestData,
};
use dohle_protocol::messages::describe_topic_partitions_response as topic_partitions;
use dohle_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequestData,
};
use dohle_protocol::messages::incremental_alter_configs_response as altered;
use dohle_protocol::messages::list_config_resources_request::ListConfigResourcesRequestData;
use dohle_protocol::messages::list_config_resources_response::ListConfigResourcesResponseData;
use dohle_protocol::messages::metadata_request::{MetadataRequestData, MetadataRequestTopic};
use dohle_protocol::messages::metadata_response::MetadataResponseData;
use dohle_protocol::{ApiKey, KafkaString, KafkaUuid};

use super::harness::{Broker, NODE, OTHER, ask};
use crate::table::TABLE;
use crate::wire;

fn text(value: &str) -> KafkaString {
    KafkaString::from(value.to_owned())
}

/// Returns a request of a client that names its software.
fn software() -> ApiVersionsRequestData {
    ApiVersionsRequestData {
        client_software_name: text("test"),
        client_software_version: text("1.0"),
        ..ApiVersionsRequestData::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_versions_are_the_table() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    let request = software();
    for version in 0..=5 {
        let response = ask!(
            client,
            ApiVersions,
            version,
            request,
            ApiVersionsResponseData
        );
        assert_eq!(response.error_code, 0);
        // Without a subscription those of client telemetry are not listed.
        assert_eq!(response.api_keys.len(), TABLE.len() - 2);
    }
    let request = ApiVersionsRequestData::default();
    let response = ask!(client, ApiVersions, 3, request, ApiVersionsResponseData);
    assert_eq!(
        response.error_code,
        ErrorCode::InvalidRequest.code(),
        "no software name"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_means_another_cluster_or_node_is_sent_away() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    let away = ErrorCode::RebootstrapRequired;
    let invalid = ErrorCode::InvalidRequest;
    let here = (Some("cluster"), NODE.0);
    for (version, (cluster_id, node_id), refused) in [
        (5, here, None),
        (5, (Some("cluster"), NODE.0 + 1), Some(away)),
        (5, (Some("other"), NODE.0), Some(away)),
        (5, (Some(""), NODE.0), Some(away)),
        (5, (Some("cluster"), -1), Some(invalid)),
        (5, (None, NODE.0), Some(invalid)),
        (5, (None, -1), None),
        (4, (Some("other"), 9), None),
    ] {
        let request = ApiVersionsRequestData {
            cluster_id: cluster_id.map(text),
            node_id,
            ..software()
        };
        let response = ask!(
            client,
            ApiVersions,
            version,
            request,
            ApiVersionsResponseData
        );
        let expected = refused.map_or(0, ErrorCode::code);
        assert_eq!(response.error_code, expected, "{version} {request:?}");
        assert_eq!(response.api_keys.is_empty(), refused.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_api_versions_is_answered_in_version_0() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    let mut answer = client.exchange(ApiKey::ApiVersions, 99, b"whatever").await;
    let response = ApiVersionsResponseData::read(&mut answer, 0).unwrap();
    assert_eq!(response.error_code, ErrorCode::UnsupportedVersion.code());
    let [api] = &response.api_keys[..] else {
        panic!("one key: {response:?}")
    };
    assert_eq!((api.api_key, api.min_version, api.max_version), (18, 0, 5));
}

#[test]
fn the_table_has_each_api_once_and_only_versions_that_can_be_decoded() {
    for (at, api) in TABLE.iter().enumerate() {
        assert!(
            TABLE[..at].iter().all(|other| other.key != api.key),
            "{:?}",
            api.key
        );
        let info = dohle_protocol::messages::client_api_info(api.key);
        let newest = dohle_protocol::newer::newest_version(api.key);
        assert!(api.version_max <= newest, "{:?}", api.key);
        assert!(api.key == ApiKey::Produce || api.version_min >= info.min_version);
    }
}

fn metadata(topics: Option<Vec<MetadataRequestTopic>>) -> MetadataRequestData {
    MetadataRequestData {
        topics,
        allow_auto_topic_creation: false,
        ..MetadataRequestData::default()
    }
}

fn named(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic {
        name: Some(text(name)),
        ..MetadataRequestTopic::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_tells_brokers_topics_and_leaders_in_every_version() {
    let broker = Broker::start(&[("auto.create.topics.enable", "false")]).await;
    let id = broker.topic_led_by("t", 2, OTHER, vec![OTHER, NODE]).await;
    let mut client = broker.client();
    for version in 0..=13 {
        // Before version 4 there is no flag to forbid creation.
        // As in Kafka, the names that do not exist come last.
        let mut request = metadata(Some(vec![named("none"), named("not legal"), named("t")]));
        request.allow_auto_topic_creation = version < 4;
        let response = ask!(client, Metadata, version, request, MetadataResponseData);
        assert_eq!(response.brokers.len(), 2);
        assert_eq!(response.brokers[0].host.as_str(), "host1");
        if version >= 1 {
            assert_eq!(response.controller_id, NODE.0);
        }
        let codes: Vec<_> = response
            .topics
            .iter()
            .map(|topic| topic.error_code)
            .collect();
        let unknown = ErrorCode::UnknownTopicOrPartition.code();
        assert_eq!(codes, [0, unknown, ErrorCode::InvalidTopicException.code()]);
        let topic = &response.topics[0];
        assert_eq!(topic.partitions.len(), 2);
        assert_eq!(topic.partitions[1].leader_id, OTHER.0);
        assert_eq!(topic.partitions[1].replica_nodes, [OTHER.0, NODE.0]);
        if version >= 7 {
            assert_eq!(topic.partitions[1].leader_epoch, 3);
        }
        if version >= 10 {
            assert_eq!(topic.topic_id, wire::wire_id(id));
        }
    }
    // All topics: an empty list in version 0, null in later versions.
    let request = metadata(Some(vec![]));
    let request = MetadataRequestData {
        allow_auto_topic_creation: true,
        ..request
    };
    let response = ask!(client, Metadata, 0, request, MetadataResponseData);
    assert_eq!(response.topics.len(), 1);
    let response = ask!(client, Metadata, 12, metadata(None), MetadataResponseData);
    assert_eq!(response.topics.len(), 1);
    let response = ask!(
        client,
        Metadata,
        12,
        metadata(Some(vec![])),
        MetadataResponseData
    );
    assert_eq!(response.topics.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_finds_topics_by_id() {
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 1).await;
    let mut client = broker.client();
    let by_id = |topic_id| MetadataRequestTopic {
        topic_id,
        name: None,
        ..MetadataRequestTopic::default()
    };
    let unknown = KafkaUuid::from_parts(1, 2);
    let request = metadata(Some(vec![by_id(wire::wire_id(id)), by_id(unknown)]));
    let response = ask!(client, Metadata, 12, request, MetadataResponseData);
    // As in Kafka, the ids that do not exist come first.
    assert_eq!(
        response.topics[0].error_code,
        ErrorCode::UnknownTopicId.code()
    );
    assert_eq!(response.topics[0].topic_id, unknown);
    assert_eq!(response.topics[1].name.as_ref().unwrap().as_str(), "t");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_partitions_come_in_pages() {
    let broker = Broker::start(&[]).await;
    broker.topic("a", 3).await;
    broker.topic("b", 2).await;
    let mut client = broker.client();
    let mut cursor: Option<Box<Cursor>> = None;
    let mut pages = Vec::new();
    loop {
        let request = DescribeTopicPartitionsRequestData {
            response_partition_limit: 2,
            cursor: cursor.take(),
            ..DescribeTopicPartitionsRequestData::default()
        };
        let response = ask!(
            client,
            DescribeTopicPartitions,
            0,
            request,
            topic_partitions::DescribeTopicPartitionsResponseData
        );
        let page: Vec<String> = response
            .topics
            .iter()
            .flat_map(|topic| {
                let name = topic.name.as_ref().unwrap().to_string();
                topic
                    .partitions
                    .iter()
                    .map(move |one| format!("{name}-{}", one.partition_index))
            })
            .collect();
        pages.push(page.join(" "));
        match response.next_cursor {
            Some(next) => {
                cursor = Some(Box::new(Cursor {
                    topic_name: next.topic_name,
                    partition_index: next.partition_index,
                    ..Cursor::default()
                }));
            }
            None => break,
        }
    }
    assert_eq!(pages, ["a-0 a-1", "a-2 b-0", "b-1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cluster_is_described() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    let request = DescribeClusterRequestData {
        endpoint_type: 1,
        ..Default::default()
    };
    for version in 0..=2 {
        let response = ask!(
            client,
            DescribeCluster,
            version,
            request,
            DescribeClusterResponseData
        );
        assert_eq!(response.cluster_id.as_str(), "cluster");
        assert_eq!(response.controller_id, NODE.0);
        assert_eq!(response.brokers.len(), 2);
        assert_eq!(response.brokers[1].rack.as_ref().unwrap().as_str(), "far");
    }
    let request = DescribeClusterRequestData {
        endpoint_type: 2,
        ..request
    };
    let response = ask!(
        client,
        DescribeCluster,
        1,
        request,
        DescribeClusterResponseData
    );
    assert_eq!(
        response.error_code,
        ErrorCode::MismatchedEndpointType.code()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configurations_are_described_with_their_sources() {
    let broker = Broker::start(&[("log.retention.ms", "25200000")]).await;
    broker.topic("t", 1).await;
    let subscription = MetadataRecord::Config {
        resource: ConfigResource::ClientMetrics("m".into()),
        key: "interval.ms".to_owned(),
        value: Some("1000".to_owned()),
    };
    broker.apply(&[subscription]).await;
    let mut client = broker.client();
    let resource = |resource_type, name: &str| DescribeConfigsResource {
        resource_type,
        resource_name: text(name),
        configuration_keys: None,
        ..DescribeConfigsResource::default()
    };
    let request = DescribeConfigsRequestData {
        resources: vec![
            resource(2, "t"),
            resource(2, "none"),
            resource(4, "1"),
            resource(4, "2"),
            resource(4, ""),
            resource(8, "1"),
            resource(16, "m"),
            resource(16, ""),
        ],
        include_synonyms: true,
        ..DescribeConfigsRequestData::default()
    };
    for version in 1..=4 {
        let include_documentation = version >= 3;
        let request = DescribeConfigsRequestData {
            include_documentation,
            ..request.clone()
        };
        let response = ask!(
            client,
            DescribeConfigs,
            version,
            request,
            DescribeConfigsResponseData
        );
        let codes: Vec<_> = response
            .results
            .iter()
            .map(|result| result.error_code)
            .collect();
        let (unknown, invalid) = (
            ErrorCode::UnknownTopicOrPartition.code(),
            ErrorCode::InvalidRequest.code(),
        );
        assert_eq!(codes, [0, unknown, 0, invalid, 0, 0, 0, invalid]);
        let configs = &response.results[0].configs;
        let retention = configs
            .iter()
            .find(|config| config.name.as_str() == "retention.ms")
            .unwrap();
        assert_eq!(retention.value.as_ref().unwrap().as_str(), "25200000");
        assert_eq!(retention.config_source, 4, "static broker");
        assert!(!retention.synonyms.is_empty());
        assert_eq!(retention.documentation.is_some(), version >= 3);
        let configs = response.results[6].configs.iter();
        let configs = configs.map(|config| {
            let value = config.value.as_ref().unwrap().as_str();
            (config.name.as_str(), value, config.config_source)
        });
        let (own, default) = (7, 5);
        let expected = [
            ("interval.ms", "1000", own),
            ("match", "", default),
            ("metrics", "", default),
        ];
        assert_eq!(configs.collect::<Vec<_>>(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_resources_are_listed_by_type() {
    let broker = Broker::start(&[]).await;
    broker.topic("t", 1).await;
    let mut client = broker.client();
    let request = ListConfigResourcesRequestData::default();
    let response = ask!(
        client,
        ListConfigResources,
        1,
        request,
        ListConfigResourcesResponseData
    );
    let names: Vec<_> = response
        .config_resources
        .iter()
        .map(|resource| (resource.resource_type, resource.resource_name.to_string()))
        .collect();
    let name = |kind, name: &str| (kind, name.to_owned());
    assert_eq!(
        names,
        [
            name(2, "t"),
            name(4, "1"),
            name(4, "2"),
            name(8, "1"),
            name(8, "2")
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_refused_here_is_refused_without_the_controller() {
    let broker = Broker::start(&[("delete.topic.enable", "false")]).await;
    let mut client = broker.client();
    let topic = DeleteTopicState {
        name: Some(text("t")),
        ..DeleteTopicState::default()
    };
    let request = DeleteTopicsRequestData {
        topics: vec![topic],
        timeout_ms: 1000,
        ..Default::default()
    };
    let response = ask!(client, DeleteTopics, 6, request, DeleteTopicsResponseData);
    assert_eq!(
        response.responses[0].error_code,
        ErrorCode::TopicDeletionDisabled.code()
    );
}

/// Returns a request that sets a property of a broker, or of all brokers when `broker` is empty.
fn set_of_broker(broker: &str, name: &str, value: &str) -> IncrementalAlterConfigsRequestData {
    let config = AlterableConfig {
        name: text(name),
        value: Some(text(value)),
        ..AlterableConfig::default()
    };
    let resource = AlterConfigsResource {
        resource_type: 4,
        resource_name: text(broker),
        configs: vec![config],
        ..AlterConfigsResource::default()
    };
    IncrementalAlterConfigsRequestData {
        resources: vec![resource],
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_changes_no_other_brokers_configuration() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    for name in ["2", "one"] {
        let request = set_of_broker(name, "log.retention.ms", "1000");
        let response = ask!(
            client,
            IncrementalAlterConfigs,
            1,
            request,
            altered::IncrementalAlterConfigsResponseData
        );
        let refused = ErrorCode::InvalidRequest.code();
        assert_eq!(response.responses[0].error_code, refused, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_refuses_values_of_its_own_that_contradict_each_other() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    for resource_name in [NODE.to_string(), String::new()] {
        let request = set_of_broker(&resource_name, "num.io.threads", "100");
        let response = ask!(
            client,
            IncrementalAlterConfigs,
            1,
            request,
            altered::IncrementalAlterConfigsResponseData
        );
        let response = &response.responses[0];
        assert_eq!(response.error_code, ErrorCode::InvalidRequest.code());
        let message = response.error_message.as_ref().map(KafkaString::as_str);
        let expected = "num.io.threads (100) must be from 4 to 16 while it is 8";
        assert!(
            message.unwrap_or_default().starts_with(expected),
            "{message:?}"
        );
    }
}
