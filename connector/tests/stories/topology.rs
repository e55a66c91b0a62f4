//! Goal: topics are made as configured once, and never used when they are not as configured.
//! Method: ensure a topology repeatedly, from several sides and with other numbers.

use std::sync::Arc;
use std::time::Duration;

use guesthouse_connector::{
    ConnectorError, PublishRequest, Remedy, TopicAddress, TopicReport, TopicSpec, TopologyManager,
};

use crate::kit::{House, batch, both_kinds, spec};

both_kinds!(
    ensuring_twice_changes_nothing,
    several_hosts_may_ensure_at_once,
    another_number_of_partitions_is_refused,
    retention_is_accepted,
    names_and_numbers_are_checked,
    a_deleted_topic_is_gone_with_all_its_messages,
    retention_is_brought_to_existing_topics,
    more_copies_than_servers_are_noticed,
    keys_reach_every_partition_and_the_right_one,
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

async fn retention_is_brought_to_existing_topics(house: &House) {
    const DAYS_30: Duration = Duration::from_secs(30 * 24 * 3_600);
    let bounded =
        TopicSpec { age_max: Some(DAYS_30), size_bytes_max: Some(10_000_000_000), ..spec("kept", 2) };
    let wanted = [bounded.clone(), spec("free", 1)];
    house.topic("kept", 2).await;
    let manager = TopologyManager::new(Arc::clone(&house.connector), &house.stream, wanted);
    let properties = |report: &TopicReport| {
        report.differences.iter().map(|difference| difference.property).collect::<Vec<_>>()
    };
    let before = manager.report().await.unwrap();
    assert_eq!(properties(&before[0]), ["age_max", "size_bytes_max"]);
    assert_eq!((before[1].state.as_ref(), before[1].is_as_expected()), (None, false));

    let after = manager.apply().await.unwrap();
    assert!(after.iter().all(TopicReport::is_as_expected), "{after:?}");
    let state = after[0].state.as_ref().unwrap();
    assert_eq!((state.age_max, state.size_max), (Some(DAYS_30).into(), Some(10_000_000_000).into()));
    assert_eq!(manager.report().await.unwrap(), after);

    let other = TopicSpec { partitions: 3, ..bounded };
    let manager = TopologyManager::new(Arc::clone(&house.connector), &house.stream, [spec("new", 1), other]);
    let error = manager.apply().await.unwrap_err();
    assert!(error.to_string().contains("2 partitions, expected 3"), "{error}");
    assert_eq!(manager.report().await.unwrap()[0].state, None, "nothing is changed when something cannot be");
}

async fn more_copies_than_servers_are_noticed(house: &House) {
    let copied = TopicSpec { replication_factor: 200, ..spec("copied", 1) };
    let manager = TopologyManager::new(Arc::clone(&house.connector), &house.stream, [copied]);
    let report = manager.apply().await.unwrap().remove(0);
    assert_eq!(report.differences.len(), 1, "{report:?}");
    assert_eq!(
        (report.differences[0].property, report.differences[0].remedy),
        ("replication_factor", Remedy::Cluster)
    );
}

/// Keys and the partitions that the platform puts them in, of eight.
const VECTORS: [(&str, usize); 10] = [
    ("tenant-123", 5),
    ("tenant-456", 7),
    ("550e8400-e29b-41d4-a716-446655440000", 3),
    ("00000000-0000-0000-0000-000000000000", 1),
    ("00000000-0000-0000-0000-000000000001", 0),
    ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", 7),
    ("f47ac10b-58cc-4372-a567-0e02b2c3d479", 1),
    ("018f6b1e-7c3a-7d41-9f5e-2b8c0a1d4e6f", 7),
    ("", 7),
    ("Ünïcode-арендатор", 3),
];

async fn keys_reach_every_partition_and_the_right_one(house: &House) {
    let topic = house.topic("keyed", 8).await;
    let publish = async |key: &str| {
        let request = PublishRequest::new(&topic.stream, &topic.topic, key, b"x".to_vec(), "");
        house.connector.publish(request).await.unwrap();
    };
    let counts = async || {
        let state = house.connector.topic_state(&topic).await.unwrap();
        state.partitions.iter().map(|partition| partition.messages_count).collect::<Vec<_>>()
    };
    let mut expected = vec![0; 8];
    for (key, partition) in VECTORS {
        publish(key).await;
        expected[partition] += 1;
        assert_eq!(counts().await, expected, "{key}");
    }
    for tenant in 0..64 {
        publish(&format!("tenant-{tenant}")).await;
    }
    let counts = counts().await;
    assert!(counts.iter().zip(&expected).all(|(count, before)| count > before), "{counts:?}");
}
