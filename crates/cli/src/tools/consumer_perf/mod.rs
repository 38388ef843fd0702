//! `consumer-perf-test`: reads many records and measures.
//!
//! Kafka's `ConsumerPerformance`.

mod report;

use std::io::Write;
use std::time::{Duration, Instant, UNIX_EPOCH};

use dohle_admin::client::{self, Properties, is_retriable};
use dohle_admin::{Cluster, list_topics};
use kacrab::consumer::Consumer;

use crate::client::{
    Interrupts, check_read, config_file, given_properties, metrics_table, renamed,
};
use crate::clock::now_ms;
use crate::connect::BOOTSTRAP_SERVER;
use crate::options::{Parsed, all_of, one_of, usage};
use crate::tool_run::{Tool, ToolRun, Work, unknown_name};

use self::report::Report;

const OPTIONS: &str = "
    --topic <topic>: The topic to consume from.
    --include <regular expression>: Regular expression specifying list of topics to include for
        consumption.
    --group <gid>: The group id to consume on. (default: perf-consumer- and a number)
    --fetch-size <size>: The maximum amount of data to fetch from a single partition per request.
        (default: 1048576)
    --command-property <prop1=val1>: Kafka consumer related configuration properties like client.id.
        These configs take precedence over those passed via --command-config or --consumer.config.
    --from-latest: If the consumer does not already have an established offset to consume from,
        start with the latest record present in the log rather than the earliest record.
    --socket-buffer-size <size>: The size of the tcp RECV size. (default: 2097152)
    --consumer.config <config file>: (DEPRECATED) Use --command-config instead.
    --command-config <config file>: Config properties file.
    --print-metrics: Print out the metrics.
    --show-detailed-stats: If set, stats are reported for each reporting interval as configured by
        reporting-interval.
    --timeout [milliseconds]: The maximum allowed time in milliseconds between returned records.
        (default: 10000)
    --messages <count>: (DEPRECATED) Use --num-records instead.
    --num-records <count>: REQUIRED: The number of records to consume.
    --reporting-interval <interval_ms>: Interval in milliseconds at which to print progress info.
        (default: 5000)
    --date-format <date format>: The date format to use for formatting the time field (UTC), of the
        letters yMdHmsS. (default: yyyy-MM-dd HH:mm:ss:SSS)
    --hide-header: If set, skips printing the header for the stats.
    ";

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-consumer-perf-test",
    "This tool is used to verify the consumer performance.",
    &[BOOTSTRAP_SERVER, OPTIONS],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[
    one_of("topic include")
        .message("Exactly one of the following arguments is required: [topic], [include]"),
    one_of("num-records messages")
        .message("Exactly one of the following arguments is required: [num-records], [messages]"),
    all_of("bootstrap-server"),
    renamed("command-config consumer.config"),
]);

/// How long a poll takes at most.
const POLL: Duration = Duration::from_millis(100);
const GOODBYE: Duration = Duration::from_secs(10);

/// All settings of the command line.
#[derive(Debug)]
struct ConsumerPerfSettings {
    topic: Option<String>,
    include: Option<String>,
    records: u64,
    timeout: Duration,
    /// Milliseconds.
    reporting_interval: i64,
    detailed: bool,
    header: bool,
    print_metrics: bool,
    date_format: String,
    consumer: Properties,
}

