//! A member of a consumer group, and its records.

use crate::ids::MemberId;
use crate::modern::member::{MemberState, ModernMember, owned_of_record, owned_to_record};
use crate::records::{ClassicMetadata, ConsumerCurrentValue, ConsumerMemberValue};

/// The epoch of a static member that left and may come back within its session.
pub(crate) const LEFT_TEMPORARILY: i32 = -2;

/// A member of a consumer group. All of it is written: its description of itself, and its
/// partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerMember {
    /// The part that members of all modern groups share.
    pub common: ModernMember,
    /// How long it may take to give partitions back. Milliseconds; -1 before its first request.
    pub rebalance_timeout_ms: i32,
    /// The regular expression that it subscribes to; empty when there is none.
    pub subscribed_topic_regex: String,
    /// The assignor that it asks for.
    pub server_assignor: Option<String>,
    /// Its session timeout and protocols, when it uses the classic protocol.
    pub classic: Option<ClassicMetadata>,
}

impl ConsumerMember {
    /// A member of which only the id is known.
    #[must_use]
    pub fn new(member_id: MemberId) -> Self {
        Self {
            common: ModernMember::new(member_id),
            rebalance_timeout_ms: -1,
            subscribed_topic_regex: String::new(),
            server_assignor: None,
            classic: None,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &MemberId {
        &self.common.member_id
    }

    /// Whether it uses the classic protocol.
    #[must_use]
    pub fn uses_classic_protocol(&self) -> bool {
        self.classic.is_some()
    }

    /// The regular expression that it subscribes to.
    #[must_use]
    pub fn regex(&self) -> Option<&str> {
        Some(self.subscribed_topic_regex.as_str()).filter(|regex| !regex.is_empty())
    }

    /// The record with its description of itself.
    #[must_use]
    pub fn subscription(&self) -> ConsumerMemberValue {
        let topics = self.common.subscribed_topic_names.iter();
        ConsumerMemberValue {
            instance_id: self.common.instance_id.clone(),
            rack_id: self.common.rack_id.clone(),
            client_id: self.common.client_id.clone(),
            client_host: self.common.client_host.clone(),
            subscribed_topic_names: topics.cloned().collect(),
            subscribed_topic_regex: Some(self.subscribed_topic_regex.clone()),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            server_assignor: self.server_assignor.clone(),
            classic: self.classic.clone(),
        }
    }

    /// Takes over the description in a record.
    pub(crate) fn set_subscription(&mut self, value: ConsumerMemberValue) {
        self.common.instance_id = value.instance_id;
        self.common.rack_id = value.rack_id;
        self.common.client_id = value.client_id;
        self.common.client_host = value.client_host;
        self.common.subscribed_topic_names = value.subscribed_topic_names.into_iter().collect();
        self.subscribed_topic_regex = value.subscribed_topic_regex.unwrap_or_default();
        self.rebalance_timeout_ms = value.rebalance_timeout_ms;
        self.server_assignor = value.server_assignor;
        self.classic = value.classic;
    }

    /// The record with its epoch and partitions.
    #[must_use]
    pub fn current(&self) -> ConsumerCurrentValue {
        ConsumerCurrentValue {
            member_epoch: self.common.member_epoch,
            previous_member_epoch: self.common.previous_member_epoch,
            state: self.common.state.code(),
            assigned_partitions: owned_to_record(&self.common.assigned_partitions),
            partitions_pending_revocation: owned_to_record(
                &self.common.partitions_pending_revocation,
            ),
        }
    }

    /// Takes over the epoch and the partitions in a record.
    pub(crate) fn set_current(&mut self, value: ConsumerCurrentValue) {
        let epoch = value.member_epoch;
        self.common.member_epoch = epoch;
        self.common.previous_member_epoch = value.previous_member_epoch;
        self.common.state = MemberState::of(value.state);
        self.common.assigned_partitions = owned_of_record(value.assigned_partitions, epoch);
        self.common.partitions_pending_revocation =
            owned_of_record(value.partitions_pending_revocation, epoch);
    }
}
