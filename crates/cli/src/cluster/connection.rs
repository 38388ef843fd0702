//! Where to connect and how: `--bootstrap-server`, `--command-config`.

use std::collections::HashMap;

use dohle_model::properties;
use kacrab::config::{AdminConfig, ClientConfig, UnknownKeyPolicy};

use super::ClusterError;
use crate::options::{Opt, Parsed, UsageError, usage, value};

/// The option of all tools that speak to a cluster.
pub const BOOTSTRAP_SERVER: Opt = value(
    "bootstrap-server",
    "host:port,...",
    "REQUIRED: the brokers to connect to; one that answers is enough.",
);

/// The option of tools that can also speak to controllers.
pub const BOOTSTRAP_CONTROLLER: Opt = value(
    "bootstrap-controller",
    "host:port,...",
    "The controllers to connect to, instead of --bootstrap-server. Apache Kafka's answer; Dohle's \
     controllers do not speak Kafka's protocol.",
);

/// The option that names a file of the client's properties.
pub const COMMAND_CONFIG: Opt = value(
    "command-config",
    "file",
    "A property file with the client's configuration (security.protocol, sasl.*, ssl.*, timeouts).",
);

/// Where to connect and how.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// `host:port,...`.
    pub bootstrap: String,
    /// Whether these are controllers.
    pub controllers: bool,
    /// The client's properties.
    pub properties: HashMap<String, String>,
}

impl Connection {
    /// Reads the three options above; controllers where the tool has that option.
    ///
    /// # Errors
    /// When there is no address, or both kinds, or the file cannot be read.
    pub fn from_options(parsed: &Parsed) -> anyhow::Result<Self> {
        let properties = match parsed.value(COMMAND_CONFIG.name)? {
            Some(path) => load_properties(path)?,
            None => HashMap::new(),
        };
        let server = parsed.value(BOOTSTRAP_SERVER.name)?;
        let controller = parsed.value(BOOTSTRAP_CONTROLLER.name)?;
        let (bootstrap, controllers) = match (server, controller) {
            (Some(_), Some(_)) => {
                return Ok(usage(
                    "You cannot specify both --bootstrap-controller and --bootstrap-server.",
                )?);
            }
            (Some(server), None) => (server.to_owned(), false),
            (None, Some(controller)) => (controller.to_owned(), true),
            // A file may say it too.
            (None, None) => match properties.get("bootstrap.servers") {
                Some(servers) => (servers.clone(), false),
                None => return Err(missing(parsed).into()),
            },
        };
        Ok(Self {
            bootstrap,
            controllers,
            properties,
        })
    }

    /// The properties as a client's configuration; unknown ones are passed over, as Kafka does.
    ///
    /// # Errors
    /// When a value makes no sense.
    pub fn admin_config(&self) -> Result<AdminConfig, ClusterError> {
        let mut config = ClientConfig::new();
        config.insert("client.id", "dohle-cli");
        for (name, value) in &self.properties {
            config.insert(name.as_str(), value.as_str());
        }
        config.insert("bootstrap.servers", self.bootstrap.as_str());
        let read = AdminConfig::from_properties(config.properties(), UnknownKeyPolicy::Report);
        Ok(read.map_err(ClusterError::config)?.0)
    }
}

fn missing(_: &Parsed) -> UsageError {
    UsageError("Missing required argument \"[bootstrap-server]\"".to_owned())
}

/// Reads a property file.
///
/// # Errors
/// When it cannot be read, or is no property file.
pub fn load_properties(path: &str) -> Result<HashMap<String, String>, ClusterError> {
    let error = |why: String| ClusterError::File {
        path: path.to_owned(),
        why,
    };
    let bytes = std::fs::read(path).map_err(|why| error(super::error::reason(&why)))?;
    let entries = properties::parse(&bytes).map_err(|why| error(why.to_string()))?;
    Ok(entries.into_iter().collect())
}
