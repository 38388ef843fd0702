//! Clusters whose listeners are secured: certificates, files and properties that the stories share.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::clients::secure::{Credentials, Family, round_trips};
use dohle_tests::cluster::Builder;
use dohle_tests::ports::free_port;
use dohle_tls::testing::{TestAuthority, TestIdentity};

mod acls;
mod apache_kafka;
pub(super) mod delegation_tokens;
mod init;
mod mistakes;
mod nodes;
mod oauthbearer;
mod permissions;
mod sasl;
mod sasl_ssl;
mod sessions;
mod tls;

/// A cluster with listeners for clients, and these, of which the harness uses only the first:
/// PLAINTEXT, NODES (between brokers) and CONTROLLER.
struct Secured {
    cluster: Cluster,
    authority: TestAuthority,
    /// The addresses of each listener for clients, with host names.
    addresses: BTreeMap<String, String>,
    files: PathBuf,
}

impl Secured {
    /// Prepares a cluster whose nodes authenticate each other with certificates. `listeners` are
    /// the names and security protocols of the listeners for clients; `properties` returns further
    /// lines of each node's file, given the folder and the authority.
    fn prepare(
        builder: Builder,
        listeners: &[(&str, &str)],
        properties: impl FnOnce(&Path, &TestAuthority) -> Result<String>,
    ) -> Result<Self> {
        let mut cluster = builder.prepare()?;
        let authority = TestAuthority::new("Test CA");
        let files = cluster.scratch().join("security");
        fs::create_dir(&files)?;
        fs::write(files.join("ca.pem"), authority.pem())?;
        let properties = properties(&files, &authority)?;
        let mut addresses: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for node in cluster.nodes_mut() {
            let store = files.join(format!("node{}.pem", node.id));
            write_private(&store, &authority.local(&format!("node-{}", node.id)))?;
            let (address, controller) = (node.address, node.controller);
            let mut advertised =
                format!("PLAINTEXT://{address},NODES://localhost:{}", free_port()?);
            let mut map = "PLAINTEXT:PLAINTEXT,NODES:SSL,CONTROLLER:SSL".to_owned();
            for (name, protocol) in listeners {
                let address = format!("localhost:{}", free_port()?);
                write!(advertised, ",{name}://{address}")?;
                write!(map, ",{name}:{protocol}")?;
                addresses
                    .entry((*name).to_owned())
                    .or_default()
                    .push(address);
            }
            let mut file = fs::read_to_string(&node.properties)?;
            write!(
                file,
                "listeners={advertised},CONTROLLER://{controller}\n\
                 advertised.listeners={advertised}\n\
                 inter.broker.listener.name=NODES\n\
                 listener.security.protocol.map={map}\n\
                 ssl.keystore.type=PEM\n\
                 ssl.keystore.location={store}\n\
                 ssl.truststore.type=PEM\n\
                 ssl.truststore.location={ca}\n\
                 listener.name.nodes.ssl.client.auth=required\n\
                 listener.name.controller.ssl.client.auth=required\n\
                 group.initial.rebalance.delay.ms=0\n\
                 {properties}\n",
                store = store.display(),
                ca = files.join("ca.pem").display(),
            )?;
            fs::write(&node.properties, file)?;
        }
        Ok(Self {
            cluster,
            authority,
            addresses: addresses
                .into_iter()
                .map(|(name, addresses)| (name, addresses.join(",")))
                .collect(),
            files,
        })
    }

    /// Returns the addresses of a listener for clients.
    fn address(&self, listener: &str) -> &str {
        &self.addresses[listener]
    }

    /// Returns the file of the authority that issued the nodes' certificates.
    fn ca(&self) -> PathBuf {
        self.files.join("ca.pem")
    }

    /// Returns the credentials of a client with a certificate of the nodes' authority.
    fn client(&self, name: &str) -> Result<Credentials> {
        let store = self.files.join(format!("{name}.pem"));
        write_private(&store, &self.authority.local(name))?;
        let with = Credentials::default().over_tls(self.ca());
        Ok(with.with_store(store))
    }

    /// Writes a file, and returns its path.
    fn file(&self, name: &str, content: &str) -> Result<String> {
        let path = self.files.join(name);
        fs::write(&path, content)?;
        Ok(path.display().to_string())
    }

    /// Returns the logs of all nodes.
    fn logs(&self) -> Result<String> {
        let logs: Result<Vec<String>> = self.cluster.nodes().iter().map(|it| it.log()).collect();
        Ok(logs?.concat())
    }
}

/// Checks that a client of each family is refused, and names the cause.
#[track_caller]
fn all_report(
    address: &str,
    with: &Credentials,
    cause: impl Fn(Family) -> &'static str,
) -> Result<()> {
    let mut unclear = String::new();
    for (family, output) in round_trips(address, "closed", with)? {
        let printed = output.stdout.clone() + &output.stderr;
        let cause = cause(family);
        if output.code == 0 || !printed.contains(cause) {
            writeln!(unclear, "{family:?} does not report {cause:?}: {output}")?;
        }
    }
    ensure!(unclear.is_empty(), "{unclear}");
    Ok(())
}

/// Checks that a client of each family produces and consumes.
fn all_work(address: &str, topic: &str, with: &Credentials) -> Result<()> {
    for (family, output) in round_trips(address, topic, with)? {
        let stdout = output.ok()?;
        ensure!(stdout.contains("ok 10"), "{family:?} {with:?}: {stdout}");
    }
    Ok(())
}

/// Writes the key store of a node, which others cannot read.
fn write_private(path: &PathBuf, identity: &TestIdentity) -> Result<()> {
    Ok(dohle_tests::private::write_private(path, identity.pem())?)
}
