//! Command lines of loads, and their results as text.

use std::time::Duration;

use dohle_load::{
    Compression, ConsumeReport, End, GeneratorReport, LatencySummary, Load, ProduceReport, Start,
    TransactionReport,
};
use expect_test::expect;

use super::*;

const CLUSTER: &str = "--bootstrap-server h:1 --topic t";

fn read(line: &str) -> Result<Load, String> {
    let parsed = TOOL.read(&format!("{line} {CLUSTER}"));
    let parsed = parsed.map_err(|error| error.to_string())?;
    settings::read(&parsed).map_err(|error| error.to_string())
}

#[test]
fn each_command_has_its_defaults() {
    let produce = read("produce").unwrap();
    assert_eq!(produce.end, End::After(Duration::from_secs(10)));
    assert_eq!(produce.warm_up, Duration::from_secs(1));
    let load = produce.produce.unwrap();
    assert_eq!((load.rate, load.batch_records, load.acks), (None, 16, -1));
    assert!(produce.consume.is_none());

    let consume = read("consume --connections 3").unwrap();
    assert_eq!(
        (consume.end, consume.warm_up),
        (End::EndOfLog, Duration::ZERO)
    );
    let load = consume.consume.unwrap();
    assert_eq!((load.connections, load.start), (3, Start::Beginning));

    let end_to_end = read("end-to-end --consumers 2").unwrap();
    let load = end_to_end.produce.unwrap();
    assert_eq!((load.rate, load.batch_records), (Some(1000.0), 1));
    let load = end_to_end.consume.unwrap();
    assert!(load.end_to_end && load.start == Start::End && load.connections == 2);

    let mixed = read("mixed --from end").unwrap();
    let load = mixed.consume.unwrap();
    assert!(!load.end_to_end && load.start == Start::End);
}

#[test]
fn a_rate_is_in_records_or_in_megabytes() {
    let rate = |text| settings::rate(text, 1000).unwrap();
    assert_eq!(rate("0"), None);
    assert_eq!(rate("2500.5"), Some(2500.5));
    assert_eq!(rate("100MB"), Some(100_000.0));
    assert_eq!(rate("1.5MB/s"), Some(1500.0));
    for wrong in ["-1", "fast", "10GB", "NaN"] {
        assert!(settings::rate(wrong, 1000).is_err(), "{wrong}");
    }
}

#[test]
fn options_are_read_as_they_are_written() {
    let load = read(
        "produce --num-records 1000 --rate 10MB --record-size 500 --batch-bytes 64000 --acks 1 \
         --compression zstd --random-percent 30 --keys 50 --connections 4 --in-flight 9 \
         --warm-up 250ms --threads 2 --timeout 1m",
    );
    let load = load.unwrap();
    assert_eq!(load.end, End::Records(1000));
    assert_eq!(
        (load.warm_up, load.threads),
        (Duration::from_millis(250), 2)
    );
    let produce = load.produce.unwrap();
    assert_eq!((produce.rate, produce.batch_records), (Some(20_000.0), 128));
    assert_eq!((produce.acks, produce.compression), (1, Compression::Zstd));
    assert_eq!((produce.random_percent, produce.keys), (30, 50));
    assert_eq!((produce.connections, produce.in_flight), (4, 9));
    assert_eq!(produce.timeout, Duration::from_secs(60));
    // A value that is larger than a batch is a batch.
    let large = read("produce --record-size 100000").unwrap();
    assert_eq!(large.produce.unwrap().batch_records, 1);
}