impl ConsumerPerfSettings {
    fn read(parsed: &Parsed, number: u32) -> anyhow::Result<Self> {
        let records = parsed.parsed("num-records")?.or(parsed.parsed("messages")?);
        let interval: i64 = parsed.parsed("reporting-interval")?.unwrap_or(5000);
        if interval <= 0 {
            usage("Reporting interval must be greater than 0.")?;
        }
        let mut consumer = config_file(parsed, &["command-config", "consumer.config"])?;
        consumer.extend(given_properties(parsed, &["command-property"]));
        consumer.set("bootstrap.servers", parsed.required("bootstrap-server")?);
        let group = format!("perf-consumer-{number}");
        consumer.set("group.id", parsed.value("group")?.unwrap_or(&group));
        for (name, option, default) in [
            ("receive.buffer.bytes", "socket-buffer-size", "2097152"),
            ("max.partition.fetch.bytes", "fetch-size", "1048576"),
        ] {
            consumer.set(name, parsed.value(option)?.unwrap_or(default));
        }
        let latest = parsed.has("from-latest");
        consumer.set(
            "auto.offset.reset",
            if latest { "latest" } else { "earliest" },
        );
        consumer.set("check.crcs", "false");
        consumer.set_default("client.id", "perf-consumer-client");
        let format = parsed
            .value("date-format")?
            .unwrap_or("yyyy-MM-dd HH:mm:ss:SSS");
        Ok(Self {
            topic: parsed.value("topic")?.map(str::to_owned),
            include: parsed.value("include")?.map(str::to_owned),
            records: records.unwrap_or_default(),
            timeout: Duration::from_millis(parsed.parsed("timeout")?.unwrap_or(10_000)),
            reporting_interval: interval,
            detailed: parsed.has("show-detailed-stats"),
            header: !parsed.has("hide-header"),
            print_metrics: parsed.has("print-metrics"),
            date_format: format.to_owned(),
            consumer,
        })
    }
}

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let nanos = UNIX_EPOCH.elapsed().map_or(0, |since| since.subsec_nanos());
    let settings = ConsumerPerfSettings::read(&run.parsed, nanos % 100_000)?;
    run.warn_of_deprecated(
        &[
            ("messages", "num-records"),
            ("consumer.config", "command-config"),
        ],
        "Warning: --{option} is deprecated. Use --{instead} instead.",
    )?;
    let cluster = client::connect(&settings.consumer).await?;
    check_topic(&cluster, &settings).await?;
    let mut consumer = client::consumer(&cluster, &settings.consumer).await?;
    match (&settings.topic, &settings.include) {
        (Some(topic), _) => consumer.subscribe([topic.clone()])?,
        (None, include) => {
            let pattern = include.as_deref().unwrap_or_default();
            consumer.subscribe_pattern(&format!("^(?:{pattern})$"))?;
        }
    }
    if settings.header {
        run.print(Report::header(settings.detailed))?;
    }
    let mut report = Report::new(now_ms(), settings.date_format.clone());
    let result = consume(&mut consumer, &settings, &mut report).await;
    let metrics = settings.print_metrics.then(|| consumer.metrics());
    let read = match &result {
        Ok(PerfEnd::Timeout) => {
            let committed = settings.consumer.reads_committed();
            let read = check_read(&cluster, &mut consumer, committed).await;
            read.map(drop)
        }
        _ => Ok(()),
    };
    consumer.close_timeout(GOODBYE).await;
    if result? != PerfEnd::AllRead {
        run.print(format!(
            "WARNING: Exiting before consuming the expected number of records: timeout ({} ms) \
             exceeded. You can use the --timeout option to increase the timeout.\n",
            settings.timeout.as_millis()
        ))?;
    }
    if !settings.detailed {
        run.print(report.total(report.ended))?;
    }
    if let Some(metrics) = metrics {
        let metrics = [
            ("metrics:poll-total", metrics.poll_total),
            (
                "fetch-manager-metrics:records-consumed-total",
                metrics.records_consumed_total,
            ),
            ("fetch-manager-metrics:fetch-total", metrics.fetch_total),
            ("coordinator-metrics:commit-total", metrics.commit_total),
            (
                "coordinator-metrics:heartbeat-total",
                metrics.heartbeat_total,
            ),
            (
                "coordinator-metrics:rebalance-total",
                metrics.rebalance_total,
            ),
        ];
        let metrics = metrics.map(|(name, value)| (format!("consumer-{name}"), value as f64));
        let metrics = metrics.iter().map(|(name, value)| (name.as_str(), *value));
        run.print(metrics_table(metrics))?;
        run.note(
            "Metrics are those of this client; Kafka's rates and latencies are not available.",
        );
    }
    read
}

/// Rejects a topic that does not exist, because nothing could be measured.
async fn check_topic(cluster: &Cluster, settings: &ConsumerPerfSettings) -> anyhow::Result<()> {
    let Some(topic) = &settings.topic else {
        return Ok(());
    };
    if client::find(cluster, topic, false).await?.is_some() {
        return Ok(());
    }
    let all = list_topics(cluster).await.unwrap_or_default();
    let existing = all.iter().map(|topic| topic.name.as_str());
    Err(unknown_name(
        format!("Topic '{topic}' does not exist"),
        topic,
        existing,
    ))
}

/// Why reading ended.
#[derive(Debug, PartialEq, Eq)]
enum PerfEnd {
    /// All requested records arrived.
    AllRead,
    /// No record arrived within the timeout.
    Timeout,
    /// Ctrl-C or SIGTERM.
    Interrupted,
}

/// Reads records.
async fn consume(
    consumer: &mut Consumer,
    settings: &ConsumerPerfSettings,
    report: &mut Report,
) -> anyhow::Result<PerfEnd> {
    let mut interrupts = Interrupts::new()?;
    let mut last = Instant::now();
    let mut rebalances = 0;
    let mut assigned = false;
    while report.records < settings.records && last.elapsed() <= settings.timeout {
        let polled = tokio::select! {
            polled = consumer.poll(POLL) => polled,
            () = interrupts.next() => return Ok(PerfEnd::Interrupted),
        };
        let time = now_ms();
        report.ended = time;
        // The client reports rebalances only as a count of completed ones.
        let done = consumer.metrics().rebalance_total;
        let holds = !consumer.assignment().is_empty();
        if done != rebalances || holds != assigned {
            (rebalances, assigned) = (done, holds);
            if holds {
                report.joined(time);
            } else {
                report.revoked(time);
            }
        }
        let records = match polled {
            Ok(records) => records,
            Err(error) if is_retriable(&error) => {
                tokio::time::sleep(POLL).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if !records.is_empty() {
            last = Instant::now();
        }
        for record in &records {
            let size = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, bytes::Bytes::len);
            report.count((size(&record.key) + size(&record.value)) as u64);
            if time - report.reported >= settings.reporting_interval {
                let line = report.progress(time);
                if settings.detailed {
                    let mut stdout = std::io::stdout().lock();
                    stdout.write_all(line.as_bytes())?;
                    stdout.flush()?;
                }
            }
        }
    }
    Ok(match report.records >= settings.records {
        true => PerfEnd::AllRead,
        false => PerfEnd::Timeout,
    })
}

#[cfg(test)]
mod tests;
