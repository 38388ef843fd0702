//! Series of one name, as they are exposed.

use std::collections::{BTreeMap, BTreeSet};

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A count that only grows; its series end in `_total`.
    Counter,
    /// A value that rises and falls.
    Gauge,
    /// `unknown` in OpenMetrics, `untyped` in Prometheus's text.
    Unknown,
}

/// One series and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The labels, by name.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// All series of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The name, without the suffix `_total` of counters.
    pub name: String,
    /// The type.
    pub kind: Kind,
    /// What the metric is.
    pub help: String,
    /// The series, ordered by their labels; no two have the same.
    pub points: Vec<Point>,
}

/// A series that a rule made of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) help: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
    /// The attribute that it was made of, which distinguishes series with the same labels.
    pub(crate) origin: String,
}

/// The label that distinguishes series which a rule file gives the same name and labels.
const ORIGIN_LABEL: &str = "_objectname";

/// Gathers series into families, by name, as jmx_exporter does: series of different types make a
/// family of unknown type, and when two have the same labels, all of them get the name of their
/// attribute as a further label.
pub(crate) fn gather(series: Vec<Series>) -> BTreeMap<String, Family> {
    let mut by_name: BTreeMap<String, Vec<Series>> = BTreeMap::new();
    for one in series {
        by_name.entry(one.name.clone()).or_default().push(one);
    }
    let family = |(name, series): (String, Vec<Series>)| (name.clone(), to_family(name, series));
    by_name.into_iter().map(family).collect()
}

fn to_family(name: String, series: Vec<Series>) -> Family {
    let first = series[0].kind;
    let is_uniform = series.iter().all(|one| one.kind == first);
    let distinct: BTreeSet<_> = series.iter().map(|one| &one.labels).collect();
    let is_ambiguous = distinct.len() < series.len();
    let help = series[0].help.clone();
    let point = |mut one: Series| {
        if is_ambiguous {
            one.labels.insert(ORIGIN_LABEL.to_owned(), one.origin);
        }
        Point {
            labels: one.labels,
            value: one.value,
        }
    };
    let mut points: Vec<Point> = series.into_iter().map(point).collect();
    points.sort_by(|a, b| a.labels.cmp(&b.labels));
    points.dedup_by(|later, first| later.labels == first.labels);
    Family {
        name,
        kind: if is_uniform { first } else { Kind::Unknown },
        help,
        points,
    }
}
