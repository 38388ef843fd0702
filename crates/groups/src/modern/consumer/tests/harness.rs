//! A shard with clients: commands make requests, and a trace shows the responses and the records.
//!
//! ```text
//! topic NAME PARTITIONS | delete NAME       config NAME MS | own NAME VALUE
//! join ID TOPICS [key=value]…               a member joins; keys: i (instance), regex, assignor,
//!                                           timeout, rack, id
//! beat ID [key=value]…                      a heartbeat; keys: topics, regex, epoch, have, …
//! ack ID                                    a heartbeat that reports what it was told to have
//! leave ID | away ID                        for good; for a while
//! cjoin ID TOPICS | csync ID | cbeat ID | cleave ID     the same in the classic protocol
//! wait MS                                   time passes; timers run
//! fail                                      the next write fails
//! reload                                    another broker loads the compacted log
//! show                                      describes the group
//! history                                   its rebalances
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_config::BrokerValues;
use dohle_machine::{Machine as _, run_expired_timer};
use dohle_model::image::{MetadataImage, TopicImage};
use dohle_model::partition::PartitionRegistration;
use dohle_model::{ErrorCode, NodeId, Offset, PartitionIndex, Timestamp, TopicId, TopicName, Uuid};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::consumer_group_heartbeat_request::{
    ConsumerGroupHeartbeatRequestData, TopicPartitions,
};

use super::print::{shown, shown_assignment, shown_member};
use crate::config::GroupConfig;
use crate::modern::consumer::{ConsumerGroup, Matches};
use crate::modern::member::Assignment;
use crate::records::Record;
use crate::shard::Shard;
use crate::step::{Caller, OnCommit};
use crate::test_scripts::ScriptDriver;
use crate::wire::{text, topic_id_to_wire};
use crate::{Effects, Step};

pub(super) const GROUP: &str = "g";

pub(super) struct Harness {
    pub shard: Shard,
    pub image: MetadataImage,
    pub config: GroupConfig,
    pub now: Duration,
    pub log: Vec<Record>,
    pub clients: BTreeMap<String, Client>,
    trace: String,
    fresh: u8,
    /// The matches for a request that is planned again.
    pub matches: Option<Matches>,
    pub token: u64,
    pub waiting: BTreeMap<u64, String>,
    fails: bool,
    /// Whether a client that is refused gives up its partitions, as real clients do.
    pub resets: bool,
}

/// The state of a client.
#[derive(Debug, Clone, Default)]
pub(super) struct Client {
    pub id: String,
    pub instance: Option<String>,
    pub epoch: i32,
    pub has: Assignment,
    pub topics: Vec<String>,
    /// Whether it uses the classic protocol.
    pub classic: bool,
    /// Whether it has received its assignment since it joined last in the classic protocol.
    pub synced: bool,
    /// Whether a response was lost, so that the next request has all fields.
    pub says_all: bool,
    /// The members of the generation that it leads in the classic protocol.
    pub led: Option<Vec<(String, Bytes)>>,
}

impl Default for Harness {
    fn default() -> Self {
        let mut config = GroupConfig::resolve(&BrokerValues::default());
        config.group_consumer_assignment_interval = Duration::ZERO;
        config.group_initial_rebalance_delay = Duration::ZERO;
        Self {
            shard: Shard::default(),
            image: MetadataImage::default(),
            config,
            now: Duration::from_secs(1_000),
            log: Vec::new(),
            clients: BTreeMap::new(),
            trace: String::new(),
            fresh: 0,
            matches: None,
            token: 0,
            waiting: BTreeMap::new(),
            fails: false,
            resets: false,
        }
    }
}

/// The options of a command.
pub(super) struct Options<'a>(pub BTreeMap<&'a str, &'a str>);

impl<'a> Options<'a> {
    fn of(words: &[&'a str]) -> Self {
        Self(
            words
                .iter()
                .filter_map(|word| word.split_once('='))
                .collect(),
        )
    }

    fn text(&self, key: &str) -> Option<KafkaString> {
        self.0.get(key).map(|value| text(value))
    }

    fn number(&self, key: &str) -> Option<i32> {
        Some(self.0.get(key)?.parse().expect("a number"))
    }
}

impl ScriptDriver for Harness {
    fn run(&mut self, line: &str) {
        self.say(line);
        let words: Vec<&str> = line.split_whitespace().collect();
        self.command(&words);
    }

