//! A place for one connection that is opened when it is needed and replaced when it is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::debug;

use crate::backoff::Backoff;
use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::error::ConnectorError;

/// The bounds of the waits between attempts to open the connection.
const WAIT_FIRST: Duration = Duration::from_millis(50);
const WAIT_LONGEST: Duration = Duration::from_secs(2);

/// A connection that may be open or not.
#[derive(Debug)]
pub(crate) struct Line {
    endpoint: Arc<Endpoint>,
    /// Held across opening on purpose: whoever comes meanwhile wants the same connection.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    client: Option<Arc<Client>>,
    backoff: Backoff,
    refusal: Option<Refusal>,
    closed: bool,
}

/// The last attempt failed; nobody tries again before this moment, so that a dead broker is not hammered.
#[derive(Debug)]
struct Refusal {
    until: Instant,
    error: ConnectorError,
}

impl Line {
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Self {
        let state = State {
            client: None,
            backoff: Backoff::new(WAIT_FIRST, WAIT_LONGEST),
            refusal: None,
            closed: false,
        };
        Self { endpoint, state: Mutex::new(state) }
    }

    /// The open connection, opening it if need be.
    ///
    /// # Errors
    ///
    /// Why it could not be opened. For a short while after a failure, that failure again without a new attempt.
    pub(crate) async fn client(&self) -> Result<Arc<Client>, ConnectorError> {
        let mut state = self.state.lock().await;
        if let Some(client) = state.usable() {
            return Ok(client);
        }
        state.check_refusal()?;
        match Client::open(&self.endpoint).await {
            Ok(client) => Ok(state.opened(client)),
            Err(error) => Err(state.refused(error)),
        }
    }

    /// Asks the open connection for a sign of life, so that a loss is noticed before somebody needs it.
    pub(crate) async fn check(&self) {
        let client = self.state.lock().await.usable();
        if let Some(client) = client
            && let Err(error) = client.ping().await
        {
            debug!(%error, "idle connection is lost");
        }
    }

    /// Closes the connection for good.
    pub(crate) async fn close(&self) {
        let client = {
            let mut state = self.state.lock().await;
            state.closed = true;
            state.client.take()
        };
        if let Some(client) = client {
            client.close().await;
        }
    }
}

impl State {
    fn usable(&self) -> Option<Arc<Client>> {
        self.client.as_ref().filter(|client| client.is_usable()).cloned()
    }

    fn check_refusal(&self) -> Result<(), ConnectorError> {
        if self.closed {
            return Err(ConnectorError::NotConnected);
        }
        match &self.refusal {
            Some(refusal) if Instant::now() < refusal.until => Err(refusal.error.clone()),
            _ => Ok(()),
        }
    }

    fn opened(&mut self, client: Client) -> Arc<Client> {
        let client = Arc::new(client);
        self.backoff.reset();
        self.refusal = None;
        self.client = Some(Arc::clone(&client));
        client
    }

    fn refused(&mut self, error: ConnectorError) -> ConnectorError {
        let wait = self.backoff.next(rand::random());
        self.client = None;
        self.refusal = Some(Refusal { until: Instant::now() + wait, error: error.clone() });
        error
    }
}
