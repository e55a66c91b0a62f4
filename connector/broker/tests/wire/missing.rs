//! Goal: a data directory that goes back, or loses a part, is told with numbers, and nothing in it is written over; under
//! a running broker it is an error for every send that would be lost.
//! Method: catalogs, directories and segments removed between two runs of a broker, and during one.

use std::fs;
use std::path::{Path, PathBuf};

use guesthouse_broker::{Broker, BrokerConfig, Severity, examine};
use iggy_binary_protocol::requests::consumer_offsets::StoreConsumerOffsetRequest;
use iggy_binary_protocol::requests::partitions::CreatePartitionsRequest;
use iggy_binary_protocol::requests::segments::DeleteSegmentsRequest;
use iggy_binary_protocol::requests::topics::CreateTopicRequest;
use iggy_binary_protocol::{
    AckLevel, Operation, WireConsumer, WireEncode, WireName, WireOptions, WirePollingStrategy,
};

use crate::http;
use crate::kit::{House, Raw, named, poll, shut};

const P: (&str, &str, u32) = ("s", "t", 0);
const Q: (&str, &str, u32) = ("s", "t", 1);
/// What Iggy calls a message that was not appended.
const CANNOT_APPEND: u32 = 4010;

/// A segment for each batch of one short message, and a page to look at.
fn config(house: &House) -> BrokerConfig {
    BrokerConfig { segment_bytes_max: 500, http: Some("127.0.0.1:0".parse().unwrap()), ..house.config() }
}

async fn start(house: &House) -> Broker {
    Broker::start(config(house)).await.unwrap()
}

/// Five messages in partition 0, and one in partition 1, at rest; answers the directory of the first.
async fn furnish(house: &House) -> PathBuf {
    let broker = start(house).await;
    let mut raw = Raw::enter(&broker).await;
    raw.create_stream("s").await;
    raw.create_topic("s", "t", 2).await;
    for message in 1..=5 {
        raw.send(P, &[(message, "text")]).await.ok();
    }
    raw.send(Q, &[(9, "well")]).await.ok();
    shut(broker).await;
    house.config().data_dir.join("streams/0/0/0")
}

fn remove_segment(dir: &Path, base: u64) {
    fs::remove_file(dir.join(format!("{base:020}.log"))).unwrap();
}

async fn offsets(raw: &mut Raw) -> Vec<u64> {
    raw.contents(P).await.into_iter().map(|(offset, _)| offset).collect()
}

/// What the broker says of the first partition: whether all is well, its state, and why.
async fn health(broker: &Broker) -> (u16, String, String) {
    let (answer, text) = http::ask(broker.http_address().unwrap(), "GET", "/health", "localhost").await;
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    let of = |key: &str| told["partitions"][0][key].as_str().unwrap_or_default().to_owned();
    (answer.status().as_u16(), of("state"), of("reason"))
}

async fn expect_missing(broker: &Broker, offsets: u64) {
    let (_, metrics) = http::ask(broker.http_address().unwrap(), "GET", "/metrics", "localhost").await;
    let line = format!("guesthouse_broker_topic_missing_offsets{{stream=\"s\",topic=\"t\"}} {offsets}\n");
    assert!(metrics.contains(&line), "{metrics}");
}

#[tokio::test]
async fn a_catalog_that_was_emptied_does_not_let_new_topics_be_written_over_what_is_there() {
    let house = House::new();
    furnish(&house).await;
    let data_dir = house.config().data_dir;
    let catalog = data_dir.join("meta.redb");
    let kept = fs::read(&catalog).unwrap();
    fs::remove_file(&catalog).unwrap();
    for round in ["it is gone", "a start made an empty one"] {
        let refused = Broker::start(config(&house)).await.unwrap_err();
        let cause = std::error::Error::source(&refused).unwrap().to_string();
        assert!(cause.contains("does not know of 2 partitions with "), "{round}: {cause}");
        assert!(cause.contains("put the right meta.redb back"), "{round}: {cause}");
    }
    let found = examine(&data_dir).unwrap();
    assert_eq!(found.worst(), Some(Severity::Fatal), "{found:?}");
    fs::write(&catalog, kept).unwrap();
    let broker = start(&house).await;
    assert_eq!(offsets(&mut Raw::enter(&broker).await).await, [0, 1, 2, 3, 4], "nothing was touched");
    shut(broker).await;

    fs::remove_file(&catalog).unwrap();
    fs::rename(data_dir.join("streams"), data_dir.join("aside")).unwrap();
    let broker = start(&house).await;
    assert_eq!(health(&broker).await.0, 200, "it begins without them when it is told to");
    shut(broker).await;
}

