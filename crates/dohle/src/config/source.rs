//! Collects a node's properties from a file, the environment and the command line. Pure.
//!
//! Later sources override earlier ones: file, `KAFKA_…`, `KAFKA_CFG_…`, `--override`.

use std::collections::{BTreeMap, BTreeSet};

use dohle_config::providers::{self, ExternalValues};
use dohle_config::{Properties, properties};

use super::http::{JVM_OPTIONS, of_agent};
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

/// The beginnings of files that an editor saved with a byte-order mark: UTF-8 and UTF-16.
const BYTE_ORDER_MARKS: &[&[u8]] = &[b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];

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
    /// Variables that Kubernetes sets for a Service whose name begins with `kafka`.
    pub service_variables: Vec<String>,
}

impl Sources {
    /// Adds the properties of a file. `name` is its path.
    ///
    /// # Errors
    /// When the text is not a properties file.
    pub fn add_file(&mut self, name: &str, text: &[u8]) -> Result<(), ConfigFault> {
        let fault = |reason: String| ConfigFault::File {
            file: name.to_owned(),
            reason,
        };
        if BYTE_ORDER_MARKS.iter().any(|mark| text.starts_with(mark)) {
            let reason = "it begins with a byte-order mark, which would be part of the first name; \
                          save it as plain UTF-8 or ASCII text without one";
            return Err(fault(reason.to_owned()));
        }
        let entries = properties::parse(text).map_err(|error| fault(error.to_string()))?;
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

    /// Adds the properties that environment variables set. Those that select jmx_exporter's agent
    /// set the address and the rules of metrics.
    pub fn add_environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        let variables: BTreeMap<String, String> = variables.into_iter().collect();
        let of_service = |name: &&String| is_of_service(name, &variables[*name]);
        self.service_variables
            .extend(variables.keys().filter(of_service).cloned());
        for variable in JVM_OPTIONS {
            let Some(options) = variables.get(*variable) else {
                continue;
            };
            if let Some((listeners, rules)) = of_agent(options) {
                let origin = format!("the variable {variable}");
                self.set("http.listeners", &listeners, &origin);
                if let Some(rules) = rules {
                    self.set("metrics.jmx.rules", &rules, &origin);
                }
            }
        }
        for bitnami in [false, true] {
            for (variable, value) in &variables {
                if is_of_service(variable, value) {
                    continue;
                }
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

    /// Replaces references to configuration providers, such as `${env:NAME}`, in all values.
    ///
    /// # Errors
    /// All references that cannot be resolved.
    pub fn resolve_providers(&mut self, external: &dyn ExternalValues) -> Result<(), ConfigFault> {
        const CLUSTER_ID: &str = "cluster.id";
        if let Some(id) = self.cluster_id.take() {
            self.properties.insert(CLUSTER_ID.to_owned(), id);
        }
        let resolved = providers::resolve(&mut self.properties, external);
        self.cluster_id = self.properties.remove(CLUSTER_ID);
        let faults = |errors: Vec<_>| errors.into_iter().map(ConfigFault::Provider).collect();
        resolved.map_err(|errors| ConfigFault::of_all(faults(errors)))?;
        for value in self.properties.values_mut().chain(&mut self.cluster_id) {
            *value = value.trim().to_owned();
        }
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

/// Whether Kubernetes sets a variable for a Service (or a container that Docker links):
/// `NAME_SERVICE_HOST`, `NAME_SERVICE_PORT…`, `NAME_PORT=tcp://…` and `NAME_PORT_9092_TCP…`.
fn is_of_service(variable: &str, value: &str) -> bool {
    if !variable.starts_with("KAFKA_") {
        return false;
    }
    let is_port = |rest: &str| {
        let (number, protocol) = rest.split_once('_').unwrap_or((rest, ""));
        number.parse::<u16>().is_ok()
            && ["TCP", "UDP", "SCTP"]
                .iter()
                .any(|it| protocol.starts_with(it))
    };
    variable.ends_with("_SERVICE_HOST")
        || variable.ends_with("_SERVICE_PORT")
        || variable.contains("_SERVICE_PORT_")
        || (variable.ends_with("_PORT") && value.contains("://"))
        || variable
            .split_once("_PORT_")
            .is_some_and(|(_, rest)| is_port(rest))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Files by their paths; the variables are KDATA and CLUSTER.
    struct Files(BTreeMap<&'static str, &'static str>);

    impl ExternalValues for Files {
        fn variable(&self, name: &str) -> Option<String> {
            let value = match name {
                "KDATA" => "/data",
                "CLUSTER" => "4L6g3nShT-eMCtK--X86sw",
                _ => return None,
            };
            Some(value.to_owned())
        }

        fn exists(&self, path: &str) -> bool {
            self.is_file(path) || self.is_directory(path)
        }

        fn is_directory(&self, path: &str) -> bool {
            self.0
                .keys()
                .any(|file| file.starts_with(path) && *file != path)
        }

        fn is_file(&self, path: &str) -> bool {
            self.0.contains_key(path)
        }

        fn read(&self, path: &str) -> Result<Vec<u8>, String> {
            let file = self.0.get(path).ok_or("No such file or directory")?;
            Ok(file.as_bytes().to_vec())
        }
    }

    fn resolved(text: &str) -> Result<Sources, ConfigFault> {
        let mut sources = Sources::default();
        sources.add_file("server.properties", text.as_bytes())?;
        let class = "org.apache.kafka.common.config.provider.EnvVarConfigProvider";
        let of_variables = [
            ("KAFKA_CONFIG_PROVIDERS", "env,dir"),
            ("KAFKA_CONFIG_PROVIDERS_ENV_CLASS", class),
            ("KAFKA_BROKER_RACK", "${env:KDATA}"),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        sources.add_environment(of_variables.map(owned));
        let files = Files(BTreeMap::from([("/keys/password", "s3cret\n")]));
        sources.resolve_providers(&files)?;
        Ok(sources)
    }

    #[test]
    fn values_of_files_and_variables_refer_to_providers() {
        let sources = resolved(
            "log.dirs=${env:KDATA}/x\n\
             cluster.id=${env:CLUSTER}\n\
             ssl.keystore.password=${dir:/keys:password}\n\
             config.providers.dir.class=\
             org.apache.kafka.common.config.provider.DirectoryConfigProvider\n",
        );
        let sources = sources.unwrap();
        assert_eq!(sources.properties["log.dirs"], "/data/x");
        assert_eq!(sources.properties["broker.rack"], "/data");
        assert_eq!(sources.properties["ssl.keystore.password"], "s3cret");
        assert_eq!(
            sources.cluster_id.as_deref(),
            Some("4L6g3nShT-eMCtK--X86sw")
        );
    }

    #[test]
    fn a_file_with_a_byte_order_mark_is_refused() {
        for mark in BYTE_ORDER_MARKS {
            let text = [mark, &b"node.id=1"[..]].concat();
            let fault = Sources::default().add_file("f", &text).unwrap_err();
            assert!(fault.to_string().contains("byte-order mark"), "{fault}");
        }
    }

    #[test]
    fn variables_of_kubernetes_services_set_no_property() {
        let set = |name: &str, value: &str| {
            let mut sources = Sources::default();
            sources.add_environment([(name.to_owned(), value.to_owned())]);
            (sources.properties.len(), sources.service_variables.len())
        };
        for (name, value) in [
            ("KAFKA_PORT", "tcp://10.0.0.1:9092"),
            ("KAFKA_PORT_9092_TCP", "tcp://10.0.0.1:9092"),
            ("KAFKA_PORT_9092_TCP_ADDR", "10.0.0.1"),
            ("KAFKA_PORT_9092_TCP_PORT", "9092"),
            ("KAFKA_PORT_9092_TCP_PROTO", "tcp"),
            ("KAFKA_SERVICE_HOST", "10.0.0.1"),
            ("KAFKA_SERVICE_PORT", "9092"),
            ("KAFKA_SERVICE_PORT_CLIENT", "9092"),
            ("KAFKA_CONTROLLER_PORT_9093_TCP", "tcp://10.0.0.1:9093"),
        ] {
            assert_eq!(set(name, value), (0, 1), "{name}");
        }
        assert_eq!(set("KAFKA_PORT", "9092"), (1, 0));
    }

    #[test]
    fn a_node_does_not_start_with_a_reference_that_cannot_be_resolved() {
        let fault = resolved("log.dirs=${env:NONE}/x\nnode.id=${vault:id}\n").unwrap_err();
        let text = fault.to_string();
        for part in [
            "log.dirs",
            "\"NONE\"",
            "\"env\"",
            "node.id",
            "\"vault\"",
            "2 mistakes",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
