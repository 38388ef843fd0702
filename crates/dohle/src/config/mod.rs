//! A node's configuration: converts properties to typed values, and checks them.
//!
//! Invariant: all checks that need only the properties are made here, before any file is opened or
//! port bound; an error names the property, its value and the allowed values.

mod address;
mod authorizer;
mod http;
pub mod image;
mod listeners;
mod node_principals;
mod notices;
mod open_listeners;
mod sasl;
mod sasl_clients;
mod secret_files;
mod source;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use dohle_api::SaslConfig;
use dohle_auth::{AclSettings, InvalidNodePrincipal, InvalidSuperUser, NodePrincipals, Secret};
use dohle_config::keys::broker as keys;
use dohle_config::providers::ProviderError;
use dohle_config::{
    BrokerConfig, BrokerKey, BrokerValues, ConfigError, ListenerProperty, Properties, Scope,
    Violation, find, violations_at_start,
};
use dohle_log::directory::metadata_log_path;
use dohle_model::NodeId;
use dohle_model::scram::ScramMechanism;
use dohle_rpc::sasl::SaslClient;
use dohle_tls::TlsSettings;

pub use address::ListenerAddress;
pub use http::HttpConfig;
pub use listeners::{Listeners, Roles, is_all_interfaces, is_loopback};
pub use notices::notices;
pub use open_listeners::open_listener_warnings;
pub use sasl::JwksEndpoint;
pub(crate) use sasl::{PRINCIPAL_BUILDER_CLASS, check_principal_builder};
pub use secret_files::SecretFile;
pub use source::{Sources, property_of};
use values::PropertyReader;

/// A configuration error that prevents the start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// A properties file that cannot be parsed.
    #[error("{file} is not a properties file: {reason}")]
    File {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// An override without `=`.
    #[error("--override takes NAME=VALUE, not {0:?}")]
    Override(String),
    /// A value that is not allowed.
    #[error("{name} is {value:?}; allowed is {allowed}")]
    Invalid {
        /// The property.
        name: String,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// A property that must be set.
    #[error("{name} is not set; it must be {wanted}")]
    Missing {
        /// The property.
        name: String,
        /// What it must be.
        wanted: String,
    },
    /// TLS properties of a listener that cannot be used.
    #[error("listener {listener}: {reason}")]
    Tls {
        /// The listener.
        listener: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A JAAS line that is wrong.
    #[error("{name} of the listener {listener}: {reason}")]
    Jaas {
        /// The property.
        name: String,
        /// The listener.
        listener: String,
        /// What is wrong, without the values of options.
        reason: String,
    },
    /// An advertised address that means all interfaces, to which clients cannot connect.
    #[error(
        "{}: {name} would be advertised as {host}, which means all interfaces and is not an \
         address that clients can connect to; set advertised.listeners to {name}://HOST:PORT with \
         the host name or address that clients use",
        if *is_set { "advertised.listeners" } else { "listeners" }
    )]
    AdvertisesAllInterfaces {
        /// The listener.
        name: String,
        /// Its host.
        host: String,
        /// Whether `advertised.listeners` contains this address.
        is_set: bool,
    },
    /// An authorizer that Dohle does not have.
    #[error(
        "authorizer.class.name is {0:?}, a class that Dohle cannot run; allowed is {class} for \
         Dohle's own authorizer, which decides by the same ACLs, or nothing to allow everyone \
         everything",
        class = authorizer::STANDARD_AUTHORIZER
    )]
    Authorizer(String),
    /// A super user without a type.
    #[error(transparent)]
    SuperUser(#[from] InvalidSuperUser),
    /// A principal of nodes that is none.
    #[error(transparent)]
    NodePrincipal(#[from] InvalidNodePrincipal),
    /// A reference to a configuration provider that cannot be resolved.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// Values that contradict each other.
    #[error(transparent)]
    Together(#[from] Violation),
    /// A mistake in the value of a variable.
    #[error("{fault} (set by {origin})")]
    OfVariable {
        /// The mistake.
        fault: Box<ConfigFault>,
        /// The variable.
        origin: String,
    },
    /// Several mistakes.
    #[error("the configuration has {} mistakes:{}", .0.len(), lines(.0))]
    Several(Vec<ConfigFault>),
    /// The voters and this node contradict each other.
    #[error("{0}")]
    Voters(String),
    /// The node is configured for ZooKeeper.
    #[error(
        "zookeeper.connect is set and process.roles is not: Dohle has no ZooKeeper, its \
         controllers keep the metadata; set process.roles=broker,controller, node.id, \
         controller.quorum.voters, controller.listener.names and a listener of that name instead"
    )]
    ZooKeeper,
}

