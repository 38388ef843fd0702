//! The consumer protocol: the coordinator assigns the partitions, and answers heartbeats with them.

use anyhow::{Context, Result, bail, ensure};
use kacrab_protocol::{KafkaUuid, generated as kafka};
use kafka::consumer_group_heartbeat_request::TopicPartitions;

use super::{Coordinator, Member, Partition};
use crate::cluster::text;

const REBALANCE_TIMEOUT_MS: i32 = 3_000;
const HEARTBEAT_VERSION: i16 = 1;
const METADATA_VERSION: i16 = 12;
const LEAVES: i32 = -1;

const UNKNOWN_MEMBER_ID: i16 = 25;
const FENCED_MEMBER_EPOCH: i16 = 110;

/// The ids of topics, by name.
pub(super) type TopicIds = Vec<(String, KafkaUuid)>;

impl Member<'_> {
    pub(super) fn keep_consumer_membership(&mut self) -> Result<bool> {
        if self.topic_ids.is_empty() {
            self.topic_ids = self.find_topic_ids()?;
        }
        if self.id.is_empty() {
            // A new member id for each time it joins, as the clients choose one.
            let tick = self.shared.tick();
            self.id = format!("{:08}-{tick:08}", self.random.below(100_000_000));
        }
        let epoch = self.generation.unwrap_or(0);
        let (answer, code) = self.heartbeat(epoch)?;
        if [UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH].contains(&code) {
            self.id.clear();
            self.lose_membership();
        }
        ensure!(code == 0, "ConsumerGroupHeartbeat: error {code}");
        let is_new_epoch = self.generation != Some(answer.member_epoch);
        self.generation = Some(answer.member_epoch);
        let assigned = match answer.assignment {
            Some(assignment) => self.places(&assignment.topic_partitions)?,
            None if is_new_epoch => self.owned.clone(),
            None => return Ok(true),
        };
        self.own(assigned)?;
        Ok(true)
    }

    pub(super) fn leave_consumer_group(&mut self) -> Result<()> {
        self.heartbeat(LEAVES).map(drop)
    }

    fn heartbeat(
        &mut self,
        epoch: i32,
    ) -> Result<(kafka::ConsumerGroupHeartbeatResponseData, i16)> {
        let group = self.protocol.group();
        let names = self.topic_ids.iter().map(|(name, _)| text(name));
        let request = kafka::ConsumerGroupHeartbeatRequestData {
            group_id: text(group),
            member_id: text(&self.id),
            member_epoch: epoch,
            rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
            subscribed_topic_names: Some(names.collect()),
            topic_partitions: Some(self.owned_by_topic()),
            ..Default::default()
        };
        let coordinator = Coordinator::Group(group);
        self.client.on_coordinator(coordinator, |connection| {
            let answer = connection.call(&request, HEARTBEAT_VERSION)?;
            let code = answer.error_code;
            Ok((answer, code))
        })
    }

    fn owned_by_topic(&self) -> Vec<TopicPartitions> {
        let of = |(name, id): &(String, KafkaUuid)| {
            let owned = self.owned.iter().map(|owned| self.partitions.name(*owned));
            let here = owned.filter(|(topic, _)| topic == name);
            TopicPartitions {
                topic_id: *id,
                partitions: here.map(|(_, index)| index).collect(),
                ..Default::default()
            }
        };
        let all = self.topic_ids.iter().map(of);
        all.filter(|topic| !topic.partitions.is_empty()).collect()
    }

    fn places(
        &self,
        assigned: &[kafka::consumer_group_heartbeat_response::TopicPartitions],
    ) -> Result<Vec<Partition>> {
        let mut places = Vec::new();
        for topic in assigned {
            let known = self.topic_ids.iter().find(|(_, id)| *id == topic.topic_id);
            let (name, _) = known.context("an unknown topic id is assigned")?;
            for index in &topic.partitions {
                let all = &self.partitions.0;
                let place = all.iter().position(|it| it.0 == *name && it.1 == *index);
                places.push(place.context("an unknown partition is assigned")?);
            }
        }
        Ok(places)
    }

    fn find_topic_ids(&mut self) -> Result<TopicIds> {
        let mut names: Vec<&String> = self.partitions.0.iter().map(|(name, _)| name).collect();
        names.dedup();
        let wanted = names.iter().map(|name| kafka::MetadataRequestTopic {
            name: Some(text(name)),
            ..Default::default()
        });
        let request = kafka::MetadataRequestData::default()
            .with_topics(Some(wanted.collect()))
            .with_allow_auto_topic_creation(false);
        let answer = self.client.on_any(|connection| {
            let answer = connection.call(&request, METADATA_VERSION)?;
            match answer.topics.iter().find(|topic| topic.error_code != 0) {
                Some(topic) => bail!("metadata: error {}", topic.error_code),
                None => Ok(answer),
            }
        })?;
        let id = |topic: kafka::metadata_response::MetadataResponseTopic| {
            let name = topic.name.context("a topic without a name")?;
            Ok((name.as_str().to_owned(), topic.topic_id))
        };
        answer.topics.into_iter().map(id).collect()
    }
}
