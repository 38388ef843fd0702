//! Internal topics, which are created when they are first needed.
//!
//! One request at a time asks the controller for a topic, the others wait for the outcome. After a
//! refusal the next attempt is delayed, so that clients that retry do not overload the controller.
//! Of repeated refusals only the first is logged.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dohle_config::{BrokerValues, Properties};
use dohle_model::image::MetadataImage;
use dohle_model::{ApiError, ErrorCode, NodeId};
use dohle_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequestData,
};
use dohle_protocol::text;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use dohle_broker::metadata::{ControllerClient, MetadataCache, Sender, forwarded_outcome};

/// After a refusal the controller is not asked again for this long.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long after the start of this broker the other brokers of the cluster may take to register:
/// the first of three nodes must not create a topic with one replica.
const CLUSTER_STARTS: Duration = Duration::from_secs(10);

/// An internal topic: its name, and how to read its settings.
#[derive(Debug)]
pub struct InternalTopic {
    /// The name.
    pub name: &'static str,
    /// The property that sets the replication factor, for use in messages.
    pub replication_factor_property: &'static str,
    /// Reads the settings for a new topic from the properties of a broker.
    pub settings: fn(&BrokerValues) -> TopicSettings,
}

/// How an internal topic is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    /// The number of partitions.
    pub partitions: i32,
    /// The number of replicas, which is limited to the number of brokers.
    pub replication_factor: usize,
    /// The topic's own `min.insync.replicas`, which is limited to the number of replicas; `None`
    /// for the broker's default.
    pub min_insync_replicas: Option<usize>,
    /// The rest of the topic's own configuration, such as `cleanup.policy`.
    pub configs: Vec<(&'static str, String)>,
}

/// Creates internal topics, one request at a time.
#[derive(Debug)]
pub struct InternalTopics {
    node: NodeId,
    properties: Arc<Properties>,
    metadata: Arc<MetadataCache>,
    controller: Arc<ControllerClient>,
    begun: Instant,
    ask_again: Duration,
    /// For each topic the controller's last refusal and its time.
    refused: parking_lot::Mutex<HashMap<&'static str, Arc<Mutex<Option<Refusal>>>>>,
}

type Refusal = (Instant, ApiError);

impl InternalTopics {
    /// Creates the value of one node, whose properties determine the topics' settings.
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
            ask_again: ASK_AGAIN,
            refused: parking_lot::Mutex::default(),
        }
    }

    /// Returns metadata that has the topic, which is created if it does not exist.
    ///
    /// # Errors
    /// Why the topic does not exist by the deadline.
    pub async fn ensure(
        &self,
        topic: &'static InternalTopic,
        deadline: Instant,
    ) -> Result<Arc<MetadataImage>, ApiError> {
        let name = topic.name;
        let image = self.metadata.image();
        if image.topic(name).is_some() {
            return Ok(image);
        }
        let refused = Arc::clone(self.refused.lock().entry(name).or_default());
        // Held while the controller answers, so that other requests wait for the same answer.
        let locked = timeout_at(deadline, refused.lock()).await;
        let mut refused = locked
            .map_err(|_| ErrorCode::RequestTimedOut.because(format!("{name} is being created")))?;
        let image = self.metadata.image();
        if image.topic(name).is_some() {
            return Ok(image);
        }
        if let Some((at, error)) = &*refused
            && at.elapsed() < self.ask_again
        {
            return Err(error.clone());
        }
        let created = self.create(topic, deadline).await;
        log_change(name, refused.as_ref(), created.as_ref().err());
        *refused = match &created {
            Ok(_) => None,
            Err(error) => Some((Instant::now(), error.clone())),
        };
        created
    }

    async fn create(
        &self,
        topic: &InternalTopic,
        deadline: Instant,
    ) -> Result<Arc<MetadataImage>, ApiError> {
        let name = topic.name;
        let image = self.all_registered(deadline).await?;
        let values = BrokerValues::new(Arc::clone(&self.properties), &image, self.node);
        let settings = (topic.settings)(&values);
        let wanted = settings.replication_factor;
        let replicas = wanted.min(image.brokers.len()).max(1);
        let request = CreateTopicsRequestData {
            topics: vec![creatable(name, settings, replicas)],
            ..CreateTopicsRequestData::default()
        };
        let sender = Sender::broker(self.node);
        let answer = self.controller.forward(&request, &sender, deadline).await?;
        let result = answer.response.topics.first().ok_or_else(|| {
            ErrorCode::UnknownServerError
                .because(format!("the controller did not answer for {name}"))
        })?;
        match forwarded_outcome(result.error_code, result.error_message.as_ref()) {
            Ok(()) if replicas < wanted => tracing::info!(
                "{name} was created with {replicas} of {wanted} replicas ({}), because there are \
                 no more brokers; add replicas with kafka-reassign-partitions once there are",
                topic.replication_factor_property
            ),
            Ok(()) => {}
            // Another broker has created the topic meanwhile.
            Err(error) if error.code == ErrorCode::TopicAlreadyExists => {}
            Err(error) => return Err(error),
        }
        let exists = |image: &MetadataImage| image.topic(name).is_some();
        let image = self.metadata.wait_until(exists, deadline).await;
        image.ok_or_else(|| {
            ErrorCode::RequestTimedOut.because(format!(
                "the metadata of this broker do not contain {name} yet"
            ))
        })
    }

    /// Returns metadata that contain all brokers of a cluster that is just starting.
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

/// Logs the outcome of an attempt to create a topic if it differs from the previous outcome.
/// Messages are not compared, because their figures change from attempt to attempt.
fn log_change(topic: &str, before: Option<&Refusal>, now: Option<&ApiError>) {
    match (before, now) {
        (None, None) => {}
        (Some(_), None) => tracing::info!(topic, "created an internal topic after refusals"),
        (Some((_, before)), Some(now)) if before.code == now.code => {}
        (_, Some(reason)) => tracing::info!(
            topic, %reason,
            "cannot create an internal topic yet: requests that need it are refused and may be \
             repeated"
        ),
    }
}

fn creatable(name: &str, settings: TopicSettings, replicas: usize) -> CreatableTopic {
    let min_insync_replicas = settings.min_insync_replicas;
    let min_insync_replicas =
        min_insync_replicas.map(|min| ("min.insync.replicas", min.min(replicas).to_string()));
    let configs = settings.configs.into_iter().chain(min_insync_replicas);
    let configs = configs.map(|(name, value)| CreatableTopicConfig {
        name: text(name),
        value: Some(text(&value)),
        ..CreatableTopicConfig::default()
    });
    CreatableTopic {
        name: text(name),
        num_partitions: settings.partitions,
        replication_factor: i16::try_from(replicas).unwrap_or(i16::MAX),
        configs: configs.collect(),
        ..CreatableTopic::default()
    }
}

#[cfg(test)]
mod tests;
