//! Reads how this node authenticates to other nodes with SASL. Pure.
//!
//! The JAAS line is the one of the listener: Kafka's brokers have the users that they accept and
//! their own user in the same line.

use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_auth::Secret;
use dohle_auth::sasl::Mechanism;
use dohle_config::keys::broker as keys;
use dohle_config::{BrokerKey, BrokerValues, ListenerValues};
use dohle_rpc::sasl::{Credential, SaslClient};

use super::ConfigFault;
use super::listeners::{Listeners, Roles};
use super::sasl::{enabled, jaas, module, refuse_classes};

/// Reads how this node authenticates to others, by listener: to brokers at the inter-broker
/// listener, and to controllers at theirs.
///
/// # Errors
/// When the mechanism is not one of the listener's, or the JAAS line has no credential for it.
pub(super) fn read(
    values: &BrokerValues,
    roles: Roles,
    listeners: &Listeners,
) -> Result<BTreeMap<String, Arc<SaslClient>>, ConfigFault> {
    let mut clients = BTreeMap::new();
    let brokers = (
        &listeners.inter_broker,
        &keys::SASL_MECHANISM_INTER_BROKER_PROTOCOL,
    );
    let controllers = (
        &listeners.controller_name,
        &keys::SASL_MECHANISM_CONTROLLER_PROTOCOL,
    );
    let of_role = roles.broker.then_some(brokers);
    for (listener, key) in of_role.into_iter().chain([controllers]) {
        if listeners.protocol(listener).is_sasl() {
            let is_served = listeners.served().contains_key(listener);
            let client = client(values, listener, key, is_served)?;
            clients.insert(listener.clone(), Arc::new(client));
        }
    }
    Ok(clients)
}

fn client(
    values: &BrokerValues,
    listener: &str,
    key: &BrokerKey<String>,
    is_served: bool,
) -> Result<SaslClient, ConfigFault> {
    let of_listener = values.listener(listener);
    let supported = Mechanism::ALL.map(Mechanism::name).join(", ");
    let Some(name) = values.text_set(key) else {
        return Err(ConfigFault::Missing {
            name: key.name().to_owned(),
            wanted: format!(
                "one of {supported}, with which nodes authenticate at the listener {listener}: the \
                 default of Kafka is GSSAPI (Kerberos), which is not supported"
            ),
        });
    };
    let invalid = |allowed: String| ConfigFault::Invalid {
        name: key.name().to_owned(),
        value: name.to_owned(),
        allowed,
    };
    let mechanism = Mechanism::from_name(name);
    let mechanism = mechanism.ok_or_else(|| invalid(format!("one of {supported}")))?;
    if is_served && !enabled(&of_listener, listener)?.contains(&mechanism) {
        return Err(invalid(format!(
            "one of sasl.enabled.mechanisms of the listener {listener}"
        )));
    }
    let of_mechanism = of_listener.mechanism(name);
    refuse_classes(&of_mechanism, mechanism)?;
    let jaas = jaas(&of_mechanism, listener, mechanism)?;
    let own_name = || {
        format!(
            "listener.name.{}.{}.sasl.jaas.config",
            listener.to_lowercase(),
            name.to_lowercase()
        )
    };
    if mechanism == Mechanism::OAuthBearer {
        return token_client(&of_mechanism, listener);
    }
    let jaas = jaas.ok_or_else(|| ConfigFault::Missing {
        name: own_name(),
        wanted: format!(
            "the user of this node at other nodes: {} required username=\"NAME\" \
             password=\"PASSWORD\";",
            module(mechanism).class()
        ),
    })?;
    let property = of_mechanism.name(&keys::SASL_JAAS_CONFIG);
    let option = |name: &str| {
        jaas.option(name).ok_or_else(|| ConfigFault::Jaas {
            name: property.clone(),
            listener: listener.to_owned(),
            reason: format!(
                "it has no option {name}; username and password are those of this node at the \
                 other nodes"
            ),
        })
    };
    let credential = Credential::Password {
        user: option("username")?.into(),
        password: Secret::new(option("password")?),
    };
    Ok(SaslClient::new(listener, mechanism, credential, property))
}

/// Reads the file with this node's token.
fn token_client(values: &ListenerValues<'_>, listener: &str) -> Result<SaslClient, ConfigFault> {
    let key = &keys::SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL;
    let wanted = "file:// and the path of a file with the token of this node, which is read for \
                  each connection";
    let Some(url) = values.text_set(key) else {
        return Err(ConfigFault::Missing {
            name: key.name().to_owned(),
            wanted: wanted.to_owned(),
        });
    };
    let property = values.name(key);
    let Some(path) = url.strip_prefix("file://") else {
        return Err(ConfigFault::Invalid {
            name: property,
            value: url.to_owned(),
            allowed: format!("{wanted}: tokens are not fetched over the network"),
        });
    };
    let credential = Credential::TokenFile(path.into());
    let mechanism = Mechanism::OAuthBearer;
    Ok(SaslClient::new(listener, mechanism, credential, property))
}

