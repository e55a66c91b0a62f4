//! Goal: the platform's consumers find their groups: root and contract events apart, poison with its exact bytes.
//! Method: one partition of an embedded broker holds both kinds and something unreadable; a group of each kind reads it.

use rustok_iggy::{
    ContractDecodeFailureKind, ContractEventEnvelope, EventEnvelope, EventTransport as _, IggyTransport,
    MODULE_BUILD_TOPIC, PersistentConsumerGroup, PersistentContractConsumerGroup, PersistentContractDelivery,
    TopologyManager, TransportError, partition_key,
};
use rustok_iggy_connector::{ConnectorError, PublishRequest, TopicAddress};
use uuid::Uuid;

use crate::names::{open, read_all, samples};

const POISON: &[u8] = b"\xff no envelope";
const TENANT: Uuid = Uuid::from_u128(7);

/// A root and a contract event of one tenant.
fn both_kinds() -> (EventEnvelope, ContractEventEnvelope) {
    let of_tenant = |place: usize| EventEnvelope { tenant_id: TENANT, ..samples()[place].clone() };
    (of_tenant(3), ContractEventEnvelope::new(of_tenant(8)).unwrap())
}

/// Publishes a contract event, a root event, poison, an envelope without an id, and the contract event's successor.
async fn publish_all(transport: &IggyTransport) {
    let (root, contract) = both_kinds();
    let last = EventEnvelope { id: Uuid::from_u128(9), ..contract.as_envelope().clone() };
    let mut nameless = serde_json::to_value(&root).unwrap();
    nameless["id"] = Uuid::nil().to_string().into();
    transport.publish_contract(contract).await.unwrap();
    transport.publish(root).await.unwrap();
    for payload in [POISON.to_vec(), nameless.to_string().into_bytes()] {
        let request = PublishRequest::simple(partition_key(TENANT), payload, "");
        transport.connector().publish(request).await.unwrap();
    }
    transport.publish_contract(ContractEventEnvelope::new(last).unwrap()).await.unwrap();
}

async fn delivery(group: &PersistentContractConsumerGroup) -> PersistentContractDelivery {
    loop {
        if let Some(delivery) = group.receive_delivery().await.unwrap() {
            return delivery;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract_group_reads_its_events_and_gets_past_poison() {
    let (transport, _dir) = open().await;
    publish_all(&transport).await;
    let group = transport.open_persistent_contract_consumer_group("readers", "domain").await.unwrap();
    let (_, contract) = both_kinds();

    let PersistentContractDelivery::Event(first) = delivery(&group).await else {
        panic!("an event is first")
    };
    assert_eq!(first.envelope.as_envelope().id, contract.as_envelope().id);
    assert_eq!((first.stream.as_str(), first.topic.as_str(), first.offset()), ("rustok", "domain", Some(0)));
    let received: serde_json::Value = serde_json::from_slice(first.raw_payload()).unwrap();
    assert_eq!(received, serde_json::to_value(&contract).unwrap());
    let again = delivery(&group).await;
    assert!(matches!(again, PersistentContractDelivery::Event(again) if again.offset() == Some(0)));
    group.acknowledge(&first).await.unwrap();
    let stale = group.acknowledge(&first).await.unwrap_err();
    assert!(matches!(stale, TransportError::External(ConnectorError::Receive(_))), "{stale}");

    for (kind, code) in [
        (ContractDecodeFailureKind::Deserialize, "iggy.contract.decode_invalid"),
        (ContractDecodeFailureKind::SchemaValidation, "iggy.contract.schema_invalid"),
    ] {
        let told = group.receive().await.unwrap_err();
        let PersistentContractDelivery::DecodeFailure(failure) = delivery(&group).await else {
            panic!("it comes again")
        };
        assert_eq!((failure.kind(), failure.stable_error_code(), failure.error()), (kind, code, &told));
        transport.move_to_dlq(failure.to_dlq_entry(1)).await.unwrap();
        group.acknowledge_decode_failure(&failure).await.unwrap();
    }
    let letters = read_all(transport.connector().as_ref(), "dlq").await;
    assert_eq!(letters.len(), 2);
    assert!(letters.iter().any(|letter| letter.payload == POISON));

    let last = loop {
        if let Some(last) = group.receive().await.unwrap() {
            break last;
        }
    };
    assert_eq!((last.envelope.as_envelope().id, last.offset()), (Uuid::from_u128(9), Some(4)));
    let entry = last.clone().into_dlq_entry(last.raw_payload().to_vec(), "enough", 2);
    assert_eq!((entry.event_id, entry.source_offset()), (Uuid::from_u128(9), Some(4)));
    assert_eq!(entry.ack_token(), last.ack_token());
    group.acknowledge(&last).await.unwrap();
    drop(group);
    transport.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_group_passes_over_contract_events() {
    let (transport, _dir) = open().await;
    publish_all(&transport).await;
    let group: PersistentConsumerGroup =
        transport.open_persistent_consumer_group("readers", "domain").await.unwrap();
    let first = loop {
        if let Some(first) = group.receive().await.unwrap() {
            break first;
        }
    };
    assert_eq!((first.envelope.id, first.offset()), (both_kinds().0.id, Some(1)));
    group.acknowledge(&first).await.unwrap();
    let poison = group.receive().await.unwrap_err();
    assert!(matches!(poison, TransportError::Unreadable { .. }), "{poison}");
    drop(group);
    let nowhere = transport.open_persistent_consumer_group("readers", "nowhere").await.unwrap_err();
    assert!(nowhere.to_string().contains("nowhere"), "{nowhere}");
    transport.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_topology_tells_its_names() {
    let (transport, _dir) = open().await;
    let connector = transport.connector();
    let topology = TopologyManager::new(connector.clone(), "rustok", transport.config().topics());
    assert_eq!(topology.stream_name().await, "rustok");
    let topics =
        [topology.domain_topic().await, topology.system_topic().await, topology.module_build_topic().await];
    assert_eq!(topics, ["domain", "system", MODULE_BUILD_TOPIC]);
    assert!(topology.is_initialized().await);
    connector.delete_topic(&TopicAddress::new("rustok", MODULE_BUILD_TOPIC)).await.unwrap();
    assert!(!topology.is_initialized().await);
    transport.shutdown().await.unwrap();
    assert!(!topology.is_initialized().await, "nobody answers");
}
