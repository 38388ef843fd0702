//! `producer-perf-test`: sends many records and measures.
//!
//! Kafka's `ProducerPerformance`.

mod payload;
mod run;
mod stats;

use std::time::Duration;

use dohle_admin::client::{self, Properties, key_values};

use crate::client::{PRODUCER_CONFIG, Source, wait_for};
use crate::options::{Parsed, Syntax, usage};
use crate::tool_run::{Failure, Tool, ToolRun, Work};

use self::payload::{Payloads, Random};

/// The row of the table.
pub const TOOL: Tool = Tool {
    name: "producer-perf-test",
    linked: true,
    syntax: Syntax {
        tool: "kafka-producer-perf-test",
        about: "This tool is used to verify the producer performance. To enable transactions, you \
                can specify a transactional id or set a transaction duration using \
                --transaction-duration-ms. There are three ways to specify the transactional id: \
                set transactional.id=<id> via --command-property, set transactional.id=<id> in \
                the config file via --command-config, or use --transactional-id <id>.",
        options: &[r#"
            --bootstrap-server <BOOTSTRAP-SERVER>: The server(s) to connect to. This config takes
                precedence over bootstrap.servers specified via --command-property or
                --command-config.
            --topic <TOPIC>: REQUIRED: Produce records to this topic.
            --num-records <NUM-RECORDS>: REQUIRED: Number of records to produce.
            --payload-delimiter <PAYLOAD-DELIMITER>: Provides the delimiter to be used when
                --payload-file is provided. Defaults to new line. (default: \n)
            --throughput <THROUGHPUT>: REQUIRED: Throttle maximum record throughput to
                *approximately* THROUGHPUT records/sec. Set this to -1 to disable throttling.
            --producer-props <PROP-NAME=PROP-VALUE>...: (DEPRECATED) Use --command-property instead.
            --command-property <PROP-NAME=PROP-VALUE>...: Kafka producer related configuration
                properties like client.id. These configs take precedence over those passed via
                --command-config or --producer.config.
            --producer.config <CONFIG-FILE>: (DEPRECATED) Use --command-config instead.
            --command-config <CONFIG-FILE>: Producer config properties file.
            --print-metrics: Print out metrics at the end of the test.
            --transactional-id <TRANSACTIONAL-ID>: The transactional id to use.
            --transaction-duration-ms <TRANSACTION-DURATION>: The maximum duration of each
                transaction. The commitTransaction will be called after this time has elapsed.
                (default: 3000 with a transactional id)
            --warmup-records <WARMUP-RECORDS>: The number of records to treat as warmup. These
                initial records will not be included in steady-state statistics. An additional
                summary line will be printed describing the steady-state statistics. (default: 0)
            --reporting-interval <INTERVAL-MS>: Interval in milliseconds at which to print progress
                info. (default: 5000)
            --record-size <RECORD-SIZE>: Record size in bytes. Note that you must provide exactly
                one of --record-size, --payload-file or --payload-monotonic.
            --payload-file <PAYLOAD-FILE>: File to read the record payloads from. This works only
                for UTF-8 encoded text files. Payloads will be read from this file and a payload
                will be randomly selected when sending records.
            --payload-monotonic: Payload is a monotonically increasing integer.
            "#],
        ..Syntax::EMPTY
    },
    work: Work::Async(|run| Box::pin(work(run))),
    failure: Failure::Stderr("kafka-producer-perf-test: error: "),
};

const PRODUCER_PROPERTY: Source = Source {
    now: "command-property",
    before: "producer-props",
};

/// All settings of the command line.
#[derive(Debug)]
struct Settings {
    topic: String,
    records: u64,
    warmup: u64,
    throughput: f64,
    /// Milliseconds.
    reporting_interval: u64,
    print_metrics: bool,
    transaction_duration: Option<Duration>,
    producer: Properties,
    /// Bytes.
    memory: usize,
}

/// How the values are made.
#[derive(Debug, PartialEq, Eq)]
enum Payload {
    Size(usize),
    File(String),
    Monotonic,
}

fn payload(parsed: &Parsed) -> anyhow::Result<Payload> {
    let size: Option<i64> = parsed.parsed("record-size")?;
    let file = parsed.value("payload-file")?;
    match (size, file, parsed.has("payload-monotonic")) {
        (Some(size), None, false) => match usize::try_from(size) {
            Ok(size) if size > 0 => Ok(Payload::Size(size)),
            _ => Ok(usage("--record-size should be greater than zero.")?),
        },
        (None, Some(file), false) => Ok(Payload::File(file.to_owned())),
        (None, None, true) => Ok(Payload::Monotonic),
        _ => Ok(usage(
            "exactly one of --record-size, --payload-file and --payload-monotonic is required",
        )?),
    }
}

impl Settings {
    fn read(parsed: &Parsed) -> anyhow::Result<Self> {
        let needed = |option: &str| match parsed.parsed::<f64>(option)? {
            Some(number) => Ok(number),
            None => usage(format!("argument --{option} is required")),
        };
        let Some(topic) = parsed.value("topic")? else {
            return Ok(usage("argument --topic is required")?);
        };
        let number = |option: &str, least: i64, default: i64, words: &str| {
            let number: i64 = parsed.parsed(option)?.unwrap_or(default);
            match u64::try_from(number) {
                Ok(value) if number >= least => Ok(value),
                _ => usage(format!("{words} should be greater than zero.")),
            }
        };
        needed("num-records")?;
        let records = number("num-records", 1, 0, "--num-records")?;
        let throughput = needed("throughput")?;
        let interval = number("reporting-interval", 1, 5000, "--reporting-interval")?;
        let warmup: i64 = parsed.parsed("warmup-records")?.unwrap_or(0);
        let warmup = u64::try_from(warmup).unwrap_or(0);
        if warmup >= records {
            usage(
                "The value for --warmup-records must be strictly fewer than the number of records \
                 in the test, --num-records.",
            )?;
        }
        let given = ["bootstrap-server", "command-property", "producer-props"];
        let given = given.iter().chain(&["producer.config", "command-config"]);
        if !given.clone().any(|option| parsed.has(option)) {
            usage(
                "At least one of --bootstrap-server, --command-property, --producer-props, \
                 --producer.config or --command-config must be specified.",
            )?;
        }
        let mut producer = PRODUCER_CONFIG.file(parsed)?;
        let extra = PRODUCER_PROPERTY.values(parsed)?;
        if let Some(text) = extra.iter().find(|text| !text.contains('=')) {
            usage(format!("Invalid property: {text}"))?;
        }
        producer.extend(key_values(extra));
        if let Some(servers) = parsed.value("bootstrap-server")? {
            producer.set("bootstrap.servers", servers);
        }
        if !producer.has("bootstrap.servers") {
            usage("--bootstrap-server is missing, and no property bootstrap.servers is there")?;
        }
        producer.set_default("client.id", "perf-producer-client");
        let memory = producer
            .get("buffer.memory")
            .and_then(|text| text.parse().ok());
        Ok(Self {
            topic: topic.to_owned(),
            records,
            warmup,
            throughput,
            reporting_interval: interval,
            print_metrics: parsed.has("print-metrics"),
            transaction_duration: transactions(parsed, &mut producer)?,
            memory: memory.unwrap_or(32 << 20),
            producer,
        })
    }
}

/// How long transactions last, if there are some.
fn transactions(parsed: &Parsed, producer: &mut Properties) -> anyhow::Result<Option<Duration>> {
    let duration: Option<i64> = parsed.parsed("transaction-duration-ms")?;
    let id = parsed.value("transactional-id")?;
    if duration.is_none() && id.is_none() && !producer.has("transactional.id") {
        return Ok(None);
    }
    let Ok(duration @ 1..) = u64::try_from(duration.unwrap_or(3000)) else {
        return Ok(usage(
            "--transaction-duration-ms should be greater than zero.",
        )?);
    };
    match id {
        Some(id) => producer.set("transactional.id", id),
        None => {
            let id = kacrab_protocol::KafkaUuid::from_parts(
                u64::from(std::process::id()),
                std::time::UNIX_EPOCH
                    .elapsed()
                    .map_or(0, |since| since.as_nanos() as u64),
            );
            producer.set_default("transactional.id", format!("performance-producer-{id}"));
        }
    }
    Ok(Some(Duration::from_millis(duration)))
}

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let payload = payload(&run.parsed)?;
    let settings = Settings::read(&run.parsed)?;
    let delimiter = run.parsed.value("payload-delimiter")?.unwrap_or("\\n");
    let delimiter = if delimiter == "\\n" { "\n" } else { delimiter };
    let payloads = match payload {
        Payload::Size(size) => Payloads::Random(size, Random::new()),
        Payload::File(path) => Payloads::from_file(&path, delimiter, |text| run.print(text))?,
        Payload::Monotonic => Payloads::Monotonic,
    };
    run.warn_of_deprecated(
        &[
            ("producer-props", "command-property"),
            ("producer.config", "command-config"),
        ],
        "Option --{option} has been deprecated and will be removed in a future version. Use \
         --{instead} instead.",
    )?;
    let cluster = client::connect(&settings.producer).await?;
    wait_for(&cluster, &settings.topic).await?;
    let producer = client::producer(&settings.producer).await?;
    run::run(producer, &settings, payloads).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ParsedCommand;

    fn settings(line: &str) -> anyhow::Result<(Settings, Payload)> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match TOOL.syntax.parse(&words)? {
            ParsedCommand::Work(parsed) => Ok((Settings::read(&parsed)?, payload(&parsed)?)),
            other => panic!("{other:?}"),
        }
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
}
