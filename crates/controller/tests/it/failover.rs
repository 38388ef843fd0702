//! Tests of failover: another controller takes over with the same metadata.

use dohle_model::{MetadataOffset, NodeId};

use super::cluster::{
    Broker, Cluster, create, create_request, describe, forward, leader_and_isr, leader_id, within,
};
use super::feed::watch;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn a_controller_that_is_not_active_says_who_is() {
    let cluster = Cluster::start(3);
    runtime().block_on(async {
        let active = cluster.active().await;
        let other = (1..=3).find(|id| *id != active).unwrap();
        assert_eq!(
            cluster.controller(other).wait_for_leader().await,
            Some(NodeId(active))
        );
        let mut client = cluster.client_of(other).await;
        let request = create_request("foo", &[&[1]]);
        let status = forward(&mut client, &request, 1).await.unwrap_err();
        assert_eq!(leader_id(&status), Some(active));
        let status = describe(&mut client).await.unwrap_err();
        assert_eq!(leader_id(&status), Some(active));
        assert_eq!(
            leader_id(&watch(&mut client, MetadataOffset(0)).await.unwrap_err()),
            Some(active)
        );
        assert_eq!(
            leader_id(&Broker::open(&mut client, 1, 1, -1).await.err().unwrap()),
            Some(active)
        );
    });
}

#[test]
fn the_next_controller_has_the_same_metadata_and_keeps_sessions() {
    let mut cluster = Cluster::start(3);
    runtime().block_on(async {
        let first = cluster.active().await;
        let mut client = cluster.client_of(first).await;
        let mut one = Broker::join(&mut client, 11, 1).await;
        let _twelve = Broker::join(&mut client, 12, 1).await;
        let mut events = watch(&mut client, MetadataOffset(0)).await.unwrap();
        create(&mut client, "before", 1, &[&[11, 12]]).await;
        cluster.kill(first);

        within("end of the session", async {
            while let Ok(Some(_)) = one.next().await {}
        })
        .await;
        within("end of the feed", async {
            while let Ok(Some(_)) = events.message().await {}
        })
        .await;
        let second = cluster.active().await;
        assert_ne!(second, first);
        let mut client = cluster.client_of(second).await;
        let mut one = Broker::open(&mut client, 11, 1, one.epoch).await.unwrap();
        let response = one.response().await;
        assert_eq!(
            (response.broker_epoch, response.is_fenced),
            (one.epoch, false)
        );
        let offset = create(&mut client, "after", 2, &[&[11, 12]]).await;
        let image = cluster.controller(second).image();
        assert_eq!(leader_and_isr(&image, "before"), (Some(11), vec![11, 12]));
        assert_eq!(leader_and_isr(&image, "after"), (Some(11), vec![11, 12]));

        let third = (1..=3).find(|id| *id != first && *id != second).unwrap();
        cluster.restart(first);
        for id in [first, third] {
            let other =
                cluster.image_where(id, "the other catches up", |image| image.offset.0 >= offset);
            assert_eq!(other.await.topics, image.topics);
        }
    });
}

#[test]
fn a_clean_shutdown_hands_leadership_over() {
    let mut cluster = Cluster::start(3);
    runtime().block_on(async {
        let first = cluster.active().await;
        let mut client = cluster.client_of(first).await;
        let _one = Broker::join(&mut client, 11, 1).await;
        create(&mut client, "before", 1, &[&[11]]).await;
        cluster.stop(first).await;
        let second = cluster.active().await;
        assert_ne!(second, first);
        assert!(cluster.controller(second).image().topic("before").is_some());
    });
}

#[test]
fn a_controller_without_a_majority_lets_go_of_its_brokers() {
    let mut cluster = Cluster::start(3);
    runtime().block_on(async {
        let active = cluster.active().await;
        let mut client = cluster.client_of(active).await;
        let mut one = Broker::join(&mut client, 11, 1).await;
        for other in (1..=3).filter(|id| *id != active) {
            cluster.kill(other);
        }
        let end = within("end of the session", async {
            loop {
                match one.next().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("the session ended without a status"),
                    Err(status) => return status,
                }
            }
        });
        assert_eq!(leader_id(&end.await), None);
        let request = create_request("foo", &[&[11]]);
        let status = forward(&mut client, &request, 1).await.unwrap_err();
        assert_eq!(leader_id(&status), None);
    });
}

#[test]
fn the_quorum_is_described() {
    let cluster = Cluster::start(3);
    runtime().block_on(async {
        let active = cluster.active().await;
        let mut client = cluster.client_of(active).await;
        let _one = Broker::join(&mut client, 11, 1).await;
        let (quorum, nodes) = describe(&mut client).await.unwrap();
        assert_eq!(quorum.leader_id, active);
        assert!(quorum.leader_epoch > 0 && quorum.high_watermark > 0);
        let voters: Vec<i32> = quorum.current_voters.iter().map(|v| v.replica_id).collect();
        assert_eq!(voters, [1, 2, 3]);
        let observers: Vec<i32> = quorum.observers.iter().map(|v| v.replica_id).collect();
        assert_eq!(observers, [11]);
        assert_eq!(nodes.len(), 3);
        let mut listeners = nodes.iter().map(|node| &node.listeners[..]);
        assert!(listeners.all(|listeners| match listeners {
            [one] => one.name.as_str() == "CONTROLLER" && one.port > 0,
            _ => false,
        }));
    });
}

#[test]
fn an_idle_quorum_keeps_its_controller() {
    let cluster = Cluster::start_with(3, |config| {
        config.quorum_heartbeat_interval = std::time::Duration::from_millis(50);
        config.quorum_election_timeout = std::time::Duration::from_millis(200);
    });
    runtime().block_on(async {
        let active = cluster.active().await;
        let changed = cluster.controller(active).wait_for_active(false);
        // The pause is several leases long, without a request.
        let idle = std::time::Duration::from_secs(2);
        assert!(
            tokio::time::timeout(idle, changed).await.is_err(),
            "activity changed while idle"
        );
        assert!(cluster.controller(active).is_active());
    });
}

#[test]
fn a_broker_that_died_with_its_controller_is_fenced_soon() {
    let mut cluster = Cluster::start_with(3, |config| {
        config.broker_session_timeout = std::time::Duration::from_secs(100);
        config.inherited_session_grace = std::time::Duration::from_secs(100);
    });
    runtime().block_on(async {
        let first = cluster.active().await;
        let mut client = cluster.client_of(first).await;
        let dead = Broker::join(&mut client, 11, 1).await;
        let _other = Broker::join(&mut client, 12, 1).await;
        create(&mut client, "foo", 1, &[&[11, 12]]).await;
        cluster.kill(first);
        drop(dead);
        let second = cluster.active().await;
        let image = cluster
            .image_where(second, "the dead broker is fenced", |image| {
                !image.is_active(NodeId(11))
            })
            .await;
        assert_eq!(leader_and_isr(&image, "foo"), (Some(12), vec![12]));
        assert!(
            image.is_active(NodeId(12)),
            "one that listens has its grace"
        );
    });
}
