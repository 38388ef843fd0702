//! CreateAcls and DeleteAcls (KIP-140, KIP-290).
//!
//! Validations and texts are those of Kafka's `AclControlManager` and `AclApis`.

use std::collections::BTreeSet;

use dohle_model::acl::{
    AclEntry, AclFilter, AclOperation, CLUSTER_NAME, PatternFilter, PatternType, PermissionType,
    ResourceType, Wanted,
};
use dohle_model::address_range::AddressRange;
use dohle_model::features::{self, ACL_RANGES_FROM, METADATA_VERSION};
use dohle_model::record::MetadataRecord;
use dohle_model::{ApiError, ErrorCode, Uuid};
use dohle_protocol::messages::create_acls_request::AclCreation;
use dohle_protocol::messages::create_acls_response::AclCreationResult;
use dohle_protocol::messages::delete_acls_request::DeleteAclsFilter;
use dohle_protocol::messages::delete_acls_response::{
    DeleteAclsFilterResult, DeleteAclsMatchingAcl,
};
use dohle_protocol::messages::{
    CreateAclsRequestData, CreateAclsResponseData, DeleteAclsRequestData, DeleteAclsResponseData,
};
use dohle_protocol::{KafkaString, text};

use super::{Draft, RECORDS_PER_REQUEST_MAX, code_and_message, nth_id};

/// Plans CreateAcls. Each ACL has its own outcome; one that exists already counts as created. If
/// there are too many new ones, none is created.
#[must_use]
pub fn create(
    draft: &mut Draft,
    request: &CreateAclsRequestData,
    request_id: Uuid,
) -> CreateAclsResponseData {
    let planned = draft.attempt(|draft| create_all(draft, &request.creations, request_id));
    let results = match planned {
        Ok(results) => results,
        Err(error) => vec![Err(error); request.creations.len()],
    };
    let result = |created: Result<(), ApiError>| {
        let (error_code, error_message) = code_and_message(&created);
        AclCreationResult {
            error_code,
            // Kafka's message for success.
            error_message: error_message.or_else(|| Some(text(""))),
            ..AclCreationResult::default()
        }
    };
    CreateAclsResponseData {
        results: results.into_iter().map(result).collect(),
        ..CreateAclsResponseData::default()
    }
}

fn create_all(
    draft: &mut Draft,
    creations: &[AclCreation],
    request_id: Uuid,
) -> Result<Vec<Result<(), ApiError>>, ApiError> {
    draft.check_space()?;
    let start = draft.records.len();
    let mut results = Vec::with_capacity(creations.len());
    for (index, creation) in creations.iter().enumerate() {
        let with_ranges = draft.image.feature_level(METADATA_VERSION) >= ACL_RANGES_FROM;
        let entry = match new_acl(creation, with_ranges) {
            Ok(entry) => entry,
            Err(error) => {
                results.push(Err(error));
                continue;
            }
        };
        results.push(Ok(()));
        if draft.indexes.acls.ids(&entry).next().is_some() {
            continue;
        }
        if draft.records.len() - start == RECORDS_PER_REQUEST_MAX {
            return Err(ErrorCode::PolicyViolation
                .because("Unable to perform excessively large batch operation."));
        }
        let id = nth_id(request_id, index);
        draft.push(MetadataRecord::AccessControlEntry { id, entry });
    }
    Ok(results)
}

/// Returns the ACL that a request describes. Its host may be a range of addresses if `with_ranges`.
fn new_acl(creation: &AclCreation, with_ranges: bool) -> Result<AclEntry, ApiError> {
    let invalid = |message: String| ErrorCode::InvalidRequest.because(message);
    let unknown = |field: &str, code: i8, is_match: bool| {
        let name = match code {
            1 => "ANY",
            2 if is_match => "MATCH",
            _ => "UNKNOWN",
        };
        invalid(format!("Invalid {field} {name}"))
    };
    let name = creation.resource_name.as_str();
    let resource_type = ResourceType::from_code(creation.resource_type);
    if resource_type == Some(ResourceType::Cluster) && name != CLUSTER_NAME {
        return Err(invalid(format!(
            "The only valid name for the CLUSTER resource is {CLUSTER_NAME}"
        )));
    }
    if name.is_empty() {
        return Err(invalid("Invalid empty resource name".to_owned()));
    }
    let (resource, pattern) = (creation.resource_type, creation.resource_pattern_type);
    let (operation, permission) = (creation.operation, creation.permission_type);
    let entry = AclEntry {
        resource_type: resource_type.ok_or_else(|| unknown("resourceType", resource, false))?,
        pattern_type: PatternType::from_code(pattern)
            .ok_or_else(|| unknown("patternType", pattern, true))?,
        resource_name: name.into(),
        principal: creation.principal.as_str().into(),
        host: creation.host.as_str().into(),
        operation: AclOperation::from_code(operation)
            .ok_or_else(|| unknown("operation", operation, false))?,
        permission: PermissionType::from_code(permission)
            .ok_or_else(|| unknown("permissionType", permission, false))?,
    };
    if !entry.principal.contains(':') {
        return Err(invalid(format!(
            "Could not parse principal from `{}` (no colon is present separating the principal \
             type from the principal name)",
            entry.principal
        )));
    }
    check_host(&entry.host, with_ranges)?;
    Ok(entry)
}

