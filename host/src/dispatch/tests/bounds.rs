//! How much the dispatcher takes in, and what goes on at the bounds.

use super::*;

const SMALL: Bound = Bound { events_max: 4, bytes_max: 1 << 20 };

fn stage(settings: DispatchSettings) -> Stage {
    Stage::bounded(vec![(handler(OrderBy::Tenant, 2), Pool::Computing)], settings)
}

fn paused(stage: &mut Stage) -> Vec<(String, u64)> {
    stage.dispatcher.counters().paused_partitions.into_iter().collect()
}

#[test]
fn a_full_lane_stops_the_polling_and_nothing_else() {
    let mut stage = stage(DispatchSettings { lane: SMALL, ..DispatchSettings::default() });
    stage.read(&["b", "a"]);
    let (first, stuck) = (stage.call(), stage.call());
    stage.end(&stuck, CallResult::Failed(retry()));
    stage.read(&["a", "a", "a"]);
    assert_eq!(stage.dispatcher.take_polling_changes(), [(PARTITION, Polling::Pause)]);
    assert_eq!(paused(&mut stage), [("lane".to_owned(), 1)]);
    stage.end(&first, CallResult::Answered(Vec::new()));
    assert_eq!(stage.commit(), Some(0), "commits go on");
    assert_eq!(stage.dispatcher.take_polling_changes(), []);
    stage.pass(HOUR);
    let next = stage.call();
    assert_eq!(offsets(&next), [1, 2]);
    assert_eq!(stage.dispatcher.take_polling_changes(), [(PARTITION, Polling::Go)], "half of it has gone");
    stage.end(&next, CallResult::Answered(Vec::new()));
    assert_eq!(paused(&mut stage), []);
}

#[test]
fn what_a_full_lane_gives_back_does_not_stop_the_next_owner() {
    let mut stage = stage(DispatchSettings { lane: SMALL, ..DispatchSettings::default() });
    stage.read(&["a", "a", "a", "a"]);
    assert_eq!(stage.dispatcher.take_polling_changes(), [(PARTITION, Polling::Pause)]);
    stage.dispatcher.revoked(PARTITION);
    stage.dispatcher.assigned(PARTITION, AssignmentId(2), stage.now);
    assert_eq!(stage.dispatcher.take_polling_changes(), []);
    stage.read(&["b"]);
    assert_eq!(offsets(&stage.call()), [4]);
    assert!(stage.any_call().is_none());
    assert_eq!(stage.dispatcher.take_polling_changes(), []);
}

#[test]
fn a_tenant_is_full_with_what_is_not_settled_wherever_it_is() {
    let mut stage = stage(DispatchSettings { tenant: SMALL, ..DispatchSettings::default() });
    stage.read(&["a", "a", "a", "a"]);
    let call = stage.call();
    assert_eq!(stage.dispatcher.take_polling_changes(), [(PARTITION, Polling::Pause)]);
    assert_eq!(paused(&mut stage), [("tenant".to_owned(), 1)]);
    stage.end(&call, CallResult::Answered(vec![(0, Answer::Ended(Outcome::Done(vec![emit()])))]));
    assert_eq!(stage.dispatcher.take_polling_changes(), [], "an emit is not confirmed");
    let job = stage.dispatcher.next_job().expect("an emit is to be published");
    stage.dispatcher.published(job.effect, stage.now);
    assert_eq!(stage.dispatcher.take_polling_changes(), [(PARTITION, Polling::Go)]);
}

#[test]
fn a_full_host_stops_all_its_subscriptions() {
    let load = Arc::new(HostLoad::new(SMALL));
    let mut stages = [(); 2].map(|()| stage(DispatchSettings::default()));
    for stage in &mut stages {
        stage.dispatcher.partitions.share(Arc::clone(&load));
    }
    let [one, other] = &mut stages;
    one.read(&["a", "a", "a", "a"]);
    for stage in [&mut *one, &mut *other] {
        assert_eq!(stage.dispatcher.take_polling_changes(), [(PARTITION, Polling::Pause)]);
        assert_eq!(paused(stage), [("host".to_owned(), 1)]);
    }
    let call = one.call();
    one.end(&call, CallResult::Answered(Vec::new()));
    assert_eq!(other.dispatcher.take_polling_changes(), [(PARTITION, Polling::Go)]);
}
