//! How many requests of each API and version were served, how large they were, and how long their
//! stages took.
//!
//! Invariant: counting takes no lock. It allocates for the first request of an API that a thread
//! serves.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use dohle_network::connection::StageTimes;
use dohle_protocol::ApiKey;
use dohle_telemetry::{
    Collect, Counter, Histograms, MBean, RecentPercentiles, Sample, Value, mbeans,
};
use parking_lot::Mutex;

/// What histograms are about. Times are recorded in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Measure {
    TotalTime,
    LocalTime,
    RemoteTime,
    ResponseQueueTime,
    ResponseSendTime,
    RequestQueueTime,
    ThrottleTime,
    RequestBytes,
}

use Measure::{
    LocalTime, RemoteTime, RequestBytes, RequestQueueTime, ResponseQueueTime, ResponseSendTime,
    ThrottleTime, TotalTime,
};

/// The MBeans of the histograms, in the order of [`Measure`].
const MEASURES: [(Measure, &MBean); 8] = [
    (TotalTime, &mbeans::REQUEST_TOTAL_TIME),
    (LocalTime, &mbeans::REQUEST_LOCAL_TIME),
    (RemoteTime, &mbeans::REQUEST_REMOTE_TIME),
    (ResponseQueueTime, &mbeans::RESPONSE_QUEUE_TIME),
    (ResponseSendTime, &mbeans::RESPONSE_SEND_TIME),
    (RequestQueueTime, &mbeans::REQUEST_QUEUE_TIME),
    (ThrottleTime, &mbeans::REQUEST_THROTTLE_TIME),
    (RequestBytes, &mbeans::REQUEST_BYTES),
];

/// The counts of one API.
#[derive(Debug)]
struct Row {
    key: ApiKey,
    version_min: i16,
    /// A counter for each version.
    versions: Box<[Counter]>,
    histograms: Histograms<{ MEASURES.len() }>,
}

/// Measures requests by API.
#[derive(Debug)]
pub(crate) struct RequestMeter {
    rows: Box<[Row]>,
    /// The percentiles of the APIs that have had requests, by row.
    recent: Mutex<HashMap<(usize, Measure), RecentPercentiles>>,
}

impl RequestMeter {
    /// Creates a meter for these APIs and their versions, with all counts zero.
    pub fn new(apis: impl Iterator<Item = (ApiKey, RangeInclusive<i16>)>) -> Self {
        let row = |(key, versions): (ApiKey, RangeInclusive<i16>)| Row {
            key,
            version_min: *versions.start(),
            versions: versions.map(|_| Counter::default()).collect(),
            histograms: Histograms::default(),
        };
        Self {
            rows: apis.map(row).collect(),
            recent: Mutex::default(),
        }
    }

    /// Counts a request of the API in row `row`, and its size.
    pub fn count(&self, row: usize, version: i16, bytes: usize) {
        let Some(row) = self.rows.get(row) else {
            return;
        };
        let version = usize::try_from(version - row.version_min).ok();
        if let Some(counter) = version.and_then(|version| row.versions.get(version)) {
            counter.add(1);
        }
        row.histograms
            .record([(RequestBytes as usize, bytes as u64)]);
    }

    /// Records how long the stages of a request took, once its response was sent. Stages that took
    /// no time are left out: they are added when the histograms are read.
    pub fn sent(&self, row: usize, times: &StageTimes) {
        let Some(Row { histograms, .. }) = self.rows.get(row) else {
            return;
        };
        histograms.record([
            (TotalTime as usize, microseconds(times.total())),
            (LocalTime as usize, microseconds(times.local)),
            (ResponseSendTime as usize, microseconds(times.response_send)),
        ]);
        for (measure, time) in [
            (RemoteTime, times.remote),
            (ResponseQueueTime, times.response_queue),
        ] {
            if !time.is_zero() {
                histograms.record([(measure as usize, microseconds(time))]);
            }
        }
    }

    /// Records for how long a request waited for the appends of earlier requests.
    pub fn queued(&self, key: ApiKey, time: Duration) {
        self.record(key, RequestQueueTime, time);
    }

    /// Records for how long a client is throttled because of a request.
    pub fn throttled(&self, key: ApiKey, time: Duration) {
        self.record(key, ThrottleTime, time);
    }

    fn record(&self, key: ApiKey, measure: Measure, time: Duration) {
        let row = self.rows.iter().find(|row| row.key == key);
        if let Some(row) = row.filter(|_| !time.is_zero()) {
            let values = [(measure as usize, microseconds(time))];
            row.histograms.record(values);
        }
    }

    /// Returns the number of requests of each API and version that has had any.
    pub fn counts(&self) -> impl Iterator<Item = (ApiKey, i16, u64)> {
        self.rows.iter().flat_map(|row| {
            let versions = (row.version_min..).zip(&row.versions);
            let counted = versions.map(move |(version, counter)| (row.key, version, counter.get()));
            counted.filter(|(_, _, requests)| *requests > 0)
        })
    }

