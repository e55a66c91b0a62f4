//! What the demo publishes: the sample events of the platform, orders, and poison among them.

use std::fs;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::workspace::Workspace;

const SAMPLES: &str = "tests/data/rustok-sample-events.json";

/// One in this many is poison.
const POISON_EVERY: u32 = 100;

/// Where ids of tenants, orders and events start, so that each is of its own kind.
const TENANTS: u128 = 0xa000_0000_0000_4000_8000_0000_0000_0000;
const ORDERS: u128 = 0x0d00_0000_0000_4000_8000_0000_0000_0000;
const EVENTS: u128 = 0xe000_0000_0000_4000_8000_0000_0000_0000;

/// What the guest `picky` is told to do, and how that must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Poison {
    behave: &'static str,
    pub(crate) fate: Fate,
}

/// How poison must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A later attempt succeeds.
    Handled,
    /// The guest gives it up.
    Refused,
    /// The host has to stop the guest.
    Stopped,
}

/// Every kind of poison, in the order in which they are mixed in.
const POISONS: [Poison; 5] = [
    Poison { behave: "reject", fate: Fate::Refused },
    Poison { behave: "trap", fate: Fate::Stopped },
    Poison { behave: "retry-twice", fate: Fate::Handled },
    Poison { behave: "loop", fate: Fate::Stopped },
    Poison { behave: "grow", fate: Fate::Stopped },
];

/// What the events of one lane tell the guest `picky` to do, in their order.
pub(crate) const LANE: [&str; 3] = ["reject", "done", "done"];

/// The envelopes of that lane, one per line.
pub(crate) fn lane() -> Vec<String> {
    let envelope = |(number, behave): (u32, &str)| {
        let event = json!({ "type": "Picky", "data": { "behave": behave } });
        envelope(u32::MAX - number, 0, "demo.careful", &event).to_string()
    };
    (0..).zip(LANE).map(envelope).collect()
}

/// All events of a demo, and what must become of them.
#[derive(Debug)]
pub(crate) struct Events {
    /// Envelopes, one per line.
    pub(crate) lines: Vec<String>,
    /// Orders among them: each makes one more event.
    pub(crate) orders: u64,
    /// Poison, by its place in [`POISONS`].
    poison: [u64; POISONS.len()],
}

impl Events {
    /// The samples, and `count` events of so many tenants.
    pub(crate) fn new(workspace: &Workspace, count: u32, tenants: u32) -> Result<Self> {
        let mut events = Self { lines: Vec::new(), orders: 0, poison: [0; POISONS.len()] };
        for sample in samples(workspace)? {
            events.orders += u64::from(sample.get("event_type").is_some_and(|name| name == "order.placed"));
            events.lines.push(sample.to_string());
        }
        for number in 0..count {
            let tenant = number % tenants.max(1);
            let envelope = match poison_of(number) {
                Some((place, poison)) => {
                    if let Some(poisoned) = events.poison.get_mut(place) {
                        *poisoned += 1;
                    }
                    envelope(
                        number,
                        tenant,
                        "demo.picky",
                        &json!({ "type": "Picky", "data": { "behave": poison.behave } }),
                    )
                }
                None => {
                    events.orders += 1;
                    envelope(number, tenant, "order.placed", &order(number))
                }
            };
            events.lines.push(envelope.to_string());
        }
        Ok(events)
    }

    /// How many are published.
    pub(crate) fn published(&self) -> u64 {
        self.lines.len() as u64
    }

    /// How many the host must settle: what is published, and what its guests emit.
    pub(crate) fn to_settle(&self) -> u64 {
        self.published() + self.orders
    }

    /// Every kind of poison with how many there are.
    pub(crate) fn poisons(&self) -> impl Iterator<Item = (Poison, u64)> {
        POISONS.into_iter().zip(self.poison)
    }
}

fn samples(workspace: &Workspace) -> Result<Vec<Value>> {
    let path = workspace.file(SAMPLES);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not a list of events", path.display()))
}

/// Poison comes evenly spread over time and over the tenants.
fn poison_of(number: u32) -> Option<(usize, Poison)> {
    // Not the first of each hundred: a step of its own lets it meet every tenant in turn.
    let round = number / POISON_EVERY;
    let is_poison = number % POISON_EVERY == round % POISON_EVERY;
    let place = usize::try_from(round).unwrap_or_default() % POISONS.len();
    POISONS.get(place).filter(|_| is_poison).map(|poison| (place, *poison))
}

fn order(number: u32) -> Value {
    let customer = Uuid::from_u128(ORDERS + u128::from(u32::MAX) + u128::from(number % 997));
    json!({
        "type": "OrderPlaced",
        "data": {
            "order_id": Uuid::from_u128(ORDERS + u128::from(number)),
            "customer_id": customer,
            "total": 500 + i64::from(number) * 37 % 90_000,
            "currency": "EUR",
        },
    })
}

fn envelope(number: u32, tenant: u32, event_type: &str, event: &Value) -> Value {
    let id = Uuid::from_u128(EVENTS + u128::from(number));
    json!({
        "id": id,
        "event_type": event_type,
        "schema_version": 1,
        "correlation_id": id,
        "causation_id": null,
        "tenant_id": Uuid::from_u128(TENANTS + (u128::from(tenant + 1) << 96)),
        "trace_id": null,
        "timestamp": Timestamp::now().to_string().replace('Z', "+00:00"),
        "actor_id": null,
        "event": event,
        "retry_count": 0,
    })
}