/// Formats each mistake as a line of its own.
fn lines(faults: &[ConfigFault]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}

impl ConfigFault {
    /// Returns the property whose value is wrong, or missing, where there is one.
    fn property(&self) -> Option<&str> {
        match self {
            Self::Invalid { name, .. } | Self::Missing { name, .. } => Some(name),
            Self::Together(violation) => Some(violation.name),
            Self::OfVariable { fault, .. } => fault.property(),
            _ => None,
        }
    }

    /// Adds the variable that the value comes from, if it comes from one.
    fn set_by(self, origin: Option<String>) -> Self {
        match origin.filter(|origin| origin.starts_with("the variable ")) {
            Some(origin) => Self::OfVariable {
                fault: Box::new(self),
                origin,
            },
            None => self,
        }
    }

    /// Returns one error for all mistakes.
    ///
    /// # Panics
    /// When there is none.
    fn of_all(mut faults: Vec<Self>) -> Self {
        assert!(!faults.is_empty(), "an error without a mistake");
        if faults.len() == 1 {
            return faults.remove(0);
        }
        Self::Several(faults)
    }
}

impl From<ConfigError> for ConfigFault {
    fn from(error: ConfigError) -> Self {
        Self::Invalid {
            name: error.name,
            value: error.value,
            allowed: error.allowed,
        }
    }
}

/// A voter of the metadata quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredVoter {
    /// Its node id; `None` for an entry of `controller.quorum.bootstrap.servers`.
    pub id: Option<NodeId>,
    /// Its host, without brackets.
    pub host: String,
    /// The port of its controller listener.
    pub port: u16,
}

/// A user with a password that a new cluster begins with.
#[derive(Debug, Clone)]
pub struct FirstUser {
    /// The user's name.
    pub name: String,
    /// The mechanism that the credential is for.
    pub mechanism: ScramMechanism,
    /// The password.
    pub password: Secret,
}

/// A node's configuration.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// `node.id`.
    pub node_id: NodeId,
    /// `process.roles`.
    pub roles: Roles,
    /// The cluster's id, if it was given.
    pub cluster_id: Option<String>,
    /// The id of a new cluster, if none is given and no directory has one.
    pub cluster_id_default: Option<String>,
    /// The users that the cluster begins with, if it is new.
    pub first_users: Vec<FirstUser>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// The listeners, with their advertised addresses.
    pub listeners: Listeners,
    /// `controller.quorum.voters`, or for a broker `controller.quorum.bootstrap.servers`.
    pub voters: Vec<ConfiguredVoter>,
    /// The settings of the authorizer; `None` where everyone is allowed everything.
    pub authorizer: Option<AclSettings>,
    /// The principals of nodes, by their ids; `None` where a node may act under any id.
    pub node_principals: Option<Arc<NodePrincipals>>,
    /// `log.dirs`.
    pub log_dirs: Vec<PathBuf>,
    /// The directory that holds the metadata log's directory and a `meta.properties`.
    pub metadata_log_dir: PathBuf,
    /// The listeners with SASL.
    pub sasl: Arc<SaslConfig>,
    /// Where the keys of tokens are fetched from.
    pub jwks: Vec<JwksEndpoint>,
    /// How this node authenticates at the listeners with SASL of brokers and controllers.
    pub sasl_clients: BTreeMap<String, Arc<SaslClient>>,
    /// The files from which secrets were read, or are read later.
    pub secret_files: Vec<SecretFile>,
    /// Variables of Kubernetes Services that were ignored.
    pub service_variables: Vec<String>,
    /// Metrics and health over HTTP.
    pub http: HttpConfig,
    /// The properties themselves.
    pub values: BrokerValues,
    /// The names of properties that were not set but completed with defaults.
    pub completed: BTreeSet<String>,
    /// The properties that several parts of a node read.
    pub broker: BrokerConfig,
    /// The TLS properties of this node's listeners, and of the controllers' listener, by name; only
    /// those with TLS.
    pub tls: BTreeMap<String, TlsSettings>,
}

