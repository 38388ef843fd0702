//! Rule files, applied to a few MBeans. What is expected was derived from the agent's source.

use expect_test::{Expect, expect};

use super::*;
use crate::mbeans::{AttributeDef, JmxType, TABLE};
use crate::text::{Format, render};
use crate::{MBean, Sample, Scrape};

/// Names of MBeans, attributes and values.
type Beans = &'static [(&'static str, &'static str, Value<'static>)];

const BEANS: Beans = &[
    (
        "kafka.server:type=ReplicaManager,name=LeaderCount",
        "Value",
        Value::Long(3),
    ),
    (
        "kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec,topic=a.b_c",
        "Count",
        Value::Long(7),
    ),
    (
        "kafka.log:type=Log,name=Size,topic=t,partition=0",
        "Value",
        Value::Long(100),
    ),
    (
        "kafka.server:type=raft-metrics",
        "current-state",
        Value::Text("leader"),
    ),
    (
        "kafka.server:type=raft-metrics",
        "current-epoch",
        Value::Long(2),
    ),
    (
        "kafka.x:type=X,name=RequestLatency",
        "99thPercentile",
        Value::Double(12.5),
    ),
];

fn series(rules: &str, beans: Beans) -> (Vec<Series>, usize) {
    let (rules, _) = Rules::parse(rules).unwrap();
    let (mut made, mut errors) = (Vec::new(), 0);
    for (bean, name, value) in beans {
        let (domain, list) = bean.split_once(':').unwrap();
        let properties = list.split(',').map(|item| item.split_once('=').unwrap());
        let properties: Vec<_> = properties.collect();
        let (properties, help) = (&properties[..], "Help");
        let (name, value) = (*name, *value);
        let attribute = Attribute {
            domain,
            properties,
            name,
            help,
            value,
        };
        match rules.apply(&attribute) {
            Ok(one) => made.extend(one),
            Err(Unusable::Rule) => errors += 1,
            Err(Unusable::Value) => {}
        }
    }
    (made, errors)
}

#[track_caller]
fn check_beans(rules: &str, beans: Beans, expected: Expect) {
    let (series, errors) = series(rules, beans);
    let families: Vec<_> = crate::family::gather(series).into_values().collect();
    let mut text = render(&families, Format::Prometheus);
    let lines = text.lines().filter(|line| !line.starts_with("# HELP"));
    text = lines.map(|line| format!("{line}\n")).collect();
    if errors > 0 {
        text += &format!("{errors} errors\n");
    }
    expected.assert_eq(&text);
}

#[track_caller]
fn check(rules: &str, expected: Expect) {
    check_beans(rules, BEANS, expected);
}

