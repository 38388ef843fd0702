//! The permissions that a command line names, and the resources that they are for.
//!
//! Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::bail;
use dohle_model::acl::{
    AclEntry, AclFilter, AclOperation, Operation, PatternFilter, PermissionType, ResourceType,
    Wanted,
};

use super::resources::{self, ResourceFilter, constant};
use crate::options::{Parsed, UsageError, usage};

/// What is allowed or denied to whom: an ACL without its resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub principal: String,
    pub host: String,
    pub operation: AclOperation,
    pub permission: PermissionType,
}

/// Permissions by resource.
pub(super) type Entries = BTreeMap<ResourceFilter, BTreeSet<Entry>>;

impl Entry {
    /// Returns the entry of an ACL.
    pub(super) fn of(acl: &AclEntry) -> Self {
        Self {
            principal: acl.principal.to_string(),
            host: acl.host.to_string(),
            operation: acl.operation,
            permission: acl.permission,
        }
    }

    /// Returns the ACL for a resource; `None` for a filter that is no resource.
    pub(super) fn on(&self, resource: &ResourceFilter) -> Option<AclEntry> {
        self.filter(resource).only_acl()
    }

    /// Selects the ACLs that have this entry and a resource.
    pub(super) fn filter<'a>(&'a self, resource: &'a ResourceFilter) -> AclFilter<'a> {
        AclFilter {
            principal: Some(&self.principal),
            host: Some(&self.host),
            operation: Wanted::One(self.operation),
            permission: Wanted::One(self.permission),
            ..resource.filter()
        }
    }

    /// Returns the name of the operation, as Java's enumeration writes it.
    pub(super) fn operation_name(&self) -> String {
        operation_name(self.operation)
    }
}

fn operation_name(operation: AclOperation) -> String {
    match operation {
        AclOperation::All => "ALL".to_owned(),
        AclOperation::One(operation) => constant(operation),
    }
}

/// As Java prints an `AccessControlEntry`.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            principal, host, ..
        } = self;
        let (operation, permission) = (self.operation_name(), constant(self.permission));
        write!(
            f,
            "(principal={principal}, host={host}, operation={operation}, \
             permissionType={permission})"
        )
    }
}

/// Returns the ACLs to add.
///
/// # Errors
/// When the pattern type is one of filters, or no principal is named.
pub(super) fn to_add(parsed: &Parsed) -> anyhow::Result<Entries> {
    let pattern = resources::pattern(parsed)?;
    if !matches!(pattern, PatternFilter::One(_)) {
        usage(format!(
            "A '--resource-pattern-type' value of '{}' is not valid when adding acls.",
            constant(pattern)
        ))?;
    }
    let entries = to_remove(parsed)?;
    if entries.values().any(BTreeSet::is_empty) {
        usage(
            "You must specify one of: --allow-principal, --deny-principal when trying to add ACLs.",
        )?;
    }
    Ok(entries)
}

/// Returns the ACLs to remove: all of a resource where it has no entries.
///
/// # Errors
/// When no resource is named, or an operation does not exist for one.
pub(super) fn to_remove(parsed: &Parsed) -> anyhow::Result<Entries> {
    let (producer, consumer) = (parsed.has("producer"), parsed.has("consumer"));
    let mut entries = Entries::new();
    if !producer && !consumer {
        let resources = resources::some_selected(parsed)?;
        let operations: Vec<&str> = parsed.values("operation").map(str::trim).collect();
        let operations: Vec<_> = match operations.is_empty() {
            true => vec![Some(AclOperation::All)],
            false => operations.into_iter().map(operation).collect(),
        };
        for resource in resources {
            let permitted = permitted(parsed, &supported(resource.kind, &operations)?)?;
            entries.insert(resource, permitted);
        }
    }
    if producer {
        entries.extend(for_producer(parsed)?);
    }
    if consumer {
        for (resource, permitted) in for_consumer(parsed)? {
            entries.entry(resource).or_default().extend(permitted);
        }
    }
    Ok(entries)
}

