//! A module of the RusToK platform, built against the platform's contract alone: publishes what it was given and
//! what the platform denied it, and fails on an order without an id.

use bindings::Guest;
use bindings::rustok::module::host::invoke;
use serde_json::{Value, json};

#[expect(unsafe_code, reason = "generated from the contract")]
mod bindings {
    use super::Module;

    wit_bindgen::generate!({ path: "wit", world: "module-runtime" });
    export!(Module);
}

struct Module;

impl Guest for Module {
    fn run(input: String) -> Result<String, String> {
        let dispatch: Value = serde_json::from_str(&input).map_err(|error| error.to_string())?;
        let order_id = dispatch.pointer("/payload/event/payload/data/order_id").and_then(Value::as_str);
        if order_id.is_none_or(str::is_empty) {
            return Err("the order has no id".to_owned());
        }
        let denied = invoke("platform.http", "request", "{}").err();
        let publication = json!({
            "topic": "order.mirrored",
            "payload": { "type": "OrderMirrored", "data": { "dispatch": dispatch, "denied": denied } },
        });
        invoke("platform.events", "publish", &publication.to_string())
    }
}
