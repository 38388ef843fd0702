//! Starts a controller's parts, connects them, and stops them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dohle_model::image::MetadataImage;
use dohle_model::{HostPort, NodeId};
use dohle_rpc::v1::controller_server::ControllerServer;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tonic::service::Routes;

use crate::actor::{Activity, Actor, ActorConfig, Message, QUEUE};
use crate::config::{ControllerConfig, ReserveBytes};
use crate::feed::CommittedBatches;
use crate::raft::{Quorum, QuorumConfig, QuorumError, TransferError};
use crate::service::ControllerService;
use crate::state_machine::{FeedSize, MetadataMachine, PublishedImage};

/// The largest message of the Controller service in either direction, in bytes.
const MESSAGE_LEN_MAX: usize = 64 * 1024 * 1024;

/// A running controller: a voter of the metadata quorum, which is the cluster's active controller
/// while it leads the quorum. Stops with [`Controller::shutdown`], or abruptly when dropped.
pub struct Controller {
    pub(crate) quorum: Quorum,
    service: ControllerService,
    pub(crate) published: watch::Receiver<PublishedImage>,
    pub(crate) activity: watch::Receiver<Activity>,
    fatal: watch::Receiver<Option<Arc<str>>>,
    actor: JoinHandle<()>,
    fatal_relay: JoinHandle<()>,
    reserve: JoinHandle<()>,
    stopping: Arc<AtomicBool>,
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.actor.abort();
        self.fatal_relay.abort();
        self.reserve.abort();
    }
}

impl Controller {
    /// Opens the metadata log, replays it, and joins the quorum. Other nodes reach this controller
    /// only when [`Controller::routes`] is served on the CONTROLLER listener.
    ///
    /// # Errors
    /// The configuration contradicts itself, or the metadata directory can't be read.
    pub async fn start(config: ControllerConfig) -> Result<Self, QuorumError> {
        let (published_tx, published) = watch::channel(PublishedImage::default());
        let (machine_fatal_tx, machine_fatal) = watch::channel(None);
        let feed = Arc::new(Mutex::new(CommittedBatches::new(config.feed_bytes_min)));
        let machine = MetadataMachine::new(
            published_tx,
            Arc::clone(&feed),
            FeedSize {
                bytes_min: config.feed_bytes_min,
                bytes_per_replica: config.feed_bytes_per_replica,
            },
            machine_fatal_tx,
        );
        let addresses: BTreeMap<NodeId, String> = config
            .voters
            .iter()
            .map(|(id, voter)| (*id, HostPort(&voter.host, voter.port).to_string()))
            .collect();
        let mut quorum_config = QuorumConfig::new(
            config.node_id,
            addresses,
            config.metadata_dir.clone(),
            config.cluster_id.clone(),
        );
        quorum_config.directory_id = config.directory_id;
        quorum_config.connector = config.connector.clone();
        let (reserve_tx, reserve) =
            watch::channel((config.reserve_bytes)(&MetadataImage::default()));
        quorum_config.reserve_bytes = reserve;
        quorum_config.snapshot_after_bytes = config.snapshot_after_bytes;
        quorum_config.snapshot_interval = config.snapshot_interval;
        quorum_config.heartbeat_interval = config.quorum_heartbeat_interval;
        quorum_config.election_timeout = config.quorum_election_timeout;
        let quorum = Quorum::open(quorum_config, machine).await?;
        let reserve_bytes = Arc::clone(&config.reserve_bytes);
        let reserve = tokio::spawn(follow_reserve(published.clone(), reserve_bytes, reserve_tx));

        let (activity_tx, activity) = watch::channel(Activity::default());
        let (actor_tx, inbox) = mpsc::channel::<Message>(QUEUE);
        let stopping = Arc::new(AtomicBool::new(false));
        let actor = Actor::new(
            actor_config(&config, Arc::clone(&stopping)),
            quorum.clone(),
            published.clone(),
            activity_tx,
            (actor_tx.downgrade(), inbox),
        );
        let service = ControllerService::new(
            config,
            actor_tx,
            activity.clone(),
            published.clone(),
            feed,
            quorum.clone(),
        );
        let (fatal_tx, fatal) = watch::channel(None);
        let fatal_relay = tokio::spawn(relay(machine_fatal, quorum.fatal(), fatal_tx));
        let actor = tokio::spawn(actor.run());
        Ok(Self {
            quorum,
            service,
            published,
            activity,
            fatal,
            actor,
            fatal_relay,
            reserve,
            stopping,
        })
    }

