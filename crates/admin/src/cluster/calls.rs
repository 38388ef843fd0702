//! The requests that the tools send, each with the type of its response.

use bytes::{Bytes, BytesMut};
use kacrab::wire::{RequestMessage, ResponseMessage};
use kacrab_protocol::generated::*;

use super::{ClusterError, check};

/// A request, with the type of its response.
pub trait Call: RequestMessage + Clone + Send + Sync + 'static {
    /// The API.
    const KEY: ApiKey;
    /// The answer.
    type Response: ResponseMessage;
    /// The newest version that is used.
    const VERSION_MAX: i16 = i16::MAX;

    /// Fails when the response as a whole is an error. Errors of single topics, partitions and so
    /// on are left to the caller, unless every caller treats them as errors of the whole response.
    ///
    /// # Errors
    /// [`ClusterError::Refused`].
    fn check(_: &Self::Response) -> Result<(), ClusterError> {
        Ok(())
    }
}

macro_rules! calls {
    ($(
        $request:ident => $answer:ident: $key:ident $(<= $version:literal)? $(, $check:expr)?;
    )*) => {
        $(impl Call for $request {
            const KEY: ApiKey = ApiKey::$key;
            type Response = $answer;
            $(const VERSION_MAX: i16 = $version;)?
            $(fn check(answer: &Self::Response) -> Result<(), ClusterError> {
                let check: fn(&Self::Response) -> Result<(), ClusterError> = $check;
                check(answer)
            })?
        })*
    };
}

/// Returns the error of a response that has a code and a message.
macro_rules! code_and_message {
    () => {
        |answer| check(answer.error_code, answer.error_message.as_ref())
    };
}

/// Returns the error of a response that has only a code.
macro_rules! code {
    () => {
        |answer| check(answer.error_code, None)
    };
}

/// Returns the first error among the results in a response.
macro_rules! first_error_of {
    ($results:ident) => {
        |answer| {
            let mut results = answer.$results.iter();
            results.try_for_each(|one| check(one.error_code, one.error_message.as_ref()))
        }
    };
}

