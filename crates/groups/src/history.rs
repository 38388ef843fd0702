//! The rebalances of groups within the last day, with their causes in plain words. The same words
//! are logged when a rebalance begins.
//!
//! The history is kept in memory and is not written: a broker that becomes the coordinator of a
//! group begins with an empty one.

use std::fmt;
use std::time::Duration;

use dohle_model::{ErrorCode, Timestamp};
use dohle_telemetry::history::{Event, History, Limits};

use crate::ids::{GroupId, InstanceId, MemberId};

/// At most 50 events of one group, and 2000 of all groups of one partition of the topic.
const LIMITS: Limits = Limits {
    of_subject: 50,
    of_all: 2000,
};

/// The most characters that are kept of a text that a client has chosen.
const TEXT_MAX: usize = 255;

/// A rebalance, or a change of the members during one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebalance {
    /// The generation that the rebalance leads to; in a consumer group the group epoch.
    pub generation: i32,
    /// The number of members that the group has now.
    pub members: usize,
    /// Whether the rebalance began with this; otherwise this happened while it was in progress.
    pub began: bool,
    /// Why.
    pub cause: Cause,
}

/// What happened to a group; see [`Machine::on_events`].
///
/// [`Machine::on_events`]: dohle_machine::Machine::on_events
#[derive(Debug)]
pub struct GroupEvent {
    /// The group.
    pub group_id: GroupId,
    /// Its rebalance.
    pub rebalance: Rebalance,
}

/// The cause of a rebalance. Displayed as a sentence without its full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A member joined.
    Joined(MemberName),
    /// Members left: each with the reason that its client has sent.
    Left(Vec<(MemberName, Option<ClientReason>)>),
    /// A member sent no heartbeat for the time of its session.
    SessionExpired(MemberName, Duration),
    /// Members did not join again within the rebalance timeout.
    JoinTimedOut(Vec<MemberName>, Duration),
    /// Members did not ask for their assignments within the rebalance timeout.
    SyncTimedOut(Vec<MemberName>, Duration),
    /// A member did not give partitions back within its rebalance timeout.
    RevocationTimedOut(MemberName, Duration),
    /// A member of the consumer protocol subscribes to other topics.
    SubscriptionChanged(MemberName),
    /// A member of the classic protocol joined again with other metadata.
    MetadataChanged(MemberName, Option<ClientReason>),
    /// The member that assigns the partitions joined again.
    LeaderRejoined(MemberName, Option<ClientReason>),
    /// A static member was started again.
    StaticMemberReplaced(MemberName),
    /// Subscribed topics were created or deleted, or have other partitions or replicas.
    TopicsChanged,
    /// A broker that became the coordinator found more members than it may have.
    TooManyMembers,
    /// The leader's assignment could not be written.
    AssignmentNotWritten(ErrorCode),
    /// A consumer group became a classic group.
    BecameClassic,
}

/// The name of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberName {
    member_id: MemberId,
    instance_id: Option<InstanceId>,
    /// The address of its client, in Kafka's spelling: `/127.0.0.1`.
    host: String,
}

impl MemberName {
    /// Creates a name. Ids of more than 255 characters are cut off.
    pub(crate) fn new(member_id: &MemberId, instance_id: Option<&InstanceId>, host: &str) -> Self {
        let member_id = match cut_off(member_id.as_str()) {
            None => member_id.clone(),
            Some(begin) => MemberId::new(begin),
        };
        let instance_id = instance_id.map(|id| match cut_off(id.as_str()) {
            None => id.clone(),
            Some(begin) => InstanceId::new(begin),
        });
        Self {
            member_id,
            instance_id,
            host: host.to_owned(),
        }
    }
}

/// The reason that a client has sent (KIP-800).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientReason(String);

impl ClientReason {
    /// Creates a reason from the field of a request; `None` when it is empty. More than 255
    /// characters are cut off.
    pub(crate) fn new(reason: &str) -> Option<Self> {
        let reason = cut_off(reason).unwrap_or(reason).trim_end_matches('.');
        (!reason.is_empty()).then(|| Self(reason.to_owned()))
    }
}

/// Returns the begin of a text that is too long; `None` when it is not.
fn cut_off(text: &str) -> Option<&str> {
    let (end, _) = text.char_indices().nth(TEXT_MAX)?;
    text.get(..end)
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.member_id.fmt(f)?;
        if let Some(instance_id) = &self.instance_id {
            write!(f, " (static member {instance_id})")?;
        }
        match self.host.trim_start_matches('/') {
            "" => Ok(()),
            host => write!(f, " at {host}"),
        }
    }
}

struct Names<'a>(&'a [MemberName]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 {
            "member"
        } else {
            "members"
        })?;
        for (index, name) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { " " } else { ", " })?;
            name.fmt(f)?;
        }
        Ok(())
    }
}

