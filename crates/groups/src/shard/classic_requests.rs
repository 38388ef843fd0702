//! Requests of the classic protocol: to a classic group, or from a member of the classic protocol
//! in a consumer group (`migration/classic_members`).

use dohle_machine::Machine as _;
use dohle_model::ErrorCode;
use dohle_model::error::to_wire;
use dohle_protocol::messages::heartbeat_request::HeartbeatRequestData;
use dohle_protocol::messages::heartbeat_response::HeartbeatResponseData;
use dohle_protocol::messages::join_group_request::JoinGroupRequestData;
use dohle_protocol::messages::join_group_response::JoinGroupResponseData;
use dohle_protocol::messages::leave_group_request::{LeaveGroupRequestData, MemberIdentity};
use dohle_protocol::messages::leave_group_response::{LeaveGroupResponseData, MemberResponse};
use dohle_protocol::messages::sync_group_request::SyncGroupRequestData;
use dohle_protocol::messages::sync_group_response::SyncGroupResponseData;

use crate::classic::join::Join;
use crate::classic::leave::left;
use crate::classic::step::{ClassicGroupStep, join_error, sync_error};
use crate::ids::{GroupId, MemberId};
use crate::shard::{Group, Kind, Shard};
use crate::step::{Caller, JoinReply, JoinToken, SyncReply, SyncToken};
use crate::wire::millis;
use crate::{Effects, Step};

/// From this version of SyncGroup on members name the protocol that they use (KIP-559).
const NAMES_PROTOCOL: i16 = 5;

/// From this version of LeaveGroup on several members can leave at once.
const LEAVES_SEVERAL: i16 = 3;

/// JoinGroup.
impl Shard {
    /// Plans JoinGroup. The reply to `token`, also a refusal, is sent with this step or a later
    /// one.
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
            return self.route_join(request, caller, token, step);
        };
        let refusal = join_error(request.member_id.as_str(), code);
        step.reply(token, JoinReply(refusal));
    }

    fn route_join(
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
                return self.join_consumer_group(&group_id, request, caller, token, step);
            }
        };
        if is_new && !member_id.is_empty() {
            let refusal = join_error(member_id, ErrorCode::UnknownMemberId);
            return step.reply(token, JoinReply(refusal));
        }
        self.make_classic(&group_id, step);
        self.groups
            .entry(group_id.clone())
            .or_insert_with(Group::empty);
        let Some(mut classic) = self.classic_step(&group_id, step) else {
            return;
        };
        let join = Join::of(request, caller, token);
        match is_new {
            true => classic.join_new_group(&join),
            false => classic.join(&join),
        }
    }

    fn join_consumer_group(
        &mut self,
        group_id: &GroupId,
        request: &JoinGroupRequestData,
        caller: Caller<'_>,
        token: JoinToken,
        step: &mut Step<'_>,
    ) {
        self.observe(step);
        let joined =
            self.with_consumer_group(group_id, step, |group| group.classic_join(request, caller));
        let response = joined.unwrap_or_else(|failed| {
            step.effects = Effects::default();
            tracing::debug!(group = %group_id, %failed, "JoinGroup refused");
            JoinGroupResponseData {
                error_code: failed.code.code(),
                member_id: request.member_id.clone(),
                ..JoinGroupResponseData::default()
            }
        });
        step.read_up_to(self.written(group_id.as_str()));
        step.reply(token, JoinReply(response));
    }

    /// Replaces a consumer group without members by a classic group.
    fn make_classic(&mut self, group_id: &GroupId, step: &mut Step<'_>) {
        let Some(consumer) = self.consumer_group(group_id.as_str()) else {
            return;
        };
        let tombstones = consumer.tombstones(group_id);
        for tombstone in &tombstones {
            self.replay(tombstone.clone());
        }
        step.effects.records.extend(tombstones);
        step.effects.skip_replay = true;
        tracing::info!(group = %group_id, "empty consumer group becomes a classic group");
    }
}

/// SyncGroup, Heartbeat, LeaveGroup.
impl Shard {
    /// Plans SyncGroup. The reply to `token`, also a refusal, is sent with this step or a later
    /// one.
    pub fn sync_group(
        &mut self,
        request: &SyncGroupRequestData,
        caller: Caller<'_>,
        token: SyncToken,
        step: &mut Step<'_>,
    ) {
        let mut refuse = |code| step.reply(token, SyncReply(sync_error(code)));
        if caller.version >= NAMES_PROTOCOL
            && (request.protocol_type.is_none() || request.protocol_name.is_none())
        {
            return refuse(ErrorCode::InconsistentGroupProtocol);
        }
        if request.group_id.is_empty() {
            return refuse(ErrorCode::InvalidGroupId);
        }
        let group_id = GroupId::new(request.group_id.as_str());
        match self.groups.get_mut(&group_id).map(|group| &mut group.kind) {
            None => refuse(ErrorCode::UnknownMemberId),
            Some(Kind::Consumer(_)) => self.sync_consumer_group(&group_id, request, token, step),
            Some(Kind::Classic(group)) => {
                let mut classic = ClassicGroupStep {
                    group_id: &group_id,
                    group,
                    timers: &mut self.timers,
                    step,
                };
                classic.sync(request, token);
            }
        }
    }