impl NodeConfig {
    /// Checks all properties and reads those of the node. `hostname` is the machine's name.
    ///
    /// # Errors
    /// All configuration errors; of those that follow from another one, only the first.
    pub fn new(mut sources: Sources, hostname: &str) -> Result<Self, ConfigFault> {
        if !sources.properties.contains_key("process.roles") {
            if sources.properties.contains_key("zookeeper.connect") {
                return Err(ConfigFault::ZooKeeper);
            }
            if !sources.has_file {
                set_single_node(&mut sources);
            }
        }
        let mut mistakes = Mistakes {
            origins: std::mem::take(&mut sources.origins),
            ..Mistakes::default()
        };
        for (name, value) in &sources.properties {
            mistakes.take(validate(name, value));
        }
        set_both_ids(&mut sources.properties);
        let values = BrokerValues::fixed(Arc::new(sources.properties));
        let reader = PropertyReader { values: &values };
        for violation in violations_at_start(Scope::Broker, &|name| values.effective(name)) {
            mistakes.add(violation.into());
        }
        let roles = mistakes.take(roles(&reader));
        let node_id = mistakes.take(node_id(&reader));
        let log_dirs = mistakes.take(log_dirs(&reader));
        let http = mistakes.take(http::read(&reader));
        let authorizer = mistakes.take(authorizer::read(&values));
        let listeners = roles.map(|roles| Listeners::read(&reader, roles, hostname));
        let listeners = listeners.and_then(|listeners| mistakes.take(listeners));
        let (Some(roles), Some(listeners)) = (roles, listeners) else {
            return Err(mistakes.into_fault());
        };
        let read_file: sasl::ReadFile<'_> = &|path| std::fs::read(path);
        let sasl = mistakes.take(sasl::read(&values, &listeners.served(), read_file));
        let sasl_clients = mistakes.take(sasl_clients::read(&values, roles, &listeners));
        let tls = mistakes.take(tls(&values, &listeners));
        let node_principals = tls
            .as_ref()
            .map(|tls| node_principals::read(&reader, roles, &listeners, tls));
        let node_principals = node_principals.and_then(|read| mistakes.take(read));
        let voters = node_id.map(|node_id| voters(&reader, roles, node_id, &listeners));
        let voters = voters.and_then(|voters| mistakes.take(voters));
        let nodes = (node_id, voters, log_dirs, http);
        let security = (authorizer, sasl, sasl_clients, tls, node_principals);
        let (
            (Some(node_id), Some(voters), Some(log_dirs), Some(http)),
            (
                Some(authorizer),
                Some((sasl, jwks)),
                Some(sasl_clients),
                Some(tls),
                Some(node_principals),
            ),
        ) = (nodes, security)
        else {
            return Err(mistakes.into_fault());
        };
        mistakes.check()?;
        let secret_files = secret_files(sources.secret_files, &sasl_clients);
        let metadata_log_dir = reader
            .get(&keys::METADATA_LOG_DIR)
            .map_or_else(|| log_dirs[0].clone(), PathBuf::from);
        let rack = reader.get(&keys::BROKER_RACK).map(str::to_owned);
        let broker = BrokerConfig::resolve(&values);
        Ok(Self {
            node_id,
            roles,
            cluster_id: sources.cluster_id,
            cluster_id_default: sources.cluster_id_default,
            completed: sources.completed,
            service_variables: sources.service_variables,
            first_users: sources.first_users,
            rack,
            listeners,
            sasl: Arc::new(sasl),
            jwks,
            sasl_clients,
            secret_files,
            voters,
            authorizer,
            node_principals,
            log_dirs,
            metadata_log_dir,
            http,
            broker,
            tls,
            values,
        })
    }

    /// Returns the directory of Dohle's metadata log. After an import from Apache Kafka it is
    /// beside Kafka's.
    #[must_use]
    pub fn metadata_dir(&self) -> PathBuf {
        metadata_log_path(&self.metadata_log_dir)
    }

    /// Returns the properties as given.
    #[must_use]
    pub fn properties(&self) -> &Arc<Properties> {
        &self.values.fixed
    }
}

/// Returns the files from which secrets were read, and those with the tokens of this node.
fn secret_files(
    read: Vec<SecretFile>,
    clients: &BTreeMap<String, Arc<SaslClient>>,
) -> Vec<SecretFile> {
    let token_files = clients.values().filter_map(|client| client.token_file());
    let of_tokens = token_files.map(|(property, path)| SecretFile {
        setting: property.to_owned(),
        content: "the token of this node",
        path: path.to_owned(),
    });
    read.into_iter().chain(of_tokens).collect()
}

/// The configuration errors that were found so far.
#[derive(Debug, Default)]
struct Mistakes {
    faults: Vec<ConfigFault>,
    /// Where each property was set.
    origins: BTreeMap<String, String>,
}

impl Mistakes {
    /// Returns what was read, or keeps the error.
    fn take<T>(&mut self, read: Result<T, ConfigFault>) -> Option<T> {
        read.map_err(|fault| self.add(fault)).ok()
    }

