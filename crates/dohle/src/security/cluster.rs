//! The cluster that `dohle security init` makes files for: its listeners and properties. Pure.
//!
//! ```text
//! CLIENTS      mutual TLS; trusts the clients' authority
//! USERS        TLS and SCRAM, if a user is asked for
//! NODES        mutual TLS between brokers;  trusts the nodes' authority alone
//! CONTROLLER   mutual TLS to controllers;   trusts the nodes' authority alone
//! ```
//!
//! Invariant: a client's certificate is worth nothing on the listeners of nodes, because another
//! authority has issued it.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use anyhow::bail;
use dohle_model::HostPort;

/// The ports of a node: CLIENTS, NODES, CONTROLLER and USERS.
const PORTS: u16 = 4;
/// The most replicas of a partition by default.
const REPLICAS_MAX: usize = 3;

/// Where the nodes of a cluster are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// All on this machine, reachable from nowhere else.
    Local,
    /// Each on a machine of its own.
    Remote,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// `node.id`.
    pub id: u32,
    /// The names and addresses that its certificate is for; others connect to the first.
    pub hosts: Vec<String>,
}

impl Node {
    /// Returns a node of this machine.
    pub fn local(id: u32) -> Self {
        let hosts = ["localhost", "127.0.0.1", "::1"];
        Self {
            id,
            hosts: hosts.map(str::to_owned).to_vec(),
        }
    }

    /// Returns a node with these hosts, which commas separate.
    pub fn remote(id: u32, hosts: &str) -> anyhow::Result<Self> {
        let hosts: Vec<String> = hosts.split(',').map(|it| it.trim().to_owned()).collect();
        if hosts.iter().any(String::is_empty) || hosts[0].starts_with('*') {
            bail!("--host takes a host name or address, and others after commas: {hosts:?}");
        }
        Ok(Self { id, hosts })
    }

    /// Returns the common name of its certificate.
    pub fn name(&self) -> String {
        format!("node{}", self.id)
    }

    /// Returns the name of the file with its key and its certificate.
    pub fn key_store(&self) -> String {
        format!("node{}.pem", self.id)
    }

    /// Returns the name of the file with its properties.
    pub fn properties(&self) -> String {
        format!("node{}.properties", self.id)
    }
}

/// A file to be written.
#[derive(Clone)]
pub(super) struct File {
    /// Its name.
    pub name: String,
    /// Its content.
    pub content: String,
    /// Whether only its owner may read it.
    pub is_secret: bool,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl File {
    /// Returns a file that everyone may read.
    pub fn public(name: &str, content: String) -> Self {
        Self {
            name: name.to_owned(),
            content,
            is_secret: false,
        }
    }

    /// Returns a file that only its owner may read.
    pub fn secret(name: &str, content: String) -> Self {
        Self {
            is_secret: true,
            ..Self::public(name, content)
        }
    }
}

/// Refuses the name of a client or user that would need escapes in a certificate or a file's name.
pub(super) fn check_name(name: &str) -> anyhow::Result<()> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_taken = name.starts_with("node") || name.starts_with("client") || name == "ca";
    if name.is_empty() || name.starts_with('.') || !name.chars().all(legal) || is_taken {
        bail!(
            "{name:?} is not a name of a client or user: allowed are letters, digits, -, _ and ., \
             and names that do not begin with node or client"
        );
    }
    Ok(())
}

/// The cluster.
pub(super) struct Cluster {
    /// The cluster's id.
    pub id: String,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// Where they are.
    pub place: Place,
    /// The directory of the files.
    pub directory: PathBuf,
    /// The directory of the files on the nodes.
    pub installed_in: PathBuf,
    /// The first port.
    pub port: u16,
    /// The name of the client.
    pub client: String,
    /// A user with a password.
    pub user: Option<(String, String)>,
}

impl Cluster {
    /// Checks that there are enough ports, and that no host is named twice.
    pub fn check(&self) -> anyhow::Result<()> {
        let count = match self.place {
            Place::Local => self.nodes.len(),
            Place::Remote => 1,
        };
        let last = usize::from(self.port) + count * usize::from(PORTS) - 1;
        if self.port == 0 || last > usize::from(u16::MAX) {
            bail!(
                "--port is {}, and {PORTS} ports for each node follow it; allowed is 1 to {}",
                self.port,
                usize::from(u16::MAX) + 1 - count * usize::from(PORTS)
            );
        }
        for (i, node) in self.nodes.iter().enumerate() {
            let is_twice = self.nodes[..i]
                .iter()
                .any(|other| other.hosts[0] == node.hosts[0]);
            if is_twice && self.place == Place::Remote {
                bail!(
                    "--host {} is given twice; each node has a host of its own",
                    node.hosts[0]
                );
            }
        }
        Ok(())
    }

