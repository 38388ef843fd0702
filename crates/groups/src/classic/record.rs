//! Conversion of a classic group to and from its record.

use bytes::Bytes;

use crate::classic::group::{ClassicGroup, State};
use crate::classic::member::Member;
use crate::ids::{GroupId, MemberId};
use crate::records::{ClassicGroupValue, ClassicMemberValue, Record};

impl ClassicGroup {
    /// The group in a record: stable if it has members, otherwise empty.
    #[must_use]
    pub fn of(value: ClassicGroupValue) -> Self {
        let mut group = Self::default();
        if !value.members.is_empty() {
            group.state = State::Stable;
        }
        group.state_timestamp = value.current_state_timestamp;
        group.protocol = value.protocol;
        group.generation = value.generation;
        for member in value.members {
            let (member_id, member) = Member::of(member, group.protocol.as_deref());
            group.remove(member_id.as_str());
            group.add(member_id, member, &value.protocol_type);
        }
        let is_member = |leader: &MemberId| group.member(leader.as_str()).is_some();
        if let Some(leader) = value.leader.filter(is_member) {
            group.leader = Some(leader);
        }
        group.protocol_type = Some(value.protocol_type).filter(|name| !name.is_empty());
        group.subscribed_topics = group.compute_subscribed_topics();
        group
    }

    /// The record of the group, with the present assignments of its members.
    #[must_use]
    pub fn record(&self, group_id: &GroupId) -> Record {
        self.record_with(group_id, |_, member| member.assignment.clone())
    }

    /// The record of the group, with other assignments.
    pub(super) fn record_with(
        &self,
        group_id: &GroupId,
        assignment: impl Fn(&MemberId, &Member) -> Bytes,
    ) -> Record {
        let protocol = self.protocol().unwrap_or_default();
        let members = self
            .members()
            .iter()
            .map(|(member_id, member)| ClassicMemberValue {
                member_id: member_id.clone(),
                group_instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout: member.rebalance_timeout_ms,
                session_timeout: member.session_timeout_ms,
                subscription: member.metadata(protocol).cloned().unwrap_or_default(),
                assignment: assignment(member_id, member),
            });
        let value = ClassicGroupValue {
            protocol_type: self.protocol_type().unwrap_or_default().to_owned(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: self.state_timestamp,
            members: members.collect(),
        };
        Record::Classic(group_id.clone(), Some(value))
    }
}
