//! Completes the properties of a container, so that configuration written for the images of Apache,
//! Confluent and Bitnami starts a node here, too. Pure.
//!
//! The scripts of those images fill in missing properties: from a file of their own, listeners from
//! the advertised ones, the data folder. This module does the same as a function of the properties.
//! It changes no property that is set.

mod security;

use dohle_config::list;

use super::address::parse_address;
use super::secret_files::SecretFile;
use super::source::INITIAL_CONTROLLERS;
use super::{ConfigFault, SINGLE_NODE, Sources};

pub use security::ReadFile;
use security::Variables;

/// The paths of property files in the three images; the first that exists is used: files mounted
/// for the image to read come before the file with which its server is started.
pub const PROPERTY_FILES: &[&str] = &[
    "/mnt/shared/config/server.properties",
    "/bitnami/kafka/config/server.properties",
    "/opt/bitnami/kafka/config/server.properties",
    "/opt/kafka/config/server.properties",
    "/etc/kafka/server.properties",
    "/etc/kafka/kafka.properties",
];

/// The data folders of the three images, and the paths at which volumes for them are mounted.
const DATA_FOLDERS: &[(&str, &[&str])] = &[
    (
        "/bitnami/kafka/data",
        &["/bitnami/kafka/data", "/bitnami/kafka", "/bitnami"],
    ),
    (
        "/var/lib/kafka/data",
        &["/var/lib/kafka/data", "/var/lib/kafka"],
    ),
    ("/tmp/kraft-combined-logs", &["/tmp/kraft-combined-logs"]),
];

/// The folder in which the images of Apache and Confluent expect key stores, and files with their
/// passwords.
const SECRETS_FOLDER: &str = "/etc/kafka/secrets";
/// Properties of these images (`KAFKA_SSL_KEYSTORE_FILENAME`) that name a file in that folder, and
/// the property that has its path.
const STORES: &[(&str, &str)] = &[
    ("ssl.keystore.filename", "ssl.keystore.location"),
    ("ssl.truststore.filename", "ssl.truststore.location"),
];
/// Properties of these images that name a file in that folder, and the property that has its
/// content.
const CREDENTIALS: &[(&str, &str)] = &[
    ("ssl.keystore.credentials", "ssl.keystore.password"),
    ("ssl.key.credentials", "ssl.key.password"),
    ("ssl.truststore.credentials", "ssl.truststore.password"),
];

/// The default cluster id of Kafka's image.
const CLUSTER_ID: &str = "5L6g3nShT-eMCtK--X86sw";
/// The default listener for clients.
const CLIENTS: &str = "PLAINTEXT://:9092";
const CLIENTS_ADVERTISED: &str = "PLAINTEXT://localhost:9092";
/// The default address of metrics and health.
const HTTP_LISTENER: &str = "http://0.0.0.0:9644";
/// The default port of the controllers' listener.
const CONTROLLER_PORT: &str = "9093";

/// Returns the data folder of a node that does not configure one: a folder that already contains
/// data, else one in a mounted volume, else that of Kafka's own image.
#[must_use]
pub fn data_folder(mounts: &[String], has_data: impl Fn(&str) -> bool) -> &'static str {
    let is_mounted = |points: &[&str]| points.iter().any(|point| mounts.iter().any(|m| m == point));
    let mounted = DATA_FOLDERS.iter().filter(|(_, at)| is_mounted(at));
    let others = DATA_FOLDERS.iter().filter(|(_, at)| !is_mounted(at));
    let found = mounted
        .clone()
        .chain(others)
        .find(|(folder, _)| has_data(folder));
    found
        .or_else(|| mounted.clone().next())
        .map_or("/tmp/kraft-combined-logs", |(folder, _)| folder)
}

/// Parses the mount points in the text of `/proc/self/mountinfo`.
#[must_use]
pub fn mount_points(mountinfo: &str) -> Vec<String> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    points.map(|point| point.replace("\\040", " ")).collect()
}

impl Sources {
    /// Completes the properties like the scripts of the images. `variables` is the whole
    /// environment, `folder` is the default data folder (see [`data_folder`]).
    pub fn complete_for_image(&mut self, variables: &[(String, String)], folder: &str) {
        let alone = !self.has("process.roles");
        if alone && self.has("zookeeper.connect") {
            // The configuration check reports this error together with others.
            return;
        }
        self.cluster_id_default = Some(CLUSTER_ID.to_owned());
        if !self.has("log.dir") {
            self.add_missing("log.dirs", folder);
        }
        if alone {
            self.add_missing("process.roles", "broker,controller");
            self.add_missing("controller.listener.names", "CONTROLLER");
        }
        self.add_missing("http.listeners", HTTP_LISTENER);
        let id = self.node_id_or("1");
        self.add_missing("node.id", &id);
        let has_role =
            |sources: &Self, role| sources.items("process.roles").any(|item| item == role);
        let (broker, controller) = (has_role(self, "broker"), has_role(self, "controller"));
        self.complete_listeners(alone && !is_bitnami(variables), broker, controller);
        if controller && !self.has("controller.quorum.bootstrap.servers") {
            let port = self.controller_port();
            self.add_missing(
                "controller.quorum.voters",
                &format!("{id}@localhost:{port}"),
            );
        }
        if alone {
            for (name, value) in SINGLE_NODE {
                self.add_missing(name, value);
            }
        }
    }