    fn sync_consumer_group(
        &mut self,
        group_id: &GroupId,
        request: &SyncGroupRequestData,
        token: SyncToken,
        step: &mut Step<'_>,
    ) {
        let synced = self.with_consumer_group(group_id, step, |group| group.classic_sync(request));
        let response = synced.unwrap_or_else(|failed| {
            tracing::debug!(group = %group_id, %failed, "SyncGroup refused");
            SyncGroupResponseData {
                error_code: failed.code.code(),
                ..SyncGroupResponseData::default()
            }
        });
        step.read_up_to(self.written(group_id.as_str()));
        step.reply(token, SyncReply(response));
    }

    /// Plans Heartbeat.
    pub fn heartbeat(
        &mut self,
        request: &HeartbeatRequestData,
        _caller: Caller<'_>,
        step: &mut Step<'_>,
    ) -> HeartbeatResponseData {
        HeartbeatResponseData {
            error_code: to_wire(self.route_heartbeat(request, step).err()),
            ..HeartbeatResponseData::default()
        }
    }

    fn route_heartbeat(
        &mut self,
        request: &HeartbeatRequestData,
        step: &mut Step<'_>,
    ) -> Result<(), ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let group_id = GroupId::new(request.group_id.as_str());
        match self.groups.get_mut(&group_id).map(|group| &mut group.kind) {
            None => Err(ErrorCode::UnknownMemberId),
            Some(Kind::Consumer(_)) => {
                let plan = self
                    .with_consumer_group(&group_id, step, |group| group.classic_heartbeat(request));
                step.read_up_to(self.written(group_id.as_str()));
                plan.map_err(|failed| failed.code)
            }
            Some(Kind::Classic(group)) => {
                let mut classic = ClassicGroupStep {
                    group_id: &group_id,
                    group,
                    timers: &mut self.timers,
                    step,
                };
                classic.heartbeat(request)
            }
        }
    }

    /// Plans LeaveGroup.
    pub fn leave_group(
        &mut self,
        request: &LeaveGroupRequestData,
        caller: Caller<'_>,
        step: &mut Step<'_>,
    ) -> LeaveGroupResponseData {
        if caller.version >= LEAVES_SEVERAL {
            return self.route_leave(request, step);
        }
        let request = LeaveGroupRequestData {
            members: vec![MemberIdentity {
                member_id: request.member_id.clone(),
                ..MemberIdentity::default()
            }],
            ..request.clone()
        };
        let response = self.route_leave(&request, step);
        LeaveGroupResponseData {
            error_code: match response.error_code {
                0 => response
                    .members
                    .first()
                    .map_or(0, |member| member.error_code),
                code => code,
            },
            ..LeaveGroupResponseData::default()
        }
    }

    fn route_leave(
        &mut self,
        request: &LeaveGroupRequestData,
        step: &mut Step<'_>,
    ) -> LeaveGroupResponseData {
        if request.group_id.is_empty() {
            return LeaveGroupResponseData {
                error_code: ErrorCode::InvalidGroupId.code(),
                ..LeaveGroupResponseData::default()
            };
        }
        let group_id = GroupId::new(request.group_id.as_str());
        let members = match self.groups.get_mut(&group_id).map(|group| &mut group.kind) {
            None => {
                let unknown = Err(ErrorCode::UnknownMemberId);
                let members = request.members.iter();
                members.map(|member| left(member, unknown)).collect()
            }
            Some(Kind::Consumer(_)) => self.leave_consumer_group(&group_id, request, step),
            Some(Kind::Classic(group)) => {
                let mut classic = ClassicGroupStep {
                    group_id: &group_id,
                    group,
                    timers: &mut self.timers,
                    step,
                };
                classic.leave(&request.members)
            }
        };
        LeaveGroupResponseData {
            members,
            ..LeaveGroupResponseData::default()
        }
    }

    fn leave_consumer_group(
        &mut self,
        group_id: &GroupId,
        request: &LeaveGroupRequestData,
        step: &mut Step<'_>,
    ) -> Vec<MemberResponse> {
        let members = &request.members;
        let plan = self.with_consumer_group(group_id, step, |group| group.leave_all(members));
        step.read_up_to(self.written(group_id.as_str()));
        let outcomes = plan.unwrap_or_else(|failed| {
            step.effects = Effects::default();
            vec![Err(failed.code); members.len()]
        });
        let members = members.iter().zip(outcomes);
        members
            .map(|(member, outcome)| left(member, outcome))
            .collect()
    }
}

impl Shard {
    /// The step of the classic group with this id, if there is one.
    pub(super) fn classic_step<'t, 's>(
        &'t mut self,
        group_id: &'t GroupId,
        step: &'t mut Step<'s>,
    ) -> Option<ClassicGroupStep<'t, 's>> {
        let group = self.groups.get_mut(group_id)?.classic_mut()?;
        Some(ClassicGroupStep {
            group_id,
            group,
            timers: &mut self.timers,
            step,
        })
    }

    /// Notes that a member of a classic group committed offsets, which counts as a heartbeat.
    pub(crate) fn on_classic_commit(
        &mut self,
        group_id: &str,
        member_id: &str,
        step: &mut Step<'_>,
    ) {
        let group_id = GroupId::new(group_id);
        if let Some(mut classic) = self.classic_step(&group_id, step) {
            classic.on_offset_commit(&MemberId::new(member_id));
        }
    }
}
