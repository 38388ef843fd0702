//! DeleteGroups, versions 0–3: deletes groups that have no members, with their offsets (KIP-229).
//! Each group has an outcome of its own: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP. Version 3 has the
//! outcome in words, where there are any; Kafka fills them for streams groups only.

use std::collections::BTreeSet;

use dohle_groups::Failed;
use dohle_groups::requests::DeleteGroup;
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
    let failed = outcome.err();
    let message = failed.as_ref().map(|failed| failed.message.as_str());
    let message = message.filter(|message| !message.is_empty());
    DeletableGroupResult {
        group_id: group_id.clone(),
        error_code: failed.as_ref().map_or(0, |failed| failed.code.code()),
        error_message: message.map(wire::text),
    }
}

async fn try_delete(call: &Call, group_id: &str) -> Result<(), Failed> {
    call.authorize(Operation::Delete, ResourceType::Group, group_id)?;
    let groups = &call.context.groups;
    groups.run(group_id, &DeleteGroup { group_id }).await?
}
