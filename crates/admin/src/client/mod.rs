//! Producers and consumers: their properties, the topic that a tool names, and messages about
//! failures.

mod properties;
mod topic;

use anyhow::Context as _;
use dohle_model::HostPort;
use kacrab::config::{ConsumerConfig, ProducerConfig, UnknownKeyPolicy, WarningReport};
use kacrab::consumer::{Consumer, ConsumerError};
use kacrab::producer::{Producer, ProducerError};
use kacrab::wire::{WireClient, WireError};
use kacrab_protocol::generated::ErrorCode;

pub use self::properties::{Properties, key_values};
pub use self::topic::{Existing, find, message_bytes_max};

use crate::cluster::{self, BrokerAddress, Cluster, Connection};

/// Connects with these properties. Programs that make a producer or a consumer connect first,
/// because this explains why no broker can be reached.
///
/// # Errors
/// When no broker answers, or a property is invalid.
pub async fn connect(properties: &Properties) -> anyhow::Result<Cluster> {
    let connection = Connection {
        bootstrap: properties
            .get("bootstrap.servers")
            .unwrap_or_default()
            .to_owned(),
        controllers: false,
        properties: properties.connection(),
    };
    Ok(Cluster::connect(&connection).await?)
}

/// Prints which brokers advertise a name that cannot be resolved from here. Producers and consumers
/// try such brokers again and again, and report nothing until their timeouts.
async fn report_unresolvable(cluster: &Cluster) {
    for error in cluster.unresolvable().await {
        eprintln!("{error}");
    }
}

/// Creates a producer with these properties. Prints which brokers of the cluster it cannot find.
///
/// # Errors
/// When a property is invalid.
pub async fn producer(cluster: &Cluster, properties: &Properties) -> anyhow::Result<Producer> {
    report_unresolvable(cluster).await;
    let mut properties = properties.clone();
    properties.settle_idempotence();
    let plain = properties.without_classes();
    let (config, report) = ProducerConfig::from_properties(&plain, UnknownKeyPolicy::Report)?;
    report_ignored(&report);
    let runtime = config.to_producer_runtime_config();
    let runtime = runtime.context("create the producer")?;
    let mut connection = config.to_connection_config()?;
    // The producer itself limits its requests in flight. A limit of the connection would make
    // records fail instead of wait, and requests for metadata count towards it too.
    connection.max_in_flight_requests_per_connection = REQUESTS_MAX;
    connection.broker_queue_capacity = REQUESTS_MAX;
    let bootstrap = properties.get("bootstrap.servers").unwrap_or_default();
    let endpoints = cluster::bootstrap_endpoints(&BrokerAddress::list(bootstrap)?).await;
    let wire = WireClient::connect_with_brokers(connection, config.client_id, endpoints);
    Ok(Producer::from_parts(wire, runtime))
}

/// How many requests may wait on one connection of a producer.
const REQUESTS_MAX: usize = 4096;

/// Creates a consumer with these properties. Prints which brokers of the cluster it cannot find.
///
/// # Errors
/// When a property is invalid.
pub async fn consumer(cluster: &Cluster, properties: &Properties) -> anyhow::Result<Consumer> {
    report_unresolvable(cluster).await;
    let mut properties = properties.clone();
    let bootstrap = properties.get("bootstrap.servers").unwrap_or_default();
    let resolved = cluster::bootstrap_endpoints(&BrokerAddress::list(bootstrap)?).await;
    if !resolved.is_empty() {
        // The library refuses a list with a name that cannot be resolved.
        let addresses = resolved.iter().map(|one| HostPort(one.host(), one.port()));
        let addresses: Vec<String> = addresses.map(|one| one.to_string()).collect();
        properties.set("bootstrap.servers", addresses.join(","));
    }
    let plain = properties.without_classes();
    let (config, report) = ConsumerConfig::from_properties(&plain, UnknownKeyPolicy::Report)?;
    report_ignored(&report);
    Consumer::from_config(config)
        .await
        .context("create the consumer")
}

fn report_ignored(report: &WarningReport) {
    for warning in report.warnings() {
        eprintln!(
            "The property {} has no effect here: {}",
            warning.key, warning.message
        );
    }
}

/// Returns whether a consumer may succeed a moment later: after elections, while coordinators load,
/// after broken connections.
#[must_use]
pub fn is_retriable(error: &ConsumerError) -> bool {
    match error {
        ConsumerError::Wire(error) => match error {
            WireError::Timeout | WireError::ConnectionClosed => true,
            WireError::Io(error) => error.kind() != std::io::ErrorKind::InvalidData,
            WireError::NoBrokerAvailable
            | WireError::Backpressure
            | WireError::UnknownBroker(_) => true,
            WireError::Kafka(error)
            | WireError::MetadataTopic { error, .. }
            | WireError::MetadataPartition { error, .. } => is_retriable_code(*error),
            _ => false,
        },
        ConsumerError::Broker { error, .. } => is_retriable_code(*error),
        _ => false,
    }
}

fn is_retriable_code(code: ErrorCode) -> bool {
    use ErrorCode as Code;
    cluster::is_retriable(code)
        || matches!(
            code,
            Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::ReplicaNotAvailable
                | Code::OffsetNotAvailable
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopicId
                | Code::InconsistentTopicId
                | Code::RebalanceInProgress
                | Code::IllegalGeneration
                | Code::UnknownMemberId
                | Code::FencedMemberEpoch
                | Code::UnreleasedInstanceId
                | Code::KafkaStorageError
                | Code::FetchSessionIdNotFound
                | Code::InvalidFetchSessionEpoch
                | Code::NetworkException
                | Code::BrokerNotAvailable
        )
}

/// Explains why a record could not be delivered, and what to do where that is known.
#[must_use]
pub fn why_not_delivered(error: &ProducerError) -> String {
    match error {
        ProducerError::DeliveryTimeout { topic, partition } => format!(
            "{topic}-{partition} accepted the record in no attempt within delivery.timeout.ms. \
             Check that the partition has a leader and enough replicas in sync."
        ),
        ProducerError::RecordTooLarge {
            size,
            max_request_size,
        } => format!(
            "The message is {size} bytes when serialized which is larger than \
             {max_request_size}, which is the value of the max.request.size configuration."
        ),
        ProducerError::Broker {
            topic,
            partition,
            error,
        } => format!("{topic}-{partition} rejected the record: {error}"),
        // The client reports this error when it cannot split a batch any further.
        ProducerError::DeliveryDropped => "The broker rejected the record, or its batch, as too \
                                           large: raise max.message.bytes of the topic, or \
                                           message.max.bytes of the brokers"
            .to_owned(),
        other => other.to_string(),
    }
}
