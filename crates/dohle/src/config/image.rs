//! What a container image adds to the properties that it is given, so that what people wrote for
//! the images of Apache, Confluent and Bitnami starts a node here too. Pure.
//!
//! Those images have scripts that complete what is missing: a file of their own, listeners made
//! from what is advertised, the data folder. This is the same as a function of the properties.
//! Nothing that is set is changed.

use dohle_config::list;

use super::address::parse_address;
use super::{SINGLE_NODE, Sources};

/// Where property files lie in the three images, the first that exists counts: what is mounted for
/// the image to read, then the file that its server is started with.
pub const PROPERTY_FILES: &[&str] = &[
    "/mnt/shared/config/server.properties",
    "/bitnami/kafka/config/server.properties",
    "/opt/bitnami/kafka/config/server.properties",
    "/opt/kafka/config/server.properties",
    "/etc/kafka/server.properties",
    "/etc/kafka/kafka.properties",
];

/// Where the data of the three images lie, and where volumes for them are mounted.
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

/// The cluster that nodes of Kafka's image belong to when nothing says otherwise.
const CLUSTER_ID: &str = "5L6g3nShT-eMCtK--X86sw";
/// The listener that clients use when nothing says otherwise.
const CLIENTS: &str = "PLAINTEXT://:9092";
const CLIENTS_ADVERTISED: &str = "PLAINTEXT://localhost:9092";
/// The port of the controllers' listener when nothing says otherwise.
const CONTROLLER_PORT: &str = "9093";

/// The data folder of a node that names none: one that already has data, else one that lies in a
/// mounted volume, else that of Kafka's own image.
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

/// The mount points in the text of `/proc/self/mountinfo`.
#[must_use]
pub fn mount_points(mountinfo: &str) -> Vec<String> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    points.map(|point| point.replace("\\040", " ")).collect()
}

impl Sources {
    /// Completes the properties as the scripts of the images do. `variables` are all of the
    /// environment, `folder` is where data go when nothing says so (see [`data_folder`]).
    pub fn complete_for_image(&mut self, variables: &[(String, String)], folder: &str) {
        let alone = !self.has("process.roles");
        if alone && self.has("zookeeper.connect") {
            // Refused, in words, with everything else that is wrong.
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

    /// Listeners follow from what is advertised, on all interfaces. A node about which nothing is
    /// said is reached at localhost, which is the port that `docker run -p 9092:9092` publishes.
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
                    // What is wrong with it is said where it is read.
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

    /// The port that the voters, or else the listeners, give this node's controller.
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

/// Whether the variables are those of Bitnami's image, which advertises the container's name, not
/// localhost, when nothing is said.
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
