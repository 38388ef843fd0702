//! Tests of clients that request much and read nothing, or read slowly.

use dohle_log::{BatchBuilder, BatchOptions};
use dohle_model::Timestamp;
use dohle_protocol::ApiKey;
use dohle_protocol::messages::fetch_response::FetchResponseData;
use dohle_protocol::messages::produce_response::ProduceResponseData;
use tokio::io::AsyncReadExt;

use super::data::produce;
use super::fetch::{fetch, for_version, partition, partitions, request, topic};
use super::harness::{Broker, TestClient, ask};

const VERSION: i16 = 12;
/// Bytes of the topic's records: more than a response can hold.
const MUCH: i32 = 20 << 20;

fn large_batch(number: usize) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for i in 0..50 {
        let value = vec![(number * 50 + i) as u8; 10_000];
        builder.append(Some(Timestamp(1_700_000_000_000)), None, Some(&value), &[]);
    }
    builder.build().unwrap()
}

async fn fill(broker: &Broker, name: &str, batches: usize) {
    let mut client = broker.client();
    for number in 0..batches {
        let request = produce(name, 0, -1, large_batch(number));
        let response = ask!(client, Produce, 9, request, ProduceResponseData);
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    }
}

/// Requests all records, and reads only the length of the response.
async fn ask_for_all(broker: &Broker, name: &str, id: dohle_model::TopicId) -> (TestClient, u32) {
    let mut client = broker.client();
    let mut all = partition(0, 0);
    all.partition_max_bytes = MUCH;
    let mut request = request(vec![topic(name, id, vec![all])]);
    request.max_bytes = MUCH;
    let mut body = bytes::BytesMut::new();
    for_version(request, VERSION)
        .write(&mut body, VERSION)
        .unwrap();
    client.send(ApiKey::Fetch, VERSION, &body).await;
    let length = client.stream.read_u32().await.unwrap();
    (client, length)
}

#[tokio::test]
async fn stopped_readers_hold_no_records_and_get_all_of_them_in_the_end() {
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 1).await;
    fill(&broker, "t", 10).await;
    let mut stopped = Vec::new();
    for _ in 0..30 {
        stopped.push(ask_for_all(&broker, "t", id).await);
    }
    let used = broker.memory_pool.responses().used();
    assert!(
        used < 30 * 1_000,
        "{used} bytes are held for 30 readers of 5 MB"
    );

    let mut other = broker.client();
    let all = request(vec![topic("t", id, vec![partition(0, 0)])]);
    let response = fetch(&mut other, VERSION, all).await;
    let few = partitions(&response)[0].records.clone().unwrap();
    assert!(few.len() > 500_000);

    let mut whole: Option<FetchResponseData> = None;
    for (mut client, length) in stopped.drain(..3) {
        assert!(length > 5_000_000);
        let mut frame = vec![0; length as usize];
        client.stream.read_exact(&mut frame).await.unwrap();
        let mut body = bytes::Bytes::from(frame).slice(5..);
        let response = FetchResponseData::read(&mut body, VERSION).unwrap();
        let records = partitions(&response)[0].records.clone().unwrap();
        assert!(records.starts_with(&few));
        let batches = dohle_log::Batches::new(&records);
        let valid = batches.map(|batch| {
            let batch = batch.unwrap();
            batch.header.check_crc(batch.bytes).unwrap();
        });
        assert_eq!(valid.count(), 10);
        if let Some(first) = &whole {
            assert_eq!(first, &response);
        }
        whole = Some(response);
    }
}
