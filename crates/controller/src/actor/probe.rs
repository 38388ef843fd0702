//! Probes whether brokers that have not connected to a new active controller still listen.
//!
//! A broker whose process was killed refuses connections at once, so its partitions need not wait
//! for its session to time out. Any other result of a probe, or a timeout, is no evidence.

use std::io;
use std::time::Duration;

use dohle_model::record::BrokerRegistration;
use dohle_model::{BrokerEpoch, NodeId};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::Message;

/// The timeout of one connection attempt; a timeout is no evidence that the broker has ended.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// The pause between two probes: a port can be closed for a moment while its process still runs.
const PAUSE: Duration = Duration::from_millis(100);

/// A broker to probe.
pub(super) struct Probe {
    broker: NodeId,
    epoch: BrokerEpoch,
    endpoints: Vec<(String, u16)>,
}

impl Probe {
    pub(super) fn of(broker: &BrokerRegistration) -> Self {
        let endpoints = broker.endpoints.iter().map(|e| (e.host.clone(), e.port));
        Self {
            broker: broker.id,
            epoch: broker.epoch,
            endpoints: endpoints.collect(),
        }
    }

    /// Whether all endpoints refuse connections, in two consecutive probes.
    async fn is_refused(&self) -> bool {
        for round in 0..2 {
            if round > 0 {
                sleep(PAUSE).await;
            }
            for (host, port) in &self.endpoints {
                let connect = TcpStream::connect((host.as_str(), *port));
                let refused = matches!(
                    timeout(CONNECT_TIMEOUT, connect).await,
                    Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused
                );
                if !refused {
                    return false;
                }
            }
        }
        !self.endpoints.is_empty()
    }
}

/// Reports to the actor which of the brokers refuse connections.
pub(super) async fn run(probes: Vec<Probe>, actor: mpsc::WeakSender<Message>) {
    let mut probes: FuturesUnordered<_> = probes
        .into_iter()
        .map(|probe| async move { (probe.is_refused().await, probe) })
        .collect();
    while let Some((refused, Probe { broker, epoch, .. })) = probes.next().await {
        let Some(actor) = actor.upgrade() else { return };
        if refused
            && actor
                .send(Message::Refused { broker, epoch })
                .await
                .is_err()
        {
            return;
        }
    }
}
