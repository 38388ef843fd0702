//! Collects a node's properties from a file, the environment and the command line. Pure.
//!
//! Later sources override earlier ones: file, `KAFKA_…`, `KAFKA_CFG_…`, `--override`.

use std::collections::{BTreeMap, BTreeSet};

use dohle_config::Properties;
use dohle_config::properties;

use super::secret_files::{SecretFile, is_secret};
use super::{ConfigFault, FirstUser};

/// Bitnami's variable with the controllers of a new quorum.
pub(super) const INITIAL_CONTROLLERS: &str = "KAFKA_INITIAL_CONTROLLERS";

/// Variables that begin with `KAFKA_` in the images of Apache, Confluent and Bitnami but are not
/// properties: they configure the JVM, the scripts, or the image.
const NOT_PROPERTIES: &[&str] = &[
    "KAFKA_BASE_DIR",
    "KAFKA_CERTS_DIR",
    "KAFKA_CERTIFICATE_PASSWORD",
    "KAFKA_CLASSPATH",
    "KAFKA_CLIENT_LISTENER_NAME",
    "KAFKA_CLIENT_PASSWORDS",
    "KAFKA_CLIENT_USERS",
    "KAFKA_CLUSTER_ID",
    "KAFKA_CONF_DIR",
    "KAFKA_CONF_FILE",
    "KAFKA_CONTROLLER_PASSWORD",
    "KAFKA_CONTROLLER_USER",
    "KAFKA_DAEMON_GROUP",
    "KAFKA_DAEMON_USER",
    "KAFKA_DATA_DIR",
    "KAFKA_DATA_DIRS",
    "KAFKA_DEBUG",
    "KAFKA_DEFAULT_CONF_DIR",
    "KAFKA_ENABLE_KRAFT",
    "KAFKA_EXTRA_FLAGS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_HEAP_OPTS",
    "KAFKA_HOME",
    INITIAL_CONTROLLERS,
    "KAFKA_INITSCRIPTS_DIR",
    "KAFKA_INTER_BROKER_PASSWORD",
    "KAFKA_INTER_BROKER_USER",
    "KAFKA_JMX_HOSTNAME",
    "KAFKA_JMX_OPTS",
    "KAFKA_JMX_PORT",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_KRAFT_BOOTSTRAP_SCRAM_USERS",
    "KAFKA_KRAFT_CLUSTER_ID",
    "KAFKA_KRAFT_MODE",
    "KAFKA_LOG_DIR",
    "KAFKA_MOUNTED_CONF_DIR",
    "KAFKA_OPTS",
    "KAFKA_OVERRIDE",
    "KAFKA_RUN_FLAGS",
    "KAFKA_SKIP_KRAFT_STORAGE_INIT",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_TOOLS_OPTS",
    "KAFKA_VERSION",
    "KAFKA_VOLUME_DIR",
    "KAFKA_ZOOKEEPER_BOOTSTRAP_SCRAM_USERS",
    "KAFKA_ZOOKEEPER_PROTOCOL",
];

/// Prefixes of further variables that are not properties.
const NOT_PROPERTY_PREFIXES: &[&str] = &["KAFKA_LOG4J", "KAFKA_TLS_"];

/// Variables that may be given as the name of a file, with `_FILE` after their own name.
const FROM_FILES: &[&str] = &[
    "KAFKA_CERTIFICATE_PASSWORD",
    "KAFKA_CLIENT_PASSWORDS",
    "KAFKA_CLIENT_USERS",
    "KAFKA_CONTROLLER_PASSWORD",
    "KAFKA_CONTROLLER_USER",
    INITIAL_CONTROLLERS,
    "KAFKA_INTER_BROKER_PASSWORD",
    "KAFKA_INTER_BROKER_USER",
    "KAFKA_OPTS",
    "KAFKA_TLS_CLIENT_AUTH",
    "KAFKA_TLS_TYPE",
];

/// Additional variable names of properties in Bitnami's images.
const ALIASES: &[(&str, &str)] = &[
    ("KAFKA_LOGS_DIRS", "log.dirs"),
    ("KAFKA_MAX_MESSAGE_BYTES", "message.max.bytes"),
    ("KAFKA_SEGMENT_BYTES", "log.segment.bytes"),
];

/// Variables with the cluster's id; the first one that is set is used.
const CLUSTER_ID_VARIABLES: &[&str] = &["CLUSTER_ID", "KAFKA_CLUSTER_ID", "KAFKA_KRAFT_CLUSTER_ID"];

/// A node's properties before they are checked.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The properties.
    pub properties: Properties,
    /// Where each property was set last, for messages: the name of a file or variable.
    pub origins: BTreeMap<String, String>,
    /// The names of properties that were completed with defaults.
    pub completed: BTreeSet<String>,
    /// The cluster's id, if it is given.
    pub cluster_id: Option<String>,
    /// The id of a new cluster, if none is given and no directory has one.
    pub cluster_id_default: Option<String>,
    /// The users that a new cluster begins with.
    pub first_users: Vec<FirstUser>,
    /// Whether a file was read.
    pub has_file: bool,
    /// The files with secrets that were read.
    pub secret_files: Vec<SecretFile>,
}

