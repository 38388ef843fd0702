//! The tables of metrics and of loggers in docs/observability.md.

use std::fmt::Write as _;

use expect_test::expect_file;

use crate::loggers::LOGGERS;
use crate::mbeans::{self, JmxType};
use crate::rules::DEFAULT;
use crate::{Family, Kind, Rules, Sample, Scrape, Value, native};

const END: &str = "<!-- end -->";

fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Unknown => "untyped",
    }
}

fn row(table: &mut String, family: &Family, help: &str, source: &str) {
    let suffix = if family.kind == Kind::Counter {
        "_total"
    } else {
        ""
    };
    let labels: Vec<&str> = family.points[0].labels.keys().map(String::as_str).collect();
    let (name, kind, labels) = (&family.name, type_of(family.kind), labels.join(", "));
    let _ = writeln!(
        table,
        "| `{name}{suffix}` | {kind} | {labels} | {help} | {source} |"
    );
}

fn table() -> String {
    let mut table = "| Name | Type | Labels | What it is | Attribute, or whose name it is |\n\
                     |---|---|---|---|---|\n"
        .to_owned();
    let (rules, _) = Rules::parse(DEFAULT).unwrap();
    let family = |sample: Sample<'_>| {
        let mut scrape = Scrape::new(&rules);
        scrape.add(sample);
        let families = scrape.finish(0.0).into_iter();
        // The duration and the errors of the scrape are in each.
        families.filter(|it| !it.name.starts_with("jmx_scrape"))
    };
    for bean in mbeans::TABLE.iter().copied() {
        let is_further = |name: &str| name.ends_with("Percentile") && name != "50thPercentile";
        for attribute in bean.attributes().iter().filter(|it| !is_further(it.name)) {
            let sample = Sample::Attribute {
                bean,
                keys: &["x", "0"],
                attribute: attribute.name,
                value: match attribute.kind {
                    JmxType::Long => Value::Long(1),
                    JmxType::Double => Value::Double(1.0),
                    JmxType::Text => Value::Text("x"),
                },
            };
            let name = match attribute.name {
                "50thPercentile" => "50thPercentile to 999thPercentile",
                name => name,
            };
            let source = format!("`{}` {name} ({})", bean.name, bean.source);
            for family in family(sample) {
                row(&mut table, &family, attribute.help, &source);
            }
        }
    }
    for metric in native::TABLE.iter().copied() {
        let labels = &["x", "y", "z"][..metric.labels.len()];
        let value = 1.0;
        for one in family(Sample::Native {
            metric,
            labels,
            value,
        }) {
            row(&mut table, &one, metric.help, metric.source);
        }
    }
    for metric in [&native::SCRAPE_DURATION, &native::SCRAPE_ERROR] {
        let (name, kind, help) = (metric.name, type_of(metric.kind), metric.help);
        let _ = writeln!(
            table,
            "| `{name}` | {kind} |  | {help} | {} |",
            metric.source
        );
    }
    table
}

/// Asserts that the document has this table after a comment that ends with `begin`.
#[track_caller]
fn check(begin: &str, table: &str) {
    let document = include_str!("../../../docs/observability.md");
    let (before, rest) = document.split_once(begin).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = format!("{before}{begin}\n{table}\n{END}{after}");
    expect_file!["../../../docs/observability.md"].assert_eq(&expected);
}

#[test]
fn documented_metrics_are_those_of_the_tables() {
    check("documented_metrics -->\n", &table());
}

#[test]
fn documented_loggers_are_those_of_the_table() {
    let mut table = "| Logger | Its lines are about |\n|---|---|\n".to_owned();
    for logger in LOGGERS {
        let _ = writeln!(table, "| `{}` | {} |", logger.name, logger.about);
    }
    check("documented_loggers -->\n", &table);
}
