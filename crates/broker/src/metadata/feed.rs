//! Follows the committed metadata: WatchMetadata → replay → local replicas → published image.
//!
//! Invariant: one task owns the image. Records reach the image in order and once; a change reaches
//! the local replicas before the image is published. A batch that does not follow the image ends
//! the stream, and the next one continues from the image's offset, with a snapshot if need be. The
//! first change is withheld until the image holds this process's own registration, so it is one
//! change that covers everything from before the start of the process.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use dohle_model::delta::{LocalChanges, MetadataDelta};
use dohle_model::image::{MetadataImage, ReplayError};
use dohle_model::{IncarnationId, MetadataOffset, NodeId};
use dohle_rpc::convert::{self, ConvertError, SnapshotBuilder};
use dohle_rpc::v1;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tonic::Streaming;

use super::cache::MetadataCache;
use super::client::{BACKOFF, ControllerClient, ControllerError, is_final};

/// How long one search for the active controller may take before it is reported and begun again.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// One step from an image to the next.
#[derive(Debug, Clone)]
pub struct MetadataChange {
    /// The image before; empty for the first change after the start of the process.
    pub before: Arc<MetadataImage>,
    /// The image after; not yet published.
    pub after: Arc<MetadataImage>,
    /// What differs: brokers' endpoints and configurations are here.
    pub delta: MetadataDelta,
    /// What differs in the replicas of this broker.
    pub local: LocalChanges,
    /// Whether this is the first change of the process. It names every replica that this broker
    /// has; what is on disk beyond them is stray.
    pub is_first: bool,
}

/// Applies changes of the metadata to the replicas of this broker.
pub trait LocalReplicas: Send + Sync + 'static {
    /// Applies a change. Changes arrive one at a time and in order. The next change, and every wait
    /// for the image, waits until this change is applied. Disk access belongs on a thread that may
    /// block. A replica that fails takes its directory offline; it does not fail the change.
    fn apply(&self, change: &MetadataChange) -> impl Future<Output = ()> + Send;
}

/// The broker of the feed.
#[derive(Debug, Clone)]
pub struct FeedConfig {
    /// The cluster's id, which the controller compares with its own.
    pub cluster_id: String,
    /// This broker.
    pub node: NodeId,
    /// This run of the process. The first change waits for its registration.
    pub incarnation: IncarnationId,
}

/// Why the feed cannot continue. The node must stop.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FeedError {
    /// A committed record does not fit the image: the log, or this node's state, is damaged.
    #[error("metadata cannot be replayed: {0}")]
    Replay(#[from] ReplayError),
    /// A newer version committed a record that this version does not support.
    #[error("metadata cannot be decoded: {0}; run the version of the active controller")]
    Convert(#[from] ConvertError),
    /// The controller refused the broker, for example because it belongs to another cluster.
    #[error("{0}")]
    Refused(String),
}

/// The feed. Dropping it ends its task.
#[derive(Debug)]
pub struct MetadataFeed {
    failed: watch::Receiver<Option<FeedError>>,
    task: JoinHandle<()>,
}

impl Drop for MetadataFeed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl MetadataFeed {
    /// Starts the feed with the empty image.
    #[must_use]
    pub fn start<R: LocalReplicas>(
        config: FeedConfig,
        client: Arc<ControllerClient>,
        cache: Arc<MetadataCache>,
        replicas: Arc<R>,
    ) -> Self {
        let (sender, failed) = watch::channel(None);
        let follower = Follower {
            published: cache.image(),
            image: MetadataImage::clone(&cache.image()),
            delta: MetadataDelta::default(),
            snapshot: None,
            is_first: true,
            gap_reported: false,
            config,
            client,
            cache,
            replicas,
        };
        let task = tokio::spawn(async move {
            let error = follower.run().await;
            sender.send_replace(Some(error));
        });
        Self { failed, task }
    }

    /// Waits until the feed cannot continue; the node must then stop.
    pub async fn failed(&self) -> FeedError {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or_else(task_ended),
            Err(_) => task_ended(),
        }
    }
}

fn task_ended() -> FeedError {
    FeedError::Refused("the metadata feed's task ended".to_owned())
}

struct Follower<R> {
    config: FeedConfig,
    client: Arc<ControllerClient>,
    cache: Arc<MetadataCache>,
    replicas: Arc<R>,
    published: Arc<MetadataImage>,
    /// The replayed metadata. It is ahead of `published` only within a step and before the first.
    image: MetadataImage,
    /// The difference between `published` and `image`.
    delta: MetadataDelta,
    snapshot: Option<SnapshotBuilder>,
    is_first: bool,
    /// Whether a gap was logged since the image last advanced.
    gap_reported: bool,
}

/// The state of the image after an event.
enum Replayed {
    /// In the middle of a snapshot.
    Partial,
    /// At the end of a step.
    Step,
    /// The controller left out records that follow the image; the stream has to end.
    Gap,
}