impl Sources {
    /// Adds the properties of a file. `name` is its path.
    ///
    /// # Errors
    /// When the text is not a properties file.
    pub fn add_file(&mut self, name: &str, text: &[u8]) -> Result<(), ConfigFault> {
        let entries = properties::parse(text).map_err(|error| ConfigFault::File {
            file: name.to_owned(),
            reason: error.to_string(),
        })?;
        self.has_file = true;
        if let Some((key, _)) = entries.iter().find(|(key, value)| is_secret(key, value)) {
            let file = SecretFile::new(key, "the secrets", name);
            self.secret_files.push(file);
        }
        for (key, value) in entries {
            self.set(&key, &value, name);
        }
        Ok(())
    }

    /// Adds the properties that environment variables set.
    pub fn add_environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        let variables: BTreeMap<String, String> = variables.into_iter().collect();
        for bitnami in [false, true] {
            for (variable, value) in &variables {
                if variable.starts_with("KAFKA_CFG_") == bitnami
                    && let Some(name) = property_of(variable)
                {
                    self.set(&name, value, &format!("the variable {variable}"));
                }
            }
        }
        let given = CLUSTER_ID_VARIABLES
            .iter()
            .find_map(|name| variables.get(*name));
        if let Some(id) = given.map(|id| id.trim()).filter(|id| !id.is_empty()) {
            self.cluster_id = Some(id.to_owned());
        }
    }

    /// Adds one `--override KEY=VALUE`.
    ///
    /// # Errors
    /// When there is no `=`.
    pub fn add_override(&mut self, text: &str) -> Result<(), ConfigFault> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| ConfigFault::Override(text.to_owned()))?;
        self.set(key.trim(), value.trim(), "--override");
        Ok(())
    }

    /// Sets a property that is unset or empty.
    pub fn add_missing(&mut self, name: &str, value: &str) {
        if !self.has(name) {
            self.set(name, value, "the default of a node without a file");
            self.completed.insert(name.to_owned());
        }
    }

    /// Whether a property is set and not empty.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.properties
            .get(name)
            .is_some_and(|value| !value.is_empty())
    }

    /// Returns `node.id`, or else `broker.id`, or else the given id.
    #[must_use]
    pub fn node_id_or(&self, given: &str) -> String {
        let set = ["node.id", "broker.id"].into_iter().find(|id| self.has(id));
        set.map_or(given, |name| &self.properties[name]).to_owned()
    }

    fn set(&mut self, name: &str, value: &str, origin: &str) {
        if name == "cluster.id" {
            self.cluster_id = Some(value.trim().to_owned());
            return;
        }
        self.properties
            .insert(name.to_owned(), value.trim().to_owned());
        self.origins.insert(name.to_owned(), origin.to_owned());
    }
}

/// Whether a variable names a file that has the value of one of [`FROM_FILES`].
pub(super) fn names_a_file(variable: &str) -> bool {
    let name = variable.strip_suffix("_FILE");
    name.is_some_and(|name| FROM_FILES.contains(&name))
}

/// Returns the property that a variable sets: `_` becomes a dot, `__` an underscore, `___` a dash.
/// `None` for variables that do not set a property.
#[must_use]
pub fn property_of(variable: &str) -> Option<String> {
    let listed = NOT_PROPERTIES.contains(&variable);
    if listed
        || names_a_file(variable)
        || NOT_PROPERTY_PREFIXES
            .iter()
            .any(|prefix| variable.starts_with(prefix))
    {
        return None;
    }
    if let Some((_, name)) = ALIASES.iter().find(|(alias, _)| *alias == variable) {
        return Some((*name).to_owned());
    }
    let name = variable
        .strip_prefix("KAFKA_CFG_")
        .or_else(|| variable.strip_prefix("KAFKA_"))?;
    if name.is_empty() {
        return None;
    }
    let is_bitnami = variable.starts_with("KAFKA_CFG_");
    let mut property = String::with_capacity(name.len());
    let mut rest = name;
    while !rest.is_empty() {
        let run = rest.len() - rest.trim_start_matches('_').len();
        match run {
            0 => {
                let end = rest.find('_').unwrap_or(rest.len());
                property.push_str(&rest[..end].to_lowercase());
                rest = &rest[end..];
                continue;
            }
            1 => property.push('.'),
            2 => property.push('_'),
            3 => property.push('-'),
            _ => property.push_str(&rest[..run]),
        }
        rest = &rest[run..];
    }
    if is_bitnami {
        // Names of listeners, which that image does not take apart.
        for protocol in ["ssl", "plaintext"] {
            property = property.replace(&format!("sasl.{protocol}"), &format!("sasl_{protocol}"));
        }
    }
    Some(property)
}
