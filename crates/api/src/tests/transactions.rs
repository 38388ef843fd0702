//! Tests of the requests of transactional producers, and of those that describe transactions.
//! Markers are written at once; see the harness.

use std::time::Duration;

use dohle_coordinator::groups::OFFSETS_TOPIC;
use dohle_coordinator::transactions::TRANSACTION_TOPIC;
use dohle_model::ErrorCode as Code;
use dohle_protocol::messages::add_offsets_to_txn_request::AddOffsetsToTxnRequestData;
use dohle_protocol::messages::add_offsets_to_txn_response::AddOffsetsToTxnResponseData;
use dohle_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnRequestData, AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use dohle_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnResponseData, AddPartitionsToTxnTopicResult,
};
use dohle_protocol::messages::api_versions_request::ApiVersionsRequestData;
use dohle_protocol::messages::api_versions_response::ApiVersionsResponseData;
use dohle_protocol::messages::describe_transactions_request::DescribeTransactionsRequestData;
use dohle_protocol::messages::describe_transactions_response::DescribeTransactionsResponseData;
use dohle_protocol::messages::end_txn_request::EndTxnRequestData;
use dohle_protocol::messages::end_txn_response::EndTxnResponseData;
use dohle_protocol::messages::find_coordinator_request::FindCoordinatorRequestData;
use dohle_protocol::messages::find_coordinator_response::FindCoordinatorResponseData;
use dohle_protocol::messages::init_producer_id_request::InitProducerIdRequestData;
use dohle_protocol::messages::init_producer_id_response::InitProducerIdResponseData;
use dohle_protocol::messages::list_transactions_request::ListTransactionsRequestData;
use dohle_protocol::messages::list_transactions_response::ListTransactionsResponseData;
use dohle_protocol::{ApiKey, text};
use tokio::time::timeout;

use super::harness::{Broker, TestClient, ask};

const DEADLINE: Duration = Duration::from_secs(20);

/// Starts a broker that coordinates all transactions, with a topic `t` of two partitions.
async fn coordinator(properties: &[(&str, &str)]) -> (Broker, TestClient) {
    let broker = Broker::start(properties).await;
    broker.topic("t", 2).await;
    broker.topic(OFFSETS_TOPIC.name, 1).await;
    broker.topic(TRANSACTION_TOPIC.name, 1).await;
    let loading = async {
        while broker.context.transactions.describe("x").await != Err(Code::TransactionalIdNotFound)
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, loading).await.expect("the shard loads");
    let client = broker.client();
    (broker, client)
}

type Producer = (i64, i16);

async fn init(client: &mut TestClient, version: i16, id: Option<&str>) -> Result<Producer, Code> {
    init_with(client, version, id, |_| {}).await
}

async fn init_with(
    client: &mut TestClient,
    version: i16,
    id: Option<&str>,
    set: impl FnOnce(&mut InitProducerIdRequestData),
) -> Result<Producer, Code> {
    let mut request = InitProducerIdRequestData {
        transactional_id: id.map(text),
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequestData::default()
    };
    set(&mut request);
    let response = ask!(
        client,
        InitProducerId,
        version,
        request,
        InitProducerIdResponseData
    );
    let producer = (response.producer_id, response.producer_epoch);
    match response.error_code {
        0 => Ok(producer),
        code => {
            assert_eq!(producer, (-1, -1), "an error has no producer");
            Err(Code::from_code(code).unwrap())
        }
    }
}

fn topics(topics: &[(&str, &[i32])]) -> Vec<AddPartitionsToTxnTopic> {
    let topics = topics.iter();
    topics
        .map(|(name, partitions)| AddPartitionsToTxnTopic {
            name: text(name),
            partitions: partitions.to_vec(),
            ..AddPartitionsToTxnTopic::default()
        })
        .collect()
}

fn codes(topics: &[AddPartitionsToTxnTopicResult]) -> Vec<(String, i32, i16)> {
    let results = topics.iter().flat_map(|topic| {
        let partitions = topic.results_by_partition.iter();
        partitions.map(move |one| {
            let name = topic.name.to_string();
            (name, one.partition_index, one.partition_error_code)
        })
    });
    results.collect()
}

