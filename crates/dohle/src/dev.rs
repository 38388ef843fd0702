//! `dohle dev`: a three-node cluster in one process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use dohle::Node;
use dohle::config::{NodeConfig, Sources};
use dohle_admin::ProcessValues;
use dohle_model::NodeId;
use futures::future::{join_all, select_all, try_join_all};

use crate::logging::Log;
use crate::{hostname, raise_open_files, signals};

const NODES: u16 = 3;
/// The default port of the first broker.
const PORT: u16 = 9092;
/// The default port of the first node for HTTP.
const HTTP_PORT: u16 = 9644;

/// The command's arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The directory of the cluster's data; created when it does not exist.
    #[arg(long, default_value = "./data", value_name = "DIR")]
    data: PathBuf,
    /// The first broker's port; the other brokers use this plus 2 and plus 4, the controllers this
    /// plus 1, 3 and 5.
    #[arg(long, default_value_t = PORT, value_name = "PORT")]
    port: u16,
    /// The first node's port for metrics and health over HTTP; the other nodes use the next two. 0
    /// for none. By default 9644, and none with another --port than 9092.
    #[arg(long, value_name = "PORT")]
    http_port: Option<u16>,
    /// Sets one property on all nodes; may be given several times.
    #[arg(long = "override", value_name = "NAME=VALUE")]
    overrides: Vec<String>,
}

/// Runs the cluster until a stop signal arrives or a node fails.
///
/// # Errors
/// The reason why the cluster cannot start, or why it had to stop.
pub async fn run(arguments: Arguments, log: &Log, began: Instant) -> anyhow::Result<()> {
    std::fs::create_dir_all(&arguments.data)
        .with_context(|| format!("make the directory {}", arguments.data.display()))?;
    let cluster_id = cluster_id(&arguments)?;
    let hostname = hostname();
    let mut starting = Vec::new();
    for index in 0..NODES {
        let config = NodeConfig::new(sources(&arguments, index, &cluster_id)?, &hostname)?;
        log.set_format(&config);
        starting.push(Node::start(config, &hostname, Arc::clone(&log.loggers)));
    }
    raise_open_files();
    let starting = async {
        let nodes = try_join_all(starting).await?;
        let ids: Vec<NodeId> = nodes.iter().map(Node::id).collect();
        try_join_all(nodes.iter().map(|node| node.wait_until_advertised(&ids))).await?;
        anyhow::Ok(nodes)
    };
    let stop = signals::stop();
    tokio::pin!(stop);
    let mut nodes = tokio::select! {
        nodes = starting => nodes?,
        stopped = &mut stop => return Ok(stopped?),
    };
    greet(&arguments, began);
    let fault = tokio::select! {
        (fault, _, _) = select_all(nodes.iter().map(|node| Box::pin(node.failed()))) => Some(fault),
        stopped = &mut stop => {
            stopped?;
            None
        }
    };
    if let Some(fault) = fault {
        return Err(fault.into());
    }
    let stopping = Instant::now();
    join_all(nodes.iter_mut().map(Node::shutdown_broker)).await;
    for node in nodes {
        node.shutdown().await;
    }
    tracing::info!("stopped in {} ms", stopping.elapsed().as_millis());
    Ok(())
}

/// Returns the ports of a node's broker and of its controller.
fn ports(arguments: &Arguments, index: u16) -> anyhow::Result<(u16, u16)> {
    let port = arguments
        .port
        .checked_add(2 * index)
        .filter(|port| *port < u16::MAX);
    let port = port.context("--port is too high for six ports from there on")?;
    Ok((port, port + 1))
}

/// Returns the first port for HTTP; `None` for none.
fn http_port(arguments: &Arguments) -> Option<u16> {
    let default = (arguments.port == PORT).then_some(HTTP_PORT);
    arguments.http_port.or(default).filter(|port| *port != 0)
}

fn sources(arguments: &Arguments, index: u16, cluster_id: &str) -> anyhow::Result<Sources> {
    let mut voters = Vec::new();
    for voter in 0..NODES {
        voters.push(format!(
            "{}@127.0.0.1:{}",
            voter + 1,
            ports(arguments, voter)?.1
        ));
    }
    let (port, controller_port) = ports(arguments, index)?;
    let data = arguments.data.join(format!("node-{}", index + 1));
    let mut sources = Sources::default();
    for (name, value) in [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", (index + 1).to_string()),
        ("controller.quorum.voters", voters.join(",")),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        (
            "listeners",
            format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}"),
        ),
        (
            "advertised.listeners",
            format!("PLAINTEXT://localhost:{port}"),
        ),
        ("log.dirs", data.display().to_string()),
        ("default.replication.factor", "3".to_owned()),
        ("min.insync.replicas", "2".to_owned()),
    ] {
        sources.add_override(&format!("{name}={value}"))?;
    }
    for text in &arguments.overrides {
        sources.add_override(text)?;
    }
    if let Some(port) = http_port(arguments)
        && !sources.properties.contains_key("http.listeners")
    {
        let port = port.checked_add(index);
        let port = port.context("--http-port is too high for three ports from there on")?;
        sources.add_missing("http.listeners", &format!("http://localhost:{port}"));
    }
    sources.resolve_providers(&ProcessValues)?;
    sources
        .cluster_id
        .get_or_insert_with(|| cluster_id.to_owned());
    Ok(sources)
}

/// Returns the cluster's id: the one in the first node's directory, or a new one.
fn cluster_id(arguments: &Arguments) -> anyhow::Result<String> {
    use dohle_log::directory::{META_PROPERTIES_FILE, MetaProperties};
    for index in 1..=NODES {
        let path = arguments
            .data
            .join(format!("node-{index}"))
            .join(META_PROPERTIES_FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => return Ok(MetaProperties::decode(&text, &path)?.cluster_id),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context(format!("read {}", path.display())),
        }
    }
    Ok(dohle::directories::fresh_id().to_string())
}

/// Prints on standard output how to use the cluster.
fn greet(arguments: &Arguments, began: Instant) {
    let servers: Vec<String> = (0..NODES)
        .map(|index| format!("localhost:{}", arguments.port + 2 * index))
        .collect();
    let servers = servers.join(",");
    let metrics = http_port(arguments).map_or(String::new(), |port| {
        format!(
            "  console            http://localhost:{port}/\n  metrics            \
             http://localhost:{port}/metrics\n"
        )
    });
    println!(
        "Three nodes are up after {} ms, with their data in {}. Ctrl-C stops them.\n\n  \
         bootstrap servers  {servers}\n  try                echo hello | kcat -b {servers} -t \
         greetings -P && kcat -b {servers} -t greetings -C -e\n{metrics}",
        began.elapsed().as_millis(),
        arguments.data.display()
    );
}
