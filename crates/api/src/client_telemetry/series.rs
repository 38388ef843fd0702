//! The series of metrics that clients have pushed, as `/metrics` exposes them. Pure.
//!
//! Names follow OpenTelemetry's rules for Prometheus: `org.apache.kafka.producer.record.send.total`
//! is `org_apache_kafka_producer_record_send_total`. A name of another origin gets the prefix
//! `client_`, so that no client names a series of the node.
//!
//! Invariants: at most `max` series; a series takes at most [`SERIES_BYTES_MAX`] of text and has at
//! most [`LABELS_MAX`] labels beside those of its client. `total` is the number of series.

use std::collections::{BTreeMap, HashMap};

use dohle_protocol::KafkaUuid;
use dohle_telemetry::{Kind, Sample};

use super::instances::ClientIdentity;
use super::payload::{PointKind, PushedMetrics, PushedPoint};

/// The most bytes of the name, the names of labels and their values.
const SERIES_BYTES_MAX: usize = 1024;
/// The most labels of a series, without those of the client.
const LABELS_MAX: usize = 32;

/// The beginning of the names of metrics that Kafka's clients define.
const KAFKA: &str = "org.apache.kafka.";
/// The prefix of other names.
const OTHERS: &str = "client_";

/// The labels of each series that name its client. Attributes of these names are not exposed.
const IDENTITY: [&str; 4] = [
    "client_id",
    "client_instance_id",
    "client_software_name",
    "client_software_version",
];

/// The series of all instances.
#[derive(Debug)]
pub(super) struct ClientSeries {
    max: usize,
    total: usize,
    by_instance: HashMap<KafkaUuid, InstanceSeries>,
}

