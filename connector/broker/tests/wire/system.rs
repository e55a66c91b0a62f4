//! Goal: questions about the broker itself are answered as clients expect them.
//! Method: the requests of the official client, and its codec for the replies.

use iggy_binary_protocol::responses::clients::{ClientDetailsResponse, GetClientsResponse};
use iggy_binary_protocol::responses::system::{DescribeOptionsResponse, StatsResponse};
use iggy_binary_protocol::version::IGGY_PROTOCOL_VERSION;
use iggy_binary_protocol::{Operation, WireDecode};
use iggy_common::TOPIC_OPTION_KEYS;

use crate::kit::{House, Raw, shut};

#[tokio::test]
async fn stats_count_what_there_is() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    raw.create_stream("s").await;
    raw.create_topic("s", "t", 3).await;
    raw.send(("s", "t", 1), &[(1, "a"), (2, "b")]).await.ok();
    raw.ask(Operation::CreateConsumerGroup, b"\x02\x01s\x02\x01t\x01g").await.ok();
    let stats = StatsResponse::decode_from(&raw.read(10, &[]).await.ok()).unwrap();
    assert_eq!(stats.process_id, std::process::id());
    assert_eq!((stats.streams_count, stats.topics_count, stats.partitions_count), (1, 1, 3));
    assert_eq!((stats.segments_count, stats.messages_count), (3, 2));
    assert_eq!((stats.clients_count, stats.consumer_groups_count), (1, 1));
    assert!(stats.messages_size_bytes > 256 && stats.memory_usage > 0, "{stats:?}");
    assert!(stats.free_disk_space > 0 && stats.total_disk_space > stats.free_disk_space, "{stats:?}");
    assert_eq!(stats.iggy_server_semver, Some(IGGY_PROTOCOL_VERSION));
    shut(broker).await;
}

#[tokio::test]
async fn every_option_of_a_topic_is_described() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    let topic = DescribeOptionsResponse::decode_from(&raw.read(13, &[1]).await.ok()).unwrap();
    let mut keys: Vec<&str> = topic.entries.iter().map(|entry| entry.key.as_str()).collect();
    let mut expected = TOPIC_OPTION_KEYS.to_vec();
    keys.sort_unstable();
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert!(
        topic.entries.iter().all(|entry| !entry.description.is_empty() && !entry.default_value.is_empty())
    );
    for scope in [2, 3] {
        let none = DescribeOptionsResponse::decode_from(&raw.read(13, &[scope]).await.ok()).unwrap();
        assert_eq!(none.entries, []);
    }
    assert_ne!(raw.read(13, &[4]).await.status(), 0);
    shut(broker).await;
}

#[tokio::test]
async fn a_client_finds_itself_among_the_others() {
    let house = House::new();
    let broker = house.open().await;
    let mut raw = Raw::enter(&broker).await;
    let stranger = Raw::dial(broker.address()).await;
    let me = ClientDetailsResponse::decode_from(&raw.read(20, &[]).await.ok()).unwrap();
    assert_eq!((me.client.user_id, me.client.transport), (0, 1));
    assert_eq!(me.client.address, raw.stream.local_addr().unwrap().to_string());
    // The other one has been accepted once it is listed.
    let others = loop {
        let clients = GetClientsResponse::decode_from(&raw.read(22, &[]).await.ok()).unwrap().clients;
        if clients.len() == 2 {
            break clients;
        }
    };
    assert_eq!(others[0], me.client);
    assert_eq!(others[1].user_id, u32::MAX, "it has not logged in");
    let asked = raw.read(21, &me.client.client_id.to_le_bytes()).await.ok();
    assert_eq!(ClientDetailsResponse::decode_from(&asked).unwrap(), me);
    assert_eq!(raw.read(21, &999_999u32.to_le_bytes()).await.ok(), b"");
    drop(stranger);
    shut(broker).await;
}
