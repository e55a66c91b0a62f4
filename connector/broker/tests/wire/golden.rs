//! Goal: what the official SDK 0.11.0 put on the wire is understood, and answered as a real server did.
//! Method: bodies captured from a session of the SDK with a server, and the replies it got.

use guesthouse_broker::BrokerConfig;
use iggy_binary_protocol::batch::{BATCH_HEADER_SIZE, BatchHeader, decode_batch_slice};
use iggy_binary_protocol::{Command, Operation};

use crate::kit::{House, Raw, hex, reply_header, shut};

const LOGIN: &str = "002c0000 08727573742d73646b 06302e31312e30 0469676779 08696767797061737300000000";
const CREATE_STREAM: &str = "0770726f62652d73";
const CREATE_TOPIC: &str = "
    020770726f62652d73020000000770726f62652d74021a000000636f6e73756d
    65725f6f66667365745f6475726162696c697479020a0000007265706c696361
    746564020a0000006475726162696c697479020a0000007265706c6963617465
    64";
const SEND_HEADER: &str = "1c000000020770726f62652d73020770726f62652d7402040000000001000000";
const BATCH_HEADER: &str = "
    0000000000000000000000000000000000000000000000002821152ec0600600
    5e01000000000000d3ae15438e6be5a901000000";
const MESSAGE: &str = "
    c694d4ab0c34625d7a4588931fb24b5da852fc7d9459871c0000000000000000
    250000000900000000000000000000006d6573736167652d3302040000006b69
    6e6402040000007465737402010000006e0c080000000300000000000000";
const POLL_FIRST: &str = "
    010206636f6e732d31020770726f62652d73020770726f62652d740100000000
    0300000000000000000200000000";
const OFFSET_OF_CONSUMER: &str = "010206636f6e732d31020770726f62652d73020770726f62652d740100000000";
const GROUP: &str = "020770726f62652d73020770726f62652d7402026731";
const CREATE_GROUP: &str = "020770726f62652d73020770726f62652d74026731";
const GROUP_POLL_EMPTY_PARTITION: &str = "
    0202026731020770726f62652d73020770726f62652d74010100000005000000
    00000000000a00000001";

fn send() -> Vec<u8> {
    let mut batch_header = hex(BATCH_HEADER);
    batch_header.resize(BATCH_HEADER_SIZE, 0);
    [hex(SEND_HEADER), batch_header, hex(MESSAGE)].concat()
}

async fn sdk_session(house: &House) -> (guesthouse_broker::Broker, Raw) {
    let config = BrokerConfig { root_password: Some("iggypass".into()), ..house.config() };
    let broker = guesthouse_broker::Broker::start(config).await.unwrap();
    let mut raw = Raw::dial(broker.address()).await;
    let reply = raw.ask(Operation::Register, &hex(LOGIN)).await.ok();
    assert_eq!(reply[..16], hex("00000000 00000000 0100000000000000"));
    assert_eq!(reply[16..20], hex("002c0000"), "it answers with its protocol version");
    raw.header.session = 1;
    raw.ask(Operation::CreateStream, &hex(CREATE_STREAM)).await.ok();
    raw.ask(Operation::CreateTopic, &hex(CREATE_TOPIC)).await.ok();
    (broker, raw)
}

#[tokio::test]
async fn a_created_stream_is_described() {
    let house = House::new();
    let (broker, mut raw) = sdk_session(&house).await;
    let reply = raw.ask(Operation::CreateStream, &hex("017a")).await.ok();
    assert_eq!(reply[..8], hex("00000000 01000000"), "a result section, then the id");
    assert_eq!(reply[16..], hex("00000000 0000000000000000 0000000000000000 017a 00000000"));
    shut(broker).await;
}

#[tokio::test]
async fn a_batch_comes_back_as_it_was_sent() {
    let house = House::new();
    let (broker, mut raw) = sdk_session(&house).await;
    let sent = raw.ask(Operation::SendMessages, &send()).await.ok();
    assert_eq!(sent, hex("01000000 00000000 00000000 00000000 0000000000000000"));
    let polled = raw.read(100, &hex(POLL_FIRST)).await.ok();
    assert_eq!(polled[..16], hex("00000000 0000000000000000 01000000"));
    let record = decode_batch_slice(&polled[16..]).unwrap();
    let before = BatchHeader::decode(&send()[32..]).unwrap();
    assert_eq!(record.blob(), hex(MESSAGE), "the message is untouched");
    assert_eq!(record.header.origin_timestamp, before.origin_timestamp);
    assert_ne!(record.header.base_timestamp, 0, "the broker says when it came");
    shut(broker).await;
}

#[tokio::test]
async fn offsets_are_stored_and_fetched() {
    let house = House::new();
    let (broker, mut raw) = sdk_session(&house).await;
    raw.ask(Operation::SendMessages, &send()).await.ok();
    assert_eq!(raw.read(120, &hex(OFFSET_OF_CONSUMER)).await.ok(), b"", "nothing is stored yet");
    let store = |offset: &str| [hex(OFFSET_OF_CONSUMER), hex(offset), vec![1]].concat();
    let stored = raw.ask(Operation::StoreConsumerOffset, &store("0000000000000000")).await;
    assert_eq!(stored.ok(), hex("00000000"));
    let fetched = raw.read(120, &hex(OFFSET_OF_CONSUMER)).await.ok();
    assert_eq!(fetched, hex("00000000 0000000000000000 0000000000000000"));
    let beyond = raw.ask(Operation::StoreConsumerOffset, &store("0f27000000000000")).await;
    assert_eq!(beyond.status(), 4100);
    shut(broker).await;
}

#[tokio::test]
async fn a_group_is_created_joined_and_synced() {
    let house = House::new();
    let (broker, mut raw) = sdk_session(&house).await;
    assert_eq!(raw.ask(Operation::JoinConsumerGroup, &hex(GROUP)).await.status(), 5000);
    let created = raw.ask(Operation::CreateConsumerGroup, &hex(CREATE_GROUP)).await.ok();
    assert_eq!(created, hex("00000000 00000000 02000000 00000000 026731"));
    assert_eq!(raw.ask(Operation::CreateConsumerGroup, &hex(CREATE_GROUP)).await.status(), 5004);
    assert_eq!(raw.read(606, &hex(GROUP)).await.ok(), b"", "not a member");
    assert_eq!(raw.ask(Operation::JoinConsumerGroup, &hex(GROUP)).await.ok(), hex("00000000"));
    let synced = raw.read(606, &hex(GROUP)).await.ok();
    assert_eq!(synced, hex("0100000000000000 02000000 00000000 01000000"));
    let polled = raw.read(100, &hex(GROUP_POLL_EMPTY_PARTITION)).await.ok();
    assert_eq!(polled, hex("01000000 0000000000000000 00000000"));
    shut(broker).await;
}

#[tokio::test]
async fn a_reply_echoes_its_request() {
    let house = House::new();
    let (broker, mut raw) = sdk_session(&house).await;
    let answer = raw.ask(Operation::CreateStream, &hex("0161")).await;
    let header = reply_header(&answer);
    assert_eq!(header.command, Command::Reply);
    assert_eq!(header.operation, Operation::CreateStream);
    assert_eq!((header.client, header.request), (raw.header.client, raw.header.request));
    shut(broker).await;
}
