//! Goal: an address that goes away costs time and no message, and it is visible where the connection goes.
//! Method: two ways to one broker, of which first one and then both are taken away.

use std::net::Ipv4Addr;
use std::time::Duration;

use guesthouse_connector::{
    ConnectionState, ConnectorError, CursorStep, GroupAddress, IggyConnector, Offset, PartitionId,
    RemoteConnector, TopicAddress,
};

use tokio::net::TcpListener;

use crate::kit::{
    PATIENCE, batch, eventually, ids, open_cursor, publish_stubbornly, read_all, remote_config, spec,
    start_broker, step_until,
};
use crate::proxy::Proxy;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_address_takes_over() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start_broker(dir.path(), 0).await;
    let (first, second) = (Proxy::start(broker.address()).await, Proxy::start(broker.address()).await);
    let addresses = [&first, &second].map(|proxy| proxy.address.to_string());
    let mut config = remote_config(&broker);
    config.remote.addresses = addresses.to_vec();
    let remote = RemoteConnector::new();
    assert_eq!(remote.connection_status().state, ConnectionState::Closed);
    remote.connect(&config).await.unwrap();
    let status = remote.connection_status();
    assert_eq!((status.state, status.address.as_ref()), (ConnectionState::Connected, Some(&addresses[0])));

    remote.ensure_topics("stream", &[spec("topic", 1)]).await.unwrap();
    let topic = TopicAddress::new("stream", "topic");
    let mut cursor = open_cursor(&remote, &GroupAddress::new(topic.clone(), "group")).await;
    publish_stubbornly(&remote, &topic, batch(1..=5, 0)).await;
    drop(first);
    publish_stubbornly(&remote, &topic, batch(6..=10, 0)).await;
    step_until(
        &mut cursor,
        |step| matches!(step, CursorStep::Messages { messages, .. } if messages.iter().any(|m| m.id == 10)),
    )
    .await;
    eventually("reading goes on", async || remote.ping().await.is_ok()).await;
    assert_eq!(ids(&read_all(&remote, &topic, 0).await), (1..=10).collect::<Vec<u128>>());
    let status = remote.connection_status();
    assert_eq!((status.state, status.address.as_ref()), (ConnectionState::Connected, Some(&addresses[1])));
    assert!(status.connections_opened >= 4 && status.failed_attempts == 0, "{status:?}");

    drop(second);
    eventually("the loss is noticed", async || remote.ping().await.is_err() && !remote.is_connected()).await;
    eventually("attempts are counted", async || {
        // Whoever asks within the pause between two attempts gets the last refusal.
        drop(remote.ping().await);
        remote.connection_status().failed_attempts >= 2
    })
    .await;
    let status = remote.connection_status();
    assert_eq!(status.state, ConnectionState::Lost);
    assert!(matches!(status.last_error, Some(ConnectorError::Connection(_))), "{status:?}");
    remote.shutdown().await.unwrap();
    assert_eq!(remote.connection_status().state, ConnectionState::Closed);
    broker.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_never_answers_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start_broker(dir.path(), 0).await;
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut config = remote_config(&broker);
    config.remote.addresses.insert(0, silent.local_addr().unwrap().to_string());
    config.timeouts.connect = Duration::from_millis(500);
    let remote = RemoteConnector::new();
    remote.connect(&config).await.unwrap();
    assert_eq!(remote.connection_status().address, Some(broker.address().to_string()));
    remote.shutdown().await.unwrap();

    config.remote.addresses.truncate(1);
    let error = remote.connect(&config).await.unwrap_err();
    assert!(matches!(error, ConnectorError::Timeout(_)), "{error:?}");
    broker.shutdown(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_outlives_cuts() {
    let dir = tempfile::tempdir().unwrap();
    let broker = start_broker(dir.path(), 0).await;
    let proxy = Proxy::start(broker.address()).await;
    let mut config = remote_config(&broker);
    config.remote.addresses = vec![proxy.address.to_string()];
    let remote = RemoteConnector::new();
    remote.connect(&config).await.unwrap();
    remote.ensure_topics("stream", &[spec("topic", 1)]).await.unwrap();
    let topic = TopicAddress::new("stream", "topic");
    publish_stubbornly(&remote, &topic, batch(1..=5, 0)).await;
    let mut cursor = remote.open_consumer_group("stream", "topic", "group").await.unwrap();
    let group = GroupAddress::new(topic, "group");
    let reading = async {
        let mut received = Vec::new();
        while !is_settled(&remote, &group).await {
            let Some(message) = cursor.receive().await.unwrap() else { continue };
            received.push(message.metadata.offset.unwrap());
            if message.metadata.delivery_attempt == Some(1) {
                proxy.cut();
            }
            // It may fail although it arrived. Whatever did not arrive comes again.
            drop(cursor.acknowledge(message.metadata.ack_token.as_deref().unwrap()).await);
        }
        received
    };
    let mut received = tokio::time::timeout(PATIENCE, reading).await.expect("all messages are settled");
    received.dedup();
    assert_eq!(received, [0, 1, 2, 3, 4]);
    remote.shutdown().await.unwrap();
    broker.shutdown(PATIENCE).await.unwrap();
}

async fn is_settled(remote: &RemoteConnector, group: &GroupAddress) -> bool {
    let stored = remote.group_offsets(group).await;
    stored.is_ok_and(|stored| stored == [(PartitionId(0), Some(Offset(4)))])
}
