//! The way to Apache Iggy: one connection type over an embedded or a remote broker.
//!
//! It publishes with confirmation, reads as a member of consumer groups by explicit offsets, creates and checks
//! topics, and reads ranges. It never commits offsets by itself. It does not decode payloads, route or retry events.
//!
//! ```
//! use guesthouse_connector::{
//!     ConnectorConfig, CursorStep, Durability, GroupAddress, PublishRequest, TopicAddress, TopicSpec, connector,
//! };
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = ConnectorConfig::default();
//! config.embedded.persistent = false;
//! config.embedded.tcp_port = 0;
//! let connector = connector(config.mode);
//! connector.connect(&config).await?;
//!
//! let domain = TopicSpec {
//!     name: "domain".to_owned(),
//!     partitions: 8,
//!     replication_factor: 1,
//!     durability: Durability::Persisted,
//!     age_max: None,
//!     size_bytes_max: None,
//! };
//! connector.ensure_topics("rustok", &[domain]).await?;
//! connector.publish(PublishRequest::simple("tenant-1", b"hello".to_vec(), "event-1")).await?;
//!
//! let group = GroupAddress::new(TopicAddress::new("rustok", "domain"), "readers");
//! let mut cursor = connector.open_group_cursor(&group).await?;
//! loop {
//!     match cursor.step(|_partition| true).await? {
//!         CursorStep::Messages { partition, messages } => {
//!             assert_eq!(&messages[0].payload[..], b"hello");
//!             cursor.store_offset(partition, messages[0].offset).await?;
//!             break;
//!         }
//!         CursorStep::Empty => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
//!         _assigned_or_revoked => {}
//!     }
//! }
//! cursor.leave().await?;
//! connector.shutdown().await?;
//! # Ok(())
//! # }
//! ```

mod address;
mod backoff;
mod client;
mod config;
mod connector;
mod consumer;
mod endpoint;
mod error;
mod group;
mod groups;
mod headers;
mod health;
mod line;
mod link;
mod message;
mod partitioning;
mod poll_size;
mod publisher;
mod secret;
mod status;
mod topology;

pub use address::{GroupAddress, Offset, PartitionId, TopicAddress};
pub use config::{
    Batching, ConnectorConfig, ConnectorMode, EmbeddedConnectorConfig,
    EmbeddedConnectorConfig as BundledConnectorConfig, EmbeddedCredentials, RemoteConnectorConfig,
    RemoteConnectorConfig as ExternalConnectorConfig, Timeouts, TlsConfig, UnknownMode,
};
pub use connector::{
    EmbeddedConnector, EmbeddedConnector as BundledConnector, IggyConnector, MessageSubscriber,
    PublishBatchError, RemoteConnector, RemoteConnector as ExternalConnector, attach, check_config,
    connector,
};
pub use consumer::{ConsumerCursor, SubscriberMessage, SubscriberMessageMetadata};
pub use endpoint::is_address;
pub use error::ConnectorError;
pub use group::{Assignment, CursorStep, GroupCursor, StoreOutcome};
pub use groups::{
    ConsumerGroupManager, GroupMember, GroupPosition, GroupSummary, NewPosition, PartitionPosition, ResetTo,
};
pub use headers::{
    HEADERS_BYTES_MAX, HeaderEntry, HeaderError, HeaderKey, HeaderValue, HeaderValueRef, Headers, RawHeaders,
    RawHeadersEntries, RawHeadersIter,
};
pub use health::{HealthCheck, HealthCheckResult, HealthStatus, health_check};
pub use message::{OutgoingMessage, PAYLOAD_BYTES_MAX, Partitioning, PublishRequest, ReceivedMessage};
pub use partitioning::calculate_partition;
pub use status::{ConnectionState, ConnectionStatus};
pub use topology::{
    DOMAIN_TOPIC, Difference, Durability, MODULE_BUILD_TOPIC, PartitionState, Remedy, RetentionAge,
    RetentionSize, SYSTEM_TOPIC, TopicReport, TopicSpec, TopicState, TopologyManager,
};
