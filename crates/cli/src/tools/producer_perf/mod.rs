//! `producer-perf-test`: sends many records and measures.
//!
//! Kafka's `ProducerPerformance`.

mod payload;
mod run;
mod stats;

use std::time::Duration;

use dohle_admin::client::{self, Properties};

use crate::client::{config_file, follow_message_bytes_max, given_properties, renamed, wait_for};
use crate::options::{Parsed, UsageError, any_of, arguments, one_of, usage};
use crate::tool_run::{Failure, Tool, ToolRun, Work};

use self::payload::{Payloads, Random};

const OPTIONS: &str = r#"
    --bootstrap-server <BOOTSTRAP-SERVER>: The server(s) to connect to. This config takes precedence
        over bootstrap.servers specified via --command-property or --command-config.
    --topic <TOPIC>: REQUIRED: Produce records to this topic.
    --num-records <NUM-RECORDS>: REQUIRED: Number of records to produce.
    --payload-delimiter <PAYLOAD-DELIMITER>: Provides the delimiter to be used when --payload-file
        is provided. Defaults to new line. (default: \n)
    --throughput <THROUGHPUT>: REQUIRED: Throttle maximum record throughput to *approximately*
        THROUGHPUT records/sec. Set this to -1 to disable throttling.
    --producer-props <PROP-NAME=PROP-VALUE>...: (DEPRECATED) Use --command-property instead.
    --command-property <PROP-NAME=PROP-VALUE>...: Kafka producer related configuration properties
        like client.id. These configs take precedence over those passed via --command-config or
        --producer.config.
    --producer.config <CONFIG-FILE>: (DEPRECATED) Use --command-config instead.
    --command-config <CONFIG-FILE>: Producer config properties file.
    --print-metrics: Print out metrics at the end of the test.
    --transactional-id <TRANSACTIONAL-ID>: The transactional id to use.
    --transaction-duration-ms <TRANSACTION-DURATION>: The maximum duration of each transaction. The
        commitTransaction will be called after this time has elapsed. (default: 3000 with a
        transactional id)
    --warmup-records <WARMUP-RECORDS>: The number of records to treat as warmup. These initial
        records will not be included in steady-state statistics. An additional summary line will be
        printed describing the steady-state statistics. (default: 0)
    --reporting-interval <INTERVAL-MS>: Interval in milliseconds at which to print progress info.
        (default: 5000)
    --record-size <RECORD-SIZE>: Record size in bytes. Note that you must provide exactly one of
        --record-size, --payload-file or --payload-monotonic.
    --payload-file <PAYLOAD-FILE>: File to read the record payloads from. This works only for UTF-8
        encoded text files. Payloads will be read from this file and a payload will be randomly
        selected when sending records.
    --payload-monotonic: Payload is a monotonically increasing integer.
    "#;

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-producer-perf-test",
    "This tool is used to verify the producer performance. To enable transactions, you can \
     specify a transactional id or set a transaction duration using --transaction-duration-ms. \
     There are three ways to specify the transactional id: set transactional.id=<id> via \
     --command-property, set transactional.id=<id> in the config file via --command-config, or \
     use --transactional-id <id>.",
    &[OPTIONS],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[
    arguments("topic num-records throughput"),
    any_of("bootstrap-server command-property producer-props producer.config command-config")
        .message(
            "At least one of --bootstrap-server, --command-property, --producer-props, \
             --producer.config or --command-config must be specified.",
        ),
    one_of("record-size payload-file payload-monotonic").message(
        "exactly one of --record-size, --payload-file and --payload-monotonic is required",
    ),
    renamed("command-config producer.config"),
    renamed("command-property producer-props"),
])
.failure(Failure::Stderr("kafka-producer-perf-test: error: "));

/// All settings of the command line.
#[derive(Debug)]
struct ProducerPerfSettings {
    topic: String,
    records: u64,
    warmup: u64,
    throughput: f64,
    /// Milliseconds.
    reporting_interval: u64,
    print_metrics: bool,
    transaction_duration: Option<Duration>,
    producer: Properties,
}

/// How the values are made.
#[derive(Debug, PartialEq, Eq)]
enum Payload {
    Size(usize),
    File(String),
    Monotonic,
}

fn payload(parsed: &Parsed) -> Result<Payload, UsageError> {
    if parsed.has("payload-monotonic") {
        return Ok(Payload::Monotonic);
    }
    if let Some(file) = parsed.value("payload-file")? {
        return Ok(Payload::File(file.to_owned()));
    }
    match parsed.parsed::<i64>("record-size")?.map(usize::try_from) {
        Some(Ok(size @ 1..)) => Ok(Payload::Size(size)),
        _ => usage("--record-size should be greater than zero."),
    }
}

impl ProducerPerfSettings {
    fn read(parsed: &Parsed) -> anyhow::Result<Self> {
        let number = |option: &str, default: i64| {
            let number: i64 = parsed.parsed(option)?.unwrap_or(default);
            match u64::try_from(number) {
                Ok(value @ 1..) => Ok(value),
                _ => usage(format!("--{option} should be greater than zero.")),
            }
        };
        let records = number("num-records", 0)?;
        let throughput: Option<f64> = parsed.parsed("throughput")?;
        let interval = number("reporting-interval", 5000)?;
        let warmup: i64 = parsed.parsed("warmup-records")?.unwrap_or(0);
        let warmup = u64::try_from(warmup).unwrap_or(0);
        if warmup >= records {
            usage(
                "The value for --warmup-records must be strictly fewer than the number of records \
                 in the test, --num-records.",
            )?;
        }
        let mut producer = config_file(parsed, &["command-config", "producer.config"])?;
        let options = ["command-property", "producer-props"];
        let mut texts = options.iter().flat_map(|option| parsed.values(option));
        if let Some(text) = texts.find(|text| !text.contains('=')) {
            usage(format!("Invalid property: {text}"))?;
        }
        producer.extend(given_properties(parsed, &options));
        if let Some(servers) = parsed.value("bootstrap-server")? {
            producer.set("bootstrap.servers", servers);
        }
        if !producer.has("bootstrap.servers") {
            usage("--bootstrap-server is missing, and no property sets bootstrap.servers")?;
        }
        producer.set_default("client.id", "perf-producer-client");
        Ok(Self {
            topic: parsed.required("topic")?.to_owned(),
            records,
            warmup,
            throughput: throughput.unwrap_or(-1.0),
            reporting_interval: interval,
            print_metrics: parsed.has("print-metrics"),
            transaction_duration: transactions(parsed, &mut producer)?,
            producer,
        })
    }
}

impl ProducerPerfSettings {
    /// Returns the producer's memory in bytes.
    fn memory(&self) -> usize {
        let memory = self.producer.get("buffer.memory");
        let memory = memory.and_then(|text| text.parse().ok());
        memory.unwrap_or(32 << 20)
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
    let mut settings = ProducerPerfSettings::read(&run.parsed)?;
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
    if let Some(limit) = client::message_bytes_max(&cluster, &settings.topic).await {
        follow_message_bytes_max(&mut settings.producer, limit);
    }
    let producer = client::producer(&cluster, &settings.producer).await?;
    run::run(producer, &settings, payloads).await
}

#[cfg(test)]
mod tests;
