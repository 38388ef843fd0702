//! Tests of CreateAcls and DeleteAcls.

use std::sync::Arc;

use dohle_model::Uuid;
use dohle_model::acl::{
    AclEntry, AclOperation, Operation, PatternType, PermissionType, ResourceType,
};
use dohle_model::features::METADATA_VERSION;
use dohle_model::image::MetadataImage;
use dohle_model::record::MetadataRecord;
use dohle_protocol::messages::create_acls_request::AclCreation;
use dohle_protocol::messages::delete_acls_request::DeleteAclsFilter;
use dohle_protocol::messages::{CreateAclsRequestData, DeleteAclsRequestData};

use super::{kafka_string, settings, shown};
use crate::plan::{Draft, Indexes, RECORDS_PER_REQUEST_MAX, acls};

fn draft() -> Draft {
    let settings = Arc::new(settings());
    Draft::new(&MetadataImage::default(), &Indexes::default(), &settings)
}

/// A request for an ACL: everyone may read the topic.
fn read(topic: &str) -> AclCreation {
    AclCreation {
        resource_type: ResourceType::Topic as i8,
        resource_name: kafka_string(topic),
        resource_pattern_type: PatternType::Literal as i8,
        principal: kafka_string("User:*"),
        host: kafka_string("*"),
        operation: Operation::Read as i8,
        permission_type: PermissionType::Allow as i8,
        ..AclCreation::default()
    }
}

/// A filter for the ACLs of a topic, by its name.
fn of_topic(topic: &str) -> DeleteAclsFilter {
    DeleteAclsFilter {
        resource_type_filter: ResourceType::Topic as i8,
        resource_name_filter: Some(kafka_string(topic)),
        pattern_type_filter: 1,
        principal_filter: None,
        host_filter: None,
        operation: 1,
        permission_type: 1,
        ..DeleteAclsFilter::default()
    }
}

fn create(draft: &mut Draft, creations: Vec<AclCreation>) -> Vec<String> {
    let request = CreateAclsRequestData {
        creations,
        ..CreateAclsRequestData::default()
    };
    // Each request has an id of its own.
    let id = Uuid((draft.records.len() as u128).to_be_bytes());
    let response = acls::create(draft, &request, id);
    assert_eq!(draft.broken, None);
    let results = response.results.iter();
    results
        .map(|result| shown(result.error_code, result.error_message.as_ref()))
        .collect()
}

/// Returns the outcome of each filter, and the names of the resources of the ACLs it selected.
fn delete(draft: &mut Draft, filters: Vec<DeleteAclsFilter>) -> Vec<(String, Vec<String>)> {
    let request = DeleteAclsRequestData {
        filters,
        ..DeleteAclsRequestData::default()
    };
    let response = acls::delete(draft, &request);
    assert_eq!(draft.broken, None);
    let results = response.filter_results.iter();
    results
        .map(|result| {
            let names = result.matching_acls.iter();
            (
                shown(result.error_code, result.error_message.as_ref()),
                names.map(|acl| acl.resource_name.to_string()).collect(),
            )
        })
        .collect()
}

fn changed(creation: &AclCreation, change: impl FnOnce(&mut AclCreation)) -> AclCreation {
    let mut creation = creation.clone();
    change(&mut creation);
    creation
}

#[test]
fn an_acl_is_created_once() {
    let mut draft = draft();
    assert_eq!(
        create(&mut draft, vec![read("a"), read("b"), read("a")]),
        ["", "", ""]
    );
    assert_eq!(draft.image.acls.len(), 2);
    // Two of these exist already.
    assert_eq!(
        create(&mut draft, vec![read("a"), read("b"), read("c")]),
        ["", "", ""]
    );
    assert_eq!(draft.image.acls.len(), 3);
    let entry = AclEntry {
        resource_type: ResourceType::Topic,
        pattern_type: PatternType::Literal,
        resource_name: "c".into(),
        principal: "User:*".into(),
        host: "*".into(),
        operation: AclOperation::One(Operation::Read),
        permission: PermissionType::Allow,
    };
    assert_eq!(draft.indexes.acls.ids(&entry).count(), 1);
}

#[test]
fn an_acl_that_is_no_acl_is_refused_with_kafkas_text_and_the_others_are_created() {
    let mut draft = draft();
    let good = read("a");
    let results = create(
        &mut draft,
        vec![
            changed(&good, |acl| acl.resource_type = 99),
            changed(&good, |acl| acl.resource_type = 1),
            changed(&good, |acl| acl.resource_pattern_type = 1),
            changed(&good, |acl| acl.resource_pattern_type = 2),
            changed(&good, |acl| acl.resource_pattern_type = 99),
            changed(&good, |acl| acl.operation = 1),
            changed(&good, |acl| acl.operation = 99),
            changed(&good, |acl| acl.permission_type = 99),
            changed(&good, |acl| acl.resource_name = kafka_string("")),
            changed(&good, |acl| acl.principal = kafka_string("alice")),
            changed(&good, |acl| acl.resource_type = ResourceType::Cluster as i8),
            good.clone(),
            changed(&good, |acl| {
                acl.resource_type = ResourceType::Cluster as i8;
                acl.resource_name = kafka_string("kafka-cluster");
            }),
        ],
    );
    let refused = |text: &str| format!("INVALID_REQUEST: {text}");
    assert_eq!(
        results,
        [
            refused("Invalid resourceType UNKNOWN"),
            refused("Invalid resourceType ANY"),
            refused("Invalid patternType ANY"),
            refused("Invalid patternType MATCH"),
            refused("Invalid patternType UNKNOWN"),
            refused("Invalid operation ANY"),
            refused("Invalid operation UNKNOWN"),
            refused("Invalid permissionType UNKNOWN"),
            refused("Invalid empty resource name"),
            refused(
                "Could not parse principal from `alice` (no colon is present separating the \
                 principal type from the principal name)"
            ),
            refused("The only valid name for the CLUSTER resource is kafka-cluster"),
            String::new(),
            String::new(),
        ]
    );
    assert_eq!(draft.image.acls.len(), 2);
}

