//! What membership, assignment and fencing of a group come to.

use super::*;

const KEY: GroupKey = GroupKey { stream_id: 1, topic_id: 2, group_id: 3 };
const A: MemberId = MemberId(1);
const B: MemberId = MemberId(2);
const C: MemberId = MemberId(3);

const HAND_OVER: Duration = Duration::from_secs(30);

/// One time for all tests: only differences count.
fn start() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now)
}

fn groups() -> Groups {
    Groups::new(HAND_OVER)
}

fn partitions(groups: &mut Groups, member: MemberId) -> Vec<u32> {
    groups.assignment(KEY, member, start()).unwrap().partitions
}

fn generation(groups: &mut Groups, member: MemberId) -> u64 {
    groups.assignment(KEY, member, start()).unwrap().generation
}

/// Every partition has exactly one owner and no two shares differ by more than one.
fn assert_fair(groups: &mut Groups, partitions_count: u32) {
    let members = groups.members(KEY, start());
    let mut all: Vec<u32> = members.iter().flat_map(|(_, owned)| owned.clone()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..partitions_count).collect::<Vec<_>>());
    let sizes: Vec<usize> = members.iter().map(|(_, owned)| owned.len()).collect();
    assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
}

#[test]
fn the_first_member_owns_everything() {
    let mut groups = groups();
    groups.join(KEY, A, 3, start());
    assert_eq!(
        groups.assignment(KEY, A, start()),
        Some(Assignment { generation: 1, partitions: vec![0, 1, 2] })
    );
    assert_eq!(groups.ownership((KEY, 2), A, start()), Ownership::Owner);
    assert_eq!(groups.ownership((KEY, 3), A, start()), Ownership::NotOwner);
    assert_eq!(groups.ownership((KEY, 0), B, start()), Ownership::NotMember);
}

#[test]
fn joining_again_changes_nothing() {
    let mut groups = groups();
    groups.join(KEY, A, 4, start());
    groups.join(KEY, B, 4, start());
    let before = (generation(&mut groups, A), partitions(&mut groups, A), partitions(&mut groups, B));
    groups.join(KEY, A, 4, start());
    assert_eq!(before, (generation(&mut groups, A), partitions(&mut groups, A), partitions(&mut groups, B)));
}

#[test]
fn a_new_member_takes_its_share_and_the_others_keep_theirs() {
    let mut groups = groups();
    groups.join(KEY, A, 6, start());
    groups.join(KEY, B, 6, start());
    assert_eq!((partitions(&mut groups, A), partitions(&mut groups, B)), (vec![0, 1, 2], vec![3, 4, 5]));
    groups.join(KEY, C, 6, start());
    assert_eq!(generation(&mut groups, A), 3);
    assert!(partitions(&mut groups, A).iter().all(|partition| *partition < 3));
    assert!(partitions(&mut groups, B).iter().all(|partition| *partition >= 3));
    assert_fair(&mut groups, 6);
}

#[test]
fn what_a_lost_member_owned_goes_to_the_others_at_once() {
    let mut groups = groups();
    for member in [A, B, C] {
        groups.join(KEY, member, 7, start());
    }
    groups.leave_all(B, start());
    assert_eq!(groups.assignment(KEY, B, start()), None);
    assert_eq!(generation(&mut groups, A), 4);
    assert_fair(&mut groups, 7);
}

#[test]
fn more_members_than_partitions_leaves_some_idle() {
    let mut groups = groups();
    for member in [A, B, C] {
        groups.join(KEY, member, 2, start());
    }
    assert_fair(&mut groups, 2);
    assert_eq!(partitions(&mut groups, C), Vec::<u32>::new());
    groups.leave(KEY, A, start()).unwrap();
    assert_fair(&mut groups, 2);
    assert_eq!(partitions(&mut groups, C).len(), 1);
}

#[test]
fn leaving_without_being_a_member_is_told() {
    let mut groups = groups();
    assert_eq!(groups.leave(KEY, A, start()), Err(NotMember));
    groups.join(KEY, A, 1, start());
    assert_eq!(groups.leave(KEY, B, start()), Err(NotMember));
    assert_eq!(groups.leave(KEY, A, start()), Ok(()));
    assert_eq!(groups.leave(KEY, A, start()), Err(NotMember));
}

#[test]
fn the_generation_survives_an_empty_group() {
    let mut groups = groups();
    groups.join(KEY, A, 1, start());
    groups.leave_all(A, start());
    groups.join(KEY, B, 1, start());
    assert_eq!(generation(&mut groups, B), 3);
}

#[test]
fn partitions_that_come_and_go_are_shared_again() {
    let mut groups = groups();
    groups.join(KEY, A, 2, start());
    groups.join(KEY, B, 2, start());
    groups.resize(1, 2, 5, start());
    assert_fair(&mut groups, 5);
    groups.resize(1, 2, 1, start());
    assert_fair(&mut groups, 1);
    groups.resize(9, 9, 8, start());
    assert_fair(&mut groups, 1);
}

#[test]
fn deleted_groups_have_no_members() {
    let mut groups = groups();
    groups.join(KEY, A, 2, start());
    groups.delete(|key| key.topic_id == KEY.topic_id);
    assert_eq!(groups.assignment(KEY, A, start()), None);
    assert_eq!(groups.of_member(A), vec![]);
}

