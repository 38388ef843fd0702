//! JoinGroup of a classic group: who may join, as what, and when it is answered.
//!
//! KIP-394: a dynamic member is given an id first, and joins with it. KIP-345: static members, see
//! `static_members`. KIP-559: the protocol's type. KIP-800: the reason, which is logged.

use std::time::Duration;

use dohle_model::{ErrorCode, Uuid};
use dohle_protocol::messages::join_group_request::JoinGroupRequestData;
use dohle_protocol::messages::join_group_response::JoinGroupResponseData;

use crate::classic::group::{ClassicGroup, State};
use crate::classic::member::{Member, Protocol};
use crate::classic::step::{Turn, join_error};
use crate::ids::{GroupId, InstanceId, MemberId};
use crate::records::{ClassicGroupValue, Record};
use crate::shard::{Group, Kind, Shard};
use crate::step::{Caller, JoinReply, JoinToken, OnCommit, Step};
use crate::wire::millis;

/// From this version on a dynamic member has to join with the id it was given (KIP-394).
const KNOWN_MEMBER_ID: i16 = 4;

/// How long a new member may wait for its first generation. It can't heartbeat, and clients that
/// gave up and joined again would add up.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(300);

/// A JoinGroup, as the group sees it.
#[derive(Debug)]
pub(super) struct Join<'a> {
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

impl Shard {
    /// Plans JoinGroup. Its answer, a refusal too, goes to `token` in [`Step::effects`], now or in
    /// a later step.
    pub fn join_group(
        &mut self,
        request: &JoinGroupRequestData,
        caller: Caller<'_>,
        token: JoinToken,
        step: &mut Step<'_>,
    ) {
        let config = step.config;
        let bounds = config.group_min_session_timeout..=config.group_max_session_timeout;
        let code = if request.group_id.is_empty() {
            ErrorCode::InvalidGroupId
        } else if !bounds.contains(&millis(request.session_timeout_ms)) {
            ErrorCode::InvalidSessionTimeout
        } else {
            return self.join_classic(request, caller, token, step);
        };
        let refusal = join_error(request.member_id.as_str(), code);
        step.reply(token, JoinReply(refusal));
    }

    fn join_classic(
        &mut self,
        request: &JoinGroupRequestData,
        caller: Caller<'_>,
        token: JoinToken,
        step: &mut Step<'_>,
    ) {
        let group_id = GroupId::new(request.group_id.as_str());
        let member_id = request.member_id.as_str();
        let is_new = match self.groups.get(&group_id).map(|group| &group.kind) {
            None => true,
            Some(Kind::Classic(_)) => false,
            Some(Kind::Consumer(consumer)) if consumer.is_empty() => true,
            Some(Kind::Consumer(_)) => {
                return self.join_consumer_group(request, caller, token, step);
            }
        };
        if is_new && !member_id.is_empty() {
            let refusal = join_error(member_id, ErrorCode::UnknownMemberId);
            return step.reply(token, JoinReply(refusal));
        }
        self.make_classic(&group_id, step);
        let group = self
            .groups
            .entry(group_id.clone())
            .or_insert_with(Group::empty);
        let Kind::Classic(group) = &mut group.kind else {
            return;
        };
        let mut turn = Turn {
            group_id: &group_id,
            group,
            timers: &mut self.timers,
            step,
        };
        if is_new {
            turn.group.state_timestamp = Some(turn.step.wall);
        }
        turn.join(&Join::of(request, caller, token));
        if is_new {
            turn.write_new_group();
        }
    }
}

