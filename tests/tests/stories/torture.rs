//! Goal: the torture's own parts can be trusted: plans repeat, the checks find what they look for, and the program that
//! people run has none of the places where the tortured one is killed.
//! Method: ledgers written by hand, sound and then broken in one way each; the bytes of the program.

use std::collections::HashMap;
use std::time::Duration;

use guesthouse_tests::builds;
use guesthouse_tests::torture::hardship::Hardship;
use guesthouse_tests::torture::invariants::{Runs, check};
use guesthouse_tests::torture::ledgers::{Deed, Disruption, Ledgers, Line, Record};
use guesthouse_tests::torture::plan::Plan;
use guesthouse_tests::torture::proxy::{Answer, Commit};
use guesthouse_tests::torture::publisher::{Fate, Published, Sent};
use guesthouse_tests::torture::vigil::{DEADLINE, Figures, Reading, Told, judge};

const EVENTS: u128 = 3;

#[test]
fn a_seed_always_makes_the_same_plan() {
    let plan = |seed| format!("{:?}", Plan::of(seed, &Hardship::ALL));
    assert_eq!(plan(7), plan(7));
    assert_ne!(plan(7), plan(8));
}

#[test]
fn every_hardship_happens_in_every_plan_and_leaves_the_kills_as_they_are() {
    for seed in 0..50 {
        let steps = Plan::of(seed, &Hardship::ALL).steps;
        let kinds = |kind: &str| steps.iter().filter(|step| step.kind() == kind).count();
        for (kind, times) in [
            ("kill", 15),
            ("log-blocked", 1),
            ("log-blocked-at-stop", 1),
            ("log-closed", 1),
            ("disk-of-host", 1),
            ("disk-of-broker", 1),
            ("clock-of-host", 1),
            ("clock-of-broker", 1),
            ("files", 1),
            ("memory", 1),
        ] {
            assert_eq!(kinds(kind), times, "{kind} with seed {seed}");
        }
        let mut rest = steps.iter().map(|step| step.name());
        let alone = Plan::of(seed, &[Hardship::Kills]).steps;
        assert!(alone.iter().all(|kill| rest.any(|step| step == kill.name())), "seed {seed}");
    }
}

#[test]
fn hardships_are_chosen_by_their_names() {
    for hardship in Hardship::ALL {
        assert_eq!(hardship.name().parse::<Hardship>().unwrap(), hardship);
    }
    let error = "fire".parse::<Hardship>().unwrap_err().to_string();
    assert!(error.contains("fire") && error.contains("kills, log, disk, clock, files, memory"), "{error}");
}

#[test]
fn a_host_that_says_healthy_while_nothing_goes_on_does_not_tell_the_truth() {
    let stands = Told::Healthy(Figures { settled: 5, commits: 2, waits: true });
    let idle = Told::Healthy(Figures { settled: 5, commits: 2, waits: false });
    let unwell = Told::Unwell { causes: vec!["state_unwritable".into()] };
    let deadline = DEADLINE.as_secs();
    let all = |told: &Told, seconds| readings(seconds, |_| told.clone());
    assert!(found(&all(&stands, deadline)).is_empty(), "it is not late yet");
    assert_eq!(found(&all(&stands, deadline + 1)), ["H-1", "H-1"]);
    assert!(found(&all(&idle, 3 * deadline)).is_empty(), "nothing waits");
    assert!(found(&all(&unwell, 3 * deadline)).is_empty(), "it says so");
    let once = |at: u64, other: Told| {
        let told = |second| if second == at { other.clone() } else { stands.clone() };
        found(&readings(2 * at, told))
    };
    let settles = Told::Healthy(Figures { settled: 6, commits: 2, waits: true });
    assert_eq!(once(deadline - 5, settles), ["H-1"], "nothing is committed");
    for excuse in [unwell, idle, Told::NothingWithReason, Told::Nothing] {
        assert!(once(deadline - 5, excuse.clone()).is_empty(), "{excuse:?}");
    }
}

