//! What others ask of a classic group: its description, and what may be done to its offsets.

use bytes::Bytes;
use dohle_model::{ErrorCode, Timestamp};
use dohle_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};

use crate::classic::group::{ClassicGroup, State};
use crate::ids::{GroupId, MemberId};
use crate::shard::Shard;
use crate::step::{Failed, Step};
use crate::wire::text;

impl ClassicGroup {
    /// For DescribeGroups. What members say of themselves is told in a stable group only.
    #[must_use]
    pub fn describe(&self, group_id: &str) -> DescribedGroup {
        let protocol = match self.state {
            State::Stable => self.protocol(),
            _ => None,
        };
        let members = self.members().iter().map(|(member_id, member)| {
            let metadata = protocol.and_then(|protocol| member.metadata(protocol));
            DescribedGroupMember {
                member_id: text(member_id.as_str()),
                group_instance_id: member.instance_id.as_ref().map(|id| text(id.as_str())),
                client_id: text(&member.client_id),
                client_host: text(&member.client_host),
                member_metadata: metadata.cloned().unwrap_or_else(Bytes::new),
                member_assignment: member.assignment.clone(),
                ..DescribedGroupMember::default()
            }
        });
        DescribedGroup {
            group_id: text(group_id),
            group_state: text(self.state.name()),
            protocol_type: text(self.protocol_type().unwrap_or_default()),
            protocol_data: text(protocol.unwrap_or_default()),
            members: members.collect(),
            ..DescribedGroup::default()
        }
    }

    /// Whether offsets may be committed in this name. `generation` below 0 and an empty `member_id`
    /// stand for a client without membership, or one that is too old to name it.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, or REBALANCE_IN_PROGRESS when the
    /// member has yet to learn its assignment.
    pub fn validate_offset_commit(
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

    /// Whether offsets of topics that it does not subscribe to may be deleted
    /// ([`ClassicGroup::is_subscribed_to`]).
    ///
    /// # Errors
    /// NON_EMPTY_GROUP when it has members that are no consumers: nobody knows what they subscribe
    /// to.
    pub fn validate_offset_delete(&self) -> Result<(), Failed> {
        match self.is_empty() || self.uses_consumer_protocol() {
            true => Ok(()),
            false => Err(ErrorCode::NonEmptyGroup.into()),
        }
    }

    /// From when on the retention of an offset counts that was committed at `committed`. None while
    /// it must not expire. Offsets of topics that members subscribe to never do, which the caller
    /// has to look at ([`ClassicGroup::is_subscribed_to`]).
    #[must_use]
    pub fn retained_from(&self, committed: Timestamp) -> Option<Timestamp> {
        match self.state {
            _ if self.protocol_type.is_none() => Some(committed),
            State::Empty => Some(self.state_timestamp.unwrap_or(committed)),
            State::Stable if self.subscribed_topics.is_some() => Some(committed),
            _ => None,
        }
    }
}

impl Shard {
    /// A member of a classic group committed offsets, which tells that it is alive.
    pub(crate) fn on_classic_commit(
        &mut self,
        group_id: &str,
        member_id: &str,
        step: &mut Step<'_>,
    ) {
        let group_id = GroupId::new(group_id);
        let Some(mut turn) = self.classic_turn(&group_id, step) else {
            return;
        };
        if let State::PreparingRebalance { .. } | State::Stable = turn.group.state {
            turn.restart_session(&MemberId::new(member_id));
        }
    }
}
