//! The wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use dohle_model::Timestamp;

/// Returns the time of the wall clock; the epoch itself when the clock is before it.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    Timestamp(i64::try_from(millis).unwrap_or(i64::MAX))
}
