//! ACLs, with Kafka's own `kafka-acls` and Dohle's, against Dohle and against Apache Kafka.

use anyhow::{Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::cluster::Builder;
use dohle_tests::program::Output;

use crate::console_tools::{Kafka, ours, theirs};
use crate::tools::normal;

pub(super) const AUTHORIZER: (&str, &str) = (
    "authorizer.class.name",
    "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
);
/// Every client of these tests is anonymous.
const SUPER_USERS: (&str, &str) = ("super.users", "User:ANONYMOUS");

fn authorized(cluster: Builder) -> Builder {
    cluster
        .property(AUTHORIZER.0, AUTHORIZER.1)
        .property(SUPER_USERS.0, SUPER_USERS.1)
}

/// Which tool is run.
#[derive(Debug, Clone, Copy)]
enum Tool {
    Ours,
    Kafkas,
}

fn run(tool: Tool, bootstrap: &str, line: &str) -> Result<Output> {
    let args: Vec<&str> = line.split_whitespace().collect();
    match tool {
        Tool::Ours => ours("acls", bootstrap, &args)?.run(),
        Tool::Kafkas => theirs("AclCommand", bootstrap, &args).run(),
    }
}

/// Runs a tool that must succeed, and returns the lines that it prints, in one order: Kafka's come
/// from hash maps.
fn lines(tool: Tool, bootstrap: &str, line: &str) -> Result<Vec<String>> {
    Ok(normal(&run(tool, bootstrap, line)?.clean()?))
}

/// Checks that both tools list the same, and returns the number of ACLs.
fn both_list(bootstrap: &str, line: &str) -> Result<usize> {
    let line = format!("--list {line}");
    let ours = lines(Tool::Ours, bootstrap, &line)?;
    assert_eq!(ours, lines(Tool::Kafkas, bootstrap, &line)?, "{line}");
    Ok(ours
        .iter()
        .filter(|line| line.contains("principal="))
        .count())
}

/// Adds ACLs with one tool and removes them with the other. Returns all that was printed.
fn add_and_remove(bootstrap: &str, adds: Tool, removes: Tool) -> Result<Vec<Vec<String>>> {
    let add = |line: &str| lines(adds, bootstrap, &format!("--add {line}"));
    let remove = |line: &str| lines(removes, bootstrap, &format!("--remove --force {line}"));
    let mut printed = vec![
        add("--allow-principal User:alice --operation read --operation Write --topic orders")?,
        add(
            "--producer --idempotent --topic ord --resource-pattern-type prefixed \
             --allow-principal User:bob --transactional-id t1",
        )?,
        add("--deny-principal User:* --deny-host 10.0.0.1 --cluster --operation ClusterAction")?,
        // One of these exists already.
        add("--allow-principal User:alice --operation Read --operation Delete --topic orders")?,
    ];
    ensure!(both_list(bootstrap, "")? == 10, "all ACLs");
    ensure!(both_list(bootstrap, "--topic orders")? == 3, "of a topic");
    let matching = "--topic orders --resource-pattern-type match";
    ensure!(both_list(bootstrap, matching)? == 6, "{matching}");
    ensure!(both_list(bootstrap, "--principal User:bob")? == 6, "of bob");
    printed.extend([
        remove("--allow-principal User:alice --operation Read --topic orders")?,
        remove("--topic orders")?,
        remove("--topic orders --resource-pattern-type match")?,
        remove("--transactional-id t1 --resource-pattern-type any")?,
    ]);
    ensure!(both_list(bootstrap, "")? == 2, "those of the cluster");
    printed.push(remove("--cluster")?);
    ensure!(both_list(bootstrap, "")? == 0, "all are removed");
    Ok(printed)
}

fn administer(bootstrap: &str) -> Result<()> {
    let one = add_and_remove(bootstrap, Tool::Ours, Tool::Kafkas)?;
    let other = add_and_remove(bootstrap, Tool::Kafkas, Tool::Ours)?;
    assert_eq!(one, other);
    Ok(())
}

#[test]
fn kafkas_tool_and_ours_administer_the_acls_of_dohle() -> Result<()> {
    let cluster = authorized(Cluster::of(3)).start()?;
    administer(&cluster.bootstrap())?;
    let log = cluster.nodes()[0].log()?;
    ensure!(
        !log.contains("allowed an operation"),
        "permissions are logged"
    );
    Ok(())
}

#[test]
fn kafkas_tool_and_ours_administer_the_acls_of_apache_kafka() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let kafka = Kafka::start_with(folder.path(), &[AUTHORIZER, SUPER_USERS])?;
    administer(&kafka.bootstrap)
}

#[test]
fn acls_survive_a_restart_of_all_nodes() -> Result<()> {
    let mut cluster = authorized(Cluster::of(3)).start()?;
    let add = "--add --allow-principal User:a --operation All --topic t --group g";
    lines(Tool::Ours, &cluster.bootstrap(), add)?;
    cluster.stop()?;
    cluster.start()?;
    let listed = run(Tool::Ours, &cluster.bootstrap(), "--list")?.clean()?;
    ensure!(listed.matches("principal=User:a").count() == 2, "{listed}");
    Ok(())
}

#[test]
fn without_an_authorizer_acls_are_refused_as_by_kafka() -> Result<()> {
    let cluster = Cluster::of(1).start()?;
    for (line, message) in [
        ("--list", "No Authorizer is configured on the broker"),
        ("--remove --force --topic t", "No Authorizer is configured."),
    ] {
        let told = format!(
            "Error while executing ACL command: \
             org.apache.kafka.common.errors.SecurityDisabledException: {message}\n"
        );
        let kafkas = run(Tool::Kafkas, &cluster.bootstrap(), line)?;
        ensure!(kafkas.stdout.starts_with(&told), "{kafkas}");
        let ours = run(Tool::Ours, &cluster.bootstrap(), line)?;
        ensure!(ours.stdout == told && ours.code == 1, "{ours}");
    }
    Ok(())
}

#[test]
fn acls_bind_clients_and_each_denial_is_logged_once() -> Result<()> {
    let cluster = Cluster::of(1)
        .property(AUTHORIZER.0, AUTHORIZER.1)
        .property("allow.everyone.if.no.acl.found", "true")
        .environment("DOHLE_LOG", "info,openraft=off,dohle_auth=debug")
        .allow("is not authorized")
        // Until the controller has its first metadata, only super users may connect to it.
        .allow("User:ANONYMOUS may not carry out ClusterAction")
        .start()?;
    let bootstrap = cluster.bootstrap();
    // No ACL is found yet, so everyone may add the first one.
    let add = "--add --allow-principal User:nobody --operation Alter --cluster";
    lines(Tool::Ours, &bootstrap, add)?;
    for _ in 0..2 {
        let denied = run(Tool::Ours, &bootstrap, "--list")?;
        ensure!(denied.code == 1, "{denied}");
    }
    let log = cluster.nodes()[0].log()?;
    let denials: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("denied an operation") && !line.contains("AclsNotLoaded"))
        .collect();
    ensure!(denials.len() == 1, "{denials:?}");
    for field in ["ANONYMOUS", "127.0.0.1", "Describe", "kafka-cluster"] {
        ensure!(denials[0].contains(field), "no {field} in {}", denials[0]);
    }
    // What is allowed is logged at DEBUG, which this cluster does log.
    let mut lines = log
        .lines()
        .filter(|line| line.contains("allowed an operation"));
    let is_logged = lines.any(|line| line.contains("DEBUG") && line.contains("Alter"));
    ensure!(is_logged, "no permission is logged");
    Ok(())
}
