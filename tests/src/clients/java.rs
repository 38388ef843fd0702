//! Kafka's Java client and Kafka's own command-line tools, from Maven Central.

use std::path::Path;

use anyhow::Result;

use crate::program::{Output, Program, Running};

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
    class(&class_of_tool(name))
}

fn class_of_tool(name: &str) -> String {
    match name {
        "ConfigCommand" => "kafka.admin.ConfigCommand".to_owned(),
        "ConsoleConsumer" => "org.apache.kafka.tools.consumer.ConsoleConsumer".to_owned(),
        "ReassignPartitionsCommand" => {
            "org.apache.kafka.tools.reassign.ReassignPartitionsCommand".to_owned()
        }
        _ => format!("org.apache.kafka.tools.{name}"),
    }
}

/// A tool of Kafka that runs several command lines in one JVM, which takes seconds to start.
#[derive(Debug)]
pub struct ToolLoop {
    running: Running,
}

impl ToolLoop {
    /// Starts the JVM.
    pub fn start(name: &str) -> Result<Self> {
        let program = class("ToolLoop").arg(class_of_tool(name));
        let running = program.interactive().start()?;
        Ok(Self { running })
    }

    /// Runs the tool. Its output has what it prints to standard error, too.
    pub fn run(&mut self, args: &[&str]) -> Result<Output> {
        let before = self.running.lines_so_far().len();
        self.running.send_line(&args.join("\t"))?;
        let end = self
            .running
            .wait_for_line(|line| line.starts_with("=== "))?;
        let lines = self.running.lines_so_far();
        let printed = &lines[before..lines.len() - 1];
        Ok(Output {
            command: args.join(" "),
            code: end[4..].parse()?,
            stdout: printed.iter().map(|line| format!("{line}\n")).collect(),
            stderr: String::new(),
        })
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
