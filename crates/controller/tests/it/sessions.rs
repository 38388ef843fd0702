//! Tests of brokers' sessions, and of the requests of a registered broker.

use std::time::Duration;

use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, NodeId};
use dohle_rpc::v1;
use tonic::Code;

use super::cluster::{
    Broker, CLUSTER, Client, Cluster, create, create_request, forward, id, leader_and_isr, within,
};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn a_new_cluster_finalizes_features_and_takes_brokers() {
    let cluster = Cluster::start(1);
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let broker = Broker::join(&mut client, 7, 1).await;
        assert_eq!(broker.epoch, 0);
        let image = cluster.controller(1).image();
        assert_eq!(image.features.get("metadata.version"), Some(&33));
        assert_eq!(
            image.features.get("eligible.leader.replicas.version"),
            Some(&1)
        );
        assert!(image.is_active(NodeId(7)));
    });
}

#[test]
fn cordoned_directories_that_heartbeats_report_are_recorded() {
    let cluster = Cluster::start(1);
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let mut broker = Broker::join(&mut client, 7, 1).await;
        let cordoned = |image: &MetadataImage| image.brokers[&NodeId(7)].cordoned_log_dirs.clone();
        let image = cluster.controller(1).image();
        assert_eq!(cordoned(&image), []);
        let own = image.brokers[&NodeId(7)].log_dirs.clone();
        for reported in [own, Vec::new()] {
            broker.cordoned = Some(reported.clone());
            broker.beat(u64::MAX, false).await;
            let recorded = |image: &MetadataImage| cordoned(image) == reported;
            cluster.image_where(1, "the directories", recorded).await;
        }
    });
}

#[test]
fn requests_that_come_together_are_each_answered_where_they_hold() {
    let cluster = Cluster::start(1);
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let _broker = Broker::join(&mut client, 1, 1).await;
        let requests = (1..=40u8).map(|number| {
            let mut client: Client = client.clone();
            async move {
                let name = format!("topic-{number}");
                (
                    name.clone(),
                    create(&mut client, &name, number, &[&[1], &[1]]).await,
                )
            }
        });
        for (name, offset) in futures::future::join_all(requests).await {
            let image = cluster.controller(1).image();
            assert!(image.offset.0 >= offset);
            assert_eq!(image.topic(&name).unwrap().partitions.len(), 2);
        }
        // The repeated request gets the same response; another request for the name is refused.
        create(&mut client, "topic-1", 1, &[&[1], &[1]]).await;
        let again = create_request("topic-1", &[&[1]]);
        let (_, again) = forward(&mut client, &again, 99).await.unwrap();
        assert_eq!(again.topics[0].error_code, 36);
    });
}

#[test]
fn a_broker_whose_stream_breaks_is_fenced_within_a_moment() {
    let cluster = Cluster::start(1);
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let one = Broker::join(&mut client, 1, 1).await;
        let _two = Broker::join(&mut client, 2, 1).await;
        create(&mut client, "foo", 1, &[&[1, 2]]).await;
        let start = tokio::time::Instant::now();
        drop(one);
        let image = cluster
            .image_where(1, "the broker is fenced", |image| {
                !image.is_active(NodeId(1))
            })
            .await;
        assert_eq!(leader_and_isr(&image, "foo"), (Some(2), vec![2]));
        let took = start.elapsed();
        assert!(
            took >= Duration::from_millis(150),
            "fenced without grace, after {took:?}"
        );
        assert!(took < Duration::from_secs(3), "fenced after {took:?}");
    });
}

#[test]
fn a_session_that_comes_back_at_once_keeps_its_epoch_and_leaderships() {
    let cluster = Cluster::start_with(1, |config| {
        config.broken_session_grace = Duration::from_secs(10);
    });
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let one = Broker::join(&mut client, 1, 1).await;
        let offset = create(&mut client, "foo", 1, &[&[1]]).await;
        let epoch = one.epoch;
        drop(one);
        let mut one = Broker::open(&mut client, 1, 1, epoch).await.unwrap();
        let response = one.response().await;
        assert_eq!((response.broker_epoch, response.is_fenced), (epoch, false));
        let image = cluster.controller(1).image();
        assert_eq!(image.offset.0, offset, "nothing was written");
    });
}

