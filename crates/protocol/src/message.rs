//! Requests and responses: pairs them, decodes within bounds, and encodes with a header.

use bytes::{BufMut, Bytes, BytesMut};
use kacrab_protocol::{KafkaString, ProtocolError};

use crate::newer::{self, request_header_version, response_header_version};
use crate::{ApiKey, messages as wire, produce};

/// The most bytes that a request may have besides its records. Small elements grow about fortyfold
/// when decoded, so this limits the memory that one hostile frame can use. 100,000 partitions fit.
pub const STRUCTURE_BYTES_MAX: usize = 8 << 20;

/// A request body that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not such a request.
    #[error("its body is malformed: {0}")]
    Malformed(#[from] ProtocolError),
    /// The body has more than [`STRUCTURE_BYTES_MAX`] bytes besides records.
    #[error("it has {0} bytes besides records; at most {STRUCTURE_BYTES_MAX} are accepted")]
    TooLarge(usize),
}

/// A response that cannot be encoded: a field does not exist in its version, or a text is longer
/// than 32 KiB. Always a bug of the broker, never the client's fault.
#[derive(Debug, thiserror::Error)]
#[error("encode a response: {0}")]
pub struct EncodeError(#[from] pub(crate) ProtocolError);

/// A request of one API.
pub trait Request: Sized + Send + Sync + 'static {
    /// The API.
    const KEY: ApiKey;
    /// The type of the response.
    type Response: Response;

    /// Decodes the body. Strings and records are slices of it, not copies.
    ///
    /// # Errors
    /// When the bytes are not such a request in this version.
    fn read(body: &mut Bytes, version: i16) -> Result<Self, ProtocolError>;

    /// Encodes the body.
    ///
    /// # Errors
    /// When a field does not exist in this version.
    fn write(&self, out: &mut BytesMut, version: i16) -> Result<(), ProtocolError>;

    /// Decodes a whole body within bounds. Bytes after it are ignored, as in Kafka.
    ///
    /// # Errors
    /// When it is malformed, or larger than [`STRUCTURE_BYTES_MAX`] besides records.
    fn decode(mut body: Bytes, version: i16) -> Result<Self, DecodeError> {
        let structure = match Self::KEY {
            ApiKey::Produce => produce::structure_bytes(&body, version, STRUCTURE_BYTES_MAX),
            _ => body.len(),
        };
        if structure > STRUCTURE_BYTES_MAX {
            return Err(DecodeError::TooLarge(structure));
        }
        Ok(Self::read(&mut body, version)?)
    }
}

/// A response of one API.
pub trait Response: Sized + Send + 'static {
    /// The API.
    const KEY: ApiKey;

    /// Decodes the body.
    ///
    /// # Errors
    /// When the bytes are not such a response in this version.
    fn read(body: &mut Bytes, version: i16) -> Result<Self, ProtocolError>;

    /// Encodes the body.
    ///
    /// # Errors
    /// When a field does not exist in this version.
    fn write(&self, out: &mut BytesMut, version: i16) -> Result<(), ProtocolError>;

    /// Returns the field `throttle_time_ms`, or `None` for an API whose responses have none. In
    /// versions without the field, its value is not encoded.
    fn throttle_time_ms(&mut self) -> Option<&mut i32>;
}

macro_rules! throttle_time_ms {
    ($response:expr) => {
        Some(&mut $response.throttle_time_ms)
    };
    ($response:expr, no_throttle_time) => {
        None
    };
}

