//! What membership, assignment and fencing of a group come to.

use super::*;

const KEY: GroupKey = GroupKey { stream_id: 1, topic_id: 2, group_id: 3 };
const A: MemberId = MemberId(1);
const B: MemberId = MemberId(2);
const C: MemberId = MemberId(3);

fn partitions(groups: &Groups, member: MemberId) -> Vec<u32> {
    groups.assignment(KEY, member).unwrap().partitions
}

fn generation(groups: &Groups, member: MemberId) -> u64 {
    groups.assignment(KEY, member).unwrap().generation
}

/// Every partition has exactly one owner and no two shares differ by more than one.
fn assert_fair(groups: &Groups, partitions_count: u32) {
    let members = groups.members(KEY);
    let mut all: Vec<u32> = members.iter().flat_map(|(_, owned)| owned.clone()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..partitions_count).collect::<Vec<_>>());
    let sizes: Vec<usize> = members.iter().map(|(_, owned)| owned.len()).collect();
    assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
}

#[test]
fn the_first_member_owns_everything() {
    let mut groups = Groups::default();
    groups.join(KEY, A, 3);
    assert_eq!(groups.assignment(KEY, A), Some(Assignment { generation: 1, partitions: vec![0, 1, 2] }));
    assert_eq!(groups.ownership(KEY, A, 2), Ownership::Owner);
    assert_eq!(groups.ownership(KEY, A, 3), Ownership::NotOwner);
    assert_eq!(groups.ownership(KEY, B, 0), Ownership::NotMember);
}

#[test]
fn joining_again_changes_nothing() {
    let mut groups = Groups::default();
    groups.join(KEY, A, 4);
    groups.join(KEY, B, 4);
    let before = (generation(&groups, A), partitions(&groups, A), partitions(&groups, B));
    groups.join(KEY, A, 4);
    assert_eq!(before, (generation(&groups, A), partitions(&groups, A), partitions(&groups, B)));
}

#[test]
fn a_new_member_takes_its_share_and_the_others_keep_theirs() {
    let mut groups = Groups::default();
    groups.join(KEY, A, 6);
    groups.join(KEY, B, 6);
    assert_eq!((partitions(&groups, A), partitions(&groups, B)), (vec![0, 1, 2], vec![3, 4, 5]));
    groups.join(KEY, C, 6);
    assert_eq!(generation(&groups, A), 3);
    assert!(partitions(&groups, A).iter().all(|partition| *partition < 3));
    assert!(partitions(&groups, B).iter().all(|partition| *partition >= 3));
    assert_fair(&groups, 6);
}

#[test]
fn what_a_lost_member_owned_goes_to_the_others_at_once() {
    let mut groups = Groups::default();
    for member in [A, B, C] {
        groups.join(KEY, member, 7);
    }
    groups.leave_all(B);
    assert_eq!(groups.assignment(KEY, B), None);
    assert_eq!(generation(&groups, A), 4);
    assert_fair(&groups, 7);
}

#[test]
fn more_members_than_partitions_leaves_some_idle() {
    let mut groups = Groups::default();
    for member in [A, B, C] {
        groups.join(KEY, member, 2);
    }
    assert_fair(&groups, 2);
    assert_eq!(partitions(&groups, C), Vec::<u32>::new());
    groups.leave(KEY, A).unwrap();
    assert_fair(&groups, 2);
    assert_eq!(partitions(&groups, C).len(), 1);
}

#[test]
fn leaving_without_being_a_member_is_told() {
    let mut groups = Groups::default();
    assert_eq!(groups.leave(KEY, A), Err(NotMember));
    groups.join(KEY, A, 1);
    assert_eq!(groups.leave(KEY, B), Err(NotMember));
    assert_eq!(groups.leave(KEY, A), Ok(()));
    assert_eq!(groups.leave(KEY, A), Err(NotMember));
}

#[test]
fn the_generation_survives_an_empty_group() {
    let mut groups = Groups::default();
    groups.join(KEY, A, 1);
    groups.leave_all(A);
    groups.join(KEY, B, 1);
    assert_eq!(generation(&groups, B), 3);
}

#[test]
fn partitions_that_come_and_go_are_shared_again() {
    let mut groups = Groups::default();
    groups.join(KEY, A, 2);
    groups.join(KEY, B, 2);
    groups.resize(1, 2, 5);
    assert_fair(&groups, 5);
    groups.resize(1, 2, 1);
    assert_fair(&groups, 1);
    groups.resize(9, 9, 8);
    assert_fair(&groups, 1);
}

#[test]
fn deleted_groups_have_no_members() {
    let mut groups = Groups::default();
    groups.join(KEY, A, 2);
    groups.delete(|key| key.topic_id == KEY.topic_id);
    assert_eq!(groups.assignment(KEY, A), None);
    assert_eq!(groups.of_member(A), vec![]);
}
