//! The public contract of the connector, told story by story against a real broker.
//!
//! Most stories run twice: with the embedded connector, and with the remote one against a broker that was started
//! beside it, or against the server that `GUESTHOUSE_TEST_IGGY=user:password@host:port` names.

mod kit;

mod config;
mod group;
mod publish;
mod read;
mod refusal;
mod restart;
mod topology;
