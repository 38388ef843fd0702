//! Scripts of the test drivers: a driver runs a script, one command a line, and its trace is
//! compared.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use dohle_telemetry::history::Event;
use expect_test::Expect;

use crate::history::Rebalance;

/// Ends the prologue of a script. The trace starts after it, because the trace of another test
/// contains the commands above it.
const PROLOGUE_END: &str = "---";

/// A driver of a shard.
pub(crate) trait ScriptDriver: Default {
    /// Runs a command.
    fn run(&mut self, line: &str);

    /// The trace of the commands so far.
    fn trace(&mut self) -> &mut String;

    /// Runs a script.
    fn run_script(&mut self, script: &str) {
        let lines = script.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty()) {
            match line {
                PROLOGUE_END => self.trace().clear(),
                _ => self.run(line),
            }
        }
    }
}

/// Runs a script and compares its trace.
#[track_caller]
pub(crate) fn check<D: ScriptDriver>(script: &str, expected: Expect) {
    let mut driver = D::default();
    driver.run_script(script);
    expected.assert_eq(driver.trace());
}

/// Parses a duration such as `100ms`, `3s`, `1h` or `7d`.
pub(crate) fn duration(text: &str) -> Duration {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let number = number.parse().expect("a number");
    match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "h" => Duration::from_hours(number),
        "d" => Duration::from_hours(24 * number),
        _ => panic!("{text} is not a duration"),
    }
}

/// Encodes a consumer's subscription (`ConsumerProtocolSubscription`, version 0).
pub(crate) fn subscription<'a>(topics: impl Iterator<Item = &'a str>) -> Bytes {
    let topics: Vec<&str> = topics.collect();
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(i32::try_from(topics.len()).expect("fits"));
    for topic in topics {
        bytes.put_i16(i16::try_from(topic.len()).expect("fits"));
        bytes.put_slice(topic.as_bytes());
    }
    bytes.put_i32(-1);
    bytes.freeze()
}

/// Shows an event of a group's history. Random member ids are shortened.
pub(crate) fn rebalance(event: &Event<Rebalance>, now: Duration) -> String {
    let now = i64::try_from(now.as_millis()).expect("fits");
    let Rebalance {
        generation,
        members,
        began,
        cause,
    } = &event.what;
    let cause = cause
        .to_string()
        .replace("-00000000-0000-0000-0000-0000000000", "-");
    let during = if *began { "" } else { " (meanwhile)" };
    let ago = (now - event.at_ms) / 1000;
    format!("{ago}s ago: to {generation}, members {members}{during}: {cause}")
}