#[cfg(test)]
mod tests {
    use crate::config::{NodeConfig, Sources};

    const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
    const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";

    /// The properties of a broker whose listeners NODES and CONTROLLER have SASL.
    fn read(properties: &[(&str, &str)]) -> Result<NodeConfig, String> {
        let controller = format!("{PLAIN} required username=\"n\" password=\"p-secret\";");
        let nodes = format!("{SCRAM} required username=\"n\" password=\"s-secret\";");
        let all = [
            ("process.roles", "broker"),
            ("node.id", "2"),
            ("controller.quorum.voters", "1@localhost:9093"),
            ("controller.listener.names", "CONTROLLER"),
            ("listeners", "NODES://localhost:9092"),
            ("inter.broker.listener.name", "NODES"),
            (
                "listener.security.protocol.map",
                "NODES:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
            ),
            ("sasl.enabled.mechanisms", "SCRAM-SHA-512"),
            ("sasl.mechanism.inter.broker.protocol", "SCRAM-SHA-512"),
            ("sasl.mechanism.controller.protocol", "PLAIN"),
            ("log.dirs", "/tmp/d"),
            ("listener.name.nodes.scram-sha-512.sasl.jaas.config", &nodes),
            (
                "listener.name.controller.plain.sasl.jaas.config",
                &controller,
            ),
        ];
        let mut sources = Sources {
            has_file: true,
            ..Sources::default()
        };
        for (name, value) in all.iter().chain(properties) {
            sources.properties.insert((*name).into(), (*value).into());
        }
        NodeConfig::new(sources, "host").map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_node_has_a_user_at_brokers_and_one_at_controllers() {
        let config = read(&[]).unwrap();
        let listeners: Vec<&String> = config.sasl_clients.keys().collect();
        assert_eq!(listeners, ["CONTROLLER", "NODES"]);
        // This node accepts nobody at the listener of controllers, so that one needs no users.
        assert_eq!(config.sasl.listeners.keys().collect::<Vec<_>>(), ["NODES"]);
        assert!(!format!("{:?}", config.sasl_clients).contains("secret"));
        assert!(
            config.sasl_clients["NODES"]
                .describe(("h", 1), "no")
                .contains("SCRAM-SHA-512")
        );
    }

    #[test]
    fn what_a_node_lacks_to_authenticate_is_named() {
        let mechanism = "sasl.mechanism.inter.broker.protocol";
        let nodes = "listener.name.nodes.scram-sha-512.sasl.jaas.config";
        let without_password = format!("{SCRAM} required username=\"n\";");
        let other_module = format!("{PLAIN} required username=\"n\" password=\"s-secret\";");
        for (property, value, expected) in [
            (
                mechanism,
                "",
                "sasl.mechanism.inter.broker.protocol is not set; it must be one of PLAIN,",
            ),
            (
                mechanism,
                "GSSAPI",
                "is \"GSSAPI\"; allowed is one of PLAIN,",
            ),
            (
                mechanism,
                "PLAIN",
                "allowed is one of sasl.enabled.mechanisms of the listener NODES",
            ),
            (
                nodes,
                "",
                "sasl.jaas.config is not set; it must be the user of this node",
            ),
            (
                nodes,
                &without_password,
                "of the listener NODES: it has no option password;",
            ),
            (nodes, &other_module, "the login module of SCRAM-SHA-512 is"),
        ] {
            let refused = read(&[(property, value)]).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
            assert!(!refused.contains("s-secret"), "{refused}");
        }
    }

    #[test]
    fn a_token_comes_from_a_file() {
        let url = "sasl.oauthbearer.token.endpoint.url";
        let with = |value| {
            read(&[
                ("sasl.mechanism.controller.protocol", "OAUTHBEARER"),
                (url, value),
            ])
        };
        let config = with("file:///etc/token").unwrap();
        let file = &config.secret_files[0];
        assert_eq!(
            (file.setting.as_str(), file.path.to_str()),
            (url, Some("/etc/token"))
        );
        for wrong in ["", "https://idp.example.com/token"] {
            let refused = with(wrong).unwrap_err();
            assert!(
                refused.contains(url) && refused.contains("file://"),
                "{refused}"
            );
        }
    }

    #[test]
    fn listeners_that_start_early_are_listeners() {
        assert!(read(&[("early.start.listeners", "nodes,CONTROLLER")]).is_ok());
        let refused = read(&[("early.start.listeners", "NODES,OTHER")]).unwrap_err();
        assert!(
            refused.contains("controller.listener.names; OTHER is not"),
            "{refused}"
        );
    }
}