    /// Keeps an error, unless its property was already reported.
    fn add(&mut self, fault: ConfigFault) {
        let property = fault.property();
        let is_known =
            property.is_some() && self.faults.iter().any(|known| known.property() == property);
        if !is_known {
            let origin = property.and_then(|name| self.origins.get(name)).cloned();
            self.faults.push(fault.set_by(origin));
        }
    }

    /// Fails if there are errors.
    fn check(&mut self) -> Result<(), ConfigFault> {
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(ConfigFault::of_all(std::mem::take(&mut self.faults)))
    }

    /// Returns one error for all that were kept, of which there must be one.
    fn into_fault(self) -> ConfigFault {
        ConfigFault::of_all(self.faults)
    }
}

/// Checks the value of one property.
fn validate(name: &str, value: &str) -> Result<(), ConfigFault> {
    let parsed = ListenerProperty::parse(name).map(|property| property.def);
    let def = find(Scope::Broker, name).or(parsed);
    if def.is_some_and(|def| !def.kind.is_sensitive()) && is_quoted(value) {
        return Err(ConfigFault::Invalid {
            name: name.to_owned(),
            value: value.to_owned(),
            allowed: "the value without quotes around it, which would be a part of it".to_owned(),
        });
    }
    if let Some(def) = find(Scope::Broker, name) {
        def.validate(value)?;
    } else if let Some(property) = ListenerProperty::parse(name) {
        property.validate(name, value)?;
    }
    Ok(())
}

/// Whether a text has quotes around it.
fn is_quoted(value: &str) -> bool {
    let quotes = ['"', '\''];
    let mut quotes = quotes.iter();
    value.len() > 1 && quotes.any(|quote| value.starts_with(*quote) && value.ends_with(*quote))
}

/// Sets `node.id` and `broker.id` to the same value where only one of them is set, as Kafka does.
fn set_both_ids(properties: &mut Properties) {
    for (from, to) in [("node.id", "broker.id"), ("broker.id", "node.id")] {
        if let Some(id) = properties.get(from).cloned() {
            properties.entry(to.to_owned()).or_insert(id);
        }
    }
}

/// Reads the TLS properties of all listeners with TLS.
fn tls(
    values: &BrokerValues,
    listeners: &Listeners,
) -> Result<BTreeMap<String, TlsSettings>, ConfigFault> {
    let with_tls = listeners.protocols.iter().filter(|(_, it)| it.is_tls());
    with_tls
        .map(|(name, _)| {
            let settings = TlsSettings::read(&values.listener(name));
            let settings = settings.map_err(|error| ConfigFault::Tls {
                listener: name.clone(),
                reason: error.to_string(),
            })?;
            Ok((name.clone(), settings))
        })
        .collect()
}

/// Properties of internal topics and groups that a single node needs.
const SINGLE_NODE: &[(&str, &str)] = &[
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
];

/// Sets the properties of the file in Kafka's image: one node with both roles, reachable only from
/// this machine.
fn set_single_node(sources: &mut Sources) {
    let id = sources.node_id_or("1");
    let voters = format!("{id}@localhost:9093");
    let own = [
        ("process.roles", "broker,controller"),
        ("node.id", id.as_str()),
        ("controller.quorum.voters", voters.as_str()),
        ("controller.listener.names", "CONTROLLER"),
        (
            "listeners",
            "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093",
        ),
        ("log.dirs", "/tmp/kraft-combined-logs"),
    ];
    for (name, value) in own.iter().chain(SINGLE_NODE) {
        sources.add_missing(name, value);
    }
}

fn roles(values: &PropertyReader) -> Result<Roles, ConfigFault> {
    let has = |role| values.list(&keys::PROCESS_ROLES).any(|item| item == role);
    let roles = Roles {
        broker: has("broker"),
        controller: has("controller"),
    };
    if !roles.broker && !roles.controller {
        return Err(values.missing(
            &keys::PROCESS_ROLES,
            "broker, controller or broker,controller",
        ));
    }
    Ok(roles)
}

fn node_id(values: &PropertyReader) -> Result<NodeId, ConfigFault> {
    let number = |key: &BrokerKey<Option<i32>>| values.values.read(key).and_then(NodeId::from_wire);
    let (node, broker) = (number(&keys::NODE_ID), number(&keys::BROKER_ID));
    match (node, broker) {
        (Some(node), None) if values.get(&keys::BROKER_ID).is_some() => Err(values.invalid(
            &keys::BROKER_ID,
            &format!("nothing, or the same as node.id={node}"),
        )),
        (Some(node), Some(broker)) if node != broker => Err(values.invalid(
            &keys::BROKER_ID,
            &format!("nothing, or the same as node.id={node}"),
        )),
        (Some(id), _) | (None, Some(id)) => Ok(id),
        (None, None) => Err(values.missing(&keys::NODE_ID, "a whole number from 0")),
    }
}

