//! Parameters of a connection to a cluster.

use std::collections::HashMap;

use dohle_config::{properties, providers};
use kacrab::config::{AdminConfig, ClientConfig, UnknownKeyPolicy};

use super::{ClusterError, stores};
use crate::external::ProcessValues;

/// Kafka's callback handlers that obtain the tokens of OAUTHBEARER, by their present and former
/// names. The library obtains tokens itself, from the same properties.
const TOKEN_HANDLERS: [&str; 2] = [
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
    "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler",
];

/// Returns whether a property names a Java class whose work the library does without it.
pub(crate) fn is_built_in(name: &str, value: &str) -> bool {
    name == "sasl.login.callback.handler.class" && TOKEN_HANDLERS.contains(&value.trim())
}

/// The addresses of a cluster, and the properties of a client that connects to it.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// `host:port,...`.
    pub bootstrap: String,
    /// Whether the addresses are those of controllers.
    pub controllers: bool,
    /// The client's properties.
    pub properties: HashMap<String, String>,
}

impl Connection {
    /// Returns whether the client has a certificate.
    pub(super) fn has_certificate(&self) -> bool {
        const STORES: [&str; 2] = ["ssl.keystore.location", "ssl.keystore.certificate.chain"];
        STORES
            .iter()
            .any(|name| self.properties.contains_key(*name))
    }

    /// Returns the properties as a client's configuration; unknown ones are ignored, as in Kafka.
    ///
    /// # Errors
    /// When a value is invalid.
    pub fn admin_config(&self) -> Result<AdminConfig, ClusterError> {
        let mut config = ClientConfig::new();
        config.insert("client.id", "dohle-cli");
        let properties = self.properties.iter();
        for (name, value) in properties.filter(|(name, value)| !is_built_in(name, value)) {
            config.insert(name.as_str(), value.as_str());
        }
        config.insert("bootstrap.servers", self.bootstrap.as_str());
        let read = AdminConfig::from_properties(config.properties(), UnknownKeyPolicy::Report);
        Ok(read.map_err(ClusterError::config)?.0)
    }
}

/// Reads a property file of a client, replaces references to configuration providers in its
/// values, as Kafka's clients do, and sets the types of key and trust stores by their content.
///
/// # Errors
/// When it cannot be read, is not a property file, or a reference cannot be resolved.
pub fn load_client_properties(path: &str) -> Result<HashMap<String, String>, ClusterError> {
    let mut properties = load_properties(path)?.into_iter().collect();
    providers::resolve(&mut properties, &ProcessValues).map_err(|errors| {
        let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
        ClusterError::File {
            path: path.to_owned(),
            why: reasons.join("\n"),
        }
    })?;
    stores::set_types(&mut properties, stores::first_bytes);
    Ok(properties.into_iter().collect())
}

/// Reads a property file as it is written.
///
/// # Errors
/// When it cannot be read, or is not a property file.
pub fn load_properties(path: &str) -> Result<HashMap<String, String>, ClusterError> {
    let error = |why: String| ClusterError::File {
        path: path.to_owned(),
        why,
    };
    let bytes = std::fs::read(path).map_err(|why| error(super::error::reason(&why)))?;
    let entries = properties::parse(&bytes).map_err(|why| error(why.to_string()))?;
    Ok(entries.into_iter().collect())
}