#[test]
fn without_rules_series_are_named_after_their_mbeans() {
    check(
        "",
        expect![[r#"
            # TYPE kafka_log_Log_Value untyped
            kafka_log_Log_Value{name="Size",partition="0",topic="t"} 100.0
            # TYPE kafka_server_BrokerTopicMetrics_Count untyped
            kafka_server_BrokerTopicMetrics_Count{name="BytesInPerSec",topic="a.b_c"} 7.0
            # TYPE kafka_server_ReplicaManager_Value untyped
            kafka_server_ReplicaManager_Value{name="LeaderCount"} 3.0
            # TYPE kafka_server_raft_metrics_current_epoch untyped
            kafka_server_raft_metrics_current_epoch 2.0
            # TYPE kafka_x_X_99thPercentile untyped
            kafka_x_X_99thPercentile{name="RequestLatency"} 12.5
        "#]],
    );
    check("rules: []", expect![""]);
}

#[test]
fn the_first_rule_that_matches_decides() {
    check(
        "lowercaseOutputName: true
rules:
- pattern: kafka.server<type=(.+), name=(.+), topic=(.+)><>Count
  name: kafka_server_$1_$2
  type: COUNTER
  labels:
    topic: $3
- pattern: kafka.server<type=(.+), name=(.+)><>Value
  name: kafka_$1_$2_total
  type: GAUGE
- pattern: kafka.server<type=(.+), name=(.+)><>Value
  name: never",
        expect![[r#"
            # TYPE kafka_replicamanager_leadercount gauge
            kafka_replicamanager_leadercount 3.0
            # TYPE kafka_server_brokertopicmetrics_bytesinpersec_total counter
            kafka_server_brokertopicmetrics_bytesinpersec_total{topic="a.b_c"} 7.0
        "#]],
    );
}

#[test]
fn an_empty_name_drops_what_the_pattern_matches() {
    check(
        "rules:
- pattern: kafka.server<.*
  name: ''
- pattern: kafka.log<
- pattern: .*
  name: rest",
        expect![[r#"
            # TYPE kafka_log_Log_Value untyped
            kafka_log_Log_Value{name="Size",partition="0",topic="t"} 100.0
            # TYPE rest untyped
            rest 12.5
        "#]],
    );
}

#[test]
fn values_come_from_the_pattern_and_are_multiplied() {
    check(
        "rules:
- pattern: 'raft-metrics><>(.+): (leader|follower)'
  name: raft_$1
  value: 1
  labels:
    $1: $2
- pattern: 'raft-metrics><>current-epoch: (\\d+)'
  name: epoch
  value: $1.5
  valueFactor: 10
- pattern: kafka.x<.*>(\\d+)thPercentile
  name: latency_seconds
  valueFactor: 0.001
  type: GAUGE
  labels:
    quantile: 0.$1
- pattern: LeaderCount
  name: leaders
  valueFactor: a lot
- pattern: BytesIn
  name: bytes
  value: $0",
        expect![[r#"
            # TYPE epoch untyped
            epoch 25.0
            # TYPE latency_seconds gauge
            latency_seconds{quantile="0.99"} 0.0125
            # TYPE leaders untyped
            leaders 3.0
            # TYPE raft_current_state untyped
            raft_current_state{current_state="leader"} 1.0
        "#]],
    );
}

#[test]
fn labels_are_made_safe_and_empty_ones_left_out() {
    check(
        "lowercaseOutputLabelNames: true
rules:
- pattern: 'kafka.log<type=(.+), name=(.+), topic=(.+), partition=(.+)(x)?><>Value'
  name: 9$2--of..a_log
  labels:
    Top-ic: $3
    '$1': \"a \\\"text\\\"\"
    nothing: $5
    '': empty
    number: 7",
        expect![[r#"
            # TYPE _9Size_of_a_log untyped
            _9Size_of_a_log{log="a \"text\"",number="7",top_ic="t"} 100.0
        "#]],
    );
}

#[test]
fn lookahead_excludes() {
    check(
        "rules:
- pattern: kafka.server<type=(?!BrokerTopicMetrics)([\\w-]+)(, name=(\\w+))?><>(Value|current-epoch)
  name: server_$1_$3",
        expect![[r#"
            # TYPE server_ReplicaManager_LeaderCount untyped
            server_ReplicaManager_LeaderCount 3.0
            # TYPE server_raft_metrics_ untyped
            server_raft_metrics_ 2.0
        "#]],
    );
}

#[test]
fn attributes_are_written_with_underscores_on_request() {
    check_beans(
        "rules:
- pattern: 'a<b=c><>one_minute_rate:'
  attrNameSnakeCase: true
- pattern: 'a<b=c><>fiveMinuteRate: <cache>'
  cache: true",
        &[
            ("a:b=c", "oneMinuteRate", Value::Double(0.5)),
            ("a:b=c", "fiveMinuteRate", Value::Double(1.5)),
        ],
        expect![[r#"
            # TYPE a_c_fiveMinuteRate untyped
            a_c_fiveMinuteRate 1.5
            # TYPE a_c_one_minute_rate untyped
            a_c_one_minute_rate 0.5
        "#]],
    );
}

#[test]
fn series_that_would_be_equal_get_the_name_of_their_attribute() {
    check_beans(
        "rules:
- pattern: 'a<b=(.*)><>v'
  name: same
- pattern: 'a<b=(.*)><>w'
  name: mixed
  type: GAUGE
- pattern: 'a<b=(.*)><>x'
  name: mixed
  type: COUNTER
  labels: {b: $1}",
        &[
            ("a:b=1", "v", Value::Long(1)),
            ("a:b=2", "v", Value::Long(2)),
            ("a:b=1", "w", Value::Long(3)),
            ("a:b=1", "x", Value::Long(4)),
        ],
        expect![[r#"
            # TYPE mixed untyped
            mixed 3.0
            mixed{b="1"} 4.0
            # TYPE same untyped
            same{_objectname="a<b=1><>v"} 1.0
            same{_objectname="a<b=2><>v"} 2.0
        "#]],
    );
}

#[test]
fn reserved_endings_of_names_are_removed_as_the_java_client_does() {
    check_beans(
        "rules:
- {pattern: 'a<b=1><>v', name: x_total, type: GAUGE}
- {pattern: 'a<b=2><>v', name: y_count, type: COUNTER}
- {pattern: 'a<b=3><>v', name: z_info_total, type: UNTYPED}
- {pattern: 'a<b=4><>v', name: lower, type: counter}",
        &[
            ("a:b=1", "v", Value::Long(1)),
            ("a:b=2", "v", Value::Long(2)),
            ("a:b=3", "v", Value::Long(3)),
            ("a:b=4", "v", Value::Long(4)),
        ],
        expect![[r#"
            # TYPE lower untyped
            lower 4.0
            # TYPE x gauge
            x 1.0
            # TYPE y_count_total counter
            y_count_total 2.0
            # TYPE z untyped
            z 3.0
        "#]],
    );
}

#[test]
fn labels_that_prometheus_rejects_are_counted_as_errors() {
    check(
        "rules:
- {pattern: 'Size', name: a, labels: {'__a': b, 'c:d': e}}
- {pattern: 'LeaderCount', name: b, labels: {'a-b': c, 'a.b': d}}
- {pattern: 'BytesIn', name: d}",
        expect![[r#"
            # TYPE d untyped
            d 7.0
            2 errors
        "#]],
    );
}

#[test]
fn object_names_are_included_and_excluded() {
    for rules in [
        "includeObjectNames: ['kafka.server:*', 'kafka.log:*']
excludeObjectNames: ['kafka.server:type=BrokerTopicMetrics,*']
excludeObjectNameAttributes: {'kafka.server:type=raft-metrics': [current-epoch]}",
        "whitelistObjectNames: ['kafka.server:*', 'kafka.log:*']
blacklistObjectNames: ['kafka.server:name=Bytes*,*', 'kafka.server:type=raft-metrics']",
        // The newer name takes precedence.
        "includeObjectNames: ['kafka.server:type=ReplicaManager,*', 'kafka.log:type=Log,*']
whitelistObjectNames: ['kafka.server:type=raft-metrics']",
    ] {
        check(
            rules,
            expect![[r#"
                # TYPE kafka_log_Log_Value untyped
                kafka_log_Log_Value{name="Size",partition="0",topic="t"} 100.0
                # TYPE kafka_server_ReplicaManager_Value untyped
                kafka_server_ReplicaManager_Value{name="LeaderCount"} 3.0
            "#]],
        );
    }
}

#[track_caller]
fn check_error(rules: &str, message: &str) {
    let error = Rules::parse(rules).map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with(message), "{error}");
}

#[test]
fn a_mistake_is_reported_with_the_number_of_its_rule() {
    check_error("rules: [", "the file is not valid YAML: ");
    check_error("a list", "the file is not valid YAML: it has to be a map");
    check_error("rules: {pattern: a}", "rules: it has to be a list");
    check_error(
        "lowercaseOutputName: 1",
        "lowercaseOutputName: it has to be true or false",
    );
    check_error(
        "includeObjectNames: kafka:*",
        "includeObjectNames: it has to be a list",
    );
    check_error(
        "excludeObjectNames: [kafka]",
        "excludeObjectNames: \"kafka\" is no object name",
    );
    check_error("jmxUrl: x", "jmxUrl: the agent refuses it too");
    check_error(
        "httpServer: {}",
        "httpServer: the HTTP listener has neither TLS",
    );
    let second = |rule: &str| format!("rules:\n- pattern: .*\n- {rule}");
    for (rule, message) in [
        ("text", "rule 2: pattern: a rule has to be a map"),
        (
            "{name: a}",
            "rule 2: name: a rule with a name needs a pattern",
        ),
        (
            "{pattern: a, labels: {a: b}}",
            "rule 2: labels: it needs a name",
        ),
        ("{pattern: a, help: b}", "rule 2: help: it needs a name"),
        (
            "{value: 1}",
            "rule 2: value: a rule with a value needs a pattern",
        ),
        ("{pattern: '(a'}", "rule 2: pattern: correct \"(a\": "),
        (
            "{pattern: (a), name: $2}",
            "rule 2: name: \"$2\" uses $2, but the pattern has 1 groups",
        ),
        (
            "{pattern: a, name: a$}",
            "rule 2: name: \"a$\" has a $ without the number",
        ),
        (
            "{pattern: a, name: a, labels: {$1: b}}",
            "rule 2: labels: \"$1\" uses $1",
        ),
        (
            "{pattern: a, name: [a]}",
            "rule 2: name: it has to be a text",
        ),
        (
            "{pattern: a, cache: 1}",
            "rule 2: cache: it has to be true or false",
        ),
    ] {
        check_error(&second(rule), message);
    }
}

#[test]
fn entries_without_effect_are_warnings() {
    let (_, warnings) = Rules::parse(
        "startDelaySeconds: 5\nssl: false\nfoo: 1\nrules:\n- {patern: a}\n- {pattern: a, name: b}",
    )
    .unwrap();
    let texts: Vec<&str> = warnings.iter().map(|warning| &*warning.0).collect();
    let expected = [
        "startDelaySeconds has no effect",
        "ssl has no effect",
        "\"foo\" is no entry of a rule file",
        "rule 1: \"patern\" is no entry of a rule",
    ];
    assert_eq!(texts, expected);
}

/// Values for each attribute of the table, with two instances of MBeans that vary.
fn scrape_of_the_table(rules: &Rules) -> Vec<crate::Family> {
    let mut scrape = Scrape::new(rules);
    let add = |scrape: &mut Scrape<'_>,
               bean: &'static MBean,
               keys: &[&str],
               it: &'static AttributeDef| {
        let value = match it.kind {
            JmxType::Long => Value::Long(1),
            JmxType::Double => Value::Double(1.0),
            JmxType::Text => Value::Text("leader"),
        };
        let attribute = it.name;
        scrape.add(Sample::Attribute {
            bean,
            keys,
            attribute,
            value,
        });
    };
    for bean in TABLE.iter().copied() {
        for attribute in bean.attributes() {
            add(&mut scrape, bean, &["a.b", "0"], attribute);
            if bean.properties().any(|(_, value)| value == "*") {
                add(&mut scrape, bean, &["a_b", "0"], attribute);
            }
        }
    }
    for metric in crate::native::TABLE.iter().copied() {
        let (labels, value) = (&["x", "y", "z"][..metric.labels.len()], 1.0);
        scrape.add(Sample::Native {
            metric,
            labels,
            value,
        });
    }
    scrape.finish(0.5)
}

#[test]
fn series_of_the_node_hide_those_that_clients_push() {
    let (rules, _) = Rules::parse(DEFAULT).unwrap();
    let mut scrape = Scrape::new(&rules);
    let mut push = |name, kind, labels, value| {
        scrape.add(Sample::Pushed {
            name,
            kind,
            origin: "a.b",
            labels,
            value,
        });
    };
    push("process_open_fds", Kind::Gauge, &[][..], 7.0);
    push("a", Kind::Gauge, &[("client_id", "y")], 2.0);
    push("a", Kind::Gauge, &[("client_id", "x")], 1.0);
    push("a", Kind::Gauge, &[("client_id", "x")], 5.0);
    push("b", Kind::Gauge, &[], 3.0);
    push("b", Kind::Counter, &[("client_id", "x")], 4.0);
    scrape.add(Sample::Native {
        metric: &crate::native::OPEN_FDS,
        labels: &[],
        value: 1.0,
    });
    let mut families = scrape.finish(0.5);
    families.retain(|family| !family.name.starts_with("jmx_"));
    expect![[r#"
        # HELP a Pushed by clients as a.b
        # TYPE a gauge
        a{client_id="x"} 1.0
        a{client_id="y"} 2.0
        # HELP b Pushed by clients as a.b
        # TYPE b untyped
        b 3.0
        b{client_id="x"} 4.0
        # HELP process_open_fds File descriptors that the process has open
        # TYPE process_open_fds gauge
        process_open_fds 1.0
    "#]]
    .assert_eq(&render(&families, Format::Prometheus));
}

#[test]
fn the_default_rules_name_every_attribute_and_make_no_series_ambiguous() {
    let (rules, warnings) = Rules::parse(DEFAULT).unwrap();
    assert_eq!(warnings, []);
    let families = scrape_of_the_table(&rules);
    let text = render(&families, Format::Prometheus);
    assert!(!text.contains("_objectname"), "{text}");
    assert!(
        !text.contains("untyped") || text.matches("untyped").count() == 1,
        "{text}"
    );
    let points: usize = families.iter().map(|family| family.points.len()).sum();
    let attributes = TABLE.iter().map(|bean| {
        let varies = bean.properties().any(|(_, value)| value == "*");
        // Strimzi's rules have no names for these attributes of histograms.
        let is_left_out = |name: &str| ["Max", "Mean", "Min", "StdDev"].contains(&name);
        let named = bean.attributes().iter().filter(|it| !is_left_out(it.name));
        named.count() * if varies { 2 } else { 1 }
    });
    // The duration and the errors of the scrape come twice.
    let expected = attributes.sum::<usize>() + crate::native::TABLE.len();
    assert_eq!(points, expected + 2, "{text}");
    for name in [
        "kafka_server_replicamanager_underreplicatedpartitions 1.0",
        "kafka_controller_kafkacontroller_activecontrollercount 1.0",
        "kafka_server_brokertopicmetrics_bytesin_total{topic=\"a.b\"} 1.0",
        "kafka_network_requestmetrics_requests_total{request=\"a.b\",version=\"0\"} 1.0",
        "kafka_network_requestmetrics_totaltimems{quantile=\"0.999\",request=\"a.b\"} 1.0",
        "kafka_network_requestmetrics_totaltimems_count_total{request=\"a.b\"} 1.0",
        "kafka_log_log_size{partition=\"0\",topic=\"a_b\"} 1.0",
        "kafka_server_raftmetrics_current_state{current_state=\"leader\"} 1.0",
        "kafka_server_socket_server_metrics_connection_count{listener=\"a.b\",\
         networkProcessor=\"0\"} 1.0",
        "kafka_consumergroup_lag{consumergroup=\"x\",partition=\"z\",topic=\"y\"} 1.0",
        "process_cpu_seconds_total 1.0",
    ] {
        assert!(
            text.contains(&format!("\n{name}\n")),
            "{name} is missing in\n{text}"
        );
    }
}
