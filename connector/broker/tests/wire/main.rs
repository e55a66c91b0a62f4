//! The broker over its socket, with frames built by hand.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod kit;

mod abuse;
mod corpus;
mod differential;
mod doctor;
mod failures;
mod full_disk;
mod golden;
mod hostile;
mod http;
mod lifecycle;
mod limits;
mod login;
mod messages;
mod missing;
mod offline;
mod rebalance;
mod retention;
mod system;
mod users;