#[test]
fn a_silent_broker_is_fenced_and_comes_back_with_a_heartbeat() {
    let cluster = Cluster::start_with(1, |config| {
        config.broker_session_timeout = Duration::from_millis(300);
    });
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let mut one = Broker::join(&mut client, 1, 1).await;
        one.response_where("fenced", |response| response.is_fenced)
            .await;
        one.unfence().await;
    });
}

#[test]
fn a_new_incarnation_fences_the_old_one_when_its_stream_is_gone() {
    let cluster = Cluster::start_with(1, |config| {
        config.broken_session_grace = Duration::from_secs(100);
        config.broker_session_timeout = Duration::from_secs(200);
    });
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let one = Broker::join(&mut client, 1, 1).await;
        let _two = Broker::join(&mut client, 2, 1).await;
        create(&mut client, "foo", 1, &[&[1, 2]]).await;
        drop(one);
        let mut one = Broker::open(&mut client, 1, 2, -1).await.unwrap();
        let response = one.response().await;
        assert_eq!((response.broker_epoch, response.is_fenced), (2, true));
        let image = cluster.controller(1).image();
        assert_eq!(leader_and_isr(&image, "foo"), (Some(2), vec![2]));
    });
}

#[test]
fn a_second_broker_with_the_same_id_is_refused() {
    let cluster = Cluster::start_with(1, |config| {
        config.broker_heartbeat_interval = Duration::from_millis(100);
    });
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let one = Broker::join(&mut client, 1, 1).await;
        let mut other = Broker::open(&mut client, 1, 2, -1).await.unwrap();
        let mut heartbeats = tokio::time::interval(Duration::from_millis(50));
        let refused = within("refusal", async {
            loop {
                tokio::select! {
                    response = other.next() => return response.unwrap().unwrap(),
                    _ = heartbeats.tick() => one.beat(0, false).await,
                }
            }
        })
        .await;
        assert_eq!(refused.outcome.as_ref().unwrap().code, 101, "{refused:?}");
        assert!(refused.outcome.unwrap().message.contains("node.id 1"));
        assert!(other.next().await.unwrap().is_none());
        assert!(cluster.controller(1).image().is_active(NodeId(1)));
    });
}

#[test]
fn a_controlled_shutdown_waits_until_the_others_know() {
    let cluster = Cluster::start(1);
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let mut one = Broker::join(&mut client, 1, 1).await;
        let mut two = Broker::join(&mut client, 2, 1).await;
        let offset = create(&mut client, "foo", 1, &[&[1, 2]]).await;
        two.beat(offset, false).await;
        one.beat(offset, true).await;
        let image = cluster
            .image_where(1, "leadership moves", |image| {
                leader_and_isr(image, "foo").0 == Some(2)
            })
            .await;
        assert_eq!(leader_and_isr(&image, "foo").1, [2]);
        assert!(image.is_active(NodeId(1)), "it is not fenced yet");
        // All brokers are asked to send heartbeats more often.
        two.response_where("hurry", |response| response.heartbeat_interval_ms < 1000)
            .await;
        two.beat(image.offset.0, false).await;
        one.response_where("permission", |response| response.should_shutdown)
            .await;
        assert!(!cluster.controller(1).image().is_active(NodeId(1)));
    });
}

#[test]
fn a_broker_of_another_cluster_is_refused_in_words() {
    let cluster = Cluster::start(1);
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let request = v1::WatchMetadataRequest {
            cluster_id: "other".to_owned(),
            node_id: 1,
            after_offset: 0,
            after_activation: Default::default(),
        };
        let status = client.watch_metadata(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(CLUSTER) && status.message().contains("other"));
    });
}

#[test]
fn requests_with_a_stale_broker_epoch_are_refused() {
    let cluster = Cluster::start(1);
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let one = Broker::join(&mut client, 1, 1).await;
        let allocate = |epoch| v1::AllocateProducerIdsRequest {
            broker_id: 1,
            broker_epoch: epoch,
        };
        let block = client
            .allocate_producer_ids(allocate(one.epoch))
            .await
            .unwrap()
            .into_inner();
        assert_eq!((block.first, block.count), (0, 1000));
        let stale = client
            .allocate_producer_ids(allocate(77))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(stale.outcome.unwrap().code, 77);
        create(&mut client, "foo", 1, &[&[1]]).await;
        let partition = v1::AlterPartition {
            topic_id: id(1),
            partition: 0,
            leader_epoch: 0,
            new_isr: vec![v1::IsrMember {
                broker_id: 1,
                broker_epoch: -1,
            }],
            leader_recovery_state: 0,
            partition_epoch: 0,
        };
        let request = v1::AlterPartitionRequest {
            broker_id: 1,
            broker_epoch: one.epoch,
            partitions: vec![partition],
        };
        let result = client.alter_partition(request).await.unwrap().into_inner();
        assert_eq!(result.partitions[0].code, 0);
        assert_eq!(result.partitions[0].registration.as_ref().unwrap().isr, [1]);
    });
}

