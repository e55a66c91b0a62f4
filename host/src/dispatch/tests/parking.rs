//! Parking under a test that keeps the parked log, as the broker would.

mod found;
mod life;

use bytestring::ByteString;
use guesthouse_connector::{Headers, OutgoingMessage, ReceivedMessage};

use super::*;
use crate::codec::{RawCodec, RawEventType, RawTenant};
use crate::identity::LaneName;
use crate::parked::{
    Action, Command, Content, Control, Dropped, Fetch, Fetched, Head, LastNote, ParkedLanes, ReadBack,
    Record, Standing, restore,
};

const GROUP: &str = "group";

/// A dispatcher that parks, and what lies outside of it: the source, the parked partition, and the dead letters.
struct Stall {
    stage: Stage,
    config: HandlerConfig,
    assignment: AssignmentId,
    source: Vec<SharedEvent>,
    /// Read up to here.
    next: usize,
    log: Vec<ReceivedMessage>,
    /// What the log adds up to.
    lanes: ParkedLanes,
    tailed: usize,
    letters: Vec<OutgoingMessage>,
    committed: u64,
}

fn codec() -> Codec {
    Codec::Raw(RawCodec { tenant: RawTenant::Header, event_type: RawEventType::Fixed("order.placed".into()) })
}

fn topic() -> Arc<SourceTopic> {
    Arc::new(SourceTopic { stream: "s".to_owned(), topic: "t".to_owned() })
}

fn parking() -> HandlerConfig {
    HandlerConfig { on_failure: FailurePolicy::Park, ..handler(OrderBy::Tenant, 64) }
}

fn rejected() -> Outcome {
    Outcome::Reject { reason: "bad".to_owned() }
}

impl Stall {
    fn new(config: HandlerConfig) -> Self {
        let stage = Stage::new(config.clone());
        let mut stall = Self {
            stage,
            config,
            assignment: AssignmentId(0),
            source: Vec::new(),
            next: 0,
            log: Vec::new(),
            lanes: ParkedLanes::default(),
            tailed: 0,
            letters: Vec::new(),
            committed: 0,
        };
        // As the command line sees it, which reads nothing from the source.
        stall.lanes.source_read(Offset(u64::MAX));
        stall.restart();
        stall
    }

    /// Another host takes the partition over, and knows only what the broker keeps.
    fn restart(&mut self) {
        let now = self.stage.now;
        self.stage = Stage::new(self.config.clone());
        self.stage.now = now;
        let effects = Effects::new(Arc::new(codec()), GROUP.to_owned(), "dlq".to_owned(), BTreeMap::new());
        let handlers = vec![(Arc::new(self.config.clone()), Pool::Computing)];
        let dispatcher = Dispatcher::new(handlers, effects, DispatchSettings::default(), self.assignment.0);
        self.stage.dispatcher = dispatcher.with_parking(vec![topic()], "-parked".to_owned());
        self.assign();
        self.tail();
    }

    /// The partition is assigned to the dispatcher, which has to be told what is parked.
    fn assign(&mut self) {
        self.assignment.0 += 1;
        let dispatcher = &mut self.stage.dispatcher;
        dispatcher.assigned(PARTITION, self.assignment, self.stage.now);
        let owner = dispatcher.owner_of(PARTITION).unwrap();
        let id = u128::from(self.assignment.0) + 2_000_000;
        self.append(owner.claim(GROUP, PARTITION.partition, id));
        self.next = usize::try_from(self.committed).unwrap();
        self.tailed = usize::try_from(self.needed_from()).unwrap();
    }

    /// Where the notes say that the log begins to matter.
    fn needed_from(&self) -> u64 {
        let mut notes = LastNote::default();
        let records = self.log.iter().rev().filter_map(|message| Record::read(message, GROUP));
        records
            .map(|record| record.content)
            .find_map(|content| notes.look_back(&content))
            .unwrap_or_default()
            .0
    }

    /// Publishes events of these tenants to the source.
    fn publish(&mut self, tenants: &[&str]) {
        for tenant in tenants {
            let offset = self.source.len() as u64;
            let source = Source {
                topic: topic(),
                partition: PARTITION.partition,
                offset: Offset(offset),
                message_id: u128::from(offset) + 1,
                timestamp_micros: 5,
                origin_timestamp_micros: 3,
            };
            let mut headers = Headers::new();
            headers.insert("tenant-id", *tenant).unwrap();
            headers.insert("region", "eu").unwrap();
            let payload = Bytes::from(format!("{{\"offset\":{offset}}}"));
            let message = Message { source, headers: RawHeaders(headers.encode()), payload };
            self.source.push(codec().decode(message).unwrap().into());
        }
    }

