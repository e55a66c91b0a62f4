//! Goal: what is confirmed is stored once, whole, in its partition and in order.
//! Method: publish in different ways and read the partitions back.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use guesthouse_connector::{
    Batching, ConnectorError, HeaderValue, Headers, PartitionId, Partitioning, PublishRequest, TopicAddress,
    connector,
};
use tokio::task::JoinSet;

use crate::kit::{House, batch, both_kinds, embedded_config, ids, message, read_all, spec};

both_kinds!(
    headers_of_every_kind_come_back,
    a_batch_is_spread_and_keeps_its_order,
    keys_decide_the_partition,
    a_request_carries_its_event_id,
    concurrent_callers_share_requests_and_lose_nothing,
    a_batch_larger_than_one_request_arrives_in_order,
    what_cannot_be_sent_comes_back,
);

async fn headers_of_every_kind_come_back(house: &House) {
    let topic = house.topic("headers", 1).await;
    let mut headers = Headers::new();
    let values: [HeaderValue; 15] = [
        Bytes::from_static(&[0, 1, 255]).into(),
        "gästehaus".into(),
        true.into(),
        i8::MIN.into(),
        i16::MIN.into(),
        i32::MIN.into(),
        i64::MIN.into(),
        i128::MIN.into(),
        u8::MAX.into(),
        u16::MAX.into(),
        u32::MAX.into(),
        u64::MAX.into(),
        u128::MAX.into(),
        1.5_f32.into(),
        (-2.25_f64).into(),
    ];
    for (index, value) in values.into_iter().enumerate() {
        headers.insert(format!("header-{index}"), value).unwrap();
    }
    let future = HeaderValue::Unknown { kind: 200, bytes: Bytes::from_static(b"future") };
    headers.insert("future", future).unwrap();
    let mut sent = message(7, Partitioning::Partition(PartitionId(0)));
    sent.headers = headers.clone();
    house.connector.publish_batch(&topic, vec![sent.clone()]).await.unwrap();

    let received = read_all(&*house.connector, &topic, 0).await;
    assert_eq!(ids(&received), [7]);
    assert_eq!(received[0].payload, sent.payload);
    assert_eq!(received[0].headers.to_headers().unwrap(), headers);
    assert!(received[0].origin_timestamp_micros > 0 && received[0].timestamp_micros > 0);
}

async fn a_batch_is_spread_and_keeps_its_order(house: &House) {
    let topic = house.topic("spread", 4).await;
    let partition = |id: u128| Partitioning::Partition(PartitionId((id % 4) as u32));
    let messages = (1..=400).map(|id| message(id, partition(id))).collect();
    house.connector.publish_batch(&topic, messages).await.unwrap();
    for index in 0..4_u32 {
        let expected: Vec<u128> = (1..=400).filter(|id| id % 4 == u128::from(index)).collect();
        assert_eq!(ids(&read_all(&*house.connector, &topic, index).await), expected);
    }
}

async fn keys_decide_the_partition(house: &House) {
    let topic = house.topic("keys", 8).await;
    let keys = [("tenant-123", 5), ("tenant-456", 7), ("00000000-0000-0000-0000-000000000001", 0)];
    for (index, (key, _)) in keys.iter().enumerate() {
        let message = message(index as u128 + 1, Partitioning::Key((*key).to_owned()));
        house.connector.publish_batch(&topic, vec![message]).await.unwrap();
    }
    for (index, (key, partition)) in keys.iter().enumerate() {
        let found = ids(&read_all(&*house.connector, &topic, *partition).await);
        assert_eq!(found, [index as u128 + 1], "{key}");
    }
}

async fn a_request_carries_its_event_id(house: &House) {
    let topic = house.topic("requests", 1).await;
    let event_id = "550e8400-e29b-41d4-a716-446655440000";
    for event_id in [event_id, "order-1"] {
        let request = PublishRequest::new(&topic.stream, &topic.topic, "tenant", b"x".to_vec(), event_id);
        house.connector.publish(request).await.unwrap();
    }
    let received = read_all(&*house.connector, &topic, 0).await;
    assert_eq!(received[0].id, 0x550e_8400_e29b_41d4_a716_4466_5544_0000);
    assert_eq!(received[0].headers.get("event-id").unwrap().as_str(), Some(event_id));
    assert_ne!(received[1].id, 0);
    assert_eq!(received[1].headers.get("event-id").unwrap().as_str(), Some("order-1"));
}

async fn concurrent_callers_share_requests_and_lose_nothing(house: &House) {
    let topic = house.topic("concurrent", 4).await;
    let mut callers = JoinSet::new();
    for caller in 0..64_u128 {
        let (connector, topic) = (house.connector.clone(), topic.clone());
        callers.spawn(async move {
            for round in 0..10 {
                let id = 1 + caller * 10 + round;
                let message = message(id, Partitioning::Partition(PartitionId((caller % 4) as u32)));
                connector.publish_batch(&topic, vec![message]).await.unwrap();
            }
        });
    }
    callers.join_all().await;
    let mut all = Vec::new();
    for partition in 0..4_u32 {
        let found = ids(&read_all(&*house.connector, &topic, partition).await);
        for caller in 0..64_u128 {
            let own: Vec<_> = found.iter().filter(|id| (*id - 1) / 10 == caller).collect();
            assert!(own.is_sorted(), "caller {caller} out of order: {own:?}");
        }
        all.extend(found);
    }
    all.sort_unstable();
    assert_eq!(all, (1..=640).collect::<Vec<u128>>());
}

