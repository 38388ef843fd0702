//! Tests of which members may commit and fetch offsets.

use dohle_model::{ErrorCode, PartitionIndex};

use super::harness::Harness;
use crate::committer::CommitPartition;
use crate::test_scripts::ScriptDriver as _;

#[test]
fn commits_are_accepted_from_members_in_their_epoch_or_since_they_have_the_partition() {
    let mut harness = Harness::default();
    let partition = |harness: &Harness, number| CommitPartition {
        topic: "foo",
        topic_id: harness.image.topic_ids.get("foo").copied(),
        partition: PartitionIndex(number),
    };
    let commit = |harness: &Harness, member: &str, epoch, version, number| {
        let group = harness.group().expect("a group");
        let partition = partition(harness, number);
        let outcome = group.validate_offset_commit(member, epoch, version, &[partition]);
        outcome.map_err(|failed| failed.code)
    };
    let unknown = Err(ErrorCode::UnknownMemberId);
    let stale = Err(ErrorCode::StaleMemberEpoch);
    harness.run_script("topic foo 2\n join A foo\n join B foo\n ack A\n ack A\n ack B");
    // A has foo:0 since epoch 2 and is at epoch 3; B has foo:1 since epoch 3.
    assert_eq!(commit(&harness, "A", 3, 9, 0), Ok(()));
    assert_eq!(commit(&harness, "A", 2, 9, 0), Ok(()));
    assert_eq!(commit(&harness, "A", 1, 9, 0), stale);
    assert_eq!(commit(&harness, "A", 2, 9, 1), stale);
    assert_eq!(commit(&harness, "A", 4, 9, 0), stale);
    assert_eq!(commit(&harness, "B", 2, 9, 1), stale);
    assert_eq!(
        commit(&harness, "A", 3, 8, 0),
        Err(ErrorCode::UnsupportedVersion)
    );
    assert_eq!(commit(&harness, "C", 3, 9, 0), unknown);
    assert_eq!(commit(&harness, "", -1, 9, 0), unknown);
    let fetch = |harness: &Harness, member: Option<&str>, epoch| {
        let group = harness.group().expect("a group");
        let outcome = group.validate_offset_fetch(member, epoch);
        outcome.map_err(|failed| failed.code)
    };
    assert_eq!(fetch(&harness, None, -1), Ok(()));
    assert_eq!(fetch(&harness, Some("A"), 3), Ok(()));
    assert_eq!(fetch(&harness, Some("A"), 2), stale);
    assert_eq!(fetch(&harness, Some("C"), 2), unknown);
    harness.run_script("leave A\n leave B");
    assert_eq!(commit(&harness, "", -1, 9, 0), Ok(()));
    assert_eq!(commit(&harness, "A", 3, 9, 0), unknown);
}
