//! What records add up to, fed in as they would stand in the log.

use super::*;

const ALICE: Owner = Owner(1);
const BOB: Owner = Owner(2);

fn lane() -> LaneName {
    "00000000000000aa".parse().unwrap()
}

/// A parked partition under construction.
#[derive(Default)]
struct Log {
    lanes: ParkedLanes,
    length: u64,
}

impl Log {
    /// A log that this owner has claimed.
    fn of(owner: Owner) -> Self {
        let mut log = Self::default();
        log.claim(owner);
        log
    }

    fn append(&mut self, content: Content) -> Applied {
        let record = Record { at: Offset(self.length), id: u128::from(self.length) + 1, content };
        self.length += 1;
        self.lanes.apply(&record)
    }

    fn claim(&mut self, owner: Owner) {
        self.append(Content::Claim(owner));
    }

    fn park(&mut self, owner: Owner, source: u64, kind: Kind) -> Applied {
        self.append(event(owner, source, kind, false))
    }

    fn command(&mut self, head: u64, action: Action) -> Applied {
        self.append(Content::Control(lane(), Control::Command(Command { head: Offset(head), action })))
    }

    fn done(&mut self, owner: Owner, up_to: u64) {
        let needed_from = self.lanes.needed_from();
        let done = Control::Done { owner, up_to: Offset(up_to), needed_from };
        self.append(Content::Control(lane(), done));
    }

    fn held(&self) -> Vec<u64> {
        let lane = self.lanes.get(lane());
        lane.map(|lane| lane.events().map(|(source, _)| source.0).collect()).unwrap_or_default()
    }

    fn standing(&self) -> Standing {
        self.lanes.get(lane()).unwrap().standing
    }
}

fn event(owner: Owner, source: u64, kind: Kind, is_again: bool) -> Content {
    let event = ParkedEvent {
        owner,
        kind,
        is_again,
        source: Offset(source),
        handler: "witness".to_owned(),
        deaths_forgiven: 0,
        tenant: "a".to_owned(),
        order: "tenant".to_owned(),
        event_id: source.to_string(),
        event_type: "order.placed".to_owned(),
        behind: Some(format!("letter {source}")),
        parked_micros: source,
    };
    Content::Event(lane(), event)
}

/// A lane that died at 3, with 5 and 8 behind it.
fn parked() -> Log {
    let mut log = Log::of(ALICE);
    assert_eq!(log.park(ALICE, 3, Kind::Dead), Applied::Stopped);
    assert_eq!(log.park(ALICE, 8, Kind::Behind), Applied::Parked);
    assert_eq!(log.park(ALICE, 5, Kind::Behind), Applied::Parked);
    log
}

#[test]
fn events_stand_in_the_order_of_the_source() {
    let log = parked();
    assert_eq!((log.held(), log.standing()), (vec![3, 5, 8], Standing::Held));
    let lane = log.lanes.get(lane()).unwrap();
    assert_eq!((lane.behind.as_deref(), lane.since_micros), (Some("letter 3"), 3));
}

#[test]
fn a_message_that_was_sent_twice_counts_once() {
    let mut log = parked();
    log.command(3, Action::Drop(Dropped::First));
    let again = Record { at: Offset(log.length), id: 2, content: event(ALICE, 3, Kind::Dead, false) };
    assert_eq!(log.lanes.apply(&again), Applied::Nothing);
    assert_eq!(log.held(), [5, 8]);
}

#[test]
fn what_an_earlier_owner_writes_late_does_not_count() {
    let mut log = parked();
    log.claim(BOB);
    assert_eq!(log.park(ALICE, 9, Kind::Behind), Applied::Nothing);
    log.done(ALICE, 8);
    assert_eq!(log.held(), [3, 5, 8]);
    assert_eq!(log.park(BOB, 9, Kind::Behind), Applied::Parked);
}

#[test]
fn a_command_counts_only_for_the_head_that_its_author_saw() {
    let mut log = parked();
    assert_eq!(log.command(5, Action::Release(Head::Retry)), Applied::Stale);
    assert_eq!(log.standing(), Standing::Held);
    assert_eq!(log.command(3, Action::Release(Head::Retry)), Applied::Released);
    assert_eq!((log.held(), log.standing()), (vec![3, 5, 8], Standing::Released));
    log.done(ALICE, 5);
    assert_eq!(log.command(3, Action::Drop(Dropped::All)), Applied::Stale);
    assert_eq!(log.held(), [8]);
}

#[test]
fn the_first_event_may_stay_dead() {
    let mut log = parked();
    assert_eq!(log.command(3, Action::Release(Head::Skip)), Applied::Released);
    assert_eq!((log.held(), log.standing()), (vec![5, 8], Standing::Released));
}

