//! Counts the connections of a node, and limits them by places.
//!
//! There are `max.connections` places for clients, of which one address may have
//! `max.connections.per.ip`. Connections of other nodes have separate places. They are recognised
//! by HTTP/2's preface, as long as nodes do not authenticate themselves. So a socket is accepted
//! first, and counted when its first bytes have arrived.
//!
//! Invariant: connections of clients never prevent a connection of another node. The number of
//! sockets without a place is limited. When too many of them have sent nothing yet, the oldest is
//! closed; when too many clients wait for a place, the newest is closed.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::Limits;
use crate::connection::Client;

/// The most connections of other nodes, if there are descriptors for them.
const NODES_MAX: usize = 1_000;
/// The most sockets without a place whose protocol is not known yet.
const UNKNOWN_MAX: usize = 64;
/// The most clients that wait for a place.
const WAITING_MAX: usize = 256;
/// The most descriptors that are reserved for everything but connections of clients.
const RESERVE_MAX: usize = 1_024;

/// The connections of a node on all its listeners.
#[derive(Debug)]
pub struct ConnectionCounts {
    free: Arc<Semaphore>,
    per_ip_max: usize,
    per_ip: Mutex<HashMap<IpAddr, usize>>,
    nodes: AtomicUsize,
    nodes_max: usize,
    waiting: AtomicUsize,
    unknown: Mutex<VecDeque<(u64, oneshot::Sender<()>)>>,
    unknown_max: usize,
    next_unknown: AtomicUsize,
    files_max: usize,
    /// The lowest descriptor that clients do not get, if none is promised.
    reserve_from: usize,
    promised: Promised,
    /// Whether clients are refused because descriptors are short.
    refusing: AtomicBool,
}

/// Returns how many descriptors other parts of the node are going to need and have not opened yet.
#[derive(Default)]
struct Promised(OnceLock<Box<dyn Fn() -> usize + Send + Sync>>);

impl Promised {
    fn now(&self) -> usize {
        self.0.get().map_or(0, |promised| promised())
    }
}

impl std::fmt::Debug for Promised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Promised").field(&self.now()).finish()
    }
}

/// The place of a client's connection. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Counted {
    counts: Arc<ConnectionCounts>,
    ip: IpAddr,
    _permit: OwnedSemaphorePermit,
}

/// The place of another node's connection. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct NodeCounted(Arc<ConnectionCounts>);

/// Why a client has no place yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// `max.connections` is reached. The client may wait.
    Places,
    /// `max.connections.per.ip` is reached.
    PerIp,
    /// The remaining descriptors are reserved.
    Descriptors,
}

/// The place of a socket that was just accepted.
#[derive(Debug)]
pub(super) enum Place {
    /// The place of a client. Given back if the peer turns out to be another node.
    Client(Counted),
    /// No place, for this reason, unless the peer turns out to be another node. [`Unknown::closed`]
    /// completes when the socket is to be closed.
    Unknown(Lack, Unknown),
}

/// A socket without a place whose protocol is not known yet.
#[derive(Debug)]
pub(super) struct Unknown {
    counts: Arc<ConnectionCounts>,
    id: u64,
    closed: oneshot::Receiver<()>,
}

