//! The connector that brings its broker along.

use std::error::Error;
use std::iter::successors;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use guesthouse_broker::{Broker, BrokerConfig, StartError};
use tempfile::TempDir;
use tokio::sync::Mutex;
use tracing::info;

use super::slot::{Home, LinkSlot};
use crate::config::ConnectorConfig;
use crate::endpoint::Endpoint;
use crate::error::ConnectorError;

/// Starts a broker in this process and connects to it, see [`IggyConnector`](super::IggyConnector).
#[derive(Debug, Default)]
pub struct EmbeddedConnector {
    slot: LinkSlot,
    running: Mutex<Option<Running>>,
}

/// A broker that was started here.
struct Running {
    broker: Broker,
    patience: Duration,
    /// Removed with everything in it when the broker has stopped.
    scratch: Option<TempDir>,
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

    async fn open(&self, config: &ConnectorConfig) -> Result<Endpoint, ConnectorError> {
        let (data_dir, scratch) = data_dir(config)?;
        let broker = Broker::start(BrokerConfig {
            data_dir,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, config.embedded.tcp_port)),
            http: http_address(config.embedded.http_port),
            root_username: config.embedded_credentials.username.clone(),
            root_password: config.embedded_credentials.password.clone(),
            root_password_file: config.embedded_credentials.password_file.clone(),
            repeats_stored_in: config.repeats_stored_in.clone(),
            ..BrokerConfig::default()
        })
        .await
        .map_err(|error| describe_start(&error))?;
        let address = broker.address();
        info!(%address, data_dir = %config.embedded.data_dir, "embedded broker started");
        let root = broker.root_credentials();
        let endpoint = Endpoint::local(address.to_string(), root.username.clone(), root.password.clone())
            .with_password_file(broker.root_password_file().map(Path::to_owned))
            .with_workers(broker.workers().clone())
            .with_troubles(broker.troubles());
        *self.running.lock().await = Some(Running { broker, patience: config.timeouts.shutdown, scratch });
        Ok(endpoint)
    }

    async fn close(&self) -> Result<(), ConnectorError> {
        let Some(running) = self.running.lock().await.take() else {
            return Ok(());
        };
        let stopped = running.broker.shutdown(running.patience).await;
        if let Some(scratch) = running.scratch {
            scratch.close()?;
        }
        stopped.map_err(|error| ConnectorError::Connection(format!("stopping the embedded broker: {error}")))
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("address", &self.broker.address()).finish_non_exhaustive()
    }
}

/// The configured directory, or a temporary one when nothing is to be kept.
fn data_dir(config: &ConnectorConfig) -> Result<(PathBuf, Option<TempDir>), ConnectorError> {
    if config.embedded.persistent {
        return Ok((PathBuf::from(&config.embedded.data_dir), None));
    }
    let scratch = tempfile::Builder::new().prefix("guesthouse-").tempdir()?;
    Ok((scratch.path().to_owned(), Some(scratch)))
}

fn http_address(port: u16) -> Option<SocketAddr> {
    (port != 0).then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// With its causes: what to do about stored data stands in the last one.
fn describe_start(error: &StartError) -> ConnectorError {
    let causes = successors(error.source(), |&cause| cause.source());
    let causes: String = causes.map(|cause| format!(": {cause}")).collect();
    ConnectorError::Config(format!("starting the embedded broker: {error}{causes}"))
}
