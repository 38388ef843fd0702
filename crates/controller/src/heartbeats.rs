//! Tracks one session with heartbeats for each broker, to decide which brokers are alive.
//!
//! Pure: time arrives as an argument. A broker is fenced at the earlier of two deadlines: its
//! session timeout after its last heartbeat, and, while it has no stream, a grace period. The grace
//! is short after a stream broke (the sockets of a killed process close at once), and longer for
//! brokers that still have to connect to a new active controller.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dohle_model::{BrokerEpoch, DirectoryId, MetadataOffset, NodeId};

/// Identifies one session stream of one broker; a controller never reuses an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(pub u64);

/// The content of a broker's heartbeat.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BrokerReport {
    pub metadata_offset: MetadataOffset,
    pub want_shutdown: bool,
    pub offline_log_dirs: Vec<DirectoryId>,
    /// The log directories that get no new replicas; `None` until the broker has its configuration.
    pub cordoned_log_dirs: Option<Vec<DirectoryId>>,
    /// The limit of open files and connections of the broker's process; 0 when it is unknown.
    pub open_files_max: u64,
}

/// A broker's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Liveness {
    /// The stream; `None` while the broker has not connected to this controller.
    pub session: Option<SessionId>,
    /// The broker epoch of the registration that the session belongs to.
    pub epoch: BrokerEpoch,
    /// When the broker was last heard from.
    pub heard: Instant,
    /// While the session has no stream: when the broker is fenced unless it connects.
    pub due: Option<Instant>,
    /// Whether the session expired. The next heartbeat revives it.
    pub lapsed: bool,
    /// The content of the last heartbeat.
    pub report: BrokerReport,
    /// The metadata offset that the broker must have replayed before it is unfenced.
    pub unfence_at: MetadataOffset,
    /// The offset at which the broker's controlled shutdown was committed.
    pub shutdown_at: Option<MetadataOffset>,
}

/// The sessions of all brokers; see the module.
#[derive(Debug)]
pub(crate) struct BrokerHeartbeats {
    session_timeout: Duration,
    broken_grace: Duration,
    inherited_grace: Duration,
    /// While a session was heard from within this time, another incarnation of its broker cannot
    /// register.
    connected_for: Duration,
    brokers: BTreeMap<NodeId, Liveness>,
}

impl BrokerHeartbeats {
    pub fn new(
        session_timeout: Duration,
        broken_grace: Duration,
        inherited_grace: Duration,
        interval: Duration,
    ) -> Self {
        let connected_for = (interval * 2 + interval / 2).min(session_timeout);
        Self {
            session_timeout,
            broken_grace,
            inherited_grace: inherited_grace.min(session_timeout),
            connected_for,
            brokers: BTreeMap::new(),
        }
    }

    /// Removes all sessions, because this controller is no longer active.
    pub fn clear(&mut self) {
        self.brokers.clear();
    }

    /// Adds a broker that the previous active controller left unfenced, and starts its grace
    /// period.
    pub fn on_inherited(&mut self, broker: NodeId, epoch: BrokerEpoch, now: Instant) {
        let mut liveness = Liveness::new(None, epoch, now);
        liveness.due = Some(now + self.inherited_grace);
        let before = self.brokers.insert(broker, liveness);
        assert!(
            before.is_none(),
            "broker {broker} is inherited, and has the session {before:?}"
        );
    }

    /// Handles a broker whose endpoints refuse connections: without a session its process has
    /// ended, so it expires now.
    pub fn on_refused(&mut self, broker: NodeId, epoch: BrokerEpoch, now: Instant) {
        if let Some(liveness) = self.brokers.get_mut(&broker)
            && liveness.session.is_none()
            && liveness.epoch == epoch
        {
            liveness.due = Some(now);
        }
    }

    /// Opens a session. It replaces any other session of the broker, together with its stream.
    pub fn on_session_open(
        &mut self,
        broker: NodeId,
        session: SessionId,
        epoch: BrokerEpoch,
        unfence_at: MetadataOffset,
        metadata_offset: MetadataOffset,
        now: Instant,
    ) -> Option<SessionId> {
        let mut liveness = Liveness::new(Some(session), epoch, now);
        liveness.unfence_at = unfence_at;
        liveness.report.metadata_offset = metadata_offset;
        let old = self.brokers.insert(broker, liveness)?;
        assert!(
            old.session < Some(session),
            "broker {broker} gets the session {session:?} after {:?}",
            old.session
        );
        old.session
    }

    /// Records a heartbeat. Returns whether it belongs to the broker's current session.
    pub fn on_heartbeat(
        &mut self,
        broker: NodeId,
        session: SessionId,
        report: BrokerReport,
        now: Instant,
    ) -> bool {
        let Some(liveness) = self.present(broker, session) else {
            return false;
        };
        assert!(
            now >= liveness.heard,
            "broker {broker} is heard from at {now:?} after {:?}",
            liveness.heard
        );
        liveness.heard = now;
        liveness.lapsed = false;
        liveness.report = report;
        true
    }

