//! `explain listener`: which addresses the brokers advertise, whether they can be reached from
//! here, and what a client receives there.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dohle_admin::{BrokerAddress, Cluster, Connection, Node};
use serde::Serialize;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use crate::connect::connection;
use crate::tool_run::ToolRun;

/// How long a look-up of a name, or a connection, may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// An address as seen from here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Dialled {
    host: String,
    port: i32,
    /// The broker that advertises it; `None` for an address of `--bootstrap-server`.
    broker: Option<i32>,
    fenced: bool,
    /// The addresses that the name has here.
    resolved: Vec<IpAddr>,
    /// The time until the first connection was accepted, in milliseconds.
    connected_in_ms: Option<u64>,
    /// The brokers that a client receives there, with their addresses.
    receives: Vec<String>,
    /// What went wrong.
    problem: Option<String>,
}

pub(super) async fn explain(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let given = connection(&run.parsed, None)?;
    let mut dialled = Vec::new();
    for address in BrokerAddress::list(&given.bootstrap)? {
        let port = i32::from(address.port);
        dialled.push(dial(&given, &address.host, port).await);
    }
    let cluster = match run.connect().await {
        Ok(cluster) => cluster,
        Err(error) => {
            // What was found out about the addresses explains the failure.
            run.show(&dialled, |dialled| text(dialled, None))?;
            return Err(error);
        }
    };
    let described = cluster.describe(true).await?;
    let mut brokers: Vec<Node> = described.brokers.iter().map(Node::from).collect();
    brokers.sort_by_key(|broker| broker.id);
    for broker in &brokers {
        let mut found = match broker.port {
            0..=65535 if !broker.host.is_empty() => dial(&given, &broker.host, broker.port).await,
            _ => Dialled {
                problem: Some("it advertises no address on this listener".to_owned()),
                ..Dialled::default()
            },
        };
        (found.broker, found.fenced) = (Some(broker.id), broker.fenced);
        dialled.push(found);
    }
    run.show(&dialled, |dialled| {
        text(dialled, Some(described.cluster_id.as_str()))
    })
}

/// Looks up a name, connects to each of its addresses until one accepts, and asks there as a client
/// does.
async fn dial(given: &Connection, host: &str, port: i32) -> Dialled {
    let mut dialled = Dialled {
        host: host.to_owned(),
        port,
        ..Dialled::default()
    };
    dialled.problem = attempt(given, &mut dialled).await.err();
    dialled
}

async fn attempt(given: &Connection, dialled: &mut Dialled) -> Result<(), String> {
    let port = u16::try_from(dialled.port).map_err(|_| "its port is not one".to_owned())?;
    let name = (dialled.host.as_str(), port);
    let found = timeout(PATIENCE, lookup_host(name)).await;
    let found = found.map_err(|_| slow("the look-up of its name"))?;
    let found: BTreeSet<SocketAddr> = found
        .map_err(|error| format!("its name cannot be looked up here: {error}"))?
        .collect();
    dialled.resolved = found.iter().map(SocketAddr::ip).collect();
    let began = Instant::now();
    let mut last = "its name has no address".to_owned();
    let mut connected = false;
    for address in found {
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                connected = true;
                break;
            }
            Ok(Err(error)) => last = format!("no connection to {address}: {error}"),
            Err(_) => last = slow(&format!("a connection to {address}")),
        }
    }
    if !connected {
        return Err(last);
    }
    let elapsed = began.elapsed().as_millis();
    dialled.connected_in_ms = Some(u64::try_from(elapsed).unwrap_or(u64::MAX));
    let there = Connection {
        bootstrap: dohle_model::HostPort(&dialled.host, port).to_string(),
        ..given.clone()
    };
    let asked = async {
        let cluster = Cluster::connect(&there).await?;
        cluster.nodes().await
    };
    let asked = timeout(PATIENCE, asked)
        .await
        .map_err(|_| slow("an answer"))?;
    let nodes = asked.map_err(|error| format!("it does not answer as a broker: {error}"))?;
    let receives = nodes.iter();
    dialled.receives = receives
        .map(|node| format!("{} at {}:{}", node.id, node.host, node.port))
        .collect();
    Ok(())
}

fn slow(what: &str) -> String {
    format!("{what} takes more than {} s", PATIENCE.as_secs())
}

impl Dialled {
    fn is_loopback(&self) -> bool {
        !self.resolved.is_empty() && self.resolved.iter().all(IpAddr::is_loopback)
    }

