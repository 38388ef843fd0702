//! The description of a classic group in DescribeGroups, and what its members wait for.

use bytes::Bytes;
use dohle_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};

use crate::classic::group::{ClassicGroup, State};
use crate::ids::MemberId;
use crate::waiting::Waiting;
use crate::wire::text;

impl ClassicGroup {
    /// The description for DescribeGroups. The metadata of members is in it only while the group is
    /// stable.
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

    /// Returns what a member waits for, or the group for it.
    pub(crate) fn waiting(&self, member_id: &MemberId) -> Option<Waiting> {
        let member = self.member(member_id.as_str())?;
        match self.state {
            State::Empty => None,
            State::PreparingRebalance { .. } => Some(match member.awaits_join() {
                true => Waiting::ForOthersToJoin,
                false => Waiting::ToJoin,
            }),
            State::CompletingRebalance { .. } => Some(match member.awaits_sync() {
                true => Waiting::ForAssignment,
                false => Waiting::ToSync,
            }),
            State::Stable => self
                .pending_syncs
                .contains(member_id)
                .then_some(Waiting::ToSync),
        }
    }
}