    fn trace(&mut self) -> &mut String {
        &mut self.trace
    }
}

impl Harness {
    pub(super) fn say(&mut self, line: &str) {
        self.trace.push_str(line);
        self.trace.push('\n');
    }

    pub fn command(&mut self, words: &[&str]) {
        match words {
            ["topic", name, count] => self.topic(name, count.parse().expect("a number")),
            ["delete", name] => self.delete(name),
            ["config", name, ms] => self.configure(name, ms),
            ["own", name, value] => {
                let own = self.config.groups.entry(GROUP.to_owned()).or_default();
                own.insert((*name).to_owned(), (*value).to_owned());
            }
            ["join", id, topics, rest @ ..] => self.join(id, topics, &Options::of(rest)),
            ["beat", id, rest @ ..] => self.beat(id, &Options::of(rest)),
            ["ack", id] => self.ack(id),
            ["leave", id] => self.leave(id, -1),
            ["away", id] => self.leave(id, -2),
            ["cjoin", id, topics, rest @ ..] => self.classic_join(id, topics, &Options::of(rest)),
            ["csync", id] => self.classic_sync(id),
            ["cbeat", id] => self.classic_beat(id),
            ["cleave", id] => self.classic_leave(id),
            ["wait", ms] => self.wait(ms.parse().expect("a number")),
            ["fail"] => self.fails = true,
            ["reload"] => self.reload(),
            ["show"] => self.show(),
            ["history"] => self.history(),
            other => panic!("no such command: {other:?}"),
        }
    }

    fn configure(&mut self, name: &str, value: &str) {
        let ms = || Duration::from_millis(value.parse().expect("a number"));
        match name {
            "assignment.interval" => self.config.group_consumer_assignment_interval = ms(),
            "max.size" => self.config.group_consumer_max_size = value.parse().expect("a number"),
            "migration.policy" => {
                self.config.group_consumer_migration_policy = match value {
                    "disabled" => dohle_config::MigrationPolicy::Disabled,
                    "upgrade" => dohle_config::MigrationPolicy::Upgrade,
                    "downgrade" => dohle_config::MigrationPolicy::Downgrade,
                    _ => dohle_config::MigrationPolicy::Bidirectional,
                }
            }
            other => panic!("no such configuration: {other}"),
        }
    }

