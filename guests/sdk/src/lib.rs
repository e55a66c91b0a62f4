//! Write a Guesthouse handler as one function over one event.
//!
//! ```
//! use guesthouse_guest::{Emit, Event, Failure};
//!
//! #[guesthouse_guest::handler]
//! fn handle(event: &Event<'_>) -> Result<Option<Emit>, Failure> {
//!     match event.event_type() {
//!         "user.registered" => Ok(Some(Emit::new("mail.requested", event.payload()))),
//!         "user.deleted" => Ok(None),
//!         other => Err(Failure::reject(format!("expected a user event, got `{other}`"))),
//!     }
//! }
//! ```
//!
//! Built as a `cdylib` for `wasm32-wasip2`, the crate is a component that exports the batch form of the
//! contract: the host hands over many events in one call, this crate takes them apart and calls the function
//! for each, in order. After a failure the later events of the same lane are not run.
//!
//! A [`Failure`] concerns one event only. A panic ends the guest: the host runs the events of the call again
//! one by one and charges an attempt only to the one that panics.
//!
//! What a guest needs before its first event it gets in a function with the attribute
//! [`init`](macro@init), from the handler's configuration:
//!
//! ```
//! # use guesthouse_guest::{Event, Failure};
//! use std::sync::OnceLock;
//!
//! use guesthouse_guest::Config;
//!
//! static REGION: OnceLock<String> = OnceLock::new();
//!
//! #[guesthouse_guest::init]
//! fn init(config: &Config) -> Result<(), String> {
//!     let region = config.get("region").ok_or("expected `region` in the handler's config")?;
//!     REGION.set(region.to_owned())
//! }
//! # #[guesthouse_guest::handler]
//! # fn handle(_event: &Event<'_>) -> Result<(), Failure> { Ok(()) }
//! ```
//!
//! With the feature `json`, [`Event::json`], [`Event::data`] and [`Emit::json`] read and write JSON payloads.

mod batch;
mod config;
mod contract;
mod emit;
mod event;
mod failure;
#[cfg(feature = "json")]
mod json;
pub mod log;
#[cfg(test)]
mod sample;

pub use guesthouse_guest_macros::{handler, init};

pub use config::Config;
pub use emit::{Emit, IntoEmits};
pub use event::{Event, Headers, Source};
pub use failure::Failure;

/// What the code written by [`handler`](macro@handler) calls; not for use by hand.
#[doc(hidden)]
pub mod export {
    pub use crate::batch::handle_batch;
    pub use crate::config::init;
    pub use crate::contract::exports::guesthouse::handler::batch::{Answers, Guest};
    pub use crate::contract::{export_batch, exports, lifecycle};
}
