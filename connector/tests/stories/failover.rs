//! Goal: an address that goes away costs time and no message, and it is visible where the connection goes.
//! Method: two ways to one broker, of which first one and then both are taken away.

use guesthouse_connector::{
    ConnectionState, ConnectorError, CursorStep, GroupAddress, IggyConnector, RemoteConnector, TopicAddress,
};

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
