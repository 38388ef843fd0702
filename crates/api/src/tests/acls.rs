//! Tests of DescribeAcls, CreateAcls and DeleteAcls as far as a broker answers them itself.

use std::sync::Arc;

use dohle_auth::{AclAuthorizer, AclSettings};
use dohle_model::acl::{AclEntry, AclOperation, PatternType, PermissionType, ResourceType};
use dohle_model::record::MetadataRecord;
use dohle_model::{ErrorCode, Uuid};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::create_acls_request::{AclCreation, CreateAclsRequestData};
use dohle_protocol::messages::create_acls_response::CreateAclsResponseData;
use dohle_protocol::messages::delete_acls_request::{DeleteAclsFilter, DeleteAclsRequestData};
use dohle_protocol::messages::delete_acls_response::DeleteAclsResponseData;
use dohle_protocol::messages::describe_acls_request::DescribeAclsRequestData;
use dohle_protocol::messages::describe_acls_response::DescribeAclsResponseData;

use super::harness::{Broker, ask};

/// A filter that selects everything.
fn everything() -> DescribeAclsRequestData {
    DescribeAclsRequestData {
        resource_type_filter: 1,
        pattern_type_filter: 1,
        operation: 1,
        permission_type: 1,
        ..DescribeAclsRequestData::default()
    }
}

fn acl(id: u8, pattern_type: PatternType, name: &str, principal: &str) -> MetadataRecord {
    MetadataRecord::AccessControlEntry {
        id: Uuid([id; 16]),
        entry: AclEntry {
            resource_type: ResourceType::Topic,
            pattern_type,
            resource_name: name.into(),
            principal: principal.into(),
            host: "*".into(),
            operation: AclOperation::All,
            permission: PermissionType::Allow,
        },
    }
}

fn shown(response: &DescribeAclsResponseData) -> Vec<String> {
    let resources = response.resources.iter().map(|resource| {
        let users = resource.acls.iter().map(|acl| acl.principal.as_str());
        let users: Vec<&str> = users.collect();
        let (name, pattern) = (&resource.resource_name, resource.pattern_type);
        format!("{name} {pattern}: {}", users.join(" "))
    });
    resources.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_acls_that_a_filter_selects_are_described_by_resource() {
    let mut broker = Broker::start(&[]).await;
    let settings = AclSettings::parse("User:ANONYMOUS", false).unwrap();
    broker.authorize(Arc::new(AclAuthorizer::new(settings)));
    broker
        .apply(&[
            acl(1, PatternType::Literal, "orders", "User:a"),
            acl(2, PatternType::Prefixed, "ord", "User:a"),
            acl(3, PatternType::Literal, "orders", "User:b"),
        ])
        .await;
    let mut client = broker.client();
    for version in 1..=3 {
        let request = everything();
        let response = ask!(
            client,
            DescribeAcls,
            version,
            request,
            DescribeAclsResponseData
        );
        assert_eq!(response.error_code, 0);
        assert_eq!(response.error_message, Some(KafkaString::from_static("")));
        assert_eq!(
            shown(&response),
            ["orders 3: User:a User:b", "ord 4: User:a"]
        );
    }
    let of_a = DescribeAclsRequestData {
        principal_filter: Some(KafkaString::from_static("User:a")),
        resource_name_filter: Some(KafkaString::from_static("orders")),
        ..everything()
    };
    let response = ask!(client, DescribeAcls, 3, of_a, DescribeAclsResponseData);
    assert_eq!(shown(&response), ["orders 3: User:a"]);
    let unknown = DescribeAclsRequestData {
        operation: 99,
        ..everything()
    };
    let response = ask!(client, DescribeAcls, 3, unknown, DescribeAclsResponseData);
    assert_eq!((response.error_code, shown(&response).len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_authorizer_there_are_no_acls() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    let disabled = ErrorCode::SecurityDisabled.code();
    for version in 1..=3 {
        let response = ask!(
            client,
            DescribeAcls,
            version,
            everything(),
            DescribeAclsResponseData
        );
        let message = response.error_message.expect("a message");
        assert_eq!(response.error_code, disabled);
        assert_eq!(
            message.as_str(),
            "No Authorizer is configured on the broker"
        );
        let creation = AclCreation {
            resource_type: ResourceType::Topic as i8,
            resource_pattern_type: PatternType::Literal as i8,
            ..AclCreation::default()
        };
        let request = CreateAclsRequestData {
            creations: vec![creation.clone(), creation],
            ..CreateAclsRequestData::default()
        };
        let response = ask!(client, CreateAcls, version, request, CreateAclsResponseData);
        let codes: Vec<i16> = response.results.iter().map(|it| it.error_code).collect();
        assert_eq!(codes, [disabled, disabled]);
        let message = response.results[0].error_message.as_ref();
        assert_eq!(message.unwrap().as_str(), "No Authorizer is configured.");
        let filter = DeleteAclsFilter {
            resource_type_filter: 1,
            pattern_type_filter: 1,
            operation: 1,
            permission_type: 1,
            ..DeleteAclsFilter::default()
        };
        let request = DeleteAclsRequestData {
            filters: vec![filter],
            ..DeleteAclsRequestData::default()
        };
        let response = ask!(client, DeleteAcls, version, request, DeleteAclsResponseData);
        assert_eq!(response.filter_results[0].error_code, disabled);
    }
}
