//! Metrics as clients push them: OpenTelemetry's `MetricsData`, compressed. Pure.
//!
//! What is read are numbers: gauges and sums. Histograms and summaries, which no client of Kafka
//! pushes, are not read. A sum that may shrink is a gauge; one that does not name its temporality
//! is cumulative.
//!
//! Memory: a decoded message takes at most some 40 times the bytes of its encoding.

use std::borrow::Cow;

use dohle_log::compression::{CompressionError, CompressionType, decompress};
use dohle_model::ErrorCode;
use dohle_rpc::opentelemetry::any_value::Value as AnyValue;
use dohle_rpc::opentelemetry::metric::Data;
use dohle_rpc::opentelemetry::number_data_point::Value as Number;
use dohle_rpc::opentelemetry::{
    AggregationTemporality, KeyValue, Metric, MetricsData, NumberDataPoint,
};
use prost::Message as _;

/// The meaning of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PointKind {
    /// A value that rises and falls.
    Gauge,
    /// The growth of a count since the last push.
    Delta,
    /// A count since the start of the client.
    Cumulative,
}

/// One number that a client has pushed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PushedPoint<'a> {
    /// The name of the metric, such as `org.apache.kafka.producer.record.send.total`.
    pub name: &'a str,
    pub kind: PointKind,
    /// The attributes of the number itself.
    pub attributes: Vec<(&'a str, Cow<'a, str>)>,
    /// The attributes of what the numbers belong to. They are shared by many points, because a copy
    /// for each would take memory without a bound.
    pub resource: &'a [(&'a str, Cow<'a, str>)],
    pub value: f64,
}

/// The metrics of one push.
#[derive(Debug, Default, PartialEq)]
pub(super) struct PushedMetrics(MetricsData);

/// Decompresses and decodes a push of which at most `bytes_max` bytes are read.
///
/// # Errors
/// TELEMETRY_TOO_LARGE if it unpacks to more, and INVALID_RECORD if it is damaged.
pub(super) fn read(
    codec: CompressionType,
    bytes: &[u8],
    bytes_max: usize,
) -> Result<PushedMetrics, (ErrorCode, String)> {
    let bytes = decompress(codec, bytes, bytes_max).map_err(|error| {
        let code = match error {
            CompressionError::TooLarge(_) => ErrorCode::TelemetryTooLarge,
            CompressionError::Codec { .. } => ErrorCode::InvalidRecord,
        };
        (code, error.to_string())
    })?;
    let data = MetricsData::decode(&*bytes);
    let data = data.map_err(|error| (ErrorCode::InvalidRecord, error.to_string()))?;
    drop(bytes);
    Ok(PushedMetrics(data))
}

impl PushedMetrics {
    /// Passes each number to `visit`: `None` for one that is not read.
    pub fn visit(&self, mut visit: impl FnMut(Option<PushedPoint<'_>>)) {
        for resource_metrics in &self.0.resource_metrics {
            let resource = resource_metrics.resource.iter();
            let attributes = resource.flat_map(|resource| &resource.attributes);
            let resource: Vec<_> = attributes.filter_map(text).collect();
            let scopes = resource_metrics.scope_metrics.iter();
            for metric in scopes.flat_map(|scope| &scope.metrics) {
                let Some((kind, numbers)) = numbers(metric) else {
                    visit(None);
                    continue;
                };
                for number in numbers {
                    visit(point(&metric.name, kind, &resource, number));
                }
            }
        }
    }
}

/// Returns the data points of a metric; `None` for kinds that are not read.
fn numbers(metric: &Metric) -> Option<(PointKind, &[NumberDataPoint])> {
    match metric.data.as_ref()? {
        Data::Gauge(gauge) => Some((PointKind::Gauge, &gauge.data_points)),
        Data::Sum(sum) => {
            let is_delta = sum.aggregation_temporality() == AggregationTemporality::Delta;
            let kind = match (sum.is_monotonic, is_delta) {
                (true, true) => PointKind::Delta,
                (true, false) => PointKind::Cumulative,
                (false, _) => PointKind::Gauge,
            };
            Some((kind, &sum.data_points))
        }
    }
}

/// Returns `None` for a data point without a number.
fn point<'a>(
    name: &'a str,
    kind: PointKind,
    resource: &'a [(&'a str, Cow<'a, str>)],
    number: &'a NumberDataPoint,
) -> Option<PushedPoint<'a>> {
    let value = match number.value? {
        Number::AsDouble(value) => value,
        Number::AsInt(value) => value as f64,
    };
    Some(PushedPoint {
        name,
        kind,
        attributes: number.attributes.iter().filter_map(text).collect(),
        resource,
        value,
    })
}

/// Returns the name and the value of an attribute; `None` for lists, bytes and empty values.
fn text(attribute: &KeyValue) -> Option<(&str, Cow<'_, str>)> {
    let value = match attribute.value.as_ref()?.value.as_ref()? {
        AnyValue::StringValue(text) => Cow::Borrowed(text.as_str()),
        AnyValue::BoolValue(flag) => Cow::Owned(flag.to_string()),
        AnyValue::IntValue(number) => Cow::Owned(number.to_string()),
        AnyValue::DoubleValue(number) => Cow::Owned(number.to_string()),
    };
    (!value.is_empty()).then_some((attribute.key.as_str(), value))
}

#[cfg(test)]
#[path = "payload_tests.rs"]
pub(super) mod tests;
