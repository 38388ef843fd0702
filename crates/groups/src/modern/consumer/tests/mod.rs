//! Tests of consumer groups: scripts, whose traces show responses and records, and random runs.

mod classic_clients;
mod commits;
mod describes;
mod epochs;
mod harness;
mod hashes;
mod history;
mod joins;
mod print;
mod simulation;
mod statics;
mod topics;

use expect_test::Expect;

use crate::test_scripts;

/// Runs a script and compares its trace.
#[track_caller]
pub(crate) fn check(script: &str, expected: Expect) {
    test_scripts::check::<harness::Harness>(script, expected);
}
