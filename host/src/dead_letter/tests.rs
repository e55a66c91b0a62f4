//! That a dead letter keeps the payload, tells the whole story, and can always be made.

use std::sync::Arc;

use bytestring::ByteString;
use guesthouse_connector::{
    HEADERS_BYTES_MAX, HeaderValue, Offset, PartitionId, RawHeaders, ReceivedMessage,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::codec::{Codec, RawCodec, RawEventType, RawTenant};
use crate::event::{Source, SourceTopic};
use crate::outcome::TrapCode;

fn message(payload: impl Into<Bytes>, headers: &Headers) -> Message {
    let topic = Arc::new(SourceTopic { stream: "rustok".into(), topic: "domain".into() });
    let source = Source {
        topic,
        partition: PartitionId(2),
        offset: Offset(41),
        message_id: 0xABCD,
        timestamp_micros: 1_000,
        origin_timestamp_micros: 900,
    };
    Message { source, headers: RawHeaders(headers.encode()), payload: payload.into() }
}

fn event(message: Message) -> Event {
    let tenant = RawTenant::Fixed(Tenant::Named("acme".into()));
    let codec = Codec::Raw(RawCodec { tenant, event_type: RawEventType::Fixed("order.placed".into()) });
    codec.decode(message).unwrap()
}

fn failure(outcome: &Outcome) -> Failure<'_> {
    Failure {
        outcome,
        attempts: 5,
        first_failed_micros: 2_000,
        failed_micros: 3_000,
        duration: Duration::from_micros(77),
        memory_peak_bytes: 65_536,
        behind: None,
    }
}

fn buried(event: &Event, outcome: &Outcome) -> OutgoingMessage {
    let handler = HandlerName::new("order-totals").unwrap();
    let (component_digest, order_by) = ("sha256:00ff", &OrderBy::Partition);
    let component_version = Some("1.4.0");
    let cause = Cause::Handler { event, handler: &handler, component_digest, component_version, order_by };
    build(&event.message, "guesthouse", &cause, &failure(outcome))
}

fn received(letter: &OutgoingMessage) -> ReceivedMessage {
    ReceivedMessage {
        id: letter.id,
        offset: Offset(9),
        timestamp_micros: 0,
        origin_timestamp_micros: 0,
        headers: RawHeaders(letter.headers.encode()),
        payload: letter.payload.clone(),
    }
}

fn read(letter: &OutgoingMessage) -> DeadLetter {
    DeadLetter::read(received(letter), PartitionId(1)).unwrap()
}

fn headers(pairs: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in pairs {
        headers.insert(*name, *value).unwrap();
    }
    headers
}

fn rejected(reason: impl Into<String>) -> Outcome {
    Outcome::Reject { reason: reason.into() }
}

#[test]
fn a_dead_letter_says_all_that_is_known() {
    let source = headers(&[("event-id", "e-1"), ("traceparent", "00-a-b-01"), ("region", "eu")]);
    let event = event(message(&b"payload"[..], &source));
    let outcome = Outcome::Trapped { code: TrapCode::Unreachable, reason: "panicked".into() };
    let letter = buried(&event, &outcome);
    assert_eq!(letter.partition, Partitioning::Key("acme".into()));
    assert_eq!(letter.payload, event.message.payload);
    let value = |name: &str| letter.headers.get(name).cloned();
    assert_eq!(value("gh-schema"), Some(HeaderValue::U16(1)));
    assert_eq!(value("gh-partition"), Some(HeaderValue::U32(2)));
    assert_eq!(value("gh-offset"), Some(HeaderValue::U64(41)));
    assert_eq!(value("gh-attempts"), Some(HeaderValue::U32(5)));
    for (name, expected) in [
        ("gh-stream", "rustok"),
        ("gh-topic", "domain"),
        ("gh-message-id", "00000000-0000-0000-0000-00000000abcd"),
        ("gh-group", "guesthouse"),
        ("gh-tenant", "acme"),
        ("gh-event-id", "e-1"),
        ("gh-event-type", "order.placed"),
        ("gh-handler", "order-totals"),
        ("gh-component-digest", "sha256:00ff"),
        ("gh-component-version", "1.4.0"),
        ("gh-outcome", "trapped"),
        ("gh-code", "unreachable"),
        ("gh-reason", "unreachable: panicked"),
        ("gh-lane", "partition=2"),
        ("traceparent", "00-a-b-01"),
        ("region", "eu"),
    ] {
        assert_eq!(value(name), Some(expected.into()), "{name}");
    }
    let read = read(&letter);
    assert_eq!(
        (read.summary.attempts, read.summary.duration_us, read.summary.memory_peak_bytes),
        (Some(5), Some(77), Some(65_536))
    );
    assert_eq!((read.summary.first_failed_at, read.summary.failed_at), (Some(2_000), Some(3_000)));
    assert_eq!(read.summary.source.timestamp, Some(1_000));
    assert_eq!(read.payload, &b"payload"[..]);
    assert!(read.headers.0.iter().any(|header| header.key == "region" && header.value == "eu"));
}

