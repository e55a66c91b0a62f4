//! Goal: messages are appended once, in order, and read from wherever a client asks.
//! Method: sends and polls on small topics.

use guesthouse_broker::{Limits, examine};
use iggy_binary_protocol::primitives::user_headers::user_headers_encoded_size;
use iggy_binary_protocol::requests::messages::PollMessagesRequest;
use iggy_binary_protocol::requests::topics::{CreateTopicRequest, PurgeTopicRequest};
use iggy_binary_protocol::{
    Operation, WireEncode, WireName, WireOptions, WirePollingStrategy, encode_user_headers,
};

use crate::kit::{House, Raw, messages_of, named, poll, send_body, shut};

const NONE: [u64; 0] = [];
const T: (&str, &str, u32) = ("s", "t", 0);

async fn topic(broker: &guesthouse_broker::Broker) -> Raw {
    let mut raw = Raw::enter(broker).await;
    raw.create_stream("s").await;
    raw.create_topic("s", "t", 2).await;
    raw
}

async fn offsets(raw: &mut Raw, request: PollMessagesRequest) -> Vec<u64> {
    let body = raw.read(100, &request.to_bytes()).await.ok();
    messages_of(&body).1.into_iter().map(|(offset, _)| offset).collect()
}

fn options(key: &str, value: &str) -> WireOptions {
    let entry = [(2u8, key.as_bytes(), 2u8, value.as_bytes())];
    let mut bytes = bytes::BytesMut::with_capacity(user_headers_encoded_size(&entry));
    encode_user_headers(&entry, &mut bytes);
    WireOptions::from_bytes(bytes.freeze()).unwrap()
}

fn create(name: &str, options: WireOptions) -> bytes::Bytes {
    let name = WireName::new(name).unwrap();
    CreateTopicRequest { stream_id: named("s"), partitions_count: 1, name, options }.to_bytes()
}

#[tokio::test]
async fn a_poll_begins_where_its_strategy_says() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = topic(&broker).await;
    for batch in 0..3 {
        let messages: Vec<(u128, &str)> = (1..=4).map(|id| (batch * 10 + id, "m")).collect();
        raw.send(T, &messages).await.ok();
    }
    let at = WirePollingStrategy::offset;
    assert_eq!(offsets(&mut raw, poll(T, at(3), 3)).await, [3, 4, 5]);
    assert_eq!(offsets(&mut raw, poll(T, at(11), 3)).await, [11]);
    assert_eq!(offsets(&mut raw, poll(T, at(12), 3)).await, NONE);
    assert_eq!(offsets(&mut raw, poll(T, WirePollingStrategy::first(), 2)).await, [0, 1]);
    assert_eq!(offsets(&mut raw, poll(T, WirePollingStrategy::last(), 2)).await, [10, 11]);
    assert_eq!(offsets(&mut raw, poll(T, WirePollingStrategy::last(), 50)).await.len(), 12);
    assert_eq!(offsets(&mut raw, poll(T, WirePollingStrategy::timestamp(0), 1)).await, [0]);
    assert_eq!(offsets(&mut raw, poll(T, WirePollingStrategy::timestamp(u64::MAX), 1)).await, NONE);
    shut(broker).await;
}

#[tokio::test]
async fn next_follows_what_was_committed() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = topic(&broker).await;
    raw.send(T, &[(1, "a"), (2, "b"), (3, "c")]).await.ok();
    let next = |auto_commit| PollMessagesRequest { auto_commit, ..poll(T, WirePollingStrategy::next(), 2) };
    assert_eq!(offsets(&mut raw, next(false)).await, [0, 1]);
    assert_eq!(offsets(&mut raw, next(true)).await, [0, 1]);
    assert_eq!(offsets(&mut raw, next(true)).await, [2]);
    assert_eq!(offsets(&mut raw, next(true)).await, NONE);
    let again = PollMessagesRequest { auto_commit: true, ..poll(T, WirePollingStrategy::first(), 1) };
    assert_eq!(offsets(&mut raw, again).await, [0]);
    assert_eq!(offsets(&mut raw, next(false)).await, NONE, "committing on a poll never goes back");
    shut(broker).await;
}