    /// Returns the address of a listener of a node: 0 CLIENTS, 1 NODES, 2 CONTROLLER, 3 USERS.
    fn address(&self, index: usize, listener: u16) -> String {
        let offset = match self.place {
            Place::Local => u16::try_from(index).unwrap_or(0) * PORTS,
            Place::Remote => 0,
        };
        let port = self.port + offset + listener;
        HostPort(&self.nodes[index].hosts[0], port).to_string()
    }

    fn addresses(&self, listener: u16) -> String {
        let all = (0..self.nodes.len()).map(|index| self.address(index, listener));
        all.collect::<Vec<_>>().join(",")
    }

    /// Returns the name and the number of each listener for clients and brokers.
    fn broker_listeners(&self) -> Vec<(&'static str, u16)> {
        let mut listeners = vec![("CLIENTS", 0), ("NODES", 1)];
        if self.user.is_some() {
            listeners.push(("USERS", 3));
        }
        listeners
    }

    fn super_users(&self) -> String {
        let nodes = self
            .nodes
            .iter()
            .map(|node| format!("User:CN={}", node.name()));
        let client = format!("User:CN={}", self.client);
        let user = self.user.iter().map(|(name, _)| format!("User:{name}"));
        nodes
            .chain([client])
            .chain(user)
            .collect::<Vec<_>>()
            .join(";")
    }

    /// Returns the properties of a node: all that it needs.
    pub fn node_properties(&self, node: &Node) -> String {
        let index = self.nodes.iter().position(|it| it == node).unwrap_or(0);
        let listeners = self.broker_listeners();
        let advertised = listeners
            .iter()
            .map(|(name, number)| format!("{name}://{}", self.address(index, *number)));
        let advertised = advertised.collect::<Vec<_>>().join(",");
        let controller = self.address(index, 2);
        let (bound, log_dirs) = match self.place {
            Place::Local => (
                format!("{advertised},CONTROLLER://{controller}"),
                self.directory.join(format!("{}-data", node.name())),
            ),
            Place::Remote => {
                let all = listeners.iter().chain(&[("CONTROLLER", 2)]);
                let all = all.map(|(name, number)| format!("{name}://:{}", self.port + number));
                (
                    all.collect::<Vec<_>>().join(","),
                    PathBuf::from("/var/lib/dohle"),
                )
            }
        };
        let voters = self.nodes.iter().enumerate();
        let voters = voters.map(|(i, node)| format!("{}@{}", node.id, self.address(i, 2)));
        let replicas = self.nodes.len().min(REPLICAS_MAX);
        let in_sync = replicas.saturating_sub(1).max(1);
        let installed = |name: &str| escape(&self.installed_in.join(name).display().to_string());
        let mut text = format!(
            "# A node of the cluster. `dohle security init` has made this file.\n\
             process.roles=broker,controller\n\
             node.id={id}\n\
             cluster.id={cluster}\n\
             controller.quorum.voters={voters}\n\
             controller.listener.names=CONTROLLER\n\
             log.dirs={log_dirs}\n\
             default.replication.factor={replicas}\n\
             min.insync.replicas={in_sync}\n\
             offsets.topic.replication.factor={replicas}\n\
             transaction.state.log.replication.factor={replicas}\n\
             transaction.state.log.min.isr={in_sync}\n\
             \n\
             listeners={bound}\n\
             advertised.listeners={advertised}\n\
             inter.broker.listener.name=NODES\n",
            id = node.id,
            cluster = self.id,
            voters = voters.collect::<Vec<_>>().join(","),
            log_dirs = escape(&log_dirs.display().to_string()),
        );
        text +=
            "\n# TLS on all listeners. Nodes and clients have certificates of two authorities.\n";
        text += "listener.security.protocol.map=CLIENTS:SSL,NODES:SSL,CONTROLLER:SSL";
        text += if self.user.is_some() {
            ",USERS:SASL_SSL\n"
        } else {
            "\n"
        };
        let _ = write!(
            text,
            "ssl.keystore.type=PEM\n\
             ssl.keystore.location={}\n\
             ssl.truststore.type=PEM\n\
             ssl.truststore.location={}\n\
             ssl.client.auth=required\n\
             listener.name.clients.ssl.truststore.location={}\n",
            installed(&node.key_store()),
            installed("ca.pem"),
            installed("clients-ca.pem"),
        );
        if self.user.is_some() {
            text += "listener.name.users.ssl.client.auth=none\n\
                     listener.name.users.sasl.enabled.mechanisms=SCRAM-SHA-512\n";
        }
        let _ = write!(
            text,
            "\n# These may do everything; kafka-acls allows others what they need.\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             super.users={}\n\
             \n\
             # A node acts only under the id in its certificate.\n\
             node.principals=User:CN=node{{node.id}}\n",
            self.super_users()
        );
        text
    }