    /// Reads what was published.
    fn read(&mut self) {
        let events = self
            .source
            .get(self.next..)
            .unwrap_or_default()
            .iter()
            .map(|event| Ok(SharedEvent::clone(event)));
        let events = events.collect();
        self.next = self.source.len();
        self.stage.dispatcher.read(PARTITION, events, self.stage.now);
    }

    /// Confirms all that is to be published.
    fn confirm(&mut self) -> usize {
        let mut confirmed = 0;
        while let Some(job) = self.stage.dispatcher.next_job() {
            self.keep(job.messages);
            self.stage.dispatcher.published(job.effect, self.stage.now);
            confirmed += 1;
        }
        confirmed
    }

    fn keep(&mut self, messages: Vec<(String, OutgoingMessage)>) {
        for (topic, message) in messages {
            match topic.as_str() {
                "t-parked" => self.append(message),
                "dlq" => self.letters.push(message),
                _ => {}
            }
        }
    }

    fn append(&mut self, message: OutgoingMessage) {
        self.log.push(ReceivedMessage {
            id: message.id,
            offset: Offset(self.log.len() as u64),
            timestamp_micros: 77,
            origin_timestamp_micros: 78,
            headers: RawHeaders(message.headers.encode()),
            payload: message.payload,
        });
        let record = self.log.last().and_then(|message| Record::read(message, GROUP));
        if let Some(record) = record {
            self.lanes.apply(&record);
        }
    }

    /// Tells the dispatcher what is new in the log.
    fn tail(&mut self) {
        let new = self.log.get(self.tailed..).unwrap_or_default();
        let records = new.iter().filter_map(|message| Record::read(message, GROUP));
        let records = records.collect();
        self.tailed = self.log.len();
        let next = Offset(self.tailed as u64);
        let read =
            ReadBack { partition: PARTITION, assignment: self.assignment, records, next, is_complete: true };
        self.stage.dispatcher.read_back(read, self.stage.now);
    }

    /// Answers what the dispatcher wants to read.
    fn fetch(&mut self) -> usize {
        let fetches = self.stage.dispatcher.take_fetches();
        for fetch in &fetches {
            let Fetch { partition, assignment, lane, number, .. } = *fetch;
            let whole = |at: &Offset| {
                let message = self.log[usize::try_from(at.0).unwrap()].clone();
                restore(message, (&topic(), PARTITION.partition), &codec())
            };
            let events = fetch.events.iter().map(whole).collect();
            let fetched = Fetched { partition, assignment, lane, number, events };
            self.stage.dispatcher.fetched(fetched, self.stage.now);
        }
        fetches.len()
    }

    /// Lets everything happen that needs no guest.
    fn settle(&mut self) {
        loop {
            self.tail();
            if self.fetch() + self.confirm() == 0 {
                break;
            }
        }
        self.committed = self.stage.commit().map_or(self.committed, |offset| offset + 1);
    }

    /// Runs the next call, in which the events at these offsets end so and the others succeed.
    fn run(&mut self, failing: &[u64], outcome: fn() -> Outcome) -> Vec<u64> {
        self.settle();
        let Some(call) = self.stage.any_call() else {
            self.settle();
            return Vec::new();
        };
        let offsets = offsets(&call);
        let mut answers = Vec::new();
        for (at, offset) in offsets.iter().enumerate() {
            if !answers.is_empty() {
                answers.push((at, Answer::NotRun));
            } else if failing.contains(offset) {
                answers.push((at, Answer::Ended(outcome())));
            }
        }
        self.stage.end(&call, CallResult::Answered(answers));
        self.settle();
        offsets
    }

    /// What is parked of a tenant, by offsets in the source.
    fn parked(&self, tenant: &str) -> Vec<u64> {
        let lanes = &self.lanes;
        let lane = lanes.held().find(|(_, lane)| lane.tenant == tenant);
        lane.map(|(_, lane)| lane.events().map(|(source, _)| source.0).collect()).unwrap_or_default()
    }

