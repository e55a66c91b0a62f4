//! Answers that break the contract or a limit, and those that do not.

use super::*;
use crate::sandbox::contract::{EmitHeader, RetryRecord};
use crate::sandbox::fixtures::{call_event, event, limits, spec};

fn emit_record(event_type: &str, payload: usize) -> EmitRecord {
    EmitRecord {
        event_type: event_type.to_owned(),
        schema_version: 1,
        topic: None,
        key: None,
        headers: Vec::new(),
        payload: vec![b'x'; payload],
    }
}

fn emits(events: &[u32]) -> Vec<EventEmit> {
    events.iter().map(|&event| EventEmit { event, emit: emit_record("order.shipped", 1) }).collect()
}

fn rejects(events: &[u32]) -> Vec<EventFailure> {
    let failure = || Failure::Reject("no".to_owned());
    events.iter().map(|&event| EventFailure { event, failure: failure() }).collect()
}

/// Checks answers to four events, of which the first and third share a lane.
fn check(emits: Vec<EventEmit>, failures: &[u32], skipped: &[u32]) -> Result<Vec<(usize, Answer)>, Outcome> {
    let events = [1, 2, 1, 3].map(|lane| call_event(event("e", "shop-a"), lane));
    let answers = BatchAnswers { emits, failures: rejects(failures), skipped: skipped.to_vec() };
    of_batch(answers, &events, &spec())
}

#[test]
fn answers_are_sparse_and_in_order() {
    assert_eq!(check(vec![], &[], &[]), Ok(vec![]));
    let answers = check(emits(&[3, 1, 3]), &[0], &[2]).unwrap();
    let positions: Vec<_> = answers.iter().map(|(position, _)| *position).collect();
    assert_eq!(positions, [0, 1, 2, 3]);
    assert_eq!(answers[0].1, Answer::Ended(Outcome::Reject { reason: "no".to_owned() }));
    assert!(matches!(&answers[1].1, Answer::Ended(Outcome::Done(emits)) if emits.len() == 1));
    assert_eq!(answers[2].1, Answer::NotRun);
    assert!(matches!(&answers[3].1, Answer::Ended(Outcome::Done(emits)) if emits.len() == 2));
}

#[test]
fn answers_that_break_the_contract_fail_the_call() {
    type Case = (Vec<EventEmit>, &'static [u32], &'static [u32], &'static str);
    let cases: [Case; 9] = [
        (vec![], &[4], &[], "it failed event 4 of a batch of 4, counted from zero"),
        (vec![], &[], &[u32::MAX], "it skipped event 4294967295 of a batch of 4"),
        (emits(&[4]), &[], &[], "it emitted for event 4 of a batch of 4"),
        (vec![], &[1, 1], &[], "it failed event 1 twice"),
        (vec![], &[0], &[2, 2], "it answered event 2 and skipped it"),
        (vec![], &[0], &[0, 2], "it answered event 0 and skipped it"),
        (vec![], &[], &[2], "it skipped event 2, but none before it in its lane failed"),
        (vec![], &[0], &[], "it ran event 2 after one before it in its lane failed"),
        (emits(&[2]), &[0], &[2], "it emitted for event 2, which was not handled"),
    ];
    for (emits, failures, skipped, expected) in cases {
        let Err(Outcome::Trapped { code, reason }) = check(emits, failures, skipped) else {
            panic!("not refused: {expected}")
        };
        assert_eq!(code, TrapCode::BadAnswer);
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn too_many_emits_fail_their_event_and_send_the_rest_of_its_lane_back() {
    let answers = check(emits(&[0, 0, 0, 0, 0, 1, 2]), &[], &[]).unwrap();
    let exceeded = Outcome::LimitExceeded { limit: LimitKind::Emits, used: 5, allowed: 4 };
    assert_eq!(answers[0].1, Answer::Ended(exceeded));
    assert!(matches!(answers[1].1, Answer::Ended(Outcome::Done(_))));
    assert_eq!(answers[2], (2, Answer::NotRun));
}

#[test]
fn too_many_bytes_of_emits_fail_their_event() {
    let one = |payload| of_event(Ok(vec![emit_record("a.b", payload)]), &spec());
    assert!(matches!(one((1 << 10) - 3), Answer::Ended(Outcome::Done(_))));
    let exceeded = Outcome::LimitExceeded { limit: LimitKind::EmitBytes, used: 1025, allowed: 1024 };
    assert_eq!(one((1 << 10) - 2), Answer::Ended(exceeded));
}

#[test]
fn emits_that_could_never_be_published_reject_their_event() {
    let header = |name: &str, value: &str| EmitHeader { name: name.to_owned(), value: value.to_owned() };
    let with = |headers| EmitRecord { headers, ..emit_record("a.b", 0) };
    let cases = [
        (emit_record("", 0), "its type is 0 bytes long"),
        (EmitRecord { topic: Some("t".repeat(256)), ..emit_record("a.b", 0) }, "its topic is 256 bytes long"),
        (EmitRecord { key: Some(String::new()), ..emit_record("a.b", 0) }, "its key is 0 bytes long"),
        (with(vec![header("gh-tenant", "x")]), "header `gh-tenant` is refused"),
        (with(vec![header("GH-x", "x")]), "header `GH-x` is refused"),
        (with(vec![header("a", "1"), header("a", "2")]), "header `a` is there twice"),
        (with(vec![header("", "1")]), "a header's name is 0 bytes long"),
        (with(vec![header("a\n", "")]), "the value of header `a\\n` is 0 bytes long"),
        (with((0..65).map(|n| header(&n.to_string(), "x")).collect()), "it has 65 headers"),
    ];
    for (emit, expected) in cases {
        let Answer::Ended(Outcome::Reject { reason }) = of_event(Ok(vec![emit]), &spec()) else {
            panic!("not refused: {expected}")
        };
        assert!(reason.starts_with("emit 0: ") && reason.contains(expected), "{reason}");
    }
    assert!(matches!(
        of_event(Ok(vec![with(vec![header("größe", "1")])]), &spec()),
        Answer::Ended(Outcome::Done(_))
    ));
}

#[test]
fn a_failures_words_are_bounded_and_safe_to_show() {
    let retry = RetryRecord { reason: "x\n".repeat(2_000), after: Some(u64::MAX) };
    let Answer::Ended(Outcome::Retry { after, reason }) = of_event(Err(Failure::Retry(retry)), &spec())
    else {
        panic!("no retry")
    };
    assert_eq!(after, Some(Duration::from_millis(u64::MAX)));
    assert!(reason.len() <= 1024 && reason.starts_with("x\\nx\\n"));
}

#[test]
fn the_allowance_leaves_room_to_count_what_is_too_much() {
    let one = answer_bytes_max(&limits(), 1);
    assert!(one > 2 * (1 << 10));
    assert_eq!(answer_bytes_max(&limits(), 1 << 20), 4 << 20);
    let unlimited =
        GuestLimits { emit_bytes_max: u64::MAX, emits_max: u32::MAX, answer_bytes_max: u64::MAX, ..limits() };
    assert_eq!(answer_bytes_max(&unlimited, 64), usize::MAX);
}
