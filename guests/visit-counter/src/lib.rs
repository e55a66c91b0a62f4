//! Remembers how often each customer has ordered, and emits `customer.visited` with the count. The state is the
//! handler's own, for each tenant; what is written for an event counts once, however often the event comes.

use std::borrow::Cow;

use bindings::wasi::keyvalue::store;
use guesthouse_guest::{Emit, Event, Failure};
use serde::{Deserialize, Serialize};

mod bindings {
    wit_bindgen::generate!({ path: "wit", generate_all });
}

/// An order as the shop places it.
#[derive(Deserialize)]
struct OrderPlaced<'a> {
    #[serde(borrow)]
    customer_id: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(tag = "type", content = "data")]
enum Visited<'a> {
    CustomerVisited { customer_id: &'a str, visits: u64 },
}

#[guesthouse_guest::handler]
fn handle(event: &Event<'_>) -> Result<Emit, Failure> {
    let OrderPlaced { customer_id } = event.data()?;
    let visits = count(&customer_id).map_err(|error| Failure::reject(format!("cannot count: {error:?}")))?;
    Emit::json("customer.visited", &Visited::CustomerVisited { customer_id: &customer_id, visits })
}

/// Counts one visit more.
fn count(customer_id: &str) -> Result<u64, store::Error> {
    let bucket = store::open("default")?;
    let before = bucket.get(customer_id)?.and_then(|value| Some(u64::from_le_bytes(value.try_into().ok()?)));
    let visits = before.unwrap_or_default() + 1;
    bucket.set(customer_id, &visits.to_le_bytes())?;
    Ok(visits)
}
