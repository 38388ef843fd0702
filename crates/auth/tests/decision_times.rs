//! How long the authorizer takes to decide, with many ACLs:
//!
//! `DOHLE_ACLS=100000 cargo test --release -p dohle-auth --test decision_times -- --nocapture`
//!
//! As a test it checks that the verdicts are those of the ACLs, and no time.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use dohle_auth::{AclAuthorizer, AclSettings, Authorizer as _, Principal};
use dohle_model::Uuid;
use dohle_model::acl::{
    AclEntry, AclOperation, Operation, PatternType, PermissionType, ResourceType,
};
use dohle_model::delta::MetadataDelta;
use dohle_model::image::MetadataImage;
use dohle_model::record::MetadataRecord;

const USERS: u64 = 1_000;
const TOPICS: u64 = 20_000;

/// Returns the name of a topic: of one of 200 teams.
fn topic(at: u64) -> String {
    format!("team-{:03}.topic-{at:05}", at % 200)
}

/// Returns the ACL number `at`. Of ten, seven allow a user to read a topic, two allow it the topics
/// of a team, and one denies a topic to it.
fn acl(at: u64) -> MetadataRecord {
    // Multiples of odd numbers visit all users and topics.
    let (user, on) = (at * 7 % USERS, at * 13 % TOPICS);
    let is_prefix = at % 10 >= 8;
    let name = match is_prefix {
        true => format!("team-{:03}.", on % 200),
        false => topic(on),
    };
    let entry = AclEntry {
        resource_type: ResourceType::Topic,
        pattern_type: match is_prefix {
            true => PatternType::Prefixed,
            false => PatternType::Literal,
        },
        resource_name: name.as_str().into(),
        principal: format!("User:user-{user}").as_str().into(),
        host: "*".into(),
        operation: AclOperation::One(Operation::Read),
        permission: match at % 10 {
            7 => PermissionType::Deny,
            _ => PermissionType::Allow,
        },
    };
    let id = Uuid(u128::from(at).to_be_bytes());
    MetadataRecord::AccessControlEntry { id, entry }
}

fn shown(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    format!("p50 {:?}, p99 {:?}, most {:?}", at(0.5), at(0.99), at(1.0))
}

#[test]
fn decisions_among_many_acls_are_those_of_the_acls() {
    let count = std::env::var("DOHLE_ACLS").ok();
    let count: u64 = count.and_then(|it| it.parse().ok()).unwrap_or(2_000);
    let authorizer = AclAuthorizer::new(AclSettings::parse("", false).unwrap());
    let mut image = MetadataImage::default();
    let mut apply = |records: &[MetadataRecord]| {
        let before = image.clone();
        let mut delta = MetadataDelta::default();
        for record in records {
            image.replay(record, &mut delta).unwrap();
        }
        let began = Instant::now();
        authorizer.apply(&before, &image, &delta);
        began.elapsed()
    };
    let all: Vec<MetadataRecord> = (0..count).map(acl).collect();
    println!("{count} ACLs are indexed in {:?}", apply(&all));
    let more: Vec<Duration> = (count..count + 100).map(|at| apply(&[acl(at)])).collect();
    println!("one more ACL: {}", shown(more));

    let ask = |user: &str, topic: &str| {
        let (user, host) = (Principal::user(user), Ipv4Addr::LOCALHOST.into());
        let began = Instant::now();
        let is_allowed =
            authorizer.is_allowed(&user, host, Operation::Read, (ResourceType::Topic, topic));
        (is_allowed, began.elapsed())
    };
    let questions = 100_000;
    // What a literal ACL allows, unless another one denies it.
    let (mut allowed, mut times) = (0, Vec::new());
    for at in (0..count).filter(|at| at % 10 < 7).cycle().take(questions) {
        let user = format!("user-{}", at * 7 % USERS);
        let (is_allowed, time) = ask(&user, &topic(at * 13 % TOPICS));
        allowed += usize::from(is_allowed);
        times.push(time);
    }
    println!("allowed by an ACL: {}", shown(times));
    assert!(allowed > questions / 2, "{allowed} of {questions}");

    let mut times = Vec::new();
    for at in (7..count).step_by(10).cycle().take(questions) {
        let user = format!("user-{}", at * 7 % USERS);
        let (is_allowed, time) = ask(&user, &topic(at * 13 % TOPICS));
        assert!(!is_allowed, "ACL {at} denies it");
        times.push(time);
    }
    println!("denied by an ACL: {}", shown(times));

    let mut times = Vec::new();
    for at in 0..questions as u64 {
        let (is_allowed, time) = ask("a stranger", &topic(at % TOPICS));
        assert!(!is_allowed, "nothing is allowed to a stranger");
        times.push(time);
    }
    println!("no ACL of the user: {}", shown(times));
}