    /// Creates a topic, or adds partitions to it.
    pub fn topic(&mut self, name: &str, count: i32) {
        self.image.offset.0 += 1;
        let known = self.image.topic(name).map(|topic| topic.id);
        let id = known.unwrap_or_else(|| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&self.image.offset.0.to_be_bytes());
            TopicId::from_bytes(id)
        });
        let name = TopicName::new(name).expect("a name");
        let registration = Arc::new(registration(&[1]));
        let partitions = (0..count)
            .map(|p| (PartitionIndex(p), registration.clone()))
            .collect();
        self.image.topic_ids.insert(name.clone(), id);
        let topic = TopicImage {
            name,
            id,
            partitions,
        };
        self.image.topics.insert(id, topic);
    }

    pub fn delete(&mut self, name: &str) {
        self.image.offset.0 += 1;
        if let Some(id) = self.image.topic_ids.remove(name) {
            self.image.topics.remove(&id);
        }
    }

    /// Runs a step, replays its records, and delivers its replies.
    pub fn step<R>(&mut self, plan: impl FnOnce(&mut Shard, &mut Step<'_>) -> R) -> Option<R> {
        self.fresh += 1;
        let mut matches = self.matches.take().unwrap_or_default();
        let mut step = Step {
            now: self.now,
            wall: Timestamp(i64::try_from(self.now.as_millis()).expect("small")),
            image: &self.image,
            config: &self.config,
            fresh: Uuid([self.fresh; 16]),
            lookups: Some(&matches),
            unresolved: Vec::new(),
            effects: Effects::default(),
        };
        let result = plan(&mut self.shard, &mut step);
        let (effects, unresolved) = (step.effects, step.unresolved);
        if !unresolved.is_empty() {
            assert!(
                effects.records.is_empty(),
                "a plan without matches writes nothing"
            );
            matches.resolve(unresolved, &self.image);
            self.matches = Some(matches);
            self.fresh -= 1;
            return None;
        }
        if std::mem::take(&mut self.fails) {
            self.say("  the write fails");
            return None;
        }
        let names = self.names();
        for record in &effects.records {
            let line = format!("  + {}\n", shown(record, &names));
            self.trace.push_str(&line);
        }
        if !effects.skip_replay {
            for record in effects.records.clone() {
                self.shard.replay(record);
            }
        }
        let wall = Timestamp(i64::try_from(self.now.as_millis()).expect("small"));
        self.shard.on_events(effects.events, wall);
        let end = Offset(i64::try_from(self.log.len() + effects.records.len()).expect("small"));
        self.log.extend(effects.records);
        let group_id = crate::ids::GroupId::new(GROUP);
        self.shard.on_appended([group_id].into(), end);
        for reply in effects.replies {
            self.hear(reply);
        }
        if let Some(on_commit) = effects.on_commit {
            self.committed(on_commit);
        }
        self.check();
        Some(result)
    }

    fn history(&mut self) {
        let reports = self.step(|shard, step| shard.report(Some(GROUP), step));
        let reports = reports.into_iter().flatten();
        for event in reports.flat_map(|report| report.rebalances) {
            let line = crate::test_scripts::rebalance(&event, self.now);
            self.say(&format!("  {line}"));
        }
    }

    fn committed(&mut self, on_commit: OnCommit) {
        type Plan = Box<dyn FnOnce(&mut Shard, &mut Step<'_>)>;
        let plan: Plan = Box::new(|shard, step| shard.on_commit(on_commit, Ok(()), step));
        self.step(plan);
    }

    /// Checks that no partition has two owners, and that the index of owners is right.
    pub fn check(&self) {
        let Some(group) = self.group() else {
            return;
        };
        let mut owned = BTreeMap::new();
        for member in group.members().values() {
            for partition in member.common.all_partitions() {
                let other = owned.insert(partition, member.id());
                assert_eq!(other, None, "{partition:?} has two owners");
                assert_eq!(group.owner(partition.0, partition.1), Some(member.id()));
            }
        }
    }

    pub fn group(&self) -> Option<&ConsumerGroup> {
        self.shard.consumer_group(GROUP)
    }

    pub(super) fn names(&self) -> BTreeMap<TopicId, String> {
        let topics = self.image.topics.values();
        topics
            .map(|topic| (topic.id, topic.name.to_string()))
            .collect()
    }

    pub fn wait(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some(deadline) = self.shard.timers.next().filter(|at| *at <= until) {
            self.now = self.now.max(deadline);
            let line = format!("  at {} ms", self.now.as_millis() - 1_000_000);
            self.say(&line);
            self.step(run_expired_timer);
        }
        self.now = until;
    }

    pub fn heartbeat(&mut self, name: &str, request: ConsumerGroupHeartbeatRequestData) {
        let version = i16::from(!request.member_id.as_str().is_empty());
        let caller = Caller {
            client_id: name,
            client_host: "/127.0.0.1",
            version,
        };
        let names = self.names();
        let answer = loop {
            let plan = |shard: &mut Shard, step: &mut Step<'_>| {
                shard.consumer_group_heartbeat(&request, caller, step)
            };
            let answer = self.step(plan);
            if self.matches.is_none() {
                break answer;
            }
        };
        let client = self.clients.entry(name.to_owned()).or_default();
        client.says_all = answer.is_none();
        let Some(answer) = answer else { return };
        if answer.error_code != 0 {
            let code = ErrorCode::from_code(answer.error_code).expect("a code");
            let message = answer
                .error_message
                .map(|text| text.to_string())
                .unwrap_or_default();
            let line = format!("  {name}: {code:?} {message}");
            if self.resets && code != ErrorCode::UnreleasedInstanceId {
                let client = self.clients.entry(name.to_owned()).or_default();
                client.has = Assignment::new();
                client.epoch = 0;
            }
            return self.say(line.trim_end());
        }
        let client = self.clients.entry(name.to_owned()).or_default();
        client.epoch = answer.member_epoch;
        client.id = answer.member_id.expect("an id").to_string();
        let mut line = format!("  {name}: epoch {}", answer.member_epoch);
        if let Some(assignment) = answer.assignment {
            let topics = assignment.topic_partitions.iter();
            client.has = topics
                .map(|topic| {
                    let id = TopicId::from_bytes(topic.topic_id.to_bytes());
                    (
                        id,
                        topic
                            .partitions
                            .iter()
                            .copied()
                            .map(PartitionIndex)
                            .collect(),
                    )
                })
                .collect();
            let _ = write!(line, ", has {}", shown_assignment(&client.has, &names));
        }
        self.say(&line);
    }

    fn join(&mut self, name: &str, topics: &str, options: &Options<'_>) {
        let id = options.0.get("id").map_or(name, |id| *id);
        let client = Client {
            id: id.to_owned(),
            instance: options.0.get("i").map(|id| (*id).to_owned()),
            topics: split(topics),
            ..Client::default()
        };
        self.clients.insert(name.to_owned(), client.clone());
        self.join_again(name, &client, options);
    }

    fn join_again(&mut self, name: &str, client: &Client, options: &Options<'_>) {
        let names = client.topics.iter().map(|topic| text(topic)).collect();
        let request = ConsumerGroupHeartbeatRequestData {
            group_id: text(GROUP),
            member_id: text(&client.id),
            instance_id: client.instance.as_deref().map(text),
            rack_id: options.text("rack"),
            rebalance_timeout_ms: options.number("timeout").unwrap_or(60_000),
            subscribed_topic_names: Some(names),
            subscribed_topic_regex: options.text("regex"),
            server_assignor: options.text("assignor"),
            topic_partitions: Some(Vec::new()),
            ..ConsumerGroupHeartbeatRequestData::default()
        };
        self.heartbeat(name, request);
    }

    /// A member that was fenced joins again, with nothing.
    pub fn rejoin(&mut self, name: &str) {
        let Some(client) = self.clients.get_mut(name) else {
            return;
        };
        client.has = Assignment::new();
        client.epoch = 0;
        let client = client.clone();
        self.join_again(name, &client, &Options::of(&[]));
    }

    /// Returns a client. Its member id is its name until the coordinator sends another id.
    fn client(&self, name: &str) -> Client {
        let known = self.clients.get(name).cloned();
        known.unwrap_or_else(|| Client {
            id: name.to_owned(),
            ..Client::default()
        })
    }

    fn beat(&mut self, name: &str, options: &Options<'_>) {
        let client = self.client(name);
        let have = options.0.get("have").map(|have| self.partitions(have));
        let topics = options.0.get("topics").map(|topics| split(topics));
        let names = topics.map(|topics| topics.iter().map(|topic| text(topic)).collect());
        let request = ConsumerGroupHeartbeatRequestData {
            group_id: text(GROUP),
            member_id: text(&client.id),
            member_epoch: options.number("epoch").unwrap_or(client.epoch),
            instance_id: client.instance.as_deref().map(text),
            rebalance_timeout_ms: options.number("timeout").unwrap_or(-1),
            subscribed_topic_names: names,
            subscribed_topic_regex: options.text("regex"),
            server_assignor: options.text("assignor"),
            topic_partitions: have,
            ..ConsumerGroupHeartbeatRequestData::default()
        };
        self.heartbeat(name, request);
    }

    pub fn ack(&mut self, name: &str) {
        let Some(client) = self.clients.get(name) else {
            return;
        };
        let topics = client.has.iter();
        let have = topics
            .map(|(id, partitions)| to_request(*id, partitions))
            .collect();
        let names = client.topics.iter().map(|topic| text(topic)).collect();
        let request = ConsumerGroupHeartbeatRequestData {
            group_id: text(GROUP),
            member_id: text(&client.id),
            member_epoch: client.epoch,
            instance_id: client.instance.as_deref().map(text),
            rebalance_timeout_ms: if client.says_all { 60_000 } else { -1 },
            subscribed_topic_names: client.says_all.then_some(names),
            topic_partitions: Some(have),
            ..ConsumerGroupHeartbeatRequestData::default()
        };
        self.heartbeat(name, request);
    }

    pub fn leave(&mut self, name: &str, epoch: i32) {
        let client = self.client(name);
        let request = ConsumerGroupHeartbeatRequestData {
            group_id: text(GROUP),
            member_id: text(&client.id),
            member_epoch: epoch,
            instance_id: client.instance.as_deref().map(text),
            ..ConsumerGroupHeartbeatRequestData::default()
        };
        if let Some(client) = self.clients.get_mut(name) {
            client.has = Assignment::new();
        }
        self.heartbeat(name, request);
    }

    /// Parses partitions such as `foo:0,1;bar:2`.
    fn partitions(&self, words: &str) -> Vec<TopicPartitions> {
        let topics = words.split(';').filter(|topic| *topic != "-");
        topics
            .map(|topic| {
                let (name, partitions) = topic.split_once(':').expect("topic:partitions");
                let id = self.image.topic_ids.get(name).expect("a topic");
                let partitions = partitions.split(',');
                let partitions = partitions.map(|p| PartitionIndex(p.parse().expect("a number")));
                to_request(*id, &partitions.collect())
            })
            .collect()
    }
}

