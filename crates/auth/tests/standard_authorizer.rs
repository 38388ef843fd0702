//! Compares verdicts with those of Kafka's StandardAuthorizer, which `make record-authorizer`
//! recorded: that of 4.3.1, and with ranges of addresses that of 4.4.0. The program that asks
//! Kafka, `tests/compat/java/src/AuthorizerVerdicts.java`, describes the lines of the recording.

use core::net::IpAddr;

use dohle_auth::{AclAuthorizer, AclSettings, Authorizer, Principal};
use dohle_model::Uuid;
use dohle_model::acl::{
    AclEntry, AclOperation, Operation, PatternType, PermissionType, ResourceType,
};
use dohle_model::delta::MetadataDelta;
use dohle_model::image::MetadataImage;
use dohle_model::record::MetadataRecord;

const RECORDINGS: [&str; 2] = [
    include_str!("standard_authorizer.txt"),
    include_str!("standard_authorizer-4.4.0.txt"),
];

/// Where the recording is being followed.
struct Follower {
    authorizer: AclAuthorizer,
    image: MetadataImage,
    acls: u128,
}

impl Follower {
    fn new(super_users: &str, allow_everyone_if_no_acl_found: bool) -> Self {
        let settings = AclSettings::parse(super_users, allow_everyone_if_no_acl_found).unwrap();
        let follower = Self {
            authorizer: AclAuthorizer::new(settings),
            image: MetadataImage::default(),
            acls: 0,
        };
        let image = MetadataImage::default();
        follower
            .authorizer
            .apply(&image, &image, &MetadataDelta::default());
        follower
    }

    fn add(&mut self, entry: AclEntry) {
        self.acls += 1;
        let id = Uuid(self.acls.to_be_bytes());
        let (before, mut delta) = (self.image.clone(), MetadataDelta::default());
        let record = MetadataRecord::AccessControlEntry { id, entry };
        self.image.replay(&record, &mut delta).unwrap();
        self.authorizer.apply(&before, &self.image, &delta);
    }
}

fn code(text: &str) -> i8 {
    text.parse().unwrap()
}

fn acl(fields: &[&str]) -> AclEntry {
    let [kind, pattern, name, principal, host, operation, permission] = fields else {
        panic!("an ACL of {fields:?}");
    };
    AclEntry {
        resource_type: ResourceType::from_code(code(kind)).unwrap(),
        pattern_type: PatternType::from_code(code(pattern)).unwrap(),
        resource_name: (*name).into(),
        principal: (*principal).into(),
        host: (*host).into(),
        operation: AclOperation::from_code(code(operation)).unwrap(),
        permission: PermissionType::from_code(code(permission)).unwrap(),
    }
}

#[test]
fn verdicts_are_those_of_kafkas_standard_authorizer() {
    for recording in RECORDINGS {
        compare(recording);
    }
}

fn compare(recording: &str) {
    let mut follower = None;
    let mut verdicts = [0, 0];
    for (number, line) in recording.lines().enumerate() {
        let fields: Vec<_> = line.split(' ').collect();
        if let ["set", super_users, allow_everyone] = fields[..] {
            follower = Some(Follower::new(super_users, allow_everyone == "1"));
            continue;
        }
        let follower = follower.as_mut().expect("a set before its ACLs");
        if fields[0] == "acl" {
            follower.add(acl(&fields[1..]));
            continue;
        }
        let user = Principal::user(fields[1]);
        let host: IpAddr = fields[2].parse().unwrap();
        let operation = Operation::from_code(code(fields[3])).unwrap();
        let kind = ResourceType::from_code(code(fields[4])).unwrap();
        let authorizer = &follower.authorizer;
        let (ours, kafkas) = match fields[..] {
            ["ask", .., name, verdict] => (
                authorizer.is_allowed(&user, host, operation, (kind, name)),
                verdict,
            ),
            ["any", .., verdict] => (
                authorizer.is_allowed_for_any(&user, host, operation, kind),
                verdict,
            ),
            _ => panic!("line {number} is {line}"),
        };
        assert_eq!(ours, kafkas == "1", "line {}: {line}", number + 1);
        verdicts[usize::from(ours)] += 1;
    }
    assert!(verdicts.iter().all(|count| *count > 500), "{verdicts:?}");
}