    fn lane(&self, tenant: &str) -> LaneName {
        let key = OrderBy::Tenant.key_of(&self.source[0]);
        let tenant = Tenant::Named(ByteString::from(tenant));
        LaneName::of(GROUP, &self.config.name, &tenant, &key, &self.source[0].message.source)
    }

    fn command(&mut self, tenant: &str, head: u64, action: Action) {
        let control = Control::Command(Command { head: Offset(head), action });
        let id = u128::from(self.log.len() as u64) + 1_000_000;
        self.append(control.message(GROUP, self.lane(tenant), PARTITION.partition, id));
        self.settle();
    }

    fn counts(&mut self) -> (u64, u64, u64) {
        let counters = self.stage.dispatcher.counters();
        let handler = &counters.handlers["everything"];
        (handler.parked_lanes, handler.parked_events, handler.dropped_events)
    }
}

/// A stall with tenant `a` parked at offset 1, with 3 and 4 behind it, and 0 and 2 of others handled.
fn parked() -> Stall {
    let mut stall = Stall::new(parking());
    stall.publish(&["a", "a", "b", "a"]);
    stall.read();
    assert_eq!(stall.run(&[1], rejected), [0, 1, 3]);
    assert_eq!(stall.run(&[], rejected), [2]);
    stall.publish(&["a"]);
    stall.read();
    assert!(stall.run(&[], rejected).is_empty(), "what comes later of a parked lane does not run");
    assert_eq!(stall.parked("a"), [1, 3, 4]);
    assert_eq!(stall.committed, 5, "what is parked is settled");
    assert_eq!(stall.counts(), (1, 3, 0));
    stall
}

#[test]
fn a_dead_event_parks_what_stands_behind_it() {
    let stall = parked();
    assert_eq!(stall.letters.len(), 1);
    let letter = uuid::Uuid::from_u128(stall.letters[0].id).to_string();
    let lanes = &stall.lanes;
    let (name, lane) = lanes.held().next().unwrap();
    assert_eq!(
        (name, lane.standing, lane.behind.as_deref()),
        (stall.lane("a"), Standing::Held, Some(&*letter))
    );
    assert!(stall.stage.dispatcher.is_at_rest());
}

#[test]
fn a_released_lane_runs_in_order_and_is_free_again() {
    for restarts in [false, true] {
        let mut stall = parked();
        if restarts {
            stall.restart();
            assert_eq!(stall.counts(), (1, 3, 0), "the next host knows what is parked");
        }
        stall.command("a", 1, Action::Release(Head::Retry));
        let call = stall.stage.call();
        assert_eq!(offsets(&call), [1, 3, 4]);
        assert!(call.events.iter().all(|event| event.attempt == 1));
        for event in &call.events {
            let source = &stall.source[usize::try_from(event.event.message.source.offset.0).unwrap()];
            assert_eq!(format!("{:?}", event.event), format!("{source:?}"), "it is as it was read at first");
        }
        stall.publish(&["a"]);
        stall.read();
        stall.settle();
        assert_eq!(stall.parked("a"), [1, 3, 4, 5], "what comes meanwhile goes to the end");
        stall.stage.end(&call, CallResult::Answered(Vec::new()));
        assert_eq!(stall.run(&[], rejected), [5]);
        assert!(stall.parked("a").is_empty());
        stall.publish(&["a"]);
        stall.read();
        assert_eq!(stall.run(&[], rejected), [6]);
        assert_eq!((stall.counts(), stall.committed), ((0, 0, 0), 7));
        assert!(stall.stage.dispatcher.shelving.parking.is_clear(PARTITION), "nothing is remembered");
        stall.publish(&["b"]);
        stall.read();
        assert_eq!(stall.run(&[7], rejected), [7]);
        stall.command("b", 7, Action::Release(Head::Retry));
        assert_eq!(stall.run(&[], rejected), [7]);
        let is_claim = |message: &ReceivedMessage| {
            matches!(Record::read(message, GROUP).map(|record| record.content), Some(Content::Claim(_)))
        };
        let claim = stall.log.iter().rposition(is_claim).unwrap();
        assert_eq!(
            stall.needed_from(),
            claim as u64,
            "the next note says that nobody needs what came before the last host"
        );
    }
}