#[test]
fn the_id_depends_on_event_and_handler_alone() {
    let event = event(message(&b"x"[..], &Headers::new()));
    let first = buried(&event, &rejected("one reason"));
    let second = buried(
        &event,
        &Outcome::TimedOut { used: Duration::from_millis(1_012), allowed: Duration::from_secs(1) },
    );
    assert_eq!(first.id, second.id);
    let undecodable = build(&event.message, "guesthouse", &Cause::Decode, &failure(&rejected("x")));
    assert_ne!(first.id, undecodable.id);
    assert_eq!(undecodable.partition, Partitioning::Key(Tenant::PLATFORM_ID.into()));
    assert_eq!(read(&undecodable).summary.handler.as_deref(), Some("decode"));
}

#[test]
fn what_an_earlier_death_left_is_replaced() {
    let mut source = headers(&[
        ("gh-reason", "old"),
        ("gh-reason-2", "old"),
        ("GH-Code", "old"),
        ("gh-parked-behind", "x"),
    ]);
    source.insert("gh-replays", 3_u32).unwrap();
    source.insert("gh-hops", 2_u8).unwrap();
    source.insert("gh-headers-dropped", 7_u32).unwrap();
    let letter = buried(&event(message(&b"x"[..], &source)), &rejected("new"));
    assert_eq!(letter.headers.get("gh-reason"), Some(&"new".into()));
    assert_eq!(letter.headers.get("gh-replays"), Some(&HeaderValue::U32(3)));
    assert_eq!(letter.headers.get("gh-hops"), Some(&HeaderValue::U8(2)));
    assert_eq!(letter.headers.get("gh-headers-dropped"), Some(&HeaderValue::U32(7)));
    for stale in ["gh-reason-2", "GH-Code", "gh-parked-behind"] {
        assert_eq!(letter.headers.get(stale), None, "{stale}");
    }
}

#[test]
fn a_long_reason_goes_on_and_is_cut_in_the_end() {
    let event = event(message(&b"x"[..], &Headers::new()));
    let short = "näher ".repeat(100);
    assert_eq!(read(&buried(&event, &rejected(short.clone()))).summary.reason, short);
    for piece in ["x", "ü", "€", "\u{1F600}", "a\r\n"] {
        let letter = buried(&event, &rejected(piece.repeat(10 << 20)));
        let reason = read(&letter).summary.reason;
        assert!(reason.ends_with('…'), "{piece:?}");
        assert!(reason.len() > 1_000, "{piece:?}");
        assert!(!reason.contains(char::is_control), "{piece:?}");
    }
}

#[test]
fn source_headers_without_room_are_left_out_and_counted() {
    let mut source = Headers::new();
    let mut count = 0;
    while source.insert(format!("{count:0>200}"), "v".repeat(250)).is_ok() {
        count += 1;
    }
    let letter = buried(&event(message(&b"x"[..], &source)), &rejected("\u{1b}".repeat(4_000)));
    assert!(letter.headers.encoded_len() <= HEADERS_BYTES_MAX);
    let read = read(&letter);
    let kept = read.headers.0.len();
    assert_eq!(read.summary.headers_dropped, Some((count - kept) as u64));
    assert!(kept > 150 && kept < count);
    assert!(read.headers.0.iter().zip(0..).all(|(header, at)| header.key == format!("{at:0>200}")));
}

