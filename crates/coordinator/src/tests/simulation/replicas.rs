//! Partitions with three replicas: the real log on disks that can lose power, and a model of
//! elections, the ISR and replication, whose real ones `crates/dohle/tests/simulation` tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dohle_broker::replica::{Follower, diverges, truncation_offset};
use dohle_log::validate::AppendOrigin;
use dohle_log::{
    LeaderAppend, Log, LogConfig, OpenFiles, OpenOptions, ReadLimits, TxnAppend, validate,
};
use dohle_model::{ErrorCode, LeaderEpoch, NodeId, Offset, Timestamp, TopicPartition};
use dohle_storage::simulated::{Image, Power, Random, SimulatedDisk};

/// `min.insync.replicas`.
const MIN_ISR: usize = 2;

const DATA: &str = "/data";

/// What a broker does once records are committed, or its leadership has ended.
pub struct Wait<T> {
    pub end: Offset,
    pub then: T,
}

/// A replica on a broker that is up, as that broker sees the partition.
pub struct Replica<T> {
    pub log: Log,
    pub high_watermark: Offset,
    pub leader_epoch: LeaderEpoch,
    pub leader: Option<NodeId>,
    /// The high watermark that a start after a failure finds.
    checkpoint: Offset,
    /// Whether records were lost, or such as were cut off may have returned, since the replica was
    /// in the ISR.
    pub has_lost: bool,
    /// The log was read again at this offset, from a snapshot that has only the last batch of each
    /// producer: of earlier batches less is remembered.
    pub remembers_from: Offset,
    /// Of a leader: where its epoch begins.
    epoch_start: Offset,
    /// Of a leader.
    isr: BTreeSet<NodeId>,
    /// Of a leader: the ends of the logs of its followers.
    acked: BTreeMap<NodeId, Offset>,
    /// Of a leader.
    waits: Vec<Wait<T>>,
}

/// A replica whose broker is down.
struct Stopped {
    recovery_point: Offset,
    high_watermark: Offset,
    has_lost: bool,
}

/// A partition, as the controller sees it, and its replicas.
pub struct Partition<T> {
    pub name: TopicPartition,
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub isr: BTreeSet<NodeId>,
    replicas: BTreeMap<NodeId, Replica<T>>,
    stopped: BTreeMap<NodeId, Stopped>,
    config: Arc<LogConfig>,
}

/// The disk of one broker.
pub struct Disk {
    power: Power,
    disk: SimulatedDisk,
}

impl Disk {
    pub fn new(random: &mut Random, mut image: Image) -> Self {
        image.insert(DATA.into(), None);
        let power = Power::new(random.next_number(), u64::MAX, |_| {});
        let disk = power.disk(image);
        Self { power, disk }
    }

    /// The disk after a loss of power.
    pub fn lose_power(&mut self, random: &mut Random) {
        self.power.cut();
        *self = Self::new(random, self.disk.after_power_loss());
    }
}

impl<T> Partition<T> {
    pub fn new(name: TopicPartition, brokers: &[NodeId], leader: NodeId) -> Self {
        let stopped = brokers.iter().map(|id| {
            let stopped = Stopped {
                recovery_point: Offset::ZERO,
                high_watermark: Offset::ZERO,
                has_lost: false,
            };
            (*id, stopped)
        });
        let config = LogConfig {
            segment_bytes: 900,
            index_interval_bytes: 150,
            retention_ms: None,
            transaction_verification: true,
            ..LogConfig::default()
        };
        Self {
            name,
            leader: Some(leader),
            leader_epoch: LeaderEpoch(1),
            isr: brokers.iter().copied().collect(),
            replicas: BTreeMap::new(),
            stopped: stopped.collect(),
            config: Arc::new(config),
        }
    }

    pub fn replica(&self, id: NodeId) -> Option<&Replica<T>> {
        self.replicas.get(&id)
    }