/// Refuses what looks like a range of addresses and is none, or must not be used yet: such an ACL
/// would match no client, or not at a broker of an older release.
fn check_host(host: &str, with_ranges: bool) -> Result<(), ApiError> {
    if !host.contains('/') {
        return Ok(());
    }
    if !with_ranges {
        let release = features::release(ACL_RANGES_FROM).unwrap_or_default();
        return Err(ErrorCode::UnsupportedVersion.because(format!(
            "CIDR-based ACL host patterns require metadata version {release} or higher."
        )));
    }
    let range = AddressRange::parse(host);
    range.map(drop).map_err(|reason| {
        ErrorCode::InvalidRequest.because(format!("Invalid CIDR notation '{host}': {reason}"))
    })
}

/// Plans DeleteAcls. Each filter has its own outcome and lists the ACLs that it selects, also those
/// that another filter selects. If they are too many, none is deleted.
#[must_use]
pub fn delete(draft: &mut Draft, request: &DeleteAclsRequestData) -> DeleteAclsResponseData {
    let filter_results = match select_all(draft, &request.filters) {
        Ok((results, selected)) => {
            for id in selected {
                draft.push(MetadataRecord::RemoveAccessControlEntry { id });
            }
            results.into_iter().map(filter_result).collect()
        }
        Err(error) => {
            let failed = || filter_result(Err(error.clone()));
            request.filters.iter().map(|_| failed()).collect()
        }
    };
    DeleteAclsResponseData {
        filter_results,
        ..DeleteAclsResponseData::default()
    }
}

type Selected = Result<Vec<DeleteAclsMatchingAcl>, ApiError>;

/// Returns the outcome of each filter, and the ids of all ACLs that they select.
fn select_all(
    draft: &Draft,
    filters: &[DeleteAclsFilter],
) -> Result<(Vec<Selected>, BTreeSet<Uuid>), ApiError> {
    let (mut results, mut selected) = (Vec::with_capacity(filters.len()), BTreeSet::new());
    for filter in filters {
        let filter = match checked_filter(filter) {
            Ok(filter) => filter,
            Err(error) => {
                results.push(Err(error));
                continue;
            }
        };
        let mut matching = Vec::new();
        let acls = &draft.image.acls;
        let mut select = |id: Uuid, acl: &AclEntry| {
            if selected.len() == RECORDS_PER_REQUEST_MAX {
                return Err(ErrorCode::InvalidRequest.because(format!(
                    "Cannot remove more than {RECORDS_PER_REQUEST_MAX} acls in a single delete \
                     operation."
                )));
            }
            matching.push(matching_acl(acl));
            selected.insert(id);
            Ok(())
        };
        match filter.only_acl() {
            Some(only) => {
                let mut ids = draft.indexes.acls.ids(&only);
                ids.try_for_each(|id| select(id, &only))?;
            }
            None => {
                let mut matches = acls.iter().filter(|(_, acl)| filter.matches(acl));
                matches.try_for_each(|(id, acl)| select(*id, acl))?;
            }
        }
        results.push(Ok(matching));
    }
    Ok((results, selected))
}

fn checked_filter(filter: &DeleteAclsFilter) -> Result<AclFilter<'_>, ApiError> {
    fn str(text: Option<&KafkaString>) -> Option<&str> {
        text.map(KafkaString::as_str)
    }
    let filter = AclFilter {
        resource_type: Wanted::from_code(filter.resource_type_filter, ResourceType::from_code),
        pattern_type: PatternFilter::from_code(filter.pattern_type_filter),
        resource_name: str(filter.resource_name_filter.as_ref()),
        principal: str(filter.principal_filter.as_ref()),
        host: str(filter.host_filter.as_ref()),
        operation: Wanted::from_code(filter.operation, AclOperation::from_code),
        permission: Wanted::from_code(filter.permission_type, PermissionType::from_code),
    };
    let invalid = |message: &str| Err(ErrorCode::InvalidRequest.because(message));
    if filter.resource_type == Wanted::Unknown || filter.pattern_type == PatternFilter::Unknown {
        return invalid("Unknown patternFilter.");
    }
    if filter.operation == Wanted::Unknown || filter.permission == Wanted::Unknown {
        return invalid("Unknown entryFilter.");
    }
    Ok(filter)
}

fn filter_result(selected: Selected) -> DeleteAclsFilterResult {
    let (error_code, error_message) = code_and_message(&selected);
    DeleteAclsFilterResult {
        error_code,
        error_message,
        matching_acls: selected.unwrap_or_default(),
        ..DeleteAclsFilterResult::default()
    }
}

fn matching_acl(acl: &AclEntry) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl {
        resource_type: acl.resource_type as i8,
        resource_name: text(&acl.resource_name),
        pattern_type: acl.pattern_type as i8,
        principal: text(&acl.principal),
        host: text(&acl.host),
        operation: acl.operation.code(),
        permission_type: acl.permission as i8,
        ..DeleteAclsMatchingAcl::default()
    }
}
