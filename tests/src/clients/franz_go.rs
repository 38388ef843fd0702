//! franz-go, through the program in `tests/compat/go`.

use std::path::Path;

use crate::program::Program;

/// Returns a subcommand of the program.
pub fn franz_go(command: &str, bootstrap: &str) -> Program {
    let program = crate::compat().join("go/franz-go");
    Program::new(program)
        .arg(command)
        .args(["--bootstrap", bootstrap])
}

/// Produces a corpus.
pub fn produce(bootstrap: &str, topic: &str, file: &Path, codec: &str) -> Program {
    franz_go("produce", bootstrap)
        .args(["--topic", topic, "--codec", codec, "--file"])
        .arg(file)
}

/// Consumes a topic and prints its digest.
pub fn consume(bootstrap: &str, topic: &str) -> Program {
    franz_go("consume", bootstrap).args(["--topic", topic])
}
