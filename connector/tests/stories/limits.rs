//! Goal: what is as large as it may be goes through whole; what is larger is refused by name, and takes nothing with it.
//! Method: publish payloads, headers and batches at their limits and one byte above, and read the topic back.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use bytes::Bytes;
use guesthouse_connector::{
    ConnectorConfig, ConnectorError, ConnectorMode, HEADERS_BYTES_MAX, HeaderError, Headers, IggyConnector,
    PAYLOAD_BYTES_MAX, RemoteConnector,
};

use crate::kit::{House, batch, both_kinds, ids, read_all};

/// What a header takes besides its name and value.
const HEADER_OVERHEAD: usize = 10;

both_kinds!(
    a_payload_goes_through_up_to_its_limit,
    an_empty_payload_is_refused_and_its_neighbours_are_not_lost,
    headers_go_through_up_to_their_limits,
);

async fn a_payload_goes_through_up_to_its_limit(house: &House) {
    let topic = house.topic("payloads", 1).await;
    let mut messages = batch(1..=2, 0);
    messages[0].payload = Bytes::from(vec![7; PAYLOAD_BYTES_MAX]);
    house.connector.publish_batch(&topic, messages).await.unwrap();

    let mut messages = batch(3..=4, 0);
    messages[1].payload = Bytes::from(vec![7; PAYLOAD_BYTES_MAX + 1]);
    let error = house.connector.publish_batch(&topic, messages).await.unwrap_err();
    let text = error.source.to_string();
    assert!(matches!(error.source, ConnectorError::Publish(_)), "{text}");
    assert!(text.contains("64000001") && text.contains("64000000"), "{text}");
    assert_eq!(error.unpublished.len(), 2, "nobody is told that something arrived");

    let received = read_all(&*house.connector, &topic, 0).await;
    assert_eq!(ids(&received), [1, 2]);
    assert_eq!(received[0].payload.len(), PAYLOAD_BYTES_MAX);
    assert!(received[0].payload.iter().all(|byte| *byte == 7));
}

async fn an_empty_payload_is_refused_and_its_neighbours_are_not_lost(house: &House) {
    let topic = house.topic("empty", 1).await;
    let mut messages = batch(1..=2, 0);
    messages[1].payload = Bytes::new();
    let error = house.connector.publish_batch(&topic, messages).await.unwrap_err();
    let expected = "publish error: payload of message 1 of the batch is 0 bytes long, expected 1 to 64000000";
    assert_eq!(error.source.to_string(), expected);
    let mut left = error.unpublished;
    assert_eq!(left.pop().map(|message| message.id), Some(2));
    house.connector.publish_batch(&topic, left).await.unwrap();
    assert_eq!(ids(&read_all(&*house.connector, &topic, 0).await), [1]);
}

async fn headers_go_through_up_to_their_limits(house: &House) {
    let topic = house.topic("headers", 1).await;
    let mut headers = Headers::new();
    let error = headers.insert("long", "v".repeat(256)).unwrap_err();
    assert_eq!(error, HeaderError::ValueLength { name: "long".to_owned(), bytes: 256 });
    while headers.encoded_len() + HEADER_OVERHEAD + 2 * 255 <= HEADERS_BYTES_MAX {
        headers.insert(format!("{:0>255}", headers.len()), "v".repeat(255)).unwrap();
    }
    let left = HEADERS_BYTES_MAX - headers.encoded_len() - HEADER_OVERHEAD;
    let error = headers.insert("n", "v".repeat(left)).unwrap_err();
    assert_eq!(error, HeaderError::TotalLength { bytes: HEADERS_BYTES_MAX + 1 });
    headers.insert("n", "v".repeat(left - 1)).unwrap();
    assert_eq!(headers.encoded_len(), HEADERS_BYTES_MAX);

    let mut messages = batch([1], 0);
    messages[0].headers = headers.clone();
    house.connector.publish_batch(&topic, messages).await.unwrap();
    let received = read_all(&*house.connector, &topic, 0).await;
    assert_eq!(received[0].headers.to_headers().unwrap(), headers);
}

/// An address where somebody speaks another language, and addresses that are none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_no_broker_is_named() {
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = web.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in web.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 64];
            let _asked = stream.read(&mut request);
            let _answered = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    for wrong in [address.as_str(), "no-such-host.invalid:8090", "127.0.0.1", "127.0.0.1:no-port"] {
        let mut config = ConnectorConfig { mode: ConnectorMode::Remote, ..ConnectorConfig::default() };
        config.remote.addresses = vec![wrong.to_owned()];
        config.remote.password = "secret".to_owned();
        config.timeouts.connect = Duration::from_secs(5);
        let remote = RemoteConnector::new();
        let error = remote.connect(&config).await.unwrap_err();
        assert!(error.to_string().contains(wrong), "{wrong}: {error}");
        assert!(!matches!(error, ConnectorError::Auth(_) | ConnectorError::NotConnected), "{wrong}: {error}");
        assert!(!remote.is_connected());
    }
}
