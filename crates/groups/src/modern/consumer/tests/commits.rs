//! Who may commit and fetch offsets.

use dohle_model::{ErrorCode, PartitionIndex};

use super::harness::World;
use crate::offsets::CommitPartition;

#[test]
fn commits_are_accepted_from_members_in_their_epoch_or_since_they_have_the_partition() {
    let mut world = World::default();
    let partition = |world: &World, number| CommitPartition {
        topic: "foo",
        topic_id: world.image.topic_ids.get("foo").copied(),
        partition: PartitionIndex(number),
    };
    let commit = |world: &World, member: &str, epoch, version, number| {
        let group = world.group().expect("a group");
        let partition = partition(world, number);
        let outcome = group.validate_offset_commit(member, epoch, version, &[partition]);
        outcome.map_err(|failed| failed.code)
    };
    let unknown = Err(ErrorCode::UnknownMemberId);
    let stale = Err(ErrorCode::StaleMemberEpoch);
    world.commands("topic foo 2\n join A foo\n join B foo\n ack A\n ack A\n ack B");
    // A has foo:0 since epoch 1 and is in epoch 2; B has foo:1 since epoch 2.
    assert_eq!(commit(&world, "A", 2, 9, 0), Ok(()));
    assert_eq!(commit(&world, "A", 1, 9, 0), Ok(()));
    assert_eq!(commit(&world, "A", 0, 9, 0), stale);
    assert_eq!(commit(&world, "A", 1, 9, 1), stale);
    assert_eq!(commit(&world, "A", 3, 9, 0), stale);
    assert_eq!(commit(&world, "B", 1, 9, 1), stale);
    assert_eq!(
        commit(&world, "A", 2, 8, 0),
        Err(ErrorCode::UnsupportedVersion)
    );
    assert_eq!(commit(&world, "C", 2, 9, 0), unknown);
    assert_eq!(commit(&world, "", -1, 9, 0), unknown);
    let fetch = |world: &World, member: Option<&str>, epoch| {
        let group = world.group().expect("a group");
        let outcome = group.validate_offset_fetch(member, epoch);
        outcome.map_err(|failed| failed.code)
    };
    assert_eq!(fetch(&world, None, -1), Ok(()));
    assert_eq!(fetch(&world, Some("A"), 2), Ok(()));
    assert_eq!(fetch(&world, Some("A"), 1), stale);
    assert_eq!(fetch(&world, Some("C"), 1), unknown);
    world.commands("leave A\n leave B");
    assert_eq!(commit(&world, "", -1, 9, 0), Ok(()));
    assert_eq!(commit(&world, "A", 2, 9, 0), unknown);
}
