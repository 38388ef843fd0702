//! The options that name a cluster: `--bootstrap-server`, `--command-config`.

use std::collections::HashMap;

use dohle_admin::{Connection, load_client_properties};

use crate::options::{Parsed, UsageError};

/// The option of all tools that speak to a cluster.
pub const BOOTSTRAP_SERVER: &str = "
    --bootstrap-server <host:port,...>: REQUIRED: the brokers to connect to; one that answers is
        enough.
    ";

/// The options of tools that can also speak to controllers.
pub const BOOTSTRAP: &str = "
    --bootstrap-server <host:port,...>: REQUIRED: the brokers to connect to; one that answers is
        enough.
    --bootstrap-controller <host:port,...>: The controllers to connect to, instead of
        --bootstrap-server. Apache Kafka's answer; Dohle's controllers do not speak Kafka's
        protocol.
    ";

/// The option that names a file of the client's properties.
pub const COMMAND_CONFIG: &str = "
    --command-config <file>: A property file with the client's configuration (security.protocol,
        sasl.*, ssl.*, timeouts).
    ";

/// Reads the options above; `file` is an old name of `--command-config`, where the tool has
/// one.
///
/// # Errors
/// When there is no address, or both kinds, or the file cannot be read.
pub fn connection(parsed: &Parsed, file: Option<&str>) -> anyhow::Result<Connection> {
    let old = file.map_or(Ok(None), |name| parsed.value(name))?;
    let properties = match parsed.value("command-config")?.or(old) {
        Some(path) => load_client_properties(path)?,
        None => HashMap::new(),
    };
    let server = parsed.value("bootstrap-server")?;
    let controller = parsed.value("bootstrap-controller")?;
    // The file may name the brokers too.
    let named = properties.get("bootstrap.servers").map(String::as_str);
    let bootstrap = match (server, controller) {
        (Some(_), Some(_)) => Err(UsageError::from(
            "You cannot specify both --bootstrap-controller and --bootstrap-server.",
        )),
        (given @ Some(_), None) | (None, given) => given
            .or(named)
            .ok_or_else(|| UsageError::from("Missing required argument \"[bootstrap-server]\"")),
    };
    Ok(Connection {
        bootstrap: bootstrap?.to_owned(),
        controllers: controller.is_some(),
        properties,
    })
}
