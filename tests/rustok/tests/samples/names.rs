//! Goal: what the platform knows by name is there under that name and does what the name says.
//! Method: use each on an embedded broker, and read back what it leaves there.

use std::sync::Arc;

use rustok_iggy::{ConsumerGroupManager, EventTransport as _};
use rustok_iggy::{
    ContractEventEnvelope, DlqEntry, DlqError, DlqManager, EmbeddedConfig, EventEnvelope, EventSerializer,
    IggyConfig, IggyMode, IggyTransport, JsonSerializer, MessagePackSerializer, PostcardSerializer,
    ReplayBound, ReplayConfig, ReplayManager, ReplayStatus, ReplayTarget, RetentionConfig,
    SerializationFormat, TopologyConfig, TopologyManager, TransportError, calculate_partition, partition_key,
};
use rustok_iggy_connector::{
    BundledConnector, BundledConnectorConfig, ExternalConnector, ExternalConnectorConfig, GroupAddress,
    IggyConnector, Offset, PartitionId, ReceivedMessage, SubscriberMessageMetadata, TopicAddress,
};
use serde_json::Value;
use tempfile::TempDir;
use uuid::Uuid;

const SAMPLES: &str = include_str!("../../../data/rustok-sample-events.json");
const KNOWN: &str = include_str!("../../../data/rustok-sample-events.meta.json");

pub(crate) fn samples() -> Vec<EventEnvelope> {
    serde_json::from_str(SAMPLES).unwrap()
}

pub(crate) async fn open() -> (IggyTransport, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let config = IggyConfig {
        mode: IggyMode::Embedded,
        topology: TopologyConfig::default(),
        retention: RetentionConfig::default(),
        embedded: EmbeddedConfig {
            data_dir: dir.path().display().to_string(),
            tcp_port: 0,
            ..Default::default()
        },
        ..Default::default()
    };
    (IggyTransport::new(config).await.unwrap(), dir)
}

/// Everything in a topic.
pub(crate) async fn read_all(connector: &dyn IggyConnector, topic: &str) -> Vec<ReceivedMessage> {
    let address = TopicAddress::new("rustok", topic);
    let mut all = Vec::new();
    for state in connector.topic_state(&address).await.unwrap().partitions {
        all.extend(connector.read_from(&address, state.partition, Offset(0), 1_000).await.unwrap());
    }
    all
}

fn header(message: &ReceivedMessage, name: &str) -> String {
    message.headers.get(name).map(|value| value.to_string()).unwrap_or_default()
}

#[test]
fn partitions_are_those_of_the_platforms_hash_counted_from_zero() {
    let known: Vec<Value> = serde_json::from_str(KNOWN).unwrap();
    for (sample, known) in samples().iter().zip(&known) {
        let key = partition_key(sample.tenant_id);
        assert_eq!(known["partition_key"], key.as_str());
        assert_eq!(known["partition_zero_based_of_8"], calculate_partition(&key, 8));
    }
    assert_eq!(calculate_partition("tenant-123", 8), 5);
}

