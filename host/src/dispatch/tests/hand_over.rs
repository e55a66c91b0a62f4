//! Partitions that are taken away while their events are in hand.

use super::*;

#[test]
fn what_was_read_is_finished_and_committed_before_a_partition_is_given_up() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 1));
    stage.read(&["a", "a"]);
    let call = stage.call();
    stage.dispatcher.hand_over(PARTITION, stage.now);
    stage.read(&["a"]);
    stage.end(&call, CallResult::Answered(vec![(0, Answer::Ended(Outcome::Done(vec![emit()])))]));
    let next = stage.call();
    assert_eq!(offsets(&next), [1], "what the host had read is its own");
    stage.end(&next, CallResult::Answered(Vec::new()));
    assert!(stage.any_call().is_none(), "nothing more is taken in");
    assert_eq!(stage.commit(), None, "the emit is not confirmed");
    let job = stage.dispatcher.next_job().expect("an emit is to be published");
    stage.dispatcher.published(job.effect, stage.now);
    let commits = stage.dispatcher.take_commits(Due::Now, stage.now);
    assert_eq!(
        commits.iter().map(|commit| commit.offset.0).collect::<Vec<_>>(),
        [1],
        "it waits for no interval"
    );
    assert_eq!((stage.dispatcher.counters().unsettled, stage.dispatcher.counters().given_back), (0, 0));
}

#[test]
fn what_is_not_finished_in_time_is_given_back() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 1));
    stage.read(&["a", "a"]);
    let call = stage.call();
    stage.dispatcher.hand_over(PARTITION, stage.now);
    stage.pass(DispatchSettings::default().hand_over);
    assert_eq!(stage.commit(), None);
    stage.end(&call, CallResult::Answered(vec![(0, Answer::Ended(Outcome::Done(vec![emit()])))]));
    assert!(stage.any_call().is_none() && !stage.dispatcher.has_job());
    assert_eq!((stage.commit(), stage.dispatcher.counters().given_back), (None, 2));
}

#[test]
fn a_hand_over_ends_where_another_member_has_begun() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 1));
    stage.read(&["a", "a"]);
    let call = stage.call();
    stage.dispatcher.overtaken(PARTITION, AssignmentId(1));
    stage.end(&call, CallResult::Answered(Vec::new()));
    assert_eq!(stage.commit(), Some(0), "the group has not taken it away, so there is nothing to give up");
    stage.dispatcher.hand_over(PARTITION, stage.now);
    stage.dispatcher.overtaken(PARTITION, AssignmentId(1));
    assert!(stage.any_call().is_none());
    assert_eq!((stage.commit(), stage.dispatcher.counters().given_back), (None, 1));
}

#[test]
fn a_partition_that_comes_back_begins_anew() {
    let mut stage = Stage::new(handler(OrderBy::Tenant, 1));
    stage.read(&["a", "a"]);
    let before = stage.call();
    stage.dispatcher.hand_over(PARTITION, stage.now);
    stage.dispatcher.assigned(PARTITION, AssignmentId(2), stage.now);
    assert_eq!(stage.dispatcher.counters().given_back, 2);
    stage.dispatcher.overtaken(PARTITION, AssignmentId(1));
    stage.next_offset = 0;
    stage.read(&["a", "a"]);
    assert!(stage.any_call().is_none(), "the lane is in a guest until the call from before ends");
    stage.end(&before, CallResult::Answered(Vec::new()));
    for offset in [0, 1] {
        let call = stage.call();
        assert_eq!(offsets(&call), [offset]);
        stage.end(&call, CallResult::Answered(Vec::new()));
    }
    assert_eq!(stage.commit(), Some(1));
}
