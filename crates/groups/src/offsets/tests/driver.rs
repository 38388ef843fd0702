//! Runs a script against a shard, and prints what each line answers and writes.
//!
//! ```text
//! commit g t:0=5 t:1=7@3 [m=text] [gen=1] [id=a] [instance=i] [v9] [retain=60s]   @: leader epoch
//! commit g pid=7 t:0=5 …                        in a transaction of producer 7
//! committed 7                                  the marker of the transaction of producer 7
//! aborted 7
//! fetch g [t:0,1 …] [id=a] [epoch=3] [stable=] no topics: all
//! delete-offsets g t:0,1
//! delete g
//! topics-deleted t
//! expire                                       until there is nothing left to expire
//! tick 1h                                      by both clocks
//! classic g gen=1 [type=consumer] [a:t,u …]    the log has this group: members and their topics
//! consumer g [a:5 …]                           the same: members and their epochs
//! list [states=empty] [types=classic]
//! describe g [v5]
//! kafka                                        the log has what Apache Kafka wrote
//! kafka-transactions 2                         the next two entries of its transactions
//! recreated                                    topics have new ids from now on
//! reload                                       another broker becomes coordinator
//! ```

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use dohle_config::BrokerValues;
use dohle_machine::Machine as _;
use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, Offset, ProducerId, Timestamp, TopicId, TopicName, Uuid};
use dohle_protocol::messages::offset_commit_request::{
    OffsetCommitRequestData, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use dohle_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestData, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use dohle_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use dohle_protocol::{KafkaString, KafkaUuid};
use expect_test::Expect;

use crate::Step;
use crate::config::GroupConfig;
use crate::ids::{GroupId, MemberId};
use crate::records::tests::{InTransaction, golden_transactions};
use crate::records::{
    ClassicGroupValue, ClassicMemberValue, ConsumerCurrentValue, ConsumerGroupValue,
    ConsumerMemberValue, OffsetKey, OffsetValue, Record, decode,
};
use crate::shard::{GroupFilter, Shard};
use crate::step::{Caller, Failed};
use crate::test_scripts::{self, ScriptDriver, duration, subscription};
use crate::wire::text;

/// Runs a script and compares its trace.
#[track_caller]
pub(super) fn check(script: &str, expected: Expect) {
    test_scripts::check::<Driver>(script, expected);
}

/// A group that the log contains.
#[derive(Clone)]
enum Logged {
    Record(Option<ProducerId>, Box<Record>),
    Marker(ProducerId, bool),
}

pub(super) struct Driver {
    pub(super) shard: Shard,
    config: GroupConfig,
    wall: Timestamp,
    log: Vec<Logged>,
    /// The producer of the transaction that steps write in.
    producer: Option<ProducerId>,
    generation_of_topics: u8,
    /// Entries of Kafka's transactions that the log has.
    from_kafka: usize,
    pub(super) out: String,
}

impl Default for Driver {
    fn default() -> Self {
        Self {
            shard: Shard::default(),
            config: GroupConfig::resolve(&BrokerValues::default()),
            wall: Timestamp(1_000_000),
            log: Vec::new(),
            producer: None,
            generation_of_topics: 1,
            from_kafka: 0,
            out: String::new(),
        }
    }
}

/// The words of a line after its verb: `name a:b key=value v9`.
struct Words<'a> {
    plain: Vec<&'a str>,
    values: HashMap<&'a str, &'a str>,
    version: i16,
}

impl<'a> Words<'a> {
    fn of(words: impl Iterator<Item = &'a str>) -> Self {
        let mut this = Self {
            plain: Vec::new(),
            values: HashMap::new(),
            version: 10,
        };
        for word in words {
            let version = word.strip_prefix('v').and_then(|v| v.parse().ok());
            match (version, word.split_once('=')) {
                (Some(version), _) => this.version = version,
                (_, Some((key, value))) if !key.contains(':') => {
                    this.values.insert(key, value);
                }
                _ => this.plain.push(word),
            }
        }
        this
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.values.get(key)?.parse().ok()
    }

