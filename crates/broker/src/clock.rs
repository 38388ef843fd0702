//! The wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use dohle_model::Timestamp;

/// Returns the time of the wall clock.
#[must_use]
pub fn wall_clock() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
