//! `cluster`: the cluster's id, its endpoints, and brokers that are gone for good.
//!
//! Kafka's `ClusterTool`.

use dohle_admin::{Cluster, ClusterError, Node, check, load_properties};
use kacrab_protocol::generated::UnregisterBrokerRequestData;
use serde::Serialize;

use crate::connect::{BOOTSTRAP_CONTROLLER, BOOTSTRAP_SERVER, COMMAND_CONFIG, connection};
use crate::job::{Failure, Job, OUTPUT, Output, Tool, Work};
use crate::options::{Opt, Subcommand, Syntax, flag, usage, value};

const CONFIG: Opt = value(
    "config",
    "file",
    "(DEPRECATED) The same as --command-config; it will be removed in a future version.",
);

/// The row of the table.
pub const TOOL: Tool = Tool {
    name: "cluster",
    linked: true,
    syntax: Syntax {
        tool: "kafka-cluster",
        about: "The Kafka cluster tool.",
        options: &[
            BOOTSTRAP_SERVER.or("b"),
            BOOTSTRAP_CONTROLLER.or("C"),
            COMMAND_CONFIG.or("c"),
            CONFIG,
            OUTPUT,
        ],
        commands: &[
            Subcommand {
                name: "cluster-id",
                help: "Get information about the ID of a cluster.",
                options: &[],
            },
            Subcommand {
                name: "unregister",
                help: "Unregister a broker.",
                options: &[value("id", "id", "The ID of the broker to unregister.").or("i")],
            },
            Subcommand {
                name: "list-endpoints",
                help: "List endpoints.",
                options: &[flag(
                    "include-fenced-brokers",
                    "Whether to include fenced brokers when listing broker endpoints.",
                )],
            },
        ],
    },
    work: Work::Async(|job| Box::pin(work(job))),
    failure: Failure::Stderr(""),
};

async fn work(job: &Job<'_>) -> anyhow::Result<()> {
    let parsed = &job.parsed;
    let old = parsed.value(CONFIG.name)?;
    if old.is_some() && parsed.has(COMMAND_CONFIG.name) {
        return Ok(usage(
            "--config and --command-config cannot be specified together.",
        )?);
    }
    let mut connection = connection(parsed)?;
    if let Some(path) = old {
        job.print(
            "Option --config has been deprecated and will be removed in a future version. Use \
             --command-config instead.\n",
        )?;
        connection.properties = load_properties(path)?;
    }
    let id: Option<i32> = parsed.parsed("id")?;
    if parsed.command == Some("unregister") && id.is_none() {
        return Ok(usage("argument --id/-i is required")?);
    }
    if parsed.has("include-fenced-brokers") && connection.controllers {
        anyhow::bail!(
            "The option --include-fenced-brokers is only supported with --bootstrap-server option"
        );
    }
    let cluster = Cluster::connect(&connection).await?;
    match (parsed.command, id) {
        (Some("unregister"), Some(id)) => unregister(job, &cluster, id).await,
        (Some("list-endpoints"), _) => endpoints(job, &cluster, connection.controllers).await,
        _ => cluster_id(job, &cluster).await,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterId<'a> {
    cluster_id: &'a str,
}

async fn cluster_id(job: &Job<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let described = cluster.describe(false).await?;
    let cluster_id = described.cluster_id.as_str();
    match job.output()? {
        Output::Text => Ok(job.print(format!("Cluster ID: {cluster_id}\n"))?),
        Output::Json => job.print_json(&ClusterId { cluster_id }),
    }
}

async fn unregister(job: &Job<'_>, cluster: &Cluster, id: i32) -> anyhow::Result<()> {
    let request = UnregisterBrokerRequestData {
        broker_id: id,
        ..UnregisterBrokerRequestData::default()
    };
    let answer = cluster
        .ask(&request)
        .await
        .and_then(|answer| check(answer.error_code, answer.error_message.as_ref()));
    match answer {
        Ok(()) => Ok(job.print(format!("Broker {id} is no longer registered.\n"))?),
        Err(ClusterError::Unsupported { .. }) => {
            Ok(job.print("The target cluster does not support the broker unregistration API.\n")?)
        }
        Err(error) => Err(error.into()),
    }
}

async fn endpoints(job: &Job<'_>, cluster: &Cluster, controllers: bool) -> anyhow::Result<()> {
    let fenced = job.parsed.has("include-fenced-brokers");
    let described = cluster.describe(fenced).await?;
    let mut nodes: Vec<Node> = described.brokers.iter().map(Node::from).collect();
    nodes.sort_by_key(|node| node.id);
    match job.output()? {
        Output::Text => Ok(job.print(render(&nodes, controllers))?),
        Output::Json => job.print_json(&nodes),
    }
}

/// As Kafka's tool prints it.
fn render(nodes: &[Node], controllers: bool) -> String {
    let rack = |node: &Node| node.rack.clone();
    let host_width = nodes
        .iter()
        .map(|node| node.host.len())
        .max()
        .unwrap_or(100);
    let rack_width = nodes
        .iter()
        .filter_map(rack)
        .map(|rack| rack.len())
        .max()
        .unwrap_or(10);
    let line = |cells: [&str; 6]| {
        let [id, host, port, rack, state, kind] = cells;
        let state = if controllers {
            String::new()
        } else {
            format!("{state:<10} ")
        };
        format!("{id:<10} {host:<host_width$} {port:<10} {rack:<rack_width$} {state}{kind:<15}\n")
    };
    let mut text = line(["ID", "HOST", "PORT", "RACK", "STATE", "ENDPOINT_TYPE"]);
    for node in nodes {
        text += &line([
            &node.id.to_string(),
            &node.host,
            &node.port.to_string(),
            node.rack.as_deref().unwrap_or("null"),
            if node.fenced { "fenced" } else { "unfenced" },
            if controllers { "controller" } else { "broker" },
        ]);
    }
    text
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