#[test]
fn a_host_that_works_is_believed_and_one_that_is_silent_or_vague_is_not() {
    let deadline = DEADLINE.as_secs();
    let works = |second: u64| {
        let commits = usize::try_from(second / 10).unwrap();
        Told::Healthy(Figures { settled: second, commits, waits: true })
    };
    assert!(found(&readings(5 * deadline, works)).is_empty());
    let settles = |second| Told::Healthy(Figures { settled: second, commits: 0, waits: true });
    assert_eq!(found(&readings(deadline + 1, settles)), ["H-1"], "nothing is committed");
    let commits = |second| {
        Told::Healthy(Figures { settled: 0, commits: usize::try_from(second).unwrap(), waits: true })
    };
    assert_eq!(found(&readings(deadline + 1, commits)), ["H-1"], "nothing is settled");
    assert_eq!(found(&readings(deadline + 1, |_| Told::Nothing)), ["H-2"]);
    assert!(found(&readings(3 * deadline, |_| Told::NothingWithReason)).is_empty());
    assert_eq!(found(&readings(1, |_| Told::Unwell { causes: Vec::new() })), ["H-3"]);
    // Another life begins anew, and a gap in the readings says nothing.
    let mut lives = readings(2 * deadline, |_| works(1));
    lives.iter_mut().for_each(|reading| reading.life = usize::try_from(reading.at.as_secs() / 20).unwrap());
    assert!(found(&lives).is_empty());
    let mut gap = readings(2 * deadline, |_| works(1));
    gap.retain(|reading| !(deadline - 5..deadline + 5).contains(&reading.at.as_secs()));
    assert!(found(&gap).is_empty());
}

#[test]
fn a_lost_line_breaks_no_order_while_nobody_reads_the_log() {
    let mut ledgers = sound();
    ledgers.lines.remove(0);
    assert!(check(&ledgers).violations.iter().any(|found| found.starts_with("I-5")));
    ledgers.log_gaps.push(Disruption { from_micros: 5, until_micros: 50 });
    assert_eq!(check(&ledgers).violations, Vec::<String>::new());
    ledgers.log_gaps[0] = Disruption { from_micros: 90_000_000, until_micros: 99_000_000 };
    assert!(check(&ledgers).violations.iter().any(|found| found.starts_with("I-5")));
}

#[test]
fn the_program_knows_no_failpoints() {
    let program = std::fs::read(builds::host()).unwrap();
    for name in ["GUESTHOUSE_FAILPOINT", "poll.after_recv", "terminal.before_commit"] {
        let found = program.windows(name.len()).any(|bytes| bytes == name.as_bytes());
        assert!(!found, "`{name}` stands in the program");
    }
}

#[test]
fn sound_ledgers_are_sound() {
    let findings = check(&sound());
    assert_eq!(findings.violations, Vec::<String>::new());
    let totals = findings.totals;
    assert_eq!((totals.sent, totals.handled, totals.dead, totals.repeated, totals.commits), (3, 2, 1, 0, 1));
}

#[test]
fn a_repeat_is_explained_by_a_death_between_the_two_runs() {
    let mut ledgers = sound();
    ledgers.disruptions.push(Disruption::at(100_000_000));
    ledgers.lines[1].at_micros = 99_000_000;
    ledgers.lines.push(Line { life: 1, at_micros: 101_000_000, ..ledgers.lines[1].clone() });
    let findings = check(&ledgers);
    assert_eq!(findings.violations, Vec::<String>::new());
    assert_eq!(findings.totals.with_dedup, Runs { handled: 2, repeated: 1 });
    ledgers.dedup.clear();
    ledgers.lines[1].at_micros = 5;
    let findings = check(&ledgers);
    assert_eq!(findings.violations, Vec::<String>::new());
    assert_eq!(findings.totals.without_dedup, Runs { handled: 2, repeated: 1 });
}

