//! Tests of the series of clients.

use dohle_telemetry::text::{Format, render};
use dohle_telemetry::{Rules, Scrape};
use expect_test::expect;

use super::super::payload::tests::{delta, gauge, metric, number, pushed, sum};
use super::*;
use dohle_rpc::opentelemetry::metric::Data;
use dohle_rpc::opentelemetry::{AggregationTemporality, Gauge};

fn id(number: u64) -> KafkaUuid {
    KafkaUuid::from_parts(0, number)
}

fn client(client_id: &str) -> ClientIdentity {
    ClientIdentity {
        client_id: Some(client_id.to_owned()),
        software_name: "java".to_owned(),
        software_version: "4".to_owned(),
        address: "10.0.0.7:5000".parse().unwrap(),
    }
}

/// Returns the series as Prometheus reads them.
fn text(series: &ClientSeries) -> String {
    let rules = Rules::parse("").unwrap().0;
    let mut scrape = Scrape::new(&rules);
    series.collect(&mut |sample| scrape.add(sample));
    let mut families = scrape.finish(0.0);
    families.retain(|family| !family.name.starts_with("jmx_"));
    render(&families, Format::Prometheus)
}

/// Returns the names and values of the series.
fn values(series: &ClientSeries) -> Vec<String> {
    let text = text(series);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let short = |line: &str| {
        let (name, value) = (line.split('{').next()?, line.rsplit(' ').next()?);
        Some(format!("{name} {value}"))
    };
    lines.filter_map(short).collect()
}

#[test]
fn series_are_named_by_metric_client_and_attributes() {
    let mut series = ClientSeries::with_at_most(100);
    let per_node = Gauge {
        data_points: vec![
            number(1.5, &[("node.id", "2"), ("client_id", "liar")]),
            number(
                2.5,
                &[
                    ("node.id", "3"),
                    ("__name__", "up"),
                    ("7", "x"),
                    ("client.id", "liar"),
                ],
            ),
        ],
    };
    let name = "org.apache.kafka.producer.node.request.latency.avg";
    let metrics = pushed(
        &[("group_id", "g"), ("node.id", "of the resource")],
        vec![
            metric(name, Some(Data::Gauge(per_node))),
            delta("org.apache.kafka.producer.record.send.total", 3.0),
            gauge("com.example/own", 4.0),
            // A client cannot name a series of the node.
            gauge("process_open_fds", 5.0),
        ],
    );
    series.record(id(1), &client("app"), &metrics);
    // The labels of the client, which all series have, and the lines that describe families.
    let identity = "client_id=\"app\",client_instance_id=\"AAAAAAAAAAAAAAAAAAAAAQ\",\
                    client_software_name=\"java\",client_software_version=\"4\"";
    let text = text(&series).replace(identity, "CLIENT");
    let (described, lines): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with('#'));
    let lines = lines.join("\n").replace("org_apache_kafka_producer_", "O_");
    expect![[r#"
        client_com_example_own{CLIENT,group_id="g",node_id="of the resource"} 4.0
        client_process_open_fds{CLIENT,group_id="g",node_id="of the resource"} 5.0
        O_node_request_latency_avg{CLIENT,group_id="g",key_7="x",key___name__="up",node_id="3"} 2.5
        O_node_request_latency_avg{CLIENT,group_id="g",node_id="2"} 1.5
        O_record_send_total{CLIENT,group_id="g",node_id="of the resource"} 3.0
    "#]]
    .assert_eq(&(lines + "\n"));
    let name = "org_apache_kafka_producer_record_send_total";
    let origin = "org.apache.kafka.producer.record.send.total";
    assert!(described.contains(&&*format!("# HELP {name} Pushed by clients as {origin}")));
    assert!(described.contains(&&*format!("# TYPE {name} counter")));
}

#[test]
fn deltas_are_added_and_counts_and_gauges_are_replaced() {
    let mut series = ClientSeries::with_at_most(100);
    let cumulative = AggregationTemporality::Cumulative;
    for (deltas, count, level) in [(2.0, 10.0, 5.0), (3.0, 12.0, 1.0), (0.0, 1.0, -4.0)] {
        let metrics = pushed(
            &[],
            vec![
                delta("org.apache.kafka.a", deltas),
                sum("org.apache.kafka.b", count, cumulative, true),
                gauge("org.apache.kafka.c", level),
            ],
        );
        series.record(id(1), &client("app"), &metrics);
    }
    assert_eq!(
        values(&series),
        [
            "org_apache_kafka_a_total 5.0",
            "org_apache_kafka_b_total 1.0",
            "org_apache_kafka_c -4.0",
        ]
    );
}

#[test]
fn a_counter_neither_shrinks_nor_stops_being_a_number() {
    let mut series = ClientSeries::with_at_most(100);
    let cumulative = AggregationTemporality::Cumulative;
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        let metrics = pushed(
            &[],
            vec![
                delta("org.apache.kafka.a", 2.0),
                delta("org.apache.kafka.a", bad),
                sum("org.apache.kafka.b", 2.0, cumulative, true),
                sum("org.apache.kafka.b", bad, cumulative, true),
                gauge("org.apache.kafka.c", f64::NAN),
            ],
        );
        series.record(id(1), &client("app"), &metrics);
        assert_eq!(series.left_out(), 2);
    }
    assert_eq!(
        values(&series),
        [
            "org_apache_kafka_a_total 6.0",
            "org_apache_kafka_b_total 2.0",
            "org_apache_kafka_c NaN",
        ]
    );
}

