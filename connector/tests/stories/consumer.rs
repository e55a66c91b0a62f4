//! Goal: a consumer gets every message in order until it is acknowledged, and never acknowledges what is another's.
//! Method: receive and acknowledge with the platform's cursor, drop it in between, and let two share a topic.

use guesthouse_connector::{
    ConnectorError, ConsumerCursor, GroupAddress, IggyConnector, Offset, PartitionId, SubscriberMessage,
    TopicAddress,
};
use tokio::time::timeout;

use crate::kit::{House, PATIENCE, batch, both_kinds};

both_kinds!(
    what_is_not_acknowledged_comes_again,
    two_consumers_share_a_topic,
    names_may_contain_anything,
    topics_are_made_alike,
    a_reader_of_one_partition_names_places_and_acknowledges_nothing,
);

async fn what_is_not_acknowledged_comes_again(house: &House) {
    let topic = house.topic("again", 1).await;
    house.connector.publish_batch(&topic, batch(1..=3, 0)).await.unwrap();
    let mut cursor = open(house, &topic, "readers").await;
    let first = receive(&mut *cursor).await;
    assert_eq!(first.payload, b"message 1");
    assert_eq!(place(&first), (0, Some(0), Some(1)));
    assert_eq!(first.metadata.message_id.as_deref(), Some("00000000-0000-0000-0000-000000000001"));
    assert_eq!(place(&receive(&mut *cursor).await), (0, Some(0), Some(2)));
    acknowledge(&mut *cursor, &first).await.unwrap();
    let error = acknowledge(&mut *cursor, &first).await.unwrap_err();
    assert!(matches!(error, ConnectorError::Receive(_)), "{error:?}");
    assert_eq!(place(&receive(&mut *cursor).await), (0, Some(1), Some(1)));
    drop(cursor);
    let mut cursor = open(house, &topic, "readers").await;
    let second = receive(&mut *cursor).await;
    assert_eq!(place(&second), (0, Some(1), Some(1)));
    acknowledge(&mut *cursor, &second).await.unwrap();
    let third = receive(&mut *cursor).await;
    acknowledge(&mut *cursor, &third).await.unwrap();
    assert_eq!(cursor.receive().await.unwrap(), None);
    let stored = house.connector.group_offsets(&GroupAddress::new(topic, "readers")).await.unwrap();
    assert_eq!(stored, [(PartitionId(0), Some(Offset(2)))]);
}

async fn two_consumers_share_a_topic(house: &House) {
    let topic = house.topic("shared", 2).await;
    for partition in 0..2 {
        house.connector.publish_batch(&topic, batch(1..=20, partition)).await.unwrap();
    }
    let mut first = open(house, &topic, "readers").await;
    acknowledge_next(&mut *first).await;
    let mut second = open(house, &topic, "readers").await;
    let group = GroupAddress::new(topic, "readers");
    let done = async {
        while !all_stored(house, &group).await {
            acknowledge_next(&mut *first).await;
            acknowledge_next(&mut *second).await;
        }
    };
    timeout(PATIENCE, done).await.expect("both partitions are read to their ends");
}

async fn names_may_contain_anything(house: &House) {
    let topic = house.topic("a:b:c", 1).await;
    house.connector.publish_batch(&topic, batch([1], 0)).await.unwrap();
    let mut cursor = open(house, &topic, "d:e").await;
    let message = receive(&mut *cursor).await;
    acknowledge(&mut *cursor, &message).await.unwrap();
}

async fn topics_are_made_alike(house: &House) {
    house.connector.ensure_topology(&house.stream, &["one", "two"], 3, 1).await.unwrap();
    for name in ["one", "two"] {
        let state = house.connector.topic_state(&TopicAddress::new(&house.stream, name)).await.unwrap();
        assert_eq!(state.partitions.len(), 3);
    }
}

async fn a_reader_of_one_partition_names_places_and_acknowledges_nothing(house: &House) {
    let topic = house.topic("read", 2).await;
    house.connector.publish_batch(&topic, batch([7], 1)).await.unwrap();
    let mut subscriber = house.connector.subscribe(&topic.stream, &topic.topic, 1).await.unwrap();
    let message = subscriber.recv_with_metadata().await.unwrap().unwrap();
    assert_eq!(place(&message), (1, Some(0), None));
    assert_eq!((message.metadata.stream, message.metadata.topic), (topic.stream, topic.topic));
    assert_eq!(message.metadata.ack_token, None);
    let error = subscriber.ack("anything").await.unwrap_err();
    assert!(error.to_string().contains("consumer group"), "{error}");
}

async fn open(house: &House, topic: &TopicAddress, group: &str) -> Box<dyn ConsumerCursor> {
    let connector: &dyn IggyConnector = &*house.connector;
    connector.open_consumer_group(&topic.stream, &topic.topic, group).await.unwrap()
}

/// The next message, however long it takes.
async fn receive(cursor: &mut dyn ConsumerCursor) -> SubscriberMessage {
    let receiving = async {
        loop {
            if let Some(message) = cursor.receive().await.unwrap() {
                return message;
            }
        }
    };
    timeout(PATIENCE, receiving).await.expect("a message comes")
}

/// Acknowledges the next message, if there is one and it is still ours.
async fn acknowledge_next(cursor: &mut dyn ConsumerCursor) {
    if let Some(message) = cursor.receive().await.unwrap()
        && let Err(error) = acknowledge(cursor, &message).await
    {
        assert!(matches!(error, ConnectorError::Receive(_)), "{error:?}");
    }
}

async fn acknowledge(
    cursor: &mut dyn ConsumerCursor,
    message: &SubscriberMessage,
) -> Result<(), ConnectorError> {
    cursor.acknowledge(message.metadata.ack_token.as_deref().unwrap()).await
}

fn place(message: &SubscriberMessage) -> (u32, Option<u64>, Option<u32>) {
    let metadata = &message.metadata;
    (metadata.partition, metadata.offset, metadata.delivery_attempt)
}

async fn all_stored(house: &House, group: &GroupAddress) -> bool {
    let stored = house.connector.group_offsets(group).await.unwrap();
    stored.iter().all(|(_, offset)| *offset == Some(Offset(19)))
}
