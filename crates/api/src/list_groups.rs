//! ListGroups, versions 0–5: the groups that this broker coordinates, by state (KIP-518, version 4)
//! and type (KIP-848, version 5), in the order of their ids. While one of its shards loads, the
//! answer is COORDINATOR_LOAD_IN_PROGRESS. A client that may not describe the cluster sees the
//! groups that it may describe.

use dohle_groups::GroupFilter;
use dohle_groups::requests::ListGroups;
use dohle_model::ErrorCode;
use dohle_model::acl::{Operation, ResourceType};
use dohle_protocol::messages::list_groups_request::ListGroupsRequestData;
use dohle_protocol::messages::list_groups_response::ListGroupsResponseData;

use super::{CLUSTER, Call};

pub(super) async fn handle(call: Call, request: ListGroupsRequestData) -> ListGroupsResponseData {
    let operation = Operation::Describe;
    let lists_all = call.is_visible(operation, ResourceType::Cluster, CLUSTER);
    let filter = GroupFilter {
        states: &request.states_filter,
        types: &request.types_filter,
    };
    let groups = &call.context.groups;
    let shards = groups.run_in_all(&ListGroups { filter }).await;
    let mut response = ListGroupsResponseData::default();
    for groups in shards {
        match groups {
            Ok(groups) => response.groups.extend(groups.into_iter().filter(|group| {
                lists_all
                    || call.is_visible(operation, ResourceType::Group, group.group_id.as_str())
            })),
            // The partition has moved: its new leader lists these groups.
            Err(ErrorCode::NotCoordinator) => {}
            Err(code) => {
                return ListGroupsResponseData {
                    error_code: code.code(),
                    ..ListGroupsResponseData::default()
                };
            }
        }
    }
    // Each shard lists its own in order.
    let groups = &mut response.groups;
    groups.sort_by(|a, b| a.group_id.as_str().cmp(b.group_id.as_str()));
    response
}