#[test]
fn a_released_lane_that_dies_again_is_parked_there() {
    let mut stall = parked();
    stall.command("a", 1, Action::Release(Head::Retry));
    assert_eq!(stall.run(&[3], rejected), [1, 3, 4]);
    assert_eq!(stall.parked("a"), [3, 4]);
    assert!(stall.run(&[], rejected).is_empty());
    let first = uuid::Uuid::from_u128(stall.letters[0].id).to_string();
    let behind = stall.letters[1].headers.get("gh-parked-behind").map(|value| value.to_string());
    assert_eq!(behind, Some(first), "its dead letter says what it was parked behind");
    stall.restart();
    assert!(stall.run(&[], rejected).is_empty());
    stall.command("a", 3, Action::Release(Head::Skip));
    assert_eq!(stall.run(&[], rejected), [4]);
    assert!(stall.parked("a").is_empty());
}

#[test]
fn what_is_dropped_never_runs() {
    let mut stall = parked();
    stall.command("a", 1, Action::Drop(Dropped::First));
    assert!(stall.run(&[], rejected).is_empty(), "the lane stays parked");
    assert_eq!((stall.parked("a"), stall.counts()), (vec![3, 4], (1, 2, 1)));
    stall.command("a", 3, Action::Drop(Dropped::All));
    assert_eq!((stall.parked("a"), stall.counts()), (vec![], (0, 0, 3)));
    stall.publish(&["a"]);
    stall.read();
    assert_eq!(stall.run(&[], rejected), [5]);
}

#[test]
fn what_is_dropped_while_it_waits_for_a_guest_does_not_run() {
    let mut stall = parked();
    stall.command("a", 1, Action::Release(Head::Retry));
    stall.command("a", 1, Action::Drop(Dropped::All));
    assert!(stall.run(&[], rejected).is_empty());
    assert_eq!(stall.counts(), (0, 0, 3));
}

#[test]
fn a_host_that_stops_releases_nothing_more() {
    let mut stall = parked();
    stall.stage.dispatcher.drain();
    stall.command("a", 1, Action::Release(Head::Retry));
    assert!(stall.run(&[], rejected).is_empty());
    assert!(stall.stage.dispatcher.is_at_rest());
    stall.restart();
    assert_eq!(stall.run(&[], rejected), [1, 3, 4], "the next host does");
}

#[test]
fn a_command_about_another_head_changes_nothing() {
    let mut stall = parked();
    stall.command("a", 3, Action::Release(Head::Retry));
    stall.command("b", 1, Action::Drop(Dropped::All));
    assert!(stall.run(&[], rejected).is_empty());
    assert_eq!(stall.parked("a"), [1, 3, 4]);
}

#[test]
fn what_was_parked_and_not_committed_is_not_parked_twice() {
    let mut stall = parked();
    stall.committed = 1;
    stall.restart();
    stall.read();
    let length = stall.log.len();
    assert_eq!(stall.run(&[], rejected), [2], "only what is not parked runs again");
    assert_eq!((stall.log.len(), stall.committed), (length, 5));
}

#[test]
fn what_was_released_and_settled_does_not_run_again_when_the_commit_lags() {
    let mut stall = Stall::new(parking());
    stall.publish(&["a", "a", "b", "a"]);
    stall.read();
    assert_eq!(stall.run(&[1], rejected), [0, 1, 3]);
    let slow = stall.stage.call();
    assert_eq!(offsets(&slow), [2]);
    stall.command("a", 1, Action::Release(Head::Retry));
    assert_eq!(stall.run(&[], rejected), [1, 3]);
    assert_eq!((stall.parked("a"), stall.committed), (vec![], 2));
    stall.restart();
    stall.read();
    assert_eq!(stall.run(&[], rejected), [2]);
    assert_eq!(stall.committed, 4);
    assert!(stall.stage.dispatcher.shelving.parking.is_clear(PARTITION));
}

#[test]
fn an_event_before_a_parked_one_runs_again_after_a_crash() {
    let mut stall = parked();
    stall.committed = 0;
    stall.restart();
    stall.read();
    let again = [stall.run(&[0], rejected), stall.run(&[], rejected)].concat();
    assert_eq!(again, [0, 2]);
    assert_eq!(stall.parked("a"), [0, 1, 3, 4], "if it dies it is the head");
}

