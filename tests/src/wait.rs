//! Waits for something that can be observed, until a deadline.

use std::fmt::Display;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long most events may take: generous, since two cores may be shared with a build.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The pause between two observations.
const PACE: Duration = Duration::from_millis(20);

/// Observes until `observe` returns a value, and returns it.
///
/// An error counts as "not yet"; the last one is reported when `limit` has passed.
pub fn eventually<T>(
    limit: Duration,
    what: impl Display,
    mut observe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let last = match observe() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => "not yet so".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() > deadline {
            // Printed at once, because a node's warnings may make the test fail in another way.
            eprintln!("{what}: not within {limit:?}; last seen: {last}");
            bail!("{what}: not within {limit:?}; last seen: {last}");
        }
        park_timeout(PACE);
    }
}

/// Waits, like [`eventually`], until `holds` returns true.
pub fn until(
    limit: Duration,
    what: impl Display,
    mut holds: impl FnMut() -> Result<bool>,
) -> Result<()> {
    eventually(limit, what, || Ok(holds()?.then_some(())))
}

/// Lets this time pass, which is part of what is measured or of what happens to a cluster. To wait
/// for something there is [`eventually`].
pub fn let_pass(time: Duration) {
    let begin = Instant::now();
    while let Some(left) = time.checked_sub(begin.elapsed()) {
        park_timeout(left);
    }
}
