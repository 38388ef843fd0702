//! Plans AlterClientQuotas (KIP-546, KIP-599, KIP-612).
//!
//! Source: `ClientQuotaControlManager`, whose messages are repeated.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use dohle_model::client_quota::{QuotaEntity, QuotaValue};
use dohle_model::record::MetadataRecord;
use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::messages::alter_client_quotas_request::{
    AlterClientQuotasRequestData, EntryData, OpData,
};
use dohle_protocol::messages::alter_client_quotas_response::{
    AlterClientQuotasResponseData, EntityData as EntityResult, EntryData as EntryResult,
};
use dohle_protocol::text;

use super::{Draft, code_and_message};

/// The names of an entity by their types, `None` for the default.
type Names = BTreeMap<String, Option<String>>;

/// Plans AlterClientQuotas. Each entity has its own outcome. Of an entity that is listed more than
/// once the first entry is carried out, and the outcome is an error.
#[must_use]
pub fn alter(
    draft: &mut Draft,
    request: &AlterClientQuotasRequestData,
) -> AlterClientQuotasResponseData {
    let before = request.validate_only.then(|| draft.clone());
    let mut order: Vec<Names> = Vec::new();
    let mut outcomes: HashMap<Names, Result<(), ApiError>> = HashMap::new();
    for entry in &request.entries {
        let names = names(entry);
        let outcome = if outcomes.contains_key(&names) || has_duplicate(&entry.ops) {
            let shown = shown(&names);
            Err(ErrorCode::InvalidRequest.because(format!("Ignoring duplicate entity {shown}")))
        } else {
            draft.attempt(|draft| alter_entity(draft, &names, &entry.ops))
        };
        if outcomes.insert(names.clone(), outcome).is_none() {
            order.push(names);
        }
    }
    if let Some(before) = before {
        draft.take_back(before);
    }
    let entries = order.into_iter().map(|names| {
        let (error_code, error_message) = code_and_message(&outcomes[&names]);
        let entity = names.iter().map(|(kind, name)| EntityResult {
            entity_type: text(kind),
            entity_name: name.as_deref().map(text),
            ..EntityResult::default()
        });
        EntryResult {
            error_code,
            error_message,
            entity: entity.collect(),
            ..EntryResult::default()
        }
    });
    AlterClientQuotasResponseData {
        entries: entries.collect(),
        ..AlterClientQuotasResponseData::default()
    }
}

fn names(entry: &EntryData) -> Names {
    let name = |name: &dohle_protocol::KafkaString| name.to_string();
    let entity = entry.entity.iter();
    entity
        .map(|part| (name(&part.entity_type), part.entity_name.as_ref().map(name)))
        .collect()
}

/// Returns the entity as `ClientQuotaEntity.toString` does.
fn shown(names: &Names) -> String {
    let parts = names.iter().map(|(kind, name)| {
        let name = name.as_deref().unwrap_or("null");
        format!("{kind}={name}")
    });
    let parts: Vec<String> = parts.collect();
    format!("ClientQuotaEntity(entries={{{}}})", parts.join(", "))
}

fn has_duplicate(ops: &[OpData]) -> bool {
    let mut keys = BTreeSet::new();
    !ops.iter().all(|op| keys.insert(op.key.as_str()))
}

fn alter_entity(draft: &mut Draft, names: &Names, ops: &[OpData]) -> Result<(), ApiError> {
    let (entity, quotas) = entity(names)?;
    let current = draft.image.client_quotas.get(&entity).cloned();
    let current = |key: &str| current.as_ref()?.get(key).copied();
    for op in ops {
        let (key, before) = (op.key.as_str(), current(op.key.as_str()));
        let value = match op.remove {
            true => None,
            false => Some(QuotaValue(checked(quotas, key, op.value)?)),
        };
        if value == before {
            continue;
        }
        if value.is_some() {
            draft.check_space()?;
        }
        draft.push(MetadataRecord::ClientQuota {
            entity: entity.clone(),
            key: key.to_owned(),
            value,
        });
    }
    Ok(())
}

/// The type of a quota's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Long,
    Int,
    Double,
}

type Quotas = &'static [(&'static str, Kind)];

const OF_CLIENTS: Quotas = &[
    ("producer_byte_rate", Kind::Long),
    ("consumer_byte_rate", Kind::Long),
    ("request_percentage", Kind::Double),
    ("controller_mutation_rate", Kind::Double),
];
const OF_IPS: Quotas = &[("connection_creation_rate", Kind::Int)];

/// Checks the names of an entity, and returns it with the quotas that it can have.
fn entity(names: &Names) -> Result<(QuotaEntity, Quotas), ApiError> {
    let invalid = |message: String| Err(ErrorCode::InvalidRequest.because(message));
    let (mut user, mut client_id, mut ip) = (None, None, None);
    for (kind, name) in names {
        let part = name.as_deref().map(Arc::<str>::from);
        match kind.as_str() {
            "user" => user = Some(part),
            "client-id" => client_id = Some(part),
            "ip" => ip = Some(part),
            _ => return invalid(format!("Unhandled client quota entity type: {kind}")),
        }
        if name.as_deref() == Some("") {
            return invalid(format!("Empty {kind} not supported"));
        }
    }
    let entity = match (user, client_id, ip) {
        (None, None, None) => return invalid("Invalid empty client quota entity".into()),
        (None, None, Some(ip)) => {
            // Names of hosts are not resolved: the result could differ from broker to broker.
            if let Some(name) = ip.as_deref().filter(|ip| ip.parse::<IpAddr>().is_err()) {
                let hint = "use an address, not a name";
                return invalid(format!(
                    "{name} is not a valid IP or resolvable host: {hint}."
                ));
            }
            return Ok((QuotaEntity::Ip(ip), OF_IPS));
        }
        (_, _, Some(_)) => {
            return invalid(
                "Invalid quota entity combination, IP entity shouldnot be combined with User or \
                 ClientId"
                    .into(),
            );
        }
        (Some(user), None, None) => QuotaEntity::User(user),
        (None, Some(client_id), None) => QuotaEntity::ClientId(client_id),
        (Some(user), Some(client_id), None) => QuotaEntity::UserAndClientId(user, client_id),
    };
    Ok((entity, OF_CLIENTS))
}

/// Checks the value of a quota.
fn checked(quotas: Quotas, key: &str, value: f64) -> Result<f64, ApiError> {
    let invalid = |message: String| Err(ErrorCode::InvalidRequest.because(message));
    let Some((_, kind)) = quotas.iter().find(|(known, _)| *known == key) else {
        return invalid(format!("Invalid configuration key {key}"));
    };
    // Kafka accepts NaN, with which no client is ever throttled.
    if value.is_nan() || value <= 0.0 {
        return invalid(format!("Quota {key} must be greater than 0"));
    }
    let max = match kind {
        Kind::Double => return Ok(value),
        Kind::Long => (i64::MAX as f64, "a LONG"),
        Kind::Int => (f64::from(i32::MAX), "an INT"),
    };
    if value > max.0 {
        return invalid(format!(
            "Proposed value for {key} is too large for {}.",
            max.1
        ));
    }
    if (value % 1.0).abs() > 1e-6 {
        return invalid(format!("{key} cannot be a fractional value."));
    }
    Ok(value)
}
