//! Tests of WatchMetadata: resumed at the broker's offset, or begun with a snapshot when the feed
//! no longer has that offset.

use std::sync::Arc;

use dohle_model::delta::MetadataDelta;
use dohle_model::image::{MetadataImage, Replayed};
use dohle_model::{MetadataOffset, Uuid};
use dohle_rpc::convert::{SnapshotBuilder, committed_from_wire, uuid_to_wire};
use dohle_rpc::v1;
use dohle_rpc::v1::metadata_event::Event;
use tonic::{Status, Streaming};

use super::cluster::{Broker, CLUSTER, Client, Cluster, create, within};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

pub async fn watch(
    client: &mut Client,
    after: MetadataOffset,
) -> Result<Streaming<v1::MetadataEvent>, Status> {
    watch_after(client, after, None).await
}

async fn watch_after(
    client: &mut Client,
    after: MetadataOffset,
    activation: Option<Uuid>,
) -> Result<Streaming<v1::MetadataEvent>, Status> {
    let request = v1::WatchMetadataRequest {
        cluster_id: CLUSTER.to_owned(),
        node_id: 1,
        after_offset: after.0,
        after_activation: activation.map(uuid_to_wire).unwrap_or_default(),
    };
    Ok(within("WatchMetadata", client.watch_metadata(request))
        .await?
        .into_inner())
}

/// Follows into `image` until it is at `offset`. Returns the number of snapshots that arrived.
async fn follow(
    events: &mut Streaming<v1::MetadataEvent>,
    image: &mut MetadataImage,
    offset: MetadataOffset,
) -> usize {
    let mut builder: Option<SnapshotBuilder> = None;
    let mut snapshots = 0;
    while image.offset < offset {
        let event = within("an event", events.message()).await.unwrap().unwrap();
        match event.event.unwrap() {
            Event::Snapshot(chunk) => {
                builder.get_or_insert_default().add(&chunk).unwrap();
            }
            Event::SnapshotEnd(_) => {
                *image = builder.take().unwrap().finish().unwrap();
                snapshots += 1;
            }
            Event::Batches(batches) => {
                for batch in &batches.batches {
                    let batch = committed_from_wire(batch).unwrap();
                    let replayed = image.replay_batch(&batch, &mut MetadataDelta::default());
                    assert_eq!(replayed, Ok(Replayed::Applied));
                }
            }
        }
    }
    snapshots
}

#[test]
fn a_follower_gets_what_is_committed_and_goes_on_where_it_was() {
    let cluster = Cluster::start(1);
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let _one = Broker::join(&mut client, 1, 1).await;
        let mut image = MetadataImage::default();
        let mut events = watch(&mut client, image.offset).await.unwrap();
        let offset = MetadataOffset(create(&mut client, "foo", 1, &[&[1]]).await);
        assert_eq!(follow(&mut events, &mut image, offset).await, 0);
        assert_eq!(image, *cluster.controller(1).image());
        drop(events);

        let mut events = watch(&mut client, image.offset).await.unwrap();
        let first = within("an event", events.message()).await.unwrap().unwrap();
        let up_to_date = Event::Batches(v1::CommittedBatches {
            batches: Vec::new(),
        });
        assert_eq!(first.event, Some(up_to_date));
        let offset = MetadataOffset(create(&mut client, "bar", 2, &[&[1]]).await);
        assert_eq!(follow(&mut events, &mut image, offset).await, 0);
        assert_eq!(image, *cluster.controller(1).image());
    });
}

#[test]
fn a_follower_that_is_far_behind_gets_a_snapshot() {
    let mut cluster = Cluster::start_with(1, |config| {
        config.feed_bytes_min = 300;
        config.feed_bytes_per_replica = 0;
    });
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let _one = Broker::join(&mut client, 1, 1).await;
        let mut last = MetadataOffset(0);
        for number in 1..=20 {
            let name = format!("topic-{number}");
            last = MetadataOffset(create(&mut client, &name, number, &[&[1], &[1]]).await);
        }
        let mut image = MetadataImage::default();
        let mut events = watch(&mut client, image.offset).await.unwrap();
        assert_eq!(follow(&mut events, &mut image, last).await, 1);
        assert_eq!(image.topics.len(), 20);
        let offset = MetadataOffset(create(&mut client, "more", 99, &[&[1]]).await);
        assert_eq!(follow(&mut events, &mut image, offset).await, 0);
        assert_eq!(image, *cluster.controller(1).image());
        let before: Arc<MetadataImage> = cluster.controller(1).image();

        // A replay of the log on disk results in the same image.
        cluster.stop(1).await;
        cluster.restart(1);
        let after = cluster
            .image_where(1, "the image is back", |image| {
                image.offset >= before.offset
            })
            .await;
        assert_eq!(after.topics, before.topics);
    });
}

#[test]
fn a_fence_of_every_partition_costs_no_follower_a_snapshot() {
    // Larger than the minimum, like a fence of ten thousand partitions compared with the default's.
    let cluster = Cluster::start_with(1, |config| config.feed_bytes_min = 300);
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let one = Broker::join(&mut client, 1, 1).await;
        let _two = Broker::join(&mut client, 2, 1).await;
        let created = MetadataOffset(create(&mut client, "foo", 1, &[&[1, 2][..]; 100]).await);
        let mut image = MetadataImage::default();
        let mut events = watch(&mut client, image.offset).await.unwrap();
        follow(&mut events, &mut image, created).await;
        drop((events, one));
        let after = cluster
            .image_where(1, "broker 1 is fenced", |image| {
                !image.is_active(dohle_model::NodeId(1))
            })
            .await;
        let mut events = watch(&mut client, image.offset).await.unwrap();
        assert_eq!(follow(&mut events, &mut image, after.offset).await, 0);
        assert_eq!(image, *after);
    });
}

#[test]
fn a_follower_ahead_of_the_quorum_is_told_so() {
    let cluster = Cluster::start(1);
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let _one = Broker::join(&mut client, 1, 1).await;
        let mut events = watch(&mut client, MetadataOffset(1_000_000)).await.unwrap();
        let status = within("an end", events.message()).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::DataLoss);
    });
}

#[test]
fn a_follower_of_another_history_gets_a_snapshot() {
    let cluster = Cluster::start(1);
    runtime().block_on(async {
        let mut client = cluster.client().await;
        let _one = Broker::join(&mut client, 1, 1).await;
        let last = MetadataOffset(create(&mut client, "foo", 1, &[&[1]]).await);
        let own = cluster.controller(1).image().position().unwrap().activation;
        for (activation, snapshots) in [(own, 0), (Uuid([77; 16]), 1)] {
            // The broker was at this offset, in the same or in another history.
            let mut events = watch_after(&mut client, last, Some(activation))
                .await
                .unwrap();
            let mut image = MetadataImage::default();
            if snapshots == 0 {
                image = MetadataImage::clone(&cluster.controller(1).image());
            }
            assert_eq!(follow(&mut events, &mut image, last).await, snapshots);
            assert_eq!(image, *cluster.controller(1).image());
        }
    });
}
