//! Metrics and health over HTTP: what three nodes expose is what the tools report, before, during
//! and after load; and rule files of jmx_exporter name it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use dohle_tests::clients::kcat::kcat;
use dohle_tests::exposition::{Exposition, Series, parse};
use dohle_tests::http::{Response, request, request_with};
use dohle_tests::node::Node;
use dohle_tests::ports::free_port;
use dohle_tests::program::Program;
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, eventually, until};

use super::console_tools::ours;

const TOPIC: &str = "orders";
const GROUP: &str = "billing";
const PARTITIONS: i32 = 6;

/// Returns the port that a node has logged.
pub(super) fn port(node: &Node) -> Result<u16> {
    let log = node.log()?;
    let (_, rest) = log
        .rsplit_once("metrics at http://127.0.0.1:")
        .context("no port in the log")?;
    let (port, _) = rest.split_once("/metrics").context("no path in the log")?;
    Ok(port.parse()?)
}

pub(super) fn scrape(port: u16, is_open_metrics: bool) -> Result<Exposition> {
    let accept = match is_open_metrics {
        true => "application/openmetrics-text; version=1.0.0",
        false => "text/plain",
    };
    let answer = request_with("GET", port, "/metrics", &[("Accept", accept)], "")?;
    ensure!(answer.status == 200, "{answer:?}");
    parse(&answer.body, is_open_metrics)
}

/// Scrapes all nodes; no series of a partition, group or topic may be on two of them.
fn scrape_all(ports: &[u16]) -> Result<Series> {
    let mut all = Series::new();
    for port in ports {
        for (series, value) in scrape(*port, false)?.series {
            let is_of_one = ["kafka_topic_", "kafka_consumergroup_", "kafka_brokers"];
            let is_of_one = is_of_one.iter().any(|start| series.starts_with(start));
            let before = all.insert(series.clone(), value);
            ensure!(!is_of_one || before.is_none(), "{series} on two nodes");
        }
    }
    Ok(all)
}

/// Returns the series of one name for the test's topic, by partition.
fn by_partition(all: &Series, name: &str, labels: &str) -> BTreeMap<i32, i64> {
    let start = format!("{name}{{{labels}partition=\"");
    let end = format!("\",topic=\"{TOPIC}\"}}");
    let of_topic = all.iter().filter_map(|(series, value)| {
        let partition = series.strip_prefix(&start)?.strip_suffix(&end)?;
        Some((partition.parse().ok()?, *value as i64))
    });
    of_topic.collect()
}

/// Returns what `get-offsets` prints: the ends of the partitions.
fn ends(bootstrap: &str) -> Result<BTreeMap<i32, i64>> {
    let printed = ours("get-offsets", bootstrap, &["--topic", TOPIC])?
        .run()?
        .clean()?;
    let line = |line: &str| {
        let mut fields = line.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    printed
        .lines()
        .map(|text| line(text).context("a line"))
        .collect()
}

/// Returns what `consumer-groups` prints: committed offset and lag of the partitions.
fn offsets_and_lags(bootstrap: &str) -> Result<[BTreeMap<i32, i64>; 2]> {
    let args = ["--describe", "--group", GROUP];
    let printed = ours("consumer-groups", bootstrap, &args)?.run()?.ok()?;
    let (mut offsets, mut lags) = (BTreeMap::new(), BTreeMap::new());
    for line in printed.lines().filter(|line| line.starts_with(GROUP)) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, _, partition, offset, _, lag, ..] = fields[..] else {
            continue;
        };
        let partition = partition.parse()?;
        offsets.insert(partition, offset.parse()?);
        lags.insert(partition, lag.parse()?);
    }
    Ok([offsets, lags])
}

/// Starts a producer of many records over all partitions.
fn load(bootstrap: &str, records: usize) -> Program {
    let lines: String = (0..records).map(|n| format!("{n}:{n}\n")).collect();
    kcat(bootstrap, &["-P", "-t", TOPIC, "-K:", "-X", "acks=all"]).input(lines)
}