#[test]
fn an_acl_names_a_range_of_addresses_from_the_level_on_that_has_them() {
    let mut draft = draft();
    let set_level = |draft: &mut Draft, level| {
        let name = METADATA_VERSION.to_owned();
        draft.push(MetadataRecord::FeatureLevel { name, level });
    };
    let from = |host| changed(&read("a"), |it| it.host = kafka_string(host));
    set_level(&mut draft, 31);
    let early = [
        "UNSUPPORTED_VERSION: CIDR-based ACL host patterns require metadata version 4.4-IV1 or \
         higher.",
        "",
    ];
    let creations = vec![from("10.0.0.0/8"), from("10.0.0.1")];
    assert_eq!(create(&mut draft, creations), early);
    set_level(&mut draft, 32);
    let creations = vec![
        from("10.0.0.0/8"),
        from("2001:db8::/32"),
        from("10.0.0.0/33"),
        from("db.example/8"),
    ];
    let outcomes = [
        "",
        "",
        "INVALID_REQUEST: Invalid CIDR notation '10.0.0.0/33': the number of bits after the slash \
         must be from 0 to 32",
        "INVALID_REQUEST: Invalid CIDR notation 'db.example/8': what is before the slash is \
         neither an IPv4 nor an IPv6 address",
    ];
    assert_eq!(create(&mut draft, creations), outcomes);
    let hosts = draft.image.acls.values().map(|acl| acl.host.to_string());
    let mut hosts: Vec<_> = hosts.collect();
    hosts.sort();
    assert_eq!(hosts, ["10.0.0.0/8", "10.0.0.1", "2001:db8::/32"]);
}

#[test]
fn each_filter_lists_what_it_selects_and_every_acl_is_removed_once() {
    let mut draft = draft();
    let prefixed = changed(&read("a"), |acl| acl.resource_pattern_type = 4);
    create(&mut draft, vec![read("a"), read("b"), prefixed]);
    let before = draft.records.len();
    let literal = DeleteAclsFilter {
        pattern_type_filter: 3,
        principal_filter: Some(kafka_string("User:*")),
        host_filter: Some(kafka_string("*")),
        operation: Operation::Read as i8,
        permission_type: PermissionType::Allow as i8,
        ..of_topic("a")
    };
    let unknown_pattern = DeleteAclsFilter {
        pattern_type_filter: 9,
        ..of_topic("b")
    };
    let unknown_entry = DeleteAclsFilter {
        operation: 99,
        ..of_topic("b")
    };
    let results = delete(
        &mut draft,
        vec![
            of_topic("a"),
            literal,
            of_topic("x"),
            unknown_pattern,
            unknown_entry,
        ],
    );
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        results,
        [
            (String::new(), names(&["a", "a"])),
            (String::new(), names(&["a"])),
            (String::new(), vec![]),
            ("INVALID_REQUEST: Unknown patternFilter.".to_owned(), vec![]),
            ("INVALID_REQUEST: Unknown entryFilter.".to_owned(), vec![]),
        ]
    );
    assert_eq!(draft.records.len() - before, 2);
    assert_eq!(draft.image.acls.len(), 1);
    assert_eq!(delete(&mut draft, vec![of_topic("b")]).len(), 1);
    assert_eq!(draft.indexes, Indexes::of(&draft.image));
    assert!(draft.image.acls.is_empty());
}

#[test]
fn a_request_that_changes_too_many_acls_changes_none() {
    let mut draft = draft();
    let many = |count: usize| (0..count).map(|n| read(&format!("t{n}"))).collect();
    let results = create(&mut draft, many(RECORDS_PER_REQUEST_MAX + 1));
    let refused = "POLICY_VIOLATION: Unable to perform excessively large batch operation.";
    assert!(results.iter().all(|result| result == refused));
    assert_eq!(results.len(), RECORDS_PER_REQUEST_MAX + 1);
    assert!(draft.image.acls.is_empty() && draft.records.is_empty());
    create(&mut draft, many(RECORDS_PER_REQUEST_MAX));
    create(&mut draft, vec![read("one more")]);
    let before = draft.records.len();
    let all = DeleteAclsFilter {
        resource_name_filter: None,
        ..of_topic("")
    };
    let results = delete(&mut draft, vec![all, of_topic("t1")]);
    let refused = "INVALID_REQUEST: Cannot remove more than 10000 acls in a single delete \
                   operation.";
    assert!(
        results
            .iter()
            .all(|result| result == &(refused.to_owned(), vec![]))
    );
    assert_eq!(draft.records.len(), before);
}

#[test]
fn acls_are_not_created_while_the_disk_of_the_metadata_is_full_and_can_be_deleted() {
    let mut draft = draft();
    create(&mut draft, vec![read("a")]);
    draft.shortage = Some("the disk is full".into());
    let results = create(&mut draft, vec![read("b")]);
    assert_eq!(results, ["KAFKA_STORAGE_ERROR: the disk is full"]);
    assert_eq!(delete(&mut draft, vec![of_topic("a")])[0].1, ["a"]);
    assert!(draft.image.acls.is_empty());
    let removed = MetadataRecord::RemoveAccessControlEntry { id: Uuid([0; 16]) };
    assert_eq!(draft.records.last(), Some(&removed));
}
