//! Each cause by itself, and all of them together.

use std::collections::BTreeSet;

use guesthouse_connector::{
    ConnectorError, GroupAddress, GroupPosition, PartitionId, PartitionPosition, TopicAddress, TopicReport,
};

use super::super::trend::Stuck;
use super::*;
use crate::counters::HandlerCounters;

fn fine() -> (SubscriptionFacts<'static>, Observation, ConnectionStatus) {
    let subscription =
        SubscriptionFacts { name: "default", is_member: true, why_no_member: None, counters: Cow::default() };
    let connection = ConnectionStatus { state: ConnectionState::Connected, ..ConnectionStatus::default() };
    (subscription, Observation { at_micros: Some(1), ..Observation::default() }, connection)
}

fn reader(lag: u64, member: Option<u32>, stuck: Vec<Stuck>) -> Reader {
    let partition = PartitionPosition { partition: PartitionId(3), stored: None, last: None, lag, member };
    let position = GroupPosition {
        partitions: vec![partition],
        members: Vec::new(),
        lag_total: lag,
        lag_max: lag,
        complete: true,
    };
    let group = GroupAddress::new(TopicAddress::new("s", "t"), "g");
    Reader { subscription: "default".into(), group, position, stuck }
}

fn judge(
    change: impl FnOnce(&mut SubscriptionFacts<'_>, &mut Observation, &mut ConnectionStatus),
) -> (HealthStatus, Vec<String>) {
    let (mut subscription, mut observation, mut connection) = fine();
    change(&mut subscription, &mut observation, &mut connection);
    let facts = Facts {
        is_finished: false,
        connection: Some(connection),
        subscriptions: vec![subscription],
        troubles: Vec::new(),
        observation: &observation,
        settings: &HealthSettings::default(),
        workers_died: Vec::new(),
        broker_troubles: Vec::new(),
        log: LogState::default(),
    };
    told(&facts.judge())
}

fn judge_process(workers_died: &[&str], log: LogState) -> (HealthStatus, Vec<String>) {
    let (subscription, observation, connection) = fine();
    let facts = Facts {
        is_finished: false,
        connection: Some(connection),
        subscriptions: vec![subscription],
        troubles: Vec::new(),
        observation: &observation,
        settings: &HealthSettings::default(),
        workers_died: workers_died.iter().map(|name| (*name).to_owned()).collect(),
        broker_troubles: Vec::new(),
        log,
    };
    told(&facts.judge())
}

fn told(health: &HealthCheckResult) -> (HealthStatus, Vec<String>) {
    let details = health.details.as_ref().unwrap();
    let causes = details["causes"].as_array().unwrap().iter();
    (health.status, causes.map(|cause| cause["code"].as_str().unwrap().to_owned()).collect())
}

#[test]
fn what_is_fine_is_healthy() {
    assert_eq!(judge(|_, _, _| {}), (HealthStatus::Healthy, Vec::new()));
    let (.., quiet) = fine();
    assert_eq!(quiet.failed_attempts, 0);
}

#[test]
fn each_cause_is_told_by_its_name() {
    use HealthStatus::{Degraded, Unhealthy};
    let stuck =
        || vec![Stuck { partition: PartitionId(3), lag: 5, since: std::time::Duration::from_secs(400) }];
    let missing = || TopicReport { topic: "domain".into(), state: None, differences: Vec::new() };
    let handler = |counters: HandlerCounters| {
        judge(|subscription, _, _| {
            subscription.counters.to_mut().handlers.insert("a".into(), counters);
        })
    };
    let found = [
        judge(|_, _, connection| connection.state = ConnectionState::Lost),
        judge(|subscription, _, _| subscription.is_member = false),
        judge(|_, seen, _| seen.drift.push(missing())),
        judge(|subscription, _, _| {
            subscription.counters.to_mut().unwritable_topics.insert("dlq".into(), 4);
        }),
        handler(HandlerCounters { state: HandlerState::Paused, ..HandlerCounters::default() }),
        handler(HandlerCounters { paused_tenants: 1, ..HandlerCounters::default() }),
        handler(HandlerCounters { blocked_lanes: 1, ..HandlerCounters::default() }),
        handler(HandlerCounters { parked_lanes: 1, ..HandlerCounters::default() }),
        judge(|_, seen, _| seen.readers.push(reader(100_001, Some(1), Vec::new()))),
        judge(|_, seen, _| seen.dead_letters.push(101)),
        judge(|_, seen, _| seen.readers.push(reader(5, Some(1), stuck()))),
        judge(|_, seen, _| seen.readers.push(reader(0, None, Vec::new()))),
        judge(|_, seen, _| seen.error = Some(ConnectorError::Timeout("late".into()))),
        judge(|_, _, connection| connection.workers_died.push("the acceptor".to_owned())),
        judge_process(&["a guest's thread"], LogState::default()),
        judge_process(&[], LogState { lost: 3, lost_lately: true, is_failing: false }),
        judge_process(&[], LogState { lost: 0, lost_lately: false, is_failing: true }),
    ];
    let wanted = [
        (Unhealthy, "broker_unreachable"),
        (Unhealthy, "not_reading"),
        (Unhealthy, "topic_missing"),
        (Degraded, "topic_unwritable"),
        (Degraded, "breaker_open"),
        (Degraded, "breaker_open"),
        (Degraded, "lane_blocked"),
        (Degraded, "lane_blocked"),
        (Degraded, "lag"),
        (Degraded, "dead_letters"),
        (Degraded, "partition_stuck"),
        (Degraded, "partition_unread"),
        (Degraded, "not_observed"),
        (Unhealthy, "worker_died"),
        (Unhealthy, "worker_died"),
        (Degraded, "log_lost"),
        (Degraded, "log_lost"),
    ];
    let quiet = judge_process(&[], LogState { lost: 3, ..LogState::default() });
    assert_eq!(quiet.0, HealthStatus::Healthy, "lines that were lost long ago are no finding any more");
    assert_eq!(found, wanted.map(|(status, cause)| (status, vec![cause.to_owned()])));
    assert_eq!(CAUSES.iter().collect::<BTreeSet<_>>().len(), CAUSES.len());
    assert!(wanted.iter().all(|(_, cause)| CAUSES.contains(cause)));
}

#[test]
fn what_the_embedded_broker_cannot_do_is_told() {
    let (subscription, observation, connection) = fine();
    let facts = Facts {
        is_finished: false,
        connection: Some(connection),
        subscriptions: vec![subscription],
        troubles: Vec::new(),
        observation: &observation,
        settings: &HealthSettings::default(),
        workers_died: Vec::new(),
        broker_troubles: vec!["partition 0 of s/t is offline: gone".to_owned()],
        log: LogState::default(),
    };
    let health = facts.judge();
    assert_eq!(told(&health), (HealthStatus::Degraded, vec!["broker_damaged".to_owned()]));
    assert!(health.message.contains("the broker: partition 0 of s/t is offline: gone"), "{health:?}");
    assert!(CAUSES.contains(&"broker_damaged"));
}

fn judge_troubles(
    troubles: &[&'static str],
    change: impl FnOnce(&mut SubscriptionFacts<'_>),
) -> (HealthStatus, Vec<String>) {
    let (mut subscription, observation, connection) = fine();
    change(&mut subscription);
    let facts = Facts {
        is_finished: false,
        connection: Some(connection),
        subscriptions: vec![subscription],
        troubles: troubles.iter().map(|cause| (*cause, "why".to_owned())).collect(),
        observation: &observation,
        settings: &HealthSettings::default(),
        workers_died: Vec::new(),
        broker_troubles: Vec::new(),
        log: LogState::default(),
    };
    told(&facts.judge())
}

#[test]
fn what_the_host_notices_itself_is_told_and_standing_still_only_where_nothing_explains_it() {
    let nothing = |_: &mut SubscriptionFacts<'_>| {};
    let named = |causes: &[&str]| causes.iter().map(|cause| (*cause).to_owned()).collect::<Vec<_>>();
    let found = judge_troubles(&["state_unwritable", "journal_unwritable"], nothing);
    assert_eq!(found, (HealthStatus::Degraded, named(&["state_unwritable", "journal_unwritable"])));
    let found = judge_troubles(&["no_progress"], nothing);
    assert_eq!(found, (HealthStatus::Unhealthy, named(&["no_progress"])));
    let found = judge_troubles(&["only_retries"], nothing);
    assert_eq!(found, (HealthStatus::Degraded, named(&["only_retries"])));
    let found = judge_troubles(&["no_progress", "cache_unwritable"], nothing);
    assert_eq!(found, (HealthStatus::Unhealthy, named(&["no_progress", "cache_unwritable"])));
    let found = judge_troubles(&["no_progress", "commits_refused"], nothing);
    assert_eq!(found, (HealthStatus::Degraded, named(&["commits_refused"])));
    let paused = |subscription: &mut SubscriptionFacts<'_>| {
        let paused = HandlerCounters { state: HandlerState::Paused, ..HandlerCounters::default() };
        subscription.counters.to_mut().handlers.insert("a".into(), paused);
    };
    let found = judge_troubles(&["no_progress"], paused);
    assert_eq!(found, (HealthStatus::Degraded, named(&["breaker_open"])));
    assert!(EXPLANATIONS.iter().chain(&[NO_PROGRESS, ONLY_RETRIES]).all(|cause| CAUSES.contains(cause)));
}

#[test]
fn bounds_are_bounds() {
    assert_eq!(judge(|_, seen, _| seen.readers.push(reader(100_000, Some(1), Vec::new()))).1, [""; 0]);
    assert_eq!(judge(|_, seen, _| seen.dead_letters.push(100)).1, [""; 0]);
}

#[test]
fn the_worst_counts_and_stands_first() {
    let (status, causes) = judge(|subscription, seen, _| {
        seen.readers.push(reader(100_001, None, Vec::new()));
        subscription.is_member = false;
    });
    assert_eq!(
        (status, causes),
        (HealthStatus::Unhealthy, ["not_reading", "lag", "partition_unread"].map(String::from).into())
    );
}