    /// Returns the properties of the client.
    pub fn client_properties(&self) -> String {
        format!(
            "# A client of the cluster. `dohle security init` has made this file.\n\
             bootstrap.servers={}\n\
             security.protocol=SSL\n\
             ssl.truststore.type=PEM\n\
             ssl.truststore.location={}\n\
             ssl.keystore.type=PEM\n\
             ssl.keystore.location={}\n",
            self.addresses(0),
            self.local("ca.pem"),
            self.local("client.pem"),
        )
    }

    /// Returns the path of a file on this machine, for a value of a property.
    fn local(&self, name: &str) -> String {
        escape(&self.directory.join(name).display().to_string())
    }

    /// Returns the files of the user with a password: its properties, and the credential to create.
    pub fn user_files(&self) -> Vec<File> {
        let Some((name, password)) = &self.user else {
            return Vec::new();
        };
        let module = "org.apache.kafka.common.security.scram.ScramLoginModule";
        let properties = format!(
            "# A user of the cluster. `dohle security init` has made this file.\n\
             bootstrap.servers={}\n\
             security.protocol=SASL_SSL\n\
             sasl.mechanism=SCRAM-SHA-512\n\
             sasl.jaas.config={module} required username=\"{name}\" password=\"{password}\";\n\
             ssl.truststore.type=PEM\n\
             ssl.truststore.location={}\n",
            self.addresses(3),
            self.local("ca.pem"),
        );
        let credential = format!("SCRAM-SHA-512=iterations=8192,password={password}\n");
        vec![
            File::secret(&format!("{name}.properties"), properties),
            File::secret(&format!("{name}.scram"), credential),
            File::secret(&format!("{name}.password"), format!("{password}\n")),
        ]
    }

    /// Returns what was made, and how it is used.
    pub fn instructions(&self, files: &[File]) -> String {
        let directory = self.directory.display();
        let mut text = format!("{directory} has now, for the cluster {}:\n", self.id);
        let mut line = |files: &str, what: &str| {
            let _ = writeln!(text, "  {files:<32} {what}");
        };
        for node in &self.nodes {
            let names = format!("{} {}", node.properties(), node.key_store());
            line(
                &names,
                &format!("node {} at {}", node.id, node.hosts.join(", ")),
            );
        }
        line(
            "client.properties client.pem",
            &format!("the client User:CN={}", self.client),
        );
        if let Some((name, _)) = &self.user {
            let names = format!("{name}.properties {name}.password");
            line(&names, &format!("the user User:{name}, with a password"));
        }
        line("ca.pem clients-ca.pem", "the authorities that are trusted");
        line(
            "ca.key clients-ca.key",
            "their keys, which make further certificates: no node needs them, keep them elsewhere",
        );
        let secrets = files.iter().filter(|file| file.is_secret).count();
        let _ = writeln!(
            text,
            "Only their owner can read the {secrets} files with secrets.\n"
        );
        match self.place {
            Place::Local => {
                text += "Start each node:\n";
                for node in &self.nodes {
                    let _ = writeln!(text, "  dohle server {directory}/{}", node.properties());
                }
            }
            Place::Remote => {
                let to = self.installed_in.display();
                let _ = writeln!(
                    text,
                    "Copy to {to} on each node, readable by its user alone: its two files, ca.pem \
                     and clients-ca.pem.\nStart it: dohle server {to}/nodeN.properties"
                );
            }
        }
        let config = format!("--command-config {directory}/client.properties");
        let bootstrap = format!("--bootstrap-server {}", self.address(0, 0));
        if let Some((name, _)) = &self.user {
            let _ = writeln!(
                text,
                "Create the user once:\n  dohle configs {bootstrap} {config} --alter --entity-type \
                 users --entity-name {name} --add-config-file {directory}/{name}.scram"
            );
        }
        let _ = writeln!(text, "Use it:\n  dohle topics {bootstrap} {config} --list");
        text
    }
}

/// Escapes a path for the value of a property.
fn escape(path: &str) -> String {
    path.replace('\\', "\\\\")
}