#[test]
fn a_mistake_in_the_command_line_is_explained() {
    for (line, expected) in [
        (
            "consume --rate 5",
            "--rate belongs to a load that produces, not to consume",
        ),
        (
            "produce --verify",
            "--verify belongs to a load that reads, not to produce",
        ),
        ("consume --consumers 5", "use --connections"),
        (
            "end-to-end --from end",
            "--from does not go together with end-to-end",
        ),
        ("produce --duration 5x", "--duration is a time, as in 500ms"),
        (
            "produce --duration -5s",
            "--duration is a time, as in 500ms",
        ),
        ("produce --duration 5 --num-records 5", "can't be used with"),
        ("produce --acks 2", "--acks is 0, 1 or all, not 2"),
        (
            "produce --compression brotli",
            "none, gzip, snappy, lz4 or zstd",
        ),
        ("produce --acks 1 --idempotent", "need acks=all"),
        ("produce --connections 0", "connections must be at least 1"),
        (
            "produce --record-size many",
            "--record-size is a number, not many",
        ),
        ("end-to-end --record-size 10", "at least 16 bytes"),
    ] {
        let refused = read(line).unwrap_err();
        assert!(refused.contains(expected), "{line}: {refused}");
    }
}

fn latency(factor: f64) -> LatencySummary {
    LatencySummary {
        count: 40,
        mean_ms: factor,
        p50_ms: factor,
        p90_ms: 2.0 * factor,
        p99_ms: 3.0 * factor,
        p999_ms: 4.0 * factor,
        p9999_ms: 5.0 * factor,
        max_ms: 6.0 * factor,
        percentiles: Vec::new(),
    }
}

fn example() -> Report {
    Report {
        produce: Some(ProduceReport {
            records: 123_456,
            bytes: 126_418_944,
            records_per_second: 12_345.6,
            mb_per_second: 12.641_894,
            latency: latency(0.5),
            failed_records: 7,
            errors: [("NotLeaderOrFollower".to_owned(), 1)].into(),
            transactions: Some(TransactionReport {
                committed: 40,
                aborted: 1,
                commit_latency: latency(2.0),
            }),
            ..ProduceReport::default()
        }),
        consume: Some(ConsumeReport {
            records: 123_000,
            bytes: 126_000_000,
            records_per_second: 12_300.0,
            mb_per_second: 12.6,
            fetch_latency: latency(1.0),
            end_to_end_latency: Some(latency(1.25)),
            missing_records: Some(456),
            ..ConsumeReport::default()
        }),
        generator: GeneratorReport {
            threads: 1,
            seconds: 10.0,
            cpu_seconds: Some(1.25),
            busiest_thread_percent: Some(12.5),
            waiting_for_cpu_percent: Some(0.1),
            send_delay: latency(0.01),
        },
        warnings: vec!["The generator is the limit.".to_owned()],
    }
}

#[test]
fn a_report_is_a_table_with_what_was_lost_below() {
    let expected = expect![[r#"
        LOAD       RECORDS    MB        RECORDS/S  MB/S     P50-MS   P90-MS   P99-MS   P99.9-MS MAX-MS
        produce    123456     126.4     12346      12.64    0.500    1.000    1.500    2.000    3.000
        commit     40         -         -          -        2.000    4.000    6.000    8.000    12.000
        fetch      123000     126.0     12300      12.60    1.000    2.000    3.000    4.000    6.000
        end-to-end 40         -         -          -        1.250    2.500    3.750    5.000    7.500
        records that failed: 7
        transactions that were committed: 40
        transactions that were given up: 1
        produce errors: 1 NotLeaderOrFollower
        records that were acknowledged and did not arrive: 456
        generator: 1 thread, 1.2 s of CPU time, at most 12 % of a CPU a thread, behind its schedule by 0.010 ms (p50), 0.030 ms (p99), 0.060 ms at most
    "#]];
    expected.assert_eq(&text::report(&example()));
}

#[test]
fn a_load_fails_when_nothing_was_measured() {
    let mut report = example();
    assert!(!is_empty(&report));
    report.produce = None;
    assert!(!is_empty(&report));
    report.consume = Some(ConsumeReport::default());
    assert!(is_empty(&report));
    report.produce = Some(ProduceReport::default());
    report.consume = None;
    assert!(is_empty(&report));
}
