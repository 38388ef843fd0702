//! The options that name a cluster: `--bootstrap-server`, `--command-config`.

use std::collections::HashMap;

use dohle_admin::{Connection, load_properties};

use crate::options::{Parsed, usage};

/// The option of all tools that speak to a cluster.
pub const BOOTSTRAP_SERVER: &str = "
    --bootstrap-server <host:port,...>: REQUIRED: the brokers to connect to; one that answers is
        enough.
    ";

/// The option of tools that can also speak to controllers.
pub const BOOTSTRAP_CONTROLLER: &str = "
    --bootstrap-controller <host:port,...>: The controllers to connect to, instead of
        --bootstrap-server. Apache Kafka's answer; Dohle's controllers do not speak Kafka's
        protocol.
    ";

/// The option that names a file of the client's properties.
pub const COMMAND_CONFIG: &str = "
    --command-config <file>: A property file with the client's configuration (security.protocol,
        sasl.*, ssl.*, timeouts).
    ";

/// Reads the three options above; controllers where the tool has that option.
///
/// # Errors
/// When there is no address, or both kinds, or the file cannot be read.
pub fn connection(parsed: &Parsed) -> anyhow::Result<Connection> {
    let properties = match parsed.value("command-config")? {
        Some(path) => load_properties(path)?,
        None => HashMap::new(),
    };
    let server = parsed.value("bootstrap-server")?;
    let controller = parsed.value("bootstrap-controller")?;
    let (bootstrap, controllers) = match (server, controller) {
        (Some(_), Some(_)) => {
            return Ok(usage(
                "You cannot specify both --bootstrap-controller and --bootstrap-server.",
            )?);
        }
        (Some(server), None) => (server.to_owned(), false),
        (None, Some(controller)) => (controller.to_owned(), true),
        // The file may name the brokers too.
        (None, None) => match properties.get("bootstrap.servers") {
            Some(servers) => (servers.clone(), false),
            None => return Ok(usage("Missing required argument \"[bootstrap-server]\"")?),
        },
    };
    Ok(Connection {
        bootstrap,
        controllers,
        properties,
    })
}
