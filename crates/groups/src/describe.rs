//! Groups as ListGroups and DescribeGroups show them.

use dohle_model::{ErrorCode, Offset};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::describe_groups_response::DescribedGroup;
use dohle_protocol::messages::list_groups_response::ListedGroup;

use crate::offsets::not_found;
use crate::shard::{Group, Kind, Shard};
use crate::step::{Failed, Step};
use crate::wire::text;

/// Which groups to list: those of these states and types, compared without case; nothing means all.
#[derive(Debug, Clone, Copy, Default)]
pub struct GroupFilter<'a> {
    /// `Stable`, `Empty`, … (KIP-518).
    pub states: &'a [KafkaString],
    /// `classic`, `consumer` (KIP-848).
    pub types: &'a [KafkaString],
}

impl GroupFilter<'_> {
    fn accepts(&self, group: &Group) -> bool {
        let among = |texts: &[KafkaString], name: &str| {
            texts.is_empty()
                || texts
                    .iter()
                    .any(|text| text.as_str().eq_ignore_ascii_case(name))
        };
        among(self.states, group.state_name()) && among(self.types, group.type_name())
    }
}

impl Shard {
    /// The groups there are, in order.
    #[must_use]
    pub fn list_groups(&self, filter: GroupFilter<'_>, step: &mut Step<'_>) -> Vec<ListedGroup> {
        step.read_up_to(self.written_last());
        let groups = self.groups.iter();
        let mut listed: Vec<ListedGroup> = groups
            .filter(|(_, group)| filter.accepts(group))
            .map(|(group_id, group)| ListedGroup {
                group_id: text(group_id.as_str()),
                protocol_type: text(group.protocol_type()),
                group_state: text(group.state_name()),
                group_type: text(group.type_name()),
                ..ListedGroup::default()
            })
            .collect();
        listed.sort_by(|a, b| a.group_id.as_str().cmp(b.group_id.as_str()));
        listed
    }

    /// The log end after the last record of any group, deleted ones included.
    fn written_last(&self) -> Offset {
        let written = self.groups.values().map(|group| group.written);
        written.max().max(Some(self.deleted)).unwrap_or_default()
    }

    /// A classic group. One that does not exist, or is none, is `Dead`, and GROUP_ID_NOT_FOUND from
    /// version 6 on (KIP-1043).
    #[must_use]
    pub fn describe_group(
        &self,
        group_id: &str,
        version: i16,
        step: &mut Step<'_>,
    ) -> DescribedGroup {
        step.read_up_to(self.written(group_id));
        let found = match self.groups.get(group_id).map(|group| &group.kind) {
            Some(Kind::Classic(group)) => Ok(group.describe(group_id)),
            Some(Kind::Consumer(_)) => Err(Failed::because(
                ErrorCode::GroupIdNotFound,
                format!("Group {group_id} is not a classic group."),
            )),
            None => Err(not_found(group_id)),
        };
        found.unwrap_or_else(|failed| {
            let dead = DescribedGroup {
                group_id: text(group_id),
                group_state: text("Dead"),
                ..DescribedGroup::default()
            };
            match version {
                ..6 => dead,
                _ => DescribedGroup {
                    error_code: failed.code.code(),
                    error_message: Some(text(&failed.message)),
                    ..dead
                },
            }
        })
    }
}

impl Group {
    fn protocol_type(&self) -> &str {
        match &self.kind {
            Kind::Classic(group) => group.protocol_type().unwrap_or_default(),
            Kind::Consumer(_) => "consumer",
        }
    }

    fn state_name(&self) -> &'static str {
        match &self.kind {
            Kind::Classic(group) => group.state().name(),
            Kind::Consumer(group) => group.state().name(),
        }
    }

    fn type_name(&self) -> &'static str {
        match &self.kind {
            Kind::Classic(_) => "classic",
            Kind::Consumer(_) => "consumer",
        }
    }
}