    fn text(&self) -> String {
        let mut text = match self.broker {
            None => format!("--bootstrap-server {}:{}", self.host, self.port),
            Some(id) if self.host.is_empty() => format!("Broker {id}"),
            Some(id) => format!("Broker {id} advertises {}:{}", self.host, self.port),
        };
        if self.fenced {
            text += " (out of service)";
        }
        text.push('\n');
        if !self.resolved.is_empty() {
            let resolved: Vec<String> = self.resolved.iter().map(ToString::to_string).collect();
            text += &format!("    name here: {}\n", resolved.join(", "));
        }
        if let Some(ms) = self.connected_in_ms {
            text += &format!("    connected in {ms} ms\n");
        }
        if !self.receives.is_empty() {
            text += &format!(
                "    a client that asks there is sent to broker {}\n",
                self.receives.join(", broker ")
            );
        }
        if let Some(problem) = &self.problem {
            text += &format!("    PROBLEM: {problem}. {}\n", self.advice());
        }
        text
    }

    fn advice(&self) -> &'static str {
        match (self.broker, self.connected_in_ms) {
            (_, Some(_)) => {
                "Does the listener need other properties of the client (security.protocol, sasl.*, \
                 ssl.*)? Set them in a file and name it with --command-config."
            }
            (None, None) => "Is the broker running, and is the address right?",
            (Some(_), None) if self.fenced => "Start the broker.",
            (Some(_), None) => {
                "Clients here fail in the same way. Set advertised.listeners of the broker to an \
                 address that clients reach, or make this one reachable (DNS, firewall, published \
                 port)."
            }
        }
    }
}

fn text(dialled: &[Dialled], cluster_id: Option<&str>) -> String {
    let mut text = match cluster_id {
        Some(id) => format!("Cluster {id}, as seen from this machine:\n\n"),
        None => "As seen from this machine:\n\n".to_owned(),
    };
    for one in dialled {
        text += &one.text();
    }
    let (given, advertised): (Vec<&Dialled>, Vec<&Dialled>) =
        dialled.iter().partition(|one| one.broker.is_none());
    let comes_from_afar = given
        .iter()
        .any(|one| !one.resolved.is_empty() && !one.is_loopback());
    if advertised.iter().any(|one| one.is_loopback()) && comes_from_afar {
        text += "\nA broker advertises an address of the client's own machine (loopback), while \
                 --bootstrap-server is another machine: clients connect to themselves instead of \
                 to the broker. Set advertised.listeners to an address of the broker's machine.\n";
    } else if advertised.iter().any(|one| one.is_loopback()) {
        text += "\nThe advertised addresses are of this machine alone (loopback): clients on other \
                 machines and in containers cannot use them.\n";
    }
    let problems = dialled.iter().filter(|one| one.problem.is_some()).count();
    if problems == 0 {
        text += "\nAll addresses can be reached from here.\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn addresses_are_explained_with_what_to_do() {
        let address = |host: &str, broker, ip: &str| Dialled {
            host: host.to_owned(),
            port: 9092,
            broker,
            resolved: vec![ip.parse().unwrap()],
            connected_in_ms: Some(1),
            receives: vec!["1 at localhost:9092".to_owned()],
            ..Dialled::default()
        };
        let unknown = Dialled {
            host: "kafka-2".to_owned(),
            port: 9092,
            broker: Some(2),
            problem: Some("its name cannot be looked up here: no such host".to_owned()),
            ..Dialled::default()
        };
        let shown = text(
            &[
                address("node1.example", None, "10.0.0.7"),
                address("localhost", Some(1), "127.0.0.1"),
                unknown,
            ],
            Some("abc"),
        );
        expect![[r#"
            Cluster abc, as seen from this machine:

            --bootstrap-server node1.example:9092
                name here: 10.0.0.7
                connected in 1 ms
                a client that asks there is sent to broker 1 at localhost:9092
            Broker 1 advertises localhost:9092
                name here: 127.0.0.1
                connected in 1 ms
                a client that asks there is sent to broker 1 at localhost:9092
            Broker 2 advertises kafka-2:9092
                PROBLEM: its name cannot be looked up here: no such host. Clients here fail in the same way. Set advertised.listeners of the broker to an address that clients reach, or make this one reachable (DNS, firewall, published port).

            A broker advertises an address of the client's own machine (loopback), while --bootstrap-server is another machine: clients connect to themselves instead of to the broker. Set advertised.listeners to an address of the broker's machine.
        "#]].assert_eq(&shown);
        let local = [
            address("localhost", None, "127.0.0.1"),
            address("localhost", Some(1), "::1"),
        ];
        let shown = text(&local, Some("abc"));
        assert!(shown.contains("All addresses can be reached"), "{shown}");
        assert!(shown.contains("clients on other machines"), "{shown}");
    }
}