impl ConnectionCounts {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let files = limits.open_files_max;
        let reserve = RESERVE_MAX.min(files / 4);
        let free = limits.connections_max.min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            free: Arc::new(Semaphore::new(free)),
            per_ip_max: limits.connections_per_ip_max,
            per_ip: Mutex::default(),
            nodes: AtomicUsize::new(0),
            nodes_max: NODES_MAX.min(files / 8),
            waiting: AtomicUsize::new(0),
            unknown: Mutex::default(),
            unknown_max: UNKNOWN_MAX.min(reserve / 4).max(1),
            next_unknown: AtomicUsize::new(0),
            files_max: files,
            reserve_from: files - reserve,
            promised: Promised::default(),
            refusing: AtomicBool::new(false),
        })
    }

    /// Refuses clients as many descriptors as `promised` returns when they connect. Only the first
    /// call has an effect.
    pub(super) fn keep_descriptors(&self, promised: Box<dyn Fn() -> usize + Send + Sync>) {
        let _ = self.promised.0.set(promised);
    }

    /// Returns the place of a socket that was accepted as this descriptor. The system assigns the
    /// lowest free number, so at least so many descriptors are in use.
    pub(super) fn place(self: &Arc<Self>, ip: IpAddr, descriptor: usize) -> Place {
        let reserve_from = self.reserve_from.saturating_sub(self.promised.now());
        let lack = if descriptor >= reserve_from {
            Lack::Descriptors
        } else {
            // Only when some more are free, so that single connections do not alternate between
            // this line and the warning.
            let is_enough = descriptor + (self.files_max - self.reserve_from) / 8;
            if is_enough < reserve_from && self.refusing.swap(false, Ordering::Relaxed) {
                tracing::info!("clients are accepted again: enough open files are free");
            }
            match Arc::clone(&self.free).try_acquire_owned() {
                Err(_) => Lack::Places,
                Ok(permit) => match self.count(ip, permit) {
                    Some(counted) => return Place::Client(counted),
                    None => Lack::PerIp,
                },
            }
        };
        Place::Unknown(lack, self.unknown())
    }

    fn unknown(self: &Arc<Self>) -> Unknown {
        let id = self.next_unknown.fetch_add(1, Ordering::Relaxed) as u64;
        let (close, closed) = oneshot::channel();
        let mut unknown = self.unknown.lock();
        unknown.push_back((id, close));
        if unknown.len() > self.unknown_max {
            // Dropping the sender closes the socket.
            unknown.pop_front();
        }
        assert!(
            unknown.len() <= self.unknown_max,
            "{} sockets of unknown protocol, at most {} may be",
            unknown.len(),
            self.unknown_max
        );
        Unknown {
            counts: Arc::clone(self),
            id,
            closed,
        }
    }

    /// Counts a client, or returns `None` when its address has as many connections as allowed.
    fn count(self: &Arc<Self>, ip: IpAddr, permit: OwnedSemaphorePermit) -> Option<Counted> {
        let mut per_ip = self.per_ip.lock();
        let count = per_ip.entry(ip).or_default();
        if *count >= self.per_ip_max {
            return None;
        }
        *count += 1;
        assert!(
            *count <= self.per_ip_max,
            "{ip} has {count} connections, at most {} may be",
            self.per_ip_max
        );
        Some(Counted {
            counts: Arc::clone(self),
            ip,
            _permit: permit,
        })
    }

    /// Waits for the place of a client. When the client gets none, logs the reason and returns
    /// `None`.
    pub(super) async fn wait(self: &Arc<Self>, lack: Lack, client: &Client) -> Option<Counted> {
        let (listener, peer) = (&client.listener, client.peer);
        if lack == Lack::Descriptors {
            if !self.refusing.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    %listener, %peer,
                    "refusing clients: open files are short, and the last {} are reserved for logs \
                     and other nodes; raise the limit (ulimit -n)",
                    self.files_max - self.reserve_from
                );
            }
            return None;
        }
        if lack == Lack::Places {
            let waiting = Waiting(self);
            if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
                tracing::debug!(%listener, %peer, "closed a connection: too many clients wait");
                return None;
            }
            // The semaphore is never closed.
            let permit = Arc::clone(&self.free).acquire_owned().await.ok()?;
            drop(waiting);
            if let Some(counted) = self.count(peer.ip(), permit) {
                return Some(counted);
            }
        }
        tracing::info!(
            %listener, %peer,
            "closed a connection: its address has {} connections (max.connections.per.ip)",
            self.per_ip_max
        );
        None
    }

    /// Returns a place for another node's connection, or `None` when there are too many.
    pub(super) fn node(self: &Arc<Self>) -> Option<NodeCounted> {
        let counted = NodeCounted(Arc::clone(self));
        (self.nodes.fetch_add(1, Ordering::Relaxed) < self.nodes_max).then_some(counted)
    }
}

impl Unknown {
    /// Completes when this socket is to be closed, because there are too many newer ones.
    pub(super) async fn closed(&mut self) {
        // The sender sends nothing: it completes this by being dropped.
        let _ = (&mut self.closed).await;
    }
}

struct Waiting<'a>(&'a ConnectionCounts);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waiting = self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        assert!(waiting > 0, "a client no longer waits, and none did");
    }
}

impl Drop for Unknown {
    fn drop(&mut self) {
        let mut unknown = self.counts.unknown.lock();
        unknown.retain(|(id, _)| *id != self.id);
    }
}

impl Drop for NodeCounted {
    fn drop(&mut self) {
        let nodes = self.0.nodes.fetch_sub(1, Ordering::Relaxed);
        assert!(nodes > 0, "a node gives back a place, and none had one");
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut per_ip = self.counts.per_ip.lock();
        let count = per_ip.get(&self.ip).copied().unwrap_or_default();
        assert!(count > 0, "{} gives back a place, and has none", self.ip);
        match count {
            1 => per_ip.remove(&self.ip),
            _ => per_ip.insert(self.ip, count - 1),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn of_the_sockets_that_send_nothing_the_oldest_is_closed() {
        let limits = Limits {
            connections_max: 0,
            ..Limits::default()
        };
        let counts = ConnectionCounts::new(&limits);
        let mut silent = Vec::new();
        for _ in 0..=UNKNOWN_MAX {
            match counts.place(Ipv4Addr::LOCALHOST.into(), 20) {
                Place::Unknown(Lack::Places, unknown) => silent.push(unknown),
                place => panic!("{place:?}"),
            }
        }
        let soon = Duration::from_millis(10);
        assert!(timeout(soon, silent[0].closed()).await.is_ok());
        assert!(timeout(soon, silent[1].closed()).await.is_err());
    }
}
