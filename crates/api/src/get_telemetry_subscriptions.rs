//! GetTelemetrySubscriptions, version 0 (KIP-714): which metrics the client pushes, and how often.
//!
//! A client without an instance id gets one. Its metrics are those of all subscriptions that match
//! it, and its interval is the shortest of theirs. A request before the interval is over answers
//! THROTTLING_QUOTA_EXCEEDED. There is nothing to authorize, as in Kafka.

use std::time::Duration;

use dohle_model::ErrorCode;
use dohle_model::image::MetadataImage;
use dohle_protocol::KafkaUuid;
use dohle_protocol::messages::{
    GetTelemetrySubscriptionsRequestData, GetTelemetrySubscriptionsResponseData,
};

use super::{Call, wire};
use crate::client_telemetry::{ClientIdentity, Sender};

/// The codecs that clients may use beside none, the preferred one first: zstd, lz4, gzip, snappy.
const CODECS: [i8; 4] = [4, 3, 1, 2];

pub(super) async fn handle(
    call: Call,
    request: GetTelemetrySubscriptionsRequestData,
) -> GetTelemetrySubscriptionsResponseData {
    let refused = |code: ErrorCode| GetTelemetrySubscriptionsResponseData {
        error_code: code.code(),
        ..GetTelemetrySubscriptionsResponseData::default()
    };
    let id = match request.client_instance_id {
        KafkaUuid::ZERO => KafkaUuid::random(),
        id => Ok(id),
    };
    let Ok(id) = id else {
        return refused(ErrorCode::UnknownServerError);
    };
    let telemetry = &call.context.client_telemetry;
    let image = call.context.image();
    let sender = sender(&call, &image);
    let subscription = match telemetry.subscription(&sender, id) {
        Ok(subscription) => subscription,
        Err(code) => return refused(code),
    };
    let metrics = subscription.metrics.iter();
    GetTelemetrySubscriptionsResponseData {
        client_instance_id: id,
        subscription_id: subscription.id,
        accepted_compression_types: CODECS.to_vec(),
        push_interval_ms: milliseconds(subscription.interval),
        telemetry_max_bytes: i32::try_from(telemetry.bytes_max()).unwrap_or(i32::MAX),
        delta_temporality: true,
        requested_metrics: metrics.map(|metric| wire::text(metric)).collect(),
        ..GetTelemetrySubscriptionsResponseData::default()
    }
}

/// Returns the sender of a request about telemetry.
pub(super) fn sender<'a>(call: &'a Call, image: &'a MetadataImage) -> Sender<'a> {
    let unknown = || "unknown".to_owned();
    let request = &call.request;
    let software = request.software.as_ref();
    let client_id = request.client_id.as_ref();
    Sender {
        client: ClientIdentity {
            client_id: client_id.map(ToString::to_string),
            software_name: software.map_or_else(unknown, |software| software.name.clone()),
            software_version: software.map_or_else(unknown, |software| software.version.clone()),
            address: request.client_address,
        },
        received: request.received.into_std(),
        connected: &call.connection.telemetry,
        image,
    }
}

fn milliseconds(interval: Duration) -> i32 {
    i32::try_from(interval.as_millis()).unwrap_or(i32::MAX)
}
