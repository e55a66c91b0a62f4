//! Logs one line per event. It is written on the plain `event-handler` world with nothing but generated
//! bindings: what a handler in any language does.

use bindings::exports::guesthouse::handler::handler::{Emit, Event, Failure, Guest};
use bindings::guesthouse::handler::log::{Level, write};

#[expect(unsafe_code, reason = "generated from the contract")]
mod bindings {
    use super::AuditLog;

    wit_bindgen::generate!({ path: "../../wit", world: "event-handler" });
    export!(AuditLog);
}

struct AuditLog;

impl Guest for AuditLog {
    fn handle(event: Event) -> Result<Vec<Emit>, Failure> {
        let Event { type_, id, tenant, attempt, .. } = event;
        let tenant = tenant.as_deref().unwrap_or("the platform");
        write(Level::Info, &format!("{type_} {id} of {tenant}, attempt {attempt}"));
        Ok(Vec::new())
    }
}
