//! The cluster of a run: its brokers, and the leaders of the topic's partitions.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use dohle_protocol::messages::{
    FindCoordinatorRequestData, FindCoordinatorResponseData, InitProducerIdRequestData,
    InitProducerIdResponseData, MetadataRequestData, MetadataRequestTopic,
};
use dohle_protocol::{KafkaString, Request};
use dohle_tls::Connector;

use crate::connection::Connection;
use crate::error::{LoadError, check, is_retriable};

const METADATA_VERSIONS: (i16, i16) = (1, 12);
const FIND_COORDINATOR_VERSIONS: (i16, i16) = (1, 3);
const INIT_PRODUCER_ID_VERSIONS: (i16, i16) = (0, 4);
const TRANSACTION: i8 = 1;
const UNKNOWN_TOPIC: i16 = 3;
/// How long a broker may take over a connection, and over a request for metadata.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time between two attempts.
pub(crate) const BACKOFF: Duration = Duration::from_millis(50);
/// How long a coordinator may take to load, or to complete the previous transaction.
const RETRIES: usize = 600;

/// A host and a port.
type Address = (String, u16);

/// The brokers that are known, and how to connect to them.
#[derive(Debug)]
pub(crate) struct Cluster {
    connector: Connector,
    bootstrap: Vec<Address>,
    topic: String,
    brokers: Mutex<BTreeMap<i32, Address>>,
}

/// A producer id with its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProducerId {
    pub id: i64,
    pub epoch: i16,
}

impl Cluster {
    /// Reads the addresses.
    ///
    /// # Errors
    /// When one is malformed.
    pub(crate) fn new(
        connector: Connector,
        bootstrap: &str,
        topic: &str,
    ) -> Result<Self, LoadError> {
        let addresses = bootstrap.split(',').map(str::trim);
        let addresses = addresses.filter(|it| !it.is_empty()).map(address);
        let bootstrap = addresses.collect::<Result<Vec<_>, _>>()?;
        if bootstrap.is_empty() {
            return Err(LoadError::Property(
                "there is no address of a broker".into(),
            ));
        }
        Ok(Self {
            connector,
            bootstrap,
            topic: topic.to_owned(),
            brokers: Mutex::default(),
        })
    }

