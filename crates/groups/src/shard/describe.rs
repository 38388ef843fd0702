//! ListGroups, DescribeGroups and ConsumerGroupDescribe.

use std::sync::Arc;

use dohle_model::{ErrorCode, Offset, PartitionIndex};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::consumer_group_describe_response as consumer_group;
use dohle_protocol::messages::describe_groups_response::DescribedGroup;
use dohle_protocol::messages::list_groups_response::ListedGroup;

use crate::Step;
use crate::ids::GroupId;
use crate::modern::consumer::describe as consumer;
use crate::offsets::group_not_found;
use crate::shard::consumer_requests::not_a_consumer_group;
use crate::shard::{Group, Shard};
use crate::step::Failed;
use crate::wire::text;

/// Selects the groups of a list: groups with one of these states and one of these types, compared
/// without case. An empty list accepts all.
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
        let group = group.any_kind();
        among(self.states, group.state_name()) && among(self.types, group.type_name())
    }
}

/// A group and its committed offsets, for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSummary {
    /// Its id.
    pub group_id: GroupId,
    /// Kafka's name of its kind: `classic`, `consumer`.
    pub kind: &'static str,
    /// The number of its members.
    pub members: usize,
    /// The committed offsets by topic and partition.
    pub offsets: Vec<(Arc<str>, PartitionIndex, Offset)>,
}

impl Shard {
    /// Summarizes all groups, in no particular order, as they are in memory: changes whose records
    /// are not committed yet are included.
    #[must_use]
    pub fn summarize(&self) -> Vec<GroupSummary> {
        let summary = |(group_id, group): (&GroupId, &Group)| GroupSummary {
            group_id: group_id.clone(),
            kind: group.any_kind().type_name(),
            members: group.any_kind().member_count(),
            offsets: {
                let all = group.offsets.all();
                all.map(|(topic, partition, value)| (Arc::clone(topic), partition, value.offset))
                    .collect()
            },
        };
        self.groups.iter().map(summary).collect()
    }

    /// The groups that the filter accepts, by id.
    #[must_use]
    pub fn list_groups(&self, filter: GroupFilter<'_>, step: &mut Step<'_>) -> Vec<ListedGroup> {
        step.read_up_to(self.written_last());
        let groups = self.groups.iter();
        let mut listed: Vec<ListedGroup> = groups
            .filter(|(_, group)| filter.accepts(group))
            .map(|(group_id, group)| ListedGroup {
                group_id: text(group_id.as_str()),
                protocol_type: text(group.any_kind().protocol_type()),
                group_state: text(group.any_kind().state_name()),
                group_type: text(group.any_kind().type_name()),
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

    /// Describes a classic group. A group that does not exist or is of another kind is `Dead`, from
    /// version 6 on with GROUP_ID_NOT_FOUND (KIP-1043).
    #[must_use]
    pub fn describe_group(
        &self,
        group_id: &str,
        version: i16,
        step: &mut Step<'_>,
    ) -> DescribedGroup {
        step.read_up_to(self.written(group_id));
        let found = match self.groups.get(group_id) {
            None => Err(group_not_found(group_id)),
            Some(group) => group.classic().ok_or_else(|| {
                let message = format!("Group {group_id} is not a classic group.");
                Failed::because(ErrorCode::GroupIdNotFound, message)
            }),
        };
        found.map_or_else(
            |failed| dead(group_id, version, &failed),
            |group| group.describe(group_id),
        )
    }

    /// Describes a consumer group. Describes it with GROUP_ID_NOT_FOUND when no consumer group has
    /// this id.
    #[must_use]
    pub fn describe_consumer_group(
        &self,
        group_id: &str,
        step: &mut Step<'_>,
    ) -> consumer_group::DescribedGroup {
        step.read_up_to(self.written(group_id));
        let found = match self.groups.get(group_id) {
            None => Err(group_not_found(group_id)),
            Some(group) => group
                .consumer()
                .ok_or_else(|| not_a_consumer_group(group_id)),
        };
        match found {
            Ok(group) => group.describe(group_id, step),
            Err(failed) => consumer::not_found(group_id, &failed.message),
        }
    }
}

/// The description of a classic group that does not exist.
fn dead(group_id: &str, version: i16, failed: &Failed) -> DescribedGroup {
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
}
