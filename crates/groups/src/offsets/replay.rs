//! Offsets of the log, and groups that come with them.

use crate::records::{OffsetKey, OffsetValue};
use crate::shard::{Group, Shard};

impl Shard {
    /// An offset was committed or deleted. The first one of a group that does not exist makes it:
    /// a group without members.
    pub(crate) fn replay_offset(&mut self, key: OffsetKey, value: Option<OffsetValue>) {
        let OffsetKey {
            group_id,
            topic,
            partition,
        } = key;
        match value {
            Some(value) => {
                let group = self.groups.entry(group_id).or_insert_with(Group::empty);
                group.offsets.put(topic, partition, value);
            }
            None => {
                if let Some(group) = self.groups.get_mut(&group_id) {
                    group.offsets.remove(&topic, partition);
                }
            }
        }
    }
}
