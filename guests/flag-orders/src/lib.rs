//! Emits `order.flagged` for orders above the `threshold` of the handler's configuration. Without a threshold that
//! is a number it does not start, so that a host refuses to be deployed with it.

use std::borrow::Cow;
use std::sync::OnceLock;

use guesthouse_guest::{Config, Emit, Event, Failure};
use serde::{Deserialize, Serialize};

/// The total above which an order is flagged, in the smallest unit of its currency.
static THRESHOLD: OnceLock<i64> = OnceLock::new();

/// An order as the shop places it.
#[derive(Deserialize)]
struct OrderPlaced<'a> {
    #[serde(borrow)]
    order_id: Cow<'a, str>,
    total: i64,
}

#[derive(Serialize)]
#[serde(tag = "type", content = "data")]
enum Flagged<'a> {
    OrderFlagged { order_id: &'a str, total: i64 },
}

#[guesthouse_guest::init]
fn init(config: &Config) -> Result<(), String> {
    let written = config.get("threshold").ok_or("expected `threshold` in the handler's config")?;
    let threshold = written.parse().map_err(|error| format!("`threshold: {written}`: {error}"))?;
    THRESHOLD.set(threshold).map_err(|_| "the guest was started twice".to_owned())
}

#[guesthouse_guest::handler]
fn handle(event: &Event<'_>) -> Result<Option<Emit>, Failure> {
    let OrderPlaced { order_id, total } = event.data()?;
    let threshold = THRESHOLD.get().copied().unwrap_or(i64::MAX);
    let flag = || Emit::json("order.flagged", &Flagged::OrderFlagged { order_id: &order_id, total });
    (total > threshold).then(flag).transpose()
}
