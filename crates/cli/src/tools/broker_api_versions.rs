//! `broker-api-versions`: which requests each broker supports, in which versions.
//!
//! Kafka's `BrokerApiVersionsCommand`.

use std::collections::BTreeMap;

use dohle_admin::{Cluster, ClusterError, Node, api_versions};
use kacrab_protocol::generated::{ApiKey, client_api_info};
use serde::Serialize;

use crate::connect::{BOOTSTRAP_SERVER, COMMAND_CONFIG};
use crate::options::all_of;
use crate::tool_run::{OUTPUT, Tool, ToolRun, Work};

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-broker-api-versions",
    "This tool helps to retrieve broker version information.",
    &[BOOTSTRAP_SERVER, COMMAND_CONFIG, OUTPUT],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[all_of("bootstrap-server")]);

/// Versions of one API: the first and the last one.
type Versions = BTreeMap<i16, (i16, i16)>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BrokerJson<'a> {
    #[serde(flatten)]
    node: &'a Node,
    apis: Vec<ApiJson>,
    error: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiJson {
    key: i16,
    name: Option<String>,
    min_version: i16,
    max_version: i16,
}

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let cluster = run.connect().await?;
    let mut brokers = Vec::new();
    for node in run.progress.over("brokers asked", cluster.nodes().await?) {
        let versions = fetch(&cluster, node.id).await;
        brokers.push((node, versions));
    }
    let rows: Vec<BrokerJson> = brokers.iter().map(|(node, v)| json(node, v)).collect();
    run.show(rows.as_slice(), |_| {
        let texts = brokers
            .iter()
            .map(|(node, versions)| render(node, versions.as_ref()));
        texts.collect()
    })
}

async fn fetch(cluster: &Cluster, id: i32) -> Result<Versions, ClusterError> {
    let answer = api_versions(cluster, Some(id)).await?;
    let versions = answer.api_keys.iter();
    Ok(versions
        .map(|api| (api.api_key, (api.min_version, api.max_version)))
        .collect())
}

/// APIs of brokers that clients may ask for, as Kafka 4.3 lists them when a broker lacks them.
fn of_clients() -> impl Iterator<Item = ApiKey> {
    /// Requests between brokers and controllers.
    const INTERNAL: [&str; 12] = [
        "Vote",
        "BeginQuorumEpoch",
        "EndQuorumEpoch",
        "AlterPartition",
        "Envelope",
        "FetchSnapshot",
        "BrokerRegistration",
        "BrokerHeartbeat",
        "AllocateProducerIds",
        "ControllerRegistration",
        "AssignReplicasToDirs",
        "UpdateRaftVoter",
    ];
    let all = (0..=92).filter_map(known);
    all.filter(|key| !INTERNAL.contains(&format!("{key:?}").as_str()))
}

fn known(key: i16) -> Option<ApiKey> {
    ApiKey::from_i16(key)
}

/// As Kafka's tool prints it.
fn render(node: &Node, versions: Result<&Versions, &ClusterError>) -> String {
    let Node { id, host, port, .. } = node;
    let rack = node.rack.as_deref().unwrap_or("null");
    let head = format!(
        "{host}:{port} (id: {id} rack: {rack} isFenced: {}) -> ",
        node.fenced
    );
    let versions = match versions {
        Ok(versions) => versions,
        Err(error) => return format!("{head}ERROR: {error}\n"),
    };
    let mut lines: BTreeMap<i16, String> = of_clients()
        .map(|key| (key as i16, format!("{key:?}({}): UNSUPPORTED", key as i16)))
        .collect();
    for (key, (first, last)) in versions {
        let range = match first == last {
            true => first.to_string(),
            false => format!("{first} to {last}"),
        };
        let line = match known(*key) {
            None => format!("UNKNOWN({key}): {range}"),
            Some(api) => {
                let ours = client_api_info(api);
                let usable = if ours.max_version < *first {
                    "unusable: node too new".to_owned()
                } else if *last < ours.min_version {
                    "unusable: node too old".to_owned()
                } else {
                    format!("usable: {}", ours.max_version.min(*last))
                };
                format!("{api:?}({key}): {range} [{usable}]")
            }
        };
        lines.insert(*key, line);
    }
    let lines: Vec<String> = lines.into_values().collect();
    format!("{head}(\n\t{}\n)\n", lines.join(",\n\t"))
}

fn json<'a>(node: &'a Node, versions: &Result<Versions, ClusterError>) -> BrokerJson<'a> {
    let apis = versions
        .iter()
        .flatten()
        .map(|(key, (first, last))| ApiJson {
            key: *key,
            name: known(*key).map(|key| format!("{key:?}")),
            min_version: *first,
            max_version: *last,
        });
    BrokerJson {
        node,
        apis: apis.collect(),
        error: versions.as_ref().err().map(ToString::to_string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_printed_as_kafka_does() {
        let node = Node {
            id: 1,
            host: "127.0.0.1".to_owned(),
            port: 9092,
            rack: None,
            fenced: false,
        };
        let versions = Versions::from([(0, (0, 13)), (47, (0, 0)), (999, (1, 2)), (1, (900, 901))]);
        let text = render(&node, Ok(&versions));
        let head = "127.0.0.1:9092 (id: 1 rack: null isFenced: false) -> (\n\tProduce(0): 0 to 13 \
                    [usable: 13],\n\tFetch(1): 900 to 901 [unusable: node too new],\n";
        assert!(text.starts_with(head), "{text}");
        assert!(
            text.contains("\tOffsetDelete(47): 0 [usable: 0],\n"),
            "{text}"
        );
        assert!(
            text.contains("\tPushTelemetry(72): UNSUPPORTED,\n"),
            "{text}"
        );
        assert!(text.ends_with("\tUNKNOWN(999): 1 to 2\n)\n"), "{text}");
        for internal in ["Envelope", "Vote("] {
            assert!(!text.contains(internal), "{text}");
        }
    }
}
