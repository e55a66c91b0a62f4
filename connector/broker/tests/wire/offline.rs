//! Goal: a partition whose files cannot be opened is offline with the reason, one with a place that cannot be read is
//! damaged and says so, and nothing else suffers.
//! Method: files spoilt between two runs of a broker, whose other partitions go on.

use std::fs;
use std::path::PathBuf;

use guesthouse_broker::BrokerConfig;
use iggy_binary_protocol::requests::segments::DeleteSegmentsRequest;
use iggy_binary_protocol::requests::topics::DeleteTopicRequest;
use iggy_binary_protocol::{Operation, WireEncode, WirePollingStrategy};

use crate::http;
use crate::kit::{House, Raw, messages_of, named, poll, shut};

const LOST: (&str, &str, u32) = ("s", "t", 0);
const WELL: (&str, &str, u32) = ("s", "t", 1);
/// What Iggy calls a partition whose files cannot be opened.
const CANNOT_OPEN: u32 = 3003;

/// Two partitions with a message each, at rest; answers the directory of the first.
async fn furnish(house: &House) -> PathBuf {
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    raw.create_stream("s").await;
    raw.create_topic("s", "t", 2).await;
    raw.send(LOST, &[(1, "lost")]).await.ok();
    raw.send(WELL, &[(2, "well")]).await.ok();
    shut(broker).await;
    house.config().data_dir.join("streams/0/0/0")
}

async fn expect_offline(house: &House, reason: &str) {
    let config = BrokerConfig { http: Some("127.0.0.1:0".parse().unwrap()), ..house.config() };
    let broker = guesthouse_broker::Broker::start(config).await.unwrap();
    let mut raw = Raw::enter(&broker).await;
    assert_eq!(raw.send(LOST, &[(3, "x")]).await.status(), CANNOT_OPEN);
    assert_eq!(raw.contents(WELL).await, [(0, "well".to_owned())]);
    raw.send(WELL, &[(4, "more")]).await.ok();

    let (answer, health) = http::ask(broker.http_address().unwrap(), "GET", "/health", "localhost").await;
    assert_eq!(answer.status(), 503, "{health}");
    let health: serde_json::Value = serde_json::from_str(&health).unwrap();
    assert_eq!(health["partitions"][0]["state"], "offline");
    assert!(health["partitions"][0]["reason"].as_str().unwrap().contains(reason), "{health}");

    let request = DeleteTopicRequest { stream_id: named("s"), topic_id: named("t") };
    raw.ask(Operation::DeleteTopic, &request.to_bytes()).await.ok();
    assert!(!house.config().data_dir.join("streams/0/0").exists(), "what cannot be opened can be deleted");
    shut(broker).await;
}

#[tokio::test]
async fn segments_that_are_gone_do_not_make_offsets_begin_again() {
    let house = House::new();
    fs::remove_dir_all(furnish(&house).await).unwrap();
    expect_offline(&house, "there are no segment files").await;
}

#[tokio::test]
async fn segments_that_overlap_take_their_partition_offline() {
    let house = House::new();
    let dir = furnish(&house).await;
    // The segment of offset 0 holds it, and one that should begin after offset 5 claims to hold it too.
    let segment = |base: u64| dir.join(format!("{base:020}.log"));
    let broker = house.open().await;
    Raw::enter(&broker).await.send(LOST, &[(5, "second")]).await.ok();
    shut(broker).await;
    fs::write(segment(1), b"").unwrap();
    expect_offline(&house, "it reaches into the next segment").await;
}

#[tokio::test]
async fn a_segment_that_cannot_be_read_takes_its_partition_offline() {
    let house = House::new();
    let dir = furnish(&house).await;
    let segment = dir.join(format!("{:020}.log", 0));
    fs::remove_file(&segment).unwrap();
    fs::create_dir(&segment).unwrap();
    expect_offline(&house, "cannot open segment").await;
}

/// What Iggy calls a message that cannot be read.
const CANNOT_READ: u32 = 4011;

