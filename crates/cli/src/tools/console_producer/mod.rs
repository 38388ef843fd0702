//! `console-producer`: publishes the lines of standard input.
//!
//! Kafka's `ConsoleProducer`. Its exit code is 1 unless every record was delivered, which Kafka's
//! is not.

mod lines;
mod send;

use dohle_admin::client::{self, Properties};

use crate::client::{
    config_file, follow_message_bytes_max, given_properties, merge, renamed, wait_for,
};
use crate::connect::BOOTSTRAP_SERVER;
use crate::options::{Parsed, all_of, usage};
use crate::tool_run::{Tool, ToolRun, Work};

use self::lines::LineParser;
use self::send::Beginning;

const LINE_READERS: [&str; 3] = [
    "org.apache.kafka.tools.LineMessageReader",
    "kafka.tools.ConsoleProducer$LineMessageReader",
    "LineMessageReader",
];

const OPTIONS: &str = r#"
    --topic <topic>: REQUIRED: The topic name to produce messages to.
    --sync: If set message send requests to the brokers are synchronously, one at a time as they
        arrive.
    --compression-codec [compression-codec]: The compression codec: either 'none', 'gzip', 'snappy',
        'lz4', or 'zstd'. If specified without value, then it defaults to 'gzip'
    --batch-size <size>: The buffer size in bytes allocated for a partition: batch.size in producer
        configs. (default: 16384)
    --message-send-max-retries <retries>: How often the producer tries again before it drops a
        message: retries in producer configs. (default: 3)
    --retry-backoff-ms <ms>: How long the producer waits before each retry: retry.backoff.ms in
        producer configs. (default: 100)
    --timeout <timeout_ms>: How long a message may wait for others to be sent with: linger.ms in
        producer configs. (default: 1000)
    --request-required-acks <request required acks>: The required `acks` of the producer requests
        (default: -1)
    --request-timeout-ms <request timeout ms>: The ack timeout of the producer requests. (default:
        1500)
    --metadata-expiry-ms <metadata expiration interval>: How long metadata are used before they are
        asked for again: metadata.max.age.ms in producer configs. (default: 300000)
    --max-block-ms <max block on send>: The max time that the producer will block for during a send
        request. (default: 60000)
    --max-memory-bytes <total memory in bytes>: The total memory for messages waiting to be sent:
        buffer.memory in producer configs. (default: 33554432, or what the largest message of the topic
        takes)
    --max-partition-memory-bytes <memory in bytes per partition>: (DEPRECATED) Use --batch-size
        instead. (default: 16384)
    --line-reader <reader_class>: What reads lines; there is only Kafka's own,
        org.apache.kafka.tools.LineMessageReader (the default): each line is a message.
    --socket-buffer-size <size>: The size of the socket's buffer: send.buffer.bytes in producer
        configs. (default: 102400)
    --reader-property <prop>: A property of the line reader, key=value: parse.key=false,
        parse.headers=false, ignore.error=false, key.separator=\t, headers.delimiter=\t,
        headers.separator=,, headers.key.separator=:, null.marker= (fields equal to it become null).
        A line is "h1:v1,h2:v2...\tkey\tvalue", where
        parse.headers and parse.key set whether a line has headers and a key.
    --property <prop>: (DEPRECATED) Use --reader-property instead.
    --reader-config <config file>: Config properties file for the message reader. Note that
        [reader-property] takes precedence over this config.
    --command-property <producer_prop>: Producer config properties in the form key=value.
    --producer-property <producer_prop>: (DEPRECATED) Use --command-property instead.
    --command-config <config file>: Producer config properties file. Note that [command-property]
        takes precedence over this config.
    --producer.config <config file>: (DEPRECATED) Use --command-config instead.
    "#;

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-console-producer",
    "This tool helps to read data from standard input and publish it to Kafka.",
    &[BOOTSTRAP_SERVER, OPTIONS],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[
    all_of("topic"),
    all_of("bootstrap-server"),
    renamed("reader-property property"),
    renamed("command-config producer.config"),
    renamed("command-property producer-property"),
]);

/// All settings of the command line.
#[derive(Debug)]
struct ProducerSettings {
    topic: String,
    sync: bool,
    parser: LineParser,
    producer: Properties,
}

