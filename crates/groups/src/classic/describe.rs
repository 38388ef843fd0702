//! The description of a classic group in DescribeGroups.

use bytes::Bytes;
use dohle_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};

use crate::classic::group::{ClassicGroup, State};
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
}
