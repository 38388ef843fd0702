//! Receives the metrics of clients (KIP-714) and exposes them with those of the node.
//!
//! ```text
//! subscriptions (metadata) ─▶ instances ─▶ what a client pushes, and when
//! PushTelemetry ─▶ instances (checks) ─▶ payload (decodes) ─▶ series ─▶ /metrics
//! ```
//!
//! Instances that expire are removed with the next request or scrape; there is no timer.
//!
//! Invariant: `series` is locked before `instances`. The threads of connections lock `instances`
//! alone, for a short time; pushes are read on other threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use dohle_config::ClientMetricsConfig;
use dohle_log::compression::CompressionType;
use dohle_model::ErrorCode;
use dohle_model::image::MetadataImage;
use dohle_model::record::ConfigResource;
use dohle_protocol::KafkaUuid;
use dohle_telemetry::{Collect, Sample, Value, mbeans, native};
use parking_lot::Mutex;

mod instances;
mod payload;
mod series;

pub(crate) use instances::{ClientIdentity, Subscription};
use instances::{ConnectionNumber, Instances, Push};
use series::ClientSeries;

/// The metrics of the clients of one node.
#[derive(Debug)]
pub(crate) struct ClientTelemetry {
    /// `telemetry.max.bytes`.
    bytes_max: usize,
    instances: Mutex<Subscribed>,
    series: Mutex<ClientSeries>,
    connections: AtomicU64,
}

#[derive(Debug, Default)]
struct Subscribed {
    instances: Instances,
    /// The properties of the subscriptions that `instances` has.
    current: Vec<(Arc<str>, Arc<dohle_config::Properties>)>,
}

/// The instance that a connection has sent requests for. It is removed with the connection.
#[derive(Debug)]
pub(crate) struct ConnectedInstance {
    telemetry: Arc<ClientTelemetry>,
    number: ConnectionNumber,
    last: Mutex<KafkaUuid>,
}

impl Drop for ConnectedInstance {
    fn drop(&mut self) {
        let mut subscribed = self.telemetry.instances.lock();
        let id = *self.last.get_mut();
        subscribed.instances.on_disconnect(id, self.number);
    }
}

/// The sender of a request, and the subscriptions at its time.
pub(crate) struct Sender<'a> {
    pub client: ClientIdentity,
    /// When the request arrived.
    pub received: Instant,
    /// The state of the connection.
    pub connected: &'a OnceLock<ConnectedInstance>,
    pub image: &'a MetadataImage,
}

/// A push that was accepted and whose metrics are to be read.
#[derive(Debug)]
pub(crate) struct AcceptedPush {
    instance: KafkaUuid,
    is_terminating: bool,
    codec: CompressionType,
    metrics: Bytes,
}

impl ClientTelemetry {
    /// Creates the state of a node: `bytes_max` is `telemetry.max.bytes`, `series_max`
    /// `metrics.client.series.max`.
    pub(crate) fn new(bytes_max: usize, series_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            instances: Mutex::default(),
            series: Mutex::new(ClientSeries::with_at_most(series_max)),
            connections: AtomicU64::new(0),
        })
    }

    /// Returns `telemetry.max.bytes`.
    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Returns what an instance is to push.
    ///
    /// # Errors
    /// THROTTLING_QUOTA_EXCEEDED when it asks too early.
    pub(crate) fn subscription(
        self: &Arc<Self>,
        sender: &Sender<'_>,
        id: KafkaUuid,
    ) -> Result<Subscription, ErrorCode> {
        let connection = self.connection(sender, id);
        let mut subscribed = self.instances.lock();
        subscribed.update(sender.image);
        let instances = &mut subscribed.instances;
        instances.on_get(id, &sender.client, connection, sender.received)
    }

    /// Checks a push.
    ///
    /// # Errors
    /// The reason for which it is refused.
    pub(crate) fn accept(
        self: &Arc<Self>,
        sender: &Sender<'_>,
        push: &dohle_protocol::messages::PushTelemetryRequestData,
    ) -> Result<AcceptedPush, ErrorCode> {
        let id = push.client_instance_id;
        let connection = self.connection(sender, id);
        let mut subscribed = self.instances.lock();
        subscribed.update(sender.image);
        let checked = Push {
            instance: id,
            subscription_id: push.subscription_id,
            is_terminating: push.terminating,
            codec: push.compression_type,
            bytes: push.metrics.len(),
        };
        let (bytes_max, now) = (self.bytes_max, sender.received);
        let instances = &mut subscribed.instances;
        let codec = instances.on_push(&checked, &sender.client, connection, bytes_max, now)?;
        Ok(AcceptedPush {
            instance: id,
            is_terminating: push.terminating,
            codec,
            metrics: push.metrics.clone(),
        })
    }

    /// Reads the metrics of a push, which takes long when there are many, and records them. The
    /// last push of an instance removes its series.
    ///
    /// # Errors
    /// The reason for which they cannot be read.
    pub(crate) fn export(&self, push: &AcceptedPush) -> Result<(), ErrorCode> {
        let id = push.instance;
        let read = match push.metrics.is_empty() {
            true => Ok(None),
            false => payload::read(push.codec, &push.metrics, self.bytes_max).map(Some),
        };
        let mut series = self.series.lock();
        let client = {
            let mut subscribed = self.instances.lock();
            let instances = &mut subscribed.instances;
            match &read {
                Ok(Some(_)) => instances.on_exported(id, Ok(())),
                Ok(None) => instances.on_nothing_pushed(id),
                Err((code, reason)) => {
                    tracing::debug!(%id, "the metrics of a client cannot be read: {reason}");
                    instances.on_exported(id, Err(*code));
                }
            }
            remove_all(instances, &mut series);
            instances.exposed(id).cloned()
        };
        if push.is_terminating {
            series.remove(id);
        }
        let metrics = read.map_err(|(code, _)| code)?;
        if let (false, Some(client), Some(metrics)) = (push.is_terminating, client, metrics) {
            series.record(id, &client, &metrics);
        }
        Ok(())
    }

    /// Notes that a connection has sent a request for an instance, and returns its number.
    fn connection(self: &Arc<Self>, sender: &Sender<'_>, id: KafkaUuid) -> ConnectionNumber {
        let connected = sender.connected.get_or_init(|| ConnectedInstance {
            telemetry: Arc::clone(self),
            number: self.connections.fetch_add(1, Ordering::Relaxed),
            last: Mutex::new(id),
        });
        *connected.last.lock() = id;
        connected.number
    }
}

