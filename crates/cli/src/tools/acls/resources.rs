//! The resources that a command line names.
//!
//! Pure.

use std::collections::BTreeSet;
use std::fmt;

use dohle_model::acl::{
    AclEntry, AclFilter, CLUSTER_NAME, PatternFilter, PatternType, ResourceType, Wanted,
};

use crate::options::{Parsed, UsageError, usage};

/// Selects ACLs by their resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ResourceFilter {
    pub kind: ResourceType,
    pub name: String,
    pub pattern: PatternFilter,
}

/// Returns the name of a value as Java's enumerations write it: `TRANSACTIONAL_ID`.
pub(super) fn constant(value: impl fmt::Debug) -> String {
    let mut name = String::new();
    for letter in format!("{value:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

impl ResourceFilter {
    /// Returns the resource of an ACL.
    pub(super) fn of(acl: &AclEntry) -> Self {
        Self {
            kind: acl.resource_type,
            name: acl.resource_name.to_string(),
            pattern: PatternFilter::One(acl.pattern_type),
        }
    }

    /// Selects all ACLs of the resource.
    pub(super) fn filter(&self) -> AclFilter<'_> {
        AclFilter {
            resource_type: Wanted::One(self.kind),
            pattern_type: self.pattern,
            resource_name: Some(&self.name),
            principal: None,
            host: None,
            operation: Wanted::Any,
            permission: Wanted::Any,
        }
    }
}

/// As Java prints a `ResourcePattern`.
impl fmt::Display for ResourceFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pattern = match self.pattern {
            PatternFilter::One(pattern_type) => constant(pattern_type),
            other => constant(other),
        };
        write!(
            f,
            "ResourcePattern(resourceType={}, name={}, patternType={pattern})",
            constant(self.kind),
            self.name,
        )
    }
}

/// Reads `--resource-pattern-type`.
///
/// # Errors
/// When it is no pattern type.
pub(super) fn pattern(parsed: &Parsed) -> Result<PatternFilter, UsageError> {
    let Some(text) = parsed.value("resource-pattern-type")? else {
        return Ok(PatternFilter::One(PatternType::Literal));
    };
    match text.to_ascii_lowercase().as_str() {
        "any" => Ok(PatternFilter::Any),
        "match" => Ok(PatternFilter::Match),
        "literal" => Ok(PatternFilter::One(PatternType::Literal)),
        "prefixed" => Ok(PatternFilter::One(PatternType::Prefixed)),
        "unknown" => usage(format!("Unknown resource-pattern-type: {text}")),
        _ => usage(format!(
            "Cannot parse argument '{text}' of option resource-pattern-type"
        )),
    }
}

/// Returns the resource of the type Cluster.
pub(super) fn cluster() -> ResourceFilter {
    ResourceFilter {
        kind: ResourceType::Cluster,
        name: CLUSTER_NAME.to_owned(),
        pattern: PatternFilter::One(PatternType::Literal),
    }
}

/// Returns the resources that the command line names.
///
/// # Errors
/// When `--resource-pattern-type` is no pattern type.
pub(super) fn selected(parsed: &Parsed) -> Result<BTreeSet<ResourceFilter>, UsageError> {
    let pattern = pattern(parsed)?;
    let mut resources = BTreeSet::new();
    for (option, kind) in [
        ("topic", ResourceType::Topic),
        ("group", ResourceType::Group),
        ("transactional-id", ResourceType::TransactionalId),
        ("delegation-token", ResourceType::DelegationToken),
        ("user-principal", ResourceType::User),
    ] {
        resources.extend(parsed.values(option).map(|name| ResourceFilter {
            kind,
            // Kafka's tool takes transactional ids as they are.
            name: match kind {
                ResourceType::TransactionalId => name.to_owned(),
                _ => name.trim().to_owned(),
            },
            pattern,
        }));
    }
    let is_literal = pattern == PatternFilter::One(PatternType::Literal);
    if is_literal && (parsed.has("cluster") || parsed.has("idempotent")) {
        resources.insert(cluster());
    }
    Ok(resources)
}

/// Returns the resources that the command line names.
///
/// # Errors
/// When there is none.
pub(super) fn some_selected(parsed: &Parsed) -> Result<BTreeSet<ResourceFilter>, UsageError> {
    let resources = selected(parsed)?;
    if resources.is_empty() {
        return usage(
            "You must provide at least one resource: --topic <topic> or --cluster or --group \
             <group> or --delegation-token <Delegation Token ID>",
        );
    }
    Ok(resources)
}
