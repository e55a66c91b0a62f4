//! Writes as many log lines as its payload says: what a call of the host costs.

use bindings::exports::guesthouse::handler::handler::{Emit, Event, Failure, Guest};
use bindings::guesthouse::handler::log::{Level, write};

#[expect(unsafe_code, reason = "generated from the contract")]
mod bindings {
    use super::Chatty;

    wit_bindgen::generate!({ path: "../../wit", world: "event-handler" });
    export!(Chatty);
}

/// A line of 64 bytes.
const LINE: &str = "a line that a handler might write about the order that it sees..";

struct Chatty;

impl Guest for Chatty {
    fn handle(event: Event) -> Result<Vec<Emit>, Failure> {
        let text = String::from_utf8_lossy(&event.payload);
        let lines: u32 = text.parse().map_err(|error| {
            Failure::Reject(format!("expected a number of lines, found `{text}`: {error}"))
        })?;
        for _ in 0..lines {
            write(Level::Debug, LINE);
        }
        Ok(Vec::new())
    }
}
