//! Goal: what is dropped for its age is dropped by a clock that can be believed, also at the start of a broker.
//! Method: the time at which the broker last ran, moved between two runs, which is what a wrong clock looks like.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use guesthouse_broker::{Broker, BrokerConfig};
use iggy_binary_protocol::requests::topics::CreateTopicRequest;
use iggy_binary_protocol::responses::system::StatsResponse;
use iggy_binary_protocol::{Operation, WireDecode, WireEncode, WireName, WireOptions, encode_user_headers};
use tokio::time::timeout;

use crate::failures::Victim;
use crate::kit::{HANG, House, Raw, named, shut};

const AGED: (&str, &str, u32) = ("s", "aged", 0);
const LARGE: (&str, &str, u32) = ("s", "large", 0);
const DAYS_32: Duration = Duration::from_secs(32 * 24 * 3600);
/// Kind codes of the wire.
const STRING: u8 = 2;
const UINT64: u8 = 12;

async fn create(raw: &mut Raw, topic: &str, option: &str, value: u64) {
    let mut options = BytesMut::new();
    encode_user_headers(&[(STRING, option.as_bytes(), UINT64, &value.to_le_bytes())], &mut options);
    let request = CreateTopicRequest {
        stream_id: named("s"),
        partitions_count: 1,
        name: WireName::new(topic).unwrap(),
        options: WireOptions::from_bytes(options.freeze()).unwrap(),
    };
    raw.ask(Operation::CreateTopic, &request.to_bytes()).await.ok();
}

/// Waits until fewer than so many messages are left.
async fn wait_below(raw: &mut Raw, topic: (&str, &str, u32), messages: usize) {
    let dropped = async { while raw.contents(topic).await.len() >= messages {} };
    timeout(HANG, dropped).await.expect("retention drops messages");
}

fn micros(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap().as_micros().to_string()
}

#[tokio::test]
async fn a_clock_that_is_far_ahead_at_the_start_drops_nothing_for_its_age() {
    let house = House::new();
    // A segment for each batch of one short message.
    let config = BrokerConfig { segment_bytes_max: 500, ..house.config() };
    let broker = Broker::start(config.clone()).await.unwrap();
    let mut raw = Raw::enter(&broker).await;
    raw.create_stream("s").await;
    create(&mut raw, "aged", "message_expiry", 1).await;
    create(&mut raw, "large", "max_topic_size", 500).await;
    for id in 1..=3 {
        raw.send(AGED, &[(id, "text")]).await.ok();
        raw.send(LARGE, &[(id, "text")]).await.ok();
    }
    shut(broker).await;

    let clock = config.data_dir.join("clock");
    let long_ago = micros(SystemTime::now() - DAYS_32);
    fs::write(&clock, &long_ago).unwrap();
    for _ in ["the broker was off, or the clock is wrong", "a second start knows no more"] {
        let broker = Broker::start(config.clone()).await.unwrap();
        let mut raw = Raw::enter(&broker).await;
        // Topics are swept in the order in which they were made.
        wait_below(&mut raw, LARGE, 3).await;
        assert_eq!(raw.contents(AGED).await.len(), 3);
        raw.send(LARGE, &[(9, "text")]).await.ok();
        raw.send(LARGE, &[(10, "text")]).await.ok();
        shut(broker).await;
        assert_eq!(fs::read_to_string(&clock).unwrap(), long_ago);
    }

    fs::write(&clock, micros(SystemTime::now())).unwrap();
    let broker = Broker::start(config).await.unwrap();
    wait_below(&mut Raw::enter(&broker).await, AGED, 1).await;
    shut(broker).await;
}

#[tokio::test]
async fn time_goes_on_from_the_last_run_when_the_clock_is_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let ahead = SystemTime::now() + DAYS_32;
    fs::write(dir.path().join("clock"), micros(ahead)).unwrap();
    let victim = Victim::start(dir.path());
    let stats = victim.enter().await.read(10, &[]).await.ok();
    let stats = StatsResponse::decode_from(&stats).unwrap();
    assert!(u128::from(stats.start_time) >= ahead.duration_since(UNIX_EPOCH).unwrap().as_micros());
}
