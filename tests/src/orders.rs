//! The book of orders: which ones a topic holds, and for which of them `order-totals` has emitted a total.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use guesthouse_connector::{Offset, PartitionId};

use crate::client::{Client, DOMAIN, TopicReader, envelope_of};
use crate::envelope::text;
use crate::wait::eventually;

/// What the domain topic tells about orders.
#[derive(Debug)]
pub struct OrderBook {
    reader: TopicReader,
    placed: BTreeMap<PartitionId, Vec<(Offset, String)>>,
    totals: HashMap<String, BTreeSet<u128>>,
}

impl OrderBook {
    /// An empty book; [`update`](Self::update) fills it.
    pub fn new(client: &Client) -> Self {
        Self { reader: client.reader(DOMAIN), placed: BTreeMap::new(), totals: HashMap::new() }
    }

    /// Takes in what has come since the last time.
    pub async fn update(&mut self) {
        for (partition, message) in self.reader.more().await {
            let envelope = envelope_of(&message);
            let order = text(&envelope["event"]["data"], "order_id").to_owned();
            match text(&envelope, "event_type") {
                "order.placed" => self.placed.entry(partition).or_default().push((message.offset, order)),
                "order.total-computed" => {
                    self.totals.entry(order).or_default().insert(message.id);
                }
                other => panic!("nobody published a `{other}`"),
            }
        }
    }

    /// How many orders have a total.
    pub fn totals(&self) -> usize {
        self.totals.len()
    }

    /// Waits until every one of these orders has a total, and checks that each total has one id however often it
    /// was published, and that there is none for any other order.
    pub async fn expect_totals(&mut self, orders: &[String]) {
        let expected: BTreeSet<&str> = orders.iter().map(String::as_str).collect();
        eventually("every order has its total", async || {
            self.update().await;
            expected.iter().all(|order| self.totals.contains_key(*order)).then_some(())
        })
        .await;
        for (order, ids) in &self.totals {
            assert!(expected.contains(order.as_str()), "a total for `{order}`, which nobody placed");
            assert_eq!(ids.len(), 1, "the totals of `{order}` have several ids: {ids:?}");
        }
    }

    /// Checks that every order at or below the stored offsets has its total, and tells how many those are. The book
    /// must be newer than the offsets.
    pub fn expect_settled_up_to(&self, stored: &BTreeMap<PartitionId, Offset>) -> usize {
        let mut orders = 0;
        for (partition, stored) in stored {
            let placed = self.placed.get(partition).map_or(&[][..], Vec::as_slice);
            for (offset, order) in placed.iter().take_while(|(offset, _)| offset <= stored) {
                let settled = self.totals.contains_key(order);
                assert!(
                    settled,
                    "partition {partition}: {stored} is stored, but {order} at {offset} has no total"
                );
                orders += 1;
            }
        }
        orders
    }
}