async fn add(
    client: &mut TestClient,
    version: i16,
    producer: Producer,
    wanted: &[(&str, &[i32])],
) -> Vec<(String, i32, i16)> {
    let request = AddPartitionsToTxnRequestData {
        v3_and_below_transactional_id: text("tx"),
        v3_and_below_producer_id: producer.0,
        v3_and_below_producer_epoch: producer.1,
        v3_and_below_topics: topics(wanted),
        ..AddPartitionsToTxnRequestData::default()
    };
    let response = ask!(
        client,
        AddPartitionsToTxn,
        version,
        request,
        AddPartitionsToTxnResponseData
    );
    codes(&response.results_by_topic_v3_and_below)
}

async fn end(
    client: &mut TestClient,
    version: i16,
    producer: Producer,
    committed: bool,
) -> Result<Producer, Code> {
    let request = EndTxnRequestData {
        transactional_id: text("tx"),
        producer_id: producer.0,
        producer_epoch: producer.1,
        committed,
        ..EndTxnRequestData::default()
    };
    let response = ask!(client, EndTxn, version, request, EndTxnResponseData);
    match response.error_code {
        0 => Ok((response.producer_id, response.producer_epoch)),
        code => Err(Code::from_code(code).unwrap()),
    }
}

fn ok(partitions: &[i32]) -> Vec<(String, i32, i16)> {
    let partitions = partitions.iter();
    partitions
        .map(|index| ("t".to_owned(), *index, 0))
        .collect()
}

async fn describe(client: &mut TestClient, ids: &[&str]) -> DescribeTransactionsResponseData {
    let request = DescribeTransactionsRequestData {
        transactional_ids: ids.iter().map(|id| text(id)).collect(),
        ..DescribeTransactionsRequestData::default()
    };
    ask!(
        client,
        DescribeTransactions,
        0,
        request,
        DescribeTransactionsResponseData
    )
}

