//! Reads the listeners: the addresses a node binds and advertises, and the purpose of each. Pure.

use std::collections::BTreeMap;

use dohle_config::keys::broker as keys;
use dohle_config::list;
use dohle_model::record::{Endpoint, SecurityProtocol};

use super::ConfigFault;
use super::address::ListenerAddress;
use super::values::PropertyReader;

/// A node's listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listeners {
    /// The addresses that brokers' listeners bind; empty on a node that is only a controller.
    pub broker: Vec<ListenerAddress>,
    /// The address that the controller's listener binds; `None` on a node that is only a broker.
    pub controller: Option<ListenerAddress>,
    /// The addresses that brokers' listeners advertise, in the order of `advertised.listeners`.
    /// Port 0 is replaced by the port that the system chooses.
    pub advertised: Vec<ListenerAddress>,
    /// The listener that brokers use among themselves.
    pub inter_broker: String,
    /// The listener on which controllers are reached.
    pub controller_name: String,
    /// Whether `advertised.listeners` was set.
    pub advertised_is_set: bool,
    /// The security protocols of the listeners of this node, and of the controllers' listener.
    pub protocols: BTreeMap<String, SecurityProtocol>,
}

/// The roles of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Whether it hosts partitions and serves clients.
    pub broker: bool,
    /// Whether it votes in the metadata quorum.
    pub controller: bool,
}

impl Listeners {
    /// Reads the properties of listeners. `hostname` is the machine's name, which is advertised for
    /// a listener that binds all interfaces when no address is advertised.
    pub(super) fn read(
        values: &PropertyReader,
        roles: Roles,
        hostname: &str,
    ) -> Result<Self, ConfigFault> {
        let controller_names: Vec<String> = values
            .list(&keys::CONTROLLER_LISTENER_NAMES)
            .map(str::to_uppercase)
            .collect();
        let Some(controller_name) = controller_names.first().cloned() else {
            return Err(values.missing(
                &keys::CONTROLLER_LISTENER_NAMES,
                "the name of the listener that controllers use, for example CONTROLLER",
            ));
        };
        let protocols = protocols(values, &controller_names)?;
        // An image derives the listeners from these addresses, so a mistake in them comes first.
        values.addresses(&keys::ADVERTISED_LISTENERS)?;
        let listeners = values.addresses(&keys::LISTENERS)?;
        check_ports(values, &listeners)?;
        let of_controllers = |address: &&ListenerAddress| controller_names.contains(&address.name);
        let controller = listeners
            .iter()
            .find(|address| address.name == controller_name)
            .cloned();
        let broker: Vec<ListenerAddress> = listeners
            .iter()
            .filter(|address| !of_controllers(address))
            .cloned()
            .collect();
        check_roles(
            values,
            roles,
            &broker,
            controller.as_ref(),
            &controller_name,
        )?;
        for address in &listeners {
            check_protocol(values, &protocols, &address.name)?;
        }
        check_protocol(values, &protocols, &controller_name)?;
        let mut protocols = protocols;
        protocols.retain(|name, _| {
            *name == controller_name || listeners.iter().any(|address| address.name == *name)
        });
        let inter_broker = inter_broker(values, roles, &broker, &protocols)?;
        check_early_start(values, &listeners, &controller_names)?;
        let advertised_is_set = values.get(&keys::ADVERTISED_LISTENERS).is_some();
        let advertised = if roles.broker {
            advertised(values, &broker, &controller_names, hostname)?
        } else {
            Vec::new()
        };
        if roles.broker
            && !advertised
                .iter()
                .any(|address| address.name == inter_broker)
        {
            return Err(values.invalid(
                &keys::ADVERTISED_LISTENERS,
                &format!(
                    "a list that has the inter-broker listener {inter_broker}, which the other \
                     brokers use"
                ),
            ));
        }
        let broker = if roles.broker { broker } else { Vec::new() };
        let controller = controller.filter(|_| roles.controller);
        Ok(Self {
            broker,
            controller,
            advertised,
            inter_broker,
            controller_name,
            advertised_is_set,
            protocols,
        })
    }

    /// Returns the security protocol of a listener.
    #[must_use]
    pub fn protocol(&self, name: &str) -> SecurityProtocol {
        let known = self.protocols.get(name).copied();
        known.unwrap_or(SecurityProtocol::Plaintext)
    }

