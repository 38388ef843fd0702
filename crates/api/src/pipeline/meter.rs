//! How many requests of each API were served.

use std::sync::atomic::{AtomicU64, Ordering};

use super::table::{Api, TABLE};

/// Counts requests by API.
#[derive(Debug)]
pub(crate) struct RequestMeter {
    requests: Box<[AtomicU64]>,
}

impl Default for RequestMeter {
    fn default() -> Self {
        Self {
            requests: TABLE.iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl RequestMeter {
    /// Counts a request of the API in row `row` of the table.
    pub fn count(&self, row: usize) {
        if let Some(requests) = self.requests.get(row) {
            requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the APIs of which there were requests, with their number.
    pub fn counts(&self) -> impl Iterator<Item = (&'static Api, u64)> {
        let counted = TABLE.iter().zip(&self.requests);
        counted.filter_map(|(api, requests)| match requests.load(Ordering::Relaxed) {
            0 => None,
            requests => Some((api, requests)),
        })
    }
}
