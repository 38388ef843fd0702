//! What the options mean.

use super::*;

fn settings(line: &str) -> anyhow::Result<(ProducerPerfSettings, Payload)> {
    let parsed = TOOL.read(line)?;
    Ok((ProducerPerfSettings::read(&parsed)?, payload(&parsed)?))
}

#[test]
fn what_is_missing_or_wrong_is_told_in_kafkas_words() {
    let most = "--bootstrap-server b:1 --topic t --throughput -1";
    for (line, expected) in [
        (
            "--topic t --num-records 5 --record-size 5".to_owned(),
            "argument --throughput is",
        ),
        (
            format!("{most} --record-size 5"),
            "argument --num-records is required",
        ),
        (
            format!("{most} --num-records 0 --record-size 5"),
            "--num-records should be greater",
        ),
        (
            format!("{most} --num-records 5 --record-size 0"),
            "--record-size should be greater",
        ),
        (
            format!("{most} --num-records 5"),
            "exactly one of --record-size",
        ),
        (
            format!("{most} --num-records 5 --record-size 5 --warmup-records 5"),
            "The value for --warmup-records must be strictly fewer than",
        ),
        (
            "--topic t --num-records 5 --throughput -1 --record-size 5".to_owned(),
            "At least one of --bootstrap-server, --command-property, --producer-props,",
        ),
        (
            format!("{most} --num-records 5 --producer-props acks=1 linger --record-size 5"),
            "Invalid property: linger",
        ),
    ] {
        let error = settings(&line).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{line}: {error}");
    }
}

#[test]
fn properties_come_in_rows_and_a_duration_makes_transactions() {
    let line = "--topic t --num-records 10 --throughput -1 --payload-monotonic \
                --producer-props bootstrap.servers=b:1 acks=1 --transaction-duration-ms 100";
    let (settings, payload) = settings(line).unwrap();
    assert_eq!(payload, Payload::Monotonic);
    assert_eq!(settings.producer.get("acks"), Some("1"));
    let id = settings.producer.get("transactional.id").unwrap();
    assert!(id.starts_with("performance-producer-"), "{id}");
    assert_eq!(
        settings.transaction_duration,
        Some(Duration::from_millis(100))
    );
}
