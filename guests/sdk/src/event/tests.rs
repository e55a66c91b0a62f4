//! Every word is read as the contract says, and what breaks the contract panics instead of being read.

use super::*;
use crate::sample::{Sample, halves, length};

fn event(sample: &Sample) -> Event<'_> {
    Event::new(&sample.arena, sample.index[1..].first_chunk().unwrap())
}

#[test]
fn every_word_is_read() {
    let sample = Sample::of_payload(b"{}");
    let event = event(&sample);
    assert_eq!(event.id(), "id");
    assert_eq!(event.event_type(), "order.placed");
    assert_eq!(event.tenant(), Some("tenant"));
    assert_eq!(event.key(), Some("key"));
    assert_eq!(event.correlation_id(), Some("correlation"));
    assert_eq!(event.causation_id(), Some("causation"));
    assert_eq!(event.actor(), Some("actor"));
    assert_eq!(event.traceparent(), Some("trace"));
    assert_eq!(event.content_type(), "application/json");
    assert_eq!(event.payload(), b"{}");
    assert_eq!(event.headers().collect::<Vec<_>>(), [("kind", "größe"), ("none", "")]);
    assert_eq!(event.timestamp_micros(), 1_787_217_281_003_120);
    assert_eq!(event.source(), Source { stream: "rustok", topic: "domain", partition: 7, offset: 0 });
    assert_eq!(event.attempt(), 2);
    assert_eq!(event.schema_version(), 3);
    assert_eq!(event.lane(), 0);
}

#[test]
fn what_may_be_absent_is_absent() {
    let mut sample = Sample::of_payload(b"");
    for word in TENANT..=TRACEPARENT {
        *sample.word(0, word) = ABSENT;
    }
    let event = event(&sample);
    let optional = [
        event.tenant(),
        event.key(),
        event.correlation_id(),
        event.causation_id(),
        event.actor(),
        event.traceparent(),
    ];
    assert_eq!(optional, [None; 6]);
}

#[test]
fn headers_are_found_by_exact_name() {
    let mut sample = Sample::of_payload(b"");
    assert_eq!(event(&sample).header("kind"), Some("größe"));
    assert_eq!(event(&sample).header("Kind"), None);
    *sample.word(0, HEADERS) = 0;
    assert_eq!(event(&sample).headers().count(), 0);
}

#[test]
fn an_empty_range_may_lie_at_the_end() {
    let mut sample = Sample::of_payload(b"x");
    *sample.word(0, PAYLOAD) = halves(length(&sample.arena), 0);
    assert_eq!(event(&sample).payload(), b"");
}

#[test]
#[should_panic(expected = "inside of the arena")]
fn a_range_past_the_arena_panics() {
    let mut sample = Sample::of_payload(b"x");
    *sample.word(0, PAYLOAD) = halves(length(&sample.arena) - 1, 2);
    assert_eq!(event(&sample).payload(), b"");
}

#[test]
#[should_panic(expected = "inside of the arena")]
fn a_range_that_would_wrap_panics() {
    let mut sample = Sample::of_payload(b"x");
    *sample.word(0, PAYLOAD) = halves(u32::MAX, u32::MAX);
    assert_eq!(event(&sample).payload(), b"");
}

#[test]
#[should_panic(expected = "inside of the arena")]
fn an_absent_value_that_must_be_there_panics() {
    let mut sample = Sample::of_payload(b"x");
    *sample.word(0, ID) = ABSENT;
    assert_eq!(event(&sample).id(), "");
}

#[test]
#[should_panic(expected = "texts in utf-8")]
fn a_text_that_is_none_panics() {
    let mut sample = Sample::of_payload(b"x");
    *sample.word(0, ID) = sample.store(&[0xff]);
    assert_eq!(event(&sample).id(), "");
}

#[test]
#[should_panic(expected = "lengths add up")]
fn a_header_that_is_cut_panics() {
    let mut sample = Sample::of_payload(b"x");
    *sample.word(0, HEADERS) = sample.store(&[4, 0, 0, 0, b'k', b'i', b'n']);
    event(&sample).headers().count();
}

#[test]
#[should_panic(expected = "16 bits")]
fn a_schema_version_that_is_too_large_panics() {
    let mut sample = Sample::of_payload(b"x");
    *sample.word(0, VERSION_LANE) = halves(0x1_0000, 0);
    assert_eq!(event(&sample).schema_version(), 0);
}
