//! DescribeClientQuotas, versions 0–1: the quotas of the entities that a filter matches (KIP-546),
//! from this broker's metadata.
//!
//! Source of the rules and messages: `ClientQuotasImage.describe` of Kafka.

use std::collections::BTreeMap;

use dohle_model::acl::Operation;
use dohle_model::client_quota::QuotaEntity;
use dohle_model::image::MetadataImage;
use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::messages::describe_client_quotas_request::{
    ComponentData, DescribeClientQuotasRequestData,
};
use dohle_protocol::messages::describe_client_quotas_response::{
    DescribeClientQuotasResponseData, EntityData, EntryData, ValueData,
};

use super::{Call, wire};

/// The values of `match_type`.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

pub(super) async fn handle(
    call: Call,
    request: DescribeClientQuotasRequestData,
) -> DescribeClientQuotasResponseData {
    let described = match call.authorize_cluster(Operation::DescribeConfigs) {
        Ok(()) => describe(&call.context.image(), &request),
        Err(code) => Err(code.into()),
    };
    match described {
        Ok(entries) => DescribeClientQuotasResponseData {
            // Kafka's message for success.
            error_message: Some(wire::text("")),
            entries: Some(entries),
            ..DescribeClientQuotasResponseData::default()
        },
        Err(error) => DescribeClientQuotasResponseData {
            error_code: error.code.code(),
            error_message: Some(wire::text(&error.message)),
            entries: None,
            ..DescribeClientQuotasResponseData::default()
        },
    }
}

fn describe(
    image: &MetadataImage,
    request: &DescribeClientQuotasRequestData,
) -> Result<Vec<EntryData>, ApiError> {
    let filter = Filter::new(request)?;
    let found = image.client_quotas.iter().filter_map(|(entity, quotas)| {
        let parts = parts(entity);
        let values = quotas.iter().map(|(key, value)| ValueData {
            key: wire::text(key),
            value: value.0,
            ..ValueData::default()
        });
        filter.matches(&parts).then(|| EntryData {
            entity: parts.into_iter().map(named).collect(),
            values: values.collect(),
            ..EntryData::default()
        })
    });
    Ok(found.collect())
}

fn named((kind, name): (&str, Option<&str>)) -> EntityData {
    EntityData {
        entity_type: wire::text(kind),
        entity_name: name.map(wire::text),
        ..EntityData::default()
    }
}

/// Returns the types of an entity and their names, `None` for the default.
fn parts(entity: &QuotaEntity) -> Vec<(&'static str, Option<&str>)> {
    match entity {
        QuotaEntity::User(user) => vec![("user", user.as_deref())],
        QuotaEntity::ClientId(client_id) => vec![("client-id", client_id.as_deref())],
        QuotaEntity::UserAndClientId(user, client_id) => vec![
            ("user", user.as_deref()),
            ("client-id", client_id.as_deref()),
        ],
        QuotaEntity::Ip(ip) => vec![("ip", ip.as_deref())],
    }
}

/// What an entity must have to be described.
struct Filter {
    /// The types, with the name that is required or, with `None`, any.
    types: BTreeMap<String, Option<Option<String>>>,
    /// Whether it must have no other types.
    is_strict: bool,
}

impl Filter {
    fn new(request: &DescribeClientQuotasRequestData) -> Result<Self, ApiError> {
        let invalid = |message: String| Err(ErrorCode::InvalidRequest.because(message));
        let mut types = BTreeMap::new();
        for component in &request.components {
            let kind = component.entity_type.as_str();
            if kind.is_empty() {
                return invalid("Invalid empty entity type.".into());
            }
            if types.contains_key(kind) {
                return invalid(format!(
                    "Entity type {kind} cannot appear more than once in the filter."
                ));
            }
            if !matches!(kind, "user" | "client-id" | "ip") {
                let message = format!("Unsupported entity type {kind}");
                return Err(ErrorCode::UnsupportedVersion.because(message));
            }
            types.insert(kind.to_owned(), required(component)?);
        }
        if types.contains_key("ip") && types.len() > 1 {
            return invalid(
                "Invalid entity filter component combination. IP filter component should not be \
                 used with user or clientId filter component."
                    .into(),
            );
        }
        Ok(Self {
            types,
            is_strict: request.strict,
        })
    }

    fn matches(&self, parts: &[(&str, Option<&str>)]) -> bool {
        let has = |(kind, required): (&String, &Option<Option<String>>)| {
            parts.iter().any(|(part, name)| {
                part == kind
                    && required
                        .as_ref()
                        .is_none_or(|required| required.as_deref() == *name)
            })
        };
        (!self.is_strict || parts.len() == self.types.len()) && self.types.iter().all(has)
    }
}