macro_rules! apis {
    ($($api:ident: $request:ident -> $response:ident $(, $no_throttle_time:ident)?;)*) => {
        $(
            impl Request for wire::$request {
                const KEY: ApiKey = ApiKey::$api;
                type Response = wire::$response;

                fn read(body: &mut Bytes, version: i16) -> Result<Self, ProtocolError> {
                    wire::$request::read(body, newer::request_version(Self::KEY, version))
                }

                fn write(&self, out: &mut BytesMut, version: i16) -> Result<(), ProtocolError> {
                    let version = newer::request_version(Self::KEY, version);
                    wire::$request::write(self, out, version)
                }
            }

            impl Response for wire::$response {
                const KEY: ApiKey = ApiKey::$api;

                fn read(body: &mut Bytes, version: i16) -> Result<Self, ProtocolError> {
                    wire::$response::read(body, newer::response_version(Self::KEY, version))
                }

                fn write(&self, out: &mut BytesMut, version: i16) -> Result<(), ProtocolError> {
                    let version = newer::response_version(Self::KEY, version);
                    wire::$response::write(self, out, version)
                }

                fn throttle_time_ms(&mut self) -> Option<&mut i32> {
                    throttle_time_ms!(self $(, $no_throttle_time)?)
                }
            }
        )*

        /// Decodes the body of any request and drops it, for fuzzing. Returns `Ok(false)` for an
        /// API that has no [`Request`].
        ///
        /// # Errors
        /// When the body is malformed.
        pub fn probe(key: ApiKey, version: i16, body: Bytes) -> Result<bool, DecodeError> {
            match key {
                $(ApiKey::$api => wire::$request::decode(body, version).map(|_| true),)*
                _ => Ok(false),
            }
        }

        /// The APIs whose messages have a [`Request`] and a [`Response`].
        pub const APIS: &[ApiKey] = &[$(ApiKey::$api),*];
    };
}

