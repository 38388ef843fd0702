//! DescribeGroups, versions 0–6: classic groups with their states, members and assignments; from
//! version 3 on with the operations that the client is allowed. A group that does not exist is
//! answered as `Dead`, from version 6 on with GROUP_ID_NOT_FOUND (KIP-1043), and so is a group of
//! another protocol.

use dohle_groups::requests::DescribeGroup;
use dohle_model::ErrorCode;
use dohle_model::acl::{Operation, ResourceType};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::describe_groups_request::DescribeGroupsRequestData;
use dohle_protocol::messages::describe_groups_response::{
    DescribeGroupsResponseData, DescribedGroup,
};
use futures::future::join_all;

use super::Call;

pub(super) async fn handle(
    call: Call,
    request: DescribeGroupsRequestData,
) -> DescribeGroupsResponseData {
    let groups = request.groups.iter();
    let described = groups.map(|group_id| describe(&call, group_id));
    let mut groups = join_all(described).await;
    if request.include_authorized_operations {
        for group in groups.iter_mut().filter(|group| group.error_code == 0) {
            group.authorized_operations =
                call.authorized_operations(ResourceType::Group, group.group_id.as_str());
        }
    }
    DescribeGroupsResponseData {
        groups,
        ..DescribeGroupsResponseData::default()
    }
}

async fn describe(call: &Call, group_id: &KafkaString) -> DescribedGroup {
    let name = group_id.as_str();
    if let Err(code) = call.authorize(Operation::Describe, ResourceType::Group, name) {
        return refused(group_id, code);
    }
    let request = DescribeGroup {
        group_id: group_id.as_str(),
        version: call.version,
    };
    let groups = &call.context.groups;
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
