//! kcat, which tests librdkafka.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::digest::Digest;
use crate::program::Program;

/// Returns kcat with these arguments.
pub fn kcat(bootstrap: &str, args: &[&str]) -> Program {
    Program::new("kcat").args(["-b", bootstrap]).args(args)
}

/// Produces a file of `KEY TAB VALUE` lines.
pub fn produce(bootstrap: &str, topic: &str, file: &Path, codec: &str) -> Program {
    kcat(
        bootstrap,
        &["-P", "-t", topic, "-z", codec, "-K", "\t", "-X", "acks=all"],
    )
    .args(["-X", "enable.idempotence=true", "-X", "linger.ms=5", "-l"])
    .arg(file)
}

/// Consumes a topic to its end and returns its digest.
pub fn consume(bootstrap: &str, topic: &str) -> Result<Digest> {
    let stdout = kcat(
        bootstrap,
        &["-C", "-t", topic, "-o", "beginning", "-e", "-q"],
    )
    .args(["-f", "%p\t%o\t%k\t%s\n"])
    .run()?
    .clean()?;
    let mut digest = Digest::default();
    let mut next = std::collections::HashMap::new();
    for line in stdout.lines() {
        let mut fields = line.splitn(4, '\t');
        let mut field = || {
            fields
                .next()
                .with_context(|| format!("kcat printed {line:?}"))
        };
        let partition: i32 = field()?.parse()?;
        let offset: i64 = field()?.parse()?;
        let expected = next.insert(partition, offset + 1).unwrap_or(0);
        ensure!(
            offset == expected,
            "partition {partition}: offset {offset}, not {expected}"
        );
        digest.add(field()?.as_bytes(), field()?.as_bytes());
    }
    Ok(digest)
}