/// Returns the name that a component requires, or `None` for any.
fn required(component: &ComponentData) -> Result<Option<Option<String>>, ApiError> {
    let invalid = |message: &str| Err(ErrorCode::InvalidRequest.because(message));
    let name = component.r#match.as_ref().map(ToString::to_string);
    match (component.match_type, name) {
        (EXACT, None) => {
            invalid("Request specified MATCH_TYPE_EXACT, but set match string to null.")
        }
        (EXACT, name) => Ok(Some(name)),
        (DEFAULT, None) => Ok(Some(None)),
        (DEFAULT, Some(_)) => {
            invalid("Request specified MATCH_TYPE_DEFAULT, but also specified a match string.")
        }
        (SPECIFIED, None) => Ok(None),
        (SPECIFIED, Some(_)) => {
            invalid("Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.")
        }
        (other, _) => invalid(&format!("Unknown match type {other}")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use dohle_model::client_quota::QuotaValue;

    use super::*;

    fn image() -> MetadataImage {
        let name = |name: &str| Some(Arc::from(name));
        let entities = [
            QuotaEntity::User(name("alice")),
            QuotaEntity::User(None),
            QuotaEntity::ClientId(name("app")),
            QuotaEntity::UserAndClientId(name("alice"), name("app")),
            QuotaEntity::UserAndClientId(None, None),
            QuotaEntity::Ip(name("10.0.0.1")),
        ];
        let quotas = Arc::new(BTreeMap::from([("key".to_owned(), QuotaValue(1.0))]));
        MetadataImage {
            client_quotas: entities
                .into_iter()
                .map(|entity| (entity, Arc::clone(&quotas)))
                .collect(),
            ..MetadataImage::default()
        }
    }

    /// Describes what a filter such as `user=alice client-id=* strict` matches: `*` is any name,
    /// none is the default.
    fn described(filter: &str) -> Result<Vec<String>, String> {
        let components = filter
            .split_whitespace()
            .filter_map(|it| it.split_once('='));
        let components = components.map(|(kind, name)| {
            let (match_type, name) = match name {
                "" => (DEFAULT, None),
                "*" => (SPECIFIED, None),
                name => (EXACT, Some(wire::text(name))),
            };
            ComponentData {
                entity_type: wire::text(kind),
                match_type,
                r#match: name,
                ..ComponentData::default()
            }
        });
        let request = DescribeClientQuotasRequestData {
            components: components.collect(),
            strict: filter.ends_with("strict"),
            ..DescribeClientQuotasRequestData::default()
        };
        let shown = |entry: EntryData| {
            assert_eq!(entry.values[0].value, 1.0);
            let parts = entry.entity.iter().map(|part| {
                let name = part.entity_name.as_ref();
                format!("{}={}", part.entity_type, name.map_or("", |it| it.as_str()))
            });
            parts.collect::<Vec<_>>().join(",")
        };
        let found = describe(&image(), &request).map_err(|error| error.message.to_string())?;
        Ok(found.into_iter().map(shown).collect())
    }

    #[test]
    fn a_filter_matches_entities_by_their_types_and_names() {
        assert_eq!(described("").unwrap().len(), 6);
        assert_eq!(described("strict").unwrap(), [""; 0]);
        assert_eq!(
            described("user=alice").unwrap(),
            ["user=alice", "user=alice,client-id=app"]
        );
        assert_eq!(described("user=alice strict").unwrap(), ["user=alice"]);
        assert_eq!(described("user= strict").unwrap(), ["user="]);
        assert_eq!(
            described("user=* client-id=* strict").unwrap(),
            ["user=,client-id=", "user=alice,client-id=app"]
        );
        assert_eq!(described("ip=*").unwrap(), ["ip=10.0.0.1"]);
        assert_eq!(described("ip=10.0.0.2").unwrap(), [""; 0]);
    }

    #[test]
    fn an_invalid_filter_is_refused_with_kafkas_message() {
        let error = |filter| described(filter).unwrap_err();
        assert_eq!(error("=x"), "Invalid empty entity type.");
        assert_eq!(
            error("user=a user=*"),
            "Entity type user cannot appear more than once in the filter."
        );
        assert_eq!(error("group=a"), "Unsupported entity type group");
        assert!(error("ip=* user=*").starts_with("Invalid entity filter component combination."));
    }
}