#[test]
fn events_are_kept_until_it_is_known_what_is_parked() {
    let mut stall = parked();
    let dispatcher = &mut stall.stage.dispatcher;
    assert_eq!(dispatcher.take_polling_changes(), [(PARTITION, Polling::Go)]);
    dispatcher.revoked(PARTITION);
    stall.assign();
    stall.publish(&["a", "b"]);
    stall.read();
    assert!(!stall.stage.dispatcher.is_open(PARTITION));
    assert_eq!(stall.stage.dispatcher.take_polling_changes(), [], "it is not polled");
    assert!(stall.stage.any_call().is_none());
    stall.tail();
    assert_eq!(stall.stage.dispatcher.take_polling_changes(), [(PARTITION, Polling::Go)]);
    assert_eq!(stall.run(&[], rejected), [6]);
    assert_eq!(stall.parked("a"), [1, 3, 4, 5]);
}

#[test]
fn what_killed_hosts_parks_its_lane() {
    let mut stall = Stall::new(parking());
    stall.publish(&["a", "a"]);
    let mark = EventMark::of(&stall.config.name, &stall.source[0].message);
    stall.stage.dispatcher.suspects = Arc::new(Suspects::new([(mark, 3)].into_iter().collect(), DEATHS_MAX));
    stall.read();
    assert!(stall.run(&[], rejected).is_empty());
    assert_eq!((stall.parked("a"), stall.committed), (vec![0, 1], 2));
}

/// A stall with tenant `a` blocked at offset 1, with 3 behind it, and 0 and 2 handled.
fn blocked() -> Stall {
    let mut stall = Stall::new(HandlerConfig { on_failure: FailurePolicy::Block, ..parking() });
    stall.publish(&["a", "a", "b", "a"]);
    stall.read();
    assert_eq!(stall.run(&[1], rejected), [0, 1, 3]);
    assert_eq!(stall.run(&[], rejected), [2]);
    assert!(stall.run(&[], rejected).is_empty());
    let lanes: Vec<_> =
        stall.lanes.blocked().map(|(name, lane)| (name, lane.head(), lane.standing)).collect();
    assert_eq!(lanes, [(stall.lane("a"), Some(Offset(1)), Standing::Blocked)]);
    assert_eq!((stall.committed, stall.lanes.events(), stall.letters.len()), (1, 0, 1));
    stall
}

#[test]
fn a_blocked_lane_tries_its_dead_event_again_on_command() {
    let mut stall = blocked();
    stall.command("a", 3, Action::Release(Head::Retry));
    assert!(stall.run(&[], rejected).is_empty(), "that is not where it is blocked");
    stall.command("a", 1, Action::Release(Head::Retry));
    let call = stall.stage.call();
    assert_eq!((offsets(&call), call.events[0].attempt), (vec![1, 3], 1));
    stall.stage.end(&call, CallResult::Answered(vec![(0, Answer::Ended(rejected())), (1, Answer::NotRun)]));
    assert!(stall.run(&[], rejected).is_empty(), "it is blocked again");
    stall.command("a", 1, Action::Release(Head::Retry));
    assert_eq!(stall.run(&[], rejected), [1, 3]);
    assert_eq!((stall.committed, stall.lanes.blocked().count()), (4, 0));
}

#[test]
fn a_blocked_lane_goes_on_behind_its_dead_event_on_command() {
    let mut stall = blocked();
    stall.command("a", 1, Action::Release(Head::Skip));
    assert_eq!(stall.run(&[], rejected), [3]);
    assert_eq!(stall.committed, 4);
    assert_eq!(stall.stage.dispatcher.counters().handlers["everything"].blocked_lanes, 0);
}

#[test]
fn the_next_owner_knows_nothing_of_what_was_blocked() {
    let mut stall = blocked();
    stall.restart();
    assert_eq!(stall.lanes.blocked().count(), 0);
    stall.command("a", 1, Action::Release(Head::Skip));
    stall.read();
    let again = [stall.run(&[], rejected), stall.run(&[], rejected)].concat();
    assert_eq!((again, stall.committed), (vec![1, 3, 2], 4));
}

