//! The quotas of clients as the metadata set them, and what clients have used of them on this
//! broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use dohle_auth::quotas::{ClientRates, QuotaType, QuotaWindows};
use dohle_model::delta::MetadataDelta;
use dohle_model::image::MetadataImage;
use parking_lot::Mutex;

use crate::pipeline::{QuotaClient, Quotas};

/// The types of quota that brokers enforce. Controllers enforce the other one.
const TYPES: [QuotaType; 3] = [QuotaType::Produce, QuotaType::Fetch, QuotaType::Request];

/// The rates of this broker's clients, and their quotas.
#[derive(Debug)]
pub struct ClientQuotas {
    /// A bit for each of [`TYPES`]: whether any quota of the type is set.
    set: AtomicU8,
    rates: [Mutex<ClientRates>; TYPES.len()],
}

impl ClientQuotas {
    /// Creates rates over these windows, without quotas.
    #[must_use]
    pub fn new(windows: QuotaWindows) -> Arc<Self> {
        Arc::new(Self {
            set: AtomicU8::new(0),
            rates: TYPES.map(|quota| Mutex::new(ClientRates::new(quota, windows))),
        })
    }

    /// Follows a change of the metadata.
    pub fn on_metadata(&self, after: &MetadataImage, delta: &MetadataDelta) {
        for entity in &delta.client_quotas {
            let quotas = after.client_quotas.get(entity);
            for (quota, rates) in TYPES.iter().zip(&self.rates) {
                let limit = quotas.and_then(|quotas| quotas.get(quota.key()));
                rates.lock().set_limit(entity, limit.map(|limit| limit.0));
            }
        }
        if delta.client_quotas.is_empty() {
            return;
        }
        let mut set = 0;
        for (bit, rates) in self.rates.iter().enumerate() {
            set |= u8::from(rates.lock().has_limits()) << bit;
        }
        self.set.store(set, Ordering::Relaxed);
    }

    fn rates(&self, quota: QuotaType) -> Option<&Mutex<ClientRates>> {
        let at = TYPES.iter().position(|it| *it == quota)?;
        (self.set.load(Ordering::Relaxed) & (1 << at) != 0).then(|| &self.rates[at])
    }
}

impl Quotas for ClientQuotas {
    fn are_set(&self, quota: QuotaType) -> bool {
        self.rates(quota).is_some()
    }

    fn record(&self, quota: QuotaType, client: QuotaClient<'_>, value: f64) -> Duration {
        let Some(rates) = self.rates(quota) else {
            return Duration::ZERO;
        };
        let QuotaClient { user, client_id } = client;
        rates.lock().record(user, client_id, value, Instant::now())
    }

    fn record_unless_throttled(
        &self,
        quota: QuotaType,
        client: QuotaClient<'_>,
        value: f64,
    ) -> Duration {
        let Some(rates) = self.rates(quota) else {
            return Duration::ZERO;
        };
        let QuotaClient { user, client_id } = client;
        let now = Instant::now();
        rates
            .lock()
            .record_unless_throttled(user, client_id, value, now)
    }

    fn burst(&self, quota: QuotaType, client: QuotaClient<'_>) -> Option<f64> {
        let QuotaClient { user, client_id } = client;
        self.rates(quota)?.lock().burst(user, client_id)
    }
}
