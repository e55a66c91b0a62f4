//! Goal: reading without a group starts where it is told, leaves no trace, and says what is missing.
//! Method: publish a little, then read, subscribe and ask for states.

use guesthouse_connector::{ConnectorError, GroupAddress, Offset, PartitionId, PartitionState, TopicAddress};

use crate::kit::{House, batch, both_kinds, ids};

both_kinds!(
    a_range_is_read_from_any_offset,
    a_subscriber_waits_at_the_end_and_goes_on,
    states_count_messages,
    what_is_missing_is_named,
);

async fn a_range_is_read_from_any_offset(house: &House) {
    let topic = house.topic("range", 1).await;
    house.connector.publish_batch(&topic, batch(1..=10, 0)).await.unwrap();
    let read = async |from, messages_max| {
        let messages = house.connector.read_from(&topic, PartitionId(0), Offset(from), messages_max);
        messages.await.unwrap()
    };
    let some = read(4, 3).await;
    assert_eq!(ids(&some), [5, 6, 7]);
    assert_eq!(some[0].offset, Offset(4));
    assert!(read(10, 3).await.is_empty());
    assert!(read(0, 0).await.is_empty());
}

async fn a_subscriber_waits_at_the_end_and_goes_on(house: &House) {
    let topic = house.topic("subscribed", 2).await;
    let mut subscriber = house.connector.subscribe(&topic.stream, &topic.topic, 1).await.unwrap();
    assert_eq!(subscriber.recv().await.unwrap(), None);
    house.connector.publish_batch(&topic, batch(1..=3, 1)).await.unwrap();
    for id in 1..=3 {
        let payload = format!("message {id}").into_bytes();
        assert_eq!(subscriber.recv().await.unwrap(), Some(payload));
    }
    assert_eq!(subscriber.recv().await.unwrap(), None);
    house.connector.publish_batch(&topic, batch([4], 1)).await.unwrap();
    assert_eq!(subscriber.receive().await.unwrap().unwrap().id, 4);
}

async fn states_count_messages(house: &House) {
    let topic = house.topic("counted", 2).await;
    house.connector.publish_batch(&topic, batch(1..=3, 1)).await.unwrap();
    let state = house.connector.topic_state(&topic).await.unwrap();
    let expected = [(0, 0, None), (1, 3, Some(Offset(2)))].map(|(id, messages_count, last_offset)| {
        PartitionState { partition: PartitionId(id), messages_count, last_offset }
    });
    assert_eq!(state.partitions, expected);
    let group = GroupAddress::new(topic, "nobody");
    let offsets = house.connector.group_offsets(&group).await.unwrap();
    assert_eq!(offsets, [(PartitionId(0), None), (PartitionId(1), None)]);
}

async fn what_is_missing_is_named(house: &House) {
    let topic = house.topic("present", 1).await;
    let missing = TopicAddress::new(&house.stream, "missing");
    let nowhere = TopicAddress::new("nowhere", "at-all");
    for topic in [&missing, &nowhere] {
        let error = house.connector.topic_state(topic).await.unwrap_err();
        assert!(matches!(error, ConnectorError::Topology(_)), "{error:?}");
        assert!(error.to_string().contains(&topic.to_string()), "{error}");
    }
    let error = house.connector.subscribe(&topic.stream, &topic.topic, 1).await.err().unwrap();
    assert!(error.to_string().contains("no partition 1"), "{error}");
    let error = house.connector.read_from(&topic, PartitionId(7), Offset(0), 1).await.unwrap_err();
    assert!(matches!(error, ConnectorError::Topology(_)), "{error:?}");
}
