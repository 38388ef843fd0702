//! Members of consumer groups, of the classic and of the consumer protocol, which read from the
//! committed offsets on and commit what they have read.

mod classic;
mod consumer;

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kacrab_protocol::generated::{
    self as kafka, offset_commit_request, offset_fetch_request, offset_fetch_response,
};

use super::client::{Client, Coordinator, Partitions};
use super::history::{GroupEvent, Isolation, Partition};
use super::producer::Shared;
use super::reader::Reader;
use crate::cluster::text;
use crate::random::Random;
use crate::wait::let_pass;

/// The pause between two rounds of a member.
const PAUSE: Duration = Duration::from_millis(20);
/// A member leaves its group once in so many rounds.
const ROUNDS: usize = 200;
/// Errors of a commit that exclude that it happened: of a wrong generation, epoch or member, and
/// during a rebalance.
const REFUSED: [i16; 5] = [22, 25, 27, 110, 113];

/// The versions of requests that both protocols use.
const COMMIT_VERSION: i16 = 9;
const FETCH_OFFSETS_VERSION: i16 = 9;

/// The protocol of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// JoinGroup and SyncGroup.
    Classic,
    /// ConsumerGroupHeartbeat (KIP-848).
    Consumer,
}

impl Protocol {
    /// Returns the name of the group that uses it.
    #[must_use]
    pub fn group(self) -> &'static str {
        match self {
            Self::Classic => "chaos-classic",
            Self::Consumer => "chaos-consumer",
        }
    }
}

/// A member and what happened to it.
#[derive(Debug)]
pub struct Member<'a> {
    client: Client,
    reader: Reader,
    partitions: Partitions,
    shared: &'a Shared,
    random: Random,
    protocol: Protocol,
    /// The member id; empty for none.
    id: String,
    /// The generation or the member epoch; `None` outside of the group.
    generation: Option<i32>,
    owned: Vec<Partition>,
    /// The last generation with its partitions.
    assignment: Option<(i32, Vec<Partition>)>,
    topic_ids: consumer::TopicIds,
    events: Vec<GroupEvent>,
}

impl<'a> Member<'a> {
    /// Returns a member that has not joined.
    #[must_use]
    pub fn new(
        clients: [Client; 2],
        partitions: &Partitions,
        shared: &'a Shared,
        random: Random,
        protocol: Protocol,
    ) -> Self {
        let [client, reads] = clients;
        Self {
            client,
            reader: Reader::new(reads, partitions, Isolation::ReadCommitted),
            partitions: partitions.clone(),
            shared,
            random,
            protocol,
            id: String::new(),
            generation: None,
            owned: Vec::new(),
            assignment: None,
            topic_ids: consumer::TopicIds::default(),
            events: Vec::new(),
        }
    }

    /// Reads and commits until the run is over. Errors pass with the faults.
    pub fn run(mut self) -> Vec<GroupEvent> {
        while !self.shared.is_over.load(Ordering::Relaxed) {
            if let Ok(true) = self.keep_membership() {
                for partition in self.owned.clone() {
                    let _ = self.read(partition);
                }
            }
            if self.random.below(ROUNDS) == 0 {
                self.leave();
            }
            let_pass(PAUSE);
        }
        self.leave();
        self.events
    }

    /// Joins or sends a heartbeat. Returns whether it is a member.
    fn keep_membership(&mut self) -> Result<bool> {
        match self.protocol {
            Protocol::Classic => self.keep_classic_membership(),
            Protocol::Consumer => self.keep_consumer_membership(),
        }
    }

    fn leave(&mut self) {
        let _ = match self.protocol {
            Protocol::Classic => self.leave_classic_group(),
            Protocol::Consumer => self.leave_consumer_group(),
        };
        self.id.clear();
        self.lose_membership();
    }

    fn lose_membership(&mut self) {
        self.generation = None;
        self.owned.clear();
    }

    /// Owns exactly these partitions from now on. Reads the new ones from their committed offsets.
    fn own(&mut self, partitions: Vec<Partition>) -> Result<()> {
        let generation = self.generation.context("not a member")?;
        let assignment = (generation, partitions.clone());
        if self.assignment.as_ref() != Some(&assignment) {
            self.events.push(GroupEvent::Assigned {
                at: self.shared.tick(),
                generation,
                partitions: partitions.clone(),
            });
            self.assignment = Some(assignment);
        }
        self.owned.retain(|owned| partitions.contains(owned));
        for partition in partitions {
            if !self.owned.contains(&partition) {
                // Those that fail are asked for again with the next heartbeat's answer.
                self.begin(partition)?;
                self.owned.push(partition);
            }
        }
        Ok(())
    }

