//! The publisher of a run and its ledger: what was sent, for whom, in which order, and how it must end.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use guesthouse_connector::{Headers, OutgoingMessage, Partitioning};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::sync::watch;

use crate::client::{Client, DOMAIN};
use crate::envelope::{envelope, message, tenant};
use crate::wait::Patience;

/// Events that are published together.
const BATCH: usize = 20;

/// The pace of the load.
const PAUSE: Duration = Duration::from_millis(25);

const TENANTS: u128 = 40;

/// How an event must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// It is handled.
    Handled,
    /// It becomes a dead letter with this outcome.
    Dead(&'static str),
}

/// One published event.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Its message id.
    pub id: u128,
    /// Whose lane it is in: handler and tenant; an undecodable message is in none.
    pub lane: Option<(&'static str, u128)>,
    /// Its place in that lane.
    pub sequence: u64,
    /// How it must end.
    pub fate: Fate,
}

/// What was published.
#[derive(Debug, Default)]
pub struct Published {
    /// Every event, in the order of sending. All of them were confirmed in the end.
    pub events: Vec<Sent>,
    /// Events that had to be sent again, since the answer was lost.
    pub unknown: usize,
}

/// Publishes until told to stop, each event until it is confirmed.
pub async fn publish(stop: watch::Receiver<bool>, client: Client, seed: u64) -> Published {
    let mut author = Author { random: SmallRng::seed_from_u64(seed), sequences: HashMap::new() };
    let mut published = Published::default();
    while !*stop.borrow() {
        let (sent, messages): (Vec<_>, Vec<_>) = (0..BATCH).map(|_| author.event()).unzip();
        published.events.extend(sent);
        let mut left = messages;
        let patience = Patience::for_this("what is published is confirmed");
        while let Err(unpublished) = client.try_publish(DOMAIN, left).await {
            published.unknown += unpublished.len();
            left = unpublished;
            patience.pause().await;
        }
        // The pace of the load; nothing is synchronised by it.
        tokio::time::sleep(PAUSE).await;
    }
    published
}

struct Author {
    random: SmallRng,
    sequences: HashMap<(&'static str, u128), u64>,
}

impl Author {
    fn event(&mut self) -> (Sent, OutgoingMessage) {
        let tenant = self.random.random_range(0..TENANTS);
        let (handler, behave, fate) = match self.random.random_range(0..1_000) {
            0..10 => return self.undecodable(tenant),
            10..20 => ("picky", "trap", Fate::Dead("trapped")),
            20..40 => ("picky", "reject", Fate::Dead("reject")),
            40..60 => ("picky", "trap-once", Fate::Handled),
            60..80 => ("picky", "done", Fate::Handled),
            80..82 => ("looping", "loop", Fate::Dead("timed-out")),
            _ => ("steady", "done", Fate::Handled),
        };
        let sequence = self.sequences.entry((handler, tenant)).or_default();
        *sequence += 1;
        let data = json!({ "sequence": *sequence, "behave": behave });
        let event = json!({ "type": "Witnessed", "data": data });
        let message = message(&envelope(&self::tenant(tenant), &format!("torture.{handler}"), &event));
        let lane = Some((handler, tenant));
        (Sent { id: message.id, lane, sequence: *sequence, fate }, message)
    }

    fn undecodable(&mut self, tenant: u128) -> (Sent, OutgoingMessage) {
        let message = OutgoingMessage {
            id: self.random.random(),
            partition: Partitioning::Key(self::tenant(tenant)),
            payload: Bytes::from_static(b"{\"id\": not an envelope"),
            headers: Headers::new(),
        };
        (Sent { id: message.id, lane: None, sequence: 0, fate: Fate::Dead("undecodable") }, message)
    }
}