fn log_dirs(values: &PropertyReader) -> Result<Vec<PathBuf>, ConfigFault> {
    let key = if values.get(&keys::LOG_DIRS).is_some() {
        &keys::LOG_DIRS
    } else {
        &keys::LOG_DIR
    };
    let dirs: Vec<PathBuf> = values.list(key).map(PathBuf::from).collect();
    if dirs.is_empty() {
        return Err(values.missing(&keys::LOG_DIRS, "a list of directories"));
    }
    for (i, dir) in dirs.iter().enumerate() {
        if dirs[..i].contains(dir) {
            let allowed = format!("a list without {} twice", dir.display());
            return Err(values.invalid(key, &allowed));
        }
    }
    Ok(dirs)
}

fn voters(
    values: &PropertyReader,
    roles: Roles,
    node_id: NodeId,
    listeners: &Listeners,
) -> Result<Vec<ConfiguredVoter>, ConfigFault> {
    let property = &keys::CONTROLLER_QUORUM_VOTERS;
    let voters = read_voters(values, property)?;
    if voters.is_empty() {
        return bootstrap_servers(values, roles, node_id);
    }
    let own = voters.iter().find(|voter| voter.id == Some(node_id));
    match (roles.controller, own) {
        (true, None) => Err(values.invalid(
            property,
            &format!("a list that has this node: process.roles has controller, node.id={node_id}"),
        )),
        (false, Some(_)) => Err(ConfigFault::Voters(format!(
            "controller.quorum.voters names node {node_id} as a controller, but process.roles of \
             this node is broker: give the broker a node.id of its own, or add the role"
        ))),
        (true, Some(voter)) => {
            let bound = listeners.controller.as_ref().map(|address| address.port);
            if bound.is_some_and(|port| port != 0 && port != voter.port) {
                return Err(ConfigFault::Voters(format!(
                    "controller.quorum.voters says that node {node_id} is at port {}, but the \
                     listener {} has port {}; the two must agree",
                    voter.port,
                    listeners.controller_name,
                    bound.unwrap_or_default()
                )));
            }
            Ok(voters)
        }
        (false, None) => Ok(voters),
    }
}

fn read_voters<T>(
    values: &PropertyReader,
    property: &BrokerKey<T>,
) -> Result<Vec<ConfiguredVoter>, ConfigFault> {
    let mut voters: Vec<ConfiguredVoter> = Vec::new();
    for item in values.list(property) {
        let parsed = item.split_once('@').and_then(|(id, address)| {
            let id = id.trim().parse().ok().and_then(NodeId::from_wire)?;
            let (host, port) = host_and_port(address)?;
            Some(ConfiguredVoter {
                id: Some(id),
                host,
                port,
            })
        });
        let Some(voter) = parsed else {
            let allowed = "a list of ID@HOST:PORT, for example 1@one:9093,2@two:9093,3@three:9093";
            return Err(values.invalid(property, allowed));
        };
        if voters.iter().any(|other| other.id == voter.id) {
            return Err(values.invalid(property, "a list in which each id stands once"));
        }
        voters.push(voter);
    }
    Ok(voters)
}

/// Reads voters without ids. A controller of several has to be configured with all voters; a single
/// controller is its own quorum.
fn bootstrap_servers(
    values: &PropertyReader,
    roles: Roles,
    node_id: NodeId,
) -> Result<Vec<ConfiguredVoter>, ConfigFault> {
    let property = &keys::CONTROLLER_QUORUM_BOOTSTRAP_SERVERS;
    let mut servers = Vec::new();
    for item in values.list(property) {
        let Some((host, port)) = host_and_port(item) else {
            return Err(values.invalid(property, "a list of HOST:PORT"));
        };
        servers.push(ConfiguredVoter {
            id: None,
            host,
            port,
        });
    }
    if servers.is_empty() {
        return Err(values.missing(
            &keys::CONTROLLER_QUORUM_VOTERS,
            "the list of controllers as ID@HOST:PORT, for example 1@localhost:9093",
        ));
    }
    if roles.controller {
        if servers.len() > 1 {
            return Err(ConfigFault::Voters(format!(
                "controller.quorum.bootstrap.servers has {} controllers; Dohle has no voters that \
                 join at run time yet: set controller.quorum.voters to the list of all controllers \
                 as ID@HOST:PORT, the same on every node",
                servers.len()
            )));
        }
        servers[0].id = Some(node_id);
    }
    Ok(servers)
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.trim().rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    let legal = !host.is_empty() && (bare.is_some() || !host.contains(':'));
    legal.then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests;
