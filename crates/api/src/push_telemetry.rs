//! PushTelemetry, version 0 (KIP-714): the metrics of a client, which `/metrics` exposes.
//!
//! The checks and their order are those of Kafka: an id that is reserved and a push after the last
//! one (INVALID_REQUEST), a push before the interval is over (THROTTLING_QUOTA_EXCEEDED), another
//! subscription than the current one (UNKNOWN_SUBSCRIPTION_ID), a codec that does not exist
//! (UNSUPPORTED_COMPRESSION_TYPE), more than `telemetry.max.bytes` (TELEMETRY_TOO_LARGE, also if
//! the metrics unpack to more), and metrics that are damaged (INVALID_RECORD). There is nothing to
//! authorize, as in Kafka.

use std::sync::Arc;

use dohle_model::ErrorCode;
use dohle_protocol::messages::{PushTelemetryRequestData, PushTelemetryResponseData};

use super::{Call, wire};
use crate::get_telemetry_subscriptions::sender;

pub(super) async fn handle(
    call: Call,
    request: PushTelemetryRequestData,
) -> PushTelemetryResponseData {
    PushTelemetryResponseData {
        error_code: push(&call, &request)
            .await
            .map_or_else(ErrorCode::code, |()| wire::NONE),
        ..PushTelemetryResponseData::default()
    }
}

async fn push(call: &Call, request: &PushTelemetryRequestData) -> Result<(), ErrorCode> {
    let telemetry = Arc::clone(&call.context.client_telemetry);
    let accepted = {
        let image = call.context.image();
        telemetry.accept(&sender(call, &image), request)?
    };
    let blocking = call.context.partitions.blocking();
    let exported = blocking.compute(call.owner(), move || telemetry.export(&accepted));
    // What fails here is the work itself, which is no fault of the client.
    exported.await.unwrap_or(Err(ErrorCode::UnknownServerError))
}