    /// Returns the security protocols of the listeners that this node serves.
    #[must_use]
    pub fn served(&self) -> BTreeMap<String, SecurityProtocol> {
        let served = self.broker.iter().chain(&self.controller);
        served
            .map(|address| (address.name.clone(), self.protocol(&address.name)))
            .collect()
    }

    /// Returns the addresses that the broker registers, once the ports are known: `port` returns
    /// the port that a listener bound.
    #[must_use]
    pub fn endpoints(&self, port: impl Fn(&str) -> Option<u16>) -> Vec<Endpoint> {
        self.advertised
            .iter()
            .map(|address| Endpoint {
                listener: address.name.clone(),
                host: address.host.clone(),
                port: match address.port {
                    0 => port(&address.name).unwrap_or(0),
                    chosen => chosen,
                },
                security_protocol: self.protocol(&address.name),
            })
            .collect()
    }
}

/// Whether an address means all interfaces; clients cannot connect to it.
#[must_use]
pub fn is_all_interfaces(host: &str) -> bool {
    host.is_empty() || matches!(host, "0.0.0.0" | "::" | "0:0:0:0:0:0:0:0")
}

/// Whether an address can only be reached from its own machine (or container).
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

fn check_ports(values: &PropertyReader, listeners: &[ListenerAddress]) -> Result<(), ConfigFault> {
    for (i, address) in listeners.iter().enumerate() {
        for other in &listeners[..i] {
            if other.name == address.name {
                let allowed = format!("a list without {} twice", address.name);
                return Err(values.invalid(&keys::LISTENERS, &allowed));
            }
            let same_host = other.host == address.host
                || is_all_interfaces(&other.host)
                || is_all_interfaces(&address.host);
            if other.port == address.port && address.port != 0 && same_host {
                let allowed = format!(
                    "a list in which each listener has a port of its own; {} and {} share {}",
                    other.name, address.name, address.port
                );
                return Err(values.invalid(&keys::LISTENERS, &allowed));
            }
        }
    }
    Ok(())
}

fn check_roles(
    values: &PropertyReader,
    roles: Roles,
    broker: &[ListenerAddress],
    controller: Option<&ListenerAddress>,
    controller_name: &str,
) -> Result<(), ConfigFault> {
    if roles.controller && controller.is_none() {
        let allowed = format!(
            "a list that has {controller_name}, the first of controller.listener.names, because \
             process.roles has controller"
        );
        return Err(values.invalid(&keys::LISTENERS, &allowed));
    }
    if roles.broker && broker.is_empty() {
        let allowed = "a list with a listener that is not in controller.listener.names, because \
                       process.roles has broker";
        return Err(values.invalid(&keys::LISTENERS, allowed));
    }
    if !roles.broker && !broker.is_empty() {
        let allowed = format!(
            "a list of listeners in controller.listener.names only, because process.roles is \
             controller; {} is for brokers",
            broker[0].name
        );
        return Err(values.invalid(&keys::LISTENERS, &allowed));
    }
    if !roles.controller && controller.is_some() {
        let allowed = format!(
            "a list without {controller_name}, which is a name of controllers' listeners, because \
             process.roles is broker"
        );
        return Err(values.invalid(&keys::LISTENERS, &allowed));
    }
    Ok(())
}

/// Checks `early.start.listeners`: listeners that Kafka starts before its authorizer has read the
/// ACLs. Here a controller's listener always does, and a broker's listener never has to: a broker
/// reads the metadata, with the ACLs, from the controllers before it serves anyone.
fn check_early_start(
    values: &PropertyReader,
    listeners: &[ListenerAddress],
    controller_names: &[String],
) -> Result<(), ConfigFault> {
    for name in values.list(&keys::EARLY_START_LISTENERS) {
        let name = name.to_uppercase();
        let is_bound = listeners.iter().any(|address| address.name == name);
        if !is_bound && !controller_names.contains(&name) {
            return Err(values.invalid(
                &keys::EARLY_START_LISTENERS,
                &format!(
                    "a list of names that are in listeners or controller.listener.names; {name} \
                     is not"
                ),
            ));
        }
    }
    Ok(())
}

