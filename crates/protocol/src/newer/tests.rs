//! Compares messages with the bytes that the classes of Apache Kafka 4.4.0 write.

use std::fmt::Debug;
use std::fmt::Write as _;

use super::api_versions_request::ApiVersionsRequestData;
use super::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponseData};
use super::txn_offset_commit_request::{
    TxnOffsetCommitRequestData, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use super::txn_offset_commit_response::{
    TxnOffsetCommitResponseData, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use super::*;
use crate::messages::{ApiVersionsResponseData, DeleteGroupsRequestData};
use crate::{Request, Response, text, uuid};

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
fn versions_after_the_newest_are_not_read() {
    for key in [
        ApiKey::ApiVersions,
        ApiKey::DeleteGroups,
        ApiKey::TxnOffsetCommit,
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
