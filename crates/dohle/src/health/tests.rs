//! Tests of the checks of a node's health.

use std::net::TcpListener;
use std::thread;

use dohle_protocol::messages::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use expect_test::{Expect, expect};

use super::*;
use crate::config::Sources;

fn metadata(alive: &[i32], partitions: &[(&[i32], &[i32])]) -> MetadataResponseData {
    let brokers = alive.iter().map(|id| MetadataResponseBroker {
        node_id: *id,
        ..MetadataResponseBroker::default()
    });
    let partitions =
        partitions
            .iter()
            .zip(0..)
            .map(|((replicas, isr), index)| MetadataResponsePartition {
                partition_index: index,
                replica_nodes: replicas.to_vec(),
                isr_nodes: isr.to_vec(),
                ..MetadataResponsePartition::default()
            });
    MetadataResponseData {
        brokers: brokers.collect(),
        topics: vec![MetadataResponseTopic {
            name: Some(KafkaString::from("t".to_owned())),
            partitions: partitions.collect(),
            ..MetadataResponseTopic::default()
        }],
        ..MetadataResponseData::default()
    }
}

#[track_caller]
fn check_readiness(metadata: &MetadataResponseData, expected: Expect) {
    let told = match readiness(NodeId(1), metadata) {
        Ok(()) => "ready".to_owned(),
        Err(reason) => reason,
    };
    expected.assert_eq(&told);
}

#[test]
fn a_broker_is_ready_when_it_is_alive_and_in_all_its_isrs() {
    let others: (&[i32], &[i32]) = (&[2, 3], &[2]);
    check_readiness(&metadata(&[1, 2], &[]), expect!["ready"]);
    check_readiness(
        &metadata(&[1, 2], &[(&[1, 2], &[2, 1]), others]),
        expect!["ready"],
    );
    check_readiness(
        &metadata(&[2, 3], &[(&[1, 2], &[2, 1])]),
        expect!["the controllers do not count it as alive"],
    );
    check_readiness(
        &metadata(&[1, 2], &[(&[1, 2], &[2]), (&[1, 2], &[1, 2]), others]),
        expect!["not in the ISR of 1 of its partitions (t-0)"],
    );
    let many: Vec<(&[i32], &[i32])> = (0..7).map(|_| (&[1, 2][..], &[2][..])).collect();
    check_readiness(
        &metadata(&[1, 2], &many),
        expect!["not in the ISR of 7 of its partitions (t-0, t-1, t-2, t-3, t-4 and others)"],
    );
}

/// Returns the configuration of a node whose broker is expected at a port.
fn node_at(port: u16) -> NodeConfig {
    let mut sources = Sources::default();
    let listeners = format!("listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:1");
    sources.add_override(&listeners).unwrap();
    sources
        .add_override("controller.quorum.voters=1@127.0.0.1:1")
        .unwrap();
    NodeConfig::new(sources, "host1").unwrap()
}

#[test]
fn a_port_nobody_listens_on_is_no_health() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = check(&node_at(port), false, Duration::from_secs(5)).unwrap_err();
    let expected = format!("PLAINTEXT://127.0.0.1:{port} does not accept connections: ");
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn somebody_who_is_no_broker_is_no_health() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let other = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    });
    let error = check(&node_at(port), false, Duration::from_secs(5)).unwrap_err();
    assert!(
        error.to_string().contains("a broker does not send"),
        "{error}"
    );
    other.join().unwrap();
}

#[test]
fn a_node_that_accepts_and_says_nothing_is_no_health() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = check(&node_at(port), false, Duration::from_millis(50)).unwrap_err();
    assert!(
        error.to_string().contains("does not answer in time"),
        "{error}"
    );
}
