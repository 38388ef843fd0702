//! A node in this process, asked over HTTP.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::Node;
use crate::config::Sources;
use crate::test_support::loggers;

#[test]
fn numbers_of_the_process_are_read_from_the_system() {
    let stat = "42 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 125 0 0 20 0 9";
    assert_eq!(cpu_seconds(stat), Some(3.75));
    assert_eq!(cpu_seconds(""), None);
    let status = "Name:\tdohle\nVmHWM:\t  200 kB\nVmRSS:\t  100 kB\n";
    assert_eq!(resident_bytes(status), Some(102_400.0));
    assert_eq!(resident_bytes("Name:\tdohle\n"), None);
}

/// Returns a port that was free a moment ago.
pub(in crate::node) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Returns the answer to a request, head and body.
pub(in crate::node) async fn get(port: u16, path: &'static str) -> String {
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    asked.await.unwrap()
}

pub(in crate::node) fn config(scratch: &Path, more: &str) -> NodeConfig {
    let (broker, controller) = (free_port(), free_port());
    let text = format!(
        "process.roles=broker,controller\nnode.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}\n\
         log.dirs={}\n{more}",
        scratch.join("data").display()
    );
    let mut sources = Sources::default();
    sources
        .add_file("server.properties", text.as_bytes())
        .unwrap();
    NodeConfig::new(sources, "localhost").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_serves_its_metrics_and_its_health() {
    let scratch = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = config(
        scratch.path(),
        &format!("http.listeners=http://127.0.0.1:{port}\n"),
    );
    let node = Node::start(config, "localhost", loggers()).await.unwrap();
    let text = get(port, "/metrics").await;
    assert!(text.starts_with("HTTP/1.0 200 OK\r\n"), "{text}");
    for line in [
        "jmx_scrape_error 0.0",
        "kafka_brokers 1.0",
        "kafka_controller_kafkacontroller_activebrokercount 1.0",
        "kafka_controller_kafkacontroller_activecontrollercount 1.0",
        "kafka_server_brokertopicmetrics_messagesin_total 0.0",
        "kafka_server_group_coordinator_metrics_group_count{protocol=\"classic\"} 0.0",
        "kafka_server_raftmetrics_current_leader 1.0",
        "kafka_server_raftmetrics_current_state{current_state=\"leader\"} 1.0",
        "kafka_server_raftmetrics_number_of_voters 1.0",
        "kafka_server_replicamanager_partitioncount 0.0",
        "# TYPE process_cpu_seconds_total counter",
    ] {
        assert!(
            text.contains(&format!("\n{line}\n")),
            "no {line} in\n{text}"
        );
    }
    let ready = get(port, "/health/ready").await;
    assert!(ready.starts_with("HTTP/1.0 200 OK\r\n"), "{ready}");
    assert!(
        ready.ends_with("broker 1 serves and is in sync\n"),
        "{ready}"
    );
    // The check was a request of a client. Its response may be read before it counts as sent.
    let sent = "kafka_network_requestmetrics_totaltimems_count_total{request=\"Metadata\"}";
    let deadline = Instant::now() + Duration::from_secs(20);
    let text = loop {
        let text = get(port, "/metrics").await;
        if text.contains(sent) || Instant::now() > deadline {
            break text;
        }
    };
    let checked =
        "\nkafka_network_requestmetrics_requests_total{request=\"Metadata\",version=\"12\"} 1.0\n";
    assert!(text.contains(checked), "{text}");
    let of_check = |series: &str| {
        let start = format!("\nkafka_network_requestmetrics_{series} ");
        let (_, value) = text.split_once(&start).expect(&start);
        value.split('\n').next().unwrap().parse::<f64>().unwrap()
    };
    for (name, may_be_zero) in [
        ("localtimems", false),
        ("remotetimems", true),
        ("requestbytes", false),
        ("requestqueuetimems", true),
        ("responsequeuetimems", true),
        ("responsesendtimems", false),
        ("throttletimems", true),
        ("totaltimems", false),
    ] {
        let count = of_check(&format!("{name}_count_total{{request=\"Metadata\"}}"));
        assert_eq!(count, 1.0, "{name}");
        let labels = "{quantile=\"0.999\",request=\"Metadata\"}";
        let value = of_check(&format!("{name}{labels}"));
        assert!(value > 0.0 || may_be_zero, "{name}: {value}");
        assert!(value < 10_000.0, "{name}: {value}");
    }
    node.shutdown().await;
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_a_rule_file_stops_the_start() {
    let scratch = tempfile::tempdir().unwrap();
    let rules = scratch.path().join("rules.yml");
    std::fs::write(&rules, "rules:\n- pattern: (a)\n  name: $2\n").unwrap();
    let more = format!("metrics.jmx.rules={}\n", rules.display());
    let Err(error) = Node::start(config(scratch.path(), &more), "localhost", loggers()).await
    else {
        panic!("the node has started");
    };
    let expected = format!(
        "metrics.jmx.rules: {}: rule 1: name: \"$2\" uses $2, but the pattern has 1 groups",
        rules.display()
    );
    assert_eq!(format!("{error:#}"), expected);
    assert!(!scratch.path().join("data").exists());
}
