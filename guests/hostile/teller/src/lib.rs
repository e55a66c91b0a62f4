//! Says aloud what it was told in secret. The type of the event says where.

use bindings::wasi::config::store;
use guesthouse_guest::{Event, Failure, log};

mod bindings {
    wit_bindgen::generate!({ path: "../../order-webhook/wit", generate_all });
}

/// Long enough that a reason is cut inside of a secret somewhere.
const FILLER_BYTES: usize = 1000;

#[guesthouse_guest::handler]
#[expect(clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "to say it aloud is the attack")]
fn handle(event: &Event<'_>) -> Result<(), Failure> {
    let secret = store::get("api-key").ok().flatten().unwrap_or_default();
    match event.event_type() {
        "panic" => panic!("the key is {secret} and again {secret:?}"),
        "reject" => Err(Failure::reject(format!("the key is {secret}"))),
        "retry" => Err(Failure::retry(format!("the key is {secret}"))),
        "cut" => Err(Failure::reject(format!("{}{secret}{secret}", "x".repeat(FILLER_BYTES)))),
        "log" => {
            log::info!("the key is {secret}");
            println!("the key is {secret}");
            eprintln!("the key is {secret}");
            Ok(())
        }
        other => Err(Failure::reject(format!("nothing to say for `{other}`, {} bytes", secret.len()))),
    }
}