/// Returns the operation with Kafka's name, in any case.
fn operation(name: &str) -> Option<AclOperation> {
    let is_named = |operation: &AclOperation| {
        let known = operation_name(*operation).replace('_', "");
        known.eq_ignore_ascii_case(name)
    };
    (i8::MIN..=i8::MAX)
        .filter_map(AclOperation::from_code)
        .find(is_named)
}

/// Refuses operations that resources of this type do not have.
fn supported(
    kind: ResourceType,
    operations: &[Option<AclOperation>],
) -> Result<Vec<AclOperation>, UsageError> {
    let exists = |operation: AclOperation| match operation {
        AclOperation::All => true,
        AclOperation::One(one) => kind.operations().iter().any(|other| other == one),
    };
    let found = operations.iter().copied();
    let found: Option<Vec<_>> = found
        .map(|operation| operation.filter(|one| exists(*one)))
        .collect();
    found.ok_or_else(|| {
        let names = kind.operations().iter().map(constant);
        let names: Vec<String> = std::iter::once("ALL".to_owned()).chain(names).collect();
        UsageError(format!(
            "ResourceType {} only supports operations [{}]",
            constant(kind),
            names.join(", ")
        ))
    })
}

fn for_producer(parsed: &Parsed) -> anyhow::Result<Entries> {
    use Operation::{Create, Describe, IdempotentWrite, Write};
    let mut entries = Entries::new();
    for resource in resources::some_selected(parsed)? {
        let operations: &[Operation] = match resource.kind {
            ResourceType::Topic => &[Write, Describe, Create],
            ResourceType::TransactionalId => &[Write, Describe],
            _ => continue,
        };
        entries.insert(resource, permitted_one(parsed, operations)?);
    }
    if parsed.has("idempotent") {
        entries.insert(
            resources::cluster(),
            permitted_one(parsed, &[IdempotentWrite])?,
        );
    }
    Ok(entries)
}

fn for_consumer(parsed: &Parsed) -> anyhow::Result<Entries> {
    use Operation::{Describe, Read};
    let mut entries = Entries::new();
    for resource in resources::some_selected(parsed)? {
        let operations: &[Operation] = match resource.kind {
            ResourceType::Topic => &[Read, Describe],
            ResourceType::Group => &[Read],
            _ => continue,
        };
        entries.insert(resource, permitted_one(parsed, operations)?);
    }
    Ok(entries)
}

fn permitted_one(parsed: &Parsed, operations: &[Operation]) -> anyhow::Result<BTreeSet<Entry>> {
    let operations: Vec<_> = operations
        .iter()
        .map(|one| AclOperation::One(*one))
        .collect();
    permitted(parsed, &operations)
}

/// Returns what the command line allows and denies.
fn permitted(parsed: &Parsed, operations: &[AclOperation]) -> anyhow::Result<BTreeSet<Entry>> {
    let mut entries = BTreeSet::new();
    for (permission, principal_option, host_option) in [
        (PermissionType::Allow, "allow-principal", "allow-host"),
        (PermissionType::Deny, "deny-principal", "deny-host"),
    ] {
        let mut hosts: Vec<&str> = parsed.values(host_option).map(str::trim).collect();
        if hosts.is_empty() {
            hosts.push("*");
        }
        for principal in principals(parsed, principal_option)? {
            for host in &hosts {
                entries.extend(operations.iter().map(|operation| Entry {
                    principal: principal.clone(),
                    host: (*host).to_owned(),
                    operation: *operation,
                    permission,
                }));
            }
        }
    }
    Ok(entries)
}

/// Returns the principals that are the values of an option.
///
/// # Errors
/// When one has no type.
pub(super) fn principals(parsed: &Parsed, option: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut principals = BTreeSet::new();
    for principal in parsed.values(option).map(str::trim) {
        if !principal.contains(':') {
            bail!("expected a string in format principalType:principalName but got {principal}");
        }
        principals.insert(principal.to_owned());
    }
    Ok(principals)
}
