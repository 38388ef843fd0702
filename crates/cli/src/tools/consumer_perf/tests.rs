//! What the options mean.

use super::*;

fn settings(line: &str) -> anyhow::Result<ConsumerPerfSettings> {
    ConsumerPerfSettings::read(&TOOL.read(&format!("--bootstrap-server b:1 {line}"))?, 7)
}

#[test]
fn one_topic_or_pattern_and_one_number_are_needed() {
    for (line, expected) in [
        (
            "--num-records 10",
            "Exactly one of the following arguments is required: [topic], [include]",
        ),
        (
            "--topic a --include b --num-records 10",
            "Exactly one of the following arguments is required: [topic], [include]",
        ),
        (
            "--topic a",
            "Exactly one of the following arguments is required: [num-records], [messages]",
        ),
        (
            "--topic a --messages 1 --reporting-interval 0",
            "Reporting interval must be greater than 0.",
        ),
    ] {
        let error = settings(line).unwrap_err().to_string();
        assert_eq!(error, expected, "{line}");
    }
}

#[test]
fn defaults_are_kafkas() {
    let settings = settings("--topic a --messages 10 --command-property max.poll.records=9");
    let settings = settings.unwrap();
    let value = |name: &str| settings.consumer.get(name).unwrap_or("-").to_owned();
    assert_eq!(value("group.id"), "perf-consumer-7");
    assert_eq!(value("auto.offset.reset"), "earliest");
    assert_eq!(value("max.partition.fetch.bytes"), "1048576");
    assert_eq!(value("max.poll.records"), "9");
    assert_eq!(settings.timeout, Duration::from_secs(10));
}
