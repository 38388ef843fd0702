//! The limits of clients' connections, from the properties of the node and its listeners and from
//! the quotas of addresses.

use std::net::IpAddr;
use std::sync::Arc;

use dohle_auth::quotas::{CONNECTION_CREATION_RATE, ConnectionLimits as RateLimits};
use dohle_broker::metadata::MetadataChange;
use dohle_config::keys::broker as keys;
use dohle_config::{BrokerValues, Properties};
use dohle_model::NodeId;
use dohle_model::client_quota::QuotaEntity;
use dohle_model::image::MetadataImage;
use dohle_model::record::ConfigResource;
use dohle_network::listener::{ConnectionQuotas, NetworkContext};

use crate::config::NodeConfig;

/// Resolves the limits whenever the metadata change them.
pub(super) struct ConnectionLimits {
    node: NodeId,
    fixed: Arc<Properties>,
    /// The names of the broker's listeners.
    listeners: Vec<String>,
    inter_broker: String,
}

impl ConnectionLimits {
    pub fn new(config: &NodeConfig) -> Self {
        let listeners = config.listeners.broker.iter();
        Self {
            node: config.node_id,
            fixed: Arc::clone(config.properties()),
            listeners: listeners.map(|address| address.name.clone()).collect(),
            inter_broker: config.listeners.inter_broker.clone(),
        }
    }

    /// Returns the limits as an image sets them.
    pub fn resolve(&self, image: &MetadataImage) -> ConnectionQuotas {
        let values = BrokerValues::new(Arc::clone(&self.fixed), image, self.node);
        let of_listeners = || {
            let names = self.listeners.iter();
            names.map(|name| (name, values.listener(name)))
        };
        ConnectionQuotas {
            max: values.read(&keys::MAX_CONNECTIONS),
            listeners: of_listeners()
                .map(|(name, values)| (name.clone(), values.read(&keys::MAX_CONNECTIONS)))
                .collect(),
            per_ip_max: values.read(&keys::MAX_CONNECTIONS_PER_IP),
            per_ip_overrides: values.read(&keys::MAX_CONNECTIONS_PER_IP_OVERRIDES).0,
            protected: (self.listeners.len() > 1).then(|| self.inter_broker.clone()),
            rates: RateLimits {
                node: rate(values.read(&keys::MAX_CONNECTION_CREATION_RATE)),
                listeners: of_listeners()
                    .filter_map(|(name, values)| {
                        let rate = rate(values.read(&keys::MAX_CONNECTION_CREATION_RATE))?;
                        Some((name.clone(), rate))
                    })
                    .collect(),
                ips: addresses(image)
                    .filter_map(|(ip, rate)| Some((ip?, rate)))
                    .collect(),
                default_ip: addresses(image)
                    .find(|(ip, _)| ip.is_none())
                    .map(|(_, rate)| rate),
            },
        }
    }

    /// Follows a change of the metadata.
    pub fn on_metadata(&self, change: &MetadataChange, shared: &NetworkContext) {
        let own = [
            ConfigResource::Broker(self.node),
            ConfigResource::BrokerDefault,
        ];
        let is_ip = |entity: &QuotaEntity| matches!(entity, QuotaEntity::Ip(_));
        if change.is_first
            || own.iter().any(|it| change.delta.configs.contains(it))
            || change.delta.client_quotas.iter().any(is_ip)
        {
            shared.set_connection_quotas(self.resolve(&change.after));
        }
    }
}

/// Returns a limit of connections per second, which has none as its largest value.
fn rate(value: i32) -> Option<f64> {
    (value != i32::MAX).then(|| f64::from(value))
}

/// Returns the limits of addresses, and of the others with `None`.
fn addresses(image: &MetadataImage) -> impl Iterator<Item = (Option<IpAddr>, f64)> + '_ {
    image.client_quotas.iter().filter_map(|(entity, quotas)| {
        let QuotaEntity::Ip(ip) = entity else {
            return None;
        };
        let rate = quotas.get(CONNECTION_CREATION_RATE)?.0;
        match ip {
            None => Some((None, rate)),
            // Only addresses are accepted as names.
            Some(ip) => Some((Some(ip.parse().ok()?), rate)),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use dohle_model::client_quota::QuotaValue;

    use super::*;

    #[test]
    fn limits_come_from_listeners_addresses_and_the_metadata() {
        let limits = ConnectionLimits {
            node: NodeId(1),
            fixed: Arc::new(Properties::from([
                ("max.connections".to_owned(), "100".to_owned()),
                (
                    "listener.name.internal.max.connections".to_owned(),
                    "7".to_owned(),
                ),
                (
                    "max.connections.per.ip.overrides".to_owned(),
                    "10.0.0.1:5, ::1:6".to_owned(),
                ),
            ])),
            listeners: vec!["PUBLIC".into(), "INTERNAL".into()],
            inter_broker: "INTERNAL".into(),
        };
        let mut image = MetadataImage::default();
        let before = limits.resolve(&image);
        assert_eq!(before.max, 100);
        assert_eq!(
            before.listeners,
            HashMap::from([("PUBLIC".to_owned(), 100), ("INTERNAL".to_owned(), 7)])
        );
        assert_eq!(before.protected.as_deref(), Some("INTERNAL"));
        let ips = ["10.0.0.1", "::1"].map(|ip| ip.parse::<IpAddr>().unwrap());
        assert_eq!(
            before.per_ip_overrides,
            HashMap::from([(ips[0], 5), (ips[1], 6)])
        );
        assert!(before.rates.are_unlimited());

        let dynamic = BTreeMap::from([
            ("max.connections".to_owned(), "3".to_owned()),
            (
                "listener.name.public.max.connection.creation.rate".to_owned(),
                "2".to_owned(),
            ),
        ]);
        image
            .configs
            .insert(ConfigResource::Broker(NodeId(1)), Arc::new(dynamic));
        let of = |rate| {
            let quota = (CONNECTION_CREATION_RATE.to_owned(), QuotaValue(rate));
            Arc::new(BTreeMap::from([quota]))
        };
        let ip = QuotaEntity::Ip(Some("10.0.0.1".into()));
        image.client_quotas.insert(ip, of(4.0));
        image.client_quotas.insert(QuotaEntity::Ip(None), of(5.0));
        let after = limits.resolve(&image);
        assert_eq!((after.max, after.listeners["INTERNAL"]), (3, 7));
        assert_eq!(
            after.rates,
            RateLimits {
                node: None,
                listeners: HashMap::from([("PUBLIC".to_owned(), 2.0)]),
                ips: HashMap::from([(ips[0], 4.0)]),
                default_ip: Some(5.0),
            }
        );
    }
}
