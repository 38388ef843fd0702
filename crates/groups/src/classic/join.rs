//! JoinGroup of a classic group: which clients may join, and when they are answered.
//!
//! A dynamic member gets an id first, and then joins with it (KIP-394). Static members are in
//! `static_members` (KIP-345). The request names the protocol's type (KIP-559) and a reason, which
//! is logged (KIP-800).

use std::time::Duration;

use dohle_model::{ErrorCode, Uuid};
use dohle_protocol::messages::join_group_request::JoinGroupRequestData;
use dohle_protocol::messages::join_group_response::JoinGroupResponseData;

use crate::classic::group::{ClassicGroup, State};
use crate::classic::member::{Member, Protocol};
use crate::classic::step::{ClassicGroupStep, join_error};
use crate::history::{Cause, ClientReason, MemberName};
use crate::ids::{InstanceId, MemberId};
use crate::records::{ClassicGroupValue, Record};
use crate::step::{Caller, JoinReply, JoinToken, OnCommit};
use crate::wire::millis;

/// From this version on a dynamic member has to join with an id from the coordinator (KIP-394).
const KNOWN_MEMBER_ID: i16 = 4;

/// How long a new member may wait for its first generation. It cannot heartbeat meanwhile, so
/// without this limit the members of clients that gave up would accumulate.
pub(super) const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(300);

/// The content of a JoinGroup.
#[derive(Debug)]
pub(crate) struct Join<'a> {
    pub member_id: &'a str,
    pub instance_id: Option<InstanceId>,
    pub protocol_type: &'a str,
    pub protocols: Vec<Protocol>,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub reason: &'a str,
    pub caller: Caller<'a>,
    pub token: JoinToken,
}

impl<'a> Join<'a> {
    /// Reads a request.
    pub(crate) fn of(
        request: &'a JoinGroupRequestData,
        caller: Caller<'a>,
        token: JoinToken,
    ) -> Self {
        let mut protocols: Vec<Protocol> = Vec::new();
        for protocol in &request.protocols {
            if protocols
                .iter()
                .all(|(name, _)| name != protocol.name.as_str())
            {
                protocols.push((protocol.name.to_string(), protocol.metadata.clone()));
            }
        }
        let rebalance_timeout_ms = rebalance_timeout_ms(request, caller.version);
        Self {
            member_id: request.member_id.as_str(),
            instance_id: request
                .group_instance_id
                .as_ref()
                .map(|id| InstanceId::new(id.as_str())),
            protocol_type: request.protocol_type.as_str(),
            protocols,
            rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            reason: request.reason.as_ref().map_or("", |reason| reason.as_str()),
            caller,
            token,
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.protocols.iter().map(|(name, _)| name.as_str())
    }
}

/// Returns the rebalance timeout of a request: its session timeout when it has none. Version 0 has
/// one timeout for both purposes, and clients that have no rebalance timeout send 0. Kafka takes
/// that literally: it removes the member unless its SyncGroup arrives within about a millisecond.
pub(crate) fn rebalance_timeout_ms(request: &JoinGroupRequestData, version: i16) -> i32 {
    match request.rebalance_timeout_ms {
        given @ 1.. if version >= 1 => given,
        _ => request.session_timeout_ms,
    }
}

impl ClassicGroupStep<'_, '_> {
    /// Plans the first JoinGroup of a new group, and writes the group.
    pub(crate) fn join_new_group(&mut self, join: &Join<'_>) {
        self.group.state_timestamp = Some(self.step.wall);
        self.join(join);
        self.write_new_group();
    }

    /// Plans a JoinGroup: refuses it, parks it, or answers it at once.
    pub(crate) fn join(&mut self, join: &Join<'_>) {
        if !self.accepts(join.member_id) {
            self.remove_member(&MemberId::new(join.member_id));
            self.refuse_join(join, "", ErrorCode::GroupMaxSizeReached);
        } else if !self.group.supports(join.protocol_type, join.names()) {
            let code = ErrorCode::InconsistentGroupProtocol;
            self.refuse_join(join, join.member_id, code);
        } else if join.member_id.is_empty() {
            self.join_new(join);
        } else {
            self.join_known(join);
        }
    }

    /// Whether the group has room (`group.max.size`). During a rebalance only members whose
    /// JoinGroup is parked count, so when there are too many members, the last ones to join again
    /// are refused.
    fn accepts(&self, member_id: &str) -> bool {
        let max = self.step.config.group_max_size;
        let member = self.group.member(member_id);
        match self.group.state {
            State::Empty => true,
            State::PreparingRebalance { .. } => {
                member.is_some_and(Member::awaits_join) || self.group.joins() < max
            }
            State::CompletingRebalance { .. } | State::Stable => {
                member.is_some() || self.group.members().len() < max
            }
        }
    }

    fn join_new(&mut self, join: &Join<'_>) {
        if let Some(instance_id) = &join.instance_id {
            let member_id = fresh_member_id(instance_id.as_str(), self.step.fresh);
            match self.group.static_member(instance_id.as_str()).cloned() {
                Some(old_member_id) => self.replace_static_member(join, &old_member_id, member_id),
                None => self.add_member(join, member_id),
            }
            return;
        }
        let member_id = fresh_member_id(join.caller.client_id, self.step.fresh);
        if join.caller.version < KNOWN_MEMBER_ID {
            return self.add_member(join, member_id);
        }
        tracing::debug!(group = %self.group_id, member = %member_id, "member id handed out");
        self.set_session(&member_id, millis(join.session_timeout_ms));
        self.refuse_join(join, member_id.as_str(), ErrorCode::MemberIdRequired);
        self.group.add_pending(member_id);
    }

