//! A small machine: leases. A lease has one owner until the owner releases it or its time is over;
//! other requesters wait in line.
//!
//! It uses each part of the runtime: records, parked requests, timers, continuations after a
//! commit, computations, configuration, and deleted topics.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use dohle_machine::{
    LogRecord, Lookups, Machine, ParkedRequest, Reply, ReplyToken, Request, Step, Timers,
};
use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, Offset, TopicId, TopicName};

/// The type of the records, the first two bytes of their keys.
const LEASE: [u8; 2] = [0, 7];

/// The leases of one partition.
#[derive(Debug, Default)]
pub(super) struct Leases {
    leases: BTreeMap<String, Lease>,
    timers: Timers<Expiry>,
    /// The log end after the last record that ended a lease.
    ended: Offset,
}

#[derive(Debug, Default)]
struct Lease {
    owner: String,
    time: Duration,
    /// The log end after the lease's last record.
    written: Offset,
    waiting: VecDeque<Waiting>,
}

/// A request that waits for a lease.
#[derive(Debug)]
struct Waiting {
    owner: String,
    time: Duration,
    token: ReplyToken<Grant>,
}

/// The timer for the end of a lease.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Expiry(String);

/// What continues when a lease was granted: its time begins with the commit.
#[derive(Debug)]
pub(super) struct Granted(String);

/// The configuration.
#[derive(Debug)]
pub(super) struct LeaseConfig {
    /// The longest time of a lease.
    pub time_max: Duration,
}

/// The owner of a lease, and for how long; `None` when the lease has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeaseRecord {
    name: String,
    holder: Option<(String, Duration)>,
}

#[derive(Debug, thiserror::Error)]
#[error("a lease of {0} bytes is too short")]
pub(super) struct Malformed(usize);

impl LogRecord for LeaseRecord {
    type Subject = String;
    type Error = Malformed;

    fn subject(&self) -> &String {
        &self.name
    }

    fn encode(&self) -> Result<(Bytes, Option<Bytes>), Malformed> {
        let key = Bytes::from([&LEASE, self.name.as_bytes()].concat());
        let value = self.holder.as_ref().map(|(owner, time)| {
            let mut value = BytesMut::new();
            value.put_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            value.put_slice(owner.as_bytes());
            value.freeze()
        });
        Ok((key, value))
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, Malformed> {
        let Some(name) = key.strip_prefix(&LEASE) else {
            return Ok(None);
        };
        let holder = |value: &[u8]| {
            let (time, owner) = value.split_first_chunk().ok_or(Malformed(value.len()))?;
            let time = Duration::from_millis(u64::from_be_bytes(*time));
            Ok((String::from_utf8_lossy(owner).into_owned(), time))
        };
        Ok(Some(Self {
            name: String::from_utf8_lossy(name).into_owned(),
            holder: value.map(holder).transpose()?,
        }))
    }
}

/// The number of topics whose names begin with a prefix, by prefix.
#[derive(Debug, Default)]
pub(super) struct TopicCounts(BTreeMap<String, usize>);

impl Lookups for TopicCounts {
    type Key = String;

    fn resolve(&mut self, prefixes: Vec<String>, image: &MetadataImage) {
        for prefix in prefixes {
            let names = image.topic_ids.keys();
            let count = names.filter(|name| name.as_str().starts_with(&prefix));
            let count = count.count();
            self.0.insert(prefix, count);
        }
    }
}

impl Machine for Leases {
    type Record = LeaseRecord;
    type Config = LeaseConfig;
    type Timer = Expiry;
    type OnCommit = Granted;
    type Lookups = TopicCounts;
    type Event = Infallible;

    const NAME: &'static str = "leases";

    fn replay(&mut self, record: LeaseRecord) {
        match record.holder {
            Some((owner, time)) => {
                let lease = self.leases.entry(record.name).or_default();
                lease.owner = owner;
                lease.time = time;
            }
            None => {
                self.leases.remove(&record.name);
                self.timers.cancel(&Expiry(record.name));
            }
        }
    }

    fn on_appended(&mut self, names: BTreeSet<String>, end: Offset) {
        for name in names {
            match self.leases.get_mut(&name) {
                Some(lease) => lease.written = end,
                None => self.ended = end,
            }
        }
    }

    fn on_loaded(&mut self, step: &mut Step<'_, Self>) {
        for (name, lease) in &self.leases {
            let time = lease.time.min(step.config.time_max);
            self.timers.set(Expiry(name.clone()), step.now + time);
        }
    }

    fn timers(&mut self) -> &mut Timers<Expiry> {
        &mut self.timers
    }

    fn on_timer(&mut self, Expiry(name): &Expiry, step: &mut Step<'_, Self>) {
        self.pass_on(name, step);
    }