/// Queries.
impl Harness {
    /// Returns the last record of each key, tombstones included, as compaction would leave them.
    pub fn compacted(&self) -> Vec<Record> {
        let key = |record: &Record| match record {
            Record::Offset(key, _) => format!("{key:?}"),
            Record::Classic(..) => "classic".to_owned(),
            Record::ConsumerGroup(..) => "group".to_owned(),
            Record::ConsumerPartitionMetadata(..) => "metadata".to_owned(),
            Record::ConsumerMember(_, id, _) => format!("member {id}"),
            Record::ConsumerTarget(..) => "target".to_owned(),
            Record::ConsumerTargetMember(_, id, _) => format!("target of {id}"),
            Record::ConsumerCurrent(_, id, _) => format!("current {id}"),
            Record::ConsumerRegex(_, regex, _) => format!("regex {regex}"),
        };
        let last: BTreeMap<String, usize> = self
            .log
            .iter()
            .enumerate()
            .map(|(at, record)| (key(record), at))
            .collect();
        let kept: BTreeSet<usize> = last.into_values().collect();
        kept.into_iter().map(|at| self.log[at].clone()).collect()
    }

    fn reload(&mut self) {
        let before = self.state();
        let compacted = self.compacted();
        let alive = compacted.iter().filter(|record| !record.is_tombstone());
        let alive: Vec<Record> = alive.cloned().collect();
        for log in [self.log.clone(), alive, compacted] {
            self.shard = Shard::default();
            for record in log {
                self.shard.replay(record);
            }
            assert_eq!(self.state(), before, "what is loaded is what was");
        }
        self.step(|shard, step| shard.on_loaded(step));
    }

