//! `__consumer_offsets` comes to be when it is first asked for.
//!
//! One request at a time asks the controller for it, the others wait for the outcome. After a
//! refusal the next attempt waits a moment, so clients that try again don't become a herd.

use std::sync::Arc;
use std::time::Duration;

use dohle_config::{BrokerValues, Properties};
use dohle_model::image::MetadataImage;
use dohle_model::{ApiError, ErrorCode, NodeId, Uuid};
use dohle_rpc::v1;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::OFFSETS_TOPIC;
use crate::metadata::{ControllerClient, MetadataCache, outcome};

/// After a refusal the controller is not asked again for this long.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Brokers that belong to the cluster may take this long to register after this one has begun: the
/// topic is not made with too few replicas because the first of three nodes was quick.
const CLUSTER_STARTS: Duration = Duration::from_secs(10);

/// Creates internal topics, one request at a time.
#[derive(Debug)]
pub struct InternalTopics {
    node: NodeId,
    properties: Arc<Properties>,
    metadata: Arc<MetadataCache>,
    controller: Arc<ControllerClient>,
    begun: Instant,
    refused: Mutex<Option<(Instant, ApiError)>>,
}

impl InternalTopics {
    /// For one node, whose properties give the topics' settings.
    pub fn new(
        node: NodeId,
        properties: Arc<Properties>,
        metadata: Arc<MetadataCache>,
        controller: Arc<ControllerClient>,
    ) -> Self {
        Self {
            node,
            properties,
            metadata,
            controller,
            begun: Instant::now(),
            refused: Mutex::default(),
        }
    }

    /// Metadata that has the topic of groups and offsets; it is made if need be.
    ///
    /// # Errors
    /// Why there is none by the deadline.
    pub async fn offsets_topic(&self, deadline: Instant) -> Result<Arc<MetadataImage>, ApiError> {
        let image = self.metadata.image();
        if image.topic(OFFSETS_TOPIC).is_some() {
            return Ok(image);
        }
        // Held while the controller answers: the others want the same.
        let turn = timeout_at(deadline, self.refused.lock()).await;
        let mut refused = turn.map_err(|_| {
            ErrorCode::RequestTimedOut.because(format!("{OFFSETS_TOPIC} is being created"))
        })?;
        let image = self.metadata.image();
        if image.topic(OFFSETS_TOPIC).is_some() {
            return Ok(image);
        }
        if let Some((at, error)) = &*refused
            && at.elapsed() < ASK_AGAIN
        {
            return Err(error.clone());
        }
        let created = self.create(deadline).await;
        *refused = match &created {
            Ok(_) => None,
            Err(error) => {
                tracing::info!("{OFFSETS_TOPIC} is not created yet: {error}");
                Some((Instant::now(), error.clone()))
            }
        };
        created
    }

    async fn create(&self, deadline: Instant) -> Result<Arc<MetadataImage>, ApiError> {
        let image = self.all_registered(deadline).await?;
        let values = BrokerValues::new(Arc::clone(&self.properties), &image, self.node);
        let wanted: usize = values
            .number("offsets.topic.replication.factor")
            .unwrap_or(3);
        let replicas = wanted.min(image.brokers.len()).max(1);
        let request = v1::CreateTopicsRequest {
            topics: vec![offsets_topic(&values, replicas)],
            validate_only: false,
        };
        let response = self.controller.create_topics(request, deadline).await?;
        let result = response.topics.first();
        match outcome(result.and_then(|result| result.outcome.as_ref())) {
            Ok(()) if replicas < wanted => tracing::info!(
                "{OFFSETS_TOPIC} was created with {replicas} of {wanted} replicas \
                 (offsets.topic.replication.factor), as many as there are brokers; when there are \
                 more, kafka-reassign-partitions gives it more replicas"
            ),
            Ok(()) => {}
            // Another broker was quicker.
            Err(error) if error.code == ErrorCode::TopicAlreadyExists => {}
            Err(error) => return Err(error),
        }
        let known = |image: &MetadataImage| image.topic(OFFSETS_TOPIC).is_some();
        let image = self.metadata.wait_until(known, deadline).await;
        image.ok_or_else(|| {
            ErrorCode::RequestTimedOut.because(format!("{OFFSETS_TOPIC} is not known here yet"))
        })
    }

    /// Metadata that has all brokers of a cluster which is just starting.
    async fn all_registered(&self, deadline: Instant) -> Result<Arc<MetadataImage>, ApiError> {
        let settled = self.begun + CLUSTER_STARTS;
        let expected = self.controller.voters().count();
        let all = |image: &MetadataImage| image.brokers.len() >= expected;
        let until = settled.min(deadline);
        match self.metadata.wait_until(all, until).await {
            Some(image) => Ok(image),
            None if Instant::now() >= settled => Ok(self.metadata.image()),
            None => Err(ErrorCode::InvalidReplicationFactor.because(format!(
                "{} of {expected} brokers are registered; the others may still be starting",
                self.metadata.image().brokers.len()
            ))),
        }
    }
}

fn offsets_topic(values: &BrokerValues, replicas: usize) -> v1::CreatableTopic {
    let config = |name: &str, value: &str| v1::NamedConfig {
        name: name.to_owned(),
        value: Some(value.to_owned()),
    };
    let segment_bytes = values
        .get("offsets.topic.segment.bytes")
        .unwrap_or_default();
    let id = Uuid(*uuid::Uuid::new_v4().as_bytes());
    v1::CreatableTopic {
        name: OFFSETS_TOPIC.to_owned(),
        id: id.0.to_vec().into(),
        partitions: values.number("offsets.topic.num.partitions").unwrap_or(50),
        replication_factor: i32::try_from(replicas).unwrap_or(i32::MAX),
        configs: vec![
            config("cleanup.policy", "compact"),
            config("compression.type", "producer"),
            config("segment.bytes", segment_bytes),
        ],
        ..v1::CreatableTopic::default()
    }
}
