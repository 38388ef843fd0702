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
    /// The newest version to use.
    const VERSION_MAX: i16 = i16::MAX;
}

macro_rules! calls {
    ($($request:ident => $answer:ident: $key:ident $(<= $version:literal)?;)*) => {
        $(impl Call for $request {
            const KEY: ApiKey = ApiKey::$key;
            type Answer = $answer;
            $(const VERSION_MAX: i16 = $version;)?
        })*
    };
}

// Newer versions of OffsetCommit and OffsetFetch name topics by their ids alone; the tools have
// names.
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
    DescribeQuorumRequestData => DescribeQuorumResponseData: DescribeQuorum;
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
    OffsetCommitRequestData => OffsetCommitResponseData: OffsetCommit <= 9;
    OffsetDeleteRequestData => OffsetDeleteResponseData: OffsetDelete;
    OffsetFetchRequestData => OffsetFetchResponseData: OffsetFetch <= 9;
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
