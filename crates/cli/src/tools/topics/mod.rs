//! `topics`: create, list, describe, alter and delete topics.
//!
//! Kafka's `TopicCommand`.

mod describe;

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use dohle_admin::{
    Cluster, ClusterError, Names, NewTopic, TopicName, add_partitions, create_topic, delete_topics,
    describe_topics, list_topics,
};
use kacrab_protocol::generated::ErrorCode;

use crate::connect::{BOOTSTRAP_SERVER, COMMAND_CONFIG};
use crate::options::{Parsed, all_of, any_of, conflicts, none_of, one_of};
use crate::tool_run::{ErrorWithHint, Failure, OUTPUT, Tool, ToolRun, Work, unknown_name};

const OPTIONS: &str = "
    --list: List all available topics.
    --create: Create a new topic.
    --delete: Delete a topic.
    --describe: List details for the given topics.
    --alter: Alter the number of partitions and replica assignment. (To alter topic configurations,
        the kafka-configs tool can be used.)
    --topic <topic>: The topic to create, alter, describe or delete. It also accepts a regular
        expression, except for --create.
    --topic-id <topic-id>: The topic-id to describe.
    --config <name=value>: A topic configuration override for the topic being created; may be
        repeated.
    --delete-config <name>: No longer supported since Kafka 4.0.
    --partitions <# of partitions>: The number of partitions for the topic being created or altered.
        Without it, a new topic uses the cluster's default. (WARNING: If partitions are increased
        for a topic that has a key, the partition logic or ordering of the messages will be
        affected.)
    --replication-factor <replication factor>: The replication factor for each partition in the
        topic being created. Without it, the topic uses the cluster's default.
    --replica-assignment <id:id,id:id,...>: Brokers of each partition: replicas are separated by
        colons, partitions by commas.
    --under-replicated-partitions: When describing: only under-replicated partitions.
    --unavailable-partitions: When describing: only partitions whose leader is not available.
    --under-min-isr-partitions: When describing: only partitions whose isr count is less than the
        configured minimum.
    --at-min-isr-partitions: When describing: only partitions whose isr count is equal to the
        configured minimum.
    --topics-with-overrides: When describing: only topics that have overridden configs.
    --if-exists: When altering, deleting or describing: only if the topic exists.
    --if-not-exists: When creating: no error if the topic exists already.
    --exclude-internal: Leave out internal topics when listing or describing.
    --partition-size-limit-per-response <maximum number of partitions per response>: How many
        partitions one DescribeTopicPartitions response may hold.
    ";

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-topics",
    "This tool helps to create, delete, describe, or change a topic.",
    &[BOOTSTRAP_SERVER, COMMAND_CONFIG, OPTIONS, OUTPUT],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[
    one_of("alter create describe list delete").message(
        "Command must include exactly one action: --list, --describe, --create, --alter or \
         --delete",
    ),
    any_of("topic topic-id")
        .when("if-exists")
        .unless("alter create list delete")
        .message("--topic or --topic-id is required to describe a topic"),
    all_of("topic").unless("list describe"),
    none_of("config").when("alter").message(
        "Option combination \"[bootstrap-server],[config]\" can't be used with option \"[alter]\" \
         (To alter topic configurations, the kafka-configs tool can be used.)",
    ),
    all_of("partitions").when("alter"),
    conflicts("config partitions", "describe list delete"),
    conflicts("replication-factor", "alter describe list delete"),
    conflicts("replica-assignment", "describe list delete"),
    conflicts("replica-assignment", "partitions replication-factor").unless("alter"),
    conflicts(describe::REPORTS, "alter create list delete"),
    conflicts(describe::REPORTS, "topics-with-overrides"),
    conflicts("topics-with-overrides", "alter create list delete"),
    conflicts("if-exists", "create list"),
    conflicts("if-not-exists", "alter describe list delete"),
    conflicts("exclude-internal", "alter create delete"),
])
.failure(Failure::Stdout("Error while executing topic command : "));

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let parsed = &run.parsed;
    if parsed.has("delete-config") {
        run.note(
            "delete-config option is no longer supported and deprecated since version 4.0. The \
             config will be fully removed in future releases.",
        );
    }
    let creation = match parsed.has("create") {
        true => Some(creation(parsed)?),
        false => None,
    };
    let cluster = run.connect().await?;
    if let Some(topic) = creation {
        create(run, &cluster, topic).await
    } else if parsed.has("alter") {
        alter(run, &cluster).await
    } else if parsed.has("list") {
        list(run, &cluster).await
    } else if parsed.has("describe") {
        describe::describe(run, &cluster).await
    } else {
        delete(run, &cluster).await
    }
}