async fn a_batch_larger_than_one_request_arrives_in_order(house: &House) {
    let topic = house.topic("large", 1).await;
    let mut messages = batch(1..=40, 0);
    for message in &mut messages {
        message.payload = Bytes::from(vec![7; 512 * 1024]);
    }
    house.connector.publish_batch(&topic, messages).await.unwrap();
    let received = read_all(&*house.connector, &topic, 0).await;
    assert_eq!(ids(&received), (1..=40).collect::<Vec<u128>>());
    assert!(received.iter().all(|message| message.payload.len() == 512 * 1024));
}

async fn what_cannot_be_sent_comes_back(house: &House) {
    let topic = house.topic("refused", 2).await;
    let mut messages = batch(1..=2, 0);
    messages[1].payload = Bytes::from(vec![0; 64_000_001]);
    let error = house.connector.publish_batch(&topic, messages).await.unwrap_err();
    assert!(matches!(error.source, ConnectorError::Publish(_)), "{:?}", error.source);
    assert_eq!(error.unpublished.iter().map(|message| message.id).collect::<Vec<_>>(), [1, 2]);

    let missing = TopicAddress::new(&house.stream, "missing");
    let keyed = vec![message(3, Partitioning::Key("tenant".to_owned()))];
    let error = house.connector.publish_batch(&missing, keyed).await.unwrap_err();
    assert!(matches!(error.source, ConnectorError::Topology(_)), "{:?}", error.source);
    assert_eq!(error.unpublished.len(), 1);

    let half = [batch([4, 5], 1), batch([6], 99)].concat();
    let error = house.connector.publish_batch(&topic, half).await.unwrap_err();
    assert_eq!(error.unpublished.iter().map(|message| message.id).collect::<Vec<_>>(), [6]);
    assert_eq!(ids(&read_all(&*house.connector, &topic, 1).await), [4, 5]);
    assert!(read_all(&*house.connector, &topic, 0).await.is_empty());
}

/// A request is stored under one time. What is alone waits for company, but not for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_others_linger_shares_their_request() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = embedded_config(dir.path());
    config.batching = Batching { linger: Duration::from_secs(5), messages_max: 8, ..Batching::default() };
    let connector = connector(config.mode);
    connector.connect(&config).await.unwrap();
    connector.ensure_topics("rustok", &[spec("together", 2)]).await.unwrap();
    let topic = TopicAddress::new("rustok", "together");

    let mut callers = JoinSet::new();
    for id in 1..=8 {
        let (connector, topic) = (connector.clone(), topic.clone());
        callers.spawn(async move { connector.publish_batch(&topic, batch([id], 0)).await });
    }
    callers.spawn({
        let (connector, topic) = (connector.clone(), topic.clone());
        async move { connector.publish_batch(&topic, batch([9], 1)).await }
    });
    assert!(callers.join_all().await.iter().all(Result::is_ok));
    let together = read_all(&*connector, &topic, 0).await;
    let times: BTreeSet<_> = together.iter().map(|message| message.timestamp_micros).collect();
    assert_eq!((together.len(), times.len()), (8, 1));
    assert_eq!(ids(&read_all(&*connector, &topic, 1).await), [9]);

    config.batching.messages_max = 0;
    connector.shutdown().await.unwrap();
    let error = connector.connect(&config).await.unwrap_err();
    assert_eq!(error.to_string(), "configuration error: batching.messages_max is 0, expected 1..=8192");
}

/// On one thread, so that the callers are told, publish again, and are overtaken by nobody.
#[tokio::test]
async fn callers_who_publish_again_and_again_do_not_take_turns() {
    const CALLERS: u32 = 8;
    const TIMES: u32 = 20;
    let dir = tempfile::tempdir().unwrap();
    let config = embedded_config(dir.path());
    let connector = connector(config.mode);
    connector.connect(&config).await.unwrap();
    connector.ensure_topics("rustok", &[spec("again", 1)]).await.unwrap();
    let topic = TopicAddress::new("rustok", "again");

    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (connector, topic) = (connector.clone(), topic.clone());
        callers.spawn(async move {
            for time in 0..TIMES {
                let id = u128::from(caller * TIMES + time + 1);
                connector.publish_batch(&topic, batch([id], 0)).await.unwrap();
            }
        });
        // The first one is on its way before the others come.
        tokio::task::yield_now().await;
    }
    callers.join_all().await;
    let stored = read_all(&*connector, &topic, 0).await;
    let requests: BTreeSet<_> = stored.iter().map(|message| message.timestamp_micros).collect();
    assert_eq!(stored.len(), (CALLERS * TIMES) as usize);
    assert!(requests.len() < (TIMES + TIMES / 2) as usize, "{} requests", requests.len());
    connector.shutdown().await.unwrap();
}
