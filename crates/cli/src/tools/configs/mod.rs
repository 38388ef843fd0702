//! `configs`: describes and alters the configuration of topics, brokers, groups, client metrics,
//! and the quotas of users, clients and IP addresses.
//!
//! Kafka's `ConfigCommand`.

mod entity;
mod quotas;
mod resources;
mod values;

use dohle_admin::ClusterError;

use self::entity::{Entities, Entity};
use crate::connect::{BOOTSTRAP, COMMAND_CONFIG};

use crate::options::{
    Parsed, UsageError, any_of, at_most_one_of, conflicts, none_of, one_of, usage,
};
use crate::tool_run::{OUTPUT, Tool, ToolRun, Work};

const OPTIONS: &str = "
    --alter: Alter the configuration for the entity.
    --describe: List configs for the given entity.
    --all: List all configs for the given entity, including static configs if available.
    --entity-type <type>: Type of entity
        (topics/clients/users/brokers/broker-loggers/ips/client-metrics/groups).
    --entity-name <name>: Name of entity (topic name/client id/user principal name/broker
        id/ip/client metrics/group id).
    --entity-default: Default entity name for clients/users/brokers/ips (applies to corresponding
        entity type).
    --add-config <k1=v1,k2=[v1,v2]>: Key Value pairs of configs to add. Square brackets can be used
        to group values which contain commas: 'k1=v1,k2=[v1,v2,v2],k3=v3'.
    --add-config-file <file>: Path to a properties file with configs to add.
    --delete-config <k1,k2>: Config keys to remove 'k1,k2'.
    --topic <topic>: The topic's name.
    --client <client>: The client's ID.
    --client-defaults: The config defaults for all clients.
    --user <user>: The user's principal name.
    --user-defaults: The config defaults for all users.
    --broker <broker>: The broker's ID.
    --broker-defaults: The config defaults for all brokers.
    --broker-logger <broker>: The broker's ID for its logger config.
    --ip <ip>: The IP address.
    --ip-defaults: The config defaults for all IPs.
    --group <group>: The group's ID.
    --client-metrics <name>: The client metrics config resource name.
    ";

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-configs",
    "This tool helps to manipulate and describe entity config for a topic, client, user, broker, \
     ip, client-metrics or group.",
    &[BOOTSTRAP, COMMAND_CONFIG, OPTIONS, OUTPUT],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[
    one_of("alter describe")
        .message("Command must include exactly one action: --describe, --alter"),
    conflicts("describe", "add-config delete-config"),
    any_of("bootstrap-server bootstrap-controller")
        .message("Either --bootstrap-server or --bootstrap-controller must be specified."),
    at_most_one_of("bootstrap-server bootstrap-controller")
        .message("Only one of --bootstrap-server or --bootstrap-controller can be specified"),
    none_of(
        "topic client client-defaults user user-defaults broker broker-defaults broker-logger ip \
         ip-defaults group client-metrics",
    )
    .when("entity-type entity-name entity-default")
    .message(
        "--entity-{type,name,default} should not be used in conjunction with specific entity flags",
    ),
    at_most_one_of("add-config add-config-file")
        .when("alter")
        .message("Only one of --add-config or --add-config-file must be specified"),
    any_of("add-config add-config-file delete-config")
        .when("alter")
        .message(
            "At least one of --add-config, --add-config-file, or --delete-config must be \
             specified with --alter",
        ),
]);

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let parsed = &run.parsed;
    let entities = entities(parsed)?;
    let change = match parsed.has("alter") {
        true => Some(values::Change::new(parsed)?),
        false => None,
    };
    let cluster = run.connect().await?;
    let quotas = entities.types.iter().any(|entity| entity.has_quotas());
    let done = match (change, quotas) {
        (Some(change), false) => resources::alter(run, &cluster, &entities, &change).await,
        (None, false) => resources::describe(run, &cluster, &entities).await,
        (Some(change), true) => quotas::alter(run, &cluster, &entities, &change).await,
        (None, true) => quotas::describe(run, &cluster, &entities).await,
    };
    done.map_err(|error| match error.downcast_ref() {
        Some(ClusterError::Refused(refusal)) => anyhow::anyhow!(
            "Error while executing config command with args '{}'\n{}",
            run.args.join(" "),
            refusal.java()
        ),
        _ => error,
    })
}

/// The entities of the command line; there are as many as its action needs.
fn entities(parsed: &Parsed) -> Result<Entities, UsageError> {
    let entities = Entities::new(parsed)?;
    let (types, first) = (entities.type_names(), entities.types[0]);
    let (alter, action) = match parsed.has("alter") {
        true => (true, "alter"),
        false => (false, "describe"),
    };
    let named = entities.names.iter().any(|name| !name.is_empty());
    let may_default = entities.types.iter().any(|entity| entity.has_default());
    let mut of_brokers = entities.names.iter();
    let is_broker = |name: &str| name.is_empty() || name.parse::<i32>().is_ok();
    if matches!(first, Entity::Broker | Entity::BrokerLogger)
        && let Some(name) = of_brokers.find(|name| !is_broker(name))
    {
        return usage(format!(
            "The entity name for {types} must be a valid integer broker id, but it is: {name}"
        ));
    }
    if !alter && !may_default && parsed.has("entity-default") {
        return usage(format!(
            "--entity-default must not be specified with --describe of {types}"
        ));
    }
    let needs_name = if alter {
        !may_default
    } else {
        first == Entity::BrokerLogger
    };
    if needs_name && !named {
        return usage(format!(
            "An entity name must be specified with --{action} of {types}"
        ));
    }
    if alter && entities.names.is_empty() {
        return usage(
            "An entity-name or default entity must be specified with --alter of users, clients, \
             brokers or ips",
        );
    }
    if alter && entities.types.len() != entities.names.len() {
        return usage("An entity name must be specified for every entity type");
    }
    Ok(entities)
}

#[cfg(test)]
mod tests;