    fn join_known(&mut self, join: &Join<'_>) {
        let member_id = MemberId::new(join.member_id);
        if self.group.is_pending(join.member_id) {
            return match join.instance_id {
                None => self.add_member(join, member_id),
                // A static member never gets an id before it joins.
                Some(_) => self.refuse_join(join, join.member_id, ErrorCode::UnknownServerError),
            };
        }
        let instance_id = join.instance_id.as_ref().map(InstanceId::as_str);
        if let Err(code) = self.group.validate_member(join.member_id, instance_id) {
            return self.refuse_join(join, join.member_id, code);
        }
        let Some(member) = self.group.member(join.member_id) else {
            return self.refuse_join(join, join.member_id, ErrorCode::UnknownMemberId);
        };
        let is_unchanged = member.protocols == join.protocols;
        let is_leader = self.group.is_leader(join.member_id);
        match self.group.state {
            State::Empty => self.refuse_join(join, join.member_id, ErrorCode::UnknownMemberId),
            State::PreparingRebalance { .. } => {
                self.join_again(join, &member_id, Cause::MetadataChanged);
            }
            // The member may have missed the response to its first JoinGroup.
            State::CompletingRebalance { .. } if is_unchanged => {
                self.answer_with_generation(join, &member_id)
            }
            // The leader may have noticed a change that requires a new assignment although no
            // member's metadata changed, such as new partitions of a topic.
            State::Stable if is_leader => self.join_again(join, &member_id, Cause::LeaderRejoined),
            State::Stable if is_unchanged => self.answer_with_generation(join, &member_id),
            State::CompletingRebalance { .. } | State::Stable => {
                self.join_again(join, &member_id, Cause::MetadataChanged);
            }
        }
    }

    /// Answers a member at once with the present generation.
    fn answer_with_generation(&mut self, join: &Join<'_>, member_id: &MemberId) {
        let response = self.generation_for(member_id);
        self.step.reply(join.token, JoinReply(response));
    }

    fn join_again(
        &mut self,
        join: &Join<'_>,
        member_id: &MemberId,
        cause: fn(MemberName, Option<ClientReason>) -> Cause,
    ) {
        self.update_member(join, member_id);
        self.park_join(join, member_id);
        let cause = cause(self.name(member_id), ClientReason::new(join.reason));
        self.rebalance_or_complete(cause);
    }

    fn add_member(&mut self, join: &Join<'_>, member_id: MemberId) {
        let member = Member {
            instance_id: join.instance_id.clone(),
            client_id: join.caller.client_id.to_owned(),
            client_host: join.caller.client_host.to_owned(),
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols.clone(),
            assignment: bytes::Bytes::new(),
            is_new: true,
            join: Some(join.token),
            sync: None,
            replaced: None,
        };
        if let State::PreparingRebalance { initial } = &mut self.group.state
            && let Some(initial) = initial
        {
            initial.member_added = true;
        }
        self.group
            .add(member_id.clone(), member, join.protocol_type);
        self.set_session(&member_id, NEW_MEMBER_JOIN_TIMEOUT);
        self.rebalance_or_complete(Cause::Joined(self.name(&member_id)));
    }

    pub(super) fn update_member(&mut self, join: &Join<'_>, member_id: &MemberId) {
        self.group.update(
            member_id,
            join.protocols.clone(),
            join.rebalance_timeout_ms,
            join.session_timeout_ms,
        );
    }

    /// Parks a JoinGroup, and answers an earlier parked one of the same member.
    pub(super) fn park_join(&mut self, join: &Join<'_>, member_id: &MemberId) {
        if let Some(before) = self.group.park_join(member_id, join.token) {
            let refusal = join_error(member_id.as_str(), ErrorCode::RebalanceInProgress);
            self.step.reply(before, JoinReply(refusal));
        }
    }

    fn refuse_join(&mut self, join: &Join<'_>, member_id: &str, code: ErrorCode) {
        let refusal: JoinGroupResponseData = join_error(member_id, code);
        self.step.reply(join.token, JoinReply(refusal));
    }

    /// Writes a new group, so that it exists also after a failover before its first generation.
    fn write_new_group(&mut self) {
        let value = ClassicGroupValue {
            protocol_type: String::new(),
            generation: 0,
            protocol: None,
            leader: None,
            current_state_timestamp: self.group.state_timestamp(),
            members: Vec::new(),
        };
        let on_commit = OnCommit::Empty {
            group_id: self.group_id.clone(),
            generation: 0,
        };
        self.write(
            Record::Classic(self.group_id.clone(), Some(value)),
            on_commit,
        );
    }
}

impl ClassicGroup {
    /// Checks that a request comes from a member, and not from a client that a static member with
    /// the same instance id has replaced.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID.
    pub fn validate_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_member(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(there) if there.as_str() != member_id => {
                    return Err(ErrorCode::FencedInstanceId);
                }
                Some(_) => {}
            }
        }
        match self.member(member_id) {
            Some(_) => Ok(()),
            None => Err(ErrorCode::UnknownMemberId),
        }
    }
}

/// The id of a new member in Kafka's form: the client id or the instance id, and a random UUID.
fn fresh_member_id(prefix: &str, fresh: Uuid) -> MemberId {
    let hex: String = fresh.0.iter().map(|byte| format!("{byte:02x}")).collect();
    MemberId::new(&format!(
        "{prefix}-{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    ))
}
