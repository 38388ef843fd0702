//! Counts the connections of a node, and limits them by places.
//!
//! There are `max.connections` places for clients, of which a listener may have its own
//! `max.connections` and one address `max.connections.per.ip`. Connections of other nodes have
//! separate places. They are recognised by HTTP/2's preface, as long as nodes do not authenticate
//! themselves. So a socket is accepted first, and counted when its first bytes have arrived.
//!
//! Invariant: connections of clients never prevent a connection of another node. The number of
//! sockets without a place is limited. When too many of them have sent nothing yet, the oldest is
//! closed; when too many clients wait for a place, the newest is closed.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dohle_auth::quotas::{ConnectionLimits as RateLimits, ConnectionRates, ConnectionThrottle};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::Limits;
use super::excess::{LastUse, ServedConnections};
use crate::connection::Client;

/// The most connections of other nodes, if there are descriptors for them.
const NODES_MAX: usize = 1_000;
/// The most sockets without a place whose protocol is not known yet.
const UNKNOWN_MAX: usize = 64;
/// The most clients that wait for a place.
const WAITING_MAX: usize = 256;
/// The most descriptors that are reserved for everything but connections of clients.
const RESERVE_MAX: usize = 1_024;

/// The limits of clients' connections, which may change while a node runs.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionQuotas {
    /// `max.connections`: the connections on all listeners.
    pub max: usize,
    /// `listener.name.X.max.connections`, by the listener's name.
    pub listeners: HashMap<String, usize>,
    /// `max.connections.per.ip`: the connections of one address on all listeners.
    pub per_ip_max: usize,
    /// `max.connections.per.ip.overrides`.
    pub per_ip_overrides: HashMap<IpAddr, usize>,
    /// The listener between brokers, unless it is the only one. Limits of all listeners together do
    /// not apply to it (KIP-402).
    pub protected: Option<String>,
    /// The limits of new connections per second (KIP-612).
    pub rates: RateLimits,
}

impl Default for ConnectionQuotas {
    fn default() -> Self {
        Self {
            max: i32::MAX as usize,
            listeners: HashMap::new(),
            per_ip_max: i32::MAX as usize,
            per_ip_overrides: HashMap::new(),
            protected: None,
            rates: RateLimits::default(),
        }
    }
}

impl ConnectionQuotas {
    fn is_protected(&self, listener: &str) -> bool {
        self.protected.as_deref() == Some(listener)
    }

    fn of_ip(&self, ip: IpAddr) -> usize {
        let own = self.per_ip_overrides.get(&ip);
        own.copied().unwrap_or(self.per_ip_max)
    }
}

/// The clients' connections that have a place.
#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_listener: HashMap<Arc<str>, usize>,
    by_ip: HashMap<IpAddr, usize>,
    served: ServedConnections,
}

impl Open {
    /// Counts a connection, unless a limit is reached.
    fn add(
        &mut self,
        quotas: &ConnectionQuotas,
        listener: &Arc<str>,
        ip: IpAddr,
    ) -> Result<(), Lack> {
        let of_listener = self.by_listener.get(listener).copied().unwrap_or(0);
        let listener_max = quotas.listeners.get(&**listener).copied();
        if listener_max.is_some_and(|max| of_listener >= max)
            || (self.total >= quotas.max && !quotas.is_protected(listener))
        {
            return Err(Lack::Places);
        }
        let of_ip = self.by_ip.get(&ip).copied().unwrap_or(0);
        if of_ip >= quotas.of_ip(ip) {
            return Err(Lack::PerIp);
        }
        self.total += 1;
        self.by_listener
            .insert(Arc::clone(listener), of_listener + 1);
        self.by_ip.insert(ip, of_ip + 1);
        assert!(
            self.total > of_listener && self.total > of_ip,
            "{} connections in all, besides one {of_listener} on {listener} and {of_ip} of {ip}",
            self.total
        );
        Ok(())
    }

    fn remove(&mut self, listener: &Arc<str>, ip: IpAddr) {
        let of_ip = self.by_ip.get(&ip).copied().unwrap_or(0);
        let of_listener = self.by_listener.get(listener).copied().unwrap_or(0);
        assert!(
            self.total > 0 && of_ip > 0 && of_listener > 0,
            "a connection of {ip} on {listener} ends, of {} in all, {of_ip} of this address and \
             {of_listener} on this listener",
            self.total
        );
        self.total -= 1;
        self.by_listener
            .insert(Arc::clone(listener), of_listener - 1);
        match of_ip {
            1 => self.by_ip.remove(&ip),
            _ => self.by_ip.insert(ip, of_ip - 1),
        };
    }
}

/// The connections of a node on all its listeners.
#[derive(Debug)]
pub struct ConnectionCounts {
    quotas: RwLock<Arc<ConnectionQuotas>>,
    open: Mutex<Open>,
    /// Notified when a place may have become free.
    freed: Notify,
    rates: Mutex<ConnectionRates>,
    /// Held by the connection of a listener that waits for its throttle time: further ones wait
    /// for it.
    throttled: Mutex<HashMap<Arc<str>, Arc<tokio::sync::Mutex<()>>>>,
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
    listener: Arc<str>,
    ip: IpAddr,
    /// The number of the connection among those that are served.
    served: Option<u64>,
}

/// The place of another node's connection. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct NodeCounted(Arc<ConnectionCounts>);

