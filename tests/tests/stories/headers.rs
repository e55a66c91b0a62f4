//! Goal: an event keeps its headers, whatever their keys are, through dead letters, parked records and replays; what
//! finds no room is counted, and stops nothing. Method: events with headers of every kind and with as many as a message holds, and
//! the program's own commands.

use std::path::Path;
use std::process::{Command, Output};

use guesthouse_connector::{Headers, OutgoingMessage, RawHeaders, ReceivedMessage};
use guesthouse_tests::client::{DLQ, DOMAIN};
use guesthouse_tests::envelope::{message, picky, tenant};
use guesthouse_tests::house::{PARTITIONS, handler, with};
use guesthouse_tests::{House, builds};
use serde_json::{Value, json};

/// Keys of every kind that Iggy has, some at the limits of their length, three with the text `1`, and what is of no known
/// kind or no value of its kind.
const KEYS: [(u8, &[u8]); 22] = [
    (1, &[0xFF; 127]),
    (1, &[0xFF; 128]),
    (1, &[0xFF; 255]),
    (1, b"1"),
    (2, b"1"),
    (2, &[b'k'; 255]),
    (2, &[0xFF]),
    (3, &[1]),
    (4, &[1]),
    (5, &[1, 0]),
    (6, &[1, 0, 0, 0]),
    (7, &[0xFF; 8]),
    (8, &[0xFF; 16]),
    (9, &[200]),
    (10, &[0xFF; 2]),
    (11, &[0xFF; 4]),
    (12, &[0xFF; 8]),
    (13, &[0xFF; 16]),
    (14, &[0, 0, 0xC0, 0x3F]),
    (15, &[0, 0, 0, 0, 0, 0, 2, 0xC0]),
    (15, &[7]),
    (200, b"future"),
];

/// Headers with these keys; their values are the same in the opposite order.
fn headers_of_every_kind() -> Headers {
    let mut raw = Vec::new();
    for (key, value) in KEYS.iter().zip(KEYS.iter().rev()) {
        for (kind, bytes) in [key, value] {
            raw.push(*kind);
            raw.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
            raw.extend(*bytes);
        }
    }
    RawHeaders(raw.into()).to_headers().unwrap()
}

/// As many headers as find room in a message.
fn full_headers() -> Headers {
    let mut headers = Headers::new();
    while headers.insert(format!("own-{:0>60}", headers.len()), "v".repeat(60)).is_ok() {}
    headers
}

/// The headers of a message that are its producer's.
fn own(message: &ReceivedMessage) -> Headers {
    let mut own = Headers::new();
    for (key, value) in &message.headers.to_headers().unwrap() {
        if !key.to_string().starts_with("gh-") {
            own.insert(key.clone(), value.clone()).unwrap();
        }
    }
    own
}

/// How many headers it says were lost.
fn lost(message: &ReceivedMessage) -> usize {
    message.headers.get("gh-headers-dropped").map_or(0, |value| value.to_string().parse().unwrap())
}

fn rejected(headers: &Headers) -> OutgoingMessage {
    OutgoingMessage { headers: headers.clone(), ..message(&picky(&tenant(1), "reject")) }
}

fn rejecting() -> Value {
    with(handler("picky", "picky"), &[("/events", json!(["demo.*"]))])
}

fn program(words: &[&str], config: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(builds::host());
    command.args(words).arg("--config").arg(config).args(more).output().unwrap()
}

/// What a command that went well wrote to its two outputs.
fn said(output: Output) -> (String, String) {
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    (String::from_utf8(output.stdout).unwrap(), errors)
}

