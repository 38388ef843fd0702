//! The authorizer, against single ACLs, a model that reads all of them, and hostile texts.

use core::net::Ipv4Addr;
use std::collections::BTreeMap;

use dohle_model::Uuid;
use dohle_model::acl::{AclEntry, AclOperation, OperationSet, PatternType, PermissionType};
use dohle_model::record::MetadataRecord;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use PatternType::{Literal, Prefixed};
use PermissionType::{Allow, Deny};
use ResourceType::{Cluster, Topic};

/// An authorizer together with the metadata that it follows.
struct Followed {
    authorizer: AclAuthorizer,
    image: MetadataImage,
    next: u128,
}

impl Followed {
    fn new(super_users: &str, allow_everyone_if_no_acl_found: bool) -> Self {
        let settings = AclSettings::parse(super_users, allow_everyone_if_no_acl_found).unwrap();
        let followed = Self {
            authorizer: AclAuthorizer::new(settings),
            image: MetadataImage::default(),
            next: 1,
        };
        let image = MetadataImage::default();
        let delta = MetadataDelta::default();
        followed.authorizer.apply(&image, &image, &delta);
        followed
    }

    fn replay(&mut self, records: &[MetadataRecord]) {
        let before = self.image.clone();
        let mut delta = MetadataDelta::default();
        for record in records {
            self.image.replay(record, &mut delta).unwrap();
        }
        self.authorizer.apply(&before, &self.image, &delta);
    }

    fn add(&mut self, entry: AclEntry) -> Uuid {
        let id = Uuid(self.next.to_be_bytes());
        self.next += 1;
        self.replay(&[MetadataRecord::AccessControlEntry { id, entry }]);
        id
    }

    fn remove(&mut self, id: Uuid) {
        self.replay(&[MetadataRecord::RemoveAccessControlEntry { id }]);
    }

    fn asks(&self, user: &str, operation: Operation, resource: (ResourceType, &str)) -> bool {
        self.asks_from(user, Ipv4Addr::LOCALHOST.into(), operation, resource)
    }

    fn asks_from(
        &self,
        user: &str,
        host: IpAddr,
        operation: Operation,
        resource: (ResourceType, &str),
    ) -> bool {
        self.authorizer
            .is_allowed(&Principal::user(user), host, operation, resource)
    }
}

fn entry(
    (pattern_type, resource_name): (PatternType, &str),
    principal: &str,
    operation: AclOperation,
    permission: PermissionType,
) -> AclEntry {
    AclEntry {
        resource_type: Topic,
        pattern_type,
        resource_name: resource_name.into(),
        principal: principal.into(),
        host: "*".into(),
        operation,
        permission,
    }
}

#[test]
fn until_the_first_metadata_only_super_users_are_allowed() {
    let settings = AclSettings::parse("User:root", true).unwrap();
    let authorizer = AclAuthorizer::new(settings);
    let host = Ipv4Addr::LOCALHOST.into();
    let asks = |user| {
        let (user, resource) = (Principal::user(user), (Topic, "t"));
        authorizer.is_allowed(&user, host, Operation::Read, resource)
            || authorizer.is_allowed_for_any(&user, host, Operation::Read, Topic)
    };
    assert!(asks("root"));
    assert!(!asks("alice"));
    let image = MetadataImage::default();
    authorizer.apply(&image, &image, &MetadataDelta::default());
    assert!(asks("alice"), "no ACL exists, and everyone is allowed");
}

#[test]
fn a_denying_acl_prevails_and_its_removal_ends_it() {
    let mut acls = Followed::new("User:root", false);
    let read = AclOperation::One(Operation::Read);
    acls.add(entry((Prefixed, "ord"), "User:*", AclOperation::All, Allow));
    assert!(acls.asks("alice", Operation::Read, (Topic, "orders")));
    assert!(!acls.asks("alice", Operation::Read, (Topic, "or")));
    let deny = acls.add(entry((Literal, "*"), "User:alice", read, Deny));
    assert!(!acls.asks("alice", Operation::Read, (Topic, "orders")));
    assert!(acls.asks("bob", Operation::Read, (Topic, "orders")));
    assert!(acls.asks("root", Operation::Read, (Topic, "orders")));
    acls.remove(deny);
    assert!(acls.asks("alice", Operation::Read, (Topic, "orders")));
}