#[tokio::test]
async fn a_sealed_segment_that_is_damaged_is_told_once_a_read_meets_it() {
    let house = House::new();
    let dir = house.config().data_dir.join("streams/0/0/0");
    // A segment for each batch of one short message.
    let config =
        BrokerConfig { segment_bytes_max: 500, http: Some("127.0.0.1:0".parse().unwrap()), ..house.config() };
    let broker = guesthouse_broker::Broker::start(config.clone()).await.unwrap();
    let mut raw = Raw::enter(&broker).await;
    raw.create_stream("s").await;
    raw.create_topic("s", "t", 2).await;
    for message in 1..=3 {
        raw.send(LOST, &[(message, "text")]).await.ok();
    }
    let segment = dir.join(format!("{:020}.log", 0));
    let whole = fs::read(&segment).unwrap();
    let mut spoilt = whole.clone();
    *spoilt.last_mut().unwrap() ^= 1;
    fs::write(&segment, &spoilt).unwrap();

    let health = async |broker: &guesthouse_broker::Broker| {
        let (answer, health) = http::ask(broker.http_address().unwrap(), "GET", "/health", "localhost").await;
        (answer.status().as_u16(), serde_json::from_str::<serde_json::Value>(&health).unwrap())
    };
    assert_eq!(health(&broker).await.0, 200, "nobody has read it yet");
    let first = poll(LOST, WirePollingStrategy::first(), 10).to_bytes();
    assert_eq!(raw.read(100, &first).await.status(), CANNOT_READ);
    let (status, told) = health(&broker).await;
    assert_eq!((status, &told["partitions"][0]["state"]), (503, &"damaged".into()), "{told}");
    let reason = told["partitions"][0]["reason"].as_str().unwrap();
    assert!(reason.contains(&*segment.to_string_lossy()) && reason.contains("delete the oldest"), "{reason}");
    let (_, page) = http::ask(broker.http_address().unwrap(), "GET", "/", "localhost").await;
    assert!(page.contains("s/t/0 is damaged: "), "{page}");

    raw.send(LOST, &[(4, "text")]).await.ok();
    let behind = poll(LOST, WirePollingStrategy::offset(1), 10).to_bytes();
    let served = messages_of(&raw.read(100, &behind).await.ok()).1;
    assert_eq!(served.len(), 3, "what lies behind the damage is served");
    shut(broker).await;
    let broker = guesthouse_broker::Broker::start(config.clone()).await.unwrap();
    let mut raw = Raw::enter(&broker).await;
    assert_eq!(health(&broker).await.0, 503, "it is remembered");
    let served = messages_of(&raw.read(100, &behind).await.ok()).1;
    assert_eq!(served.len(), 3, "what lies behind the damage is served");

    fs::write(&segment, &whole).unwrap();
    shut(broker).await;
    let broker = guesthouse_broker::Broker::start(config).await.unwrap();
    let mut raw = Raw::enter(&broker).await;
    assert_eq!(health(&broker).await.0, 200, "the segment was put back before the start");
    fs::write(&segment, &spoilt).unwrap();
    assert_eq!(raw.read(100, &first).await.status(), CANNOT_READ);
    assert_eq!(health(&broker).await.0, 503);
    fs::write(&segment, &whole).unwrap();
    raw.read(100, &first).await.ok();
    assert_eq!(health(&broker).await.0, 200, "the segment was put back");
    fs::write(&segment, &spoilt).unwrap();
    assert_eq!(raw.read(100, &first).await.status(), CANNOT_READ);
    assert_eq!(health(&broker).await.0, 503);
    let delete = DeleteSegmentsRequest {
        stream_id: named("s"),
        topic_id: named("t"),
        partition_id: 0,
        segments_count: 1,
    };
    raw.ask(Operation::DeleteSegments, &delete.to_bytes()).await.ok();
    assert_eq!(health(&broker).await.0, 200, "the damage is gone with its segment");
    shut(broker).await;
}

#[tokio::test]
async fn nothing_is_confirmed_once_the_data_directory_is_gone() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    raw.create_stream("s").await;
    raw.create_topic("s", "t", 1).await;
    raw.send(("s", "t", 0), &[(1, "a")]).await.ok();
    let data_dir = house.config().data_dir;
    let aside = data_dir.with_extension("aside");
    std::fs::rename(&data_dir, &aside).unwrap();
    assert_ne!(raw.send(("s", "t", 0), &[(2, "b")]).await.status(), 0, "it would be lost");
    std::fs::create_dir(&data_dir).unwrap();
    assert_ne!(
        raw.send(("s", "t", 0), &[(2, "b")]).await.status(),
        0,
        "another directory is not the one taken"
    );
    std::fs::remove_dir(&data_dir).unwrap();
    std::fs::rename(&aside, &data_dir).unwrap();
    raw.send(("s", "t", 0), &[(2, "b")]).await.ok();
    assert_eq!(raw.contents(("s", "t", 0)).await.len(), 2, "what was refused can be sent again");
    shut(broker).await;
}
