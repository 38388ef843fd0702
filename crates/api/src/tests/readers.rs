//! Tests of which replica a client reads from (KIP-392), and of `read_committed`.

use dohle_log::batch::ControlRecord;
use dohle_log::{BatchBuilder, BatchOptions, TxnAppend, TxnBegin};
use dohle_model::{ProducerEpoch, ProducerId, Sequence, Timestamp, TopicId};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::fetch_request::FetchRequestData;
use dohle_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequestData, ListOffsetsTopic,
};
use dohle_protocol::messages::list_offsets_response::ListOffsetsResponseData;

use super::fetch::{append, fetch, partition, partitions, records, request, topic};
use super::harness::{Broker, NODE, OTHER, TestClient, ask, fence_other, follow};
use dohle_broker::partition::{Acks, AppendOrigin, Partition};

const SELECTOR: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// Returns the replica to which a client in this rack is sent, and the number of bytes that it
/// receives.
async fn sent(
    client: &mut TestClient,
    version: i16,
    id: TopicId,
    rack: &str,
    offset: i64,
) -> (i32, usize) {
    let wanted = FetchRequestData {
        rack_id: KafkaString::from(rack.to_owned()),
        ..request(vec![topic("t", id, vec![partition(0, offset)])])
    };
    let response = fetch(client, version, wanted).await;
    let found = partitions(&response)[0];
    assert_eq!(found.error_code, 0);
    (found.preferred_read_replica, records(found).len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_is_sent_to_the_replica_in_its_rack() {
    let broker = Broker::start(&[("replica.selector.class", SELECTOR)]).await;
    let id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
    let mut client = broker.client();
    append(&mut client, "t", 0, &["a", "b"]).await;
    // A follower that has not acknowledged anything is not a preferred replica.
    assert_eq!(sent(&mut client, 16, id, "far", 0).await, (-1, 0));
    follow(&broker.partition(id, 0));
    assert_eq!(sent(&mut client, 16, id, "far", 0).await, (OTHER.0, 0));
    let (replica, bytes) = sent(&mut client, 16, id, "elsewhere", 0).await;
    assert!(replica == -1 && bytes > 0);
    let (replica, bytes) = sent(&mut client, 16, id, "", 0).await;
    assert!(replica == -1 && bytes > 0);
    let (replica, bytes) = sent(&mut client, 10, id, "", 0).await;
    assert!(replica == -1 && bytes > 0);

    // The follower has the records below 2, so it can be preferred for offset 2, not for 3.
    append(&mut client, "t", 0, &["c"]).await;
    assert_eq!(sent(&mut client, 16, id, "far", 2).await, (OTHER.0, 0));

    broker.apply(&[fence_other(true)]).await;
    let (replica, bytes) = sent(&mut client, 16, id, "far", 0).await;
    assert!(
        replica == -1 && bytes > 0,
        "nobody is sent to a dead broker"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racks_count_only_with_the_selector() {
    let broker = Broker::start(&[]).await;
    let id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
    let mut client = broker.client();
    append(&mut client, "t", 0, &["a"]).await;
    follow(&broker.partition(id, 0));
    let (replica, bytes) = sent(&mut client, 16, id, "far", 0).await;
    assert!(replica == -1 && bytes > 0);
}

/// Appends like a coordinator.
fn append_transactional(partition: &Partition, sequence: Option<i32>, end: Option<bool>) {
    let mut builder = BatchBuilder::new(BatchOptions {
        producer: Some((ProducerId(7), ProducerEpoch(0), sequence.map(Sequence))),
        transactional: true,
        control: end.is_some(),
        ..BatchOptions::default()
    });
    match end {
        Some(committed) => {
            let (key, value) = ControlRecord::encode_end_txn(committed, 0);
            builder.append(Some(NOW), Some(&key), Some(&value), &[]);
        }
        None => builder.append(Some(NOW), None, Some(b"t"), &[]),
    }
    let batch = builder.build().unwrap();
    let begin = TxnBegin {
        producer_id: ProducerId(7),
        epoch: ProducerEpoch(0),
        sequence: Sequence(0),
        bumps_epoch: false,
    };
    let guard = partition.begin_verification(&begin, NOW).unwrap();
    let txn = guard.map_or(TxnAppend::Plain, TxnAppend::Verified);
    partition
        .append_in_txn(batch, &txn, Acks::Leader, AppendOrigin::Coordinator, NOW)
        .unwrap();
}

/// Returns a reader's view: bytes, last stable offset, aborted transactions, latest offset.
async fn seen(
    client: &mut TestClient,
    id: TopicId,
    isolation_level: i8,
) -> (usize, i64, Option<Vec<(i64, i64)>>, i64) {
    let wanted = FetchRequestData {
        isolation_level,
        ..request(vec![topic("t", id, vec![partition(0, 0)])])
    };
    let response = fetch(client, 16, wanted).await;
    let found = partitions(&response)[0];
    let aborted = found.aborted_transactions.as_ref().map(|aborted| {
        let pairs = aborted.iter().map(|it| (it.producer_id, it.first_offset));
        pairs.collect()
    });
    let latest = ListOffsetsPartition {
        current_leader_epoch: -1,
        timestamp: -1,
        ..ListOffsetsPartition::default()
    };
    let latest = ListOffsetsRequestData {
        replica_id: -1,
        isolation_level,
        topics: vec![ListOffsetsTopic {
            name: KafkaString::from("t".to_owned()),
            partitions: vec![latest],
            ..ListOffsetsTopic::default()
        }],
        ..ListOffsetsRequestData::default()
    };
    let latest = ask!(client, ListOffsets, 8, latest, ListOffsetsResponseData);
    let latest = latest.topics[0].partitions[0].offset;
    let bytes = records(found).len();
    (bytes, found.last_stable_offset, aborted, latest)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_committed_stops_at_an_open_transaction_and_is_told_of_aborted_ones() {
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 1).await;
    let mut client = broker.client();
    append(&mut client, "t", 0, &["a"]).await;
    let (one, ..) = seen(&mut client, id, 0).await;
    let log = broker.partition(id, 0);
    append_transactional(&log, Some(0), None);
    append(&mut client, "t", 0, &["b"]).await;

    let (all, stable, aborted, latest) = seen(&mut client, id, 0).await;
    assert!(all > one, "{all} bytes");
    assert_eq!((stable, aborted, latest), (1, None, 3));
    assert_eq!(
        seen(&mut client, id, 1).await,
        (one, 1, Some(Vec::new()), 1),
        "only what is before the transaction"
    );

    append_transactional(&log, None, Some(false));
    let (whole, ..) = seen(&mut client, id, 0).await;
    assert_eq!(
        seen(&mut client, id, 1).await,
        (whole, 4, Some(vec![(7, 1)]), 4)
    );

    append_transactional(&log, Some(1), None);
    append_transactional(&log, None, Some(true));
    let (whole, ..) = seen(&mut client, id, 0).await;
    assert_eq!(
        seen(&mut client, id, 1).await,
        (whole, 6, Some(vec![(7, 1)]), 6)
    );
}
