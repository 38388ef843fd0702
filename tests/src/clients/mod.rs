//! The command lines of the clients, none of which are part of this project.

pub mod franz_go;
pub mod java;
pub mod kafkajs;
pub mod kcat;
pub mod member;
pub mod producer;
pub mod secure;
pub mod transactional;

/// All codecs of Kafka.
pub const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// Returns the digest in a consumer's output: the line that starts with `count=`.
pub fn digest_in(stdout: &str) -> &str {
    stdout
        .lines()
        .find(|line| line.starts_with("count="))
        .unwrap_or(stdout)
}
