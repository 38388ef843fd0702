//! Compares messages with the bytes that the classes of Apache Kafka 4.4.0 write.

use std::fmt::Debug;
use std::fmt::Write as _;

use super::api_versions_request::ApiVersionsRequestData;
use super::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponseData};
use super::streams_group_describe_request::StreamsGroupDescribeRequestData;
use super::streams_group_describe_response::{
    DescribedGroup, Group, StreamsGroupDescribeResponseData,
};
use super::streams_group_heartbeat_response::{
    EndpointToPartitions, Status, StreamsGroupHeartbeatResponseData, TaskIds,
};
use super::streams_group_topology_description_update_request::*;
use super::streams_group_topology_description_update_response::*;
use super::topology_description::*;
use super::txn_offset_commit_request::{
    TxnOffsetCommitRequestData, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use super::txn_offset_commit_response::{
    TxnOffsetCommitResponseData, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use super::unregister_controller_request::UnregisterControllerRequestData;
use super::unregister_controller_response::UnregisterControllerResponseData;
use super::*;
use crate::messages::{
    ApiVersionsResponseData, DeleteGroupsRequestData, StreamsGroupHeartbeatRequestData,
};
use crate::{Request, Response, text, uuid};
use kacrab_protocol::generated::streams_group_describe_response::{Member, Topology};
use kacrab_protocol::generated::streams_group_heartbeat_response::{Endpoint, TopicPartition};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Bytes {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}

/// Checks that Kafka's bytes are read as `expected`, and `message` is written as Kafka's bytes.
#[track_caller]
fn check_request<M: Request + PartialEq + Debug>(
    message: &M,
    version: i16,
    kafkas: &str,
    expected: &M,
) {
    let mut out = BytesMut::new();
    message.write(&mut out, version).unwrap();
    assert_eq!(hex(&out), kafkas, "version {version}");
    let mut body = unhex(kafkas);
    assert_eq!(M::read(&mut body, version).unwrap(), *expected);
    assert!(body.is_empty());
    for end in 0..kafkas.len() / 2 {
        let mut cut = unhex(&kafkas[..end * 2]);
        M::read(&mut cut, version).unwrap_err();
    }
}

/// See [`check_request`].
#[track_caller]
fn check_response<M: Response + PartialEq + Debug>(
    message: &M,
    version: i16,
    kafkas: &str,
    expected: &M,
) {
    let mut out = BytesMut::new();
    message.write(&mut out, version).unwrap();
    assert_eq!(hex(&out), kafkas, "version {version}");
    let mut body = unhex(kafkas);
    assert_eq!(M::read(&mut body, version).unwrap(), *expected);
    assert!(body.is_empty());
}

#[test]
fn api_versions_has_the_bytes_of_kafka() {
    let software = ApiVersionsRequestData {
        client_software_name: text("java"),
        client_software_version: text("4.4.0"),
        ..ApiVersionsRequestData::default()
    };
    let named = ApiVersionsRequestData {
        cluster_id: Some(text("4L6g3nShT-eMCtK--X86sw")),
        node_id: 7,
        ..software.clone()
    };
    check_request(&named, 0, "", &ApiVersionsRequestData::default());
    check_request(&named, 4, "056a61766106342e342e3000", &software);
    check_request(
        &named,
        5,
        "056a61766106342e342e3017344c3667336e5368542d654d43744b2d2d58383673770000000700",
        &named,
    );
    check_request(
        &software,
        5,
        "056a61766106342e342e3000ffffffff00",
        &software,
    );

    let response = ApiVersionsResponseData {
        error_code: 129,
        ..ApiVersionsResponseData::default()
    };
    for version in [4, 5] {
        check_response(&response, version, "0081010000000000", &response);
    }
}

#[test]
fn delete_groups_has_the_bytes_of_kafka() {
    let request = DeleteGroupsRequestData {
        groups_names: vec![text("a"), text("b")],
        ..DeleteGroupsRequestData::default()
    };
    for version in [2, 3] {
        check_request(&request, version, "030261026200", &request);
    }
    let result = |group_id, error_code, message: Option<&str>| DeletableGroupResult {
        group_id: text(group_id),
        error_code,
        error_message: message.map(text),
    };
    let response = |message| DeleteGroupsResponseData {
        throttle_time_ms: 5,
        results: vec![result("a", 69, message), result("b", 0, None)],
    };
    let (with, without) = (response(Some("gone")), response(None));
    check_response(&with, 0, "000000050000000200016100450001620000", &without);
    check_response(&with, 2, "00000005030261004500026200000000", &without);
    check_response(
        &with,
        3,
        "00000005030261004505676f6e650002620000000000",
        &with,
    );
}

#[test]
fn txn_offset_commit_has_the_bytes_of_kafka() {
    let id = uuid([1, 2, 3, 4, 5, 6, 7, 8, 17, 18, 19, 20, 21, 22, 23, 24]);
    let request = |name: &str, topic_id| TxnOffsetCommitRequestData {
        transactional_id: text("tx"),
        group_id: text("g"),
        producer_id: 9,
        producer_epoch: 2,
        generation_id_or_member_epoch: 3,
        member_id: text("m"),
        group_instance_id: Some(text("i")),
        topics: vec![TxnOffsetCommitRequestTopic {
            name: text(name),
            topic_id,
            partitions: vec![TxnOffsetCommitRequestPartition {
                partition_index: 1,
                committed_offset: 42,
                committed_leader_epoch: 4,
                committed_metadata: Some(text("x")),
                ..TxnOffsetCommitRequestPartition::default()
            }],
        }],
    };
    let start = "03747802670000000000000009000200000003026d0269";
    let offset = "0200000001000000000000002a000000040278000000";
    let named = request("t", uuid([0; 16]));
    for version in [3, 5] {
        let bytes = format!("{start}020274{offset}");
        check_request(&request("t", id), version, &bytes, &named);
    }
    let bytes = format!("{start}0201020304050607081112131415161718{offset}");
    check_request(&request("t", id), 6, &bytes, &request("", id));

    let response = |name: &str, topic_id| TxnOffsetCommitResponseData {
        throttle_time_ms: 5,
        topics: vec![TxnOffsetCommitResponseTopic {
            name: text(name),
            topic_id,
            partitions: vec![TxnOffsetCommitResponsePartition {
                partition_index: 1,
                error_code: 113,
                ..TxnOffsetCommitResponsePartition::default()
            }],
        }],
    };
    let named = response("t", uuid([0; 16]));
    let all = response("t", id);
    check_response(
        &all,
        0,
        "000000050000000100017400000001000000010071",
        &named,
    );
    check_response(&all, 5, "0000000502027402000000010071000000", &named);
    let bytes = "00000005020102030405060708111213141516171802000000010071000000";
    check_response(&all, 6, bytes, &response("", id));
}

#[test]
fn unregister_controller_has_the_bytes_of_kafka() {
    let request = UnregisterControllerRequestData { controller_id: 7 };
    check_request(&request, 0, "0000000700", &request);
    let response = UnregisterControllerResponseData {
        throttle_time_ms: 5,
        error_code: 136,
        error_message: Some(text("no")),
    };
    check_response(&response, 0, "000000050088036e6f00", &response);
    let none = UnregisterControllerResponseData::default();
    check_response(&none, 0, "0000000000000000", &none);
}

#[test]
fn a_topology_description_has_the_bytes_of_kafka() {
    let source = TopologyDescriptionNode {
        name: text("a"),
        node_type: 1,
        source_topics: vec![text("t"), text("u")],
        successors: vec![text("b")],
        ..TopologyDescriptionNode::default()
    };
    let sink = TopologyDescriptionNode {
        name: text("b"),
        node_type: 3,
        sink_topic: Some(text("o")),
        stores: vec![text("s")],
        ..TopologyDescriptionNode::default()
    };
    let request = StreamsGroupTopologyDescriptionUpdateRequestData {
        group_id: text("g"),
        member_id: text("m"),
        topology_epoch: 3,
        topology_description: TopologyDescription {
            subtopologies: vec![TopologyDescriptionSubtopology {
                subtopology_id: text("0"),
                nodes: vec![source.clone(), sink.clone()],
            }],
            global_stores: vec![TopologyDescriptionGlobalStore {
                source,
                processor: sink,
            }],
        },
    };
    let nodes = "0261010302740275000102026200026203 01026f0202730100".replace(' ', "");
    let kafkas = format!("0267026d00000003020230 03{nodes}0002{nodes}000000").replace(' ', "");
    check_request(&request, 0, &kafkas, &request);
    let response = StreamsGroupTopologyDescriptionUpdateResponseData {
        throttle_time_ms: 5,
        error_code: 35,
        error_message: Some(text("no")),
    };
    check_response(&response, 0, "000000050023036e6f00", &response);
}

#[test]
fn streams_group_heartbeat_has_the_bytes_of_kafka() {
    let request = StreamsGroupHeartbeatRequestData {
        group_id: text("g"),
        member_id: text("m"),
        member_epoch: 1,
        ..StreamsGroupHeartbeatRequestData::default()
    };
    let bytes = "0267026d00000001000000000000ffffffffff00000000ff0000000000";
    for version in [0, 1] {
        check_request(&request, version, bytes, &request);
    }

    let partitions = |topic: &str| TopicPartition {
        topic: text(topic),
        partitions: vec![0],
        ..TopicPartition::default()
    };
    let response = |topology_description_required| StreamsGroupHeartbeatResponseData {
        throttle_time_ms: 5,
        member_id: text("m"),
        member_epoch: 2,
        heartbeat_interval_ms: 9,
        task_offset_interval_ms: 8,
        acceptable_recovery_lag: 77,
        status: Some(vec![Status {
            status_code: 1,
            status_detail: text("d"),
            ..Status::default()
        }]),
        active_tasks: Some(vec![TaskIds {
            subtopology_id: text("0"),
            partitions: vec![4],
            ..TaskIds::default()
        }]),
        warmup_tasks: Some(Vec::new()),
        topology_description_required,
        endpoint_information_epoch: 6,
        partitions_by_user_endpoint: Some(vec![EndpointToPartitions {
            user_endpoint: Endpoint {
                host: text("h"),
                port: 1,
                ..Endpoint::default()
            },
            active_partitions: vec![partitions("t")],
            ..EndpointToPartitions::default()
        }]),
        ..StreamsGroupHeartbeatResponseData::default()
    };
    let start = "00000005000000026d0000000200000009";
    let status = "02010264000202300200000004000001";
    let end = "00000006020268000100020274020000000000010000";
    let kafkas = format!("{start}0000004d00000008{status}{end}");
    check_response(&response(true), 0, &kafkas, &response(false));
    let kafkas = format!("{start}00000008000000000000004d{status}01{end}");
    check_response(&response(true), 1, &kafkas, &response(true));

    // A refusal: Kafka's default of the lag is -1, and was 0.
    let refused = |acceptable_recovery_lag| StreamsGroupHeartbeatResponseData {
        error_code: 35,
        status: Some(Vec::new()),
        acceptable_recovery_lag,
        ..StreamsGroupHeartbeatResponseData::default()
    };
    let older = "00000000002300010000000000000000000000000000000001000000000000000000";
    check_response(&refused(-1), 0, older, &refused(0));
    let newer = "0000000000230001000000000000000000000000ffffffffffffffff0100000000000000000000";
    check_response(&refused(-1), 1, newer, &refused(-1));
}

#[test]
fn streams_group_describe_has_the_bytes_of_kafka() {
    let request = |include_topology_description| StreamsGroupDescribeRequestData {
        group_ids: vec![text("g"), text("h")],
        include_authorized_operations: true,
        include_topology_description,
    };
    check_request(&request(true), 0, "03026702680100", &request(false));
    check_request(&request(true), 1, "0302670268010100", &request(true));

    let group = Group {
        group_id: text("g"),
        group_state: text("Stable"),
        group_epoch: 3,
        assignment_epoch: 2,
        topology: Some(Box::new(Topology {
            epoch: 1,
            ..Topology::default()
        })),
        members: vec![Member {
            member_id: text("m"),
            member_epoch: 3,
            client_id: text("c"),
            client_host: text("h"),
            topology_epoch: 1,
            process_id: text("p"),
            ..Member::default()
        }],
        authorized_operations: 9,
        ..Group::default()
    };
    let refused = Group {
        group_id: text("x"),
        error_code: 35,
        ..Group::default()
    };
    let described = DescribedGroup {
        group: group.clone(),
        topology_description: Some(TopologyDescription {
            subtopologies: vec![TopologyDescriptionSubtopology {
                subtopology_id: text("0"),
                nodes: Vec::new(),
            }],
            global_stores: Vec::new(),
        }),
        topology_description_status: 3,
        assignor_name: Some(text("sticky")),
    };
    let without = |group| DescribedGroup {
        group,
        ..DescribedGroup::default()
    };
    let response = |first| StreamsGroupDescribeResponseData {
        throttle_time_ms: 5,
        groups: vec![first, without(refused.clone())],
    };
    let (newer, older) = (response(described), response(without(group)));
    let group = "0000000503000000026707537461626c6500000003000000020100000001000002026d0000\
                 0003000002630268000000010270ff010101010101000101010000000000000900";
    let group = group.replace(' ', "");
    let start = group.strip_suffix("00").unwrap();
    let refused = "0023000278010000000000000000ff0180000000";
    check_response(&newer, 0, &format!("{start}00{refused}0000"), &older);
    let description = "01020230010001000307737469636b7900";
    check_response(
        &newer,
        1,
        &format!("{start}{description}{refused}ff00000000"),
        &newer,
    );
}

#[test]
fn versions_after_the_newest_are_not_read() {
    for key in [
        ApiKey::ApiVersions,
        ApiKey::DeleteGroups,
        ApiKey::StreamsGroupDescribe,
        ApiKey::StreamsGroupHeartbeat,
        ApiKey::StreamsGroupTopologyDescriptionUpdate,
        ApiKey::TxnOffsetCommit,
        ApiKey::UnregisterController,
    ] {
        let newest = newest_version(key);
        assert!(newest > client_api_info(key).max_version, "{key:?}");
        assert_eq!(request_header_version(key, newest), 2, "{key:?}");
        let header = i16::from(key != ApiKey::ApiVersions);
        assert_eq!(response_header_version(key, newest), header, "{key:?}");
        let mut body = BytesMut::zeroed(64);
        assert!(crate::message::probe(key, newest + 1, body.split().freeze()).is_err());
    }
    assert_eq!(newest_version(ApiKey::Metadata), 13);
    assert_eq!(request_header_version(ApiKey::Metadata, 8), 1);
}
