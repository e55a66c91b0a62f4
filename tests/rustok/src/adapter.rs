//! Guesthouse as the platform's own transport: copy this file into the platform's workspace and replace
//! `crate::platform` by `rustok_core` and `rustok_events`.
//!
//! Whatever wraps it must pass `publish_contract` on: the trait's own form refuses every bounded family.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use rustok_iggy::{EventTransport as _, IggyTransport, TransportError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::platform::{
    ContractEventEnvelope, Error, EventEnvelope, EventTransport, ReliabilityLevel, Result,
};

/// The platform's transport over Guesthouse's. Share the inner one with the host of the process: a second one in
/// embedded mode would want a second broker.
#[derive(Debug, Clone)]
pub struct GuesthouseTransport(pub Arc<IggyTransport>);

#[async_trait]
impl EventTransport for GuesthouseTransport {
    async fn publish(&self, envelope: EventEnvelope) -> Result<()> {
        self.0.publish(ours(&envelope)?).await.map_err(|error| theirs(&error))
    }

    async fn publish_contract(&self, envelope: ContractEventEnvelope) -> Result<()> {
        self.0.publish_contract(ours(&envelope)?).await.map_err(|error| theirs(&error))
    }

    async fn publish_batch(&self, envelopes: Vec<EventEnvelope>) -> Result<()> {
        let envelopes = envelopes.iter().map(ours).collect::<Result<_>>()?;
        self.0.publish_batch(envelopes).await.map_err(|error| theirs(&error))
    }

    async fn acknowledge(&self, event_id: Uuid) -> Result<()> {
        self.0.acknowledge(event_id).await.map_err(|error| theirs(&error))
    }

    fn reliability_level(&self) -> ReliabilityLevel {
        ReliabilityLevel::Streaming
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// By way of the JSON that both agree on.
fn ours<T: DeserializeOwned>(envelope: &impl Serialize) -> Result<T> {
    let json = serde_json::to_string(envelope).map_err(|error| Error::Serialization(error.to_string()))?;
    serde_json::from_str(&json).map_err(|error| Error::Validation(error.to_string()))
}

fn theirs(error: &TransportError) -> Error {
    let text = error.to_string();
    match error {
        TransportError::Validation { .. } => Error::Validation(text),
        TransportError::Serialization { .. } | TransportError::Unreadable { .. } => {
            Error::Serialization(text)
        }
        TransportError::External(_) => Error::External(text),
    }
}
