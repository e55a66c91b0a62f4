//! The shape of the platform's own types, as far as an adapter meets them: names and signatures, nothing of the code.

use std::any::Any;

use async_trait::async_trait;
use serde::Serialize;
use uuid::Uuid;

/// An envelope of the platform. It writes itself as the platform's JSON.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct EventEnvelope(pub serde_json::Value);

/// An envelope of a bounded family.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct ContractEventEnvelope(pub serde_json::Value);

/// The platform's errors, those of them that a transport gives.
#[derive(Debug)]
pub enum Error {
    /// It cannot be written.
    Serialization(String),
    /// It breaks a rule.
    Validation(String),
    /// Somebody else failed.
    External(String),
}

/// What a transport promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReliabilityLevel {
    /// To those who listen now.
    InMemory,
    /// In a database.
    Outbox,
    /// In a log.
    Streaming,
}

/// The platform's result.
pub type Result<T> = std::result::Result<T, Error>;

/// The platform's trait, today's form. Its own `publish_contract` refuses every bounded family.
#[async_trait]
pub trait EventTransport: Send + Sync {
    /// Publishes an event.
    async fn publish(&self, envelope: EventEnvelope) -> Result<()>;
    /// Publishes an event of a family.
    async fn publish_contract(&self, envelope: ContractEventEnvelope) -> Result<()>;
    /// Publishes events.
    async fn publish_batch(&self, envelopes: Vec<EventEnvelope>) -> Result<()>;
    /// Says that an event is dealt with.
    async fn acknowledge(&self, event_id: Uuid) -> Result<()>;
    /// What it promises.
    fn reliability_level(&self) -> ReliabilityLevel;
    /// The transport itself.
    fn as_any(&self) -> &dyn Any;
}