impl Collect for ClientTelemetry {
    fn collect(&self, out: &mut dyn FnMut(Sample<'_>)) {
        let mut series = self.series.lock();
        let (counts, instances) = {
            let mut subscribed = self.instances.lock();
            let instances = &mut subscribed.instances;
            instances.expire(Instant::now());
            remove_all(instances, &mut series);
            (instances.counts, instances.len())
        };
        let mut attribute = |bean, keys: &[&str], attribute, value| {
            out(Sample::Attribute {
                bean,
                keys,
                attribute,
                value,
            });
        };
        let node = &mbeans::CLIENT_METRICS;
        let unknown = counts.unknown_subscription;
        attribute(node, &[], "instance-count", Value::from(instances));
        attribute(
            node,
            &[],
            "unknown-subscription-request-count",
            Value::from(unknown),
        );
        for (name, count) in [
            ("plugin-error-count", counts.export_errors),
            ("plugin-export-count", counts.exported),
            ("throttle-count", counts.throttled),
        ] {
            let bean = &mbeans::CLIENT_METRICS_INSTANCES;
            attribute(bean, &["all"], name, Value::from(count));
        }
        out(Sample::Native {
            metric: &native::CLIENT_SERIES_LEFT_OUT,
            labels: &[],
            value: series.left_out() as f64,
        });
        series.collect(out);
    }
}

/// Returns whether there are subscriptions.
pub(crate) fn is_used(image: &MetadataImage) -> bool {
    subscriptions(image).next().is_some()
}

/// Returns the names and the properties of the subscriptions.
fn subscriptions(
    image: &MetadataImage,
) -> impl Iterator<Item = (&Arc<str>, &Arc<dohle_config::Properties>)> {
    // They are the last ones in the order of the resources.
    let configs = image
        .configs
        .range(ConfigResource::ClientMetrics("".into())..);
    configs.filter_map(|(resource, own)| match resource {
        ConfigResource::ClientMetrics(name) => Some((name, own)),
        _ => None,
    })
}

/// Removes the series of instances that were removed.
fn remove_all(instances: &mut Instances, series: &mut ClientSeries) {
    for id in instances.take_removed() {
        series.remove(id);
    }
}

impl Subscribed {
    /// Takes over the subscriptions of the metadata, if they have changed.
    fn update(&mut self, image: &MetadataImage) {
        let all = || subscriptions(image);
        let is_same = all().count() == self.current.len()
            && all()
                .zip(&self.current)
                .all(|((name, own), (known, values))| {
                    name == known && (Arc::ptr_eq(own, values) || own == values)
                });
        if is_same {
            return;
        }
        let owned = all().map(|(name, own)| (Arc::clone(name), Arc::clone(own)));
        self.current = owned.collect();
        let configs = self.current.iter();
        let configs = configs.filter_map(|(_, own)| ClientMetricsConfig::resolve(own));
        self.instances.subscribe(configs.collect());
    }
}