impl<'a> Join<'a> {
    fn of(request: &'a JoinGroupRequestData, caller: Caller<'a>, token: JoinToken) -> Self {
        let mut protocols: Vec<Protocol> = Vec::new();
        for protocol in &request.protocols {
            if protocols
                .iter()
                .all(|(name, _)| name != protocol.name.as_str())
            {
                protocols.push((protocol.name.to_string(), protocol.metadata.clone()));
            }
        }
        // Version 0 has one timeout for both.
        let rebalance_timeout_ms = match request.rebalance_timeout_ms {
            given @ 0.. if caller.version >= 1 => given,
            _ => request.session_timeout_ms,
        };
        let reason = request.reason.as_ref().map(|reason| reason.as_str());
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
            reason: reason
                .filter(|reason| !reason.is_empty())
                .unwrap_or("not provided"),
            caller,
            token,
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.protocols.iter().map(|(name, _)| name.as_str())
    }
}

impl Turn<'_, '_> {
    fn join(&mut self, join: &Join<'_>) {
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

    /// Whether there is room in the group (`group.max.size`). While members join, those count who
    /// wait: so the last of too many that join again are left out.
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
        tracing::debug!(group = %self.group_id, member = %member_id, "a member is given its id");
        self.set_session(&member_id, millis(join.session_timeout_ms));
        self.refuse_join(join, member_id.as_str(), ErrorCode::MemberIdRequired);
        self.group.pending_joins.insert(member_id);
    }

    fn join_known(&mut self, join: &Join<'_>) {
        let member_id = MemberId::new(join.member_id);
        if self.group.is_pending(join.member_id) {
            return match join.instance_id {
                None => self.add_member(join, member_id),
                // A static member is never given its id in advance.
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
            State::PreparingRebalance { .. } => self.join_again(join, &member_id, "joins"),
            // It may not have received the answer to its first JoinGroup.
            State::CompletingRebalance { .. } if is_unchanged => self.tell(join, &member_id),
            // The leader may have seen what concerns the assignment and no member's metadata, such
            // as new partitions of a topic.
            State::Stable if is_leader => self.join_again(join, &member_id, "leads and joins"),
            State::Stable if is_unchanged => self.tell(join, &member_id),
            State::CompletingRebalance { .. } | State::Stable => {
                self.join_again(join, &member_id, "joins with other metadata");
            }
        }
    }

    /// Answers a member that missed nothing with the generation there is.
    fn tell(&mut self, join: &Join<'_>, member_id: &MemberId) {
        let response = self.generation_for(member_id);
        self.step.reply(join.token, JoinReply(response));
    }

    fn join_again(&mut self, join: &Join<'_>, member_id: &MemberId, what: &str) {
        self.update_member(join, member_id);
        self.park_join(join, member_id);
        let reason = format!("member {member_id} {what}; client reason: {}", join.reason);
        self.rebalance_or_complete(&reason);
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
        let reason = format!("member {member_id} joins; client reason: {}", join.reason);
        self.group
            .add(member_id.clone(), member, join.protocol_type);
        self.set_session(&member_id, NEW_MEMBER_JOIN_TIMEOUT);
        self.rebalance_or_complete(&reason);
    }

    pub(super) fn update_member(&mut self, join: &Join<'_>, member_id: &MemberId) {
        self.group.update(
            member_id,
            join.protocols.clone(),
            join.rebalance_timeout_ms,
            join.session_timeout_ms,
        );
    }

    /// Parks a JoinGroup. One that waited before, of a client that no longer does, is answered.
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

    /// A group is written as soon as it is there, so that it is found again, be it empty.
    fn write_new_group(&mut self) {
        let value = ClassicGroupValue {
            protocol_type: String::new(),
            generation: 0,
            protocol: None,
            leader: None,
            current_state_timestamp: self.group.state_timestamp(),
            members: Vec::new(),
        };
        let written = OnCommit::Empty {
            group_id: self.group_id.clone(),
            generation: 0,
        };
        self.write(Record::Classic(self.group_id.clone(), Some(value)), written);
    }
}

impl ClassicGroup {
    /// Whether a request comes from a member, and not from one whose place a static member took.
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

/// A new member's id in Kafka's form: the client's or the instance's id, and a random UUID.
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