#[test]
fn dropping_the_first_leaves_a_lane_parked_unless_it_is_released() {
    let mut log = parked();
    assert_eq!(log.command(3, Action::Drop(Dropped::First)), Applied::Dropped(1));
    assert_eq!((log.held(), log.standing()), (vec![5, 8], Standing::Held));
    log.command(5, Action::Release(Head::Retry));
    assert_eq!(log.command(5, Action::Drop(Dropped::First)), Applied::Dropped(1));
    assert_eq!((log.held(), log.standing()), (vec![8], Standing::Released));
}

#[test]
fn a_dropped_lane_is_empty_and_takes_nothing_back() {
    let mut log = parked();
    log.command(3, Action::Release(Head::Retry));
    assert_eq!(log.command(3, Action::Drop(Dropped::All)), Applied::Dropped(3));
    assert_eq!((log.held(), log.lanes.events()), (vec![], 0));
    // It was in a guest when it was dropped, and died there.
    assert_eq!(log.append(event(ALICE, 3, Kind::Dead, true)), Applied::Nothing);
    assert_eq!(log.park(ALICE, 5, Kind::Behind), Applied::Nothing, "it is read again, and settled");
    assert!(log.held().is_empty());
}

#[test]
fn a_blocked_lane_parks_nothing_and_is_released_once() {
    let mut log = Log::of(ALICE);
    assert_eq!(log.park(ALICE, 3, Kind::Blocked), Applied::Nothing);
    assert_eq!((log.held(), log.lanes.blocked().count(), log.lanes.is_empty()), (vec![], 1, true));
    assert_eq!(log.command(4, Action::Release(Head::Skip)), Applied::Stale);
    assert_eq!(log.command(3, Action::Drop(Dropped::All)), Applied::Stale, "what it holds up is not here");
    assert_eq!(log.command(3, Action::Release(Head::Skip)), Applied::Unblocked(Head::Skip));
    assert_eq!(log.command(3, Action::Release(Head::Retry)), Applied::Stale);
    log.park(ALICE, 7, Kind::Blocked);
    log.claim(BOB);
    assert_eq!(log.lanes.blocked().count(), 0, "the next owner tries it again");
}

#[test]
fn a_wait_ends_in_time_and_not_before() {
    let mut log = Log::of(ALICE);
    let kind = Kind::Waiting { until_micros: 100, attempts: 2, first_failed_micros: 7 };
    assert_eq!(log.park(ALICE, 3, kind), Applied::Stopped);
    assert!(!log.lanes.end_wait(lane(), 99) && log.lanes.end_wait(lane(), 100));
    assert_eq!(log.standing(), Standing::Released);
    let waited = log.lanes.get(lane()).unwrap().waited;
    assert_eq!(waited, Some(Waited { event: Offset(3), attempts: 2, first_failed_micros: 7 }));
}

#[test]
fn records_are_needed_until_a_note_covers_their_lane() {
    let mut log = parked();
    log.claim(BOB);
    assert_eq!(log.lanes.needed_from(), Offset(0));
    log.command(3, Action::Drop(Dropped::All));
    assert_eq!(log.lanes.emptied(lane()), Some(Offset(8)));
    log.lanes.source_committed(Offset(8));
    assert_eq!(log.lanes.needed_from(), Offset(0), "without them the command would be taken for stale");
    log.done(BOB, 8);
    assert_eq!(log.lanes.emptied(lane()), None);
    assert_eq!(log.lanes.needed_from(), Offset(4), "all that matters comes after the last claim");
}

#[test]
fn records_are_needed_until_the_source_is_committed() {
    let mut log = parked();
    log.claim(BOB);
    log.command(3, Action::Release(Head::Retry));
    log.done(BOB, 8);
    assert_eq!(log.lanes.needed_from(), Offset(0), "else the next host would run them again");
    log.lanes.source_committed(Offset(8));
    assert_eq!(log.lanes.needed_from(), Offset(4));
}

#[test]
fn records_of_what_was_dropped_are_needed_though_earlier_events_come_and_go_behind_them() {
    let mut log = parked();
    log.claim(BOB);
    log.command(3, Action::Drop(Dropped::All));
    // The source is read again from before them.
    log.park(BOB, 2, Kind::Behind);
    log.done(BOB, 8);
    log.lanes.source_committed(Offset(2));
    assert_eq!(log.lanes.needed_from(), Offset(0), "else the next host would run what was dropped");
    log.lanes.source_committed(Offset(8));
    assert_eq!(log.lanes.needed_from(), Offset(4));
}

#[test]
fn a_lane_is_forgotten_once_none_of_it_is_read_again() {
    let mut log = parked();
    log.command(3, Action::Drop(Dropped::All));
    log.lanes.forget(lane());
    assert!(log.lanes.get(lane()).is_some_and(|lane| lane.has_settled(Offset(5))));
    log.lanes.source_read(Offset(9));
    assert!(log.lanes.is_empty());
}