    /// Records that a stream broke. Returns whether it was the stream of the broker's current
    /// session.
    pub fn on_stream_broken(&mut self, broker: NodeId, session: SessionId, now: Instant) -> bool {
        let due = now + self.broken_grace;
        let Some(liveness) = self.present(broker, session) else {
            return false;
        };
        assert_eq!(
            liveness.due, None,
            "broker {broker} has a stream, and is to be fenced as without one"
        );
        liveness.session = None;
        liveness.due = Some(due);
        true
    }

    /// Records that a batch at `offset` fenced the broker. Removes the session when it has no
    /// stream.
    pub fn on_fenced(&mut self, broker: NodeId, offset: MetadataOffset) {
        let Some(liveness) = self.brokers.get_mut(&broker) else {
            return;
        };
        if liveness.session.is_none() {
            self.brokers.remove(&broker);
        } else {
            liveness.lapsed = true;
            liveness.unfence_at = offset;
        }
    }

    /// Records that the broker's controlled shutdown was committed at `offset` or earlier.
    pub fn on_draining(&mut self, broker: NodeId, offset: MetadataOffset) {
        if let Some(liveness) = self.brokers.get_mut(&broker) {
            liveness.shutdown_at.get_or_insert(offset);
        }
    }

    /// Extends all deadlines after a pause of this controller's own process, because the heartbeats
    /// that brokers sent during the pause have not been read yet.
    pub fn on_paused(&mut self, now: Instant) {
        for liveness in self
            .brokers
            .values_mut()
            .filter(|liveness| !liveness.lapsed)
        {
            liveness.heard = now;
        }
    }

    /// Returns the brokers whose deadline has passed.
    pub fn expired(&self, now: Instant) -> Vec<NodeId> {
        let expired = |(_, l): &(&NodeId, &Liveness)| self.deadline(l).is_some_and(|at| at <= now);
        self.brokers
            .iter()
            .filter(expired)
            .map(|(broker, _)| *broker)
            .collect()
    }

    /// When [`BrokerHeartbeats::expired`] must be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.brokers
            .values()
            .filter_map(|liveness| self.deadline(liveness))
            .min()
    }

    /// Whether the broker's session has a stream and was heard from recently.
    pub fn is_connected(&self, broker: NodeId, now: Instant) -> bool {
        self.brokers.get(&broker).is_some_and(|liveness| {
            liveness.session.is_some() && now < liveness.heard + self.connected_for
        })
    }

    pub fn get(&self, broker: NodeId) -> Option<&Liveness> {
        self.brokers.get(&broker)
    }

    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Liveness)> {
        self.brokers
            .iter()
            .map(|(broker, liveness)| (*broker, liveness))
    }

    /// Returns the brokers that requested a controlled shutdown.
    pub fn draining(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.brokers
            .iter()
            .filter(|(_, l)| l.report.want_shutdown)
            .map(|(broker, _)| *broker)
    }

    fn present(&mut self, broker: NodeId, session: SessionId) -> Option<&mut Liveness> {
        self.brokers
            .get_mut(&broker)
            .filter(|liveness| liveness.session == Some(session))
    }

    fn deadline(&self, liveness: &Liveness) -> Option<Instant> {
        if liveness.lapsed {
            return None;
        }
        let silent = liveness.heard + self.session_timeout;
        Some(liveness.due.map_or(silent, |due| due.min(silent)))
    }
}

