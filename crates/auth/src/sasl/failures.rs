//! Decides which failed authentications are logged, so that a client that tries again and again, or
//! one that tries many names, cannot fill the log.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The time for which the same failure is not logged again.
const QUIET: Duration = Duration::from_mins(1);
/// The different failures that are remembered.
const FAILURES_MAX: usize = 1024;
/// The most lines in a second.
const LINES_A_SECOND: u32 = 10;

/// A failed authentication.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Failure {
    /// The listener.
    pub listener: Arc<str>,
    /// The client's address.
    pub host: IpAddr,
    /// The user that the client named, if any.
    pub user: Option<Arc<str>>,
    /// The cause.
    pub cause: String,
}

/// Which failures were logged lately.
#[derive(Debug, Default)]
pub struct FailureLog {
    logged: HashMap<Failure, Instant>,
    /// Failures that were not logged since the last line.
    suppressed: u64,
    /// The second that [`Self::lines`] counts, and the number of lines in it.
    second: Option<Instant>,
    lines: u32,
}

impl FailureLog {
    /// Records a failure. Returns whether it is to be logged: the number of failures that were not
    /// logged since the previous line.
    pub fn on_failure(&mut self, failure: &Failure, now: Instant) -> Option<u64> {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < QUIET;
        let begins = self
            .second
            .is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_secs(1));
        if begins {
            (self.second, self.lines) = (Some(now), 0);
        }
        if self.logged.len() >= FAILURES_MAX && begins {
            self.logged.retain(|_, at| is_recent(at));
        }
        let repeats = self.logged.get(failure).is_some_and(is_recent);
        let is_full = self.logged.len() >= FAILURES_MAX && !self.logged.contains_key(failure);
        if repeats || is_full || self.lines >= LINES_A_SECOND {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        self.logged.insert(failure.clone(), now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// Returns the beginning of a user's name, in a form for the log.
#[must_use]
pub fn printable_user(user: Option<&str>) -> String {
    let user = user.unwrap_or_default();
    user.chars()
        .take(100)
        .flat_map(char::escape_debug)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn failure(user: &str) -> Failure {
        Failure {
            listener: "SASL".into(),
            host: Ipv4Addr::LOCALHOST.into(),
            user: Some(user.into()),
            cause: "the password is wrong".into(),
        }
    }

    #[test]
    fn the_same_failure_is_logged_once_a_minute() {
        let (mut log, start) = (FailureLog::default(), Instant::now());
        assert_eq!(log.on_failure(&failure("alice"), start), Some(0));
        assert_eq!(log.on_failure(&failure("alice"), start), None);
        assert_eq!(log.on_failure(&failure("bob"), start), Some(1));
        let later = start + QUIET;
        assert_eq!(log.on_failure(&failure("alice"), later), Some(0));
    }

    #[test]
    fn many_names_do_not_fill_the_log_or_the_memory() {
        let (mut log, start) = (FailureLog::default(), Instant::now());
        let mut lines = 0;
        for name in 0..5000_u64 {
            let now = start + Duration::from_millis(name);
            lines += usize::from(log.on_failure(&failure(&name.to_string()), now).is_some());
        }
        assert_eq!(lines, 50, "ten a second");
        for minute in 1..300 {
            for name in 0..10 {
                let name = format!("{minute} {name}");
                let _ = log.on_failure(&failure(&name), start + QUIET * minute);
            }
        }
        assert!(log.logged.len() <= FAILURES_MAX);
    }

    #[test]
    fn a_name_cannot_forge_a_line_of_the_log() {
        assert_eq!(printable_user(Some("a\nERROR x")), "a\\nERROR x");
        assert_eq!(printable_user(Some(&"x".repeat(1000))).len(), 100);
        assert_eq!(printable_user(None), "");
    }
}