#[test]
fn leadership_moves_back_to_the_preferred_leader() {
    let cluster = Cluster::start_with(1, |config| {
        config.leader_imbalance_check_interval = Duration::from_millis(200);
    });
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let one = Broker::join(&mut client, 1, 1).await;
        let two = Broker::join(&mut client, 2, 1).await;
        create(&mut client, "foo", 1, &[&[1, 2]]).await;
        drop(one);
        let moved = |leader: i32| {
            move |image: &MetadataImage| leader_and_isr(image, "foo").0 == Some(leader)
        };
        cluster.image_where(1, "the other leads", moved(2)).await;
        let _one = Broker::join(&mut client, 1, 2).await;
        let image = cluster.controller(1).image();
        let partition = image
            .topic("foo")
            .unwrap()
            .partitions
            .values()
            .next()
            .unwrap();
        let back = v1::AlterPartition {
            topic_id: id(1),
            partition: 0,
            leader_epoch: partition.leader_epoch.0,
            new_isr: [2, 1]
                .map(|broker_id| v1::IsrMember {
                    broker_id,
                    broker_epoch: -1,
                })
                .to_vec(),
            leader_recovery_state: 0,
            partition_epoch: partition.partition_epoch.0,
        };
        let request = v1::AlterPartitionRequest {
            broker_id: 2,
            broker_epoch: two.epoch,
            partitions: vec![back],
        };
        let result = client.alter_partition(request).await.unwrap().into_inner();
        assert_eq!(result.partitions[0].code, 0);
        cluster
            .image_where(1, "the preferred one leads", moved(1))
            .await;
    });
}

#[test]
fn a_fence_larger_than_a_batch_is_committed_in_parts() {
    let cluster = Cluster::start_with(1, |config| config.batch_bytes_max = 500);
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let one = Broker::join(&mut client, 1, 1).await;
        let _two = Broker::join(&mut client, 2, 1).await;
        let created = create(&mut client, "foo", 1, &[&[1, 2][..]; 50]).await;
        drop(one);
        let image = cluster
            .image_where(1, "broker 1 is fenced", |image| !image.is_active(NodeId(1)))
            .await;
        assert!(
            image.offset.0 > created + 3,
            "in several batches: {}",
            image.offset
        );
        let topic = image.topic("foo").unwrap();
        for (partition, registration) in &topic.partitions {
            assert_eq!(registration.leader, Some(NodeId(2)), "foo-{partition}");
            assert_eq!(registration.isr, [NodeId(2)], "foo-{partition}");
        }
        // The next request is planned on the last of these batches.
        create(&mut client, "bar", 2, &[&[2]]).await;
    });
}

#[test]
fn the_limit_of_open_files_that_a_heartbeat_reports_bounds_the_partitions_of_its_broker() {
    let cluster = Cluster::start(1);
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let _one = Broker::join(&mut client, 1, 1).await;
        let mut two = Broker::open(&mut client, 2, 1, -1).await.unwrap();
        two.epoch = two.response().await.broker_epoch;
        two.open_files_max = 20;
        two.unfence().await;

        let on_two = vec![&[2][..]; 11];
        let (_, refused) = forward(&mut client, &create_request("large", &on_two), 1)
            .await
            .unwrap();
        let result = &refused.topics[0];
        assert_eq!(result.error_code, ErrorCode::PolicyViolation.code());
        let message = result.error_message.as_ref().unwrap().as_str();
        assert!(
            message.contains("broker 2") && message.contains("20 open files"),
            "{message}"
        );
        create(&mut client, "elsewhere", 2, &[&[1][..]; 11]).await;
        create(&mut client, "fits", 3, &on_two[..10]).await;

        two.open_files_max = 1_000;
        two.beat(u64::MAX, false).await;
        two.response().await;
        create(&mut client, "large", 4, &on_two).await;
    });
}