/// Reads the protocol of each listener. Controllers' listeners are PLAINTEXT when the map is not
/// set (KIP-903).
fn protocols(
    values: &PropertyReader,
    controller_names: &[String],
) -> Result<BTreeMap<String, SecurityProtocol>, ConfigFault> {
    let property = &keys::LISTENER_SECURITY_PROTOCOL_MAP;
    let mut map = BTreeMap::new();
    for entry in list(values.effective(property).unwrap_or_default()) {
        let parsed = entry.split_once(':').and_then(|(name, protocol)| {
            Some((
                name.trim().to_uppercase(),
                security_protocol(protocol.trim())?,
            ))
        });
        let Some((name, protocol)) = parsed else {
            return Err(values.invalid(
                property,
                "a list of NAME:PROTOCOL with PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
            ));
        };
        map.insert(name, protocol);
    }
    if values.get(property).is_none() {
        for name in controller_names {
            map.entry(name.clone())
                .or_insert(SecurityProtocol::Plaintext);
        }
    }
    Ok(map)
}

/// The protocols with their names in `listener.security.protocol.map`.
const PROTOCOLS: [(&str, SecurityProtocol); 4] = [
    ("PLAINTEXT", SecurityProtocol::Plaintext),
    ("SSL", SecurityProtocol::Ssl),
    ("SASL_PLAINTEXT", SecurityProtocol::SaslPlaintext),
    ("SASL_SSL", SecurityProtocol::SaslSsl),
];

pub(super) fn security_protocol(name: &str) -> Option<SecurityProtocol> {
    let mut known = PROTOCOLS.iter();
    let found = known.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, protocol)| *protocol)
}

/// Returns the name of a protocol in `listener.security.protocol.map`.
pub(super) fn protocol_name(protocol: SecurityProtocol) -> &'static str {
    let found = PROTOCOLS.iter().find(|(_, known)| *known == protocol);
    found.map_or("PLAINTEXT", |(name, _)| *name)
}

fn check_protocol(
    values: &PropertyReader,
    protocols: &BTreeMap<String, SecurityProtocol>,
    name: &str,
) -> Result<(), ConfigFault> {
    match protocols.get(name) {
        Some(_) => Ok(()),
        None => Err(values.invalid(
            &keys::LISTENER_SECURITY_PROTOCOL_MAP,
            &format!("a list that has the listener {name}, for example {name}:PLAINTEXT"),
        )),
    }
}

fn inter_broker(
    values: &PropertyReader,
    roles: Roles,
    broker: &[ListenerAddress],
    protocols: &BTreeMap<String, SecurityProtocol>,
) -> Result<String, ConfigFault> {
    if let Some(name) = values.get(&keys::INTER_BROKER_LISTENER_NAME) {
        let name = name.to_uppercase();
        if roles.broker && !broker.iter().any(|address| address.name == name) {
            return Err(values.invalid(
                &keys::INTER_BROKER_LISTENER_NAME,
                "a name that is in listeners",
            ));
        }
        return Ok(name);
    }
    let protocol = values
        .effective(&keys::SECURITY_INTER_BROKER_PROTOCOL)
        .unwrap_or("PLAINTEXT");
    let wanted = security_protocol(protocol);
    let named = broker
        .iter()
        .find(|address| address.name == protocol.to_uppercase());
    let mapped = || {
        broker
            .iter()
            .find(|address| protocols.get(&address.name) == wanted.as_ref())
    };
    match named.or_else(mapped) {
        Some(address) => Ok(address.name.clone()),
        None if roles.broker => Err(values.missing(
            &keys::INTER_BROKER_LISTENER_NAME,
            "the name of the listener that brokers use among themselves",
        )),
        None => Ok(protocol.to_uppercase()),
    }
}

fn advertised(
    values: &PropertyReader,
    broker: &[ListenerAddress],
    controller_names: &[String],
    hostname: &str,
) -> Result<Vec<ListenerAddress>, ConfigFault> {
    let property = &keys::ADVERTISED_LISTENERS;
    let is_set = values.get(property).is_some();
    let mut advertised = if is_set {
        let mut addresses = values.addresses(property)?;
        addresses.retain(|address| !controller_names.contains(&address.name));
        addresses
    } else {
        broker.to_vec()
    };
    for address in &mut advertised {
        if address.host.is_empty() {
            hostname.clone_into(&mut address.host);
        } else if is_all_interfaces(&address.host) {
            return Err(ConfigFault::AdvertisesAllInterfaces {
                name: address.name.clone(),
                host: address.host.clone(),
                is_set,
            });
        }
        if !broker.iter().any(|bound| bound.name == address.name) {
            let allowed = format!(
                "a list of names that are in listeners; {} is not",
                address.name
            );
            return Err(values.invalid(property, &allowed));
        }
        if is_set && address.port == 0 && !broker.iter().any(|bound| bound.port == 0) {
            return Err(values.invalid(property, "a list of addresses with ports from 1 to 65535"));
        }
    }
    Ok(advertised)
}