    pub fn replica_mut(&mut self, id: NodeId) -> Option<&mut Replica<T>> {
        self.replicas.get_mut(&id)
    }

    pub fn replicas(&self) -> impl Iterator<Item = (NodeId, &Replica<T>)> {
        self.replicas.iter().map(|(id, replica)| (*id, replica))
    }

    /// The replica that leads in the newest epoch.
    pub fn current(&self) -> Option<&Replica<T>> {
        let replica = self.replicas.get(&self.leader?)?;
        let is_current = replica.leader_epoch == self.leader_epoch;
        is_current.then_some(replica)
    }

    /// The replica of a broker, if that believes to lead.
    pub fn leading(&mut self, id: NodeId) -> Option<&mut Replica<T>> {
        let replica = self.replicas.get_mut(&id)?;
        (replica.leader == Some(id)).then_some(replica)
    }

    /// A broker starts: it opens its log, and follows nobody yet.
    pub fn start(&mut self, id: NodeId, disk: &Disk, now: Timestamp) {
        let stopped = self.stopped.remove(&id).expect("the broker was down");
        let options = OpenOptions {
            log_start_offset: Offset::ZERO,
            recovery_point: stopped.recovery_point,
            clean_shutdown: false,
            now,
        };
        let folder = format!("{DATA}/{}", self.name);
        let files = OpenFiles::default().within(disk.disk.environment());
        let opened = Log::open_with(
            Path::new(&folder),
            self.name.clone(),
            Arc::clone(&self.config),
            options,
            Arc::new(files),
        );
        let (mut log, _) = opened.expect("a log starts after every loss of power");
        assert!(log.damage().is_empty(), "{:?}", log.damage());
        let high_watermark = stopped.high_watermark.min(log.log_end_offset());
        log.on_high_watermark(high_watermark);
        let replica = Replica {
            high_watermark,
            checkpoint: high_watermark,
            has_lost: stopped.has_lost,
            remembers_from: log.log_end_offset(),
            epoch_start: Offset::ZERO,
            leader_epoch: LeaderEpoch(0),
            leader: None,
            isr: BTreeSet::new(),
            acked: BTreeMap::new(),
            waits: Vec::new(),
            log,
        };
        self.replicas.insert(id, replica);
        if self.leader.is_none() {
            self.elect(id);
        }
    }

    /// Whether the promise of replication covers the loss of a broker's unflushed records.
    pub fn may_lose(&self, id: NodeId) -> bool {
        let mut others = self.isr.iter().filter(|other| **other != id);
        others.any(|other| self.replicas.contains_key(other))
    }

    /// A broker dies. Returns what waited for commits.
    pub fn stop(&mut self, id: NodeId, random: &mut Random) -> Vec<T> {
        let Some(replica) = self.replicas.remove(&id) else {
            return Vec::new();
        };
        let stopped = Stopped {
            recovery_point: replica.log.recovery_point(),
            high_watermark: replica.checkpoint,
            has_lost: replica.has_lost,
        };
        self.stopped.insert(id, stopped);
        for other in self.replicas.values_mut() {
            other.acked.remove(&id);
        }
        if self.isr.len() > 1 {
            self.isr.remove(&id);
        }
        if self.leader == Some(id) {
            self.leader = None;
            self.leader_epoch.0 += 1;
            let candidates: Vec<_> = self.isr.iter().copied().collect();
            let up = candidates
                .iter()
                .filter(|it| self.replicas.contains_key(it));
            if let Some(next) = pick(&up.copied().collect::<Vec<_>>(), random) {
                self.elect(next);
            }
        }
        let waits = replica.waits.into_iter();
        waits.map(|wait| wait.then).collect()
    }

    /// The disk of a broker that has died lost power.
    pub fn lose(&mut self, id: NodeId) {
        if let Some(stopped) = self.stopped.get_mut(&id) {
            stopped.has_lost = true;
        }
    }