// Newer versions of OffsetCommit and OffsetFetch identify topics by id only; the tools have names.
calls! {
    AddRaftVoterRequestData => AddRaftVoterResponseData: AddRaftVoter;
    AlterPartitionReassignmentsRequestData => AlterPartitionReassignmentsResponseData:
        AlterPartitionReassignments, code_and_message!();
    AlterClientQuotasRequestData => AlterClientQuotasResponseData:
        AlterClientQuotas, first_error_of!(entries);
    AlterReplicaLogDirsRequestData => AlterReplicaLogDirsResponseData: AlterReplicaLogDirs;
    AlterUserScramCredentialsRequestData => AlterUserScramCredentialsResponseData:
        AlterUserScramCredentials, first_error_of!(results);
    ApiVersionsRequestData => ApiVersionsResponseData: ApiVersions, code!();
    ConsumerGroupDescribeRequestData => ConsumerGroupDescribeResponseData: ConsumerGroupDescribe;
    CreateAclsRequestData => CreateAclsResponseData: CreateAcls, first_error_of!(results);
    CreateDelegationTokenRequestData => CreateDelegationTokenResponseData:
        CreateDelegationToken, code!();
    CreatePartitionsRequestData => CreatePartitionsResponseData:
        CreatePartitions, first_error_of!(results);
    CreateTopicsRequestData => CreateTopicsResponseData: CreateTopics, first_error_of!(topics);
    DeleteAclsRequestData => DeleteAclsResponseData: DeleteAcls, first_error_of!(filter_results);
    DeleteGroupsRequestData => DeleteGroupsResponseData: DeleteGroups, |answer| {
        let mut results = answer.results.iter();
        results.try_for_each(|one| check(one.error_code, None))
    };
    DeleteRecordsRequestData => DeleteRecordsResponseData: DeleteRecords;
    DeleteTopicsRequestData => DeleteTopicsResponseData: DeleteTopics, first_error_of!(responses);
    DescribeAclsRequestData => DescribeAclsResponseData: DescribeAcls, code_and_message!();
    DescribeClientQuotasRequestData => DescribeClientQuotasResponseData:
        DescribeClientQuotas, code_and_message!();
    DescribeClusterRequestData => DescribeClusterResponseData: DescribeCluster, code_and_message!();
    DescribeConfigsRequestData => DescribeConfigsResponseData: DescribeConfigs;
    DescribeDelegationTokenRequestData => DescribeDelegationTokenResponseData:
        DescribeDelegationToken, code!();
    DescribeGroupsRequestData => DescribeGroupsResponseData: DescribeGroups;
    DescribeLogDirsRequestData => DescribeLogDirsResponseData: DescribeLogDirs, code!();
    DescribeProducersRequestData => DescribeProducersResponseData: DescribeProducers;
    DescribeQuorumRequestData => DescribeQuorumResponseData: DescribeQuorum, |answer| {
        check(answer.error_code, answer.error_message.as_ref())?;
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.try_for_each(|one| check(one.error_code, one.error_message.as_ref()))
    };
    DescribeTransactionsRequestData => DescribeTransactionsResponseData: DescribeTransactions;
    DescribeUserScramCredentialsRequestData => DescribeUserScramCredentialsResponseData:
        DescribeUserScramCredentials, code_and_message!();
    ElectLeadersRequestData => ElectLeadersResponseData: ElectLeaders, code!();
    ExpireDelegationTokenRequestData => ExpireDelegationTokenResponseData:
        ExpireDelegationToken, code!();
    FindCoordinatorRequestData => FindCoordinatorResponseData: FindCoordinator;
    IncrementalAlterConfigsRequestData => IncrementalAlterConfigsResponseData:
        IncrementalAlterConfigs, first_error_of!(responses);
    InitProducerIdRequestData => InitProducerIdResponseData: InitProducerId;
    ListConfigResourcesRequestData => ListConfigResourcesResponseData: ListConfigResources, code!();
    ListGroupsRequestData => ListGroupsResponseData: ListGroups, code!();
    ListOffsetsRequestData => ListOffsetsResponseData: ListOffsets;
    ListPartitionReassignmentsRequestData => ListPartitionReassignmentsResponseData:
        ListPartitionReassignments, code_and_message!();
    ListTransactionsRequestData => ListTransactionsResponseData: ListTransactions, code!();
    MetadataRequestData => MetadataResponseData: Metadata, code!();
    OffsetCommitRequestData => OffsetCommitResponseData: OffsetCommit <= 9, |answer| {
        let mut partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.try_for_each(|one| check(one.error_code, None))
    };
    OffsetDeleteRequestData => OffsetDeleteResponseData: OffsetDelete, code!();
    OffsetFetchRequestData => OffsetFetchResponseData: OffsetFetch <= 9, |answer| {
        check(answer.error_code, None)?;
        for group in &answer.groups {
            check(group.error_code, None)?;
            let mut partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.try_for_each(|one| check(one.error_code, None))?;
        }
        Ok(())
    };
    RemoveRaftVoterRequestData => RemoveRaftVoterResponseData: RemoveRaftVoter, code_and_message!();
    RenewDelegationTokenRequestData => RenewDelegationTokenResponseData:
        RenewDelegationToken, code!();
    ShareGroupDescribeRequestData => ShareGroupDescribeResponseData: ShareGroupDescribe;
    StreamsGroupDescribeRequestData => StreamsGroupDescribeResponseData: StreamsGroupDescribe;
    UnregisterBrokerRequestData => UnregisterBrokerResponseData:
        UnregisterBroker, code_and_message!();
    UpdateFeaturesRequestData => UpdateFeaturesResponseData: UpdateFeatures, code_and_message!();
    WriteTxnMarkersRequestData => WriteTxnMarkersResponseData: WriteTxnMarkers;
}

/// DescribeTopicPartitions (KIP-966), which kacrab's wire layer has no message for.
#[derive(Debug, Clone)]
pub struct DescribeTopicPartitions(pub DescribeTopicPartitionsRequestData);

/// The answer to [`DescribeTopicPartitions`].
#[derive(Debug, Clone)]
pub struct TopicPartitions(pub DescribeTopicPartitionsResponseData);

impl Call for DescribeTopicPartitions {
    const KEY: ApiKey = ApiKey::DescribeTopicPartitions;
    type Response = TopicPartitions;
}

impl RequestMessage for DescribeTopicPartitions {
    fn write_request(&self, buf: &mut BytesMut, version: i16) -> kacrab_protocol::Result<()> {
        self.0.write(buf, version)?;
        Ok(())
    }

    fn encoded_len(&self, version: i16) -> kacrab_protocol::Result<usize> {
        self.0.encoded_len(version)
    }
}

impl ResponseMessage for TopicPartitions {
    fn read_response(buf: &mut Bytes, version: i16) -> kacrab_protocol::Result<Self> {
        DescribeTopicPartitionsResponseData::read(buf, version).map(Self)
    }
}
