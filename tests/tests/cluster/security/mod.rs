//! Clusters whose listeners are secured: certificates, files and properties that the stories share.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use dohle_tests::Cluster;
use dohle_tests::cluster::Builder;
use dohle_tests::ports::free_port;
use dohle_tls::testing::{TestAuthority, TestIdentity};

mod acls;
mod sasl;
mod tls;

/// A cluster of three nodes with these listeners, of which the harness uses only the first:
/// PLAINTEXT, CLIENTS, NODES (between brokers) and CONTROLLER.
struct Secured {
    cluster: Cluster,
    authority: TestAuthority,
    /// The addresses of CLIENTS, with host names.
    clients: String,
    files: PathBuf,
}

impl Secured {
    /// Prepares a cluster whose nodes authenticate each other with certificates. `map` is the
    /// security protocol of CLIENTS, `properties` are further lines of each node's file.
    fn prepare(builder: Builder, map: &str, properties: &str) -> Result<Self> {
        let mut cluster = builder.prepare()?;
        let authority = TestAuthority::new("Test CA");
        let files = cluster.scratch().join("security");
        fs::create_dir(&files)?;
        fs::write(files.join("ca.pem"), authority.pem())?;
        let mut clients = Vec::new();
        for node in cluster.nodes_mut() {
            let (public, private) = (free_port()?, free_port()?);
            let store = files.join(format!("node{}.pem", node.id));
            write_private(&store, &authority.local(&format!("node-{}", node.id)))?;
            let (address, controller) = (node.address, node.controller);
            let advertised = format!(
                "PLAINTEXT://{address},CLIENTS://localhost:{public},NODES://localhost:{private}"
            );
            let mut file = fs::read_to_string(&node.properties)?;
            write!(
                file,
                "listeners={advertised},CONTROLLER://{controller}\n\
                 advertised.listeners={advertised}\n\
                 inter.broker.listener.name=NODES\n\
                 listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CLIENTS:{map},NODES:SSL,\
                 CONTROLLER:SSL\n\
                 ssl.keystore.type=PEM\n\
                 ssl.keystore.location={store}\n\
                 ssl.truststore.type=PEM\n\
                 ssl.truststore.location={ca}\n\
                 listener.name.nodes.ssl.client.auth=required\n\
                 listener.name.controller.ssl.client.auth=required\n\
                 {properties}\n",
                store = store.display(),
                ca = files.join("ca.pem").display(),
            )?;
            fs::write(&node.properties, file)?;
            clients.push(format!("localhost:{public}"));
        }
        Ok(Self {
            cluster,
            authority,
            clients: clients.join(","),
            files,
        })
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

/// Writes the key store of a node, which others cannot read.
fn write_private(path: &PathBuf, identity: &TestIdentity) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(identity.pem().as_bytes())?;
    Ok(())
}
