//! Requests about offsets, and the deletion of groups: finds the group, and plans on its offsets.

use std::ops::ControlFlow;

use dohle_model::{ErrorCode, TopicId, TopicName};
use dohle_protocol::messages::offset_commit_request::OffsetCommitRequestData;
use dohle_protocol::messages::offset_commit_response::OffsetCommitResponseData;
use dohle_protocol::messages::offset_delete_request::OffsetDeleteRequestData;
use dohle_protocol::messages::offset_delete_response::OffsetDeleteResponseData;
use dohle_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use dohle_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;

use crate::Step;
use crate::committer::Committer;
use crate::ids::GroupId;
use crate::offsets::{
    commit, delete, delete_all, delete_of_topics, expire, fetch, group_not_found,
};
use crate::shard::Shard;
use crate::step::{Caller, Failed};

/// The most tombstones of one step that need not be written together.
const TOMBSTONES_MAX: usize = 1_000;
/// Offsets and groups that one step of their expiry looks at, unless a single group has more.
const EXAMINED_MAX: usize = 10_000;

impl Shard {
    /// Plans OffsetCommit. The caller has looked up the topics: each has its name and its id, and
    /// its partitions exist. A commit without membership creates the group.
    ///
    /// # Errors
    /// When the member may not commit, and GROUP_ID_NOT_FOUND (before version 9 ILLEGAL_GENERATION)
    /// for a member of a group that does not exist.
    pub fn offset_commit(
        &mut self,
        request: &OffsetCommitRequestData,
        caller: &Caller<'_>,
        step: &mut Step<'_>,
    ) -> Result<OffsetCommitResponseData, Failed> {
        let group_id = GroupId::new(request.group_id.as_str());
        let committer = Committer::of(request, caller.version);
        match self.groups.get(&group_id) {
            Some(group) => group.any_kind().validate_offset_commit(&committer)?,
            None => committer.validate_without_group(group_id.as_str())?,
        }
        self.on_classic_commit(group_id.as_str(), request.member_id.as_str(), step);
        Ok(commit(&group_id, request, step))
    }

    /// Plans TxnOffsetCommit: offsets that take effect when the transaction is committed. The
    /// runtime appends the records as a part of the transaction. The caller has looked up the
    /// topics as for OffsetCommit.
    ///
    /// # Errors
    /// When the member may not commit, and GROUP_ID_NOT_FOUND (before version 6 ILLEGAL_GENERATION)
    /// for a member of a group that does not exist.
    pub fn txn_offset_commit(
        &self,
        request: &OffsetCommitRequestData,
        version: i16,
        step: &mut Step<'_>,
    ) -> Result<OffsetCommitResponseData, Failed> {
        let group_id = GroupId::new(request.group_id.as_str());
        let committer = Committer::in_transaction(request, version);
        match self.groups.get(&group_id) {
            Some(group) => group.any_kind().validate_offset_commit(&committer)?,
            None => committer.validate_without_group(group_id.as_str())?,
        }
        Ok(commit(&group_id, request, step))
    }

    /// Plans OffsetFetch: the offsets of the topics in the request, whose names the caller has
    /// looked up, or of all topics. A partition without an offset has offset -1, also when the
    /// group does not exist. With `require_stable` a partition with an offset of an open
    /// transaction has the error UNSTABLE_OFFSET_COMMIT.
    ///
    /// # Errors
    /// When the member is not in the group, or names another epoch than its own.
    pub fn offset_fetch(
        &self,
        request: &OffsetFetchRequestGroup,
        require_stable: bool,
        step: &mut Step<'_>,
    ) -> Result<OffsetFetchResponseGroup, Failed> {
        let group_id = request.group_id.as_str();
        step.read_up_to(self.written(group_id));
        let group = self.groups.get(group_id);
        if let Some(group) = group {
            let member_id = request.member_id.as_ref().map(|id| id.as_str());
            group
                .any_kind()
                .validate_offset_fetch(member_id, request.member_epoch)?;
        }
        let offsets = group.map(|group| &group.offsets);
        Ok(fetch(request, require_stable, offsets))
    }

    /// Plans OffsetDelete: deletes offsets of topics that the group does not subscribe to. The
    /// caller has checked that the partitions exist.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND; NON_EMPTY_GROUP when the group has members whose subscription cannot be
    /// read, because they are not consumers.
    pub fn offset_delete(
        &self,
        request: &OffsetDeleteRequestData,
        step: &mut Step<'_>,
    ) -> Result<OffsetDeleteResponseData, Failed> {
        let group_id = GroupId::new(request.group_id.as_str());
        let group = self.groups.get(&group_id);
        let group = group.ok_or_else(|| group_not_found(group_id.as_str()))?;
        group.any_kind().validate_offset_delete()?;
        let response = delete(&group_id, group.any_kind(), &group.offsets, request, step);
        // A response that nothing was deleted depends on the group's state too.
        step.read_up_to(self.written(group_id.as_str()));
        Ok(response)
    }

    /// Deletes offsets that have expired, and groups that are left with neither offsets nor
    /// members. The caller repeats this, with a fresh step each, until it breaks: each step looks
    /// at groups that the steps before have not finished.
    pub fn expire_offsets(&mut self, step: &mut Step<'_>) -> ControlFlow<()> {
        if self.to_expire.is_empty() {
            self.to_expire.extend(self.groups.keys().cloned());
        }
        let mut offsets = 0;
        while let Some(group_id) = self.to_expire.last() {
            if let Some(group) = self.groups.get(group_id) {
                let kind = group.any_kind();
                expire(group_id, kind, &group.offsets, TOMBSTONES_MAX, step);
                offsets += 1 + group.offsets.len();
            }
            if step.effects.records.len() >= TOMBSTONES_MAX {
                // The group may have more.
                return ControlFlow::Continue(());
            }
            self.to_expire.pop();
            if offsets >= EXAMINED_MAX && !self.to_expire.is_empty() {
                return ControlFlow::Continue(());
            }
        }
        self.to_expire = Vec::new();
        ControlFlow::Break(())
    }

    /// Deletes the offsets of topics that were deleted. The caller repeats this, with a fresh step
    /// each, until a step writes no records.
    pub fn delete_offsets_of_topics(&self, topics: &[(TopicId, TopicName)], step: &mut Step<'_>) {
        for (group_id, group) in &self.groups {
            delete_of_topics(group_id, &group.offsets, topics, TOMBSTONES_MAX, step);
        }
    }

    /// Deletes a group that has no members, and its offsets.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP.
    pub fn delete_group(&self, group_id: &str, step: &mut Step<'_>) -> Result<(), Failed> {
        let found = self.groups.get_key_value(group_id);
        let (group_id, group) = found.ok_or_else(|| group_not_found(group_id))?;
        if !group.any_kind().is_empty() {
            return Err(ErrorCode::NonEmptyGroup.into());
        }
        delete_all(group_id, &group.offsets, step);
        let tombstones = group.any_kind().tombstones(group_id);
        step.effects.records.extend(tombstones);
        Ok(())
    }
}
