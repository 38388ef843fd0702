//! The `Controller` gRPC service, mounted on the CONTROLLER listener.
//!
//! Only the active controller answers; the others refuse with FAILED_PRECONDITION and name the
//! active one in the trailer `dohle-leader-id`.

mod forward;
mod mutations;
mod quorum;
mod session;
mod watch;

use std::pin::Pin;
use std::sync::Arc;

use dohle_auth::quotas::MutationBuckets;
use dohle_model::{ApiError, BrokerEpoch, MetadataOffset, NodeId};
use dohle_rpc::convert::{outcome_to_wire, uuid_from_wire};
use dohle_rpc::v1;
use dohle_rpc::{LEADER_ID_TRAILER, NO_QUORUM_TRAILER};
use futures::Stream;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch as channel};
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

use crate::actor::{Activity, Message, Planned, Refused};
use crate::config::ControllerConfig;
use crate::feed::CommittedBatches;
use crate::peer;
use crate::plan::{self, Draft};
use crate::raft::Quorum;
use crate::state_machine::PublishedImage;

/// Implements the `Controller` service; see the module.
#[derive(Clone)]
pub(crate) struct ControllerService {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub config: ControllerConfig,
    pub actor: mpsc::Sender<Message>,
    pub activity: channel::Receiver<Activity>,
    pub published: channel::Receiver<PublishedImage>,
    pub feed: Arc<Mutex<CommittedBatches>>,
    pub quorum: Quorum,
    pub mutations: Arc<Mutex<MutationBuckets>>,
}

impl ControllerService {
    pub fn new(
        config: ControllerConfig,
        actor: mpsc::Sender<Message>,
        activity: channel::Receiver<Activity>,
        published: channel::Receiver<PublishedImage>,
        feed: Arc<Mutex<CommittedBatches>>,
        quorum: Quorum,
    ) -> Self {
        let mutations = MutationBuckets::new(config.quota_windows);
        let inner = Inner {
            config,
            actor,
            activity,
            published,
            feed,
            quorum,
            mutations: Arc::new(Mutex::new(mutations)),
        };
        Self {
            inner: Arc::new(inner),
        }
    }
}

impl Inner {
    /// Returns the status with which a controller that is not active refuses.
    pub fn not_active(&self) -> Status {
        let leader = self
            .activity
            .borrow()
            .leader
            .filter(|id| *id != self.config.node_id);
        let node = self.config.node_id;
        let mut status = match leader {
            Some(leader) => Status::failed_precondition(format!(
                "node {node} is not the active controller; node {leader} is"
            )),
            None => {
                let outage = self.quorum.outage();
                let mut status = Status::failed_precondition(match &outage {
                    Some(outage) => format!("node {node} has no active controller: {outage}"),
                    None => format!("node {node} has no active controller"),
                });
                if outage.is_some() {
                    let flag = MetadataValue::from_static("true");
                    status.metadata_mut().insert(NO_QUORUM_TRAILER, flag);
                }
                status
            }
        };
        if let Some(leader) = leader
            && let Ok(value) = MetadataValue::try_from(leader.to_string())
        {
            status.metadata_mut().insert(LEADER_ID_TRAILER, value);
        }
        status
    }

    pub fn check_active(&self) -> Result<(), Status> {
        if self.activity.borrow().active {
            Ok(())
        } else {
            Err(self.not_active())
        }
    }

    /// Waits until there is an active controller, for at most the duration of two election
    /// timeouts.
    pub async fn wait_for_controller(&self) {
        let mut activity = self.activity.clone();
        let found = activity.wait_for(|activity| activity.active || activity.leader.is_some());
        // After a timeout, or when the quorum has stopped, the caller continues without a
        // controller.
        drop(tokio::time::timeout(self.config.quorum_election_timeout * 2, found).await);
    }

    /// Refuses a broker that belongs to another cluster.
    pub fn check_cluster(&self, cluster_id: &str) -> Result<(), Status> {
        let own = &self.config.cluster_id;
        if cluster_id == own {
            return Ok(());
        }
        Err(Status::invalid_argument(format!(
            "this controller (node {}) is of cluster {own}, the caller is of cluster {cluster_id}: \
             check cluster.id in the meta.properties of both, and controller.quorum.voters",
            self.config.node_id
        )))
    }

