//! The README's first programs, unchanged, on a cluster without topics.

use anyhow::{Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::clients::java;
use dohle_tests::program::Program;

/// Runs a program, which must print the record that it read, without warnings of the client.
fn check(snippet: Program, language: &str, line: &str) -> Result<()> {
    let cluster = Cluster::of(3).start()?;
    let printed = snippet
        .env("BOOTSTRAP_SERVERS", cluster.bootstrap())
        .run()?
        .clean()?;
    ensure!(printed == format!("{line}\n"), "{language}: {printed}");
    Ok(())
}

fn source(name: &str) -> std::path::PathBuf {
    dohle_tests::root().join("docs/quickstart").join(name)
}

#[test]
fn the_snippet_for_node_js_runs_as_it_stands() -> Result<()> {
    let modules = dohle_tests::compat().join("node/node_modules");
    let snippet = Program::new("node")
        .env("NODE_PATH", modules)
        .env("KAFKAJS_NO_PARTITIONER_WARNING", "1")
        .arg(source("quickstart.js"));
    check(snippet, "Node.js", "node: hello from Node.js")
}

#[test]
fn the_snippet_for_python_runs_as_it_stands() -> Result<()> {
    let snippet = Program::new("python3")
        .env("PYTHONPATH", dohle_tests::compat().join("python"))
        .arg(source("quickstart.py"));
    check(snippet, "Python", "python: hello from Python")
}

#[test]
fn the_snippet_for_java_runs_as_it_stands() -> Result<()> {
    check(java::class("Quickstart"), "Java", "java: hello from Java")
}

#[test]
fn the_snippet_for_go_runs_as_it_stands() -> Result<()> {
    let snippet = Program::new(dohle_tests::compat().join("go/quickstart"));
    check(snippet, "Go", "go: hello from Go")
}

#[test]
fn the_snippet_for_rust_runs_as_it_stands() -> Result<()> {
    let snippet = Program::new(env!("CARGO_BIN_EXE_quickstart"));
    check(snippet, "Rust", "rust: hello from Rust")
}
