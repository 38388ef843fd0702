//! The instances of clients whose metrics a broker receives, and their subscriptions. Pure: the
//! time arrives as an argument.
//!
//! ```text
//! GetTelemetrySubscriptions ─▶ on_get ──▶ subscription, or throttled
//! PushTelemetry ─────────────▶ on_push ─▶ accepted, or the first of these that applies:
//!     reserved id · terminated · too early · other subscription · unknown codec · too large
//! ```
//!
//! The first request of a client creates its instance, also when it is a push: clients push to any
//! broker. Checks, their order and the intervals are those of Kafka's
//! `ClientMetricsManager`.
//!
//! Invariant: `by_use` and `by_expiry` have one entry for each instance.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dohle_config::{ClientField, ClientMetricsConfig};
use dohle_log::batch::crc32c;
use dohle_log::compression::CompressionType;
use dohle_model::ErrorCode;
use dohle_protocol::KafkaUuid;

/// The most instances; the one that was used least recently makes room for a new one.
pub(super) const INSTANCES_MAX: usize = 16_384;
/// How often a client asks again that matches no subscription.
const INTERVAL_MAX: Duration = Duration::from_secs(300);
/// The least time after which an instance without requests expires.
const EXPIRY_MIN: Duration = Duration::from_secs(60);
/// The name of all metrics in a subscription.
const ALL_METRICS: &str = "*";

/// The sender of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientIdentity {
    /// `client.id`.
    pub client_id: Option<String>,
    /// The name of the client's library; `unknown` when the client has not named it.
    pub software_name: String,
    /// The version of the library; `unknown` when the client has not named it.
    pub software_version: String,
    /// The address of the connection.
    pub address: SocketAddr,
}

/// The number of a connection among those that have sent requests about telemetry.
pub(super) type ConnectionNumber = u64;

/// A PushTelemetry request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Push {
    pub instance: KafkaUuid,
    pub subscription_id: i32,
    pub is_terminating: bool,
    pub codec: i8,
    pub bytes: usize,
}

/// What an instance is to push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// The id, which depends on the other fields and on the instance. All brokers compute the same.
    pub id: i32,
    /// Prefixes of the names of metrics, in order; `*` alone for all, empty for none.
    pub metrics: Vec<String>,
    /// How often.
    pub interval: Duration,
}

#[derive(Debug)]
struct Instance {
    client: ClientIdentity,
    /// The connection of the last request.
    connection: ConnectionNumber,
    subscription: Subscription,
    /// The version of the subscriptions that `subscription` was computed from.
    version: u64,
    last_get: Option<Instant>,
    last_push: Option<Instant>,
    is_terminated: bool,
    last_error: Option<ErrorCode>,
    /// Whether there are series of what it has pushed.
    has_series: bool,
    /// Its place in `by_use`.
    used: u64,
    /// Its place in `by_expiry`.
    expires: Instant,
}

/// The instances, and the subscriptions of the cluster.
#[derive(Debug)]
pub(super) struct Instances {
    max: usize,
    subscriptions: Vec<ClientMetricsConfig>,
    /// Grows with each change of the subscriptions.
    version: u64,
    by_id: HashMap<KafkaUuid, Instance>,
    by_use: BTreeMap<u64, KafkaUuid>,
    by_expiry: BTreeSet<(Instant, KafkaUuid)>,
    next_use: u64,
    /// Instances with series that were removed since they were last taken.
    removed: Vec<KafkaUuid>,
    pub(super) counts: Counts,
}

/// How often a broker has refused or used what clients sent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Pushes for another subscription than the current one.
    pub unknown_subscription: u64,
    /// Requests that were too early.
    pub throttled: u64,
    /// Pushes whose metrics were read.
    pub exported: u64,
    /// Pushes whose metrics could not be read.
    pub export_errors: u64,
}

impl Default for Instances {
    fn default() -> Self {
        Self::with_at_most(INSTANCES_MAX)
    }
}

