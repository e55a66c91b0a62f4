//! Handles every event by doing nothing: what a call costs by itself.

use guesthouse_guest::{Event, Failure};

#[guesthouse_guest::handler]
fn handle(_: &Event<'_>) -> Result<(), Failure> {
    Ok(())
}