    fn text(&self, key: &str) -> Option<KafkaString> {
        self.values.get(key).map(|value| text(value))
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap()
}

impl ScriptDriver for Driver {
    fn run(&mut self, line: &str) {
        writeln!(self.out, "> {line}").unwrap();
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap();
        let words = Words::of(words);
        let name = words.plain.first().copied().unwrap_or_default();
        match verb {
            "commit" => self.commit(&words),
            "fetch" => self.fetch(&words),
            "delete-offsets" => self.delete_offsets(&words),
            "delete" => {
                self.step(|shard, step| match shard.delete_group(name, step) {
                    Ok(()) => "deleted\n".into(),
                    Err(failed) => failure(&failed),
                });
            }
            "topics-deleted" => {
                let id = self.topic_id(name);
                let deleted = [(id, TopicName::new(name).unwrap())];
                self.until_done(|shard, step| shard.on_topics_deleted(&deleted, step));
            }
            "expire" => {
                self.expire();
            }
            "tick" => self.wall.0 += ms(duration(name)),
            "classic" => self.classic(name, &words),
            "consumer" => self.consumer(name, &words),
            "list" => self.list(&words),
            "describe" => self.describe(name, words.version),
            "kafka" => {
                let written = crate::records::tests::golden().into_iter();
                let records = written.map(|(key, value)| decode(&key, value.as_deref()));
                self.write(records.map(|it| it.unwrap().unwrap()).collect());
            }
            "kafka-transactions" => {
                let written = golden_transactions().into_iter().skip(self.from_kafka);
                let count = name.parse().unwrap();
                self.from_kafka += count;
                written
                    .take(count)
                    .for_each(|entry| self.write_of_kafka(entry));
            }
            "committed" | "aborted" => {
                let producer = ProducerId(name.parse().unwrap());
                self.end_transaction(producer, verb == "committed");
            }
            "recreated" => self.generation_of_topics += 1,
            "reload" => {
                self.shard = self.loaded();
            }
            other => panic!("{other:?} is no verb"),
        }
    }

    fn trace(&mut self) -> &mut String {
        &mut self.out
    }
}

impl Driver {
    fn end_transaction(&mut self, producer: ProducerId, committed: bool) {
        self.log.push(Logged::Marker(producer, committed));
        let group_ids = self.shard.end_transaction(producer, committed);
        self.shard.on_appended(group_ids, self.end());
    }

    fn write_of_kafka(&mut self, entry: InTransaction) {
        match entry {
            InTransaction::Record(producer, key, value) => {
                self.producer = Some(ProducerId(producer));
                let record = decode(&key, Some(&value)).unwrap().unwrap();
                writeln!(self.out, "  producer {producer}: {}", show(&record)).unwrap();
                self.write(vec![record]);
                self.producer = None;
            }
            InTransaction::Marker(producer, committed) => {
                let end = if committed { "committed" } else { "aborted" };
                writeln!(self.out, "  producer {producer}: {end}").unwrap();
                self.end_transaction(ProducerId(producer), committed);
            }
        }
    }