/// CVE-2024-27309: when one of several ACLs of a resource had been removed, Kafka enforced a single
/// one of the others until its migration from ZooKeeper had ended.
#[test]
fn the_removal_of_one_acl_leaves_the_others_of_its_resource_in_force() {
    let mut acls = Followed::new("", false);
    let read = AclOperation::One(Operation::Read);
    let mut add = |user: &str, permission| acls.add(entry((Literal, "t"), user, read, permission));
    let alice = add("User:alice", Allow);
    let everyone = add("User:*", Allow);
    add("User:bob", Allow);
    add("User:mallory", Deny);
    let allowed = |acls: &Followed| {
        let users = ["alice", "bob", "carol", "mallory"];
        users.map(|user| acls.asks(user, Operation::Read, (Topic, "t")))
    };
    assert_eq!(allowed(&acls), [true, true, true, false]);
    acls.remove(alice);
    assert_eq!(allowed(&acls), [true, true, true, false]);
    acls.remove(everyone);
    assert_eq!(allowed(&acls), [false, true, false, false]);
    let by_snapshot = AclAuthorizer::new(AclSettings::parse("", false).unwrap());
    let none = MetadataImage::default();
    by_snapshot.apply(&none, &acls.image, &MetadataDelta::default());
    acls.authorizer = by_snapshot;
    assert_eq!(allowed(&acls), [false, true, false, false]);
}

#[test]
fn what_is_allowed_implies_describing_and_what_is_denied_does_not() {
    let mut acls = Followed::new("", false);
    let one = AclOperation::One;
    for operation in Topic.operations().iter() {
        let acl = acls.add(entry((Literal, "t"), "User:a", one(operation), Allow));
        let allowed = acls.authorizer.allowed_operations(
            &Principal::user("a"),
            Ipv4Addr::LOCALHOST.into(),
            (Topic, "t"),
        );
        let implied: &[Operation] = match operation {
            Operation::Read | Operation::Write | Operation::Delete | Operation::Alter => {
                &[operation, Operation::Describe]
            }
            Operation::AlterConfigs => &[operation, Operation::DescribeConfigs],
            _ => &[operation],
        };
        assert_eq!(allowed, OperationSet::of(implied), "{operation:?}");
        acls.remove(acl);
    }
    let read = one(Operation::Read);
    acls.add(entry((Literal, "t"), "User:a", AclOperation::All, Allow));
    acls.add(entry((Literal, "t"), "User:a", read, Deny));
    assert!(acls.asks("a", Operation::Describe, (Topic, "t")));
    assert!(!acls.asks("a", Operation::Read, (Topic, "t")));
}

#[test]
fn an_acl_for_another_client_ends_what_everyone_may_do() {
    let mut acls = Followed::new("", true);
    assert!(acls.asks("alice", Operation::Read, (Topic, "t")));
    // Neither a group of users nor the name of a host matches a client; the resource has ACLs.
    let mut other = entry((Literal, "t"), "Group:staff", AclOperation::All, Allow);
    let group = acls.add(other.clone());
    assert!(!acls.asks("alice", Operation::Read, (Topic, "t")));
    assert!(acls.asks("alice", Operation::Read, (Topic, "u")));
    acls.remove(group);
    assert!(acls.asks("alice", Operation::Read, (Topic, "t")));
    other.principal = "User:alice".into();
    other.host = "db.example".into();
    acls.add(other);
    assert!(!acls.asks("alice", Operation::Read, (Topic, "t")));
}

#[test]
fn addresses_are_compared_as_numbers() {
    let mut acls = Followed::new("", false);
    let mut allow = entry((Literal, "t"), "User:a", AclOperation::All, Allow);
    // As Java writes it, and as clients connect over IPv4 to a socket that accepts IPv6.
    allow.host = "0:0:0:0:0:0:0:1".into();
    acls.add(allow.clone());
    allow.host = "10.0.0.7".into();
    acls.add(allow);
    let asks = |host: &str| {
        let (user, host) = (Principal::user("a"), host.parse().unwrap());
        acls.authorizer
            .is_allowed(&user, host, Operation::Read, (Topic, "t"))
    };
    assert!(asks("::1") && asks("10.0.0.7") && asks("::ffff:10.0.0.7"));
    assert!(!asks("::2") && !asks("10.0.0.8"));
}

