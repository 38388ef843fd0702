//! Tests of reading what clients push, and builders of pushes.

use dohle_log::compression::{CompressionLevel, compress};
use dohle_rpc::opentelemetry as otlp;
use expect_test::expect;

use super::*;

const BYTES_MAX: usize = 10_000;

/// Returns an attribute with a text.
pub(in super::super) fn attribute(key: &str, value: &str) -> KeyValue {
    with_value(key, AnyValue::StringValue(value.to_owned()))
}

fn with_value(key: &str, value: AnyValue) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(otlp::AnyValue { value: Some(value) }),
    }
}

/// Returns a data point.
pub(in super::super) fn number(value: f64, attributes: &[(&str, &str)]) -> NumberDataPoint {
    let attributes = attributes.iter();
    NumberDataPoint {
        attributes: attributes
            .map(|(key, value)| attribute(key, value))
            .collect(),
        value: Some(Number::AsDouble(value)),
    }
}

/// Returns a metric.
pub(in super::super) fn metric(name: &str, data: Option<Data>) -> Metric {
    Metric {
        name: name.to_owned(),
        data,
    }
}

/// Returns a gauge with one number.
pub(in super::super) fn gauge(name: &str, value: f64) -> Metric {
    let data_points = vec![number(value, &[])];
    metric(name, Some(Data::Gauge(otlp::Gauge { data_points })))
}

/// Returns a sum with one number.
pub(in super::super) fn sum(
    name: &str,
    value: f64,
    temporality: AggregationTemporality,
    is_monotonic: bool,
) -> Metric {
    let sum = otlp::Sum {
        data_points: vec![number(value, &[])],
        aggregation_temporality: temporality.into(),
        is_monotonic,
    };
    metric(name, Some(Data::Sum(sum)))
}

/// Returns a sum of deltas with one number.
pub(in super::super) fn delta(name: &str, value: f64) -> Metric {
    sum(name, value, AggregationTemporality::Delta, true)
}

/// Returns the message of a resource with these attributes and metrics.
pub(in super::super) fn data(attributes: &[(&str, &str)], metrics: Vec<Metric>) -> MetricsData {
    let attributes = attributes.iter();
    let attributes = attributes
        .map(|(key, value)| attribute(key, value))
        .collect();
    MetricsData {
        resource_metrics: vec![otlp::ResourceMetrics {
            resource: Some(otlp::Resource { attributes }),
            scope_metrics: vec![otlp::ScopeMetrics { metrics }],
        }],
    }
}

/// Returns a push, as it is after decoding.
pub(in super::super) fn pushed(attributes: &[(&str, &str)], metrics: Vec<Metric>) -> PushedMetrics {
    PushedMetrics(data(attributes, metrics))
}

fn lines(metrics: &PushedMetrics) -> String {
    let mut lines = String::new();
    metrics.visit(|point| {
        lines += &match point {
            Some(point) => format!(
                "{} {:?} {} {:?} {:?}\n",
                point.name, point.kind, point.value, point.resource, point.attributes
            ),
            None => "not read\n".to_owned(),
        };
    });
    lines
}

fn several() -> MetricsData {
    let integer = NumberDataPoint {
        attributes: vec![
            with_value("flag", AnyValue::BoolValue(true)),
            with_value("node", AnyValue::IntValue(-3)),
            with_value("ratio", AnyValue::DoubleValue(0.5)),
            attribute("empty", ""),
            KeyValue::default(),
        ],
        value: Some(Number::AsInt(7)),
    };
    let without = NumberDataPoint::default();
    let gauge = otlp::Gauge {
        data_points: vec![number(1.5, &[("topic", "t")]), integer, without],
    };
    let unspecified = AggregationTemporality::Unspecified;
    data(
        &[("group_id", "g")],
        vec![
            metric("a.gauge", Some(Data::Gauge(gauge))),
            delta("a.delta", 2.0),
            sum("a.count", 3.0, AggregationTemporality::Cumulative, true),
            sum("a.plain", 4.0, unspecified, true),
            sum("a.shrinks", 5.0, AggregationTemporality::Delta, false),
            metric("a.histogram", None),
        ],
    )
}

const SEVERAL: &[&str] = &[
    r#"a.gauge Gauge 1.5 [("group_id", "g")] [("topic", "t")]"#,
    concat!(
        r#"a.gauge Gauge 7 [("group_id", "g")] "#,
        r#"[("flag", "true"), ("node", "-3"), ("ratio", "0.5")]"#
    ),
    "not read",
    r#"a.delta Delta 2 [("group_id", "g")] []"#,
    r#"a.count Cumulative 3 [("group_id", "g")] []"#,
    r#"a.plain Cumulative 4 [("group_id", "g")] []"#,
    r#"a.shrinks Gauge 5 [("group_id", "g")] []"#,
    "not read",
];

#[test]
fn gauges_and_sums_are_read_in_each_codec() {
    let encoded = several().encode_to_vec();
    for codec in [
        CompressionType::None,
        CompressionType::Gzip,
        CompressionType::Snappy,
        CompressionType::Lz4,
        CompressionType::Zstd,
    ] {
        let mut bytes = Vec::new();
        compress(codec, CompressionLevel::default(), &encoded, &mut bytes).unwrap();
        let read = read(codec, &bytes, BYTES_MAX).unwrap();
        assert_eq!(lines(&read).lines().collect::<Vec<_>>(), SEVERAL, "{codec}");
    }
}

#[test]
fn a_push_without_metrics_has_no_numbers() {
    let read = read(CompressionType::None, &[], BYTES_MAX).unwrap();
    assert_eq!(lines(&read), "");
}

#[test]
fn a_push_that_unpacks_to_too_much_is_refused() {
    let zeros = vec![0; BYTES_MAX + 1];
    for codec in [CompressionType::Gzip, CompressionType::Zstd] {
        let mut bytes = Vec::new();
        compress(codec, CompressionLevel::default(), &zeros, &mut bytes).unwrap();
        assert!(bytes.len() < 1000);
        let (code, _) = read(codec, &bytes, BYTES_MAX).unwrap_err();
        assert_eq!(code, ErrorCode::TelemetryTooLarge);
    }
}

#[test]
fn a_push_that_is_damaged_is_refused() {
    let encoded = several().encode_to_vec();
    let cut = &encoded[..encoded.len() - 1];
    for (codec, bytes) in [
        (CompressionType::None, cut),
        (CompressionType::None, &[0xff; 12][..]),
        (CompressionType::Gzip, &encoded[..]),
        (CompressionType::Zstd, &encoded[..]),
        (CompressionType::Lz4, &encoded[..]),
    ] {
        let (code, _) = read(codec, bytes, BYTES_MAX).unwrap_err();
        assert_eq!(code, ErrorCode::InvalidRecord, "{codec}");
    }
    let (_, reason) = read(CompressionType::None, cut, BYTES_MAX).unwrap_err();
    expect!["failed to decode Protobuf message: MetricsData.resource_metrics: buffer underflow"]
        .assert_eq(&reason);
}
