//! The classic protocol: the leader of a generation assigns the partitions.

use anyhow::{Result, ensure};
use bytes::{Buf, Bytes};
use kacrab_protocol::generated as kafka;

use super::{Coordinator, Member, Partition};
use crate::cluster::text;

const SESSION_TIMEOUT_MS: i32 = 6_000;
/// Below the client's patience with an answer.
const REBALANCE_TIMEOUT_MS: i32 = 3_000;
const PROTOCOL: &str = "chaos";
/// A subscription of version 0 without topics and user data.
const SUBSCRIPTION: [u8; 10] = [0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];

const JOIN_VERSION: i16 = 5;
const SYNC_VERSION: i16 = 3;
const HEARTBEAT_VERSION: i16 = 3;
const LEAVE_VERSION: i16 = 1;

const UNKNOWN_MEMBER_ID: i16 = 25;
const REBALANCE_IN_PROGRESS: i16 = 27;
const ILLEGAL_GENERATION: i16 = 22;

impl Member<'_> {
    pub(super) fn keep_classic_membership(&mut self) -> Result<bool> {
        let Some(generation) = self.generation else {
            let joined = self.join();
            if joined.is_err() {
                self.lose_membership();
            }
            return joined.map(|()| true);
        };
        let request = kafka::HeartbeatRequestData {
            group_id: text(self.protocol.group()),
            generation_id: generation,
            member_id: text(&self.id),
            ..Default::default()
        };
        let coordinator = Coordinator::Group(self.protocol.group());
        let ((), code) = self.client.on_coordinator(coordinator, |connection| {
            let answer = connection.call(&request, HEARTBEAT_VERSION)?;
            Ok(((), answer.error_code))
        })?;
        self.note_member_error(code);
        Ok(code == 0)
    }

    fn note_member_error(&mut self, code: i16) {
        if code == UNKNOWN_MEMBER_ID {
            self.id.clear();
        }
        if [UNKNOWN_MEMBER_ID, REBALANCE_IN_PROGRESS, ILLEGAL_GENERATION].contains(&code) {
            self.lose_membership();
        }
    }

    fn join(&mut self) -> Result<()> {
        let group = self.protocol.group();
        let coordinator = Coordinator::Group(group);
        let request = kafka::JoinGroupRequestData {
            group_id: text(group),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            member_id: text(&self.id),
            protocol_type: text("consumer"),
            protocols: vec![kafka::join_group_request::JoinGroupRequestProtocol {
                name: text(PROTOCOL),
                metadata: Bytes::from_static(&SUBSCRIPTION),
                ..Default::default()
            }],
            ..Default::default()
        };
        let (joined, code) = self.client.on_coordinator(coordinator, |connection| {
            let answer = connection.call(&request, JOIN_VERSION)?;
            let code = answer.error_code;
            Ok((answer, code))
        })?;
        if !joined.member_id.as_str().is_empty() {
            joined.member_id.as_str().clone_into(&mut self.id);
        }
        self.note_member_error(code);
        ensure!(code == 0, "JoinGroup: error {code}");
        let mut assignments = Vec::new();
        if joined.leader == joined.member_id {
            let count = joined.members.len();
            for (number, member) in joined.members.iter().enumerate() {
                let partitions = (0..self.partitions.0.len()).skip(number).step_by(count);
                assignments.push(kafka::sync_group_request::SyncGroupRequestAssignment {
                    member_id: member.member_id.clone(),
                    assignment: partitions.map(encode).collect(),
                    ..Default::default()
                });
            }
        }
        let request = kafka::SyncGroupRequestData {
            group_id: text(group),
            generation_id: joined.generation_id,
            member_id: text(&self.id),
            assignments,
            ..Default::default()
        };
        let (mut assignment, code) = self.client.on_coordinator(coordinator, |connection| {
            let answer = connection.call(&request, SYNC_VERSION)?;
            let code = answer.error_code;
            Ok((answer.assignment, code))
        })?;
        self.note_member_error(code);
        ensure!(code == 0, "SyncGroup: error {code}");
        self.generation = Some(joined.generation_id);
        let mut partitions: Vec<Partition> = Vec::new();
        while assignment.has_remaining() {
            partitions.push(assignment.get_u8().into());
        }
        self.own(partitions)
    }

    pub(super) fn leave_classic_group(&mut self) -> Result<()> {
        let request = kafka::LeaveGroupRequestData {
            group_id: text(self.protocol.group()),
            member_id: text(&self.id),
            ..Default::default()
        };
        let coordinator = Coordinator::Group(self.protocol.group());
        let answer = self.client.on_coordinator(coordinator, |connection| {
            let answer = connection.call(&request, LEAVE_VERSION)?;
            Ok(((), answer.error_code))
        });
        answer.map(drop)
    }
}

/// Returns a partition's place, which an assignment consists of.
fn encode(partition: Partition) -> u8 {
    partition.to_le_bytes()[0]
}
