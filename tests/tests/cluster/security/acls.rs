//! ACLs, with Kafka's own `kafka-acls` and Dohle's, against Dohle and against Apache Kafka.

use anyhow::{Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::clients::java::ToolLoop;
use dohle_tests::cluster::Builder;
use dohle_tests::program::Output;

use crate::console_tools::{Kafka, ours};
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

/// Both tools, with the addresses of a cluster.
struct Tools {
    bootstrap: String,
    kafkas: ToolLoop,
}

impl Tools {
    fn new(bootstrap: &str) -> Result<Self> {
        Ok(Self {
            bootstrap: bootstrap.to_owned(),
            kafkas: ToolLoop::start("AclCommand")?,
        })
    }

    fn run(&mut self, tool: Tool, line: &str) -> Result<Output> {
        let args: Vec<&str> = line.split_whitespace().collect();
        match tool {
            Tool::Ours => ours("acls", &self.bootstrap, &args)?.run(),
            Tool::Kafkas => {
                let bootstrap = ["--bootstrap-server", &self.bootstrap];
                self.kafkas.run(&[&bootstrap[..], &args].concat())
            }
        }
    }

    /// Runs a tool that must succeed, and returns the lines that it prints, in one order: Kafka's
    /// come from hash maps, and the first ACL of a resource, whichever it is, begins with a space.
    fn lines(&mut self, tool: Tool, line: &str) -> Result<Vec<String>> {
        let lines = normal(&self.run(tool, line)?.clean()?).into_iter();
        let mut lines: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
        lines.sort();
        Ok(lines)
    }

    /// Checks that both tools list the same, and returns the number of ACLs.
    fn both_list(&mut self, line: &str) -> Result<usize> {
        let line = format!("--list {line}");
        let ours = self.lines(Tool::Ours, &line)?;
        assert_eq!(ours, self.lines(Tool::Kafkas, &line)?, "{line}");
        let acls = ours.iter().filter(|line| line.contains("principal="));
        Ok(acls.count())
    }

    /// Adds ACLs with one tool and removes them with the other. Returns all that was printed.
    fn add_and_remove(&mut self, adds: Tool, removes: Tool) -> Result<Vec<Vec<String>>> {
        let mut printed = Vec::new();
        for line in [
            "--allow-principal User:alice --operation read --operation Write --topic orders",
            "--producer --idempotent --topic ord --resource-pattern-type prefixed \
             --allow-principal User:bob --transactional-id t1",
            "--deny-principal User:* --deny-host 10.0.0.1 --cluster --operation ClusterAction",
            // One of these exists already.
            "--allow-principal User:alice --operation Read --operation Delete --topic orders",
        ] {
            printed.push(self.lines(adds, &format!("--add {line}"))?);
        }
        ensure!(self.both_list("")? == 10, "all ACLs");
        ensure!(self.both_list("--topic orders")? == 3, "of a topic");
        let matching = "--topic orders --resource-pattern-type match";
        ensure!(self.both_list(matching)? == 6, "{matching}");
        ensure!(self.both_list("--principal User:bob")? == 6, "of bob");
        for line in [
            "--allow-principal User:alice --operation Read --topic orders",
            "--topic orders",
            "--topic orders --resource-pattern-type match",
            "--transactional-id t1 --resource-pattern-type any",
        ] {
            printed.push(self.lines(removes, &format!("--remove --force {line}"))?);
        }
        ensure!(self.both_list("")? == 2, "those of the cluster");
        printed.push(self.lines(removes, "--remove --force --cluster")?);
        ensure!(self.both_list("")? == 0, "all are removed");
        Ok(printed)
    }
}

fn administer(bootstrap: &str) -> Result<()> {
    let mut tools = Tools::new(bootstrap)?;
    let one = tools.add_and_remove(Tool::Ours, Tool::Kafkas)?;
    let other = tools.add_and_remove(Tool::Kafkas, Tool::Ours)?;
    assert_eq!(one, other);
    Ok(())
}

/// Runs Dohle's tool.
fn run_ours(bootstrap: &str, line: &str) -> Result<Output> {
    let args: Vec<&str> = line.split_whitespace().collect();
    ours("acls", bootstrap, &args)?.run()
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
    run_ours(&cluster.bootstrap(), add)?.clean()?;
    cluster.stop()?;
    cluster.start()?;
    let listed = run_ours(&cluster.bootstrap(), "--list")?.clean()?;
    ensure!(listed.matches("principal=User:a").count() == 2, "{listed}");
    Ok(())
}

#[test]
fn without_an_authorizer_acls_are_refused_as_by_kafka() -> Result<()> {
    let cluster = Cluster::of(1).start()?;
    let mut tools = Tools::new(&cluster.bootstrap())?;
    for (line, message) in [
        ("--list", "No Authorizer is configured on the broker"),
        ("--remove --force --topic t", "No Authorizer is configured."),
    ] {
        let told = format!(
            "Error while executing ACL command: \
             org.apache.kafka.common.errors.SecurityDisabledException: {message}\n"
        );
        let kafkas = tools.run(Tool::Kafkas, line)?;
        ensure!(kafkas.stdout.starts_with(&told), "{kafkas}");
        let ours = tools.run(Tool::Ours, line)?;
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
    run_ours(&bootstrap, add)?.clean()?;
    for _ in 0..2 {
        let denied = run_ours(&bootstrap, "--list")?;
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