    fn on_commit(
        &mut self,
        Granted(name): Granted,
        outcome: Result<(), ErrorCode>,
        step: &mut Step<'_, Self>,
    ) {
        if outcome.is_err() {
            return;
        }
        if let Some(lease) = self.leases.get(&name) {
            self.timers.set(Expiry(name), step.now + lease.time);
        }
    }

    fn on_topics_deleted(&mut self, topics: &[(TopicId, TopicName)], step: &mut Step<'_, Self>) {
        for (_, topic) in topics {
            if self.leases.contains_key(topic.as_str()) {
                self.pass_on(topic.as_str(), step);
            }
        }
    }
}

impl Leases {
    fn grant(&self, name: &str, to: Waiting, step: &mut Step<'_, Self>) {
        let time = to.time.min(step.config.time_max);
        step.write(LeaseRecord {
            name: name.to_owned(),
            holder: Some((to.owner, time)),
        });
        step.effects.on_commit = Some(Granted(name.to_owned()));
        step.reply(to.token, Grant(Ok(time)));
    }

    /// Ends a lease, and grants it to the first waiting request.
    fn pass_on(&mut self, name: &str, step: &mut Step<'_, Self>) {
        let lease = self.leases.get_mut(name);
        match lease.and_then(|lease| lease.waiting.pop_front()) {
            Some(next) => self.grant(name, next, step),
            None => step.write(LeaseRecord {
                name: name.to_owned(),
                holder: None,
            }),
        }
    }
}

/// The reply to [`Acquire`]: the time of the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant(pub Result<Duration, ErrorCode>);

impl Reply for Grant {
    fn failed(self, code: ErrorCode) -> Self {
        Self(self.0.and(Err(code)))
    }
}

/// Acquires a lease, or waits for it in line. The present owner gets its lease again.
pub(super) struct Acquire {
    pub name: &'static str,
    pub owner: &'static str,
    pub time: Duration,
}

impl ParkedRequest for Acquire {
    type Machine = Leases;
    type Reply = Grant;

    fn plan(&self, token: ReplyToken<Grant>, leases: &mut Leases, step: &mut Step<'_, Leases>) {
        if self.owner.is_empty() {
            return step.reply(token, Grant(Err(ErrorCode::InvalidRequest)));
        }
        let waiting = Waiting {
            owner: self.owner.to_owned(),
            time: self.time,
            token,
        };
        match leases.leases.get_mut(self.name) {
            Some(lease) if lease.owner == self.owner => {
                step.read_up_to(lease.written);
                step.reply(token, Grant(Ok(lease.time)));
            }
            Some(lease) => lease.waiting.push_back(waiting),
            None => leases.grant(self.name, waiting, step),
        }
    }
}

/// Releases a lease.
pub(super) struct Release {
    pub name: &'static str,
    pub owner: &'static str,
}

impl Request for Release {
    type Machine = Leases;
    type Reply = Result<(), ErrorCode>;

    fn plan(&self, leases: &mut Leases, step: &mut Step<'_, Leases>) -> Self::Reply {
        match leases.leases.get(self.name) {
            Some(lease) if lease.owner == self.owner => leases.pass_on(self.name, step),
            _ => return Err(ErrorCode::UnknownMemberId),
        }
        Ok(())
    }
}

/// Reads the owner of a lease.
pub(super) struct Holder {
    pub name: &'static str,
}

impl Request for Holder {
    type Machine = Leases;
    type Reply = Option<String>;

    fn plan(&self, leases: &mut Leases, step: &mut Step<'_, Leases>) -> Self::Reply {
        let lease = leases.leases.get(self.name);
        step.read_up_to(lease.map_or(leases.ended, |lease| lease.written));
        lease.map(|lease| lease.owner.clone())
    }
}

/// Reads how much time a lease has left, since its commit.
pub(super) struct TimeLeft {
    pub name: &'static str,
}

impl Request for TimeLeft {
    type Machine = Leases;
    type Reply = Option<Duration>;

    fn plan(&self, leases: &mut Leases, step: &mut Step<'_, Leases>) -> Self::Reply {
        let end = leases.timers.deadline(&Expiry(self.name.to_owned()))?;
        Some(end.saturating_sub(step.now))
    }
}

/// Counts the topics whose names have a prefix.
pub(super) struct CountTopics {
    pub prefix: &'static str,
}

impl Request for CountTopics {
    type Machine = Leases;
    type Reply = usize;

    const LOOKS_UP: bool = true;

    fn plan(&self, _: &mut Leases, step: &mut Step<'_, Leases>) -> usize {
        let count = step.lookups.and_then(|counts| counts.0.get(self.prefix));
        count.copied().unwrap_or_else(|| {
            step.unresolved.push(self.prefix.to_owned());
            0
        })
    }
}
