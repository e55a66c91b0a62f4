//! The embedded broker: Iggy's wire protocol over a durable log, in this process.

mod log;
mod store;