#[test]
fn serializers_write_what_they_read_back() {
    let known: Vec<Value> = serde_json::from_str(KNOWN).unwrap();
    let serializers: [&dyn EventSerializer; 3] =
        [&JsonSerializer, &MessagePackSerializer, &PostcardSerializer];
    assert_eq!(serializers.map(EventSerializer::format), SerializationFormat::ALL);
    for serializer in serializers {
        for (sample, known) in samples().iter().zip(&known) {
            let bytes = serializer.serialize(sample).unwrap();
            if serializer.format() == SerializationFormat::MessagePack {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(known["msgpack_hex"], hex.as_str());
            }
            let back = serializer.deserialize(&bytes).unwrap();
            let json = |envelope: &EventEnvelope| serde_json::to_value(envelope).unwrap();
            assert_eq!(json(&back), json(sample));
            let contract = serializer.deserialize_contract(&bytes);
            assert_eq!(contract.is_ok(), known["profile"] == "contract");
            if let Ok(contract) = contract {
                assert_eq!(serializer.serialize_contract(&contract).unwrap(), bytes);
            }
            let cut = serializer.deserialize(&bytes[..bytes.len() - 1]).unwrap_err();
            assert!(matches!(cut, TransportError::Unreadable { .. }), "{cut}");
            assert_eq!(cut.stable_code(), "iggy.transport.envelope_unreadable");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_moved_to_the_dlq_is_kept_whole_and_can_be_retried() {
    let (transport, _dir) = open().await;
    let connector = Arc::clone(transport.connector());
    let sample = &samples()[3];
    let payload = JsonSerializer.serialize(sample).unwrap();
    let source = SubscriberMessageMetadata::new("rustok", "domain", 2).with_offset(41).with_ack_token("t");
    let entry = DlqEntry::new(sample.id, "domain", payload.clone(), "no such product\n", 1)
        .with_connector_metadata(source);
    assert_eq!((entry.source_offset(), entry.ack_token()), (Some(41), Some("t")));

    let dlq = DlqManager::new();
    dlq.move_to_dlq(connector.as_ref(), entry.clone()).await.unwrap();
    transport.move_to_dlq(entry.clone()).await.unwrap();
    let letters = read_all(connector.as_ref(), "dlq").await;
    assert_eq!(letters.len(), 2, "who is answered and sends again means it");
    assert_eq!(letters[0].id, letters[1].id, "the same entry has the same id");
    assert_eq!(letters[0].payload, payload);
    let headers = [
        ("gh-topic", "domain"),
        ("gh-partition", "2"),
        ("gh-offset", "41"),
        ("gh-event-type", sample.event_type.as_str()),
        ("gh-reason", "no such product\\n"),
        ("gh-replays", "1"),
        ("event-type", sample.event_type.as_str()),
    ];
    for (name, value) in headers {
        assert_eq!(header(&letters[0], name), value, "{name}");
    }
    assert_eq!(header(&letters[0], "gh-tenant"), partition_key(sample.tenant_id));
    assert_eq!(header(&letters[0], "gh-event-id"), sample.id.to_string());

    dlq.retry_entry(connector.as_ref(), entry.clone(), "domain").await.unwrap();
    let again = read_all(connector.as_ref(), "domain").await;
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].payload.as_ref(), header(&again[0], "gh-replays").as_str()), (&payload[..], "2"));

    let states = read_all(connector.as_ref(), "dlq-states").await;
    let letter = Uuid::from_u128(letters[0].id);
    assert_eq!(states[0].payload, format!(r#"{{"letters":["{letter}"],"state":"replayed"}}"#));

    let worn_out = DlqEntry { retry_count: 3, ..entry.clone() };
    let error = transport.retry_dlq_entry(worn_out, "domain").await.unwrap_err();
    assert!(matches!(error, DlqError::RetriesExhausted { max_retries: 3, .. }), "{error}");
    let error = dlq.with_topic("nowhere").move_to_dlq(connector.as_ref(), entry).await.unwrap_err();
    assert_eq!(error.stable_code(), "iggy.connector.topology_mismatch");
    assert!(error.to_string().contains("nowhere"), "{error}");
    transport.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_says_nothing_or_cannot_be_carried_becomes_a_dead_letter_too() {
    let (transport, _dir) = open().await;
    let connector = Arc::clone(transport.connector());
    for payload in [b"no envelope".to_vec(), Vec::new(), vec![0; 64_000_001]] {
        let entry = DlqEntry::new(Uuid::new_v4(), "domain", payload, "e".repeat(5_000), 0);
        transport.move_to_dlq(entry).await.unwrap();
    }
    let letters = read_all(connector.as_ref(), "dlq").await;
    let mut forms: Vec<_> = letters.iter().map(|letter| header(letter, "gh-payload")).collect();
    forms.sort();
    assert_eq!(forms, ["", "reference", "reference"]);
    transport.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_joined_counted_and_left() {
    let (transport, _dir) = open().await;
    transport.publish(samples()[0].clone()).await.unwrap();
    let mut member = transport.subscribe_as_group("rustok-test-readers").await.unwrap();
    let message = loop {
        if let Some(message) = member.receive().await.unwrap() {
            break message;
        }
    };
    assert_eq!(JsonSerializer.deserialize(&message.payload).unwrap().id, samples()[0].id);

    let groups = ConsumerGroupManager::new(Arc::clone(transport.connector()));
    let address = GroupAddress::new(TopicAddress::new("rustok", "domain"), "rustok-test-readers");
    assert_eq!(groups.members(&address).await.unwrap().unwrap().len(), 1);
    assert_eq!(groups.position(&address).await.unwrap().lag_total, 1);
    member.acknowledge(message.metadata.ack_token.as_deref().unwrap()).await.unwrap();
    assert_eq!(groups.position(&address).await.unwrap().lag_total, 0);
    drop(member);
    transport.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_topology_is_as_it_should_be_and_a_replay_ends() {
    let (transport, dir) = open().await;
    let connector = Arc::clone(transport.connector());
    let topology = TopologyManager::new(Arc::clone(&connector), "rustok", transport.config().topics());
    assert!(topology.report().await.unwrap().iter().all(|topic| topic.differences.is_empty()));

    transport.publish_batch(samples()[..4].to_vec()).await.unwrap();
    let before = read_all(connector.as_ref(), "domain").await.len();
    let replays = ReplayManager::new(Arc::clone(&connector), dir.path().join("replays"));
    let config = ReplayConfig {
        stream: "rustok".to_owned(),
        topic: "domain".to_owned(),
        partitions: Vec::new(),
        from: ReplayBound::Open,
        to: ReplayBound::Open,
        target: ReplayTarget::Topic("system".to_owned()),
        rate_max: None,
        dry_run: false,
    };
    let ended = replays.start("once", config).await.unwrap().run(|_| {}).await.unwrap();
    assert_eq!(ended.status, ReplayStatus::Finished);
    assert_eq!(read_all(connector.as_ref(), "system").await.len(), before);
    transport.shutdown().await.unwrap();
}

/// The later names of the two connectors.
#[tokio::test]
async fn the_connectors_have_both_their_names() {
    for connector in
        [Arc::new(BundledConnector::new()) as Arc<dyn IggyConnector>, Arc::new(ExternalConnector::new())]
    {
        assert!(!connector.is_connected());
        assert!(connector.subscribe("rustok", "domain", PartitionId(0).0).await.is_err());
    }
    assert_eq!((IggyMode::Bundled, IggyMode::External), (IggyMode::Embedded, IggyMode::Remote));
    let (BundledConnectorConfig { tcp_port, .. }, ExternalConnectorConfig { protocol, .. }) =
        Default::default();
    assert_eq!((tcp_port, protocol.as_str()), (8090, "tcp"));
}

#[test]
fn a_contract_envelope_needs_a_family() {
    let contracts = samples().into_iter().map(ContractEventEnvelope::new).filter(Result::is_ok).count();
    assert_eq!(contracts, 2);
}
