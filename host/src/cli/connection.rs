//! The connection of a command to the broker.

use std::sync::Arc;

use anyhow::Context as _;
use guesthouse_connector::{IggyConnector, attach};

use crate::config::Config;

/// Opens the broker of a configuration, or joins one that runs.
pub(super) async fn open(config: &Config) -> anyhow::Result<Arc<dyn IggyConnector>> {
    attach(&config.connector).await.context("cannot open the broker")
}

/// Closes the connection whatever was done with it. What went wrong before comes first.
pub(super) async fn close<T>(connector: &dyn IggyConnector, done: anyhow::Result<T>) -> anyhow::Result<T> {
    let closed = connector.shutdown().await.context("cannot close the connection");
    let done = done?;
    closed.map(|()| done)
}