    fn histograms(&self, now: Instant, out: &mut dyn FnMut(Sample<'_>)) {
        let mut recent = self.recent.lock();
        for (index, row) in self.rows.iter().enumerate() {
            let sent = row.histograms.recorded(TotalTime as usize).count();
            for (measure, bean) in MEASURES {
                let recorded = row.histograms.recorded(measure as usize);
                let (recorded, factor) = match measure {
                    RequestBytes => (recorded, 1.0),
                    _ => (recorded.with_zeros(sent), 1e-3),
                };
                if recorded.count() == 0 {
                    continue;
                }
                let recent = recent.entry((index, measure));
                let recent = recent.or_insert_with(|| RecentPercentiles::new(now));
                recent.attributes(recorded, factor, now, &mut |attribute, value| {
                    for name in names(row.key) {
                        out(Sample::Attribute {
                            bean,
                            keys: &[&name],
                            attribute,
                            value,
                        });
                    }
                });
            }
        }
    }
}

/// Returns the names of the metrics of an API. Kafka counts a request of a consumer as Fetch and as
/// FetchConsumer; those of followers do not use this API.
fn names(key: ApiKey) -> impl Iterator<Item = String> {
    let further = (key == ApiKey::Fetch).then(|| "FetchConsumer".to_owned());
    [Some(format!("{key:?}")), further].into_iter().flatten()
}

/// Fractions of microseconds are left out.
fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Collect for RequestMeter {
    fn collect(&self, out: &mut dyn FnMut(Sample<'_>)) {
        for (key, version, requests) in self.counts() {
            for name in names(key) {
                out(Sample::Attribute {
                    bean: &mbeans::REQUESTS,
                    keys: &[&name, &version.to_string()],
                    attribute: "Count",
                    value: Value::from(requests),
                });
            }
        }
        self.histograms(Instant::now(), out);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Returns the values of one attribute, by MBean.
    fn read(meter: &RequestMeter, request: &str, wanted: &str) -> BTreeMap<&'static str, f64> {
        let mut values = BTreeMap::new();
        meter.histograms(Instant::now(), &mut |sample| {
            let Sample::Attribute {
                bean,
                keys,
                attribute,
                value,
            } = sample
            else {
                panic!("{sample:?}");
            };
            if keys == [request] && attribute == wanted {
                let (_, name) = bean.name.split_once("name=").unwrap();
                let value = match value {
                    Value::Long(value) => value as f64,
                    Value::Double(value) => value,
                    Value::Text(text) => panic!("{text}"),
                };
                values.insert(name.split(',').next().unwrap(), value);
            }
        });
        values
    }

    #[test]
    fn each_stage_of_a_request_has_its_histogram() {
        let apis = [(ApiKey::Produce, 3..=13), (ApiKey::Fetch, 4..=18)];
        let (meter, fetch) = (RequestMeter::new(apis.into_iter()), 1);
        meter.count(fetch, 12, 100);
        let milliseconds = Duration::from_millis;
        meter.sent(
            fetch,
            &StageTimes {
                local: milliseconds(1),
                remote: milliseconds(20),
                response_queue: milliseconds(300),
                response_send: milliseconds(4000),
            },
        );
        meter.queued(ApiKey::Fetch, milliseconds(5));
        meter.throttled(ApiKey::Fetch, milliseconds(60));
        let expected = BTreeMap::from([
            ("LocalTimeMs", 1.0),
            ("RemoteTimeMs", 20.0),
            ("RequestBytes", 100.0),
            ("RequestQueueTimeMs", 5.0),
            ("ResponseQueueTimeMs", 300.0),
            ("ResponseSendTimeMs", 4000.0),
            ("ThrottleTimeMs", 60.0),
            ("TotalTimeMs", 4321.0),
        ]);
        for name in ["Fetch", "FetchConsumer"] {
            assert_eq!(read(&meter, name, "Mean"), expected);
            assert_eq!(read(&meter, name, "Max"), expected);
        }
        // A request that did not wait counts in all stages.
        meter.count(fetch, 12, 100);
        let none = Duration::ZERO;
        meter.sent(
            fetch,
            &StageTimes {
                local: none,
                remote: none,
                response_queue: none,
                response_send: none,
            },
        );
        let counts = read(&meter, "Fetch", "Count");
        assert!(
            counts.len() == 8 && counts.values().all(|count| *count == 2.0),
            "{counts:?}"
        );
        let mut minima = read(&meter, "Fetch", "Min");
        assert_eq!(minima.remove("RequestBytes"), Some(100.0));
        assert!(minima.values().all(|min| *min == 0.0), "{minima:?}");
        assert_eq!(read(&meter, "Produce", "Count"), BTreeMap::new());
    }
}
