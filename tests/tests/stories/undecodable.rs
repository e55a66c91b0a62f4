//! Goal: a message that no codec can read stops nobody, and lies whole in the dead letter queue with what is wrong.
//! Method: messages that are no envelopes among good ones; counters, dead letters, and the good ones' totals.

use bytes::Bytes;
use guesthouse_connector::{OutgoingMessage, ReceivedMessage};
use guesthouse_tests::House;
use guesthouse_tests::client::{DLQ, DOMAIN};
use guesthouse_tests::envelope::{PLATFORM, message, order, tenant};
use guesthouse_tests::house::{PARTITIONS, order_totals};

/// What is published instead of an envelope, and the code of the mistake.
const BROKEN: [(&[u8], &str); 4] = [
    (b"\xff\xfe not even text", "json-syntax"),
    (b"{\"id\": \"cut short", "json-syntax"),
    (b"{\"id\": 7}", "json-envelope"),
    (b"null", "json-envelope"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_kept_whole() {
    let house = House::new();
    let mut host = house.start("host", &house.config(&[order_totals()]));
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let like = message(&order(&tenant(1), "order-0"));
    let mut messages = vec![like.clone()];
    for (n, (payload, _)) in (1..).zip(BROKEN) {
        messages.push(OutgoingMessage { id: n, payload: Bytes::from_static(payload), ..like.clone() });
        messages.push(message(&order(&tenant(1), &format!("order-{n}"))));
    }
    client.publish_messages(DOMAIN, messages).await;

    // Five orders with a total each, and the broken ones.
    let counters = host.until("everything is settled", |counters| counters.settled == 14).await;
    assert_eq!(counters.undecodable, 4);
    assert_eq!(counters.tenants[&tenant(1)].handled, 5, "the orders among them are handled");
    assert!(!counters.tenants.contains_key(PLATFORM), "nobody owns what cannot be read");
    let dead: Vec<ReceivedMessage> = client.read(DLQ).await.into_iter().map(|(_, message)| message).collect();
    assert_eq!(dead.len(), BROKEN.len());
    for (letter, (payload, code)) in dead.iter().zip(BROKEN) {
        let header = |name: &str| letter.headers.get(name).map(|value| value.to_string());
        assert_eq!(letter.payload, payload);
        assert_eq!(header("gh-outcome").as_deref(), Some("undecodable"));
        assert_eq!(header("gh-code").as_deref(), Some(code), "{:?}", header("gh-reason"));
        assert_eq!(header("gh-handler").as_deref(), Some("decode"));
        assert_eq!(header("gh-tenant"), None, "a tenant that cannot be read is not guessed");
    }
    assert_eq!(host.stop().await.code, Some(0));
}
