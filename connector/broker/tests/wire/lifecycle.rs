//! Goal: what was acknowledged is there after any kind of stop, and a start that cannot work says why.
//! Method: brokers on one directory, one after another and at the same time.

use std::time::Duration;

use guesthouse_broker::{Broker, BrokerConfig, ShutdownError, running};
use iggy_binary_protocol::requests::streams::DeleteStreamRequest;
use iggy_binary_protocol::{Operation, WireEncode};
use tokio::io::AsyncWriteExt;

use crate::kit::{HANG, House, Raw, named, shut};

const T: (&str, &str, u32) = ("s", "t", 0);

#[tokio::test]
async fn everything_survives_a_shutdown() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    raw.create_stream("s").await;
    raw.create_topic("s", "t", 2).await;
    raw.send(T, &[(1, "a"), (2, "b")]).await.ok();
    shut(broker).await;
    assert!(raw.answer().await.is_none(), "idle connections are closed");
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    assert_eq!(raw.contents(T).await, [(0, "a".to_owned()), (1, "b".to_owned())]);
    raw.send(T, &[(3, "c")]).await.ok();
    assert_eq!(raw.contents(T).await.last(), Some(&(2, "c".to_owned())));
    shut(broker).await;
}

#[tokio::test]
async fn everything_acknowledged_survives_being_dropped() {
    let house = House::new();
    for round in 0..5u32 {
        let broker = house.open().await;
        let mut raw = Raw::enter(&broker).await;
        if round == 0 {
            raw.create_stream("s").await;
            raw.create_topic("s", "t", 1).await;
        }
        raw.send(T, &[(u128::from(round) + 1, "m")]).await.ok();
        drop(broker);
    }
    let broker = house.open().await;
    let contents = Raw::enter(&broker).await.contents(T).await;
    let offsets: Vec<u64> = contents.into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4]);
    shut(broker).await;
}

#[tokio::test]
async fn a_directory_serves_one_broker() {
    let house = House::new();
    let broker = house.open().await;
    let refused = Broker::start(house.config()).await.unwrap_err().to_string();
    assert!(refused.contains("is in use by another broker; stop that one"), "{refused}");
    shut(broker).await;
    assert_eq!(running(&house.config().data_dir), None);
    shut(house.open().await).await;
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let (house, other) = (House::new(), House::new());
    let broker = house.open().await;
    let config = BrokerConfig { address: broker.address(), ..other.config() };
    let refused = Broker::start(config).await.unwrap_err().to_string();
    assert!(refused.starts_with(&format!("cannot listen on {}", broker.address())), "{refused}");
    shut(broker).await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let house = House::new();
    let file = house.dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let config = BrokerConfig { data_dir: file.join("data"), ..house.config() };
    let refused = Broker::start(config).await.unwrap_err().to_string();
    assert!(refused.starts_with("cannot create data directory"), "{refused}");
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_end() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    let frame = raw.frame(Operation::CreateStream, 0, b"\x01s");
    raw.stream.write_all(&frame[..100]).await.unwrap();
    // The second connection's answer shows that the first's bytes are in the broker's hands or buffers.
    Raw::enter(&broker).await.read(1, &[]).await.ok();
    let (ended, answered) = tokio::join!(broker.shutdown(HANG), async {
        raw.stream.write_all(&frame[100..]).await.unwrap();
        raw.answer().await
    });
    ended.unwrap();
    answered.expect("the request had begun").ok();
}

#[tokio::test]
async fn a_connection_that_does_not_finish_is_cut_off() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    let frame = raw.frame(Operation::CreateStream, 0, b"\x01s");
    raw.stream.write_all(&frame[..100]).await.unwrap();
    Raw::enter(&broker).await.read(1, &[]).await.ok();
    let ended = broker.shutdown(Duration::from_millis(50)).await;
    assert!(matches!(ended, Err(ShutdownError::Busy { connections: 1 })), "{ended:?}");
    shut(house.open().await).await;
}

#[tokio::test]
async fn a_deleted_stream_leaves_no_files() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    raw.create_stream("s").await;
    raw.create_topic("s", "t", 3).await;
    raw.send(T, &[(1, "a")]).await.ok();
    let request = DeleteStreamRequest { stream_id: named("s") };
    raw.ask(Operation::DeleteStream, &request.to_bytes()).await.ok();
    let streams = std::fs::read_dir(house.config().data_dir.join("streams")).unwrap();
    assert_eq!(streams.count(), 0);
    raw.create_stream("s").await;
    raw.create_topic("s", "t", 1).await;
    assert_eq!(raw.contents(T).await, [], "a new stream of the same name is another one");
    shut(broker).await;
}
