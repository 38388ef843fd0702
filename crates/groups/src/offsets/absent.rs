//! A consumer group before there are any: it has no members. Its own methods take the place of
//! these once they are there.

use crate::consumer::ConsumerGroup;
use crate::ids::GroupId;
use crate::offsets::CommitPartition;
use crate::records::Record;
use crate::step::Failed;
use dohle_model::ErrorCode;

pub(crate) trait Members {
    fn validate_offset_commit(
        &self,
        _member_id: &str,
        _instance_id: Option<&str>,
        member_epoch: i32,
        _version: i16,
        _partitions: &[CommitPartition<'_>],
    ) -> Result<(), Failed> {
        match member_epoch {
            ..0 => Ok(()),
            _ => Err(ErrorCode::UnknownMemberId.into()),
        }
    }
    fn validate_offset_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), Failed> {
        match (member_id, epoch) {
            (None, ..0) => Ok(()),
            _ => Err(ErrorCode::UnknownMemberId.into()),
        }
    }
    fn is_empty(&self) -> bool {
        true
    }
    fn is_subscribed_to(&self, _topic: &str) -> bool {
        false
    }
    fn state_name(&self) -> &'static str {
        "Empty"
    }
    fn tombstones(&self, group_id: &GroupId) -> Vec<Record> {
        vec![Record::ConsumerGroup(group_id.clone(), None)]
    }
}

impl Members for ConsumerGroup {}
