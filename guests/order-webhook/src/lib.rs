//! Posts every order, as it came, to the address that the operator configured under `url`. An answer that may change
//! asks for another attempt, any other that is not a success rejects the event.

mod post;
mod url;

use bindings::wasi::config::store;
use guesthouse_guest::{Event, Failure};

use post::post;
use url::Url;

mod bindings {
    wit_bindgen::generate!({ path: "wit", generate_all });
}

#[guesthouse_guest::handler]
fn handle(event: &Event<'_>) -> Result<(), Failure> {
    let configured =
        store::get("url").map_err(|error| Failure::retry(format!("no configuration: {error:?}")))?;
    let configured = configured.ok_or_else(|| Failure::reject("the handler's configuration has no `url`"))?;
    let url = Url::parse(&configured).ok_or_else(|| Failure::reject(format!("no URL: {configured}")))?;
    match post(&url, event)? {
        200..=299 => Ok(()),
        // The server is busy or broken, which may pass.
        status @ (408 | 429 | 500..=599) => Err(Failure::retry(format!("{configured} answers {status}"))),
        status => Err(Failure::reject(format!("{configured} answers {status}"))),
    }
}
