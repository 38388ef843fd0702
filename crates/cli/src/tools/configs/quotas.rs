//! Quotas of users, clients and IP addresses, and users' SCRAM credentials.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use anyhow::bail;
use dohle_admin::{
    ClientQuotas, Cluster, ScramChange, alter_quotas, alter_scram_credential, describe_quotas,
    scram_credentials,
};
use dohle_auth::Secret;
use dohle_auth::sasl::ITERATIONS_MIN;
use dohle_model::scram::ScramMechanism;
use serde::Serialize;

use super::entity::{Entities, Entity};
use super::resources::print_done;
use super::values::Change;
use crate::numbers::java_double;
use crate::options::usage;
use crate::text::{join, join_with};
use crate::tool_run::ToolRun;

const OF_CLIENTS: [&str; 4] = [
    "producer_byte_rate",
    "consumer_byte_rate",
    "request_percentage",
    "controller_mutation_rate",
];
const OF_IPS: [&str; 1] = ["connection_creation_rate"];

/// The quotas of one entity, or of a combination of entities.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Quotas {
    /// Types of entities (`user`, `client-id`, `ip`) and their names; no name is the default.
    pub entity: BTreeMap<String, Option<String>>,
    /// The quotas as Java prints them.
    pub quotas: BTreeMap<String, String>,
}

/// The protocol's name of a type.
fn wire_name(entity: Entity) -> &'static str {
    match entity {
        Entity::Client => "client-id",
        Entity::Ip => "ip",
        _ => "user",
    }
}

pub async fn describe(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    entities: &Entities,
) -> anyhow::Result<()> {
    let quotas = fetch(cluster, entities).await?;
    let with_credentials = !entities.types.contains(&Entity::Client)
        && entities.types.contains(&Entity::User)
        && !entities.names.iter().any(String::is_empty);
    let credentials = match with_credentials {
        true => credentials(cluster, &entities.names).await?,
        false => Vec::new(),
    };
    run.show(quotas.as_slice(), |quotas| {
        quotas.iter().map(render).chain(credentials).collect()
    })
}

async fn fetch(cluster: &Cluster, entities: &Entities) -> anyhow::Result<Vec<Quotas>> {
    let mut names = entities.names.iter().map(String::as_str);
    let types = entities.types.iter();
    let filters: Vec<_> = types
        .map(|entity| (wire_name(*entity), names.next()))
        .collect();
    let found = describe_quotas(cluster, filters).await?;
    let printed = found.into_iter().map(|ClientQuotas { entity, values }| {
        let values = values.into_iter();
        let quotas = values
            .map(|(name, value)| (name, java_double(value)))
            .collect();
        Quotas { entity, quotas }
    });
    let mut printed: Vec<Quotas> = printed.collect();
    printed.sort();
    Ok(printed)
}

/// As Kafka's tool prints it.
pub fn render(quotas: &Quotas) -> String {
    let kinds = [
        ("user", "user-principal"),
        ("client-id", "client-id"),
        ("ip", "ip"),
    ];
    let entity = kinds
        .iter()
        .filter_map(|(kind, called)| match quotas.entity.get(*kind)? {
            Some(name) => Some(format!("{called} '{name}'")),
            None => Some(format!("the default {called}")),
        });
    let values = quotas.quotas.iter();
    let values = values.map(|(name, value)| format!("{name}={value}"));
    format!(
        "Quota configs for {} are {}\n",
        join_with(", ", entity),
        join_with(", ", values)
    )
}

async fn credentials(cluster: &Cluster, names: &[String]) -> anyhow::Result<Vec<String>> {
    let users = scram_credentials(cluster, names).await?;
    let lines = users.iter().map(|(user, credentials)| {
        let infos = credentials.iter().map(|(mechanism, iterations)| {
            let name = ScramMechanism::from_code(*mechanism).map_or("UNKNOWN", |it| it.name());
            format!("{name}=iterations={iterations}")
        });
        let infos = join_with(", ", infos);
        format!("SCRAM credential configs for user-principal '{user}' are {infos}\n")
    });
    Ok(lines.collect())
}