    /// Asks for the leader of each partition; -1 for none.
    ///
    /// # Errors
    /// When no broker answers, or the topic does not exist.
    pub(crate) async fn leaders(&self) -> Result<Vec<i32>, LoadError> {
        let topic = MetadataRequestTopic {
            name: Some(KafkaString::from(self.topic.clone())),
            ..MetadataRequestTopic::default()
        };
        let request = MetadataRequestData {
            topics: Some(vec![topic]),
            allow_auto_topic_creation: false,
            ..MetadataRequestData::default()
        };
        let mut connection = self.any().await?;
        let response = patiently(connection.call(&request, METADATA_VERSIONS)).await?;
        let brokers = response.brokers.iter().map(|broker| {
            let port = u16::try_from(broker.port).unwrap_or(0);
            (broker.node_id, (broker.host.to_string(), port))
        });
        let brokers = brokers.collect();
        *self.lock() = brokers;
        let topic = response.topics.first();
        let topic = topic.filter(|topic| topic.error_code != UNKNOWN_TOPIC);
        let topic = topic.ok_or_else(|| LoadError::NoTopic(self.topic.clone()))?;
        check(&format!("topic {}", self.topic), topic.error_code)?;
        let mut leaders = vec![-1; topic.partitions.len()];
        for partition in &topic.partitions {
            let index = usize::try_from(partition.partition_index).unwrap_or(usize::MAX);
            if let Some(leader) = leaders.get_mut(index) {
                *leader = partition.leader_id;
            }
        }
        Ok(leaders)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<i32, Address>> {
        self.brokers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects to a broker by its id.
    ///
    /// # Errors
    /// When it is unknown, cannot be reached, or does not let the client in.
    pub(crate) async fn open(&self, broker: i32) -> Result<Connection, LoadError> {
        let address = self.lock().get(&broker).cloned();
        let (host, port) =
            address.ok_or_else(|| LoadError::Unreachable(format!("broker {broker} is unknown")))?;
        patiently(Connection::open(&self.connector, &host, port)).await
    }

    /// Connects to the first broker that answers: of those that are known, or of the bootstrap
    /// addresses.
    pub(crate) async fn any(&self) -> Result<Connection, LoadError> {
        let known: Vec<Address> = self.lock().values().cloned().collect();
        let mut reasons = Vec::new();
        for (host, port) in self.bootstrap.iter().chain(&known) {
            match patiently(Connection::open(&self.connector, host, *port)).await {
                Ok(connection) => return Ok(connection),
                Err(LoadError::Unreachable(reason)) => reasons.push(reason),
                Err(error) => reasons.push(error.to_string()),
            }
        }
        reasons.dedup();
        Err(LoadError::Unreachable(reasons.join("; ")))
    }

    /// Connects to the coordinator of a transactional id.
    ///
    /// # Errors
    /// When there is none, or it cannot be reached.
    pub(crate) async fn coordinator(&self, id: &str) -> Result<Connection, LoadError> {
        let request = FindCoordinatorRequestData {
            key: KafkaString::from(id.to_owned()),
            key_type: TRANSACTION,
            ..FindCoordinatorRequestData::default()
        };
        let mut connection = self.any().await?;
        let what = "the coordinator of the transactions";
        let versions = FIND_COORDINATOR_VERSIONS;
        let code = |response: &FindCoordinatorResponseData| response.error_code;
        let response = until_ready(what, &mut connection, &request, versions, code).await?;
        let port = u16::try_from(response.port).unwrap_or(0);
        let host = response.host.to_string();
        patiently(Connection::open(&self.connector, &host, port)).await
    }

    /// Takes a producer id. With a transactional id, aborts a transaction that is open.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub(crate) async fn producer_id(
        connection: &mut Connection,
        transactional_id: Option<&str>,
    ) -> Result<ProducerId, LoadError> {
        let request = InitProducerIdRequestData {
            transactional_id: transactional_id.map(|id| KafkaString::from(id.to_owned())),
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
            ..InitProducerIdRequestData::default()
        };
        let versions = INIT_PRODUCER_ID_VERSIONS;
        let code = |response: &InitProducerIdResponseData| response.error_code;
        let response = until_ready("InitProducerId", connection, &request, versions, code).await?;
        Ok(ProducerId {
            id: response.producer_id,
            epoch: response.producer_epoch,
        })
    }
}

/// Sends a request until the code of its response is not one that passes by itself.
///
/// # Errors
/// When the code is another one, or does not pass.
async fn until_ready<R: Request>(
    what: &str,
    connection: &mut Connection,
    request: &R,
    versions: (i16, i16),
    code: fn(&R::Response) -> i16,
) -> Result<R::Response, LoadError> {
    for _ in 0..RETRIES {
        let response = patiently(connection.call(request, versions)).await?;
        let code = code(&response);
        if !is_retriable(code) {
            check(what, code)?;
            return Ok(response);
        }
        tokio::time::sleep(BACKOFF).await;
    }
    let text = format!("{what}: not ready after {RETRIES} attempts");
    Err(LoadError::Unreachable(text))
}

/// Waits for a broker for a limited time.
pub(crate) async fn patiently<T>(
    work: impl Future<Output = Result<T, LoadError>>,
) -> Result<T, LoadError> {
    let late = |_| {
        Err(LoadError::Unreachable(format!(
            "it does not answer within {PATIENCE:?}"
        )))
    };
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(late)
}

fn address(text: &str) -> Result<Address, LoadError> {
    let invalid = || {
        LoadError::Property(format!(
            "{text:?} is not the address of a broker, host:port"
        ))
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = port.parse().map_err(|_| invalid())?;
    match host.is_empty() {
        true => Err(invalid()),
        false => Ok((host.to_owned(), port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        assert_eq!(address("h:1").unwrap(), ("h".to_owned(), 1));
        assert_eq!(address("[::1]:9092").unwrap(), ("::1".to_owned(), 9092));
        for wrong in ["h", ":1", "h:", "h:x", "h:70000"] {
            let refused = address(wrong).unwrap_err().to_string();
            assert!(refused.contains("host:port"), "{refused}");
        }
    }
}