#[test]
fn an_acl_for_a_range_matches_the_clients_in_it() {
    let mut acls = Followed::new("", false);
    let mut acl = entry((Literal, "t"), "User:a", AclOperation::All, Allow);
    acl.host = "10.0.0.0/8".into();
    let wide = acls.add(acl.clone());
    acl.permission = Deny;
    acl.host = "10.0.1.0/24".into();
    let narrow = acls.add(acl.clone());
    acl.host = "10.0.2.0/24".into();
    acls.add(acl.clone());
    let asks = |acls: &Followed, host: &str| {
        let host = host.parse().unwrap();
        acls.asks_from("a", host, Operation::Read, (Topic, "t"))
    };
    assert!(asks(&acls, "10.255.0.1") && asks(&acls, "::ffff:10.0.0.1"));
    assert!(!asks(&acls, "10.0.1.1") && !asks(&acls, "::ffff:10.0.2.1"));
    assert!(!asks(&acls, "11.0.0.1") && !asks(&acls, "::1"));
    acls.remove(narrow);
    assert!(asks(&acls, "10.0.1.1") && !asks(&acls, "10.0.2.1"));
    acls.remove(wide);
    assert!(!asks(&acls, "10.255.0.1"));
    // What is no range matches no client, and is an ACL of the topic nevertheless.
    acl.permission = Allow;
    acl.host = "10.0.0.0/33".into();
    acls.add(acl);
    assert!(!asks(&acls, "10.0.0.1"));
}

#[test]
fn an_acl_that_exists_twice_holds_until_both_are_removed() {
    let mut acls = Followed::new("", true);
    let deny = entry((Literal, "t"), "User:a", AclOperation::All, Deny);
    let (first, second) = (acls.add(deny.clone()), acls.add(deny));
    acls.remove(first);
    assert!(!acls.asks("a", Operation::Read, (Topic, "t")));
    acls.remove(second);
    assert!(acls.asks("a", Operation::Read, (Topic, "t")));
    assert!(index_of(&acls).is_empty());
}

#[test]
fn a_snapshot_replaces_the_acls() {
    let mut acls = Followed::new("", false);
    acls.add(entry((Literal, "t"), "User:a", AclOperation::All, Allow));
    let before = acls.image.clone();
    let mut after = MetadataImage::default();
    let record = MetadataRecord::AccessControlEntry {
        id: Uuid([9; 16]),
        entry: entry((Literal, "u"), "User:a", AclOperation::All, Allow),
    };
    after
        .replay(&record, &mut MetadataDelta::default())
        .unwrap();
    let delta = MetadataDelta::between(&before, &after);
    acls.authorizer.apply(&before, &after, &delta);
    assert!(!acls.asks("a", Operation::Read, (Topic, "t")));
    assert!(acls.asks("a", Operation::Read, (Topic, "u")));
}

#[test]
fn producers_are_allowed_by_any_topic_that_they_may_write() {
    let mut acls = Followed::new("User:root", false);
    let write = AclOperation::One(Operation::Write);
    let any = |acls: &Followed, user| {
        let (user, host) = (Principal::user(user), Ipv4Addr::LOCALHOST.into());
        acls.authorizer
            .is_allowed_for_any(&user, host, Operation::Write, Topic)
    };
    assert!(!any(&acls, "a") && any(&acls, "root"));
    acls.add(entry((Literal, "t"), "User:a", write, Allow));
    assert!(any(&acls, "a") && !any(&acls, "b"));
    let deny = acls.add(entry((Literal, "t"), "User:*", write, Deny));
    assert!(!any(&acls, "a"), "the topic is denied");
    acls.remove(deny);
    let deny = acls.add(entry((Prefixed, "t"), "User:a", write, Deny));
    assert!(!any(&acls, "a"), "what begins with its name is denied");
    acls.add(entry((Prefixed, "s"), "User:*", write, Allow));
    assert!(any(&acls, "a") && any(&acls, "b"));
    acls.remove(deny);
    acls.add(entry((Literal, "*"), "User:a", AclOperation::All, Deny));
    assert!(!any(&acls, "a") && any(&acls, "b") && any(&acls, "root"));
}

#[test]
fn a_denial_is_logged_once_until_the_acls_change() {
    let mut acls = Followed::new("", false);
    let logged = |acls: &Followed| {
        let logged_before = acls.authorizer.denials.lock().len();
        acls.asks("a", Operation::Read, (Topic, "t"));
        acls.authorizer.denials.lock().len() - logged_before
    };
    assert_eq!(logged(&acls), 1);
    assert_eq!(logged(&acls), 0);
    let (user, host) = (Principal::user("a"), Ipv4Addr::LOCALHOST.into());
    let resource = (Cluster, "kafka-cluster");
    acls.authorizer.allowed_operations(&user, host, resource);
    let denials = acls.authorizer.denials.lock().len();
    assert_eq!(denials, 1, "authorized operations are no attempt");
    acls.add(entry((Literal, "u"), "User:b", AclOperation::All, Allow));
    assert_eq!(logged(&acls), 1);
}

