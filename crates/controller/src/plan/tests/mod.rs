//! Tests of the plans, as scripts: each line is a request, and the lines after it in the
//! expectation are its changes.

mod acls;
mod client_quotas;
mod delegation_tokens;
mod elections;
mod features;
mod invariants;
mod membership;
mod placement;
mod reassignments;
mod requests;
mod scram;
mod unclean;

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use dohle_model::image::MetadataImage;
use dohle_model::partition::LeaderRecoveryState;
use dohle_model::record::{BrokerRegistration, Endpoint, MetadataRecord, SecurityProtocol};
use dohle_model::{
    ApiError, BrokerEpoch, DirectoryId, IncarnationId, NodeId, TopicId, TopicIdPartition, Uuid,
};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::alter_partition_reassignments_request::{
    AlterPartitionReassignmentsRequestData, ReassignablePartition, ReassignableTopic,
};
use dohle_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequestData,
};
use dohle_protocol::messages::elect_leaders_request::{ElectLeadersRequestData, TopicPartitions};
use dohle_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequestData,
};
use dohle_rpc::v1;
use expect_test::Expect;

use super::{AnyConfig, Draft, Indexes, PlanSettings};

#[track_caller]
fn check(script: &str, expected: Expect) {
    let mut world = Harness::new(true);
    let mut trace = String::new();
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let output = world.run(line);
        writeln!(trace, "> {line}").unwrap();
        trace.push_str(&output);
    }
    expected.assert_eq(&trace);
}

fn id16(first: u8, last: u8) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[0] = first;
    bytes[15] = last;
    bytes
}

fn settings() -> PlanSettings {
    PlanSettings {
        controller: NodeId(1),
        controllers: [NodeId(1)].into(),
        new_cluster_features: dohle_model::features::defaults(),
        new_cluster_users: Vec::new(),
        num_partitions: 2,
        default_replication_factor: 3,
        min_insync_replicas: 1,
        unclean_leader_election: false,
        delegation_tokens: None,
        configs: Arc::new(AnyConfig),
    }
}

/// A draft, and the names of the objects in it.
struct Harness {
    draft: Draft,
    topics: u8,
    incarnations: u8,
}

impl Harness {
    fn new(elr: bool) -> Self {
        let mut draft = Draft::new(
            &MetadataImage::default(),
            &Indexes::default(),
            &Arc::new(settings()),
        );
        super::features::bootstrap(&mut draft);
        if !elr {
            let name = dohle_model::features::ELIGIBLE_LEADER_REPLICAS_VERSION.to_owned();
            draft.push(MetadataRecord::FeatureLevel { name, level: 0 });
        }
        Self {
            draft,
            topics: 0,
            incarnations: 0,
        }
    }

    /// Runs a line. Returns its outcome and its changes.
    fn run(&mut self, line: &str) -> String {
        let before = self.draft.records.len();
        let outcome = self.request(line);
        assert_eq!(self.draft.broken, None, "{line}");
        let mut output = String::new();
        for line in outcome.lines() {
            writeln!(output, "  {line}").unwrap();
        }
        let records = self.draft.records[before..].to_vec();
        for record in &records {
            writeln!(output, "  {}", self.show(record)).unwrap();
        }
        output
    }

