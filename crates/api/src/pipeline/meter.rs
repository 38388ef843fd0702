//! How many requests of each API were served.

use std::sync::atomic::{AtomicU64, Ordering};

use super::api::Api;

/// Counts requests by API.
#[derive(Debug)]
pub(crate) struct RequestMeter {
    table: &'static [Api],
    requests: Box<[AtomicU64]>,
}

impl RequestMeter {
    /// Creates a meter for the APIs of `table`, with all counts zero.
    pub fn new(table: &'static [Api]) -> Self {
        Self {
            table,
            requests: table.iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Counts a request of the API in row `row` of the table.
    pub fn count(&self, row: usize) {
        if let Some(requests) = self.requests.get(row) {
            requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the number of requests of each API that has had any.
    pub fn counts(&self) -> impl Iterator<Item = (&'static Api, u64)> {
        let counted = self.table.iter().zip(&self.requests);
        counted.filter_map(|(api, requests)| match requests.load(Ordering::Relaxed) {
            0 => None,
            requests => Some((api, requests)),
        })
    }
}