/// Waits until the transaction of `tx` has this state.
async fn reaches(client: &mut TestClient, state: &str) {
    let waiting = async {
        while describe(client, &["tx"]).await.transaction_states[0]
            .transaction_state
            .as_str()
            != state
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, waiting).await.expect(state);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producers_get_ids_and_the_next_epoch_fences_the_one_before() {
    let (_broker, mut client) = coordinator(&[]).await;
    assert_eq!(init(&mut client, 4, None).await, Ok((1000, 0)));
    for (version, epoch) in (0..=5).zip(0..) {
        let initialized = init(&mut client, version, Some("tx")).await;
        assert_eq!(initialized, Ok((1001, epoch)), "version {version}");
    }
    let again = |epoch| {
        move |request: &mut InitProducerIdRequestData| {
            (request.producer_id, request.producer_epoch) = (1001, epoch);
        }
    };
    let continued = init_with(&mut client, 3, Some("tx"), again(5)).await;
    assert_eq!(continued, Ok((1001, 6)));
    for (version, code) in [(3, Code::InvalidProducerEpoch), (4, Code::ProducerFenced)] {
        let fenced = init_with(&mut client, version, Some("tx"), again(2)).await;
        assert_eq!(fenced, Err(code), "version {version}");
    }
    for set in [
        (|request| request.producer_id = 1001) as fn(&mut InitProducerIdRequestData),
        |request| request.producer_epoch = 1,
    ] {
        let refused = init_with(&mut client, 5, Some("tx"), set).await;
        assert_eq!(refused, Err(Code::InvalidRequest), "half a producer");
    }
    let empty = init(&mut client, 5, Some("")).await;
    assert_eq!(empty, Err(Code::InvalidRequest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeout_has_the_maximum_that_is_configured() {
    let (_broker, mut client) = coordinator(&[("transaction.max.timeout.ms", "1000")]).await;
    for (timeout_ms, allowed) in [
        (1, true),
        (1000, true),
        (1001, false),
        (0, false),
        (-1, false),
    ] {
        let set = |request: &mut InitProducerIdRequestData| {
            request.transaction_timeout_ms = timeout_ms;
        };
        let outcome = init_with(&mut client, 5, Some("tx"), set).await;
        let refused = outcome.err();
        let expected = (!allowed).then_some(Code::InvalidTransactionTimeout);
        assert_eq!(refused, expected, "{timeout_ms} ms");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_phase_commit_needs_the_unstable_version_and_the_property() {
    let newest = async |client: &mut TestClient| {
        let request = ApiVersionsRequestData {
            client_software_name: text("test"),
            client_software_version: text("1"),
            ..ApiVersionsRequestData::default()
        };
        let response = ask!(client, ApiVersions, 4, request, ApiVersionsResponseData);
        let mut keys = response.api_keys.into_iter();
        let found = keys.find(|api| api.api_key == ApiKey::InitProducerId as i16);
        found.unwrap().max_version
    };
    let (_broker, mut client) = coordinator(&[]).await;
    assert_eq!(newest(&mut client).await, 5);

    let unstable = ("unstable.api.versions.enable", "true");
    let with_2pc = |request: &mut InitProducerIdRequestData| {
        request.enable2_pc = true;
        request.transaction_timeout_ms = i32::MAX;
    };
    let (_broker, mut client) = coordinator(&[unstable]).await;
    assert_eq!(newest(&mut client).await, 6);
    let refused = init_with(&mut client, 6, Some("tx"), with_2pc).await;
    assert_eq!(refused, Err(Code::TransactionalIdAuthorizationFailed));
    assert!(init(&mut client, 6, Some("tx")).await.is_ok());

    let enabled = ("transaction.two.phase.commit.enable", "true");
    let (_broker, mut client) = coordinator(&[unstable, enabled]).await;
    assert!(
        init_with(&mut client, 6, Some("tx"), with_2pc)
            .await
            .is_ok()
    );
    let kept = init_with(&mut client, 6, Some("tx"), |request| {
        request.keep_prepared_txn = true;
    });
    assert_eq!(kept.await, Err(Code::UnsupportedVersion), "as in Kafka 4.3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_added_together_or_not_at_all() {
    let (_broker, mut client) = coordinator(&[]).await;
    let producer = init(&mut client, 5, Some("tx")).await.unwrap();
    let unknown = Code::UnknownTopicOrPartition.code();
    let not_attempted = Code::OperationNotAttempted.code();
    for version in 0..=3 {
        let refused = add(
            &mut client,
            version,
            producer,
            &[("t", &[0, 9]), ("none", &[0])],
        )
        .await;
        assert_eq!(
            refused,
            [
                ("t".to_owned(), 0, not_attempted),
                ("t".to_owned(), 9, unknown),
                ("none".to_owned(), 0, unknown)
            ]
        );
        // Coordinators alone write to these.
        let internal = [(OFFSETS_TOPIC.name, &[0, 9][..]), ("t", &[0])];
        let forbidden = Code::TopicAuthorizationFailed.code();
        assert_eq!(
            add(&mut client, version, producer, &internal).await,
            [
                (OFFSETS_TOPIC.name.to_owned(), 0, forbidden),
                (OFFSETS_TOPIC.name.to_owned(), 9, forbidden),
                ("t".to_owned(), 0, not_attempted)
            ]
        );
        let added = add(&mut client, version, producer, &[("t", &[0, 1])]).await;
        assert_eq!(added, ok(&[0, 1]), "version {version}, also again");
    }
    let stale = (producer.0, producer.1 - 1);
    for (version, code) in [(1, Code::InvalidProducerEpoch), (3, Code::ProducerFenced)] {
        let fenced = add(&mut client, version, stale, &[("t", &[0])]).await;
        assert_eq!(fenced[0].2, code.code(), "version {version}");
    }
    let other = add(&mut client, 3, (77, 0), &[("t", &[0])]).await;
    assert_eq!(other[0].2, Code::InvalidProducerIdMapping.code());
    assert!(add(&mut client, 3, producer, &[]).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_verify_several_transactions_at_once() {
    let (_broker, mut client) = coordinator(&[]).await;
    let producer = init(&mut client, 5, Some("tx")).await.unwrap();
    assert_eq!(
        add(&mut client, 3, producer, &[("t", &[0])]).await,
        ok(&[0])
    );
    let transaction = |id: &str, verify_only| AddPartitionsToTxnTransaction {
        transactional_id: text(id),
        producer_id: producer.0,
        producer_epoch: producer.1,
        verify_only,
        topics: topics(&[("t", &[0, 1])]),
        ..AddPartitionsToTxnTransaction::default()
    };
    for version in [4, 5] {
        let request = AddPartitionsToTxnRequestData {
            transactions: vec![transaction("tx", true), transaction("none", true)],
            ..AddPartitionsToTxnRequestData::default()
        };
        let response = ask!(
            client,
            AddPartitionsToTxn,
            version,
            request,
            AddPartitionsToTxnResponseData
        );
        let [known, unknown] = &response.results_by_transaction[..] else {
            panic!("{response:?}")
        };
        let known = codes(&known.topic_results);
        assert_eq!(known[0], ("t".to_owned(), 0, 0));
        assert_eq!(known[1].2, Code::TransactionAbortable.code(), "not in it");
        let unknown = codes(&unknown.topic_results);
        assert_eq!(unknown[0].2, Code::InvalidProducerIdMapping.code());
    }
    let request = AddPartitionsToTxnRequestData {
        transactions: vec![transaction("tx", false)],
        ..AddPartitionsToTxnRequestData::default()
    };
    let response = ask!(
        client,
        AddPartitionsToTxn,
        5,
        request,
        AddPartitionsToTxnResponseData
    );
    let added = codes(&response.results_by_transaction[0].topic_results);
    assert_eq!(added, ok(&[0, 1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_ends_once_and_is_described_and_listed() {
    let (_broker, mut client) = coordinator(&[]).await;
    let producer = init(&mut client, 5, Some("tx")).await.unwrap();
    assert_eq!(
        end(&mut client, 4, producer, true).await,
        Err(Code::InvalidTxnState)
    );
    for version in 0..=4 {
        assert_eq!(
            add(&mut client, 3, producer, &[("t", &[1])]).await,
            ok(&[1])
        );
        let commit = version % 2 == 0;
        let ended = end(&mut client, version, producer, commit).await;
        assert_eq!(ended, Ok((-1, -1)), "version {version}");
        let state = if commit {
            "CompleteCommit"
        } else {
            "CompleteAbort"
        };
        reaches(&mut client, state).await;
        let again = end(&mut client, version, producer, commit).await;
        assert_eq!(again, Ok((-1, -1)), "a retry");
    }
    let stale = (producer.0, producer.1 - 1);
    for (version, code) in [(1, Code::InvalidProducerEpoch), (2, Code::ProducerFenced)] {
        assert_eq!(end(&mut client, version, stale, true).await, Err(code));
    }

    assert_eq!(
        add(&mut client, 3, producer, &[("t", &[0, 1])]).await,
        ok(&[0, 1])
    );
    let described = describe(&mut client, &["tx", "none"])
        .await
        .transaction_states;
    let (tx, none) = (&described[0], &described[1]);
    assert_eq!((tx.error_code, tx.producer_id), (0, producer.0));
    assert_eq!(tx.transaction_state.as_str(), "Ongoing");
    assert_eq!(tx.transaction_timeout_ms, 60_000);
    assert!(tx.transaction_start_time_ms > 0);
    assert_eq!(tx.topics[0].partitions, [0, 1]);
    assert_eq!(none.error_code, Code::TransactionalIdNotFound.code());
    assert_eq!(none.transactional_id.as_str(), "none");
    let empty = describe(&mut client, &[""]).await.transaction_states;
    assert_eq!(empty[0].error_code, Code::InvalidRequest.code());
}

async fn list(
    client: &mut TestClient,
    version: i16,
    set: impl FnOnce(&mut ListTransactionsRequestData),
) -> Result<(Vec<String>, Vec<String>), Code> {
    let mut request = ListTransactionsRequestData {
        duration_filter: -1,
        ..ListTransactionsRequestData::default()
    };
    set(&mut request);
    let response = ask!(
        client,
        ListTransactions,
        version,
        request,
        ListTransactionsResponseData
    );
    if response.error_code != 0 {
        return Err(Code::from_code(response.error_code).unwrap());
    }
    let listed = response.transaction_states.iter();
    let listed = listed.map(|one| format!("{} {}", one.transactional_id, one.transaction_state));
    let unknown = response.unknown_state_filters.iter();
    Ok((listed.collect(), unknown.map(ToString::to_string).collect()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_are_listed_by_filters() {
    let (_broker, mut client) = coordinator(&[]).await;
    let other = init(&mut client, 5, Some("other")).await.unwrap();
    let producer = init(&mut client, 5, Some("tx")).await.unwrap();
    assert_eq!(
        add(&mut client, 3, producer, &[("t", &[0])]).await,
        ok(&[0])
    );
    let both = ["other Empty", "tx Ongoing"].map(str::to_owned).to_vec();
    for version in 0..=2 {
        let all = list(&mut client, version, |_| {}).await.unwrap();
        assert_eq!(all, (both.clone(), vec![]), "version {version}");
    }
    let by_state = list(&mut client, 0, |request| {
        request.state_filters = vec![text("Ongoing"), text("Odd")];
    });
    let expected = (vec!["tx Ongoing".to_owned()], vec!["Odd".to_owned()]);
    assert_eq!(by_state.await.unwrap(), expected);
    let unknown = list(&mut client, 0, |request| {
        request.state_filters = vec![text("Odd")];
    });
    assert_eq!(unknown.await.unwrap().0, Vec::<String>::new());
    let by_producer = list(&mut client, 0, |request| {
        request.producer_id_filters = vec![other.0, 5];
    });
    assert_eq!(by_producer.await.unwrap().0, ["other Empty"]);
    let by_pattern = list(&mut client, 2, |request| {
        request.transactional_id_pattern = Some(text("t."));
    });
    assert_eq!(by_pattern.await.unwrap().0, ["tx Ongoing"]);
    for pattern in ["[", "t)|(x"] {
        let wrong = list(&mut client, 2, |request| {
            request.transactional_id_pattern = Some(text(pattern));
        });
        assert_eq!(
            wrong.await,
            Err(Code::InvalidRegularExpression),
            "{pattern}"
        );
    }
    let long = list(&mut client, 1, |request| {
        request.duration_filter = i64::MAX;
    });
    assert_eq!(long.await.unwrap().0, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_partition_of_a_group_joins_the_transaction() {
    let (_broker, mut client) = coordinator(&[]).await;
    let producer = init(&mut client, 5, Some("tx")).await.unwrap();
    let request = |producer: Producer| AddOffsetsToTxnRequestData {
        transactional_id: text("tx"),
        producer_id: producer.0,
        producer_epoch: producer.1,
        group_id: text("g"),
        ..AddOffsetsToTxnRequestData::default()
    };
    for version in 0..=4 {
        let request = request(producer);
        let response = ask!(
            client,
            AddOffsetsToTxn,
            version,
            request,
            AddOffsetsToTxnResponseData
        );
        assert_eq!(response.error_code, 0, "version {version}");
    }
    let described = describe(&mut client, &["tx"]).await;
    let topics = &described.transaction_states[0].topics;
    assert_eq!(topics[0].topic.as_str(), OFFSETS_TOPIC.name);
    for (version, code) in [(1, Code::InvalidProducerEpoch), (4, Code::ProducerFenced)] {
        let request = request((producer.0, producer.1 - 1));
        let response = ask!(
            client,
            AddOffsetsToTxn,
            version,
            request,
            AddOffsetsToTxnResponseData
        );
        assert_eq!(response.error_code, code.code(), "version {version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_coordinator_of_a_transactional_id_is_found() {
    let (_broker, mut client) = coordinator(&[]).await;
    for version in [1, 4, 6] {
        let mut request = FindCoordinatorRequestData {
            key_type: 1,
            ..FindCoordinatorRequestData::default()
        };
        match version {
            ..=3 => request.key = text("tx"),
            _ => request.coordinator_keys = vec![text("tx")],
        }
        let response = ask!(
            client,
            FindCoordinator,
            version,
            request,
            FindCoordinatorResponseData
        );
        let found = match response.coordinators.first() {
            Some(found) => (found.error_code, found.node_id),
            None => (response.error_code, response.node_id),
        };
        assert_eq!(found, (0, 1), "version {version}");
    }
}