/// The topic that is to be created.
fn creation(parsed: &Parsed) -> anyhow::Result<NewTopic> {
    let name = parsed.required("topic")?;
    let partitions: Option<i32> = parsed.parsed("partitions")?;
    let replication_factor: Option<i32> = parsed.parsed("replication-factor")?;
    if replication_factor.is_some_and(|factor| !(1..=i32::from(i16::MAX)).contains(&factor)) {
        bail!("The replication factor must be between 1 and 32767 inclusive");
    }
    if partitions.is_some_and(|partitions| partitions < 1) {
        bail!("The partitions must be greater than 0");
    }
    let mut configs = BTreeMap::new();
    for text in parsed.values("config") {
        let pair = text.split_once('=').filter(|(_, value)| !value.is_empty());
        let (name, value) = pair.context(
            "requirement failed: Invalid topic config: all configs to be added must be in the \
             format \"key=val\".",
        )?;
        configs.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    Ok(NewTopic {
        name: name.to_owned(),
        partitions,
        replication_factor: replication_factor.and_then(|factor| i16::try_from(factor).ok()),
        assignment: assignment(parsed)?,
        configs,
    })
}

/// `--replica-assignment`: the replicas of each partition.
fn assignment(parsed: &Parsed) -> anyhow::Result<Vec<Vec<i32>>> {
    let text = parsed.value("replica-assignment")?.unwrap_or_default();
    let mut partitions: Vec<Vec<i32>> = Vec::new();
    for (number, part) in text.split(',').filter(|_| !text.is_empty()).enumerate() {
        let mut replicas = Vec::new();
        for id in part.split(':') {
            let Ok(id) = id.trim().parse::<i32>() else {
                bail!("{id:?} in --replica-assignment is not a broker id");
            };
            if replicas.contains(&id) {
                bail!("Partition replica lists may not contain duplicate entries: {id}");
            }
            replicas.push(id);
        }
        if partitions
            .first()
            .is_some_and(|first| first.len() != replicas.len())
        {
            bail!("Partition {number} has different replication factor: {replicas:?}");
        }
        partitions.push(replicas);
    }
    Ok(partitions)
}

async fn create(run: &ToolRun<'_>, cluster: &Cluster, topic: NewTopic) -> anyhow::Result<()> {
    let name = topic.name.clone();
    if name.contains(['.', '_']) {
        run.print(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or \
             underscore ('_') could collide. To avoid issues it is best to use either, but not \
             both.\n",
        )?;
    }
    let wanted = topic.replication_factor.unwrap_or(-1);
    match create_topic(cluster, topic).await {
        Ok(()) => Ok(run.print(format!("Created topic {name}.\n"))?),
        Err(ClusterError::Refused(refusal)) => match refusal.code {
            ErrorCode::TopicAlreadyExists if run.parsed.has("if-not-exists") => Ok(()),
            ErrorCode::InvalidReplicationFactor => {
                let brokers = cluster.nodes().await?.len();
                let hint = format!(
                    "The cluster has {brokers} broker(s) in service, and each replica needs one of \
                     its own: give --replication-factor {brokers} or less instead of {wanted}, or \
                     start more brokers."
                );
                let message = refusal.message;
                Err(ErrorWithHint { message, hint }.into())
            }
            _ => Err(ClusterError::Refused(refusal).into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Selects the topics that the command line names.
async fn select_topics(
    cluster: &Cluster,
    parsed: &Parsed,
    exclude_internal: bool,
) -> anyhow::Result<Vec<TopicName>> {
    let all = list_topics(cluster).await?;
    let filter = parsed.value("topic")?.map(Names::new).transpose()?;
    let named = |name: &str| filter.as_ref().is_none_or(|filter| filter.matches(name));
    let found = all
        .iter()
        .filter(|topic| !(exclude_internal && topic.internal));
    let found = found.filter(|topic| named(&topic.name)).cloned();
    let found: Vec<TopicName> = found.collect();
    let required = found.is_empty() && !parsed.has("if-exists") && !parsed.has("list");
    match parsed
        .value("topic")?
        .filter(|name| required && !name.is_empty())
    {
        Some(name) => {
            let message = format!("Topic '{name}' does not exist as expected");
            let existing = all.iter().map(|topic| topic.name.as_str());
            Err(unknown_name(message, name, existing))
        }
        None => Ok(found),
    }
}

async fn list(run: &ToolRun<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let topics = select_topics(cluster, &run.parsed, run.parsed.has("exclude-internal")).await?;
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    run.show(&names, |names| names.join("\n") + "\n")
}

async fn alter(run: &ToolRun<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let count: i32 = run.parsed.parsed("partitions")?.unwrap_or_default();
    let assignment = assignment(&run.parsed)?;
    let topics = select_topics(cluster, &run.parsed, false).await?;
    let names: Vec<String> = topics.into_iter().map(|topic| topic.name).collect();
    if names.is_empty() {
        return Ok(());
    }
    let described = describe_topics(cluster, &names, None, &run.progress).await?;
    let wanted = described.into_iter().map(|topic| {
        let added = assignment.iter().skip(topic.partitions.len()).cloned();
        (
            topic.name,
            (!assignment.is_empty()).then(|| added.collect()),
        )
    });
    Ok(add_partitions(cluster, wanted.collect(), count).await?)
}

async fn delete(run: &ToolRun<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let topics = select_topics(cluster, &run.parsed, false).await?;
    if topics.is_empty() {
        return Ok(());
    }
    let names = topics.iter().map(|topic| topic.name.as_str());
    Ok(delete_topics(cluster, names).await?)
}

#[cfg(test)]
mod tests;
