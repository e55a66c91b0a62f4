//! Goal: a broker that goes away and comes back stops nobody for good, and what was confirmed is still there.
//! Method: stop and start brokers on the same directory and port while they are in use.

use std::collections::BTreeSet;

use guesthouse_connector::{
    CursorStep, EmbeddedConnector, GroupAddress, IggyConnector, Offset, PartitionId, RemoteConnector,
    StoreOutcome, TopicAddress, attach,
};

use crate::kit::{
    PATIENCE, batch, embedded_config, eventually, ids, open_cursor, publish_stubbornly, read_all, read_ids,
    remote_config, spec, start_broker, step_until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_and_a_publisher_go_on_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start_broker(dir.path(), 0).await;
    let (port, config) = (broker.address().port(), remote_config(&broker));
    let remote = RemoteConnector::new();
    remote.connect(&config).await.unwrap();
    remote.ensure_topics("stream", &[spec("topic", 2)]).await.unwrap();
    let topic = TopicAddress::new("stream", "topic");
    remote.publish_batch(&topic, batch(1..=3, 0)).await.unwrap();
    let mut cursor = open_cursor(&remote, &GroupAddress::new(topic.clone(), "group")).await;
    assert_eq!(read_ids(&mut cursor, 3).await, [1, 2, 3]);
    assert_eq!(cursor.store_offset(PartitionId(0), Offset(1)).await.unwrap(), StoreOutcome::Stored);

    broker.shutdown(PATIENCE).await.unwrap();
    let revoked = step_until(&mut cursor, |step| *step != CursorStep::Empty).await;
    assert_eq!(revoked, CursorStep::Revoked(vec![PartitionId(0), PartitionId(1)]));
    let lost = cursor.step(|_| true).await.unwrap();
    assert!(matches!(lost, CursorStep::Disconnected { .. }), "{lost:?}");
    assert_eq!(cursor.assignment().count(), 0);
    let unpublished = remote.publish_batch(&topic, batch([4], 1)).await.unwrap_err();
    assert!(unpublished.source.is_transient(), "{:?}", unpublished.source);
    assert!(!remote.is_connected());

    let broker = start_broker(dir.path(), port).await;
    publish_stubbornly(&remote, &topic, unpublished.unpublished).await;
    let step = step_until(&mut cursor, |step| matches!(step, CursorStep::Assigned(_))).await;
    let CursorStep::Assigned(assignments) = step else { unreachable!() };
    assert_eq!(assignments[0].next, Offset(2));
    assert_eq!(BTreeSet::from_iter(read_ids(&mut cursor, 2).await), BTreeSet::from([3, 4]));
    eventually("the watch notices", async || remote.is_connected()).await;
    cursor.leave().await.unwrap();
    remote.shutdown().await.unwrap();
    broker.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_through_restarts_loses_nothing_and_keeps_the_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = start_broker(dir.path(), 0).await;
    let (port, config) = (broker.address().port(), remote_config(&broker));
    let remote = std::sync::Arc::new(RemoteConnector::new());
    remote.connect(&config).await.unwrap();
    remote.ensure_topics("stream", &[spec("topic", 1)]).await.unwrap();
    let topic = TopicAddress::new("stream", "topic");
    let publishing = tokio::spawn({
        let (remote, topic) = (remote.clone(), topic.clone());
        async move {
            for id in 1..=600 {
                publish_stubbornly(&*remote, &topic, batch([id], 0)).await;
            }
        }
    });
    for _ in 0..3 {
        let published = read_all(&*remote, &topic, 0).await.len();
        broker.shutdown(PATIENCE).await.unwrap();
        broker = start_broker(dir.path(), port).await;
        eventually("some more is published", async || {
            let state = remote.topic_state(&topic).await;
            publishing.is_finished() || state.is_ok_and(|s| s.partitions[0].messages_count > published as u64)
        })
        .await;
    }
    publishing.await.unwrap();
    let mut stored = ids(&read_all(&*remote, &topic, 0).await);
    assert!(stored.is_sorted(), "out of order");
    stored.dedup();
    assert_eq!(stored, (1..=600).collect::<Vec<u128>>());
    remote.shutdown().await.unwrap();
    broker.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_broker_keeps_everything_between_runs() {
    let dir = tempfile::tempdir().unwrap();
    let config = embedded_config(dir.path());
    let embedded = EmbeddedConnector::new();
    let topic = TopicAddress::new("stream", "topic");
    for run in 1..=3_u128 {
        embedded.connect(&config).await.unwrap();
        embedded.ensure_topics("stream", &[spec("topic", 1)]).await.unwrap();
        embedded.publish_batch(&topic, batch([run], 0)).await.unwrap();
        let found = ids(&read_all(&embedded, &topic, 0).await);
        assert_eq!(found, (1..=run).collect::<Vec<_>>());
        embedded.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_not_persistent_keeps_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = embedded_config(dir.path());
    config.embedded.persistent = false;
    let embedded = EmbeddedConnector::new();
    let topic = TopicAddress::new("stream", "topic");
    for _ in 0..2 {
        embedded.connect(&config).await.unwrap();
        assert!(embedded.topic_state(&topic).await.is_err());
        embedded.ensure_topics("stream", &[spec("topic", 1)]).await.unwrap();
        embedded.shutdown().await.unwrap();
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_joins_the_broker_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    let config = embedded_config(dir.path());
    let host = attach(&config).await.unwrap();
    host.ensure_topics("stream", &[spec("topic", 1)]).await.unwrap();
    let tool = attach(&config).await.unwrap();
    let topic = TopicAddress::new("stream", "topic");
    tool.publish_batch(&topic, batch([1], 0)).await.unwrap();
    tool.shutdown().await.unwrap();
    assert_eq!(ids(&read_all(&*host, &topic, 0).await), [1]);
    host.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_catalog_stops_the_embedded_broker_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start_broker(dir.path(), 0).await;
    let remote = RemoteConnector::new();
    remote.connect(&remote_config(&broker)).await.unwrap();
    remote.ensure_topics("stream", &[spec("topic", 1)]).await.unwrap();
    remote.publish_batch(&TopicAddress::new("stream", "topic"), batch([1], 0)).await.unwrap();
    remote.shutdown().await.unwrap();
    broker.shutdown(PATIENCE).await.unwrap();
    std::fs::remove_file(dir.path().join("meta.redb")).unwrap();
    let error = EmbeddedConnector::new().connect(&embedded_config(dir.path())).await.unwrap_err().to_string();
    assert!(
        error.contains("does not know of 1 partitions") && error.contains("put the right meta.redb back"),
        "{error}"
    );
}
