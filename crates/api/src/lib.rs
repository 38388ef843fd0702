//! The Kafka API: one file an API, and the one table that says which there are.
//!
//! Invariant: [`TABLE`] is what `ApiVersions` answers and what decides whether a request is served;
//! what it lists is implemented. Version ranges are those of Apache Kafka 4.3.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use dohle_protocol::{
    ApiKey, DecodeError, EncodeError, HeaderError, KafkaString, Request, RequestHeader,
    encode_response,
};
use tokio::time::Instant;

use context::Context;
use dohle_network::connection::{Answer, Charge, Client, Frame, Malformed, Pending, Service};

mod alter_configs;
mod alter_partition_reassignments;
mod api_versions;
mod consumer_group_describe;
mod consumer_group_heartbeat;
pub mod context;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod elect_leaders;
mod errors;
pub(crate) mod fetch;
mod find_coordinator;
mod heartbeat;
pub(crate) mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod origin;
mod produce;
mod resolve;
mod sync_group;
#[cfg(test)]
pub(crate) mod tests;
mod unregister_broker;
mod wire;

/// One request on its way through a handler.
pub(crate) struct Call {
    /// What all handlers share.
    pub context: Arc<Context>,
    /// Who asks.
    pub client: Arc<Client>,
    /// The request's version, which the table allows.
    pub version: i16,
    /// `client.id`.
    pub client_id: Option<KafkaString>,
    /// When the request was complete.
    pub received: Instant,
    /// The bytes of the request. Taken by handlers that wait after they have let go of them.
    pub charge: Option<Charge>,
    correlation_id: i32,
}

/// A handler, after the table: decodes, and begins to serve.
type Handler = fn(Call, Bytes) -> Result<Served, DecodeError>;

/// A request that is being served.
pub(crate) struct Served {
    answer: Pin<Box<dyn Future<Output = Answer> + Send>>,
    holds: bool,
}

/// A row of the table.
pub(crate) struct Api {
    /// The API.
    pub key: ApiKey,
    /// The lowest version that is advertised.
    pub version_min: i16,
    /// The highest version that is advertised and served.
    pub version_max: i16,
    /// Whether it may run before the client is authenticated.
    #[expect(
        dead_code,
        reason = "read by listeners that authenticate, of which there are none yet"
    )]
    pub before_authentication: bool,
    /// Whether the client's further requests may be begun while this one waits.
    pub overtakable: bool,
    handler: Handler,
}

macro_rules! table {
    ($($key:ident $min:literal..=$max:literal $handler:path $(, $flag:ident)*;)*) => {
        &[$(Api {
            key: ApiKey::$key,
            version_min: $min,
            version_max: $max,
            handler: |call, body| serve(call, body, $handler),
            $($flag: true,)*
            ..NO_FLAGS
        }),*]
    };
}

const NO_FLAGS: Api = Api {
    key: ApiKey::ApiVersions,
    version_min: 0,
    version_max: 0,
    before_authentication: false,
    overtakable: false,
    handler: |call, body| serve(call, body, api_versions::handle),
};

/// The APIs that a broker serves. Produce is advertised from 0 and served from 3, as Kafka does
/// (KAFKA-18659): old librdkafka looks at the lowest version only.
pub(crate) static TABLE: &[Api] = table! {
    Produce 0..=13 produce::handle, overtakable;
    Fetch 4..=18 fetch::handle;
    ListOffsets 1..=11 list_offsets::handle;
    Metadata 0..=13 metadata::handle;
    OffsetCommit 2..=10 offset_commit::handle;
    OffsetFetch 1..=10 offset_fetch::handle;
    FindCoordinator 0..=6 find_coordinator::handle;
    JoinGroup 0..=9 join_group::handle;
    Heartbeat 0..=4 heartbeat::handle;
    LeaveGroup 0..=5 leave_group::handle;
    SyncGroup 0..=5 sync_group::handle;
    DescribeGroups 0..=6 describe_groups::handle;
    ListGroups 0..=5 list_groups::handle;
    ApiVersions 0..=4 api_versions::handle, before_authentication;
    CreateTopics 2..=7 create_topics::handle;
    DeleteTopics 1..=6 delete_topics::handle;
    DeleteRecords 0..=2 delete_records::handle;
    InitProducerId 0..=5 init_producer_id::handle;
    OffsetForLeaderEpoch 2..=4 offset_for_leader_epoch::handle;
    DescribeConfigs 1..=4 describe_configs::handle;
    AlterConfigs 0..=2 alter_configs::handle;
    DeleteGroups 0..=2 delete_groups::handle;
    DescribeLogDirs 1..=5 describe_log_dirs::handle;
    CreatePartitions 0..=3 create_partitions::handle;
    ElectLeaders 0..=2 elect_leaders::handle;
    IncrementalAlterConfigs 0..=1 alter_configs::handle_incremental;
    AlterPartitionReassignments 0..=1 alter_partition_reassignments::handle;
    ListPartitionReassignments 0..=0 list_partition_reassignments::handle;
    OffsetDelete 0..=0 offset_delete::handle;
    DescribeQuorum 0..=2 describe_quorum::handle;
    DescribeCluster 0..=2 describe_cluster::handle;
    DescribeProducers 0..=0 describe_producers::handle;
    ConsumerGroupHeartbeat 0..=1 consumer_group_heartbeat::handle;
    ConsumerGroupDescribe 0..=1 consumer_group_describe::handle;
    UnregisterBroker 0..=0 unregister_broker::handle;
    ListConfigResources 0..=1 list_config_resources::handle;
    DescribeTopicPartitions 0..=0 describe_topic_partitions::handle;
};

