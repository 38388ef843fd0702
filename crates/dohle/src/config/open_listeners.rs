//! Finds listeners that others can reach and that everyone may use, and describes them in messages
//! with the properties that change it. Pure.

use std::fmt::{self, Write as _};

use dohle_auth::Principal;
use dohle_model::record::SecurityProtocol;
use dohle_tls::ClientAuth;

use super::listeners::protocol_name;
use super::{ListenerAddress, NodeConfig, is_loopback};

/// How a listener can be closed to strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// It has TLS and does not require certificates of clients: require them.
    RequireCertificates,
    /// Only clients use it, without TLS: have them log in.
    Passwords,
    /// Nodes use it, without TLS: mutual TLS.
    MutualTls,
}

/// A listener that others can reach, without authentication and without authorization.
#[derive(Debug)]
struct OpenListener<'a> {
    bound: &'a ListenerAddress,
    advertised: Option<&'a ListenerAddress>,
    remedy: Remedy,
}

impl fmt::Display for OpenListener<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bound)?;
        match self.advertised {
            Some(address) if address != self.bound => write!(f, " (advertised as {address})"),
            _ => Ok(()),
        }
    }
}

/// Returns a warning for each group of listeners that the same properties close: listeners that are
/// bound to or advertised at another address than loopback, that do not authenticate their clients,
/// and on which no authorizer decides what a client may do.
#[must_use]
pub fn open_listener_warnings(config: &NodeConfig) -> Vec<String> {
    let listeners = &config.listeners;
    let all = listeners.broker.iter().chain(&listeners.controller);
    let open: Vec<OpenListener<'_>> = all.filter_map(|bound| open(config, bound)).collect();
    let remedies = [
        Remedy::MutualTls,
        Remedy::Passwords,
        Remedy::RequireCertificates,
    ];
    let groups = remedies.into_iter().filter_map(|remedy| {
        let names: Vec<&OpenListener<'_>> = open.iter().filter(|it| it.remedy == remedy).collect();
        (!names.is_empty()).then(|| warning(config, remedy, &names))
    });
    groups.collect()
}

/// Returns the listener if it is open to strangers.
fn open<'a>(config: &'a NodeConfig, bound: &'a ListenerAddress) -> Option<OpenListener<'a>> {
    let listeners = &config.listeners;
    let advertised = listeners.advertised.iter().find(|it| it.name == bound.name);
    let is_reachable = |address: &ListenerAddress| !is_loopback(&address.host);
    if !is_reachable(bound) && !advertised.is_some_and(is_reachable) {
        return None;
    }
    let is_controller = listeners.controller.as_ref() == Some(bound);
    let is_node = is_controller || bound.name == listeners.inter_broker;
    let remedy = match listeners.protocol(&bound.name) {
        SecurityProtocol::SaslPlaintext | SecurityProtocol::SaslSsl => return None,
        SecurityProtocol::Ssl => {
            let settings = config.tls.get(&bound.name)?;
            // Controllers refuse peers without a certificate where they ask for one.
            let is_closed = match settings.client_auth {
                ClientAuth::Required => true,
                ClientAuth::Requested => is_controller,
                ClientAuth::None => false,
            };
            if is_closed {
                return None;
            }
            Remedy::RequireCertificates
        }
        SecurityProtocol::Plaintext if is_node => Remedy::MutualTls,
        SecurityProtocol::Plaintext => Remedy::Passwords,
    };
    if restricts_strangers(config) {
        return None;
    }
    Some(OpenListener {
        bound,
        advertised,
        remedy,
    })
}

/// Whether an authorizer restricts what clients without an identity may do.
fn restricts_strangers(config: &NodeConfig) -> bool {
    let settings = config.authorizer.as_ref();
    settings.is_some_and(|settings| !settings.is_super_user(&Principal::anonymous()))
}

fn warning(config: &NodeConfig, remedy: Remedy, open: &[&OpenListener<'_>]) -> String {
    let listed: Vec<String> = open.iter().map(ToString::to_string).collect();
    let (what, verb) = match open.len() {
        1 => ("the listener", "has"),
        _ => ("the listeners", "have"),
    };
    let mut text = format!(
        "EVERYONE IS LET IN: {what} {} can be reached from other machines, and {verb} neither \
         authentication nor authorization: whoever connects can read, change and delete \
         everything.",
        listed.join(", ")
    );
    text += match remedy {
        Remedy::MutualTls => {
            " `dohle security init DIR` makes certificates for nodes and clients; with them, these \
             properties of each node change it:"
        }
        Remedy::Passwords => {
            " These properties of each node change it, for clients that log in with a password:"
        }
        Remedy::RequireCertificates => {
            " These properties of each node change it, for clients with certificates:"
        }
    };
    for (name, value) in lines(config, remedy, open) {
        let _ = write!(text, "\n    {name}={value}");
    }
    text
}

/// Returns the properties that close the listeners.
fn lines(config: &NodeConfig, remedy: Remedy, open: &[&OpenListener<'_>]) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut line = |name: String, value: &str| lines.push((name, value.to_owned()));
    let map = "listener.security.protocol.map".to_owned();
    match remedy {
        Remedy::MutualTls => {
            line(map, &protocol_map(config, open, SecurityProtocol::Ssl));
            for (store, file) in [("keystore", "nodeN.pem"), ("truststore", "ca.pem")] {
                if !has_store(config, store) {
                    line(format!("ssl.{store}.type"), "PEM");
                    line(format!("ssl.{store}.location"), &format!("DIR/{file}"));
                }
            }
            for listener in open {
                line(property(listener, "ssl.client.auth"), "required");
            }
        }
        Remedy::Passwords => {
            let sasl = SecurityProtocol::SaslPlaintext;
            line(map, &protocol_map(config, open, sasl));
            for listener in open {
                line(property(listener, "sasl.enabled.mechanisms"), "PLAIN");
                let users = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                             user_NAME=\"PASSWORD\";";
                line(property(listener, "plain.sasl.jaas.config"), users);
            }
        }
        Remedy::RequireCertificates => {
            for listener in open {
                line(property(listener, "ssl.client.auth"), "required");
                let settings = config.tls.get(&listener.bound.name);
                if settings.is_some_and(|it| it.truststore.is_none()) {
                    line(property(listener, "ssl.truststore.type"), "PEM");
                    line(property(listener, "ssl.truststore.location"), "FILE");
                }
            }
        }
    }
    lines
}

/// Returns the name of a property of one listener.
fn property(listener: &OpenListener<'_>, name: &str) -> String {
    let prefix = listener.bound.name.to_lowercase();
    format!("listener.name.{prefix}.{name}")
}

/// Whether the node has a key store or trust store for all listeners.
fn has_store(config: &NodeConfig, store: &str) -> bool {
    let contents = ["location", "certificate.chain", "certificates"];
    let mut names = contents
        .map(|part| format!("ssl.{store}.{part}"))
        .into_iter();
    names.any(|name| config.properties().contains_key(&name))
}

/// Returns the map of all listeners' protocols, with another protocol for the open ones.
fn protocol_map(
    config: &NodeConfig,
    open: &[&OpenListener<'_>],
    protocol: SecurityProtocol,
) -> String {
    let protocols = config.listeners.protocols.iter().map(|(name, present)| {
        let is_open = open.iter().any(|it| it.bound.name == *name);
        let protocol = if is_open { protocol } else { *present };
        format!("{name}:{}", protocol_name(protocol))
    });
    protocols.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
