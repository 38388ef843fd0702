//! `acls`: lists, adds and removes ACLs.
//!
//! Kafka's `AclCommand`.

mod entries;
mod resources;

use std::collections::BTreeSet;
use std::io::BufRead;

use dohle_admin::{Cluster, ClusterError, create_acls, delete_acls, describe_acls};
use dohle_model::acl::{AclEntry, AclFilter, PatternFilter, Wanted};
use serde::Serialize;

use crate::connect::{BOOTSTRAP, COMMAND_CONFIG};
use crate::options::{all_of, any_of, at_most_one_of, conflicts, none_of, one_of};
use crate::tool_run::{Failure, OUTPUT, Tool, ToolRun, Work};
use entries::{Entry, principals};
use resources::{ResourceFilter, constant};

const OPTIONS: &str = "
    --list: List ACLs for the specified resource, use --topic <topic> or --group <group> or
        --cluster to specify a resource.
    --add: Indicates you are trying to add ACLs.
    --remove: Indicates you are trying to remove ACLs.
    --topic <topic>: topic to which ACLs should be added or removed. A value of '*' indicates ACL
        should apply to all topics.
    --group <group>: Consumer Group to which the ACLs should be added or removed. A value of '*'
        indicates the ACLs should apply to all groups.
    --cluster: Add/Remove cluster ACLs.
    --transactional-id <transactional-id>: The transactionalId to which ACLs should be added or
        removed. A value of '*' indicates the ACLs should apply to all transactionalIds.
    --delegation-token <delegation-token>: Delegation token to which ACLs should be added or
        removed. A value of '*' indicates ACL should apply to all tokens.
    --user-principal <user-principal>: Specifies a user principal as a resource in relation with
        the operation. For instance one could grant CreateTokens or DescribeTokens permission on a
        given user principal.
    --resource-pattern-type <ANY|MATCH|LITERAL|PREFIXED>: The type of the resource pattern or
        pattern filter (LITERAL by default). When adding acls, this should be a specific pattern
        type, e.g. 'literal' or 'prefixed'. When listing or removing acls, a specific pattern type
        can be used to list or remove acls from specific resource patterns, or use the filter
        values of 'any' or 'match', where 'any' will match any pattern type, but will match the
        resource name exactly, where as 'match' will perform pattern matching to list or remove all
        acls that affect the supplied resource(s). WARNING: 'match', when used in combination with
        the '--remove' switch, should be used with care.
    --allow-principal <allow-principal>: principal is in principalType:name format. For example,
        User:'*' is the wild card indicating all users.
    --deny-principal <deny-principal>: principal is in principalType:name format. By default anyone
        not added through --allow-principal is denied access. You only need to use this option as
        negation to already allowed set. AND PLEASE REMEMBER DENY RULES TAKES PRECEDENCE OVER ALLOW
        RULES.
    --allow-host <allow-host>: Host from which principals listed in --allow-principal will have
        access ('*', all hosts, by default).
    --deny-host <deny-host>: Host from which principals listed in --deny-principal will be denied
        access ('*', all hosts, by default).
    --operation <operation>: Operation that is being allowed or denied (All by default). Valid
        operation names are: All, Read, Write, Create, Delete, Alter, Describe, ClusterAction,
        DescribeConfigs, AlterConfigs, IdempotentWrite, CreateTokens, DescribeTokens,
        TwoPhaseCommit.
    --producer: Convenience option to add/remove ACLs for producer role. This will generate ACLs
        that allows WRITE,DESCRIBE and CREATE on topic.
    --consumer: Convenience option to add/remove ACLs for consumer role. This will generate ACLs
        that allows READ,DESCRIBE on topic and READ on group.
    --idempotent: Enable idempotence for the producer. This should be used in combination with the
        --producer option. Note that idempotence is enabled automatically if the producer is
        authorized to a particular transactional-id.
    --principal [principal]: List ACLs for the specified principal. principal is in
        principalType:name format. Multiple --principal option can be passed.
    --force: Assume Yes to all queries and do not prompt.
    ";

const CONSUMER: &str = "With --consumer you must specify a --topic and a --group and no --cluster \
                        or --transactional-id option should be specified.";

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-acls",
    "This tool helps to manage acls on kafka.",
    &[BOOTSTRAP, COMMAND_CONFIG, OPTIONS, OUTPUT],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[
    at_most_one_of("bootstrap-server bootstrap-controller")
        .message("Only one of --bootstrap-server or --bootstrap-controller must be specified"),
    any_of("bootstrap-server bootstrap-controller")
        .message("One of --bootstrap-server or --bootstrap-controller must be specified"),
    one_of("add remove list")
        .message("Command must include exactly one action: --list, --add, --remove. "),
    conflicts(
        "list",
        "producer consumer allow-host allow-principal deny-host deny-principal",
    ),
    conflicts("producer", "operation deny-principal deny-host"),
    conflicts("consumer", "operation deny-principal deny-host"),
    all_of("list")
        .when("principal")
        .message("The --principal option is only available if --list is set"),
    all_of("topic")
        .when("producer")
        .message("With --producer you must specify a --topic"),
    all_of("producer")
        .when("idempotent")
        .message("The --idempotent option is only available if --producer is set"),
    all_of("topic group").when("consumer").message(CONSUMER),
    none_of("cluster transactional-id")
        .when("consumer")
        .unless("producer")
        .message(CONSUMER),
])
.failure(Failure::Stdout("Error while executing ACL command: "));

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    if run.parsed.has("add") {
        add(run).await
    } else if run.parsed.has("remove") {
        remove(run).await
    } else {
        list(run).await
    }
}

/// Reports a refusal with the class of its exception, as Kafka's tool does.
fn failed(error: ClusterError) -> anyhow::Error {
    anyhow::Error::msg(error.java())
}