impl Instances {
    /// Returns no instances and no subscriptions.
    pub(super) fn with_at_most(max: usize) -> Self {
        Self {
            max,
            subscriptions: Vec::new(),
            version: 0,
            by_id: HashMap::new(),
            by_use: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            next_use: 0,
            removed: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Returns the number of instances.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Replaces the subscriptions of the cluster. Each instance gets its new one with its next
    /// request.
    pub(super) fn subscribe(&mut self, subscriptions: Vec<ClientMetricsConfig>) {
        self.subscriptions = subscriptions;
        self.version += 1;
    }

    /// Takes a GetTelemetrySubscriptions request of an instance.
    ///
    /// # Errors
    /// THROTTLING_QUOTA_EXCEEDED for one that is too early. After an error that makes clients ask
    /// again, and after a change of the subscriptions, a request is never too early.
    pub(super) fn on_get(
        &mut self,
        id: KafkaUuid,
        client: &ClientIdentity,
        connection: ConnectionNumber,
        now: Instant,
    ) -> Result<Subscription, ErrorCode> {
        let instance = self.instance(id, client, connection, now);
        let may_ask_again = matches!(
            instance.last_error,
            Some(ErrorCode::UnknownSubscriptionId | ErrorCode::UnsupportedCompressionType)
        );
        if !instance.take_get(now) && !may_ask_again {
            self.counts.throttled += 1;
            return Err(ErrorCode::ThrottlingQuotaExceeded);
        }
        instance.last_error = None;
        Ok(instance.subscription.clone())
    }

    /// Takes a PushTelemetry request. `bytes_max` is `telemetry.max.bytes`. An accepted push ends
    /// with [`Self::on_exported`].
    ///
    /// # Errors
    /// The first reason against the push, in Kafka's order.
    pub(super) fn on_push(
        &mut self,
        push: &Push,
        client: &ClientIdentity,
        connection: ConnectionNumber,
        bytes_max: usize,
        now: Instant,
    ) -> Result<CompressionType, ErrorCode> {
        if push.instance.is_reserved() {
            return Err(ErrorCode::InvalidRequest);
        }
        let instance = self.instance(push.instance, client, connection, now);
        let checked = instance.check_push(push, bytes_max, now);
        // As in Kafka, also when the push is refused.
        instance.is_terminated = push.is_terminating;
        if let Err(code) = checked {
            instance.last_error = Some(code);
            match code {
                ErrorCode::ThrottlingQuotaExceeded => self.counts.throttled += 1,
                ErrorCode::UnknownSubscriptionId => self.counts.unknown_subscription += 1,
                _ => {}
            }
        }
        checked
    }

    /// Notes whether the metrics of an accepted push could be read.
    pub(super) fn on_exported(&mut self, id: KafkaUuid, outcome: Result<(), ErrorCode>) {
        match outcome {
            Ok(()) => self.counts.exported += 1,
            Err(_) => self.counts.export_errors += 1,
        }
        if let Some(instance) = self.by_id.get_mut(&id) {
            instance.last_error = outcome.err();
        }
    }

    /// Notes an accepted push without metrics.
    pub(super) fn on_nothing_pushed(&mut self, id: KafkaUuid) {
        if let Some(instance) = self.by_id.get_mut(&id) {
            instance.last_error = None;
        }
    }

    /// Notes that an instance has series, and returns its client; `None` if it was removed.
    pub(super) fn exposed(&mut self, id: KafkaUuid) -> Option<&ClientIdentity> {
        let instance = self.by_id.get_mut(&id)?;
        instance.has_series = true;
        Some(&instance.client)
    }

    /// Removes the instance of a connection that was closed, unless it has sent requests on another
    /// one since.
    pub(super) fn on_disconnect(&mut self, id: KafkaUuid, connection: ConnectionNumber) {
        let instance = self.by_id.get(&id);
        if instance.is_some_and(|instance| instance.connection == connection) {
            self.remove(id);
        }
    }

    /// Removes the instances whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((expires, id)) = self.by_expiry.first().copied() {
            if expires > now {
                break;
            }
            self.remove(id);
        }
    }

    /// Returns the instances with series that were removed since the last call.
    pub(super) fn take_removed(&mut self) -> Vec<KafkaUuid> {
        std::mem::take(&mut self.removed)
    }

    /// Returns an instance, which is created if it is not known, and whose subscription is computed
    /// again if those of the cluster have changed.
    fn instance(
        &mut self,
        id: KafkaUuid,
        client: &ClientIdentity,
        connection: ConnectionNumber,
        now: Instant,
    ) -> &mut Instance {
        self.expire(now);
        let known = self.by_id.remove(&id);
        if let Some(known) = &known {
            self.by_use.remove(&known.used);
            self.by_expiry.remove(&(known.expires, id));
        } else if self.by_id.len() >= self.max {
            self.remove_least_recently_used();
        }
        let has_series = known.as_ref().is_some_and(|known| known.has_series);
        let current = known.filter(|known| known.version == self.version);
        let mut instance = current.unwrap_or_else(|| Instance {
            client: client.clone(),
            connection,
            subscription: self.subscription(id, client),
            version: self.version,
            last_get: None,
            last_push: None,
            is_terminated: false,
            last_error: None,
            has_series,
            used: 0,
            expires: now,
        });
        instance.connection = connection;
        instance.used = self.next_use;
        instance.expires = now + EXPIRY_MIN.max(instance.subscription.interval * 3);
        self.next_use += 1;
        self.by_use.insert(instance.used, id);
        self.by_expiry.insert((instance.expires, id));
        self.by_id.entry(id).or_insert(instance)
    }