    fn begin(&mut self, partition: Partition) -> Result<()> {
        let name = self.partitions.name(partition);
        let sent = self.shared.tick();
        let member = (Some(self.id.as_str()), self.generation);
        let offset = fetch_offset(&mut self.client, self.protocol, member, name)?;
        self.events.push(GroupEvent::Fetched {
            sent,
            answered: self.shared.tick(),
            partition,
            offset,
        });
        self.reader.seek(partition, offset.unwrap_or(0));
        Ok(())
    }

    /// Reads from a partition once, and commits what was read.
    fn read(&mut self, partition: Partition) -> Result<()> {
        let before = self.reader.next(partition);
        self.reader.poll(partition)?;
        let reads = self.reader.take_reads();
        self.events
            .extend(reads.into_iter().map(GroupEvent::Polled));
        let offset = self.reader.next(partition);
        if offset > before {
            self.commit(partition, offset)?;
        }
        Ok(())
    }

    fn commit(&mut self, partition: Partition, offset: i64) -> Result<()> {
        let (topic, index) = self.partitions.name(partition);
        let commit = offset_commit_request::OffsetCommitRequestPartition {
            partition_index: index,
            committed_offset: offset,
            committed_leader_epoch: -1,
            ..Default::default()
        };
        let topic = offset_commit_request::OffsetCommitRequestTopic {
            name: text(topic),
            partitions: vec![commit],
            ..Default::default()
        };
        let group = self.protocol.group();
        let request = kafka::OffsetCommitRequestData {
            group_id: text(group),
            generation_id_or_member_epoch: self.generation.context("not a member")?,
            member_id: text(&self.id),
            topics: vec![topic],
            ..Default::default()
        };
        let sent = self.shared.tick();
        let answer = self
            .client
            .on_coordinator(Coordinator::Group(group), |connection| {
                let answer = connection.call(&request, COMMIT_VERSION)?;
                let topic = answer.topics.first();
                let partition = topic.and_then(|topic| topic.partitions.first());
                let code = partition.context("no partition in the answer")?.error_code;
                Ok(((), code))
            });
        let code = answer.map(|((), code)| code);
        if !matches!(&code, Ok(code) if REFUSED.contains(code)) {
            let is_acknowledged = matches!(code, Ok(0));
            self.events.push(GroupEvent::Committed {
                sent,
                answered: is_acknowledged.then(|| self.shared.tick()),
                partition,
                offset,
            });
            if is_acknowledged {
                self.shared.note_commit(self.protocol);
            }
        }
        code.map(drop)
    }
}

/// Asks for a committed offset, for a member of the group or for anybody.
pub fn fetch_offset(
    client: &mut Client,
    protocol: Protocol,
    (member, generation): (Option<&str>, Option<i32>),
    (topic, index): (&str, i32),
) -> Result<Option<i64>> {
    let epoch = generation.filter(|_| protocol == Protocol::Consumer);
    let topic = offset_fetch_request::OffsetFetchRequestTopics {
        name: text(topic),
        partition_indexes: vec![index],
        ..Default::default()
    };
    let group = offset_fetch_request::OffsetFetchRequestGroup {
        group_id: text(protocol.group()),
        member_id: epoch.and(member).map(text),
        member_epoch: epoch.unwrap_or(-1),
        topics: Some(vec![topic]),
        ..Default::default()
    };
    let request = kafka::OffsetFetchRequestData {
        groups: vec![group],
        ..Default::default()
    };
    let coordinator = Coordinator::Group(protocol.group());
    let (offset, code) = client.on_coordinator(coordinator, |connection| {
        let answer = connection.call(&request, FETCH_OFFSETS_VERSION)?;
        let group = answer.groups.into_iter().next();
        let group: offset_fetch_response::OffsetFetchResponseGroup =
            group.context("no group in the answer")?;
        let topic = group.topics.first();
        let partition = topic.and_then(|topic| topic.partitions.first());
        let code = match (group.error_code, partition) {
            (0, partition) => partition.context("no partition in the answer")?.error_code,
            (code, _) => code,
        };
        Ok((partition.map_or(-1, |found| found.committed_offset), code))
    })?;
    ensure!(code == 0, "OffsetFetch: error {code}");
    Ok((offset >= 0).then_some(offset))
}