    /// The Raft and Controller services, for the CONTROLLER listener.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let service = ControllerServer::new(self.service.clone())
            .max_decoding_message_size(MESSAGE_LEN_MAX)
            .max_encoding_message_size(MESSAGE_LEN_MAX);
        Routes::new(service).add_service(self.quorum.service())
    }

    /// Returns a receiver of the committed metadata as replayed by this voter.
    #[must_use]
    pub fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.published.borrow().image)
    }

    /// Returns a function that returns the committed metadata as replayed by this voter then.
    pub fn images(&self) -> impl Fn() -> Arc<MetadataImage> + Send + Sync + 'static {
        let published = self.published.clone();
        move || Arc::clone(&published.borrow().image)
    }

    /// Calls `on_image` with the committed metadata that this voter has replayed, and again when
    /// they have changed. The task ends with this controller.
    pub fn follow(
        &self,
        mut on_image: impl FnMut(&Arc<MetadataImage>) + Send + 'static,
    ) -> JoinHandle<()> {
        let mut published = self.published.clone();
        tokio::spawn(async move {
            loop {
                let image = Arc::clone(&published.borrow_and_update().image);
                on_image(&image);
                if published.changed().await.is_err() {
                    return;
                }
            }
        })
    }

    /// Returns the active controller that this voter last heard from, if any.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.activity.borrow().leader
    }

    /// Whether this is the active controller.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.activity.borrow().active
    }

    /// Waits until `until` returns true for the committed metadata. For tests and for start-up.
    pub async fn wait_for_image(&self, mut until: impl FnMut(&MetadataImage) -> bool) {
        let mut published = self.published.clone();
        // The wait fails only when the quorum has stopped; the image does not change after that.
        drop(
            published
                .wait_for(|published| until(&published.image))
                .await,
        );
    }

    /// Waits until there is an active controller, and returns its id.
    pub async fn wait_for_leader(&self) -> Option<NodeId> {
        let mut activity = self.activity.clone();
        let known = activity
            .wait_for(|activity| activity.leader.is_some())
            .await;
        known.ok().and_then(|activity| activity.leader)
    }

    /// Waits until this controller is active, or until it is not, as `active` requests. Never
    /// returns after the controller has stopped.
    pub async fn wait_for_active(&self, active: bool) {
        let mut activity = self.activity.clone();
        if activity
            .wait_for(|activity| activity.active == active)
            .await
            .is_err()
        {
            std::future::pending().await
        }
    }

    /// Becomes `Some` with the reason when the controller failed; the node must stop then.
    #[must_use]
    pub fn fatal(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.fatal.clone()
    }

    /// Announces that the node is about to stop, so that voters that stop at the same time cause no
    /// warning.
    pub fn prepare_shutdown(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Hands leadership over if this voter leads, then stops.
    pub async fn shutdown(self) {
        self.prepare_shutdown();
        if self.is_active() && self.quorum.describe().voters.len() > 1 {
            match self.quorum.transfer_leadership().await {
                Ok(leader) => tracing::info!(%leader, "leadership of the quorum was handed over"),
                // Expected when the whole cluster stops; otherwise the remaining voters hold an
                // election.
                Err(reason @ (TransferError::NoMajority | TransferError::Timeout(_))) => {
                    tracing::info!(%reason, "leadership of the quorum was not handed over")
                }
                Err(error) => {
                    tracing::warn!(%error, "leadership of the quorum was not handed over")
                }
            }
        }
        self.actor.abort();
        self.fatal_relay.abort();
        self.quorum.clone().shutdown().await;
    }
}

fn actor_config(config: &ControllerConfig, stopping: Arc<AtomicBool>) -> ActorConfig {
    let lease = config.quorum_election_timeout * 2;
    ActorConfig {
        node_id: config.node_id,
        settings: Arc::new(config.settings()),
        session_timeout: config.broker_session_timeout,
        heartbeat_interval: config.broker_heartbeat_interval,
        broken_session_grace: config.broken_session_grace,
        inherited_session_grace: config.inherited_session_grace,
        rebalance_every: config.auto_leader_rebalance.then(|| {
            config
                .leader_imbalance_check_interval
                .max(Duration::from_millis(100))
        }),
        batch_bytes_max: config.batch_bytes_max,
        quorum_lease: lease.max(config.quorum_heartbeat_interval * 4),
        stopping,
    }
}

/// Forwards the reserve to its watchers whenever the committed metadata change it.
async fn follow_reserve(
    mut published: watch::Receiver<PublishedImage>,
    reserve_bytes: ReserveBytes,
    to: watch::Sender<u64>,
) {
    loop {
        let reserve = reserve_bytes(&published.borrow_and_update().image);
        to.send_if_modified(|current| std::mem::replace(current, reserve) != reserve);
        if published.changed().await.is_err() {
            return;
        }
    }
}

/// Forwards a failure reason from one of two sources.
async fn relay(
    mut machine: watch::Receiver<Option<Arc<str>>>,
    mut quorum: watch::Receiver<Option<Arc<str>>>,
    to: watch::Sender<Option<Arc<str>>>,
) {
    let reason = tokio::select! {
        Ok(reason) = machine.wait_for(Option::is_some) => reason.clone(),
        Ok(reason) = quorum.wait_for(Option::is_some) => reason.clone(),
        else => return,
    };
    to.send_replace(reason);
    to.closed().await;
}

#[cfg(test)]
mod tests {
    use dohle_model::delta::MetadataDelta;
    use dohle_model::record::{ConfigResource, MetadataRecord};

    use super::*;

    #[tokio::test]
    async fn the_reserve_follows_the_committed_metadata() {
        let key = "log.dir.reserve.bytes";
        let (publish, published) = watch::channel(PublishedImage::default());
        let reserve_bytes: ReserveBytes = Arc::new(move |image| {
            let set = image.config(&ConfigResource::BrokerDefault, key);
            set.map_or(7, |value| value.parse().unwrap())
        });
        let (to, mut reserve) = watch::channel(0);
        tokio::spawn(follow_reserve(published, reserve_bytes, to));
        for (value, expected) in [(None, 7), (Some("123"), 123), (None, 7)] {
            let mut image = MetadataImage::default();
            let record = MetadataRecord::Config {
                resource: ConfigResource::BrokerDefault,
                key: key.to_owned(),
                value: value.map(str::to_owned),
            };
            image
                .replay(&record, &mut MetadataDelta::default())
                .unwrap();
            publish.send_modify(|published| published.image = Arc::new(image));
            reserve.wait_for(|bytes| *bytes == expected).await.unwrap();
        }
    }
}