/// Keys that are no text, at the limits of their lengths, and two with one text: they come back as they were.
#[test]
fn headers_with_any_key_come_back_as_they_were() {
    let number = 1_i32.to_le_bytes();
    let keys: [(u8, &[u8]); 7] = [
        (1, &[0xFF; 127]),
        (1, &[0xFF; 128]),
        (1, &[0xFF; 255]),
        (2, b"1"),
        (6, &number),
        (2, &[0xFF]),
        (200, b"future"),
    ];
    let mut raw = Vec::new();
    for (at, key) in keys.into_iter().enumerate() {
        let value: (u8, &[u8]) = if at % 2 == 0 { (2, b"text") } else { (15, &[7; 8]) };
        for (kind, bytes) in [key, value] {
            raw.push(kind);
            raw.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
            raw.extend(bytes);
        }
    }
    let mut source = message(&b"x"[..], &Headers::new());
    source.headers = RawHeaders(raw.into());
    let headers = source.headers.to_headers().unwrap();
    let letter = buried(&event(source), &rejected("x"));
    let received = received(&letter);
    assert_eq!(source_headers(&received.headers).to_headers().unwrap(), headers);
    let read = read(&letter);
    assert_eq!(read.summary.headers_dropped, None);
    let kinds: Vec<_> = read.headers.0.iter().map(|header| (&*header.key, &*header.key_kind)).collect();
    assert!(kinds.contains(&("1", "int32")) && kinds.contains(&("1", "string")), "{kinds:?}");
    let back = again(&received, &read.summary, 0).unwrap().message;
    for (key, value) in &headers {
        let found = back.headers.iter().find(|(other, _)| *other == key);
        assert_eq!(found.map(|(_, value)| value), Some(value), "{key}");
    }
}

#[test]
fn a_payload_the_broker_would_refuse_is_kept_by_reference() {
    for length in [0, PAYLOAD_BYTES_MAX + 1] {
        let source = message(vec![b'x'; length], &Headers::new());
        let hash = blake3::hash(&source.payload).to_string();
        let letter = build(&source, "guesthouse", &Cause::Decode, &failure(&rejected("x")));
        let read = read(&letter);
        assert!(read.summary.payload_is_reference);
        let record: serde_json::Value = serde_json::from_slice(&read.payload).unwrap();
        assert_eq!(record["payload_bytes"], length);
        assert_eq!(record["payload_blake3"], hash);
        assert_eq!((&record["topic"], &record["offset"]), (&"domain".into(), &41.into()));
    }
    let largest = event(message(vec![b'x'; PAYLOAD_BYTES_MAX], &Headers::new()));
    let letter = buried(&largest, &rejected("x"));
    assert_eq!(letter.payload.as_ptr(), largest.message.payload.as_ptr());
    assert!(!read(&letter).summary.payload_is_reference);
}

/// Whatever the headers, ids and reasons are, a letter is made, keeps the limits and can be read back.
#[test]
fn hostile_events_always_get_a_letter() {
    let mut random = SmallRng::seed_from_u64(7);
    for _ in 0..300 {
        let mut raw: Vec<u8> = Vec::new();
        for _ in 0..random.random_range(0..400) {
            raw.extend(hostile_field(&mut random));
        }
        let mut message = message(&b"x"[..], &Headers::new());
        message.headers = RawHeaders(raw.into());
        let mut event = event(self::message(&b"x"[..], &Headers::new()));
        event.id = hostile_text(&mut random);
        event.event_type = hostile_text(&mut random);
        event.tenant = Tenant::Named(hostile_text(&mut random));
        event.traceparent = Some(hostile_text(&mut random));
        event.key = Some(hostile_text(&mut random));
        event.message = message;
        let letter = buried(&event, &rejected(hostile_text(&mut random).to_string()));
        assert!(letter.headers.encoded_len() <= HEADERS_BYTES_MAX);
        assert_eq!(RawHeaders(letter.headers.encode()).to_headers().as_ref(), Ok(&letter.headers));
        assert_eq!(read(&letter).summary.handler.as_deref(), Some("order-totals"));
    }
}

fn hostile_text(random: &mut SmallRng) -> ByteString {
    let pool = ["", "\r\n", "\0", "gh-", "ä", "\u{202e}", "\u{1F600}", "x", "\u{1b}[31m", "€", "\""];
    let pieces = (0..random.random_range(0..300)).map(|_| pool[random.random_range(0..pool.len())]);
    ByteString::from(pieces.collect::<String>())
}

/// A name and a value as the wire has them: sometimes ours, sometimes twice, sometimes broken.
fn hostile_field(random: &mut SmallRng) -> Vec<u8> {
    let names = ["gh-reason", "GH-X", "gh-hops", "traceparent", "a\r\nb", "k", "\u{1F600}"];
    let unique = format!("h{}", random.random_range(0..1_000));
    let name =
        if random.random_bool(0.5) { unique.as_str() } else { names[random.random_range(0..names.len())] };
    let mut field = Vec::new();
    let value = vec![random.random::<u8>(); random.random_range(1..=255)];
    let kind = if random.random_bool(0.01) { 0 } else { random.random_range(1..=20) };
    for (kind, bytes) in [(2, name.as_bytes()), (kind, value.as_slice())] {
        field.push(kind);
        field.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
        field.extend(bytes);
    }
    field
}