#[test]
fn metrics_of_three_nodes_are_what_the_tools_report() -> Result<()> {
    let mut cluster = Cluster::of(3)
        .property("http.listeners", "http://127.0.0.1:0")
        .start()?;
    cluster.allow("connection");
    cluster.create_topic(TOPIC, PARTITIONS, 3, &[("min.insync.replicas", "2")])?;
    let bootstrap = cluster.bootstrap();
    let ports: Vec<u16> = cluster.nodes().iter().map(port).collect::<Result<_>>()?;
    load(&bootstrap, 1_000).run()?.ok()?;
    let to = [
        "--group",
        GROUP,
        "--topic",
        TOPIC,
        "--reset-offsets",
        "--to-offset",
        "3",
        "--execute",
    ];
    ours("consumer-groups", &bootstrap, &to)?.run()?.ok()?;

    // Under load, both formats of all nodes are as they are defined, and counts never fall.
    let mut loading = load(&bootstrap, 30_000).start()?;
    let mut before: BTreeMap<(u16, String), f64> = BTreeMap::new();
    for round in 0..8 {
        for port in &ports {
            for (series, value) in scrape(*port, round % 2 == 1)?.series {
                let is_count = series
                    .split('{')
                    .next()
                    .is_some_and(|it| it.ends_with("_total"));
                if is_count {
                    let last = before.insert((*port, series.clone()), value);
                    ensure!(
                        last.is_none_or(|last| last <= value),
                        "{series}: {last:?}, {value}"
                    );
                }
            }
        }
    }
    ensure!(loading.lines_so_far().is_empty(), "kcat printed something");
    loading.finish()?.ok()?;

    // At rest, they are what the tools report.
    let all = until_in_sync(&ports)?;
    let ends = ends(&bootstrap)?;
    ensure!(ends.values().sum::<i64>() == 31_000, "{ends:?}");
    assert_eq!(
        by_partition(&all, "kafka_topic_partition_current_offset", ""),
        ends
    );
    assert_eq!(by_partition(&all, "kafka_log_log_logendoffset", ""), ends);
    let [offsets, lags] = offsets_and_lags(&bootstrap)?;
    let group = format!("consumergroup=\"{GROUP}\",");
    assert_eq!(
        by_partition(&all, "kafka_consumergroup_current_offset", &group),
        offsets
    );
    assert_eq!(by_partition(&all, "kafka_consumergroup_lag", &group), lags);
    ensure!(
        lags.len() == 6 && lags.values().sum::<i64>() == 31_000 - 18,
        "{lags:?}"
    );
    let sum = format!("kafka_consumergroup_lag_sum{{consumergroup=\"{GROUP}\",topic=\"{TOPIC}\"}}");
    assert_eq!(all[&sum] as i64, lags.values().sum::<i64>());
    assert_eq!(all["kafka_brokers"], 3.0);
    assert_eq!(
        all[&format!("kafka_topic_partitions{{topic=\"{TOPIC}\"}}")],
        6.0
    );

    // Counts of what clients did: all that was produced, and at least what one of them read.
    let total = |name: &str| {
        let name = format!("kafka_server_brokertopicmetrics_{name}_total{{topic=\"{TOPIC}\"}}");
        let scraped = ports
            .iter()
            .map(|port| Ok(scrape(*port, false)?.series[&name]));
        scraped.sum::<Result<f64>>()
    };
    assert_eq!(total("messagesin")?, 31_000.0);
    assert_eq!(total("failedproducerequests")?, 0.0);
    let (bytes_in, bytes_out) = (total("bytesin")?, total("bytesout")?);
    kcat(&bootstrap, &["-C", "-t", TOPIC, "-e", "-q"])
        .run()?
        .ok()?;
    ensure!(
        total("bytesout")? >= bytes_out + bytes_in,
        "{bytes_in} bytes were read"
    );

    // Each metric of the documentation has a series.
    let document = std::fs::read_to_string(dohle_tests::root().join("docs/observability.md"))?;
    let table = document.split_once("documented_metrics -->");
    let table = table.and_then(|(_, rest)| rest.split_once("<!-- end -->"));
    let (table, _) = table.context("the table of metrics")?;
    let rows = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let names: Vec<&str> = rows
        .map(|(name, _)| name)
        .filter(|it| it.contains('_'))
        .collect();
    ensure!(names.len() > 40, "{names:?}");
    for name in names {
        let exists = all
            .keys()
            .any(|series| series.split('{').next() == Some(name));
        ensure!(exists, "no node has a series of {name}");
    }
    health_and_a_dead_node(&mut cluster, &ports)
}

