//! Forwarded requests: all attempts are one request, in a version that both releases have.

use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};
use dohle_protocol::forward::encode_body;
use dohle_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use dohle_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use dohle_protocol::messages::{CreatePartitionsRequestData, CreatePartitionsResponseData};
use dohle_protocol::{ApiKey, Forwarded, KafkaString, ProtocolError};
use v1::forward_response::Result as Forwarding;

use super::*;

/// CreatePartitions in a release that forwards versions 2 and 3 of it.
struct TwoVersions(CreatePartitionsRequestData);

impl dohle_protocol::Request for TwoVersions {
    const KEY: ApiKey = ApiKey::CreatePartitions;
    type Response = CreatePartitionsResponseData;

    fn read(body: &mut Bytes, version: i16) -> Result<Self, ProtocolError> {
        CreatePartitionsRequestData::read(body, version).map(Self)
    }

    fn write(&self, out: &mut BytesMut, version: i16) -> Result<(), ProtocolError> {
        self.0.write(out, version)
    }
}

impl Forwarded for TwoVersions {
    const VERSIONS: RangeInclusive<i16> = 2..=3;
}

fn name() -> KafkaString {
    KafkaString::from("foo".to_owned())
}

fn request() -> TwoVersions {
    TwoVersions(CreatePartitionsRequestData {
        topics: vec![CreatePartitionsTopic {
            name: name(),
            count: 7,
            ..CreatePartitionsTopic::default()
        }],
        ..CreatePartitionsRequestData::default()
    })
}

fn versions(min: i32, max: i32) -> v1::ForwardResponse {
    v1::ForwardResponse {
        result: Some(Forwarding::Versions(v1::ForwardVersions { min, max })),
    }
}

fn response(version: i16) -> v1::ForwardResponse {
    let response = CreatePartitionsResponseData {
        results: vec![CreatePartitionsTopicResult {
            name: name(),
            ..CreatePartitionsTopicResult::default()
        }],
        ..CreatePartitionsResponseData::default()
    };
    let body = encode_body(&response, version).unwrap();
    v1::ForwardResponse {
        result: Some(Forwarding::Response(v1::ForwardedResponse {
            offset: 5,
            body,
        })),
    }
}

async fn forward(
    client: &ControllerClient,
) -> Result<ForwardedResponse<CreatePartitionsResponseData>, ControllerError> {
    let sender = Sender {
        principal: "User:ANONYMOUS".to_owned(),
        listener: "PLAINTEXT".to_owned(),
        client_address: "127.0.0.1:1".to_owned(),
        client_id: "admin".to_owned(),
        api_version: 3,
    };
    client.forward(&request(), &sender, soon()).await
}

#[tokio::test]
async fn a_controller_of_an_older_release_gets_the_newest_version_that_it_serves() {
    let one = Fake::start(&[VoterReply::NotActive(Some(2))]).await;
    let two = Fake::start(&[VoterReply::Active]).await;
    two.fake
        .to_forward
        .lock()
        .extend([versions(1, 2), response(2)]);
    let answer = forward(&client_of(&[&one, &two])).await.unwrap();
    assert_eq!(answer.offset, MetadataOffset(5));
    assert_eq!(answer.response.results[0].name, name());

    let forwarded = two.fake.forwarded.lock();
    let sent: Vec<_> = forwarded.iter().map(|one| one.api_version).collect();
    assert_eq!(sent, [3, 2]);
    assert_eq!(forwarded[0].request_id, forwarded[1].request_id);
    assert_eq!(forwarded[0].request_id.len(), 16);
    let body = &mut forwarded[1].body.clone();
    let read = CreatePartitionsRequestData::read(body, 2).unwrap();
    assert_eq!(read, request().0);
    let sender = forwarded[1].sender.clone().unwrap();
    assert_eq!(sender.principal, "User:ANONYMOUS");
    assert_eq!(
        (&*sender.listener, &*sender.client_id),
        ("PLAINTEXT", "admin")
    );
    assert!(forwarded[1].timeout_ms > 0);
}

#[tokio::test]
async fn a_controller_that_serves_none_of_the_versions_is_an_error_that_names_them() {
    let one = Fake::start(&[VoterReply::Active]).await;
    let client = client_of(&[&one]);
    let cases = [
        (
            (0, 1),
            "it serves versions 0 to 1, this broker forwards versions 2 to 3",
        ),
        (
            (4, 5),
            "it serves versions 4 to 5, this broker forwards versions 2 to 3",
        ),
        ((0, -1), "it does not have this API"),
    ];
    for ((min, max), reason) in cases {
        one.fake.to_forward.lock().push_back(versions(min, max));
        let error = dohle_model::ApiError::from(forward(&client).await.unwrap_err());
        assert_eq!(error.code, ErrorCode::UnsupportedVersion);
        assert!(error.message.contains(reason), "{}", error.message);
    }
    // The broker gives up on a controller that contradicts itself.
    let contradictions = [versions(2, 3), versions(2, 3)];
    one.fake.to_forward.lock().extend(contradictions);
    let error = dohle_model::ApiError::from(forward(&client).await.unwrap_err());
    assert_eq!(error.code, ErrorCode::UnsupportedVersion);
}
