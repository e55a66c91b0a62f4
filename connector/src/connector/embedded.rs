//! The connector that brings its broker along.

use async_trait::async_trait;

use super::slot::{Home, LinkSlot};
use crate::config::ConnectorConfig;
use crate::endpoint::Endpoint;
use crate::error::ConnectorError;

/// Starts a broker in this process and connects to it, see [`IggyConnector`](super::IggyConnector).
#[derive(Debug, Default)]
pub struct EmbeddedConnector {
    slot: LinkSlot,
}

impl EmbeddedConnector {
    /// A connector whose broker is not started yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Home for EmbeddedConnector {
    fn slot(&self) -> &LinkSlot {
        &self.slot
    }

    async fn open(&self, _config: &ConnectorConfig) -> Result<Endpoint, ConnectorError> {
        Err(ConnectorError::Config("the embedded broker is not built in yet".to_owned()))
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        Ok(())
    }
}