fn id_of(message: &ReceivedMessage) -> String {
    uuid::Uuid::from_u128(message.id).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_every_kind_come_back_from_a_dead_letter() {
    let house = House::new();
    let config = house.config(&[rejecting()]);
    let file = house.write("host", &config);
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let headers = headers_of_every_kind();
    assert_eq!(headers.len(), KEYS.len());
    client.publish_messages(DOMAIN, vec![rejected(&headers)]).await;
    host.until("it is settled", |counters| counters.settled == 1).await;

    let letters = client.read(DLQ).await;
    assert_eq!(own(&letters[0].1), headers);
    let id = id_of(&letters[0].1);
    let (shown, _) = said(program(&["dlq", "show"], &file, &[&id, "--json"]));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let typed = shown["typed_headers"].as_array().unwrap();
    assert_eq!((typed.len(), &shown["headers_dropped"]), (KEYS.len(), &Value::Null));
    let ones: Vec<_> = typed.iter().filter(|header| header["key"] == "1").collect();
    let mut kinds: Vec<_> = ones.iter().map(|header| header["key_kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["int16", "int32", "int8", "string"]);
    assert!(typed.iter().any(|header| header["key"] == "31" && header["key_kind"] == "raw"), "{typed:?}");
    assert_eq!(shown["headers"].as_array().unwrap().len(), KEYS.len());
    let (text, _) = said(program(&["dlq", "show"], &file, &[&id]));
    assert!(text.contains("\n  1 (int32): ") && text.contains("\n  1: "), "{text}");

    let (replayed, errors) = said(program(&["dlq", "replay"], &file, &[&id]));
    assert_eq!(replayed, "1 dead letters, 1 published, 0 cannot be\n");
    assert!(!errors.contains("left out"), "{errors}");
    host.until("it is settled again", |counters| counters.settled == 2).await;
    let events = client.read(DOMAIN).await;
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|(_, event)| own(event) == headers), "{events:?}");
    // The second letter is of the event as the handler had it.
    let letters = client.read(DLQ).await;
    assert_eq!(letters.len(), 2);
    assert!(letters.iter().all(|(_, letter)| own(letter) == headers), "{letters:?}");
    assert_eq!(host.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_no_room_is_counted_through_a_parked_record_and_a_replay() {
    let house = House::new();
    let config = house.config(&[with(rejecting(), &[("/on_failure", json!("park"))])]);
    let file = house.write("host", &config);
    let mut host = house.start("host", &config);
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    client.make("copy").await;
    let (every_kind, full) = (headers_of_every_kind(), full_headers());
    client
        .publish_messages(DOMAIN, vec![rejected(&every_kind), rejected(&full), rejected(&every_kind)])
        .await;
    let parked = |events: u64| {
        move |counters: &guesthouse::Counters| {
            let picky = counters.handlers.get("picky");
            counters.unsettled == 0 && picky.is_some_and(|picky| picky.parked_events == events)
        }
    };
    host.until("all wait behind the first", parked(3)).await;

    let (replayed, errors) =
        said(program(&["replay", "start"], &file, &["again", "--topic", DOMAIN, "--to-topic", "copy"]));
    assert_eq!(replayed, "finished: 3 messages read, 3 published\n");
    let copies: Vec<_> = client.read("copy").await.into_iter().map(|(_, copy)| copy).collect();
    let (whole, cut): (Vec<_>, Vec<_>) = copies.iter().partition(|copy| lost(copy) == 0);
    assert_eq!(whole.len(), 2);
    assert!(whole.iter().all(|copy| own(copy) == every_kind));
    expect_counted(cut[0], &full);
    assert!(errors.contains(&format!("{} headers were left out", lost(cut[0]))), "{errors}");

    for left in [2, 1] {
        let lanes: Value = serde_json::from_str(&house.parked(&config, &["list", "--json"]).await).unwrap();
        let lane = lanes[0]["lane"].as_str().unwrap();
        house.parked(&config, &["release", lane, "--skip-first"]).await;
        host.until("the next one dies as it was parked", parked(left)).await;
    }
    let letters: Vec<_> = client.read(DLQ).await.into_iter().map(|(_, letter)| letter).collect();
    let (whole, cut): (Vec<_>, Vec<_>) = letters.iter().partition(|letter| lost(letter) == 0);
    assert_eq!((whole.len(), cut.len()), (2, 1));
    assert!(whole.iter().all(|letter| own(letter) == every_kind));
    expect_counted(cut[0], &full);

    let (replayed, _) = said(program(&["dlq", "replay"], &file, &[&id_of(cut[0])]));
    assert_eq!(replayed, "1 dead letters, 1 published, 0 cannot be\n");
    let is_back = |event: &ReceivedMessage| {
        event.headers.get("gh-replay-of").is_some_and(|id| id.to_string() == id_of(cut[0]))
    };
    let events = client.read(DOMAIN).await;
    let back = events.iter().find(|(_, event)| is_back(event));
    let (_, back) = back.unwrap();
    expect_counted(back, &full);
}

/// Checks that a message has what found room, and counts the rest.
fn expect_counted(message: &ReceivedMessage, all: &Headers) {
    let kept = own(message);
    assert!(
        lost(message) > 0 && kept.len() > all.len() / 2,
        "{} are lost, {} kept",
        lost(message),
        kept.len()
    );
    assert_eq!(kept.len() + lost(message), all.len());
    assert!(kept.iter().all(|(key, value)| all.iter().any(|pair| pair == (key, value))));
}