/// Why a client has no place yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// `max.connections` is reached, of the node or of the listener. The client may wait.
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
        Arc::new(Self {
            quotas: RwLock::new(Arc::new(limits.connections.clone())),
            open: Mutex::default(),
            freed: Notify::new(),
            rates: Mutex::new(ConnectionRates::new(limits.quota_windows)),
            throttled: Mutex::default(),
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

    /// Changes the limits. Where more connections are open than `max.connections` of the node
    /// allows, those that were used least recently are closed; other limits close none.
    pub(super) fn set_quotas(&self, quotas: ConnectionQuotas) {
        *self.quotas.write() = Arc::new(quotas);
        self.close_excess();
        self.freed.notify_waiters();
    }

    /// Returns the number of clients' connections of each listener that has had any.
    pub(super) fn by_listener(&self) -> Vec<(Arc<str>, usize)> {
        let open = self.open.lock();
        let listeners = open.by_listener.iter();
        listeners
            .map(|(listener, count)| (Arc::clone(listener), *count))
            .collect()
    }

    fn quotas(&self) -> Arc<ConnectionQuotas> {
        Arc::clone(&self.quotas.read())
    }

    /// Returns the place of a socket that was accepted as this descriptor. The system assigns the
    /// lowest free number, so at least so many descriptors are in use.
    pub(super) fn place(
        self: &Arc<Self>,
        listener: &Arc<str>,
        ip: IpAddr,
        descriptor: usize,
    ) -> Place {
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
            match self.count(listener, ip) {
                Ok(counted) => return Place::Client(counted),
                Err(lack) => lack,
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

    /// Counts a client, unless a limit is reached.
    fn count(self: &Arc<Self>, listener: &Arc<str>, ip: IpAddr) -> Result<Counted, Lack> {
        self.open.lock().add(&self.quotas(), listener, ip)?;
        Ok(Counted {
            counts: Arc::clone(self),
            listener: Arc::clone(listener),
            ip,
            served: None,
        })
    }

    /// Closes connections while there are more than `max.connections`.
    fn close_excess(&self) {
        let quotas = self.quotas();
        let open = self.open.lock();
        let excess = open.total.saturating_sub(quotas.max);
        open.served
            .close_excess(excess, |listener| quotas.is_protected(listener));
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
            loop {
                let mut freed = pin!(self.freed.notified());
                // Before the attempt, so that a place that becomes free after it is noticed.
                freed.as_mut().enable();
                match self.count(listener, peer.ip()) {
                    Ok(counted) => return Some(counted),
                    Err(Lack::Places) => freed.await,
                    Err(_) => break,
                }
            }
            drop(waiting);
        }
        tracing::info!(
            %listener, %peer,
            "closed a connection: its address has {} connections (max.connections.per.ip)",
            self.quotas().of_ip(peer.ip())
        );
        None
    }

    /// Counts a new connection of a client towards the limits per second, and waits as long as they
    /// require. Returns whether the client is served: one whose address exceeds its limit is not.
    pub(super) async fn within_rates(&self, client: &Client) -> bool {
        let quotas = self.quotas();
        if quotas.rates.are_unlimited() {
            return true;
        }
        let (listener, peer) = (&client.listener, client.peer);
        let turn = Arc::clone(
            self.throttled
                .lock()
                .entry(Arc::clone(listener))
                .or_default(),
        );
        let turn = turn.lock().await;
        let throttle = self.rates.lock().on_connection(
            &quotas.rates,
            listener,
            quotas.is_protected(listener),
            peer.ip(),
            Instant::now(),
        );
        match throttle {
            ConnectionThrottle::Delay(Duration::ZERO) => true,
            ConnectionThrottle::Delay(time) => {
                tracing::debug!(
                    %listener, %peer, ?time,
                    "a connection waits: too many are created"
                );
                tokio::time::sleep(time).await;
                true
            }
            ConnectionThrottle::Close(time) => {
                drop(turn);
                tokio::time::sleep(time).await;
                tracing::info!(
                    %listener, %peer,
                    "closed a connection: its address creates too many (connection_creation_rate)"
                );
                false
            }
        }
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

impl Counted {
    /// Notes that the connection is served from now on, until `closing` is cancelled.
    pub(super) fn serve(&mut self, closing: &CancellationToken) -> LastUse {
        let (id, last_use) = {
            let mut open = self.counts.open.lock();
            open.served.add(&self.listener, closing.clone())
        };
        self.served = Some(id);
        // The listener between brokers takes places that others have.
        self.counts.close_excess();
        last_use
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.counts.open.lock();
        open.remove(&self.listener, self.ip);
        if let Some(id) = self.served {
            open.served.remove(id);
        }
        drop(open);
        if self.counts.waiting.load(Ordering::Relaxed) > 0 {
            self.counts.freed.notify_waiters();
        }
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
            connections: ConnectionQuotas {
                max: 0,
                ..ConnectionQuotas::default()
            },
            ..Limits::default()
        };
        let counts = ConnectionCounts::new(&limits);
        let mut silent = Vec::new();
        for _ in 0..=UNKNOWN_MAX {
            match counts.place(&"TEST".into(), Ipv4Addr::LOCALHOST.into(), 20) {
                Place::Unknown(Lack::Places, unknown) => silent.push(unknown),
                place => panic!("{place:?}"),
            }
        }
        let soon = Duration::from_millis(10);
        assert!(timeout(soon, silent[0].closed()).await.is_ok());
        assert!(timeout(soon, silent[1].closed()).await.is_err());
    }
}