    /// A step, and what follows from it: the records are written and replayed.
    fn step(&mut self, plan: impl FnOnce(&mut Shard, &mut Step<'_>) -> String) -> bool {
        let image = MetadataImage::default();
        let mut step = Step {
            now: Duration::from_secs(1),
            wall: self.wall,
            image: &image,
            config: &self.config,
            fresh: Uuid::ZERO,
            lookups: None,
            unresolved: Vec::new(),
            effects: crate::Effects::default(),
        };
        let answer = plan(&mut self.shard, &mut step);
        let records = step.effects.records;
        let mut written: Vec<String> = records.iter().map(show).collect();
        if answer.is_empty() {
            // Upkeep visits the groups in any order.
            written.sort();
        }
        for record in written {
            writeln!(self.out, "  {record}").unwrap();
        }
        for line in answer.lines() {
            writeln!(self.out, "  -> {}", line.trim_end()).unwrap();
        }
        let any = !records.is_empty();
        self.write(records);
        any
    }

    /// A round of expiry. Returns the number of its steps.
    pub(super) fn expire(&mut self) -> usize {
        let (mut flow, mut steps) = (ControlFlow::Continue(()), 0);
        while flow.is_continue() {
            steps += 1;
            self.step(|shard, step| {
                flow = shard.expire_offsets(step);
                String::new()
            });
        }
        steps
    }

    fn until_done(&mut self, mut plan: impl FnMut(&mut Shard, &mut Step<'_>)) {
        while self.step(|shard, step| {
            plan(shard, step);
            String::new()
        }) {}
    }

    fn write(&mut self, records: Vec<Record>) {
        let group_ids = records.iter().map(|it| it.group_id().clone()).collect();
        for record in records {
            let logged = Logged::Record(self.producer, Box::new(record));
            self.log.push(logged.clone());
            replay(&mut self.shard, logged);
        }
        self.shard.on_appended(group_ids, self.end());
    }

    fn end(&self) -> Offset {
        Offset(i64::try_from(self.log.len()).unwrap())
    }

    /// Returns the shard that another broker loads from the log.
    pub(super) fn loaded(&self) -> Shard {
        let mut shard = Shard::default();
        for logged in self.log.clone() {
            replay(&mut shard, logged);
        }
        shard
    }

    fn topic_id(&self, name: &str) -> TopicId {
        let mut bytes = [self.generation_of_topics; 16];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        TopicId::from_bytes(bytes)
    }

    fn wire_id(&self, name: &str) -> KafkaUuid {
        let bits = u128::from_be_bytes(self.topic_id(name).to_bytes());
        KafkaUuid::from_parts((bits >> 64) as u64, bits as u64)
    }

    fn commit(&mut self, words: &Words<'_>) {
        let topic = |word: &&str| {
            let (topic, rest) = word.split_once(':').unwrap();
            let (partition, offset) = rest.split_once('=').unwrap();
            let (offset, epoch) = offset.split_once('@').unwrap_or((offset, "-1"));
            OffsetCommitRequestTopic {
                name: text(topic),
                topic_id: self.wire_id(topic),
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: partition.parse().unwrap(),
                    committed_offset: offset.parse().unwrap(),
                    committed_leader_epoch: epoch.parse().unwrap(),
                    committed_metadata: words.text("m"),
                    ..OffsetCommitRequestPartition::default()
                }],
                ..OffsetCommitRequestTopic::default()
            }
        };
        let request = OffsetCommitRequestData {
            group_id: text(words.plain[0]),
            generation_id_or_member_epoch: words.number("gen").unwrap_or(-1),
            member_id: words.text("id").unwrap_or_default(),
            group_instance_id: words.text("instance"),
            retention_time_ms: words.values.get("retain").map_or(-1, |it| ms(duration(it))),
            topics: words.plain[1..].iter().map(topic).collect(),
            ..OffsetCommitRequestData::default()
        };
        let caller = Caller {
            client_id: "",
            client_host: "",
            version: words.version,
        };
        self.producer = words.number("pid").map(ProducerId);
        let in_transaction = self.producer.is_some();
        self.step(|shard, step| {
            let outcome = match in_transaction {
                true => shard.txn_offset_commit(&request, words.version.min(6), step),
                false => shard.offset_commit(&request, &caller, step),
            };
            match outcome {
                Ok(response) => {
                    let mut text = String::new();
                    for topic in response.topics {
                        for partition in topic.partitions {
                            if let Some(code) = ErrorCode::from_code(partition.error_code) {
                                let (name, index) = (&topic.name, partition.partition_index);
                                writeln!(text, "{name}-{index} {code}").unwrap();
                            }
                        }
                    }
                    text
                }
                Err(failed) => failure(&failed),
            }
        });
        self.producer = None;
    }