    /// Plans and commits a request on the actor. Returns the response and the offset at which it is
    /// valid.
    pub async fn plan<R: Send + 'static>(
        &self,
        plan: impl FnMut(&mut Draft) -> R + Send + 'static,
    ) -> Result<(MetadataOffset, R), Status> {
        self.check_active()?;
        let (job, answer) = Planned::new(plan);
        if self.actor.send(Message::Job(job)).await.is_err() {
            return Err(self.not_active());
        }
        match answer.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Refused::NotActive)) | Err(_) => Err(self.not_active()),
            Ok(Err(error @ (Refused::Overloaded | Refused::NoSpace))) => {
                Err(Status::resource_exhausted(error.to_string()))
            }
            Ok(Err(Refused::Failed(reason))) => Err(Status::internal(reason)),
        }
    }
}

fn outcome_of<T>(result: Result<T, ApiError>) -> (Option<v1::Outcome>, Option<T>) {
    match result {
        Ok(value) => (Some(v1::Outcome::default()), Some(value)),
        Err(error) => (Some(outcome_to_wire(Some(&error))), None),
    }
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl v1::controller_server::Controller for ControllerService {
    type SessionStream = Responses<v1::SessionResponse>;
    type WatchMetadataStream = Responses<v1::MetadataEvent>;

    async fn session(
        &self,
        request: Request<Streaming<v1::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        self.inner.check_active()?;
        let peer = peer::of(&request);
        let responses = session::serve(Arc::clone(&self.inner), peer, request.into_inner());
        Ok(Response::new(Box::pin(responses)))
    }

    async fn watch_metadata(
        &self,
        request: Request<v1::WatchMetadataRequest>,
    ) -> Result<Response<Self::WatchMetadataStream>, Status> {
        let peer = peer::of(&request);
        let request = request.into_inner();
        self.inner.check_cluster(&request.cluster_id)?;
        peer::check(&peer, request.node_id)?;
        self.inner.check_active()?;
        let after = MetadataOffset(request.after_offset);
        let activation = match request.after_activation.is_empty() {
            true => None,
            false => {
                let id = uuid_from_wire("after_activation", &request.after_activation);
                Some(id.map_err(|error| Status::invalid_argument(error.to_string()))?)
            }
        };
        let events = watch::serve(Arc::clone(&self.inner), after, activation);
        Ok(Response::new(Box::pin(events)))
    }

    async fn alter_partition(
        &self,
        request: Request<v1::AlterPartitionRequest>,
    ) -> Result<Response<v1::AlterPartitionResponse>, Status> {
        let peer = peer::of(&request);
        let request = request.into_inner();
        peer::check(&peer, request.broker_id)?;
        let plan = move |draft: &mut Draft| plan::partitions::alter(draft, &request);
        let (_, result) = self.inner.plan(plan).await?;
        let (outcome, partitions) = outcome_of(result);
        let partitions = partitions.unwrap_or_default();
        Ok(Response::new(v1::AlterPartitionResponse {
            outcome,
            partitions,
        }))
    }

    async fn assign_replicas_to_dirs(
        &self,
        request: Request<v1::AssignReplicasToDirsRequest>,
    ) -> Result<Response<v1::AssignReplicasToDirsResponse>, Status> {
        let peer = peer::of(&request);
        let request = request.into_inner();
        peer::check(&peer, request.broker_id)?;
        let plan = move |draft: &mut Draft| {
            draft.attempt(|draft| plan::brokers::assign_replicas_to_dirs(draft, &request))
        };
        let (_, result) = self.inner.plan(plan).await?;
        let (outcome, _) = outcome_of(result);
        Ok(Response::new(v1::AssignReplicasToDirsResponse { outcome }))
    }

    async fn allocate_producer_ids(
        &self,
        request: Request<v1::AllocateProducerIdsRequest>,
    ) -> Result<Response<v1::AllocateProducerIdsResponse>, Status> {
        let peer = peer::of(&request);
        let request = request.into_inner();
        peer::check(&peer, request.broker_id)?;
        let (broker, epoch) = (NodeId(request.broker_id), BrokerEpoch(request.broker_epoch));
        let plan = move |draft: &mut Draft| plan::producer_ids::allocate(draft, broker, epoch);
        let (_, result) = self.inner.plan(plan).await?;
        let (outcome, first) = outcome_of(result);
        Ok(Response::new(v1::AllocateProducerIdsResponse {
            outcome,
            first: first.map_or(-1, |first| first.0),
            count: first.map_or(0, |_| plan::producer_ids::BLOCK_LEN),
        }))
    }

    async fn forward(
        &self,
        request: Request<v1::ForwardRequest>,
    ) -> Result<Response<v1::ForwardResponse>, Status> {
        let response = forward::serve(&self.inner, request.into_inner()).await?;
        Ok(Response::new(response))
    }
}
