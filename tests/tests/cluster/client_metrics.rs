//! Metrics of clients (KIP-714): Kafka's own tools and clients, with their defaults, push what a
//! subscription asks for, and the node's `/metrics` shows it as long as the client runs.

use anyhow::{Context, Result, ensure};
use dohle_tests::exposition::Series;
use dohle_tests::program::Running;
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, eventually, until};

use super::console_tools::{ours, theirs};
use super::metrics::{port, scrape};

const TOPIC: &str = "orders";
const SENT: &str = "org_apache_kafka_producer_record_send_total";
const ASSIGNED: &str = "org_apache_kafka_consumer_coordinator_assigned_partitions";

/// Returns the series of one name.
fn of(series: &Series, name: &str) -> Vec<(String, f64)> {
    let start = format!("{name}{{");
    let named = series
        .iter()
        .filter(|(series, _)| series.starts_with(&start));
    named
        .map(|(series, value)| (series.clone(), *value))
        .collect()
}

/// Returns the sum of the series of one name.
fn total(port: u16, name: &str) -> Result<f64> {
    let series = scrape(port, false)?.series;
    Ok(of(&series, name).iter().map(|(_, value)| value).sum())
}

fn producer(bootstrap: &str) -> Result<Running> {
    let args = ["--topic", TOPIC, "--command-property", "client.id=shop"];
    let program = theirs("ConsoleProducer", bootstrap, &args);
    program.interactive().start()
}

#[test]
fn clients_push_what_is_subscribed_and_their_series_end_with_them() -> Result<()> {
    let cluster = Cluster::of(1)
        .property("http.listeners", "http://127.0.0.1:0")
        .start()?;
    cluster.create_topic(TOPIC, 1, 1, &[])?;
    let bootstrap = cluster.bootstrap();
    let port = port(&cluster.nodes()[0])?;

    let subscribe = [
        "--alter",
        "--generate-name",
        "--metrics",
        "org.apache.kafka.producer.,org.apache.kafka.consumer.",
        "--interval",
        "1000",
    ];
    let created = theirs("ClientMetricsCommand", &bootstrap, &subscribe);
    let created = created.run()?.clean()?;
    let listed = theirs("ClientMetricsCommand", &bootstrap, &["--list"]);
    let listed = listed.run()?.clean()?;
    let name = listed.trim();
    ensure!(
        created.contains(name) && name.len() == 22,
        "{created}{listed}"
    );
    for describe in [
        theirs("ClientMetricsCommand", &bootstrap, &["--describe"]),
        ours(
            "configs",
            &bootstrap,
            &["--describe", "--entity-type", "client-metrics"],
        )?,
    ] {
        let described = describe.run()?.clean()?;
        let is_shown = ["interval.ms=1000", "org.apache.kafka.consumer.", name];
        let is_shown = is_shown.iter().all(|part| described.contains(part));
        ensure!(is_shown, "{described}");
    }

    let mut producing = producer(&bootstrap)?;
    producing.send_line("one")?;
    until(DEADLINE, "the record is counted", || {
        Ok(total(port, SENT)? == 1.0)
    })?;
    let series = of(&scrape(port, true)?.series, SENT);
    let (labels, _) = series.first().context("a series")?;
    ensure!(
        labels.contains("client_id=\"shop\"")
            && labels.contains("client_instance_id=\"")
            && labels.contains("client_software_name=\"apache-kafka-java\""),
        "{labels}"
    );
    // The next pushes have what was sent since.
    producing.send_line("two")?;
    producing.send_line("three")?;
    until(DEADLINE, "more records are counted", || {
        Ok(total(port, SENT)? == 3.0)
    })?;

    // A consumer that dies takes its series along as well as one that ends.
    let mut consuming = theirs("ConsoleConsumer", &bootstrap, &["--topic", TOPIC]).start()?;
    until(DEADLINE, "the consumer's metrics", || {
        Ok(total(port, ASSIGNED)? == 1.0)
    })?;
    consuming.kill()?;
    until(DEADLINE, "the consumer's metrics end", || {
        Ok(of(&scrape(port, false)?.series, ASSIGNED).is_empty())
    })?;
    producing.finish()?.clean()?;
    let after = eventually(DEADLINE, "the producer's metrics end", || {
        let series = scrape(port, false)?.series;
        Ok(of(&series, SENT).is_empty().then_some(series))
    })?;
    let is_pushed = |series: &&String| series.starts_with("org_apache_kafka_");
    ensure!(!after.keys().any(|series| is_pushed(&series)), "{after:?}");
    assert_eq!(after["kafka_server_clientmetrics_instance_count"], 0.0);
    assert_eq!(after["dohle_metrics_client_series_left_out"], 0.0);

    // Without a subscription nothing is pushed.
    let delete = ["--delete", "--name", name];
    let deleted = theirs("ClientMetricsCommand", &bootstrap, &delete);
    deleted.run()?.clean()?;
    let listed = theirs("ClientMetricsCommand", &bootstrap, &["--list"]);
    assert_eq!(listed.run()?.clean()?.trim(), "");
    Ok(())
}

/// What the tool for configurations can do, Dohle's own can.
#[test]
fn our_tool_changes_subscriptions() -> Result<()> {
    let cluster = Cluster::of(1).start()?;
    let bootstrap = cluster.bootstrap();
    let configs = |args: &[&str]| ours("configs", &bootstrap, args)?.run();
    let add = "interval.ms=2000,metrics=[a.,b.],match=[client_id=x,client_source_port=1]";
    configs(&["--alter", "--client-metrics", "mine", "--add-config", add])?.ok()?;
    let described = configs(&["--describe", "--client-metrics", "mine"])?.clean()?;
    for part in [
        "interval.ms=2000",
        "metrics=a.,b.",
        "match=client_id=x,client_source_port=1",
    ] {
        ensure!(described.contains(part), "{described}");
    }
    let bad = [
        "--alter",
        "--client-metrics",
        "mine",
        "--add-config",
        "match=[user=x]",
    ];
    let refused = configs(&bad)?;
    ensure!(refused.code != 0, "{refused:?}");
    let reason = "Illegal client matching pattern: user=x";
    ensure!(format!("{refused:?}").contains(reason), "{refused:?}");
    Ok(())
}
