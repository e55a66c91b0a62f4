//! Reads `order.placed` and emits `order.total-computed`. An order that does not parse is rejected with what
//! is wrong with it.

use std::borrow::Cow;

use guesthouse_guest::{Emit, Event, Failure};
use serde::{Deserialize, Serialize};

/// An order as the shop places it. Texts borrow from the payload unless they contain escapes.
#[derive(Deserialize)]
struct OrderPlaced<'a> {
    #[serde(borrow)]
    order_id: Cow<'a, str>,
    /// Sum in the smallest unit of the currency.
    total: i64,
    #[serde(borrow)]
    currency: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(tag = "type", content = "data")]
enum Computed<'a> {
    OrderTotalComputed { order_id: &'a str, total: i64, currency: &'a str },
}

#[guesthouse_guest::handler]
fn handle(event: &Event<'_>) -> Result<Emit, Failure> {
    let OrderPlaced { order_id, total, currency } = event.data()?;
    Emit::json(
        "order.total-computed",
        &Computed::OrderTotalComputed { order_id: &order_id, total, currency: &currency },
    )
}