    /// The controller elects a member of the ISR.
    pub fn elect(&mut self, id: NodeId) -> bool {
        let may = self.isr.contains(&id) && self.replicas.contains_key(&id);
        if may && self.leader != Some(id) {
            self.leader = Some(id);
            self.leader_epoch.0 += 1;
        }
        may
    }

    /// A broker learns what the controller has decided. Returns whether it leads a new epoch, and
    /// what waited for the leadership that has ended.
    pub fn learn(&mut self, id: NodeId) -> (bool, Vec<T>) {
        let Some(replica) = self.replicas.get_mut(&id) else {
            return (false, Vec::new());
        };
        let is_leader = self.leader == Some(id);
        if replica.leader_epoch == self.leader_epoch {
            if is_leader {
                replica.isr.clone_from(&self.isr);
            }
            return (false, Vec::new());
        }
        replica.leader_epoch = self.leader_epoch;
        replica.leader = self.leader;
        replica.acked.clear();
        if is_leader {
            replica.isr.clone_from(&self.isr);
            replica.log.assign_epoch_start(self.leader_epoch);
            replica.epoch_start = replica.log.log_end_offset();
        }
        let ended = std::mem::take(&mut replica.waits);
        (is_leader, ended.into_iter().map(|wait| wait.then).collect())
    }

    /// A broker that leads adds followers that have all that may be committed to the ISR.
    pub fn expand_isr(&mut self, id: NodeId) {
        let epoch = self.leader_epoch;
        let Some(replica) = self.replicas.get_mut(&id) else {
            return;
        };
        if self.leader != Some(id) || replica.leader_epoch != epoch {
            return;
        }
        for (follower, end) in &replica.acked {
            if *end >= replica.high_watermark.max(replica.epoch_start) {
                self.isr.insert(*follower);
            }
        }
        replica.isr.clone_from(&self.isr);
        for member in &self.isr {
            if let Some(replica) = self.replicas.get_mut(member) {
                replica.has_lost = false;
            }
        }
    }

    /// Appends as the leader that a broker believes to be, with acks=all. Returns the offset below
    /// which everything has to be committed for an acknowledgement.
    pub fn append(
        &mut self,
        id: NodeId,
        records: Bytes,
        txn: &TxnAppend,
        origin: AppendOrigin,
        now: Timestamp,
    ) -> Result<Offset, ErrorCode> {
        let replica = self.leading(id).ok_or(ErrorCode::NotLeaderOrFollower)?;
        if replica.isr.len() < MIN_ISR {
            return Err(ErrorCode::NotEnoughReplicas);
        }
        let log = &mut replica.log;
        let validated = validate(records, log.config(), origin, now);
        let validated = validated.map_err(|error| error.code())?;
        let outcome = log.append_in_txn(validated, txn, replica.leader_epoch, now);
        let end = match outcome.map_err(|error| error.code())? {
            LeaderAppend::Appended(info) => info.last_offset.plus(1),
            LeaderAppend::Duplicate(batch) => batch.last_offset.plus(1),
            LeaderAppend::AlreadyEnded => log.log_end_offset(),
        };
        Ok(end)
    }

    /// A broker writes the checkpoint of its high watermark.
    pub fn checkpoint(&mut self, id: NodeId) {
        if let Some(replica) = self.replicas.get_mut(&id) {
            replica.checkpoint = replica.high_watermark;
        }
    }

    /// Once everything below `end` is committed, `then` is due.
    pub fn wait(&mut self, id: NodeId, end: Offset, then: T) -> Result<(), T> {
        match self.leading(id) {
            Some(replica) => {
                replica.waits.push(Wait { end, then });
                Ok(())
            }
            None => Err(then),
        }
    }