pub async fn alter(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    entities: &Entities,
    change: &Change,
) -> anyhow::Result<()> {
    let (first, name) = (entities.types[0], entities.names[0].as_str());
    let is_scram = |name: &&String| ScramMechanism::from_name(name).is_some();
    let names = || change.add.keys().chain(&change.delete);
    let alone = entities.types == [Entity::User];
    if alone && names().any(|name| is_scram(&name)) {
        alter_credentials(cluster, name, change).await?;
    } else {
        let known: &[&str] = if first == Entity::Ip {
            &OF_IPS
        } else {
            &OF_CLIENTS
        };
        let unknown = join(names().filter(|name| !known.contains(&name.as_str())));
        if !unknown.is_empty() {
            return Ok(usage(format!(
                "Only quota configs can be added or deleted for '{}' using --bootstrap-server. \
                 Unexpected config names: {unknown}; there are: {}",
                first.name(),
                known.join(", ")
            ))?);
        }
        alter_values(cluster, entities, change).await?;
    }
    print_done(run, first, name)
}

async fn alter_values(
    cluster: &Cluster,
    entities: &Entities,
    change: &Change,
) -> anyhow::Result<()> {
    let old = fetch(cluster, entities).await?;
    let has = |name: &&String| old.iter().any(|one| one.quotas.contains_key(*name));
    let unknown = join(change.delete.iter().filter(|name| !has(name)));
    if !unknown.is_empty() {
        bail!("Invalid config(s): {unknown}");
    }
    let mut changes = Vec::new();
    for (name, text) in &change.add {
        let Ok(value) = text.parse() else {
            bail!("Cannot parse quota configuration value for {name}: {text}");
        };
        changes.push((name.as_str(), Some(value)));
    }
    changes.extend(change.delete.iter().map(|name| (name.as_str(), None)));
    let types = entities.types.iter().map(|entity| wire_name(*entity));
    let entity: Vec<_> = types
        .zip(entities.names.iter().map(String::as_str))
        .collect();
    Ok(alter_quotas(cluster, entity, &changes).await?)
}

/// Changes each mechanism with a request of its own: a cluster refuses a request that changes a
/// user twice.
async fn alter_credentials(cluster: &Cluster, user: &str, change: &Change) -> anyhow::Result<()> {
    if user.is_empty() {
        return Ok(usage(
            "The use of --entity-default or --user-defaults is not allowed with User SCRAM \
             Credentials using --bootstrap-server.",
        )?);
    }
    let mut changes = Vec::new();
    let deletions = change.delete.iter().map(|name| (name, None));
    let additions = change.add.iter().map(|(name, value)| (name, Some(value)));
    for (name, value) in deletions.chain(additions) {
        let Some(mechanism) = ScramMechanism::from_name(name) else {
            bail!(
                "Cannot alter both quota and SCRAM credential configs simultaneously for 'users' \
                 using --bootstrap-server."
            );
        };
        let change = match value {
            None => ScramChange::Delete,
            Some(value) => scram_change(mechanism, value)?,
        };
        changes.push((mechanism, change));
    }
    for (mechanism, change) in changes {
        alter_scram_credential(cluster, user, mechanism, &change).await?;
    }
    Ok(())
}

/// Reads `iterations=8192,password=secret`; the password may contain commas.
pub fn scram_change(mechanism: ScramMechanism, value: &str) -> anyhow::Result<ScramChange> {
    let invalid = || {
        anyhow::anyhow!(
            "Invalid credential property {mechanism}: the value must be \
             [iterations=NUMBER,password=PASSWORD] or [password=PASSWORD]"
        )
    };
    let (iterations, rest) = match value.strip_prefix("iterations=") {
        Some(rest) => {
            let (number, rest) = rest.split_once(',').ok_or_else(invalid)?;
            (number, rest)
        }
        None => ("-1", value),
    };
    let password = rest.strip_prefix("password=").ok_or_else(invalid)?;
    let iterations: i32 = iterations.parse().map_err(|_| invalid())?;
    let iterations = match iterations {
        -1 => ITERATIONS_MIN,
        number => u32::try_from(number).unwrap_or(0),
    };
    let accepted = NonZeroU32::new(iterations).filter(|it| it.get() >= ITERATIONS_MIN);
    let Some(iterations) = accepted else {
        bail!(
            "Iterations {iterations} is less than the minimum {ITERATIONS_MIN} required for \
             {mechanism}"
        );
    };
    Ok(ScramChange::Set {
        password: Secret::new(password),
        iterations,
    })
}
