//! Goal: topics are made as configured once, and never used when they are not as configured.
//! Method: ensure a topology repeatedly, from several sides and with other numbers.

use std::time::Duration;

use guesthouse_connector::{ConnectorError, TopicAddress};

use crate::kit::{House, batch, both_kinds, spec};

both_kinds!(
    ensuring_twice_changes_nothing,
    several_hosts_may_ensure_at_once,
    another_number_of_partitions_is_refused,
    retention_is_accepted,
    names_and_numbers_are_checked,
    a_deleted_topic_is_gone_with_all_its_messages,
);

async fn ensuring_twice_changes_nothing(house: &House) {
    let topic = house.topic("twice", 3).await;
    house.connector.publish_batch(&topic, batch([1], 2)).await.unwrap();
    assert_eq!(house.topic("twice", 3).await, topic);
    let state = house.connector.topic_state(&topic).await.unwrap();
    assert_eq!(state.partitions.len(), 3);
    assert_eq!(state.partitions[2].messages_count, 1);
}

async fn several_hosts_may_ensure_at_once(house: &House) {
    let mut hosts = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (connector, stream) = (house.second_connector().await, house.stream.clone());
        hosts.spawn(async move {
            let topics = [spec("a", 2), spec("b", 3)];
            connector.ensure_topics(&stream, &topics).await.unwrap();
            connector.shutdown().await.unwrap();
        });
    }
    hosts.join_all().await;
}

async fn another_number_of_partitions_is_refused(house: &House) {
    house.topic("fixed", 3).await;
    let error = house.connector.ensure_topics(&house.stream, &[spec("fixed", 8)]).await.unwrap_err();
    assert!(matches!(error, ConnectorError::Topology(_)), "{error:?}");
    let text = error.to_string();
    let address = TopicAddress::new(&house.stream, "fixed").to_string();
    assert!(
        text.contains(&address) && text.contains("3 partitions") && text.contains("expected 8"),
        "{text}"
    );
}

async fn retention_is_accepted(house: &House) {
    let mut kept = spec("kept", 1);
    kept.age_max = Some(Duration::from_secs(30 * 24 * 3_600));
    kept.size_bytes_max = Some(10 * 1024 * 1024 * 1024);
    for _ in 0..2 {
        house.connector.ensure_topics(&house.stream, &[kept.clone()]).await.unwrap();
    }
}

async fn names_and_numbers_are_checked(house: &House) {
    for wrong in [spec("", 1), spec(&"x".repeat(256), 1), spec("none", 0)] {
        let error = house.connector.ensure_topics(&house.stream, &[wrong]).await.unwrap_err();
        assert!(matches!(error, ConnectorError::Topology(_)), "{error:?}");
    }
}

async fn a_deleted_topic_is_gone_with_all_its_messages(house: &House) {
    let topic = house.topic("passing", 2).await;
    house.connector.publish_batch(&topic, batch([1], 0)).await.unwrap();
    for _ in 0..2 {
        house.connector.delete_topic(&topic).await.unwrap();
        let error = house.connector.publish_batch(&topic, batch([2], 0)).await.unwrap_err();
        assert!(matches!(error.source, ConnectorError::Topology(_)), "{:?}", error.source);
    }
    house.topic("passing", 2).await;
    let state = house.connector.topic_state(&topic).await.unwrap();
    assert_eq!(state.partitions[0].messages_count, 0);
}
