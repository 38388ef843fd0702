//! Tests of consumer groups: scripts, whose traces say what is answered and written, and random
//! runs.

mod classic;
mod commits;
mod describes;
mod epochs;
mod hashes;
mod joins;
mod migration;
mod print;
mod simulation;
mod statics;
mod topics;
mod world;

use expect_test::Expect;

/// Runs a script and compares its trace.
#[track_caller]
fn check(script: &str, expected: Expect) {
    expected.assert_eq(&world::World::default().run(script));
}
