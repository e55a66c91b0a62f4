//! How dead letters are chosen and shown.

use clap::builder::TypedValueParser;
use guesthouse_connector::{Headers, Offset, PartitionId, RawHeaders, ReceivedMessage};

use super::*;

fn letter(offset: u64, pairs: &[(&str, &str)], failed_at: u64) -> DeadLetter {
    let mut headers = Headers::new();
    headers.insert("gh-schema", 1_u16).unwrap();
    headers.insert("gh-failed-at", failed_at).unwrap();
    for (name, value) in pairs {
        headers.insert(*name, *value).unwrap();
    }
    let message = ReceivedMessage {
        id: u128::from(offset),
        offset: Offset(offset),
        timestamp_micros: 0,
        origin_timestamp_micros: 0,
        headers: RawHeaders(headers.encode()),
        payload: bytes::Bytes::from_static(b"\x1b[31m"),
    };
    DeadLetter::read(message, PartitionId(0)).unwrap()
}

#[test]
fn the_newest_are_kept_and_come_first() {
    let mut newest = Newest::new(3);
    for failed_at in [5, 1, 9, 3, 7, 8, 2] {
        newest.offer(letter(failed_at, &[], failed_at).summary);
    }
    let kept: Vec<_> = newest.into_sorted().into_iter().map(|letter| letter.offset.0).collect();
    assert_eq!(kept, [9, 8, 7]);
}

#[test]
fn what_is_shown_cannot_move_the_cursor() {
    let hostile = [("gh-event-type", "a\x1b[2J"), ("gh-reason", "b\r\n"), ("c\x07", "d\x1b]0;x\x07")];
    let letter = letter(0, &hostile, 1_787_217_302_417_305);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    print_letter(&letter, &mut Console { out: &mut out, err: &mut err }).unwrap();
    let shown = String::from_utf8(out).unwrap() + &table(std::slice::from_ref(&letter.summary)).to_string();
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
    assert!(shown.contains("a\\u{1b}[2J") && shown.contains("2026-08-20T09:15:02.417Z"), "{shown}");
    assert!(err.is_empty());
}

#[test]
fn a_list_is_narrow_and_has_each_id_on_one_line() {
    let long = "x".repeat(90);
    let pairs = [
        ("gh-tenant", "550e8400-e29b-41d4-a716-446655440000"),
        ("gh-event-type", long.as_str()),
        ("gh-handler", "order-totals"),
        ("gh-outcome", "trapped"),
        ("gh-reason", &"a reason of many words ".repeat(10)),
    ];
    let letter = letter(0, &pairs, 1_787_217_302_417_305).summary;
    let shown = table(std::slice::from_ref(&letter)).to_string();
    assert!(shown.lines().all(|line| line.chars().count() <= usize::from(TABLE_COLUMNS)), "{shown}");
    assert!(shown.contains(&letter.id), "{shown}");
}

#[test]
fn json_has_the_payload_only_where_one_letter_is_shown() {
    let letter = letter(7, &[("gh-tenant", "acme"), ("region", "eu")], 1);
    let whole = serde_json::to_value(&letter).unwrap();
    assert_eq!((&whole["tenant"], &whole["payload"]), (&"acme".into(), &"\u{1b}[31m".into()));
    assert_eq!(whole["headers"], serde_json::json!([["region", "eu"]]));
    let typed =
        serde_json::json!([{"key": "region", "key_kind": "string", "value": "eu", "value_kind": "string"}]);
    assert_eq!(whole["typed_headers"], typed);
    let summary = serde_json::to_value(&letter.summary).unwrap();
    assert_eq!((summary["offset"].as_u64(), summary.get("payload")), (Some(7), None));
}

#[test]
fn every_outcome_that_ends_in_a_dead_letter_can_be_asked_for() {
    let accepted: Vec<_> =
        outcomes().possible_values().unwrap().map(|value| value.get_name().to_owned()).collect();
    assert_eq!(accepted.len(), OutcomeKind::ALL.len() - 1);
    assert!(accepted.contains(&OutcomeKind::EmitRefused.as_str().to_owned()));
    assert!(!accepted.contains(&OutcomeKind::Done.as_str().to_owned()));
}
