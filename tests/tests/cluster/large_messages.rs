//! Messages far above the defaults, from the console tools through three replicas and back: the
//! only limit that is raised is the topic's `max.message.bytes`.

use anyhow::{Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::program::Program;

use super::console_tools::ours;

#[test]
fn the_tools_follow_the_largest_message_of_a_topic() -> Result<()> {
    let cluster = Cluster::of(3).start()?;
    let bootstrap = cluster.bootstrap();
    // The second one is above 100 MiB, the limit of requests.
    for (topic, limit, size) in [
        ("large", "20000000", 19_000_000),
        ("huge", "120000000", 110_000_000),
    ] {
        cluster.create_topic(topic, 1, 3, &[("max.message.bytes", limit)])?;
        let line = "0123456789".repeat(size / 10) + "\n";
        let producer = ours("console-producer", &bootstrap, &["--topic", topic])?
            .args(["--request-timeout-ms", "60000"])
            .input(line.as_str());
        producer.run()?.clean()?;
        let consumer = ours("console-consumer", &bootstrap, &["--topic", topic])?
            .args(["--from-beginning", "--max-messages", "1"])
            .args(["--timeout-ms", "60000"]);
        let read = consumer.run()?;
        let length = read.stdout.len();
        ensure!(read.code == 0, "{topic}: {}", read.stderr);
        ensure!(
            read.stdout == line,
            "{topic}: {length} of {} bytes",
            line.len()
        );
    }
    let load = [
        "--topic",
        "large",
        "--num-records",
        "2",
        "--throughput",
        "-1",
    ];
    let perf = || -> Result<Program> {
        let tool = ours("producer-perf-test", &bootstrap, &load)?;
        Ok(tool.args(["--record-size", "19000000"]))
    };
    let sent = perf()?.run()?.ok()?;
    ensure!(sent.contains("2 records sent"), "{sent}");
    // A limit that the user sets is kept.
    let limited = perf()?.args(["--command-property", "max.request.size=1000000"]);
    let limited = limited.run()?;
    ensure!(limited.code != 0, "{limited}");
    ensure!(limited.stderr.contains("1000000"), "{limited}");
    Ok(())
}