#[test]
fn a_dead_event_is_not_passed_over_before_its_letter_is_confirmed() {
    let mut stall = Stall::new(HandlerConfig { on_failure: FailurePolicy::Block, ..parking() });
    stall.publish(&["a", "a"]);
    stall.read();
    stall.stage.commit();
    let call = stall.stage.call();
    stall.stage.end(&call, CallResult::Answered(vec![(0, Answer::Ended(rejected())), (1, Answer::NotRun)]));
    let job = stall.stage.dispatcher.next_job().expect("its letter is to be published");
    stall.keep(vec![job.messages[1].clone()]);
    stall.command("a", 0, Action::Release(Head::Skip));
    assert_eq!(stall.run(&[], rejected), [1]);
    assert_eq!(stall.committed, 0);
    stall.stage.dispatcher.published(job.effect, stall.stage.now);
    stall.settle();
    assert_eq!(stall.committed, 2);
}

/// A handler that waits in the parked topic when it must wait for more than ten seconds.
fn patient() -> HandlerConfig {
    let retry = RetryPolicy {
        attempts_max: 4,
        backoff_max: HOUR,
        in_memory_max: Duration::from_secs(10),
        ..RetryPolicy::default()
    };
    HandlerConfig { retry, ..handler(OrderBy::Tenant, 64) }
}

fn later() -> Outcome {
    Outcome::Retry { after: Some(HOUR / 2), reason: "later".to_owned() }
}

#[test]
fn a_long_wait_is_spent_in_the_parked_topic_and_keeps_its_attempts() {
    for restarts in [false, true] {
        let mut stall = Stall::new(patient());
        stall.publish(&["a", "a", "b"]);
        stall.read();
        assert_eq!(stall.run(&[0], later), [0, 1]);
        assert_eq!(stall.run(&[], later), [2]);
        assert_eq!((stall.parked("a"), stall.committed), (vec![0, 1], 3));
        for attempt in 2..=3 {
            if restarts {
                stall.restart();
            }
            assert!(stall.run(&[], later).is_empty());
            stall.stage.pass(HOUR / 2);
            stall.settle();
            let call = stall.stage.call();
            assert_eq!((offsets(&call), call.events[0].attempt), (vec![0, 1], attempt));
            let answers = vec![(0, Answer::Ended(later())), (1, Answer::NotRun)];
            stall.stage.end(&call, CallResult::Answered(answers));
            stall.settle();
        }
        stall.stage.pass(HOUR / 2);
        assert_eq!(stall.run(&[0], later), [0, 1], "the fourth attempt is the last");
        assert_eq!(stall.letters.len(), 1);
        let attempts = stall.letters[0].headers.get("gh-attempts").unwrap().to_string();
        let first = stall.letters[0].headers.get("gh-first-failed-at").unwrap().to_string();
        assert_eq!((attempts.as_str(), first.as_str()), ("4", "1000000"));
        assert_eq!(stall.run(&[], later), [1], "with `skip` the lane goes on");
        assert!(stall.parked("a").is_empty());
    }
}

#[test]
fn what_dies_after_a_long_wait_parks_its_lane_where_others_are_blocked() {
    let mut stall = Stall::new(HandlerConfig { on_failure: FailurePolicy::Block, ..patient() });
    stall.publish(&["a", "a"]);
    stall.read();
    assert_eq!(stall.run(&[0], later), [0, 1]);
    stall.stage.pass(HOUR);
    assert_eq!(stall.run(&[0], rejected), [0, 1]);
    assert_eq!((stall.parked("a"), stall.committed), (vec![0, 1], 2));
    stall.command("a", 0, Action::Release(Head::Retry));
    assert_eq!(stall.run(&[], rejected), [0, 1]);
}

#[test]
fn beyond_the_bound_events_wait_unsettled_and_in_order() {
    let mut stall = parked();
    stall.stage.dispatcher.shelving.parking = crate::dispatch::parking::Parking::new(4);
    stall.stage.dispatcher.revoked(PARTITION);
    stall.assign();
    stall.tail();
    stall.publish(&["a", "a", "b", "a"]);
    stall.read();
    assert!(stall.run(&[], rejected).is_empty());
    assert_eq!((stall.parked("a"), stall.committed), (vec![1, 3, 4, 5], 6));
    stall.command("a", 1, Action::Release(Head::Retry));
    stall.stage.pass(Duration::ZERO);
    let mut ran = Vec::new();
    for _ in 0..6 {
        ran.extend(stall.run(&[], rejected));
        stall.stage.pass(Duration::ZERO);
    }
    ran.retain(|offset| *offset != 7);
    assert_eq!(ran, [1, 3, 4, 5, 6, 8]);
    assert_eq!((stall.parked("a"), stall.committed), (vec![], 9));
}
