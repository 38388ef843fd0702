//! A member of a classic group.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use crate::ids::{InstanceId, MemberId};
use crate::records::ClassicMemberValue;
use crate::step::{JoinToken, SyncToken};
use crate::wire::millis;

/// A protocol that a member supports, with its metadata for it. For consumers these are the name of
/// an assignor and a subscription.
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
    /// The protocols that it supports, the preferred one first.
    pub protocols: Vec<Protocol>,
    /// What the leader assigned to it in this generation; empty when it has no assignment.
    pub assignment: Bytes,
    /// Whether it waits for its first generation. It cannot heartbeat meanwhile, and its parked
    /// JoinGroup does not keep its session alive.
    pub is_new: bool,
    /// Its parked JoinGroup.
    pub(super) join: Option<JoinToken>,
    /// Its parked SyncGroup.
    pub(super) sync: Option<SyncToken>,
    /// The member that it replaced, until the replacement is committed.
    pub(super) replaced: Option<Replaced>,
}

/// The member that a static member replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replaced {
    /// Its protocols.
    pub protocols: Vec<Protocol>,
    /// Its rebalance timeout. Milliseconds.
    pub rebalance_timeout_ms: i32,
    /// Its session timeout. Milliseconds.
    pub session_timeout_ms: i32,
    /// The leader of the group before.
    pub leader: Option<MemberId>,
    /// The version of the JoinGroup that replaced it.
    pub version: i16,
}

impl Member {
    /// Whether it has a `group.instance.id`.
    #[must_use]
    pub fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    /// Whether its JoinGroup is parked.
    #[must_use]
    pub fn awaits_join(&self) -> bool {
        self.join.is_some()
    }

    /// Whether its SyncGroup is parked.
    #[must_use]
    pub fn awaits_sync(&self) -> bool {
        self.sync.is_some()
    }

    /// How long it may be silent.
    #[must_use]
    pub fn session_timeout(&self) -> Duration {
        millis(self.session_timeout_ms)
    }

    /// Its metadata for a protocol, if it supports the protocol.
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

    /// Whether its session continues without heartbeats, because it waits for the coordinator.
    #[must_use]
    pub fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaits_join() || self.awaits_sync())
    }

    /// The member in a record. Of its protocols the record has only the selected one.
    #[must_use]
    pub(super) fn of(value: ClassicMemberValue, protocol: Option<&str>) -> (MemberId, Self) {
        let rebalance_timeout_ms = match value.rebalance_timeout {
            ..=0 => value.session_timeout,
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
