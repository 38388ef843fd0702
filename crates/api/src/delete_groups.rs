//! DeleteGroups, versions 0–2: deletes groups that have no members, with their offsets (KIP-229).
//! Each group has an outcome of its own: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP.

use std::collections::BTreeSet;

use dohle_groups::Failed;
use dohle_groups::requests::DeleteGroup;
use dohle_protocol::KafkaString;
use dohle_protocol::messages::delete_groups_request::DeleteGroupsRequestData;
use dohle_protocol::messages::delete_groups_response::{
    DeletableGroupResult, DeleteGroupsResponseData,
};
use futures::future::join_all;

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    request: DeleteGroupsRequestData,
) -> DeleteGroupsResponseData {
    let mut seen = BTreeSet::new();
    let groups = request.groups_names.iter();
    let deleted = groups
        .filter(|group_id| seen.insert(group_id.as_str()))
        .map(|group_id| delete(&call, group_id));
    DeleteGroupsResponseData {
        results: join_all(deleted).await,
        ..DeleteGroupsResponseData::default()
    }
}

async fn delete(call: &Call, group_id: &KafkaString) -> DeletableGroupResult {
    let request = DeleteGroup {
        group_id: group_id.as_str(),
    };
    let groups = &call.context.groups;
    let outcome = groups
        .run(group_id.as_str(), &request)
        .await
        .and_then(|outcome| outcome.map_err(|Failed { code, .. }| code));
    DeletableGroupResult {
        group_id: group_id.clone(),
        error_code: wire::code(&outcome),
        ..DeletableGroupResult::default()
    }
}
