//! `console-consumer`: prints the records of topics.
//!
//! Kafka's `ConsoleConsumer`. It ends without an error when nothing came for `--timeout-ms`, as
//! Kafka's does. Whatever keeps it from reading makes the exit code 1, which it does not there.

mod consume;
mod deserializer;
mod formatter;
mod settings;

use dohle_admin::client;

use crate::client::renamed;
use crate::connect::BOOTSTRAP_SERVER;
use crate::options::{all_of, at_most_one_of, one_of};
use crate::tool_run::{OUTPUT, Tool, ToolRun, Work};

use self::settings::ConsumerSettings;

const OPTIONS: &str = "
    --topic <topic>: The topic to consume from.
    --include <regular expression>: Regular expression specifying list of topics to include for
        consumption.
    --partition <partition>: The partition to consume from. Consumption starts from the end of the
        partition unless '--offset' is specified.
    --offset <consume offset>: The offset to consume from (a non-negative number), or 'earliest'
        which means from beginning, or 'latest' which means from end; a negative number counts from
        the end (default: latest)
    --command-property <consumer_prop>: Consumer config properties in the form key=value.
    --consumer-property <consumer_prop>: (DEPRECATED) Use --command-property instead.
    --command-config <config file>: Consumer config properties file. Note that [command-property]
        takes precedence over this config.
    --consumer.config <config file>: (DEPRECATED) Use --command-config instead.
    --formatter <class>: How to print messages, by the name of Kafka's class in
        org.apache.kafka.tools.consumer: DefaultMessageFormatter (the default),
        LoggingMessageFormatter, NoOpMessageFormatter, OffsetsMessageFormatter,
        GroupMetadataMessageFormatter, TransactionLogMessageFormatter.
    --formatter-property <prop>: A property of the formatter, key=value: print.timestamp, print.key,
        print.offset, print.epoch, print.partition, print.headers, print.value (true or false),
        key.separator, line.separator, headers.separator, null.literal, key.deserializer,
        value.deserializer, headers.deserializer.
    --property <prop>: (DEPRECATED) Use --formatter-property instead.
    --formatter-config <config file>: Config properties file to initialize the message formatter.
        Note that [formatter-property] takes precedence over this config.
    --from-beginning: If the consumer does not already have an established offset to consume from,
        start with the earliest message present in the log rather than the latest message.
    --max-messages <num_messages>: The maximum number of messages to consume before exiting. If not
        set, consumption is continual.
    --timeout-ms <timeout_ms>: If specified, exit if no message is available for consumption for the
        specified interval.
    --skip-message-on-error: If there is an error when processing a message, skip it instead of
        halt.
    --key-deserializer <deserializer for keys>: The name of the class to use for deserializing keys.
    --value-deserializer <deserializer for values>: The name of the class to use for deserializing
        values.
    --enable-systest-events: Log lifecycle events of the consumer in addition to logging consumed
        messages. (This is specific for system tests.)
    --isolation-level <level>: Set to read_committed in order to filter out transactional messages
        which are not committed. Set to read_uncommitted to read all messages. (default:
        read_uncommitted)
    --group <consumer group id>: The consumer group id of the consumer.
    ";

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-console-consumer",
    "This tool helps to read data from Kafka topics and outputs it to standard output.",
    &[BOOTSTRAP_SERVER, OPTIONS, OUTPUT],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[
    one_of("topic include")
        .message("Exactly one of the following arguments is required: [topic], [include]"),
    all_of("partition")
        .when("offset")
        .message("The partition is required when offset is specified."),
    all_of("topic")
        .when("partition")
        .message("The topic is required when partition is specified."),
    at_most_one_of("from-beginning offset")
        .message("Options from-beginning and offset cannot be specified together."),
    all_of("bootstrap-server"),
    renamed("formatter-property property"),
    renamed("command-config consumer.config"),
    renamed("command-property consumer-property"),
]);

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let settings = ConsumerSettings::read(&run.parsed, run.output()?, &group_number())?;
    run.warn_of_deprecated(
        &[
            ("consumer-property", "command-property"),
            ("consumer.config", "command-config"),
            ("property", "formatter-property"),
        ],
        "Option --{option} is deprecated and will be removed in a future version. Use --{instead} \
         instead.",
    )?;
    let cluster = client::connect(&settings.consumer).await?;
    consume::check_topic(&cluster, &settings).await?;
    let result = consume::run(&cluster, &settings).await;
    if settings.systest_events {
        run.print("shutdown_complete\n")?;
    }
    result
}

/// Up to five digits that another run is not likely to have.
fn group_number() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = now.map_or(0, |since| since.subsec_nanos());
    (nanos.wrapping_add(std::process::id().wrapping_mul(7919)) % 100_000).to_string()
}

#[cfg(test)]
mod tests;