fn index_of(acls: &Followed) -> AclIndex {
    AclIndex::clone(&acls.authorizer.acls.load_full().unwrap())
}

/// What Kafka does, by reading the whole list for each question.
struct NaiveModel<'a> {
    acls: &'a BTreeMap<Uuid, AclEntry>,
    allow_everyone_if_no_acl_found: bool,
}

impl NaiveModel<'_> {
    fn applies(acl: &AclEntry, user: &str, host: IpAddr) -> bool {
        let principal = &*acl.principal;
        (principal == "User:*" || principal == format!("User:{user}"))
            && match (&*acl.host, host) {
                ("*", _) | ("10.0.0.0/8" | "10.0.0.0/30", IpAddr::V4(_)) => true,
                ("10.0.0.2/31", IpAddr::V4(host)) => host.octets()[3] >= 2,
                (text, host) => *text == *host.to_string(),
            }
    }

    fn is_allowed(
        &self,
        user: &str,
        host: IpAddr,
        asked: Operation,
        (kind, name): (ResourceType, &str),
    ) -> bool {
        let on_resource: Vec<_> = (self.acls.values())
            .filter(|acl| acl.resource_type == kind)
            .filter(|acl| match acl.pattern_type {
                Literal => &*acl.resource_name == name || &*acl.resource_name == "*",
                Prefixed => name.starts_with(&*acl.resource_name),
            })
            .collect();
        if on_resource.is_empty() {
            return self.allow_everyone_if_no_acl_found;
        }
        let implying: &[Operation] = match asked {
            Operation::Describe => &[
                Operation::Read,
                Operation::Write,
                Operation::Delete,
                Operation::Alter,
            ],
            Operation::DescribeConfigs => &[Operation::AlterConfigs],
            _ => &[],
        };
        let has = |permission, implying: &[Operation]| {
            on_resource.iter().any(|acl| {
                acl.permission == permission
                    && Self::applies(acl, user, host)
                    && match acl.operation {
                        AclOperation::All => true,
                        AclOperation::One(one) => one == asked || implying.contains(&one),
                    }
            })
        };
        !has(Deny, &[]) && has(Allow, implying)
    }

    fn is_allowed_for_any(
        &self,
        user: &str,
        host: IpAddr,
        asked: Operation,
        kind: ResourceType,
    ) -> bool {
        if self.is_allowed(user, host, asked, (kind, "hardcode")) {
            return true;
        }
        let of = |permission| {
            let acls = self.acls.values();
            let acls = acls.filter(move |acl| {
                acl.resource_type == kind
                    && acl.permission == permission
                    && Self::applies(acl, user, host)
                    && (acl.operation == AclOperation::All
                        || acl.operation == AclOperation::One(asked))
            });
            acls.map(|acl| (acl.pattern_type, &*acl.resource_name))
        };
        if of(Deny).any(|pattern| pattern == (Literal, "*")) {
            return false;
        }
        of(Allow).any(|(pattern_type, name)| {
            if pattern_type == Literal && name == "*" {
                return true;
            }
            !of(Deny).any(|(denied_type, denied)| match denied_type {
                Literal => pattern_type == Literal && denied == name,
                Prefixed => name.starts_with(denied),
            })
        })
    }
}

fn random_entry() -> impl Strategy<Value = AclEntry> {
    (
        select(vec![Topic, Topic, ResourceType::Group]),
        select(vec![Literal, Prefixed]),
        prop_oneof!["[ab]{1,3}", Just("*".to_owned()), Just("hard".to_owned())],
        select(vec!["User:u", "User:v", "User:*", "Group:u"]),
        select(vec![
            "*",
            "10.0.0.1",
            "10.0.0.2",
            "host",
            "10.0.0.0/8",
            "10.0.0.0/30",
            "10.0.0.2/31",
            "::/0",
        ]),
        prop_oneof![Just(2i8), 3..=11i8],
        select(vec![Allow, Allow, Deny]),
    )
        .prop_map(
            |(resource_type, pattern_type, name, user, host, op, permission)| AclEntry {
                resource_type,
                pattern_type,
                resource_name: name.into(),
                principal: user.into(),
                host: host.into(),
                operation: AclOperation::from_code(op).expect("an operation"),
                permission,
            },
        )
}