    fn fetch(&mut self, words: &Words<'_>) {
        let topic = |word: &&str| {
            let (topic, partitions) = word.split_once(':').unwrap();
            let indexes = partitions.split(',').map(|index| index.parse().unwrap());
            OffsetFetchRequestTopics {
                name: text(topic),
                topic_id: self.wire_id(topic),
                partition_indexes: indexes.collect(),
                ..OffsetFetchRequestTopics::default()
            }
        };
        let topics: Vec<_> = words.plain[1..].iter().map(topic).collect();
        let request = OffsetFetchRequestGroup {
            group_id: text(words.plain[0]),
            member_id: words.text("id"),
            member_epoch: words.number("epoch").unwrap_or(-1),
            topics: (!topics.is_empty()).then_some(topics),
            ..OffsetFetchRequestGroup::default()
        };
        let stable = words.values.contains_key("stable");
        self.step(|shard, step| {
            let outcome = shard.offset_fetch(&request, stable, step);
            let written = step.effects.reads.expect("waits for what was written");
            let mut text = match outcome {
                Ok(_) => format!("when committed up to {written}\n"),
                Err(failed) => return failure(&failed),
            };
            for topic in outcome_topics(shard.offset_fetch(&request, stable, step)) {
                for it in topic.partitions {
                    let (offset, epoch) = (it.committed_offset, it.committed_leader_epoch);
                    let metadata = it.metadata.unwrap_or_default();
                    let (name, index) = (&topic.name, it.partition_index);
                    let code = ErrorCode::from_code(it.error_code);
                    let code = code.map(|code| code.to_string()).unwrap_or_default();
                    let metadata = format!("{metadata}{code}");
                    writeln!(text, "{name}-{index} {offset}@{epoch} {metadata}").unwrap();
                }
            }
            text
        });
    }

    fn delete_offsets(&mut self, words: &Words<'_>) {
        let topic = |word: &&str| {
            let (topic, partitions) = word.split_once(':').unwrap();
            let partition = |index: &str| OffsetDeleteRequestPartition {
                partition_index: index.parse().unwrap(),
                ..OffsetDeleteRequestPartition::default()
            };
            OffsetDeleteRequestTopic {
                name: text(topic),
                partitions: partitions.split(',').map(partition).collect(),
                ..OffsetDeleteRequestTopic::default()
            }
        };
        let request = OffsetDeleteRequestData {
            group_id: text(words.plain[0]),
            topics: words.plain[1..].iter().map(topic).collect(),
            ..OffsetDeleteRequestData::default()
        };
        self.step(|shard, step| match shard.offset_delete(&request, step) {
            Ok(response) => {
                let mut text = String::new();
                for topic in response.topics {
                    for it in topic.partitions {
                        let code = ErrorCode::from_code(it.error_code);
                        let code = code.map_or("ok".to_owned(), |code| code.to_string());
                        writeln!(text, "{}-{} {code}", topic.name, it.partition_index).unwrap();
                    }
                }
                text
            }
            Err(failed) => failure(&failed),
        });
    }

    fn classic(&mut self, group_id: &str, words: &Words<'_>) {
        let members = words.plain[1..].iter().map(|word| {
            let (member_id, topics) = word.split_once(':').unwrap();
            ClassicMemberValue {
                member_id: MemberId::new(member_id),
                group_instance_id: None,
                client_id: "client".into(),
                client_host: "/host".into(),
                rebalance_timeout: 60_000,
                session_timeout: 10_000,
                subscription: subscription(topics.split(',')),
                assignment: Bytes::from_static(b"assigned"),
            }
        });
        let members: Vec<_> = members.collect();
        let value = ClassicGroupValue {
            protocol_type: words.values.get("type").map_or("consumer", |it| it).into(),
            generation: words.number("gen").unwrap_or(1),
            protocol: (!members.is_empty()).then(|| "range".into()),
            leader: members.first().map(|member| member.member_id.clone()),
            current_state_timestamp: Some(self.wall),
            members,
        };
        self.write(vec![Record::Classic(GroupId::new(group_id), Some(value))]);
    }

