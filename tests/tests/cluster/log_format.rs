//! A node with `log.format=json` writes nothing but JSON objects to its log; errors of its
//! configuration are text.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::node::{binary, clear_environment};
use serde_json::Value;

#[test]
fn each_line_is_a_json_object() -> Result<()> {
    let mut cluster = Cluster::of(1).property("log.format", "json").start()?;
    cluster.create_topic("t", 1, 1, &[])?;
    cluster.broker(1).stop()?;
    let log = cluster.broker(1).log()?;
    let mut messages = Vec::new();
    for line in log.lines() {
        let object: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        for member in ["timestamp", "level", "target", "message"] {
            ensure!(object[member].is_string(), "no {member} in {line}");
        }
        ensure!(object["fields"].is_object(), "no fields in {line}");
        messages.push(object);
    }
    let led = |line: &&Value| line["message"] == "became leader";
    let led = messages.iter().find(led).context("no line about t-0")?;
    assert_eq!(led["target"], "dohle_broker::partition::role");
    assert_eq!(led["fields"]["partition"], "t-0");
    assert_eq!(led["fields"]["leader_epoch"], "0");
    let last = messages.last().context("no lines")?;
    let message = last["message"].as_str().unwrap_or_default();
    ensure!(message.starts_with("stopped in "), "{last}");
    assert_eq!(last["fields"]["node"], "1");
    Ok(())
}

#[test]
fn an_error_of_the_configuration_is_text() -> Result<()> {
    let mut command = Command::new(binary()?);
    clear_environment(&mut command);
    let output = command
        .args(["server", "--override", "log.format=xml"])
        .args(["--override", "log.dirs=/nonexistent"])
        .output()?;
    ensure!(!output.status.success());
    let log = String::from_utf8(output.stderr)?;
    ensure!(
        log.contains(" ERROR log.format is \"xml\"; allowed is one of text, json"),
        "{log}"
    );
    ensure!(!log.contains('{'), "{log}");
    Ok(())
}
