//! The way to Apache Iggy: one connection type over an embedded or a remote broker.
//!
//! It publishes with confirmation, reads as a member of consumer groups by explicit offsets, creates and checks
//! topics, and reads ranges. It never commits offsets by itself. It does not decode payloads, route or retry events.

mod address;
mod backoff;
mod client;
mod config;
mod connector;
mod endpoint;
mod error;
mod group;
mod headers;
mod line;
mod link;
mod message;
mod partitioning;
mod publisher;
mod topology;

pub use address::{GroupAddress, Offset, PartitionId, TopicAddress};
pub use config::{
    ConnectorConfig, ConnectorMode, EmbeddedConnectorConfig, EmbeddedCredentials, RemoteConnectorConfig,
    Timeouts, TlsConfig, UnknownMode,
};
pub use connector::{
    EmbeddedConnector, IggyConnector, MessageSubscriber, PublishBatchError, RemoteConnector, attach,
    connector,
};
pub use error::ConnectorError;
pub use group::{Assignment, CursorStep, GroupCursor, StoreOutcome};
pub use headers::{
    HEADERS_BYTES_MAX, HeaderError, HeaderValue, HeaderValueRef, Headers, RawHeaders, RawHeadersIter,
};
pub use message::{OutgoingMessage, PAYLOAD_BYTES_MAX, Partitioning, PublishRequest, ReceivedMessage};
pub use topology::{Durability, PartitionState, TopicSpec, TopicState};