    fn consumer(&mut self, group_id: &str, words: &Words<'_>) {
        let group_id = GroupId::new(group_id);
        let epoch = ConsumerGroupValue {
            epoch: 5,
            metadata_hash: 0,
        };
        let mut records = vec![Record::ConsumerGroup(group_id.clone(), Some(epoch))];
        for word in &words.plain[1..] {
            let (member_id, member_epoch) = word.split_once(':').unwrap();
            let member_id = MemberId::new(member_id);
            let member = ConsumerMemberValue {
                instance_id: None,
                rack_id: None,
                client_id: "client".into(),
                client_host: "/host".into(),
                subscribed_topic_names: vec!["t".into()],
                subscribed_topic_regex: None,
                rebalance_timeout_ms: 60_000,
                server_assignor: None,
                classic: None,
            };
            let current = ConsumerCurrentValue {
                member_epoch: member_epoch.parse().unwrap(),
                previous_member_epoch: 0,
                state: 0,
                assigned_partitions: Vec::new(),
                partitions_pending_revocation: Vec::new(),
            };
            let key = (group_id.clone(), member_id.clone());
            records.push(Record::ConsumerMember(key.0, key.1, Some(member)));
            records.push(Record::ConsumerCurrent(
                group_id.clone(),
                member_id,
                Some(current),
            ));
        }
        self.write(records);
    }

    fn list(&mut self, words: &Words<'_>) {
        let texts = |key: &str| -> Vec<KafkaString> {
            let values = words.values.get(key).into_iter();
            values.flat_map(|it| it.split(',')).map(text).collect()
        };
        let (states, types) = (texts("states"), texts("types"));
        let filter = GroupFilter {
            states: &states,
            types: &types,
        };
        self.step(|shard, step| {
            let listed = shard.list_groups(filter, step);
            let written = step.effects.reads.expect("waits for what was written");
            let mut text = format!("when committed up to {written}\n");
            for group in listed {
                let (id, state) = (&group.group_id, &group.group_state);
                let (kind, protocol) = (&group.group_type, &group.protocol_type);
                writeln!(text, "{id} {kind} {state} {:?}", protocol.as_str()).unwrap();
            }
            text
        });
    }

    fn describe(&mut self, group_id: &str, version: i16) {
        self.step(|shard, step| {
            let group = shard.describe_group(group_id, version, step);
            let (state, kind) = (group.group_state, group.protocol_type);
            let mut text = format!(
                "{state} {:?} {:?}",
                kind.as_str(),
                group.protocol_data.as_str()
            );
            if let Some(code) = ErrorCode::from_code(group.error_code) {
                let message = group.error_message.unwrap_or_default();
                write!(text, " {code}: {message}").unwrap();
            }
            for it in group.members {
                let (id, client) = (it.member_id, it.client_id);
                let assignment = it.member_assignment;
                write!(text, "\n{id} {client}{} {assignment:?}", it.client_host).unwrap();
            }
            text
        });
    }
}

fn replay(shard: &mut Shard, logged: Logged) {
    match logged {
        Logged::Record(None, record) => shard.replay(*record),
        Logged::Record(Some(producer), record) => shard.replay_in_transaction(producer, *record),
        Logged::Marker(producer, committed) => drop(shard.end_transaction(producer, committed)),
    }
}

fn outcome_topics(
    outcome: Result<
        dohle_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup,
        Failed,
    >,
) -> Vec<dohle_protocol::messages::offset_fetch_response::OffsetFetchResponseTopics> {
    outcome.map(|group| group.topics).unwrap_or_default()
}

fn failure(failed: &Failed) -> String {
    format!("{}\n", failed.code)
}

fn show(record: &Record) -> String {
    match record {
        Record::Offset(key, value) => {
            let OffsetKey {
                group_id,
                topic,
                partition,
            } = key;
            let key = format!("{group_id} {topic}-{partition}");
            let Some(value) = value else {
                return format!("tombstone {key}");
            };
            let OffsetValue {
                offset,
                leader_epoch,
                metadata,
                commit_timestamp,
                expire_timestamp,
                ..
            } = value;
            let mut text = format!("{key} = {offset} at {commit_timestamp}");
            if let Some(epoch) = leader_epoch {
                write!(text, " epoch {epoch}").unwrap();
            }
            if !metadata.is_empty() {
                write!(text, " {metadata:?}").unwrap();
            }
            if let Some(expires) = expire_timestamp {
                write!(text, " expires {expires}").unwrap();
            }
            text
        }
        other => format!("{other:?}"),
    }
}
