//! `perf`: puts a load on a cluster and measures it.
//!
//! Dohle's own tool. It speaks Kafka's protocol only, so it measures any cluster; the load itself
//! is the crate `dohle-load`. The tools of Kafka that measure are `producer_perf` and
//! `consumer_perf`.

mod settings;
mod text;

use std::time::Duration;

use anyhow::Context as _;
use dohle_admin::ItemCount as _;
use dohle_load::{End, Report, StopSignal};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::interval;

use crate::client::Interrupts;
use crate::connect::{BOOTSTRAP_SERVER, COMMAND_CONFIG};
use crate::options::{Syntax, all_of, at_most_one_of, none_of};
use crate::tool_run::{Failure, OUTPUT, Tool, ToolRun, Work, fail_if};

const COMMANDS: &str = "
    produce: Produce records, and measure the time from when they are due to their acknowledgement.
    consume: Read records: all that the topic has, or for a time with --duration.
    end-to-end: Produce records and read them, and measure the time from when they are due to their
        arrival. 1000 records a second, each in a request of its own, unless other options say so.
    mixed: Produce records, and read the topic from its beginning meanwhile.
    ";

const RUN: &str = "
    --topic <topic>: REQUIRED: an existing topic, whose partitions are used evenly.
    --duration <time>: How long to measure, as in 30s, 5m or 500ms. (default: 10s)
    --num-records <count>: Measure this many records instead of a time.
    --warm-up <time>: How long the load runs before it is measured. (default: 1s; with --num-records
        and to read, 0s)
    --connections <count>: Clients, each with a connection to each broker that leads partitions of
        the topic. (default: 1)
    --threads <count>: Threads of this program; its warnings name the case in which one is too few.
        (default: 1)
    ";

const PRODUCE: &str = "
    --rate <rate>: Records a second of all clients together, as in 50000, or values a second in
        megabytes (10^6 bytes), as in 100MB. 0 is as much as the cluster accepts: each client sends
        as soon as a request is answered. (default: 0)
    --record-size <bytes>: Bytes of each value. (default: 1024)
    --batch-records <count>: Records of a batch; each request has one batch. A batch is due as a
        whole, without the time that a client would wait to fill it.
    --batch-bytes <bytes>: The same in bytes of values. (default: 16384, Kafka's batch.size)
    --in-flight <count>: Requests that wait for their response on one connection. (default: 5)
    --acks <0|1|all>: Which replicas have to have a record. (default: all)
    --compression <codec>: none, gzip, snappy, lz4 or zstd. Batches are compressed before the run.
        (default: none)
    --random-percent <percent>: The part of each value that does not compress. (default: 100)
    --keys <count>: Give records one of this many keys, in the partition that Kafka's clients choose
        for it. (default: 0, no keys)
    --idempotent: Each client is an idempotent producer.
    --transaction-size <records>: Each client is a transactional producer that commits after this
        many records.
    --timeout <time>: How long a broker may take for a request. (default: 30s)
    ";

const CONSUME: &str = "
    --consumers <count>: Clients that read, beside the --connections that produce. (default: 1)
    --from <beginning|end>: Where reading begins. (default: beginning)
    --fetch-min-bytes <bytes>: How many bytes a broker waits for. (default: 1)
    --fetch-max-bytes <bytes>: Bytes of a response. (default: 52428800)
    --fetch-partition-bytes <bytes>: Bytes of a partition in a response. (default: 1048576)
    --fetch-max-wait <time>: How long a broker waits for them. (default: 500ms)
    --read-committed: Leave out records of transactions that are open or aborted.
    --verify: Verify checksums, decompress, and count the records one by one. Without it, only the
        headers of batches are read.
    ";

/// The options that only a load that produces has, and those that only a load that reads has.
const OF_PRODUCERS: &str = "rate record-size batch-records batch-bytes in-flight acks compression \
                            random-percent keys idempotent transaction-size timeout";
const OF_CONSUMERS: &str = "consumers from fetch-min-bytes fetch-max-bytes fetch-partition-bytes \
                            fetch-max-wait read-committed verify";

/// The row of the table.
pub const TOOL: Tool = Tool {
    name: "perf",
    linked: false,
    syntax: Syntax {
        tool: "dohle perf",
        about: "Puts a load on a cluster and measures it. It works against Dohle and against every \
                other cluster that speaks Kafka's protocol. Records are due on a schedule that \
                does not depend on the cluster, and latencies count from there, so that a stall \
                counts for every record that it delays.",
        options: &[
            BOOTSTRAP_SERVER,
            COMMAND_CONFIG,
            RUN,
            PRODUCE,
            CONSUME,
            OUTPUT,
        ],
        rules: &[
            all_of("bootstrap-server topic"),
            at_most_one_of("duration num-records"),
            at_most_one_of("batch-records batch-bytes"),
            none_of(OF_PRODUCERS)
                .when("consume")
                .message("--{first} belongs to a load that produces, not to {when}"),
            none_of(OF_CONSUMERS)
                .when("produce")
                .message("--{first} belongs to a load that reads, not to {when}"),
            none_of("consumers")
                .when("consume")
                .message("--{first} belongs to a load that also produces; use --connections"),
            none_of("from")
                .when("end-to-end")
                .message("--{first} does not go together with {when}, which reads its own records"),
        ],
        commands: COMMANDS,
        works_without_arguments: false,
    },
    work: Work::Async(|run| Box::pin(work(run))),
    failure: Failure::Stderr(""),
};

const SECOND: Duration = Duration::from_secs(1);

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let load = settings::read(&run.parsed)?;
    allow_many_connections();
    let stop = StopSignal::default();
    let mut interrupts = Interrupts::new()?;
    let length = match load.end {
        End::After(duration) => Some((load.warm_up + duration).as_secs() as usize),
        End::Records(_) | End::EndOfLog => None,
    };
    let seconds = run.progress.count("seconds of the load", length);
    let mut ticks = interval(SECOND);
    ticks.tick().await;
    let mut running = tokio::task::spawn_blocking({
        let stop = stop.clone();
        move || dohle_load::run(&load, &stop)
    });
    let report = loop {
        tokio::select! {
            report = &mut running => break report,
            () = interrupts.next() => stop.stop(),
            _ = ticks.tick() => seconds.add(1),
        }
    };
    drop(seconds);
    let report = report.context("run the load")??;
    run.show(&report, text::report)?;
    for warning in &report.warnings {
        run.note(format!("WARNING: {warning}"));
    }
    fail_if(is_empty(&report))
}

/// Returns whether nothing was measured: the cluster acknowledged nothing, or gave no records.
fn is_empty(report: &Report) -> bool {
    let produced = report.produce.as_ref().map(|it| it.records);
    let read = report.consume.as_ref().map(|it| it.records);
    produced == Some(0) || (read == Some(0) && produced.is_none())
}

/// Raises this process's limit of open files to what the system allows.
fn allow_many_connections() {
    let limit = getrlimit(Resource::Nofile);
    // The load reports it when descriptors run out.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
}

#[cfg(test)]
mod tests;