/// As when files or the disk run out in the middle of it.
#[tokio::test]
async fn a_topic_that_cannot_be_made_leaves_no_partitions_behind() {
    let house = House::new();
    let dir = furnish(&house).await;
    let broker = start(&house).await;
    let mut raw = Raw::enter(&broker).await;
    // Where the next topic keeps its partitions there is something in the way of the fourth.
    let topic = dir.parent().unwrap().with_file_name("1");
    fs::create_dir(&topic).unwrap();
    fs::write(topic.join("3"), "in the way").unwrap();
    let partitions = || -> Vec<std::ffi::OsString> {
        let names =
            fs::read_dir(&topic).map(|entries| entries.map(|entry| entry.unwrap().file_name()).collect());
        names.unwrap_or_else(|_| Vec::new())
    };
    let request = CreateTopicRequest {
        stream_id: named("s"),
        partitions_count: 6,
        name: WireName::new("u").unwrap(),
        options: WireOptions::empty(),
    };
    let refused = raw.ask(Operation::CreateTopic, &request.to_bytes()).await;
    assert_ne!(refused.status(), 0, "{refused:?}");
    assert_eq!(partitions(), ["3"], "what was made is taken back");
    fs::remove_file(topic.join("3")).unwrap();
    raw.create_topic("s", "u", 6).await;
    assert_eq!(partitions().len(), 6);
    raw.send(("s", "u", 5), &[(1, "new")]).await.ok();
    assert_eq!(raw.contents(("s", "u", 5)).await, [(0, "new".to_owned())]);
}

#[tokio::test]
async fn a_new_partition_does_not_take_the_messages_of_a_deleted_one_with_it() {
    let house = House::new();
    let dir = furnish(&house).await;
    let left_over = dir.with_file_name("2");
    fs::create_dir(&left_over).unwrap();
    fs::copy(dir.join(format!("{:020}.log", 0)), left_over.join(format!("{:020}.log", 0))).unwrap();
    let broker = start(&house).await;
    let mut raw = Raw::enter(&broker).await;
    let request =
        CreatePartitionsRequest { stream_id: named("s"), topic_id: named("t"), partitions_count: 1 };
    raw.ask(Operation::CreatePartitions, &request.to_bytes()).await.ok();
    raw.send(("s", "t", 2), &[(1, "new")]).await.ok();
    assert_eq!(raw.contents(("s", "t", 2)).await, [(0, "new".to_owned())]);
    let aside = dir.with_file_name("2.left-over-1").join(format!("{:020}.log", 0));
    assert!(fs::metadata(aside).unwrap().len() > 0, "they are still there");
    shut(broker).await;
}

#[tokio::test]
async fn a_partition_whose_directory_is_gone_is_counted() {
    let house = House::new();
    fs::remove_dir_all(furnish(&house).await).unwrap();
    let broker = start(&house).await;
    let (status, state, reason) = health(&broker).await;
    assert_eq!((status, state.as_str()), (503, "offline"));
    // The first message reserved a block of 65,536 behind itself.
    assert!(reason.contains("messages with offsets below 65537 were in them"), "{reason}");
    expect_missing(&broker, 65_537).await;
    shut(broker).await;
}

#[tokio::test]
async fn a_segment_that_is_gone_from_the_middle_is_named_with_its_offsets_until_it_is_back() {
    let house = House::new();
    let dir = furnish(&house).await;
    let segment = dir.join(format!("{:020}.log", 2));
    let kept = fs::read(&segment).unwrap();
    remove_segment(&dir, 1);
    fs::remove_file(&segment).unwrap();
    let broker = start(&house).await;
    let (status, state, reason) = health(&broker).await;
    assert_eq!((status, state.as_str()), (503, "damaged"));
    assert!(reason.contains("holds the offsets 1 to 2,") && reason.contains("put it back"), "{reason}");
    expect_missing(&broker, 2).await;
    assert_eq!(offsets(&mut Raw::enter(&broker).await).await, [0, 3, 4], "the rest serves");
    shut(broker).await;

    fs::write(&segment, kept).unwrap();
    let broker = start(&house).await;
    assert!(health(&broker).await.2.contains("holds the offsets 1 to 1,"));
    let mut raw = Raw::enter(&broker).await;
    let delete = DeleteSegmentsRequest {
        stream_id: named("s"),
        topic_id: named("t"),
        partition_id: 0,
        segments_count: 1,
    };
    raw.ask(Operation::DeleteSegments, &delete.to_bytes()).await.ok();
    assert_eq!(health(&broker).await.0, 200, "the operator let go of what was before the gap");
    expect_missing(&broker, 0).await;
    shut(broker).await;
}