impl<R: LocalReplicas> Follower<R> {
    async fn run(mut self) -> FeedError {
        let mut backoff = BACKOFF;
        loop {
            let request = v1::WatchMetadataRequest {
                cluster_id: self.config.cluster_id.clone(),
                node_id: self.config.node.0,
                after_offset: self.image.offset.0,
                after_activation: self
                    .image
                    .position()
                    .map(|position| convert::uuid_to_wire(position.activation))
                    .unwrap_or_default(),
            };
            let deadline = Instant::now() + OPEN_TIMEOUT;
            match self.client.watch_metadata(request, deadline).await {
                Ok(events) => match self.follow(events).await {
                    Ok(true) => backoff.reset(),
                    // A voter that is not active accepts the stream and ends it. Others may send
                    // a batch that does not follow the image.
                    Ok(false) => sleep(backoff.next_wait()).await,
                    Err(error) => return error,
                },
                Err(ControllerError::TimedOut { last }) => {
                    // The session logs a warning for the same cause.
                    tracing::debug!(node = %self.config.node, %last, "no metadata to follow");
                }
                Err(error) => return FeedError::Refused(error.to_string()),
            }
        }
    }

    /// Processes a stream until it breaks. Returns whether it completed a step.
    async fn follow(
        &mut self,
        mut events: Streaming<v1::MetadataEvent>,
    ) -> Result<bool, FeedError> {
        self.snapshot = None;
        let mut progress = false;
        loop {
            match events.message().await {
                Ok(Some(event)) => match self.replay(event)? {
                    Replayed::Partial => {}
                    Replayed::Step => {
                        progress = true;
                        self.step().await;
                    }
                    Replayed::Gap => {
                        self.step().await;
                        return Ok(false);
                    }
                },
                Ok(None) => return Ok(progress),
                Err(status) if is_final(&status) => {
                    return Err(FeedError::Refused(status.message().to_owned()));
                }
                Err(status) => {
                    self.client.on_stream_broken(&status);
                    return Ok(progress);
                }
            }
        }
    }

    /// Replays one event.
    fn replay(&mut self, event: v1::MetadataEvent) -> Result<Replayed, FeedError> {
        use v1::metadata_event::Event;
        match event.event.ok_or(ConvertError::Missing("metadata event"))? {
            Event::Snapshot(chunk) => {
                self.snapshot.get_or_insert_default().add(&chunk)?;
                Ok(Replayed::Partial)
            }
            Event::SnapshotEnd(_) => {
                let image = self.snapshot.take().unwrap_or_default().finish()?;
                // A controller that is behind itself sent an older snapshot. Batches follow.
                if image.offset >= self.image.offset {
                    self.delta = MetadataDelta::between(&self.published, &image);
                    self.image = image;
                }
                Ok(Replayed::Step)
            }
            Event::Batches(batches) => {
                for committed in &batches.batches {
                    let committed = convert::committed_from_wire(committed)?;
                    if committed.offset <= self.image.offset {
                        continue;
                    }
                    if committed.batch.base > self.image.offset {
                        self.report_gap(committed.batch.base);
                        return Ok(Replayed::Gap);
                    }
                    let replayed = self.image.replay_batch(&committed, &mut self.delta)?;
                    if replayed == dohle_model::image::Replayed::Applied {
                        self.gap_reported = false;
                    }
                }
                Ok(Replayed::Step)
            }
        }
    }

    fn report_gap(&mut self, base: MetadataOffset) {
        if !std::mem::replace(&mut self.gap_reported, true) {
            tracing::warn!(
                node = %self.config.node, image_offset = %self.image.offset, batch_base = %base,
                "metadata feed left records out; subscribing again at the image's offset"
            );
        }
    }

    /// Applies the new image to the local replicas, and then publishes it.
    async fn step(&mut self) {
        if self.image.offset == self.published.offset {
            return;
        }
        if self.is_first && !self.is_registered() {
            return;
        }
        assert!(
            self.image.offset > self.published.offset,
            "the metadata at {} follow those at {}",
            self.image.offset,
            self.published.offset
        );
        let after = Arc::new(self.image.clone());
        let delta = std::mem::take(&mut self.delta);
        let before = Arc::clone(&self.published);
        let local = delta.local_changes(self.config.node, &before, &after);
        let after_published = Arc::clone(&after);
        let change = MetadataChange {
            before,
            after,
            delta,
            local,
            is_first: self.is_first,
        };
        self.replicas.apply(&change).await;
        self.is_first = false;
        self.published = Arc::clone(&after_published);
        self.cache.publish(after_published);
    }

    fn is_registered(&self) -> bool {
        let broker = self.image.brokers.get(&self.config.node);
        broker.is_some_and(|broker| broker.incarnation == self.config.incarnation)
    }
}
