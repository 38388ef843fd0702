//! How many requests of each API and version were served.

use dohle_protocol::ApiKey;
use dohle_telemetry::{Collect, Counter, Sample, Value, mbeans};

use super::api::Api;

/// Counts requests by API and version.
#[derive(Debug)]
pub(crate) struct RequestMeter {
    table: &'static [Api],
    /// For each row of the table, a counter for each of its versions.
    requests: Box<[Box<[Counter]>]>,
}

impl RequestMeter {
    /// Creates a meter for the APIs of `table`, with all counts zero.
    pub fn new(table: &'static [Api]) -> Self {
        let versions = |api: &Api| {
            let versions = api.version_min..=api.newest(true);
            versions.map(|_| Counter::default()).collect()
        };
        Self {
            table,
            requests: table.iter().map(versions).collect(),
        }
    }

    /// Counts a request of the API in row `row` of the table.
    pub fn count(&self, row: usize, version: i16) {
        let Some((api, counters)) = self.table.get(row).zip(self.requests.get(row)) else {
            return;
        };
        let version = usize::try_from(version - api.version_min).ok();
        if let Some(counter) = version.and_then(|version| counters.get(version)) {
            counter.add(1);
        }
    }

    /// Returns the number of requests of each API and version that has had any.
    pub fn counts(&self) -> impl Iterator<Item = (&'static Api, i16, u64)> {
        let rows = self.table.iter().zip(&self.requests);
        rows.flat_map(|(api, counters)| {
            let versions = (api.version_min..).zip(counters);
            let counted = versions.map(move |(version, counter)| (api, version, counter.get()));
            counted.filter(|(_, _, requests)| *requests > 0)
        })
    }
}

impl Collect for RequestMeter {
    /// Kafka counts a request of a consumer as Fetch and as FetchConsumer. Those of followers do
    /// not use this API.
    fn collect(&self, out: &mut dyn FnMut(Sample<'_>)) {
        for (api, version, requests) in self.counts() {
            let (name, version) = (format!("{:?}", api.key), version.to_string());
            let further = (api.key == ApiKey::Fetch).then_some("FetchConsumer");
            for name in [Some(name.as_str()), further].into_iter().flatten() {
                out(Sample::Attribute {
                    bean: &mbeans::REQUESTS,
                    keys: &[name, &version],
                    attribute: "Count",
                    value: Value::from(requests),
                });
            }
        }
    }
}
