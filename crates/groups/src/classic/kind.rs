//! The answers of a classic group to the questions that a shard asks of every kind of group.

use dohle_model::{ErrorCode, Timestamp};

use crate::classic::group::{ClassicGroup, State};
use crate::classic::step::ClassicGroupStep;
use crate::committer::Committer;
use crate::ids::{GroupId, MemberId};
use crate::kind::GroupKind;
use crate::records::Record;
use crate::step::Failed;

impl GroupKind for ClassicGroup {
    fn type_name(&self) -> &'static str {
        "classic"
    }

    fn protocol_type(&self) -> &str {
        ClassicGroup::protocol_type(self).unwrap_or_default()
    }

    fn state_name(&self) -> &'static str {
        self.state().name()
    }

    fn member_count(&self) -> usize {
        self.members().len()
    }

    fn is_empty(&self) -> bool {
        ClassicGroup::is_empty(self)
    }

    fn is_abandoned(&self) -> bool {
        ClassicGroup::is_empty(self) && self.pending_members().is_empty()
    }

    fn is_subscribed_to(&self, topic: &str) -> bool {
        match self.subscribed_topics() {
            Some(topics) => topics.contains(topic),
            // Consumers whose subscription cannot be read may subscribe to any topic.
            None => self.uses_consumer_protocol(),
        }
    }

    fn validate_offset_commit(&self, committer: &Committer<'_>) -> Result<(), Failed> {
        let (member_id, instance_id) = (committer.member_id, committer.instance_id);
        if committer.in_transaction {
            return self.validate_offset_commit_in_transaction(committer);
        }
        self.validate_offset_commit(member_id, instance_id, committer.epoch)
    }

    fn validate_offset_fetch(&self, _: Option<&str>, _: i32) -> Result<(), Failed> {
        Ok(())
    }

    fn validate_offset_delete(&self) -> Result<(), Failed> {
        match ClassicGroup::is_empty(self) || self.uses_consumer_protocol() {
            true => Ok(()),
            false => Err(ErrorCode::NonEmptyGroup.into()),
        }
    }

    /// The offsets of an empty group are retained from the time when it became empty. Those of a
    /// group with members that may subscribe to any topic do not expire.
    fn retained_from(&self, committed: Timestamp) -> Option<Timestamp> {
        match self.state {
            _ if self.protocol_type.is_none() => Some(committed),
            State::Empty => Some(self.state_timestamp.unwrap_or(committed)),
            State::Stable if self.subscribed_topics.is_some() => Some(committed),
            _ => None,
        }
    }

    fn tombstones(&self, group_id: &GroupId) -> Vec<Record> {
        vec![Record::Classic(group_id.clone(), None)]
    }
}

impl ClassicGroup {
    /// Checks that a client may commit offsets. A client without membership, or one that is too old
    /// to name it, has a `generation` below 0 and an empty `member_id`.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, or REBALANCE_IN_PROGRESS while
    /// the member waits for its assignment.
    pub(crate) fn validate_offset_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), Failed> {
        if generation < 0 && self.is_empty() {
            return Ok(());
        }
        if generation >= 0 || !member_id.is_empty() || instance_id.is_some() {
            self.validate_member(member_id, instance_id)?;
            if generation != self.generation {
                return Err(ErrorCode::IllegalGeneration.into());
            }
        } else if !self.is_empty() {
            return Err(ErrorCode::UnknownMemberId.into());
        }
        match self.state {
            State::CompletingRebalance { .. } => Err(ErrorCode::RebalanceInProgress.into()),
            _ => Ok(()),
        }
    }

    /// Checks that a client may commit offsets in a transaction. It need not name a member, and the
    /// group may be rebalancing.
    fn validate_offset_commit_in_transaction(
        &self,
        committer: &Committer<'_>,
    ) -> Result<(), Failed> {
        if committer.epoch < 0 && self.is_empty() || !committer.names_member() {
            return Ok(());
        }
        self.validate_member(committer.member_id, committer.instance_id)?;
        match committer.epoch == self.generation {
            true => Ok(()),
            false => Err(ErrorCode::IllegalGeneration.into()),
        }
    }
}

impl ClassicGroupStep<'_, '_> {
    /// Notes that a member committed offsets, which restarts its session.
    pub(crate) fn on_offset_commit(&mut self, member_id: &MemberId) {
        if let State::PreparingRebalance { .. } | State::Stable = self.group.state {
            self.restart_session(member_id);
        }
    }
}