    /// Describes the group's state.
    pub fn state(&self) -> String {
        let names = self.names();
        let Some(group) = self.group() else {
            return match self.shard.classic_group(GROUP) {
                Some(group) => {
                    let members: Vec<&str> = group.members().keys().map(|id| id.as_str()).collect();
                    let generation = group.generation();
                    let state = group.state().name();
                    format!("  classic, {state}, generation {generation}, {members:?}\n")
                }
                None => "  no group\n".to_owned(),
            };
        };
        let mut out = format!(
            "  {}, epoch {}, target {}\n",
            group.state().name(),
            group.group_epoch(),
            group.assignment_epoch()
        );
        for member in group.members().values() {
            let target = group
                .target(member.id().as_str())
                .cloned()
                .unwrap_or_default();
            let _ = writeln!(
                out,
                "  {}, target {}",
                shown_member(member.id().as_str(), &member.current(), &names),
                shown_assignment(&target, &names)
            );
        }
        out
    }

    fn show(&mut self) {
        let state = self.state();
        self.trace.push_str(&state);
    }
}

/// Returns a partition with these replicas.
pub(super) fn registration(replicas: &[i32]) -> PartitionRegistration {
    let replicas: Vec<NodeId> = replicas.iter().copied().map(NodeId).collect();
    PartitionRegistration::new(replicas.clone(), Vec::new(), replicas)
}

fn to_request(id: TopicId, partitions: &BTreeSet<PartitionIndex>) -> TopicPartitions {
    TopicPartitions {
        topic_id: topic_id_to_wire(id),
        partitions: partitions.iter().map(|partition| partition.0).collect(),
        _unknown_tagged_fields: Vec::new(),
    }
}

pub(super) fn split(words: &str) -> Vec<String> {
    let words = words.split(',').filter(|word| *word != "-");
    words.map(str::to_owned).collect()
}