    /// Takes what waited for commits that are there.
    pub fn take_committed(&mut self, id: NodeId) -> Vec<T> {
        let Some(replica) = self.leading(id) else {
            return Vec::new();
        };
        let high_watermark = replica.high_watermark;
        let waits = std::mem::take(&mut replica.waits);
        let (done, waits) = waits
            .into_iter()
            .partition(|wait| wait.end <= high_watermark);
        replica.waits = waits;
        done.into_iter().map(|wait: Wait<T>| wait.then).collect()
    }

    /// Takes one wait whose patience has ended, if `may` allows that.
    pub fn take_impatient(&mut self, id: NodeId, may: impl Fn(&T) -> bool) -> Option<T> {
        let replica = self.leading(id)?;
        let at = replica.waits.iter().position(|wait| may(&wait.then))?;
        Some(replica.waits.remove(at).then)
    }

    /// A follower compares its log with the leader's, and truncates or appends.
    pub fn replicate(&mut self, follower: NodeId, bytes: usize, is_lost: bool, now: Timestamp) {
        let Some(replica) = self.replicas.get(&follower) else {
            return;
        };
        let (epoch, Some(leader)) = (replica.leader_epoch, replica.leader) else {
            return;
        };
        let Some(source) = self.replicas.get(&leader).filter(|it| {
            leader != follower && it.leader == Some(leader) && it.leader_epoch == epoch
        }) else {
            return;
        };
        let end = replica.log.log_end_offset();
        let source_end = source.log.log_end_offset();
        if let Some(last) = replica.log.last_record_epoch() {
            let found = source.log.leader_epochs().end_offset_for(last, source_end);
            let found = found.expect("a leader knows all older epochs");
            if diverges(last, end, (found.epoch, found.end_offset)) {
                let local = replica.log.leader_epochs();
                let local = local.end_offset_for(found.epoch, end);
                let local = local.map(|local| (local.epoch, local.end_offset));
                let to = truncation_offset(found.epoch, found.end_offset, local, end);
                let replica = self.replicas.get_mut(&follower).expect("it is up");
                assert!(
                    to >= replica.high_watermark || replica.has_lost,
                    "{} at {follower} loses what is committed: {to}",
                    self.name
                );
                replica.log.truncate_to(to, now).unwrap();
                replica.remembers_from = replica.log.log_end_offset();
                replica.high_watermark = replica.high_watermark.min(to);
                return;
            }
        }
        let limits = ReadLimits {
            max_bytes: bytes,
            upper_bound: Offset(i64::MAX),
            min_one: true,
        };
        let read = source.log.read(end, limits).unwrap();
        let leaders = source.high_watermark;
        let replica = self.replicas.get_mut(&follower).expect("it is up");
        let appended = replica.log.append_replicated(read.records, leaders, now);
        appended.unwrap();
        let end = replica.log.log_end_offset();
        let high_watermark = Follower::next_high_watermark(replica.high_watermark, leaders, end);
        replica.high_watermark = high_watermark;
        replica.log.on_high_watermark(high_watermark);
        if !is_lost {
            let source = self.replicas.get_mut(&leader).expect("it is up");
            source.acked.insert(follower, end);
        }
    }

    /// The leader raises its high watermark.
    pub fn commit(&mut self, id: NodeId) {
        let Some(replica) = self.leading(id) else {
            return;
        };
        if replica.isr.len() < MIN_ISR {
            return;
        }
        let acked = |member: &NodeId| match *member == id {
            true => replica.log.log_end_offset(),
            false => replica.acked.get(member).copied().unwrap_or(Offset::ZERO),
        };
        let end = replica.isr.iter().map(acked).min();
        if let Some(end) = end
            && end > replica.high_watermark
        {
            replica.high_watermark = end;
            replica.log.on_high_watermark(end);
        }
    }
}

/// One of several.
pub fn pick<C: Copy>(from: &[C], random: &mut Random) -> Option<C> {
    let count = from.len() as u64;
    (count > 0).then(|| from[random.below(count) as usize])
}
