//! The kit of the end-to-end tests: houses with a broker, hosts as programs, envelopes, and a client to look in from
//! outside. It speaks to tests alone: what cannot go on ends the test with what was expected.

#![expect(clippy::panic, clippy::indexing_slicing, reason = "a broken expectation ends the test")]
#![expect(clippy::missing_panics_doc, reason = "every function of the kit may end the test")]

pub mod alone;
pub mod broker;
pub mod builds;
pub mod client;
pub mod endpoint;
pub mod envelope;
pub mod hostile;
pub mod house;
pub mod orders;
pub mod program;
pub mod receiver;
pub mod redis;
pub mod torture;
pub mod wait;
pub mod witness;

pub use broker::{Access, BrokerProgram};
pub use client::Client;
pub use house::House;
pub use program::{Ended, HostProgram};
pub use wait::eventually;