/// A change of the ACLs.
#[derive(Debug, Clone)]
enum Change {
    Add(AclEntry),
    /// Removes the n-th of those that exist.
    Remove(prop::sample::Index),
}

fn random_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => random_entry().prop_map(Change::Add),
        1 => any::<prop::sample::Index>().prop_map(Change::Remove),
    ]
}

fn compare(acls: &Followed, model: &NaiveModel<'_>) {
    let names = ["a", "b", "ab", "aba", "abab", "bb", "hardcode", "*", "x"];
    for (user, address) in [("u", 1), ("v", 1), ("u", 2), ("*", 3)] {
        let host = IpAddr::from(Ipv4Addr::new(10, 0, 0, address));
        let principal = Principal::user(user);
        for kind in [Topic, ResourceType::Group] {
            for operation in Topic.operations().iter() {
                let question = format!("{user} at {host}: {operation:?} on {kind:?}");
                for name in names {
                    let ours =
                        acls.authorizer
                            .is_visible(&principal, host, operation, (kind, name));
                    let models = model.is_allowed(user, host, operation, (kind, name));
                    assert_eq!(ours, models, "{question} {name}");
                }
                let ours = acls
                    .authorizer
                    .is_allowed_for_any(&principal, host, operation, kind);
                let models = model.is_allowed_for_any(user, host, operation, kind);
                assert_eq!(ours, models, "{question} of any name");
            }
        }
    }
}

proptest! {
    #[test]
    fn verdicts_are_those_of_a_model_that_reads_all_acls(
        changes in vec(vec(random_change(), 1..5), 1..8),
        allow_everyone_if_no_acl_found: bool,
    ) {
        let mut acls = Followed::new("", allow_everyone_if_no_acl_found);
        let mut list = BTreeMap::new();
        for batch in changes {
            let mut records = Vec::new();
            for change in batch {
                match change {
                    Change::Add(entry) => {
                        let id = Uuid(acls.next.to_be_bytes());
                        acls.next += 1;
                        list.insert(id, entry.clone());
                        records.push(MetadataRecord::AccessControlEntry { id, entry });
                    }
                    Change::Remove(index) if !list.is_empty() => {
                        let id = *list.keys().nth(index.index(list.len())).expect("in the list");
                        list.remove(&id);
                        records.push(MetadataRecord::RemoveAccessControlEntry { id });
                    }
                    Change::Remove(_) => {}
                }
            }
            acls.replay(&records);
            compare(&acls, &NaiveModel { acls: &list, allow_everyone_if_no_acl_found });
        }
        let remove = |id| MetadataRecord::RemoveAccessControlEntry { id };
        let left: Vec<_> = list.into_keys().map(remove).collect();
        acls.replay(&left);
        prop_assert!(index_of(&acls).is_empty());
    }
}

/// A text of any letters, which may begin another one.
fn hostile_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,4}",
        "[ä*:\u{10ffff}\\x00]{0,3}",
        Just("*".to_owned()),
        Just(String::new())
    ]
}

proptest! {
    #[test]
    fn hostile_texts_are_decided_as_by_the_model(
        acls in vec((random_entry(), hostile_text(), hostile_text(), hostile_text()), 1..12),
        more in hostile_text(),
    ) {
        let mut followed = Followed::new("", false);
        let mut list = BTreeMap::new();
        let mut names = vec![more.clone()];
        let mut users = vec![more.clone(), "*".to_owned()];
        for (mut entry, name, user, host) in acls {
            names.extend([name.clone(), format!("{name}{more}")]);
            users.push(user.clone());
            entry.resource_name = name.into();
            entry.principal = format!("User:{user}").into();
            if host.parse::<IpAddr>().is_err() && !host.contains('/') {
                entry.host = host.into();
            }
            let id = followed.add(entry.clone());
            list.insert(id, entry);
        }
        let model = NaiveModel { acls: &list, allow_everyone_if_no_acl_found: false };
        let host = IpAddr::from(Ipv4Addr::new(10, 0, 0, 1));
        let with_names = |user| names.iter().map(move |name| (user, name));
        for (user, name) in users.iter().flat_map(with_names) {
            let ours = followed.asks_from(user, host, Operation::Read, (Topic, name));
            let models = model.is_allowed(user, host, Operation::Read, (Topic, name));
            prop_assert_eq!(ours, models, "{:?} {:?}", user, name);
        }
    }
}