impl Liveness {
    fn new(session: Option<SessionId>, epoch: BrokerEpoch, now: Instant) -> Self {
        Self {
            session,
            epoch,
            heard: now,
            due: None,
            lapsed: false,
            report: BrokerReport::default(),
            unfence_at: MetadataOffset(0),
            shutdown_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn heartbeats() -> BrokerHeartbeats {
        BrokerHeartbeats::new(9000 * MS, 200 * MS, 3000 * MS, 2000 * MS)
    }

    fn open(heartbeats: &mut BrokerHeartbeats, session: u64, now: Instant) -> Option<SessionId> {
        let zero = MetadataOffset(0);
        let epoch = BrokerEpoch(7);
        heartbeats.on_session_open(NodeId(1), SessionId(session), epoch, zero, zero, now)
    }

    #[test]
    fn silence_expires_a_session_after_its_timeout() {
        let start = Instant::now();
        let mut heartbeats = heartbeats();
        open(&mut heartbeats, 1, start);
        assert!(heartbeats.expired(start + 8999 * MS).is_empty());
        assert_eq!(heartbeats.expired(start + 9000 * MS), [NodeId(1)]);
        heartbeats.on_heartbeat(
            NodeId(1),
            SessionId(1),
            BrokerReport::default(),
            start + 8000 * MS,
        );
        assert!(heartbeats.expired(start + 9000 * MS).is_empty());
        assert_eq!(heartbeats.next_deadline(), Some(start + 17_000 * MS));
    }

    #[test]
    fn a_broken_stream_expires_after_the_grace() {
        let start = Instant::now();
        let mut heartbeats = heartbeats();
        open(&mut heartbeats, 1, start);
        assert!(heartbeats.on_stream_broken(NodeId(1), SessionId(1), start + 50 * MS));
        assert!(!heartbeats.is_connected(NodeId(1), start + 50 * MS));
        assert!(heartbeats.expired(start + 249 * MS).is_empty());
        assert_eq!(heartbeats.expired(start + 250 * MS), [NodeId(1)]);
    }

    #[test]
    fn a_session_that_comes_back_within_the_grace_is_not_fenced() {
        let start = Instant::now();
        let mut heartbeats = heartbeats();
        open(&mut heartbeats, 1, start);
        heartbeats.on_stream_broken(NodeId(1), SessionId(1), start);
        open(&mut heartbeats, 2, start + 100 * MS);
        assert!(heartbeats.expired(start + 1000 * MS).is_empty());
    }

    #[test]
    fn the_end_of_a_replaced_stream_means_nothing() {
        let start = Instant::now();
        let mut heartbeats = heartbeats();
        open(&mut heartbeats, 1, start);
        assert_eq!(open(&mut heartbeats, 2, start), Some(SessionId(1)));
        assert!(!heartbeats.on_stream_broken(NodeId(1), SessionId(1), start));
        assert!(!heartbeats.on_heartbeat(NodeId(1), SessionId(1), BrokerReport::default(), start));
        assert!(heartbeats.is_connected(NodeId(1), start));
    }

    #[test]
    fn a_fenced_session_counts_again_with_its_next_heartbeat() {
        let start = Instant::now();
        let mut heartbeats = heartbeats();
        open(&mut heartbeats, 1, start);
        let late = start + 10_000 * MS;
        assert_eq!(heartbeats.expired(late), [NodeId(1)]);
        heartbeats.on_fenced(NodeId(1), MetadataOffset(5));
        assert!(heartbeats.expired(late).is_empty());
        assert!(heartbeats.on_heartbeat(NodeId(1), SessionId(1), BrokerReport::default(), late));
        assert_eq!(
            heartbeats.get(NodeId(1)).unwrap().unfence_at,
            MetadataOffset(5)
        );
        assert_eq!(heartbeats.next_deadline(), Some(late + 9000 * MS));
    }

    #[test]
    fn the_controllers_own_pause_is_not_the_brokers_silence() {
        let start = Instant::now();
        let mut heartbeats = heartbeats();
        open(&mut heartbeats, 1, start);
        heartbeats.on_paused(start + 20_000 * MS);
        assert!(heartbeats.expired(start + 20_000 * MS).is_empty());
        assert_eq!(heartbeats.next_deadline(), Some(start + 29_000 * MS));
    }

    #[test]
    fn an_inherited_broker_has_its_grace_to_come() {
        let start = Instant::now();
        let mut heartbeats = heartbeats();
        heartbeats.on_inherited(NodeId(1), BrokerEpoch(3), start);
        assert!(!heartbeats.is_connected(NodeId(1), start));
        assert!(heartbeats.expired(start + 2999 * MS).is_empty());
        assert_eq!(heartbeats.expired(start + 3000 * MS), [NodeId(1)]);
        heartbeats.on_fenced(NodeId(1), MetadataOffset(1));
        assert!(heartbeats.get(NodeId(1)).is_none());
    }

    #[test]
    fn an_inherited_broker_that_nobody_listens_for_is_given_up_at_once() {
        let start = Instant::now();
        let mut heartbeats = heartbeats();
        heartbeats.on_inherited(NodeId(1), BrokerEpoch(7), start);
        heartbeats.on_refused(NodeId(1), BrokerEpoch(6), start);
        assert_eq!(heartbeats.next_deadline(), Some(start + 3000 * MS));
        heartbeats.on_refused(NodeId(1), BrokerEpoch(7), start);
        assert_eq!(heartbeats.expired(start), [NodeId(1)]);
        // A session that opens after all proves that the broker is alive.
        open(&mut heartbeats, 1, start);
        heartbeats.on_refused(NodeId(1), BrokerEpoch(7), start);
        assert_eq!(heartbeats.next_deadline(), Some(start + 9000 * MS));
    }

    #[test]
    fn a_silent_session_does_not_keep_another_incarnation_out() {
        let start = Instant::now();
        let mut heartbeats = heartbeats();
        open(&mut heartbeats, 1, start);
        assert!(heartbeats.is_connected(NodeId(1), start + 4999 * MS));
        assert!(!heartbeats.is_connected(NodeId(1), start + 5000 * MS));
    }

    #[test]
    #[should_panic(expected = "broker 1 gets the session SessionId(4) after Some(SessionId(4))")]
    fn a_session_id_that_is_used_again_is_noticed() {
        let mut heartbeats = heartbeats();
        open(&mut heartbeats, 4, Instant::now());
        open(&mut heartbeats, 4, Instant::now());
    }
}