    fn request(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let node = |word: &str| NodeId(word.parse().unwrap());
        let failed = |result: Result<(), ApiError>| match result {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        let draft = &mut self.draft;
        match words[..] {
            ["brokers", ref ids @ ..] => {
                for broker in ids {
                    let (id, rack) = broker
                        .split_once('@')
                        .map_or((*broker, None), |(i, r)| (i, Some(r)));
                    let registration = self.registration(node(id), rack, &[node(id).0 as u8]);
                    super::brokers::register(&mut self.draft, registration, None).unwrap();
                    super::brokers::unfence(&mut self.draft, node(id));
                }
                String::new()
            }
            // After a clean stop, without one, and with the file of an earlier clean stop.
            [
                how @ ("register" | "register-unclean" | "register-stale"),
                id,
                ref dirs @ ..,
            ] => {
                let dirs: Vec<u8> = dirs.iter().map(|dir| dir.parse().unwrap()).collect();
                let dirs = if dirs.is_empty() {
                    vec![node(id).0 as u8]
                } else {
                    dirs
                };
                let registration = self.registration(node(id), None, &dirs);
                let brokers = &self.draft.image.brokers;
                let previous = brokers.get(&node(id)).map(|broker| broker.epoch);
                let previous = match how {
                    "register" => previous,
                    "register-stale" => previous.map(|epoch| BrokerEpoch(epoch.0 - 1)),
                    _ => None,
                };
                let result = super::brokers::register(&mut self.draft, registration, previous);
                failed(result.map(|_| ()))
            }
            ["register-again", id] => {
                let registration = self.draft.image.brokers[&node(id)].as_ref().clone();
                failed(super::brokers::register(&mut self.draft, registration, None).map(|_| ()))
            }
            ["connected", ref ids @ ..] => {
                draft.connected = ids.iter().map(|id| node(id)).collect();
                String::new()
            }
            ["fence", id] => {
                super::brokers::fence(draft, node(id));
                String::new()
            }
            ["unfence", id] => {
                super::brokers::unfence(draft, node(id));
                String::new()
            }
            ["shutdown", id] => {
                super::brokers::begin_controlled_shutdown(draft, node(id));
                String::new()
            }
            ["unregister", id] => failed(super::brokers::unregister(draft, node(id))),
            ["offline", id, dir] => {
                let dir = DirectoryId::from_bytes(id16(200, dir.parse().unwrap()));
                super::brokers::take_directories_offline(draft, node(id), &[dir]);
                String::new()
            }
            ["cordon", id, ref dirs @ ..] => {
                let dir = |dir: &&str| DirectoryId::from_bytes(id16(200, dir.parse().unwrap()));
                let dirs: Vec<DirectoryId> = dirs.iter().map(dir).collect();
                super::brokers::cordon_directories(draft, node(id), &dirs);
                String::new()
            }
            ["assign", id, partition, dir] => self.assign(node(id), partition, dir),
            ["topic", name, ref rest @ ..] => {
                let assignments: Vec<&str> = rest
                    .iter()
                    .copied()
                    .filter(|word| !word.contains('='))
                    .collect();
                let configs: Vec<(&str, &str)> = rest
                    .iter()
                    .filter_map(|word| word.split_once('='))
                    .collect();
                self.create_topic(name, &assignments, &configs)
            }
            ["config", name, entry] => {
                // Without a value the entry is removed.
                let (key, value) = entry.split_once('=').unwrap();
                let op = (
                    key,
                    i8::from(value.is_empty()),
                    Some(value).filter(|v| !v.is_empty()),
                );
                let (kind, name) = match name {
                    "all-brokers" => (4, ""),
                    broker if broker.parse::<i32>().is_ok() => (4, broker),
                    name => (2, name),
                };
                alter_configs(draft, (kind, name), &[op])
            }
            ["isr", partition, "by", leader, "=", members] => {
                self.alter_partition(partition, leader, members, (0, 0))
            }
            [
                "isr",
                partition,
                "by",
                leader,
                "=",
                members,
                "epochs",
                leader_epoch,
                epoch,
            ] => {
                let offsets = (leader_epoch.parse().unwrap(), epoch.parse().unwrap());
                self.alter_partition(partition, leader, members, offsets)
            }
            ["reassign", partition, "=", replicas] => {
                self.reassign(partition, Some(replicas), true)
            }
            ["reassign-same-size", partition, "=", replicas] => {
                self.reassign(partition, Some(replicas), false)
            }
            ["cancel", partition] => self.reassign(partition, None, true),
            ["elect", election, ref partitions @ ..] => self.elect(election, partitions),
            ["features", ref updates @ ..] => features::update(draft, updates),
            ["rebalance"] => {
                assert!(!super::leaders::rebalance(draft));
                String::new()
            }
            _ => panic!("unknown line {line:?}"),
        }
    }

    fn registration(&mut self, id: NodeId, rack: Option<&str>, dirs: &[u8]) -> BrokerRegistration {
        self.incarnations += 1;
        let dirs = dirs
            .iter()
            .map(|dir| DirectoryId::from_bytes(id16(200, *dir)));
        BrokerRegistration {
            id,
            incarnation: IncarnationId::from_bytes(id16(100, self.incarnations)),
            epoch: BrokerEpoch(0),
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".to_owned(),
                host: "host".to_owned(),
                port: 9092,
                security_protocol: SecurityProtocol::Plaintext,
            }],
            rack: rack.map(str::to_owned),
            fenced: false,
            in_controlled_shutdown: false,
            log_dirs: dirs.collect(),
            cordoned_log_dirs: Vec::new(),
            features: dohle_model::features::supported(),
        }
    }

    fn create_topic(
        &mut self,
        name: &str,
        assignments: &[&str],
        configs: &[(&str, &str)],
    ) -> String {
        self.topics += 1;
        let assignments = (0..).zip(assignments);
        let assignments = assignments.map(|(index, replicas)| CreatableReplicaAssignment {
            partition_index: index,
            broker_ids: ids(replicas),
            ..CreatableReplicaAssignment::default()
        });
        let configs = configs.iter().map(|(key, value)| CreatableTopicConfig {
            name: kafka_string(key),
            value: Some(kafka_string(value)),
            ..CreatableTopicConfig::default()
        });
        let topic = CreatableTopic {
            name: kafka_string(name),
            num_partitions: -1,
            replication_factor: -1,
            assignments: assignments.collect(),
            configs: configs.collect(),
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequestData {
            topics: vec![topic],
            ..CreateTopicsRequestData::default()
        };
        let response =
            super::create_topics::create(&mut self.draft, &request, topic_uuid(self.topics));
        let result = &response.topics[0];
        shown(result.error_code, result.error_message.as_ref())
    }

    fn find(&self, partition: &str) -> TopicIdPartition {
        let (topic, partition) = partition.rsplit_once('-').unwrap();
        let topic_id = self
            .draft
            .image
            .topic(topic)
            .map_or(TopicId::ZERO, |topic| topic.id);
        let partition = dohle_model::PartitionIndex(partition.parse().unwrap());
        TopicIdPartition {
            topic_id,
            partition,
        }
    }

    /// `ahead` is added to the current leader epoch and partition epoch. A member may be
    /// `ID@EPOCH`.
    fn alter_partition(
        &mut self,
        partition: &str,
        leader: &str,
        members: &str,
        ahead: (i32, i32),
    ) -> String {
        let id = self.find(partition);
        let now = self.draft.partition(id);
        let broker_id = leader.parse().unwrap();
        let epoch = self
            .draft
            .image
            .brokers
            .get(&NodeId(broker_id))
            .map_or(-1, |b| b.epoch.0);
        let wanted = v1::AlterPartition {
            topic_id: Bytes::copy_from_slice(&id.topic_id.to_bytes()),
            partition: id.partition.0,
            leader_epoch: now.as_ref().map_or(0, |p| p.leader_epoch.0) + ahead.0,
            new_isr: members.split(',').map(isr_member).collect(),
            leader_recovery_state: 0,
            partition_epoch: now.as_ref().map_or(0, |p| p.partition_epoch.0) + ahead.1,
        };
        let request = v1::AlterPartitionRequest {
            broker_id,
            broker_epoch: epoch,
            partitions: vec![wanted],
        };
        match super::partitions::alter(&mut self.draft, &request) {
            Ok(results) => {
                let code = i16::try_from(results[0].code).unwrap();
                dohle_model::ErrorCode::from_code(code).map_or(String::new(), |c| c.to_string())
            }
            Err(error) => error.to_string(),
        }
    }

    fn assign(&mut self, broker: NodeId, partition: &str, dir: &str) -> String {
        let id = self.find(partition);
        let request = v1::AssignReplicasToDirsRequest {
            broker_id: broker.0,
            broker_epoch: self.draft.image.brokers[&broker].epoch.0,
            replicas: vec![v1::ReplicaDirectory {
                topic_id: Bytes::copy_from_slice(&id.topic_id.to_bytes()),
                partition: id.partition.0,
                directory: Bytes::copy_from_slice(&id16(200, dir.parse().unwrap())),
            }],
        };
        match super::brokers::assign_replicas_to_dirs(&mut self.draft, &request) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    fn reassign(&mut self, partition: &str, replicas: Option<&str>, any_size: bool) -> String {
        let (topic, index) = partition.rsplit_once('-').unwrap();
        let partition = ReassignablePartition {
            partition_index: index.parse().unwrap(),
            replicas: replicas.map(ids),
            ..ReassignablePartition::default()
        };
        let request = AlterPartitionReassignmentsRequestData {
            allow_replication_factor_change: any_size,
            topics: vec![ReassignableTopic {
                name: KafkaString::from(topic.to_owned()),
                partitions: vec![partition],
                ..ReassignableTopic::default()
            }],
            ..AlterPartitionReassignmentsRequestData::default()
        };
        let response = super::reassignments::alter(&mut self.draft, &request);
        let result = &response.responses[0].partitions[0];
        shown(result.error_code, result.error_message.as_ref())
    }

    fn elect(&mut self, election: &str, partitions: &[&str]) -> String {
        let partitions = partitions.iter().map(|partition| {
            let (topic, index) = partition.rsplit_once('-').unwrap();
            TopicPartitions {
                topic: KafkaString::from(topic.to_owned()),
                partitions: vec![index.parse().unwrap()],
                ..TopicPartitions::default()
            }
        });
        let partitions: Vec<_> = partitions.collect();
        let request = ElectLeadersRequestData {
            election_type: match election {
                "preferred" => 0,
                "unclean" => 1,
                other => other.parse().unwrap(),
            },
            topic_partitions: (!partitions.is_empty()).then_some(partitions),
            ..ElectLeadersRequestData::default()
        };
        let response = match super::leaders::elect(&mut self.draft, &request) {
            Ok(response) => response,
            Err(error) => return error.to_string(),
        };
        let mut output = String::new();
        for topic in response.replica_election_results {
            for result in topic.partition_result {
                let outcome = shown(result.error_code, result.error_message.as_ref());
                let partition = result.partition_id;
                writeln!(output, "{}-{partition}: {outcome}", topic.topic).unwrap();
            }
        }
        output
    }

    /// Formats a record as a line; for partitions, the state after the record without its usual
    /// values.
    fn show(&self, record: &MetadataRecord) -> String {
        match record {
            MetadataRecord::RegisterBroker(broker) => {
                format!("broker {} epoch {}", broker.id, broker.epoch)
            }
            MetadataRecord::UnregisterBroker { id, .. } => format!("broker {id} forgotten"),
            MetadataRecord::BrokerRegistrationChange(change) => {
                let mut output = format!("broker {}", change.id);
                if let Some(fenced) = change.fenced {
                    output += if fenced { " fenced" } else { " unfenced" };
                }
                if change.in_controlled_shutdown.is_some() {
                    output += " shutting down";
                }
                if let Some(dirs) = &change.cordoned_log_dirs {
                    write!(output, " has {} cordoned log directories", dirs.len()).unwrap();
                }
                if let Some(dirs) = &change.log_dirs {
                    write!(output, " {} log dirs", dirs.len()).unwrap();
                }
                output
            }
            MetadataRecord::Topic { name, .. } => format!("topic {name}"),
            other => match other.partition() {
                Some(id) => self.show_partition(id),
                None => format!("{other:?}"),
            },
        }
    }

    fn show_partition(&self, id: TopicIdPartition) -> String {
        let (Some(topic), Some(p)) = (self.draft.topic_name(id), self.draft.partition(id)) else {
            return "gone".to_owned();
        };
        let leader = p
            .leader
            .map_or("none".to_owned(), |leader| leader.to_string());
        let mut output = format!(
            "{topic}-{} replicas {} isr [{}] leader {leader} epochs {}/{}",
            id.partition,
            list(&p.replicas),
            list(&p.isr),
            p.leader_epoch,
            p.partition_epoch
        );
        for (name, nodes) in [
            ("elr", &p.elr),
            ("last known", &p.last_known_elr),
            ("adding", &p.adding_replicas),
            ("removing", &p.removing_replicas),
        ] {
            if !nodes.is_empty() {
                write!(output, " {name} [{}]", list(nodes)).unwrap();
            }
        }
        if p.leader_recovery_state == LeaderRecoveryState::Recovering {
            output += " recovering";
        }
        output
    }
}

fn topic_id(number: u8) -> Bytes {
    Bytes::copy_from_slice(&id16(50, number))
}

fn ids(list: &str) -> Vec<i32> {
    list.split(',')
        .filter(|id| !id.is_empty())
        .map(|id| id.parse().unwrap())
        .collect()
}

fn list(nodes: &[NodeId]) -> String {
    super::listed(nodes).replace(", ", ",")
}

/// Formats an error; returns nothing for success.
fn shown(code: i16, message: Option<&KafkaString>) -> String {
    if code == 0 {
        return String::new();
    }
    let code = dohle_model::ErrorCode::from_code(code).unwrap();
    format!("{code}: {}", message.unwrap())
}

/// Plans IncrementalAlterConfigs of one resource, by type and name. Returns its outcome.
fn alter_configs(
    draft: &mut Draft,
    (kind, name): (i8, &str),
    ops: &[(&str, i8, Option<&str>)],
) -> String {
    let configs = ops.iter().map(|(name, op, value)| AlterableConfig {
        name: kafka_string(name),
        config_operation: *op,
        value: value.map(kafka_string),
        ..AlterableConfig::default()
    });
    let request = IncrementalAlterConfigsRequestData {
        resources: vec![AlterConfigsResource {
            resource_type: kind,
            resource_name: kafka_string(name),
            configs: configs.collect(),
            ..AlterConfigsResource::default()
        }],
        ..IncrementalAlterConfigsRequestData::default()
    };
    let response = super::configs::alter(draft, &request);
    let result = &response.responses[0];
    shown(result.error_code, result.error_message.as_ref())
}

fn kafka_string(text: &str) -> KafkaString {
    KafkaString::from(text.to_owned())
}

fn topic_uuid(number: u8) -> Uuid {
    Uuid(id16(50, number))
}

/// Parses a member of a proposed ISR: `ID`, or `ID@EPOCH` with the broker epoch that the leader
/// saw.
fn isr_member(text: &str) -> v1::IsrMember {
    let (id, epoch) = text.split_once('@').unwrap_or((text, "-1"));
    v1::IsrMember {
        broker_id: id.parse().unwrap(),
        broker_epoch: epoch.parse().unwrap(),
    }
}
