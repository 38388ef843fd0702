//! Subscriptions to metrics of clients (KIP-714): the metrics that matching clients push, and how
//! often.

use std::time::Duration;

use super::Properties;
use super::client_patterns::ClientPatterns;
use super::keys::client_metrics as keys;

/// A subscription.
#[derive(Debug, Clone)]
pub struct ClientMetricsConfig {
    /// `interval.ms`: how often matching clients push their metrics.
    pub interval: Duration,
    /// `metrics`: prefixes of the names of metrics; `*` for all.
    pub metrics: Vec<String>,
    /// `match`: the clients that push.
    pub clients: ClientPatterns,
}

impl ClientMetricsConfig {
    /// Reads the properties of a subscription. Without `match` it is for all clients. A damaged
    /// value of `match` is for none.
    #[must_use]
    pub fn resolve(own: &Properties) -> Option<Self> {
        Some(Self {
            interval: keys::INTERVAL_MS.get(own),
            metrics: keys::METRICS.get(own),
            clients: ClientPatterns::parse(&keys::MATCH.get(own)).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_has_defaults_and_one_that_is_damaged_is_none() {
        let of = |values: &[(&str, &str)]| {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            ClientMetricsConfig::resolve(&values.iter().map(owned).collect())
        };
        let default = of(&[]).unwrap();
        assert_eq!(default.interval, Duration::from_secs(300));
        assert_eq!(default.metrics, Vec::<String>::new());
        assert!(default.clients.matches(|_| None));
        let own = of(&[("interval.ms", "1000"), ("metrics", "a., b.")]).unwrap();
        assert_eq!(own.interval, Duration::from_secs(1));
        assert_eq!(own.metrics, ["a.", "b."]);
        assert!(of(&[("match", "damaged")]).is_none());
    }
}
