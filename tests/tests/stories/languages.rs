//! Goal: handlers that the toolchains of other languages make run in the host as those in Rust do. Method: components
//! that `cargo xtask guests` built of `guests/`, one host for all of them, their emits and their dead letters.

use std::path::{Path, PathBuf};

use guesthouse_connector::ReceivedMessage;
use guesthouse_tests::client::{Client, DLQ, DOMAIN, envelope_of};
use guesthouse_tests::envelope::{envelope, tenant, text};
use guesthouse_tests::house::{House, PARTITIONS};
use serde_json::{Value, json};

/// Where `cargo xtask guests` leaves the components, from the folder of cargo for the files of tests.
const COMPONENTS: &str = "../languages";
/// Set by `cargo xtask test --all`: then nothing may be skipped.
const ALL_TESTS: &str = "GUESTHOUSE_TESTS_ALL";

/// A handler, what it makes of an event that it likes, and why it rejects one that is empty.
struct Story {
    guest: &'static str,
    grants: &'static [&'static str],
    event_type: &'static str,
    data: fn() -> Value,
    emit_type: &'static str,
    emit: fn() -> Value,
    reject: &'static str,
}

const STORIES: [Story; 3] = [
    Story {
        guest: "discount-js",
        grants: &["log"],
        event_type: "order.placed",
        data: || json!({ "order_id": "ümlaut-1", "total": 250_000 }),
        emit_type: "order.discounted",
        emit: || json!({ "type": "OrderDiscounted", "data": { "order_id": "ümlaut-1", "discount": 12_500 } }),
        reject: "expected an order with `order_id` and `total`",
    },
    Story {
        guest: "fraud-py",
        grants: &["log", "random"],
        event_type: "order.placed",
        data: || json!({ "order_id": "ümlaut-2", "total": 2_500_000 }),
        emit_type: "order.flagged",
        emit: || json!({ "type": "OrderFlagged", "data": { "order_id": "ümlaut-2", "total": 2_500_000 } }),
        reject: "expected an order with `order_id` and `total`: KeyError('order_id')",
    },
    Story {
        guest: "greeter-component",
        grants: &["log"],
        event_type: "customer.registered",
        data: || json!({ "name": "Zoë", "email": "zoe@example.com" }),
        emit_type: "mail.requested",
        emit: || json!({ "type": "MailRequested", "data": { "to": "zoe@example.com", "text": "Welcome, Zoë!" } }),
        reject: "expected a customer: missing field `name`",
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_of_each_language_emits_and_rejects() {
    let stories: Vec<(&Story, PathBuf)> =
        STORIES.iter().filter_map(|story| Some((story, component(story.guest)?))).collect();
    if stories.is_empty() {
        return;
    }
    let house = House::new();
    let handlers: Vec<Value> = stories.iter().map(|(story, component)| story.handler(component)).collect();
    let mut host = house.start("host", &house.config(&handlers));
    host.until_reading(PARTITIONS).await;
    let client = house.client().await;
    let events: Vec<Value> = stories.iter().flat_map(|(story, _)| story.events()).collect();
    client.publish(&events).await;

    // Two events of each, and what comes of the first.
    let settled = 3 * stories.len() as u64;
    host.until("all is settled", |counters| counters.settled == settled).await;
    for (story, _) in &stories {
        story.expect(&client).await;
    }
    assert_eq!(host.stop().await.code, Some(0));
}

/// The component of a guest; none, said aloud, where its tools are missing.
fn component(guest: &str) -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(COMPONENTS).join(guest).with_extension("wasm");
    let found = file.is_file();
    assert!(found || std::env::var_os(ALL_TESTS).is_none(), "{} was not built", file.display());
    if !found {
        eprintln!("SKIPPED: {guest}: `cargo xtask guests` builds it where its tools are installed");
    }
    found.then_some(file)
}

impl Story {
    fn handler(&self, component: &Path) -> Value {
        json!({
            "name": self.guest,
            "component": component,
            "events": [self.event_type],
            "tenants": [self.tenant()],
            "grants": self.grants,
        })
    }

    /// Each has a tenant of its own.
    fn tenant(&self) -> String {
        tenant(self.guest.len() as u128)
    }

    fn events(&self) -> [Value; 2] {
        [(self.data)(), json!({})].map(|data| {
            let payload = json!({ "type": "Event", "data": data });
            envelope(&self.tenant(), self.event_type, &payload)
        })
    }

    async fn expect(&self, client: &Client) {
        let guest = self.guest;
        let envelopes: Vec<Value> =
            client.read(DOMAIN).await.iter().map(|(_, message)| envelope_of(message)).collect();
        let is_ours = |envelope: &&Value| text(envelope, "event_type") == self.emit_type;
        let emits: Vec<&Value> = envelopes.iter().filter(is_ours).collect();
        assert_eq!(emits.len(), 1, "emits of {guest}");
        assert_eq!((&emits[0]["event"], text(emits[0], "tenant_id")), (&(self.emit)(), &*self.tenant()));
        let letters = client.read(DLQ).await;
        let header = |letter: &ReceivedMessage, name| letter.headers.get(name).map(|value| value.to_string());
        let is_ours = |letter: &&ReceivedMessage| header(letter, "gh-handler").as_deref() == Some(guest);
        let letters: Vec<_> = letters.iter().map(|(_, letter)| letter).filter(is_ours).collect();
        assert_eq!(letters.len(), 1, "dead letters of {guest}");
        assert_eq!(header(letters[0], "gh-outcome").as_deref(), Some("reject"), "{guest}");
        let reason = header(letters[0], "gh-reason").unwrap_or_default();
        assert!(reason.contains(self.reject), "{guest}: {reason}");
    }
}
