//! Goal: lost answers and broken connections cost time, never a message, and store nothing twice.
//! Method: put a proxy between connector and broker that swallows or damages answers or cuts connections.

use std::sync::Arc;
use std::time::Duration;

use guesthouse_broker::Broker;
use guesthouse_connector::{
    ConnectorError, CursorStep, GroupAddress, IggyConnector, Offset, PartitionId, RemoteConnector,
    TopicAddress,
};
use tempfile::TempDir;

use crate::kit::{
    PATIENCE, batch, eventually, ids, open_cursor, publish_stubbornly, read_all, read_ids, remote_config,
    spec, start_broker, step_until,
};
use crate::proxy::Proxy;

/// A connector that reaches its broker through a proxy, and another one that does not need it.
struct Scene {
    near: RemoteConnector,
    far: Arc<RemoteConnector>,
    topic: TopicAddress,
    proxy: Proxy,
    broker: Broker,
    _dir: TempDir,
}

impl Scene {
    async fn open(request_timeout: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let broker = start_broker(dir.path(), 0).await;
        let proxy = Proxy::start(broker.address()).await;
        let mut config = remote_config(&broker);
        let (near, far) = (RemoteConnector::new(), Arc::new(RemoteConnector::new()));
        near.connect(&config).await.unwrap();
        config.remote.addresses = vec![proxy.address.to_string()];
        config.timeouts.request = request_timeout;
        config.timeouts.connect = Duration::from_secs(2);
        far.connect(&config).await.unwrap();
        near.ensure_topics("stream", &[spec("topic", 1)]).await.unwrap();
        let topic = TopicAddress::new("stream", "topic");
        Self { near, far, topic, proxy, broker, _dir: dir }
    }

    async fn stored(&self) -> Vec<u128> {
        ids(&read_all(&self.near, &self.topic, 0).await)
    }

    async fn close(self) {
        self.far.shutdown().await.unwrap();
        self.near.shutdown().await.unwrap();
        self.broker.shutdown(PATIENCE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_stores_nothing_twice() {
    let scene = Scene::open(Duration::from_secs(30)).await;
    // Opens the publishing connection while answers still arrive.
    scene.far.publish_batch(&scene.topic, batch([1], 0)).await.unwrap();

    scene.proxy.swallow_answers(true);
    let (far, topic) = (scene.far.clone(), scene.topic.clone());
    let publishing = tokio::spawn(async move { far.publish_batch(&topic, batch(2..=5, 0)).await });
    eventually("the messages arrive", async || scene.stored().await.len() == 5).await;
    scene.proxy.cut();
    let error = publishing.await.unwrap().unwrap_err();
    assert!(matches!(error.source, ConnectorError::Connection(_)), "{:?}", error.source);
    assert_eq!(error.unpublished.len(), 4);

    scene.proxy.swallow_answers(false);
    let again = publish_stubbornly(&*scene.far, &scene.topic, error.unpublished);
    let others = publish_stubbornly(&*scene.far, &scene.topic, batch(6..=9, 0));
    tokio::join!(again, others);
    assert_eq!(scene.stored().await, (1..=9).collect::<Vec<u128>>());
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_broker_is_a_timeout_and_not_the_end() {
    let scene = Scene::open(Duration::from_millis(300)).await;
    scene.near.publish_batch(&scene.topic, batch(1..=2, 0)).await.unwrap();
    let group = GroupAddress::new(scene.topic.clone(), "group");
    let mut cursor = open_cursor(&*scene.far, &group).await;
    assert_eq!(read_ids(&mut cursor, 2).await, [1, 2]);

    scene.proxy.swallow_answers(true);
    let error = scene.far.ping().await.unwrap_err();
    assert!(matches!(error, ConnectorError::Timeout(_)), "{error:?}");
    assert!(!scene.far.is_connected());
    let step = step_until(&mut cursor, |step| *step != CursorStep::Empty).await;
    assert!(matches!(step, CursorStep::Revoked(_)), "{step:?}");
    let step = cursor.step(|_| true).await.unwrap();
    assert!(matches!(step, CursorStep::Disconnected { error: ConnectorError::Timeout(_), .. }), "{step:?}");

    // The broker learns that the old member is gone when its connection breaks.
    scene.proxy.cut();
    scene.proxy.swallow_answers(false);
    scene.near.publish_batch(&scene.topic, batch([3], 0)).await.unwrap();
    assert_eq!(read_ids(&mut cursor, 3).await, [1, 2, 3]);
    eventually("the connector answers again", async || scene.far.ping().await.is_ok()).await;
    cursor.leave().await.unwrap();
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_outlives_many_cuts() {
    let scene = Scene::open(Duration::from_secs(30)).await;
    let group = GroupAddress::new(scene.topic.clone(), "group");
    let mut cursor = open_cursor(&*scene.far, &group).await;
    for id in 1..=10 {
        scene.near.publish_batch(&scene.topic, batch([id], 0)).await.unwrap();
        let step = step_until(&mut cursor, |step| matches!(step, CursorStep::Messages { .. })).await;
        let CursorStep::Messages { partition, messages } = step else { unreachable!() };
        assert_eq!(ids(&messages), [id]);
        cursor.store_offset(partition, messages[0].offset).await.unwrap();
        scene.proxy.cut();
        step_until(&mut cursor, |step| matches!(step, CursorStep::Disconnected { .. })).await;
    }
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_byte_is_noticed_and_read_again() {
    let scene = Scene::open(Duration::from_secs(30)).await;
    scene.near.publish_batch(&scene.topic, batch(1..=3, 0)).await.unwrap();
    let mut cursor = open_cursor(&*scene.far, &GroupAddress::new(scene.topic.clone(), "group")).await;
    let assigned = cursor.step(|_| true).await.unwrap();
    assert!(matches!(assigned, CursorStep::Assigned(_)), "{assigned:?}");

    scene.proxy.corrupt("message 2");
    let error = cursor.step(|_| true).await.unwrap_err();
    assert!(scene.proxy.has_corrupted());
    assert!(matches!(error, ConnectorError::Receive(_)), "{error}");
    assert!(error.to_string().contains("a batch of messages is damaged"), "{error}");
    let revoked = cursor.step(|_| true).await.unwrap();
    assert!(matches!(revoked, CursorStep::Revoked(_)), "another connection begins anew: {revoked:?}");
    assert_eq!(read_ids(&mut cursor, 3).await, [1, 2, 3], "nothing was acted upon");
    cursor.leave().await.unwrap();

    scene.proxy.corrupt("message 3");
    let read = async || scene.far.read_from(&scene.topic, PartitionId(0), Offset(0), 10).await;
    assert!(matches!(read().await, Err(ConnectorError::Receive(_))));
    assert_eq!(ids(&read().await.unwrap()), [1, 2, 3]);
    scene.close().await;
}
