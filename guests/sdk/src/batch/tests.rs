//! Order, lanes and sparse answers; an index that breaks the contract panics.

use std::cell::RefCell;

use super::*;
use crate::Emit;
use crate::sample::Sample;

/// A batch of events in these lanes. The payload of an event is what the handler below does with it.
fn sample(events: &[(u32, &str)]) -> Sample {
    let mut sample = Sample::new();
    for (lane, payload) in events {
        sample.push(*lane, payload.as_bytes());
    }
    sample
}

fn obey(event: &Event<'_>) -> Result<Vec<Emit>, Failure> {
    match event.payload() {
        b"reject" => Err(Failure::reject("no")),
        b"emit" => Ok(vec![Emit::new("a", "1"), Emit::new("b", "2")]),
        _ => Ok(Vec::new()),
    }
}

fn answer(sample: &Sample) -> Answers {
    handle_batch(&sample.arena, &sample.index, obey)
}

#[test]
fn every_event_runs_once_and_in_order() {
    let sample = sample(&[(2, "x"), (1, "y"), (2, "z")]);
    let seen = RefCell::new(Vec::new());
    handle_batch(&sample.arena, &sample.index, |event| {
        seen.borrow_mut().push(event.source().offset);
        Ok(())
    });
    assert_eq!(seen.into_inner(), [0, 1, 2]);
}

#[test]
fn a_batch_without_answers_allocates_nothing() {
    let answers = answer(&sample(&[(0, "x"), (0, "y")]));
    let capacities = (answers.emits.capacity(), answers.failures.capacity(), answers.skipped.capacity());
    assert_eq!(capacities, (0, 0, 0));
}

#[test]
fn a_failure_skips_the_rest_of_its_lane_only() {
    let sample = sample(&[(1, "emit"), (9, "reject"), (1, "x"), (9, "emit"), (5, "emit"), (9, "reject")]);
    let answers = answer(&sample);
    assert_eq!(answers.failures, [EventFailure { event: 1, failure: Failure::reject("no").0 }]);
    assert_eq!(answers.skipped, [3, 5]);
    assert_eq!(answers.emits.iter().map(|emit| emit.event).collect::<Vec<_>>(), [0, 0, 4, 4]);
}

#[test]
fn lanes_fail_in_any_order() {
    let events = [(7, "reject"), (3, "reject"), (9, "reject"), (3, "x"), (7, "x"), (9, "x"), (8, "x")];
    let answers = answer(&sample(&events));
    assert_eq!(answers.failures.len(), 3);
    assert_eq!(answers.skipped, [3, 4, 5]);
}

#[test]
fn emits_keep_their_order_and_their_event() {
    let answers = answer(&sample(&[(0, "x"), (1, "emit")]));
    let emits: Vec<_> = answers.emits.iter().map(|emit| (emit.event, emit.emit.type_.as_str())).collect();
    assert_eq!(emits, [(1, "a"), (1, "b")]);
}

#[test]
fn words_of_a_newer_host_are_passed_over() {
    let mut sample = Sample::with_stride(WORDS_KNOWN + 3);
    sample.push(0, b"x");
    sample.push(0, b"emit");
    assert_eq!(answer(&sample).emits.len(), 2);
}

#[test]
fn a_batch_may_be_empty() {
    assert!(answer(&sample(&[])).failures.is_empty());
}

#[test]
#[should_panic(expected = "the stride first")]
fn an_index_without_a_stride_panics() {
    handle_batch(&[], &[], obey);
}

#[test]
#[should_panic(expected = "at least 17 words per event, the host sends 0")]
fn a_stride_of_zero_panics() {
    handle_batch(&[], &[0], obey);
}

#[test]
#[should_panic(expected = "at least 17 words per event, the host sends 16")]
fn a_short_stride_panics() {
    let mut sample = sample(&[(0, "x")]);
    sample.index[0] = 16;
    answer(&sample);
}

#[test]
#[should_panic(expected = "ends within one")]
fn an_index_that_is_cut_panics() {
    let mut sample = sample(&[(0, "x"), (0, "y")]);
    sample.index.pop();
    answer(&sample);
}
