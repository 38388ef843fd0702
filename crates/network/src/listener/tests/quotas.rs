//! Limits of connections that change at run time, of single listeners and addresses, and of new
//! connections per second.

use std::collections::HashMap;
use std::net::IpAddr;

use dohle_auth::quotas::ConnectionLimits as RateLimits;

use super::*;

const IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

async fn start(quotas: ConnectionQuotas) -> (Arc<NetworkContext>, Listener) {
    let limits = Limits {
        connections: quotas,
        ..Limits::default()
    };
    let shared = NetworkContext::new(limits, NetworkThreads::start("test", 2).unwrap());
    let listener = listen_with(Arc::clone(&shared)).await;
    (shared, listener)
}

/// Returns whether a client is still waiting for its response after some time.
async fn waits(stream: &mut TcpStream) -> bool {
    timeout(Duration::from_millis(50), echo(stream))
        .await
        .is_err()
}

#[tokio::test]
async fn a_client_that_waits_is_served_when_the_limit_is_raised() {
    let one = ConnectionQuotas {
        max: 1,
        ..ConnectionQuotas::default()
    };
    let (shared, listener) = start(one.clone()).await;
    let mut first = connect(&listener).await;
    assert!(echo(&mut first).await.unwrap());
    let mut second = connect(&listener).await;
    assert!(waits(&mut second).await);
    shared.set_connection_quotas(ConnectionQuotas { max: 2, ..one });
    let mut answer = [0; 10];
    second.read_exact(&mut answer).await.unwrap();
    listener.shutdown().await;
}

#[tokio::test]
async fn a_listener_has_a_limit_of_its_own() {
    let of_test = |max| ConnectionQuotas {
        listeners: HashMap::from([("TEST".to_owned(), max), ("OTHER".to_owned(), 0)]),
        ..ConnectionQuotas::default()
    };
    let (_, listener) = start(of_test(1)).await;
    let mut first = connect(&listener).await;
    assert!(echo(&mut first).await.unwrap());
    let mut second = connect(&listener).await;
    assert!(waits(&mut second).await);
    drop(first);
    let mut answer = [0; 10];
    second.read_exact(&mut answer).await.unwrap();
    listener.shutdown().await;
}

#[tokio::test]
async fn the_limit_of_all_listeners_does_not_apply_to_the_one_between_brokers() {
    let quotas = ConnectionQuotas {
        max: 1,
        protected: Some("TEST".into()),
        ..ConnectionQuotas::default()
    };
    let (shared, listener) = start(quotas.clone()).await;
    let mut first = connect(&listener).await;
    let mut second = connect(&listener).await;
    assert!(echo(&mut first).await.unwrap() && echo(&mut second).await.unwrap());
    // Its own limit does.
    let own = HashMap::from([("TEST".to_owned(), 2)]);
    shared.set_connection_quotas(ConnectionQuotas {
        listeners: own,
        ..quotas
    });
    assert!(waits(&mut connect(&listener).await).await);
    listener.shutdown().await;
}

/// Returns which of the clients are still served.
async fn served(clients: &mut [TcpStream]) -> Vec<bool> {
    let mut served = Vec::new();
    for client in clients {
        served.push(echo(client).await.is_ok());
    }
    served
}

#[tokio::test]
async fn a_lower_limit_closes_the_connections_that_were_used_least_recently() {
    let quotas = |max| ConnectionQuotas {
        max,
        ..ConnectionQuotas::default()
    };
    let (shared, listener) = start(quotas(4)).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = connect(&listener).await;
        assert!(echo(&mut client).await.unwrap());
        clients.push(client);
    }
    // The first is used again, so the second and the third were used least recently.
    assert!(echo(&mut clients[0]).await.unwrap());
    shared.set_connection_quotas(quotas(2));
    for client in &mut clients[1..3] {
        let mut end = [0];
        let read = timeout(Duration::from_secs(10), client.read(&mut end));
        assert_eq!(read.await.expect("closed").unwrap(), 0);
    }
    assert_eq!(served(&mut clients).await, [true, false, false, true]);
    // Limits of a listener and of an address close none.
    let of_test = HashMap::from([("TEST".to_owned(), 1)]);
    shared.set_connection_quotas(ConnectionQuotas {
        listeners: of_test,
        per_ip_max: 1,
        ..quotas(2)
    });
    assert_eq!(served(&mut clients).await, [true, false, false, true]);
    listener.shutdown().await;
}

#[tokio::test]
async fn a_lower_limit_closes_no_connection_between_brokers() {
    let quotas = |max| ConnectionQuotas {
        max,
        protected: Some("TEST".into()),
        ..ConnectionQuotas::default()
    };
    let (shared, listener) = start(quotas(2)).await;
    let mut clients = vec![connect(&listener).await, connect(&listener).await];
    assert_eq!(served(&mut clients).await, [true, true]);
    shared.set_connection_quotas(quotas(0));
    assert_eq!(served(&mut clients).await, [true, true]);
    listener.shutdown().await;
}

#[tokio::test]
async fn an_address_may_have_more_or_fewer_connections_than_others() {
    let overrides = |max| ConnectionQuotas {
        per_ip_max: 1,
        per_ip_overrides: HashMap::from([(IP, max)]),
        ..ConnectionQuotas::default()
    };
    let (shared, listener) = start(overrides(2)).await;
    let mut first = connect(&listener).await;
    let mut second = connect(&listener).await;
    assert!(echo(&mut first).await.unwrap() && echo(&mut second).await.unwrap());
    assert!(echo(&mut connect(&listener).await).await.is_err(), "closed");
    drop((first, second));
    shared.set_connection_quotas(overrides(0));
    assert!(echo(&mut connect(&listener).await).await.is_err(), "closed");
    listener.shutdown().await;
}

#[tokio::test]
async fn connections_above_the_rate_wait_and_other_nodes_do_not() {
    let rates = RateLimits {
        node: Some(1.0),
        ..RateLimits::default()
    };
    let (_, listener) = start(ConnectionQuotas {
        rates,
        ..ConnectionQuotas::default()
    })
    .await;
    // Ten at once do not exceed one a second, as nine seconds without any are assumed.
    for _ in 0..10 {
        assert!(echo(&mut connect(&listener).await).await.unwrap());
    }
    let mut next = connect(&listener).await;
    assert!(waits(&mut next).await);
    assert_eq!(answer_to(&listener, HTTP2_PREFACE).await, b"h2");
    let mut answer = [0; 10];
    next.read_exact(&mut answer).await.unwrap();
    listener.shutdown().await;
}

#[tokio::test]
async fn an_address_above_its_rate_is_disconnected() {
    let rates = RateLimits {
        ips: HashMap::from([(IP, 0.1)]),
        ..RateLimits::default()
    };
    let quotas = ConnectionQuotas {
        rates,
        ..ConnectionQuotas::default()
    };
    let (shared, listener) = start(quotas).await;
    assert!(echo(&mut connect(&listener).await).await.unwrap());
    assert!(echo(&mut connect(&listener).await).await.is_err(), "closed");
    shared.set_connection_quotas(ConnectionQuotas::default());
    assert!(echo(&mut connect(&listener).await).await.unwrap());
    listener.shutdown().await;
}
