//! Requests of partitions to the active controller: ISR changes and directory assignments.

use std::sync::Arc;
use std::time::Duration;

use dohle_model::partition::PartitionRegistration;
use dohle_model::{BrokerEpoch, DirectoryId, ErrorCode, NodeId, TopicIdPartition};
use dohle_rpc::{convert, v1};
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::metadata::{ControllerClient, ControllerSession};
use crate::replica::IsrProposal;

/// The controller's response for one partition: its registration after the request, or the error.
pub type AlterOutcome = (TopicIdPartition, Result<PartitionRegistration, ErrorCode>);

/// The controller's response to a request for ISR changes.
#[derive(Debug, Default)]
pub struct AlterAnswer {
    /// The response for each partition.
    pub outcomes: Vec<AlterOutcome>,
    /// Whether the request was sent more than once before this response. The controller may still
    /// receive another copy.
    pub repeated: bool,
}

/// Requests of partitions to the active controller. A trait, so that tests need no controller.
pub trait ControllerLink: Send + Sync + 'static {
    /// Proposes ISRs (KIP-497). An error is returned when there was no response. The controller may
    /// have carried out the request, which is sent again.
    fn alter_partition<'a>(
        &'a self,
        proposals: &'a [(TopicIdPartition, IsrProposal)],
    ) -> BoxFuture<'a, Result<AlterAnswer, String>>;

    /// Reports which directory holds a replica (KIP-858). After an error the report is sent again.
    fn assign_dirs<'a>(
        &'a self,
        assignments: &'a [(TopicIdPartition, DirectoryId)],
    ) -> BoxFuture<'a, Result<(), String>>;
}

/// The link of a broker with a session.
#[derive(Debug)]
pub struct BrokerLink {
    node: NodeId,
    client: Arc<ControllerClient>,
    session: Arc<ControllerSession>,
}

/// The deadline of one request.
const TIMEOUT: Duration = Duration::from_secs(5);

impl BrokerLink {
    /// Creates the link of this node.
    #[must_use]
    pub fn new(
        node: NodeId,
        client: Arc<ControllerClient>,
        session: Arc<ControllerSession>,
    ) -> Arc<Self> {
        Arc::new(Self {
            node,
            client,
            session,
        })
    }

    fn epoch(&self) -> Result<BrokerEpoch, String> {
        self.session
            .broker_epoch()
            .ok_or_else(|| "the broker is not registered".to_owned())
    }

    async fn alter(
        &self,
        proposals: &[(TopicIdPartition, IsrProposal)],
    ) -> Result<AlterAnswer, String> {
        let broker_epoch = self.epoch()?;
        let member = |member: &crate::replica::IsrMember| {
            let own = (member.id == self.node).then_some(broker_epoch);
            v1::IsrMember {
                broker_id: member.id.0,
                broker_epoch: BrokerEpoch::to_wire(own.or(member.broker_epoch)),
            }
        };
        let partition = |(id, proposal): &(TopicIdPartition, IsrProposal)| v1::AlterPartition {
            topic_id: convert::uuid_to_wire(id.topic_id.0),
            partition: id.partition.0,
            leader_epoch: proposal.leader_epoch.0,
            new_isr: proposal.isr.iter().map(member).collect(),
            leader_recovery_state: 0,
            partition_epoch: proposal.partition_epoch.0,
        };
        let request = v1::AlterPartitionRequest {
            broker_id: self.node.0,
            broker_epoch: broker_epoch.0,
            partitions: proposals.iter().map(partition).collect(),
        };
        let deadline = Instant::now() + TIMEOUT;
        let response = self.client.alter_partition(request, deadline).await;
        let (response, repeated) = response.map_err(|error| error.to_string())?;
        convert::outcome_from_wire(response.outcome.as_ref()).map_err(|error| error.to_string())?;
        let outcomes: Result<_, String> = response.partitions.iter().map(outcome).collect();
        Ok(AlterAnswer {
            outcomes: outcomes?,
            repeated,
        })
    }

    async fn assign(&self, assignments: &[(TopicIdPartition, DirectoryId)]) -> Result<(), String> {
        let replica = |(id, dir): &(TopicIdPartition, DirectoryId)| v1::ReplicaDirectory {
            topic_id: convert::uuid_to_wire(id.topic_id.0),
            partition: id.partition.0,
            directory: convert::uuid_to_wire(dir.0),
        };
        let request = v1::AssignReplicasToDirsRequest {
            broker_id: self.node.0,
            broker_epoch: self.epoch()?.0,
            replicas: assignments.iter().map(replica).collect(),
        };
        let deadline = Instant::now() + TIMEOUT;
        let response = self.client.assign_replicas_to_dirs(request, deadline).await;
        let response = response.map_err(|error| error.to_string())?;
        convert::outcome_from_wire(response.outcome.as_ref()).map_err(|error| error.to_string())
    }
}

fn outcome(result: &v1::AlterPartitionResult) -> Result<AlterOutcome, String> {
    let id = convert::partition_id_from_wire(&result.topic_id, result.partition);
    let id = id.map_err(|error| error.to_string())?;
    if result.code != 0 {
        let code = i16::try_from(result.code)
            .ok()
            .and_then(ErrorCode::from_code);
        return Ok((id, Err(code.unwrap_or(ErrorCode::UnknownServerError))));
    }
    let registration = result
        .registration
        .as_ref()
        .ok_or("the response has no registration")?;
    let registration = convert::partition_from_wire(registration);
    Ok((id, Ok(registration.map_err(|error| error.to_string())?)))
}

impl ControllerLink for BrokerLink {
    fn alter_partition<'a>(
        &'a self,
        proposals: &'a [(TopicIdPartition, IsrProposal)],
    ) -> BoxFuture<'a, Result<AlterAnswer, String>> {
        Box::pin(self.alter(proposals))
    }

    fn assign_dirs<'a>(
        &'a self,
        assignments: &'a [(TopicIdPartition, DirectoryId)],
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.assign(assignments))
    }
}