#[tokio::test]
async fn a_batch_repeated_after_a_lost_answer_is_appended_once() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = topic(&broker).await;
    assert_eq!(raw.send(T, &[(1, "a"), (2, "b")]).await.ok().len(), 24);
    let mut again = Raw::enter(&broker).await;
    assert_eq!(again.send(T, &[(1, "a"), (2, "b")]).await.ok(), b"", "accepted, without new offsets");
    raw.send(T, &[(2, "b"), (3, "c")]).await.ok();
    raw.send(("s", "t", 1), &[(1, "a")]).await.ok();
    raw.send(T, &[(0, "x")]).await.ok();
    raw.send(T, &[(0, "x")]).await.ok();
    let payloads: Vec<String> = raw.contents(T).await.into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(payloads, ["a", "b", "b", "c", "x", "x"]);
    assert_eq!(raw.contents(("s", "t", 1)).await.len(), 1, "every partition has its own window");
    shut(broker).await;
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    assert_eq!(raw.send(T, &[(1, "a"), (3, "c")]).await.ok(), b"", "the window survives a restart");
    shut(broker).await;
}

#[tokio::test]
async fn who_was_answered_and_sends_the_same_again_means_it() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = topic(&broker).await;
    for _ in 0..100 {
        assert_eq!(raw.send(T, &[(1, "a"), (2, "b")]).await.ok().len(), 24, "stored, at offsets of its own");
    }
    assert_eq!(raw.contents(T).await.len(), 200);
    let mut other = Raw::enter(&broker).await;
    assert_eq!(
        other.send(T, &[(1, "a"), (2, "b")]).await.ok(),
        b"",
        "its answer may have been lost elsewhere"
    );
    assert_eq!(other.send(T, &[(1, "a"), (2, "b")]).await.ok().len(), 24, "here it was answered");
    assert_eq!(raw.contents(T).await.len(), 202);
    shut(broker).await;
}

#[tokio::test]
async fn a_reply_has_a_bound_in_bytes_but_never_less_than_one_message() {
    let house = House::new();
    let broker = house.open_with(Limits { poll_bytes_max: 2_000, ..Limits::default() }).await;
    let mut raw = topic(&broker).await;
    let large = "x".repeat(900);
    for id in 1..=6 {
        raw.send(T, &[(id, &large)]).await.ok();
    }
    let served = offsets(&mut raw, poll(T, WirePollingStrategy::first(), 100)).await;
    assert!((1..=2).contains(&served.len()), "{served:?}");
    raw.send(T, &[(9, &"y".repeat(5_000))]).await.ok();
    assert_eq!(offsets(&mut raw, poll(T, WirePollingStrategy::offset(6), 100)).await, [6]);
    shut(broker).await;
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = topic(&broker).await;
    for (to, status) in [(("x", "t", 0), 1009), (("s", "x", 0), 2010), (("s", "t", 2), 3007)] {
        assert_eq!(raw.send(to, &[(1, "a")]).await.status(), status);
        let request = poll(to, WirePollingStrategy::first(), 1).to_bytes();
        assert_eq!(raw.read(100, &request).await.status(), status);
    }
    let nothing = poll(T, WirePollingStrategy::first(), 0).to_bytes();
    assert_eq!(raw.read(100, &nothing).await.status(), 4009);
    shut(broker).await;
}