impl ProducerSettings {
    fn read(parsed: &Parsed) -> anyhow::Result<Self> {
        let topic = parsed.required("topic")?.to_owned();
        let class = parsed.value("line-reader")?;
        if let Some(class) = class.filter(|class| !LINE_READERS.contains(class)) {
            usage(format!(
                "{class} is a Java class, and this tool runs none: leave out --line-reader to read \
                 each line as a message, and shape the lines before they come here"
            ))?;
        }
        let mut reader = config_file(parsed, &["reader-config"])?;
        reader.extend(given_properties(parsed, &["reader-property", "property"]));
        let mut producer = config_file(parsed, &["command-config", "producer.config"])?;
        let options = ["command-property", "producer-property"];
        producer.extend(given_properties(parsed, &options));
        producer.set("bootstrap.servers", parsed.required("bootstrap-server")?);
        producer.set_default("client.id", "console-producer");
        if parsed.has("compression-codec") {
            let codec = parsed.value("compression-codec")?;
            let codec = codec.filter(|codec| !codec.is_empty());
            producer.set("compression.type", codec.unwrap_or("gzip"));
        }
        for property in [
            ("linger.ms", "timeout", "1000"),
            ("acks", "request-required-acks", "-1"),
            ("request.timeout.ms", "request-timeout-ms", "1500"),
            ("retries", "message-send-max-retries", "3"),
            ("retry.backoff.ms", "retry-backoff-ms", "100"),
            ("send.buffer.bytes", "socket-buffer-size", "102400"),
            ("batch.size", "batch-size", "16384"),
            ("batch.size", "max-partition-memory-bytes", "16384"),
            ("metadata.max.age.ms", "metadata-expiry-ms", "300000"),
            ("max.block.ms", "max-block-ms", "60000"),
        ] {
            merge(&mut producer, parsed, property)?;
        }
        // Its default depends on the topic.
        if let Some(memory) = parsed.value("max-memory-bytes")? {
            producer.set("buffer.memory", memory);
        }
        Ok(Self {
            parser: LineParser::new(&topic, &reader)?,
            topic,
            sync: parsed.has("sync"),
            producer,
        })
    }

    /// The value of a property, where it is a number.
    fn number(&self, name: &str) -> Option<usize> {
        self.producer.get(name)?.parse().ok()
    }

    /// Limits batches to what the topic accepts, because the client splits batches badly.
    fn limit_batches(&mut self, limit: usize) {
        if self.number("batch.size").is_some_and(|size| size > limit) {
            self.producer.set("batch.size", limit.to_string());
        }
    }

    /// Where the first records go.
    fn beginning(&self, partitions: &[i32]) -> Beginning {
        let own = self.producer.has("partitioner.class");
        let partitions = if own { &[][..] } else { partitions };
        let nanos = std::time::UNIX_EPOCH
            .elapsed()
            .map_or(0, |since| since.subsec_nanos());
        // The clock may be coarse, the process id is not.
        let random = (nanos / 1000).wrapping_add(std::process::id().wrapping_mul(2_654_435_769));
        let size = self.number("batch.size").unwrap_or(16 << 10);
        Beginning::new(partitions, (random >> 7) as usize, size)
    }
}

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let mut settings = ProducerSettings::read(&run.parsed)?;
    run.warn_of_deprecated(
        &[
            ("producer-property", "command-property"),
            ("producer.config", "command-config"),
            ("property", "reader-property"),
        ],
        "Warning: --{option} is deprecated and will be removed in a future version. Use \
         --{instead} instead.",
    )?;
    run.warn_of_deprecated(
        &[("max-partition-memory-bytes", "batch-size")],
        "Warning: --{option} is deprecated and will be removed in Apache Kafka 5.0. Use \
         --{instead} instead.",
    )?;
    let cluster = client::connect(&settings.producer).await?;
    let topic = wait_for(&cluster, &settings.topic).await?;
    let limit = client::message_bytes_max(&cluster, &settings.topic).await;
    if let Some(limit) = limit {
        settings.limit_batches(limit);
        follow_message_bytes_max(&mut settings.producer, limit);
    }
    // A record that is too large may become small enough by compression.
    let codec = settings.producer.get("compression.type");
    let limit = limit.filter(|_| codec.is_none_or(|codec| codec == "none"));
    let producer = client::producer(&cluster, &settings.producer).await?;
    let beginning = settings.beginning(&topic.led);
    let memory = settings.number("buffer.memory").unwrap_or(32 << 20);
    let records = lines::read_stdin(settings.parser)?;
    match settings.sync {
        true => send::one_by_one(producer, records, beginning, limit).await,
        false => send::in_batches(producer, records, memory, beginning, limit).await,
    }
}

#[cfg(test)]
mod tests;