// Every API that clients send to brokers in Kafka 4.4, whether this server has it or not.
apis! {
    Produce: ProduceRequestData -> ProduceResponseData;
    Fetch: FetchRequestData -> FetchResponseData;
    ListOffsets: ListOffsetsRequestData -> ListOffsetsResponseData;
    Metadata: MetadataRequestData -> MetadataResponseData;
    OffsetCommit: OffsetCommitRequestData -> OffsetCommitResponseData;
    OffsetFetch: OffsetFetchRequestData -> OffsetFetchResponseData;
    FindCoordinator: FindCoordinatorRequestData -> FindCoordinatorResponseData;
    JoinGroup: JoinGroupRequestData -> JoinGroupResponseData;
    Heartbeat: HeartbeatRequestData -> HeartbeatResponseData;
    LeaveGroup: LeaveGroupRequestData -> LeaveGroupResponseData;
    SyncGroup: SyncGroupRequestData -> SyncGroupResponseData;
    DescribeGroups: DescribeGroupsRequestData -> DescribeGroupsResponseData;
    ListGroups: ListGroupsRequestData -> ListGroupsResponseData;
    SaslHandshake: SaslHandshakeRequestData -> SaslHandshakeResponseData,
        no_throttle_time;
    ApiVersions: ApiVersionsRequestData -> ApiVersionsResponseData;
    CreateTopics: CreateTopicsRequestData -> CreateTopicsResponseData;
    DeleteTopics: DeleteTopicsRequestData -> DeleteTopicsResponseData;
    DeleteRecords: DeleteRecordsRequestData -> DeleteRecordsResponseData;
    InitProducerId: InitProducerIdRequestData -> InitProducerIdResponseData;
    OffsetForLeaderEpoch: OffsetForLeaderEpochRequestData -> OffsetForLeaderEpochResponseData;
    AddPartitionsToTxn: AddPartitionsToTxnRequestData -> AddPartitionsToTxnResponseData;
    AddOffsetsToTxn: AddOffsetsToTxnRequestData -> AddOffsetsToTxnResponseData;
    EndTxn: EndTxnRequestData -> EndTxnResponseData;
    WriteTxnMarkers: WriteTxnMarkersRequestData -> WriteTxnMarkersResponseData,
        no_throttle_time;
    TxnOffsetCommit: TxnOffsetCommitRequestData -> TxnOffsetCommitResponseData;
    DescribeAcls: DescribeAclsRequestData -> DescribeAclsResponseData;
    CreateAcls: CreateAclsRequestData -> CreateAclsResponseData;
    DeleteAcls: DeleteAclsRequestData -> DeleteAclsResponseData;
    DescribeConfigs: DescribeConfigsRequestData -> DescribeConfigsResponseData;
    AlterConfigs: AlterConfigsRequestData -> AlterConfigsResponseData;
    AlterReplicaLogDirs: AlterReplicaLogDirsRequestData -> AlterReplicaLogDirsResponseData;
    DescribeLogDirs: DescribeLogDirsRequestData -> DescribeLogDirsResponseData;
    SaslAuthenticate: SaslAuthenticateRequestData -> SaslAuthenticateResponseData,
        no_throttle_time;
    CreatePartitions: CreatePartitionsRequestData -> CreatePartitionsResponseData;
    CreateDelegationToken: CreateDelegationTokenRequestData -> CreateDelegationTokenResponseData;
    RenewDelegationToken: RenewDelegationTokenRequestData -> RenewDelegationTokenResponseData;
    ExpireDelegationToken: ExpireDelegationTokenRequestData -> ExpireDelegationTokenResponseData;
    DescribeDelegationToken:
        DescribeDelegationTokenRequestData -> DescribeDelegationTokenResponseData;
    DeleteGroups: DeleteGroupsRequestData -> DeleteGroupsResponseData;
    ElectLeaders: ElectLeadersRequestData -> ElectLeadersResponseData;
    IncrementalAlterConfigs:
        IncrementalAlterConfigsRequestData -> IncrementalAlterConfigsResponseData;
    AlterPartitionReassignments:
        AlterPartitionReassignmentsRequestData -> AlterPartitionReassignmentsResponseData;
    ListPartitionReassignments:
        ListPartitionReassignmentsRequestData -> ListPartitionReassignmentsResponseData;
    OffsetDelete: OffsetDeleteRequestData -> OffsetDeleteResponseData;
    DescribeClientQuotas: DescribeClientQuotasRequestData -> DescribeClientQuotasResponseData;
    AlterClientQuotas: AlterClientQuotasRequestData -> AlterClientQuotasResponseData;
    DescribeUserScramCredentials:
        DescribeUserScramCredentialsRequestData -> DescribeUserScramCredentialsResponseData;
    AlterUserScramCredentials:
        AlterUserScramCredentialsRequestData -> AlterUserScramCredentialsResponseData;
    DescribeQuorum: DescribeQuorumRequestData -> DescribeQuorumResponseData,
        no_throttle_time;
    UpdateFeatures: UpdateFeaturesRequestData -> UpdateFeaturesResponseData;
    DescribeCluster: DescribeClusterRequestData -> DescribeClusterResponseData;
    DescribeProducers: DescribeProducersRequestData -> DescribeProducersResponseData;
    UnregisterBroker: UnregisterBrokerRequestData -> UnregisterBrokerResponseData;
    DescribeTransactions: DescribeTransactionsRequestData -> DescribeTransactionsResponseData;
    ListTransactions: ListTransactionsRequestData -> ListTransactionsResponseData;
    ConsumerGroupHeartbeat: ConsumerGroupHeartbeatRequestData -> ConsumerGroupHeartbeatResponseData;
    ConsumerGroupDescribe: ConsumerGroupDescribeRequestData -> ConsumerGroupDescribeResponseData;
    GetTelemetrySubscriptions:
        GetTelemetrySubscriptionsRequestData -> GetTelemetrySubscriptionsResponseData;
    PushTelemetry: PushTelemetryRequestData -> PushTelemetryResponseData;
    ListConfigResources: ListConfigResourcesRequestData -> ListConfigResourcesResponseData;
    DescribeTopicPartitions:
        DescribeTopicPartitionsRequestData -> DescribeTopicPartitionsResponseData;
    ShareGroupHeartbeat: ShareGroupHeartbeatRequestData -> ShareGroupHeartbeatResponseData;
    ShareGroupDescribe: ShareGroupDescribeRequestData -> ShareGroupDescribeResponseData;
    ShareFetch: ShareFetchRequestData -> ShareFetchResponseData;
    ShareAcknowledge: ShareAcknowledgeRequestData -> ShareAcknowledgeResponseData;
    AddRaftVoter: AddRaftVoterRequestData -> AddRaftVoterResponseData;
    RemoveRaftVoter: RemoveRaftVoterRequestData -> RemoveRaftVoterResponseData;
    InitializeShareGroupState:
        InitializeShareGroupStateRequestData -> InitializeShareGroupStateResponseData,
        no_throttle_time;
    ReadShareGroupState: ReadShareGroupStateRequestData -> ReadShareGroupStateResponseData,
        no_throttle_time;
    WriteShareGroupState: WriteShareGroupStateRequestData -> WriteShareGroupStateResponseData,
        no_throttle_time;
    DeleteShareGroupState: DeleteShareGroupStateRequestData -> DeleteShareGroupStateResponseData,
        no_throttle_time;
    ReadShareGroupStateSummary:
        ReadShareGroupStateSummaryRequestData -> ReadShareGroupStateSummaryResponseData,
        no_throttle_time;
    StreamsGroupHeartbeat: StreamsGroupHeartbeatRequestData -> StreamsGroupHeartbeatResponseData;
    StreamsGroupDescribe: StreamsGroupDescribeRequestData -> StreamsGroupDescribeResponseData;
    DescribeShareGroupOffsets:
        DescribeShareGroupOffsetsRequestData -> DescribeShareGroupOffsetsResponseData;
    AlterShareGroupOffsets: AlterShareGroupOffsetsRequestData -> AlterShareGroupOffsetsResponseData;
    DeleteShareGroupOffsets:
        DeleteShareGroupOffsetsRequestData -> DeleteShareGroupOffsetsResponseData;
    StreamsGroupTopologyDescriptionUpdate:
        StreamsGroupTopologyDescriptionUpdateRequestData
        -> StreamsGroupTopologyDescriptionUpdateResponseData;
    UnregisterController: UnregisterControllerRequestData -> UnregisterControllerResponseData;
}

