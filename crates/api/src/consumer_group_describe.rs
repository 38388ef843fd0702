//! ConsumerGroupDescribe, versions 0–1: groups of the consumer protocol, with the current and the
//! target assignment of each member (KIP-848); from version 1 with the members' types (KIP-1099).

use dohle_groups::requests::DescribeConsumerGroup;
use dohle_model::ErrorCode;
use dohle_model::acl::ResourceType;
use dohle_protocol::KafkaString;
use dohle_protocol::messages::consumer_group_describe_request::ConsumerGroupDescribeRequestData;
use dohle_protocol::messages::consumer_group_describe_response::{
    ConsumerGroupDescribeResponseData, DescribedGroup,
};
use futures::future::join_all;

use super::Call;
use super::consumer_group_heartbeat::is_enabled;

pub(super) async fn handle(
    call: Call,
    request: ConsumerGroupDescribeRequestData,
) -> ConsumerGroupDescribeResponseData {
    let groups = request.group_ids.iter();
    let mut groups = if is_enabled(&call.context, &call.context.image()) {
        join_all(groups.map(|group_id| describe(&call, group_id))).await
    } else {
        let unsupported = |group_id| refused(group_id, ErrorCode::UnsupportedVersion);
        groups.map(unsupported).collect()
    };
    if request.include_authorized_operations {
        for group in groups.iter_mut().filter(|group| group.error_code == 0) {
            group.authorized_operations =
                call.authorized_operations(ResourceType::Group, group.group_id.as_str());
        }
    }
    ConsumerGroupDescribeResponseData {
        groups,
        ..ConsumerGroupDescribeResponseData::default()
    }
}

async fn describe(call: &Call, group_id: &KafkaString) -> DescribedGroup {
    let groups = &call.context.groups;
    let request = DescribeConsumerGroup {
        group_id: group_id.as_str(),
    };
    let described = groups.run(group_id.as_str(), &request).await;
    described.unwrap_or_else(|code| refused(group_id, code))
}

fn refused(group_id: &KafkaString, code: ErrorCode) -> DescribedGroup {
    DescribedGroup {
        group_id: group_id.clone(),
        error_code: code.code(),
        ..DescribedGroup::default()
    }
}
