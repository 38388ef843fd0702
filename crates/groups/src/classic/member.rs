//! A member of a classic group.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use crate::ids::{InstanceId, MemberId};
use crate::records::ClassicMemberValue;
use crate::step::{JoinToken, SyncToken};
use crate::wire::millis;

/// A protocol that a member supports, with what it says for it: for consumers an assignor's name
/// and a subscription.
pub type Protocol = (String, Bytes);

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// `group.instance.id`, which makes it a static member (KIP-345).
    pub instance_id: Option<InstanceId>,
    /// `client.id`.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// How long it may take to join again. Milliseconds.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent. Milliseconds.
    pub session_timeout_ms: i32,
    /// What it supports, what it prefers first.
    pub protocols: Vec<Protocol>,
    /// What the leader assigned to it in this generation; empty when it has nothing.
    pub assignment: Bytes,
    /// Whether it has yet to see the first generation with it. Such a member can't heartbeat, so
    /// that waiting alone does not keep it alive.
    pub is_new: bool,
    /// Its JoinGroup that waits.
    pub(super) join: Option<JoinToken>,
    /// Its SyncGroup that waits.
    pub(super) sync: Option<SyncToken>,
    /// What it took over, until that is written.
    pub(super) replaced: Option<Replaced>,
}

/// What the member said whose place a static member took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replaced {
    /// Its protocols.
    pub protocols: Vec<Protocol>,
    /// Its timeout. Milliseconds.
    pub rebalance_timeout_ms: i32,
    /// Its timeout. Milliseconds.
    pub session_timeout_ms: i32,
    /// Who led the group.
    pub leader: Option<MemberId>,
    /// The version of the JoinGroup that took its place.
    pub version: i16,
}

impl Member {
    /// Whether it has a `group.instance.id`.
    #[must_use]
    pub fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    /// Whether its JoinGroup waits.
    #[must_use]
    pub fn awaits_join(&self) -> bool {
        self.join.is_some()
    }

    /// Whether its SyncGroup waits.
    #[must_use]
    pub fn awaits_sync(&self) -> bool {
        self.sync.is_some()
    }

    /// How long it may be silent.
    #[must_use]
    pub fn session_timeout(&self) -> Duration {
        millis(self.session_timeout_ms)
    }

    /// What it says for a protocol, if it supports that.
    #[must_use]
    pub fn metadata(&self, protocol: &str) -> Option<&Bytes> {
        self.protocols
            .iter()
            .find_map(|(name, metadata)| (name == protocol).then_some(metadata))
    }

    /// The candidate that it prefers.
    #[must_use]
    pub fn vote(&self, candidates: &BTreeSet<&str>) -> Option<&str> {
        self.protocols
            .iter()
            .map(|(name, _)| name.as_str())
            .find(|name| candidates.contains(name))
    }

    /// Whether its session goes on although nothing was heard of it: it waits for the coordinator.
    #[must_use]
    pub fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaits_join() || self.awaits_sync())
    }

    /// The member that a record describes, which knows the selected protocol only.
    #[must_use]
    pub(super) fn of(value: ClassicMemberValue, protocol: Option<&str>) -> (MemberId, Self) {
        let rebalance_timeout_ms = match value.rebalance_timeout {
            ..0 => value.session_timeout,
            given => given,
        };
        let member = Self {
            instance_id: value.group_instance_id,
            client_id: value.client_id,
            client_host: value.client_host,
            rebalance_timeout_ms,
            session_timeout_ms: value.session_timeout,
            protocols: vec![(protocol.unwrap_or_default().to_owned(), value.subscription)],
            assignment: value.assignment,
            is_new: false,
            join: None,
            sync: None,
            replaced: None,
        };
        (value.member_id, member)
    }
}
