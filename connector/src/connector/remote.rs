//! The connector to brokers elsewhere.

use async_trait::async_trait;

use super::slot::{Home, LinkSlot};
use crate::config::ConnectorConfig;
use crate::endpoint::Endpoint;
use crate::error::ConnectorError;

/// Connects to an Iggy server or cluster, see [`IggyConnector`](super::IggyConnector).
#[derive(Debug, Default)]
pub struct RemoteConnector {
    slot: LinkSlot,
}

impl RemoteConnector {
    /// A connector that is not connected yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Home for RemoteConnector {
    fn slot(&self) -> &LinkSlot {
        &self.slot
    }

    async fn open(&self, config: &ConnectorConfig) -> Result<Endpoint, ConnectorError> {
        Endpoint::remote(config)
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        Ok(())
    }
}