#[test]
fn each_way_to_break_a_promise_is_found() {
    broken("I-1", |ledgers| drop(ledgers.emits.remove(&1)));
    broken("I-1", |ledgers| ledgers.letters.clear());
    broken("I-2", |ledgers| drop(ledgers.letters.insert(9, vec![record(90, "picky", "reject", 1)])));
    broken("I-3", |ledgers| ledgers.letters.get_mut(&3).unwrap().push(record(34, "picky", "reject", 9)));
    broken("I-3", |ledgers| ledgers.emits.get_mut(&2).unwrap()[0].id = 10);
    broken("I-4", |ledgers| drop(ledgers.letters.insert(1, vec![record(19, "steady", "trapped", 9)])));
    broken("I-4", |ledgers| ledgers.letters.get_mut(&3).unwrap()[0].outcome = "trapped".into());
    broken("I-4", |ledgers| drop(ledgers.emits.get_mut(&2).unwrap().pop()));
    broken("I-5", |ledgers| ledgers.lines.swap(0, 1));
    broken("I-6", |ledgers| ledgers.letters.get_mut(&3).unwrap()[0].stored_micros = 101);
    broken("I-6", |ledgers| ledgers.commits[0].asked_micros = 9);
    broken("I-7", |ledgers| ledgers.commits.push(Commit { offset: 1, ..ledgers.commits[0].clone() }));
    broken("I-8", |ledgers| (0..2_000).for_each(|_| ledgers.lines.push(ledgers.lines[1].clone())));
    broken("I-8", |ledgers| {
        ledgers.lives.push(102);
        ledgers.lines.push(Line { life: 1, ..ledgers.lines[1].clone() });
    });
    broken("I-8 unexplained", |ledgers| ledgers.lines.push(ledgers.lines[1].clone()));
    broken("I-8 unexplained", |ledgers| {
        // The host died long after the first run was written down.
        ledgers.disruptions.push(Disruption::at(100_000_000));
        ledgers.lines.push(Line { life: 1, at_micros: 100_000_001, ..ledgers.lines[1].clone() });
    });
    broken("I-10", |ledgers| (0..9).for_each(|_| ledgers.lines.push(ledgers.lines[2].clone())));
}

/// One reading a second.
fn readings(seconds: u64, told: impl Fn(u64) -> Told) -> Vec<Reading> {
    let reading = |second| Reading { life: 0, at: Duration::from_secs(second), told: told(second) };
    (0..seconds).map(reading).collect()
}

/// The names of what was found.
fn found(readings: &[Reading]) -> Vec<String> {
    judge(readings).1.iter().filter_map(|found| found.get(..3).map(str::to_owned)).collect()
}

/// Three events of one lane: two are handled, the third one is rejected, and then all of them are committed.
fn sound() -> Ledgers {
    let fate = |id| if id == EVENTS { Fate::Dead("reject") } else { Fate::Handled };
    let lane = Some(("steady", 0));
    let sent = (1..=EVENTS).map(|id| Sent { id, lane, sequence: number(id), fate: fate(id) });
    let deed = |id| if id == EVENTS { Deed::Failed } else { Deed::Handled };
    let emits = |id: u128| {
        let emit = |index: u128, kind| record(id * 10 + index, kind, "", 10);
        (id, vec![emit(0, "torture.witnessed"), emit(1, "torture.witnessed-there")])
    };
    Ledgers {
        published: Published { events: sent.collect(), unknown: 0 },
        places: (1..=EVENTS).map(|id| (id, vec![(0, number(id))])).collect(),
        lines: (1..=EVENTS).map(|id| Line { event: id, deed: deed(id), life: 0, at_micros: 5 }).collect(),
        emits: [1, 2].map(emits).into(),
        letters: HashMap::from([(3, vec![record(30, "picky", "reject", 20)])]),
        commits: vec![Commit {
            topic: "domain".into(),
            partition: 0,
            offset: 3,
            asked_micros: 100,
            answered_micros: 101,
            answer: Some(Answer::Stored),
        }],
        lives: vec![1],
        disruptions: Vec::new(),
        dedup: vec!["steady"],
        ..Ledgers::default()
    }
}

fn record(id: u128, kind: &str, outcome: &str, stored_micros: u64) -> Record {
    Record { id, kind: kind.into(), outcome: outcome.into(), stored_micros }
}

fn number(id: u128) -> u64 {
    u64::try_from(id).unwrap()
}

fn broken(invariant: &str, break_it: impl FnOnce(&mut Ledgers)) {
    let mut ledgers = sound();
    break_it(&mut ledgers);
    let violations = check(&ledgers).violations;
    assert!(violations.iter().any(|found| found.starts_with(invariant)), "not {invariant}: {violations:?}");
}
