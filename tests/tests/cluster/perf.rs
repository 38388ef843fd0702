//! `dohle perf`: each load runs against a node, counts what it did, and goes on when leaders
//! change.

use anyhow::{Context, Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::program::{Output, Program};
use dohle_tests::wait::{DEADLINE, until};
use serde_json::Value;

use crate::console_tools::ours;
use crate::faults::allow_lost_connections;

const PARTITIONS: i32 = 3;

fn perf(bootstrap: &str, load: &str) -> Result<Program> {
    let (command, options) = load.split_once(' ').unwrap_or((load, ""));
    let words = options.split_whitespace();
    let program = ours("perf", "", &[command, "--bootstrap-server", bootstrap])?;
    Ok(program.args(words))
}

/// Runs a load, which has to end without a warning about its own fault or an error.
pub(super) fn run(bootstrap: &str, load: &str) -> Result<Value> {
    let output = perf(bootstrap, &format!("{load} --output json"))?.run()?;
    let report = report(&output).with_context(|| load.to_owned())?;
    for part in ["produce", "consume"] {
        let errors = &report[part]["errors"];
        let is_clean = errors.as_object().is_none_or(serde_json::Map::is_empty);
        ensure!(is_clean, "{load}: {errors}");
    }
    Ok(report)
}

fn report(output: &Output) -> Result<Value> {
    ensure!(output.code == 0, "{output}");
    serde_json::from_str(&output.stdout).with_context(|| output.to_string())
}

#[track_caller]
fn check(value: &Value, expected: u64) {
    assert_eq!(value.as_u64(), Some(expected), "{value}");
}

/// Checks a report of records that were all acknowledged.
#[track_caller]
pub(super) fn check_produced(report: &Value, records: u64) {
    let produce = &report["produce"];
    check(&produce["records"], records);
    check(&produce["latency"]["count"], records);
    let steps = produce["latency"]["percentiles"].as_array();
    let counted = steps.map(|steps| steps.iter().filter_map(|step| step["count"].as_u64()).sum());
    assert_eq!(counted, Some(records), "{produce}");
    for lost in ["failed_records", "unsent_records", "unanswered_records"] {
        check(&produce[lost], 0);
    }
    assert!(report["warnings"].is_array(), "{report}");
}

#[test]
fn records_of_every_kind_are_produced_and_read() -> Result<()> {
    let cluster = Cluster::of(1).start()?;
    let bootstrap = cluster.bootstrap();
    cluster.create_topic("t", PARTITIONS, 1, &[])?;
    let mut total = 0;
    for options in [
        "--acks 0 --connections 2",
        "--acks 1 --batch-records 1",
        "--idempotent --connections 3 --in-flight 5 --threads 2",
        "--compression gzip --keys 100 --random-percent 20",
        "--compression snappy",
        "--compression lz4 --idempotent",
        "--compression zstd --rate 5000",
        "--transaction-size 100 --connections 2 --compression lz4",
        "--rate 1MB --connections 4 --keys 50",
    ] {
        // Not a multiple of the batches.
        let records = 1003;
        let load = format!(
            "produce --topic t --num-records {records} --record-size 100 --batch-bytes 1000 \
             {options}"
        );
        let load = match options.contains("--batch-records") {
            true => load.replace("--batch-bytes 1000 ", ""),
            false => load,
        };
        let report = run(&bootstrap, &load)?;
        check_produced(&report, records);
        let keys = if options.contains("keys") { 14 } else { 0 };
        check(&report["produce"]["bytes"], records * (100 + keys));
        if options.contains("transaction") {
            let committed = report["produce"]["transactions"]["committed"].as_u64();
            assert!(committed >= Some(11), "{report}");
            check(&report["produce"]["transactions"]["aborted"], 0);
        }
        total += records;
    }
    // Without acknowledgements, records may arrive after the end of their load.
    let read = "consume --topic t --verify --read-committed";
    until(DEADLINE, "all records can be read", || {
        let report = run(&bootstrap, read)?;
        Ok(report["consume"]["records"].as_u64() >= Some(total))
    })?;
    for options in [
        "--connections 2 --threads 2 --fetch-partition-bytes 4000 --verify",
        "--fetch-max-bytes 10000",
        "--num-records 5000 --read-committed",
    ] {
        let report = run(&bootstrap, &format!("consume --topic t {options}"))?;
        let records = report["consume"]["records"].as_u64();
        match options.contains("num-records") {
            true => assert!(records >= Some(5000), "{report}"),
            false => assert_eq!(records, Some(total), "{report}"),
        }
        check(&report["consume"]["invalid_batches"], 0);
    }
    Ok(())
}

#[test]
fn records_are_read_while_they_are_produced() -> Result<()> {
    let cluster = Cluster::of(1).start()?;
    let bootstrap = cluster.bootstrap();
    cluster.create_topic("t", PARTITIONS, 1, &[])?;
    for (options, records) in [
        ("--rate 1000 --duration 1s --warm-up 200ms", 1000),
        (
            "--rate 500 --num-records 300 --compression lz4 --batch-records 3",
            300,
        ),
        (
            "--rate 0 --num-records 300 --batch-records 10 --consumers 2",
            300,
        ),
    ] {
        let load = format!("end-to-end --topic t --record-size 50 {options}");
        let report = run(&bootstrap, &load)?;
        check_produced(&report, records);
        let consume = &report["consume"];
        check(&consume["end_to_end_latency"]["count"], records);
        check(&consume["missing_records"], 0);
        let arrived = consume["end_to_end_latency"]["p50_ms"].as_f64();
        let acknowledged = report["produce"]["latency"]["p50_ms"].as_f64();
        assert!(arrived > Some(0.0) && acknowledged > Some(0.0), "{report}");
    }
    let load = "mixed --topic t --record-size 50 --rate 1000 --num-records 500 --verify";
    let report = run(&bootstrap, load)?;
    check_produced(&report, 500);
    let consume = &report["consume"];
    assert!(consume["records"].as_u64() >= Some(1600), "{report}");
    assert!(consume["end_to_end_latency"].is_null(), "{report}");

    // A text instead of JSON, and the end after Ctrl-C.
    let load = "produce --topic t --rate 100 --duration 10m --warm-up 0s";
    let running = perf(&bootstrap, load)?.start()?;
    let before = run(&bootstrap, "consume --topic t")?["consume"]["records"].as_u64();
    until(DEADLINE, "the load produces", || {
        let now = run(&bootstrap, "consume --topic t")?;
        Ok(now["consume"]["records"].as_u64() > before)
    })?;
    running.interrupt()?;
    let text = running.finish()?.ok()?;
    assert!(
        text.starts_with("LOAD") && text.contains("\nproduce"),
        "{text}"
    );
    assert!(text.contains("\ngenerator: 1 thread"), "{text}");
    Ok(())
}

#[test]
fn what_keeps_a_load_from_its_work_is_explained() -> Result<()> {
    let cluster = Cluster::of(1).start()?;
    let bootstrap = cluster.bootstrap();
    let explained = |bootstrap: &str, load: &str, expected: &str| -> Result<()> {
        let output = perf(bootstrap, load)?.run()?;
        ensure!(output.code == 1, "{output}");
        ensure!(output.stderr.contains(expected), "{output}");
        Ok(())
    };
    explained(
        &bootstrap,
        "produce --topic missing",
        "the topic missing does not exist",
    )?;
    explained(
        &bootstrap,
        "consume --topic missing",
        "the topic missing does not exist",
    )?;
    explained(
        "127.0.0.1:1",
        "produce --topic t",
        "no broker answers: 127.0.0.1:1",
    )?;
    explained(
        &bootstrap,
        "produce --topic t --acks 3",
        "--acks is 0, 1 or all",
    )?;
    // Records that are too large are refused one by one: nothing is acknowledged.
    cluster.create_topic("small", 1, 1, &[("max.message.bytes", "1000")])?;
    let load = "produce --topic small --record-size 5000 --num-records 5 --output json";
    let output = perf(&bootstrap, load)?.run()?;
    ensure!(output.code == 1, "{output}");
    let report: Value = serde_json::from_str(&output.stdout)?;
    check(&report["produce"]["errors"]["MessageTooLarge"], 2);
    check(&report["produce"]["failed_records"], 5);
    Ok(())
}

#[test]
fn a_load_goes_on_with_the_new_leaders() -> Result<()> {
    let mut cluster = Cluster::of(3)
        .property("min.insync.replicas", "2")
        .start()?;
    allow_lost_connections(&mut cluster);
    cluster.create_topic("t", PARTITIONS, 3, &[])?;
    let bootstrap = cluster.bootstrap();
    let load = "produce --topic t --rate 2000 --num-records 20000 --record-size 100 --idempotent \
                --batch-records 10 --output json";
    let running = perf(&bootstrap, load)?.start()?;
    let read = || -> Result<u64> {
        let report = run(&bootstrap, "consume --topic t")?;
        Ok(report["consume"]["records"].as_u64().unwrap_or(0))
    };
    until(DEADLINE, "the load produces", || Ok(read()? > 500))?;
    let leader = cluster.leader("t", 0)?;
    cluster.broker(leader).kill()?;
    let report = report(&running.finish()?)?;
    let produce = &report["produce"];
    let (records, failed) = (&produce["records"], &produce["failed_records"]);
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    assert_eq!(count(records) + count(failed), 20_000, "{report}");
    assert!(count(&produce["metadata_refreshes"]) > 0, "{report}");
    // Most were due after the broker died, and its partitions have other leaders.
    assert!(count(records) > 15_000, "{report}");
    cluster.broker(leader).start()?;
    cluster.wait_in_sync("t")?;
    ensure!(
        read()? >= count(records),
        "acknowledged records are missing"
    );
    Ok(())
}