/// Encodes a whole response frame: length, header and body.
///
/// # Errors
/// When a field of the response does not exist in this version.
pub fn encode_response<R: Response>(
    response: &R,
    version: i16,
    correlation_id: i32,
) -> Result<Bytes, EncodeError> {
    let mut out = BytesMut::with_capacity(256);
    begin_frame(&mut out, R::KEY, version, correlation_id);
    response.write(&mut out, version)?;
    let length = out.len() - crate::frame::LENGTH_BYTES;
    set_length(&mut out, length);
    Ok(out.freeze())
}

/// Encodes a whole request frame: length, header and body.
///
/// # Errors
/// When a field of the request does not exist in this version.
pub fn encode_request<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: &str,
) -> Result<Bytes, ProtocolError> {
    let header = wire::RequestHeaderData {
        request_api_key: R::KEY as i16,
        request_api_version: version,
        correlation_id,
        client_id: Some(KafkaString::from(client_id.to_owned())),
        ..wire::RequestHeaderData::default()
    };
    let mut out = BytesMut::with_capacity(256);
    out.put_i32(0);
    header.write(&mut out, request_header_version(R::KEY, version))?;
    request.write(&mut out, version)?;
    let length = out.len() - crate::frame::LENGTH_BYTES;
    set_length(&mut out, length);
    Ok(out.freeze())
}

/// Decodes a response frame without its length: header and body.
///
/// # Errors
/// When it is malformed, or another request's.
pub fn decode_response<R: Response>(
    mut frame: Bytes,
    version: i16,
    correlation_id: i32,
) -> Result<R, String> {
    let header = response_header_version(R::KEY, version);
    let header = wire::ResponseHeaderData::read(&mut frame, header).map_err(|it| it.to_string())?;
    if header.correlation_id != correlation_id {
        return Err("it answers another request".to_owned());
    }
    R::read(&mut frame, version).map_err(|error| error.to_string())
}

/// Writes a length of 0, to be set later, and the response header.
pub(crate) fn begin_frame(out: &mut BytesMut, key: ApiKey, version: i16, correlation_id: i32) {
    out.put_i32(0);
    out.put_i32(correlation_id);
    if response_header_version(key, version) >= 1 {
        // No tagged fields.
        out.put_u8(0);
    }
}

/// Sets the length of a frame that begins at the start of `out`.
pub(crate) fn set_length(out: &mut BytesMut, length: usize) {
    let length = i32::try_from(length).unwrap_or(i32::MAX);
    out[..crate::frame::LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
}
