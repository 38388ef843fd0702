//! Tests of administrative requests that brokers forward.

use dohle_model::{ErrorCode, NodeId};
use dohle_protocol::ApiKey;
use dohle_protocol::KafkaString;
use dohle_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use dohle_protocol::messages::{CreatePartitionsRequestData, UnregisterControllerRequestData};
use dohle_rpc::v1::forward_response::Result as Forwarding;
use tonic::Code;

use super::cluster::{
    Broker, Client, Cluster, create, forward, forward_request, leader_id, within,
};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn add_partitions(count: i32) -> CreatePartitionsRequestData {
    CreatePartitionsRequestData {
        topics: vec![CreatePartitionsTopic {
            name: KafkaString::from("foo".to_owned()),
            count,
            assignments: None,
            ..CreatePartitionsTopic::default()
        }],
        ..CreatePartitionsRequestData::default()
    }
}

fn partitions(cluster: &Cluster) -> usize {
    let image = cluster.controller(1).image();
    image.topic("foo").unwrap().partitions.len()
}

async fn cluster_with_a_topic(cluster: &Cluster) -> (Client, Broker) {
    let mut client = cluster.client().await;
    let broker = Broker::join(&mut client, 1, 1).await;
    create(&mut client, "foo", 1, &[&[1]]).await;
    (client, broker)
}

#[test]
fn a_forwarded_request_is_answered_with_kafkas_response_where_it_holds() {
    let cluster = Cluster::start(1);
    runtime().block_on(async {
        let (mut client, _broker) = cluster_with_a_topic(&cluster).await;
        let (offset, response) = forward(&mut client, &add_partitions(3), 2).await.unwrap();
        assert_eq!(response.results[0].error_code, 0);
        assert!(cluster.controller(1).image().offset.0 >= offset);
        assert_eq!(partitions(&cluster), 3);

        let (_, response) = forward(&mut client, &add_partitions(3), 3).await.unwrap();
        assert_eq!(response.results[0].error_code, 37);
        let message = response.results[0].error_message.as_ref().unwrap();
        assert_eq!(message.as_str(), "Topic already has 3 partition(s).");
    });
}

#[test]
fn a_version_that_the_controller_does_not_serve_is_answered_with_those_it_serves() {
    let cluster = Cluster::start(3);
    runtime().block_on(async {
        let active = cluster.active().await;
        let mut client = cluster.client_of(active).await;
        let newest = forward_request(&add_partitions(3), 2);
        let mut newer = newest.clone();
        newer.api_version += 1;
        let mut unknown = newest.clone();
        unknown.api_key = i32::from(ApiKey::Heartbeat as i16);
        let mut beyond = newest.clone();
        beyond.api_version = 1 << 20;
        for (request, min, max) in [
            (newer.clone(), newest.api_version, newest.api_version),
            (beyond, newest.api_version, newest.api_version),
            (unknown, 0, -1),
        ] {
            let answer = within("versions", client.forward(request)).await.unwrap();
            let Some(Forwarding::Versions(versions)) = answer.into_inner().result else {
                panic!("no versions");
            };
            assert_eq!((versions.min, versions.max), (min, max));
        }

        // A voter that is not active may be of another release than the active one.
        let other = (1..=3).find(|id| *id != active).unwrap();
        let leader = cluster.controller(other).wait_for_leader().await;
        assert_eq!(leader, Some(NodeId(active)));
        let mut client = cluster.client_of(other).await;
        let status = within("a refusal", client.forward(newer))
            .await
            .unwrap_err();
        assert_eq!(leader_id(&status), Some(active));
    });
}

#[test]
fn a_malformed_forwarded_request_changes_nothing() {
    let cluster = Cluster::start(1);
    runtime().block_on(async {
        let (mut client, _broker) = cluster_with_a_topic(&cluster).await;
        let mut cut = forward_request(&add_partitions(3), 2);
        cut.body.truncate(cut.body.len() / 2);
        let mut anonymous = forward_request(&add_partitions(3), 2);
        anonymous.request_id.truncate(3);
        for request in [cut, anonymous] {
            let status = within("a refusal", client.forward(request)).await;
            assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);
        }
        assert_eq!(partitions(&cluster), 1);
    });
}

#[test]
fn a_request_that_waited_until_its_deadline_is_not_begun() {
    let cluster = Cluster::start(1);
    runtime().block_on(async {
        let (mut client, _broker) = cluster_with_a_topic(&cluster).await;
        let mut late = forward_request(&add_partitions(3), 2);
        late.timeout_ms = 0;
        let status = within("a refusal", client.forward(late)).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(partitions(&cluster), 1);
    });
}

#[test]
fn another_voter_may_be_unregistered_and_the_active_one_may_not() {
    let cluster = Cluster::start(3);
    runtime().block_on(async {
        let active = cluster.active().await;
        let mut client = cluster.client_of(active).await;
        for controller_id in 1..=4 {
            let request = UnregisterControllerRequestData { controller_id };
            let number = u8::try_from(controller_id).unwrap();
            let (_, response) = forward(&mut client, &request, number).await.unwrap();
            let expected = match controller_id {
                4 => ErrorCode::ControllerIdNotRegistered.code(),
                id if id == active => ErrorCode::InvalidRequest.code(),
                _ => 0,
            };
            assert_eq!(response.error_code, expected, "{response:?}");
        }
    });
}
