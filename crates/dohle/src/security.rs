//! `dohle security init`: certificates for a cluster, with the properties that use them.

mod cluster;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use cluster::{Cluster, File, Node, Place};
use dohle_tls::authority::{Authority, CertificateRequest, Identity};

/// The most nodes for which certificates are made.
const NODES_MAX: u32 = 1000;
/// Clocks of nodes and clients may be behind by this many seconds.
const CLOCK_SKEW_SECS: i64 = 3600;
const DAY_SECS: i64 = 86_400;
/// How long the certificates of the authorities are valid, in days.
const AUTHORITY_DAYS: u32 = 3650;

/// The command's arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Create authorities, the certificates of nodes and of a client, and the properties that use
    /// them.
    ///
    /// Without --host, the files are for a cluster to try on this machine, which can be started as
    /// they are. With --host, they are for nodes on other machines.
    Init(Init),
}

/// The arguments of `init`.
#[derive(Debug, clap::Args)]
struct Init {
    /// The new directory for the files.
    directory: PathBuf,
    /// The number of nodes on this machine.
    #[arg(long, value_name = "NUMBER", conflicts_with = "hosts", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_MAX)))]
    nodes: u32,
    /// A node on another machine: the name or address at which others connect to it, and further
    /// ones that its certificate is for. Given once for each node.
    #[arg(long = "host", value_name = "HOST[,OTHER…]")]
    hosts: Vec<String>,
    /// The id of the first node; the others follow.
    #[arg(long, value_name = "ID", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    first_id: u32,
    /// The port for clients; the following three, and on one machine those of the other nodes
    /// after them, are used for nodes, controllers and users with passwords.
    #[arg(long, value_name = "PORT", default_value_t = 9092)]
    port: u16,
    /// The directory to which the files are copied on the nodes [default: /etc/dohle with --host,
    /// else the new directory].
    #[arg(long, value_name = "DIR")]
    installed_in: Option<PathBuf>,
    /// How long the certificates of nodes and client are valid, in days.
    #[arg(long, value_name = "DAYS", default_value_t = 365,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(AUTHORITY_DAYS)))]
    days: u32,
    /// The name of the client, which may do everything.
    #[arg(long, value_name = "NAME", default_value = "admin")]
    client: String,
    /// Also create a listener for users with passwords (SCRAM-SHA-512), and the password of this
    /// user, who may do everything.
    #[arg(long, value_name = "NAME")]
    scram_user: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When the directory has files already, or cannot be written, or an argument is wrong.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Command::Init(init) = arguments.command;
    check_vacant(&init.directory)?;
    let directory = std::path::absolute(&init.directory).context("find the current directory")?;
    let cluster = cluster(&init, &directory)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("read the clock")?;
    let now = i64::try_from(now.as_secs()).context("read the clock")?;
    let files = files(&init, &cluster, now)?;
    let mut builder = fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .with_context(|| format!("make the directory {}", directory.display()))?;
    for file in &files {
        write(&directory, file)?;
    }
    print!("{}", cluster.instructions(&files));
    Ok(())
}

/// Refuses a directory that has files, which may be keys in use.
fn check_vacant(directory: &Path) -> anyhow::Result<()> {
    let found = match fs::read_dir(directory) {
        Ok(mut entries) => entries.next(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(error).with_context(|| format!("read {}", directory.display()));
        }
    };
    if let Some(entry) = found {
        let name = entry.map(|entry| entry.file_name()).unwrap_or_default();
        bail!(
            "{} has files already ({}), and keys are not overwritten: choose a new directory, or \
             move these files away",
            directory.display(),
            name.display()
        );
    }
    Ok(())
}

/// Returns the cluster that the arguments describe.
fn cluster(init: &Init, directory: &Path) -> anyhow::Result<Cluster> {
    for name in [Some(&init.client), init.scram_user.as_ref()]
        .into_iter()
        .flatten()
    {
        cluster::check_name(name)?;
    }
    let nodes: Vec<Node> = if init.hosts.is_empty() {
        let ids = init.first_id..init.first_id.saturating_add(init.nodes);
        ids.map(Node::local).collect()
    } else {
        let ids = init.first_id..;
        ids.zip(&init.hosts)
            .map(|(id, hosts)| Node::remote(id, hosts))
            .collect::<Result<_, _>>()?
    };
    let place = if init.hosts.is_empty() {
        Place::Local
    } else {
        Place::Remote
    };
    let installed_in = match (&init.installed_in, place) {
        (Some(given), _) => given.clone(),
        (None, Place::Local) => directory.to_owned(),
        (None, Place::Remote) => PathBuf::from("/etc/dohle"),
    };
    let password = match init.scram_user {
        Some(_) => Some(fresh_password()?),
        None => None,
    };
    let cluster = Cluster {
        id: dohle::directories::fresh_id().to_string(),
        nodes,
        place,
        directory: directory.to_owned(),
        installed_in,
        port: init.port,
        client: init.client.clone(),
        user: init.scram_user.clone().zip(password),
    };
    cluster.check()?;
    Ok(cluster)
}

/// Returns a password of 192 random bits.
fn fresh_password() -> anyhow::Result<String> {
    let [first, second] = [(); 2].map(|()| uuid::Uuid::new_v4().simple().to_string());
    Ok(first + &second[..16])
}

/// Makes all keys and certificates, and returns the files. `now` is in seconds since 1970.
fn files(init: &Init, cluster: &Cluster, now: i64) -> anyhow::Result<Vec<File>> {
    let begin = now - CLOCK_SKEW_SECS;
    let end = |days: u32| now + i64::from(days) * DAY_SECS;
    let authority = |name: &str| {
        let name = format!("Dohle {} {name}", cluster.id);
        Authority::new(&CertificateRequest::new(&name, begin, end(AUTHORITY_DAYS)))
    };
    let (of_nodes, of_clients) = (authority("nodes")?, authority("clients")?);
    let request = |name: &str| CertificateRequest::new(name, begin, end(init.days));
    let mut files = vec![
        File::public("ca.pem", of_nodes.identity.certificate_pem()),
        File::secret("ca.key", of_nodes.identity.key_pem()),
        File::public("clients-ca.pem", of_clients.identity.certificate_pem()),
        File::secret("clients-ca.key", of_clients.identity.key_pem()),
    ];
    for node in &cluster.nodes {
        let request = request(&node.name()).for_server(&node.hosts).for_client();
        let identity = of_nodes.issue(&request)?;
        files.push(File::secret(&node.key_store(), identity.pem()));
        files.push(File::secret(
            &node.properties(),
            cluster.node_properties(node),
        ));
    }
    let client: Identity = of_clients.issue(&request(&init.client).for_client())?;
    files.push(File::secret("client.pem", client.pem()));
    files.push(File::secret(
        "client.properties",
        cluster.client_properties(),
    ));
    files.extend(cluster.user_files());
    Ok(files)
}

/// Writes a new file. Only its owner can read one with a secret.
fn write(directory: &Path, file: &File) -> anyhow::Result<()> {
    let path = directory.join(&file.name);
    let mode = if file.is_secret { 0o600 } else { 0o644 };
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let written = options.open(&path).and_then(|mut open| {
        open.write_all(file.content.as_bytes())?;
        open.sync_all()
    });
    written.with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests;
