//! kafkajs, through the script in `tests/compat/node`.

use crate::program::Program;

/// Walks through the life of a topic that does not exist yet.
pub fn walk_through(bootstrap: &str, topic: &str) -> Program {
    Program::new("node")
        .arg(crate::compat().join("node/main.js"))
        .args([bootstrap, topic])
}
