//! DescribeAcls, versions 1–3: the ACLs that a filter selects (KIP-140, KIP-290; version 3 has the
//! resource type User, KIP-373). Answered from this broker's metadata.
//!
//! A filter with a code that this release does not define selects nothing, as in Kafka.

use std::collections::BTreeMap;

use dohle_model::acl::{
    AclEntry, AclFilter, AclOperation, Operation, PatternFilter, PermissionType, ResourceType,
    Wanted,
};
use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::describe_acls_request::DescribeAclsRequestData;
use dohle_protocol::messages::describe_acls_response::{
    AclDescription, DescribeAclsResource, DescribeAclsResponseData,
};

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    request: DescribeAclsRequestData,
) -> DescribeAclsResponseData {
    if let Err(code) = call.authorize_cluster(Operation::Describe) {
        return refused(&code.into());
    }
    if !call.has_acls() {
        let message = "No Authorizer is configured on the broker";
        return refused(&ErrorCode::SecurityDisabled.because(message));
    }
    let filter = filter(&request);
    let image = call.context.image();
    let mut resources: BTreeMap<_, Vec<AclDescription>> = BTreeMap::new();
    for acl in image.acls.values().filter(|acl| filter.matches(acl)) {
        let AclEntry {
            resource_type,
            pattern_type,
            resource_name,
            ..
        } = &**acl;
        let resource = (*resource_type, *pattern_type, &**resource_name);
        resources
            .entry(resource)
            .or_default()
            .push(description(acl));
    }
    let resource = |((resource_type, pattern_type, name), acls)| DescribeAclsResource {
        resource_type: resource_type as i8,
        resource_name: wire::text(name),
        pattern_type: pattern_type as i8,
        acls,
        ..DescribeAclsResource::default()
    };
    DescribeAclsResponseData {
        // Kafka's message for success.
        error_message: Some(wire::text("")),
        resources: resources.into_iter().map(resource).collect(),
        ..DescribeAclsResponseData::default()
    }
}

fn refused(error: &ApiError) -> DescribeAclsResponseData {
    DescribeAclsResponseData {
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        ..DescribeAclsResponseData::default()
    }
}

fn filter(request: &DescribeAclsRequestData) -> AclFilter<'_> {
    fn str(text: Option<&KafkaString>) -> Option<&str> {
        text.map(KafkaString::as_str)
    }
    AclFilter {
        resource_type: Wanted::from_code(request.resource_type_filter, ResourceType::from_code),
        pattern_type: PatternFilter::from_code(request.pattern_type_filter),
        resource_name: str(request.resource_name_filter.as_ref()),
        principal: str(request.principal_filter.as_ref()),
        host: str(request.host_filter.as_ref()),
        operation: Wanted::from_code(request.operation, AclOperation::from_code),
        permission: Wanted::from_code(request.permission_type, PermissionType::from_code),
    }
}

fn description(acl: &AclEntry) -> AclDescription {
    AclDescription {
        principal: wire::text(&acl.principal),
        host: wire::text(&acl.host),
        operation: acl.operation.code(),
        permission_type: acl.permission as i8,
        ..AclDescription::default()
    }
}