    fn remove_least_recently_used(&mut self) {
        if let Some((_, id)) = self.by_use.first_key_value() {
            self.remove(*id);
        }
    }

    fn remove(&mut self, id: KafkaUuid) {
        if let Some(instance) = self.by_id.remove(&id) {
            self.by_use.remove(&instance.used);
            self.by_expiry.remove(&(instance.expires, id));
            if instance.has_series {
                self.removed.push(id);
            }
        }
    }

    /// Combines the subscriptions that match a client: their metrics, and the shortest interval.
    fn subscription(&self, id: KafkaUuid, client: &ClientIdentity) -> Subscription {
        let (instance, address) = (id.to_string(), client.address.ip().to_canonical());
        let (address, port) = (address.to_string(), client.address.port().to_string());
        let field = |field| match field {
            ClientField::InstanceId => Some(instance.as_str()),
            ClientField::ClientId => client.client_id.as_deref(),
            ClientField::SoftwareName => Some(client.software_name.as_str()),
            ClientField::SoftwareVersion => Some(client.software_version.as_str()),
            ClientField::SourceAddress => Some(address.as_str()),
            ClientField::SourcePort => Some(port.as_str()),
        };
        let mut metrics: BTreeSet<&str> = BTreeSet::new();
        let mut interval = INTERVAL_MAX;
        for subscription in &self.subscriptions {
            if subscription.clients.matches(field) {
                metrics.extend(subscription.metrics.iter().map(String::as_str));
                interval = interval.min(subscription.interval);
            }
        }
        if metrics.contains(ALL_METRICS) {
            metrics = BTreeSet::from([ALL_METRICS]);
        }
        let metrics: Vec<String> = metrics.into_iter().map(str::to_owned).collect();
        Subscription {
            id: subscription_id(&metrics, interval, id),
            metrics,
            interval,
        }
    }
}

impl Instance {
    /// Returns whether a GetTelemetrySubscriptions request comes in time, and if so notes it.
    fn take_get(&mut self, now: Instant) -> bool {
        // `None` is less than any time.
        let last = self.last_get.max(self.last_push);
        let is_in_time = last.is_none_or(|last| now - last >= self.subscription.interval);
        if is_in_time {
            self.last_get = Some(now);
        }
        is_in_time
    }

    /// Returns whether a push comes in time, and if so notes it. The first one after a
    /// GetTelemetrySubscriptions request always does: clients vary their first interval.
    fn take_push(&mut self, now: Instant) -> bool {
        let interval = self.subscription.interval;
        let is_in_time = self.last_get > self.last_push
            || self.last_push.is_none_or(|last| now - last >= interval);
        if is_in_time {
            self.last_push = Some(now);
        }
        is_in_time
    }

    fn check_push(
        &mut self,
        push: &Push,
        bytes_max: usize,
        now: Instant,
    ) -> Result<CompressionType, ErrorCode> {
        if self.is_terminated {
            return Err(ErrorCode::InvalidRequest);
        }
        if !self.take_push(now) && !push.is_terminating {
            return Err(ErrorCode::ThrottlingQuotaExceeded);
        }
        if push.subscription_id != self.subscription.id {
            return Err(ErrorCode::UnknownSubscriptionId);
        }
        let codec = u8::try_from(push.codec)
            .ok()
            .and_then(CompressionType::from_id);
        let codec = codec.ok_or(ErrorCode::UnsupportedCompressionType)?;
        if push.bytes > bytes_max {
            return Err(ErrorCode::TelemetryTooLarge);
        }
        Ok(codec)
    }
}

/// Computes a subscription's id as Kafka does: the CRC-32C of the metrics and the interval, XORed
/// with the hash code that Java's `Uuid` has. The order of the metrics is our own: that of Kafka's
/// is the order of a hash table.
fn subscription_id(metrics: &[String], interval: Duration, instance: KafkaUuid) -> i32 {
    let text = format!("[{}]{}", metrics.join(", "), interval.as_millis());
    let halves = instance.most_significant_bits() ^ instance.least_significant_bits();
    let hash = (halves >> 32) as u32 ^ halves as u32;
    (crc32c(text.as_bytes()) ^ hash).cast_signed()
}

#[cfg(test)]
#[path = "instances_tests.rs"]
mod tests;
