//! The levels of loggers are changed at run time, with Kafka's own tool and with Dohle's: a line of
//! DEBUG appears in the log of the one broker that was asked, and no more after the level is
//! deleted.

use anyhow::{Context, Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::cluster::text;
use dohle_tests::wait::{DEADLINE, eventually};
use kacrab_protocol::generated::{
    FindCoordinatorRequestData, JoinGroupRequestData, join_group_request::JoinGroupRequestProtocol,
};

use super::console_tools::{ours, theirs};

const MEMBER_ID_REQUIRED: i16 = 79;

/// What a broker logs at DEBUG for each new member of a classic group.
const LINE: &str = "DEBUG member id handed out";

/// Returns the coordinator of a group.
fn coordinator(cluster: &Cluster, group: &str) -> Result<i32> {
    let request = FindCoordinatorRequestData {
        coordinator_keys: vec![text(group)],
        ..FindCoordinatorRequestData::default()
    };
    let mut connection = cluster.connect()?;
    eventually(DEADLINE, "a coordinator", || {
        let found = connection.call(&request, 4)?.coordinators.remove(0);
        Ok((found.error_code == 0).then_some(found.node_id))
    })
}

/// Asks a broker for a member id, and returns how many lines about this group it has logged. It
/// logs a line before it answers.
fn lines_of_join(cluster: &mut Cluster, broker: i32, group: &str) -> Result<usize> {
    let protocol = JoinGroupRequestProtocol {
        name: text("range"),
        ..JoinGroupRequestProtocol::default()
    };
    let request = JoinGroupRequestData {
        group_id: text(group),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: text("consumer"),
        protocols: vec![protocol],
        ..JoinGroupRequestData::default()
    };
    let broker = cluster.broker(broker);
    let mut connection = broker.connect()?;
    eventually(DEADLINE, "a member id", || {
        let code = connection.call(&request, 5)?.error_code;
        Ok((code == MEMBER_ID_REQUIRED).then_some(()))
    })?;
    let (log, about) = (broker.log()?, format!("group={group} "));
    let lines = log.lines();
    Ok(lines
        .filter(|line| line.contains(LINE) && line.contains(&about))
        .count())
}

/// Returns the options of the tool that select the loggers of a broker, followed by others.
fn of_loggers<'a>(broker: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    let entity = ["--entity-type", "broker-loggers", "--entity-name", broker];
    [&entity[..], args].concat()
}

#[test]
fn lines_appear_and_disappear_with_the_level_of_their_logger() -> Result<()> {
    let mut cluster = Cluster::of(2)
        .property("offsets.topic.num.partitions", "1")
        .allow("changed the level of a logger")
        .start()?;
    let bootstrap = cluster.bootstrap();
    let asked = coordinator(&cluster, "g")?;
    let (broker, other) = (asked.to_string(), (3 - asked).to_string());
    let kafka = |broker: &str, args: &[&str]| {
        theirs("ConfigCommand", &bootstrap, &of_loggers(broker, args)).run()
    };
    let dohle =
        |broker: &str, args: &[&str]| ours("configs", &bootstrap, &of_loggers(broker, args))?.run();
    let described = kafka(&broker, &["--describe"])?.clean()?;
    for line in ["root=INFO", "dohle_groups=INFO", "openraft=OFF"] {
        let line = format!("  {line} sensitive=false synonyms={{}}\n");
        ensure!(described.contains(&line), "no {line:?} in {described}");
    }
    assert_eq!(dohle(&broker, &["--describe"])?.clean()?, described);
    assert_eq!(lines_of_join(&mut cluster, asked, "before")?, 0);

    let debug = ["--alter", "--add-config", "dohle_groups=DEBUG"];
    let done = format!("Completed updating config for broker-logger {broker}.\n");
    assert_eq!(kafka(&broker, &debug)?.clean()?, done);
    assert_eq!(lines_of_join(&mut cluster, asked, "while")?, 1);
    let described = kafka(&broker, &["--describe"])?.clean()?;
    ensure!(described.contains("  dohle_groups=DEBUG "), "{described}");
    let described = kafka(&other, &["--describe"])?.clean()?;
    ensure!(described.contains("  dohle_groups=INFO "), "{described}");

    let delete = ["--alter", "--delete-config", "dohle_groups"];
    assert_eq!(kafka(&broker, &delete)?.clean()?, done);
    assert_eq!(lines_of_join(&mut cluster, asked, "after")?, 0);

    assert_eq!(dohle(&broker, &debug)?.clean()?, done);
    assert_eq!(lines_of_join(&mut cluster, asked, "ours")?, 1);
    assert_eq!(dohle(&broker, &delete)?.clean()?, done);
    assert_eq!(lines_of_join(&mut cluster, asked, "at last")?, 0);

    for (config, reason) in [
        (
            "root=OFF",
            "Cannot set the log level of root to OFF as it is not a supported log level. Valid log \
             levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN",
        ),
        (
            "kafka.server.KafkaApis=DEBUG",
            "Invalid broker logger(s): kafka.server.KafkaApis",
        ),
    ] {
        for output in [
            kafka(&broker, &["--alter", "--add-config", config])?,
            dohle(&broker, &["--alter", "--add-config", config])?,
        ] {
            assert_eq!(output.code, 1, "{output}");
            let printed = output.stdout + &output.stderr;
            ensure!(printed.contains(reason), "no {reason:?} in {printed}");
        }
    }
    let log = cluster.broker(asked).log()?;
    let change = log.lines().find(|line| line.contains("changed the level"));
    let change = change.context("no line about a change")?;
    for part in [
        "logger=\"dohle_groups\"",
        "level=\"DEBUG\"",
        "principal=User:ANONYMOUS",
    ] {
        ensure!(change.contains(part), "no {part} in {change}");
    }
    Ok(())
}
