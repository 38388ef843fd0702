//! Groups as a person looks at them: members, what each waits for, and the rebalances of the last
//! day.

use std::time::Duration;

use dohle_model::Timestamp;
use dohle_telemetry::history::Event;

use crate::Step;
use crate::history::Rebalance;
use crate::ids::{GroupId, InstanceId, MemberId};
use crate::shard::{Group, Kind, Shard};
use crate::timers::Timer;
use crate::waiting::Waiting;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupReport {
    /// Its id.
    pub group_id: GroupId,
    /// Kafka's name of its kind: `classic`, `consumer`.
    pub kind: &'static str,
    /// Kafka's name of its state.
    pub state: &'static str,
    /// The generation; of a consumer group the group epoch.
    pub generation: i32,
    /// The number of its members.
    pub member_count: usize,
    /// Its members, when the report is about one group; otherwise empty.
    pub members: Vec<MemberReport>,
    /// When this broker began to coordinate it.
    pub coordinated_since: Option<Timestamp>,
    /// Its rebalances of the last day, the oldest first; the last one alone when the report is
    /// about all groups.
    pub rebalances: Vec<Event<Rebalance>>,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberReport {
    /// Its id.
    pub member_id: MemberId,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<InstanceId>,
    /// `client.id`.
    pub client_id: String,
    /// The address of its client, in Kafka's spelling: `/127.0.0.1`.
    pub client_host: String,
    /// The time until its session expires, unless it sends a heartbeat.
    pub session_left: Option<Duration>,
    /// What is missing for a stable group; `None` when the member is up to date.
    pub waiting: Option<Waiting>,
}

impl Shard {
    /// Reports on one group, or on all in no particular order, as they are in memory: changes whose
    /// records are not committed yet are included. A group that was deleted within the last day is
    /// not reported.
    #[must_use]
    pub fn report(&self, only: Option<&str>, step: &Step<'_>) -> Vec<GroupReport> {
        let Some(group_id) = only else {
            let all = self.groups.iter();
            return all
                .map(|(group_id, group)| {
                    let last = self.history.of(group_id, step.wall).last().cloned();
                    self.report_on(group_id, group, last.into_iter().collect())
                })
                .collect();
        };
        let Some((group_id, group)) = self.groups.get_key_value(group_id) else {
            return Vec::new();
        };
        let rebalances = self.history.of(group_id, step.wall).cloned().collect();
        let mut report = self.report_on(group_id, group, rebalances);
        report.members = self.members(group_id, group, step.now);
        vec![report]
    }

    fn report_on(
        &self,
        group_id: &GroupId,
        group: &Group,
        rebalances: Vec<Event<Rebalance>>,
    ) -> GroupReport {
        GroupReport {
            group_id: group_id.clone(),
            kind: group.any_kind().type_name(),
            state: group.any_kind().state_name(),
            generation: match &group.kind {
                Kind::Classic(classic) => classic.generation(),
                Kind::Consumer(consumer) => consumer.group_epoch(),
            },
            member_count: group.any_kind().member_count(),
            members: Vec::new(),
            coordinated_since: self.history.coordinated_since,
            rebalances,
        }
    }

    fn members(&self, group_id: &GroupId, group: &Group, now: Duration) -> Vec<MemberReport> {
        let left = |timer: Timer| {
            let deadline = self.timers.deadline(&timer);
            deadline.map(|deadline| deadline.saturating_sub(now))
        };
        match &group.kind {
            Kind::Classic(classic) => {
                let members = classic.members().iter();
                members
                    .map(|(member_id, member)| MemberReport {
                        member_id: member_id.clone(),
                        instance_id: member.instance_id.clone(),
                        client_id: member.client_id.clone(),
                        client_host: member.client_host.clone(),
                        session_left: left(Timer::ClassicSession(
                            group_id.clone(),
                            member_id.clone(),
                        )),
                        waiting: classic.waiting(member_id),
                    })
                    .collect()
            }
            Kind::Consumer(consumer) => {
                let members = consumer.members().values();
                members
                    .map(|member| MemberReport {
                        member_id: member.id().clone(),
                        instance_id: member.common.instance_id.clone(),
                        client_id: member.common.client_id.clone(),
                        client_host: member.common.client_host.clone(),
                        session_left: left(Timer::ConsumerSession(
                            group_id.clone(),
                            member.id().clone(),
                        )),
                        waiting: consumer.waiting(member),
                    })
                    .collect()
            }
        }
    }
}
