//! The properties of the network that change while a node runs: the size of the largest request,
//! and the number of threads.

use std::sync::Arc;

use dohle_broker::metadata::MetadataChange;
use dohle_config::keys::broker as keys;
use dohle_config::{BrokerValues, Properties};
use dohle_model::NodeId;
use dohle_model::image::MetadataImage;
use dohle_model::record::ConfigResource;
use dohle_network::listener::NetworkContext;

use crate::config::NodeConfig;

/// What a request has besides the one batch that makes it large: names and other fields.
const BESIDES_THE_BATCH: usize = 1 << 20;

/// Applies the properties whenever the metadata change them.
pub(super) struct NetworkProperties {
    node: NodeId,
    fixed: Arc<Properties>,
}

impl NetworkProperties {
    pub fn new(config: &NodeConfig) -> Self {
        Self {
            node: config.node_id,
            fixed: Arc::clone(config.properties()),
        }
    }

    /// Returns the size of the largest request: `socket.request.max.bytes` if it is set; otherwise
    /// its default, or as much as the largest message of any topic needs.
    pub fn request_bytes_max(&self, image: &MetadataImage) -> usize {
        let values = BrokerValues::new(Arc::clone(&self.fixed), image, self.node);
        let configured = values.read(&keys::SOCKET_REQUEST_MAX_BYTES);
        match values.is_set(&keys::SOCKET_REQUEST_MAX_BYTES) {
            true => configured,
            false => configured.max(request_of(largest_message(&values, image))),
        }
    }

    /// Returns why messages that the brokers' properties allow cannot arrive, if that is so.
    pub fn contradiction(&self) -> Option<String> {
        let values = BrokerValues::fixed(Arc::clone(&self.fixed));
        let message = largest_message(&values, &MetadataImage::default());
        let request = values.read(&keys::SOCKET_REQUEST_MAX_BYTES);
        let is_smaller = values.is_set(&keys::SOCKET_REQUEST_MAX_BYTES) && request < message;
        is_smaller.then(|| {
            format!(
                "message.max.bytes allows messages of {message} bytes, but whole requests are \
                 limited to the {request} bytes of socket.request.max.bytes, so larger messages \
                 are refused and their connections closed; remove socket.request.max.bytes, which \
                 then follows message.max.bytes, or raise it"
            )
        })
    }

    /// Follows a change of the metadata.
    pub fn on_metadata(&self, change: &MetadataChange, shared: &NetworkContext) {
        let is_own = |resource: &ConfigResource| match resource {
            ConfigResource::Broker(id) => *id == self.node,
            ConfigResource::BrokerDefault => true,
            _ => false,
        };
        let is_topic = |resource: &ConfigResource| matches!(resource, ConfigResource::Topic(_));
        let changed = &change.delta.configs;
        if change.is_first || changed.iter().any(is_own) {
            self.resize(&change.after, shared);
        }
        if change.is_first || changed.iter().any(|it| is_own(it) || is_topic(it)) {
            let max = self.request_bytes_max(&change.after);
            let before = shared.request_limit.set(max);
            if before != max {
                tracing::info!(node = %self.node, before, max, "limit of request sizes changed");
            }
        }
    }

    fn resize(&self, image: &MetadataImage, shared: &NetworkContext) {
        let values = BrokerValues::new(Arc::clone(&self.fixed), image, self.node);
        match shared
            .threads
            .resize(values.read(&keys::NUM_NETWORK_THREADS))
        {
            Ok((before, after)) if before != after => {
                tracing::info!(
                    node = %self.node, before, after, "number of network threads changed"
                );
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(node = %self.node, "network threads cannot be started: {error}");
            }
        }
    }
}

/// Returns the size of a request with a message of this size.
fn request_of(message: usize) -> usize {
    message.saturating_add(BESIDES_THE_BATCH)
}

/// Returns the size of the largest message that the brokers' properties or a topic's allow.
fn largest_message(values: &BrokerValues, image: &MetadataImage) -> usize {
    let of_topics = image.configs.iter().filter_map(|(resource, own)| {
        let is_topic = matches!(resource, ConfigResource::Topic(_));
        own.get("max.message.bytes")
            .filter(|_| is_topic)?
            .parse()
            .ok()
    });
    let of_brokers = values.effective("message.max.bytes");
    let of_brokers = of_brokers.and_then(|value| value.trim().parse().ok());
    of_topics.chain(of_brokers).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dohle_model::TopicName;

    use super::*;

    const MIB: usize = 1 << 20;

    fn properties(values: &[(&str, usize)]) -> NetworkProperties {
        let owned = |(name, value): &(&str, usize)| ((*name).to_owned(), value.to_string());
        NetworkProperties {
            node: NodeId(1),
            fixed: Arc::new(values.iter().map(owned).collect()),
        }
    }

    fn set(image: &mut MetadataImage, resource: ConfigResource, name: &str, value: usize) {
        let values = BTreeMap::from([(name.to_owned(), value.to_string())]);
        image.configs.insert(resource, Arc::new(values));
    }

    #[test]
    fn the_limit_of_requests_follows_the_largest_message_unless_it_is_set() {
        let mut image = MetadataImage::default();
        let plain = properties(&[]);
        assert_eq!(plain.request_bytes_max(&image), 100 * MIB);
        let large = properties(&[("message.max.bytes", 150 * MIB)]);
        assert_eq!(large.request_bytes_max(&image), 151 * MIB);

        let topic = ConfigResource::Topic(TopicName::new("t").unwrap());
        set(&mut image, topic, "max.message.bytes", 200 * MIB);
        assert_eq!(large.request_bytes_max(&image), 201 * MIB);
        let all = ConfigResource::BrokerDefault;
        set(&mut image, all, "message.max.bytes", 300 * MIB);
        assert_eq!(plain.request_bytes_max(&image), 301 * MIB);
        let other = ConfigResource::Broker(NodeId(2));
        set(&mut image, other, "message.max.bytes", 400 * MIB);
        assert_eq!(plain.request_bytes_max(&image), 301 * MIB);

        let fixed = properties(&[("socket.request.max.bytes", 10 * MIB)]);
        assert_eq!(fixed.request_bytes_max(&image), 10 * MIB);
    }

    #[test]
    fn messages_above_a_limit_of_requests_that_is_set_are_reported() {
        let of = |values: &[(&str, usize)]| properties(values).contradiction();
        let message = ("message.max.bytes", 150 * MIB);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[message]), None);
        assert_eq!(
            of(&[message, ("socket.request.max.bytes", 150 * MIB)]),
            None
        );
        let reported = of(&[message, ("socket.request.max.bytes", 100 * MIB)]).unwrap();
        assert!(reported.contains("157286400 bytes, but"), "{reported}");
        assert!(
            reported.contains("104857600 bytes of socket.request"),
            "{reported}"
        );
    }
}