#[tokio::test]
async fn a_log_whose_end_is_gone_gives_no_offset_away_again() {
    let house = House::new();
    let dir = furnish(&house).await;
    remove_segment(&dir, 4);
    let broker = start(&house).await;
    let (status, state, reason) = health(&broker).await;
    assert_eq!((status, state.as_str()), (503, "damaged"));
    assert!(reason.contains("holds the offsets 4 to 65536,"), "{reason}");
    expect_missing(&broker, 65_533).await;
    let mut raw = Raw::enter(&broker).await;
    raw.send(P, &[(6, "text")]).await.ok();
    assert_eq!(offsets(&mut raw).await, [0, 1, 2, 3, 65_537]);
    shut(broker).await;
    let broker = start(&house).await;
    assert_eq!(health(&broker).await.0, 503, "it is told until it is back");
    shut(broker).await;
}

#[tokio::test]
async fn an_end_that_consumers_have_read_is_missed() {
    let house = House::new();
    furnish(&house).await;
    let broker = start(&house).await;
    let mut raw = Raw::enter(&broker).await;
    let stored = StoreConsumerOffsetRequest {
        consumer: WireConsumer::consumer(named("9")),
        stream_id: named("s"),
        topic_id: named("t"),
        partition_id: Some(0),
        offset: 4,
        ack: AckLevel::Quorum,
    };
    raw.ask(Operation::StoreConsumerOffset, &stored.to_bytes()).await.ok();
    shut(broker).await;
    let dir = house.config().data_dir.join("streams/0/0/0");
    remove_segment(&dir, 4);
    // Without it, nothing else tells that another segment followed.
    fs::remove_file(dir.join(format!("{:020}.index", 3))).unwrap();
    let broker = start(&house).await;
    assert!(health(&broker).await.2.contains("holds the offsets 4 to "));
    shut(broker).await;
}

#[tokio::test]
async fn nothing_is_confirmed_into_a_directory_or_a_segment_that_was_removed() {
    let house = House::new();
    let dir = furnish(&house).await;
    let broker = start(&house).await;
    let mut raw = Raw::enter(&broker).await;
    let aside = dir.with_extension("aside");
    fs::rename(&dir, &aside).unwrap();
    for _ in 0..2 {
        assert_eq!(raw.send(P, &[(6, "text")]).await.status(), CANNOT_APPEND);
    }
    raw.send(Q, &[(10, "well")]).await.ok();
    let (status, state, reason) = health(&broker).await;
    assert_eq!((status, state.as_str()), (503, "refusing"));
    assert!(reason.contains("somebody removed or replaced the segment"), "{reason}");
    fs::rename(&aside, &dir).unwrap();
    assert_eq!(health(&broker).await.0, 200);
    raw.send(P, &[(6, "text")]).await.ok();
    assert_eq!(offsets(&mut raw).await, [0, 1, 2, 3, 4, 5]);

    remove_segment(&dir, 5);
    assert_eq!(raw.send(P, &[(7, "text")]).await.status(), CANNOT_APPEND);
    shut(broker).await;
    let broker = start(&house).await;
    let mut raw = Raw::enter(&broker).await;
    raw.send(P, &[(7, "text")]).await.ok();
    assert!(*offsets(&mut raw).await.last().unwrap() > 5, "offset 5 was confirmed");
    shut(broker).await;
}

#[tokio::test]
async fn a_sealed_segment_that_was_removed_is_told_by_the_read_that_misses_it() {
    let house = House::new();
    let dir = furnish(&house).await;
    let broker = start(&house).await;
    let mut raw = Raw::enter(&broker).await;
    remove_segment(&dir, 0);
    let first = poll(P, WirePollingStrategy::first(), 10).to_bytes();
    assert_ne!(raw.read(100, &first).await.status(), 0);
    let (status, state, reason) = health(&broker).await;
    assert_eq!((status, state.as_str()), (503, "damaged"));
    assert!(reason.contains("00000.log is gone"), "{reason}");
    shut(broker).await;
}