#[tokio::test]
async fn a_damaged_batch_is_refused_whole() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = topic(&broker).await;
    let body = send_body(T, &[(1, "first"), (2, "second")]);
    let batch = 4 + u32::from_le_bytes(body[..4].try_into().unwrap()) as usize;
    let last = body.len() - 1;
    for (at, status) in [(last, 4027), (batch + 24, 4039), (batch - 4, 4039), (batch + 100, 4039)] {
        let mut damaged = body.to_vec();
        damaged[at] ^= 0x55;
        assert_eq!(raw.ask(Operation::SendMessages, &damaged).await.status(), status, "byte {at}");
    }
    let surplus = [body.as_ref(), &[0]].concat();
    assert_eq!(raw.ask(Operation::SendMessages, &surplus).await.status(), 4039);
    assert_eq!(raw.contents(T).await, []);
    shut(broker).await;
}

#[tokio::test]
async fn options_of_a_topic_are_checked() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = topic(&broker).await;
    for (key, value, status) in [
        ("colour", "red", 4041),
        ("durability", "sometimes", 4042),
        ("segment_size", "1000", 4042),
        ("max_topic_size", "1 MiB", 1019),
    ] {
        let body = create("o", options(key, value));
        assert_eq!(raw.ask(Operation::CreateTopic, &body).await.status(), status, "{key}={value}");
    }
    raw.ask(Operation::CreateTopic, &create("o", options("durability", "persisted"))).await.ok();
    raw.send(("s", "o", 0), &[(1, "synced")]).await.ok();
    assert_eq!(raw.contents(("s", "o", 0)).await, [(0, "synced".to_owned())]);
    shut(broker).await;
}

#[tokio::test]
async fn zeros_that_a_persisted_topic_wrote_ahead_are_no_damage_and_no_messages() {
    const SYNCED: (&str, &str, u32) = ("s", "o", 0);
    let house = House::new();
    let data = house.config().data_dir;
    let broker = house.open().await;
    let mut raw = topic(&broker).await;
    raw.ask(Operation::CreateTopic, &create("o", options("durability", "persisted"))).await.ok();
    raw.send(SYNCED, &[(1, "a")]).await.ok();
    shut(broker).await;
    let bytes = std::fs::metadata(data.join(format!("streams/0/1/0/{:020}.log", 0))).unwrap().len();
    assert!(bytes > 4_096, "{bytes} bytes for one message");
    let found = examine(&data).unwrap();
    assert_eq!((found.findings, found.messages), (vec![], 1));

    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    raw.send(SYNCED, &[(2, "b")]).await.ok();
    assert_eq!(raw.contents(SYNCED).await, [(0, "a".to_owned()), (1, "b".to_owned())]);
    shut(broker).await;
}

#[tokio::test]
async fn purging_empties_a_topic_and_offsets_go_on() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = topic(&broker).await;
    raw.send(T, &[(1, "a"), (2, "b")]).await.ok();
    let purge = PurgeTopicRequest { stream_id: named("s"), topic_id: named("t") };
    raw.ask(Operation::PurgeTopic, &purge.to_bytes()).await.ok();
    assert_eq!(raw.contents(T).await, []);
    raw.send(T, &[(1, "a")]).await.ok();
    assert_eq!(raw.contents(T).await, [(2, "a".to_owned())]);
    shut(broker).await;
}

#[tokio::test]
async fn a_topic_that_asks_for_it_stores_what_other_connections_repeat() {
    let house = House::new();
    for (stored_in, payloads) in [("other", 1), ("t", 2), ("*", 3)] {
        let repeats_stored_in = vec![stored_in.to_owned()];
        let config = guesthouse_broker::BrokerConfig { repeats_stored_in, ..house.config() };
        let broker = guesthouse_broker::Broker::start(config).await.unwrap();
        let mut raw = Raw::enter(&broker).await;
        if payloads == 1 {
            raw.create_stream("s").await;
            raw.create_topic("s", "t", 1).await;
            raw.send(T, &[(1, "a")]).await.ok();
        }
        let mut again = Raw::enter(&broker).await;
        again.send(T, &[(1, "a")]).await.ok();
        assert_eq!(raw.contents(T).await.len(), payloads, "{stored_in}");
        shut(broker).await;
    }
}