/// Appends a reason to a sentence.
fn because(reason: Option<&ClientReason>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match reason {
        Some(ClientReason(reason)) => write!(f, "; its client gives as reason: {reason}"),
        None => Ok(()),
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined(member) => write!(f, "member {member} joined"),
            Self::Left(members) => {
                for (index, (member, reason)) in members.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", and " };
                    write!(f, "{separator}member {member} left")?;
                    because(reason.as_ref(), f)?;
                }
                Ok(())
            }
            Self::SessionExpired(member, timeout) => write!(
                f,
                "member {member} timed out: no heartbeat for {} ms, its session timeout",
                timeout.as_millis()
            ),
            Self::JoinTimedOut(members, timeout) => write!(
                f,
                "{} timed out: did not join again within {} ms, the rebalance timeout \
                 (max.poll.interval.ms of Java clients)",
                Names(members),
                timeout.as_millis()
            ),
            Self::SyncTimedOut(members, timeout) => write!(
                f,
                "{} timed out: did not ask for an assignment within {} ms, the rebalance timeout",
                Names(members),
                timeout.as_millis()
            ),
            Self::RevocationTimedOut(member, timeout) => write!(
                f,
                "member {member} timed out: did not give back partitions within {} ms, its \
                 rebalance timeout (max.poll.interval.ms of Java clients)",
                timeout.as_millis()
            ),
            Self::SubscriptionChanged(member) => {
                write!(f, "member {member} changed its subscription")
            }
            Self::MetadataChanged(member, reason) => {
                write!(
                    f,
                    "member {member} joined again, and changed its subscription, its assignors, or \
                     the partitions that it has (cooperative rebalancing)"
                )?;
                because(reason.as_ref(), f)
            }
            Self::LeaderRejoined(member, reason) => {
                write!(
                    f,
                    "member {member}, which assigns the partitions, asked for a rebalance"
                )?;
                because(reason.as_ref(), f)
            }
            Self::StaticMemberReplaced(member) => write!(f, "member {member} was started again"),
            Self::TopicsChanged => f.write_str(
                "topics that the group subscribes to were created or deleted, or their partitions \
                 or replicas changed",
            ),
            Self::TooManyMembers => f.write_str(
                "the coordinator moved to this broker, and the group has more members than \
                 group.max.size",
            ),
            Self::AssignmentNotWritten(code) => {
                write!(f, "the assignment could not be written: {code}")
            }
            Self::BecameClassic => {
                f.write_str("the group changed from the consumer protocol to the classic one")
            }
        }
    }
}

/// The history of the groups of one partition.
#[derive(Debug)]
pub(crate) struct GroupHistory {
    /// When this broker began to coordinate the groups.
    pub coordinated_since: Option<Timestamp>,
    rebalances: History<GroupId, Rebalance>,
}

impl Default for GroupHistory {
    fn default() -> Self {
        Self {
            coordinated_since: None,
            rebalances: History::new(LIMITS),
        }
    }
}

impl GroupHistory {
    /// Adds events.
    pub fn add(&mut self, events: Vec<GroupEvent>, wall: Timestamp) {
        for event in events {
            self.rebalances.add(event.group_id, wall.0, event.rebalance);
        }
    }

    /// Returns the events of a group within the last day, the oldest first.
    pub fn of(
        &self,
        group_id: &GroupId,
        wall: Timestamp,
    ) -> impl Iterator<Item = &Event<Rebalance>> {
        self.rebalances.of(group_id, wall.0)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn name(id: &str) -> MemberName {
        MemberName::new(&MemberId::new(id), None, "/10.0.0.7")
    }

    #[test]
    fn causes_are_sentences() {
        let instance = InstanceId::new("worker-7");
        let fixed = MemberName::new(&MemberId::new("c"), Some(&instance), "");
        let timeout = Duration::from_secs(45);
        let reason = |text| ClientReason::new(text);
        let causes = [
            Cause::Joined(name("a")),
            Cause::Left(vec![
                (name("a"), reason("the consumer is being closed.")),
                (fixed.clone(), reason("")),
            ]),
            Cause::SessionExpired(name("a"), timeout),
            Cause::JoinTimedOut(vec![name("a"), name("b")], timeout),
            Cause::SyncTimedOut(vec![name("a")], timeout),
            Cause::RevocationTimedOut(name("a"), timeout),
            Cause::SubscriptionChanged(name("a")),
            Cause::MetadataChanged(name("a"), None),
            Cause::LeaderRejoined(name("a"), reason("cached metadata has changed")),
            Cause::StaticMemberReplaced(fixed),
            Cause::TopicsChanged,
            Cause::TooManyMembers,
            Cause::AssignmentNotWritten(ErrorCode::NotCoordinator),
            Cause::BecameClassic,
        ];
        let texts: Vec<String> = causes.iter().map(|cause| format!("{cause}\n")).collect();
        expect![[r#"
            member a at 10.0.0.7 joined
            member a at 10.0.0.7 left; its client gives as reason: the consumer is being closed, and member c (static member worker-7) left
            member a at 10.0.0.7 timed out: no heartbeat for 45000 ms, its session timeout
            members a at 10.0.0.7, b at 10.0.0.7 timed out: did not join again within 45000 ms, the rebalance timeout (max.poll.interval.ms of Java clients)
            member a at 10.0.0.7 timed out: did not ask for an assignment within 45000 ms, the rebalance timeout
            member a at 10.0.0.7 timed out: did not give back partitions within 45000 ms, its rebalance timeout (max.poll.interval.ms of Java clients)
            member a at 10.0.0.7 changed its subscription
            member a at 10.0.0.7 joined again, and changed its subscription, its assignors, or the partitions that it has (cooperative rebalancing)
            member a at 10.0.0.7, which assigns the partitions, asked for a rebalance; its client gives as reason: cached metadata has changed
            member c (static member worker-7) was started again
            topics that the group subscribes to were created or deleted, or their partitions or replicas changed
            the coordinator moved to this broker, and the group has more members than group.max.size
            the assignment could not be written: NOT_COORDINATOR
            the group changed from the consumer protocol to the classic one
        "#]]
        .assert_eq(&texts.concat());
    }

    #[test]
    fn texts_that_clients_choose_are_cut_off() {
        let long = "ü".repeat(1000);
        let (member, instance) = (MemberId::new(&long), InstanceId::new(&long));
        let name = MemberName::new(&member, Some(&instance), "");
        let cause = Cause::LeaderRejoined(name, ClientReason::new(&long));
        assert!(cause.to_string().chars().count() < 3 * 255 + 200);
        assert_eq!(cut_off("short"), None);
    }
}
