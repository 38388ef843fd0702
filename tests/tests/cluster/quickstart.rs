//! The first steps of a newcomer: `dohle dev`, and a single node without a file.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use dohle_tests::clients::kcat::kcat;
use dohle_tests::node::{binary, clear_environment};
use dohle_tests::ports::{free_port, free_ports};
use dohle_tests::program::{Program, Running};
use dohle_tests::wait::DEADLINE;
use dohle_tests::{KafkaConnection, until};

fn produce_and_consume(bootstrap: &str, sent: &str) -> Result<String> {
    kcat(bootstrap, &["-P", "-t", "quickstart"])
        .input(sent)
        .run()?
        .ok()?;
    kcat(
        bootstrap,
        &["-C", "-t", "quickstart", "-o", "beginning", "-e", "-q"],
    )
    .run()?
    .clean()
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Starts `dohle dev` with its first broker on this port, and waits until it prints that it is up.
fn dev(data: &Path, port: u16) -> Result<Running> {
    let mut cluster = clean(Program::new(binary()?).arg("dev").arg("--data").arg(data))
        .args(["--port", &port.to_string()])
        .start()?;
    cluster.wait_for_line(|line| line.starts_with("Three nodes are up"))?;
    Ok(cluster)
}

/// Removes the variables of this process that would configure a node.
fn clean(program: Program) -> Program {
    let mut without = Command::new("none");
    clear_environment(&mut without);
    let names: Vec<_> = without
        .get_envs()
        .map(|(name, _)| name.to_owned())
        .collect();
    names
        .iter()
        .fold(program, |program, name| program.without_env(name))
}

#[test]
fn dohle_dev_runs_three_nodes_stops_at_ctrl_c_and_finds_its_data_again() -> Result<()> {
    if std::env::var("DOHLE_ONLY_SERVER").is_ok() {
        println!("the program under test has `server` only");
        return Ok(());
    }
    let data = tempfile::tempdir()?;
    let first = free_ports(6)?;
    let ports = [first, first + 2, first + 4];
    let bootstrap = format!("127.0.0.1:{first}");
    let cluster = dev(data.path(), first)?;
    for port in ports {
        let mut live = KafkaConnection::open(loopback(port))?.live_brokers()?;
        live.sort_unstable();
        assert_eq!(
            live,
            [1, 2, 3],
            "of port {port}, once all are said to be up"
        );
    }
    let listing = kcat(&bootstrap, &["-L"]).run()?.clean()?;
    assert!(listing.contains(" 3 brokers:"), "{listing}");
    assert_eq!(produce_and_consume(&bootstrap, "first\n")?, "first\n");
    cluster.interrupt()?;
    let printed = cluster.finish()?.ok()?;
    for port in ports {
        assert!(
            printed.contains(&port.to_string()),
            "no {port} in what it printed:\n{printed}"
        );
    }

    let cluster = dev(data.path(), first)?;
    assert_eq!(
        produce_and_consume(&bootstrap, "second\n")?,
        "first\nsecond\n"
    );
    cluster.interrupt()?;
    cluster.finish()?.ok()?;
    Ok(())
}

#[test]
fn a_single_node_needs_no_file() -> Result<()> {
    if std::env::var("DOHLE_ONLY_SERVER").is_ok() {
        println!("the program under test needs a file");
        return Ok(());
    }
    let data = tempfile::tempdir()?;
    let (port, controller) = (free_port()?, free_port()?);
    let listeners =
        format!("listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}");
    let overrides = [
        listeners,
        format!("advertised.listeners=PLAINTEXT://127.0.0.1:{port}"),
        format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
        format!("log.dirs={}", data.path().to_str().context("path")?),
    ];
    let node = clean(Program::new(binary()?).arg("server"))
        .args(
            overrides
                .iter()
                .flat_map(|property| ["--override", property.as_str()]),
        )
        .start()?;
    let address = loopback(port);
    until(DEADLINE, format!("{address} is live"), || {
        Ok(KafkaConnection::open(address)?.live_brokers()? == [1])
    })?;
    assert_eq!(
        produce_and_consume(&format!("127.0.0.1:{port}"), "alone\n")?,
        "alone\n"
    );
    node.interrupt()?;
    node.finish()?.ok()?;
    Ok(())
}
