//! Commands of clients of the classic protocol.

use bytes::{BufMut, BytesMut};
use dohle_machine::{DueReply, ReplyToken};
use dohle_protocol::messages::consumer_protocol_assignment::{
    ConsumerProtocolAssignmentData, TopicPartition as AssignedPartition,
};
use dohle_protocol::messages::consumer_protocol_subscription::{
    ConsumerProtocolSubscriptionData, TopicPartition,
};
use dohle_protocol::messages::heartbeat_request::HeartbeatRequestData;
use dohle_protocol::messages::join_group_request::{
    JoinGroupRequestData, JoinGroupRequestProtocol,
};
use dohle_protocol::messages::leave_group_request::{LeaveGroupRequestData, MemberIdentity};
use dohle_protocol::messages::sync_group_request::{
    SyncGroupRequestAssignment, SyncGroupRequestData,
};

use super::harness::{Client, GROUP, Harness, Options, split};
use super::print::{code_name, shown_assignment};
use crate::step::{Caller, JoinReply, SyncReply};
use crate::wire::text;

impl Harness {
    fn caller<'n>(&self, name: &'n str) -> Caller<'n> {
        Caller {
            client_id: name,
            client_host: "/127.0.0.1",
            version: 9,
        }
    }

    fn new_token<R>(&mut self, name: &str) -> ReplyToken<R> {
        self.token += 1;
        self.waiting.insert(self.token, name.to_owned());
        ReplyToken::new(self.token)
    }

    pub(super) fn classic_join(&mut self, name: &str, topics: &str, options: &Options<'_>) {
        let client = self.clients.entry(name.to_owned()).or_default();
        client.topics = split(topics);
        client.classic = true;
        client.synced = false;
        if let Some(instance) = options.0.get("i") {
            client.instance = Some((*instance).to_owned());
        }
        let client = client.clone();
        let owned = client.has.iter().filter_map(|(id, partitions)| {
            Some(TopicPartition {
                topic: text(self.image.topics.get(id)?.name.as_str()),
                partitions: partitions.iter().map(|partition| partition.0).collect(),
                _unknown_tagged_fields: Vec::new(),
            })
        });
        let subscription = ConsumerProtocolSubscriptionData {
            topics: client.topics.iter().map(|topic| text(topic)).collect(),
            owned_partitions: owned.collect(),
            ..ConsumerProtocolSubscriptionData::default()
        };
        let mut metadata = BytesMut::new();
        metadata.put_i16(3);
        subscription
            .write(&mut metadata, 3)
            .expect("a subscription");
        let request = JoinGroupRequestData {
            group_id: text(GROUP),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 60_000,
            member_id: text(&client.id),
            group_instance_id: client.instance.as_deref().map(text),
            protocol_type: text("consumer"),
            protocols: vec![JoinGroupRequestProtocol {
                name: text("range"),
                metadata: metadata.freeze(),
                _unknown_tagged_fields: Vec::new(),
            }],
            ..JoinGroupRequestData::default()
        };
        let token = self.new_token(name);
        let caller = self.caller(name);
        self.step(|shard, step| shard.join_group(&request, caller, token, step));
    }

    pub(super) fn classic_sync(&mut self, name: &str) {
        let client = self.clients.get(name).cloned().unwrap_or_default();
        let request = SyncGroupRequestData {
            group_id: text(GROUP),
            generation_id: client.epoch,
            member_id: text(&client.id),
            group_instance_id: client.instance.as_deref().map(text),
            protocol_type: Some(text("consumer")),
            protocol_name: Some(text("range")),
            assignments: self.led_assignments(&client),
            ..SyncGroupRequestData::default()
        };
        let token = self.new_token(name);
        let caller = self.caller(name);
        self.step(|shard, step| shard.sync_group(&request, caller, token, step));
    }

    /// Returns a leader's assignment: all partitions of all topics, round robin.
    fn led_assignments(&self, client: &Client) -> Vec<SyncGroupRequestAssignment> {
        let Some(members) = &client.led else {
            return Vec::new();
        };
        let mut all: Vec<ConsumerProtocolAssignmentData> = members
            .iter()
            .map(|_| ConsumerProtocolAssignmentData::default())
            .collect();
        let mut next = 0;
        for topic in self.image.topics.values() {
            for partition in topic.partitions.keys() {
                let at = next % all.len();
                let of = AssignedPartition {
                    topic: text(topic.name.as_str()),
                    partitions: vec![partition.0],
                    _unknown_tagged_fields: Vec::new(),
                };
                all[at].assigned_partitions.push(of);
                next += 1;
            }
        }
        let all = members.iter().zip(all).map(|((member_id, _), data)| {
            let mut assignment = BytesMut::new();
            assignment.put_i16(3);
            data.write(&mut assignment, 3).expect("an assignment");
            SyncGroupRequestAssignment {
                member_id: text(member_id),
                assignment: assignment.freeze(),
                _unknown_tagged_fields: Vec::new(),
            }
        });
        all.collect()
    }

    pub(super) fn classic_beat(&mut self, name: &str) {
        let client = self.clients.get(name).cloned().unwrap_or_default();
        let request = HeartbeatRequestData {
            group_id: text(GROUP),
            generation_id: client.epoch,
            member_id: text(&client.id),
            group_instance_id: client.instance.as_deref().map(text),
            ..HeartbeatRequestData::default()
        };
        let caller = self.caller(name);
        let answer = self.step(|shard, step| shard.heartbeat(&request, caller, step));
        if let Some(answer) = answer {
            let code = code_name(answer.error_code);
            self.lose(name, &code);
            self.say(&format!("  {name}: {code}"));
        }
    }

    fn lose(&mut self, name: &str, code: &str) {
        if let Some(client) = self.clients.get_mut(name) {
            lose(client, code);
        }
    }

    pub(super) fn classic_leave(&mut self, name: &str) {
        let client = self.clients.get(name).cloned().unwrap_or_default();
        let identity = MemberIdentity {
            member_id: text(&client.id),
            group_instance_id: client.instance.as_deref().map(text),
            ..MemberIdentity::default()
        };
        let request = LeaveGroupRequestData {
            group_id: text(GROUP),
            members: vec![identity],
            ..LeaveGroupRequestData::default()
        };
        let caller = Caller {
            version: 5,
            ..self.caller(name)
        };
        if let Some(client) = self.clients.get_mut(name) {
            client.has.clear();
        }
        let answer = self.step(|shard, step| shard.leave_group(&request, caller, step));
        for member in answer.into_iter().flat_map(|answer| answer.members) {
            let line = format!("  {name}: left, {}", code_name(member.error_code));
            self.say(&line);
        }
    }

    pub(super) fn hear(&mut self, reply: DueReply) {
        let name = self.waiting.remove(&reply.id()).expect("who waits");
        let names = self.names();
        let Some(client) = self.clients.get_mut(&name) else {
            return;
        };
        let line = match reply.downcast() {
            Ok(JoinReply(join)) => {
                if !join.member_id.as_str().is_empty() {
                    client.id = join.member_id.to_string();
                }
                if join.error_code == 0 {
                    client.epoch = join.generation_id;
                }
                let members = join.members.iter();
                let led = members
                    .map(|m| (m.member_id.to_string(), m.metadata.clone()))
                    .collect();
                let leads = join.error_code == 0 && join.leader == join.member_id;
                client.led = leads.then_some(led);
                let code = code_name(join.error_code);
                lose(client, &code);
                let leads = if leads { ", leads" } else { "" };
                format!(
                    "  {name}: joined, {code}, generation {}{leads}",
                    join.generation_id
                )
            }
            Err(reply) => {
                let SyncReply(sync) = reply.downcast().expect("a reply to SyncGroup");
                let code = code_name(sync.error_code);
                client.synced = sync.error_code == 0;
                lose(client, &code);
                if sync.error_code == 0 {
                    client.has =
                        crate::migration::embedded::assignment(&sync.assignment, &self.image)
                            .expect("an assignment")
                            .expect("without data");
                }
                format!(
                    "  {name}: synced, {code}, has {}",
                    shown_assignment(&client.has, &names)
                )
            }
        };
        self.say(&line);
    }
}

/// Clears the state of a client that is refused as an unknown member.
fn lose(client: &mut Client, code: &str) {
    if matches!(
        code,
        "UnknownMemberId" | "IllegalGeneration" | "FencedInstanceId"
    ) {
        client.has.clear();
        client.epoch = 0;
        client.id.clear();
    }
}
