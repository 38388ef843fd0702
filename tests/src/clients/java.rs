//! Kafka's Java client and Kafka's own command-line tools, from Maven Central.

use std::path::Path;

use crate::program::Program;

/// Returns a class on the class path of the client and the tools; warnings go to standard error.
pub fn class(name: &str) -> Program {
    let compat = crate::compat().join("java");
    let class_path = format!("{0}/classes:{0}/libs/*", compat.display());
    let logging = crate::root().join("tests/compat/java/log4j2.properties");
    Program::new("java")
        .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg(format!("-Dlog4j2.configurationFile={}", logging.display()))
        .args(["-cp", &class_path, name])
}

/// Returns a tool of Kafka: `TopicCommand`, `GetOffsetShell` and so on.
pub fn tool(name: &str) -> Program {
    match name {
        "ConfigCommand" => class("kafka.admin.ConfigCommand"),
        "ConsoleConsumer" => class("org.apache.kafka.tools.consumer.ConsoleConsumer"),
        "ReassignPartitionsCommand" => {
            class("org.apache.kafka.tools.reassign.ReassignPartitionsCommand")
        }
        _ => class(&format!("org.apache.kafka.tools.{name}")),
    }
}

/// Produces a corpus with the Java client; `properties` are the client's own, as `name=value`.
pub fn produce(bootstrap: &str, topic: &str, file: &Path, properties: &[&str]) -> Program {
    class("Corpus")
        .args(["produce", bootstrap, topic])
        .arg(file)
        .args(properties)
}

/// Consumes a topic with the Java client and prints its digest.
pub fn consume(bootstrap: &str, topic: &str) -> Program {
    class("Corpus").args(["consume", bootstrap, topic])
}
