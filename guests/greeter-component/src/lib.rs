//! Greets new customers: reads `customer.registered` and emits `mail.requested`. What is no customer is rejected.

#[allow(warnings, reason = "written by `cargo component`")]
mod bindings;

use bindings::exports::guesthouse::handler::handler::{Emit, Event, Failure, Guest};
use bindings::guesthouse::handler::log::{Level, write};
use serde::Deserialize;
use serde_json::json;

struct Greeter;

#[derive(Deserialize)]
struct Registered {
    data: Customer,
}

#[derive(Deserialize)]
struct Customer {
    name: String,
    email: String,
}

impl Guest for Greeter {
    fn handle(event: Event) -> Result<Vec<Emit>, Failure> {
        let Registered { data: Customer { name, email } } = serde_json::from_slice(&event.payload)
            .map_err(|error| Failure::Reject(format!("expected a customer: {error}")))?;
        write(Level::Info, &format!("greeting {name}"));
        let mail =
            json!({ "type": "MailRequested", "data": { "to": email, "text": format!("Welcome, {name}!") } });
        let (type_, payload) = ("mail.requested".to_owned(), mail.to_string().into_bytes());
        Ok(vec![Emit { type_, schema_version: 1, topic: None, key: None, headers: Vec::new(), payload }])
    }
}

bindings::export!(Greeter with_types_in bindings);
