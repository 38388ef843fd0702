//! The requests, and the answers of Apache Kafka 4.3 to clients that are not allowed.
//!
//! Source: `KafkaApis.scala`, `ControllerApis.scala`, and `getErrorResponse` of each request.

use dohle_model::ErrorCode as Code;
use dohle_model::TopicId;
use dohle_protocol::messages as m;
use dohle_protocol::text;

use super::super::harness::{TestClient, ask};
use super::Case;
use crate::wire;

mod admin;
mod data;
mod groups;
mod switched_off;
mod transactions;

const TOPIC_DENIED: i16 = Code::TopicAuthorizationFailed as i16;
const GROUP_DENIED: i16 = Code::GroupAuthorizationFailed as i16;
const CLUSTER_DENIED: i16 = Code::ClusterAuthorizationFailed as i16;
const TOKEN_DENIED: i16 = Code::DelegationTokenAuthorizationFailed as i16;
const ID_DENIED: i16 = Code::TransactionalIdAuthorizationFailed as i16;

/// What [`Case::codes`] has for something that a response shows.
const SHOWN: i16 = 1000;

/// A request of one version, how error codes are read from its response, and the codes of a client
/// that may do nothing.
macro_rules! case {
    ($key:ident $version:literal, $request:expr,
     |$response:ident: $type:ty| $codes:expr, $denied:expr) => {{
        let mut body = ::bytes::BytesMut::new();
        $request.write(&mut body, $version).unwrap();
        $crate::tests::permissions::Case {
            key: ::dohle_protocol::ApiKey::$key,
            version: $version,
            body: body.freeze(),
            codes: Box::new(move |mut bytes: ::bytes::Bytes| {
                let $response = <$type>::read(&mut bytes, $version).unwrap();
                Vec::from($codes)
            }),
            denied: Vec::from($denied),
            partly: Vec::new(),
            user: None,
            forwarded: false,
        }
    }};
}
use case;
pub(super) use data::{metadata_of, offsets_of, record_for, transactional_record_for};
pub(super) use groups::member;

/// Returns the cases: requests about topic `t` with this id, group `g`, group `modern`, and
/// transactional id `tx` with this producer.
pub(super) fn cases(topic_id: TopicId, producer: (i64, i16)) -> Vec<Case> {
    let topic_id = wire::wire_id(topic_id);
    let mut cases = data::cases(topic_id);
    cases.extend(groups::cases(topic_id));
    cases.extend(transactions::cases(producer));
    cases.extend(admin::cases(topic_id));
    cases.extend(switched_off::cases(topic_id));
    cases
}

/// Creates what the cases are about, apart from the topic. Returns the producer of the transaction.
pub(super) async fn set_up(client: &mut TestClient) -> (i64, i16) {
    let record = data::plain();
    let produced = ask!(client, Produce, 9, record, m::ProduceResponseData);
    assert_eq!(
        produced.responses[0].partition_responses[0].error_code,
        wire::NONE
    );
    let commit = groups::commit("t");
    let committed = ask!(client, OffsetCommit, 8, commit, m::OffsetCommitResponseData);
    assert_eq!(committed.topics[0].partitions[0].error_code, wire::NONE);
    let member = groups::member("modern");
    type Joined = m::ConsumerGroupHeartbeatResponseData;
    let joined = ask!(client, ConsumerGroupHeartbeat, 1, member, Joined);
    assert_eq!(joined.error_code, wire::NONE, "{joined:?}");
    let init = transactions::init(Some("tx"), false);
    let producer = ask!(
        client,
        InitProducerId,
        5,
        init,
        m::InitProducerIdResponseData
    );
    assert_eq!(producer.error_code, wire::NONE);
    let producer = (producer.producer_id, producer.producer_epoch);
    let add = transactions::add("t", producer);
    type Added = m::AddPartitionsToTxnResponseData;
    let added = ask!(client, AddPartitionsToTxn, 3, add, Added);
    let added = &added.results_by_topic_v3_and_below[0].results_by_partition[0];
    assert_eq!(added.partition_error_code, wire::NONE);
    producer
}

/// Returns what the requests change, apart from the topic's log and the metadata.
pub(super) async fn state(client: &mut TestClient) -> String {
    let transactions = transactions::describe();
    type Transactions = m::DescribeTransactionsResponseData;
    let transactions = ask!(client, DescribeTransactions, 0, transactions, Transactions);
    let offsets = groups::fetch(None);
    let offsets = ask!(client, OffsetFetch, 9, offsets, m::OffsetFetchResponseData);
    let groups = m::ListGroupsRequestData::default();
    let groups = ask!(client, ListGroups, 5, groups, m::ListGroupsResponseData);
    let members = groups::describe_modern();
    type Members = m::ConsumerGroupDescribeResponseData;
    let members = ask!(client, ConsumerGroupDescribe, 1, members, Members);
    let producers = data::describe_producers();
    type Producers = m::DescribeProducersResponseData;
    let producers = ask!(client, DescribeProducers, 0, producers, Producers);
    format!("{transactions:?} {offsets:?} {groups:?} {members:?} {producers:?}")
}

/// Returns a name for a message.
fn name(name: &str) -> dohle_protocol::KafkaString {
    text(name)
}
