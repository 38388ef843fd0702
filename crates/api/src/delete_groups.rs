//! DeleteGroups, versions 0–2: deletes groups that have no members, with their offsets (KIP-229).
//! Each group has an outcome of its own: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP.

use std::collections::BTreeSet;

use dohle_groups::Failed;
use dohle_groups::requests::DeleteGroup;
use dohle_model::ErrorCode;
use dohle_model::acl::{Operation, ResourceType};
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
    let outcome = try_delete(call, group_id.as_str()).await;
    DeletableGroupResult {
        group_id: group_id.clone(),
        error_code: wire::code(&outcome),
        ..DeletableGroupResult::default()
    }
}

async fn try_delete(call: &Call, group_id: &str) -> Result<(), ErrorCode> {
    call.authorize(Operation::Delete, ResourceType::Group, group_id)?;
    let groups = &call.context.groups;
    let deleted = groups.run(group_id, &DeleteGroup { group_id }).await?;
    deleted.map_err(|Failed { code, .. }| code)
}
