//! The actor's handling of broker sessions: the changes that heartbeats cause, and the responses.

use std::collections::BTreeSet;
use std::time::Duration;

use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, MetadataOffset, NodeId};
use dohle_rpc::v1;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tonic::Status;

use super::{Actor, Attach, PlannedBatch, report_broken};
use crate::heartbeats::{BrokerReport, SessionId};
use crate::plan::{Draft, brokers};

/// The interval at which brokers send heartbeats while a broker waits for its controlled shutdown.
const DRAINING_INTERVAL: Duration = Duration::from_millis(50);

/// The sender of responses to a broker.
pub(crate) type Outgoing = mpsc::Sender<Result<v1::SessionResponse, Status>>;

/// The actor's handle to a session. Dropping it ends the session.
pub(crate) struct SessionHandle {
    pub responses: Outgoing,
    /// Closes when the handle is dropped, which ends the session's task.
    pub _alive: oneshot::Sender<()>,
}

impl Actor {
    pub(super) fn on_attach(&mut self, attach: Attach) {
        let Attach {
            broker,
            epoch,
            registered_at,
            metadata_offset,
            handle,
            reply,
        } = attach;
        let image = std::sync::Arc::clone(&self.published.borrow().image);
        let registered = image
            .brokers
            .get(&broker)
            .map(|registration| registration.epoch);
        if !self.is_active() || registered != Some(epoch) {
            let error = ErrorCode::StaleBrokerEpoch.because(format!(
                "broker {broker} registered again after it received epoch {epoch}"
            ));
            drop(reply.send(Err(error)));
            return;
        }
        let session = SessionId(self.next_session);
        self.next_session += 1;
        self.heartbeats.on_session_open(
            broker,
            session,
            epoch,
            registered_at,
            metadata_offset,
            Instant::now().into_std(),
        );
        let before = self.sessions.insert(broker, (session, handle));
        assert!(
            before.is_none_or(|(before, _)| before < session),
            "broker {broker} has a session that is newer than {session:?}"
        );
        self.respond(&image, broker);
        self.brokers_to_review.insert(broker);
        drop(reply.send(Ok(session)));
    }

    pub(super) fn on_heartbeat(
        &mut self,
        broker: NodeId,
        session: SessionId,
        report: BrokerReport,
    ) {
        if !self
            .heartbeats
            .on_heartbeat(broker, session, report, Instant::now().into_std())
        {
            return;
        }
        self.brokers_to_review.insert(broker);
        // A broker in controlled shutdown may be waiting for the offset that this heartbeat
        // reports.
        self.brokers_to_review.extend(self.heartbeats.draining());
    }

    pub(super) fn on_broken(&mut self, broker: NodeId, session: SessionId) {
        if self
            .heartbeats
            .on_stream_broken(broker, session, Instant::now().into_std())
        {
            tracing::info!(%broker, "broker session stream broke");
            self.sessions.remove(&broker);
        }
    }

    /// Adds the changes that the sessions' state requires to the draft.
    pub(super) fn plan_sessions(
        &self,
        draft: &mut Draft,
        expired: &[NodeId],
        attended: &BTreeSet<NodeId>,
    ) {
        for broker in expired {
            if draft.image.is_active(*broker) {
                tracing::warn!(%broker, "fencing broker: its session expired");
            }
            draft.may_split();
            report_broken(draft.step(|draft| brokers::fence(draft, *broker)));
        }
        for broker in attended {
            draft.may_split();
            report_broken(draft.step(|draft| self.plan_session(draft, *broker)));
        }
    }

    fn plan_session(&self, draft: &mut Draft, broker: NodeId) {
        let Some(liveness) = self.heartbeats.get(broker) else {
            return;
        };
        let Some(registration) = draft.image.brokers.get(&broker) else {
            return;
        };
        if liveness.session.is_none() || registration.epoch != liveness.epoch {
            return;
        }
        let (fenced, draining) = (registration.fenced, registration.in_controlled_shutdown);
        let report = &liveness.report;
        if !report.offline_log_dirs.is_empty() {
            brokers::take_directories_offline(draft, broker, &report.offline_log_dirs);
        }
        if let Some(cordoned) = &report.cordoned_log_dirs {
            brokers::cordon_directories(draft, broker, cordoned);
        }
        match (fenced, report.want_shutdown) {
            (true, false) => {
                if !liveness.lapsed && report.metadata_offset >= liveness.unfence_at {
                    brokers::unfence(draft, broker);
                }
            }
            (true, true) | (false, false) => {}
            (false, true) if !draining => brokers::begin_controlled_shutdown(draft, broker),
            (false, true) => {
                let moved = liveness
                    .shutdown_at
                    .is_some_and(|at| self.all_have_seen(broker, at));
                if moved && brokers::leaderships(draft, broker) == 0 {
                    brokers::fence(draft, broker);
                }
            }
        }
    }

    /// Whether all other brokers have replayed the metadata up to `offset`, so that none of them
    /// uses the leaving broker any more.
    fn all_have_seen(&self, leaving: NodeId, offset: MetadataOffset) -> bool {
        let image = &self.published.borrow().image;
        self.heartbeats
            .iter()
            .filter(|(broker, l)| {
                *broker != leaving && l.session.is_some() && image.is_active(*broker)
            })
            .all(|(_, liveness)| liveness.report.metadata_offset >= offset)
    }

    /// Handles the commit of the planned batch at `offset`: updates the heartbeats and responds to
    /// the brokers.
    pub(super) fn settle_sessions(&mut self, round: &PlannedBatch, offset: MetadataOffset) {
        let image = std::sync::Arc::clone(&self.published.borrow().image);
        for broker in &round.expired {
            self.heartbeats.on_fenced(*broker, offset);
            self.respond(&image, *broker);
        }
        let was_draining = round.attended.iter().any(|broker| {
            self.heartbeats
                .get(*broker)
                .is_some_and(|l| l.shutdown_at.is_some())
        });
        for broker in &round.attended {
            if image
                .brokers
                .get(broker)
                .is_some_and(|b| b.in_controlled_shutdown)
            {
                self.heartbeats.on_draining(*broker, offset);
            }
            self.respond(&image, *broker);
        }
        if self.drains(&image) && !was_draining {
            for broker in self.sessions.keys() {
                self.respond(&image, *broker);
            }
        }
    }

    /// Whether a broker is in, or has requested, a controlled shutdown.
    fn drains(&self, image: &MetadataImage) -> bool {
        self.heartbeats
            .draining()
            .any(|broker| image.is_active(broker))
    }

    /// Sends a broker its current state.
    pub(super) fn respond(&self, image: &MetadataImage, broker: NodeId) {
        let (Some((_, handle)), Some(liveness), Some(registration)) = (
            self.sessions.get(&broker),
            self.heartbeats.get(broker),
            image.brokers.get(&broker),
        ) else {
            return;
        };
        // A controlled shutdown waits until all other brokers have reported the offsets they
        // replayed.
        let normal = self.config.heartbeat_interval;
        let hurry = self.drains(image);
        let interval = if hurry {
            normal.min(DRAINING_INTERVAL)
        } else {
            normal
        }
        .as_millis();
        let response = v1::SessionResponse {
            outcome: Some(v1::Outcome::default()),
            broker_epoch: liveness.epoch.0,
            is_fenced: registration.fenced,
            should_shutdown: registration.fenced && liveness.report.want_shutdown,
            heartbeat_interval_ms: u32::try_from(interval).unwrap_or(u32::MAX),
        };
        // A broker that does not read its responses misses some; each response has the full state.
        drop(handle.responses.try_send(Ok(response)));
    }
}