async fn add(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let wanted = entries::to_add(&run.parsed)?;
    let cluster = run.connect().await?;
    for (resource, entries) in &wanted {
        let existing = describe_acls(&cluster, &resource.filter()).await;
        let existing: BTreeSet<AclEntry> = existing.map_err(failed)?.into_iter().collect();
        let (known, new): (Vec<_>, Vec<_>) = entries
            .iter()
            .map(|entry| (entry, entry.on(resource)))
            .partition(|(_, acl)| acl.as_ref().is_some_and(|acl| existing.contains(acl)));
        for (entry, _) in known {
            run.print(format!(
                "Acl (pattern={resource}, entry={entry}) already exists.\n"
            ))?;
        }
        if new.is_empty() {
            continue;
        }
        run.print(adding(resource, new.iter().map(|(entry, _)| *entry)))?;
        let acls: Vec<AclEntry> = new.into_iter().filter_map(|(_, acl)| acl).collect();
        create_acls(&cluster, &acls).await.map_err(failed)?;
    }
    Ok(())
}

/// As Kafka's tool prints it.
fn adding<'a>(resource: &ResourceFilter, entries: impl Iterator<Item = &'a Entry>) -> String {
    let entries = lines(entries);
    format!("Adding ACLs for resource `{resource}`: \n {entries}\n\n")
}

/// Returns a line for each entry, without an end of the last.
fn lines<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let lines: Vec<String> = entries.map(|entry| format!("\t{entry}")).collect();
    lines.join("\n")
}

async fn remove(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let wanted = entries::to_remove(&run.parsed)?;
    let cluster = run.connect().await?;
    for (resource, entries) in &wanted {
        let question = if entries.is_empty() {
            format!(
                "Are you sure you want to delete all ACLs for resource filter `{resource}`? (y/n)\n"
            )
        } else {
            format!(
                "Are you sure you want to remove ACLs: \n {}\n from resource filter `{resource}`? \
                 (y/n)\n",
                lines(entries.iter())
            )
        };
        if !run.parsed.has("force") {
            run.print(question)?;
            if !is_yes(&mut std::io::stdin().lock())? {
                continue;
            }
        }
        remove_from(&cluster, resource, entries)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

/// Reads the answer to a question.
fn is_yes(answers: &mut impl BufRead) -> std::io::Result<bool> {
    let mut answer = String::new();
    answers.read_line(&mut answer)?;
    Ok(answer
        .trim_end_matches(['\r', '\n'])
        .eq_ignore_ascii_case("y"))
}

async fn remove_from(
    cluster: &Cluster,
    resource: &ResourceFilter,
    entries: &BTreeSet<Entry>,
) -> Result<(), ClusterError> {
    let filters: Vec<AclFilter<'_>> = if entries.is_empty() {
        vec![resource.filter()]
    } else {
        entries.iter().map(|entry| entry.filter(resource)).collect()
    };
    delete_acls(cluster, &filters).await?;
    Ok(())
}

/// An ACL in JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    resource_type: String,
    pattern_type: String,
    resource_name: &'a str,
    principal: &'a str,
    host: &'a str,
    operation: String,
    permission_type: String,
}

impl<'a> Row<'a> {
    fn of(acl: &'a AclEntry) -> Self {
        let entry = Entry::of(acl);
        Self {
            resource_type: constant(acl.resource_type),
            pattern_type: constant(acl.pattern_type),
            resource_name: &acl.resource_name,
            principal: &acl.principal,
            host: &acl.host,
            operation: entry.operation_name(),
            permission_type: constant(acl.permission),
        }
    }
}

async fn list(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let resources = resources::selected(&run.parsed)?;
    let principals = principals(&run.parsed, "principal")?;
    let cluster = run.connect().await?;
    let mut acls = BTreeSet::new();
    if resources.is_empty() {
        acls.extend(describe_acls(&cluster, &EVERYTHING).await.map_err(failed)?);
    }
    for resource in &resources {
        let found = describe_acls(&cluster, &resource.filter()).await;
        acls.extend(found.map_err(failed)?);
    }
    if !principals.is_empty() {
        acls.retain(|acl| principals.contains(&*acl.principal));
    }
    let rows: Vec<Row<'_>> = acls.iter().map(Row::of).collect();
    run.show(&rows, |_| render(&acls, &principals))
}

const EVERYTHING: AclFilter<'_> = AclFilter {
    resource_type: Wanted::Any,
    pattern_type: PatternFilter::Any,
    resource_name: None,
    principal: None,
    host: None,
    operation: Wanted::Any,
    permission: Wanted::Any,
};

/// As Kafka's tool prints it: by resource, and first by principal where principals are asked for.
fn render(acls: &BTreeSet<AclEntry>, principals: &BTreeSet<String>) -> String {
    if principals.is_empty() {
        return by_resource(acls.iter());
    }
    let sections = principals.iter().map(|principal| {
        let own = acls.iter().filter(|acl| *acl.principal == **principal);
        format!("ACLs for principal `{principal}`\n{}", by_resource(own))
    });
    sections.collect()
}

fn by_resource<'a>(acls: impl Iterator<Item = &'a AclEntry>) -> String {
    let acls: Vec<&AclEntry> = acls.collect();
    let resources = acls.chunk_by(|a, b| ResourceFilter::of(a) == ResourceFilter::of(b));
    let section = |acls: &[&AclEntry]| {
        let resource = ResourceFilter::of(acls[0]);
        let entries: Vec<Entry> = acls.iter().map(|acl| Entry::of(acl)).collect();
        let entries = lines(entries.iter());
        format!("Current ACLs for resource `{resource}`:\n{entries}\n\n")
    };
    resources.map(section).collect()
}

#[cfg(test)]
mod tests;
