//! `cluster`: the cluster's id, its endpoints, and brokers that are gone for good.
//!
//! Kafka's `ClusterTool`.

use dohle_admin::{Cluster, ClusterError, Node, unregister_broker};
use serde::Serialize;

use crate::connect::connection;
use crate::options::{all_of, at_most_one_of, none_of};
use crate::table::{Table, cells};
use crate::tool_run::{OUTPUT, Tool, ToolRun, Work};

const OPTIONS: &str = "
    --bootstrap-server, -b <host:port,...>: REQUIRED: the brokers to connect to; one that answers is
        enough.
    --bootstrap-controller, -C <host:port,...>: The controllers to connect to, instead of
        --bootstrap-server. Apache Kafka's answer; Dohle's controllers do not speak Kafka's
        protocol.
    --command-config, -c <file>: A property file with the client's configuration (security.protocol,
        sasl.*, ssl.*, timeouts).
    --config <file>: (DEPRECATED) The same as --command-config; it will be removed in a future
        version.
    ";

const COMMANDS: &str = "
    cluster-id: Get information about the ID of a cluster.
    unregister: Unregister a broker.
        --id, -i <id>: The ID of the broker to unregister.
    list-endpoints: List endpoints.
        --include-fenced-brokers: Whether to include fenced brokers when listing broker endpoints.
    ";

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-cluster",
    "The Kafka cluster tool.",
    &[OPTIONS, OUTPUT],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[
    at_most_one_of("config command-config")
        .message("--config and --command-config cannot be specified together."),
    all_of("id")
        .when("unregister")
        .message("argument --id/-i is required"),
    none_of("bootstrap-controller")
        .when("include-fenced-brokers")
        .message(
            "The option --include-fenced-brokers is only supported with --bootstrap-server option",
        ),
])
.commands(COMMANDS);

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let parsed = &run.parsed;
    let connection = connection(parsed, Some("config"))?;
    run.warn_of_deprecated(
        &[("config", "command-config")],
        "Option --{option} has been deprecated and will be removed in a future version. Use \
         --{instead} instead.",
    )?;
    let id: Option<i32> = parsed.parsed("id")?;
    let cluster = Cluster::connect(&connection).await?;
    match (parsed.command, id) {
        (Some("unregister"), Some(id)) => unregister(run, &cluster, id).await,
        (Some("list-endpoints"), _) => endpoints(run, &cluster, connection.controllers).await,
        _ => cluster_id(run, &cluster).await,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterId<'a> {
    cluster_id: &'a str,
}

async fn cluster_id(run: &ToolRun<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let described = cluster.describe(false).await?;
    let cluster_id = described.cluster_id.as_str();
    run.show(&ClusterId { cluster_id }, |_| {
        format!("Cluster ID: {cluster_id}\n")
    })
}

async fn unregister(run: &ToolRun<'_>, cluster: &Cluster, id: i32) -> anyhow::Result<()> {
    match unregister_broker(cluster, id).await {
        Ok(()) => Ok(run.print(format!("Broker {id} is no longer registered.\n"))?),
        Err(ClusterError::Unsupported { .. }) => {
            Ok(run.print("The target cluster does not support the broker unregistration API.\n")?)
        }
        Err(error) => Err(error.into()),
    }
}

async fn endpoints(run: &ToolRun<'_>, cluster: &Cluster, controllers: bool) -> anyhow::Result<()> {
    let fenced = run.parsed.has("include-fenced-brokers");
    let described = cluster.describe(fenced).await?;
    let mut nodes: Vec<Node> = described.brokers.iter().map(Node::from).collect();
    nodes.sort_by_key(|node| node.id);
    run.show(nodes.as_slice(), |nodes| render(nodes, controllers))
}

/// As Kafka's tool prints it.
fn render(nodes: &[Node], controllers: bool) -> String {
    let kind = if controllers { "controller" } else { "broker" };
    let hosts = nodes.iter().map(|node| node.host.len());
    let racks = nodes.iter().filter_map(|node| node.rack.as_ref());
    Table::new("ID=10 | HOST=100 | PORT=10 | RACK=10 | STATE=10 | ENDPOINT_TYPE=15")
        .wide(hosts.max().unwrap_or(100), &["HOST"])
        .wide(racks.map(String::len).max().unwrap_or(10), &["RACK"])
        .only_if(!controllers, &["STATE"])
        .text(nodes, |node| {
            let rack = node.rack.as_deref().unwrap_or("null");
            let state = if node.fenced { "fenced" } else { "unfenced" };
            cells![node.id, node.host, node.port, rack, state, kind]
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_printed_in_kafkas_columns() {
        let node = Node {
            id: 1,
            host: "127.0.0.1".to_owned(),
            port: 41091,
            rack: None,
            fenced: false,
        };
        expect_test::expect![[r#"
            ID         HOST      PORT       RACK       STATE      ENDPOINT_TYPE  
            1          127.0.0.1 41091      null       unfenced   broker         
        "#]]
        .assert_eq(&render(std::slice::from_ref(&node), false));
        expect_test::expect![[r#"
            ID         HOST      PORT       RACK       ENDPOINT_TYPE  
            1          127.0.0.1 41091      null       controller     
        "#]]
        .assert_eq(&render(&[node], true));
    }
}
