//! Which answer belongs to which request.

use bytes::{Bytes, BytesMut};
use kacrab::wire::{RequestMessage, ResponseMessage};
use kacrab_protocol::Result;
use kacrab_protocol::generated::*;

/// A request that a broker answers.
pub trait Call: RequestMessage + Clone + Send + Sync + 'static {
    /// The API.
    const KEY: ApiKey;
    /// The answer.
    type Answer: ResponseMessage;
}

macro_rules! calls {
    ($($request:ident => $answer:ident: $key:ident;)*) => {
        $(impl Call for $request {
            const KEY: ApiKey = ApiKey::$key;
            type Answer = $answer;
        })*
    };
}

calls! {
    AddRaftVoterRequestData => AddRaftVoterResponseData: AddRaftVoter;
    AlterPartitionReassignmentsRequestData => AlterPartitionReassignmentsResponseData:
        AlterPartitionReassignments;
    AlterClientQuotasRequestData => AlterClientQuotasResponseData: AlterClientQuotas;
    AlterReplicaLogDirsRequestData => AlterReplicaLogDirsResponseData: AlterReplicaLogDirs;
    AlterUserScramCredentialsRequestData => AlterUserScramCredentialsResponseData:
        AlterUserScramCredentials;
    ApiVersionsRequestData => ApiVersionsResponseData: ApiVersions;
    ConsumerGroupDescribeRequestData => ConsumerGroupDescribeResponseData: ConsumerGroupDescribe;
    CreatePartitionsRequestData => CreatePartitionsResponseData: CreatePartitions;
    CreateTopicsRequestData => CreateTopicsResponseData: CreateTopics;
    DeleteGroupsRequestData => DeleteGroupsResponseData: DeleteGroups;
    DeleteRecordsRequestData => DeleteRecordsResponseData: DeleteRecords;
    DeleteTopicsRequestData => DeleteTopicsResponseData: DeleteTopics;
    DescribeClientQuotasRequestData => DescribeClientQuotasResponseData: DescribeClientQuotas;
    DescribeClusterRequestData => DescribeClusterResponseData: DescribeCluster;
    DescribeConfigsRequestData => DescribeConfigsResponseData: DescribeConfigs;
    DescribeGroupsRequestData => DescribeGroupsResponseData: DescribeGroups;
    DescribeLogDirsRequestData => DescribeLogDirsResponseData: DescribeLogDirs;
    DescribeUserScramCredentialsRequestData => DescribeUserScramCredentialsResponseData:
        DescribeUserScramCredentials;
    ElectLeadersRequestData => ElectLeadersResponseData: ElectLeaders;
    FindCoordinatorRequestData => FindCoordinatorResponseData: FindCoordinator;
    IncrementalAlterConfigsRequestData => IncrementalAlterConfigsResponseData:
        IncrementalAlterConfigs;
    ListConfigResourcesRequestData => ListConfigResourcesResponseData: ListConfigResources;
    ListGroupsRequestData => ListGroupsResponseData: ListGroups;
    ListOffsetsRequestData => ListOffsetsResponseData: ListOffsets;
    ListPartitionReassignmentsRequestData => ListPartitionReassignmentsResponseData:
        ListPartitionReassignments;
    MetadataRequestData => MetadataResponseData: Metadata;
    OffsetCommitRequestData => OffsetCommitResponseData: OffsetCommit;
    OffsetDeleteRequestData => OffsetDeleteResponseData: OffsetDelete;
    OffsetFetchRequestData => OffsetFetchResponseData: OffsetFetch;
    RemoveRaftVoterRequestData => RemoveRaftVoterResponseData: RemoveRaftVoter;
    ShareGroupDescribeRequestData => ShareGroupDescribeResponseData: ShareGroupDescribe;
    StreamsGroupDescribeRequestData => StreamsGroupDescribeResponseData: StreamsGroupDescribe;
    UnregisterBrokerRequestData => UnregisterBrokerResponseData: UnregisterBroker;
    UpdateFeaturesRequestData => UpdateFeaturesResponseData: UpdateFeatures;
}

/// DescribeTopicPartitions (KIP-966), which kacrab's wire layer has no message for.
#[derive(Debug, Clone)]
pub struct DescribeTopicPartitions(pub DescribeTopicPartitionsRequestData);

/// The answer to [`DescribeTopicPartitions`].
#[derive(Debug, Clone)]
pub struct TopicPartitions(pub DescribeTopicPartitionsResponseData);

/// DescribeQuorum, likewise by name: kacrab's own normalises nothing we need.
impl Call for DescribeQuorumRequestData {
    const KEY: ApiKey = ApiKey::DescribeQuorum;
    type Answer = DescribeQuorumResponseData;
}

impl Call for DescribeTopicPartitions {
    const KEY: ApiKey = ApiKey::DescribeTopicPartitions;
    type Answer = TopicPartitions;
}

impl RequestMessage for DescribeTopicPartitions {
    fn write_request(&self, buf: &mut BytesMut, version: i16) -> Result<()> {
        self.0.write(buf, version)?;
        Ok(())
    }

    fn encoded_len(&self, version: i16) -> Result<usize> {
        self.0.encoded_len(version)
    }
}

impl ResponseMessage for TopicPartitions {
    fn read_response(buf: &mut Bytes, version: i16) -> Result<Self> {
        DescribeTopicPartitionsResponseData::read(buf, version).map(Self)
    }
}
