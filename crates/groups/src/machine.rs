//! The groups of a partition as a machine for the runtime of coordinators.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bytes::Bytes;
use dohle_machine::{LogRecord, Lookups, Machine};
use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, Offset, ProducerId, Timestamp, TopicId, TopicName};

use crate::Step;
use crate::config::GroupConfig;
use crate::history::GroupEvent;
use crate::ids::GroupId;
use crate::modern::consumer::Matches;
use crate::records::{self, Record, RecordFormatError};
use crate::shard::Shard;
use crate::step::OnCommit;
use crate::timers::{Timer, Timers};

impl Machine for Shard {
    type Record = Record;
    type Config = GroupConfig;
    type Timer = Timer;
    type OnCommit = OnCommit;
    type Lookups = Matches;
    type Event = GroupEvent;

    const NAME: &'static str = "groups";

    fn replay(&mut self, record: Record) {
        match record {
            Record::Offset(key, value) => self.replay_offset(key, value),
            Record::Classic(group_id, value) => self.replay_classic(group_id, value),
            Record::ConsumerPartitionMetadata(..)
            | Record::ConsumerGroup(..)
            | Record::ConsumerMember(..)
            | Record::ConsumerTarget(..)
            | Record::ConsumerTargetMember(..)
            | Record::ConsumerCurrent(..)
            | Record::ConsumerRegex(..) => self.replay_consumer(record),
        }
    }

    fn replay_in_transaction(&mut self, producer: ProducerId, record: Record) {
        match record {
            Record::Offset(key, value) => self.replay_offset_in_transaction(producer, key, value),
            // Other records are not written in transactions.
            record => self.replay(record),
        }
    }

    fn end_transaction(&mut self, producer: ProducerId, committed: bool) -> BTreeSet<GroupId> {
        self.replay_end_of_transaction(producer, committed)
    }

    fn on_appended(&mut self, group_ids: BTreeSet<GroupId>, end: Offset) {
        for group_id in group_ids {
            match self.groups.get_mut(&group_id) {
                Some(group) => {
                    assert!(
                        end >= group.written,
                        "group {group_id}: records end at {end} after some that ended at {}",
                        group.written
                    );
                    group.written = end;
                }
                None => {
                    assert!(
                        end >= self.deleted,
                        "group {group_id}: records end at {end} after some that ended at {}",
                        self.deleted
                    );
                    self.deleted = end;
                }
            }
        }
    }

    fn on_loaded(&mut self, step: &mut Step<'_>) {
        self.history.coordinated_since = Some(step.wall);
        self.on_classic_loaded(step);
        self.on_consumer_loaded(step);
    }

    fn timers(&mut self) -> &mut Timers {
        &mut self.timers
    }

    fn on_timer(&mut self, timer: &Timer, step: &mut Step<'_>) {
        match timer {
            Timer::ClassicJoin(_) | Timer::ClassicSync(_) | Timer::ClassicSession(..) => {
                self.on_classic_timeout(timer, step);
            }
            Timer::ConsumerSession(..)
            | Timer::ConsumerRebalance(..)
            | Timer::ConsumerJoin(..)
            | Timer::ConsumerSync(..) => self.on_consumer_timeout(timer, step),
        }
    }

    fn on_commit(
        &mut self,
        on_commit: OnCommit,
        outcome: Result<(), ErrorCode>,
        step: &mut Step<'_>,
    ) {
        match &on_commit {
            OnCommit::Assignment { .. }
            | OnCommit::StaticMember { .. }
            | OnCommit::Empty { .. } => self.on_classic_written(&on_commit, outcome, step),
            OnCommit::Downgraded {
                group_id,
                rebalance,
            } => {
                if outcome.is_ok() {
                    self.on_downgraded(group_id, *rebalance, step);
                }
            }
        }
    }

    fn on_events(&mut self, events: Vec<GroupEvent>, wall: Timestamp) {
        self.history.add(events, wall);
    }

    fn on_interval(&mut self, step: &mut Step<'_>) -> ControlFlow<()> {
        self.expire_offsets(step)
    }

    fn on_topics_deleted(&mut self, topics: &[(TopicId, TopicName)], step: &mut Step<'_>) {
        self.delete_offsets_of_topics(topics, step);
    }
}

impl LogRecord for Record {
    type Subject = GroupId;
    type Error = RecordFormatError;

    fn subject(&self) -> &GroupId {
        self.group_id()
    }

    fn encode(&self) -> Result<(Bytes, Option<Bytes>), RecordFormatError> {
        Self::encode(self)
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, RecordFormatError> {
        records::decode(key, value)
    }
}

impl Lookups for Matches {
    type Key = String;

    fn resolve(&mut self, expressions: Vec<String>, image: &MetadataImage) {
        Self::resolve(self, expressions, image);
    }
}
