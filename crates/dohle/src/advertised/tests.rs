//! Tests of the warnings about advertised listeners.

use std::sync::Arc;

use dohle_model::record::{BrokerRegistration, Endpoint, SecurityProtocol};
use dohle_model::{BrokerEpoch, IncarnationId};
use expect_test::{Expect, expect};

use super::*;
use crate::config::ListenerAddress;
use crate::test_support::folded;

fn address(name: &str, host: &str, port: u16) -> ListenerAddress {
    ListenerAddress {
        name: name.to_owned(),
        host: host.to_owned(),
        port,
    }
}

/// Returns one listener that is bound to all interfaces on 9092 and advertised as `host`:`port`.
fn listeners(host: &str, port: u16) -> Listeners {
    Listeners {
        broker: vec![address("PLAINTEXT", "", 9092)],
        controller: None,
        advertised: vec![address("PLAINTEXT", host, port)],
        inter_broker: "PLAINTEXT".to_owned(),
        controller_name: "CONTROLLER".to_owned(),
        advertised_is_set: true,
        protocols: BTreeMap::new(),
    }
}

#[track_caller]
fn check(listeners: &Listeners, in_container: bool, has_peers: bool, expected: Expect) {
    let bound = BTreeMap::from([("PLAINTEXT".to_owned(), 9092)]);
    let around = ListenerContext {
        hostname: "host1",
        in_container,
        has_peers,
        bound: &bound,
    };
    let text: Vec<String> = advertised_listener_warnings(listeners, &around)
        .iter()
        .map(|doubt| folded(doubt))
        .collect();
    expected.assert_eq(&text.join("\n"));
}

#[test]
fn what_can_be_right_raises_no_doubt() {
    check(&listeners("broker1", 9092), true, true, expect![[""]]);
    check(&listeners("localhost", 9092), false, true, expect![[""]]);
    // The port may be published under another number.
    check(&listeners("host1", 19092), true, true, expect![[""]]);
    let mut only_here = listeners("localhost", 9092);
    only_here.broker = vec![address("PLAINTEXT", "localhost", 9092)];
    check(&only_here, true, false, expect![""]);
}

#[test]
fn a_port_nobody_listens_on_is_doubted() {
    check(
        &listeners("localhost", 9095),
        false,
        false,
        expect![[r#"
        PLAINTEXT://localhost:9095 is advertised, but no listener of
        this node has port 9095 (they have 9092): clients cannot
        connect, or reach another process; set the port in
        advertised.listeners to that of the listener"#]],
    );
}

#[test]
fn localhost_inside_a_container_is_doubted() {
    check(
        &listeners("localhost", 9092),
        true,
        true,
        expect![[r#"
        PLAINTEXT://localhost:9092 is the address that the other
        brokers connect to, and localhost inside a container is the
        container itself: advertise the container's or service's
        name on PLAINTEXT, and keep localhost for a listener of its
        own that clients on the host use"#]],
    );
    check(
        &listeners("127.0.0.1", 9092),
        true,
        false,
        expect![[r#"
        all advertised listeners are on localhost, and this node
        runs in a container: clients in other containers cannot
        reach it; clients on the host can if the port is published
        under the same number. For the others add a listener that
        advertises the container's name"#]],
    );
}

fn broker(id: i32, host: &str, port: u16, fenced: bool) -> (NodeId, Arc<BrokerRegistration>) {
    let endpoint = Endpoint {
        listener: "PLAINTEXT".to_owned(),
        host: host.to_owned(),
        port,
        security_protocol: SecurityProtocol::Plaintext,
    };
    let registration = BrokerRegistration {
        id: NodeId(id),
        incarnation: IncarnationId::ZERO,
        epoch: BrokerEpoch(1),
        endpoints: vec![endpoint],
        rack: None,
        fenced,
        in_controlled_shutdown: false,
        log_dirs: Vec::new(),
        cordoned_log_dirs: Vec::new(),
        features: Vec::new(),
    };
    (NodeId(id), Arc::new(registration))
}

#[test]
fn two_live_brokers_with_one_address_are_told_of() {
    let brokers = [
        broker(1, "one", 9092, false),
        broker(2, "ONE", 9092, false),
        broker(3, "one", 9092, true),
        broker(4, "one", 9094, false),
    ];
    let image = MetadataImage {
        brokers: brokers.into_iter().collect(),
        ..MetadataImage::default()
    };
    let text: Vec<String> = shared_addresses(&image, NodeId(1))
        .values()
        .map(|text| folded(text))
        .collect();
    expect![[r#"
        brokers 1 and 2 both advertise one:9092 (listener
        PLAINTEXT): clients that look for one will reach the other;
        give each an address of its own in advertised.listeners"#]]
    .assert_eq(&text.join("\n"));
}
