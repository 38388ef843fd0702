//! The questions that a shard asks of a group of any kind (Kafka's `Group`).

use dohle_model::Timestamp;

use crate::committer::Committer;
use crate::ids::GroupId;
use crate::records::Record;
use crate::step::Failed;

/// A kind of group: classic or consumer. Share and streams groups would be two more.
pub(crate) trait GroupKind {
    /// Kafka's name of the kind: `classic`, `consumer`.
    fn type_name(&self) -> &'static str;

    /// The type of the protocol that its members use, such as `consumer` or `connect`. Empty for a
    /// group that never had members.
    fn protocol_type(&self) -> &str;

    /// Kafka's name of its state.
    fn state_name(&self) -> &'static str;

    /// The number of its members.
    fn member_count(&self) -> usize;

    /// Whether it has no members.
    fn is_empty(&self) -> bool;

    /// Whether it has no members, and no client is about to join.
    fn is_abandoned(&self) -> bool {
        self.is_empty()
    }

    /// Whether members subscribe to a topic, so that its offsets are neither deleted nor expire.
    fn is_subscribed_to(&self, topic: &str) -> bool;

    /// Checks that a client may commit offsets.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID; ILLEGAL_GENERATION or STALE_MEMBER_EPOCH;
    /// REBALANCE_IN_PROGRESS, UNSUPPORTED_VERSION.
    fn validate_offset_commit(&self, committer: &Committer<'_>) -> Result<(), Failed>;

    /// Checks that a client may fetch offsets.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION, STALE_MEMBER_EPOCH.
    fn validate_offset_fetch(
        &self,
        member_id: Option<&str>,
        member_epoch: i32,
    ) -> Result<(), Failed>;

    /// Checks that offsets of topics that the group does not subscribe to may be deleted.
    ///
    /// # Errors
    /// NON_EMPTY_GROUP when it has members whose subscription cannot be read.
    fn validate_offset_delete(&self) -> Result<(), Failed>;

    /// The start of the retention time of an offset that was committed at `committed`; `None` while
    /// it must not expire.
    fn retained_from(&self, committed: Timestamp) -> Option<Timestamp>;

    /// The records that delete the group. Its offsets have records of their own.
    fn tombstones(&self, group_id: &GroupId) -> Vec<Record>;
}
