//! Detects likely mistakes in the advertised listeners, and describes them in messages. Pure.

use std::collections::BTreeMap;

use dohle_model::NodeId;
use dohle_model::image::MetadataImage;

use crate::config::{Listeners, is_loopback};

/// Facts about the node at its start.
#[derive(Debug, Clone)]
pub struct ListenerContext<'a> {
    /// The machine's name.
    pub hostname: &'a str,
    /// Whether the node runs in a container.
    pub in_container: bool,
    /// Whether the cluster has nodes on other machines or in other containers.
    pub has_peers: bool,
    /// The listeners' ports, as bound.
    pub bound: &'a BTreeMap<String, u16>,
}

/// Returns a message with a remedy for each likely mistake in the advertised listeners.
#[must_use]
pub fn advertised_listener_warnings(
    listeners: &Listeners,
    around: &ListenerContext<'_>,
) -> Vec<String> {
    let mut advertised_listener_warnings = Vec::new();
    for address in &listeners.advertised {
        let here = is_loopback(&address.host) || address.host == around.hostname;
        let port_is_bound =
            address.port == 0 || around.bound.values().any(|bound| *bound == address.port);
        if here && !port_is_bound && !around.in_container {
            let ports: Vec<String> = around.bound.values().map(u16::to_string).collect();
            advertised_listener_warnings.push(format!(
                "{address} is advertised, but no listener of this node has port {} (they have {}): \
                 clients cannot connect, or reach another process; set the port in \
                 advertised.listeners to that of the listener",
                address.port,
                ports.join(", ")
            ));
        }
        let is_inter_broker = address.name == listeners.inter_broker;
        let misleads = is_loopback(&address.host) && around.in_container;
        if misleads && is_inter_broker && around.has_peers {
            advertised_listener_warnings.push(format!(
                "{address} is the address that the other brokers connect to, and localhost inside \
                 a container is the container itself: advertise the container's or service's name \
                 on {}, and keep localhost for a listener of its own that clients on the host use",
                address.name
            ));
        }
    }
    // A node that binds only localhost is not meant to be reached from elsewhere.
    let is_open = listeners
        .broker
        .iter()
        .any(|address| !is_loopback(&address.host));
    let only_loopback = is_open
        && listeners
            .advertised
            .iter()
            .all(|address| is_loopback(&address.host));
    if only_loopback && around.in_container && !around.has_peers {
        advertised_listener_warnings.push(
            "all advertised listeners are on localhost, and this node runs in a container: clients \
             in other containers cannot reach it; clients on the host can if the port is published \
             under the same number. For the others add a listener that advertises the container's \
             name"
                .to_owned(),
        );
    }
    advertised_listener_warnings
}

/// Returns a message for each other broker that advertises an address of `node`.
#[must_use]
pub fn shared_addresses(image: &MetadataImage, node: NodeId) -> BTreeMap<NodeId, String> {
    let mut shared = BTreeMap::new();
    let Some(own) = image.brokers.get(&node) else {
        return shared;
    };
    for (id, other) in image
        .brokers
        .iter()
        .filter(|(id, other)| **id != node && !other.fenced)
    {
        let same = own.endpoints.iter().find(|endpoint| {
            other.endpoints.iter().any(|theirs| {
                theirs.host.eq_ignore_ascii_case(&endpoint.host) && theirs.port == endpoint.port
            })
        });
        if let Some(endpoint) = same {
            let text = format!(
                "brokers {node} and {id} both advertise {}:{} (listener {}): clients that look for \
                 one will reach the other; give each an address of its own in advertised.listeners",
                endpoint.host, endpoint.port, endpoint.listener
            );
            shared.insert(*id, text);
        }
    }
    shared
}

#[cfg(test)]
mod tests;