    /// Sets the voters of a controller that has none to those with which Bitnami's image forms a
    /// quorum: `ID@HOST:PORT:DIRECTORY`, where the id of the directory is left out. Call it before
    /// [`Sources::complete_for_image`], which makes such a node the only voter.
    ///
    /// # Errors
    /// When the variable names a file that cannot be read.
    pub fn complete_voters(
        &mut self,
        variables: &[(String, String)],
        read: ReadFile<'_>,
    ) -> Result<(), ConfigFault> {
        let variables = Variables::new(variables, read)?;
        let controller =
            !self.has("process.roles") || self.items("process.roles").any(|r| r == "controller");
        let Some(given) = variables.get(INITIAL_CONTROLLERS).filter(|_| controller) else {
            return Ok(());
        };
        let voters: Vec<&str> = list(given).map(without_directory).collect();
        self.add_missing("controller.quorum.voters", &voters.join(","));
        Ok(())
    }

    /// Replaces the names of key stores, and of files with their passwords, by the properties of
    /// Kafka. `read` returns the content of a file.
    ///
    /// # Errors
    /// When a file with a password cannot be read.
    pub fn complete_key_stores(
        &mut self,
        read: impl Fn(&str) -> std::io::Result<String>,
    ) -> Result<(), ConfigFault> {
        for (given, property) in STORES {
            if let Some(name) = self.properties.remove(*given) {
                self.add_missing(property, &format!("{SECRETS_FOLDER}/{name}"));
            }
        }
        for (given, property) in CREDENTIALS {
            let Some(name) = self.properties.remove(*given) else {
                continue;
            };
            let file = format!("{SECRETS_FOLDER}/{name}");
            let content = read(&file).map_err(|error| ConfigFault::Invalid {
                name: (*given).to_owned(),
                value: name,
                allowed: format!(
                    "the name of a file in {SECRETS_FOLDER} that can be read ({error})"
                ),
            })?;
            self.add_missing(property, content.trim_end_matches(['\r', '\n']));
            let file = SecretFile::new(given, "the password", &file);
            self.secret_files.push(file);
        }
        Ok(())
    }

    /// Derives the listeners from the advertised ones, on all interfaces. Without either, the node
    /// advertises localhost, with the port that `docker run -p 9092:9092` publishes.
    fn complete_listeners(&mut self, at_localhost: bool, broker: bool, controller: bool) {
        if self.has("listeners") {
            return;
        }
        let names: Vec<String> = self
            .items("controller.listener.names")
            .map(str::to_uppercase)
            .collect();
        let mut listeners: Vec<String> = Vec::new();
        if broker {
            for item in self.items("advertised.listeners") {
                let Ok(address) = parse_address(item) else {
                    // The listener check reports what is wrong with it.
                    return;
                };
                if !names.contains(&address.name) {
                    listeners.push(format!("{}://:{}", address.name, address.port));
                }
            }
            if listeners.is_empty() {
                listeners.push(CLIENTS.to_owned());
                if at_localhost {
                    self.add_missing("advertised.listeners", CLIENTS_ADVERTISED);
                }
            }
        }
        if let Some(name) = names.first().filter(|_| controller) {
            listeners.push(format!("{name}://:{}", self.controller_port()));
        }
        self.add_missing("listeners", &listeners.join(","));
    }

    /// Returns the port of this node's controller in the voters, or else in the listeners.
    fn controller_port(&self) -> String {
        let id = self.node_id_or("1");
        let own = self.items("controller.quorum.voters").find_map(|voter| {
            let (voter, address) = voter.split_once('@')?;
            (voter.trim() == id).then(|| address.rsplit_once(':').map(|(_, port)| port))?
        });
        let name = self.items("controller.listener.names").next();
        let listener = self.items("listeners").find_map(|item| {
            let address = parse_address(item).ok()?;
            (Some(address.name) == name.map(str::to_uppercase)).then(|| address.port.to_string())
        });
        own.map(str::to_owned)
            .or(listener)
            .unwrap_or_else(|| CONTROLLER_PORT.to_owned())
    }

    fn items(&self, name: &str) -> impl Iterator<Item = &str> {
        list(self.properties.get(name).map_or("", String::as_str))
    }
}

/// Returns `ID@HOST:PORT` of a controller that may be followed by the id of its directory.
fn without_directory(controller: &str) -> &str {
    match controller.rsplit_once(':') {
        Some((address, last)) if last.parse::<u16>().is_err() => address,
        _ => controller,
    }
}

/// Whether the variables are those of Bitnami's image, which by default advertises the container's
/// name instead of localhost.
fn is_bitnami(variables: &[(String, String)]) -> bool {
    variables.iter().any(|(name, _)| {
        name.starts_with("KAFKA_CFG_")
            || matches!(
                name.as_str(),
                "ALLOW_PLAINTEXT_LISTENER" | "KAFKA_ENABLE_KRAFT" | "KAFKA_KRAFT_CLUSTER_ID"
            )
    })
}

#[cfg(test)]
mod tests;
