//! Producer ids, from blocks that the controller allocates to brokers (KIP-730). The rest of a
//! block is never used when the broker stops.

use std::fmt::Debug;
use std::sync::Arc;

use dohle_broker::metadata::{ControllerClient, MetadataCache};
use dohle_model::{ApiError, ErrorCode, NodeId, ProducerId};
use dohle_rpc::convert::outcome_from_wire;
use dohle_rpc::v1;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A source of producer ids. A trait, so that coordinators can run without a controller.
pub trait ProducerIdSource: Debug + Send + Sync {
    /// Returns an id that no other producer of the cluster has.
    ///
    /// # Errors
    /// The reason why no id is available by the deadline.
    fn next(&self, deadline: Instant) -> BoxFuture<'_, Result<ProducerId, ApiError>>;
}

/// The block of producer ids from which this broker hands out ids.
#[derive(Debug)]
pub struct ProducerIds {
    node: NodeId,
    metadata: Arc<MetadataCache>,
    controller: Arc<ControllerClient>,
    block: Mutex<Block>,
}

#[derive(Debug, Default)]
struct Block {
    next: i64,
    end: i64,
}

impl ProducerIds {
    /// Creates the source of one node.
    #[must_use]
    pub fn new(
        node: NodeId,
        metadata: Arc<MetadataCache>,
        controller: Arc<ControllerClient>,
    ) -> Self {
        Self {
            node,
            metadata,
            controller,
            block: Mutex::default(),
        }
    }

    async fn allocate(&self, deadline: Instant) -> Result<Block, ApiError> {
        let image = self.metadata.image();
        let registration = image.brokers.get(&self.node).ok_or_else(|| {
            ErrorCode::BrokerNotAvailable.because("this broker is not registered yet")
        })?;
        let request = v1::AllocateProducerIdsRequest {
            broker_id: self.node.0,
            broker_epoch: registration.epoch.0,
        };
        let response = self.controller.allocate_producer_ids(request, deadline);
        let response = response.await?;
        outcome_from_wire(response.outcome.as_ref())?;
        let (next, count) = (response.first, i64::from(response.count));
        match next.checked_add(count) {
            Some(end) if next >= 0 && count > 0 => Ok(Block { next, end }),
            _ => Err(ErrorCode::UnknownServerError.because(format!(
                "the controller handed out {count} producer ids from {next}"
            ))),
        }
    }
}

impl ProducerIdSource for ProducerIds {
    fn next(&self, deadline: Instant) -> BoxFuture<'_, Result<ProducerId, ApiError>> {
        Box::pin(async move {
            // Held across the request to the controller: other callers need the same block.
            let mut block = self.block.lock().await;
            if block.next == block.end {
                *block = self.allocate(deadline).await?;
            }
            assert!(
                block.next < block.end,
                "producer id {} is beyond its block, which ends at {}",
                block.next,
                block.end
            );
            let id = ProducerId(block.next);
            block.next += 1;
            Ok(id)
        })
    }
}