/// What a handler answers with: a message, or something that encodes itself.
pub(crate) trait Respond {
    /// What answers a request.
    ///
    /// # Errors
    /// When a field does not exist in this version: a fault of the broker.
    fn answer(self, version: i16, correlation_id: i32) -> Result<Answer, EncodeError>;
}

impl<R: dohle_protocol::Response> Respond for R {
    fn answer(self, version: i16, correlation_id: i32) -> Result<Answer, EncodeError> {
        Ok(Answer::Send(Frame::One(encode_response(
            &self,
            version,
            correlation_id,
        )?)))
    }
}

/// What a handler begins: the response to come.
pub(crate) trait Begun {
    /// The response to come, and whether the client's further requests wait for it even where the
    /// table lets them overtake.
    fn begun(self) -> (impl Future<Output: Respond> + Send + 'static, bool);
}

impl<F: Future<Output: Respond> + Send + 'static> Begun for F {
    fn begun(self) -> (impl Future<Output: Respond> + Send + 'static, bool) {
        (self, false)
    }
}

/// A response to come that further requests may have to wait for.
pub(crate) struct Held<F> {
    /// The response.
    pub response: F,
    /// Whether they have to.
    pub holds: bool,
}

impl<F: Future<Output: Respond> + Send + 'static> Begun for Held<F> {
    fn begun(self) -> (impl Future<Output: Respond> + Send + 'static, bool) {
        (self.response, self.holds)
    }
}

fn serve<R, H, B>(call: Call, body: Bytes, handler: H) -> Result<Served, DecodeError>
where
    R: Request,
    H: FnOnce(Call, R) -> B,
    B: Begun,
{
    let (version, correlation_id) = (call.version, call.correlation_id);
    let request = R::decode(body, version)?;
    let (response, holds) = handler(call, request).begun();
    let answer = Box::pin(async move {
        match response.await.answer(version, correlation_id) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(api = ?R::KEY, version, "{error}");
                Answer::Close(format!("{:?} version {version}: {error}", R::KEY))
            }
        }
    });
    Ok(Served { answer, holds })
}

/// Serves Kafka's protocol.
#[derive(Debug)]
pub struct KafkaService {
    context: Arc<Context>,
}

impl KafkaService {
    /// For one node.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Arc<Self> {
        Arc::new(Self { context })
    }

    fn begin(
        &self,
        client: &Arc<Client>,
        header: RequestHeader,
        body: Bytes,
        charge: Charge,
    ) -> Result<Pending, String> {
        let Some(api) = TABLE.iter().find(|api| api.key == header.key) else {
            return Err("the API is not served here".into());
        };
        let call = Call {
            context: Arc::clone(&self.context),
            client: Arc::clone(client),
            version: header.version,
            client_id: header.client_id,
            received: Instant::now(),
            charge: Some(charge),
            correlation_id: header.correlation_id,
        };
        if !(api.version_min..=api.version_max).contains(&header.version) {
            if api.key != ApiKey::ApiVersions {
                let (min, max) = (api.version_min, api.version_max);
                return Err(format!(
                    "the version is not served here; versions {min} to {max} are"
                ));
            }
            // A newer client learns from version 0 what there is (KIP-511).
            let response = api_versions::unsupported_version();
            let answer = response.answer(0, header.correlation_id);
            let answer = answer.map_err(|error| error.to_string())?;
            return Ok(Pending {
                answer: Box::pin(std::future::ready(answer)),
                overtakable: false,
            });
        }
        let served = (api.handler)(call, body).map_err(|error| error.to_string())?;
        let answer = if header.key == ApiKey::Produce {
            served.answer
        } else {
            after_appends(client, served.answer)
        };
        Ok(Pending {
            answer,
            overtakable: api.overtakable && !served.holds,
        })
    }
}

/// Serves a request after the appends of the produce requests before it on its connection.
fn after_appends(
    client: &Arc<Client>,
    answer: Pin<Box<dyn Future<Output = Answer> + Send>>,
) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
    if client.appends.try_lock().is_ok() {
        return answer;
    }
    let appends = Arc::clone(&client.appends);
    Box::pin(async move {
        drop(appends.lock().await);
        answer.await
    })
}

impl Service for KafkaService {
    fn call(
        &self,
        client: &Arc<Client>,
        mut frame: Bytes,
        charge: Charge,
    ) -> Result<Pending, Malformed> {
        let header = RequestHeader::decode(&mut frame).map_err(|error| {
            let (api, version) = match &error {
                HeaderError::UnknownApi { key, version } => (key.to_string(), *version),
                HeaderError::Malformed(_) => ("a request".into(), -1),
            };
            Malformed {
                api,
                version,
                reason: error.to_string(),
            }
        })?;
        let (key, version) = (header.key, header.version);
        self.begin(client, header, frame, charge)
            .map_err(|reason| Malformed {
                api: format!("{key:?}"),
                version,
                reason,
            })
    }
}
