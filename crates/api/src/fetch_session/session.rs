//! The partitions of one fetch, or of a session of fetches: the position of each, what was last
//! sent of it, and which are to be read.
//!
//! Invariant: `pending` holds, once, each partition that may have something to send: new ones,
//! those whose position the client moved, those that had records or an error the last time, and
//! those that moved since. The others are not read, however many there are. A partition leaves
//! `pending` only with an answer, so a request that is dropped halfway loses nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, TopicId, TopicIdPartition, TopicName};
use dohle_protocol::messages::fetch_request::{FetchRequestData, FetchTopic};
use dohle_protocol::{KafkaString, KafkaUuid};

use super::read::{ColdRead, FetchContext, Looked, PartitionFetch, PartitionRead};
use crate::{resolve, wire};
use dohle_broker::partition::{Isolation, Partition, ReadyOn, ReadySet, ReadyToken};

/// Bytes of records that a response holds in memory: enough for records that arrive at the end of a
/// growing log. Larger reads stay in the files.
const MEMORY_MAX: usize = 16 << 10;

/// How requests name a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum TopicKey {
    /// Up to version 12.
    Name(KafkaString),
    /// From version 13.
    Id(TopicId),
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub topic: TopicKey,
    /// The name of a topic that the client identifies by its id, from the first time on that this
    /// broker's metadata contained it.
    name: Option<TopicName>,
    pub index: i32,
    pub wanted: PartitionFetch,
    /// High watermark and log start as they were last sent to the client; `None` forces the next
    /// response to list the partition.
    sent: Option<(i64, i64)>,
    queued: bool,
    partition: Option<Arc<Partition>>,
    watch: Option<Arc<ReadyToken>>,
}

#[derive(Debug)]
pub(crate) struct FetchSession {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    index: HashMap<(TopicKey, i32), u32>,
    pending: VecDeque<u32>,
    pub ready_set: Arc<ReadySet>,
    is_watching: bool,
    isolation: Isolation,
}

/// The partitions that one request has read, by their number in the session.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// The outcome of each partition; `None` while the partition is read again.
    outcomes: HashMap<u32, Option<PartitionRead>>,
    order: Vec<u32>,
    pub bytes: usize,
    /// Bytes of records in memory.
    memory: usize,
    /// Whether the response is sent at once.
    pub is_urgent: bool,
    /// The partitions, by their number in the session, that this broker does not host although its
    /// metadata list it as a replica: the change that removes them is applied, not yet published.
    pub removed: Vec<(u32, TopicIdPartition)>,
}