#[test]
fn gauges_that_are_not_pushed_again_end_and_counters_stay() {
    let mut series = ClientSeries::with_at_most(100);
    let first = vec![gauge("x", 1.0), gauge("y", 1.0), delta("z", 1.0)];
    series.record(id(1), &client("app"), &pushed(&[], first));
    series.record(id(1), &client("app"), &pushed(&[], vec![gauge("y", 2.0)]));
    assert_eq!(values(&series), ["client_y 2.0", "client_z_total 1.0"]);
    assert_eq!(series.total, 2);
}

#[test]
fn series_are_bounded_and_what_is_left_out_is_counted() {
    let mut series = ClientSeries::with_at_most(3);
    let two = || pushed(&[], vec![gauge("x", 1.0), delta("y", 1.0)]);
    series.record(id(1), &client("a"), &two());
    series.record(id(2), &client("b"), &two());
    assert_eq!((series.total, series.left_out()), (3, 1));
    // Known series are updated, also when there is no room.
    series.record(id(1), &client("a"), &two());
    assert_eq!((series.total, series.left_out()), (3, 1));
    series.remove(id(1));
    series.remove(id(1));
    assert_eq!((series.total, series.left_out()), (1, 1));
    series.record(id(2), &client("b"), &two());
    assert_eq!((series.total, series.left_out()), (2, 0));
    series.remove(id(2));
    assert_eq!(text(&series), "");
}

#[test]
fn series_with_too_much_text_or_too_many_labels_are_left_out() {
    let mut series = ClientSeries::with_at_most(100);
    let long = "x".repeat(SERIES_BYTES_MAX);
    let keys: Vec<String> = (0..=LABELS_MAX).map(|key| format!("k{key}")).collect();
    let many: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "v")).collect();
    let with = |attributes: &[(&str, &str)]| {
        let data_points = vec![number(1.0, attributes)];
        metric("x", Some(Data::Gauge(Gauge { data_points })))
    };
    let metrics = vec![
        gauge(&long, 1.0),
        gauge(&format!("{long}x"), 1.0),
        gauge("", 1.0),
        with(&[("label", &long)]),
        with(&[(&long, "value")]),
        with(&many),
        with(&many[1..]),
        metric("histogram", None),
    ];
    series.record(id(1), &client("app"), &pushed(&[], metrics));
    assert_eq!((series.total, series.left_out()), (2, 6));
    // The attributes of the resource count for each of its numbers.
    let metrics = vec![gauge("x", 1.0), gauge("y", 1.0)];
    series.record(id(2), &client("app"), &pushed(&[("label", &long)], metrics));
    assert_eq!((series.total, series.left_out()), (2, 8));
    series.record(id(3), &client("app"), &pushed(&many, vec![gauge("x", 1.0)]));
    assert_eq!((series.total, series.left_out()), (2, 9));
}

#[test]
fn series_of_two_clients_have_the_labels_of_their_own_client() {
    let mut series = ClientSeries::with_at_most(100);
    let clients = [(1, "a", 1.0), (2, "b", 2.0)];
    for (number, client_id, value) in clients {
        let metrics = pushed(&[], vec![gauge("x", value)]);
        series.record(id(number), &client(client_id), &metrics);
    }
    let text = text(&series);
    for (number, client_id, value) in clients {
        let id = id(number);
        let line = format!(
            "client_x{{client_id=\"{client_id}\",client_instance_id=\"{id}\",\
             client_software_name=\"java\",client_software_version=\"4\"}} {value:?}"
        );
        assert!(text.lines().any(|exposed| exposed == line), "{text}");
    }
}

#[test]
fn a_client_without_an_id_has_no_label_for_it() {
    let mut series = ClientSeries::with_at_most(100);
    let anonymous = ClientIdentity {
        client_id: None,
        ..client("")
    };
    series.record(id(1), &anonymous, &pushed(&[], vec![gauge("x", 1.0)]));
    assert!(!text(&series).contains("client_id="));
}
