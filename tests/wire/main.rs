//! Records what Apache Kafka answers to the scripts of `dohle_tests::wire`: `make wire-record`.
//!
//! It also collects Kafka's descriptions of the messages from the jar of its clients. With
//! `DOHLE_WIRE_NEWER` it records the versions that only Apache Kafka 4.4.0 has, whose jars are in
//! the folder `DOHLE_KAFKA_LIBS`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dohle_tests::wire::{folder, newer, recording, schema, session};
use serde_json::{Map, Value};

/// How long the recorder waits for an answer: Kafka never answers some requests.
const SILENT_AFTER: Duration = Duration::from_secs(8);

fn main() -> Result<()> {
    let jar = jar()?;
    let is_newer = std::env::var_os("DOHLE_WIRE_NEWER").is_some();
    let mut scripts = session::scripts();
    newer::retain(&mut scripts, is_newer);
    collect_schemas(&jar, is_newer)?;
    let schemas = session::schemas()?;
    let found = session::answers(&schemas, &scripts, SILENT_AFTER)?;
    let recordings = folder().join(if is_newer { newer::FOLDER } else { "kafka" });
    std::fs::create_dir_all(&recordings)?;
    let mut failed = Vec::new();
    for script in &scripts {
        let Some(answers) = found.get(script.api) else {
            continue;
        };
        failed.extend(answers.failed.clone());
        let answers = session::sorted(script, &answers.answers);
        let path = recordings.join(format!("{}.json", script.api));
        std::fs::write(&path, recording::to_text(script.api, &answers))?;
        println!("{}: {} answers", path.display(), answers.len());
    }
    ensure!(failed.is_empty(), "not recorded:\n{}", failed.join("\n"));
    Ok(())
}

/// Returns the jar with the descriptions.
fn jar() -> Result<PathBuf> {
    let libs = std::env::var_os("DOHLE_KAFKA_LIBS").map(PathBuf::from);
    let libs = libs.unwrap_or_else(|| dohle_tests::compat().join("java/libs"));
    let entries = std::fs::read_dir(&libs);
    let entries = entries.with_context(|| format!("{}: `make compat-deps`", libs.display()))?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_clients = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("kafka-clients-") && name.ends_with(".jar")
    };
    paths.find(is_clients).context("no jar of Kafka's clients")
}

/// Writes the descriptions of the messages that any script uses to `schemas.json`: those of APIs
/// that have newer versions, or the others. The descriptions of the rest stay.
fn collect_schemas(jar: &Path, is_newer: bool) -> Result<()> {
    let path = folder().join("schemas.json");
    let before: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
    let scratch = tempfile::tempdir()?;
    let status = Command::new("jar")
        .arg("xf")
        .arg(jar)
        .arg("common/message")
        .current_dir(scratch.path())
        .status()
        .context("jar, which comes with a JDK")?;
    ensure!(status.success(), "jar ended with {status}");
    let mut messages = Map::new();
    for api in session::apis(&dohle_tests::wire::scripts::all()) {
        for kind in ["Request", "Response"] {
            let name = format!("{api}{kind}");
            if newer::has(api) != is_newer
                && let Some(message) = before.get(&name)
            {
                messages.insert(name, message.clone());
                continue;
            }
            let path = scratch.path().join(format!("common/message/{name}.json"));
            let text = std::fs::read_to_string(&path).with_context(|| name.clone())?;
            messages.insert(name, schema::compact(&text)?);
        }
    }
    let lines = messages.iter();
    let lines = lines.map(|(name, message)| format!("{}: {message}", Value::from(name.as_str())));
    let text = format!("{{\n{}\n}}\n", lines.collect::<Vec<_>>().join(",\n"));
    Ok(std::fs::write(path, text)?)
}
