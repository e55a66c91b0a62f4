//! Goal: the proxy of the torture breaks what it is told to break, nothing else, and sees every commit.
//! Method: the connector publishes, reads and commits through it to a real broker, once for each fault.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use guesthouse_connector::{
    ConnectorConfig, ConnectorMode, CursorStep, Durability, GroupAddress, GroupCursor, IggyConnector, Offset,
    OutgoingMessage, PartitionId, StoreOutcome, Timeouts, TopicAddress, TopicSpec, connector,
};
use guesthouse_tests::broker::Access;
use guesthouse_tests::client::{Client, DOMAIN};
use guesthouse_tests::envelope::{message, order, tenant};
use guesthouse_tests::torture::fault::{Fault, Target, Trap};
use guesthouse_tests::torture::proxy::{Answer, Proxy};
use guesthouse_tests::{BrokerProgram, eventually};

const STREAM: &str = "torn";

/// Iggy's code for messages that could not be written.
const CANNOT_APPEND: u32 = 4_010;

/// A broker, a proxy before it, and a client on both ways.
struct Way {
    _broker: BrokerProgram,
    proxy: Proxy,
    straight: Client,
    through: Arc<dyn IggyConnector>,
}

impl Way {
    async fn open() -> Self {
        let broker = BrokerProgram::start().await;
        let address: SocketAddr = broker.access().address.parse().unwrap();
        let proxy = Proxy::start(address).await;
        let straight = connect(broker.access()).await;
        let topic = TopicSpec {
            name: DOMAIN.to_owned(),
            partitions: 1,
            replication_factor: 1,
            durability: Durability::Replicated,
            age_max: None,
            size_bytes_max: None,
        };
        straight.ensure_topics(STREAM, &[topic]).await.unwrap();
        let by_proxy = Access { address: proxy.address().to_string(), ..broker.access().clone() };
        let through = connect(&by_proxy).await;
        Self { _broker: broker, proxy, straight: Client::over(straight, STREAM), through }
    }

    fn client(&self) -> Client {
        Client::over(Arc::clone(&self.through), STREAM)
    }

    async fn ids(&self) -> Vec<u128> {
        self.straight.read(DOMAIN).await.iter().map(|(_, message)| message.id).collect()
    }
}

async fn connect(access: &Access) -> Arc<dyn IggyConnector> {
    let timeouts = Timeouts { request: Duration::from_secs(2), ..Timeouts::default() };
    let config = ConnectorConfig { timeouts, ..access.config() };
    let connector = connector(ConnectorMode::Remote);
    connector.connect(&config).await.unwrap();
    connector
}

fn event(n: u128) -> OutgoingMessage {
    message(&order(&tenant(n), &format!("order-{n}")))
}

fn publishing(fault: Fault) -> Trap {
    Trap { target: Target::Publish(DOMAIN.to_owned()), nth: 1, fault }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_a_publish_it_arrives_once() {
    let way = Way::open().await;
    let faults = [
        Fault::CutRequest,
        Fault::CutAnswered,
        Fault::CutAnswer,
        Fault::DropAnswer,
        Fault::Refuse { code: CANNOT_APPEND, times: 2 },
        Fault::Delay { by: Duration::from_millis(5), lasts: Duration::from_secs(1) },
        Fault::Trickle,
        Fault::BlackHole(Duration::from_millis(100)),
    ];
    let mut expected = Vec::new();
    for (n, fault) in (0..).zip(faults) {
        let (event, name) = (event(n), fault.name());
        expected.push(event.id);
        let sprung = way.proxy.set(publishing(fault));
        way.client().publish_messages(DOMAIN, vec![event]).await;
        assert!(sprung.is_so(), "{name} never happened");
        assert_eq!(way.ids().await, expected, "after {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_answer_is_told_when_the_broker_has_acted() {
    let way = Way::open().await;
    let mut sprung = way.proxy.set(publishing(Fault::HoldAnswer));
    let event = event(1);
    let (id, client) = (event.id, way.client());
    let publishing = tokio::spawn(async move { client.try_publish(DOMAIN, vec![event]).await });
    sprung.wait().await;
    assert_eq!(way.ids().await, [id]);
    assert!(!publishing.is_finished(), "the answer came after all");
    publishing.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_commit_is_written_down_with_its_answer() {
    let way = Way::open().await;
    way.client().publish_messages(DOMAIN, (0..3).map(event).collect()).await;
    let group = GroupAddress::new(TopicAddress::new(STREAM, DOMAIN), "group");
    let mut cursor = way.through.open_group_cursor(&group).await.unwrap();
    own(&mut cursor).await;
    let stored = cursor.store_offset(PartitionId(0), Offset(1)).await.unwrap();
    assert_eq!(stored, StoreOutcome::Stored);
    way.proxy.set(Trap { target: Target::Store, nth: 1, fault: Fault::CutAnswered });
    cursor.store_offset(PartitionId(0), Offset(2)).await.unwrap_err();
    let commits = way.proxy.commits();
    let seen: Vec<_> =
        commits.iter().map(|commit| (commit.partition, commit.offset, commit.answer)).collect();
    assert_eq!(seen, [(0, 1, Some(Answer::Stored)), (0, 2, None)]);
    assert!(commits.iter().all(|commit| commit.topic == DOMAIN && commit.asked_micros > 0));
}

async fn own(cursor: &mut GroupCursor) {
    eventually("the partition is assigned", async || {
        matches!(cursor.step(|_| false).await.unwrap(), CursorStep::Assigned(_)).then_some(())
    })
    .await;
}