/// `A` owns four partitions and has messages of the last two in hand; `B` has joined.
fn a_joined_by_b() -> Groups {
    let mut groups = groups();
    groups.join(KEY, A, 4, start());
    for partition in [2, 3] {
        assert_eq!(groups.polled((KEY, partition), A, 10, start()), Ownership::Owner);
    }
    groups.join(KEY, B, 4, start());
    groups
}

#[test]
fn a_partition_stays_until_what_was_read_of_it_is_committed() {
    let mut groups = a_joined_by_b();
    assert_eq!((partitions(&mut groups, A), partitions(&mut groups, B)), (vec![0, 1], vec![]));
    assert_fair_at_last(&mut groups);
    assert_eq!(groups.ownership((KEY, 3), A, start()), Ownership::Leaving);
    assert_eq!(groups.ownership((KEY, 3), B, start()), Ownership::NotOwner);
    assert_eq!(groups.polled((KEY, 3), A, 11, start()), Ownership::Leaving, "it is given nothing more");
    let before = generation(&mut groups, B);
    groups.committed((KEY, 3), 9, start());
    assert_eq!(generation(&mut groups, B), before);
    groups.committed((KEY, 3), 10, start());
    assert_eq!(groups.ownership((KEY, 3), A, start()), Ownership::NotOwner);
    assert_eq!((partitions(&mut groups, B), generation(&mut groups, B)), (vec![3], before + 1));
}

fn assert_fair_at_last(groups: &mut Groups) {
    let mut later = Groups { groups: groups.groups.clone(), ..*groups };
    assert_eq!(later.assignment(KEY, A, start() + HAND_OVER).unwrap().partitions, [0, 1]);
    assert_eq!(later.assignment(KEY, B, start() + HAND_OVER).unwrap().partitions, [2, 3]);
}

#[test]
fn an_owner_that_does_not_finish_loses_its_partition_in_the_end() {
    let mut groups = a_joined_by_b();
    let almost = start() + HAND_OVER - Duration::from_millis(1);
    assert_eq!(groups.ownership((KEY, 2), A, almost), Ownership::Leaving);
    // A change of the group meanwhile gives no more time.
    groups.join(KEY, C, 4, almost);
    assert_eq!(groups.ownership((KEY, 2), A, start() + HAND_OVER), Ownership::NotOwner);
    let owned: Vec<u32> =
        groups.members(KEY, start() + HAND_OVER).into_iter().flat_map(|(_, owned)| owned).collect();
    assert_eq!(owned.len(), 4);
}

#[test]
fn a_partition_that_was_not_read_or_is_committed_moves_at_once() {
    let mut groups = groups();
    groups.join(KEY, A, 4, start());
    groups.polled((KEY, 3), A, 10, start());
    groups.committed((KEY, 3), 10, start());
    groups.join(KEY, B, 4, start());
    assert_eq!(partitions(&mut groups, B), [2, 3]);
    assert_eq!(groups.polled((KEY, 3), A, 11, start()), Ownership::NotOwner);
}

#[test]
fn when_the_next_owner_leaves_the_present_one_goes_on() {
    let mut groups = a_joined_by_b();
    groups.leave(KEY, B, start()).unwrap();
    assert_eq!(partitions(&mut groups, A), [0, 1, 2, 3]);
    assert_eq!(groups.ownership((KEY, 3), A, start() + HAND_OVER), Ownership::Owner);
}

#[test]
fn when_the_present_owner_leaves_the_next_one_has_it_at_once() {
    let mut groups = a_joined_by_b();
    groups.leave_all(A, start());
    assert_eq!(partitions(&mut groups, B), [0, 1, 2, 3]);
}

/// Whatever happens, every partition of a group with members has one owner, nobody may read what another owns, and
/// once all is committed the shares are even.
#[test]
fn no_partition_is_ever_without_an_owner_or_with_two() {
    use rand::{RngExt, SeedableRng};
    for seed in 0..200 {
        let mut random = rand::rngs::StdRng::seed_from_u64(seed);
        let (mut groups, mut now, mut count) = (groups(), start(), 5);
        for step in 0..200u64 {
            let member = MemberId(random.random_range(1..6));
            let partition = random.random_range(0..6);
            now += Duration::from_secs(random.random_range(0..4));
            match random.random_range(0..10) {
                0..3 => groups.join(KEY, member, count, now),
                3 => groups.leave_all(member, now),
                4 => {
                    count = random.random_range(1..7);
                    groups.resize(KEY.stream_id, KEY.topic_id, count, now);
                }
                5..8 => drop(groups.polled((KEY, partition), member, step, now)),
                _ => groups.committed((KEY, partition), step, now),
            }
            assert_owned_once(&mut groups, count, now);
        }
        for partition in 0..count {
            groups.committed((KEY, partition), u64::MAX, now);
        }
        if !groups.members(KEY, now).is_empty() {
            assert_fair(&mut groups, count);
        }
    }
}

fn assert_owned_once(groups: &mut Groups, count: u32, now: Instant) {
    let members = groups.members(KEY, now);
    if members.is_empty() {
        return;
    }
    let mut owned: Vec<u32> = members.iter().flat_map(|(_, owned)| owned.clone()).collect();
    owned.sort_unstable();
    assert_eq!(owned, (0..count).collect::<Vec<_>>());
    for (member, owned) in members {
        let readable = groups.assignment(KEY, member, now).unwrap().partitions;
        assert!(readable.iter().all(|partition| owned.contains(partition)));
    }
}
