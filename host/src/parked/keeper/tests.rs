//! The keeper beside an embedded broker: released events whose payloads are not in the parked topic.

use bytes::Bytes;
use guesthouse_connector::{ConnectorConfig, ConnectorMode, Headers, Partitioning, TopicSpec, connector};

use super::*;
use crate::codec::{RawCodec, RawEventType, RawTenant};
use crate::event::{SharedEvent, Tenant};

const PARTITION: PartitionId = PartitionId(0);

fn codec() -> Codec {
    let tenant = RawTenant::Fixed(Tenant::Named("acme".into()));
    Codec::Raw(RawCodec { tenant, event_type: RawEventType::Fixed("order.placed".into()) })
}

fn topic(name: &str) -> TopicSpec {
    TopicSpec::new(name, 1, 1)
}

fn message(id: u128, payload: &str, headers: &[(&str, &str)]) -> OutgoingMessage {
    let mut all = Headers::new();
    for (name, value) in headers {
        all.insert(*name, *value).unwrap();
    }
    let payload = Bytes::from(payload.to_owned());
    OutgoingMessage { id, partition: Partitioning::Partition(PARTITION), payload, headers: all }
}

/// A record about the event at an offset of the source, with the hash of a payload instead of it.
fn reference(id: u128, offset: u64, payload: &str) -> OutgoingMessage {
    let record = serde_json::json!({ "payload_blake3": blake3::hash(payload.as_bytes()).to_string() });
    let (offset, source_id) = (offset.to_string(), uuid::Uuid::from_u128(u128::from(offset) + 1).to_string());
    let headers = [
        ("gh-payload", "reference"),
        ("gh-offset", &offset),
        ("gh-message-id", &source_id),
        ("gh-timestamp", "5"),
        ("gh-origin-timestamp", "3"),
        ("region", "eu"),
    ];
    message(id, &record.to_string(), &headers)
}

/// A keeper at a broker that holds two events and these records about them.
async fn keeper(records: Vec<OutgoingMessage>) -> (Keeper, mpsc::Receiver<Input>) {
    let mut config = ConnectorConfig { mode: ConnectorMode::Embedded, ..ConnectorConfig::default() };
    config.embedded.persistent = false;
    config.embedded.tcp_port = 0;
    let broker = connector(config.mode);
    broker.connect(&config).await.unwrap();
    broker.ensure_topics("s", &[topic("domain"), topic("domain-parked")]).await.unwrap();
    let source = Arc::new(SourceTopic { stream: "s".to_owned(), topic: "domain".to_owned() });
    let events = vec![message(1, "first", &[("region", "eu")]), message(2, "second", &[("region", "eu")])];
    broker.publish_batch(&source.address(), events).await.unwrap();
    let parked = TopicAddress::new("s", "domain-parked");
    broker.publish_batch(&parked, records).await.unwrap();
    let (inputs, heard) = mpsc::channel(1);
    let keeper = Keeper {
        topic: TopicIndex(0),
        source,
        parked,
        group: "guesthouse".to_owned(),
        codec: Arc::new(codec()),
        connector: broker,
        board: Arc::default(),
        inputs,
        watch: crate::trouble::Troubles::default().watch(crate::trouble::About {
            cause: "parked_unreadable",
            subject: "the parked topic".to_owned(),
            consequence: "it is tried again",
        }),
        troubles: crate::trouble::Troubles::default(),
    };
    (keeper, heard)
}

async fn fetched(keeper: &Keeper, records: u64) -> Vec<Result<SharedEvent, String>> {
    let fetch = Fetch {
        partition: PartitionKey { topic: TopicIndex(0), partition: PARTITION },
        assignment: AssignmentId(1),
        lane: "00000000000000aa".parse().unwrap(),
        number: 1,
        events: (0..records).map(Offset).collect(),
    };
    let events = keeper.fetch(&fetch).await.unwrap();
    keeper.connector.shutdown().await.unwrap();
    events
}

#[tokio::test]
async fn a_payload_that_is_not_in_the_parked_topic_is_read_from_the_source() {
    let (keeper, _heard) = keeper(vec![reference(11, 1, "second"), reference(12, 0, "first")]).await;
    let events = fetched(&keeper, 2).await;
    let found: Vec<_> = events.into_iter().map(Result::unwrap).collect();
    let seen: Vec<(u64, &[u8])> =
        found.iter().map(|event| (event.message.source.offset.0, &*event.payload)).collect();
    assert_eq!(seen, [(1, &b"second"[..]), (0, b"first")]);
    let (event, message) = (&found[0], &found[0].message);
    assert_eq!((message.source.message_id, message.source.timestamp_micros), (2, 5));
    assert_eq!(message.headers.get("region").map(|value| value.to_string()).as_deref(), Some("eu"));
    assert_eq!(event.tenant.as_str(), "acme");
}

#[tokio::test]
async fn a_payload_that_is_nowhere_is_said_to_be() {
    let (keeper, _heard) = keeper(vec![reference(11, 7, "gone"), reference(12, 0, "another")]).await;
    let reasons: Vec<String> =
        fetched(&keeper, 2).await.into_iter().map(|event| event.unwrap_err()).collect();
    for (reason, offset) in reasons.iter().zip([7, 0]) {
        let expected = format!(
            "its payload is not in the parked topic but at offset {offset} of partition 0 of s/domain, and there it is no more"
        );
        assert_eq!(*reason, expected);
    }
}
