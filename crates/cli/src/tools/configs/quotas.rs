//! Quotas of users, clients and IP addresses, and users' SCRAM credentials.

use std::collections::BTreeMap;

use anyhow::bail;
use dohle_admin::{Cluster, ClusterError, Target, check};
use kacrab_protocol::generated::{
    AlterClientQuotasRequestData, AlterUserScramCredentialsRequestData,
    DescribeClientQuotasRequestData, DescribeUserScramCredentialsRequestData, ErrorCode,
    alter_client_quotas_request as alter_request,
    alter_user_scram_credentials_request as scram_request,
    describe_client_quotas_request as describe_request,
    describe_user_scram_credentials_request as users_request,
};
use serde::Serialize;

use super::entity::{Entities, Entity};
use super::resources::print_done;
use super::values::Change;
use crate::numbers::java_double;
use crate::options::usage;
use crate::text::join_with;
use crate::tool_run::ToolRun;

const OF_CLIENTS: [&str; 4] = [
    "producer_byte_rate",
    "consumer_byte_rate",
    "request_percentage",
    "controller_mutation_rate",
];
const OF_IPS: [&str; 1] = ["connection_creation_rate"];
const SCRAM: [(&str, i8); 2] = [("SCRAM-SHA-256", 1), ("SCRAM-SHA-512", 2)];

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

async fn fetch(cluster: &Cluster, entities: &Entities) -> Result<Vec<Quotas>, ClusterError> {
    let mut names = entities.names.iter();
    let components = entities.types.iter().map(|entity| {
        let (match_type, name) = match names.next().map(String::as_str) {
            Some("") => (1, None),
            Some(name) => (0, Some(name.to_owned().into())),
            None => (2, None),
        };
        describe_request::ComponentData {
            entity_type: wire_name(*entity).to_owned().into(),
            match_type,
            r#match: name,
            ..describe_request::ComponentData::default()
        }
    });
    let request = DescribeClientQuotasRequestData {
        components: components.collect(),
        strict: true,
        ..DescribeClientQuotasRequestData::default()
    };
    let answer = cluster.call_once(Target::Any, &request).await?;
    let mut found: Vec<Quotas> = answer
        .entries
        .unwrap_or_default()
        .iter()
        .map(|entry| Quotas {
            entity: entry
                .entity
                .iter()
                .map(|one| {
                    let name = one.entity_name.as_ref().map(ToString::to_string);
                    (one.entity_type.to_string(), name)
                })
                .collect(),
            quotas: entry
                .values
                .iter()
                .map(|quota| (quota.key.to_string(), java_double(quota.value)))
                .collect(),
        })
        .collect();
    found.sort();
    Ok(found)
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
    let users = names.iter().map(|name| users_request::UserName {
        name: name.clone().into(),
        ..users_request::UserName::default()
    });
    let request = DescribeUserScramCredentialsRequestData {
        users: (!names.is_empty()).then(|| users.collect()),
        ..DescribeUserScramCredentialsRequestData::default()
    };
    let answer = match cluster.call_once(Target::Any, &request).await {
        // A cluster without this request has no such credentials.
        Err(ClusterError::Unsupported { .. }) => return Ok(Vec::new()),
        answer => answer?,
    };
    let mut lines = Vec::new();
    for result in &answer.results {
        if ErrorCode::from(result.error_code) == ErrorCode::ResourceNotFound {
            continue;
        }
        check(result.error_code, result.error_message.as_ref())?;
        let infos = result.credential_infos.iter().map(|info| {
            let known = SCRAM.iter().find(|(_, number)| *number == info.mechanism);
            let name = known.map_or("UNKNOWN", |(name, _)| name);
            format!("{name}=iterations={}", info.iterations)
        });
        lines.push(format!(
            "SCRAM credential configs for user-principal '{}' are {}\n",
            result.user,
            join_with(", ", infos)
        ));
    }
    Ok(lines)
}

pub async fn alter(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    entities: &Entities,
    change: &Change,
) -> anyhow::Result<()> {
    let (first, name) = (entities.types[0], entities.names[0].as_str());
    let is_scram = |name: &&String| SCRAM.iter().any(|(known, _)| known == name);
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
        let unknown: Vec<&str> = names()
            .map(String::as_str)
            .filter(|name| !known.contains(name))
            .collect();
        if !unknown.is_empty() {
            return Ok(usage(format!(
                "Only quota configs can be added or deleted for '{}' using --bootstrap-server. \
                 Unexpected config names: {}; there are: {}",
                first.name(),
                unknown.join(","),
                known.join(", ")
            ))?);
        }
        alter_quotas(cluster, entities, change).await?;
    }
    print_done(run, first, name)
}

async fn alter_quotas(
    cluster: &Cluster,
    entities: &Entities,
    change: &Change,
) -> anyhow::Result<()> {
    let old = fetch(cluster, entities).await?;
    let has = |name: &&String| old.iter().any(|one| one.quotas.contains_key(*name));
    let unknown: Vec<&str> = change
        .delete
        .iter()
        .filter(|name| !has(name))
        .map(String::as_str)
        .collect();
    if !unknown.is_empty() {
        bail!("Invalid config(s): {}", unknown.join(","));
    }
    let mut ops = Vec::new();
    for (name, text) in &change.add {
        let Ok(value) = text.parse::<f64>() else {
            bail!("Cannot parse quota configuration value for {name}: {text}");
        };
        ops.push((name, value, false));
    }
    ops.extend(change.delete.iter().map(|name| (name, 0.0, true)));
    let ops = ops
        .into_iter()
        .map(|(key, value, remove)| alter_request::OpData {
            key: key.clone().into(),
            value,
            remove,
            ..alter_request::OpData::default()
        });
    let of_entity = entities.types.iter().zip(&entities.names);
    let of_entity = of_entity.map(|(entity, name)| alter_request::EntityData {
        entity_type: wire_name(*entity).to_owned().into(),
        entity_name: (!name.is_empty()).then(|| name.clone().into()),
        ..alter_request::EntityData::default()
    });
    let request = AlterClientQuotasRequestData {
        entries: vec![alter_request::EntryData {
            entity: of_entity.collect(),
            ops: ops.collect(),
            ..alter_request::EntryData::default()
        }],
        ..AlterClientQuotasRequestData::default()
    };
    cluster.call_once(Target::Any, &request).await?;
    Ok(())
}

/// Only deletions: a new password would have to be salted and hashed here.
async fn alter_credentials(cluster: &Cluster, user: &str, change: &Change) -> anyhow::Result<()> {
    if user.is_empty() {
        return Ok(usage(
            "The use of --entity-default or --user-defaults is not allowed with User SCRAM \
             Credentials using --bootstrap-server.",
        )?);
    }
    if !change.add.is_empty() {
        bail!("SCRAM credentials can be described and deleted with this tool, but not added");
    }
    let mut deletions = Vec::new();
    for name in &change.delete {
        let Some((_, mechanism)) = SCRAM.iter().find(|(known, _)| known == name) else {
            bail!(
                "Cannot alter both quota and SCRAM credential configs simultaneously for 'users' \
                 using --bootstrap-server."
            );
        };
        deletions.push(scram_request::ScramCredentialDeletion {
            name: user.to_owned().into(),
            mechanism: *mechanism,
            ..scram_request::ScramCredentialDeletion::default()
        });
    }
    let request = AlterUserScramCredentialsRequestData {
        deletions,
        ..AlterUserScramCredentialsRequestData::default()
    };
    cluster.call_once(Target::Any, &request).await?;
    Ok(())
}
