//! What the simulation found: parking where partitions share a lane or come back, room is short, and hosts were killed.

use super::*;

const OTHER: PartitionKey = PartitionKey { topic: partitions::TopicIndex(0), partition: PartitionId(1) };

/// An event of a tenant at the beginning of another partition, which is held and has nothing parked.
fn event_elsewhere(stall: &mut Stall, tenant: &str) {
    let assignment = AssignmentId(99);
    let dispatcher = &mut stall.stage.dispatcher;
    dispatcher.assigned(OTHER, assignment, stall.stage.now);
    let read =
        ReadBack { partition: OTHER, assignment, records: Vec::new(), next: Offset(0), is_complete: true };
    dispatcher.read_back(read, stall.stage.now);
    let mut event = stall.stage.event(tenant);
    event.message.source.partition = OTHER.partition;
    stall.stage.dispatcher.read(OTHER, vec![Ok(SharedEvent::from(event))], stall.stage.now);
}

#[test]
fn released_events_outlive_the_death_of_one_from_another_partition() {
    let mut stall = parked();
    event_elsewhere(&mut stall, "a");
    stall.command("a", 1, Action::Release(Head::Retry));
    let call = stall.stage.call();
    assert_eq!(offsets(&call), [0, 1, 3, 4], "the one from elsewhere came first");
    let not_run = (1..4).map(|at| (at, Answer::NotRun));
    let answers = [(0, Answer::Ended(rejected()))].into_iter().chain(not_run).collect();
    stall.stage.end(&call, CallResult::Answered(answers));
    assert_eq!(offsets(&stall.stage.call()), [1, 3, 4]);
}

#[test]
fn what_was_read_before_a_partition_came_back_is_not_handled() {
    let mut stall = Stall::new(parking());
    stall.stage.dispatcher.revoked(PARTITION);
    stall.assign();
    stall.publish(&["a"]);
    stall.read();
    stall.stage.dispatcher.hand_over(PARTITION, stall.stage.now);
    stall.assign();
    stall.read();
    stall.tail();
    assert_eq!(stall.run(&[], rejected), [0]);
    assert!(stall.run(&[], rejected).is_empty(), "it was read twice, and is handled once");
}

#[test]
fn an_event_is_parked_once_its_dead_letter_is_confirmed() {
    let mut stall = Stall::new(parking());
    stall.publish(&["a", "a"]);
    stall.read();
    let call = stall.stage.call();
    stall.stage.end(&call, CallResult::Answered(vec![(0, Answer::Ended(rejected())), (1, Answer::NotRun)]));
    let letter = stall.stage.dispatcher.next_job().unwrap();
    assert_eq!(letter.messages.iter().map(|(topic, _)| topic.as_str()).collect::<Vec<_>>(), ["dlq"]);
    assert!(!stall.stage.dispatcher.has_job() && !stall.stage.dispatcher.is_at_rest());
    stall.keep(letter.messages);
    stall.stage.dispatcher.published(letter.effect, stall.stage.now);
    stall.settle();
    assert_eq!((stall.parked("a"), stall.committed), (vec![0, 1], 2));
    stall.stage.dispatcher.revoked(PARTITION);
    assert!(stall.stage.dispatcher.is_at_rest());
}

#[test]
fn what_waits_for_room_is_overtaken_by_nothing() {
    let mut stall = parked();
    stall.stage.dispatcher.shelving.parking = crate::dispatch::parking::Parking::new(3);
    stall.stage.dispatcher.revoked(PARTITION);
    stall.assign();
    stall.tail();
    stall.publish(&["a"]);
    stall.read();
    assert_eq!(stall.parked("a"), [1, 3, 4], "there is no room for more");
    stall.command("a", 1, Action::Drop(Dropped::All));
    stall.publish(&["a"]);
    stall.read();
    stall.stage.pass(Duration::ZERO);
    assert_eq!(stall.run(&[], rejected), [5, 6]);
}

#[test]
fn a_release_tries_again_what_has_killed_hosts() {
    let mut stall = Stall::new(parking());
    stall.publish(&["a", "a"]);
    let mark = EventMark::of(&stall.config.name, &stall.source[0].message);
    let suspects = |deaths| Arc::new(Suspects::new([(mark, deaths)].into_iter().collect(), DEATHS_MAX));
    stall.stage.dispatcher.suspects = suspects(3);
    stall.read();
    assert!(stall.run(&[], rejected).is_empty());
    stall.command("a", 0, Action::Release(Head::Retry));
    assert_eq!(offsets(&stall.stage.call()), [0], "it runs, and alone");
    for (deaths, runs) in [(5, true), (6, false)] {
        stall.restart();
        stall.stage.dispatcher.suspects = suspects(deaths);
        stall.settle();
        let call = stall.stage.any_call();
        assert_eq!(call.is_some(), runs, "as many deaths condemn it again");
    }
    stall.settle();
    assert_eq!(stall.parked("a"), [0, 1]);
    stall.command("a", 0, Action::Release(Head::Retry));
    assert_eq!(stall.run(&[], rejected), [0]);
    assert_eq!(stall.run(&[], rejected), [1]);
}

#[test]
fn what_an_earlier_owner_writes_late_does_not_stand_for_what_this_one_parks() {
    let mut stall = Stall::new(parking());
    stall.publish(&["a"]);
    let rejects = |stall: &mut Stall| {
        stall.read();
        let call = stall.stage.call();
        stall.stage.end(&call, CallResult::Answered(vec![(0, Answer::Ended(rejected()))]));
        let letter = stall.stage.dispatcher.next_job().unwrap();
        stall.keep(letter.messages);
        stall.stage.dispatcher.published(letter.effect, stall.stage.now);
        stall.stage.dispatcher.next_job().unwrap()
    };
    let late = rejects(&mut stall);
    stall.restart();
    let record = rejects(&mut stall);
    stall.keep(late.messages);
    stall.tail();
    stall.publish(&["a"]);
    stall.read();
    assert!(stall.stage.any_call().is_none(), "its lane has stopped");
    stall.keep(record.messages);
    stall.stage.dispatcher.published(record.effect, stall.stage.now);
    stall.settle();
    assert_eq!((stall.parked("a"), stall.committed), (vec![0, 1], 2));
}

#[test]
fn what_is_parked_behind_a_late_claim_is_not_settled() {
    let mut stall = Stall::new(parking());
    stall.publish(&["a", "a"]);
    stall.read();
    stall.settle();
    stall.append(crate::parked::Owner(7).claim(GROUP, PARTITION.partition, 7));
    assert_eq!(stall.run(&[0], rejected), [0, 1]);
    assert_eq!((stall.parked("a"), stall.committed), (Vec::new(), 0), "the records count for nobody");
    assert!(stall.stage.any_call().is_none() && !stall.stage.dispatcher.is_at_rest());
    assert_eq!(stall.stage.dispatcher.take_contested().into_iter().collect::<Vec<_>>(), [PARTITION]);
    stall.restart();
    stall.read();
    assert_eq!(stall.run(&[0], rejected), [0, 1]);
    assert_eq!((stall.parked("a"), stall.committed), (vec![0, 1], 2));
    assert!(stall.stage.dispatcher.take_contested().is_empty());
}