impl FetchSession {
    pub fn new(isolation: Isolation) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            index: HashMap::new(),
            pending: VecDeque::new(),
            ready_set: ReadySet::new(),
            is_watching: false,
            isolation,
        }
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_watching(&self) -> bool {
        self.is_watching
    }

    /// Applies the changes that a request names: new partitions, moved positions, forgotten
    /// partitions.
    pub fn update(&mut self, request: FetchRequestData, version: i16, isolation: Isolation) {
        for topic in &request.forgotten_topics_data {
            let Some(key) = topic_key(version, &topic.topic, topic.topic_id) else {
                continue;
            };
            for index in &topic.partitions {
                self.forget(&(key.clone(), *index));
            }
        }
        if !request.forgotten_topics_data.is_empty() {
            let entries = &self.entries;
            self.pending
                .retain(|token| entries[*token as usize].is_some());
        }
        for topic in request.topics {
            self.update_topic(topic, version);
        }
        if isolation != self.isolation {
            self.isolation = isolation;
            self.queue_all();
        }
    }

    fn update_topic(&mut self, topic: FetchTopic, version: i16) {
        // A zero id names no topic; the partition gets the error of an unknown topic.
        let key =
            topic_key(version, &topic.topic, topic.topic_id).unwrap_or(TopicKey::Id(TopicId::ZERO));
        for partition in topic.partitions {
            let wanted = PartitionFetch::from(&partition);
            let key = (key.clone(), partition.partition);
            match self.index.get(&key) {
                Some(token) => {
                    let token = *token;
                    if let Some(entry) = &mut self.entries[token as usize] {
                        entry.wanted = wanted;
                    }
                    self.queue(token);
                }
                None => self.add(key, wanted),
            }
        }
    }

    fn add(&mut self, key: (TopicKey, i32), wanted: PartitionFetch) {
        let entry = Entry {
            topic: key.0.clone(),
            name: None,
            index: key.1,
            wanted,
            sent: None,
            queued: false,
            partition: None,
            watch: None,
        };
        let token = match self.free.pop() {
            Some(token) => {
                self.entries[token as usize] = Some(entry);
                token
            }
            None => {
                self.entries.push(Some(entry));
                u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let before = self.index.insert(key, token);
        assert!(
            before.is_none(),
            "a partition has the tokens {before:?} and {token}"
        );
        self.check();
        self.queue(token);
    }

    fn forget(&mut self, key: &(TopicKey, i32)) {
        if let Some(token) = self.index.remove(key) {
            self.entries[token as usize] = None;
            self.free.push(token);
        }
        self.check();
    }

    fn check(&self) {
        assert!(
            self.index.len() + self.free.len() == self.entries.len(),
            "{} partitions and {} free tokens of {}",
            self.index.len(),
            self.free.len(),
            self.entries.len()
        );
    }

    fn queue(&mut self, token: u32) {
        if let Some(Some(entry)) = self.entries.get_mut(token as usize)
            && !entry.queued
        {
            entry.queued = true;
            self.pending.push_back(token);
        }
        assert!(
            self.pending.len() <= self.entries.len(),
            "{} of {} partitions are to be looked at",
            self.pending.len(),
            self.entries.len()
        );
    }

    fn queue_all(&mut self) {
        for token in 0..u32::try_from(self.entries.len()).unwrap_or(u32::MAX) {
            self.queue(token);
        }
    }

    /// Returns all partitions to read when a request begins.
    pub fn begin(&mut self) -> Vec<u32> {
        self.take_moved();
        self.pending.iter().copied().collect()
    }

    /// Returns the partitions that moved since the last call.
    pub fn take_moved(&mut self) -> Vec<u32> {
        let mut moved = Vec::new();
        self.ready_set.take(&mut moved);
        for token in &moved {
            if let Some(Some(Entry {
                watch: Some(watch), ..
            })) = self.entries.get(*token as usize)
            {
                // Armed before the partition is read, so that no later move is missed.
                watch.rearm();
            }
            self.queue(*token);
        }
        moved
    }

    /// Watches all partitions from now on. Returns all of them to be read once more, as they may
    /// have moved before.
    pub fn watch_all(&mut self) -> Vec<u32> {
        self.is_watching = true;
        self.queue_all();
        self.pending.iter().copied().collect()
    }

    /// Reads the partitions of `tokens` (again) from number `next` on, as far as there is room.
    /// Stops early at a partition that must be read from the disk; `next` is then the one after
    /// that partition.
    pub fn read(
        &mut self,
        tokens: &[u32],
        next: &mut usize,
        context: &FetchContext<'_>,
        image: &MetadataImage,
        reads: &mut Reads,
    ) -> Option<(u32, ColdRead)> {
        while let Some(token) = tokens.get(*next) {
            *next += 1;
            let Some(Some(entry)) = self.entries.get_mut(*token as usize) else {
                continue;
            };
            reads.forget(*token);
            // As in Kafka, a negative limit holds for the first partition, and is then 0.
            let room = match context.max_bytes {
                Some(max_bytes) => Some(max_bytes.saturating_sub(reads.bytes)),
                None => (!reads.order.is_empty()).then_some(0),
            };
            if room == Some(0) && reads.bytes > 0 && !context.is_full {
                // The partition stays pending for the next request.
                continue;
            }
            let found = entry.find(context, image);
            if self.is_watching {
                entry.watch(found.as_ref().ok(), &self.ready_set, *token);
            }
            let min_one = reads.bytes == 0;
            let memory = MEMORY_MAX.saturating_sub(reads.memory);
            let looked = match found {
                Ok(found) => context.read(&found, &entry.wanted, room, min_one, memory),
                Err(code) => Looked::Found(PartitionRead::failed(code)),
            };
            match looked {
                Looked::Found(outcome) => {
                    self.add_outcome(*token, outcome, context, image, reads);
                }
                Looked::Cold(read) => return Some((*token, read)),
            }
        }
        None
    }

    /// Adds the outcome of a read that began with this image, and notes a partition that was
    /// removed after it was found: it has failed with another error.
    pub fn add_outcome(
        &self,
        token: u32,
        outcome: PartitionRead,
        context: &FetchContext<'_>,
        image: &MetadataImage,
        reads: &mut Reads,
    ) {
        if let PartitionRead::Failed(_) = outcome
            && let Some(Some(entry)) = self.entries.get(token as usize)
            && let Some(id) = Entry::id(&entry.topic, entry.index, image)
            && resolve::is_replica(image, &id, context.node)
            && context.partitions.get(&id).is_none()
        {
            reads.removed.push((token, id));
        }
        reads.add(token, outcome);
    }

    /// Takes from `reads` the outcomes that the response lists, in order, and remembers what was
    /// sent. With `is_full` the response lists all partitions.
    pub fn finish(&mut self, reads: Reads, is_full: bool) -> Vec<(TopicKey, i32, PartitionRead)> {
        let Reads {
            mut outcomes,
            order,
            ..
        } = reads;
        let mut results = Vec::new();
        let mut again = Vec::new();
        for token in order {
            let Some(Some(outcome)) = outcomes.remove(&token) else {
                continue;
            };
            let Some(Some(entry)) = self.entries.get_mut(token as usize) else {
                continue;
            };
            entry.queued = false;
            // A partition with records stays pending until the client has moved on, one with an
            // error until the error is gone.
            if outcome.has_more() {
                again.push(token);
            }
            let news = outcome.positions();
            let is_news = entry.sent.is_none() || entry.sent != news || outcome.has_more();
            entry.sent = news;
            if is_full || is_news {
                results.push((entry.topic.clone(), entry.index, outcome));
            }
        }
        let entries = &self.entries;
        self.pending.retain(|token| {
            entries
                .get(*token as usize)
                .and_then(Option::as_ref)
                .is_some_and(|entry| entry.queued)
        });
        // Partitions that were served go to the end of the queue, so that all of them are served.
        for token in again {
            self.queue(token);
        }
        results
    }
}

impl Reads {
    fn forget(&mut self, token: u32) {
        if let Some(outcome) = self.outcomes.get_mut(&token).and_then(Option::take) {
            self.bytes -= outcome.bytes();
            self.memory -= outcome.memory();
        }
    }

    pub fn add(&mut self, token: u32, outcome: PartitionRead) {
        self.bytes += outcome.bytes();
        self.memory += outcome.memory();
        self.is_urgent |= outcome.is_urgent();
        if self.outcomes.insert(token, Some(outcome)).is_none() {
            self.order.push(token);
        }
    }
}

impl Entry {
    /// Returns the partition, if the client may read it. A topic that the client names is
    /// authorized first, so that the answer does not depend on its existence.
    ///
    /// As in Kafka, a topic id that the metadata have never contained is UNKNOWN_TOPIC_ID. Later,
    /// the topic is looked up by the name that it had: UNKNOWN_TOPIC_OR_PARTITION after it was
    /// deleted, and INCONSISTENT_TOPIC_ID when another topic has this name now.
    fn find(
        &mut self,
        context: &FetchContext<'_>,
        image: &MetadataImage,
    ) -> Result<Arc<Partition>, ErrorCode> {
        let authorize = |topic: &str| match (context.may_read)(topic) {
            true => Ok(()),
            false => Err(ErrorCode::TopicAuthorizationFailed),
        };
        let topic = match &self.topic {
            TopicKey::Name(name) => {
                authorize(name.as_str())?;
                resolve::topic_by_name(image, name.as_str())?
            }
            TopicKey::Id(id) => match (resolve::topic_by_id(image, Some(*id)), &self.name) {
                (Ok(topic), name) => {
                    if name.is_none() {
                        self.name = Some(topic.name.clone());
                    }
                    authorize(topic.name.as_str())?;
                    topic
                }
                (Err(code), None) => return Err(code),
                (Err(_), Some(name)) => {
                    authorize(name.as_str())?;
                    let topic = resolve::topic_by_name(image, name.as_str())?;
                    resolve::partition(context.partitions, topic, self.index)?;
                    return Err(ErrorCode::InconsistentTopicId);
                }
            },
        };
        resolve::partition(context.partitions, topic, self.index)
    }

    /// Connects the entry to the partition, unless it is connected already.
    fn watch(&mut self, found: Option<&Arc<Partition>>, ready_set: &Arc<ReadySet>, token: u32) {
        let same = match (&self.partition, found) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.watch = found.map(|found| found.watch(ready_set, token, ReadyOn::Committed));
            self.partition = found.cloned();
        }
    }

    /// Returns the partition's identity, if its topic exists.
    pub fn id(topic: &TopicKey, index: i32, image: &MetadataImage) -> Option<TopicIdPartition> {
        let topic_id = match topic {
            TopicKey::Name(name) => image.topic(name.as_str())?.id,
            TopicKey::Id(id) => *id,
        };
        Some(TopicIdPartition {
            topic_id,
            partition: dohle_model::PartitionIndex(index),
        })
    }
}

fn topic_key(version: i16, name: &KafkaString, id: KafkaUuid) -> Option<TopicKey> {
    if version >= 13 {
        wire::topic_id(id).map(TopicKey::Id)
    } else {
        // Copied, because the name in the request is a slice of the request's frame.
        Some(TopicKey::Name(wire::text(name.as_str())))
    }
}
