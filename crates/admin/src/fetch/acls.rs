//! ACLs.

use dohle_model::acl::{
    AclEntry, AclFilter, AclOperation, PatternType, PermissionType, ResourceType,
};
use kacrab_protocol::KafkaString;
use kacrab_protocol::generated::create_acls_request::AclCreation;
use kacrab_protocol::generated::delete_acls_request::DeleteAclsFilter;
use kacrab_protocol::generated::delete_acls_response::DeleteAclsMatchingAcl;
use kacrab_protocol::generated::describe_acls_response::{AclDescription, DescribeAclsResource};
use kacrab_protocol::generated::{
    CreateAclsRequestData, DeleteAclsRequestData, DescribeAclsRequestData,
};

use crate::cluster::{Cluster, ClusterError, Recipient, check};

/// Returns the ACLs that a filter selects.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub async fn describe_acls(
    cluster: &Cluster,
    filter: &AclFilter<'_>,
) -> Result<Vec<AclEntry>, ClusterError> {
    let request = DescribeAclsRequestData {
        resource_type_filter: filter.resource_type.code(|kind| *kind as i8),
        resource_name_filter: filter.resource_name.map(text),
        pattern_type_filter: filter.pattern_type.code(),
        principal_filter: filter.principal.map(text),
        host_filter: filter.host.map(text),
        operation: filter.operation.code(|operation| operation.code()),
        permission_type: filter.permission.code(|permission| *permission as i8),
        ..DescribeAclsRequestData::default()
    };
    let answer = cluster.call_once(Recipient::Any, &request).await?;
    let entries = answer.resources.iter().flat_map(|resource| {
        let acls = resource.acls.iter();
        acls.map(move |acl| described(resource, acl))
    });
    entries.collect()
}

/// Creates ACLs; those that exist already count as created.
///
/// # Errors
/// When the cluster does not answer, or refuses one of them.
pub async fn create_acls(cluster: &Cluster, acls: &[AclEntry]) -> Result<(), ClusterError> {
    let creation = |acl: &AclEntry| AclCreation {
        resource_type: acl.resource_type as i8,
        resource_name: text(&acl.resource_name),
        resource_pattern_type: acl.pattern_type as i8,
        principal: text(&acl.principal),
        host: text(&acl.host),
        operation: acl.operation.code(),
        permission_type: acl.permission as i8,
        ..AclCreation::default()
    };
    let request = CreateAclsRequestData {
        creations: acls.iter().map(creation).collect(),
        ..CreateAclsRequestData::default()
    };
    cluster.call_once(Recipient::Any, &request).await?;
    Ok(())
}

/// Deletes the ACLs that filters select, and returns them.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub async fn delete_acls(
    cluster: &Cluster,
    filters: &[AclFilter<'_>],
) -> Result<Vec<AclEntry>, ClusterError> {
    let wanted = |filter: &AclFilter<'_>| DeleteAclsFilter {
        resource_type_filter: filter.resource_type.code(|kind| *kind as i8),
        resource_name_filter: filter.resource_name.map(text),
        pattern_type_filter: filter.pattern_type.code(),
        principal_filter: filter.principal.map(text),
        host_filter: filter.host.map(text),
        operation: filter.operation.code(|operation| operation.code()),
        permission_type: filter.permission.code(|permission| *permission as i8),
        ..DeleteAclsFilter::default()
    };
    let request = DeleteAclsRequestData {
        filters: filters.iter().map(wanted).collect(),
        ..DeleteAclsRequestData::default()
    };
    let answer = cluster.call_once(Recipient::Any, &request).await?;
    let results = answer.filter_results.iter();
    results
        .flat_map(|result| result.matching_acls.iter().map(deleted))
        .collect()
}

fn text(text: &str) -> KafkaString {
    text.to_owned().into()
}

fn described(
    resource: &DescribeAclsResource,
    acl: &AclDescription,
) -> Result<AclEntry, ClusterError> {
    let newer = |field: &str| ClusterError::NewerAcl(field.to_owned());
    let (kind, pattern_type) = (resource.resource_type, resource.pattern_type);
    let (operation, permission) = (acl.operation, acl.permission_type);
    Ok(AclEntry {
        resource_type: ResourceType::from_code(kind).ok_or_else(|| newer("resource type"))?,
        pattern_type: PatternType::from_code(pattern_type).ok_or_else(|| newer("pattern type"))?,
        resource_name: resource.resource_name.as_str().into(),
        principal: acl.principal.as_str().into(),
        host: acl.host.as_str().into(),
        operation: AclOperation::from_code(operation).ok_or_else(|| newer("operation"))?,
        permission: PermissionType::from_code(permission)
            .ok_or_else(|| newer("permission type"))?,
    })
}

fn deleted(acl: &DeleteAclsMatchingAcl) -> Result<AclEntry, ClusterError> {
    check(acl.error_code, acl.error_message.as_ref())?;
    let resource = DescribeAclsResource {
        resource_type: acl.resource_type,
        resource_name: acl.resource_name.clone(),
        pattern_type: acl.pattern_type,
        ..DescribeAclsResource::default()
    };
    let description = AclDescription {
        principal: acl.principal.clone(),
        host: acl.host.clone(),
        operation: acl.operation,
        permission_type: acl.permission_type,
        ..AclDescription::default()
    };
    described(&resource, &description)
}