#[derive(Debug)]
struct InstanceSeries {
    /// The values of the labels of [`IDENTITY`].
    identity: [String; 4],
    series: BTreeMap<SeriesKey, Value>,
    /// The number of the last push.
    push: u64,
    /// Numbers of the last push that have no series.
    left_out: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct SeriesKey {
    /// Without the suffix `_total` of counters.
    name: String,
    kind: SeriesKind,
    /// In the order of their names.
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SeriesKind {
    Counter,
    Gauge,
}

#[derive(Debug)]
struct Value {
    value: f64,
    /// The push that the value is from.
    push: u64,
    /// The name that the client gave the metric.
    origin: String,
}

impl ClientSeries {
    /// Returns no series, of which there will be at most `max`.
    pub(super) fn with_at_most(max: usize) -> Self {
        Self {
            max,
            total: 0,
            by_instance: HashMap::new(),
        }
    }

    /// Adds what an instance has pushed. Its gauges are those of this push; its counters are kept.
    pub(super) fn record(
        &mut self,
        id: KafkaUuid,
        client: &ClientIdentity,
        metrics: &PushedMetrics,
    ) {
        let instance = self
            .by_instance
            .entry(id)
            .or_insert_with(|| InstanceSeries {
                identity: [
                    client.client_id.clone().unwrap_or_default(),
                    id.to_string(),
                    client.software_name.clone(),
                    client.software_version.clone(),
                ],
                series: BTreeMap::new(),
                push: 0,
                left_out: 0,
            });
        instance.push += 1;
        instance.left_out = 0;
        // Gauges that are not pushed again make room for the series of later pushes.
        let (mut room, before) = (self.max - self.total, instance.series.len());
        metrics.visit(|point| {
            let is_recorded = point.is_some_and(|point| instance.add(&point, &mut room));
            if !is_recorded {
                instance.left_out += 1;
            }
        });
        let push = instance.push;
        let is_current =
            |key: &SeriesKey, value: &Value| key.kind == SeriesKind::Counter || value.push == push;
        instance.series.retain(|key, value| is_current(key, value));
        self.total = self.total - before + instance.series.len();
    }

    /// Removes the series of an instance.
    pub(super) fn remove(&mut self, id: KafkaUuid) {
        if let Some(instance) = self.by_instance.remove(&id) {
            self.total -= instance.series.len();
        }
    }

    /// Returns how many numbers of the last push of each instance have no series.
    pub(super) fn left_out(&self) -> usize {
        let instances = self.by_instance.values();
        instances.map(|instance| instance.left_out).sum()
    }

    /// Passes all series to `out`.
    pub(super) fn collect(&self, out: &mut dyn FnMut(Sample<'_>)) {
        for instance in self.by_instance.values() {
            let identity = IDENTITY.iter().copied();
            let identity = identity.zip(instance.identity.iter().map(String::as_str));
            let identity = identity.filter(|(_, value)| !value.is_empty());
            let identity: Vec<(&str, &str)> = identity.collect();
            for (key, value) in &instance.series {
                let own = key.labels.iter();
                let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
                let labels: Vec<(&str, &str)> = identity.iter().copied().chain(own).collect();
                out(Sample::Pushed {
                    name: &key.name,
                    kind: match key.kind {
                        SeriesKind::Counter => Kind::Counter,
                        SeriesKind::Gauge => Kind::Gauge,
                    },
                    origin: &value.origin,
                    labels: &labels,
                    value: value.value,
                });
            }
        }
    }
}

impl InstanceSeries {
    /// Adds a number; `room` is how many series may be added. Returns whether it has a series.
    fn add(&mut self, point: &PushedPoint<'_>, room: &mut usize) -> bool {
        let Some(key) = SeriesKey::of(point) else {
            return false;
        };
        let push = self.push;
        let known = self.series.get_mut(&key);
        let before = known.as_ref().map_or(0.0, |known| known.value);
        let value = match point.kind {
            PointKind::Gauge | PointKind::Cumulative => point.value,
            PointKind::Delta => before + point.value,
        };
        // A count stays a number, and only grows unless its client starts it anew.
        if point.kind != PointKind::Gauge && !(point.value >= 0.0 && value.is_finite()) {
            return false;
        }
        if let Some(known) = known {
            (known.value, known.push) = (value, push);
            return true;
        }
        if *room == 0 {
            return false;
        }
        *room -= 1;
        let origin = point.name.to_owned();
        let value = Value {
            value,
            push,
            origin,
        };
        self.series.insert(key, value);
        true
    }
}

impl SeriesKey {
    /// Returns `None` for a number without a name, and for one with too much text or too many
    /// labels.
    fn of(point: &PushedPoint<'_>) -> Option<Self> {
        let attributes = || point.resource.iter().chain(&point.attributes);
        let text = attributes().map(|(name, value)| name.len() + value.len());
        let labels = point.resource.len() + point.attributes.len();
        if labels > LABELS_MAX || point.name.is_empty() {
            return None;
        }
        if point.name.len() + text.sum::<usize>() > SERIES_BYTES_MAX {
            return None;
        }
        let kind = match point.kind {
            PointKind::Gauge => SeriesKind::Gauge,
            PointKind::Delta | PointKind::Cumulative => SeriesKind::Counter,
        };
        let mut name = safe(point.name);
        if !point.name.starts_with(KAFKA) {
            name.insert_str(0, OTHERS);
        }
        if kind == SeriesKind::Counter
            && let Some(stem) = name.strip_suffix("_total")
        {
            name.truncate(stem.len());
        }
        // Later ones win: those of the number over those of its resource.
        let labels = attributes().map(|(name, value)| (label(name), value.to_string()));
        let labels = labels.filter(|(name, _)| !IDENTITY.contains(&name.as_str()));
        Some(Self {
            name,
            kind,
            labels: labels.collect(),
        })
    }
}

/// Replaces what names of metrics may not contain.
fn safe(name: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.chars().map(safe).collect()
}

/// Returns the name of a label. Names that begin with underscores have a meaning for Prometheus,
/// and names may not begin with a digit, so both get the prefix `key_`.
fn label(name: &str) -> String {
    let name = safe(name);
    match name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        true => name,
        false => format!("key_{name}"),
    }
}

#[cfg(test)]
#[path = "series_tests.rs"]
mod tests;