/// Scrapes until the metrics show all replicas in sync; returns the scrape.
fn until_in_sync(ports: &[u16]) -> Result<Series> {
    eventually(DEADLINE, "all replicas are in sync", || {
        let all = scrape_all(ports)?;
        let isr = by_partition(&all, "kafka_topic_partition_in_sync_replica", "");
        let is_even = |ends: &BTreeMap<i32, i64>| {
            ends == &by_partition(&all, "kafka_log_log_logendoffset", "")
        };
        let committed = by_partition(&all, "kafka_topic_partition_current_offset", "");
        let holds = isr.len() == 6 && isr.values().all(|isr| *isr == 3) && is_even(&committed);
        Ok(holds.then_some(all))
    })
}

/// The state of the cluster in health and metrics, while one of three nodes is dead.
fn health_and_a_dead_node(cluster: &mut Cluster, ports: &[u16]) -> Result<()> {
    let health = |port: u16, path: &str| request("GET", port, path, "");
    for port in ports {
        for path in ["/health/live", "/health/ready"] {
            let Response { status, body } = health(*port, path)?;
            ensure!(
                status == 200 && body.starts_with("broker "),
                "{path}: {status} {body}"
            );
        }
    }
    super::faults::allow_lost_connections(cluster);
    cluster.broker(3).kill()?;
    let left = &ports[..2];
    until(DEADLINE, "the metrics show that a broker is dead", || {
        let (mut under, mut leaders, mut controllers) = (0.0, 0.0, 0.0);
        let mut brokers = None;
        for port in left {
            let series = scrape(*port, false)?.series;
            let of = |name: &str| series.get(name).copied().context(name.to_owned());
            under += of("kafka_server_replicamanager_underreplicatedpartitions")?;
            leaders += of("kafka_server_replicamanager_leadercount")?;
            controllers += of("kafka_controller_kafkacontroller_activecontrollercount")?;
            ensure!(
                of("kafka_controller_kafkacontroller_fencedbrokercount")? == 1.0,
                "fenced"
            );
            brokers = brokers.or(series.get("kafka_brokers").copied());
        }
        // The partitions of the topic, and those of the groups' offsets.
        let all = 6.0 + 50.0;
        Ok(under == all && leaders == all && controllers == 1.0 && brokers == Some(2.0))
    })?;
    let mut shrinks = 0.0;
    for port in left {
        ensure!(health(*port, "/health/ready")?.status == 200);
        shrinks += scrape(*port, false)?.series["kafka_server_replicamanager_isrshrinks_total"];
    }
    ensure!(shrinks > 0.0, "no ISR has shrunk");
    Ok(())
}

const RULES: &str = r#"
lowercaseOutputName: true
rules:
- pattern: kafka.server<type=(?!BrokerTopicMetrics)(.+), name=(.+)><>Value
  name: my_$1_$2
  type: GAUGE
- pattern: "kafka.server<type=raft-metrics><>current-state: (.+)"
  name: my_state
  value: 1
  labels:
    state: "$1"
"#;

#[test]
fn the_agents_command_line_selects_port_and_rules() -> Result<()> {
    let port = free_port()?;
    let mut cluster = Cluster::of(1).prepare()?;
    let rules = cluster.scratch().join("rules.yml");
    std::fs::write(&rules, RULES)?;
    let options = format!(
        "-Xmx1g -javaagent:/opt/jmx_prometheus_javaagent-1.0.1.jar=127.0.0.1:{port}:{}",
        rules.display()
    );
    cluster
        .broker(1)
        .environment
        .push(("KAFKA_OPTS".to_owned(), options));
    cluster.start()?;
    let series = scrape(port, true)?.series;
    assert_eq!(series["my_replicamanager_leadercount"], 0.0);
    assert_eq!(series["my_state{state=\"leader\"}"], 1.0);
    // Attributes that no rule matches are left out.
    ensure!(
        !series.keys().any(|it| it.starts_with("kafka_controller")),
        "{series:?}"
    );

    // A mistake stops the start, and names the rule.
    cluster.stop()?;
    std::fs::write(&rules, format!("{RULES}- pattern: (a)\n  name: $2\n"))?;
    cluster.allow("metrics.jmx.rules");
    cluster.broker(1).launch()?;
    let ended = cluster.broker(1).wait_until_ended()?;
    ensure!(!ended.success(), "{ended}");
    let log = cluster.broker(1).log()?;
    let expected = "rule 3: name: \"$2\" uses $2, but the pattern has 1 groups";
    ensure!(log.contains(expected), "{log}");
    Ok(())
}
