//! Goal: a group that somebody deletes, and messages that somebody purges, are told with their numbers, to a member that
//! reads and to one that was away. Method: the official client deletes and purges, on a real broker.

use std::sync::Arc;

use guesthouse_connector::{
    ConnectorError, CursorStep, GroupAddress, Offset, PartitionId, StoreOutcome, TopicAddress,
};
use iggy::prelude::{
    Client as _, ConsumerGroupClient as _, Identifier, TcpClient, TcpClientConfig, TopicClient as _,
    UserClient as _,
};
use secrecy::ExposeSecret;

use crate::kit::{House, PATIENCE, batch, open_cursor, step_until};

const PARTITION: PartitionId = PartitionId(0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_deleted_under_its_member_is_read_again_and_that_is_told() {
    let house = House::remote().await;
    let topic = house.topic("deleted", 1).await;
    house.connector.publish_batch(&topic, batch(1..=100, 0)).await.unwrap();
    let group = GroupAddress::new(topic.clone(), "group");
    let mut cursor = open_cursor(&*house.connector, &group).await;
    step_until(&mut cursor, is_messages).await;
    assert_eq!(cursor.store_offset(PARTITION, Offset(59)).await.unwrap(), StoreOutcome::Stored);
    let client = official(&house).await;
    let (stream, name) = (id(&topic.stream), id(&topic.topic));
    client.delete_consumer_group(&stream, &name, &id("group")).await.unwrap();
    let told = loop {
        // The group is missing until the member has made it again.
        match tokio::time::timeout(PATIENCE, cursor.step(|_| true)).await.unwrap() {
            Ok(step @ CursorStep::Repeated { .. }) => break step,
            Ok(_) | Err(ConnectorError::Topology(_)) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(told, CursorStep::Repeated { partition: PARTITION, from: Offset(0), until: Offset(60) });
    step_until(&mut cursor, is_messages).await;
    cursor.leave().await.unwrap();
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_purged_while_a_member_is_away_is_told_with_or_without_new_messages() {
    let house = House::remote().await;
    for (name, comes_more) in [("quiet", false), ("busy", true)] {
        let topic = house.topic(name, 1).await;
        house.connector.publish_batch(&topic, batch(1..=300, 0)).await.unwrap();
        let group = GroupAddress::new(topic.clone(), "group");
        let mut before = open_cursor(&*house.connector, &group).await;
        step_until(&mut before, is_messages).await;
        assert_eq!(before.store_offset(PARTITION, Offset(99)).await.unwrap(), StoreOutcome::Stored);
        before.leave().await.unwrap();
        official(&house).await.purge_topic(&id(&topic.stream), &id(&topic.topic)).await.unwrap();
        if comes_more {
            house.connector.publish_batch(&topic, batch(301..=310, 0)).await.unwrap();
        }
        let mut after = open_cursor(&*house.connector, &group).await;
        after.remember(PARTITION, Offset(99));
        expect_loss(&mut after, &house, &topic).await;
        after.leave().await.unwrap();
    }
    house.close().await;
}

/// Brokers count on after a purge or begin anew; either is told.
async fn expect_loss(cursor: &mut guesthouse_connector::GroupCursor, house: &House, topic: &TopicAddress) {
    let state = house.connector.topic_state(topic).await.unwrap();
    let is_told = |step: &CursorStep| {
        matches!(step, CursorStep::Expired { .. } | CursorStep::Repeated { .. } | CursorStep::WentBack { .. })
    };
    let told = step_until(cursor, is_told).await;
    if let CursorStep::Expired { from, until, .. } = told {
        assert_eq!((from, until), (Offset(100), Offset(300)), "{state:?}");
    }
}

fn is_messages(step: &CursorStep) -> bool {
    matches!(step, CursorStep::Messages { .. })
}

async fn official(house: &House) -> TcpClient {
    let (config, server) = (&house.config, &house.config.remote);
    let address = server.addresses[0].clone();
    let settings = TcpClientConfig { server_address: address, ..TcpClientConfig::default() };
    let client = TcpClient::create(Arc::new(settings)).unwrap();
    tokio::time::timeout(PATIENCE, client.connect()).await.unwrap().unwrap();
    let password = config.remote_password.as_ref().unwrap().expose_secret();
    client.login_user(&server.username, password).await.unwrap();
    client
}

fn id(name: &str) -> Identifier {
    Identifier::named(name).unwrap()
}
