//! Goal: a disk that is full stops acknowledgements and nothing else, and all is well again once there is room.
//! Method: a broker on a file system of 12 MiB in a mount namespace of its own, filled up through the wire. Where the
//! system does not let tests mount, this is said and nothing is tested: the seams of the log and the store still are.

use std::path::Path;
use std::process::Command;

use guesthouse_broker::{Broker, BrokerConfig};
use iggy_binary_protocol::requests::consumer_offsets::StoreConsumerOffsetRequest;
use iggy_binary_protocol::requests::streams::CreateStreamRequest;
use iggy_binary_protocol::requests::topics::PurgeTopicRequest;
use iggy_binary_protocol::{
    AckLevel, Operation, WireConsumer, WireEncode, WireIdentifier, WireName, WireOptions,
};

use crate::http;
use crate::kit::{Raw, named, shut};

const PLACE: &str = "GUESTHOUSE_TEST_SMALL_DISK";
const ORDERS: (&str, &str, u32) = ("s", "orders", 0);
const BALLAST: (&str, &str, u32) = ("s", "ballast", 0);

#[test]
fn a_full_disk_stops_acknowledgements_and_nothing_else_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let own = std::env::current_exe().unwrap();
    let mount = |then: &str| {
        let script = format!("mount -t tmpfs -o size=12m tmpfs \"$1\" && {then}");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-c", &script, "sh"]).arg(dir.path()).arg(&own);
        command
    };
    if !mount("true").status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: this system lets no test mount a file system of its own");
        return;
    }
    let inside = mount("exec \"$2\" --exact full_disk::on_the_small_disk --nocapture")
        .env(PLACE, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&inside.stdout);
    assert!(inside.status.success(), "{text}{}", String::from_utf8_lossy(&inside.stderr));
    assert!(text.contains("1 passed") && text.contains("the disk was full"), "{text}");
}

/// The part that runs on the small file system; elsewhere there is nothing to do.
#[tokio::test]
async fn on_the_small_disk() {
    let Some(place) = std::env::var_os(PLACE) else { return };
    let mut id = 0;
    let broker = open(Path::new(&place)).await;
    let mut raw = Raw::enter(&broker).await;
    raw.create_stream("s").await;
    raw.create_topic("s", "orders", 1).await;
    raw.create_topic("s", "ballast", 1).await;
    for _ in 0..5 {
        assert_eq!(send(&mut raw, ORDERS, &mut id, 100).await, 0);
    }
    assert_eq!(store_offset(&mut raw, 2).await, 0);
    for size in [200_000, 4_000, 50] {
        while send(&mut raw, BALLAST, &mut id, size).await == 0 {}
    }
    println!("the disk was full");
    assert_ne!(send(&mut raw, ORDERS, &mut id, 5_000).await, 0, "nothing is acknowledged without room");
    assert_ne!(create_stream(&mut raw, "more").await, 0);
    assert_eq!(raw.contents(ORDERS).await.len(), 5, "what is there is served");
    let (answer, health) = http::ask(broker.http_address().unwrap(), "GET", "/health", "localhost").await;
    assert_eq!(answer.status(), 200, "a full disk takes no partition offline: {health}");

    let request = PurgeTopicRequest { stream_id: named("s"), topic_id: named("ballast") };
    assert_eq!(raw.ask(Operation::PurgeTopic, &request.to_bytes()).await.status(), 0, "room can be made");
    assert_eq!(send(&mut raw, ORDERS, &mut id, 5_000).await, 0, "and then all is well again");
    assert_eq!(create_stream(&mut raw, "more").await, 0);
    assert_eq!(store_offset(&mut raw, 5).await, 0);
    shut(broker).await;

    let broker = open(Path::new(&place)).await;
    let mut raw = Raw::enter(&broker).await;
    let offsets: Vec<u64> = raw.contents(ORDERS).await.into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4, 5]);
    assert_eq!(create_stream(&mut raw, "more").await, 1012, "it is there already");
    shut(broker).await;
}

async fn open(place: &Path) -> Broker {
    let http = Some("127.0.0.1:0".parse().unwrap());
    let address = "127.0.0.1:0".parse().unwrap();
    let config = BrokerConfig { data_dir: place.join("data"), address, http, ..BrokerConfig::default() };
    Broker::start(config).await.unwrap()
}

/// Answers the status.
async fn send(raw: &mut Raw, to: (&str, &str, u32), id: &mut u128, size: usize) -> u32 {
    *id += 1;
    raw.send(to, &[(*id, &"x".repeat(size))]).await.status()
}

async fn create_stream(raw: &mut Raw, name: &str) -> u32 {
    let request = CreateStreamRequest { name: WireName::new(name).unwrap(), options: WireOptions::empty() };
    raw.ask(Operation::CreateStream, &request.to_bytes()).await.status()
}

async fn store_offset(raw: &mut Raw, offset: u64) -> u32 {
    let request = StoreConsumerOffsetRequest {
        consumer: WireConsumer::consumer(WireIdentifier::numeric(9)),
        stream_id: named("s"),
        topic_id: named("orders"),
        partition_id: Some(0),
        offset,
        ack: AckLevel::Quorum,
    };
    raw.ask(Operation::StoreConsumerOffset, &request.to_bytes()).await.status()
}
