//! Handles every event by doing nothing, on the plain `event-handler` world: what a call with a record costs by itself.

use bindings::exports::guesthouse::handler::handler::{Emit, Event, Failure, Guest};

#[expect(unsafe_code, reason = "generated from the contract")]
mod bindings {
    use super::NoOp;

    wit_bindgen::generate!({ path: "../../wit", world: "event-handler" });
    export!(NoOp);
}

struct NoOp;

impl Guest for NoOp {
    fn handle(_: Event) -> Result<Vec<Emit>, Failure> {
        Ok(Vec::new())
    }
}
