//! Limits of new connections per second: of the node, of each listener, and of each address
//! (KIP-612).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::rate::Rate;
use super::{QuotaWindows, SENSORS_MAX};

/// The most connections per second, by what they are counted for. `None` is no limit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConnectionLimits {
    /// `max.connection.creation.rate`.
    pub node: Option<f64>,
    /// `listener.name.X.max.connection.creation.rate`, by the listener's name.
    pub listeners: HashMap<String, f64>,
    /// `connection_creation_rate` of addresses.
    pub ips: HashMap<IpAddr, f64>,
    /// `connection_creation_rate` of the addresses that have none of their own.
    pub default_ip: Option<f64>,
}

impl ConnectionLimits {
    /// Returns whether there is no limit at all.
    #[must_use]
    pub fn are_unlimited(&self) -> bool {
        *self == Self::default()
    }

    fn of_ip(&self, ip: IpAddr) -> Option<f64> {
        self.ips.get(&ip).copied().or(self.default_ip)
    }
}

/// What is done with a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionThrottle {
    /// It is served after this time, and the listener accepts no others before. Zero when no limit
    /// is exceeded.
    Delay(Duration),
    /// Its address exceeds its limit: the connection is closed after this time, so that the client
    /// does not connect again at once. It was not counted.
    Close(Duration),
}

/// The rates of new connections.
///
/// Invariant: at most [`SENSORS_MAX`] addresses are counted. Above that the addresses that connect
/// least recently are forgotten with the end of their windows; further ones share one rate.
///
/// Source: `ConnectionQuotas` in `SocketServer.scala`.
#[derive(Debug)]
pub struct ConnectionRates {
    windows: QuotaWindows,
    node: Rate,
    listeners: HashMap<String, Rate>,
    ips: HashMap<IpAddr, Rate>,
    other_ips: Rate,
    forget_at: Option<Instant>,
}

impl ConnectionRates {
    /// Creates rates without connections.
    #[must_use]
    pub fn new(windows: QuotaWindows) -> Self {
        Self {
            windows,
            node: Rate::default(),
            listeners: HashMap::new(),
            ips: HashMap::new(),
            other_ips: Rate::default(),
            forget_at: None,
        }
    }

    /// Counts a new connection and returns what is done with it. The limit of the node does not
    /// apply to a `protected` listener: the one between brokers, if there are others.
    pub fn on_connection(
        &mut self,
        limits: &ConnectionLimits,
        listener: &str,
        is_protected: bool,
        ip: IpAddr,
        now: Instant,
    ) -> ConnectionThrottle {
        let windows = self.windows;
        let of_node = limits.node.filter(|_| !is_protected);
        let of_listener = limits.listeners.get(listener).copied();
        if let Some(limit) = limits.of_ip(ip) {
            let rate = self.of_ip(ip, now);
            rate.record(&windows, 1.0, now);
            let throttle_time = rate.throttle_time(&windows, limit, now);
            if !throttle_time.is_zero() {
                rate.record(&windows, -1.0, now);
                return ConnectionThrottle::Close(throttle_time.min(windows.length));
            }
        }
        let mut delay = Duration::ZERO;
        if let Some(limit) = of_node {
            self.node.record(&windows, 1.0, now);
            delay = self.node.throttle_time(&windows, limit, now);
        }
        if let Some(limit) = of_listener {
            let rate = self.listeners.entry(listener.to_owned()).or_default();
            rate.record(&windows, 1.0, now);
            delay = delay.max(rate.throttle_time(&windows, limit, now));
        }
        ConnectionThrottle::Delay(delay.min(windows.length))
    }

    /// Returns the rate of an address.
    fn of_ip(&mut self, ip: IpAddr, now: Instant) -> &mut Rate {
        let windows = self.windows;
        let is_full = self.ips.len() >= SENSORS_MAX && !self.ips.contains_key(&ip);
        if self.forget_at.is_none_or(|at| now >= at) {
            self.ips.retain(|_, rate| !rate.is_forgotten(&windows, now));
            self.forget_at = Some(now + windows.length);
        }
        if is_full && self.ips.len() >= SENSORS_MAX {
            return &mut self.other_ips;
        }
        self.ips.entry(ip).or_default()
    }
}
